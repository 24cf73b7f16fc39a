//! What a call put into a kernel object or took out of it: what arrows are made from.

use super::super::event::{Effect, Load, Piece};
use super::super::memory::i32_at;
use super::super::objects::{Desc, Kind};
use super::super::world::World;
use super::addresses::{accept, bind, connect, named};
use super::argument::{Cx, set};
use super::data::{self, Siginfo};
use super::signal_names::signal_name;
use super::streams::{
    Spans, iov, load, moved, msghdr, opened, put, send, several, size, take,
};
use super::told::{
    ignored, notifications, received, renamed, sent, signal_records, waited,
};
use super::{files, memory};
use wire::visible::quoted;

/// What a call will close, looked at before it does.
pub(super) fn closing(cx: &mut Cx<'_>, name: &str) -> Vec<Desc> {
    const ONLY_MARKS: i32 = libc::CLOSE_RANGE_CLOEXEC as i32;
    match name {
        "close" => cx.desc(cx.int(0)).into_iter().collect(),
        "dup2" | "dup3" if cx.args[0] as i32 != cx.args[1] as i32 => {
            cx.desc(cx.int(1)).into_iter().collect()
        }
        "close_range" if cx.int(2) & ONLY_MARKS == 0 => {
            let range = cx.args[0] as u32..=cx.args[1] as u32;
            let all = super::super::asked::numbers(cx.tid);
            let all = all.into_iter().filter(|fd| range.contains(&(*fd as u32)));
            all.filter_map(|fd| cx.desc(fd)).collect()
        }
        "execve" | "execveat" => {
            let open = cx.world.open(cx.process, cx.tid);
            open.into_iter().filter(|desc| desc.cloexec).collect()
        }
        // The receiver may have no room for a descriptor that was sent.
        "recvmsg" | "recvmmsg" if !cx.world.flying.is_empty() => {
            cx.world.flying.clone()
        }
        _ => Vec::new(),
    }
}

/// What a call that ended with its thread may have begun to do.
pub(super) fn begun(world: &World, name: &str, first: Option<&Desc>) -> Vec<Effect> {
    let Some(desc) = first else { return Vec::new() };
    let key = match (name, desc.kind) {
        (_, Kind::Pipe | Kind::Fifo) => Some(world.key(desc)),
        ("read" | "readv" | "recvfrom" | "recvmsg", Kind::Socket) => {
            Some(format!("socket to {}", desc.inode))
        }
        (_, Kind::Socket) => Some(format!("socket from {}", desc.inode)),
        _ => None,
    };
    key.map(Effect::Unfinished).into_iter().collect()
}

/// Where the bytes of a call are in memory.
fn spans(cx: &Cx<'_>, name: &str) -> Spans {
    match name {
        "recvmsg" | "sendmsg" => msghdr(cx, cx.args[1]),
        "readv" | "preadv" | "preadv2" | "writev" | "pwritev" | "pwritev2"
        | "vmsplice" => iov(cx, cx.args[1], cx.args[2]),
        _ => vec![(cx.args[1], cx.args[2])],
    }
}

/// Whether a call takes (false) or puts (true) bytes, and where its flags are.
fn transfers(name: &str) -> Option<(bool, Option<usize>)> {
    Some(match name {
        "read" | "readv" | "pread64" | "preadv" | "preadv2" => (false, None),
        "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => (true, None),
        "recvfrom" => (false, Some(3)),
        "recvmsg" => (false, Some(2)),
        "sendto" => (true, Some(3)),
        "sendmsg" => (true, Some(2)),
        "recvmmsg" => (false, Some(3)),
        "sendmmsg" => (true, Some(3)),
        _ => return None,
    })
}

/// pwritev2 goes to the end, whatever offset is named.
const RWF_APPEND: u64 = 0x10;

/// Bytes in the program's memory that went into an object or came out of it.
fn transferred(
    cx: &mut Cx<'_>,
    name: &str,
    desc: &Desc,
    target: Option<String>,
) -> Vec<Effect> {
    let Some((puts, flags)) = transfers(name) else { return Vec::new() };
    let flags = flags.map_or(0, |index| cx.int(index));
    if !puts && flags & libc::MSG_PEEK != 0 {
        return Vec::new();
    }
    // Urgent bytes overtake the others.
    if flags & libc::MSG_OOB != 0 {
        let way = if puts { "from" } else { "to" };
        return vec![Effect::Untraceable(format!("socket {way} {}", desc.inode))];
    }
    let fd = cx.int(0);
    if name.ends_with("mmsg") {
        let mut all = Vec::new();
        for (header, length) in several(cx) {
            let spans = msghdr(cx, header);
            let load = load(cx, &spans, length);
            match puts {
                true => {
                    let target = named(cx, header);
                    all.extend(send(cx, desc, target, load));
                }
                false => all.extend(take(cx, (fd, desc), None, load)),
            }
        }
        return all;
    }
    let spans = spans(cx, name);
    let mut load = load(cx, &spans, cx.result as u64);
    let stream = desc.socket.as_ref().is_some_and(|socket| socket.stream);
    if flags & libc::MSG_TRUNC != 0 && stream && !puts {
        // They were thrown away, not stored.
        load.bytes = None;
    }
    // -1 stands for the file's own offset.
    let mut at =
        Some(cx.args[3]).filter(|at| name.starts_with('p') && *at != u64::MAX);
    if name == "pwritev2" && cx.args[5] & RWF_APPEND != 0 {
        at = size(cx, fd).map(|size| size.saturating_sub(load.units));
    }
    match (puts, desc.kind) {
        (true, Kind::Socket) => send(cx, desc, target, load).into_iter().collect(),
        (true, _) => put(cx, (fd, desc), at, load),
        (false, _) => take(cx, (fd, desc), at, load),
    }
}

/// What a call did.
pub(super) fn after(
    cx: &mut Cx<'_>,
    name: &str,
    first: Option<&Desc>,
    target: Option<String>,
) -> Vec<Effect> {
    let n = cx.result;
    if n < 0 {
        let begins = name == "connect" && n == -i64::from(libc::EINPROGRESS);
        return if begins { connect(cx, target) } else { Vec::new() };
    }
    if let (Some(desc), Some(_)) = (first, transfers(name)) {
        if name.starts_with("send") {
            fly(cx, name);
        }
        return transferred(cx, name, desc, target);
    }
    match (name, first) {
        // From the read end it fills the caller's memory, as readv does.
        ("vmsplice", Some(desc)) => {
            let spans = spans(cx, name);
            let load = load(cx, &spans, n as u64);
            match desc.writes {
                false => take(cx, (cx.int(0), desc), None, load),
                true => put(cx, (cx.int(0), desc), None, load),
            }
        }
        ("sendfile", _) => moved(cx, (1, Some(2)), (0, None), cx.args[3]),
        ("splice", _) => moved(cx, (0, Some(1)), (2, Some(3)), cx.args[4]),
        ("copy_file_range", _) => moved(cx, (0, Some(1)), (2, Some(3)), cx.args[4]),
        ("tee", _) => match cx.desc(cx.int(1)) {
            Some(sink) => put(cx, (cx.int(1), &sink), None, Load::unseen(n as u64)),
            None => Vec::new(),
        },
        ("shutdown", Some(desc)) => {
            if cx.int(1) != libc::SHUT_WR {
                cx.world.deaf.insert(desc.inode);
            }
            let key = format!("socket from {}", desc.inode);
            let shuts = cx.int(1) != libc::SHUT_RD;
            shuts
                .then_some(Effect::CloseWriter(key, Some(false)))
                .into_iter()
                .collect()
        }
        ("open" | "openat" | "openat2" | "creat", _) => opened(cx),
        ("ftruncate" | "fallocate", Some(desc)) => resized(cx, name, desc),
        ("truncate", _) => match files::path(cx, 0) {
            Piece::Path(_, path) => {
                let meta = std::fs::metadata(path).ok();
                let key = meta.map(|meta| super::super::objects::inode_key(&meta));
                key.map(|key| Effect::Size(key, cx.args[1])).into_iter().collect()
            }
            _ => Vec::new(),
        },
        ("eventfd" | "eventfd2", _) => match cx.desc(n as i32) {
            Some(desc) => vec![Effect::Remaining(cx.world.key(&desc), cx.args[0])],
            None => Vec::new(),
        },
        ("bind", Some(desc)) => bind(cx, desc),
        ("connect", _) => connect(cx, target),
        ("accept" | "accept4", Some(desc)) => accept(cx, desc),
        ("socketpair", _) => {
            let pair = cx.memory().array::<8>(cx.args[3]).unwrap_or_default();
            let ends = [0, 4].map(|at| cx.desc(i32_at(&pair, at)));
            let [Some(one), Some(other)] = ends else { return Vec::new() };
            vec![Effect::Peers(one.inode, other.inode)]
        }
        ("mq_open", _) => match cx.desc(n as i32) {
            Some(desc) => emptied(cx, n as i32, &desc),
            None => Vec::new(),
        },
        ("mq_timedsend" | "mq_timedreceive", Some(desc)) => {
            let sends = name == "mq_timedsend";
            let priority = match sends {
                true => Some(cx.args[3]),
                false => cx.memory().u32(cx.args[3]).map(u64::from),
            };
            let spans = vec![(cx.args[1], cx.args[2])];
            let mut all = match sends {
                true => {
                    let load = load(cx, &spans, cx.args[2]);
                    vec![Effect::Post(cx.world.key(desc), lane(priority), load)]
                }
                false => {
                    let load = load(cx, &spans, n as u64);
                    vec![Effect::Fetch(cx.world.key(desc), lane(priority), load)]
                }
            };
            all.extend(emptied(cx, cx.int(0), desc));
            all
        }
        ("msgget", _) => left_in(n as i32).into_iter().collect(),
        ("msgsnd" | "msgrcv", _) => {
            let kind = cx.memory().u64(cx.args[1]).unwrap_or(0).to_string();
            let key = format!("msq {}", cx.int(0));
            let length = if name == "msgsnd" { cx.args[2] } else { n as u64 };
            let load =
                load(cx, &vec![(cx.args[1].wrapping_add(8), cx.args[2])], length);
            let effect = match name {
                "msgsnd" => Some(Effect::Post(key, kind, load)),
                // It stays where it is.
                _ if cx.int(4) & libc::MSG_COPY != 0 => None,
                _ => Some(Effect::Fetch(key, kind, load)),
            };
            effect.into_iter().chain(left_in(cx.int(0))).collect()
        }
        ("semop" | "semtimedop", _) => super::waking::semaphores(cx),
        ("semctl", _) => super::waking::set(cx),
        ("futex", _) => super::waking::futex(cx),
        ("fork" | "vfork" | "clone" | "clone3", _) if n > 0 => {
            vec![Effect::ChildChanged(format!("start {n}"))]
        }
        ("wait4" | "waitid", _) => waited(cx, name).into_iter().collect(),
        ("mmap", _) => map(cx),
        ("mremap", _) => {
            cx.world.remap(
                cx.process,
                [cx.args[0], cx.args[1]],
                [n as u64, cx.args[2]],
            );
            Vec::new()
        }
        ("munmap", _) => {
            cx.world.unmap(cx.process, cx.args[0], cx.args[1]);
            Vec::new()
        }
        ("shmdt", _) => {
            cx.world.detach(cx.process, cx.args[0]);
            Vec::new()
        }
        ("shmat", _) => {
            let object = Some((format!("segment {}", cx.int(0)), 0));
            let length = mapped_length(cx, n as u64);
            let (key, id) = cx.world.map(cx.process, n as u64, length, object);
            vec![Effect::Share(key, id)]
        }
        ("inotify_add_watch", _) => {
            let path = match files::path(cx, 1) {
                Piece::Path(_, whole) => whole,
                _ => return Vec::new(),
            };
            if let Some(desc) = cx.desc(cx.int(0)) {
                cx.world.watches.insert((desc.named.object, n as i32), path);
            }
            Vec::new()
        }
        ("rename", _) => renamed(cx, 1),
        ("renameat" | "renameat2", _) => renamed(cx, 3),
        (
            "kill" | "tgkill" | "tkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo"
            | "pidfd_send_signal",
            _,
        ) => sent(cx, name, first),
        ("rt_sigaction", _) => ignored(cx),
        ("rt_sigtimedwait", _) => {
            let info = cx.memory().array::<128>(cx.args[1]);
            let (pid, tid) = (cx.pid(), cx.tid.as_raw());
            info.map(|info| received(pid, tid, &Siginfo::of(&info)))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The kind of a message. If its priority is not known, that is a kind of its own.
fn lane(priority: Option<u64>) -> String {
    priority.map_or_else(|| "?".to_owned(), |priority| priority.to_string())
}

/// Remembers the descriptors that a message carries: they are on their way now.
fn fly(cx: &mut Cx<'_>, name: &str) {
    let headers = match name {
        "sendmsg" => vec![cx.args[1]],
        "sendmmsg" => several(cx).into_iter().map(|(header, _)| header).collect(),
        _ => Vec::new(),
    };
    let rights = |header| super::sockets::rights(cx, header);
    let fds: Vec<i32> = headers.into_iter().flat_map(rights).collect();
    for fd in fds {
        let desc = cx.desc(fd);
        cx.world.flying.extend(desc);
    }
}

/// How many messages a System V queue has.
fn left_in(id: i32) -> Option<Effect> {
    let stat = os::sysv::msgstat(id).ok()?;
    Some(Effect::Remaining(format!("msq {id}"), stat.msg_qnum))
}

/// That a POSIX queue has no message, if so.
fn emptied(cx: &Cx<'_>, fd: i32, desc: &Desc) -> Vec<Effect> {
    let empty = super::super::asked::is_empty(cx.tid, fd);
    let left = empty.then(|| Effect::Remaining(cx.world.key(desc), 0));
    left.into_iter().collect()
}

fn resized(cx: &Cx<'_>, name: &str, desc: &Desc) -> Vec<Effect> {
    let key = cx.world.key(desc);
    match size(cx, cx.int(0)) {
        // Only a longer file keeps all its bytes: others may be zeros now, or moved.
        Some(_)
            if name == "fallocate"
                && cx.int(1) & !libc::FALLOC_FL_KEEP_SIZE != 0 =>
        {
            vec![Effect::Untraceable(key)]
        }
        Some(size) => vec![Effect::Size(key, size)],
        None => vec![Effect::Untraceable(key)],
    }
}

/// How long the mapping is that begins there.
fn mapped_length(cx: &Cx<'_>, start: u64) -> u64 {
    let maps = os::proc::text(format!("/proc/{}/maps", cx.tid));
    let begin = format!("{start:x}-");
    let length = |line: &str| {
        let end = line.strip_prefix(&*begin)?.split(' ').next()?;
        Some(u64::from_str_radix(end, 16).ok()? - start)
    };
    maps.unwrap_or_default().lines().find_map(length).unwrap_or(0)
}

fn map(cx: &mut Cx<'_>) -> Vec<Effect> {
    let (start, length) = (cx.result as u64, cx.args[1]);
    if !memory::shared(cx.args[3]) {
        cx.world.unmap(cx.process, start, length);
        return Vec::new();
    }
    let object = match cx.int(3) & libc::MAP_ANONYMOUS {
        0 => match cx.desc(cx.int(4)) {
            Some(desc) => Some((cx.world.key(&desc), cx.args[5])),
            None => return Vec::new(),
        },
        _ => None,
    };
    let (key, id) = cx.world.map(cx.process, start, length, object);
    vec![Effect::Share(key, id)]
}

/// Replaces bytes that are structs by the structs' fields.
pub(super) fn contents(
    cx: &mut Cx<'_>,
    name: &str,
    first: Option<&Desc>,
    mut args: Vec<Piece>,
) -> Vec<Piece> {
    let Some(desc) = first.filter(|_| cx.result > 0 && args.len() > 1) else {
        return args;
    };
    let parts = match (name, desc.named.short) {
        ("read", "signalfd") => signal_records(cx)
            .iter()
            .map(|info| {
                let parts = [signal_name(info.number), info.text()];
                let parts = parts.map(Piece::Text).to_vec();
                Piece::Group("", data::with_value(parts, info), "")
            })
            .collect(),
        ("read", "inotify") => notifications(cx, desc)
            .into_iter()
            .map(|(mask, path)| {
                let file = path.rsplit('/').next().unwrap_or_default();
                Piece::text(format!("{} {}", set(mask, files::NOTIFY), quoted(file)))
            })
            .collect(),
        (_, "eventfd") if transfers(name).is_some() => {
            let at = spans(cx, name).first().map_or(0, |(address, _)| *address);
            vec![Piece::text(cx.memory().u64(at).unwrap_or(0).to_string())]
        }
        _ => return args,
    };
    args[1] = Piece::Group("{", parts, "}");
    args
}
