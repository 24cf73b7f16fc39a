//! Numbers that differ from run to run, counted instead: two maps of one scene are then equal.

use std::collections::HashMap;
use std::fs;

use super::descendants::tree;
use super::mistakes;
use super::model::{Kind, Map, On};

/// The first port that stands for one that the kernel chose.
const PORTS: u64 = 50001;

/// Numbers in the order in which they come, from `first` on.
struct Numbers {
    first: u64,
    known: HashMap<u64, u64>,
}

impl Numbers {
    fn from(first: u64) -> Numbers {
        Numbers { first, known: HashMap::new() }
    }

    /// 0 is no number.
    fn of(&mut self, number: u64) -> u64 {
        let next = self.first + self.known.len() as u64;
        if number == 0 { 0 } else { *self.known.entry(number).or_insert(next) }
    }
}

/// Counts the processes in the order of the tree, and objects and ports as they were found;
/// leaves out for how long a thread has slept, and which other processes there are that may not
/// be looked into.
pub(super) fn number(map: &mut Map) {
    let order: Vec<usize> = tree(map).into_iter().map(|(at, _)| at).collect();
    let new: HashMap<i32, i32> = order
        .iter()
        .zip(1..)
        .map(|(at, number)| (map.processes[*at].pid, number))
        .collect();
    let pid = |old: i32| new.get(&old).copied().unwrap_or(0);
    for process in &mut map.processes {
        process.pid = pid(process.pid);
        process.parent = pid(process.parent);
        process.start = process.pid.unsigned_abs().into();
        for (number, sleep) in (0..).zip(&mut process.sleeps) {
            // A thread of its own has a number that no process has.
            sleep.tid = process.pid + number * 100_000;
            sleep.since = None;
            for wait in &mut sleep.waits {
                if let On::Child(child) = &mut wait.on {
                    *child = pid(*child);
                }
            }
        }
    }
    let shown = order.iter().map(|at| (map.processes[*at].pid, *at));
    map.by_pid = shown.collect();
    map.not_seen.clear();
    objects(map, pid);
    map.remarks = mistakes::find(map);
}

fn objects(map: &mut Map, pid: impl Fn(i32) -> i32) {
    let (mut numbers, mut ports) = (Numbers::from(1), Numbers::from(PORTS));
    let chosen = chosen_ports();
    for object in map.objects.iter_mut().filter(|object| object.shown) {
        for end in &mut object.ends {
            end.inode = numbers.of(end.inode);
            let port = end.name.as_deref().and_then(|name| name.rsplit_once(':'));
            let port =
                port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
            if let (Kind::Tcp | Kind::Udp, Some((host, port))) =
                (object.key.kind, port)
                && (chosen.0..=chosen.1).contains(&port)
            {
                end.name = Some(format!("{host}:{}", ports.of(port)));
            }
            for client in end.backlog.iter_mut().flat_map(|it| &mut it.clients) {
                *client = numbers.of(*client);
            }
        }
        let old = object.key.number;
        object.key.space = 0;
        object.key.number = match object.key.kind {
            Kind::Pidfd if old <= i32::MAX as u64 => {
                pid(old as i32).unsigned_abs().into()
            }
            Kind::Epoll | Kind::Pidfd => {
                let holder = u64::from(pid((old >> 32) as i32).unsigned_abs());
                holder << 32 | old & 0xffff_ffff
            }
            _ => numbers.of(old),
        };
        let number = object.key.number;
        match object.key.kind {
            kind if kind.is_sysv() => {
                let rest = object.name.take().unwrap_or_default();
                let rest = rest.split_once(", ").map_or("", |(_, rest)| rest);
                object.name = Some(format!("id {number}, {rest}"));
            }
            Kind::Pty => object.name = Some(format!("/dev/pts/{number}")),
            Kind::Tcp | Kind::Udp => {
                object.name = object.ends.iter().find_map(|end| end.name.clone());
            }
            _ => {}
        }
        object.pids.iter_mut().for_each(|it| *it = pid(*it));
        object.values.iter_mut().for_each(|(_, it)| *it = pid(*it));
        for (_, _, inode) in &mut object.targets {
            *inode = numbers.of(*inode);
        }
    }
}

/// From which to which port the kernel chooses for a socket that is not bound.
fn chosen_ports() -> (u64, u64) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    let range = words.next().flatten().zip(words.next().flatten());
    range.unwrap_or((32_768, 60_999))
}
