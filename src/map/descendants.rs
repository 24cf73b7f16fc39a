//! The family tree of the processes.

use std::collections::{HashMap, HashSet};

use super::model::Map;

/// All that this process has started, and what those have started.
pub(super) fn descendants(map: &Map) -> HashSet<usize> {
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (at, process) in map.processes.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let own = std::process::id().cast_signed();
    let mut found = HashSet::new();
    let mut next = children.get(&own).cloned().unwrap_or_default();
    while let Some(at) = next.pop() {
        if found.insert(at) {
            let pid = map.processes[at].pid;
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The drawn processes as a tree: each with the branches that lead to it, parents first, in the
/// order of their pids. A process whose parent is not drawn is a root.
pub(super) fn tree(map: &Map) -> Vec<(usize, String)> {
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
    // What stands before the children of a process, below its own branch.
    let mut next: Vec<(usize, String, String)> = roots
        .into_iter()
        .rev()
        .map(|at| (at, String::new(), String::new()))
        .collect();
    let mut seen = HashSet::new();
    while let Some((at, branch, before)) = next.pop() {
        if !seen.insert(at) {
            continue;
        }
        all.push((at, branch));
        let pid = map.processes[at].pid;
        let below = children.get(&pid).into_iter().flatten().rev().enumerate();
        next.extend(below.map(|(from_last, child)| {
            let (branch, rest) =
                if from_last == 0 { ("└ ", "  ") } else { ("├ ", "│ ") };
            (*child, format!("{before}{branch}"), format!("{before}{rest}"))
        }));
    }
    all
}
