//! System V shared memory: shmget(2), shmat(2), shmctl(2).

use std::mem::zeroed;
use std::ptr::null;

use nix::errno::Errno;

use super::shared::{Mapping, Shared};

/// `shmget(key, size, flags)`: the identifier of the segment with this key. With
/// IPC_CREAT it is made, all zero.
///
/// # Errors
/// ENOENT when there is none, EEXIST with IPC_EXCL when there is one, EINVAL when it is
/// smaller than `size` or `size` is over SHMMAX, ENOSPC at the limit of segments.
pub fn shmget(key: i32, size: usize, flags: i32) -> nix::Result<i32> {
    // SAFETY: takes plain numbers.
    Errno::result(unsafe { libc::shmget(key, size, flags) })
}

/// `shmat(id, NULL, 0)`: maps the whole segment, where the kernel likes.
///
/// # Errors
/// EIDRM or EINVAL when it has been removed, EACCES when it is another user's.
pub fn shmat(id: i32) -> nix::Result<Shared> {
    // SAFETY: a new mapping at an address of the kernel's choice replaces no other.
    let start = unsafe { libc::shmat(id, null(), 0) };
    if start.addr() == usize::MAX {
        return Err(Errno::last());
    }
    let mut attached = Attached { start: start.cast(), length: 0 };
    // While it is attached no other segment gets the identifier: asked before, the length could be
    // an earlier segment's.
    // SAFETY: an out-parameter of the right type.
    attached.length = unsafe {
        let mut about: libc::shmid_ds = zeroed();
        Errno::result(libc::shmctl(id, libc::IPC_STAT, &mut about))?;
        about.shm_segsz
    };
    Ok(Shared::new(attached))
}

/// `shmctl(id, IPC_RMID, NULL)`: the segment goes once the last process has detached it.
///
/// # Errors
/// EPERM when it is another user's; EIDRM, EINVAL when there is none (any more).
pub fn shmctl_rmid(id: i32) -> nix::Result<()> {
    // SAFETY: IPC_RMID ignores the pointer.
    let done = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    Errno::result(done).map(drop)
}

/// What [`shmat`] attached.
struct Attached {
    start: *mut u8,
    length: usize,
}

// SAFETY: shmat(2) returned it, without SHM_RDONLY, and only `drop` detaches it. A System V
// segment's size never changes.
unsafe impl Mapping for Attached {
    fn start(&self) -> *mut u8 {
        self.start
    }

    fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: exactly what shmat(2) returned, and no pointer into it is left.
        unsafe { libc::shmdt(self.start.cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_the_length_that_is_attached() {
        for length in [1, 4096, 10_000] {
            let id = shmget(libc::IPC_PRIVATE, length, 0o600).unwrap();
            let memory = shmat(id).unwrap();
            shmctl_rmid(id).unwrap();
            assert_eq!(memory.length(), length);
            memory.write(length - 1, b"x");
            drop(memory);
            assert!(shmat(id).is_err(), "it has gone with the last");
        }
    }
}
