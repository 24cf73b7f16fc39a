//! Two processes that are being measured, as the bench holds them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair,
};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};

use super::ends::control::{self, MOST_TIMED};
use super::job::{ABSENT, OTHER_LEFT, TOO_LARGE};
use super::joined::Joined;
use super::placement::pin;
use super::subject::Waits;
use lab::interrupts::Interrupts;
use os::calls::poll_until;
use os::proc;
use os::process_identity::minor_faults;
use os::spawn;
use process::{Input, Output, RoleProcess};
use wire::errors::line;

/// How long an end may take to open its links, or to answer after its window.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an end may take to leave.
const LEAVE: Duration = Duration::from_secs(1);

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMeasured {
    /// The mechanism cannot carry a message of this size.
    #[error("{0}")]
    TooLarge(String),
    /// The machine, or the language, cannot do it.
    #[error("{0}")]
    Absent(String),
    /// A signal came, and ends the bench.
    #[error("interrupted")]
    Interrupted,
}

/// How a pair is started.
#[derive(Debug)]
pub(super) struct PairStart {
    /// As it is called in messages.
    pub(super) name: String,
    /// The programs of sides `a` and `b`.
    pub(super) commands: [Command; 2],
    /// The CPUs that they run on.
    pub(super) cpus: [usize; 2],
    /// How they are joined before they start, if they are.
    pub(super) joined: Joined,
    /// How they wait. A pair that never sleeps must be stopped while others are measured.
    pub(super) waits: Waits,
}

/// Two processes, one of which is steered to measure.
#[derive(Debug)]
pub(super) struct Pair {
    name: String,
    roles: [Option<RoleProcess>; 2],
    controls: [OwnedFd; 2],
    waits: Waits,
}

/// What one window has shown.
#[derive(Debug, Clone)]
pub(super) struct RoundTripWindow {
    /// The time of each batch, or of each round trip, in nanoseconds.
    pub(super) times: Vec<u32>,
    /// Context switches of both processes, in the whole window.
    pub(super) switches: [u64; 2],
}

/// What the receiving end has counted in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneWayWindow {
    /// Whole messages.
    pub(super) messages: u64,
    /// Bytes, all of them read.
    pub(super) bytes: u64,
    /// From the first bytes to the last, in nanoseconds.
    pub(super) nanoseconds: u64,
    /// Context switches of both processes.
    pub(super) switches: [u64; 2],
}

impl OneWayWindow {
    /// Bytes per second.
    pub(super) fn rate(&self) -> f64 {
        self.bytes as f64 / self.nanoseconds as f64 * 1e9
    }
}

impl Pair {
    /// Starts both ends, and waits until their links are open.
    ///
    /// # Errors
    /// [`NotMeasured`] where there is nothing to measure; what an end wrote on its
    /// standard error before it failed.
    pub(super) fn start(start: PairStart, stop: &mut Interrupts) -> Result<Pair> {
        let PairStart { name, commands: [mut a, mut b], cpus, joined, waits } =
            start;
        let (to_a, a_end) = control_socket()?;
        let (to_b, b_end) = control_socket()?;
        spawn::give(&mut a, a_end, control::DESCRIPTOR).context("dup")?;
        spawn::give(&mut b, b_end, control::DESCRIPTOR).context("dup")?;
        let (mut inputs, mut outputs) =
            ([Input::Nothing, Input::Nothing], [Output::Kept, Output::Kept]);
        if let Some([one, other]) = joined.sockets {
            spawn::give(&mut a, one, control::DESCRIPTOR + 1).context("dup")?;
            spawn::give(&mut b, other, control::DESCRIPTOR + 1).context("dup")?;
        }
        if let Some([read, written]) = joined.streams {
            inputs = read.map(Input::From);
            outputs = written.map(Output::To);
        }
        let [input_a, input_b] = inputs;
        let [output_a, output_b] = outputs;
        // Before exec, so that they see how many CPUs they share when they open their
        // links: a process that has one CPU only must not spin.
        for command in [&mut a, &mut b] {
            command.process_group(0); // Ctrl-C comes to the bench alone, or to no process (nohup)
            spawn::pin(command, &cpus);
        }
        let a = RoleProcess::start_with(
            &format!("{name}, a"),
            a,
            input_a,
            output_a,
            None,
        )?;
        let b = RoleProcess::start_with(
            &format!("{name}, b"),
            b,
            input_b,
            output_b,
            None,
        )?;
        let mut pair =
            Pair { name, roles: [Some(a), Some(b)], controls: [to_a, to_b], waits };
        for side in [1, 0] {
            let answer = pair.answer(side, stop)?;
            if answer != b"ready" {
                bail!("{}: {:?} instead of ready", pair.name, answer);
            }
        }
        for (pid, cpu) in pair.pids().into_iter().zip(cpus) {
            pin(pid, &[cpu])?;
        }
        pair.rest()?;
        Ok(pair)
    }

    /// Whether each side sleeps in each round trip, wherever it runs.
    pub(super) fn sleeps(&self) -> bool {
        self.waits == Waits::Sleeps
    }

    fn pids(&self) -> [Option<Pid>; 2] {
        [0, 1].map(|side| self.roles[side].as_ref().map(RoleProcess::pid))
    }

    /// Round trips for `window`, in batches of [`control::BATCH`].
    ///
    /// # Errors
    /// What an end wrote before it failed.
    pub(super) fn batches(
        &mut self,
        window: Duration,
        stop: &mut Interrupts,
    ) -> Result<RoundTripWindow> {
        self.timed(control::Command::Batches(window), stop)
    }

    /// Round trips for `window`, each of them timed.
    ///
    /// # Errors
    /// What an end wrote before it failed.
    pub(super) fn each(
        &mut self,
        window: Duration,
        stop: &mut Interrupts,
    ) -> Result<RoundTripWindow> {
        self.timed(control::Command::Each(window), stop)
    }

    fn timed(
        &mut self,
        command: control::Command,
        stop: &mut Interrupts,
    ) -> Result<RoundTripWindow> {
        self.wake()?;
        let before = self.switches();
        self.tell(command)?;
        let answer = self.answer(0, stop)?;
        let after = self.switches();
        self.rest()?;
        self.both_are_there()?;
        let (words, _) = answer.as_chunks::<4>();
        let times = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        Ok(RoundTripWindow {
            times,
            switches: [0, 1].map(|side| after[side].saturating_sub(before[side])),
        })
    }

    /// Messages one way for `window`.
    ///
    /// # Errors
    /// What an end wrote before it failed; a message that was lost or changed.
    pub(super) fn one_way(
        &mut self,
        window: Duration,
        stop: &mut Interrupts,
    ) -> Result<OneWayWindow> {
        self.wake()?;
        let before = self.switches();
        self.tell(control::Command::Send(window))?;
        let [sent, _] = numbers(&self.answer(0, stop)?)?;
        let [messages, bytes, nanoseconds, bad] = numbers(&self.answer(1, stop)?)?;
        let after = self.switches();
        self.rest()?;
        self.both_are_there()?;
        if bad > 0 {
            bail!("{}: {bad} messages are not what was sent", self.name);
        }
        if messages != sent {
            bail!("{}: {sent} messages sent, {messages} received", self.name);
        }
        let switches = [0, 1].map(|side| after[side].saturating_sub(before[side]));
        Ok(OneWayWindow { messages, bytes, nanoseconds, switches })
    }

    /// Lets both ends leave, and makes sure that they do.
    ///
    /// # Errors
    /// Answers that were not what was sent.
    pub(super) fn quit(mut self, stop: &mut Interrupts) -> Result<()> {
        self.wake()?;
        self.tell(control::Command::Quit)?;
        let last = self.answer(0, stop)?;
        let last = String::from_utf8_lossy(&last).into_owned();
        if last.strip_prefix("bad ").is_none_or(|count| count.trim() != "0") {
            bail!("{}: not every answer was right: {last}", self.name);
        }
        // A mechanism without an end of its own gets it here; drop sees to the rest.
        let _ = send(self.controls[1].as_raw_fd(), b"quit", MsgFlags::MSG_NOSIGNAL);
        Ok(())
    }

    fn tell(&self, command: control::Command) -> Result<()> {
        let text = command.text();
        let flags = MsgFlags::MSG_NOSIGNAL;
        let told = send(self.controls[0].as_raw_fd(), text.as_bytes(), flags);
        told.with_context(|| format!("{}: send", self.name)).map(drop)
    }

    /// The next packet of one side; what it wrote, if it failed instead.
    fn answer(&mut self, side: usize, stop: &mut Interrupts) -> Result<Vec<u8>> {
        let deadline = Instant::now() + DEADLINE;
        let mut other_left = false;
        let mut bytes = vec![0; MOST_TIMED * 4];
        loop {
            let mut fds = [
                PollFd::new(&self.controls[side], PollFlags::IN),
                PollFd::new(&stop.signals, PollFlags::IN),
                PollFd::new(&self.controls[1 - side], PollFlags::empty()),
            ];
            let asked = if other_left { &mut fds[..2] } else { &mut fds[..] };
            let left = deadline.saturating_duration_since(Instant::now());
            poll_until(asked, Some(left)).context("poll")?;
            let ready = fds[0].revents();
            let leaves = !fds[2].revents().is_empty();
            other_left |= leaves;
            if stop.pending()? {
                return Err(NotMeasured::Interrupted.into());
            }
            if !ready.is_empty() {
                let fd = self.controls[side].as_raw_fd();
                match recv(fd, &mut bytes, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) | Err(Errno::ECONNRESET) => return Err(self.failed(side)),
                    Ok(n) => {
                        bytes.truncate(n);
                        return Ok(bytes);
                    }
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(error) => return Err(error).context("recv from an end"),
                }
            } else if leaves && let Err(error) = self.left(1 - side) {
                return Err(error);
            }
            if Instant::now() >= deadline {
                let seconds = DEADLINE.as_secs();
                bail!("{}: no answer for {seconds} s", self.name);
            }
        }
    }

    /// Why `side` has left, which it should not have.
    fn failed(&mut self, side: usize) -> anyhow::Error {
        let followed = match self.left(side) {
            Err(error) if !line(&error).ends_with(OTHER_LEFT) => return error,
            Err(error) => error,
            Ok(()) => anyhow::anyhow!("{}: it has left too early", self.name),
        };
        self.left(1 - side).err().unwrap_or(followed)
    }

    /// Why `side` has left. Without an error of its own it left because the other side did, which
    /// has more to report.
    fn left(&mut self, side: usize) -> Result<()> {
        let Some(role) = self.roles[side].take() else { return Ok(()) };
        let outcome = role.wait(Instant::now() + LEAVE)?;
        if outcome.status.success() {
            return Ok(());
        }
        let said = outcome.stderr.trim();
        let said = said.strip_prefix("ipclab: ").unwrap_or(said).to_owned();
        Err(match outcome.status.code() {
            Some(TOO_LARGE) => NotMeasured::TooLarge(said).into(),
            Some(ABSENT) => NotMeasured::Absent(said).into(),
            _ => anyhow::anyhow!("{}: {}: {said}", self.name, outcome.status),
        })
    }

    /// A process that has left has no context switches to count.
    fn both_are_there(&self) -> Result<()> {
        let there = self.roles.iter().all(Option::is_some);
        there.then_some(()).with_context(|| format!("{}: one has left", self.name))
    }

    /// Context switches of both processes until now, whether they slept or were made to
    /// make room: `/proc/PID/status`.
    fn switches(&self) -> [u64; 2] {
        self.pids().map(|pid| pid.map_or(0, switches))
    }

    /// The minor page faults of both processes until now.
    pub(super) fn faults(&self) -> u64 {
        let pids = self.pids().into_iter().flatten();
        pids.filter_map(|pid| minor_faults(pid.as_raw() as u32)).sum()
    }

    /// Stops a pair that spins: the next pair has the CPUs for itself.
    fn rest(&self) -> Result<()> {
        self.all(Signal::SIGSTOP)
    }

    fn wake(&self) -> Result<()> {
        self.all(Signal::SIGCONT)
    }

    fn all(&self, signal: Signal) -> Result<()> {
        let mut roles =
            self.roles.iter().flatten().filter(|_| self.waits == Waits::Spins);
        roles.try_for_each(|role| role.signal(signal))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.wake();
        for role in self.roles.iter_mut().filter_map(Option::take) {
            // An end that has received the goodbye leaves by itself; SIGTERM lets the others
            // clear their names away; an end that goes on is killed.
            let deadline = Instant::now() + LEAVE;
            let mut all = [role];
            if !wait_a_little(&mut all, LEAVE / 50) {
                let _ = all[0].signal(Signal::SIGTERM);
            }
            let [role] = all;
            let _ = role.wait(deadline);
        }
    }
}

fn wait_a_little(roles: &mut [RoleProcess; 1], time: Duration) -> bool {
    let mut fds = [PollFd::new(roles[0].pidfd(), PollFlags::IN)];
    let _ = poll_until(&mut fds, Some(time));
    roles[0].has_ended()
}

/// A socket that keeps packets whole, and reports the end of its peer.
fn control_socket() -> Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).context("socketpair")
}

fn switches(pid: Pid) -> u64 {
    let status = proc::text(format!("/proc/{pid}/status"));
    let status = status.unwrap_or_default();
    let counts = status.lines().filter_map(|line| {
        let (name, count) = line.split_once(':')?;
        // Both of them: `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches`.
        let counts = name.ends_with("voluntary_ctxt_switches");
        if counts { count.trim().parse::<u64>().ok() } else { None }
    });
    counts.sum()
}

/// The numbers that an end has answered with.
fn numbers<const N: usize>(answer: &[u8]) -> Result<[u64; N]> {
    let text = String::from_utf8_lossy(answer);
    let numbers: Vec<u64> =
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let got = numbers.len();
    numbers.try_into().ok().with_context(|| format!("{got} numbers in {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a pair whose ends do this after they were ready.
    fn said_of(a: &str, b: &str) -> anyhow::Error {
        let end = |then: &str| {
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                &format!("printf ready >&3; dd bs=64 count=1 <&3 >&- 2>&-; {then}"),
            ]);
            shell
        };
        let mut stop = Interrupts::watch().unwrap();
        let cpu = crate::placement::Cpus::choose().unwrap().first;
        let start = PairStart {
            name: "a pair".to_owned(),
            commands: [end(a), end(b)],
            cpus: [cpu; 2],
            joined: Joined::default(),
            waits: Waits::Sleeps,
        };
        let mut pair = Pair::start(start, &mut stop).unwrap();
        let _ = send(pair.controls[1].as_raw_fd(), b"go", MsgFlags::MSG_NOSIGNAL);
        pair.batches(Duration::from_millis(1), &mut stop).unwrap_err()
    }

    #[test]
    fn who_left_because_the_other_did_is_not_blamed() {
        let follows = "echo the other side has left >&2; exit 1";
        for (a, b) in [
            (follows, "echo boom >&2; exit 1"),
            ("exit 0", "echo boom >&2; exit 1"),
            ("echo boom >&2; exit 1", "exit 0"),
        ] {
            let error = line(&said_of(a, b));
            assert!(error.contains("boom"), "{a}, {b}: {error}");
        }
        let large = said_of("echo too much >&2; exit 3", "exit 0");
        let why = large.downcast_ref::<NotMeasured>();
        assert!(matches!(why, Some(NotMeasured::TooLarge(_))), "{large:?}");
        assert!(line(&said_of("exit 0", "exit 0")).contains("left too early"));
    }
}
