//! Clocks and timers, and how a process asks to be notified: `struct sigevent`.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Arg, Cx, NEW_FD, Names, hex, names, word};
use super::data;
use super::signal_names::signal_name;
use crate::event::Piece;

/// The clocks.
pub(super) const CLOCK: Names = names! {
    CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID
    CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME
    CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI
};
/// When: by the clock, not from now on.
const TIMER: Names = names! { TIMER_ABSTIME };
const TIMERFD: Names = names! { TFD_TIMER_ABSTIME TFD_TIMER_CANCEL_ON_SET };
const INTERVAL: Names = names! { ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF };
const NOTIFY: Names =
    names! { SIGEV_SIGNAL SIGEV_NONE SIGEV_THREAD SIGEV_THREAD_ID };

const SECOND: u64 = 1_000_000_000;

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, Int, Set, Word};
    Some(match name {
        "nanosleep" => &[Before(data::timespec), Hex],
        "clock_nanosleep" => &[Word(CLOCK), Set(TIMER), Before(data::timespec), Hex],
        "clock_gettime" | "clock_getres" => &[Word(CLOCK), After(data::timespec)],
        "clock_settime" => &[Word(CLOCK), Before(data::timespec)],
        "clock_adjtime" => &[Word(CLOCK), Hex],
        "gettimeofday" => &[After(data::timeval), Hex],
        "time" => &[Hex],
        "alarm" => &[Int],
        "getitimer" => &[Word(INTERVAL), After(itimerval)],
        "setitimer" => &[Word(INTERVAL), Before(itimerval), After(itimerval)],
        "timer_create" => &[Word(CLOCK), Before(sigevent), After(data::pointed)],
        "timer_delete" | "timer_getoverrun" => &[Int],
        "timer_gettime" => &[Int, After(itimerspec)],
        "timer_settime" => &[Int, Set(TIMER), Before(itimerspec), After(itimerspec)],
        "timerfd_create" => &[Word(CLOCK), Set(NEW_FD)],
        "timerfd_gettime" => &[Fd, After(itimerspec)],
        "timerfd_settime" => {
            &[Fd, Set(TIMERFD), Before(itimerspec), After(itimerspec)]
        }
        _ => return None,
    })
}

/// `struct itimerval`: the interval, then the time that is left, in microseconds.
fn itimerval(cx: &mut Cx<'_>, index: usize) -> Piece {
    interval(cx, index, 1_000_000)
}

/// `struct itimerspec`: the same in nanoseconds.
fn itimerspec(cx: &mut Cx<'_>, index: usize) -> Piece {
    interval(cx, index, SECOND)
}

fn interval(cx: &Cx<'_>, index: usize, unit: u64) -> Piece {
    let Some(bytes) = cx.memory().array::<32>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let [every, value] = [0, 16]
        .map(|at| data::seconds(u64_at(&bytes, at), u64_at(&bytes, at + 8), unit));
    Piece::text(match every.as_str() {
        "0 s" => format!("{{{value}}}"),
        every => format!("{{{value}, then every {every}}}"),
    })
}

/// How a process wants to be notified: `{SIGEV_SIGNAL, SIGUSR1}`.
pub(super) fn sigevent(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(bytes) = cx.memory().array::<64>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let (signal, notify) = (i32_at(&bytes, 8), i32_at(&bytes, 12));
    let mut text = word(notify as u64, NOTIFY);
    if [libc::SIGEV_SIGNAL, libc::SIGEV_THREAD_ID].contains(&notify) {
        text = format!("{text}, {}", signal_name(signal));
        let value = u64_at(&bytes, 0);
        if value != 0 {
            text = format!("{text}, value {value:#x}");
        }
    }
    if notify == libc::SIGEV_THREAD_ID {
        text = format!("{text}, thread {}", i32_at(&bytes, 16));
    }
    Piece::text(format!("{{{text}}}"))
}
