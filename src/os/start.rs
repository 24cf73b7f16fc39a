//! What comes before `main`, and why it is not Rust's own.
//!
//! At its start, a Rust program looks with poll(2) whether 0, 1 and 2 are open, and in a
//! pipeline 0 and 1 are pipes. What polls a pipe may watch it with epoll(7), too, which must
//! report every write, also one into a pipe that is not empty. So for as long as that
//! pipe lives, Linux wakes the pipe's waiters at each write, though there are none: `poll_usage`
//! in fs/pipe.c. `ipclab bench pipe` shows what that costs.
//!
//! So the C runtime calls a `main` of ours, which does what Rust's start does, without the
//! poll: it opens what is not open, and has SIGPIPE ignored (`inheritance`). (It does not report
//! an overflow of the stack by name, which is a SIGSEGV here; and a panic does not call this
//! thread `main`.)

use super::{cleanup, inheritance};

/// Makes `$run`, a `fn() -> u8`, what this program does; it returns the exit status.
///
/// The crate is to begin with `#![cfg_attr(target_env = "gnu", no_main)]`. Other C libraries
/// than glibc give the arguments to their own `main` alone, so there Rust's own start stays.
#[macro_export]
macro_rules! start {
    ($run:path) => {
        /// What the C runtime calls.
        // SAFETY: there is one `main` in a program, and this has its C type.
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            $crate::start::run($run)
        }

        #[cfg(not(target_env = "gnu"))]
        fn main() -> std::process::ExitCode {
            $crate::inheritance::take_over();
            $run().into()
        }
    };
}

/// The exit status of a program that has panicked, as Rust has it.
const PANICKED: u8 = 101;

// ANCHOR: run
/// Does what Rust does before `main`, then `program`, then what Rust does after it.
pub fn run(program: fn() -> u8) -> ! {
    open_standard();
    inheritance::take_over();
    let status = std::panic::catch_unwind(program).unwrap_or(PANICKED);
    cleanup::until_all_have_left();
    std::process::exit(status.into())
}

/// Opens /dev/null for each of 0, 1 and 2 that is not open, or it would be the next file
/// that is opened, and what is printed would go there. It is opened the wrong way: Rust's
/// start makes it an empty stream and a sink, and here a read or write of it fails with
/// EBADF, as if it were still closed.
fn open_standard() {
    for (number, wrong_way) in [
        (libc::STDIN_FILENO, libc::O_WRONLY),
        (libc::STDOUT_FILENO, libc::O_RDONLY),
        (libc::STDERR_FILENO, libc::O_RDONLY),
    ] {
        // SAFETY: F_GETFD only looks; the path ends with a zero.
        let opened = unsafe {
            libc::fcntl(number, libc::F_GETFD) != -1
                || libc::open(c"/dev/null".as_ptr(), wrong_way) == number
        };
        if !opened {
            std::process::abort();
        }
    }
}
// ANCHOR_END: run
