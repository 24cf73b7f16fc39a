//! What is known of the traced processes at this moment: their descriptors, and what
//! they have mapped together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use nix::unistd::Pid;

use super::asked;
use super::event::{Effect, Process};
use super::named::ObjectId;
use super::objects::{Desc, Kind, Objects};

/// How many bytes of what went in and came out are kept to be compared, in all.
const MOST: usize = 64 << 20;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct World {
    /// The processes.
    pub(super) processes: Vec<Process>,
    /// The objects that were seen.
    pub(super) objects: Objects,
    /// The inodes of what we gave the processes: their way to the world outside.
    pub(super) outside: HashSet<u64>,
    states: Vec<State>,
    /// What each inotify watch looks at: (its object, its number) to a path.
    pub(super) watches: HashMap<(ObjectId, i32), String>,
    /// Connected sockets, by their inodes.
    peers: HashMap<u64, Desc>,
    /// The threads that live, and the process of each.
    pub(super) live: BTreeMap<i32, usize>,
    /// Whether two processes have shared a table of descriptors, or two threads of one
    /// process have not: then what a number is must be asked each time.
    pub(super) tables: bool,
    /// At which address a socket lies, by its inode.
    pub(super) bound: HashMap<u64, String>,
    /// Which socket lies at an address now.
    pub(super) at: HashMap<String, u64>,
    /// Where a datagram socket sends to, by its inode.
    pub(super) targets: HashMap<u64, String>,
    /// Semaphores that the end of a process gives back: the index of the process, and their keys.
    pub(super) undone: HashSet<(usize, String)>,
    /// Sockets that have shut down their own read end.
    pub(super) deaf: HashSet<u64>,
    /// Descriptors that were sent, and may not have been received yet.
    pub(super) flying: Vec<Desc>,
    mappings: u64,
    kept: usize,
}

/// What one process has.
#[derive(Debug, Default, Clone)]
struct State {
    fds: HashMap<i32, Desc>,
    maps: Vec<Mapping>,
}

/// Pages that others may share.
#[derive(Debug, Clone)]
struct Mapping {
    start: u64,
    length: u64,
    key: String,
    offset: u64,
}

impl World {
    /// A new process, with what `parent` has if it was forked.
    pub(super) fn add(
        &mut self,
        pid: i32,
        name: String,
        parent: Option<usize>,
    ) -> usize {
        let state = parent.map(|parent| self.states[parent].clone());
        self.states.push(state.unwrap_or_default());
        self.processes.push(Process { pid, name });
        self.processes.len() - 1
    }

    /// The process with that pid.
    pub(super) fn find(&self, pid: i32) -> Option<usize> {
        self.processes.iter().rposition(|process| process.pid == pid)
    }

    /// What descriptor `fd` of a process's thread is.
    pub(super) fn desc(
        &mut self,
        process: usize,
        tid: Pid,
        fd: i32,
    ) -> Option<Desc> {
        if fd < 0 {
            return None;
        }
        // A socket that is not connected yet may be by now.
        let settled =
            |desc: &&Desc| desc.socket.as_ref().is_none_or(|s| s.connected);
        let known = self.states[process].fds.get(&fd).filter(settled);
        if let Some(known) = known.filter(|_| !self.tables) {
            return Some(known.clone());
        }
        let pid = self.processes[process].pid;
        let mut desc = self.objects.look(pid, tid, fd)?;
        // A connection that is over no longer has a peer's address.
        if let (Some(new), Some(old)) = (&desc.socket, self.peers.get(&desc.inode))
            && !new.connected
        {
            desc = old.clone();
        }
        if desc.socket.as_ref().is_some_and(|socket| socket.connected) {
            self.peers.insert(desc.inode, desc.clone());
        }
        self.states[process].fds.insert(fd, desc.clone());
        Some(desc)
    }

    /// A descriptor is closed, or has changed.
    pub(super) fn forget(&mut self, process: usize, fd: i32) {
        self.states[process].fds.remove(&fd);
    }

    /// Any descriptor may have changed.
    pub(super) fn forget_all(&mut self, process: usize) {
        self.states[process].fds.clear();
    }

    /// A new program: its descriptors must be asked for again, and no mapping is left.
    pub(super) fn exec(&mut self, process: usize) {
        self.states[process] = State::default();
    }

    /// All descriptors that a thread has open: what its end may close.
    pub(super) fn open(&mut self, process: usize, tid: Pid) -> Vec<Desc> {
        let numbers = asked::numbers(tid);
        numbers.into_iter().filter_map(|fd| self.desc(process, tid, fd)).collect()
    }

    /// What of a process's descriptors is known, without asking.
    pub(super) fn known(&self, process: usize) -> Vec<Desc> {
        self.states[process].fds.values().cloned().collect()
    }

    /// What the closing of these descriptors has done to streams: of each that could be
    /// written through one of them, whether it still can be.
    pub(super) fn closed(&mut self, mut closing: Vec<Desc>) -> Vec<Effect> {
        // With a Unix socket dies what was sent to it and never received.
        let unix = |desc: &Desc| desc.socket.as_ref().is_some_and(|s| s.is_unix());
        let flying = closing.iter().any(unix);
        let sure = closing.len();
        if flying {
            closing.extend(self.flying.iter().cloned());
        }
        let one_each: BTreeMap<usize, i32> =
            self.live.iter().map(|(tid, process)| (*process, *tid)).collect();
        let tids: Vec<Pid> = match self.tables {
            true => self.live.keys().map(|tid| Pid::from_raw(*tid)).collect(),
            false => one_each.values().map(|tid| Pid::from_raw(*tid)).collect(),
        };
        let mut seen = HashSet::new();
        let mut effects = Vec::new();
        for (index, desc) in closing.iter().enumerate() {
            let Some(key) = self.outgoing(desc) else { continue };
            if !seen.insert(key.clone()) {
                continue;
            }
            let left = asked::is_written(desc, &tids);
            if left == Some(false) {
                self.flying.retain(|other| other.named.object != desc.named.object);
            }
            if index < sure || left == Some(false) {
                effects.push(Effect::CloseWriter(key, left));
            }
        }
        effects
    }

    /// The key of the stream that is written through a descriptor.
    pub(super) fn outgoing(&self, desc: &Desc) -> Option<String> {
        match desc.kind {
            Kind::Pipe | Kind::Fifo if desc.writes => Some(self.key(desc)),
            Kind::Socket => Some(format!("socket from {}", desc.inode)),
            _ => None,
        }
    }

    /// What distinguishes an object from all others.
    pub(super) fn key(&self, desc: &Desc) -> String {
        self.objects.get(desc.named.object).key.clone()
    }

    /// Keeps bytes, as many as there is room for.
    pub(super) fn keep(&mut self, mut bytes: Vec<u8>, least: usize) -> Rc<[u8]> {
        bytes.truncate(self.room(bytes.len(), least));
        self.kept += bytes.len();
        bytes.into()
    }

    /// How many of `wanted` bytes may be kept, but `least` at any rate.
    pub(super) fn room(&self, wanted: usize, least: usize) -> usize {
        wanted.min(MOST.saturating_sub(self.kept).max(least))
    }

    /// Pages of `object` are at `start` now; without one, pages of their own that a
    /// child will share. Returns their key.
    pub(super) fn map(
        &mut self,
        process: usize,
        start: u64,
        length: u64,
        object: Option<(String, u64)>,
    ) -> (String, ObjectId) {
        self.mappings += 1;
        let (key, offset) = object.unwrap_or_else(|| {
            (
                format!(
                    "anonymous {} {}",
                    self.processes[process].pid, self.mappings
                ),
                0,
            )
        });
        self.unmap(process, start, length);
        self.states[process].maps.push(Mapping {
            start,
            length,
            key: key.clone(),
            offset,
        });
        let id = self.objects.of_key(Kind::Memory, &key, "pages of their own");
        (key, id)
    }

    /// No longer mapped: what lies before and behind stays.
    pub(super) fn unmap(&mut self, process: usize, start: u64, length: u64) {
        const PAGE: u64 = 4096;
        let end = length
            .checked_next_multiple_of(PAGE)
            .map_or(u64::MAX, |length| start.saturating_add(length));
        let mut left = Vec::new();
        for map in self.states[process].maps.drain(..) {
            let map_end = map.start.saturating_add(map.length);
            if map.start < start.min(map_end) {
                let length = start.min(map_end) - map.start;
                left.push(Mapping { length, ..map.clone() });
            }
            if map_end > end.max(map.start) {
                let start = end.max(map.start);
                let offset = map.offset.wrapping_add(start - map.start);
                left.push(Mapping { start, length: map_end - start, offset, ..map });
            }
        }
        self.states[process].maps = left;
    }

    /// Pages have moved: addresses and lengths, before and after.
    pub(super) fn remap(
        &mut self,
        process: usize,
        before: [u64; 2],
        after: [u64; 2],
    ) {
        let maps = &self.states[process].maps;
        let moved = maps.iter().find(|map| map.start == before[0]).cloned();
        self.unmap(process, before[0], before[1]);
        self.unmap(process, after[0], after[1]);
        let [start, length] = after;
        self.states[process].maps.extend(moved.map(|map| Mapping {
            start,
            length,
            ..map
        }));
    }

    /// The segment that begins there is mapped no longer.
    pub(super) fn detach(&mut self, process: usize, start: u64) {
        self.states[process].maps.retain(|map| map.start != start);
    }

    /// What shared pages lie at `address`: their key, and the offset in it.
    pub(super) fn word(&self, process: usize, address: u64) -> Option<(&str, u64)> {
        let map = self.states[process].maps.iter().find(|map| {
            (map.start..map.start.saturating_add(map.length)).contains(&address)
        })?;
        Some((&map.key, (address - map.start).wrapping_add(map.offset)))
    }
}
