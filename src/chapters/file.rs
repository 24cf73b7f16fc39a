//! A file is the oldest way to hand something over: it needs no peer at all, and outlives
//! both. Its danger is the reader that comes while it is half written. There are two
//! cures: [`publish`] writes under another name and renames, so that the file appears
//! whole, and [`append`] adds whole messages to a log. inotify(7) wakes the reader.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::row::{NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script};
use os::cleanup::{Object, remove_now};
use wire::errors::{Advise, errno};
use wire::frame::FramingOptions;
use wire::meet::{Meets, Presence, Rendezvous, SoleRole, with_suffix};
use wire::say;
use wire::transport::{Receiver, Sender};

pub mod append;
pub mod publish;

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
                does: "waits until the file is there, takes it, and prints what is in it",
                examples: &["file receiver", "file receiver --append"],
            },
            Role {
                name: "sender",
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
    };
    type Sender = FileSender;
    type Receiver = FileReceiver;
    type More = NoMore;
}

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

/// Enters the meeting place. What a role that was killed left half done goes first.
fn enter(
    rendezvous: &Rendezvous,
    role: Option<SoleRole>,
) -> Result<(PathBuf, Presence)> {
    let path = rendezvous.path();
    let presence = rendezvous.arrive(role)?;
    is_there(&path)?;
    if presence.is_alone() {
        for object in presence.noted()? {
            if let Object::Path(stale) = &object
                && stale.symlink_metadata().is_ok()
            {
                say!("unlink({}): a role that was killed left it", stale.display());
                remove_now(&object)
                    .with_context(|| format!("unlink {}", stale.display()))?;
            }
        }
    }
    Ok((path, presence))
}

/// Whether a file is there.
///
/// # Errors
/// When something else is there, or a link, which could lead anywhere.
fn is_there(path: &Path) -> Result<bool> {
    let name = path.display();
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        about => about.with_context(|| format!("lstat {name}"))?.file_type(),
    };
    let what = match () {
        () if kind.is_file() => return Ok(true),
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    bail!("{name} is {what}, not a file; use --at NAME for another place")
}

/// The directory in which `path` is.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

/// The directory itself was removed, renamed or unmounted.
const GONE: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT);

// ANCHOR: watch
/// Waits until something happens to a file, which need not be there yet.
///
/// It watches the directory: a watch on the file itself would follow the inode that it
/// had then, and die with it when another file is renamed over its name.
#[derive(Debug)]
struct Watch {
    inotify: Inotify,
    file: OsString,
    lock: OsString,
}

impl Watch {
    /// Begins to watch for `events` on the file `path`.
    fn on(path: &Path, events: AddWatchFlags) -> Result<Watch> {
        let dir = directory(path);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)
            .context("inotify_init")
            .advise(limit)?;
        inotify
            .add_watch(dir, events | GONE | AddWatchFlags::IN_DELETE)
            .with_context(|| format!("inotify_add_watch {}", dir.display()))
            .advise(limit)?;
        let file = path.file_name().unwrap_or_default().to_owned();
        let lock = with_suffix(Path::new(&file), ".lock").into_os_string();
        Ok(Watch { inotify, file, lock })
    }

    /// Sleeps until there is reason to look again. One event may stand for many, and
    /// one that was for us may be lost in a flood: so events are never counted.
    fn wait(&self) -> Result<()> {
        use AddWatchFlags as Mask;
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EINTR) => continue,
                result => result.context("read inotify")?,
            };
            for event in &events {
                let (mask, name) = (event.mask, event.name.as_ref());
                // While we are here, none of ours removes the lock file.
                let unlocked =
                    mask.contains(Mask::IN_DELETE) && name == Some(&self.lock);
                if unlocked || mask.intersects(GONE) {
                    bail!("the meeting place was removed while we waited at it");
                }
                if mask.contains(Mask::IN_Q_OVERFLOW) || name == Some(&self.file) {
                    return Ok(());
                }
            }
        }
    }
}
// ANCHOR_END: watch

/// inotify(7) is rationed for each user.
fn limit(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::EMFILE => Some(
            "all of this user's inotify instances are in use: raise \
             /proc/sys/fs/inotify/max_user_instances, or ulimit -n",
        ),
        Errno::ENOSPC => Some(
            "all of this user's inotify watches are in use: raise \
             /proc/sys/fs/inotify/max_user_watches",
        ),
        _ => None,
    }
}

/// Where the room went, when a write fails.
fn full(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::ENOSPC => {
            Some("its file system is full: free some room, or choose --at DIR/NAME")
        }
        Errno::EDQUOT => Some("your quota there is used up (quota(1))"),
        Errno::EFBIG => Some("a file may not grow so large: see ulimit -f"),
        _ => None,
    }
}
