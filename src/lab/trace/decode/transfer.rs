//! What a call put into a kernel object or took out of it: what arrows are made from.

use super::super::event::{Effect, Piece};
use super::super::memory::i32_at;
use super::super::objects::Desc;
use super::data::{self, Siginfo};
use super::streams::{
    accept, close, connect, key, opened, outgoing, put, send, take,
};
use super::told::{notifications, received, renamed, sent, signal_records};
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
        // From the reading end it fills the caller's memory, as readv does.
        "vmsplice" if first().any(|desc| !desc.writes) => {
            first().flat_map(|desc| take(cx, desc, None)).collect()
        }
        "vmsplice" => first().filter_map(|desc| put(cx, desc, None)).collect(),
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
