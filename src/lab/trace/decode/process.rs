//! Processes and threads: how they begin, and how their ends are waited for.

use super::{Arg, Cx, Names, Piece, data, hex, names, set, signals};

const CLONE: Names = names! {
    CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_VFORK CLONE_PARENT
    CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID
    CLONE_CHILD_CLEARTID CLONE_CHILD_SETTID
};
const WAIT: Names = names! { WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WALL };
const WHICH: Names = names! { P_ALL P_PID P_PGID P_PIDFD };
const CLOCK: Names = names! { CLOCK_REALTIME CLOCK_MONOTONIC };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, At, Before, Fd, Hex, Int, Path, Set, Size, Word};
    Some(match name {
        "fork" | "vfork" | "getpid" | "gettid" | "getppid" | "getuid"
        | "geteuid" | "getgid" | "getegid" | "sched_yield" | "setsid"
        | "getpgrp" => &[],
        "clone" => &[Before(clone_flags), Hex],
        "clone3" => &[Before(clone3_flags), Size],
        "execve" => &[Path, Before(words), Hex],
        "execveat" => &[At, Path, Before(words), Hex],
        "wait4" => &[Int, After(status), Set(WAIT), Hex],
        "waitid" => &[Word(WHICH), Int, After(data::siginfo), Set(WAIT), Hex],
        "exit" | "exit_group" => &[Int],
        "pidfd_open" => &[Int, Set(super::files::NEW)],
        "pidfd_getfd" => &[Fd, Int, Int],
        "nanosleep" => &[Before(data::timespec), Hex],
        "clock_nanosleep" => &[Word(CLOCK), Int, Before(data::timespec), Hex],
        "set_tid_address" => &[Hex],
        "set_robust_list" => &[Hex, Size],
        "rseq" => &[Hex, Size, Int, Hex],
        "arch_prctl" => &[Hex, Hex],
        "prlimit64" => &[Int, Int, Hex, Hex],
        "sched_getaffinity" => &[Int, Size, Hex],
        "getrandom" => &[Hex, Size, Hex],
        "prctl" => &[Int, Hex, Hex, Hex, Hex],
        _ => return None,
    })
}

/// Whether from this call on a table of descriptors is not a process's own.
pub(super) fn splits_tables(cx: &Cx<'_>, name: &str) -> bool {
    let files = libc::CLONE_FILES as u64;
    let odd = |flags: u64| {
        (flags & files != 0) != (flags & libc::CLONE_THREAD as u64 != 0)
    };
    match name {
        "clone" => odd(cx.args[0]),
        "clone3" => cx.memory().u64(cx.args[0]).is_some_and(odd),
        "unshare" => cx.args[0] & files != 0,
        "close_range" => cx.int(2) & libc::CLOSE_RANGE_UNSHARE as i32 != 0,
        _ => false,
    }
}

fn clone_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text(clone_text(cx.args[index]))
}

fn clone3_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(flags) = cx.memory().u64(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let signal = cx.memory().u64(cx.args[index] + 32).unwrap_or(0);
    Piece::text(clone_text(flags | signal))
}

fn clone_text(flags: u64) -> String {
    const SIGNAL: u64 = 0xff;
    let text = set(flags & !SIGNAL, CLONE);
    match flags & SIGNAL {
        0 => text,
        signal if text == "0" => signals::name(signal as i32),
        signal => format!("{text}|{}", signals::name(signal as i32)),
    }
}

/// The arguments of a program.
fn words(cx: &mut Cx<'_>, index: usize) -> Piece {
    const MOST: u64 = 16;
    let mut parts = Vec::new();
    for n in 0..=MOST {
        match cx.memory().u64(cx.args[index].wrapping_add(8 * n)) {
            Some(0) | None => break,
            Some(_) if n == MOST => parts.push(Piece::text("…")),
            Some(address) => {
                let text = cx.memory().text(address).unwrap_or_default();
                parts.push(Piece::text(format!("\"{}\"", text.escape_debug())));
            }
        }
    }
    Piece::Group("[", parts, "]")
}

/// What wait4 tells: an end, a stop, or that it goes on.
fn status(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(status) = cx.memory().u32(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let status = status as i32;
    Piece::text(if cx.result <= 0 {
        "[]".to_owned()
    } else if libc::WIFEXITED(status) {
        format!("[exited with {}]", libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        format!("[killed by {}]", signals::name(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        format!("[stopped by {}]", signals::name(libc::WSTOPSIG(status)))
    } else if libc::WIFCONTINUED(status) {
        "[continued]".to_owned()
    } else {
        format!("[{status:#x}]")
    })
}
