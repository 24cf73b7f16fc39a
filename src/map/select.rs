//! Which processes and objects are drawn.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

use wire::chapter::Row;
use wire::errors::usage;
use wire::meet::{kernel_prefix, key_of, runtime_dir};
use wire::visible;

use super::descendants::descendants;
use super::model::{End, Kind, Map, Object};
use super::processes::{own_terminal, words};

/// What the user asked for.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    /// ipclab's processes, and those of this terminal.
    Near,
    /// Everything.
    All,
    /// A chapter's roles, and who has something open at its default place.
    Chapter(Row),
    /// These processes; without the pipes through which another reads what they print.
    Processes(Vec<i32>, Option<i32>),
    /// What this process has started, with all that those have started.
    Commands,
}

/// Marks what is drawn.
///
/// # Errors
/// When there is no process of a pid that was named.
pub(super) fn choose(map: &mut Map, selection: &Selection) -> Result<()> {
    let chosen: HashSet<usize> = match selection {
        Selection::All => (0..map.processes.len()).collect(),
        Selection::Near => near(map),
        Selection::Chapter(row) => of_chapter(map, row),
        Selection::Processes(pids, _) => {
            for pid in pids {
                if !map.by_pid.contains_key(pid) {
                    return Err(usage(format!("there is no process {pid}")));
                }
            }
            pids.iter().filter_map(|pid| map.by_pid.get(pid).copied()).collect()
        }
        Selection::Commands => descendants(map),
    };
    let all = matches!(selection, Selection::All);
    let place = match selection {
        Selection::Chapter(row) => Some(Place::of(row)),
        _ => None,
    };
    let reader = match selection {
        Selection::Processes(_, Some(reader)) => map.by_pid.get(reader).copied(),
        _ => None,
    };
    let pids: HashSet<i32> =
        chosen.iter().map(|at| map.processes[*at].pid).collect();
    for object in &mut map.objects {
        let by_holder =
            object.holders.iter().any(|holder| chosen.contains(&holder.process));
        // A System V object has no holders: who used it last counts.
        let by_use = object.kind().is_sysv()
            && (all || object.pids.iter().any(|pid| pids.contains(pid)));
        let by_name = place.as_ref().is_some_and(|place| place.has(object));
        object.shown = (by_holder || by_use || by_name)
            && tells_something(object, &chosen, selection)
            && !reader.is_some_and(|reader| is_output(object, reader));
    }
    for at in &chosen {
        map.processes[*at].shown = !map.processes[*at].kernel;
        map.processes[*at].chosen = true;
    }
    mark_holders(map);
    Ok(())
}

/// The processes that share a drawn object with those that were chosen are drawn, too; one
/// with the same terminal, file or set alone is not.
fn mark_holders(map: &mut Map) {
    let Map { objects, processes, .. } = map;
    for object in objects.iter().filter(|object| object.shown) {
        if !matches!(object.kind(), Kind::Pty | Kind::Epoll) {
            for holder in &object.holders {
                processes[holder.process].shown = true;
            }
        }
    }
}

/// Draws objects of these kinds alone; of all without any.
pub(super) fn only(map: &mut Map, kinds: &[Kind]) {
    if !kinds.is_empty() {
        keep(map, |object| kinds.contains(&object.kind()));
    }
}

/// Draws the objects alone whose name, or the last part of whose path, is this one.
pub(super) fn named(map: &mut Map, last: &str) {
    keep(map, |object| {
        let name = object.name.as_deref().unwrap_or_default();
        name == last || name.rsplit('/').next() == Some(last)
    });
}

fn keep(map: &mut Map, is_kept: impl Fn(&Object) -> bool) {
    map.objects.iter_mut().for_each(|it| it.shown &= is_kept(it));
    map.processes.iter_mut().for_each(|it| it.shown = it.chosen && !it.kernel);
    mark_holders(map);
}

/// Whether it is a pipe through which `reader` reads the standard output or error of others.
fn is_output(object: &Object, reader: usize) -> bool {
    let (own, others): (Vec<_>, Vec<_>) =
        object.holders.iter().partition(|holder| holder.process == reader);
    object.kind() == Kind::Pipe
        && own.iter().any(|holder| holder.read)
        && others.iter().all(|holder| matches!(holder.fd, Some(1 | 2)))
}

/// Whether the object can be a means of communication as it is used.
fn tells_something(
    object: &Object,
    chosen: &HashSet<usize>,
    selection: &Selection,
) -> bool {
    match object.kind() {
        Kind::File => {
            let locked =
                object.holders.iter().any(|holder| !holder.locks.is_empty());
            let mapped = object.holders.iter().any(|holder| holder.fd.is_none());
            let written = object.holders.iter().any(|holder| holder.write);
            let named = matches!(selection, Selection::Chapter(_));
            // A log that all write into is no message to any of them.
            let read_by_another = object.holders.iter().any(|holder| {
                holder.read
                    && object
                        .holders
                        .iter()
                        .any(|other| other.write && other.process != holder.process)
            });
            locked || (mapped || named) && written || read_by_another
        }
        // The terminal of all of them says nothing, unless its master is among them.
        Kind::Pty => object
            .holders
            .iter()
            .any(|holder| chosen.contains(&holder.process) && holder.end == 0),
        Kind::Socket => !object.holders.is_empty(),
        _ => true,
    }
}

fn near(map: &Map) -> HashSet<usize> {
    let terminal = own_terminal();
    let ours =
        std::fs::metadata("/proc/self/exe").ok().map(|about| identity(&about));
    let all = map.processes.iter().enumerate();
    let chosen = all.filter(|(_, process)| {
        let exe = || std::fs::metadata(format!("/proc/{}/exe", process.pid)).ok();
        (terminal != 0 && process.terminal == terminal)
            || process.name == "ipclab"
            || (!process.kernel
                && ours.is_some()
                && exe().map(|e| identity(&e)) == ours)
    });
    chosen.map(|(at, _)| at).collect()
}

fn identity(about: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (about.dev(), about.ino())
}

fn of_chapter(map: &Map, row: &Row) -> HashSet<usize> {
    let place = Place::of(row);
    let held = map.objects.iter().filter(|object| place.has(object));
    let mut chosen: HashSet<usize> = held
        .flat_map(|object| object.holders.iter().map(|holder| holder.process))
        .collect();
    let plays = |pid: i32| {
        let words = words(pid);
        let program =
            words.first().map(|word| Path::new(std::ffi::OsStr::from_bytes(word)));
        let name = program.and_then(Path::file_name);
        name.is_some_and(|name| name == "ipclab")
            && words.iter().skip(1).any(|word| word == row.name.as_bytes())
    };
    let roles = map.processes.iter().enumerate().filter(|(_, it)| plays(it.pid));
    chosen.extend(roles.map(|(at, _)| at));
    chosen
}

/// Where the roles of a chapter meet by default.
struct Place {
    path: String,
    kernel: String,
    key: String,
    address: Option<&'static str>,
}

impl Place {
    fn of(row: &Row) -> Place {
        let dir = runtime_dir();
        let dir = dir.canonicalize().unwrap_or(dir);
        let kernel = format!("{}{}", kernel_prefix(), row.name);
        Place {
            path: visible::text(dir.join(row.name).as_os_str().as_bytes()),
            key: format!("key {:#x}", key_of(&kernel) as u32),
            kernel,
            address: chapters::address(row.name),
        }
    }

    fn has(&self, object: &Object) -> bool {
        let Some(name) = &object.name else { return false };
        let below = |path: &str| {
            name == path
                || name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        match object.kind() {
            Kind::PosixQueue => *name == self.kernel,
            Kind::Segment => *name == format!("/dev/shm{}", self.kernel),
            Kind::PosixSemaphore => {
                *name
                    == format!(
                        "/dev/shm/sem.{}",
                        self.kernel.trim_start_matches('/')
                    )
            }
            Kind::SysvQueue | Kind::SysvSegment | Kind::SysvSemaphore => {
                name.ends_with(&self.key)
            }
            Kind::Tcp | Kind::Udp => {
                let ours = |end: &End| end.name.as_deref() == self.address;
                self.address.is_some() && object.ends.iter().any(ours)
            }
            _ => below(&self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Key;

    /// Whether a chapter's default place is an object of one end with this address.
    fn is_place_of(chapter: &str, kind: Kind, address: &str) -> bool {
        let key = Key { kind, space: 0, number: 1 };
        let name = Some(address.to_owned());
        let end = End { name: name.clone(), ..End::default() };
        let object = Object { name, ends: vec![end], ..Object::new(key) };
        Place::of(&chapters::find(chapter).unwrap()).has(&object)
    }

    #[test]
    fn the_socket_at_a_chapters_address_is_its_place() {
        for (chapter, kind) in
            [("tcp", Kind::Tcp), ("udp", Kind::Udp), ("fdpass", Kind::Tcp)]
        {
            let address = chapters::address(chapter).unwrap();
            assert!(is_place_of(chapter, kind, address), "{chapter}");
            assert!(!is_place_of(chapter, kind, "127.0.0.1:1"), "{chapter}");
            assert!(!is_place_of("fifo", kind, address), "{chapter}");
        }
    }
}
