//! Whether a program sleeps, and how soundly, as /proc shows it: the process and all that it has
//! started. A program may be started by a script, which waits for it.

use std::time::Duration;

use nix::unistd::Pid;

use os::proc::{Activity, activity, children, times_slept};
use wire::say::grouped;

/// How long a program is watched that must sleep.
pub(super) const IDLE: Duration = Duration::from_millis(200);

/// How often it may wake in that time, and how much it may compute, in clock ticks of 10 ms.
const IDLE_WAKES: u64 = 3;
const IDLE_TICKS: u64 = 2;

/// What all processes of a program have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sleep {
    /// How often one of them has given up its CPU: each time that it fell asleep.
    pub(super) wakes: u64,
    /// The clock ticks that they have computed.
    pub(super) ticks: u64,
    /// How many they are.
    processes: usize,
    /// Whether each of them sleeps now, and not for a time that it has set.
    pub(super) sound: bool,
}

impl Sleep {
    /// Of the program whose first process is `pid`.
    pub(super) fn of(pid: Pid) -> Sleep {
        let all = family(pid);
        Sleep {
            wakes: all.iter().map(|pid| wakes(*pid)).sum(),
            ticks: all.iter().map(|pid| ticks(*pid)).sum(),
            processes: all.len(),
            sound: !all.is_empty() && all.iter().all(|pid| sleeps(*pid)),
        }
    }
}

/// That a program called `name` is not there any more, which should have slept.
pub(super) fn ended_early(name: &str) -> String {
    format!("Your {name} {ENDED_EARLY}.")
}

/// How [`ended_early`] ends.
pub(super) const ENDED_EARLY: &str = "ended, and did not wait";

/// What a program called `name` has done that should have slept for as long as [`IDLE`].
pub(super) fn restless(name: &str, before: Sleep, now: Sleep) -> Option<String> {
    let (woken, computed) = (
        now.wakes.saturating_sub(before.wakes),
        now.ticks.saturating_sub(before.ticks),
    );
    let while_waiting = format!(
        "while it waited, for {} ms in which nothing happened",
        IDLE.as_millis()
    );
    if now.processes == 0 {
        Some(ended_early(name))
    } else if computed > IDLE_TICKS || !now.sound {
        Some(format!(
            "Your {name} did not sleep {while_waiting}: it used the CPU for {} ms.",
            computed * 10
        ))
    } else if woken > IDLE_WAKES {
        Some(format!(
            "Your {name} woke {} times {while_waiting}: it looks again and again, where it \
             could sleep until the kernel wakes it.",
            grouped(woken)
        ))
    } else {
        None
    }
}

/// The process and its descendants, without those that have ended.
fn family(pid: Pid) -> Vec<Pid> {
    let (mut all, mut next) = (Vec::new(), vec![pid]);
    while let Some(pid) = next.pop() {
        if activity(pid) == Activity::Ended {
            continue;
        }
        all.push(pid);
        next.extend(children(pid));
    }
    all
}

fn sleeps(pid: Pid) -> bool {
    const TIMED: [i64; 2] = [libc::SYS_nanosleep, libc::SYS_clock_nanosleep];
    match activity(pid) {
        Activity::Asleep(number) => !TIMED.contains(&(number as i64)),
        Activity::AsleepSomewhere => true,
        Activity::Ended | Activity::Other => false,
    }
}

fn wakes(pid: Pid) -> u64 {
    times_slept(pid).unwrap_or(0)
}

fn ticks(pid: Pid) -> u64 {
    let line = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let line = os::process_identity::after_name(&line).unwrap_or_default();
    // utime and stime are fields 14 and 15 of proc_pid_stat(5); the state is the third.
    let fields = line.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
