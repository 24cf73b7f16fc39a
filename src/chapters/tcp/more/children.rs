//! A parent must ask how its children ended. Until it has, the kernel keeps the pid and the exit
//! status of each child that has ended: a zombie (wait(2)).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;
use rustix::stdio::stdout;

use super::super::listener::Listener;
use os::calls::waitpid_any;
use os::{process_identity, signal};
use wire::errors::ChildReported;
use wire::payload::Printed;
use wire::say;
use wire::shortage::Shortage;

/// What the server does about a child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reap {
    /// At each SIGCHLD it calls waitpid(2) until no ended child is left
    Loop,
    /// It ignores SIGCHLD: the kernel keeps nothing of a child that ends
    Ignore,
    /// Nothing, while it serves: the zombies pile up
    Never,
}

/// The exit status of a child that had no memory for its client (EX_OSERR of sysexits.h).
pub(super) const NO_MEMORY: u8 = 71;

// ANCHOR: reap
/// The children of the server.
#[derive(Debug)]
pub(super) struct Children {
    reap: Reap,
    /// Readable once a child has ended: the signal, as a descriptor.
    sigchld: OwnedFd,
    /// Which client each child serves.
    clients: BTreeMap<i32, u64>,
    /// The children that have ended, and that no waitpid(2) has asked about.
    zombies: BTreeSet<i32>,
    shortage: Shortage,
}

impl Children {
    /// No child yet.
    pub(super) fn new(reap: Reap) -> Result<Children> {
        if reap == Reap::Ignore {
            signal::ignore(libc::SIGCHLD).context("sigaction(SIGCHLD, SIG_IGN)")?;
            say!("sigaction(SIGCHLD, SIG_IGN): no child of ours becomes a zombie");
        } else {
            // The program that started us may have ignored SIGCHLD: that is inherited.
            signal::reset(libc::SIGCHLD).context("sigaction(SIGCHLD, SIG_DFL)")?;
        }
        if reap == Reap::Never {
            let parent = std::process::id();
            say!("look for zombies: ps -o pid,stat,comm --ppid {parent}");
        }
        // Blocked, SIGCHLD waits until it is read. A handler would interrupt accept(2), but only
        // a call that has begun: a child that ends just before it would stay a zombie.
        let sigchld = signal::Set::of(&[libc::SIGCHLD]);
        sigchld.block().context("sigprocmask(SIG_BLOCK)")?;
        let sigchld = signal::signalfd(&sigchld).context("signalfd")?;
        let (clients, zombies) = (BTreeMap::new(), BTreeSet::new());
        let shortage = Shortage::default();
        Ok(Children { reap, sigchld, clients, zombies, shortage })
    }

    /// `child` serves this client.
    pub(super) fn add(&mut self, child: Pid, client: u64) {
        // With SIGCHLD ignored nothing reports its end: the list would only grow.
        if self.reap != Reap::Ignore {
            self.clients.insert(child.as_raw(), client);
        }
    }

    /// Sleeps in poll(2) until a client is connected, and looks after the children meanwhile.
    ///
    /// # Errors
    /// [`ChildReported`] once a child could not print, which makes `broken` readable: no other can.
    pub(super) fn wait_for_connection(
        &mut self,
        listener: &Listener,
        broken: &OwnedFd,
    ) -> Result<Printed> {
        loop {
            let mut fds = [
                PollFd::new(listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.sigchld.as_fd(), PollFlags::POLLIN),
                // A child whose output has no reader cannot tell us. But for such a pipe poll(2)
                // always reports POLLERR, asked or not.
                PollFd::new(stdout(), PollFlags::empty()),
                PollFd::new(broken.as_fd(), PollFlags::POLLIN),
            ];
            self.shortage
                .retry("poll", || poll(&mut fds, PollTimeout::NONE))
                .context("poll")?;
            let [connected, ended, lost, broken] =
                fds.map(|fd| fd.any() == Some(true));
            if ended {
                // We know which signal it was. Where it cannot be read, it is still there, and
                // so is the child that has ended.
                let _ = signal::read_signalfd(&self.sigchld);
                self.look_after()?;
            }
            if broken {
                return Err(ChildReported.into());
            }
            if lost {
                return Ok(Printed::NoReader);
            }
            if connected {
                return Ok(Printed::Yes);
            }
        }
    }

    /// Does with the children that have ended what `--reap` says.
    pub(super) fn look_after(&mut self) -> Result<()> {
        match self.reap {
            Reap::Loop => self.reap_all(),
            Reap::Ignore => Ok(()),
            Reap::Never => {
                self.show_zombies();
                Ok(())
            }
        }
    }

    /// waitpid(-1, WNOHANG) until no ended child is left: while one SIGCHLD waits, those
    /// of other children are lost. One waitpid(2) for each signal leaves zombies.
    fn reap_all(&mut self) -> Result<()> {
        loop {
            match waitpid_any(WaitPidFlag::WNOHANG) {
                Ok(Some((child, status))) => {
                    self.reaped("SIGCHLD, waitpid(-1, WNOHANG)", child, status)?
                }
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("waitpid"),
            }
        }
    }

    /// Says which children are zombies by now.
    fn show_zombies(&mut self) {
        if !say::on() {
            return;
        }
        for (child, client) in &self.clients {
            let state = process_identity::state(child.unsigned_abs());
            if state == Some('Z') && self.zombies.insert(*child) {
                say!(
                    "SIGCHLD: client {client}'s child has ended, and nobody asks how: \
                     /proc/{child}/stat says Z; zombies: {}",
                    self.zombies.len()
                );
            }
        }
    }

    /// Sleeps in waitpid(2) until the last child has ended.
    pub(super) fn wait_for_all(&mut self, broken: &OwnedFd) -> Result<()> {
        // With SIGCHLD ignored, waitpid(2) returns once all children have ended: ECHILD.
        while self.reap == Reap::Ignore || !self.clients.is_empty() {
            match waitpid_any(WaitPidFlag::empty()) {
                Ok(Some((child, status))) => {
                    self.reaped("waitpid(-1, 0)", child, status)?
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(error) => return Err(error).context("waitpid"),
            }
        }
        say!("done: no child is left");
        // `broken` tells of a child whose end we did not learn (`--reap ignore`).
        let mut fds = [PollFd::new(broken.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO).context("poll")? {
            0 => Ok(()),
            _ => Err(ChildReported.into()),
        }
    }

    /// By this call the kernel has reported how `child` ended, and forgotten it.
    fn reaped(&mut self, call: &str, child: i32, status: ExitStatus) -> Result<()> {
        // A process may have had children before it became this program by execve(2).
        let Some(client) = self.clients.remove(&child) else { return Ok(()) };
        match (status.code(), status.signal()) {
            (Some(0), _) => {
                say!("{call} = {child}: client {client}'s child is gone")
            }
            (Some(status), _) if status == i32::from(NO_MEMORY) => {
                say!("{call} = {child}: client {client} had no memory, and no other")
            }
            (_, Some(signal)) => say!(
                "{call} = {child}: signal {signal} has ended client {client}'s child, \
                 and no other"
            ),
            _ => return Err(ChildReported.into()),
        }
        Ok(())
    }

    /// What helps when there can be no more processes.
    pub(super) fn way_out(&self) -> &'static str {
        match self.reap {
            Reap::Never => "zombies count, too: use --reap loop",
            _ => "ulimit -u raises RLIMIT_NPROC; a client that leaves helps, too",
        }
    }
}
// ANCHOR_END: reap
