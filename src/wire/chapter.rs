//! What a chapter is: a row of data, and the types that play its roles.
//!
//! The table of all chapters is in the crate's root. The command line, the listing,
//! the demo and the contract are made from it.

use anyhow::Result;

use crate::meet::{Meets, Rendezvous};
use crate::transport::{Receiver, Sender};

/// What is known of a chapter without running it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name: of the subcommand, the source file, the page and the test.
    pub name: &'static str,
    /// One line: what the mechanism is.
    pub summary: &'static str,
    /// Other words by which it is looked for: a mistaken command line gets the chapter.
    pub also: &'static [&'static str],
    /// What is on the wire, for a peer in another language.
    pub wire: &'static str,
    /// The roles, the one that usually starts first in front.
    pub roles: &'static [Role],
    /// Where the roles meet.
    pub meets: Meets,
    /// What a receiver (or a server's client) sees when its peer is killed.
    pub on_peer_death: OnPeerDeath,
    /// What it needs beyond Linux and Rust, if anything.
    pub needs: Option<Feature>,
    /// A short run of all roles, with what it must print.
    pub script: Script,
    /// What its bare program does not do.
    pub lacks: &'static [Lack],
}

impl Row {
    /// The side of a role.
    pub fn side(&self, role: &str) -> Option<Side> {
        self.roles.iter().find(|it| it.name == role).map(|it| it.side)
    }

    /// What stands in the way of running this chapter, and the way out.
    pub fn missing(&self) -> Option<String> {
        let Feature { name, packages, .. } =
            self.needs.filter(|need| !need.built)?;
        let installed = match packages {
            "" => String::new(),
            packages => format!("apt-get install {packages}, and then "),
        };
        Some(format!(
            "this program was built without the feature {name}; {installed}cargo run \
             --features {name} -- {}, or cargo install --path . --features {name}",
            self.name
        ))
    }
}

/// A cargo feature, for a chapter that needs more than Linux and Rust.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Whether this program was built with it.
    pub built: bool,
    /// The Debian packages that its build needs, if any.
    pub packages: &'static str,
}

/// Something that a chapter's bare program does not survive, or does not do.
#[derive(Debug, Clone, Copy)]
pub struct Lack {
    /// What happens to the bare program, and when.
    pub what: &'static str,
    /// Where it is seen to happen.
    pub shown: Shown,
    /// The part of the role that answers it: a file of `src` and an anchor in it.
    pub answer: (&'static str, &'static str),
}

/// What shows a [`Lack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// An experiment of the chapter, by its name.
    Experiment(&'static str),
    /// One that stands on another page than the chapter's own: the page, and its name.
    Elsewhere(&'static str, &'static str),
    /// A test: the file's name in `tests`, and how the name of one function there begins.
    Test(&'static str, &'static str),
}

/// Where a role stands in the book's drawings, in a trace and in a map, from left to right; and
/// its colour there and in the commentary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The role that waits.
    Left,
    /// A third one.
    Between,
    /// The role that comes to the one that waits.
    Right,
}

impl Side {
    /// The number of its colour: teal, amber, green, which a terminal has as cyan, yellow, green.
    pub fn colour(self) -> usize {
        match self {
            Side::Left => 0,
            Side::Right => 1,
            Side::Between => 2,
        }
    }
}

/// One role of a chapter.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The noun on the command line.
    pub name: &'static str,
    /// Where it stands in every picture, and its colour.
    pub side: Side,
    /// What it does, in one line.
    pub does: &'static str,
    /// Command lines worth trying, without the program's name; with it where a launcher
    /// stands in front: `mpiexec -n 2 ipclab …`.
    pub examples: &'static [&'static str],
}

impl Role {
    /// The examples as they are typed.
    pub fn command_lines(&self) -> impl Iterator<Item = String> {
        self.examples.iter().map(|example| match example.starts_with("mpiexec ") {
            true => (*example).to_owned(),
            false => format!("ipclab {example}"),
        })
    }

    /// Other words for the same role.
    pub fn aliases(&self) -> &'static [&'static str] {
        match self.name {
            "sender" => &["send"],
            "receiver" => &["receive", "recv"],
            "reduction" => &["reduce"],
            _ => &[],
        }
    }
}

/// What a receiver sees when the process that sends is killed with messages to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPeerDeath {
    /// The kernel closes the sender's end: the same as a normal end.
    EndOfStream,
    /// Nothing: the object outlives its users, and the receiver goes on waiting.
    Waits,
    /// An error: the chapter's code looks whether its peer still lives.
    Error,
    /// Its own end: the launcher ends all of the job.
    JobEnds,
}

impl OnPeerDeath {
    /// As the listing prints it.
    pub fn text(self) -> &'static str {
        match self {
            OnPeerDeath::EndOfStream => "end of stream",
            OnPeerDeath::Waits => "waits",
            OnPeerDeath::Error => "error",
            OnPeerDeath::JobEnds => "the job ends",
        }
    }
}

/// A short run of a chapter: which role starts with which arguments, in this order, and what the
/// role `prints` must have on its standard output in the end.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// The roles in the order in which they start.
    pub parts: &'static [Part],
    /// The role whose standard output is checked.
    pub prints: &'static str,
    /// What it must be, to the byte.
    pub expect: &'static str,
}

/// One process of a [`Script`].
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The role it plays.
    pub role: &'static str,
    /// Its arguments.
    pub args: &'static [&'static str],
}

/// A chapter whose link carries messages one way.
pub trait OneWay {
    /// The chapter's row.
    const ROW: Row;
    /// The sending end.
    type Sender: Sender;
    /// The receiving end.
    type Receiver: Receiver;
    /// Roles beyond `sender` and `receiver`; [`NoMore`] if there are none.
    type More: Roles;
}

/// A chapter whose roles talk with each other, each with a loop of its own.
pub trait Conversation {
    /// The chapter's row.
    const ROW: Row;
    /// Its roles.
    type Roles: Roles;
}

/// Roles that own their loops.
pub trait Roles: clap::Subcommand {
    /// Plays the chosen role.
    ///
    /// # Errors
    /// The role's error; the program prints it.
    fn play(self, at: &Rendezvous) -> Result<()>;
}

/// No further roles.
#[derive(Debug, clap::Subcommand)]
pub enum NoMore {}

impl Roles for NoMore {
    fn play(self, _: &Rendezvous) -> Result<()> {
        match self {}
    }
}

/// Whatever is done with every chapter, and needs its types.
pub trait Visitor {
    /// A chapter with a sender and a receiver.
    fn one_way<C: OneWay>(&mut self);
    /// A chapter that is a conversation.
    fn conversation<C: Conversation>(&mut self);
}
