//! A child process, and all that it starts: how it begins, and that all of it ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::{Pid, getpgid, getpid};

use os::calls::{pidfd_open, waitpid_any};
use os::inheritance::hand_on;
use os::proc::children;
use os::signal::retry_on_intr;
use os::spawn::die_with_parent;
use wire::say;

/// The child that leads its process group.
#[derive(Debug)]
pub(super) struct Family {
    leader: Child,
    pidfd: OwnedFd,
}

impl Family {
    // ANCHOR: start
    /// Starts `command` with three pipes, which its `Child` has, in a process group of its own.
    pub(super) fn start(mut command: Command) -> Result<Family> {
        // A process whose parent has ended becomes our child, and not init's.
        set_child_subreaper(true).context("prctl(PR_SET_CHILD_SUBREAPER)")?;
        command.process_group(0); // so that kill(2) can mean all of it
        die_with_parent(&mut command); // SIGKILL, when this thread ends
        hand_on(&mut command); // signals and umask as we have got them
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Where execve fails, the child sends the error number by a close-on-exec socket.
        let leader = command.spawn();
        let leader = leader
            .with_context(|| format!("exec {}", command.get_program().display()))?;
        let pid = leader.id();
        say!(
            "fork() = {pid}: a child, which has become another program by execve()"
        );
        let pidfd = pidfd_open(pid.cast_signed()).context("pidfd_open")?;
        Ok(Family { leader, pidfd })
    }
    // ANCHOR_END: start

    /// The parent's ends of the pipes are in it.
    pub(super) fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.leader.id().cast_signed())
    }

    /// Sends `signal` to the whole process group.
    pub(super) fn signal(&self, signal: Signal) {
        let group = self.group();
        say!("kill(-{group}, {signal}): the child's process group");
        let _ = killpg(group, signal); // ESRCH: all have ended
    }

    // ANCHOR: end
    /// Ends what is left of the family, and says how the child itself has ended.
    pub(super) fn end(mut self) -> Result<ExitStatus> {
        // The child is not waited for yet: no new process can have its number.
        self.signal(Signal::SIGKILL);
        let group = self.group();
        let status = self.leader.wait().context("waitpid")?;
        say!("waitpid({}): {status}", self.leader.id());
        // What has left the group, and has lost its parent, is our child by now.
        loop {
            for orphan in children(getpid()) {
                if getpgid(Some(orphan)) != Ok(group) {
                    say!(
                        "kill({orphan}, SIGKILL): an orphan that had left the group"
                    );
                }
                let _ = kill(orphan, Signal::SIGKILL);
            }
            match retry_on_intr(|| waitpid_any(WaitPidFlag::empty())) {
                Err(Errno::ECHILD) => return Ok(status),
                reaped => reaped.context("waitpid")?,
            };
        }
    }
    // ANCHOR_END: end
}

impl AsFd for Family {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
