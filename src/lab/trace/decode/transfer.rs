//! What a call put into a kernel object or took out of it: what arrows are made from.

use super::super::event::{Effect, Piece};
use super::super::memory::{i32_at, u64_at};
use super::super::objects::{Desc, Kind, field};
use super::data::{self, Address, Siginfo, address_text};
use super::{Begun, Cx, files, ipc, memory, set, signals};

/// What must be looked at before the call: what close gives up.
pub(super) fn before(cx: &mut Cx<'_>, begun: &Begun) -> Vec<Effect> {
    match (&*begun.name, &begun.first) {
        ("close", Some(desc)) => close(desc).into_iter().collect(),
        ("execve" | "execveat", _) => {
            let open = cx.world.open(cx.who);
            open.iter().filter(|desc| desc.cloexec).filter_map(close).collect()
        }
        _ => Vec::new(),
    }
}

/// What a writer gives up when it closes `desc`.
pub(in super::super) fn close(desc: &Desc) -> Option<Effect> {
    match desc.kind {
        Kind::Pipe | Kind::Fifo if desc.writes => Some(Effect::Close(key(desc))),
        Kind::Socket => Some(Effect::Close(outgoing(desc))),
        _ => None,
    }
}

/// What a call did.
pub(super) fn after(
    cx: &mut Cx<'_>,
    name: &str,
    first: Option<&Desc>,
) -> Vec<Effect> {
    let n = cx.result;
    if n < 0 {
        let begins = name == "connect" && n == -i64::from(libc::EINPROGRESS);
        return if begins { connect(cx) } else { Vec::new() };
    }
    let first = || first.into_iter();
    match name {
        "read" | "readv" => first().flat_map(|desc| take(cx, desc, None)).collect(),
        "pread64" | "preadv" => {
            let at = Some(cx.args[3]);
            first().flat_map(|desc| take(cx, desc, at)).collect()
        }
        "recvfrom" if cx.int(3) & libc::MSG_PEEK != 0 => Vec::new(),
        "recvmsg" if cx.int(2) & libc::MSG_PEEK != 0 => Vec::new(),
        "recvfrom" | "recvmsg" => {
            first().flat_map(|desc| take(cx, desc, None)).collect()
        }
        "write" | "writev" => {
            first().filter_map(|desc| put(cx, desc, None)).collect()
        }
        "pwrite64" | "pwritev" => {
            let at = Some(cx.args[3]);
            first().filter_map(|desc| put(cx, desc, at)).collect()
        }
        "sendto" | "sendmsg" => first().map(|desc| send(cx, name, desc)).collect(),
        "sendfile" => first().filter_map(|desc| put(cx, desc, None)).collect(),
        "splice" => {
            let mut all: Vec<_> =
                first().flat_map(|desc| take(cx, desc, None)).collect();
            all.extend(cx.desc(cx.int(2)).and_then(|desc| put(cx, &desc, None)));
            all
        }
        "shutdown" if cx.int(1) != libc::SHUT_RD => {
            first().map(|desc| Effect::Close(outgoing(desc))).collect()
        }
        "open" | "openat" | "creat" => opened(cx),
        "connect" => connect(cx),
        "accept" | "accept4" => accept(cx),
        "socketpair" => {
            let pair = cx.memory().array::<8>(cx.args[3]).unwrap_or_default();
            let ends = [0, 4].map(|at| cx.desc(i32_at(&pair, at)));
            let [Some(one), Some(other)] = ends else { return Vec::new() };
            vec![Effect::Peers(one.inode, other.inode)]
        }
        "mq_timedsend" => first()
            .map(|desc| Effect::Post(format!("{} {}", key(desc), cx.args[3])))
            .collect(),
        "mq_timedreceive" => {
            let priority = cx.memory().u32(cx.args[3]);
            let fetch = |desc: &Desc| {
                Effect::Fetch(format!("{} {}", key(desc), priority?)).into()
            };
            first().filter_map(fetch).collect()
        }
        "msgsnd" | "msgrcv" => {
            let kind = cx.memory().u64(cx.args[1]).unwrap_or(0);
            let key = format!("msq {} {kind}", cx.int(0));
            vec![if name == "msgsnd" {
                Effect::Post(key)
            } else {
                Effect::Fetch(key)
            }]
        }
        "semop" | "semtimedop" => semaphores(cx),
        "futex" => futex(cx),
        "fork" | "vfork" | "clone" | "clone3" if n > 0 => {
            vec![Effect::Post(format!("start {n}"))]
        }
        "wait4" if n > 0 => vec![Effect::Fetch(format!("child {n}"))],
        "waitid" => {
            let info = cx.memory().array::<128>(cx.args[2]).unwrap_or([0; 128]);
            vec![Effect::Fetch(format!("child {}", Siginfo::of(&info).pid))]
        }
        "mmap" if memory::shared(cx.args[3]) => map(cx),
        "munmap" => {
            cx.world.unmap(cx.who, cx.args[0], cx.args[1]);
            Vec::new()
        }
        "shmat" => {
            let object = Some((format!("segment {}", cx.int(0)), 0));
            // How long it is, only shmctl tells; the next mapping cuts it short.
            let (key, id) = cx.world.map(cx.who, n as u64, 1 << 30, object);
            vec![Effect::Share(key, id)]
        }
        "inotify_add_watch" => {
            let path = match files::path(cx, 1) {
                Piece::Path(_, whole) => whole,
                _ => return Vec::new(),
            };
            if let Some(desc) = cx.desc(cx.int(0)) {
                cx.world.watches.insert((desc.named.object, n as i32), path);
            }
            Vec::new()
        }
        "rename" => renamed(cx, 1),
        "renameat" | "renameat2" => renamed(cx, 3),
        "kill" | "tgkill" | "tkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo"
        | "pidfd_send_signal" => sent(cx, name, first().next()),
        "rt_sigtimedwait" => {
            let info = cx.memory().array::<128>(cx.args[1]);
            info.map(|info| received(cx.pid(), &Siginfo::of(&info)))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

fn key(desc: &Desc) -> String {
    format!("{:?} {}", desc.kind, desc.inode)
}

/// The key of what a socket sends.
fn outgoing(desc: &Desc) -> String {
    match &desc.socket {
        Some(socket) if socket.domain != libc::AF_UNIX => {
            let name =
                |address: &Option<String>| address.clone().unwrap_or_default();
            format!("tcp {}→{}", name(&socket.local), name(&socket.peer))
        }
        _ => format!("unix from {}", desc.inode),
    }
}

/// The key of what a socket receives.
fn incoming(desc: &Desc) -> String {
    match &desc.socket {
        Some(socket) if socket.domain != libc::AF_UNIX => {
            let name =
                |address: &Option<String>| address.clone().unwrap_or_default();
            format!("tcp {}→{}", name(&socket.peer), name(&socket.local))
        }
        _ => format!("unix to {}", desc.inode),
    }
}

fn put(cx: &mut Cx<'_>, desc: &Desc, at: Option<u64>) -> Option<Effect> {
    let n = cx.result as u64;
    Some(match desc.kind {
        Kind::Pipe | Kind::Fifo => Effect::Put(key(desc), n),
        Kind::File | Kind::Memory => {
            let from = at.or_else(|| Some(position(cx)?.saturating_sub(n)))?;
            Effect::Write(key(desc), from, from + n)
        }
        Kind::Socket => send(cx, "write", desc),
        Kind::Helper if desc.named.short == "eventfd" => {
            Effect::Put(desc.named.long.to_string(), cx.memory().u64(cx.args[1])?)
        }
        _ => return None,
    })
}

fn take(cx: &mut Cx<'_>, desc: &Desc, at: Option<u64>) -> Vec<Effect> {
    let n = cx.result as u64;
    let stream =
        |key| if n == 0 { Effect::EndOfFile(key) } else { Effect::Take(key, n) };
    match desc.kind {
        Kind::Pipe | Kind::Fifo => vec![stream(key(desc))],
        Kind::File | Kind::Memory => {
            let from = at.or_else(|| Some(position(cx)?.saturating_sub(n)));
            from.map(|from| Effect::Read(key(desc), from, from + n))
                .into_iter()
                .collect()
        }
        Kind::Socket => {
            let socket = desc.socket.as_ref();
            let local = socket.and_then(|socket| socket.local.as_deref());
            vec![match (socket.is_some_and(|s| s.stream), local) {
                (true, _) => stream(incoming(desc)),
                (_, Some(local)) if socket.is_some_and(|s| s.datagram) => {
                    Effect::Fetch(format!("datagram {local}"))
                }
                _ if n == 0 => Effect::EndOfFile(incoming(desc)),
                _ => Effect::Fetch(incoming(desc)),
            }]
        }
        Kind::Helper => match desc.named.short {
            "eventfd" => {
                let value = cx.memory().u64(cx.args[1]).unwrap_or(0);
                vec![Effect::Take(desc.named.long.to_string(), value)]
            }
            "signalfd" => {
                let pid = cx.pid();
                signal_records(cx).iter().map(|info| received(pid, info)).collect()
            }
            "inotify" => {
                let events = notifications(cx, desc);
                let told =
                    |(_, path): (u64, String)| Effect::Fetch(format!("name {path}"));
                events.into_iter().map(told).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Where a file's offset is now.
fn position(cx: &Cx<'_>) -> Option<u64> {
    let info = format!("/proc/{}/fdinfo/{}", cx.tid, cx.int(0));
    field(&std::fs::read_to_string(info).ok()?, "pos:")?.parse().ok()
}

fn send(cx: &mut Cx<'_>, name: &str, desc: &Desc) -> Effect {
    let socket = desc.socket.as_ref();
    if socket.is_some_and(|socket| socket.stream) {
        return Effect::Put(outgoing(desc), cx.result as u64);
    }
    let named = match name {
        "sendto" => target(cx, cx.args[4], cx.args[5]),
        "sendmsg" => cx.memory().array::<12>(cx.args[1]).and_then(|header| {
            target(cx, u64_at(&header, 0), u64::from(i32_at(&header, 8) as u32))
        }),
        _ => None,
    };
    let peer = named.or_else(|| socket.and_then(|socket| socket.peer.clone()));
    match peer.filter(|_| socket.is_some_and(|socket| socket.datagram)) {
        Some(peer) => Effect::Post(format!("datagram {peer}")),
        None => Effect::Post(outgoing(desc)),
    }
}

fn target(cx: &Cx<'_>, address: u64, length: u64) -> Option<String> {
    if address == 0 {
        return None;
    }
    match address_text(&cx.memory().bytes(address, length.min(128) as usize))? {
        Address::Path(text) | Address::Other(text) => Some(text),
    }
}

/// Opening a FIFO wakes who waits for the other end, and may wait for it.
fn opened(cx: &mut Cx<'_>) -> Vec<Effect> {
    let Some(desc) = cx.desc(cx.result as i32) else { return Vec::new() };
    if desc.kind != Kind::Fifo {
        return Vec::new();
    }
    let side = |writes| format!("{} {}", key(&desc), if writes { "w" } else { "r" });
    vec![Effect::Wake(side(!desc.writes), None), Effect::Woken(side(desc.writes))]
}

fn connect(cx: &mut Cx<'_>) -> Vec<Effect> {
    cx.world.forget(cx.who, cx.int(0));
    let Some(desc) = cx.desc(cx.int(0)) else { return Vec::new() };
    let Some(socket) = desc.socket.as_ref().filter(|socket| !socket.datagram) else {
        return Vec::new();
    };
    let key = match socket.domain {
        libc::AF_UNIX => {
            let path = target(cx, cx.args[1], cx.args[2]).unwrap_or_default();
            format!("connect {path} {}", cx.pid())
        }
        _ => format!("connect {}", outgoing(&desc)),
    };
    vec![Effect::Post(key), Effect::Socket(desc.inode)]
}

fn accept(cx: &mut Cx<'_>) -> Vec<Effect> {
    let Some(desc) = cx.desc(cx.result as i32) else { return Vec::new() };
    let Some(socket) = desc.socket.as_ref() else { return Vec::new() };
    let key = match socket.domain {
        libc::AF_UNIX => {
            let path = socket.local.as_deref().unwrap_or_default();
            format!("connect {path} {}", socket.peer_pid)
        }
        _ => format!("connect {}", incoming(&desc)),
    };
    vec![Effect::Fetch(key), Effect::Socket(desc.inode)]
}

fn semaphores(cx: &Cx<'_>) -> Vec<Effect> {
    let effect = |op: ipc::Operation| {
        let key = format!("semaphore {} {}", cx.int(0), op.number);
        if op.change > 0 { Effect::Wake(key, None) } else { Effect::Woken(key) }
    };
    ipc::all(cx).into_iter().map(effect).collect()
}

fn futex(cx: &Cx<'_>) -> Vec<Effect> {
    let Some((pages, offset)) = cx.world.word(cx.who, cx.args[0]) else {
        return Vec::new();
    };
    let key = format!("word {pages} {offset:#x}");
    match memory::action(cx) {
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET if cx.result > 0 => {
            vec![Effect::Wake(key, Some(cx.result as u64))]
        }
        _ if memory::waits(cx) => vec![Effect::Woken(key)],
        _ => Vec::new(),
    }
}

fn map(cx: &mut Cx<'_>) -> Vec<Effect> {
    let (start, length) = (cx.result as u64, cx.args[1]);
    let object = match cx.int(3) & libc::MAP_ANONYMOUS {
        0 => match cx.desc(cx.int(4)) {
            Some(desc) => {
                let object = cx.world.objects.get(desc.named.object);
                Some((object.key.clone(), cx.args[5]))
            }
            None => return Vec::new(),
        },
        _ => None,
    };
    let (key, id) = cx.world.map(cx.who, start, length, object);
    vec![Effect::Share(key, id)]
}

fn renamed(cx: &mut Cx<'_>, index: usize) -> Vec<Effect> {
    let Piece::Path(_, path) = files::path(cx, index) else { return Vec::new() };
    let dir = std::path::Path::new(&path).parent();
    let watched = |watch: &String| Some(std::path::Path::new(watch)) == dir;
    let told = cx.world.watches.values().any(watched);
    if told { vec![Effect::Post(format!("name {path}"))] } else { Vec::new() }
}

/// What a read of an inotify descriptor told: a mask, and the whole path.
fn notifications(cx: &Cx<'_>, desc: &Desc) -> Vec<(u64, String)> {
    let bytes = cx.memory().bytes(cx.args[1], cx.result.max(0) as usize);
    let (mut at, mut found) = (0, Vec::new());
    while let Some(record) = bytes.get(at..).filter(|rest| rest.len() >= 16) {
        let length = i32_at(record, 12).max(0) as usize;
        let name = record.get(16..16 + length).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let watch = (desc.named.object, i32_at(record, 0));
        let dir = cx.world.watches.get(&watch).map_or("", String::as_str);
        let name = String::from_utf8_lossy(name);
        found.push((i32_at(record, 4) as u32 as u64, format!("{dir}/{name}")));
        at += 16 + length;
    }
    found
}

fn signal_records(cx: &Cx<'_>) -> Vec<Siginfo> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let bytes = cx.memory().bytes(cx.args[1], cx.result.max(0) as usize);
    let (all, _) = bytes.as_chunks::<SIZE>();
    all.iter()
        .map(|record| Siginfo {
            number: i32_at(record, 0),
            code: i32_at(record, 8),
            pid: i32_at(record, 12),
            value: i32_at(record, 44),
        })
        .collect()
}

/// The key of a signal: to whom, which, and what siginfo says of it.
fn signal_key(to: i32, info: &Siginfo) -> String {
    let Siginfo { number, code, pid, value } = *info;
    match number {
        libc::SIGKILL => format!("signal {to} 9"),
        _ => {
            let value = if code == libc::SI_QUEUE { value } else { 0 };
            format!("signal {to} {number} {code} {pid} {value}")
        }
    }
}

/// The effect of a signal that has come to the process `to`.
pub(in super::super) fn received(to: i32, info: &Siginfo) -> Effect {
    Effect::Fetch(signal_key(to, info))
}

fn sent(cx: &mut Cx<'_>, name: &str, first: Option<&Desc>) -> Vec<Effect> {
    let (to, which, info) = match name {
        "kill" => (cx.int(0), 1, None),
        "tkill" => (cx.int(0), 1, None),
        "tgkill" => (cx.int(0), 2, None),
        "rt_sigqueueinfo" => (cx.int(0), 1, Some(cx.args[2])),
        "rt_tgsigqueueinfo" => (cx.int(0), 2, Some(cx.args[3])),
        _ => (first.map_or(0, |desc| desc.pid), 1, Some(cx.args[2])),
    };
    let code =
        if name.ends_with("kill") && name != "kill" { libc::SI_TKILL } else { 0 };
    let plain = Siginfo { number: cx.int(which), code, pid: cx.pid(), value: 0 };
    let info = info.and_then(|address| cx.memory().array::<128>(address));
    let info = info.map_or(plain, |bytes| Siginfo::of(&bytes));
    if to <= 0 || info.number == 0 {
        return Vec::new();
    }
    vec![Effect::Post(signal_key(to, &info))]
}

/// Replaces bytes that are structs by what they say.
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
                let parts = [signals::name(info.number), info.text()];
                let parts = parts.map(Piece::Text).to_vec();
                Piece::Group("", data::with_value(parts, info), "")
            })
            .collect(),
        ("read", "inotify") => notifications(cx, desc)
            .into_iter()
            .map(|(mask, path)| {
                let file = path.rsplit('/').next().unwrap_or_default();
                Piece::text(format!("{} \"{file}\"", set(mask, files::NOTIFY)))
            })
            .collect(),
        ("read" | "write", "eventfd") => {
            vec![Piece::text(cx.memory().u64(cx.args[1]).unwrap_or(0).to_string())]
        }
        _ => return args,
    };
    args[1] = Piece::Group("{", parts, "}");
    args
}
