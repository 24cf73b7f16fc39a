//! Memory that another process may change at any moment, behind a safe face.
//!
//! No reference to its bytes is ever made: Rust may assume that what a `&[u8]` shows does
//! not change, and here it may. So its numbers are atomics, and its bytes are copied in
//! and out. Every offset is checked against the length of the mapping.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags};

/// What holds a mapping, and undoes it when it is dropped.
///
/// # Safety
/// For as long as the value lives, `length` bytes from `start` on are mapped, readable
/// and writable, and there is no reference into them.
pub unsafe trait Mapping {
    /// The first byte.
    fn start(&self) -> *mut u8;
    /// How many bytes are mapped.
    fn length(&self) -> usize;
}

/// Shared memory: atomics at offsets, and bytes copied in and out.
pub struct Shared {
    start: NonNull<u8>,
    length: usize,
    _mapping: Box<dyn Mapping>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:p}, {} bytes)", self.start, self.length)
    }
}

impl Shared {
    /// The memory of `mapping`, which is kept until this is dropped.
    ///
    /// # Panics
    /// When it does not begin at a page, as every mapping does.
    pub fn new(mapping: impl Mapping + 'static) -> Shared {
        let start = NonNull::new(mapping.start()).expect("a mapping is never at 0");
        assert!(
            start.addr().get().is_multiple_of(4096),
            "a mapping begins at a page"
        );
        Shared { start, length: mapping.length(), _mapping: Box::new(mapping) }
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The 32-bit number at `at`.
    ///
    /// # Panics
    /// When it is not aligned, or not all within the mapping.
    #[inline]
    pub fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && self.holds(at, 4));
        // SAFETY: within the mapping, aligned, and mapped for as long as `self` lives.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// The 64-bit number at `at`.
    ///
    /// # Panics
    /// When it is not aligned, or not all within the mapping.
    #[inline]
    pub fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && self.holds(at, 8));
        // SAFETY: within the mapping, aligned, and mapped for as long as `self` lives.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// Copies `bytes` to `at`.
    ///
    /// # Panics
    /// When they do not all fit there.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(self.holds(at, bytes.len()));
        // SAFETY: within the mapping; our own `bytes` cannot lie in it, since there is no
        // reference into it.
        unsafe {
            copy(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len());
        }
    }

    /// Fills `bytes` with what is at `at` now.
    ///
    /// # Panics
    /// When they are not all within the mapping.
    #[inline]
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        assert!(self.holds(at, bytes.len()));
        // SAFETY: as in `write`. Whatever the bytes are, they are valid as u8.
        unsafe {
            copy(self.start.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len());
        }
    }

    /// Appends the `length` bytes that are at `at` now to `bytes`: one copy, and no
    /// memory is filled with zeros first.
    ///
    /// # Panics
    /// When they are not all within the mapping.
    #[inline]
    pub fn append(&self, at: usize, length: usize, bytes: &mut Vec<u8>) {
        assert!(self.holds(at, length));
        bytes.reserve(length);
        let end = bytes.len();
        // SAFETY: within the mapping; there is room for `length` bytes behind `end`, and
        // they are all written before the vector's length is set.
        unsafe {
            copy(self.start.as_ptr().add(at), bytes.as_mut_ptr().add(end), length);
            bytes.set_len(end + length);
        }
    }

    /// Asks the processor to fetch what is at `at`, and does not wait for it. A wish, no
    /// access: whatever `at` is, nothing can go wrong.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing, and faults nowhere.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.start.as_ptr().wrapping_add(at).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Where a `T` lies at `at`, for calls that take a pointer.
    ///
    /// # Panics
    /// When it is not aligned, or not all within the mapping.
    pub(crate) fn place<T>(&self, at: usize) -> NonNull<T> {
        assert!(
            at.is_multiple_of(align_of::<T>()) && self.holds(at, size_of::<T>())
        );
        // SAFETY: within the mapping.
        unsafe { self.start.add(at).cast() }
    }

    /// The address of its first byte in this process; it may be another in each.
    pub fn address(&self) -> usize {
        self.start.addr().get()
    }

    #[inline]
    fn holds(&self, at: usize, length: usize) -> bool {
        at <= self.length && length <= self.length - at
    }
}

/// Copies like memcpy(3), whose call takes longer than a short copy: so a short one is made
/// of blocks right here. Blocks may overlap, and bytes be copied twice.
///
/// # Safety
/// As [`copy_nonoverlapping`].
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    const BLOCK: usize = 32;
    // SAFETY: the caller's promise; each block lies within the `length` bytes.
    unsafe {
        if !(BLOCK..=4 * BLOCK).contains(&length) {
            return copy_nonoverlapping(from, to, length);
        }
        let block = |at| copy_nonoverlapping(from.add(at), to.add(at), BLOCK);
        block(0);
        if length > 2 * BLOCK {
            block(BLOCK);
            block(length - 2 * BLOCK);
        }
        block(length - BLOCK);
    }
}

/// `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)`: what one process
/// writes there, all others that map the same object see.
///
/// # Errors
/// EINVAL for a length of 0, EACCES where `fd` is not open for both, ENOMEM.
pub fn mmap(fd: impl AsFd, length: usize) -> io::Result<Shared> {
    let both = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice replaces no other.
    let start = unsafe {
        rustix::mm::mmap(null_mut(), length, both, MapFlags::SHARED, fd, 0)
    }?;
    Ok(Shared::new(Mapped { start: start.cast(), length }))
}

/// What [`mmap`] mapped.
struct Mapped {
    start: *mut u8,
    length: usize,
}

// SAFETY: mmap(2) returned it, and only `drop` unmaps it.
unsafe impl Mapping for Mapped {
    fn start(&self) -> *mut u8 {
        self.start
    }

    fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` returned, and no pointer into it is left.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.length) };
    }
}

/// `mmap` by the crate memmap2: `MmapOptions::new().len(length).map_raw(file)`. The type alone
/// does not show that the mapping may be written: other functions of the crate make it, too.
///
/// # Errors
/// As [`mmap`].
pub fn map_raw(file: &File, length: usize) -> io::Result<Shared> {
    let memory = MmapOptions::new().len(length).map_raw(file)?;
    Ok(Shared::new(Raw(memory)))
}

/// What [`map_raw`] mapped.
struct Raw(MmapRaw);

// SAFETY: `map_raw` maps it readable and writable, or fails; memmap2 unmaps it when it is
// dropped. It is of the length that was asked for.
unsafe impl Mapping for Raw {
    fn start(&self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    fn length(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: shared_memory maps it PROT_READ | PROT_WRITE, and unmaps it when dropped.
unsafe impl Mapping for shared_memory::Shmem {
    fn start(&self) -> *mut u8 {
        self.as_ptr()
    }

    fn length(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_written_is_not_mapped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let reading = File::open(file.path()).unwrap();
        let refused =
            [map_raw(&reading, 8192).map(drop), mmap(&reading, 8192).map(drop)];
        for refused in refused {
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
        }
        let memory = map_raw(file.as_file(), 8192).unwrap();
        memory.write(8191, b"x");
        let over = || memory.write(8191, b"xy");
        let over = std::panic::AssertUnwindSafe(over);
        assert!(std::panic::catch_unwind(over).is_err());
        let mut byte = [0];
        memory.read(8191, &mut byte);
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn copies_of_every_length_touch_no_byte_beyond_it() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let memory = mmap(&file, 4096).unwrap();
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8 | 1).collect();
            memory.write(0, &[0; 400]);
            memory.write(50, &bytes);
            let mut all = Vec::new();
            memory.append(0, 400, &mut all);
            assert_eq!(all[50..50 + length], bytes);
            assert!(all[..50].iter().chain(&all[50 + length..]).all(|b| *b == 0));
            let mut back = vec![0; length];
            memory.read(50, &mut back);
            assert_eq!(back, bytes);
        }
    }
}
