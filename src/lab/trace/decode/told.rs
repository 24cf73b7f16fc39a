//! Signals and notifications: who is told, and what.

use super::super::event::{Effect, Piece};
use super::super::memory::i32_at;
use super::super::objects::Desc;
use super::data::Siginfo;
use super::{Cx, files};

pub(super) fn renamed(cx: &mut Cx<'_>, index: usize) -> Vec<Effect> {
    let Piece::Path(_, path) = files::path(cx, index) else { return Vec::new() };
    let dir = std::path::Path::new(&path).parent();
    let watched = |watch: &String| Some(std::path::Path::new(watch)) == dir;
    let told = cx.world.watches.values().any(watched);
    if told { vec![Effect::Post(format!("name {path}"))] } else { Vec::new() }
}

/// What a read of an inotify descriptor told: a mask, and the whole path.
pub(super) fn notifications(cx: &Cx<'_>, desc: &Desc) -> Vec<(u64, String)> {
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

/// The key of a signal: to whom, which, and what siginfo says of it.
fn signal_key(to: i32, info: &Siginfo) -> String {
    let Siginfo { number, code, pid, value, .. } = *info;
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

pub(super) fn sent(
    cx: &mut Cx<'_>,
    name: &str,
    first: Option<&Desc>,
) -> Vec<Effect> {
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
    let (number, pid) = (cx.int(which), cx.pid());
    let plain = Siginfo { number, code, pid, value: 0, address: 0 };
    let info = info.and_then(|address| cx.memory().array::<128>(address));
    let info = info.map_or(plain, |bytes| Siginfo::of(&bytes));
    if to <= 0 || info.number == 0 {
        return Vec::new();
    }
    vec![Effect::Post(signal_key(to, &info))]
}
