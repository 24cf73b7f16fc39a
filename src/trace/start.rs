//! Starting programs under the tracer, and running them to their end.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2, read, write};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use super::tracer::Tracer;
use os::inheritance::ends_us;
use os::proc::{Activity, activity};
use os::spawn::{self, Forked};
use wire::errors::Advise;
use wire::visible::visible;

/// The signals by which a terminal stops a process group: for Ctrl-Z, and for a background
/// process that reads or sets the terminal.
const STOPS: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// Why the tracer stopped waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// The descriptor that was waited for can be read, or was closed.
    Ready,
    /// All have ended.
    Ended,
    /// Ctrl-C, or another signal that ends us.
    Interrupted,
    /// It took too long.
    Late,
    /// A program has failed without which the others need not go on.
    Failed,
}

/// The signals that end us, and SIGCHLD, which reports that a tracee has stopped, as something
/// to poll.
#[derive(Debug)]
pub(super) struct Watch {
    signals: SignalFd,
    mask: SigSet,
    /// The first signal that asked us to end.
    pub(super) caught: Option<Signal>,
    /// Ctrl-C, which the terminal has sent to the programs as well.
    pub(super) theirs: Option<Signal>,
    /// Whether a signal has come that was not asked for yet.
    pending: bool,
    /// Whether the terminal has stopped us, as it has the programs.
    stopping: bool,
    /// Whether the programs are in our process group, and so have the terminal as they
    /// would without us.
    shared: bool,
    /// What tracees write to us, by name; none once it has ended.
    taps: Vec<(String, Option<OwnedFd>, Vec<u8>)>,
}

impl Watch {
    /// Blocks the signals, and opens the descriptor. `shared`: the programs are to be in
    /// our process group.
    ///
    /// # Errors
    /// EMFILE.
    pub(super) fn begin(shared: bool) -> Result<Watch> {
        let mut mask = ends_us();
        mask.add(Signal::SIGCHLD);
        if shared {
            mask.extend(STOPS);
            mask.add(Signal::SIGQUIT);
        }
        mask.thread_block().context("sigprocmask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).context("signalfd")?;
        Ok(Watch {
            signals,
            mask,
            caught: None,
            theirs: None,
            pending: false,
            stopping: false,
            shared,
            taps: Vec::new(),
        })
    }

    /// Keeps what comes out of `fd`, so that no tracee blocks on a full pipe.
    pub(super) fn keep(&mut self, fd: OwnedFd, name: &str) {
        let flags = OFlags::NONBLOCK;
        let fd = fcntl_setfl(&fd, flags).is_ok().then_some(fd);
        self.taps.push((name.to_owned(), fd, Vec::new()));
    }

    /// What the first of that name has written.
    pub(super) fn kept(&self, name: &str) -> Vec<u8> {
        let tap = self.taps.iter().find(|(tap, ..)| tap == name);
        tap.map(|(_, _, bytes)| bytes.clone()).unwrap_or_default()
    }

    /// Reads what has been written to us.
    pub(super) fn drain(&mut self) {
        for (_, fd, bytes) in &mut self.taps {
            *fd = fd.take().filter(|fd| drain(fd, bytes));
        }
    }

    /// Ends as the signal that was caught would have ended us.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn end_by(&self, signal: Signal) -> Result<()> {
        raise(signal).context("raise")?;
        self.mask.thread_unblock().context("sigprocmask")
    }

    /// Takes note of the signals that have come.
    fn listen(&mut self) -> Result<()> {
        while let Some(info) =
            self.signals.read_signal().context("read a signalfd")?
        {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else {
                continue;
            };
            // A key that was pressed: the kernel signals all of the foreground group.
            let key = info.ssi_code == libc::SI_KERNEL && self.shared;
            match signal {
                Signal::SIGCHLD => {}
                signal if STOPS.contains(&signal) => self.stopping = true,
                Signal::SIGINT if key => self.theirs = Some(signal),
                signal => {
                    self.caught.get_or_insert(signal);
                    self.pending = true;
                }
            }
        }
        Ok(())
    }

    /// Stops as the programs are stopped, for example by Ctrl-Z, so that the shell sees it; goes
    /// on when the shell says so.
    fn stop_with(&mut self, tracer: &Tracer) -> Result<()> {
        if self.stopping && tracer.all_stopped() {
            self.stopping = false;
            raise(Signal::SIGSTOP).context("raise")?;
        }
        Ok(())
    }

    /// Whether a signal that ends us has come since the last time.
    fn interrupted(&mut self) -> Result<bool> {
        self.listen()?;
        Ok(std::mem::take(&mut self.pending))
    }
}

/// Handles what the tracees do until one of the [`Pause`]s.
///
/// # Errors
/// As waitpid(2) and poll(2).
pub(super) fn follow(
    tracer: &mut Tracer,
    watch: &mut Watch,
    until: Option<Until<'_>>,
    deadline: Option<Instant>,
) -> Result<Pause> {
    loop {
        // This first: that a role has ended closes its descriptor as well.
        if until.is_some_and(Until::has_come) {
            return Ok(Pause::Ready);
        }
        // The signals before the stops: poll reports a signal that comes in between.
        if watch.interrupted()? {
            return Ok(Pause::Interrupted);
        }
        let mut busy = 0;
        while tracer.step()? {
            busy += 1;
            if busy % 64 == 0 && watch.interrupted()? {
                return Ok(Pause::Interrupted);
            }
        }
        // A key signals all of the foreground group before one of it can have ended.
        if !tracer.alive() && watch.interrupted()? {
            return Ok(Pause::Interrupted);
        }
        if tracer.has_failed() {
            return Ok(Pause::Failed);
        }
        // A program that Ctrl-C has ended ends us, and what is left of it; a program that
        // handles SIGINT goes its own way.
        if let Some(signal) = watch.theirs.filter(|it| tracer.ended_by(*it as i32)) {
            watch.caught.get_or_insert(signal);
            return Ok(Pause::Interrupted);
        }
        watch.stop_with(tracer)?;
        if !tracer.alive() {
            return Ok(if until.is_some() { Pause::Ready } else { Pause::Ended });
        }
        let left = deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Pause::Late);
        }
        wait(watch, until, left)?;
        watch.drain();
    }
}

fn wait(
    watch: &Watch,
    until: Option<Until<'_>>,
    left: Option<Duration>,
) -> Result<()> {
    const LOOK: Duration = Duration::from_micros(500);
    let (ready, left) = match until {
        Some(Until::Readable(fd)) => (Some(fd), left),
        // No event reports that a process falls asleep.
        Some(Until::Asleep(_) | Until::Gone(_)) => {
            (None, left.map(|left| left.min(LOOK)))
        }
        None => (None, left),
    };
    let timeout =
        left.map(Timespec::try_from).transpose().context("a far deadline")?;
    let mut fds = vec![PollFd::new(&watch.signals, PollFlags::IN)];
    fds.extend(
        watch
            .taps
            .iter()
            .flat_map(|(_, fd, _)| fd)
            .map(|fd| PollFd::new(fd, PollFlags::IN)),
    );
    fds.extend(ready.map(|fd| PollFd::new(fd, PollFlags::IN)));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("poll"),
    }
}

/// What [`follow`] waits for, beside the end of all.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until<'a> {
    /// A descriptor is readable, or its last writer has ended.
    Readable(&'a OwnedFd),
    /// A process sleeps in a system call, or has ended.
    Asleep(Pid),
    /// A process has ended.
    Gone(Pid),
}

impl Until<'_> {
    fn has_come(self) -> bool {
        match self {
            Until::Readable(fd) => {
                let mut fds = [PollFd::new(fd, PollFlags::IN)];
                poll(&mut fds, Some(&Timespec::default()))
                    .is_ok_and(|ready| ready > 0)
            }
            Until::Asleep(pid) => activity(pid) != Activity::Other,
            Until::Gone(pid) => activity(pid) == Activity::Ended,
        }
    }
}

/// Starts `command` under the tracer. Its first traced call is its execve. A chapter's role
/// gets a process group of its own, so that Ctrl-C comes to us alone; any other program
/// stays in ours, in the foreground if we are.
///
/// The child waits at a gate between fork and exec until we hold it.
///
/// # Errors
/// ENOENT, EACCES when there is no such program; EPERM, ENOSYS where ptrace is forbidden.
pub(super) fn start(
    tracer: &mut Tracer,
    watch: &mut Watch,
    name: &str,
    mut command: Command,
) -> Result<Pid> {
    let (gate, key) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (failure, tell) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    if !watch.shared {
        command.process_group(0);
    }
    let pid = match spawn::fork().context("fork")? {
        Forked::Parent(pid) => pid,
        Forked::Child => {
            // With its own copy of our end it would not notice that we are gone.
            drop(key);
            if read(&gate, &mut [0]) == Ok(1) {
                let error = command.exec().raw_os_error().unwrap_or(0);
                let _ = write(&tell, &error.to_ne_bytes());
            }
            let _ = raise(Signal::SIGKILL);
            unreachable!("SIGKILL cannot be survived");
        }
    };
    drop((gate, tell));
    let what = visible(command.get_program().as_bytes());
    // The command holds copies of what it was given: they would keep EOF away.
    drop(command);
    if let Err(error) = tracer.seize(pid, name) {
        drop(key);
        let _ = waitpid(pid, None);
        return Err(error).context("ptrace(PTRACE_SEIZE)").advise(forbidden);
    }
    first_steps(tracer, watch, pid, &key)?;
    let mut errno = [0; 4];
    match read(&failure, &mut errno) {
        Ok(4) => {
            let errno = Errno::from_raw(i32::from_ne_bytes(errno));
            Err(errno).with_context(|| format!("execve {what}")).advise(|_| {
                (errno == Errno::EACCES).then_some(
                    "it is not a program that you may run: see its mode (ls -l), and its \
                     directory's",
                )
            })
        }
        _ => Ok(pid),
    }
}

/// Opens the gate once the child is stopped, and follows it into its program.
fn first_steps(
    tracer: &mut Tracer,
    watch: &mut Watch,
    pid: Pid,
    key: &OwnedFd,
) -> Result<()> {
    let mut open = false;
    while !tracer.has_begun(pid) {
        watch.listen()?;
        while !tracer.has_begun(pid) && tracer.step()? {
            if !open && tracer.holds(pid) {
                write(key, &[1]).context("write to the child")?;
                open = true;
            }
        }
        if !tracer.has_begun(pid) {
            wait(watch, None, None)?;
        }
    }
    Ok(())
}

fn forbidden(error: &anyhow::Error) -> Option<&'static str> {
    matches!(wire::errors::errno(error), Some(Errno::EPERM | Errno::ENOSYS | Errno::EACCES))
        .then_some(
            "tracing is forbidden here: in a container allow ptrace (docker run \
             --cap-add=SYS_PTRACE), elsewhere sysctl kernel.yama.ptrace_scope=1 (3 forbids \
             it to all)",
        )
}

/// Ends all tracees: by `signal` first, after two seconds by SIGKILL.
///
/// # Errors
/// As [`follow`].
pub(super) fn end_all(
    tracer: &mut Tracer,
    watch: &mut Watch,
    signal: Signal,
) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    tracer.note_sleepers();
    for signal in [signal, Signal::SIGKILL] {
        for pid in tracer.pids() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        let deadline = Instant::now() + PATIENCE;
        // A second Ctrl-C: the user does not want to wait.
        if follow(tracer, watch, None, Some(deadline))? == Pause::Ended {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads what is in a non-blocking descriptor; `false` at its end.
fn drain(fd: &OwnedFd, into: &mut Vec<u8>) -> bool {
    let Ok(copy) = fd.try_clone() else { return false };
    let mut file = std::fs::File::from(copy);
    match file.read_to_end(into) {
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}
