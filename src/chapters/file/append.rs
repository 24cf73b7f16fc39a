//! Appending: a log that any number of senders share, and any number of receivers follow.
//!
//! O_APPEND makes each write(2) go to the end of the file, wherever that is by then: two
//! senders never overwrite each other. A message that takes more than one write, and one
//! that must be cut off again because the disk is full, need a lock around it besides.

use std::fs::File;
use std::io::Seek;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::inotify::AddWatchFlags;
use nix::unistd::write;
use rustix::fs::{FlockOperation, flock}; // nix's takes the file away

use super::rendezvous::{enter, full, is_there};
use super::watch::Watch;
use os::calls::read;
use os::cleanup::Object;
use os::signal::retry_on_intr;
use wire::errors::Advise;
use wire::frame::{FramingOptions, ReassemblyBuffer};
use wire::meet::{Presence, Rendezvous, byte};
use wire::say;
use wire::say::Commentary;

// ANCHOR: lock
/// What keeps the senders of a log apart. All of them must use the same: neither lock
/// sees the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lock {
    /// flock(2): the whole file, as the shell's `flock` does
    Flock,
    /// fcntl(2) F_OFD_SETLKW: a range of bytes, here all; belongs to the open file
    Ofd,
    /// None: O_APPEND alone
    None,
}

impl Lock {
    /// Takes the lock; sleeps while another sender has it.
    fn take(self, log: &File) -> Result<()> {
        match self {
            Lock::None => {}
            Lock::Flock => {
                use FlockOperation::{LockExclusive, NonBlockingLockExclusive};
                if flock(log, NonBlockingLockExclusive).is_err() {
                    say!("flock(LOCK_EX) sleeps: another has the lock");
                    rustix::io::retry_on_intr(|| flock(log, LockExclusive))
                        .context("flock the log")?;
                }
            }
            Lock::Ofd => {
                let all = all(libc::F_WRLCK);
                if fcntl(log, FcntlArg::F_OFD_SETLK(&all)).is_err() {
                    say!("fcntl(F_OFD_SETLKW) sleeps: another has the lock");
                    retry_on_intr(|| fcntl(log, FcntlArg::F_OFD_SETLKW(&all)))
                        .context("fcntl(F_OFD_SETLKW) the log")?;
                }
            }
        }
        Ok(())
    }

    /// Lets the next sender go on.
    fn release(self, log: &File) -> Result<()> {
        match self {
            Lock::None => {}
            Lock::Flock => {
                rustix::io::retry_on_intr(|| flock(log, FlockOperation::Unlock))
                    .context("flock")?;
            }
            Lock::Ofd => {
                let free = all(libc::F_UNLCK);
                retry_on_intr(|| fcntl(log, FcntlArg::F_OFD_SETLK(&free)))
                    .context("fcntl(F_OFD_SETLK) the log")?;
            }
        }
        Ok(())
    }

    /// The calls, as the commentary names them.
    fn around(self, write: &str) -> String {
        match self {
            Lock::None => write.to_owned(),
            Lock::Flock => format!("flock(LOCK_EX), {write}, flock(LOCK_UN)"),
            Lock::Ofd => {
                format!("fcntl(F_OFD_SETLK, F_WRLCK), {write}, fcntl(…, F_UNLCK)")
            }
        }
    }
}

/// A lock of this kind on all bytes of a file, those to come as well.
fn all(kind: i32) -> libc::flock {
    libc::flock { l_len: 0, ..byte(kind, 0) }
}
// ANCHOR_END: lock

// ANCHOR: sender
/// Adds messages to the log.
#[derive(Debug)]
pub struct Appender {
    pub(super) stream: FramingOptions,
    log: File,
    lock: Lock,
    frame: Vec<u8>,
    writes: Commentary,
    _presence: Presence,
}

impl Appender {
    /// Opens the log, or makes it. Neither a receiver nor another sender need be there.
    ///
    /// # Errors
    /// A thing at the name that is no file, or that we may not write.
    pub fn open(
        rendezvous: &Rendezvous,
        stream: &FramingOptions,
        lock: Lock,
    ) -> Result<Appender> {
        let (path, mut presence) = enter(rendezvous, None)?;
        let (name, alone) = (path.display(), presence.is_alone());
        let log = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .with_context(|| format!("open {name}"))
            .advise(full)?;
        if !rendezvous.is_users_path() {
            presence.remove_when_last(&Object::File(path.clone()))?;
        }
        presence.admit_peers()?;
        rendezvous.ready(&name)?;
        say!("open({name}, O_WRONLY|O_APPEND|O_CREAT): each write goes to its end");
        if alone {
            say::start_the_other(&rendezvous.peer("receiver"));
        }
        let (stream, frame, writes) = (*stream, Vec::new(), Commentary::of("write"));
        Ok(Appender { stream, log, lock, frame, writes, _presence: presence })
    }

    /// Adds one message; sleeps while another sender has the lock.
    ///
    /// # Errors
    /// ENOSPC and the like; then nothing of the message stays, unless there is no lock.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        self.writes.call(bytes.len(), || {
            let write = format!("write({})", say::data(bytes));
            self.lock.around(&write)
        });
        self.lock.take(&self.log)?;
        let written = write_or_cut(&mut self.log, bytes, self.lock != Lock::None);
        self.lock.release(&self.log)?;
        written.context("write the log").advise(full)
    }
}

/// Writes all, or, under a lock, nothing: a half message would become one with the next.
fn write_or_cut(log: &mut File, bytes: &[u8], locked: bool) -> Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match write(&*log, left) {
            Ok(n) => left = &left[n..],
            Err(Errno::EINTR) => {}
            Err(error) => {
                let half = (bytes.len() - left.len()) as u64;
                if locked && half > 0 {
                    // The offset is where our last write ended: the end of the file.
                    let end = log.stream_position().context("lseek the log")?;
                    log.set_len(end - half).context("ftruncate the log")?;
                }
                return Err(error.into());
            }
        }
    }
    Ok(())
}
// ANCHOR_END: sender

// ANCHOR: receiver
/// Follows the log from its beginning.
#[derive(Debug)]
pub struct Follower {
    log: File,
    watch: Watch,
    offset: u64,
    incoming: ReassemblyBuffer,
    reads: Commentary,
    to_say: Option<String>,
    presence: Presence,
}

impl Follower {
    /// Waits until there is a log, and opens it.
    ///
    /// # Errors
    /// A thing at the name that is no file; a directory that we may not read.
    pub fn open(
        rendezvous: &Rendezvous,
        stream: &FramingOptions,
    ) -> Result<Follower> {
        let (path, mut presence) = enter(rendezvous, None)?;
        let name = path.display();
        if !rendezvous.is_users_path() {
            presence.remove_when_last(&Object::File(path.clone()))?;
        }
        presence.admit_peers()?;
        rendezvous.ready(&name)?;
        let (made, changed) = (AddWatchFlags::IN_CREATE, AddWatchFlags::IN_MODIFY);
        // Before the first look, so that nothing happens between the two unseen.
        let watch = Watch::on(&path, made | AddWatchFlags::IN_MOVED_TO | changed)?;
        let mut to_say = Some(rendezvous.peer("sender"));
        while !is_there(&path)? {
            if let Some(peer) = to_say.take() {
                say!("{name} is not there: read(inotify) sleeps until it is");
                start_sender(&presence, &peer);
            }
            watch.wait()?;
        }
        let log = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .with_context(|| format!("open {name}"))?;
        let (incoming, reads) =
            (ReassemblyBuffer::new(stream), Commentary::of("read"));
        Ok(Follower { log, watch, offset: 0, incoming, reads, to_say, presence })
    }

    /// The next message. A log has no end: this sleeps until one comes.
    ///
    /// # Errors
    /// EIO; a message that is too long; a log that was cut.
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            let n = match read(&self.log, self.incoming.space()?) {
                Err(Errno::EINTR) => continue,
                result => result.context("read the log")?,
            };
            if n > 0 {
                let newest = self.incoming.newest(n);
                self.reads
                    .call(n, || format!("read() = {n}: {}", say::bytes(newest)));
                self.offset += n as u64;
                continue;
            }
            let size = self.log.metadata().context("fstat the log")?.len();
            if size < self.offset {
                let read = say::size(self.offset as usize);
                bail!("the log was cut to {size} bytes, and {read} were read of it");
            }
            if let Some(peer) = self.to_say.take() {
                say!(
                    "read() = 0: the end for now; read(inotify) sleeps until it grows"
                );
                start_sender(&self.presence, &peer);
            }
            self.watch.wait()?;
        }
        Ok(true)
    }
}
// ANCHOR_END: receiver

/// Says that a role is there already, or else how a sender is started: no process knows which of
/// its roles are at a log.
fn start_sender(presence: &Presence, command: &str) {
    say::start_unless(
        presence.has_peers(),
        "another role is there already",
        command,
    );
}
