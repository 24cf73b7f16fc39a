//! Sentences about what is often a mistake: an end that nobody has closed, a full backlog, a
//! name that leads elsewhere.

use std::os::fd::AsRawFd;

use os::peer::is_of_ended;

use super::duplicate::Duplicates;
use super::label::label;
use super::model::{Kind, Map, Object, On, Remark, Sleep, Wait, Wants};

/// Finds them in what is drawn.
pub(super) fn find(map: &Map) -> Vec<Remark> {
    let mut all = Vec::new();
    for (at, object) in map.objects.iter().enumerate().filter(|(_, it)| it.shown) {
        forgotten(map, at, object, &mut all);
        if object.kind().is_pipe() {
            waits_for_opening(map, at, object, &mut all);
        }
        let mut say = |about, process, text: String| {
            all.push(Remark { about, object: at, processes: process, text });
        };
        sockets(map, object, &mut say);
        inherited_locks(map, at, object, &mut say);
        if object.name_gone
            && let Some(name) = &object.name
        {
            let name = wire::visible::visible(name);
            let text = match object.kind() {
                Kind::SysvSegment => format!(
                    "{} was removed: it goes when the last process has detached it",
                    label(object)
                ),
                kind => format!(
                    "the name {name} leads to this {} no more: who opens the name now gets \
                     another one, or ENOENT",
                    kind.noun()
                ),
            };
            say("name-gone", Vec::new(), text);
        }
    }
    all
}

/// Who keeps the end of file, or SIGPIPE, away from a process that sleeps.
fn forgotten(map: &Map, at: usize, object: &Object, all: &mut Vec<Remark>) {
    let is_pipe = object.kind().is_pipe();
    if is_pipe {
        held(map, at, object, Wants::Data, None, all);
        held(map, at, object, Wants::Room, None, all);
    } else if matches!(object.kind(), Kind::Unix | Kind::Tcp)
        && matches!(&object.ends[..], [one, _] if one.backlog.is_none())
    {
        held(map, at, object, Wants::Data, Some(0), all);
        held(map, at, object, Wants::Data, Some(1), all);
    }
}

/// The same for those that sleep at one side: who want data or room, or are at this end of a
/// connection.
fn held(
    map: &Map,
    at: usize,
    object: &Object,
    wants: Wants,
    end: Option<usize>,
    all: &mut Vec<Remark>,
) {
    let (side, about, gone) = match (end, wants) {
        (Some(_), _) => ("peer's", "peers-end-held", "no end of file"),
        (_, Wants::Data) => ("write", "write-end-held", "no end of file"),
        _ => ("read", "read-end-held", "no SIGPIPE"),
    };
    let mut others: Vec<usize> = object
        .holders
        .iter()
        .filter(|it| match (end, wants) {
            (Some(end), _) => it.end != end,
            (_, Wants::Data) => it.write,
            _ => it.read,
        })
        .map(|it| it.process)
        .collect();
    others.sort_unstable();
    others.dedup();
    let is_here = |wait: &Wait| match (end, wait.on) {
        (Some(end), On::Object(_, its)) => its == end,
        _ => true,
    };
    // A handler of a signal, or another thread, writes into a pipe of its own that is polled.
    let sleepers: Vec<_> = map
        .sleepers(at)
        .filter(|(.., wait)| wait.wants == wants && is_here(wait))
        .filter(|(process, sleep, _)| !(sleep.polls() && others.contains(process)))
        .collect();
    let asleep: Vec<usize> = sleepers.iter().map(|(process, ..)| *process).collect();
    if asleep.is_empty() {
        return;
    }
    let used = in_use(map, at, object, &others, &asleep, wants);
    let mut too = Vec::new();
    if let [process] = others[..] {
        let who = map.who(process);
        // As a role says it: wire/holders.rs.
        let says = |(sleeper, _, wait): &(usize, &Sleep, &Wait)| {
            map.processes[*sleeper].role.is_some()
                && map.processes[process].role.is_none()
                && (end.is_none() || is_inherited(map, *sleeper, wait.fd))
        };
        let text = if asleep.contains(&process) {
            format!(
                "{who} itself holds the {side} end, and nobody else does: {gone}, ever"
            )
        } else if waits_for_another(map, process) || sleepers.iter().any(says) {
            format!("only {who} holds the {side} end: {gone} while it does")
        } else {
            return;
        };
        all.push(Remark { about, object: at, processes: vec![process], text });
    } else {
        too.extend(others.into_iter().filter(|process| Some(*process) != used));
    }
    let who = |process: usize| match asleep.contains(&process) {
        true => format!("{} itself", map.who(process)),
        false => map.who(process),
    };
    if let [first, rest @ ..] = &too[..] {
        let first = who(*first);
        let names = match rest {
            [] => format!("{first} holds"),
            [second] => format!("{first} and {} hold", who(*second)),
            [second, ..] => {
                let more = rest.len() - 1;
                format!("{first}, {} and {more} more hold", who(*second))
            }
        };
        let does = if rest.is_empty() { "it does" } else { "they do" };
        let text = format!("{names} the {side} end too: {gone} while {does}");
        all.push(Remark { about, object: at, processes: too, text });
    }
}

/// Whether the peer of a socket was connected by a process that has ended.
fn is_inherited(map: &Map, process: usize, fd: Option<i32>) -> bool {
    let pid = map.processes[process].pid;
    let copy = fd.and_then(|fd| Duplicates::default().of(pid, fd));
    copy.is_some_and(|copy| is_of_ended(copy.as_raw_fd()))
}

/// Whether a process sleeps until a child ends or a signal comes, as shells do in `wait`.
fn waits_for_another(map: &Map, process: usize) -> bool {
    map.processes[process].sleeps.iter().any(|sleep| {
        matches!(sleep.call.as_str(), "wait4" | "waitid" | "rt_sigsuspend" | "pause")
    })
}

/// Of several holders of an end, the one that seems to use it: it sleeps on it, or has it as
/// standard input or output, or was started last.
fn in_use(
    map: &Map,
    at: usize,
    object: &Object,
    others: &[usize],
    asleep: &[usize],
    wants: Wants,
) -> Option<usize> {
    let counterpart = if wants == Wants::Data { Wants::Room } else { Wants::Data };
    let standard = if wants == Wants::Data { 1 } else { 0 };
    let candidates = others.iter().copied().filter(|it| !asleep.contains(it));
    candidates.max_by_key(|process| {
        let sleeps = map
            .sleepers(at)
            .any(|(it, _, wait)| it == *process && wait.wants == counterpart);
        let theirs = || object.holders.iter().filter(|it| it.process == *process);
        let both = theirs().any(|it| it.read) && theirs().any(|it| it.write);
        let is_standard = theirs().any(|it| it.fd == Some(standard));
        (sleeps, !both, is_standard, map.processes[*process].start, *process)
    })
}

fn waits_for_opening(map: &Map, at: usize, object: &Object, all: &mut Vec<Remark>) {
    for (process, _, wait) in map.sleepers(at) {
        let Wants::Opening(writes) = wait.wants else { continue };
        let (way, other) = match writes {
            Some(true) => (" for writing", "for reading"),
            Some(false) => (" for reading", "for writing"),
            None => ("", "at its other end"),
        };
        all.push(Remark {
            about: "open-waits",
            object: at,
            processes: vec![process],
            text: format!(
                "{} sleeps in open(2) of {}{way}: nobody has it open {other}",
                map.who(process),
                label(object)
            ),
        });
    }
}

fn sockets(
    map: &Map,
    object: &Object,
    say: &mut impl FnMut(&'static str, Vec<usize>, String),
) {
    for (number, end) in object.ends.iter().enumerate() {
        let holder = object.holders.iter().find(|holder| holder.end == number);
        if let Some(backlog) = &end.backlog
            && backlog.waiting > backlog.most
        {
            let text = format!(
                "the backlog is full, {} clients wait in it: further ones sleep in \
                 connect(2) until a process accepts",
                backlog.waiting
            );
            say(
                "backlog-full",
                holder.map(|it| it.process).into_iter().collect(),
                text,
            );
        }
        if end.in_flight > 0 {
            let to = holder.map_or("nobody".to_owned(), |it| map.who(it.process));
            let text = match end.in_flight {
                1 => format!(
                    "1 descriptor is in flight to {to}: what it leads to stays open until \
                     it is received, or the socket is closed"
                ),
                many => format!(
                    "{many} descriptors are in flight to {to}: what they lead to stays open \
                     until they are received, or the socket is closed"
                ),
            };
            say(
                "in-flight",
                holder.map(|it| it.process).into_iter().collect(),
                text,
            );
        }
    }
}

/// A lock belongs to an open file description: children that have inherited it keep it.
fn inherited_locks(
    map: &Map,
    at: usize,
    object: &Object,
    say: &mut impl FnMut(&'static str, Vec<usize>, String),
) {
    let of = |kind: &str| {
        let mut all: Vec<usize> = object
            .holders
            .iter()
            .filter(|it| it.locks.iter().any(|lock| lock.kind == kind && lock.write))
            .map(|it| it.process)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    if let [holder] = of("flock")[..]
        && let Some(waits) =
            map.sleepers(at).find(|(.., it)| it.wants == Wants::Lock).map(|it| it.0)
        && object.holders.iter().flat_map(|it| &it.locks).any(|lock| {
            lock.kind == "flock"
                && lock.taker > 0
                && !map.by_pid.contains_key(&lock.taker)
        })
    {
        let text = format!(
            "{} waits for the lock of {} (inherited from a process that has ended)",
            map.who(waits),
            map.who(holder)
        );
        say("lock-inherited", vec![holder], text);
    }
    for kind in ["flock", "OFD"] {
        if let [first, others @ ..] = &of(kind)[..]
            && let [other, rest @ ..] = others
        {
            let (who, first) = (map.who(*other), map.who(*first));
            let who = match rest.len() {
                0 => format!("{who} has"),
                1 => format!("{who} and {} have", map.who(rest[0])),
                more => format!("{who} and {more} more have"),
            };
            let text = format!(
                "{who} inherited the {kind} lock of {first}: it is given up when all of \
                 them have closed the file, or one unlocks it"
            );
            say("lock-inherited", others.to_vec(), text);
        }
    }
}
