//! A FIFO is a pipe with a name in the file system: mkfifo(3) makes the name, each role
//! opens it, and from then on it is a pipe (fifo(7)). The bytes never touch the disk.
//! open(2) sleeps until the other side has opened it too, so either role may be first.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use os::calls::read;
use os::cleanup::Object;
use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::errors::{Advise, errno};
use wire::frame::{FramingOptions, ReassemblyBuffer};
use wire::meet::{FileKind, Meets, Presence, Rendezvous, is_taken};
use wire::say;
use wire::say::Commentary;
use wire::transfer::write_all;
use wire::transport::{Receiver, Sender};

// ANCHOR: sender
/// The write end.
#[derive(Debug)]
pub struct FifoSender {
    fifo: File,
    stream: FramingOptions,
    frame: Vec<u8>,
    writes: Commentary,
    _presence: Presence,
}

impl Sender for FifoSender {
    type Options = FramingOptions;

    fn check(stream: &FramingOptions, message: &[u8]) -> Result<()> {
        stream.check(message)
    }

    fn open(rendezvous: &Rendezvous, stream: &FramingOptions) -> Result<FifoSender> {
        let (path, presence, alone) = make(rendezvous)?;
        let name = path.display();
        say!("open({name}, O_WRONLY) sleeps until a reader opens it too");
        if alone {
            say::start_the_other(&rendezvous.peer("receiver"));
        }
        let fifo = File::options().write(true).open(&path);
        let fifo = fifo.with_context(|| format!("open {name}"))?;
        say!("a reader is there: open(…, O_WRONLY) returned");
        let (frame, writes) = (Vec::new(), Commentary::of("write"));
        Ok(FifoSender { fifo, stream: *stream, frame, writes, _presence: presence })
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        self.writes.call(bytes.len(), || format!("write({})", say::data(bytes)));
        // Sleeps while the pipe is full; EPIPE once the last reader has closed.
        let written = write_all(&self.fifo, bytes);
        self.writes.returned(written).context("write the FIFO")
    }
    // No goodbye: closing the last write end is the end of the stream.
}
// ANCHOR_END: sender

// ANCHOR: receiver
/// The read end.
#[derive(Debug)]
pub struct FifoReceiver {
    fifo: File,
    incoming: ReassemblyBuffer,
    reads: Commentary,
    _presence: Presence,
}

impl Receiver for FifoReceiver {
    type Options = FramingOptions;

    fn open(
        rendezvous: &Rendezvous,
        stream: &FramingOptions,
    ) -> Result<FifoReceiver> {
        let (path, presence, alone) = make(rendezvous)?;
        let name = path.display();
        say!("open({name}, O_RDONLY) sleeps until a writer opens it too");
        if alone {
            say::start_the_other(&rendezvous.peer("sender"));
        }
        let fifo = File::open(&path).with_context(|| format!("open {name}"))?;
        say!("a writer is there: open(…, O_RDONLY) returned");
        let (incoming, reads) =
            (ReassemblyBuffer::new(stream), Commentary::of("read"));
        Ok(FifoReceiver { fifo, incoming, reads, _presence: presence })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            if self.incoming.has_ended() {
                return Ok(false);
            }
            let n = match read(&self.fifo, self.incoming.space()?) {
                Err(Errno::EINTR) => continue,
                result => result.context("read the FIFO")?,
            };
            if n == 0 {
                say!("read() = 0: the last writer has closed its end");
                return self.incoming.at_end(message);
            }
            let newest = self.incoming.newest(n);
            self.reads.call(n, || format!("read() = {n}: {}", say::bytes(newest)));
        }
        Ok(true)
    }
}
// ANCHOR_END: receiver

// ANCHOR: make
/// Makes the FIFO, or takes the one that is there: an unused FIFO that a killed process
/// left behind is as good as new. Says also whether no other role was there.
fn make(rendezvous: &Rendezvous) -> Result<(PathBuf, Presence, bool)> {
    let path = rendezvous.path();
    let name = path.display();
    let object = Object::Path(path.clone());
    let mut presence = rendezvous.arrive(None)?;
    let alone = presence.is_alone();
    let made = presence.create(&object, || {
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .with_context(|| format!("mkfifo {name}"))
            .advise(|e| {
                (errno(e) == Some(Errno::ENOENT))
                    .then_some("make its directory first")
            })
    });
    match made {
        Ok(()) => say!("mkfifo({name}, 0600) made the name"),
        Err(error) if errno(&error) == Some(Errno::EEXIST) => {
            must_be_fifo(&path)?;
            presence.adopt(&object)?;
        }
        Err(error) => return Err(error),
    }
    presence.admit_peers()?;
    rendezvous.ready(name)?;
    Ok((path, presence, alone))
}

/// Refuses what is not a FIFO, or is a link that could lead anywhere.
fn must_be_fifo(path: &Path) -> Result<()> {
    let name = path.display();
    match FileKind::at(path)?
        .ok_or(Errno::ENOENT)
        .context(format!("lstat {name}"))?
    {
        FileKind::Fifo => Ok(()),
        FileKind::Regular => bail!(
            "{name} is a regular file: something like `echo hi > {name}` came before \
             the FIFO was made; remove it, and start a role before you write"
        ),
        FileKind::Device => Err(is_taken(path, "no FIFO")),
        kind => Err(is_taken(path, kind)),
    }
}
// ANCHOR_END: make

/// The chapter.
#[derive(Debug)]
pub struct Fifo;

impl OneWay for Fifo {
    const ROW: Row = Row {
        name: "fifo",
        summary: "a pipe with a name in the file system (mkfifo)",
        also: &["named pipe", "mkfifo", "mknod"],
        wire: "a byte stream; by default one message a line, so `cat` and `echo` are peers",
        roles: &[
            Role {
                name: "receiver",
                side: Side::Left,
                does: "reads the FIFO and prints what comes out",
                examples: &["fifo receiver", "fifo receiver --bytes > copy"],
            },
            Role {
                name: "sender",
                side: Side::Right,
                does: "writes messages into the FIFO",
                examples: &[
                    "fifo sender hello",
                    "fifo sender --bytes < picture.png",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "receiver", args: &[] },
                Part { role: "sender", args: &["hello", "through a FIFO"] },
            ],
            prints: "receiver",
            expect: "hello\nthrough a FIFO\n",
        },
        lacks: &[
            Lack {
                what: "A regular file at the name is read as if it were the FIFO, \
                       and removed.",
                shown: Shown::Test("fifo", "a_regular_file"),
                answer: ("chapters/fifo.rs", "make"),
            },
            Lack {
                what: "A message with a newline arrives as two messages.",
                shown: Shown::Test("fifo", "a_newline_within"),
                answer: ("chapters/fifo.rs", "sender"),
            },
            Lack {
                what: "Nothing is said while the other side is missing.",
                shown: Shown::Experiment("open-sleeps"),
                answer: ("chapters/fifo.rs", "receiver"),
            },
            Lack {
                what: "When the receiver is killed, the sender ends by EPIPE or \
                       SIGPIPE, and does not say how many messages were written.",
                shown: Shown::Test("fifo", "a_sender_whose_reader"),
                answer: ("chapters/fifo.rs", "sender"),
            },
            Lack {
                what: "A program that is killed leaves the name behind.",
                shown: Shown::Test("killed", "what_a_role"),
                answer: ("chapters/fifo.rs", "make"),
            },
        ],
    };
    type Sender = FifoSender;
    type Receiver = FifoReceiver;
    type More = NoMore;
}
