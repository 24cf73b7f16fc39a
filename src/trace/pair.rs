//! Which call fed or woke which: from kernel objects, and from the bytes.
//!
//! A stream's bytes are numbered by the order of the writes, and by that of the reads;
//! two calls have an order only if one ended before the other began. Where the order of
//! two writers is not known, their bytes are one lump: it is followed only by a read that
//! took all of it. A queue's messages are numbered within one priority or type. An arrow
//! joins what has the same number and the same bytes. What does not add up, because an
//! untraced process took part, gets none, until the kernel reports that the object is empty.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::event::{Effect, Event, Load, Trace};
use flow::{Flow, Use};
use found::{CLOSED, Found};

pub(super) use found::Arrow;

mod flow;
mod found;
mod signals;
mod stored;
mod waking;

/// What happened under one key.
#[derive(Debug, Default)]
struct Traffic<'a> {
    stream: Flow<'a>,
    queue: Flow<'a>,
    told: Vec<(usize, bool)>,
    signals: Vec<signals::SignalStep<'a>>,
    file: Vec<(usize, stored::FileStep<'a>)>,
    waking: waking::Waking,
    closes: Vec<(usize, Option<bool>)>,
    reopens: Vec<usize>,
    ends: Vec<usize>,
}

impl Traffic<'_> {
    /// Of a pipe only the write end shows that each write is a packet.
    fn settle(&mut self) {
        let packets = !self.queue.puts.is_empty() && !self.stream.takes.is_empty();
        if packets && self.stream.puts.is_empty() {
            self.queue.takes.append(&mut self.stream.takes);
            // The kernel counts bytes: only none at all is a number of packets.
            self.queue.checks.retain(|(_, left)| left.is_none_or(|left| left == 0));
        }
    }
}

/// All arrows of a run; where a doubt leaves one out, the event says so.
pub(super) fn arrows(trace: &mut Trace) -> Vec<Arrow> {
    let mut found = Found::default();
    let all = &trace.events;
    let mapped = stored::mapped(trace);
    let peers = connections(all, &mut found);
    let mut traffic = sorted(all, &peers);
    for (key, traffic) in &mut traffic {
        traffic.settle();
        flow::streamed(all, &traffic.stream, &mut found);
        flow::queued(all, &traffic.queue, &mut found);
        told(all, &traffic.told, &mut found);
        signals::paired(all, key, &traffic.signals, &mut found);
        let since = mapped.get(key.as_str()).copied().unwrap_or(u64::MAX);
        stored::paired(all, &traffic.file, since, &mut found);
        ended(all, traffic, &mut found);
    }
    waking::woken(all, traffic.values().map(|traffic| &traffic.waking), &mut found);
    let Found { mut arrows, doubts } = found;
    arrows.sort_unstable();
    arrows.dedup();
    for (event, why) in doubts {
        if arrows.binary_search_by_key(&event, |arrow| arrow.to).is_err()
            && !arrows.iter().any(|arrow| arrow.to == event)
        {
            trace.events[event].doubt = Some(why);
        }
    }
    arrows
}

/// What happened, by key. A socket's incoming bytes get the key of what its peer sends;
/// a datagram that of the socket to which it comes.
fn sorted<'a>(
    all: &'a [Event],
    peers: &HashMap<u64, u64>,
) -> BTreeMap<String, Traffic<'a>> {
    let mut keys: BTreeMap<String, Traffic<'a>> = BTreeMap::new();
    let receivers: Vec<&str> = all
        .iter()
        .flat_map(|event| &event.effects)
        .filter_map(|effect| match effect {
            Effect::Fetch(key, ..) if key.starts_with("datagram ") => {
                Some(key.as_str())
            }
            _ => None,
        })
        .collect();
    let wide: HashMap<&str, &str> = receivers
        .iter()
        .filter_map(|key| {
            let port = key.strip_prefix("datagram 0.0.0.0:");
            Some((port.or_else(|| key.strip_prefix("datagram [::]:"))?, *key))
        })
        .collect();
    let receivers: HashSet<&str> = receivers.into_iter().collect();
    let sent = |key: &str| -> Option<String> {
        if let Some(inode) = key.strip_prefix("socket to ") {
            return Some(format!(
                "socket from {}",
                peers.get(&inode.parse().ok()?)?
            ));
        }
        if key.starts_with("datagram ") && !receivers.contains(key) {
            let port = key.rsplit(':').next().and_then(|port| wide.get(port));
            return Some(port.map_or(key, |key| key).to_owned());
        }
        Some(key.to_owned())
    };
    for (event, seen) in all.iter().enumerate() {
        for effect in &seen.effects {
            let Some(key) = effect.key().and_then(sent) else { continue };
            let one = |lane, load| Use { event, lane, load };
            let traffic = keys.entry(key).or_default();
            match effect {
                Effect::Put(_, load) => traffic.stream.puts.push(one("", load)),
                Effect::Take(_, load) => traffic.stream.takes.push(one("", load)),
                Effect::Post(_, lane, load) => {
                    traffic.queue.puts.push(one(lane, load))
                }
                Effect::Fetch(_, lane, load) => {
                    traffic.queue.takes.push(one(lane, load));
                }
                Effect::Remaining(_, left) => {
                    traffic.stream.checks.push((event, Some(*left)));
                    traffic.queue.checks.push((event, Some(*left)));
                }
                Effect::Untraceable(_) => {
                    traffic.stream.checks.push((event, None));
                    traffic.file.push((event, stored::FileStep::Lost));
                }
                Effect::Unfinished(_) => {
                    traffic.stream.begun.push(seen.begin);
                    traffic.queue.begun.push(seen.begin);
                }
                Effect::ChildChanged(_) => traffic.told.push((event, true)),
                Effect::ChildReported(_) => traffic.told.push((event, false)),
                Effect::SignalSent(_, said) => {
                    traffic.signals.push(signals::SignalStep::Sent(event, said));
                }
                Effect::SignalReceived(_, said) => {
                    traffic.signals.push(signals::SignalStep::Received(event, said));
                }
                Effect::SignalDropped(_) => {
                    traffic.signals.push(signals::SignalStep::Dropped(event))
                }
                Effect::Write(_, from, load) => {
                    traffic.file.push((event, stored::FileStep::Write(*from, load)));
                }
                Effect::Read(_, from, load) => {
                    traffic.file.push((event, stored::FileStep::Read(*from, load)));
                }
                Effect::Size(_, size) => {
                    traffic.file.push((event, stored::FileStep::Size(*size)));
                }
                Effect::Wake(_, count) => traffic.waking.wakes.push((event, *count)),
                Effect::MayWake(_) => traffic.waking.stirs.push(event),
                Effect::Woken(_) => traffic.waking.woken.push(event),
                Effect::CloseWriter(_, left) => traffic.closes.push((event, *left)),
                Effect::OpenWriter(_) => traffic.reopens.push(event),
                Effect::EndOfFile(_) => traffic.ends.push(event),
                Effect::Peers(..)
                | Effect::Connects(..)
                | Effect::Accepts(..)
                | Effect::Share(..) => {}
            }
        }
    }
    keys
}

/// Which connect each accept took, and so which sockets are peers. A listening socket
/// hands out connections in the order in which they came.
fn connections(all: &[Event], found: &mut Found) -> HashMap<u64, u64> {
    let mut peers = HashMap::new();
    type Ends = Vec<(usize, u64)>;
    let mut waiting: BTreeMap<&str, (Ends, Ends)> = BTreeMap::new();
    for (event, seen) in all.iter().enumerate() {
        for effect in &seen.effects {
            match effect {
                Effect::Peers(one, other) => {
                    peers.extend([(*one, *other), (*other, *one)]);
                }
                Effect::Connects(key, inode) => {
                    waiting.entry(key).or_default().0.push((event, *inode));
                }
                Effect::Accepts(key, inode) => {
                    waiting.entry(key).or_default().1.push((event, *inode));
                }
                _ => {}
            }
        }
    }
    let none = Load::unseen(0);
    for (connects, accepts) in waiting.values() {
        let uses = |ends: &Ends| -> Vec<Use<'_>> {
            ends.iter()
                .map(|(event, _)| Use { event: *event, lane: "", load: &none })
                .collect()
        };
        let inode = |ends: &Ends, event: usize| {
            ends.iter().find(|(other, _)| *other == event).map(|(_, inode)| *inode)
        };
        for (from, to) in flow::in_order(all, &uses(connects), &uses(accepts)) {
            if let (Some(one), Some(other)) =
                (inode(connects, from), inode(accepts, to))
            {
                peers.extend([(one, other), (other, one)]);
            }
            found.arrow(from, to);
        }
    }
    peers
}

/// Each event that was told of something learnt it from the last event before that tells it.
fn told(all: &[Event], told: &[(usize, bool)], found: &mut Found) {
    for (to, _) in told.iter().filter(|(_, tells)| !tells) {
        let tells = told.iter().filter(|(from, tells)| {
            *tells && all[*from].begin < all[*to].end.unwrap_or(u64::MAX)
        });
        if let Some((from, _)) = tells.max_by_key(|(from, _)| all[*from].begin) {
            found.arrow(*from, *to);
        }
    }
}

/// The close that ended a stream: after it no process could write any more. The read that
/// finds the end is joined with it once.
fn ended(all: &[Event], traffic: &Traffic<'_>, found: &mut Found) {
    let end = |event: usize| all[event].end.unwrap_or(u64::MAX);
    // It may have been an empty message.
    if traffic.queue.puts.iter().any(|put| put.load.units == 0) {
        return;
    }
    let mut ends = traffic.ends.clone();
    ends.sort_by_key(|event| end(*event));
    let mut joined = HashSet::new();
    for to in ends {
        let reopened =
            traffic.reopens.iter().filter(|event| end(**event) <= all[to].begin);
        let since = reopened.map(|event| all[*event].begin).max().unwrap_or(0);
        let closes = traffic.closes.iter().filter(|(event, left)| {
            *left != Some(true) && all[*event].begin < end(to) && end(*event) > since
        });
        let mut closes: Vec<_> = closes.copied().collect();
        closes.sort_by_key(|(event, _)| all[*event].begin);
        // The first that left none; else, where no process could be asked, the last of all.
        let last = closes.iter().position(|(_, left)| *left == Some(false));
        let Some(index) = last.or(closes.len().checked_sub(1)) else {
            if !traffic.closes.is_empty() {
                found.doubt([to], CLOSED);
            }
            continue;
        };
        let from = closes[index].0;
        let at_once = |(other, _): &(usize, Option<bool>)| {
            *other != from
                && all[*other].begin < end(from)
                && end(*other) > all[from].begin
        };
        if closes.iter().any(at_once) {
            found.doubt([to], CLOSED);
        } else if joined.insert((from, all[to].process)) {
            found.arrow(from, to);
        }
    }
}
