//! What was seen: processes, and what each asked of the kernel.

use std::collections::HashSet;
use std::rc::Rc;

use super::objects::{ObjectId, Objects};

/// A whole run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The processes, in the order in which they began.
    pub(super) processes: Vec<Process>,
    /// What they did, in the order of [`Event::place`].
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
    /// What happened.
    pub(super) what: What,
    /// What went in or came out.
    pub(super) effects: Vec<Effect>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// A system call.
    Call(Call),
    /// A signal was delivered.
    Signal {
        /// Its number.
        number: i32,
        /// What siginfo tells, as text.
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
    /// A path: as the program said it, and whole.
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

/// What a descriptor was when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The kernel object.
    pub(super) object: ObjectId,
    /// In full: `tcp 127.0.0.1:7777→127.0.0.1:50824`.
    pub(super) long: Rc<str>,
    /// In a word: `tcp`.
    pub(super) short: &'static str,
}

/// What a call did to a kernel object, by a key that is the same for all processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Put so many bytes into a stream.
    Put(String, u64),
    /// Took so many bytes out of a stream.
    Take(String, u64),
    /// Put one message into a queue whose order the key tells, or a signal.
    Post(String),
    /// Took the oldest message out of such a queue.
    Fetch(String),
    /// Wrote these bytes of a file.
    Write(String, u64, u64),
    /// Read these bytes of a file.
    Read(String, u64, u64),
    /// Woke whoever slept there: so many, if the kernel told.
    Wake(String, Option<u64>),
    /// Slept there until it was woken.
    Woken(String),
    /// Gave up a writing end.
    Close(String),
    /// Found that all writing ends are closed.
    EndOfFile(String),
    /// These two sockets are each other's peers.
    Peers(u64, u64),
    /// This socket connects (true), or was accepted, by a queue in the same event.
    Socket(u64),
    /// Mapped this object so that others see what is written.
    Share(String, ObjectId),
}
