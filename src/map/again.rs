//! A second look. The first takes time, and the processes go on meanwhile: what is not as it was
//! is marked. One descriptor that was closed and opened anew under its number is not noticed.

use std::collections::HashSet;

use super::model::Map;
use super::{descriptors, fill, processes};

/// Compares the drawn processes' descriptors, and what lies in their pipes, with what was found.
pub(super) fn look(map: &mut Map) {
    let mut changed = HashSet::new();
    for at in 0..map.processes.len() {
        let process = &map.processes[at];
        if !process.shown || process.closed || process.zombie {
            continue;
        }
        let now = descriptors::numbers(process.pid).unwrap_or_default();
        if now == process.descriptors {
            continue;
        }
        let (now, before): (HashSet<i32>, HashSet<i32>) = (
            now.into_iter().collect(),
            process.descriptors.iter().copied().collect(),
        );
        changed.extend(before.difference(&now).map(|fd| (at, *fd)));
        map.processes[at].moved = true;
    }
    for (at, now) in fill::now(map) {
        let object = &mut map.objects[at];
        object.moved = object.fill.is_some_and(|before| before != now);
        object.fill = Some(now);
    }
    for object in map.objects.iter_mut().filter(|object| object.shown) {
        let mut fds =
            object.holders.iter().filter_map(|it| Some((it.process, it.fd?)));
        object.moved |= fds.any(|it| changed.contains(&it));
    }
    new_children(map);
}

/// Processes that one of the drawn ones has started meanwhile are told, not drawn.
fn new_children(map: &mut Map) {
    let mut now = Map::default();
    let known = |pid: &i32| map.by_pid.contains_key(pid);
    processes::gather_but(&mut now, known);
    let of_drawn = now.processes.iter().filter(|process| {
        let parent = map.by_pid.get(&process.parent);
        parent.is_some_and(|at| map.processes[*at].shown)
    });
    let new: Vec<String> = of_drawn
        .map(|it| format!("{} {}", wire::visible::visible(&it.name), it.pid))
        .collect();
    if !new.is_empty() {
        map.not_seen
            .push(format!("what began while the map was made: {}", new.join(", ")));
    }
}
