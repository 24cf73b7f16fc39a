//! A mutex of POSIX threads that lies in shared memory, so that processes can share it:
//! pthread_mutexattr_setpshared(3), pthread_mutexattr_setrobust(3).

use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

use nix::errno::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// PTHREAD_MUTEX_ROBUST, which the crate libc does not have for Linux.
const PTHREAD_MUTEX_ROBUST: libc::c_int = 1;

/// A mutex in a page of its own, which the children that fork(2) makes share. The page is
/// ours alone, so nothing but these functions ever writes there; and it is never unmapped,
/// since the kernel follows the list of the robust ones that a thread has locked, to its end.
#[derive(Debug)]
pub struct Mutex {
    address: NonNull<libc::pthread_mutex_t>,
}

impl Mutex {
    /// `pthread_mutex_init(mutex, attr)`, with PTHREAD_PROCESS_SHARED and, if `robust`,
    /// PTHREAD_MUTEX_ROBUST.
    ///
    /// # Errors
    /// ENOTSUP where the C library has no such mutex; ENOMEM.
    pub fn init(robust: bool) -> nix::Result<Mutex> {
        let size = size_of::<libc::pthread_mutex_t>();
        let both = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces no other.
        let page =
            unsafe { mmap_anonymous(null_mut(), size, both, MapFlags::SHARED) };
        let page = page.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
        let address = NonNull::new(page.cast()).expect("a mapping is never at 0");
        let mutex = Mutex { address };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first and destroyed last; the mutex lies at
        // the beginning of a page of ours.
        unsafe {
            returned(libc::pthread_mutexattr_init(attributes))?;
            let shared = libc::PTHREAD_PROCESS_SHARED;
            returned(libc::pthread_mutexattr_setpshared(attributes, shared))?;
            if robust {
                let robust = PTHREAD_MUTEX_ROBUST;
                returned(libc::pthread_mutexattr_setrobust(attributes, robust))?;
            }
            returned(libc::pthread_mutex_init(mutex.address(), attributes))?;
            returned(libc::pthread_mutexattr_destroy(attributes))?;
        }
        Ok(mutex)
    }

    /// `pthread_mutex_lock(mutex)`: sleeps while another thread has it.
    ///
    /// # Errors
    /// For a robust one: EOWNERDEAD when its owner has died, and then it *is* locked;
    /// ENOTRECOVERABLE when that was not made consistent.
    pub fn lock(&self) -> nix::Result<()> {
        // SAFETY: initialised, and mapped for good.
        returned(unsafe { libc::pthread_mutex_lock(self.address()) })
    }

    /// `pthread_mutex_unlock(mutex)`: its owner does.
    ///
    /// # Errors
    /// EPERM when a robust one is not ours.
    pub fn unlock(&self) -> nix::Result<()> {
        // SAFETY: as in `lock`.
        returned(unsafe { libc::pthread_mutex_unlock(self.address()) })
    }

    /// `pthread_mutex_consistent(mutex)`: notes, after EOWNERDEAD, that what it protects
    /// is whole again.
    ///
    /// # Errors
    /// EINVAL when there is nothing to make consistent.
    pub fn consistent(&self) -> nix::Result<()> {
        // SAFETY: as in `lock`.
        returned(unsafe { libc::pthread_mutex_consistent(self.address()) })
    }

    fn address(&self) -> *mut libc::pthread_mutex_t {
        self.address.as_ptr()
    }
}

/// These functions return the error's number, and leave errno alone.
fn returned(number: libc::c_int) -> nix::Result<()> {
    if number == 0 { Ok(()) } else { Err(Errno::from_raw(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robust_mutex_tells_that_its_owner_has_died() {
        let mutex = Mutex::init(true).unwrap();
        let address = mutex.address.as_ptr().expose_provenance();
        // A thread that ends leaves a robust mutex behind as a process does.
        let owner = std::thread::spawn(move || {
            let address =
                NonNull::new(std::ptr::with_exposed_provenance_mut(address));
            Mutex { address: address.unwrap() }.lock().unwrap();
        });
        owner.join().unwrap();
        assert_eq!(mutex.lock(), Err(Errno::EOWNERDEAD));
        mutex.consistent().unwrap();
        mutex.unlock().unwrap();
        assert_eq!(mutex.unlock(), Err(Errno::EPERM));
    }
}
