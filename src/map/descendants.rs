//! The family tree of the processes.

use std::collections::{HashMap, HashSet};

use super::model::Map;

/// These processes, with all that they have started.
pub(super) fn descendants(map: &Map, pids: &[i32]) -> HashSet<usize> {
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (at, process) in map.processes.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let mut found = HashSet::new();
    let mut next: Vec<usize> =
        pids.iter().filter_map(|pid| map.by_pid.get(pid).copied()).collect();
    while let Some(at) = next.pop() {
        if found.insert(at) {
            let pid = map.processes[at].pid;
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The drawn processes as a tree: each with its depth, parents first, in the order of their
/// pids. A process whose parent is not drawn is a root.
pub(super) fn tree(map: &Map) -> Vec<(usize, usize)> {
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (at, process) in map.processes.iter().enumerate().filter(|(_, it)| it.shown)
    {
        let parent = map.by_pid.get(&process.parent);
        match parent.filter(|parent| map.processes[**parent].shown) {
            Some(_) => children.entry(process.parent).or_default().push(at),
            None => roots.push(at),
        }
    }
    let mut all = Vec::new();
    let mut next: Vec<(usize, usize)> =
        roots.into_iter().rev().map(|at| (at, 0)).collect();
    let mut seen = HashSet::new();
    while let Some((at, depth)) = next.pop() {
        if seen.insert(at) {
            all.push((at, depth));
            let pid = map.processes[at].pid;
            let below = children.get(&pid).into_iter().flatten().rev();
            next.extend(below.map(|at| (*at, depth + 1)));
        }
    }
    all
}
