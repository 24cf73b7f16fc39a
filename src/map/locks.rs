//! Locks on files: those that a descriptor has, from its fdinfo, and those that processes wait
//! for, from /proc/locks.

use std::fs;

use super::model::{Kind, Lock, Map};

/// A lock that a process waits for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) pid: i32,
    pub(super) inode: u64,
    pub(super) lock: Lock,
}

/// A line of fdinfo: `lock: 1: FLOCK  ADVISORY  WRITE 361 00:13:23894 0 EOF`.
pub(super) fn of_info(line: &str) -> Option<Lock> {
    parse(line.strip_prefix("lock:")?).map(|(_, _, lock)| lock)
}

/// The locks that are waited for: the lines of /proc/locks with an arrow.
pub(super) fn wanted() -> Vec<Wanted> {
    let text = fs::read_to_string("/proc/locks").unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("->"));
    let wanted = |line: &str| {
        let (pid, inode, lock) = parse(&line.replacen("-> ", "", 1))?;
        Some(Wanted { pid, inode, lock })
    };
    lines.filter_map(wanted).collect()
}

/// The locks of processes whose descriptors may not be read: a sentence each.
pub(super) fn of_others(map: &Map) -> Vec<(i32, u64, Lock)> {
    let text = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held = text.lines().filter(|line| !line.contains("->")).filter_map(parse);
    let unseen = |pid: &i32| match map.by_pid.get(pid) {
        Some(process) => map.processes[*process].closed,
        None => false,
    };
    held.filter(|(pid, ..)| unseen(pid)).collect()
}

/// Gives the files their locks whose holders may not be looked into.
pub(super) fn gather(map: &mut Map) {
    for (pid, inode, lock) in of_others(map) {
        let Some(process) = map.by_pid.get(&pid).copied() else { continue };
        let file = |object: &&mut super::model::Object| {
            object.kind() == Kind::File && object.key.number == inode
        };
        if let Some(object) = map.objects.iter_mut().find(file) {
            object.holders.push(super::model::Holder {
                process,
                locks: vec![lock],
                ..Default::default()
            });
        }
    }
}

/// Whose it is, the file's inode, and the lock.
fn parse(line: &str) -> Option<(i32, u64, Lock)> {
    let mut words = line.split_whitespace().skip(1);
    let kind = match words.next()? {
        "FLOCK" => "flock",
        "POSIX" => "fcntl",
        "OFDLCK" => "OFD",
        _ => return None,
    };
    let write = words.nth(1)? == "WRITE";
    let pid: i32 = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    let from = words.next()?.parse().ok()?;
    let to = words.next()?.parse().ok();
    Some((pid, inode, Lock { kind, write, from, to, taker: pid }))
}

impl Lock {
    /// Whether the two cannot both be had.
    pub(super) fn conflicts(&self, other: &Lock) -> bool {
        let apart = self.to.is_some_and(|to| to < other.from)
            || other.to.is_some_and(|to| to < self.from);
        // On one machine's files flock(2) and fcntl(2) do not know each other.
        let strangers = (self.kind == "flock") != (other.kind == "flock");
        (self.write || other.write) && !apart && !strangers
    }

    /// `flock, write`, or `fcntl, read, bytes 0 to 9`.
    pub(super) fn text(&self) -> String {
        let mode = if self.write { "write" } else { "read" };
        match (self.from, self.to) {
            (0, None) => format!("{} lock, {mode}", self.kind),
            (from, Some(to)) if from == to => {
                format!("{} lock, {mode}, byte {from}", self.kind)
            }
            (from, Some(to)) => {
                format!("{} lock, {mode}, bytes {from} to {to}", self.kind)
            }
            (from, None) => format!("{} lock, {mode}, from byte {from}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_lock() {
        let line = "lock:\t1: POSIX  ADVISORY  READ 361 00:13:23894 0 9";
        let lock = of_info(line).unwrap();
        assert_eq!(lock.text(), "fcntl lock, read, bytes 0 to 9");
        let other = Lock { write: true, from: 10, to: None, ..lock.clone() };
        assert!(!lock.conflicts(&other) && !lock.conflicts(&lock));
        assert!(lock.conflicts(&Lock { from: 9, ..other.clone() }));
        assert!(!lock.conflicts(&Lock { kind: "flock", from: 0, ..other }));
        assert_eq!(of_info("lock:\t1: LEASE  ACTIVE    WRITE 3 0:1:2 0 EOF"), None);
    }
}
