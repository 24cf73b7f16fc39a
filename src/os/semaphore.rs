//! POSIX semaphores, with and without a name: sem_overview(7).

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;
use std::time::SystemTime;

use nix::errno::Errno;

use super::mutex::timespec;
use super::shared::Shared;
use super::shm_file::semaphore_path;
use super::sigbus;

/// A named semaphore, open. Dropping it is sem_close(3); the name stays.
#[derive(Debug)]
pub struct Named(NonNull<libc::sem_t>);

/// `sem_open(name, O_CREAT | O_EXCL, 0600, value)`: makes a semaphore, whole before it
/// has its name.
///
/// # Errors
/// EEXIST; EINVAL above SEM_VALUE_MAX, 2,147,483,647; ENOSPC.
pub fn sem_create(name: &str, value: u32) -> nix::Result<Named> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let flags = libc::O_CREAT | libc::O_EXCL;
    let mode: libc::mode_t = 0o600;
    // SAFETY: a valid C string, and the two arguments that O_CREAT asks for.
    named(unsafe { libc::sem_open(name.as_ptr(), flags, mode, value) })
}

/// `sem_open(name, O_CREAT, 0600, value)`: opens a semaphore that is there, whatever its
/// value is; makes one with this value if none is.
///
/// # Errors
/// EINVAL above SEM_VALUE_MAX, 2,147,483,647; EACCES, ENOSPC; EINVAL as for [`sem_open`].
pub fn sem_open_or_create(name: &str, value: u32) -> nix::Result<Named> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let mode: libc::mode_t = 0o600;
    // SAFETY: a valid C string, and the two arguments that O_CREAT asks for.
    let opened =
        named(unsafe { libc::sem_open(name.as_ptr(), libc::O_CREAT, mode, value) })?;
    whole(&name, opened)
}

/// `sem_unlink(name)`: takes the name away. A process that has the semaphore open keeps it.
///
/// # Errors
/// ENOENT, EACCES.
pub fn sem_unlink(name: &str) -> nix::Result<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a valid C string.
    Errno::result(unsafe { libc::sem_unlink(name.as_ptr()) }).map(drop)
}

/// `sem_open(name, 0)`: opens a semaphore that is there.
///
/// # Errors
/// ENOENT; EACCES; ELOOP when it is a link; EINVAL when what is there is too small to be
/// one: glibc 2.36 does not look, and would die of SIGBUS.
pub fn sem_open(name: &str) -> nix::Result<Named> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a valid C string; without O_CREAT there are no further arguments.
    let opened = named(unsafe { libc::sem_open(name.as_ptr(), 0) })?;
    whole(&name, opened)
}

/// Refuses what is too small to be a semaphore. It is mapped, and sem_open(3) has not touched
/// it; we look after that, since what had the name before may have been another.
fn whole(name: &CStr, opened: Named) -> nix::Result<Named> {
    let about = semaphore_path(&name.to_string_lossy()).symlink_metadata();
    let too_small = |about: std::fs::Metadata| {
        about.is_file() && about.len() < size_of::<libc::sem_t>() as u64
    };
    if about.is_ok_and(too_small) {
        return Err(Errno::EINVAL);
    }
    // If a process cuts it short from now on, this one ends with a line.
    sigbus::end_in_order();
    Ok(opened)
}

fn named(opened: *mut libc::sem_t) -> nix::Result<Named> {
    // SEM_FAILED is null in glibc and in musl.
    NonNull::new(opened).map(Named).ok_or_else(Errno::last)
}

impl Drop for Named {
    fn drop(&mut self) {
        // SAFETY: open until here.
        unsafe { libc::sem_close(self.0.as_ptr()) };
    }
}

/// `sem_post(sem)`: adds 1, and wakes one process that sleeps. Never blocks.
///
/// # Errors
/// EOVERFLOW at SEM_VALUE_MAX.
pub fn sem_post(semaphore: &Named) -> nix::Result<()> {
    // SAFETY: open as long as `semaphore` lives.
    Errno::result(unsafe { libc::sem_post(semaphore.0.as_ptr()) }).map(drop)
}

/// `sem_wait(sem)`: takes 1; sleeps while the value is 0.
///
/// # Errors
/// EINTR.
pub fn sem_wait(semaphore: &Named) -> nix::Result<()> {
    // SAFETY: as above.
    Errno::result(unsafe { libc::sem_wait(semaphore.0.as_ptr()) }).map(drop)
}

/// `sem_trywait(sem)`: takes 1, or fails; never sleeps.
///
/// # Errors
/// EAGAIN while the value is 0.
pub fn sem_trywait(semaphore: &Named) -> nix::Result<()> {
    // SAFETY: as above.
    Errno::result(unsafe { libc::sem_trywait(semaphore.0.as_ptr()) }).map(drop)
}

/// `sem_timedwait(sem, abs_timeout)`: as sem_wait(3), until a time of the wall clock.
///
/// # Errors
/// ETIMEDOUT, EINTR.
pub fn sem_timedwait(semaphore: &Named, until: SystemTime) -> nix::Result<()> {
    let until = timespec(until);
    // SAFETY: as above, and a valid timespec.
    Errno::result(unsafe { libc::sem_timedwait(semaphore.0.as_ptr(), &until) })
        .map(drop)
}

/// `sem_getvalue(sem, &value)`: the value, which may be another by the time that you
/// look at it.
pub fn sem_getvalue(semaphore: &Named) -> u32 {
    sem_getvalue_or_sleepers(semaphore).max(0) as u32
}

/// `sem_getvalue(sem, &value)`: the value as the C library returns it. POSIX lets it be
/// negative, and count the sleeping processes; on Linux it never is.
pub fn sem_getvalue_or_sleepers(semaphore: &Named) -> i32 {
    let mut value: c_int = 0;
    // SAFETY: as above, and an out-parameter of the right type.
    unsafe { libc::sem_getvalue(semaphore.0.as_ptr(), &mut value) };
    value
}

/// A semaphore without a name, in memory that stays mapped.
#[derive(Debug, Clone, Copy)]
pub struct Unnamed(NonNull<libc::sem_t>);

impl Unnamed {
    /// `sem_init(sem, pshared, value)`, at the beginning of `memory`.
    ///
    /// # Errors
    /// EINVAL above SEM_VALUE_MAX.
    pub fn init(
        memory: &'static Shared,
        pshared: bool,
        value: u32,
    ) -> nix::Result<Unnamed> {
        let semaphore = memory.place(0);
        // SAFETY: so many bytes are mapped for good.
        let made =
            unsafe { libc::sem_init(semaphore.as_ptr(), pshared.into(), value) };
        Errno::result(made).map(|_| Unnamed(semaphore))
    }

    /// As [`sem_post`].
    ///
    /// # Errors
    /// EOVERFLOW at SEM_VALUE_MAX.
    pub fn post(&self) -> nix::Result<()> {
        // SAFETY: initialised, and mapped for good.
        Errno::result(unsafe { libc::sem_post(self.0.as_ptr()) }).map(drop)
    }

    /// As [`sem_wait`].
    ///
    /// # Errors
    /// EINTR.
    pub fn wait(&self) -> nix::Result<()> {
        // SAFETY: as in `post`.
        Errno::result(unsafe { libc::sem_wait(self.0.as_ptr()) }).map(drop)
    }

    /// As [`sem_trywait`].
    ///
    /// # Errors
    /// EAGAIN while the value is 0.
    pub fn trywait(&self) -> nix::Result<()> {
        // SAFETY: as in `post`.
        Errno::result(unsafe { libc::sem_trywait(self.0.as_ptr()) }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm_file::value_in_file;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_too_small_to_be_a_semaphore_is_refused() {
        let name = format!("/ipclab-unit-small-{}", std::process::id());
        let path = semaphore_path(&name);
        std::fs::write(&path, b"four").unwrap();
        let errors = [sem_open(&name).err(), sem_open_or_create(&name, 1).err()];
        std::fs::remove_file(path).unwrap();
        assert_eq!(errors, [Some(Errno::EINVAL); 2]);
    }

    #[test]
    fn the_value_of_a_posix_semaphore_is_in_its_first_four_bytes() {
        let name = format!("/ipclab-unit-{}", std::process::id());
        let path = semaphore_path(&name);
        let semaphore = sem_create(&name, 41).unwrap();
        sem_post(&semaphore).unwrap();
        let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
        let (read, said) = (value_in_file(&c_path), sem_getvalue(&semaphore));
        std::fs::remove_file(path).unwrap();
        assert_eq!((read, said), (42, 42));
        assert_eq!(value_in_file(&c_path), 0);
    }
}
