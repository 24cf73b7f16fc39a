//! A meeting place that a role is in, and the locks that say which roles are there.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::names::with_suffix;
use super::notes::{Notes, PENDING};
use crate::errors::Advise;
use crate::say;
use crate::transfer::write_all;
use os::cleanup::notes::beside;
use os::cleanup::{self, Guard, Object, owner_of};
use os::owner::Owner;
use os::signal::retry_on_intr;

/// A role of which a meeting place has room for one: a ring's ends, a queue's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoleRole {
    /// The sending end.
    Sender = 1,
    /// The receiving end.
    Receiver = 2,
    /// The server: its name in the file system can be bound to one socket alone.
    Server = 3,
    /// The waiter, whose name in the file system is a socket, too.
    Waiter = 4,
    /// The target, whose name in the file system says where its memory is.
    Target = 5,
    /// The reader of the target's memory.
    Reader = 6,
}

impl SoleRole {
    /// Takes the role's byte of the lock file, or names the process that has it.
    pub(super) fn take(self, file: BorrowedFd<'_>) -> Result<()> {
        let name = match self {
            SoleRole::Sender => "sender",
            SoleRole::Receiver => "receiver",
            SoleRole::Server => "server",
            SoleRole::Waiter => "waiter",
            SoleRole::Target => "target",
            SoleRole::Reader => "reader",
        };
        let mut range = byte(libc::F_WRLCK, self as i64);
        match set_lock(file, &range) {
            Ok(_) => return Ok(()),
            Err(Errno::EACCES | Errno::EAGAIN) => {}
            Err(error) => return Err(error).context("fcntl(F_SETLK) the lock file"),
        }
        retry_on_intr(|| fcntl(file, FcntlArg::F_GETLK(&mut range)))
            .context("fcntl(F_GETLK)")?;
        anyhow::bail!("the {name}'s place is taken by pid {}", range.l_pid)
    }
}

/// A meeting place entered. Dropping it leaves; the last role out removes the name.
#[derive(Debug)]
pub struct Presence {
    /// `None` where another user keeps the place.
    pub(super) guard: Option<Guard>,
    pub(super) lock_path: PathBuf,
    pub(super) alone: bool,
    pub(super) users: bool,
    pub(super) removes_at_exit: bool,
}

impl Presence {
    /// Whether no role was here: what lies here is stale, and no role comes in before
    /// [`Presence::admit_peers`], so that no peer ever sees a thing half made.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether the place is in a directory where we may not write: another user keeps it, and
    /// what is not there we cannot make.
    pub fn is_foreign(&self) -> bool {
        self.guard.is_none()
    }

    /// From now on what this role makes is removed when it leaves, even if other roles stay:
    /// without this role no peer is found there.
    #[must_use]
    pub fn removing_at_exit(mut self) -> Presence {
        self.removes_at_exit = true;
        self
    }

    /// We found `object` instead of making it. The last role out removes it all the same if it
    /// is ours.
    ///
    /// # Errors
    /// As [`Presence::remove_when_last`].
    pub fn adopt(&mut self, object: &Object) -> Result<()> {
        if self.is_ours(object)? { self.remove_when_last(object) } else { Ok(()) }
    }

    /// Whether a role of ours made `object`; a thing that the user made stays the user's.
    ///
    /// # Errors
    /// From reading the lock file.
    pub fn is_ours(&self, object: &Object) -> Result<bool> {
        Ok(!self.users || self.noted()?.contains(object))
    }

    /// The last role out removes `object`; the lock file says so, for `ipclab clean`.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn remove_when_last(&mut self, object: &Object) -> Result<()> {
        self.note_and_remove(object, self.removes_at_exit)
    }

    /// We remove `object` when we leave, even if other roles stay: no other role uses it.
    ///
    /// # Errors
    /// As [`Presence::remove_when_last`].
    pub fn remove_at_exit(&mut self, object: &Object) -> Result<()> {
        self.note_and_remove(object, true)
    }

    fn note_and_remove(&self, object: &Object, alone: bool) -> Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        match alone {
            true => guard.add_private(object),
            false => guard.add(object),
        }
        self.note(object)
    }

    /// Has the lock file say that a role of ours makes `object`.
    fn note(&self, object: &Object) -> Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        Notes::read(guard.lock(), &self.lock_path)
            .and_then(|notes| notes.add(guard.lock(), object))
            .context("write the lock file")
    }

    /// Makes `object` by `make`, as [`Presence::remove_when_last`]: no signal comes in between.
    ///
    /// # Errors
    /// As `make`; as [`Presence::remove_when_last`].
    pub fn create<T>(
        &mut self,
        object: &Object,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        // First, where all of this name is ours: not even SIGKILL comes in between.
        // But not if something is in the way, which may not be a role's.
        if !self.users && owner_of(object) == Err(Errno::ENOENT) {
            self.note(object)?;
        }
        self.create_numbered(|| Ok((make()?, object.clone())))
    }

    /// Makes by `make` a thing that has its [`Object`] from the kernel, as
    /// [`Presence::create`]: no signal comes between the making and the note.
    ///
    /// # Errors
    /// As `make`; as [`Presence::remove_when_last`].
    pub fn create_numbered<T>(
        &mut self,
        make: impl FnOnce() -> Result<(T, Object)>,
    ) -> Result<T> {
        cleanup::without_signals(|| {
            let (made, object) = make()?;
            self.remove_when_last(&object)?;
            Ok(made)
        })
    }

    /// Makes the file that is to be renamed to `path` once it is whole: so no peer reads half of
    /// it. We remove it when we leave.
    ///
    /// Only one role makes it, so a file that lies there already is what a killed role left; but
    /// not where the user's own files are.
    ///
    /// # Errors
    /// When something is in the way; as open(2).
    pub fn create_unfinished(&mut self, path: &Path) -> Result<(File, PathBuf)> {
        let unfinished = with_suffix(path, beside::UNFINISHED);
        let (name, object) =
            (unfinished.display(), Object::Path(unfinished.clone()));
        // O_EXCL: not a file that was there, nor one that a link there points to.
        let open = || {
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unfinished)
        };
        let ours = self.is_ours(&object)?;
        let file = cleanup::without_signals(|| {
            if !self.users {
                self.note(&object)?;
            }
            let file = match open() {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if !ours {
                        bail!(
                            "{name} is in the way, and may be yours: remove it, or use \
                             another --at"
                        );
                    }
                    say!("unlink({name}): a role that was killed left it");
                    std::fs::remove_file(&unfinished)
                        .with_context(|| format!("unlink {name}"))?;
                    open()
                }
                file => file,
            };
            let file = file.with_context(|| format!("open {name}"))?;
            self.remove_at_exit(&object)?;
            Ok(file)
        })?;
        Ok((file, unfinished))
    }

    /// Publishes `text` at `path`: written whole under another name, then renamed.
    ///
    /// # Errors
    /// As [`Presence::create_unfinished`]; ENOSPC and the like.
    pub fn publish(&mut self, path: &Path, text: &str) -> Result<()> {
        let (file, unfinished) = self.create_unfinished(path)?;
        let shown = path.display();
        write_all(&file, text.as_bytes())
            .with_context(|| format!("write {}", unfinished.display()))?;
        self.create(&Object::Path(path.to_owned()), || {
            std::fs::rename(&unfinished, path)
                .with_context(|| format!("rename to {shown}"))
        })
    }

    /// What is here waits for a peer, so it stays when we leave, and the lock file says so.
    /// Queues and files need none of this: the kernel knows what waits in them.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn keep_pending(&mut self) -> Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        guard.keep();
        Notes::read(guard.lock(), &self.lock_path)
            .and_then(|notes| notes.append(guard.lock(), PENDING))
            .context("write the lock file")
    }

    /// The last role out removes a queue in which nothing but a goodbye waits: a role says so
    /// once a receiver of ours has been here, and left before it took the goodbye.
    pub fn discard_goodbye(&mut self) {
        if let Some(guard) = &self.guard {
            guard.discard_goodbye();
        }
    }

    /// Whether another process plays `role` here just now.
    pub fn has(&self, role: SoleRole) -> bool {
        self.is_held(role as i64)
    }

    /// Whether any other role of ours is here just now.
    pub fn has_peers(&self) -> bool {
        self.is_held(0)
    }

    /// Whether another process holds this byte of the lock file, alone or shared.
    fn is_held(&self, presence: i64) -> bool {
        let mut range = byte(libc::F_WRLCK, presence);
        self.guard.as_ref().is_some_and(|guard| {
            retry_on_intr(|| fcntl(guard.lock(), FcntlArg::F_GETLK(&mut range)))
                .is_ok()
                && range.l_type != libc::F_UNLCK as libc::c_short
        })
    }

    /// What roles of ours have made here, those that were killed as well.
    ///
    /// # Errors
    /// EIO and the like, from reading the lock file.
    pub fn noted(&self) -> Result<Vec<Object>> {
        let Some(guard) = &self.guard else { return Ok(Vec::new()) };
        let notes = Notes::read(guard.lock(), &self.lock_path);
        Ok(notes.context("read the lock file")?.objects())
    }

    /// Lets peers in, once what they will find is whole.
    ///
    /// As fcntl(2).
    /// What fcntl(2) says.
    pub fn admit_peers(&mut self) -> Result<()> {
        if let (true, Some(guard)) = (self.alone, &self.guard) {
            // Atomic, unlike the change from exclusive to shared in flock(2).
            let range = byte(libc::F_RDLCK, 0);
            set_lock(guard.lock(), &range)
                .context("fcntl(F_SETLK) the lock file")?;
            self.alone = false;
        }
        Ok(())
    }
}

/// What came of opening a lock file.
pub(super) enum Opened {
    /// Its first byte is ours: alone if no other role is here, else shared.
    Ours { file: File, alone: bool },
    /// Another role makes the object, or removes it, just now.
    Busy,
    /// It is in a directory where we may not write: another user keeps the place.
    Foreign,
}

/// How every lock file is opened: what is there may be a link, a FIFO or a terminal, and opening
/// it must have no effect.
pub(super) fn lock_options() -> OpenOptions {
    let mut options = File::options();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    options.read(true).custom_flags(flags);
    options
}

/// Why an open file is no lock file of ours, if it is none.
pub(super) fn why_no_lock(file: &File) -> Result<Option<String>> {
    let about = file.metadata().context("fstat the lock file")?;
    if !about.is_file() {
        return Ok(Some("is no regular file".into()));
    }
    if about.nlink() > 1 {
        return Ok(Some("has a second name (a hard link)".into()));
    }
    let owner = Owner::of_open(file).context("fstat the lock file")?;
    Ok(owner.why_not_ours())
}

/// Opens the lock file, and tries to get its first byte. Does not sleep.
pub(super) fn open_lock(path: &Path, users: bool) -> Result<Opened> {
    let opened = lock_options()
        .append(true) // so that the notes of two roles never overwrite each other
        .create(true)
        .mode(0o600)
        .open(path);
    let shown = path.display();
    let file = match opened {
        Ok(file) => file,
        Err(error) if users && may_not_write(&error) => return Ok(Opened::Foreign),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("open {shown}"))
                .advise(|e| why_not(e, path));
        }
    };
    if users && !Owner::of_open(&file).context("fstat the lock file")?.is_us() {
        return Ok(Opened::Foreign);
    }
    if let Some(why) = why_no_lock(&file)? {
        bail!("the lock file {shown} {why}; use --at NAME for another place");
    }
    let alone = take(&file, libc::F_WRLCK, path)?;
    let held = alone || take(&file, libc::F_RDLCK, path)?;
    // The last role out may have unlinked the file between our open and our lock.
    if !held || !same_file(&file, path) {
        return Ok(Opened::Busy);
    }
    let gives_up = || {
        let _ = std::fs::remove_file(path);
    };
    let notes = Notes::read(file.as_fd(), path)
        .inspect_err(|_| {
            // Ours alone, and nothing in it: we have just made it.
            if alone && file.metadata().is_ok_and(|about| about.len() == 0) {
                gives_up();
            }
        })
        .context("read the lock file")?;
    if !notes.are_ours() {
        bail!("{shown} is no lock file of ours; use --at NAME for another place");
    }
    if alone && notes.is_empty() {
        notes
            .append(file.as_fd(), super::notes::OURS)
            .inspect_err(|_| gives_up())
            .with_context(|| format!("write {shown}"))
            .advise(|e| why_not(e, path))?;
    }
    Ok(Opened::Ours { file, alone })
}

/// Takes or frees a lock of fcntl(2); does not wait.
fn set_lock(file: impl AsFd, range: &libc::flock) -> nix::Result<()> {
    retry_on_intr(|| fcntl(&file, FcntlArg::F_SETLK(range))).map(drop)
}

/// Tries to take the first byte of a lock file.
pub(super) fn take(file: &File, kind: i32, path: &Path) -> Result<bool> {
    match set_lock(file, &byte(kind, 0)) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("fcntl(F_SETLK) {}", path.display()))
        }
    }
}

/// Sleeps until no role holds the place alone; a role that does, does not do so for long.
pub(super) fn wait_for_turn(path: &Path) -> Result<()> {
    let Ok(file) = lock_options().open(path) else { return Ok(()) };
    let shared = byte(libc::F_RDLCK, 0);
    retry_on_intr(|| fcntl(&file, FcntlArg::F_SETLKW(&shared)))
        .map(drop)
        .with_context(|| format!("fcntl(F_SETLKW) {}", path.display()))
}

pub(super) fn same_file(file: &File, path: &Path) -> bool {
    match (Owner::of_open(file), Owner::at(path)) {
        (Ok(ours), Ok(there)) => ours.is_same(&there),
        _ => false,
    }
}

/// One byte of a lock file, as fcntl(2) wants it.
pub fn byte(kind: i32, start: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    }
}

/// Whether the rendezvous is another user's: then it is for that user to keep.
fn may_not_write(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

fn why_not(error: &anyhow::Error, path: &Path) -> Option<String> {
    let dir = path.parent().unwrap_or(Path::new("/")).display();
    match crate::errors::errno(error)? {
        Errno::ENOENT => Some(format!("make the directory {dir} first")),
        Errno::ELOOP => Some(format!("{} is a link: remove it", path.display())),
        Errno::ENOSPC => {
            Some(format!("no space below {dir}: free some, or set IPCLAB_DIR"))
        }
        _ => None,
    }
}
