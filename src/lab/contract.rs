//! The contract that every chapter keeps, over command lines.
//!
//! It knows two commands and their limits, not the code behind them, so that a program in
//! any language can be held to it. Each clause runs real processes in a directory of its
//! own, waits for events and never for time, and looks that nothing is left behind. A
//! chapter that is a conversation is asked the same: its client is the sender, and what
//! "arrived" is what the client printed, the echo of what it sent.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use crate::chapter::{OnPeerDeath, Row};
use crate::process::{Input, Outcome, Output, Role};
use crate::wire::meet::{Meets, kernel_prefix_of};

/// How long a clause may take before it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A chapter, or a stranger's pair of programs, that is held to the contract.
#[derive(Debug)]
pub struct Subject {
    row: Row,
    /// The command that sends: `ipclab fifo sender`.
    pub sender: Vec<OsString>,
    /// The command that receives.
    pub receiver: Vec<OsString>,
    /// Options that set the limit below, for both.
    pub limit: Vec<OsString>,
    /// The largest message, in bytes, under these options.
    pub largest: usize,
    /// How many bytes the clause about binary data sends.
    pub bulk: usize,
    /// Whether messages outlive a receiver that was killed, to be taken by the next.
    pub keeps: bool,
    scratch: tempfile::TempDir,
    began: Instant,
}

/// Both sides of a finished run.
#[derive(Debug)]
pub struct Ran {
    /// The sender, or client.
    pub sender: Outcome,
    /// The receiver, or server.
    pub receiver: Outcome,
    /// What arrived.
    pub arrived: Vec<u8>,
}

impl Subject {
    /// The chapter `row`, as `program` plays it.
    ///
    /// # Errors
    /// When no directory can be made for it.
    pub fn new(program: &Path, row: Row) -> Result<Subject> {
        let scratch = tempfile::Builder::new()
            .prefix("ipclab-test-")
            .tempdir()
            .context("mkdir for a test")?;
        let words = |role: &str| -> Vec<OsString> {
            vec![program.into(), row.name.into(), role.into()]
        };
        let talks = row.roles.iter().any(|role| role.name == "client");
        let (mut sender, mut receiver) = (words("sender"), words("receiver"));
        if talks {
            (sender, receiver) = (words("client"), words("server"));
            receiver.extend(["--count", "1"].map(OsString::from));
        }
        let limit = ["--max-message", "5000"].map(OsString::from).to_vec();
        Ok(Subject {
            row,
            sender,
            receiver,
            limit,
            largest: 5000,
            bulk: 256 * 1024,
            keeps: false,
            scratch,
            began: Instant::now(),
        })
    }

    /// The runtime directory of this subject alone.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Whether the two sides talk, so that what arrived comes back to the client.
    pub fn talks(&self) -> bool {
        self.row.roles.iter().any(|role| role.name == "client")
    }

    /// When the clause has failed.
    pub fn deadline(&self) -> Instant {
        self.began + DEADLINE
    }

    fn command(&self, words: &[OsString], args: &[&str]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args).env("IPCLAB_DIR", self.dir());
        command.env_remove("CLICOLOR_FORCE").current_dir(self.dir());
        command
    }

    /// The command of the sender with more arguments.
    pub fn sender_command(&self, args: &[&str]) -> Command {
        self.command(&self.sender, args)
    }

    /// The command of the receiver with more arguments.
    pub fn receiver_command(&self, args: &[&str]) -> Command {
        self.command(&self.receiver, args)
    }

    /// Starts the sender.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_sender(&self, args: &[&str], input: Input) -> Result<Role> {
        Role::start("sender", self.sender_command(args), input)
    }

    /// Starts the receiver.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_receiver(&self, args: &[&str]) -> Result<Role> {
        Role::start("receiver", self.receiver_command(args), Input::Nothing)
    }

    /// Starts both, the receiver first; where the shell makes the link, we are the shell.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(
        &self,
        sender: &[&str],
        input: Input,
        receiver: &[&str],
    ) -> Result<(Role, Role)> {
        if self.row.meets != Meets::Nowhere {
            let receiving = self.start_receiver(receiver)?;
            return Ok((self.start_sender(sender, input)?, receiving));
        }
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let command = self.sender_command(sender);
        let output = Output::To(writing);
        let sending = Role::start_with("sender", command, input, output, None)?;
        let command = self.receiver_command(receiver);
        Ok((sending, Role::start("receiver", command, Input::From(reading))?))
    }

    /// Waits for the end of both.
    ///
    /// # Errors
    /// When one is not done by the deadline.
    pub fn finish(&self, (sender, receiver): (Role, Role)) -> Result<Ran> {
        let sender = sender.wait(self.deadline())?;
        let receiver = receiver.wait(self.deadline())?;
        let from = if self.talks() { &sender } else { &receiver };
        let arrived = from.stdout.clone();
        Ok(Ran { sender, receiver, arrived })
    }

    /// Runs both to their end, and wants both to succeed.
    ///
    /// # Errors
    /// When one fails.
    pub fn run(
        &self,
        sender: &[&str],
        input: Input,
        receiver: &[&str],
    ) -> Result<Vec<u8>> {
        let ran = self.finish(self.start(sender, input, receiver)?)?;
        succeeded("sender", &ran.sender)?;
        succeeded("receiver", &ran.receiver)?;
        Ok(ran.arrived)
    }

    /// Looks that nothing is left: no file, no queue, no segment.
    ///
    /// # Errors
    /// Naming what is left.
    pub fn nothing_is_left(&self) -> Result<()> {
        let left = left_behind(self.dir())?;
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }

    fn lines(&self, text: &str) -> Input {
        Input::Bytes(text.as_bytes().to_vec())
    }

    fn with_limit<'a>(&'a self, more: &[&'a str]) -> Result<Vec<&'a str>> {
        let mut args = Vec::new();
        for word in &self.limit {
            args.push(word.to_str().context("an option that is not UTF-8")?);
        }
        args.extend(more);
        Ok(args)
    }

    fn exchange_one(&self, message: &str) -> Result<()> {
        let arrived = self.run(&[message], Input::Nothing, &[])?;
        same(&arrived, format!("{message}\n").as_bytes())?;
        self.nothing_is_left()
    }
}

/// What of ours is in a runtime directory, and what kernel objects go with it.
///
/// # Errors
/// When /proc or the directory cannot be read.
pub fn left_behind(dir: &Path) -> Result<Vec<String>> {
    let mut left = names_in(dir)?;
    let prefix = kernel_prefix_of(Some(dir.as_os_str()));
    let prefix = prefix.trim_start_matches('/');
    for place in ["/dev/shm", "/dev/mqueue"] {
        let names = names_in(Path::new(place)).unwrap_or_default();
        left.extend(names.into_iter().filter(|name| name.starts_with(prefix)));
    }
    for row in crate::chapters::rows() {
        let name = format!("/{prefix}{}", row.name);
        if crate::os::names::queue_exists(&name) {
            left.push(format!("the queue {name}"));
        }
        let key = crate::wire::meet::key_of(&name);
        for table in ["msg", "shm"] {
            if sysv_keys(table)?.contains(&key) {
                left.push(format!("the System V {table} with key {key:#x}"));
            }
        }
    }
    Ok(left)
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("readdir {}", dir.display()))?;
    Ok(entries
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_string_lossy().into_owned())
        })
        .collect())
}

fn sysv_keys(table: &str) -> Result<Vec<i32>> {
    let path = format!("/proc/sysvipc/{table}");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    Ok(text.lines().skip(1).filter_map(first).collect())
}

fn succeeded(name: &str, outcome: &Outcome) -> Result<()> {
    let Outcome { status, stderr, .. } = outcome;
    ensure!(status.success(), "{name} ended with {status}; it said:\n{stderr}");
    Ok(())
}

/// Wants exit status 1 and one clear line on stderr; returns that line.
///
/// # Errors
/// When it ended otherwise, or said it otherwise.
pub fn failed_clearly(outcome: &Outcome) -> Result<String> {
    let Outcome { status, stderr, .. } = outcome;
    ensure!(status.code() == Some(1), "ended with {status}; it said:\n{stderr}");
    let lines: Vec<_> =
        stderr.lines().filter(|l| l.starts_with("ipclab: ")).collect();
    let [line] = lines.as_slice() else {
        bail!("wanted one line of error, got:\n{stderr}");
    };
    ensure!(!stderr.contains("panicked"), "it panicked:\n{stderr}");
    Ok((*line).to_owned())
}

fn same(arrived: &[u8], sent: &[u8]) -> Result<()> {
    if arrived == sent {
        return Ok(());
    }
    let place = arrived.iter().zip(sent).position(|(a, b)| a != b);
    let show =
        |bytes: &[u8]| bytes[..bytes.len().min(60)].escape_ascii().to_string();
    bail!(
        "{} bytes arrived of {} sent; first difference at {place:?}: {} / {}",
        arrived.len(),
        sent.len(),
        show(arrived),
        show(sent)
    )
}

/// Bytes that repeat nowhere soon, the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: Marsaglia 2003
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Clause: one message arrives.
///
/// # Errors
/// How the contract is broken; so for every clause.
pub fn one_message(s: &Subject) -> Result<()> {
    s.exchange_one("hello")
}

/// Clause: a thousand messages arrive in order.
///
/// # Errors
/// How the contract is broken.
pub fn a_thousand_in_order(s: &Subject) -> Result<()> {
    let text: String =
        (0..1000).map(|number| format!("message {number}\n")).collect();
    let arrived = s.run(&[], s.lines(&text), &[])?;
    same(&arrived, text.as_bytes())?;
    s.nothing_is_left()
}

/// Clause: an empty message arrives as one, between two others.
///
/// # Errors
/// How the contract is broken.
pub fn an_empty_message(s: &Subject) -> Result<()> {
    let arrived = s.run(&["before", "", "after"], Input::Nothing, &[])?;
    same(&arrived, b"before\n\nafter\n")?;
    s.nothing_is_left()
}

/// Clause: the largest message arrives.
///
/// # Errors
/// How the contract is broken.
pub fn the_largest_message(s: &Subject) -> Result<()> {
    let mut text = "x".repeat(s.largest);
    text.push('\n');
    let args = s.with_limit(&[])?;
    let arrived = s.run(&args, s.lines(&text), &args)?;
    same(&arrived, text.as_bytes())?;
    s.nothing_is_left()
}

/// Clause: one byte too many is refused with the limit named; what came before it
/// arrives, and the receiver ends well.
///
/// # Errors
/// How the contract is broken.
pub fn one_byte_too_many(s: &Subject) -> Result<()> {
    let text = format!("fits\n{}\n", "x".repeat(s.largest + 1));
    let args = s.with_limit(&[])?;
    let ran = s.finish(s.start(&args, s.lines(&text), &args)?)?;
    let line = failed_clearly(&ran.sender)?;
    let limit = crate::wire::say::grouped(s.largest as u64);
    ensure!(line.contains("line 2"), "the line's number is not named: {line}");
    let plain = s.largest.to_string();
    ensure!(
        line.contains(&limit) || line.contains(&plain),
        "no limit named: {line}"
    );
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"fits\n")?;
    s.nothing_is_left()
}

/// Clause: arguments are all checked before the first is sent.
///
/// # Errors
/// How the contract is broken.
pub fn arguments_are_checked_first(s: &Subject) -> Result<()> {
    let long = "x".repeat(s.largest + 1);
    let args = s.with_limit(&["fits", &long])?;
    let (sender, receiver) = s.start(&args, Input::Nothing, &s.with_limit(&[])?)?;
    let sender = sender.wait(s.deadline())?;
    failed_clearly(&sender)?;
    ensure!(sender.stdout.is_empty(), "something came back");
    // It was told, or it still waits and knows of nothing.
    receiver.signal(Signal::SIGINT)?;
    let receiver = receiver.wait(s.deadline())?;
    ensure!(receiver.stdout.is_empty(), "something was sent all the same");
    s.nothing_is_left()
}

/// Clause: any bytes arrive as they were sent.
///
/// # Errors
/// How the contract is broken.
pub fn binary_bytes(s: &Subject) -> Result<()> {
    let sent = noise(s.bulk);
    let arrived = s.run(&["--bytes"], Input::Bytes(sent.clone()), &["--bytes"])?;
    same(&arrived, &sent)?;
    s.nothing_is_left()
}

/// Clause: the sender may be first, says what it waits for, and names the command.
///
/// # Errors
/// How the contract is broken.
pub fn the_sender_may_be_first(s: &Subject) -> Result<()> {
    let sender = s.start_sender(&["hello"], Input::Nothing)?;
    sender.wait_for_comment("start the other: ", s.deadline())?;
    let receiver = s.start_receiver(&[])?;
    let ran = s.finish((sender, receiver))?;
    succeeded("sender", &ran.sender)?;
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"hello\n")?;
    s.nothing_is_left()
}

/// Clause: the receiver may be first, says what it waits for, and names the command.
///
/// # Errors
/// How the contract is broken.
pub fn the_receiver_may_be_first(s: &Subject) -> Result<()> {
    let receiver = s.start_receiver(&[])?;
    receiver.wait_for_comment("start the other: ", s.deadline())?;
    let sender = s.start_sender(&["hello"], Input::Nothing)?;
    let ran = s.finish((sender, receiver))?;
    succeeded("sender", &ran.sender)?;
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"hello\n")?;
    s.nothing_is_left()
}

/// Clause: a role killed while it waited leaves a stale name, and the next pair meets all
/// the same.
///
/// # Errors
/// How the contract is broken.
pub fn a_stale_name_is_recovered(s: &Subject) -> Result<()> {
    // One after the other, each alone; the sender has nothing to send yet, so that it is
    // killed while it waits also where sending itself waits for nobody.
    for sends in [false, true] {
        let role = match sends {
            false => s.start_receiver(&[])?,
            true => s.start_sender(&[], Input::Open)?,
        };
        role.wait_for_comment("start the other: ", s.deadline())?;
        let killed = role.stop(Signal::SIGKILL, s.deadline())?;
        ensure!(killed.status.signal() == Some(9), "ended with {}", killed.status);
    }
    let ran = s.finish(s.start(&["hello"], Input::Nothing, &[])?)?;
    succeeded("receiver", &ran.receiver)?;
    succeeded("sender", &ran.sender)?;
    ensure!(ran.arrived.ends_with(b"hello\n"), "{:?} arrived", ran.arrived);
    s.nothing_is_left()
}

/// Clause: when the sender is killed, the receiver sees what the table says, and keeps
/// what had arrived.
///
/// # Errors
/// How the contract is broken.
pub fn the_sender_is_killed(s: &Subject) -> Result<()> {
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    if s.talks() {
        sender.wait_for_output(b"one\n", s.deadline())?;
    } else if s.row.name != "file" {
        receiver.wait_for_output(b"one\n", s.deadline())?;
    } else {
        sender.wait_for_comment("one", s.deadline())?;
    }
    sender.stop(Signal::SIGKILL, s.deadline())?;
    let receiver = match s.row.on_peer_death {
        OnPeerDeath::Waits => {
            // It goes on waiting: so a second sender can finish what the first began.
            let second = s.start_sender(&["two"], Input::Nothing)?;
            succeeded("the second sender", &second.wait(s.deadline())?)?;
            let receiver = receiver.wait(s.deadline())?;
            ensure!(receiver.stdout.ends_with(b"two\n"), "{:?}", receiver.stdout);
            receiver
        }
        _ => receiver.wait(s.deadline())?,
    };
    if s.row.on_peer_death == OnPeerDeath::Error {
        failed_clearly(&receiver)?;
    } else {
        succeeded("receiver", &receiver)?;
    }
    s.nothing_is_left()?;
    if s.row.meets == Meets::Nowhere { Ok(()) } else { s.exchange_one("afterwards") }
}

/// Clause: when the receiver is killed, the sender says that it is gone, or its messages
/// wait for the next receiver.
///
/// # Errors
/// How the contract is broken.
pub fn the_receiver_is_killed(s: &Subject) -> Result<()> {
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    if s.talks() {
        sender.wait_for_output(b"one\n", s.deadline())?;
    } else if s.row.name != "file" {
        receiver.wait_for_output(b"one\n", s.deadline())?;
    } else {
        receiver.wait_for_comment("start the other", s.deadline())?;
    }
    receiver.stop(Signal::SIGKILL, s.deadline())?;
    // It may notice at the first write, or end before it reads the second line.
    let _ = sender.feed(b"two\n");
    let sender = sender.wait(s.deadline())?;
    if s.keeps {
        succeeded("sender", &sender)?;
        let next = s.start_receiver(&[])?.wait(s.deadline())?;
        succeeded("the next receiver", &next)?;
        ensure!(next.stdout.ends_with(b"two\n"), "{:?} arrived", next.stdout);
    } else {
        failed_clearly(&sender)?;
    }
    let _ = clean(s)?;
    s.nothing_is_left()?;
    if s.row.meets == Meets::Nowhere { Ok(()) } else { s.exchange_one("afterwards") }
}

/// Runs `ipclab clean` in the subject's directory.
fn clean(s: &Subject) -> Result<Outcome> {
    let mut command = Command::new(&s.sender[0]);
    command.arg("clean").env("IPCLAB_DIR", s.dir());
    let outcome =
        Role::start("clean", command, Input::Nothing)?.wait(s.deadline())?;
    succeeded("clean", &outcome)?;
    Ok(outcome)
}

/// Clause: SIGINT, SIGTERM and SIGHUP end a waiting role, which clears up and whose exit
/// status says which signal it was.
///
/// # Errors
/// How the contract is broken.
pub fn signals_clear_up(s: &Subject) -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let receiver = s.start_receiver(&[])?;
        receiver.wait_for_comment("start the other: ", s.deadline())?;
        let ended = receiver.stop(signal, s.deadline())?;
        let by = ended.status.signal();
        ensure!(
            by == Some(signal as i32),
            "ended with {}, not {signal}",
            ended.status
        );
        s.nothing_is_left()?;
    }
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    sender.wait_for_comment("one", s.deadline())?;
    receiver.signal(Signal::SIGINT)?;
    sender.signal(Signal::SIGINT)?;
    sender.wait(s.deadline())?;
    receiver.wait(s.deadline())?;
    clean_pending(s)?;
    s.nothing_is_left()
}

/// Messages in a queue stay on a signal; they go by `clean --pending`.
fn clean_pending(s: &Subject) -> Result<()> {
    let mut command = Command::new(&s.sender[0]);
    command.args(["clean", "--pending", "--quiet"]).env("IPCLAB_DIR", s.dir());
    let outcome =
        Role::start("clean", command, Input::Nothing)?.wait(s.deadline())?;
    succeeded("clean --pending", &outcome)
}

/// Clause: `--timeout` ends the waiting with status 124 and clears up.
///
/// # Errors
/// How the contract is broken.
pub fn a_timeout_is_status_124(s: &Subject) -> Result<()> {
    let ended = s.start_receiver(&["--timeout", "0.05"])?.wait(s.deadline())?;
    ensure!(ended.status.code() == Some(124), "ended with {}", ended.status);
    s.nothing_is_left()
}

/// Clause: what is in the way at the name is named, and left alone.
///
/// # Errors
/// How the contract is broken.
pub fn a_taken_name_is_refused(s: &Subject) -> Result<()> {
    let name = s.dir().join("taken");
    std::fs::create_dir(&name).context("mkdir")?;
    let outcome = s.start_receiver(&["--at", "taken"])?.wait(s.deadline())?;
    let line = failed_clearly(&outcome)?;
    ensure!(line.contains("directory"), "it does not say what is there: {line}");
    std::fs::remove_dir(&name).context("the directory was to stay")?;
    s.nothing_is_left()
}

/// Clause: a link at the name or at its lock is refused, and what it points to is left
/// alone.
///
/// # Errors
/// How the contract is broken.
pub fn a_link_is_refused(s: &Subject) -> Result<()> {
    let precious = s.dir().join("precious");
    std::fs::write(&precious, "precious").context("write")?;
    for name in ["link", "locked.lock"] {
        let link = s.dir().join(name);
        symlink(&precious, &link).context("symlink")?;
        let at = name.trim_end_matches(".lock");
        let outcome = s.start_receiver(&["--at", at])?.wait(s.deadline())?;
        let line = failed_clearly(&outcome)?;
        ensure!(line.contains("link"), "it does not say what is there: {line}");
        std::fs::remove_file(&link).context("the link was to stay")?;
    }
    let text = std::fs::read_to_string(&precious).context("read")?;
    ensure!(text == "precious", "the link was followed: {text:?}");
    std::fs::remove_file(&precious).context("unlink")?;
    s.nothing_is_left()
}

/// Clause: a runtime directory that others may write to, or a link to one, is refused.
///
/// # Errors
/// How the contract is broken.
pub fn an_unsafe_directory_is_refused(s: &Subject) -> Result<()> {
    let open = s.dir().join("open");
    std::fs::create_dir(&open).context("mkdir")?;
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777))
        .context("chmod")?;
    let link = s.dir().join("link");
    symlink(s.dir(), &link).context("symlink")?;
    for dir in [&open, &link] {
        let mut command = s.receiver_command(&[]);
        command.env("IPCLAB_DIR", dir);
        let outcome = Role::start("receiver", command, Input::Nothing)?;
        let line = failed_clearly(&outcome.wait(s.deadline())?)?;
        ensure!(line.contains("IPCLAB_DIR"), "no way out is named: {line}");
    }
    let mode =
        std::fs::metadata(&open).context("stat")?.permissions().mode() & 0o777;
    ensure!(mode == 0o777, "the directory was changed to {mode:o}");
    std::fs::remove_dir(&open).context("rmdir: something was made in it")?;
    std::fs::remove_file(&link).context("unlink")?;
    s.nothing_is_left()
}

/// Clause: standard output that goes away is a quiet end.
///
/// # Errors
/// How the contract is broken.
pub fn a_closed_output_is_a_quiet_end(s: &Subject) -> Result<()> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    drop(reading);
    let (printing, other) = if s.talks() {
        let other = s.start_receiver(&[])?;
        let command = s.sender_command(&["hello"]);
        let output = Output::To(writing);
        (Role::start_with("client", command, Input::Nothing, output, None)?, other)
    } else {
        let command = s.receiver_command(&[]);
        let output = Output::To(writing);
        if s.row.meets == Meets::Nowhere {
            let (link_reading, link_writing) =
                pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            let input = Input::From(link_reading);
            let receiver =
                Role::start_with("receiver", command, input, output, None)?;
            let link = Output::To(link_writing);
            let command = s.sender_command(&["hello"]);
            let input = Input::Nothing;
            (receiver, Role::start_with("sender", command, input, link, None)?)
        } else {
            let input = Input::Nothing;
            let receiver =
                Role::start_with("receiver", command, input, output, None)?;
            (receiver, s.start_sender(&["hello"], Input::Nothing)?)
        }
    };
    let printing = printing.wait(s.deadline())?;
    succeeded("the one whose output is gone", &printing)?;
    ensure!(!printing.stderr.contains("ipclab: "), "not quiet: {}", printing.stderr);
    other.wait(s.deadline())?;
    clean_pending(s)?;
    s.nothing_is_left()
}

/// A file of `length` bytes of [`noise`] in the subject's directory's parent.
///
/// # Errors
/// ENOSPC and the like.
pub fn noise_file(path: &Path, length: usize) -> Result<PathBuf> {
    use std::io::Write;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let block = noise(1 << 20);
    let mut left = length;
    while left > 0 {
        let part = left.min(block.len());
        file.write_all(&block[..part]).context("write")?;
        left -= part;
    }
    Ok(path.to_owned())
}
