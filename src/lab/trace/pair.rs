//! Which call fed or woke which: from kernel objects alone.
//!
//! A stream's bytes are numbered by the order of the writes, and by that of the reads;
//! two calls have an order only if one ended before the other began. Where the order of
//! two writers is not known, their bytes are one lump: it is followed only by a read that
//! took all of it. A queue's messages are numbered within one priority or type. What does
//! not add up, because something untraced took part, gets no arrow at all.

use std::collections::{BTreeMap, HashMap};

use super::event::{Effect, Event, Piece, Trace, What};

/// From one event to another, by their places in [`Trace::events`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    /// The event that put in.
    pub(super) from: usize,
    /// The event that took out.
    pub(super) to: usize,
}

/// One end of a transfer: which event, and how much.
#[derive(Debug, Clone, Copy)]
struct Use {
    event: usize,
    units: u64,
}

/// What one key saw.
#[derive(Debug, Default)]
struct Traffic {
    puts: Vec<Use>,
    takes: Vec<Use>,
    posts: Vec<Use>,
    fetches: Vec<Use>,
    writes: Vec<(usize, u64, u64)>,
    reads: Vec<(usize, u64, u64)>,
    wakes: Vec<usize>,
    woken: Vec<usize>,
    closes: Vec<usize>,
    ends: Vec<usize>,
}

/// All arrows of a run.
pub(super) fn arrows(trace: &Trace) -> Vec<Arrow> {
    let all = &trace.events;
    let mut arrows = Vec::new();
    let mapped = mapped(trace);
    let (connects, peers) = connections(all);
    arrows.extend(connects);
    for (key, traffic) in &sorted(all, &peers) {
        arrows.extend(streamed(all, traffic));
        arrows.extend(match is_merged(key) {
            true => merged(all, traffic),
            false => queued(all, traffic),
        });
        let since = mapped.get(key).copied().unwrap_or(u64::MAX);
        arrows.extend(stored(all, traffic, since));
        arrows.extend(woken(all, traffic));
        arrows.extend(ended(all, traffic));
    }
    arrows.sort_unstable();
    arrows.dedup();
    arrows
}

/// What happened, by key. A Unix socket's incoming bytes get the key of what its peer
/// sends.
fn sorted(all: &[Event], peers: &HashMap<u64, u64>) -> BTreeMap<String, Traffic> {
    let mut keys: BTreeMap<String, Traffic> = BTreeMap::new();
    let sent = |key: &str| -> Option<String> {
        let Some(inode) = key.strip_prefix("unix to ") else {
            return Some(key.to_owned());
        };
        let peer = peers.get(&inode.parse().ok()?)?;
        Some(format!("unix from {peer}"))
    };
    let ended = |event: &Event| event.end.is_some();
    for (event, seen) in all.iter().enumerate().filter(|(_, event)| ended(event)) {
        for effect in &seen.effects {
            let (Effect::Put(key, _)
            | Effect::Take(key, _)
            | Effect::Post(key)
            | Effect::Fetch(key)
            | Effect::Write(key, ..)
            | Effect::Read(key, ..)
            | Effect::Wake(key, _)
            | Effect::Woken(key)
            | Effect::Close(key)
            | Effect::EndOfFile(key)) = effect
            else {
                continue;
            };
            if key.starts_with("connect ") {
                continue;
            }
            let Some(key) = sent(key) else { continue };
            let traffic = keys.entry(key).or_default();
            match *effect {
                Effect::Put(_, units) => traffic.puts.push(Use { event, units }),
                Effect::Take(_, units) => traffic.takes.push(Use { event, units }),
                Effect::Post(_) => traffic.posts.push(Use { event, units: 1 }),
                Effect::Fetch(_) => traffic.fetches.push(Use { event, units: 1 }),
                Effect::Write(_, from, to) => traffic.writes.push((event, from, to)),
                Effect::Read(_, from, to) => traffic.reads.push((event, from, to)),
                Effect::Wake(..) => traffic.wakes.push(event),
                Effect::Woken(_) => traffic.woken.push(event),
                Effect::Close(_) => traffic.closes.push(event),
                _ => traffic.ends.push(event),
            }
        }
    }
    keys
}

/// Which connect each accept took, and so which sockets are peers. A listening socket
/// hands out connections in the order in which they came.
fn connections(all: &[Event]) -> (Vec<Arrow>, HashMap<u64, u64>) {
    let mut peers = HashMap::new();
    let mut waiting: HashMap<&str, (Vec<Use>, Vec<Use>)> = HashMap::new();
    for (event, seen) in all.iter().enumerate() {
        for effect in &seen.effects {
            match effect {
                Effect::Peers(one, other) => {
                    peers.extend([(*one, *other), (*other, *one)]);
                }
                Effect::Post(key) if key.starts_with("connect ") => {
                    waiting.entry(key).or_default().0.push(Use { event, units: 1 });
                }
                Effect::Fetch(key) if key.starts_with("connect ") => {
                    waiting.entry(key).or_default().1.push(Use { event, units: 1 });
                }
                _ => {}
            }
        }
    }
    let socket = |event: usize| {
        all[event].effects.iter().find_map(|effect| match effect {
            Effect::Socket(inode) => Some(*inode),
            _ => None,
        })
    };
    let mut arrows = Vec::new();
    for (posts, fetches) in waiting.values() {
        for arrow in in_order(all, posts, fetches) {
            if let (Some(one), Some(other)) = (socket(arrow.from), socket(arrow.to))
            {
                peers.extend([(one, other), (other, one)]);
            }
            arrows.push(arrow);
        }
    }
    (arrows, peers)
}

/// Uses whose order is not known, in one lump, with the units before it and after it.
struct Lump {
    events: Vec<usize>,
    from: u64,
    to: u64,
    begin: u64,
    end: u64,
}

fn lumps(all: &[Event], uses: &[Use]) -> Vec<Lump> {
    let mut uses = uses.to_vec();
    uses.sort_by_key(|one| all[one.event].begin);
    let mut lumps: Vec<Lump> = Vec::new();
    for Use { event, units } in uses {
        let seen = &all[event];
        let (begin, end) = (seen.begin, seen.end.unwrap_or(u64::MAX));
        match lumps.last_mut() {
            Some(last) if begin < last.end => {
                last.events.push(event);
                last.to += units;
                last.end = last.end.max(end);
            }
            last => {
                let from = last.map_or(0, |last| last.to);
                let events = vec![event];
                lumps.push(Lump { events, from, to: from + units, begin, end });
            }
        }
    }
    lumps
}

fn streamed(all: &[Event], traffic: &Traffic) -> Vec<Arrow> {
    let puts = lumps(all, &traffic.puts);
    let takes = lumps(all, &traffic.takes);
    let mut arrows = Vec::new();
    for take in &takes {
        // More was taken than we saw put in: somebody else writes here.
        let there =
            puts.iter().filter(|put| put.begin < take.end).map(|put| put.to).max();
        if there.is_none_or(|there| take.to > there) {
            return Vec::new();
        }
        for put in puts.iter().filter(|put| put.from < take.to && take.from < put.to)
        {
            let whole = take.from <= put.from && put.to <= take.to;
            match (put.events.as_slice(), take.events.as_slice()) {
                ([from], [to]) => arrows.push(Arrow { from: *from, to: *to }),
                (many, [to]) if whole => {
                    arrows.extend(
                        many.iter().map(|from| Arrow { from: *from, to: *to }),
                    );
                }
                _ => {}
            }
        }
    }
    arrows
}

fn queued(all: &[Event], traffic: &Traffic) -> Vec<Arrow> {
    let arrows = in_order(all, &traffic.posts, &traffic.fetches);
    let same =
        |arrow: &Arrow| match (message(&all[arrow.from]), message(&all[arrow.to])) {
            (Some(sent), Some(got)) => sent == got,
            _ => true,
        };
    // A message that was there before, or came from elsewhere, shifts all the others.
    if arrows.iter().all(same) { arrows } else { Vec::new() }
}

/// Whether a second one is dropped while the first is pending: a standard signal.
fn is_merged(key: &str) -> bool {
    let mut words = key.split(' ');
    words.next() == Some("signal")
        && words.nth(1).and_then(|n| n.parse().ok()).is_some_and(|n: i32| n < 32)
}

/// The first that was sent since the last time is the one that came.
fn merged(all: &[Event], traffic: &Traffic) -> Vec<Arrow> {
    let mut posts = traffic.posts.iter().map(|post| post.event).peekable();
    let mut arrows = Vec::new();
    for to in traffic.fetches.iter().map(|fetch| fetch.event) {
        let end = all[to].end.unwrap_or(u64::MAX);
        let mut first = None;
        while let Some(from) = posts.next_if(|from| all[*from].begin < end) {
            first = first.or(Some(from));
        }
        arrows.extend(first.map(|from| Arrow { from, to }));
    }
    arrows
}

/// The first bytes that an event shows, and how many there are.
fn message(event: &Event) -> Option<(&[u8], u64)> {
    let What::Call(call) = &event.what else { return None };
    let mut found = None;
    for piece in &call.args {
        piece.visit(&mut |piece| {
            if let Piece::Bytes(bytes, whole) = piece {
                found = found.or(Some((bytes.as_slice(), *whole)));
            }
        });
    }
    found
}

/// The first in is the first out.
fn in_order(all: &[Event], posts: &[Use], fetches: &[Use]) -> Vec<Arrow> {
    let posts = lumps(all, posts);
    let mut arrows = Vec::new();
    for fetch in lumps(all, fetches) {
        let post =
            posts.iter().find(|post| post.from <= fetch.from && fetch.to <= post.to);
        if let (Some(post), [to]) = (post, fetch.events.as_slice())
            && let [from] = *post.events
            && post.begin < fetch.end
        {
            arrows.push(Arrow { from, to: *to });
        }
    }
    arrows
}

/// From when on a file was mapped as well: whoever has its pages writes to them unseen.
fn mapped(trace: &Trace) -> HashMap<String, u64> {
    let mut since = HashMap::new();
    for event in &trace.events {
        for effect in &event.effects {
            let Effect::Share(_, id) = effect else { continue };
            let object = trace.objects.get(*id);
            let key = format!("{:?} {}", object.kind, object.inode);
            since.entry(key).or_insert(event.begin);
        }
    }
    since
}

/// Which write put the bytes of a file there that a read found, `mapped` being when the
/// file became memory too.
fn stored(all: &[Event], traffic: &Traffic, mapped: u64) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    let known = |(to, ..): &&(usize, u64, u64)| all[*to].begin < mapped;
    for &(to, from_byte, to_byte) in traffic.reads.iter().filter(known) {
        let before = |&&(event, ..): &&(usize, u64, u64)| {
            all[event].end.is_some_and(|end| end < all[to].begin)
        };
        let mut later: Vec<(u64, u64)> = Vec::new();
        for &(from, start, end) in traffic.writes.iter().filter(before).rev() {
            let hidden = later.iter().any(|(a, b)| *a <= start && end <= *b);
            if start < to_byte && from_byte < end && !hidden {
                arrows.push(Arrow { from, to });
            }
            later.push((start, end));
        }
    }
    arrows
}

/// Who slept is joined with who woke it, if only one can have done it.
fn woken(all: &[Event], traffic: &Traffic) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for &to in traffic.woken.iter().filter(|event| all[**event].slept) {
        let meanwhile = |from: &&usize| {
            let (wake, sleep) = (&all[**from], &all[to]);
            **from != to
                && wake.begin < sleep.end.unwrap_or(u64::MAX)
                && wake.end.is_some_and(|end| end > sleep.begin)
        };
        let mut wakes = traffic.wakes.iter().filter(meanwhile);
        if let (Some(&from), None) = (wakes.next(), wakes.next()) {
            arrows.push(Arrow { from, to });
        }
    }
    arrows
}

/// The close that ended a stream: a shutdown, or the last of all.
fn ended(all: &[Event], traffic: &Traffic) -> Option<Arrow> {
    let to = *traffic.ends.iter().min_by_key(|event| all[**event].end)?;
    let before = |from: &&usize| all[**from].begin < all[to].end.unwrap_or(u64::MAX);
    let shuts = |from: &&usize| matches!(&all[**from].what, What::Call(call) if &*call.name == "shutdown");
    let closes = || traffic.closes.iter().filter(before);
    let last = || closes().max_by_key(|event| all[**event].begin);
    let from = *closes().find(shuts).or_else(last)?;
    Some(Arrow { from, to })
}
