//! What is held to the contract: two commands, their limits, a directory of their own.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::leftovers::left_behind;
use super::verdict::{same, succeeded};
use process::{Input, Outcome, Output, RoleProcess};
use wire::chapter::OnPeerDeath;
use wire::meet::Meets;

/// How long a clause may take before it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The address of a server in the contract: whichever port is free.
const ANY_PORT: &str = "127.0.0.1:0";

/// What the contract must know of a chapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chapter {
    /// Its name.
    pub name: &'static str,
    /// Whether the two sides talk, so that what arrived comes back to the client.
    pub talks: bool,
    /// Where the roles meet.
    pub meets: Meets,
    /// What a receiver (or a server's client) sees when its peer is killed.
    pub on_peer_death: OnPeerDeath,
}

/// What a queue is asked beside the contract of every chapter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue {
    /// What the clean-up calls it.
    pub kind: &'static str,
    /// How many of the largest messages fill it.
    pub room: usize,
    /// What the error of a refused message tells the user to change.
    pub way_out: &'static str,
    /// How a silent receiver describes the goodbye that it waits for.
    pub goodbye: &'static str,
}

/// A chapter, or a stranger's pair of programs, that is held to the contract.
#[derive(Debug)]
pub struct Subject {
    /// The chapter.
    pub chapter: Chapter,
    /// The command that sends: `ipclab fifo sender`.
    pub sender: Vec<OsString>,
    /// The command that receives.
    pub receiver: Vec<OsString>,
    /// Options that set the limit below, for both.
    pub limit: Vec<OsString>,
    /// The largest message, in bytes, under these options.
    pub largest: usize,
    /// Options with which lines of all lengths go through, for both.
    pub roomy: Vec<OsString>,
    /// The shortest line that is a message: 0, unless an empty one says something else.
    pub shortest: usize,
    /// The longest line that goes through under the options `roomy`.
    pub longest: usize,
    /// How many bytes the clause about binary data sends.
    pub bulk: usize,
    /// Whether messages outlive a receiver that was killed, to be taken by the next.
    pub keeps: bool,
    /// What it is as a queue, where the clauses for queues are asked of it.
    pub queue: Queue,
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
    /// The chapter, as `program` plays it.
    ///
    /// # Errors
    /// When no directory can be made for it.
    pub fn new(program: &Path, chapter: Chapter) -> Result<Subject> {
        let scratch = tempfile::Builder::new()
            .prefix("ipclab-test-")
            .tempdir()
            .context("mkdir for a test")?;
        let words = |role: &str| -> Vec<OsString> {
            vec![program.into(), chapter.name.into(), role.into()]
        };
        let (sends, receives) = match chapter.name {
            "mutex" => ("producer", "worker"),
            "semaphore" => ("poster", "waiter"),
            "procvm" => ("target", "reader"),
            _ if chapter.talks => ("client", "server"),
            _ => ("sender", "receiver"),
        };
        let (sender, mut receiver) = (words(sends), words(receives));
        if chapter.talks {
            receiver.extend(["--count", "1"].map(OsString::from));
        }
        if chapter.meets == Meets::Address {
            // Any free port, published in the subject's own directory: subjects that run
            // at the same time never meet.
            receiver.extend(["--listen", ANY_PORT].map(OsString::from));
        }
        let limit = ["--max-message", "5000"].map(OsString::from).to_vec();
        Ok(Subject {
            chapter,
            sender,
            receiver,
            limit,
            largest: 5000,
            roomy: Vec::new(),
            shortest: 0,
            longest: 100_000,
            bulk: 256 * 1024,
            keeps: false,
            queue: Queue::default(),
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
        self.chapter.talks
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
    pub fn start_sender(&self, args: &[&str], input: Input) -> Result<RoleProcess> {
        RoleProcess::start("sender", self.sender_command(args), input)
    }

    /// Starts the receiver; where it has no name, with a pipe on its standard input that
    /// no process writes to yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_receiver(&self, args: &[&str]) -> Result<RoleProcess> {
        let input = match self.chapter.meets {
            Meets::Nowhere => Input::Open,
            _ => Input::Nothing,
        };
        RoleProcess::start("receiver", self.receiver_command(args), input)
    }

    /// What a role prints once it waits for the other role.
    pub(super) fn says_that_it_waits(&self) -> &'static str {
        match self.chapter.meets {
            Meets::Nowhere => "it was there before exec",
            _ => "start the other: ",
        }
    }

    /// Starts the server at this address, in place of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn at_address(&self, address: &str) -> Result<RoleProcess> {
        let mut words = self.receiver.clone();
        for word in &mut words {
            if word == ANY_PORT {
                *word = address.into();
            }
        }
        RoleProcess::start("server", self.command(&words, &[]), Input::Nothing)
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
    ) -> Result<(RoleProcess, RoleProcess)> {
        if self.chapter.meets != Meets::Nowhere {
            let receiving = self.start_receiver(receiver)?;
            return Ok((self.start_sender(sender, input)?, receiving));
        }
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let command = self.sender_command(sender);
        let output = Output::To(writing);
        let sending =
            RoleProcess::start_with("sender", command, input, output, None)?;
        let command = self.receiver_command(receiver);
        Ok((sending, RoleProcess::start("receiver", command, Input::From(reading))?))
    }

    /// Waits for the end of both.
    ///
    /// # Errors
    /// When one is not done by the deadline.
    pub fn finish(
        &self,
        (sender, receiver): (RoleProcess, RoleProcess),
    ) -> Result<Ran> {
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

    /// Sends these messages to the end, and wants that to succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn send(&self, args: &[&str]) -> Result<Outcome> {
        let sender = self.start_sender(args, Input::Nothing)?;
        let sender = sender.wait(self.deadline())?;
        succeeded("sender", &sender)?;
        Ok(sender)
    }

    /// Receives to the end, and wants that to succeed; returns what was printed.
    ///
    /// # Errors
    /// When it does not.
    pub fn receive(&self, args: &[&str]) -> Result<String> {
        let receiver = self.start_receiver(args)?.wait(self.deadline())?;
        succeeded("receiver", &receiver)?;
        String::from_utf8(receiver.stdout).context("what the receiver printed")
    }

    /// Checks that nothing is left: no file, no queue, no segment.
    ///
    /// # Errors
    /// Naming what is left.
    pub fn nothing_is_left(&self) -> Result<()> {
        let left = left_behind(self.dir(), &[self.chapter.name])?;
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }

    pub(super) fn exchange_one(&self, message: &str) -> Result<()> {
        let arrived = self.run(&[message], Input::Nothing, &[])?;
        same(&arrived, format!("{message}\n").as_bytes())?;
        self.nothing_is_left()
    }
}

/// Options of a subject, and more arguments behind them.
pub(super) fn with_options<'a>(
    options: &'a [OsString],
    more: &[&'a str],
) -> Result<Vec<&'a str>> {
    let word =
        |word: &'a OsString| word.to_str().context("an option that is not UTF-8");
    options.iter().map(word).chain(more.iter().map(|word| Ok(*word))).collect()
}
