//! Mutexes, condition variables, reader-writer locks and barriers of POSIX threads that lie in
//! shared memory, so that processes can share them: pthread_mutexattr_setpshared(3),
//! pthread_mutexattr_setrobust(3), and pthread_condattr_setpshared(3posix).
//!
//! They lie in memory that is never unmapped: the kernel follows the list of the robust mutexes
//! that a thread has locked, to its end. Whoever may write to that memory may also have these
//! functions store where they should not, as a debugger may: so it is of one user alone.

use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::shared::{Mapping, Shared};

/// PTHREAD_MUTEX_ROBUST, which the crate libc does not have for Linux.
const PTHREAD_MUTEX_ROBUST: libc::c_int = 1;

/// PTHREAD_BARRIER_SERIAL_THREAD: what pthread_barrier_wait(3posix) returns in one of all.
const SERIAL: libc::c_int = -1;

/// `sizeof(pthread_mutex_t)`, which differs between C libraries and processors.
pub const MUTEX_SIZE: usize = size_of::<libc::pthread_mutex_t>();
/// `sizeof(pthread_cond_t)`.
pub const CONDITION_SIZE: usize = size_of::<libc::pthread_cond_t>();

/// A page that the children which fork(2) makes share. It is never unmapped.
///
/// # Errors
/// ENOMEM.
pub fn page() -> nix::Result<&'static Shared> {
    let both = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice replaces no other.
    let start = unsafe { mmap_anonymous(null_mut(), PAGE, both, MapFlags::SHARED) };
    let start = start.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    Ok(Box::leak(Box::new(Shared::new(Page(start.cast())))))
}

const PAGE: usize = 4096;

/// What [`page`] mapped.
struct Page(*mut u8);

// SAFETY: mmap(2) returned it for reading and writing, and it is never unmapped.
unsafe impl Mapping for Page {
    fn start(&self) -> *mut u8 {
        self.0
    }

    fn length(&self) -> usize {
        PAGE
    }
}

/// How a mutex is made: pthread_mutexattr_init(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// PTHREAD_PROCESS_SHARED; without it, PTHREAD_PROCESS_PRIVATE.
    pub shared: bool,
    /// PTHREAD_MUTEX_ROBUST; without it, PTHREAD_MUTEX_STALLED.
    pub robust: bool,
    /// PTHREAD_MUTEX_DEFAULT, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_RECURSIVE.
    pub kind: libc::c_int,
}

impl Attributes {
    /// For processes; robust or not.
    pub const fn shared(robust: bool) -> Attributes {
        Attributes { shared: true, robust, kind: libc::PTHREAD_MUTEX_DEFAULT }
    }
}

/// A mutex in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Mutex {
    address: NonNull<libc::pthread_mutex_t>,
}

// SAFETY: any thread may call these functions on it; that is what they are for.
unsafe impl Send for Mutex {}

impl Mutex {
    /// A mutex in a page of its own, [`Mutex::init_at`] with PTHREAD_PROCESS_SHARED.
    ///
    /// # Errors
    /// ENOTSUP where the C library has no such mutex; ENOMEM.
    pub fn init(robust: bool) -> nix::Result<Mutex> {
        Mutex::init_at(page()?, 0, Attributes::shared(robust))
    }

    /// `pthread_mutex_init(mutex, attr)`, with these attributes.
    ///
    /// # Errors
    /// ENOTSUP where the C library has no such mutex.
    pub fn init_at(
        memory: &'static Shared,
        at: usize,
        how: Attributes,
    ) -> nix::Result<Mutex> {
        let mutex = Mutex::at(memory, at);
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first and destroyed last; the mutex lies in
        // memory that stays mapped.
        unsafe {
            returned(libc::pthread_mutexattr_init(attributes))?;
            let shared = pshared(how.shared);
            returned(libc::pthread_mutexattr_setpshared(attributes, shared))?;
            if how.robust {
                let robust = PTHREAD_MUTEX_ROBUST;
                returned(libc::pthread_mutexattr_setrobust(attributes, robust))?;
            }
            returned(libc::pthread_mutexattr_settype(attributes, how.kind))?;
            returned(libc::pthread_mutex_init(mutex.address(), attributes))?;
            returned(libc::pthread_mutexattr_destroy(attributes))?;
        }
        Ok(mutex)
    }

    /// The mutex that another process has initialised there.
    pub fn at(memory: &'static Shared, at: usize) -> Mutex {
        Mutex { address: memory.place(at) }
    }

    /// `pthread_mutex_lock(mutex)`: sleeps while another thread has it.
    ///
    /// # Errors
    /// For a robust one: EOWNERDEAD when its owner has died, and then it *is* locked;
    /// ENOTRECOVERABLE when that was not made consistent. EDEADLK for PTHREAD_MUTEX_ERRORCHECK.
    pub fn lock(&self) -> nix::Result<()> {
        // SAFETY: initialised, and mapped for good.
        returned(unsafe { libc::pthread_mutex_lock(self.address()) })
    }

    /// `pthread_mutex_trylock(mutex)`: never sleeps.
    ///
    /// # Errors
    /// EBUSY while another thread has it; else as [`Mutex::lock`].
    pub fn trylock(&self) -> nix::Result<()> {
        // SAFETY: as in `lock`.
        returned(unsafe { libc::pthread_mutex_trylock(self.address()) })
    }

    /// `pthread_mutex_timedlock(mutex, abstime)`: sleeps until a time of the wall clock.
    ///
    /// # Errors
    /// ETIMEDOUT; else as [`Mutex::lock`].
    pub fn timedlock(&self, until: SystemTime) -> nix::Result<()> {
        let until = timespec(until);
        // SAFETY: as in `lock`, and a valid timespec.
        returned(unsafe { libc::pthread_mutex_timedlock(self.address(), &until) })
    }

    /// `pthread_mutex_unlock(mutex)`: its owner does.
    ///
    /// # Errors
    /// EPERM when a robust one, or one of PTHREAD_MUTEX_ERRORCHECK, is not ours.
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

/// A condition variable in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Condition {
    address: NonNull<libc::pthread_cond_t>,
}

impl Condition {
    /// `pthread_cond_init(cond, attr)`, with PTHREAD_PROCESS_SHARED if `shared`.
    ///
    /// # Errors
    /// None that these attributes can cause.
    pub fn init_at(
        memory: &'static Shared,
        at: usize,
        shared: bool,
    ) -> nix::Result<Condition> {
        let condition = Condition::at(memory, at);
        let mut attributes = MaybeUninit::<libc::pthread_condattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: as in `Mutex::init_at`.
        unsafe {
            returned(libc::pthread_condattr_init(attributes))?;
            let shared = pshared(shared);
            returned(libc::pthread_condattr_setpshared(attributes, shared))?;
            returned(libc::pthread_cond_init(condition.address(), attributes))?;
            returned(libc::pthread_condattr_destroy(attributes))?;
        }
        Ok(condition)
    }

    /// The condition variable that another process has initialised there.
    pub fn at(memory: &'static Shared, at: usize) -> Condition {
        Condition { address: memory.place(at) }
    }

    /// `pthread_cond_wait(cond, mutex)`: unlocks the mutex, sleeps, and has the mutex again when
    /// it returns. It may return though nobody signalled.
    ///
    /// # Errors
    /// EPERM when the mutex is not ours; EOWNERDEAD as [`Mutex::lock`], and then we have it.
    pub fn wait(&self, mutex: &Mutex) -> nix::Result<()> {
        // SAFETY: both initialised, and mapped for good.
        returned(unsafe { libc::pthread_cond_wait(self.address(), mutex.address()) })
    }

    /// `pthread_cond_timedwait(cond, mutex, abstime)`: as [`Condition::wait`], until a time of
    /// the wall clock.
    ///
    /// # Errors
    /// ETIMEDOUT, and the mutex is ours then as well; else as [`Condition::wait`].
    pub fn timedwait(&self, mutex: &Mutex, until: SystemTime) -> nix::Result<()> {
        let until = timespec(until);
        // SAFETY: as in `wait`, and a valid timespec.
        returned(unsafe {
            libc::pthread_cond_timedwait(self.address(), mutex.address(), &until)
        })
    }

    /// `pthread_cond_signal(cond)`: wakes at least one thread that waits now, if one does.
    ///
    /// # Errors
    /// None.
    pub fn signal(&self) -> nix::Result<()> {
        // SAFETY: as in `wait`.
        returned(unsafe { libc::pthread_cond_signal(self.address()) })
    }

    /// `pthread_cond_broadcast(cond)`: wakes all threads that wait now.
    ///
    /// # Errors
    /// None.
    pub fn broadcast(&self) -> nix::Result<()> {
        // SAFETY: as in `wait`.
        returned(unsafe { libc::pthread_cond_broadcast(self.address()) })
    }

    fn address(&self) -> *mut libc::pthread_cond_t {
        self.address.as_ptr()
    }
}

/// A reader-writer lock in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct ReaderWriterLock {
    address: NonNull<libc::pthread_rwlock_t>,
}

impl ReaderWriterLock {
    /// `pthread_rwlock_init(lock, attr)`, with PTHREAD_PROCESS_SHARED.
    ///
    /// # Errors
    /// None that these attributes can cause.
    pub fn init_at(
        memory: &'static Shared,
        at: usize,
    ) -> nix::Result<ReaderWriterLock> {
        let lock = ReaderWriterLock { address: memory.place(at) };
        let mut attributes = MaybeUninit::<libc::pthread_rwlockattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: as in `Mutex::init_at`.
        unsafe {
            returned(libc::pthread_rwlockattr_init(attributes))?;
            let shared = pshared(true);
            returned(libc::pthread_rwlockattr_setpshared(attributes, shared))?;
            returned(libc::pthread_rwlock_init(lock.address.as_ptr(), attributes))?;
            returned(libc::pthread_rwlockattr_destroy(attributes))?;
        }
        Ok(lock)
    }

    /// `pthread_rwlock_rdlock(lock)`: sleeps while a writer has it.
    ///
    /// # Errors
    /// EAGAIN at the largest number of readers.
    pub fn read(&self) -> nix::Result<()> {
        // SAFETY: initialised, and mapped for good.
        returned(unsafe { libc::pthread_rwlock_rdlock(self.address.as_ptr()) })
    }

    /// `pthread_rwlock_wrlock(lock)`: sleeps while any other thread has it.
    ///
    /// # Errors
    /// EDEADLK when it is ours already.
    pub fn write(&self) -> nix::Result<()> {
        // SAFETY: as in `read`.
        returned(unsafe { libc::pthread_rwlock_wrlock(self.address.as_ptr()) })
    }

    /// `pthread_rwlock_unlock(lock)`.
    ///
    /// # Errors
    /// None.
    pub fn unlock(&self) -> nix::Result<()> {
        // SAFETY: as in `read`.
        returned(unsafe { libc::pthread_rwlock_unlock(self.address.as_ptr()) })
    }
}

/// A barrier in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Barrier {
    address: NonNull<libc::pthread_barrier_t>,
}

impl Barrier {
    /// `pthread_barrier_init(barrier, attr, count)`, with PTHREAD_PROCESS_SHARED.
    ///
    /// # Errors
    /// EINVAL for a count of 0.
    pub fn init_at(
        memory: &'static Shared,
        at: usize,
        count: u32,
    ) -> nix::Result<Barrier> {
        let barrier = Barrier { address: memory.place(at) };
        let mut attributes = MaybeUninit::<libc::pthread_barrierattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: as in `Mutex::init_at`.
        unsafe {
            returned(libc::pthread_barrierattr_init(attributes))?;
            let shared = pshared(true);
            returned(libc::pthread_barrierattr_setpshared(attributes, shared))?;
            let address = barrier.address.as_ptr();
            returned(libc::pthread_barrier_init(address, attributes, count))?;
            returned(libc::pthread_barrierattr_destroy(attributes))?;
        }
        Ok(barrier)
    }

    /// `pthread_barrier_wait(barrier)`: sleeps until `count` threads wait. In one of them it
    /// returns PTHREAD_BARRIER_SERIAL_THREAD, which is `true`.
    ///
    /// # Errors
    /// None.
    pub fn wait(&self) -> nix::Result<bool> {
        // SAFETY: initialised, and mapped for good.
        match unsafe { libc::pthread_barrier_wait(self.address.as_ptr()) } {
            SERIAL => Ok(true),
            number => returned(number).map(|()| false),
        }
    }
}

fn pshared(shared: bool) -> libc::c_int {
    if shared { libc::PTHREAD_PROCESS_SHARED } else { libc::PTHREAD_PROCESS_PRIVATE }
}

/// A time of the wall clock; what was before 1970 has passed as well as its begin.
pub(crate) fn timespec(until: SystemTime) -> libc::timespec {
    let until = until.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    libc::timespec {
        tv_sec: until.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: until.subsec_nanos().into(),
    }
}

/// These functions return the error's number, and leave errno alone.
fn returned(number: libc::c_int) -> nix::Result<()> {
    if number == 0 { Ok(()) } else { Err(Errno::from_raw(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mutex as another thread of this process has it.
    fn beside(mutex: Mutex, part: fn(Mutex)) {
        let address = mutex.address.as_ptr().expose_provenance();
        let thread = std::thread::spawn(move || {
            let address =
                NonNull::new(std::ptr::with_exposed_provenance_mut(address));
            part(Mutex { address: address.unwrap() });
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_robust_mutex_tells_that_its_owner_has_died() {
        let mutex = Mutex::init(true).unwrap();
        // A thread that ends leaves a robust mutex behind as a process does.
        beside(mutex, |mutex| mutex.lock().unwrap());
        assert_eq!(mutex.lock(), Err(Errno::EOWNERDEAD));
        mutex.consistent().unwrap();
        beside(mutex, |mutex| assert_eq!(mutex.trylock(), Err(Errno::EBUSY)));
        mutex.unlock().unwrap();
        assert_eq!(mutex.unlock(), Err(Errno::EPERM));
    }

    #[test]
    fn a_time_that_has_passed_ends_a_wait_with_the_mutex() {
        let memory = page().unwrap();
        let mutex = Mutex::init_at(memory, 0, Attributes::shared(true)).unwrap();
        let condition = Condition::init_at(memory, 64, true).unwrap();
        mutex.lock().unwrap();
        let waited = condition.timedwait(&mutex, UNIX_EPOCH);
        assert_eq!(waited, Err(Errno::ETIMEDOUT));
        mutex.unlock().unwrap();
    }

    #[test]
    #[should_panic = "holds"]
    fn what_does_not_fit_is_not_placed() {
        Mutex::at(page().unwrap(), PAGE - 8);
    }
}
