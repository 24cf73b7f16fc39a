//! Processes: descriptors of them, namespaces of their own, and ptrace(2).

use std::io::{IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::runtime::in_a_child;
use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;
use os::calls::{pidfd_open, poll_until};
use os::process_identity::ProcessIdentity;
use os::signal::pidfd_kill;
use os::spawn::{Forked, fork};

/// proc(5).
pub static PROC: Probe = Probe {
    name: "proc",
    chapters: &[],
    what: "/proc of this PID namespace",
    loses: "experiment, trace and demo look there at what their processes do",
    necessary: true,
    experiments: &[],
    run: |_| {
        ProcessIdentity::own().context("readlink /proc/self")?;
        Ok(Answer::ok("/proc/self is this process"))
    },
};

/// pidfd_open(2).
pub static PIDFD: Probe = Probe {
    name: "pidfd",
    chapters: &["signal", "spawn", "procvm"],
    what: "pidfd_open(2) (a descriptor of a process, its end, a signal through it)",
    loses: "demo, experiment, trace and bench wait for their processes by it",
    necessary: true,
    experiments: &[],
    run: |_| match fork().context("fork")? {
        Forked::Child => loop {
            nix::unistd::alarm::set(DEADLINE.as_secs() as u32);
            nix::unistd::pause();
        },
        Forked::Parent(pid) => {
            let pidfd = pidfd_open(pid.as_raw()).context("pidfd_open")?;
            pidfd_kill(&pidfd, libc::SIGKILL).context("pidfd_send_signal")?;
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            poll_until(&mut fds, Some(DEADLINE / 2)).context("poll")?;
            ensure!(!fds[0].revents().is_empty(), "its end is not seen");
            waitpid(pid, None).context("waitpid")?;
            Ok(Answer::ok("a child's end is seen by poll(2)"))
        }
    },
};

/// process_vm_readv(2) and pidfd_getfd(2).
pub static MEMORY: Probe = Probe {
    name: "process-memory",
    chapters: &["procvm"],
    what: "process_vm_readv(2), process_vm_writev(2), pidfd_getfd(2) on a child",
    loses: "no process reads another one's memory, or gets its descriptors",
    necessary: false,
    experiments: &[],
    run: |_| {
        Ok(in_another_memory().unwrap_or_else(|error| {
            Answer::failed(&error)
                .cure("in Docker: --cap-add SYS_PTRACE, or a newer seccomp profile")
        }))
    },
};

fn in_another_memory() -> Result<Answer> {
    let (pid, word) = (std::process::id(), AtomicU32::new(0));
    match fork().context("fork")? {
        Forked::Child => loop {
            nix::unistd::alarm::set(DEADLINE.as_secs() as u32);
            nix::unistd::pause();
        },
        Forked::Parent(child) => {
            let moved = memory_of(child, pid, &word);
            let _ = kill(child, Signal::SIGKILL);
            waitpid(child, None).context("waitpid")?;
            moved?;
            ensure!(word.load(Ordering::SeqCst) == 0, "the word here has changed");
            Ok(Answer::ok("a child's word was written and read"))
        }
    }
}

/// Stores `number` into the child's `word`, reads it there, and gets a descriptor of the child's.
fn memory_of(child: Pid, number: u32, word: &AtomicU32) -> Result<()> {
    let base = std::ptr::from_ref(word).expose_provenance();
    let there = [RemoteIoVec { base, len: size_of::<u32>() }];
    let (stored, mut read) = (number.to_ne_bytes(), [0; size_of::<u32>()]);
    process_vm_writev(child, &[IoSlice::new(&stored)], &there)
        .context("process_vm_writev")?;
    process_vm_readv(child, &mut [IoSliceMut::new(&mut read)], &there)
        .context("process_vm_readv")?;
    ensure!(read == stored, "the word is not what was stored");
    let pidfd = pidfd_open(child.as_raw()).context("pidfd_open")?;
    pidfd_getfd(&pidfd, libc::STDERR_FILENO, PidfdGetfdFlags::empty())
        .context("pidfd_getfd")?;
    Ok(())
}

/// ptrace(2).
pub static PTRACE: Probe = Probe {
    name: "ptrace",
    chapters: &["trace"],
    what: "ptrace(2) (a child is traced, stops at a system call, goes on)",
    loses: "ipclab trace, strace and gdb do not work",
    necessary: false,
    experiments: &[],
    run: |_| {
        Ok(traced().unwrap_or_else(|error| {
            let answer = Answer::failed(&error);
            let yama = os::proc::text("/proc/sys/kernel/yama/ptrace_scope");
            match yama.as_deref().map(str::trim) {
                Ok("2" | "3") => {
                    answer.cure("sysctl kernel.yama.ptrace_scope=1, as root")
                }
                _ => answer.cure(
                    "in Docker: --cap-add SYS_PTRACE, or a newer seccomp profile",
                ),
            }
        }))
    },
};

fn traced() -> Result<Answer> {
    match fork().context("fork")? {
        Forked::Child => {
            nix::unistd::alarm::set(DEADLINE.as_secs() as u32);
            let refused = ptrace::traceme().err();
            if refused.is_some() {
                std::process::exit(refused.map_or(0, |error| error as i32));
            }
            let _ = raise(Signal::SIGSTOP);
            let _ = nix::unistd::getppid();
            std::process::exit(0)
        }
        Forked::Parent(pid) => {
            match waitpid(pid, None).context("waitpid")? {
                WaitStatus::Stopped(..) => {}
                WaitStatus::Exited(_, error) => {
                    Err(Errno::from_raw(error)).context("ptrace(PTRACE_TRACEME)")?;
                }
                other => bail!("the child did not stop: {other:?}"),
            }
            let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
                | ptrace::Options::PTRACE_O_EXITKILL;
            ptrace::setoptions(pid, options).context("ptrace(PTRACE_SETOPTIONS)")?;
            ptrace::syscall(pid, None).context("ptrace(PTRACE_SYSCALL)")?;
            let stop = waitpid(pid, None).context("waitpid")?;
            ensure!(
                matches!(stop, WaitStatus::PtraceSyscall(_)),
                "no stop: {stop:?}"
            );
            let info = ptrace::syscall_info(pid);
            info.context("ptrace(PTRACE_GET_SYSCALL_INFO)")?;
            ptrace::cont(pid, None).context("ptrace(PTRACE_CONT)")?;
            waitpid(pid, None).context("waitpid")?;
            Ok(Answer::ok("a child stopped at a call, and went on"))
        }
    }
}

/// unshare(2).
pub static NAMESPACES: Probe = Probe {
    name: "namespaces",
    chapters: &["experiment", "spawn", "posixmq", "sysvmq"],
    what: "namespaces of one's own (unshare of user, IPC and PID)",
    loses: "runs that are kept apart from the rest of the machine",
    necessary: false,
    experiments: &[
        "spawn/process-1",
        "posixmq/other-namespace",
        "sysvmq/other-namespace",
    ],
    run: |_| {
        let all = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID;
        let refused = match unshare(all) {
            Ok(()) => None,
            // Root needs no user namespace, and may be refused one in a container.
            Err(error) if nix::unistd::geteuid().is_root() => {
                let rest = all.difference(CloneFlags::CLONE_NEWUSER);
                unshare(rest).err().map(|_| error)
            }
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            return Ok(Answer::missing(format!("unshare: {error}"))
                .cure("sysctl user.max_user_namespaces=1000, as root; a container needs more"));
        }
        ensure!(in_a_child(|| Ok(()))?, "no process starts in them");
        Ok(Answer::ok("a process ran in them"))
    },
};
