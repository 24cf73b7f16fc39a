//! Processes that wait for each other.
//!
//! A process is stuck if all its threads sleep, and everything that could wake one of them is a
//! process that is stuck. The greatest set of processes for which that holds is found by taking
//! away all others, again and again; what is left are cycles, and what waits behind them.

use std::collections::HashSet;

use super::locks::Wanted;
use super::model::{Cycle, Kind, Map, On, Sleep, Wait, Wants};

/// Finds the cycles.
pub(super) fn find(map: &Map, wanted: &[Wanted]) -> Vec<Cycle> {
    let mut stuck: HashSet<usize> = (0..map.processes.len())
        .filter(|at| map.processes[*at].all_asleep)
        .filter(|at| {
            map.processes[*at].sleeps.iter().all(|sleep| {
                !sleep.unknown
                    && sleep.waits.iter().all(|wait| {
                        wakers(map, wanted, *at, sleep, wait)
                            .is_some_and(|wakers| !wakers.is_empty())
                    })
            })
        })
        .collect();
    loop {
        let free: Vec<usize> = stuck
            .iter()
            .copied()
            .filter(|at| {
                let sleeps = &map.processes[*at].sleeps;
                !sleeps.iter().all(|sleep| {
                    sleep.waits.iter().all(|wait| {
                        let wakers = wakers(map, wanted, *at, sleep, wait);
                        wakers.is_some_and(|all| {
                            all.iter().all(|it| stuck.contains(it))
                        })
                    })
                })
            })
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|at| {
            stuck.remove(at);
        });
    }
    let mut starts: Vec<usize> = stuck.iter().copied().collect();
    starts.sort_unstable();
    let mut told = HashSet::new();
    let mut cycles = Vec::new();
    for start in starts {
        let Some(cycle) = walk(map, wanted, start, &mut told) else { continue };
        cycles.push(cycle);
    }
    cycles.extend(openings(map));
    cycles
}

/// Pairs that sleep in open(2), each of another FIFO of one directory: each may be to open the
/// other's FIFO next.
fn openings(map: &Map) -> Vec<Cycle> {
    let opens = |at: usize| {
        let process = &map.processes[at];
        let waits = process.sleeps.iter().flat_map(|sleep| &sleep.waits);
        let on = waits.filter(|it| matches!(it.wants, Wants::Opening(_))).find_map(
            |wait| match wait.on {
                On::Object(object, _) => Some(object),
                _ => None,
            },
        )?;
        let dir = map.objects[on].name.as_deref()?.rsplit_once('/')?.0;
        process.chosen.then_some((at, on, (dir, process.uid)))
    };
    let mut cycles = Vec::new();
    let mut all: Vec<_> = (0..map.processes.len()).filter_map(opens).collect();
    while let Some((one, its, place)) = all.pop() {
        let pair = |it: &(usize, usize, _)| it.1 != its && it.2 == place;
        if let Some(found) = all.iter().position(pair) {
            let (other, theirs, _) = all.remove(found);
            cycles.push(Cycle {
                steps: vec![
                    (other, On::Object(theirs, 0)),
                    (one, On::Object(its, 0)),
                ],
                doubt: Some("each may be to open the other's FIFO next"),
            });
        }
    }
    cycles
}

/// Goes from each process to one that it waits for, until one comes again; `None` if that is in
/// a cycle that was told.
fn walk(
    map: &Map,
    wanted: &[Wanted],
    start: usize,
    told: &mut HashSet<usize>,
) -> Option<Cycle> {
    let mut path: Vec<(usize, On)> = Vec::new();
    let mut timed = false;
    let mut guessed = false;
    let mut at = start;
    loop {
        if let Some(first) = path.iter().position(|(known, _)| *known == at) {
            path.drain(..first);
            break;
        }
        if !told.insert(at) {
            return None;
        }
        let (on, next, sleep, wait) = step(map, wanted, at)?;
        timed |= sleep.timed;
        guessed |= is_guess(map, wait);
        path.push((at, on));
        at = next;
    }
    let doubt = match (timed, guessed) {
        (true, _) => Some("a timeout may end it"),
        (_, true) => Some("the kernel notes only who changed it last"),
        _ => None,
    };
    Some(Cycle { steps: path, doubt })
}

/// One thing that a process waits for, and a process that could wake it: another, if one could.
fn step<'a>(
    map: &'a Map,
    wanted: &[Wanted],
    at: usize,
) -> Option<(On, usize, &'a Sleep, &'a Wait)> {
    let mut own = None;
    for sleep in &map.processes[at].sleeps {
        for wait in &sleep.waits {
            for waker in wakers(map, wanted, at, sleep, wait)? {
                let step = (wait.on, waker, sleep, wait);
                if waker != at {
                    return Some(step);
                }
                own.get_or_insert(step);
            }
        }
    }
    own
}

/// Whether it is not known who will change it.
fn is_guess(map: &Map, wait: &Wait) -> bool {
    let On::Object(object, _) = wait.on else { return false };
    matches!(
        map.objects[object].kind(),
        Kind::SysvSemaphore
            | Kind::SysvQueue
            | Kind::PosixSemaphore
            | Kind::Segment
            | Kind::SysvSegment
            | Kind::File
    ) && wait.wants != Wants::Lock
}

/// The processes that could end this wait; `None` if others could, too, or nobody must.
fn wakers(
    map: &Map,
    wanted: &[Wanted],
    at: usize,
    sleep: &Sleep,
    wait: &Wait,
) -> Option<Vec<usize>> {
    let (object, end) = match wait.on {
        On::Own => return Some(vec![at]),
        On::Child(pid) => return Some(children(map, at, pid)),
        On::Object(object, end) => (object, end),
    };
    let object = &map.objects[object];
    let holders = |which: &dyn Fn(&super::model::Holder) -> bool| {
        let chosen = object.holders.iter().filter(|holder| which(holder));
        let mut all: Vec<usize> = chosen.map(|holder| holder.process).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let wakers = match (object.kind(), wait.wants) {
        // It is about to wake, or has just fallen asleep.
        (kind, Wants::Data)
            if kind.is_pipe() && object.fill.is_some_and(|n| n > 0) =>
        {
            return None;
        }
        (kind, Wants::Data) if kind.is_pipe() => holders(&|holder| holder.write),
        (Kind::Pipe | Kind::Fifo, Wants::Room) if object.fill == Some(0) => {
            return None;
        }
        (Kind::Pipe | Kind::Fifo, Wants::Room) => holders(&|holder| holder.read),
        (Kind::Unix | Kind::Tcp, Wants::Data | Wants::Room) => {
            let listens =
                object.ends.first().is_some_and(|end| end.backlog.is_some());
            let bound = object.about.contains(&"datagram")
                && object.ends.get(end).is_some_and(|end| end.name.is_some());
            let unread = object.ends.get(end).and_then(|end| end.unread);
            if (listens && end == 0) || bound || object.ends.len() < 2 {
                return None;
            }
            if wait.wants == Wants::Data && unread.is_some_and(|bytes| bytes > 0) {
                return None;
            }
            holders(&|holder| holder.end != end && (!listens || holder.end == 0))
        }
        (Kind::PosixQueue, Wants::Data) => holders(&|holder| holder.write),
        (Kind::PosixQueue, Wants::Room) => holders(&|holder| holder.read),
        (Kind::Eventfd, Wants::Data) => holders(&|_| true),
        (_, Wants::Lock) => {
            let pid = map.processes[at].pid;
            let inode = object.key.number;
            let wants = wanted.iter().find(|it| {
                // An OFD lock is no process's: the table has -1.
                it.inode == inode && (it.pid == pid || it.pid == -1)
            })?;
            holders(&|holder| {
                holder.locks.iter().any(|it| it.conflicts(&wants.lock))
            })
        }
        (Kind::SysvSemaphore, Wants::Change(number)) => {
            let (_, pid) = object.values.get(usize::from(number))?;
            vec![*map.by_pid.get(pid)?]
        }
        (kind, Wants::Change(_)) if kind.is_memory() => {
            holders(&|holder| holder.process != at && holder.write)
        }
        (Kind::SysvQueue, _) => {
            let users = object.pids.iter().filter_map(|pid| map.by_pid.get(pid));
            users.copied().filter(|user| *user != at).collect()
        }
        (Kind::Pidfd, _) => {
            let ends = object.pids.iter().filter_map(|pid| map.by_pid.get(pid));
            ends.copied().collect()
        }
        // Its targets are waited for one by one.
        (Kind::Epoll, _) => return Some(vec![at]),
        _ => return None,
    };
    // A handler of a signal may write into a pipe of its own, which poll(2) then reports.
    if sleep.polls() && object.kind() != Kind::Epoll && wakers.contains(&at) {
        return None;
    }
    Some(wakers)
}

/// The children of a process, all or one.
fn children(map: &Map, at: usize, pid: i32) -> Vec<usize> {
    let parent = map.processes[at].pid;
    let all = map.processes.iter().enumerate();
    let chosen = all.filter(|(_, process)| {
        process.parent == parent
            && !process.zombie
            && (pid == 0 || process.pid == pid)
    });
    chosen.map(|(at, _)| at).collect()
}
