//! Calls that nix lacks, or makes with bare numbers: rustix makes them, and their errors are
//! nix's. So a file knows one `Errno`.
//!
//! Elsewhere a file calls rustix itself where a wrapper would only repeat its types: for
//! recvmsg(2) and sendmsg(2), whose descriptors nix has as bare numbers; recv(2) and send(2),
//! to which nix gives a number for the socket; epoll(7) and poll(2), whose time nix counts in
//! milliseconds; for what nix lacks, as FIONREAD, membarrier(2) and pidfd_getfd(2); and for
//! standard input, output and error as borrowed descriptors. If the file also knows nix's
//! `Errno`, it turns the error with [`nix_errno`] at the call.
//!
//! [`read`] and [`recv`] fill memory that nothing has filled before: zeros would cost as much
//! as the copy out of the kernel.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag};
use nix::sys::wait::WaitPidFlag;
use rustix::buffer::SpareCapacity;
use rustix::event::PollFd;
use rustix::net::{RecvFlags, SocketFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions};
use rustix::thread::futex::{self, Timespec};

/// The same error number, as nix has it.
pub fn nix_errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// A result of rustix, as nix has it.
fn nix<T>(result: rustix::io::Result<T>) -> nix::Result<T> {
    result.map_err(nix_errno)
}

/// `read(fd, space, size)`: appends what it reads to the vector that `space` belongs to.
///
/// # Errors
/// As read(2).
pub fn read(fd: impl AsFd, space: SpareCapacity<'_, u8>) -> nix::Result<usize> {
    nix(rustix::io::read(fd, space))
}

/// `recv(socket, space, size, flags)`: as [`read`]. With MSG_TRUNC it returns a packet's own
/// length, which may be greater than what was appended.
///
/// # Errors
/// As recv(2).
pub fn recv(
    socket: impl AsFd,
    space: SpareCapacity<'_, u8>,
    flags: MsgFlags,
) -> nix::Result<usize> {
    let flags = RecvFlags::from_bits_retain(flags.bits().cast_unsigned());
    nix(rustix::net::recv(socket, space, flags)).map(|(_, length)| length)
}

/// `accept4(listener, NULL, NULL, flags)`: a socket to a client that has connected.
///
/// # Errors
/// As accept(2).
pub fn accept4(listener: impl AsFd, flags: SockFlag) -> nix::Result<OwnedFd> {
    let flags = SocketFlags::from_bits_retain(flags.bits().cast_unsigned());
    nix(rustix::net::accept_with(listener, flags))
}

/// `accept4(listener, &address, &length, flags)`: the client's address as well, of an internet
/// socket.
///
/// # Errors
/// As accept(2).
pub fn accept4_from(
    listener: impl AsFd,
    flags: SockFlag,
) -> nix::Result<(OwnedFd, Option<SocketAddr>)> {
    let flags = SocketFlags::from_bits_retain(flags.bits().cast_unsigned());
    let (socket, address) = nix(rustix::net::acceptfrom_with(listener, flags))?;
    Ok((socket, address.and_then(|address| address.try_into().ok())))
}

/// `gnu_get_libc_version()`: the C library that runs, `glibc 2.39`; elsewhere its name.
pub fn c_library() -> String {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it returns a C string that is never changed.
        let version =
            unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        format!("glibc {}", version.to_string_lossy())
    }
    #[cfg(not(target_env = "gnu"))]
    "musl or another".to_owned()
}

/// `poll(fds, count, left)`: sleeps until a descriptor is ready, or for as long as `left`
/// says. A signal's handler ends the wait as the time does: then none may be ready.
///
/// # Errors
/// ENOMEM; EINVAL for a time that no kernel can count.
pub fn poll_until(
    fds: &mut [PollFd<'_>],
    left: Option<Duration>,
) -> nix::Result<()> {
    let left = left.map(Timespec::try_from).transpose();
    let left = left.map_err(|_| Errno::EINVAL)?;
    match nix(rustix::event::poll(fds, left.as_ref())) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// `pidfd_open(pid, 0)`: a descriptor that stands for a process.
///
/// # Errors
/// As pidfd_open(2); ESRCH for what is no pid.
pub fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    let process = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(Errno::ESRCH)?;
    nix(rustix::process::pidfd_open(process, PidfdFlags::empty()))
}

/// `waitpid(-1, &status, flags)`: a child that has ended, and how; `None` with WNOHANG when
/// none has. (nix returns EINVAL for a child that a real-time signal has ended.)
///
/// # Errors
/// ECHILD when there is no child; EINTR.
pub fn waitpid_any(flags: WaitPidFlag) -> nix::Result<Option<(i32, ExitStatus)>> {
    let options = WaitOptions::from_bits_retain(flags.bits().cast_unsigned());
    let ended = nix(rustix::process::wait(options))?;
    Ok(ended.map(|(child, status)| {
        (child.as_raw_pid(), ExitStatus::from_raw(status.as_raw()))
    }))
}

/// `futex(word, FUTEX_WAIT, value, timeout)`: sleeps until it is woken, unless the word is no
/// longer `value`. Not FUTEX_PRIVATE_FLAG: two processes have no address in common.
///
/// # Errors
/// EAGAIN when the word differs, ETIMEDOUT, EINTR; EFAULT when the memory was cut short.
#[inline]
pub fn futex_wait(
    word: &AtomicU32,
    value: u32,
    timeout: Option<Duration>,
) -> nix::Result<()> {
    let timeout = timeout.map(|time| Timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: time.subsec_nanos().into(),
    });
    nix(futex::wait(word, futex::Flags::empty(), value, timeout.as_ref()))
}

/// `futex(word, FUTEX_WAKE, count)`: wakes at most so many sleepers; returns how many.
///
/// # Errors
/// EFAULT when the memory was cut short.
#[inline]
pub fn futex_wake(word: &AtomicU32, count: u32) -> nix::Result<usize> {
    nix(futex::wake(word, futex::Flags::empty(), count))
}
