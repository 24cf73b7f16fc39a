//! Processes and threads: how they begin, and how their ends are waited for.

use super::super::memory::u64_at;
use super::argument::{Arg, Cx, Names, hex, names, set, text};
use super::data;
use super::signal_names::signal_name;
use crate::event::Piece;
use wire::visible::quoted;

const CLONE: Names = names! {
    CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_VFORK CLONE_PARENT
    CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID
    CLONE_CHILD_CLEARTID CLONE_CHILD_SETTID CLONE_PTRACE CLONE_UNTRACED CLONE_NEWCGROUP
    CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO
};
const WAIT: Names = names! {
    WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WALL __WNOTHREAD __WCLONE
};
const WHICH: Names = names! { P_ALL P_PID P_PGID P_PIDFD };
const AT: Names = names! { AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW };
/// O_EXCL, by the name that pidfd_open has for it.
const PIDFD: Names = &[
    (libc::O_NONBLOCK as u64, "PIDFD_NONBLOCK"),
    (libc::O_EXCL as u64, "PIDFD_THREAD"),
];
const RESOURCE: Names = names! {
    RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC
    RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE
    RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME
};
const RANDOM: Names = names! { GRND_NONBLOCK GRND_RANDOM GRND_INSECURE };
const PRCTL: Names = names! {
    PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_SET_NAME PR_GET_NAME
    PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_TIMERSLACK
    PR_GET_TIMERSLACK PR_SET_MM PR_SET_PTRACER PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER
    PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_SET_THP_DISABLE PR_GET_THP_DISABLE
    PR_CAP_AMBIENT PR_SET_KEEPCAPS PR_GET_KEEPCAPS PR_SET_VMA PR_SET_MDWE
};
const PTRACE: Names = names! {
    PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_PEEKUSER PTRACE_POKETEXT
    PTRACE_POKEDATA PTRACE_POKEUSER PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP PTRACE_ATTACH
    PTRACE_DETACH PTRACE_SYSCALL PTRACE_SETOPTIONS PTRACE_GETEVENTMSG PTRACE_GETSIGINFO
    PTRACE_SETSIGINFO PTRACE_GETREGSET PTRACE_SETREGSET PTRACE_SEIZE PTRACE_INTERRUPT
    PTRACE_LISTEN PTRACE_GET_SYSCALL_INFO
};
#[cfg(target_arch = "x86_64")]
const ARCH: Names = &[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
];
#[cfg(not(target_arch = "x86_64"))]
const ARCH: Names = &[];

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Directory, Fd, Hex, Int, Out, Path, Set, Size, Word};
    Some(match name {
        "fork" | "vfork" | "getpid" | "gettid" | "getppid" | "getuid"
        | "geteuid" | "getgid" | "getegid" | "sched_yield" | "setsid"
        | "getpgrp" => &[],
        "getpgid" | "getsid" => &[Int],
        "setpgid" => &[Int, Int],
        "clone" => &[Before(clone_flags), Hex, Hex, Hex, Hex],
        "unshare" => &[Set(CLONE)],
        "setns" => &[Fd, Set(CLONE)],
        "clone3" => &[Before(clone3_flags), Size],
        "execve" => &[Path, Before(words), Hex],
        "execveat" => &[Directory, Path, Before(words), Hex, Set(AT)],
        "wait4" => &[Int, After(status), Set(WAIT), Hex],
        "waitid" => &[Word(WHICH), Int, After(data::siginfo), Set(WAIT), Hex],
        "exit" | "exit_group" => &[Int],
        "pidfd_open" => &[Int, Set(PIDFD)],
        "pidfd_getfd" => &[Fd, Int, Int],
        "process_vm_readv" => {
            &[Int, After(super::files::iov), Size, Before(places), Size, Hex]
        }
        "process_vm_writev" => {
            &[Int, Before(super::files::iov), Size, Before(places), Size, Hex]
        }
        "process_madvise" => &[Fd, Hex, Size, Word(super::memory::ADVICE), Hex],
        "process_mrelease" => &[Fd, Hex],
        "kcmp" => &[Int, Int, Int, Size, Size],
        "ptrace" => &[Word(PTRACE), Int, Hex, Hex],
        "get_robust_list" => &[Int, Hex, Hex],
        "set_tid_address" => &[Hex],
        "set_robust_list" => &[Hex, Size],
        "rseq" => &[Hex, Size, Int, Hex],
        "arch_prctl" => &[Word(ARCH), Hex],
        "set_thread_area" | "get_thread_area" => &[Hex],
        "modify_ldt" => &[Int, Hex, Size],
        "prlimit64" => &[Int, Word(RESOURCE), Before(limit), After(limit)],
        "getrlimit" => &[Word(RESOURCE), After(limit)],
        "setrlimit" => &[Word(RESOURCE), Before(limit)],
        "sched_getaffinity" => &[Int, Size, Hex],
        "getrandom" => &[Out, Size, Set(RANDOM)],
        "prctl" => &[Word(PRCTL), Before(prctl_argument), Hex, Hex, Hex],
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

/// `struct rlimit`: the soft and the hard one.
fn limit(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(bytes) = cx.memory().array::<16>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let [soft, hard] = [0, 8].map(|at| match u64_at(&bytes, at) {
        libc::RLIM_INFINITY => "RLIM_INFINITY".to_owned(),
        limit => limit.to_string(),
    });
    Piece::text(format!("{{{soft}, {hard}}}"))
}

/// An array of `struct iovec` whose addresses are another process's: `[48 at 0x7ffd…]`. The number
/// of its elements is in the next argument.
fn places(cx: &mut Cx<'_>, index: usize) -> Piece {
    const MOST: u64 = 16;
    let count = cx.args[index + 1];
    let place = |number: u64| {
        let at = cx.args[index].wrapping_add(16 * number);
        let bytes = cx.memory().array::<16>(at)?;
        let (base, length) = (u64_at(&bytes, 0), u64_at(&bytes, 8));
        Some(Piece::text(format!("{length} at {base:#x}")))
    };
    let mut places: Vec<_> = (0..count.min(MOST)).map_while(place).collect();
    if count > MOST {
        places.push(Piece::text("…"));
    }
    Piece::Group("[", places, "]")
}

fn prctl_argument(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.int(0) {
        libc::PR_SET_NAME => text(cx, index),
        libc::PR_SET_PDEATHSIG => Piece::text(signal_name(cx.int(index))),
        libc::PR_SET_PTRACER if cx.args[index] == libc::PR_SET_PTRACER_ANY => {
            Piece::text("PR_SET_PTRACER_ANY")
        }
        libc::PR_SET_PTRACER | libc::PR_SET_DUMPABLE => {
            Piece::text(cx.int(index).to_string())
        }
        _ => hex(cx.args[index]),
    }
}

fn clone_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text(clone_text(cx.args[index]))
}

fn clone3_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(flags) = cx.memory().u64(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let signal = cx.memory().u64(cx.args[index].wrapping_add(32)).unwrap_or(0);
    Piece::text(clone_text(flags | signal))
}

fn clone_text(flags: u64) -> String {
    const SIGNAL: u64 = 0xff;
    let text = set(flags & !SIGNAL, CLONE);
    match flags & SIGNAL {
        0 => text,
        signal if text == "0" => signal_name(signal as i32),
        signal => format!("{text}|{}", signal_name(signal as i32)),
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
                parts.push(Piece::text(quoted(text)));
            }
        }
    }
    Piece::Group("[", parts, "]")
}

/// What wait4 reports: an end, a stop, or that the child goes on.
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
        format!("[killed by {}]", signal_name(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        format!("[stopped by {}]", signal_name(libc::WSTOPSIG(status)))
    } else if libc::WIFCONTINUED(status) {
        "[continued]".to_owned()
    } else {
        format!("[{status:#x}]")
    })
}
