//! A file is the oldest way to hand something over: it needs no peer at all, and outlives both
//! processes. Its danger is the reader that comes while it is half written. There are two cures:
//! [`publish`] writes under another name and renames, so that the file appears whole, and
//! [`append`] adds whole messages to a log. inotify(7) wakes the reader.

use anyhow::Result;

use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::frame::FramingOptions;
use wire::meet::{Meets, Rendezvous};
use wire::transport::{Receiver, Sender};

pub mod append;
pub mod publish;
mod rendezvous;
mod watch;

/// The options of the sender.
#[derive(Debug, clap::Args)]
pub struct SenderOptions {
    #[command(flatten)]
    stream: FramingOptions,

    /// Add to a log that senders share, instead of publishing a file of its own
    #[arg(long)]
    append: bool,

    /// What keeps the senders of a log apart while one of them writes a message
    #[arg(long, value_enum, default_value = "flock", requires = "append")]
    lock: append::Lock,
}

/// The options of the receiver.
#[derive(Debug, clap::Args)]
pub struct ReceiverOptions {
    #[command(flatten)]
    stream: FramingOptions,

    /// Follow a log from its beginning, without an end, as `tail -f -n +1` does
    #[arg(long)]
    append: bool,
}

/// The sending end, of either kind.
#[derive(Debug)]
pub enum FileSender {
    /// Publishes a file of its own.
    Publish(publish::Publisher),
    /// Adds to a log.
    Append(append::Appender),
}

impl Sender for FileSender {
    type Options = SenderOptions;

    fn check(options: &SenderOptions, message: &[u8]) -> Result<()> {
        options.stream.check(message)
    }

    fn open(rendezvous: &Rendezvous, options: &SenderOptions) -> Result<FileSender> {
        let stream = &options.stream;
        Ok(match options.append {
            false => {
                FileSender::Publish(publish::Publisher::open(rendezvous, stream)?)
            }
            true => {
                let log = append::Appender::open(rendezvous, stream, options.lock)?;
                FileSender::Append(log)
            }
        })
    }

    fn largest(&self) -> usize {
        match self {
            FileSender::Publish(file) => file.stream.largest(),
            FileSender::Append(log) => log.stream.largest(),
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            FileSender::Publish(file) => file.send(message),
            FileSender::Append(log) => log.send(message),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            FileSender::Publish(file) => file.finish(),
            FileSender::Append(_) => Ok(()), // a log has no end
        }
    }
}

/// The receiving end, of either kind.
#[derive(Debug)]
pub enum FileReceiver {
    /// Takes a published file.
    Take(publish::PublishedReceiver),
    /// Follows a log.
    Follow(append::Follower),
}

impl Receiver for FileReceiver {
    type Options = ReceiverOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &ReceiverOptions,
    ) -> Result<FileReceiver> {
        let stream = &options.stream;
        Ok(match options.append {
            false => FileReceiver::Take(publish::PublishedReceiver::open(
                rendezvous, stream,
            )?),
            true => {
                FileReceiver::Follow(append::Follower::open(rendezvous, stream)?)
            }
        })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        match self {
            FileReceiver::Take(file) => file.recv(message),
            FileReceiver::Follow(log) => log.recv(message),
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Files;

impl OneWay for Files {
    const ROW: Row = Row {
        name: "file",
        summary: "a file that appears whole (rename), or a shared log",
        also: &[
            "rename",
            "log",
            "flock",
            "lockf",
            "file lock",
            "lock file",
            "open",
            "inotify",
            "atomic write",
            "tempfile",
            "append",
            "json",
        ],
        wire: "the messages, one a line: whatever writes or reads a file is a peer",
        roles: &[
            Role {
                name: "receiver",
                side: Side::Left,
                does: "waits until the file is there, takes it, and prints what is in it",
                examples: &["file receiver", "file receiver --append"],
            },
            Role {
                name: "sender",
                side: Side::Right,
                does: "writes a file and publishes it whole, by rename",
                examples: &[
                    "file sender hello",
                    "file sender --bytes < picture.png",
                    "file sender --append 'one more line'",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::Waits,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "receiver", args: &[] },
                Part { role: "sender", args: &["hello", "through a file"] },
            ],
            prints: "receiver",
            expect: "hello\nthrough a file\n",
        },
        lacks: &[
            Lack {
                what: "A receiver that is first fails with ENOENT, and does not \
                       wait for the file.",
                shown: Shown::Test("file", "a_relative_path"),
                answer: ("chapters/file/watch.rs", "watch"),
            },
            Lack {
                what: "A sender that is killed leaves NAME.tmp, and each later \
                       sender fails with EEXIST.",
                shown: Shown::Test(
                    "file",
                    "what_a_killed_sender_left_goes_by_clean",
                ),
                answer: ("chapters/file/publish.rs", "sender"),
            },
            Lack {
                what: "On a full disk write(2) stores a part, and the Rust and the \
                       Python sender publish that part as the whole.",
                shown: Shown::Test("file", "a_full_disk"),
                answer: ("chapters/file/publish.rs", "sender"),
            },
            Lack {
                what: "Of two receivers that open one file, the second fails with \
                       ENOENT at unlink(2), or unlinks the next file, which no process \
                       has read.",
                shown: Shown::Test("file", "of_two_receivers"),
                answer: ("chapters/file/publish.rs", "receiver"),
            },
            Lack {
                what: "While a sender writes, a second one fails with EEXIST, and \
                       does not say which process is there.",
                shown: Shown::Test(
                    "file",
                    "a_second_sender_is_told_who_has_its_place",
                ),
                answer: ("chapters/file/publish.rs", "sender"),
            },
            Lack {
                what: "A FIFO at the name makes the receiver sleep in open(2); a \
                       link leads it to another file.",
                shown: Shown::Test("file", "what_is_in_the_way"),
                answer: ("chapters/file/publish.rs", "receiver"),
            },
        ],
    };
    type Sender = FileSender;
    type Receiver = FileReceiver;
    type More = NoMore;
}
