//! The names of signals.

use super::argument::{Names, names};

const NAMES: Names = names! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV
    SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN
    SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS
};
/// The first and the last that a C library leaves to programs.
const RTMIN: i32 = 34;

/// A signal's name.
pub(in super::super) fn signal_name(number: i32) -> String {
    match NAMES.iter().find(|(value, _)| *value == number as u64) {
        Some((_, name)) => (*name).to_owned(),
        None if number == RTMIN => "SIGRTMIN".to_owned(),
        None if (RTMIN..=64).contains(&number) => {
            format!("SIGRTMIN+{}", number - RTMIN)
        }
        None => number.to_string(),
    }
}
