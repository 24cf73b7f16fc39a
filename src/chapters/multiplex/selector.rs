//! A selector watches many descriptors, and sleeps until some are ready.
//!
//! It has the shape of Python's `selectors`: a descriptor is registered with an interest
//! and with data that only its owner understands, a callback or a token; select returns
//! the keys of those that are ready. Ready means that the call would not wait for another
//! process. It is a hint: what read(2) returns is the truth, so descriptors are best
//! non-blocking.

use std::ops::BitOr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

// ANCHOR: selector
/// Watches descriptors, each with data of the kind `D`.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsFd;
/// use ipclab_chapters::multiplex::kind::SelectorKind;
/// use ipclab_chapters::multiplex::selector::Interest;
///
/// let (reading, mut writing) = std::io::pipe()?;
/// let mut selector = SelectorKind::Default.open::<fn() -> &'static str>()?;
/// selector.register(reading.as_fd(), Interest::READ, || "the pipe has something")?;
///
/// writing.write_all(b"hello")?;
/// let mut ready = Vec::new();
/// selector.select(None, &mut ready)?;
/// let (key, events) = ready[0];
/// assert!(events.read && (key.data)() == "the pipe has something");
/// # anyhow::Ok(())
/// ```
pub trait Selector<D: Copy> {
    /// The system call that sleeps.
    fn call(&self) -> &'static str;

    /// Watches `fd` from now on. Unregister it before it is closed.
    ///
    /// # Errors
    /// When it is watched already, or cannot be: the error says what can watch it.
    fn register(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
        data: D,
    ) -> Result<()>;

    /// Watches `fd` for something else from now on.
    ///
    /// # Errors
    /// When it is not watched.
    fn modify(&mut self, fd: BorrowedFd, interest: Interest) -> Result<()>;

    /// Watches `fd` no longer.
    ///
    /// # Errors
    /// When it is not watched.
    fn unregister(&mut self, fd: BorrowedFd) -> Result<Registered<D>>;

    /// Sleeps until a descriptor is ready, or for `timeout`, and replaces `ready` by the
    /// keys of those that are. A signal may end the sleep early, with none.
    ///
    /// # Errors
    /// ENOMEM.
    fn select(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<(Registered<D>, Events)>,
    ) -> Result<()>;
}

/// A descriptor that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered<D> {
    /// Its number.
    pub fd: RawFd,
    /// What it is watched for.
    pub interest: Interest,
    /// What it means to the code that registered it.
    pub data: D,
}

/// What a descriptor is ready for, of what it is watched for. A peer that has hung up, or an
/// error, makes it ready for all of that: the call will report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// read(2) or accept(2) would not wait for another process.
    pub read: bool,
    /// write(2) would not wait for another process.
    pub write: bool,
}
// ANCHOR_END: selector

// ANCHOR: interest
/// What a descriptor is watched for, and how often that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Until there is something to read.
    pub const READ: Interest = Interest(1);
    /// Until there is room to write.
    pub const WRITE: Interest = Interest(2);
    /// Reported for as long as it is ready: the rule, and nothing to add.
    pub const LEVEL: Interest = Interest(0);
    /// Reported when it *becomes* ready, not for as long as it is.
    pub const EDGE: Interest = Interest(4);
    /// Reported once, then not again until the next modify.
    pub const ONESHOT: Interest = Interest(8);

    /// Whether all of `other` is in it.
    pub fn has(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything of `other` is in it.
    pub fn has_any(self, other: Interest) -> bool {
        self.0 & other.0 != 0
    }
}
// ANCHOR_END: interest

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// Refuses edge and one-shot where the system call has no such thing.
///
/// # Errors
/// Which system calls have it.
pub fn level_only(call: &str, interest: Interest) -> Result<()> {
    if interest.has_any(Interest::EDGE | Interest::ONESHOT) {
        bail!(
            "{call} tells a descriptor's level alone, as often as it is asked; \
             edge and one-shot are epoll's: --with epoll"
        );
    }
    Ok(())
}

// ANCHOR: keys
/// The keys of a selector, by the number of the descriptor: the kernel gives out the
/// lowest number that is free, so the numbers make a good index.
#[derive(Debug)]
pub struct Keys<D>(Vec<Option<Registered<D>>>);

impl<D: Copy> Keys<D> {
    /// No key yet.
    pub(super) const fn new() -> Keys<D> {
        Keys(Vec::new())
    }

    /// Adds the key of `fd`, and returns its index.
    ///
    /// # Errors
    /// EEXIST, as epoll_ctl(2).
    pub fn add(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
        data: D,
    ) -> Result<usize> {
        let fd = fd.as_raw_fd();
        let index = usize::try_from(fd).context("a descriptor")?;
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        if self.0[index].is_some() {
            return Err(Errno::EEXIST).with_context(|| watch(fd));
        }
        self.0[index] = Some(Registered { fd, interest, data });
        Ok(index)
    }

    /// The key of `fd`.
    ///
    /// # Errors
    /// ENOENT, as epoll_ctl(2).
    pub fn of(&mut self, fd: BorrowedFd) -> Result<&mut Registered<D>> {
        let fd = fd.as_raw_fd();
        let key = self.0.get_mut(fd as usize).and_then(Option::as_mut);
        key.ok_or(Errno::ENOENT).with_context(|| watch(fd))
    }

    /// Takes the key of `fd` out.
    ///
    /// # Errors
    /// ENOENT, as epoll_ctl(2).
    pub fn remove(&mut self, fd: BorrowedFd) -> Result<Registered<D>> {
        let fd = fd.as_raw_fd();
        let key = self.0.get_mut(fd as usize).and_then(Option::take);
        key.ok_or(Errno::ENOENT).with_context(|| watch(fd))
    }

    /// Takes note of data that has changed, in the key of descriptor `index`.
    pub fn set_data(&mut self, index: usize, data: D) {
        if let Some(key) = self.0.get_mut(index).and_then(Option::as_mut) {
            key.data = data;
        }
    }

    /// The key at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<Registered<D>> {
        self.0.get(index).copied().flatten()
    }
}
// ANCHOR_END: keys

fn watch(fd: RawFd) -> String {
    format!("watch descriptor {fd}")
}

/// A timeout as poll(2) and epoll_wait(2) take it, rounded up: one that is rounded down to
/// 0 would make a loop spin until its time has come.
pub(super) fn milliseconds(timeout: Option<Duration>) -> i32 {
    let Some(timeout) = timeout else { return -1 };
    let rounded = timeout.as_nanos().div_ceil(1_000_000);
    i32::try_from(rounded).unwrap_or(i32::MAX)
}
