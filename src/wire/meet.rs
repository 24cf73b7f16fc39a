//! How two processes find each other, and which of them clears the place when they leave.
//!
//! Two processes that were not forked from one parent can only meet at a name. Names live in one
//! directory of the user's own, or in the kernel's name space for queues and shared memory.
//! Beside each name lies `NAME.lock`. Each role shares a lock on its first byte for as long as
//! it lives; a role that can have that byte alone is the first one in, or the last one out, and
//! the last one out removes the name. The kernel frees the lock of a process that was killed, so
//! the next start sees that what it finds is stale. Strangers (`cat`, a Python script) hold no
//! lock.
//!
//! The locks are the traditional ones of fcntl(2). Their one vice, that closing any descriptor
//! of the file drops them, does not hurt a file that is opened once. They have two virtues:
//! F_GETLK reports the owner's pid; and when a process dies the kernel frees them before it
//! closes any pipe or socket, so a process that reads the end of a killed peer's stream finds
//! the peer's lock free. Locks of an open file description, and flock(2)'s, are freed in no such
//! order.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, fcntl};

use crate::errors::Advise;
use crate::transfer::write_all;
use os::cleanup;
use os::cleanup::notes::beside;
use os::owner::Owner;
use os::signal::retry_on_intr;

mod kind;
mod names;
mod notes;
mod outside;
mod presence;

pub use kind::{FileKind, is_taken};
pub use names::{
    check_dir, kernel_prefix, kernel_prefix_of, key_of, program, quoted,
    runtime_dir, with_suffix,
};
use names::{check_name, chosen_dir, make_runtime_dir};
pub use notes::{Notes, describe, parse};
pub use outside::{Deserted, PlaceState, published};
use presence::{Opened, lock_options, open_lock, wait_for_turn};
pub use presence::{Presence, SoleRole, byte};

/// Where the two roles of a chapter meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// At a path: `--at NAME` in the runtime directory, `--at DIR/NAME` anywhere.
    Path,
    /// At a name that only the kernel knows: `/NAME`.
    Kernel,
    /// At a network address; the runtime directory holds only its notes.
    Address,
    /// Nowhere: the two are parent and child, or a shell made the link.
    Nowhere,
    /// In a world of ranks, which a launcher (`mpiexec`) has started together.
    World,
}

impl Meets {
    /// Whether the roles find each other by a name, which `--at` can change.
    pub fn by_name(self) -> bool {
        !matches!(self, Meets::Nowhere | Meets::World)
    }
}

/// A command as another terminal must type it to come to the same directory.
pub(crate) fn in_this_dir(command: &str) -> String {
    match chosen_dir() {
        Some(dir) => {
            format!("IPCLAB_DIR={} {command}", quoted(&dir.to_string_lossy()))
        }
        None => command.to_owned(),
    }
}

/// How a role is started.
#[derive(Debug, Clone)]
struct Peer {
    role: &'static str,
    command: String,
    /// The message that it is given: without one, it would wait for the user to type one.
    message: Option<&'static str>,
}

/// One meeting place, as the command line named it.
#[derive(Debug, Clone)]
pub struct Rendezvous {
    chapter: &'static str,
    meets: Meets,
    given: Option<String>,
    dir: PathBuf,
    /// The descriptor of `--ready-fd`, until the line is written.
    ready: Arc<Mutex<Option<OwnedFd>>>,
    peers: Vec<Peer>,
}

impl Rendezvous {
    /// The meeting place of `chapter`; `given` is what `--at` said.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn new(
        chapter: &'static str,
        meets: Meets,
        given: Option<String>,
    ) -> Result<Rendezvous> {
        if let Some(name) = &given {
            check_name(meets, name)?;
        }
        let dir = runtime_dir();
        let ready = Arc::default();
        Ok(Rendezvous { chapter, meets, given, dir, ready, peers: Vec::new() })
    }

    /// Gives it the descriptor that gets one line once peers may come (`--ready-fd`).
    #[must_use]
    pub fn announcing(mut self, ready: Option<OwnedFd>) -> Rendezvous {
        self.ready = Arc::new(Mutex::new(ready));
        self
    }

    /// Adds the exact command that starts the role `role` at this place, and the message that it
    /// is then given.
    #[must_use]
    pub fn with_peer(
        mut self,
        role: &'static str,
        command: String,
        message: Option<&'static str>,
    ) -> Rendezvous {
        self.peers.push(Peer { role, command, message });
        self
    }

    /// The exact command that starts the peer, with `IPCLAB_DIR=…` in front where the
    /// other terminal would not find the place by itself.
    pub fn peer(&self, role: &str) -> String {
        self.peer_with(role, "")
    }

    /// As [`Rendezvous::peer`], with more `options`, each with a blank before it.
    pub fn peer_with(&self, role: &str, options: &str) -> String {
        let peer = self.peers.iter().find(|peer| peer.role == role);
        let Some(Peer { command, message, .. }) = peer else {
            panic!("{}: no peer command for {role}", self.chapter)
        };
        let message = message.map_or(String::new(), |message| format!(" {message}"));
        in_this_dir(&format!("{command}{options}{message}"))
    }

    /// The command that removes even what waits for a peer here.
    pub fn clean_pending(&self) -> String {
        in_this_dir(&format!("{} clean --pending", program()))
    }

    /// Whether the runtime directory is one that the caller chose, by `IPCLAB_DIR`.
    pub fn is_private(&self) -> bool {
        chosen_dir().is_some()
    }

    /// The path of a chapter that meets at one, or of the notes that lie beside an
    /// address.
    pub fn path(&self) -> PathBuf {
        match &self.given {
            Some(name) if self.meets == Meets::Path && name.contains('/') => {
                PathBuf::from(name)
            }
            Some(name) if self.meets != Meets::Address => self.dir.join(name),
            _ => self.dir.join(self.chapter),
        }
    }

    /// What `--at` said, as it was said.
    pub fn given(&self) -> Option<&str> {
        self.given.as_deref()
    }

    /// Whether the path is one that the user chose outside the runtime directory.
    pub fn is_users_path(&self) -> bool {
        self.meets == Meets::Path && self.is_users_name()
    }

    /// Whether the name may be one that other programs use too: a path of the user's,
    /// or a kernel name that `--at` gave. What is found there is not ours to remove.
    pub fn is_users_name(&self) -> bool {
        self.given.as_ref().is_some_and(|name| match self.meets {
            Meets::Path => name.contains('/'),
            Meets::Kernel => true,
            Meets::Address | Meets::Nowhere | Meets::World => false,
        })
    }

    /// The name of a kernel object: `/ipclab-UID-CHAPTER`, or what `--at` said.
    pub fn kernel_name(&self) -> String {
        match &self.given {
            Some(name) => format!("/{}", name.trim_start_matches('/')),
            None => format!("{}{}", kernel_prefix(), self.chapter),
        }
    }

    /// The key of a System V object: the 31-bit FNV-1a hash of the kernel name, never 0.
    ///
    /// ftok(3) keeps only 16 bits of the inode and 8 of the device, so it collides.
    pub fn key(&self) -> i32 {
        key_of(&self.kernel_name())
    }

    /// Says that peers may come, on the descriptor of `--ready-fd`, and closes that.
    ///
    /// # Errors
    /// As write(2).
    pub fn ready(&self, address: impl std::fmt::Display) -> Result<()> {
        let fd = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(fd) = fd else { return Ok(()) };
        // One write(2): the reader may leave once it has read something.
        let line = format!("{address}\n");
        write_all(&fd, line.as_bytes()).context("write --ready-fd")
    }

    /// Refuses an object that has our default name and is not ours: other users can guess that
    /// name, and make an object of it before us. The user answers for a name that the user gave.
    ///
    /// # Errors
    /// When `name` is another user's, or when other users may write to it.
    pub fn must_be_ours(
        &self,
        name: impl std::fmt::Display,
        owner: &Owner,
    ) -> Result<()> {
        match owner.why_not_ours().filter(|_| !self.is_users_name()) {
            None => Ok(()),
            Some(why) => Err(anyhow::anyhow!("{name} {why}"))
                .advise(|_| Some("use --at NAME for one of your own")),
        }
    }

    /// Opens by `open`, which gives no descriptor to ask, the object that has our default name
    /// at `path`. If the object there is ours both before and after, it was opened: in a sticky
    /// directory no other user can take it away.
    ///
    /// # Errors
    /// As [`Rendezvous::must_be_ours`].
    pub fn opens_ours<T, E>(
        &self,
        path: &Path,
        open: impl Fn() -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        loop {
            let before = Owner::at(path).ok();
            if let Some(before) = &before {
                self.must_be_ours(path.display(), before)?;
            }
            let opened = open();
            let after = Owner::at(path).ok();
            let same = before.zip(after).is_some_and(|(a, b)| a.is_same(&b));
            if same || opened.is_err() || self.is_users_name() {
                return Ok(opened);
            }
        }
    }

    /// The place of an object that an option of the chapter's own names, as if `--at`
    /// had said `name`.
    #[must_use]
    pub fn named(&self, name: String) -> Rendezvous {
        Rendezvous { given: Some(name), ..self.clone() }
    }

    /// From now on the peers' commands say `words` where they said `instead_of`.
    #[must_use]
    pub fn saying(mut self, words: &str, instead_of: &str) -> Rendezvous {
        for peer in &mut self.peers {
            peer.command = peer.command.replace(instead_of, words);
        }
        self
    }

    /// Makes the runtime directory if it is needed and missing.
    ///
    /// # Errors
    /// When it is a link, another user's, or open to others' writing.
    pub fn make_dir(&self) -> Result<()> {
        if self.is_users_path() { Ok(()) } else { make_runtime_dir(&self.dir) }
    }

    /// The lock file of this place.
    pub fn lock_path(&self) -> PathBuf {
        let name = match (self.meets, &self.given) {
            (Meets::Kernel, Some(name)) => {
                let name = name.trim_start_matches('/');
                self.dir.join(format!("{}:{name}", self.chapter))
            }
            _ => self.path(),
        };
        with_suffix(&name, beside::LOCK)
    }

    /// Whether a role of ours is in the place now; if none is, what lies here is stale. A role
    /// that is still alone in it has yet to make things whole, and does not count. For processes
    /// outside alone: a process that closes a file gives up its locks on it, so a role that is
    /// in the place asks [`Presence::has_peers`].
    ///
    /// # Errors
    /// As open(2) and fcntl(2), but a missing lock file is no error.
    pub fn is_in_use(&self) -> Result<bool> {
        let path = self.lock_path();
        let lock = match lock_options().open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            lock => lock.with_context(|| format!("open {}", path.display()))?,
        };
        let mut range = byte(libc::F_WRLCK, 0);
        retry_on_intr(|| fcntl(&lock, FcntlArg::F_GETLK(&mut range)))
            .with_context(|| format!("fcntl(F_GETLK) {}", path.display()))?;
        Ok(range.l_type == libc::F_RDLCK as libc::c_short)
    }

    /// Enters the place, and stays in it until the [`Presence`] is dropped. `role` is a
    /// role of which there can be only one at a time, if it is such a role.
    ///
    /// # Errors
    /// "taken by pid N" when that role is there already.
    pub fn arrive(&self, role: Option<SoleRole>) -> Result<Presence> {
        loop {
            match self.try_arrive(role)? {
                Some(presence) => return Ok(presence),
                None => self.wait_for_turn()?,
            }
        }
    }

    /// As [`Rendezvous::arrive`], but never sleeps, so that a caller may hold off signals
    /// meanwhile; `None` while another role is alone there and makes things whole.
    ///
    /// # Errors
    /// As [`Rendezvous::arrive`].
    pub fn try_arrive(&self, role: Option<SoleRole>) -> Result<Option<Presence>> {
        self.make_dir()?;
        // A signal between making the lock file and guarding it would leave it there.
        cleanup::without_signals(|| self.enter(&self.lock_path(), role))
    }

    /// Sleeps until no role is alone in the place. No signal may be held off: the role that is
    /// there may have been stopped.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn wait_for_turn(&self) -> Result<()> {
        wait_for_turn(&self.lock_path())
    }

    fn enter(
        &self,
        path: &Path,
        role: Option<SoleRole>,
    ) -> Result<Option<Presence>> {
        let mut presence = Presence {
            guard: None,
            lock_path: path.to_owned(),
            alone: false,
            users: self.is_users_name(),
            removes_at_exit: false,
        };
        let file = match open_lock(path, self.is_users_path())? {
            Opened::Ours { file, alone } => {
                presence.alone = alone;
                file
            }
            Opened::Busy => return Ok(None),
            Opened::Foreign => return Ok(Some(presence)),
        };
        // Whatever comes now, the last role out clears the place.
        let guard = cleanup::guard(OwnedFd::from(file), path, &kernel_prefix());
        if let Some(role) = role {
            role.take(guard.lock()).advise(|_| self.elsewhere())?;
        }
        presence.guard = Some(guard);
        Ok(Some(presence))
    }

    fn elsewhere(&self) -> Option<&'static str> {
        Some("use --at NAME for a meeting place of your own")
    }
}
