//! What was seen: processes, and what each asked of the kernel.

use std::collections::HashSet;
use std::rc::Rc;

use super::named::{Named, ObjectId};
use super::objects::Objects;

/// A whole run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The processes, in the order in which they began.
    pub(super) processes: Vec<Process>,
    /// What they did, in the order in which they ended.
    pub(super) events: Vec<Event>,
    /// The objects that they named.
    pub(super) objects: Objects,
    /// The inodes of what we gave them: their way to the world outside.
    pub(super) outside: HashSet<u64>,
    /// What a reader must know of this run, a sentence each.
    pub(super) notes: Vec<String>,
}

/// One process; its threads share it.
#[derive(Debug, Clone)]
pub(super) struct Process {
    /// Its process id.
    pub(super) pid: i32,
    /// The role it plays, or the name of its program.
    pub(super) name: String,
}

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Event {
    /// Which of [`Trace::processes`].
    pub(super) process: usize,
    /// The thread.
    pub(super) tid: i32,
    /// When it began, in the order of all that was seen.
    pub(super) begin: u64,
    /// When it ended, in the same order; `None` if it never did.
    pub(super) end: Option<u64>,
    /// Nanoseconds from the start of the run to its beginning.
    pub(super) at: u64,
    /// How many nanoseconds it took, being traced included.
    pub(super) took: u64,
    /// Whether the kernel put the thread to sleep in it.
    pub(super) slept: bool,
    /// Whether it was asleep in this call when it was ended.
    pub(super) asleep: bool,
    /// Why no arrow is drawn to or from it, if there is a doubt.
    pub(super) doubt: Option<&'static str>,
    /// What happened.
    pub(super) what: EventKind,
    /// What went in or came out.
    pub(super) effects: Vec<Effect>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum EventKind {
    /// A system call.
    Call(Call),
    /// A signal was delivered.
    Signal {
        /// Its number.
        number: i32,
        /// What siginfo holds, as text.
        info: String,
    },
    /// A process begins, by the fork or clone of another.
    Starts,
    /// A process has ended.
    Ends(End),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// A system call.
#[derive(Debug)]
pub(super) struct Call {
    /// Its name.
    pub(super) name: Rc<str>,
    /// Its arguments.
    pub(super) args: Vec<Piece>,
    /// Which of them came out of it: a bit each.
    pub(super) out: u8,
    /// What it returned.
    pub(super) result: Outcome,
}

/// What a call returned.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing: it has not returned.
    Never,
    /// A value; as a piece if it is more than a number, and what it means.
    Value(i64, Option<Piece>, &'static str),
    /// This error number.
    Error(i32),
    /// A signal came; the kernel starts the call again, or makes it EINTR.
    Restart,
}

/// A part of an argument.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// As it is.
    Text(String),
    /// Bytes that went in or came out: the first of them, and how many in all.
    Bytes(Vec<u8>, u64),
    /// A path: as the program gave it, and whole.
    Path(String, String),
    /// A descriptor, and what it is.
    Fd(i32, Option<Named>),
    /// Several, between two brackets.
    Group(&'static str, Vec<Piece>, &'static str),
}

impl Piece {
    /// Text.
    pub(super) fn text(text: impl Into<String>) -> Piece {
        Piece::Text(text.into())
    }

    /// Shows each part to `see`.
    pub(super) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Piece)) {
        see(self);
        if let Piece::Group(_, parts, _) = self {
            parts.iter().for_each(|part| part.visit(see));
        }
    }
}

/// How much went in or came out, and the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    /// How many bytes; of a message, its length; of a counter, what was added or taken.
    pub(super) units: u64,
    /// The first of the bytes, all if there was room to keep them; `None` if they never
    /// were in the program's memory.
    pub(super) bytes: Option<Rc<[u8]>>,
    /// Whether what came out filled the buffer: there may have been more of it.
    pub(super) cut: bool,
}

impl Load {
    /// Units without bytes.
    pub(super) fn unseen(units: u64) -> Load {
        Load { units, bytes: None, cut: false }
    }
}

/// What a call did to a kernel object, by a key that is the same for all processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Put bytes into a stream.
    Put(String, Load),
    /// Took bytes out of a stream.
    Take(String, Load),
    /// Put one message into a queue, behind those of the same kind.
    Post(String, String, Load),
    /// Took the oldest message of that kind out of such a queue.
    Fetch(String, String, Load),
    /// The kernel reports: so many bytes, or messages, are in it now.
    Remaining(String, u64),
    /// Bytes came or went that cannot be followed.
    Untraceable(String),
    /// May have put or taken something, and never returned.
    Unfinished(String),
    /// A process has begun or ended: wait4(2) and the like will report it.
    ChildChanged(String),
    /// The kernel reported that.
    ChildReported(String),
    /// Sent a signal: its addressee and number, and what siginfo holds of it.
    SignalSent(String, String),
    /// A signal has come.
    SignalReceived(String, String),
    /// Whatever signal was pending is not any more.
    SignalDropped(String),
    /// Wrote bytes of a file, from this one on.
    Write(String, u64, Load),
    /// Read bytes of a file, from this one on.
    Read(String, u64, Load),
    /// The file is this long now: what was written beyond is gone.
    Size(String, u64),
    /// Woke what slept there: so many, if the kernel returned that.
    Wake(String, Option<u64>),
    /// May have woken a call there, as others may have.
    MayWake(String),
    /// Slept there until it was woken.
    Woken(String),
    /// Gave up a write end; whether a process can still write, if the kernel reports it.
    CloseWriter(String, Option<bool>),
    /// Opened a write end of what has a name.
    OpenWriter(String),
    /// Found that all write ends are closed.
    EndOfFile(String),
    /// These two sockets are each other's peers.
    Peers(u64, u64),
    /// A socket connects: it waits in this queue.
    Connects(String, u64),
    /// A socket was accepted from this queue.
    Accepts(String, u64),
    /// Mapped this object so that others see what is written.
    Share(String, ObjectId),
}

impl Effect {
    /// The key of the object; those of connections have their own order.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Effect::Put(key, _)
            | Effect::Take(key, _)
            | Effect::Post(key, ..)
            | Effect::Fetch(key, ..)
            | Effect::Remaining(key, _)
            | Effect::Untraceable(key)
            | Effect::Unfinished(key)
            | Effect::ChildChanged(key)
            | Effect::ChildReported(key)
            | Effect::SignalSent(key, _)
            | Effect::SignalReceived(key, _)
            | Effect::SignalDropped(key)
            | Effect::Write(key, ..)
            | Effect::Read(key, ..)
            | Effect::Size(key, _)
            | Effect::Wake(key, _)
            | Effect::MayWake(key)
            | Effect::Woken(key)
            | Effect::CloseWriter(key, _)
            | Effect::OpenWriter(key)
            | Effect::EndOfFile(key) => Some(key),
            Effect::Peers(..)
            | Effect::Connects(..)
            | Effect::Accepts(..)
            | Effect::Share(..) => None,
        }
    }
}
