//! Streams and queues: what goes in in an order, and comes out in it.

use std::collections::BTreeSet;

use super::super::event::{Event, Load};
use super::found::{Doubt, Found, ORDER, OTHERS, UNKEPT, UNSEEN};

/// One end of a transfer: which event, and what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) event: usize,
    /// A queue's messages have an order only among those of one kind.
    pub(super) lane: &'a str,
    pub(super) load: &'a Load,
}

/// What one stream or queue saw.
#[derive(Debug, Default)]
pub(super) struct Flow<'a> {
    pub(super) puts: Vec<Use<'a>>,
    pub(super) takes: Vec<Use<'a>>,
    /// What was in it after an event, as the kernel reports; `None`: it is not known.
    pub(super) checks: Vec<(usize, Option<u64>)>,
    /// When calls began that never returned.
    pub(super) begun: Vec<u64>,
}

impl Flow<'_> {
    /// Whether one end of it is no traced process's: there is no arrow to look for.
    fn is_one_sided(&self) -> bool {
        self.puts.is_empty() || self.takes.is_empty()
    }
}

/// Moments that are at or after the first, and before or at the second.
type Span = (u64, u64);

fn end(all: &[Event], event: usize) -> u64 {
    all[event].end.unwrap_or(u64::MAX)
}

/// From when to when all that went in and out is known: at its beginning it was empty.
/// What lies outside is in doubt.
fn sound(
    all: &[Event],
    flow: &Flow<'_>,
    units: fn(&Use<'_>) -> u64,
    found: &mut Found,
) -> Vec<Span> {
    let mut checks = flow.checks.clone();
    checks.sort_by_key(|(event, _)| end(all, *event));
    let mut uses: Vec<(u64, u64, i64)> = Vec::new();
    for (list, sign) in [(&flow.puts, 1), (&flow.takes, -1)] {
        uses.extend(list.iter().map(|one| {
            let seen = &all[one.event];
            (end(all, one.event), seen.begin, sign * units(one) as i64)
        }));
    }
    uses.sort_unstable();
    // Calls that are not over at that moment, and so may be done or not.
    let open = |at: u64| {
        let later = &uses[uses.partition_point(|(end, ..)| *end <= at)..];
        later.iter().any(|(_, begin, _)| *begin < at)
            || flow.begun.iter().any(|begin| *begin < at)
    };
    let (mut spans, mut next) = (Vec::new(), 0);
    let (mut from, mut good, mut known, mut there) = (0, 0, true, 0_i64);
    for (event, left) in checks {
        let at = end(all, event);
        while let Some((_, _, change)) =
            uses.get(next).filter(|(end, ..)| *end <= at)
        {
            there += change;
            next += 1;
        }
        match left {
            Some(_) if open(at) => continue,
            Some(left) if known && there == left as i64 => good = at,
            _ if known => {
                spans.push((from, good));
                known = false;
            }
            _ => {}
        }
        if !known && left == Some(0) {
            (known, from, good, there) = (true, at + 1, at, 0);
        }
    }
    if known {
        spans.push((from, u64::MAX));
    }
    let inside = |one: &&Use<'_>| {
        let end = end(all, one.event);
        spans.iter().any(|(from, to)| (*from..=*to).contains(&end))
    };
    let outside = flow.puts.iter().chain(&flow.takes).filter(|one| !inside(one));
    found.doubt(outside.map(|one| one.event), UNSEEN);
    spans
}

fn within<'a>(all: &[Event], uses: &[Use<'a>], (from, to): Span) -> Vec<Use<'a>> {
    let inside = |one: &&Use<'a>| (from..=to).contains(&end(all, one.event));
    uses.iter().filter(inside).copied().collect()
}

/// Uses whose order is not known, in one lump, with the units before it and after it.
struct Lump<'a> {
    uses: Vec<Use<'a>>,
    from: u64,
    to: u64,
    begin: u64,
    end: u64,
}

impl Lump<'_> {
    fn events(&self) -> impl Iterator<Item = usize> + '_ {
        self.uses.iter().map(|one| one.event)
    }
}

fn lumps<'a>(
    all: &[Event],
    uses: &[Use<'a>],
    units: fn(&Use<'_>) -> u64,
) -> Vec<Lump<'a>> {
    let mut uses = uses.to_vec();
    uses.sort_by_key(|one| all[one.event].begin);
    let mut lumps: Vec<Lump<'a>> = Vec::new();
    for one in uses {
        let (begin, end) = (all[one.event].begin, end(all, one.event));
        let units = units(&one);
        // What one call has done, it has done in order.
        let alone = |lump: &Lump<'_>| lump.events().all(|event| event == one.event);
        match lumps.last_mut() {
            Some(last) if begin < last.end && !alone(last) => {
                last.uses.push(one);
                last.to += units;
                last.end = last.end.max(end);
            }
            last => {
                let from = last.map_or(0, |last| last.to);
                lumps.push(Lump {
                    uses: vec![one],
                    from,
                    to: from + units,
                    begin,
                    end,
                });
            }
        }
    }
    lumps
}

/// How the kept bytes of two ends compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    Yes,
    No,
    /// Nothing was kept of what they have in common.
    Unkept,
}

/// Compares what two loads that begin at these offsets have in common.
pub(super) fn compared(one: (u64, &Load), other: (u64, &Load), part: Span) -> Same {
    let (Some(a), Some(b)) = (&one.1.bytes, &other.1.bytes) else {
        return Same::Yes;
    };
    let kept = |(from, bytes): (u64, usize)| from + bytes as u64;
    let to = part.1.min(kept((one.0, a.len()))).min(kept((other.0, b.len())));
    if to <= part.0 {
        return Same::Unkept;
    }
    let piece = |bytes: &[u8], from: u64| {
        bytes[(part.0 - from) as usize..(to - from) as usize].to_vec()
    };
    match piece(a, one.0) == piece(b, other.0) {
        true => Same::Yes,
        false => Same::No,
    }
}

/// Whether the bytes of `part` lie somewhere in `whole`, as far as both were kept.
fn holds(whole: &Load, part: &Load) -> Same {
    let (Some(whole_bytes), Some(bytes)) = (&whole.bytes, &part.bytes) else {
        return Same::Yes;
    };
    if bytes.is_empty() || (bytes.len() as u64) < part.units {
        return Same::Unkept;
    }
    if whole_bytes.windows(bytes.len()).any(|window| window == &**bytes) {
        return Same::Yes;
    }
    match (whole_bytes.len() as u64) < whole.units {
        true => Same::Unkept,
        false => Same::No,
    }
}

pub(super) fn streamed(all: &[Event], flow: &Flow<'_>, found: &mut Found) {
    if flow.is_one_sided() {
        return;
    }
    let units = |one: &Use<'_>| one.load.units;
    for span in sound(all, flow, units, found) {
        let puts = lumps(all, &within(all, &flow.puts, span), units);
        let takes = lumps(all, &within(all, &flow.takes, span), units);
        let mut first = 0;
        for (index, take) in takes.iter().enumerate() {
            let begun = puts.partition_point(|put| put.begin < take.end);
            let there = begun.checked_sub(1).map_or(0, |last| puts[last].to);
            let why = match take.to > there {
                // More was taken than we saw put in.
                true => Some(UNSEEN),
                false => {
                    while puts.get(first).is_some_and(|put| put.to <= take.from) {
                        first += 1;
                    }
                    let fed =
                        puts[first..].iter().take_while(|put| put.from < take.to);
                    feed(&fed.collect::<Vec<_>>(), take, found)
                }
            };
            if let Some(why) = why {
                let rest = takes[index..].iter().flat_map(Lump::events);
                found.doubt(rest, why);
                break;
            }
        }
    }
}

/// Joins what was taken with what fed it; returns why, if it cannot have been so.
fn feed(puts: &[&Lump<'_>], take: &Lump<'_>, found: &mut Found) -> Option<Doubt> {
    let mut arrows = Vec::new();
    for put in puts {
        let part = (put.from.max(take.from), put.to.min(take.to));
        let pairs: Vec<(Same, &Use<'_>, &Use<'_>)> =
            match (put.uses.as_slice(), take.uses.as_slice()) {
                ([from], [to]) => {
                    let ends = ((put.from, from.load), (take.from, to.load));
                    vec![(compared(ends.0, ends.1, part), from, to)]
                }
                (many, [to]) if take.from <= put.from && put.to <= take.to => many
                    .iter()
                    .map(|from| (holds(to.load, from.load), from, to))
                    .collect(),
                ([from], many) if put.from <= take.from && take.to <= put.to => many
                    .iter()
                    .map(|to| (holds(from.load, to.load), from, to))
                    .collect(),
                _ => {
                    found.doubt(take.events(), ORDER);
                    Vec::new()
                }
            };
        for (same, from, to) in pairs {
            match same {
                Same::Yes => arrows.push((from.event, to.event)),
                Same::No => return Some(OTHERS),
                Same::Unkept => found.doubt([to.event], UNKEPT),
            }
        }
    }
    for (from, to) in arrows {
        found.arrow(from, to);
    }
    None
}

pub(super) fn queued(all: &[Event], flow: &Flow<'_>, found: &mut Found) {
    if flow.is_one_sided() {
        return;
    }
    for span in sound(all, flow, |_| 1, found) {
        let puts = within(all, &flow.puts, span);
        let takes = within(all, &flow.takes, span);
        let lanes: BTreeSet<&str> = takes.iter().map(|take| take.lane).collect();
        for lane in lanes {
            let of_lane = |uses: &[Use<'_>]| -> Vec<usize> {
                let mut own: Vec<usize> =
                    (0..uses.len()).filter(|n| uses[*n].lane == lane).collect();
                own.sort_by_key(|n| all[uses[*n].event].begin);
                own
            };
            let pick = |uses: &[Use<'_>]| -> Vec<(usize, Load)> {
                of_lane(uses)
                    .iter()
                    .map(|n| (uses[*n].event, uses[*n].load.clone()))
                    .collect()
            };
            messages(all, &pick(&puts), &pick(&takes), found);
        }
    }
}

/// Joins messages of one kind, in their order, as long as each is the one that was sent.
fn messages(
    all: &[Event],
    puts: &[(usize, Load)],
    takes: &[(usize, Load)],
    found: &mut Found,
) {
    let uses = |list: &'_ [(usize, Load)]| -> Vec<usize> {
        list.iter().map(|(event, _)| *event).collect()
    };
    let (posts, fetches) = (uses(puts), uses(takes));
    let mut joined = vec![None; takes.len()];
    for (from, to) in matched(all, &posts, &fetches) {
        joined[to] = Some(from);
    }
    for (index, (to, got)) in takes.iter().enumerate() {
        let Some(from) = joined[index] else {
            let why = if index < puts.len() { ORDER } else { UNSEEN };
            found.doubt([*to], why);
            continue;
        };
        let sent = &puts[from].1;
        let length = got.units == sent.units || got.cut && got.units < sent.units;
        // A length that the program was not given, as with MSG_TRUNC, is that of the whole.
        let common = (0, got.units.min(sent.units));
        let same =
            common.1 == 0 || compared((0, sent), (0, got), common) == Same::Yes;
        if !(length && same) {
            // One that was there before, or came from elsewhere, shifts all the others.
            found.doubt(fetches[index..].iter().copied(), OTHERS);
            return;
        }
        found.arrow(puts[from].0, *to);
    }
}

/// The first in is the first out: pairs of events.
pub(super) fn in_order(
    all: &[Event],
    posts: &[Use<'_>],
    fetches: &[Use<'_>],
) -> Vec<(usize, usize)> {
    let events = |uses: &[Use<'_>]| -> Vec<usize> {
        let mut events: Vec<usize> = uses.iter().map(|one| one.event).collect();
        events.sort_by_key(|event| all[*event].begin);
        events
    };
    let (posts, fetches) = (events(posts), events(fetches));
    let pairs = matched(all, &posts, &fetches);
    pairs.into_iter().map(|(from, to)| (posts[from], fetches[to])).collect()
}

/// Of each event whether all before it ended before it began, and it ended before all
/// after it began. What one call has done, it has done in order.
fn in_turn(all: &[Event], events: &[usize]) -> Vec<bool> {
    let mut sure = vec![true; events.len()];
    let mut last: Option<usize> = None;
    for (index, event) in events.iter().enumerate() {
        if let Some(former) = last.filter(|former| events[*former] != *event)
            && end(all, events[former]) > all[*event].begin
        {
            let both = |other: &usize| *other == events[former] || other == event;
            let shared = (0..events.len()).filter(|n| both(&events[*n]));
            shared.for_each(|n| sure[n] = false);
        }
        if last.is_none_or(|former| end(all, *event) >= end(all, events[former])) {
            last = Some(index);
        }
    }
    sure
}

/// As [`in_order`], by their indexes in two lists that are sorted by their beginnings.
fn matched(
    all: &[Event],
    posts: &[usize],
    fetches: &[usize],
) -> Vec<(usize, usize)> {
    let (sent, got) = (in_turn(all, posts), in_turn(all, fetches));
    let indexes = 0..posts.len().min(fetches.len());
    indexes
        .filter(|index| {
            let (from, to) = (posts[*index], fetches[*index]);
            sent[*index] && got[*index] && all[from].begin < end(all, to)
        })
        .map(|index| (index, index))
        .collect()
}
