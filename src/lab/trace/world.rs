//! What is known of the traced processes at this moment: their descriptors, and what
//! they have mapped together.

use std::collections::{HashMap, HashSet};

use nix::unistd::Pid;

use super::event::Process;
use super::objects::{Desc, Kind, ObjectId, Objects};

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
    mappings: u64,
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

    /// What descriptor `fd` of a process is.
    pub(super) fn desc(&mut self, who: usize, fd: i32) -> Option<Desc> {
        if fd < 0 {
            return None;
        }
        // A socket that is not connected yet may be by now.
        let settled =
            |desc: &&Desc| desc.socket.as_ref().is_none_or(|s| s.connected);
        if let Some(known) = self.states[who].fds.get(&fd).filter(settled) {
            return Some(known.clone());
        }
        let pid = Pid::from_raw(self.processes[who].pid);
        let mut desc = self.objects.look(pid, fd)?;
        // A connection that is over has forgotten with whom it was.
        if let (Some(new), Some(old)) = (&desc.socket, self.peers.get(&desc.inode))
            && !new.connected
        {
            desc = old.clone();
        }
        if desc.socket.as_ref().is_some_and(|socket| socket.connected) {
            self.peers.insert(desc.inode, desc.clone());
        }
        self.states[who].fds.insert(fd, desc.clone());
        Some(desc)
    }

    /// A descriptor is closed, or has changed.
    pub(super) fn forget(&mut self, who: usize, fd: i32) {
        self.states[who].fds.remove(&fd);
    }

    /// Any descriptor may have changed.
    pub(super) fn forget_all(&mut self, who: usize) {
        self.states[who].fds.clear();
    }

    /// A new program: no descriptor is sure, and no mapping is left.
    pub(super) fn exec(&mut self, who: usize) {
        self.states[who] = State::default();
    }

    /// All descriptors that a process has open: what its end will close.
    pub(super) fn open(&mut self, who: usize) -> Vec<Desc> {
        let pid = self.processes[who].pid;
        let Ok(dir) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            return Vec::new();
        };
        let numbers: Vec<i32> = dir
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        numbers.into_iter().filter_map(|fd| self.desc(who, fd)).collect()
    }

    /// Pages of `object` are at `start` now; without one, pages of their own that a
    /// child will share. Returns their key.
    pub(super) fn map(
        &mut self,
        who: usize,
        start: u64,
        length: u64,
        object: Option<(String, u64)>,
    ) -> (String, ObjectId) {
        self.mappings += 1;
        let (key, offset) = object.unwrap_or_else(|| {
            (format!("anonymous {} {}", self.processes[who].pid, self.mappings), 0)
        });
        self.unmap(who, start, length);
        self.states[who].maps.push(Mapping {
            start,
            length,
            key: key.clone(),
            offset,
        });
        let id = self.objects.of_key(Kind::Memory, &key, "pages of their own");
        (key, id)
    }

    /// No longer.
    pub(super) fn unmap(&mut self, who: usize, start: u64, length: u64) {
        let ends =
            |map: &Mapping| map.start >= start && map.start < start + length.max(1);
        self.states[who].maps.retain(|map| !ends(map));
    }

    /// What shared pages lie at `address`: their key, and the offset in it.
    pub(super) fn word(&self, who: usize, address: u64) -> Option<(&str, u64)> {
        let map = self.states[who]
            .maps
            .iter()
            .find(|map| (map.start..map.start + map.length).contains(&address))?;
        Some((&map.key, address - map.start + map.offset))
    }
}
