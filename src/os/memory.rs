//! Memory that cannot be had: malloc(3) returns NULL.
//!
//! A message may be as long as its sender likes, so the memory for it is asked for with
//! [`reserve`], which fails like a system call, and ends no more than one client. Nearly
//! everything else is small, and in Rust cannot fail: there the standard library would
//! abort. We say so in one line, remove what the last one out removes, and leave.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::cleanup;

thread_local! {
    /// Whether who asks can do without.
    static MAY_FAIL: Cell<bool> = const { Cell::new(false) };
}

/// malloc(3), and an end with one line where it fails.
#[derive(Debug)]
struct OrEnd;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

// SAFETY: all four are the system's, with its own arguments; what is done besides neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        had(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[inline]
fn had(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !MAY_FAIL.get() {
        end(size);
    }
    memory
}

/// The exit status of who has no memory.
static STATUS: AtomicI32 = AtomicI32::new(1);

/// From now on this process ends with `status` when it has no memory: a child, of which its
/// parent wants to know.
pub fn ends_with(status: u8) {
    STATUS.store(status.into(), Ordering::Relaxed);
}

/// Says that there is no memory, and ends the program, without any.
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
/// Where no limit is set, nobody needs to ask.
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
