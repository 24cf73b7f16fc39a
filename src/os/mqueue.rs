//! POSIX message queues, as far as nix has no wrapper: mq_notify(3), and mq_receive(3) into
//! memory that nothing has filled before.

use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

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
    // SAFETY: the kernel writes at most `room` bytes at `start`, and says how many it wrote.
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
