//! Memory that is a file, and that another process cuts short: SIGBUS (mmap(2)).
//!
//! The size of a file is looked at before it is mapped, but a process that may write to it can call
//! ftruncate(2) at any moment after that. No call fails then: the next load or store beyond
//! the new end is a signal.

use std::mem::zeroed;
use std::ptr;

use super::cleanup;

/// `sigaction(SIGBUS, { handler, SA_SIGINFO }, NULL)`: from now on such a load or store ends
/// the program with one line, status 1, and what the last role out removes.
pub fn end_in_order() {
    // SAFETY: a valid sigaction; the handler makes async-signal-safe calls alone.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
    }
}

/// The kernel found nothing behind an address of a mapping; it is in no header of libc.
const BUS_ADRERR: i32 = 2;

/// Async-signal-safe. A load or store of shared memory holds no lock and is not within
/// malloc(3); and the thread does not go on with it.
extern "C" fn on_sigbus(
    signal: i32,
    info: *mut libc::siginfo_t,
    _: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a whole siginfo_t.
    if unsafe { (*info).si_code } == BUS_ADRERR {
        let line =
            b"ipclab: SIGBUS: the shared memory was cut short by another process, \
                     while we had it mapped; start both roles anew\n";
        cleanup::end_now(&[line], 1);
    }
    // SAFETY: async-signal-safe calls with valid arguments. It is blocked until we return;
    // then it ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
