//! Real processes, watched and always reaped.
//!
//! A [`RoleProcess`] is a running command whose output is read as it comes, so that it never
//! blocks on a full pipe; it is killed and reaped when it is dropped. Nothing here sleeps
//! to be in time: each wait is for an event, and has a deadline.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid as RustixPid, PidfdFlags, pidfd_open};

use os::calls::poll_until;
use os::{inheritance, spawn};

/// A running command.
#[derive(Debug)]
pub struct RoleProcess {
    /// What it is called in messages.
    pub name: String,
    child: Child,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Tape,
    stderr: Tape,
    ended: Option<ExitStatus>,
}

/// How a command ended, and what it wrote.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit status, or the signal that ended it.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: String,
}

/// Where a command's standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// Nothing: an immediate end of file.
    #[default]
    Nothing,
    /// These bytes, written by a thread of ours.
    Bytes(Vec<u8>),
    /// Left open, and fed by [`RoleProcess::feed`].
    Open,
    /// This descriptor: a file, or a pipe from another command.
    From(OwnedFd),
}

/// Where a command's standard output goes.
#[derive(Default)]
pub enum Output {
    /// Kept, for [`RoleProcess::wait`] and [`RoleProcess::wait_for_output`].
    #[default]
    Kept,
    /// Into this descriptor: a file, or a pipe to another command.
    To(OwnedFd),
}

impl RoleProcess {
    /// Starts `command`, called `name` in messages.
    ///
    /// # Errors
    /// ENOENT when there is no such program, EAGAIN at the limit of processes.
    pub fn start(name: &str, command: Command, input: Input) -> Result<RoleProcess> {
        RoleProcess::start_with(name, command, input, Output::Kept, None)
    }

    /// Starts `command` with its standard error, if one is given, in `stderr` instead of
    /// kept: several commands may share one pipe, so that the order of their lines is the
    /// order in which they were written.
    ///
    /// # Errors
    /// As [`RoleProcess::start`].
    pub fn start_with(
        name: &str,
        mut command: Command,
        input: Input,
        output: Output,
        stderr: Option<OwnedFd>,
    ) -> Result<RoleProcess> {
        let (stdin, bytes) = match input {
            Input::Nothing => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::Open => (Stdio::piped(), None),
            Input::From(fd) => (Stdio::from(fd), None),
        };
        let stdout = match output {
            Output::Kept => Stdio::piped(),
            Output::To(fd) => Stdio::from(fd),
        };
        spawn::die_with_parent(&mut command);
        inheritance::start_afresh(&mut command);
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr.map_or_else(Stdio::piped, Stdio::from))
            .spawn()
            .with_context(|| format!("spawn {name}: {:?}", command.get_program()))?;
        // The command holds copies of what it was given: they would keep EOF away.
        drop(command);
        let watched = watch(&mut child, bytes);
        let (pidfd, stdin, stdout, stderr) = watched.inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let name = name.to_owned();
        Ok(RoleProcess { name, child, pidfd, stdin, stdout, stderr, ended: None })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Writes to its standard input, which was started as [`Input::Open`].
    ///
    /// # Errors
    /// EPIPE when it has stopped reading.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is not open")?;
        stdin.write_all(bytes).with_context(|| format!("write to {}", self.name))
    }

    /// Closes its standard input: the command reads an end of file.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// ESRCH when it has ended and was reaped.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        kill(self.pid(), signal).with_context(|| format!("kill {}", self.name))
    }

    /// Whether it has ended; does not wait.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    /// Whether it has ended with a failure; does not wait.
    pub fn has_failed(&mut self) -> bool {
        self.has_ended() && self.ended.is_some_and(|status| !status.success())
    }

    /// How much it has written to standard output so far, in bytes.
    pub fn output_length(&self) -> usize {
        self.stdout.length()
    }

    /// The descriptor that is readable once it has ended.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Waits until its standard error holds `text`.
    ///
    /// # Errors
    /// When it ends or the deadline passes without it; all that it wrote is named.
    pub fn wait_for_comment(&self, text: &str, deadline: Instant) -> Result<()> {
        self.stderr
            .wait_for(text.as_bytes(), deadline)
            .with_context(|| self.story(text))
    }

    /// Waits until its standard output holds `text`.
    ///
    /// # Errors
    /// When it ends or the deadline passes without it; all that it wrote is named.
    pub fn wait_for_output(&self, text: &[u8], deadline: Instant) -> Result<()> {
        self.stdout
            .wait_for(text, deadline)
            .with_context(|| self.story(&text.escape_ascii().to_string()))
    }

    fn story(&self, awaited: &str) -> String {
        let (out, err) = (self.stdout.so_far(), self.stderr.so_far());
        format!(
            "{} never wrote {awaited:?}; its output: {:?}; its errors: {}",
            self.name,
            String::from_utf8_lossy(&out[..out.len().min(400)]),
            String::from_utf8_lossy(&err),
        )
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When the deadline passes; it is killed then, and what it wrote is named.
    pub fn wait(mut self, deadline: Instant) -> Result<Outcome> {
        self.stdin = None;
        if !self.wait_end(deadline)? {
            let story = self.story("its end");
            bail!("deadline: {} still runs; {story}", self.name);
        }
        let status = match self.ended {
            Some(status) => status,
            None => self.child.wait().context("wait")?,
        };
        self.ended = Some(status);
        let stdout = self.stdout.finish();
        let stderr = String::from_utf8_lossy(&self.stderr.finish()).into_owned();
        Ok(Outcome { status, stdout, stderr })
    }

    fn wait_end(&mut self, deadline: Instant) -> Result<bool> {
        while !self.has_ended() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            poll_until(&mut fds, Some(left)).context("poll a pidfd")?;
        }
        Ok(true)
    }

    /// Sends it `signal`, and waits until it has ended.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub fn stop(self, signal: Signal, deadline: Instant) -> Result<Outcome> {
        self.signal(signal)?;
        self.wait(deadline)
    }
}

/// Opens the pidfd that reports a child's end, and starts the threads that read what it writes
/// and write what it reads.
fn watch(
    child: &mut Child,
    bytes: Option<Vec<u8>>,
) -> Result<(OwnedFd, Option<ChildStdin>, Tape, Tape)> {
    let pid = RustixPid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    let mut stdin = child.stdin.take();
    if let Some(bytes) = bytes
        && let Some(mut pipe) = stdin.take()
    {
        // EPIPE is the child's right: it may stop reading whenever it likes.
        thread(move || drop(pipe.write_all(&bytes)))?;
    }
    let tape = |from: Option<_>| from.map_or_else(|| Ok(Tape::empty()), Tape::of);
    let stdout = child.stdout.take();
    let stderr = tape(child.stderr.take().map(OwnedFd::from))?;
    Ok((pidfd, stdin, tape(stdout.map(OwnedFd::from))?, stderr))
}

/// A thread; `std::thread::spawn` would panic where there can be none.
///
/// # Errors
/// EAGAIN at the limit of processes (RLIMIT_NPROC counts threads, too), ENOMEM.
pub fn thread<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new().spawn(run).context("clone a thread")
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a command writes, read by a thread as it comes.
#[derive(Debug)]
struct Tape {
    shared: Arc<(Mutex<Written>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tape {
    fn empty() -> Tape {
        let written = Written { ended: true, ..Written::default() };
        Tape {
            shared: Arc::new((Mutex::new(written), Condvar::new())),
            reader: None,
        }
    }

    fn of(from: OwnedFd) -> Result<Tape> {
        let mut from = File::from(from);
        let shared = Arc::new((Mutex::new(Written::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let reader = thread(move || {
            let (written, changed) = &*theirs;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let n = from.read(&mut buffer).unwrap_or(0);
                let mut written = written.lock().expect("no panic while it is held");
                written.bytes.extend_from_slice(&buffer[..n]);
                written.ended = n == 0;
                changed.notify_all();
                if n == 0 {
                    return;
                }
            }
        })?;
        Ok(Tape { shared, reader: Some(reader) })
    }

    fn wait_for(&self, text: &[u8], deadline: Instant) -> Result<()> {
        let (written, changed) = &*self.shared;
        let mut written = written.lock().expect("no panic while it is held");
        loop {
            if written.bytes.windows(text.len().max(1)).any(|part| part == text) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                bail!(if written.ended {
                    "it ended"
                } else {
                    "the deadline passed"
                });
            }
            let left = left.min(Duration::from_secs(3600));
            written = changed.wait_timeout(written, left).expect("as above").0;
        }
    }

    fn so_far(&self) -> Vec<u8> {
        self.shared.0.lock().expect("no panic while it is held").bytes.clone()
    }

    fn length(&self) -> usize {
        self.shared.0.lock().expect("no panic while it is held").bytes.len()
    }

    fn finish(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        std::mem::take(&mut self.shared.0.lock().expect("as above").bytes)
    }
}
