//! A meeting place that a role is in, and the locks that say who is there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;

use super::notes::{PENDING, note, notes};
use crate::errors::Advise;
use crate::os::cleanup::{self, Guard, Object};

/// A role of which a meeting place has room for one: a ring's ends, a queue's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The sending end.
    Sender = 1,
    /// The receiving end.
    Receiver = 2,
    /// The server: its name in the file system can be bound to one socket alone.
    Server = 3,
}

impl Only {
    /// Takes the role's byte of the lock file, or says who has it.
    pub(super) fn take(self, file: &File) -> Result<()> {
        let name = match self {
            Only::Sender => "sender",
            Only::Receiver => "receiver",
            Only::Server => "server",
        };
        let mut range = byte(libc::F_WRLCK, self as i64);
        match fcntl(file, FcntlArg::F_SETLK(&range)) {
            Ok(_) => return Ok(()),
            Err(Errno::EACCES | Errno::EAGAIN) => {}
            Err(error) => return Err(error).context("fcntl(F_SETLK) the lock file"),
        }
        fcntl(file, FcntlArg::F_GETLK(&mut range)).context("fcntl(F_GETLK)")?;
        anyhow::bail!("the {name}'s place is taken by pid {}", range.l_pid)
    }
}

/// A meeting place entered. Dropping it leaves; the last role out removes the name.
#[derive(Debug)]
pub struct Place {
    pub(super) guard: Option<Guard>,
    pub(super) lock: Option<File>,
    pub(super) alone: bool,
    pub(super) users: bool,
}

impl Place {
    /// Whether nobody was here: what lies here is stale, and nobody comes in before
    /// [`Place::open_to_all`], so that no peer ever sees a thing half made.
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// Whether the place is in a directory where we may not write: others keep it, and
    /// what is not there we cannot make.
    pub fn is_foreign(&self) -> bool {
        self.lock.is_none()
    }

    /// We found `object` instead of making it. The last one out removes it all the same
    /// if it is ours.
    ///
    /// # Errors
    /// As [`Place::owns`].
    pub fn found(&mut self, object: &Object) -> Result<()> {
        if self.is_ours(object)? { self.owns(object) } else { Ok(()) }
    }

    /// Whether a role of ours made `object`; a thing that the user made stays the user's.
    ///
    /// # Errors
    /// From reading the lock file.
    pub fn is_ours(&self, object: &Object) -> Result<bool> {
        Ok(!self.users || self.noted()?.contains(object))
    }

    /// The last one out removes `object`; the lock file says so, for `ipclab clean`.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn owns(&mut self, object: &Object) -> Result<()> {
        if let (Some(guard), Some(lock)) = (&mut self.guard, &self.lock) {
            guard.add(object);
            note(lock, object).context("write the lock file")?;
        }
        Ok(())
    }

    /// Makes `object` by `make`, as [`Place::owns`]: no signal comes between the two.
    ///
    /// # Errors
    /// What `make` says; as [`Place::owns`].
    pub fn makes<T>(
        &mut self,
        object: &Object,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        cleanup::without_signals(|| {
            let made = make()?;
            self.owns(object)?;
            Ok(made)
        })
    }

    /// Makes by `make` a thing that has its [`Object`] from the kernel, as
    /// [`Place::makes`]: no signal comes between the making and the note.
    ///
    /// # Errors
    /// What `make` says; as [`Place::owns`].
    pub fn makes_new<T>(
        &mut self,
        make: impl FnOnce() -> Result<(T, Object)>,
    ) -> Result<T> {
        cleanup::without_signals(|| {
            let (made, object) = make()?;
            self.owns(&object)?;
            Ok(made)
        })
    }

    /// What is here waits for someone, so it stays when we leave, and the lock file says
    /// so. Queues and files need none of this: the kernel knows what waits in them.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn keep(&mut self) -> Result<()> {
        if let (Some(guard), Some(mut lock)) = (&mut self.guard, self.lock.as_ref())
        {
            guard.keep();
            lock.write_all(PENDING.as_bytes()).context("write the lock file")?;
        }
        Ok(())
    }

    /// We remove `object` when we leave, whoever stays: nobody else uses it.
    ///
    /// # Errors
    /// As [`Place::owns`].
    pub fn owns_alone(&mut self, object: &Object) -> Result<()> {
        if let (Some(guard), Some(lock)) = (&mut self.guard, &self.lock) {
            guard.add_private(object);
            note(lock, object).context("write the lock file")?;
        }
        Ok(())
    }

    /// A queue in which nothing but a goodbye waits goes with the last one out: a role
    /// says so once a receiver of ours has been here, which left before it heard it.
    pub fn lose_goodbye(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.lose_goodbye();
        }
    }

    /// Whether another process plays `role` here just now.
    pub fn has(&self, role: Only) -> bool {
        self.is_held(role as i64)
    }

    /// Whether any other role of ours is here just now.
    pub fn has_company(&self) -> bool {
        self.is_held(0)
    }

    /// Whether another process holds this byte of the lock file, alone or shared.
    fn is_held(&self, place: i64) -> bool {
        let mut range = byte(libc::F_WRLCK, place);
        self.lock.as_ref().is_some_and(|lock| {
            fcntl(lock, FcntlArg::F_GETLK(&mut range)).is_ok()
                && range.l_type != libc::F_UNLCK as libc::c_short
        })
    }

    /// What roles of ours have made here, those that were killed as well.
    ///
    /// # Errors
    /// EIO and the like, from reading the lock file.
    pub fn noted(&self) -> Result<Vec<Object>> {
        let Some(lock) = &self.lock else { return Ok(Vec::new()) };
        notes(lock).context("read the lock file")
    }

    /// Lets peers in, once what they will find is whole.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn open_to_all(&mut self) -> Result<()> {
        if let (true, Some(lock)) = (self.alone, &self.lock) {
            // Atomic, unlike the change from exclusive to shared in flock(2).
            let range = byte(libc::F_RDLCK, 0);
            fcntl(lock, FcntlArg::F_SETLK(&range))
                .context("fcntl(F_SETLK) the lock file")?;
            self.alone = false;
        }
        Ok(())
    }
}

/// What came of opening a lock file.
pub(super) enum Opened {
    /// Its first byte is ours: alone if nobody is here, else shared.
    Ours { file: File, alone: bool },
    /// Somebody makes the thing, or removes it, just now.
    Busy,
    /// It is in a directory where we may not write: someone else keeps the place.
    Foreign,
}

/// Opens the lock file, and tries to get its first byte. Does not sleep.
pub(super) fn open_lock(path: &Path, users: bool) -> Result<Opened> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true) // so that the notes of two roles never overwrite each other
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if users && may_not_write(&error) => return Ok(Opened::Foreign),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("open {}", path.display()))
                .advise(|e| why_not(e, path));
        }
    };
    let about = file.metadata().context("fstat the lock file")?;
    if about.uid() != geteuid().as_raw() {
        if users {
            return Ok(Opened::Foreign);
        }
        anyhow::bail!("{} belongs to uid {}", path.display(), about.uid());
    }
    let take = |kind| match fcntl(&file, FcntlArg::F_SETLK(&byte(kind, 0))) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("fcntl(F_SETLK) {}", path.display()))
        }
    };
    let alone = take(libc::F_WRLCK)?;
    let held = alone || take(libc::F_RDLCK)?;
    // The last one out may have unlinked the file between our open and our lock.
    if held && same_file(&file, path) {
        return Ok(Opened::Ours { file, alone });
    }
    Ok(Opened::Busy)
}

/// Sleeps until nobody holds the place alone; whoever does, does not do so for long.
pub(super) fn wait_for_turn(path: &Path) -> Result<()> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    loop {
        match fcntl(&file, FcntlArg::F_SETLKW(&byte(libc::F_RDLCK, 0))) {
            Err(Errno::EINTR) => {}
            result => {
                let what = || format!("fcntl(F_SETLKW) {}", path.display());
                return result.map(drop).with_context(what);
            }
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => {
            (ours.dev(), ours.ino()) == (there.dev(), there.ino())
        }
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

/// Whether the place is someone else's: then it is for him to keep.
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
