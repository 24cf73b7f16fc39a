//! Processes: descriptors of them, namespaces of their own, and ptrace(2).

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags};

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
    chapters: &["signal", "spawn"],
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
