//! The parent: starts a program, and talks with it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::stdio::stderr;

use super::family::Family;
use os::calls::poll_until;
use os::inheritance::ends_us;
use os::signal::retry_on_intr;
use wire::errors::usage;
use wire::payload::{Payload, Printed, Style};
use wire::say;
use wire::say::Commentary;
use wire::standard;
use wire::transfer::{read, write_all};
use wire::visible::visible_but;

/// The options of `spawn parent`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ipclab spawn parent [OPTIONS] [MESSAGE]...\n       [-- COMMAND...]"
)]
pub struct Options {
    /// Each argument is a line for the child; without any, it gets standard input
    #[arg(value_name = "MESSAGE")]
    messages: Vec<OsString>,

    /// The program to start; without it, the role child of this one
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Why the talk is over.
#[derive(Debug, Clone, Copy)]
enum Over {
    /// The child has ended.
    Ended,
    /// Nobody reads what we print.
    NoReader,
    /// This signal came, and would have ended us.
    Signal(Signal),
}

/// Plays the parent.
///
/// # Errors
/// A command that cannot be started, a child that fails; standard input or output.
pub fn play(options: &Options) -> Result<()> {
    let mut waiting = Vec::new();
    for message in &options.messages {
        if message.as_bytes().contains(&b'\n') {
            return Err(usage("a message is a line: it cannot hold a newline"));
        }
        waiting.extend_from_slice(message.as_bytes());
        waiting.push(b'\n');
    }
    let input = match options.messages.is_empty() {
        true => Some(standard::input()?),
        false => None,
    };
    let mut payload = Payload::new(Style::Bytes)?;
    // A signal that ends us ends the family first: it waits for us in a descriptor.
    let mut mask = ends_us();
    mask.add(Signal::SIGALRM); // of --timeout
    mask.thread_block().context("sigprocmask")?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&mask, flags).context("signalfd")?;
    let mut family = Family::start(command(options))?;
    let mut link = Link::to(&mut family, waiting)?;
    if input.is_some() {
        say::typing(true);
    }
    let over = link.talk(&family, &signals, input, &mut payload)?;
    if let Over::Signal(signal) = over {
        let timed_out = signal == Signal::SIGALRM;
        family.signal(if timed_out { Signal::SIGTERM } else { signal });
        link.grace(&family, &mut payload)?;
    }
    let status = family.end()?;
    link.drain(&mut payload)?;
    match over {
        Over::Ended => judge(status),
        Over::NoReader => Ok(()),
        Over::Signal(signal) => {
            raise(signal).context("raise")?;
            mask.thread_unblock().context("sigprocmask")
        }
    }
}

/// What is started.
fn command(options: &Options) -> Command {
    if let [program, arguments @ ..] = &options.command[..] {
        let mut command = Command::new(program);
        command.args(arguments);
        return command;
    }
    let mut itself = Command::new("/proc/self/exe");
    itself.arg0("ipclab").args(["spawn", "child"]);
    itself.args((!say::on()).then_some("-q"));
    itself
}

fn judge(status: ExitStatus) -> Result<()> {
    match status.success() {
        true => Ok(()),
        false => bail!("the child has failed: {status}"),
    }
}

/// The parent's ends of the three pipes, and what is under way.
#[derive(Debug)]
struct Link {
    /// The write end, until all is written.
    to_child: Option<OwnedFd>,
    /// What is to be written.
    waiting: Vec<u8>,
    /// The read ends of its standard output and standard error, until they have ended.
    from_child: [Option<OwnedFd>; 2],
    /// Of its standard error, the beginning of a line.
    errors: Vec<u8>,
    calls: [Commentary; 3],
    buffer: Vec<u8>,
}

/// What poll(2) has found ready.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ready {
    Signals,
    Family,
    Input,
    ToChild,
    FromChild(usize),
}

/// What the two read ends are of.
const NAMES: [&str; 2] = ["standard output", "standard error"];

impl Link {
    fn to(family: &mut Family, waiting: Vec<u8>) -> Result<Link> {
        let child = family.leader();
        let to_child = child.stdin.take().map(OwnedFd::from).context("no pipe")?;
        let from_child = [
            child.stdout.take().map(OwnedFd::from),
            child.stderr.take().map(OwnedFd::from),
        ];
        // Our end alone: the child's end is another open file description.
        fcntl(&to_child, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("fcntl")?;
        Ok(Link {
            to_child: Some(to_child),
            waiting,
            from_child,
            errors: Vec::new(),
            calls: ["write", "read", "read"].map(Commentary::of),
            buffer: vec![0; CHUNK],
        })
    }

    // ANCHOR: talk
    /// Writes and reads whatever can be written and read, until the child has ended.
    fn talk(
        &mut self,
        family: &Family,
        signals: &SignalFd,
        mut input: Option<impl AsFd + Copy>,
        payload: &mut Payload,
    ) -> Result<Over> {
        loop {
            if self.waiting.is_empty()
                && input.is_none()
                && self.to_child.take().is_some()
            {
                say!("close(the child's standard input): it reads the end");
            }
            // Only what is waited for: a pipe that is ready, and is not used, would wake us.
            let mut on = vec![
                (Ready::Signals, signals.as_fd(), PollFlags::IN),
                (Ready::Family, family.as_fd(), PollFlags::IN),
            ];
            if let Some(input) = input.as_ref().filter(|_| self.waiting.is_empty()) {
                on.push((Ready::Input, input.as_fd(), PollFlags::IN));
            }
            if let Some(end) =
                self.to_child.as_ref().filter(|_| !self.waiting.is_empty())
            {
                on.push((Ready::ToChild, end.as_fd(), PollFlags::OUT));
            }
            for (number, end) in self.from_child.iter().enumerate() {
                let end = end.as_ref().map(|end| end.as_fd());
                on.extend(
                    end.map(|end| (Ready::FromChild(number), end, PollFlags::IN)),
                );
            }
            let mut fds: Vec<_> = on
                .iter()
                .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
                .collect();
            poll_until(&mut fds, None).context("poll")?; // sleeps until one is ready
            let ready =
                on.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
            let ready: Vec<_> = ready.map(|((what, ..), _)| *what).collect();
            for what in &ready {
                match *what {
                    Ready::Signals => {
                        let info =
                            signals.read_signal().context("read the signalfd")?;
                        let signal = info.and_then(|info| {
                            Signal::try_from(info.ssi_signo as i32).ok()
                        });
                        if let Some(signal) = signal {
                            return Ok(Over::Signal(signal));
                        }
                    }
                    Ready::FromChild(number) => {
                        if self.take(number, payload)? == Printed::NoReader {
                            return Ok(Over::NoReader);
                        }
                    }
                    Ready::ToChild => self.give()?,
                    Ready::Input => {
                        let from = input.as_ref().context("no input")?;
                        let n = read(from, &mut self.buffer)
                            .map_err(standard::unread)?;
                        self.waiting.extend_from_slice(&self.buffer[..n]);
                        input = input.filter(|_| n > 0);
                    }
                    Ready::Family => {}
                }
            }
            if self.to_child.is_none() {
                input = None; // the child reads no more
            }
            // After what it has written: that was there before it ended.
            if ready.contains(&Ready::Family) {
                return Ok(Over::Ended);
            }
        }
    }

    /// Writes what the pipe has room for.
    fn give(&mut self) -> Result<()> {
        let Some(end) = &self.to_child else { return Ok(()) };
        let piece = &self.waiting[..self.waiting.len().min(CHUNK)];
        self.calls[0].call(piece.len(), || format!("write({})", say::data(piece)));
        match nix::unistd::write(end, piece) {
            Ok(n) => drop(self.waiting.drain(..n)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EPIPE) => {
                say!("write() = EPIPE: the child has closed its standard input");
                self.to_child = None;
                self.waiting.clear();
            }
            Err(error) => return Err(error).context("write to the child"),
        }
        Ok(())
    }
    // ANCHOR_END: talk

    /// Reads once what the child has written, and passes it on.
    fn take(&mut self, number: usize, payload: &mut Payload) -> Result<Printed> {
        let Some(end) = &self.from_child[number] else { return Ok(Printed::Yes) };
        let name = NAMES[number];
        let n = retry_on_intr(|| nix::unistd::read(end, &mut self.buffer));
        let n = n.with_context(|| format!("read the child's {name}"))?;
        let piece = &self.buffer[..n];
        if n == 0 {
            say!("read({name}) = 0: its last writer has closed it");
            self.from_child[number] = None;
            self.tell(number == 1)?;
        } else if number == 0 {
            self.calls[1]
                .call(n, || format!("read({name}) = {n}: {}", say::bytes(piece)));
            return payload.print(piece);
        } else {
            self.errors.extend_from_slice(piece);
            self.tell(self.errors.len() > CHUNK)?;
        }
        Ok(Printed::Yes)
    }

    /// Passes the child's standard error on, in whole lines, unless `all` of it is due.
    fn tell(&mut self, all: bool) -> Result<()> {
        let whole = self.errors.iter().rposition(|byte| *byte == b'\n');
        let whole =
            if all { self.errors.len() } else { whole.map_or(0, |at| at + 1) };
        let lines: Vec<u8> = self.errors.drain(..whole).collect();
        // What cannot be written is left out, as of the commentary.
        let _ = match stderr().is_terminal() {
            true => write_all(stderr(), visible_but(&*lines, "\n\t").as_bytes()),
            false => write_all(stderr(), &lines),
        };
        Ok(())
    }

    /// Gives a family that has got a signal a second to end by itself.
    fn grace(&mut self, family: &Family, payload: &mut Payload) -> Result<()> {
        const GRACE: Duration = Duration::from_secs(1);
        let mut fds = [PollFd::new(family, PollFlags::IN)];
        poll_until(&mut fds, Some(GRACE)).context("poll")?;
        self.drain(payload)
    }

    /// Reads what is in the pipes by now.
    fn drain(&mut self, payload: &mut Payload) -> Result<()> {
        for number in 0..NAMES.len() {
            while let Some(end) = &self.from_child[number] {
                let mut fds = [PollFd::new(end, PollFlags::IN)];
                poll_until(&mut fds, Some(Duration::ZERO)).context("poll")?;
                if fds[0].revents().is_empty()
                    || self.take(number, payload)? == Printed::NoReader
                {
                    break;
                }
            }
        }
        self.tell(true)
    }
}
