//! The files behind POSIX shared memory objects and semaphores.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// The file behind a POSIX shared memory object.
pub fn segment_path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(name.trim_start_matches('/'))
}

/// The file behind a POSIX semaphore (sem_overview(7)).
pub fn semaphore_path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(format!("sem.{}", name.trim_start_matches('/')))
}

/// The value of a semaphore that is a file, without opening it as one; 0 if there is no
/// such file. Async-signal-safe, which sem_open(3) is not.
///
/// Both glibc and musl keep the value in the low 31 bits of the first four bytes of a
/// `sem_t`, on machines of 64 bits with the low byte first.
pub fn value_in_file(path: &CStr) -> u32 {
    let mut bytes = [0_u8; 4];
    // SAFETY: a valid C string, and a buffer of the size that is given. O_NONBLOCK: what
    // has the name by now may be a FIFO, whose open would sleep.
    unsafe {
        let flags =
            libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let fd = libc::open(path.as_ptr(), flags);
        if fd != -1 {
            libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len());
            libc::close(fd);
        }
    }
    u32::from_le_bytes(bytes) & 0x7fff_ffff
}
