//! Signals and notifications: which process gets one, and what it says.

use nix::unistd::Pid;

use super::super::event::{Effect, Load, Piece};
use super::super::memory::i32_at;
use super::super::objects::Desc;
use super::argument::Cx;
use super::data::Siginfo;
use super::files;
use wire::visible;

pub(super) fn renamed(cx: &mut Cx<'_>, index: usize) -> Vec<Effect> {
    let Piece::Path(_, path) = files::path(cx, index) else { return Vec::new() };
    let dir = std::path::Path::new(&path).parent();
    let watched = |watch: &String| Some(std::path::Path::new(watch)) == dir;
    let told = cx.world.watches.values().any(watched);
    let post =
        || Effect::Post(format!("name {path}"), String::new(), Load::unseen(0));
    told.then(post).into_iter().collect()
}

/// What a read of an inotify descriptor returned: a mask, and the whole path.
pub(super) fn notifications(cx: &Cx<'_>, desc: &Desc) -> Vec<(u64, String)> {
    let bytes = cx.memory().bytes(cx.args[1], cx.result.max(0) as usize);
    let (mut at, mut found) = (0, Vec::new());
    while let Some(record) = bytes.get(at..).filter(|rest| rest.len() >= 16) {
        let length = i32_at(record, 12).max(0) as usize;
        let name = record.get(16..).and_then(|rest| rest.get(..length));
        let name = name.unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let watch = (desc.named.object, i32_at(record, 0));
        let dir = cx.world.watches.get(&watch).map_or("", String::as_str);
        let name = visible::text(name);
        found.push((i32_at(record, 4) as u32 as u64, format!("{dir}/{name}")));
        at += 16 + length;
    }
    found
}

pub(super) fn signal_records(cx: &Cx<'_>) -> Vec<Siginfo> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let bytes = cx.memory().bytes(cx.args[1], cx.result.max(0) as usize);
    let (all, _) = bytes.as_chunks::<SIZE>();
    all.iter()
        .map(|record| Siginfo {
            number: i32_at(record, 0),
            code: i32_at(record, 8),
            pid: i32_at(record, 12),
            value: i32_at(record, 44),
            address: 0,
        })
        .collect()
}

/// The addressee of a signal: a process, or one thread of it.
fn addressee(pid: i32, tid: i32, code: i32) -> String {
    match code {
        libc::SI_TKILL => format!("thread {tid}"),
        _ => pid.to_string(),
    }
}

/// What siginfo holds of a signal.
fn said(info: &Siginfo) -> String {
    let Siginfo { code, pid, value, .. } = *info;
    let value = if code == libc::SI_QUEUE { value } else { 0 };
    format!("{code} {pid} {value}")
}

/// The effect of a signal that has come to a thread.
pub(in super::super) fn received(pid: i32, tid: i32, info: &Siginfo) -> Effect {
    let to = addressee(pid, tid, info.code);
    Effect::SignalReceived(format!("signal {to} {}", info.number), said(info))
}

/// The effect of SIGKILL, which is not reported.
pub(in super::super) fn killed(pid: i32) -> Effect {
    Effect::SignalReceived(format!("signal {pid} {}", libc::SIGKILL), String::new())
}

pub(super) fn sent(
    cx: &mut Cx<'_>,
    name: &str,
    first: Option<&Desc>,
) -> Vec<Effect> {
    let (to, tid, which, info) = match name {
        "kill" => (cx.int(0), 0, 1, None),
        "tkill" => (cx.int(0), cx.int(0), 1, None),
        "tgkill" => (cx.int(0), cx.int(1), 2, None),
        "rt_sigqueueinfo" => (cx.int(0), 0, 1, Some(cx.args[2])),
        "rt_tgsigqueueinfo" => (cx.int(0), cx.int(1), 2, Some(cx.args[3])),
        _ => (first.map_or(0, |desc| desc.pid), 0, 1, Some(cx.args[2])),
    };
    let code =
        if name.ends_with("kill") && name != "kill" { libc::SI_TKILL } else { 0 };
    let (number, pid) = (cx.int(which), cx.pid());
    let plain = Siginfo { number, code, pid, value: 0, address: 0 };
    let info = info.and_then(|address| cx.memory().array::<128>(address));
    let info = info.map_or(plain, |bytes| Siginfo::of(&bytes));
    if number == 0 {
        return Vec::new();
    }
    let mut effects = Vec::new();
    for to in addressees(cx, name, to) {
        let said = if number == libc::SIGKILL { String::new() } else { said(&info) };
        let to = addressee(to, tid, code);
        effects.push(Effect::SignalSent(format!("signal {to} {number}"), said));
        // A signal to stop and SIGCONT drop each other.
        const STOPS: [i32; 4] =
            [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        let drops: &[i32] = match number {
            libc::SIGCONT => &STOPS,
            number if STOPS.contains(&number) => &[libc::SIGCONT],
            _ => &[],
        };
        let dropped =
            |number| Effect::SignalDropped(format!("signal {to} {number}"));
        effects.extend(drops.iter().map(dropped));
    }
    effects
}

/// The processes that kill(2) means: one, a group, or all.
fn addressees(cx: &Cx<'_>, name: &str, to: i32) -> Vec<i32> {
    if to > 0 || name != "kill" {
        return vec![to];
    }
    let group = |pid: i32| nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok();
    let own = cx.pid();
    let meant = match to {
        0 => group(own),
        to => Some(Pid::from_raw(-to)),
    };
    let all = cx.world.processes.iter().map(|process| process.pid);
    all.filter(|pid| match to {
        -1 => *pid != own,
        _ => meant.is_some() && group(*pid) == meant,
    })
    .collect()
}

/// A signal that is ignored from now on is pending no longer.
pub(super) fn ignored(cx: &Cx<'_>) -> Vec<Effect> {
    const BY_DEFAULT: [i32; 4] =
        [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let number = cx.int(0);
    let ignores = match cx.memory().u64(cx.args[1]) {
        Some(handler) if handler == libc::SIG_IGN as u64 => true,
        Some(0) => BY_DEFAULT.contains(&number),
        _ => false,
    };
    if !ignores {
        return Vec::new();
    }
    let threads =
        cx.world.live.iter().filter(|(_, process)| **process == cx.process);
    let threads = threads.map(|(tid, _)| format!("thread {tid}"));
    let all = threads.chain([cx.pid().to_string()]);
    all.map(|to| Effect::SignalDropped(format!("signal {to} {number}"))).collect()
}

/// What a wait reported: the end of a child, not that it was stopped or goes on.
pub(super) fn waited(cx: &Cx<'_>, name: &str) -> Option<Effect> {
    let pid = match name {
        "wait4" => {
            let pid = cx.result as i32;
            let ended = match cx.memory().u32(cx.args[1]) {
                Some(status) => {
                    libc::WIFEXITED(status as i32)
                        || libc::WIFSIGNALED(status as i32)
                }
                None => cx.int(2) & (libc::WUNTRACED | libc::WCONTINUED) == 0,
            };
            ended.then_some(pid)?
        }
        _ => {
            const ENDS: [i32; 3] =
                [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED];
            let info = Siginfo::of(&cx.memory().array::<128>(cx.args[2])?);
            ENDS.contains(&info.code).then_some(info.pid)?
        }
    };
    (pid > 0).then(|| Effect::ChildReported(format!("child {pid}")))
}
