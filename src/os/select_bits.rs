//! select(2) with a set of any length: the kernel has no FD_SETSIZE.

use std::ptr::null_mut;

use nix::errno::Errno;

/// How many descriptors one word of a set stands for.
pub const PER_WORD: usize = libc::c_ulong::BITS as usize;

/// `select(nfds, reading, NULL, NULL, {0, 0})`, where nfds is the number of bits in
/// `reading`: leaves only the bits of those that are readable now, and returns how many.
///
/// # Errors
/// EBADF when one of them is not open.
pub fn select(reading: &mut [libc::c_ulong]) -> nix::Result<usize> {
    let nfds = i32::try_from(reading.len() * PER_WORD).map_err(|_| Errno::EINVAL)?;
    let mut now = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the set has a bit for each descriptor below `nfds`, and the kernel touches no
    // other; glibc passes the pointer on and looks at nothing.
    let ready = unsafe {
        let set = reading.as_mut_ptr().cast();
        libc::select(nfds, set, null_mut(), null_mut(), &mut now)
    };
    Errno::result(ready).map(|ready| ready as usize)
}
