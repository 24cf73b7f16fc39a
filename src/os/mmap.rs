//! mmap(2) as it is: pages that a load, a store or a system call may fault on. For memory
//! that is only shared there is [`super::shared`].

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, MsyncFlags, ProtFlags};

/// The page size that these experiments reckon with.
pub const PAGE: usize = 4096;

/// Mapped pages, and behind them one that may not be touched. A load or a store that the
/// kernel cannot serve ends the process, by SIGBUS or SIGSEGV.
pub struct Pages {
    start: NonNull<u8>,
    reserved: usize,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({:p})", self.start)
    }
}

impl Pages {
    /// `mmap(…, length, PROT_READ | PROT_WRITE, flags, fd, 0)`: of a file, or of nothing
    /// (with MAP_ANONYMOUS) where there is no `fd`.
    ///
    /// # Errors
    /// EINVAL for a length of 0 or beyond all memory, and for flags that choose where or in
    /// pages of which size it lies: those could replace more than is reserved. EACCES when
    /// the file is not open for what `flags` need, ENODEV when it cannot be mapped.
    pub fn map(
        fd: Option<BorrowedFd<'_>>,
        length: usize,
        flags: MapFlags,
    ) -> io::Result<Pages> {
        let known = MapFlags::SHARED
            | MapFlags::PRIVATE
            | MapFlags::NORESERVE
            | MapFlags::POPULATE
            | MapFlags::LOCKED
            | MapFlags::from_bits_retain(libc::MAP_ANONYMOUS as u32);
        let reserved = length.checked_next_multiple_of(PAGE);
        let reserved = reserved.and_then(|bytes| bytes.checked_add(PAGE));
        let (true, Some(reserved)) = (known.contains(flags), reserved) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        // SAFETY: a new mapping at an address of the kernel's choice replaces no other.
        let start = unsafe {
            let untouchable = ProtFlags::empty();
            rustix::mm::mmap_anonymous(
                null_mut(),
                reserved,
                untouchable,
                MapFlags::PRIVATE,
            )
        }?;
        let start = NonNull::new(start.cast()).expect("a mapping is never at 0");
        let pages = Pages { start, reserved };
        let both = ProtFlags::READ | ProtFlags::WRITE;
        let (here, flags) = (pages.start.as_ptr().cast(), flags | MapFlags::FIXED);
        // SAFETY: it replaces pages that were reserved above, and that are not in use.
        unsafe {
            match fd {
                Some(fd) => rustix::mm::mmap(here, length, both, flags, fd, 0),
                None => rustix::mm::mmap_anonymous(here, length, both, flags),
            }
        }?;
        Ok(pages)
    }

    /// Loads the byte at `at`.
    ///
    /// # Panics
    /// When it is beyond the page that may not be touched.
    pub fn load(&self, at: usize) -> u8 {
        assert!(at < self.reserved);
        // SAFETY: reserved for us, and no part of what Rust allocates. Where it cannot be
        // served it traps, and the process ends there: no code of ours sees a value.
        unsafe { self.start.as_ptr().add(at).read_volatile() }
    }

    /// Stores `byte` at `at`.
    ///
    /// # Panics
    /// As [`Pages::load`].
    pub fn store(&self, at: usize, byte: u8) {
        assert!(at < self.reserved);
        // SAFETY: as in `load`.
        unsafe { self.start.as_ptr().add(at).write_volatile(byte) };
    }

    /// `read(fd, pages + at, length)`: the kernel stores into the pages.
    ///
    /// # Errors
    /// EFAULT where it cannot.
    ///
    /// # Panics
    /// As [`Pages::load`].
    pub fn read(
        &self,
        fd: impl AsFd,
        at: usize,
        length: usize,
    ) -> nix::Result<usize> {
        use std::os::fd::AsRawFd;
        assert!(at < self.reserved && length <= self.reserved - at);
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: reserved for us; the kernel itself looks whether it may store there.
        let n =
            unsafe { libc::read(fd, self.start.as_ptr().add(at).cast(), length) };
        nix::errno::Errno::result(n).map(|n| n as usize)
    }

    /// `msync(pages, 4096, flags)`: of the first page.
    ///
    /// # Errors
    /// EIO when the disk failed.
    pub fn msync(&self, flags: MsyncFlags) -> rustix::io::Result<()> {
        // SAFETY: the first page is mapped; msync changes no memory.
        unsafe { rustix::mm::msync(self.start.as_ptr().cast(), PAGE, flags) }
    }

    /// Where it is, as `/proc/PID/smaps` writes it.
    pub fn address(&self) -> usize {
        self.start.addr().get()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast();
        // SAFETY: exactly what was reserved, and no pointer into it is left.
        let _ = unsafe { rustix::mm::munmap(start, self.reserved) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_never_replace_more_than_was_reserved() {
        let huge = MapFlags::PRIVATE | MapFlags::HUGETLB;
        for (length, flags) in [
            (PAGE, huge),
            (PAGE, MapFlags::PRIVATE | MapFlags::FIXED),
            (usize::MAX, MapFlags::PRIVATE),
            (usize::MAX - PAGE, MapFlags::PRIVATE),
            (0, MapFlags::PRIVATE),
        ] {
            let error = Pages::map(None, length, flags).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EINVAL),
                "{length} {flags:?}"
            );
        }
        let pages = Pages::map(None, PAGE + 1, MapFlags::PRIVATE).unwrap();
        pages.store(PAGE, 7);
        assert_eq!((pages.load(PAGE), pages.load(0)), (7, 0));
    }
}
