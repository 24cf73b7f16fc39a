//! From registers to a call that can be read: one file a family, each with the
//! signatures of its calls, and with what they do to kernel objects.

use std::rc::Rc;

use super::event::{Call, Effect, Outcome, Piece};
use super::objects::Desc;
use super::world::World;
use argument::{Arg, hex, set, text, word};

pub(super) use argument::Cx;

mod addresses;
mod argument;
mod clocks;
pub(super) mod data;
mod files;
mod ipc;
mod memory;
mod process;
mod queues;
mod ready;
mod rings;
pub(super) mod signal_names;
mod signals;
mod sockets;
mod streams;
mod system;
pub(super) mod told;
mod transfer;
mod waking;

/// A call that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its name.
    pub(super) name: Rc<str>,
    /// Its arguments.
    pub(super) args: [u64; 6],
    pieces: Vec<Option<Piece>>,
    /// What the first argument is, if it is a descriptor.
    first: Option<Desc>,
    /// What it will close.
    closing: Vec<Desc>,
    /// The address that it names as its target.
    target: Option<String>,
}

/// The name of a call. The numbers are those of the machine's own programs; others, for
/// example a 32-bit program's, keep their number.
pub(super) fn name(arch: u32, number: u64) -> String {
    #[cfg(target_arch = "x86_64")]
    const NATIVE: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const NATIVE: u32 = 0xc000_00b7;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const NATIVE: u32 = 0;
    let known = usize::try_from(number).ok().and_then(syscalls::Sysno::new);
    // What newer kernels have, or the table calls otherwise.
    const LISTNS: u64 = 470;
    match known.filter(|_| arch == NATIVE) {
        Some(known) if known.name() == "fstatat" => "newfstatat".to_owned(),
        Some(known) => known.name().to_owned(),
        None if arch == NATIVE && number == LISTNS => "listns".to_owned(),
        None if arch == NATIVE => format!("syscall_{number}"),
        None => format!("{FOREIGN}{number}"),
    }
}

/// An error number by its name and what it means: `EEXIST: File exists`.
pub(super) fn error_text(number: i32) -> String {
    nix::errno::Errno::from_raw(number).to_string()
}

/// An error number's name: `EEXIST`.
pub(super) fn error_name(number: i32) -> String {
    let text = error_text(number);
    text.split(':').next().unwrap_or_default().to_owned()
}

/// How the name of a call of another architecture begins.
pub(super) const FOREIGN: &str = "foreign_syscall_";

fn signature(name: &str) -> Option<&'static [Arg]> {
    files::signature(name)
        .or_else(|| sockets::signature(name))
        .or_else(|| queues::signature(name))
        .or_else(|| ipc::signature(name))
        .or_else(|| signals::signature(name))
        .or_else(|| memory::signature(name))
        .or_else(|| ready::signature(name))
        .or_else(|| process::signature(name))
        .or_else(|| clocks::signature(name))
        .or_else(|| rings::signature(name))
        .or_else(|| system::signature(name))
}

/// Reads what a call is given, before the kernel does it.
pub(super) fn enter(cx: &mut Cx<'_>, name: &Rc<str>) -> Begun {
    cx.world.tables |= process::splits_tables(cx, name);
    let mut begun = Begun {
        name: name.clone(),
        args: cx.args,
        pieces: Vec::new(),
        first: None,
        closing: transfer::closing(cx, name),
        target: addresses::target(cx, name),
    };
    let Some(signature) = signature(name) else {
        begun.pieces = cx.args.iter().map(|arg| Some(hex(*arg))).collect();
        return begun;
    };
    if matches!(signature.first(), Some(Arg::Fd)) {
        begun.first = cx.desc(cx.int(0));
    }
    for (index, arg) in signature.iter().enumerate() {
        let piece = before(cx, *arg, index);
        begun.pieces.push(piece);
    }
    begun
}

/// Reads what a call gave, after the kernel did it.
pub(super) fn leave(cx: &mut Cx<'_>, begun: Begun) -> (Call, Vec<Effect>) {
    let Begun { name, pieces, first, closing, target, .. } = begun;
    let signature = signature(&name).unwrap_or_default();
    let (mut args, mut out) = (Vec::new(), 0);
    for (index, piece) in pieces.into_iter().enumerate() {
        out |= u8::from(piece.is_none()) << index;
        args.push(match (piece, signature.get(index)) {
            (Some(piece), _) => piece,
            (None, Some(_)) if cx.result < 0 => hex(cx.args[index]),
            (None, Some(Arg::Out)) => cx.bytes(cx.args[index], cx.result as u64),
            (None, Some(Arg::After(read))) => read(cx, index),
            (None, _) => hex(cx.args[index]),
        });
    }
    forget(cx, &name);
    files::trim(&name, &mut args, cx);
    let args = transfer::contents(cx, &name, first.as_ref(), args);
    let result = outcome(cx, &name);
    let mut effects = transfer::after(cx, &name, first.as_ref(), target);
    // close(2) has closed it even when it returns an error.
    if cx.result >= 0 || &*name == "close" {
        effects.extend(cx.world.closed(closing));
    }
    (Call { name, args, out, result }, effects)
}

/// A call that ended with its thread.
pub(super) fn unfinished(world: &World, begun: Begun) -> (Call, Vec<Effect>) {
    let Begun { name, args, pieces, first, .. } = begun;
    let effects = transfer::begun(world, &name, first.as_ref());
    let missing = pieces.iter().enumerate().filter(|(_, piece)| piece.is_none());
    let out = missing.fold(0, |out, (index, _)| out | 1 << index);
    let known = pieces.into_iter().zip(args);
    let args = known.map(|(piece, raw)| piece.unwrap_or_else(|| hex(raw))).collect();
    (Call { name, args, out, result: Outcome::Never }, effects)
}

fn before(cx: &mut Cx<'_>, arg: Arg, index: usize) -> Option<Piece> {
    let raw = cx.args[index];
    Some(match arg {
        Arg::Fd => cx.fd(raw as i32),
        Arg::Directory if raw as i32 == libc::AT_FDCWD => Piece::text("AT_FDCWD"),
        Arg::Directory => cx.fd(raw as i32),
        Arg::Path => files::path(cx, index),
        Arg::Text => text(cx, index),
        Arg::In(length) => cx.bytes(raw, cx.args[length]),
        Arg::Out | Arg::After(_) => return None,
        Arg::Int => Piece::text((raw as i32).to_string()),
        Arg::Size => Piece::text(raw.to_string()),
        Arg::Hex => hex(raw),
        Arg::Octal => Piece::text(format!("{raw:04o}")),
        Arg::Set(names) => Piece::text(set(raw, names)),
        Arg::Word(names) => Piece::text(word(raw, names)),
        Arg::Signal => Piece::text(signal_names::signal_name(raw as i32)),
        Arg::Before(read) => read(cx, index),
    })
}

fn outcome(cx: &mut Cx<'_>, name: &str) -> Outcome {
    /// The errors by which the kernel notes that it must start a call again.
    const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;
    let value = cx.result;
    if RESTARTS.contains(&value) {
        return Outcome::Restart;
    }
    if (-4095..0).contains(&value) {
        return Outcome::Error(-value as i32);
    }
    let piece = match name {
        "open"
        | "openat"
        | "openat2"
        | "creat"
        | "socket"
        | "accept"
        | "accept4"
        | "mq_open"
        | "memfd_create"
        | "eventfd"
        | "eventfd2"
        | "epoll_create"
        | "epoll_create1"
        | "signalfd4"
        | "signalfd"
        | "inotify_init"
        | "inotify_init1"
        | "pidfd_open"
        | "pidfd_getfd"
        | "dup"
        | "dup2"
        | "dup3"
        | "timerfd_create"
        | "memfd_secret"
        | "io_uring_setup"
        | "userfaultfd"
        | "perf_event_open"
        | "fanotify_init"
        | "landlock_create_ruleset"
        | "open_tree"
        | "open_tree_attr"
        | "fsopen"
        | "fsmount"
        | "fspick"
        | "open_by_handle_at" => Some(cx.new_fd(value as i32)),
        "fcntl" if matches!(cx.int(1), libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
            Some(cx.new_fd(value as i32))
        }
        "mmap" | "brk" | "shmat" | "mremap" | "map_shadow_stack" => {
            Some(hex(value as u64))
        }
        "rt_sigtimedwait" => {
            Some(Piece::text(signal_names::signal_name(value as i32)))
        }
        "poll" | "ppoll" if value > 0 => ready::answered(cx),
        _ => None,
    };
    let means = match name {
        "read" | "readv" if value == 0 && cx.args[2] > 0 => nothing_more(cx),
        "recvfrom" | "recvmsg" if value == 0 => nothing_more(cx),
        "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait"
        | "epoll_pwait2"
            if value == 0 =>
        {
            "timeout"
        }
        _ => "",
    };
    Outcome::Value(value, piece, means)
}

/// What it means that nothing was read, though there was room.
fn nothing_more(cx: &mut Cx<'_>) -> &'static str {
    let socket = cx.desc(cx.int(0)).and_then(|desc| desc.socket);
    match socket.is_some_and(|socket| socket.datagram) {
        true => "empty datagram",
        false => "end of file",
    }
}

/// Drops what is no longer so once the call has been made.
fn forget(cx: &mut Cx<'_>, name: &str) {
    let process = cx.process;
    match name {
        "close" => cx.world.forget(process, cx.int(0)),
        "dup2" | "dup3" => cx.world.forget(process, cx.int(1)),
        "bind" | "connect" | "listen" => cx.world.forget(process, cx.int(0)),
        "fcntl" if matches!(cx.int(1), libc::F_SETFD | libc::F_SETFL) => {
            cx.world.forget(process, cx.int(0));
        }
        "close_range" => cx.world.forget_all(process),
        _ => {}
    }
}
