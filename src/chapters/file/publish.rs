//! Publishing: a file that appears whole, or not at all.
//!
//! rename(2) puts one file in the place of another in one step. A reader that opens the name
//! gets the old file or the new one, never a half; the sender may be killed at any time, and no
//! reader sees an unfinished file.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::AddWatchFlags;
use nix::unistd::fsync;

use super::rendezvous::{directory, enter, full, is_there};
use super::watch::Watch;
use os::calls::read;
use os::cleanup::Object;
use os::cleanup::notes::beside;
use wire::errors::Advise;
use wire::frame::{FramingOptions, ReassemblyBuffer};
use wire::meet::{Presence, Rendezvous, SoleRole, with_suffix};
use wire::say;
use wire::say::Commentary;
use wire::transfer::write_all;

// ANCHOR: sender
/// Writes a file under another name, then gives it the name that readers look at.
#[derive(Debug)]
pub struct Publisher {
    pub(super) stream: FramingOptions,
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    directory: File,
    frame: Vec<u8>,
    writes: Commentary,
    failed: bool,
    _presence: Presence,
}

impl Publisher {
    /// Begins a file. The receiver need not be there.
    ///
    /// # Errors
    /// A directory where we may not write; another sender at the same name.
    pub fn open(
        rendezvous: &Rendezvous,
        stream: &FramingOptions,
    ) -> Result<Publisher> {
        let (path, mut presence) = enter(rendezvous, Some(SoleRole::Sender))?;
        let alone = presence.is_alone();
        // For its fsync. If we may not open it, the error should come before all is written.
        let directory = directory(&path);
        let directory = File::open(directory)
            .with_context(|| format!("open {}", directory.display()))?;
        let (file, unfinished) =
            presence.create_unfinished(&path).advise(|error| {
                match wire::errors::errno(error)? {
                    Errno::EACCES => {
                        Some("publishing needs a directory where you may write")
                    }
                    _ => full(error),
                }
            })?;
        if !rendezvous.is_users_path() {
            presence.remove_when_last(&Object::File(path.clone()))?;
        }
        presence.admit_peers()?;
        rendezvous.ready(path.display())?;
        let name = unfinished.display();
        say!("open({name}, O_CREAT|O_EXCL) made a name that no reader looks at");
        if alone {
            say::start_the_other(&rendezvous.peer("receiver"));
        }
        let (stream, frame, writes) = (*stream, Vec::new(), Commentary::of("write"));
        let (failed, _presence) = (false, presence);
        Ok(Publisher {
            stream,
            file,
            unfinished,
            path,
            directory,
            frame,
            writes,
            failed,
            _presence,
        })
    }

    /// Writes one message. Does not sleep, but for the disk.
    ///
    /// # Errors
    /// ENOSPC and the like; then nothing at all will be published.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        self.writes.call(bytes.len(), || format!("write({})", say::data(bytes)));
        let written = self.writes.returned(write_all(&self.file, bytes));
        self.failed |= written.is_err();
        written
            .with_context(|| format!("write {}", self.unfinished.display()))
            .advise(full)
    }

    /// Publishes what was written, in one step.
    ///
    /// # Errors
    /// As fsync(2) and rename(2); then nothing is published.
    pub fn finish(self) -> Result<()> {
        drop(self.writes);
        if self.failed {
            return Ok(()); // a half is not published; it goes with its place
        }
        let (from, to) = (self.unfinished.display(), self.path.display());
        let (tmp, name) = (last(&self.unfinished), last(&self.path));
        say!("fsync({tmp}): first the bytes must be on the disk …");
        fsync(&self.file).with_context(|| format!("fsync {from}")).advise(full)?;
        let over =
            if is_there(&self.path)? { ", in place of what was there" } else { "" };
        say!("rename({tmp}, {name}): … then all of it appears at once{over}");
        std::fs::rename(&self.unfinished, &self.path)
            .with_context(|| format!("rename {from} to {to}"))
            .advise(full)?;
        say!("fsync(the directory): the new name must be on the disk too");
        fsync(&self.directory)
            .with_context(|| format!("fsync the directory of {to}"))
    }
}
// ANCHOR_END: sender

// ANCHOR: receiver
/// Waits for a file, and reads it.
#[derive(Debug)]
pub struct PublishedReceiver {
    file: File,
    incoming: ReassemblyBuffer,
    reads: Commentary,
    _presence: Presence,
}

impl PublishedReceiver {
    /// Waits until the file is there. In the runtime directory it is ours alone from
    /// then on; at a path of the user's it is only read.
    ///
    /// # Errors
    /// A thing at the name that is no file; a directory that we may not read.
    pub fn open(
        rendezvous: &Rendezvous,
        stream: &FramingOptions,
    ) -> Result<PublishedReceiver> {
        let (path, mut presence) = enter(rendezvous, None)?;
        let name = path.display();
        let taken = format!("{}{}", beside::TAKEN, std::process::id());
        let taken =
            (!rendezvous.is_users_path()).then(|| with_suffix(&path, &taken));
        if let Some(taken) = &taken {
            presence.remove_at_exit(&Object::Path(taken.clone()))?;
            presence.remove_when_last(&Object::Path(with_suffix(
                &path,
                beside::UNFINISHED,
            )))?;
            presence.remove_when_last(&Object::File(path.clone()))?;
        }
        presence.admit_peers()?;
        rendezvous.ready(&name)?;
        let mut watch = None;
        let mut to_say = Some(rendezvous.peer("sender"));
        let file = loop {
            if let Some(file) = take(&path, taken.as_deref())? {
                break file;
            }
            let Some(watch) = &watch else {
                // And look again: the file may have come just before the watch began.
                let whole =
                    AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE;
                watch = Some(Watch::on(&path, whole)?);
                continue;
            };
            if let Some(peer) = to_say.take() {
                say!("{name} is not there: read(inotify) sleeps until it is");
                let already = "a sender is there: it publishes once it has all";
                say::start_unless(presence.has(SoleRole::Sender), already, &peer);
            }
            watch.wait()?;
            say!("read(inotify) returned: an event for that name; look again");
        };
        let (incoming, reads) =
            (ReassemblyBuffer::new(stream), Commentary::of("read"));
        Ok(PublishedReceiver { file, incoming, reads, _presence: presence })
    }

    /// The next message; `false` at the end of the file.
    ///
    /// # Errors
    /// EIO; a message that is cut short or too long.
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            if self.incoming.has_ended() {
                return Ok(false);
            }
            let n = match read(&self.file, self.incoming.space()?) {
                Err(Errno::EINTR) => continue,
                result => result.context("read the file")?,
            };
            if n == 0 {
                say!("read() = 0: the end of the file");
                return self.incoming.at_end(message);
            }
            let newest = self.incoming.newest(n);
            self.reads.call(n, || format!("read() = {n}: {}", say::bytes(newest)));
        }
        Ok(true)
    }
}

/// Opens the file, if it is there; with the name `taken`, claims it under that first.
///
/// Of two receivers that rename one file, one gets ENOENT. And unlinking the name itself
/// would be a mistake: a second file may have been published since we opened the first.
fn take(path: &Path, taken: Option<&Path>) -> Result<Option<File>> {
    let name = path.display();
    // Opened before it is claimed: a file that we may not read stays where it is.
    let Some(file) = open(path)? else { return Ok(None) };
    let Some(taken) = taken else {
        say!("open({name}): it is there, and stays there");
        return Ok(Some(file));
    };
    match std::fs::rename(path, taken) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        renamed => renamed.with_context(|| format!("rename {name}"))?,
    }
    say!("rename({}, {}): now no other receiver gets it", last(path), last(taken));
    let claimed = open(taken)?
        .ok_or(Errno::ENOENT) // somebody has removed what was ours: no other will come
        .with_context(|| format!("open {}", taken.display()))?;
    std::fs::remove_file(taken)
        .with_context(|| format!("unlink {}", taken.display()))?;
    say!("open, then unlink: it has no name now, and goes when it is closed");
    Ok(Some(claimed))
}

/// The last component of a path, which the commentary has named in full before.
fn last(path: &Path) -> std::path::Display<'_> {
    path.file_name().map_or(path, Path::new).display()
}

/// Opens the file, if it is there.
fn open(path: &Path) -> Result<Option<File>> {
    if !is_there(path)? {
        return Ok(None);
    }
    match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.with_context(|| format!("open {}", path.display())).map(Some),
    }
}
// ANCHOR_END: receiver
