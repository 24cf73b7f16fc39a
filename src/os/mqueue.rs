//! POSIX message queues, as far as nix has no wrapper, or one that lacks something:
//! mq_open(3) of a queue that is closed again, mq_receive(3) into memory that nothing has
//! filled before, and mq_notify(3).

use std::mem::zeroed;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::ptr::null_mut;

use nix::NixPath;
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close};
use nix::sys::stat::Mode;

/// An open queue: mq_close(3) when it is dropped, which nix leaves to its user.
#[derive(Debug)]
pub struct Queue(MqdT);

impl Deref for Queue {
    type Target = MqdT;

    fn deref(&self) -> &MqdT {
        &self.0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the descriptor of this queue, which nothing uses any more.
        let _ = mq_close(unsafe { MqdT::from_raw_fd(self.0.as_raw_fd()) });
    }
}

/// `mq_open(name, flags, mode, attr)`: opens the queue, and with O_CREAT makes it, with the
/// kernel's default sizes where `attr` is `None`. (nix leaves out the mode there.)
///
/// # Errors
/// EEXIST under O_EXCL, ENOENT without O_CREAT; EMFILE also at RLIMIT_MSGQUEUE.
pub fn mq_open(
    name: &str,
    flags: MQ_OFlag,
    mode: Mode,
    attr: Option<&MqAttr>,
) -> nix::Result<Queue> {
    if attr.is_some() {
        return nix::mqueue::mq_open(name, flags, mode, attr).map(Queue);
    }
    let attr = null_mut::<libc::mq_attr>();
    let opened = name.with_nix_path(|name| {
        // SAFETY: a string that ends with a NUL, and NULL for the attributes.
        unsafe { libc::mq_open(name.as_ptr(), flags.bits(), mode.bits(), attr) }
    })?;
    // SAFETY: a descriptor of a queue that nothing else owns.
    Errno::result(opened).map(|queue| Queue(unsafe { MqdT::from_raw_fd(queue) }))
}

/// `mq_receive(queue, message, room, &priority)`: takes the oldest message of the highest
/// priority, and returns that; sleeps while there is none. It is written right into the
/// memory of `message`, of which `room` bytes are made sure.
///
/// # Errors
/// EMSGSIZE with less room than the queue's msgsize; EAGAIN under O_NONBLOCK; EINTR.
pub fn mq_receive(
    queue: &impl AsRawFd,
    message: &mut Vec<u8>,
    room: usize,
) -> nix::Result<u32> {
    message.clear();
    message.reserve(room);
    let (queue, mut priority) = (queue.as_raw_fd(), 0);
    let space = message.spare_capacity_mut();
    let (start, room) = (space.as_mut_ptr().cast(), space.len());
    // SAFETY: the kernel writes at most `room` bytes at `start`, and returns how many.
    unsafe {
        let n = libc::mq_receive(queue, start, room, &mut priority);
        message.set_len(Errno::result(n)? as usize);
    }
    Ok(priority)
}

/// `mq_notify(queue, { SIGEV_SIGNAL, signal })`: asks for `signal` when a message comes
/// into the empty queue, once.
///
/// # Errors
/// EBUSY while a process is registered, be it this one.
pub fn mq_notify(queue: impl AsFd, signal: i32) -> nix::Result<()> {
    // SAFETY: plain data, valid when it is all zeros.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let queue = queue.as_fd().as_raw_fd();
    // SAFETY: an open descriptor, and a whole sigevent that is only read.
    Errno::result(unsafe { libc::mq_notify(queue, &event) }).map(drop)
}

/// What a queue has, and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// How many messages are in it.
    pub messages: u64,
    /// How many may be.
    pub most: u64,
}

/// `mq_getattr(queue, &attributes)`: how many messages are in it, and may be.
///
/// # Errors
/// EBADF for what is no queue.
pub fn mq_fill(queue: impl AsFd) -> nix::Result<Fill> {
    // SAFETY: an open descriptor, and an out-parameter of the right type.
    let (done, about) = unsafe {
        let mut about: libc::mq_attr = zeroed();
        (libc::mq_getattr(queue.as_fd().as_raw_fd(), &mut about), about)
    };
    Errno::result(done)?;
    Ok(Fill {
        messages: about.mq_curmsgs.cast_unsigned(),
        most: about.mq_maxmsg.cast_unsigned(),
    })
}
