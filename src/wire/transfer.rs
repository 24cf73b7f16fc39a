//! Reading and writing that goes on: after a signal, after a part, and where O_NONBLOCK is set.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

/// read(2), which waits for something also where O_NONBLOCK is set.
///
/// # Errors
/// As read(2); EINTR is tried again.
pub fn read(from: impl AsFd, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match nix::unistd::read(&from, buffer) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => until_ready(&from, PollFlags::POLLIN)?,
            result => return result,
        }
    }
}

/// poll(2): sleeps until `fd` is ready, after a call has returned EAGAIN.
///
/// # Errors
/// ENOMEM.
pub fn until_ready(fd: impl AsFd, what: PollFlags) -> nix::Result<()> {
    match poll(&mut [PollFd::new(fd.as_fd(), what)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// write(2) until all of `bytes` is written: a pipe or socket may take a part, and where
/// O_NONBLOCK is set, nothing for now.
///
/// # Errors
/// As write(2); EINTR is tried again.
pub fn write_all(to: impl AsFd, bytes: &[u8]) -> nix::Result<()> {
    in_parts(to, bytes, |to, bytes| nix::unistd::write(to, bytes))
}

/// As [`write_all`], by send(2), which a socket takes in less time: write(2) goes through the
/// checks for all files first. EPIPE raises no SIGPIPE.
///
/// # Errors
/// As send(2); EINTR is tried again.
pub fn send_all(to: impl AsFd, bytes: &[u8]) -> nix::Result<()> {
    in_parts(to, bytes, |to, bytes| {
        send(to.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)
    })
}

#[inline]
fn in_parts<T: AsFd>(
    to: T,
    mut bytes: &[u8],
    call: impl Fn(&T, &[u8]) -> nix::Result<usize>,
) -> nix::Result<()> {
    while !bytes.is_empty() {
        match call(&to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => until_ready(&to, PollFlags::POLLOUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
