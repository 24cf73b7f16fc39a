//! Memory that cannot be had: malloc(3) returns NULL.
//!
//! A message may be as long as its sender likes, so the memory for it is asked for with
//! [`reserve`], which fails like a system call, and ends no more than one client. Nearly
//! everything else is small, and in Rust cannot fail: there the standard library would
//! abort. Here the process reports it in one line, removes what the last role out removes, and
//! ends.
//!
//! What is large begins at a cache line. malloc(3) lets a large block begin 16 bytes after a
//! page, and the kernel's own buffers begin at one. On some CPUs `rep movsb`, which copies
//! from one to the other, is then many times slower.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::cleanup;

thread_local! {
    /// Whether the caller can do without the memory.
    static MAY_FAIL: Cell<bool> = const { Cell::new(false) };
}

// ANCHOR: alignment
/// From so many bytes on, an allocation begins at a cache line.
const ALIGNED: usize = 1 << 10;
/// A cache line, in bytes.
const LINE: usize = 64;
/// What malloc(3) and realloc(3) align by themselves, in bytes.
const BY_ITSELF: usize = align_of::<libc::max_align_t>();

/// How an allocation of `size` bytes is aligned that needs `least`.
#[inline]
fn alignment(size: usize, least: usize) -> usize {
    if size < ALIGNED { least } else { least.max(LINE) }
}
// ANCHOR_END: alignment

/// malloc(3), or posix_memalign(3) where that does not align enough; NULL where it fails.
///
/// # Safety
/// `size` is not 0, and `align` a power of two.
#[inline]
unsafe fn allocate(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promise; a power of two above `BY_ITSELF` is a multiple of a
    // pointer's size.
    unsafe {
        if align <= BY_ITSELF {
            return libc::malloc(size).cast();
        }
        let mut memory = null_mut();
        let failed = libc::posix_memalign(&raw mut memory, align, size) != 0;
        if failed { null_mut() } else { memory.cast() }
    }
}

/// As [`allocate`], and copies the first bytes of `old` there, which is freed; where it
/// fails, `old` stays as it was.
///
/// # Safety
/// As [`allocate`]; `old` has been allocated, and at least `kept` and at most `size` bytes
/// are in it.
#[cold]
unsafe fn elsewhere(
    old: *mut u8,
    kept: usize,
    size: usize,
    align: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise; what has just been allocated overlaps nothing.
    unsafe {
        let new = allocate(size, align);
        if !new.is_null() {
            old.copy_to_nonoverlapping(new, kept);
            libc::free(old.cast());
        }
        new
    }
}

/// malloc(3), aligned, and an end with one line where it fails.
#[derive(Debug)]
struct OrEnd;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

// SAFETY: all memory is the C library's: whatever it was allocated by, free(3) frees it, and
// realloc(3) takes it. It is aligned as its layout asks, or more. Nothing done besides
// allocates or unwinds.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = alignment(layout.size(), layout.align());
        // SAFETY: a layout's promise, and the caller's: it is not empty.
        had(unsafe { allocate(layout.size(), align) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) =
            (layout.size(), alignment(layout.size(), layout.align()));
        // SAFETY: as in `alloc`; so many bytes were allocated.
        unsafe {
            if align <= BY_ITSELF {
                return had(libc::calloc(1, size).cast(), size);
            }
            let memory = had(allocate(size, align), size);
            if !memory.is_null() {
                memory.write_bytes(0, size);
            }
            memory
        }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let kept = size.min(layout.size());
        // SAFETY: the caller's promise: `old` is of this layout, and `size` is not 0.
        unsafe {
            if layout.align() > BY_ITSELF {
                let align = alignment(size, layout.align());
                return had(elsewhere(old, kept, size, align), size);
            }
            // Most of what is large grows where it is, or by mremap(2), which keeps its
            // place within a page.
            let grown: *mut u8 = had(libc::realloc(old.cast(), size).cast(), size);
            let align = alignment(size, layout.align());
            if grown.is_null() || grown.addr().is_multiple_of(align) {
                return grown;
            }
            let aligned = elsewhere(grown, kept, size, align);
            // An alignment that is not needed is not worth an end: then there is none.
            if aligned.is_null() { grown } else { aligned }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: the caller's promise: it is ours.
        unsafe { libc::free(memory.cast()) };
    }
}

#[inline]
fn had(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !MAY_FAIL.get() {
        end(size);
    }
    memory
}

/// The exit status of a process that has no memory.
static STATUS: AtomicI32 = AtomicI32::new(1);

/// From now on this process ends with `status` when it has no memory: a child, of which its
/// parent wants to know.
pub fn ends_with(status: u8) {
    STATUS.store(status.into(), Ordering::Relaxed);
}

/// Reports that there is no memory, and ends the program, without any.
#[cold]
fn end(size: usize) -> ! {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = size;
    while at > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    // A fuzzer keeps the input that led to a signal, not one that led to an exit.
    if cfg!(fuzzing) {
        std::process::abort();
    }
    cleanup::end_now(
        &[
            b"ipclab: malloc of ",
            &digits[at..],
            b" bytes: ENOMEM: Out of memory; ulimit -v raises RLIMIT_AS\n",
        ],
        STATUS.load(Ordering::Relaxed),
    )
}

/// Above this many bytes, memory is asked for with care.
const LARGE: usize = 64 << 10;

/// What is left for all else, once a large piece was had, in bytes.
const SPARE: usize = 1 << 20;

/// Makes room for `more` bytes behind those that are in `bytes`.
///
/// # Errors
/// ENOMEM, also when it would have been the last: what is small cannot fail so well.
pub fn reserve(bytes: &mut Vec<u8>, more: usize) -> nix::Result<()> {
    if bytes.capacity() - bytes.len() >= more {
        return Ok(());
    }
    MAY_FAIL.set(true);
    let mut had = bytes.try_reserve(more);
    if had.is_err() {
        // It asks for twice as much as there was; what is needed may be had yet.
        had = bytes.try_reserve_exact(more);
    }
    MAY_FAIL.set(false);
    if had.is_err() {
        return Err(Errno::ENOMEM);
    }
    if more > LARGE && !is_there(0) {
        bytes.shrink_to(bytes.len());
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Whether there are so many bytes to be had now, and some to spare for all that cannot fail.
/// Where no limit is set, there is no need to ask.
pub fn is_there(bytes: usize) -> bool {
    if !is_limited() {
        return true;
    }
    MAY_FAIL.set(true);
    let had = Vec::<u8>::new().try_reserve_exact(bytes.saturating_add(SPARE));
    MAY_FAIL.set(false);
    had.is_ok()
}

/// `getrlimit(RLIMIT_AS)`, `getrlimit(RLIMIT_DATA)`: whether there is a limit. Once is enough:
/// what is set later only makes us fail later.
fn is_limited() -> bool {
    static LIMITED: OnceLock<bool> = OnceLock::new();
    *LIMITED.get_or_init(|| {
        let mut limits = [Resource::RLIMIT_AS, Resource::RLIMIT_DATA].into_iter();
        let limited = limits.any(|limit| {
            getrlimit(limit).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
        });
        // An arena of its own for each thread reserves 64 MiB of addresses (mallopt(3)).
        #[cfg(target_env = "gnu")]
        if limited {
            // SAFETY: takes plain numbers.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        }
        limited
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_begins_at_a_cache_line_however_it_came_to_be() {
        let sizes = (10..=20).flat_map(|power| {
            let size: usize = 1 << power;
            [size, size + 1, size + size / 2 + 7]
        });
        let mut kept = Vec::new();
        for size in sizes {
            let filled: Vec<u8> = vec![7; size];
            let mut zeros: Vec<u8> = vec![0; size];
            assert!(zeros.iter().all(|byte| *byte == 0), "{size}");
            // Grown in steps, from what is small and not aligned, between others.
            let mut grown: Vec<u8> = b"0123456789".to_vec();
            let mut between = Vec::new();
            while grown.len() < size {
                let length = (grown.len() * 3).min(size);
                grown.reserve_exact(length - grown.len());
                grown.resize(length, 1);
                between.push(vec![3_u8; 100]);
            }
            assert!(grown.starts_with(b"0123456789\x01") && grown.len() == size);
            let mut shrunk = vec![5_u8; size * 3];
            shrunk.truncate(size);
            shrunk.shrink_to_fit();
            zeros.reserve_exact(size);
            let exact = vec![9_u8; size].into_boxed_slice();
            let all = [&filled, &zeros, &grown, &shrunk].map(|bytes| bytes.as_ptr());
            for (way, start) in all.into_iter().chain([exact.as_ptr()]).enumerate() {
                assert!(start.addr().is_multiple_of(64), "{size} bytes, way {way}");
            }
            assert!(shrunk.iter().all(|byte| *byte == 5), "{size}");
            kept.push((filled, grown, between));
        }
        assert!(kept.iter().all(|(all, ..)| all.iter().all(|byte| *byte == 7)));
    }

    #[test]
    fn what_asks_for_more_than_a_cache_line_gets_it() {
        #[derive(Clone, PartialEq, Debug)]
        #[repr(align(256))]
        struct Wide(u8);
        let mut all = vec![Wide(1)];
        for number in 2..100 {
            all.push(Wide(number));
            assert!(all.as_ptr().addr().is_multiple_of(256));
        }
        all.shrink_to_fit();
        assert!(all.as_ptr().addr().is_multiple_of(256));
        assert!((1..100).zip(&all).all(|(number, wide)| wide.0 == number));
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error_and_what_is_there_stays() {
        let mut bytes = b"here".to_vec();
        for more in [isize::MAX as usize, 1 << 47] {
            assert_eq!(reserve(&mut bytes, more), Err(Errno::ENOMEM), "{more}");
        }
        assert_eq!(bytes, b"here");
        reserve(&mut bytes, 1 << 20).unwrap();
        assert!(bytes.capacity() >= (1 << 20) + 4);
        assert_eq!(bytes, b"here");
    }
}
