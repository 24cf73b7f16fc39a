//! What an exercise is: a row of data, and functions that say who plays in each of its stages.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};
use doctor::probe::Probe;
use doctor::probes::needs;

use super::partner::Partner;
use super::scene::Scene;

/// What a learner is asked to write.
#[derive(Debug, Clone, Copy)]
pub struct Exercise {
    /// Its name within its chapter. It never changes: a learner's progress is kept by it.
    pub name: &'static str,
    /// What the program does that passes, in a line.
    pub title: &'static str,
    /// What kind of work it is.
    pub kind: Kind,
    /// How long it takes, in minutes.
    pub minutes: u32,
    /// The exercises that come before it: `fifo/receiver`.
    pub after: &'static [&'static str],
    /// The task, in Markdown.
    pub task: &'static str,
    /// What the learner begins with.
    pub begin: Begin,
    /// What the program's roles are given first: where they meet.
    pub places: &'static [MeetingPlace],
    /// Our solution, in the order of [`Language`].
    pub solutions: [Option<&'static str>; 3],
    /// Why the solution is as it is.
    pub reasons: &'static str,
    /// Three hints, each more direct than the one before it.
    pub hints: [&'static str; 3],
    /// What it needs beyond what each Linux has.
    pub needs: Option<&'static Probe>,
    /// What is tried, in this order; the first that fails ends the check.
    pub stages: &'static [Stage],
    /// Wrong solutions, and the stage that catches each.
    pub wrong: &'static [Wrong],
}

impl Exercise {
    /// Whether its program is started by `mpiexec`.
    pub fn is_launched(&self) -> bool {
        self.needs == Some(&needs::MPI)
    }
}

/// What kind of work an exercise is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A role is written, against a partner that speaks the chapter's wire.
    Write,
    /// A program that has a fault is mended.
    Mend,
    /// Several mechanisms are joined.
    Design,
}

impl Kind {
    /// As the list shows it.
    pub fn text(self) -> &'static str {
        match self {
            Kind::Write => "write",
            Kind::Mend => "mend",
            Kind::Design => "design",
        }
    }
}

/// What the learner begins with, in each language that the exercise can be solved in.
#[derive(Debug, Clone, Copy)]
pub enum Begin {
    /// The bare program of this name.
    Bare(&'static str),
    /// The solution, without its marked parts ([`super::texts`]).
    Solution,
}

/// One thing that is tried.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// Its name within the exercise.
    pub name: &'static str,
    /// What is tried, in a line.
    pub about: &'static str,
    /// The processes that take part, in the order in which they start: each once the one before
    /// it sleeps or has ended.
    pub players: fn(&Scene) -> Vec<Player>,
    /// What the partner does, where one takes part.
    pub partner: fn(&mut Partner) -> Result<()>,
    /// The number of the hint that helps when this stage fails.
    pub hint: usize,
}

/// The partner of a stage where both sides are the learner's.
///
/// # Errors
/// None.
pub fn no_partner(_: &mut Partner) -> Result<()> {
    Ok(())
}

/// A wrong solution: ours with a part replaced.
#[derive(Debug, Clone, Copy)]
pub struct Wrong {
    /// What is wrong, in a few words.
    pub what: &'static str,
    /// The stage that catches it.
    pub stage: &'static str,
    /// The language.
    pub language: Language,
    /// Parts of the solution, each of which stands in it once, and what replaces them.
    pub edits: &'static [(&'static str, &'static str)],
}

/// One process of a stage.
#[derive(Debug)]
pub struct Player {
    /// What messages call it: the role, or `partner`.
    pub name: String,
    /// Whether it is the learner's program.
    pub learners: bool,
    /// The command of a partner that is a teacher's own, and the directory it runs in.
    pub command: Option<(Vec<OsString>, PathBuf)>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// What must be on its standard output, to the byte.
    pub prints: Option<Vec<u8>>,
    /// How it must end.
    pub ends: Ends,
    /// What must be on its standard error as a word: a number, or a name.
    pub says: Option<String>,
    /// How many bytes a file may have that it writes to, as on a disk that is full then.
    pub room: u64,
    /// The descriptor that it is lent.
    pub lent: Option<Lent>,
    /// Whether its standard output is the next one's standard input.
    pub piped: bool,
    /// Whether it must sleep, and not wake, until the next one starts.
    pub idles: bool,
    /// How many of it `mpiexec` starts, as one world; 0 where the check starts it itself.
    pub ranks: u32,
}

/// What a server is started with that finds its socket: descriptor 3, as sd_listen_fds(3) tells.
#[derive(Debug)]
pub struct Lent {
    /// The descriptor.
    pub descriptor: OwnedFd,
    /// For which process it is, as sh(1) says it: `$$` for the server.
    pub to: &'static str,
}

/// No further arguments of a player.
pub const NOTHING: [&str; 0] = [];

/// More than any stage writes into a file.
pub const ROOM: u64 = 1 << 30;

/// What messages call the partner.
pub const PARTNER: &str = "partner";

/// How a process must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With exit status 0.
    Well,
    /// With an exit status other than 0 and 2, which is for usage, and a line on standard error.
    Failing,
    /// By this signal, which the partner sends.
    By(Signal),
    /// In any way.
    Anyhow,
}

impl Player {
    /// The learner's program as `role`, with the place where the roles meet, and `messages`.
    pub fn learner<S: Into<OsString>>(
        scene: &Scene,
        role: &str,
        messages: impl IntoIterator<Item = S>,
    ) -> Player {
        let mut args: Vec<OsString> = vec![role.into()];
        args.extend(scene.places().into_iter().map(OsString::from));
        args.extend(messages.into_iter().map(Into::into));
        Player { name: role.to_owned(), learners: true, args, ..Player::partner() }
    }

    /// The partner.
    pub fn partner() -> Player {
        Player {
            name: PARTNER.to_owned(),
            learners: false,
            command: None,
            args: Vec::new(),
            stdin: Vec::new(),
            prints: None,
            ends: Ends::Well,
            says: None,
            room: ROOM,
            lent: None,
            piped: false,
            idles: false,
            ranks: 0,
        }
    }

    /// Gives it this standard input.
    #[must_use]
    pub fn reading(mut self, bytes: impl Into<Vec<u8>>) -> Player {
        self.stdin = bytes.into();
        self
    }

    /// Wants this on its standard output, and nothing else.
    #[must_use]
    pub fn prints(mut self, bytes: impl Into<Vec<u8>>) -> Player {
        self.prints = Some(bytes.into());
        self
    }

    /// Wants this end.
    #[must_use]
    pub fn ends(mut self, ends: Ends) -> Player {
        self.ends = ends;
        self
    }

    /// Wants this word on its standard error.
    #[must_use]
    pub fn says(mut self, word: impl Into<String>) -> Player {
        self.says = Some(word.into());
        self
    }

    /// Leaves it this much room for a file, in bytes.
    #[must_use]
    pub fn room(mut self, bytes: u64) -> Player {
        self.room = bytes;
        self
    }

    /// Lends it this descriptor.
    #[must_use]
    pub fn lent(
        mut self,
        descriptor: impl Into<OwnedFd>,
        to: &'static str,
    ) -> Player {
        self.lent = Some(Lent { descriptor: descriptor.into(), to });
        self
    }

    /// Makes its standard output the next one's standard input.
    #[must_use]
    pub fn piped(mut self) -> Player {
        self.piped = true;
        self
    }

    /// Makes it a world of so many ranks.
    #[must_use]
    pub fn ranks(mut self, ranks: u32) -> Player {
        self.ranks = ranks;
        self
    }

    /// Wants it to sleep until the next one starts.
    #[must_use]
    pub fn idles(mut self) -> Player {
        self.idles = true;
        self
    }
}
