//! Which call wakes which: System V semaphores, and futexes in shared pages.

use super::super::event::Effect;
use super::argument::Cx;
use super::{ipc, memory};

/// The two ways in which a semaphore's value can change, each with its sleepers.
fn ways(set: i32, number: impl std::fmt::Display) -> [String; 2] {
    ["up", "down"].map(|way| format!("semaphore {set} {number} {way}"))
}

pub(super) fn semaphores(cx: &mut Cx<'_>) -> Vec<Effect> {
    let mut effects = Vec::new();
    for op in ipc::all(cx) {
        let [up, down] = ways(cx.int(0), op.number);
        if op.undoes() {
            let given_back = if op.change < 0 { &up } else { &down };
            cx.world.undone.insert((cx.process, given_back.clone()));
        }
        match op.change {
            0 => effects.push(Effect::Woken(down)),
            1.. => effects.push(Effect::Wake(up, None)),
            _ => effects.extend([Effect::Woken(up), Effect::Wake(down, None)]),
        }
    }
    effects
}

/// semctl: a value that is set may be what a process slept for.
pub(super) fn set(cx: &Cx<'_>) -> Vec<Effect> {
    const SETVAL: i32 = 16;
    const SETALL: i32 = 17;
    const MOST: u16 = 255;
    let numbers = match cx.int(2) {
        SETVAL => cx.args[1] as u16..=cx.args[1] as u16,
        SETALL => 0..=MOST,
        _ => return Vec::new(),
    };
    let both = numbers.flat_map(|number| ways(cx.int(0), number));
    both.map(|key| Effect::Wake(key, None)).collect()
}

pub(super) fn futex(cx: &Cx<'_>) -> Vec<Effect> {
    const EVERY: u32 = u32::MAX;
    let word = |address: u64| {
        let (pages, offset) = cx.world.word(cx.process, address)?;
        Some(format!("word {pages} {offset:#x}"))
    };
    let Some(key) = word(cx.args[0]) else { return Vec::new() };
    let bits = cx.args[5] as u32;
    match memory::action(cx) {
        libc::FUTEX_WAKE if cx.result > 0 => {
            vec![Effect::Wake(key, Some(cx.result as u64))]
        }
        libc::FUTEX_WAKE_BITSET if cx.result > 0 && bits == EVERY => {
            vec![Effect::Wake(key, Some(cx.result as u64))]
        }
        libc::FUTEX_WAIT => vec![Effect::Woken(key)],
        libc::FUTEX_WAIT_BITSET if bits == EVERY => vec![Effect::Woken(key)],
        // Several words, or only some of the sleepers.
        libc::FUTEX_WAKE_BITSET
        | libc::FUTEX_WAKE_OP
        | libc::FUTEX_REQUEUE
        | libc::FUTEX_CMP_REQUEUE => {
            let both = [Some(key), word(cx.args[4])];
            both.into_iter().flatten().map(Effect::MayWake).collect()
        }
        _ => Vec::new(),
    }
}
