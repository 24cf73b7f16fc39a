//! Waiting for many descriptors: poll(2) and select(2) over numbers.
//!
//! A set that is kept from call to call outlives any borrow of the descriptors in it, so
//! these two take numbers. A number whose descriptor was closed does no harm: poll(2)
//! returns POLLNVAL, select(2) EBADF.

use std::os::fd::RawFd;
use std::time::Duration;

use nix::errno::Errno;

/// How many descriptors an `fd_set` has a bit for: FD_SETSIZE (select(2)).
pub const FD_SETSIZE: usize = libc::FD_SETSIZE;

/// An `fd_set`: a bit for each of the first [`FD_SETSIZE`] descriptors, in words of C's
/// `unsigned long`.
pub type FdSet = [libc::c_ulong; FD_SETSIZE / libc::c_ulong::BITS as usize];

const _: () = assert!(size_of::<FdSet>() == size_of::<libc::fd_set>());

/// `poll(fds, nfds, timeout)`: waits until one of `fds` has an event, or for `timeout`
/// milliseconds, or for ever if it is negative. Returns how many have one.
///
/// # Errors
/// EINTR, ENOMEM; EINVAL for more descriptors than RLIMIT_NOFILE.
pub fn poll(fds: &mut [libc::pollfd], timeout: i32) -> nix::Result<usize> {
    // SAFETY: a valid array of that many entries.
    let ready =
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    Errno::result(ready).map(|ready| ready as usize)
}

/// `select(nfds, readfds, writefds, NULL, timeout)`: waits until one of the descriptors
/// below `nfds` whose bit is set is ready, and leaves only the bits of those that are.
/// Returns how many bits that is.
///
/// # Errors
/// EBADF when one of them is not open; EINTR, ENOMEM.
///
/// # Panics
/// When `nfds` is over [`FD_SETSIZE`]: the kernel would read and write beyond both sets.
pub fn select(
    nfds: RawFd,
    reading: &mut FdSet,
    writing: &mut FdSet,
    timeout: Option<Duration>,
) -> nix::Result<usize> {
    assert!(usize::try_from(nfds).is_ok_and(|nfds| nfds <= FD_SETSIZE));
    let mut time = timeout.map(|timeout| libc::timeval {
        tv_sec: timeout.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_usec: libc::suseconds_t::from(timeout.subsec_micros()),
    });
    // SAFETY: two sets of the size of fd_set, in which select(2) looks only at the first
    // `nfds` bits, and a timeval or NULL.
    let ready = unsafe {
        libc::select(
            nfds,
            reading.as_mut_ptr().cast(),
            writing.as_mut_ptr().cast(),
            std::ptr::null_mut(),
            time.as_mut().map_or(std::ptr::null_mut(), |time| time),
        )
    };
    Errno::result(ready).map(|ready| ready as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "nfds <= FD_SETSIZE")]
    fn select_looks_at_no_bit_beyond_its_sets() {
        let mut set: FdSet = [0; FD_SETSIZE / libc::c_ulong::BITS as usize];
        let (past, now) = (FD_SETSIZE as i32 + 1, Some(Duration::ZERO));
        let _ = select(past, &mut set.clone(), &mut set, now);
    }
}
