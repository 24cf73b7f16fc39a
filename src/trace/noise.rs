//! What is shown: the calls on what can carry something from one process to another.
//!
//! A pipe, a socket, a queue can; so can a file or memory that one process writes and
//! another opens. The loader's libraries, a program's own files, its standard output and
//! the locks by which our roles meet cannot, and are left out. `--all` shows everything.

use std::collections::{HashMap, HashSet};

use super::event::{Call, Effect, Event, EventKind, Outcome, Piece, Trace};
use super::named::ObjectId;
use super::objects::Kind;
use super::pair::Arrow;

/// The events that are shown, by their indexes.
pub(super) fn choose(trace: &Trace, arrows: &[Arrow], all: bool) -> Vec<usize> {
    let channels = Channels::of(trace);
    // What we started begins with execve, which adds nothing to the heading.
    let mut begun = HashSet::new();
    let mut shown = Vec::new();
    for (index, event) in trace.events.iter().enumerate() {
        let first = begun.insert(event.process)
            && matches!(&event.what, EventKind::Call(call) if &*call.name == "execve");
        if all || !first && channels.shows(event) {
            shown.push(index);
        }
    }
    if !all {
        let again = begun_again(trace, &channels);
        shown.retain(|index| !again.contains(index));
        drop_unused(trace, &mut shown);
        complete(trace, arrows, &mut shown);
    }
    shown
}

/// All events of bare programs but their start, which begins with the last execve before the
/// process gives itself the program's name, and ends there. A process that was forked, and has not
/// called execve, has no start.
pub(super) fn after_the_start(trace: &Trace) -> Vec<usize> {
    let is = |index: usize, name: &str| matches!(&trace.events[index].what, EventKind::Call(call) if &*call.name == name);
    let mut seen = HashSet::new();
    let mut begun = vec![None; trace.processes.len()];
    let mut starts = vec![None; trace.processes.len()];
    let mut threads: HashMap<i32, usize> = HashMap::new();
    let mut checks = HashSet::new();
    for (index, event) in trace.events.iter().enumerate() {
        // As the first event, that of what we have started, it adds nothing to the heading.
        let first = seen.insert(event.process);
        if is(index, "execve") && starts[event.process].is_none() {
            begun[event.process] = Some(index + usize::from(!first));
        }
        if is(index, "prctl") {
            starts[event.process].get_or_insert(index);
        }
        // Where Rust checks itself (in a debug build), it looks whether a descriptor is open
        // before it closes it; and a thread of the C library registers its list of locks.
        if let Some(before) = threads.insert(event.tid, index)
            && is(before, "fcntl")
            && is(index, "close")
        {
            checks.insert(before);
        }
    }
    let shown = |index: &usize| {
        let process = trace.events[*index].process;
        let start = begun[process].zip(starts[process]);
        start.is_none_or(|(from, to)| *index < from || *index > to)
            && !checks.contains(index)
            && !is(*index, "set_robust_list")
    };
    (0..trace.events.len()).filter(shown).collect()
}

/// Adds the other end of each arrow to another process: for example a dup2 or a close that
/// ended a stream.
fn complete(trace: &Trace, arrows: &[Arrow], shown: &mut Vec<usize>) {
    let known: HashSet<usize> = shown.iter().copied().collect();
    let across = |arrow: &&Arrow| {
        trace.events[arrow.from].process != trace.events[arrow.to].process
    };
    for Arrow { from, to } in arrows.iter().filter(across) {
        match (known.contains(from), known.contains(to)) {
            (true, false) => shown.push(*to),
            (false, true) => shown.push(*from),
            _ => {}
        }
    }
    shown.sort_unstable();
    shown.dedup();
}

/// Calls that were interrupted by a signal which is not shown, and that began again at once:
/// without a tracer that signal would not have touched them.
fn begun_again(trace: &Trace, channels: &Channels) -> HashSet<usize> {
    let mut threads: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, event) in trace.events.iter().enumerate() {
        threads.entry(event.tid).or_default().push(index);
    }
    let event = |index: usize| &trace.events[index];
    let name = |index: usize| match &event(index).what {
        EventKind::Call(call) => Some(&call.name),
        _ => None,
    };
    let again = |three: &&[usize]| {
        let signal = event(three[1]);
        matches!(&event(three[0]).what, EventKind::Call(call) if matches!(call.result, Outcome::Restart))
            && matches!(signal.what, EventKind::Signal { .. })
            && !channels.shows(signal)
            && name(three[0]) == name(three[2])
    };
    let threes = threads.values().flat_map(|indexes| indexes.windows(3));
    threes.filter(again).map(|three| three[0]).collect()
}

struct Channels {
    objects: HashSet<ObjectId>,
    names: HashSet<String>,
}

/// These only look, or concern this process alone.
const LOOKS: &[&str] = &[
    "access",
    "faccessat",
    "faccessat2",
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "readlink",
    "readlinkat",
    "lseek",
    "ioctl",
    "getsockname",
    "getpeername",
    "fadvise64",
    "getdents64",
    "mq_getsetattr",
    "chmod",
    "fchmod",
    "mkdir",
    "statfs",
];

/// About processes and signals, whatever their arguments are.
const ALWAYS: &[&str] = &[
    "fork",
    "vfork",
    "clone",
    "clone3",
    "execve",
    "execveat",
    "wait4",
    "waitid",
    "setpgid",
    "setsid",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_send_signal",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "rt_sigtimedwait",
    "rt_sigsuspend",
    "pause",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "shmget",
    "shmat",
    "shmdt",
    "shmctl",
    "mq_open",
    "mq_unlink",
];

/// Leaves out what was opened and closed, and used for nothing that is shown.
fn drop_unused(trace: &Trace, shown: &mut Vec<usize>) {
    let mut open: HashMap<(usize, i32), (usize, bool)> = HashMap::new();
    let mut unused = HashSet::new();
    for &index in &*shown {
        let event = &trace.events[index];
        let EventKind::Call(call) = &event.what else { continue };
        let closed = (&*call.name == "close").then(|| call.args.first()).flatten();
        for piece in call.args.iter().filter(|_| closed.is_none()) {
            piece.visit(&mut |piece| {
                if let Piece::Fd(fd, _) = piece
                    && let Some((_, used)) = open.get_mut(&(event.process, *fd))
                {
                    *used = true;
                }
            });
        }
        if let Outcome::Value(_, Some(Piece::Fd(fd, _)), _) = &call.result {
            open.insert((event.process, *fd), (index, false));
        }
        if let Some(Piece::Fd(fd, _)) = closed
            && let Some((opened, false)) = open.remove(&(event.process, *fd))
        {
            unused.extend([opened, index]);
        }
    }
    shown.retain(|index| !unused.contains(index));
}

impl Channels {
    fn of(trace: &Trace) -> Channels {
        let mut users: HashMap<ObjectId, HashSet<usize>> = HashMap::new();
        for event in &trace.events {
            for object in objects(event) {
                users.entry(object).or_default().insert(event.process);
            }
        }
        let shared =
            |id: ObjectId| users.get(&id).is_some_and(|users| users.len() > 1);
        // A pipe or an epoll instance that one process alone has, and its threads use to
        // wake each other.
        let threaded = threaded(trace);
        let inner = |id: ObjectId| {
            let users = users.get(&id);
            users.is_some_and(|users| users.iter().all(|one| threaded.contains(one)))
                && !shared(id)
        };
        let carries = |id: ObjectId| {
            let object = trace.objects.get(id);
            match object.kind {
                Kind::Pipe | Kind::Helper => !inner(id),
                Kind::Fifo | Kind::Queue | Kind::Pidfd => true,
                Kind::Socket => !object.long.starts_with("netlink"),
                Kind::Memory | Kind::File => {
                    let lock = |path: &String| path.ends_with(".lock");
                    let key = object.key.starts_with("anonymous");
                    (object.written && shared(id) || key)
                        && !object.path.as_ref().is_some_and(lock)
                }
                Kind::Other => false,
            }
        };
        let inside =
            |id: ObjectId| !trace.outside.contains(&trace.objects.get(id).inode);
        let all = trace.objects.iter().map(|(id, _)| id);
        let objects = all.filter(|id| carries(*id) && inside(*id)).collect();
        let mut channels = Channels { objects, names: HashSet::new() };
        channels.learn_names(trace);
        channels
    }

    /// The paths at which the channels lie, or lay.
    fn learn_names(&mut self, trace: &Trace) {
        for (id, object) in trace.objects.iter() {
            if self.objects.contains(&id) {
                self.names.extend(object.path.clone());
            }
        }
        // Twice: a name may be used before it is known to be another's name.
        for event in trace.events.iter().chain(&trace.events) {
            let EventKind::Call(call) = &event.what else { continue };
            let paths: Vec<_> = paths(call).collect();
            let on = objects(event).any(|id| self.objects.contains(&id));
            let renames =
                call.name.starts_with("rename") || call.name.starts_with("link");
            let known =
                renames && paths.iter().any(|path| self.names.contains(*path));
            if known
                || on
                    && matches!(
                        &*call.name,
                        "open" | "openat" | "creat" | "bind" | "connect"
                    )
            {
                self.names.extend(paths.into_iter().cloned());
            }
        }
    }

    fn shows(&self, event: &Event) -> bool {
        match &event.what {
            EventKind::Starts | EventKind::Ends(_) => true,
            EventKind::Signal { number, .. } => {
                !matches!(*number, libc::SIGCHLD | libc::SIGWINCH | libc::SIGURG)
            }
            EventKind::Call(call) => self.shows_call(event, call),
        }
    }

    fn shows_call(&self, event: &Event, call: &Call) -> bool {
        let text = |index: usize| match call.args.get(index) {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        if event.asleep {
            return true;
        }
        let on_channel = objects(event).any(|id| self.objects.contains(&id));
        let name = &*call.name;
        match name {
            "unlink" | "unlinkat"
                if matches!(call.result, Outcome::Error(libc::ENOENT)) =>
            {
                false
            }
            "msgctl" | "semctl" | "shmctl" if call.args.iter().any(is_stat) => false,
            "read" if is_queue(call) => false,
            // A shell tries each directory of PATH.
            "execve" if matches!(call.result, Outcome::Error(libc::ENOENT)) => false,
            "rt_sigprocmask" => {
                // Guards around a few lines of code, looks, and a shell's job control.
                let guards = ["[]", "[32 33]", "NULL"].contains(&text(1))
                    || text(1).starts_with('~')
                    || text(1).contains("CHLD");
                text(0) != "SIG_SETMASK" && !guards
            }
            "rt_sigaction" => {
                // Of clean-up, the runtime, and the C library's threads.
                let own = [
                    "SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGSEGV", "SIGBUS",
                    "SIGCHLD", "SIGXFSZ", "32", "33",
                ];
                text(1).contains("handler") && !own.contains(&text(0))
            }
            // Which process's end, and which one's memory, is whose affair; what Rust's runtime
            // asks of itself is not.
            "prctl" => {
                let affairs = [
                    "PR_SET_PDEATHSIG",
                    "PR_SET_CHILD_SUBREAPER",
                    "PR_SET_PTRACER",
                    "PR_SET_DUMPABLE",
                ];
                affairs.contains(&text(0))
            }
            "futex" => text(0).starts_with("shared"),
            // How long a call may wait is shown where it waits.
            "setsockopt" if text(2).ends_with("TIMEO") => false,
            "mmap" => event.effects.iter().any(|effect| match effect {
                Effect::Share(_, id) => self.objects.contains(id),
                _ => false,
            }),
            "fcntl" => {
                let about = [
                    "F_SETLK",
                    "F_SETLKW",
                    "F_SETFL",
                    "F_ADD_SEALS",
                    "F_SETPIPE_SZ",
                ];
                on_channel && about.contains(&text(1))
            }
            "poll" | "ppoll" | "select" | "pselect6" => {
                // What was ready at once is of interest only among several.
                let channels = objects(event).filter(|id| self.objects.contains(id));
                let looks =
                    [text(2), text(4)].iter().any(|t| ["0", "0 s"].contains(t));
                let several = channels.collect::<HashSet<_>>().len() > 1;
                on_channel && (event.slept || several && !looks)
            }
            _ if LOOKS.contains(&name) => false,
            _ if ALWAYS.contains(&name) => true,
            _ => on_channel || paths(call).any(|path| self.names.contains(path)),
        }
    }
}

/// The processes that have more than one thread.
fn threaded(trace: &Trace) -> HashSet<usize> {
    let mut first = HashMap::new();
    let events = trace.events.iter();
    events
        .filter(|event| {
            *first.entry(event.process).or_insert(event.tid) != event.tid
        })
        .map(|event| event.process)
        .collect()
}

fn objects(event: &Event) -> impl Iterator<Item = ObjectId> + '_ {
    let mut found = Vec::new();
    if let EventKind::Call(call) = &event.what {
        let result = match &call.result {
            Outcome::Value(_, piece, _) => piece.as_ref(),
            _ => None,
        };
        for piece in call.args.iter().chain(result) {
            piece.visit(&mut |piece| {
                if let Piece::Fd(_, Some(named)) = piece {
                    found.push(named.object);
                }
            });
        }
    }
    for effect in &event.effects {
        if let Effect::Share(_, id) = effect {
            found.push(*id);
        }
    }
    found.into_iter()
}

fn is_stat(piece: &Piece) -> bool {
    matches!(piece, Piece::Text(text) if text == "IPC_STAT")
}

/// To read a message queue is to ask how many bytes are in it.
fn is_queue(call: &Call) -> bool {
    matches!(call.args.first(), Some(Piece::Fd(_, Some(named))) if named.short == "mq")
}

fn paths(call: &Call) -> impl Iterator<Item = &String> {
    call.args.iter().filter_map(|piece| match piece {
        Piece::Path(_, whole) => Some(whole),
        _ => None,
    })
}
