//! How the arguments of a call are read, and how numbers are shown.

use nix::unistd::Pid;

use crate::event::Piece;
use crate::memory::Memory;
use crate::objects::Desc;
use crate::world::World;
use wire::visible::quoted;

/// How many bytes of a buffer are kept.
pub(super) const KEPT: u64 = 256;

/// Names of numbers.
pub(super) type Names = &'static [(u64, &'static str)];

/// Names of libc's constants.
macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name as u64, stringify!($name))),*] };
}
pub(super) use names;

/// How one argument is read, and when.
#[derive(Clone, Copy)]
pub(super) enum Arg {
    /// A descriptor.
    Fd,
    /// A directory's descriptor, or AT_FDCWD.
    Directory,
    /// A path; relative to the argument before it, if that is [`Arg::Directory`].
    Path,
    /// Text.
    Text,
    /// Bytes that go in; their number is in that argument.
    In(usize),
    /// Bytes that come out: as many as the call returned.
    Out,
    /// A signed number.
    Int,
    /// An unsigned number, for example of bytes.
    Size,
    /// An address or another number in hexadecimal.
    Hex,
    /// A mode.
    Octal,
    /// Bits.
    Set(Names),
    /// One of these.
    Word(Names),
    /// A signal's number.
    Signal,
    /// Read before the call.
    Before(fn(&mut Cx<'_>, usize) -> Piece),
    /// Read after it.
    After(fn(&mut Cx<'_>, usize) -> Piece),
}

/// A thread that has stopped at a system call, and all that is known.
pub(in super::super) struct Cx<'a> {
    /// The thread.
    pub(in super::super) tid: Pid,
    /// Its process: the index among the run's.
    pub(in super::super) process: usize,
    /// The arguments.
    pub(in super::super) args: [u64; 6],
    /// What it returned: a value, or the error as a negative number; `i64::MAX` before.
    pub(in super::super) result: i64,
    /// All that is known.
    pub(in super::super) world: &'a mut World,
}

impl Cx<'_> {
    pub(super) fn memory(&self) -> Memory {
        Memory(self.tid)
    }

    pub(super) fn pid(&self) -> i32 {
        self.world.processes[self.process].pid
    }

    pub(super) fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }

    /// What descriptor `fd` is.
    pub(super) fn desc(&mut self, fd: i32) -> Option<Desc> {
        self.world.desc(self.process, self.tid, fd)
    }

    pub(super) fn fd(&mut self, fd: i32) -> Piece {
        Piece::Fd(fd, self.desc(fd).map(|desc| desc.named))
    }

    /// A descriptor that the call has just made.
    pub(super) fn new_fd(&mut self, fd: i32) -> Piece {
        self.world.forget(self.process, fd);
        self.fd(fd)
    }

    /// The first bytes at `address`, out of `whole`.
    pub(super) fn bytes(&self, address: u64, whole: u64) -> Piece {
        let shown = whole.min(KEPT) as usize;
        Piece::Bytes(self.memory().bytes(address, shown), whole)
    }
}

pub(super) fn text(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().text(cx.args[index]) {
        Some(text) => Piece::text(quoted(text)),
        None => hex(cx.args[index]),
    }
}

pub(super) fn hex(raw: u64) -> Piece {
    Piece::text(if raw == 0 { "NULL".to_owned() } else { format!("{raw:#x}") })
}

/// Bits by name: `O_RDWR|O_CREAT`. A name of value 0 stands for no bit at all.
pub(super) fn set(raw: u64, names: Names) -> String {
    let mut left = raw & 0xffff_ffff;
    let mut found = Vec::new();
    for (bits, name) in names.iter().filter(|(bits, _)| *bits != 0) {
        if left & bits == *bits {
            found.push((*name).to_owned());
            left &= !bits;
        }
    }
    if left != 0 {
        found.push(format!("{left:#x}"));
    }
    let none = || {
        let zero = names.iter().find(|(bits, _)| *bits == 0);
        zero.map_or("0", |(_, name)| name).to_owned()
    };
    if found.is_empty() { none() } else { found.join("|") }
}

/// A number by its name.
pub(super) fn word(raw: u64, names: Names) -> String {
    let same = |value: u64| value as u32 == raw as u32;
    let found = names.iter().find(|(value, _)| same(*value));
    found.map_or_else(|| (raw as i32).to_string(), |(_, name)| (*name).to_owned())
}

/// Flags of a call that makes a descriptor.
pub(super) const NEW_FD: Names = names! { O_NONBLOCK O_CLOEXEC O_DIRECT };
