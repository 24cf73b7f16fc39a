//! A mutex of POSIX threads that lies in shared memory, so that processes can share it:
//! pthread_mutexattr_setpshared(3), pthread_mutexattr_setrobust(3).

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::shared::Shared;

/// PTHREAD_MUTEX_ROBUST, which the crate libc does not have for Linux.
const PTHREAD_MUTEX_ROBUST: libc::c_int = 1;

/// A mutex that lies in `memory`. It is never destroyed: others may still have it.
#[derive(Debug)]
pub struct Mutex<'memory> {
    memory: &'memory Shared,
    at: usize,
}

impl Mutex<'_> {
    /// `pthread_mutex_init(mutex, attr)` at offset `at` of `memory`, with
    /// PTHREAD_PROCESS_SHARED and, if `robust`, PTHREAD_MUTEX_ROBUST.
    ///
    /// # Errors
    /// ENOTSUP where the C library has no such mutex.
    ///
    /// # Panics
    /// When `at` is not aligned for it, or it does not fit there.
    pub fn init(memory: &Shared, at: usize, robust: bool) -> nix::Result<Mutex<'_>> {
        let mutex = Mutex { memory, at };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first and destroyed last; the mutex is
        // as large and as aligned as `place` has checked.
        unsafe {
            returned(libc::pthread_mutexattr_init(attributes))?;
            let shared = libc::PTHREAD_PROCESS_SHARED;
            returned(libc::pthread_mutexattr_setpshared(attributes, shared))?;
            if robust {
                let robust = PTHREAD_MUTEX_ROBUST;
                returned(libc::pthread_mutexattr_setrobust(attributes, robust))?;
            }
            returned(libc::pthread_mutex_init(mutex.place(), attributes))?;
            returned(libc::pthread_mutexattr_destroy(attributes))?;
        }
        Ok(mutex)
    }

    /// `pthread_mutex_lock(mutex)`: sleeps while another has it.
    ///
    /// # Errors
    /// For a robust one: EOWNERDEAD when its owner has died, and then it *is* locked;
    /// ENOTRECOVERABLE when that was not mended.
    pub fn lock(&self) -> nix::Result<()> {
        // SAFETY: initialised, and mapped for as long as `memory` lives.
        returned(unsafe { libc::pthread_mutex_lock(self.place()) })
    }

    /// `pthread_mutex_unlock(mutex)`: its owner does.
    ///
    /// # Errors
    /// EPERM when a robust one is not ours.
    pub fn unlock(&self) -> nix::Result<()> {
        // SAFETY: as in `lock`.
        returned(unsafe { libc::pthread_mutex_unlock(self.place()) })
    }

    /// `pthread_mutex_consistent(mutex)`: says, after EOWNERDEAD, that what it protects
    /// is whole again.
    ///
    /// # Errors
    /// EINVAL when there is nothing to mend.
    pub fn consistent(&self) -> nix::Result<()> {
        // SAFETY: as in `lock`.
        returned(unsafe { libc::pthread_mutex_consistent(self.place()) })
    }

    fn place(&self) -> *mut libc::pthread_mutex_t {
        self.memory.place_of(self.at)
    }
}

/// These functions return the error's number, and leave errno alone.
fn returned(number: libc::c_int) -> nix::Result<()> {
    if number == 0 { Ok(()) } else { Err(Errno::from_raw(number)) }
}
