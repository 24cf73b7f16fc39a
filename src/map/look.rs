//! One look: all gatherers, one after the other, over one list of processes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use super::model::{Kind, Map, On};
use super::select::{Selection, choose, only};
use super::{
    again, cycles, descriptors, epolls, fill, locks, mappings, mistakes, processes,
    sleepers, sockets, sysv,
};

/// Looks at the machine, and marks what is to be drawn: of all objects those of `kinds`, if there
/// are any.
///
/// # Errors
/// When a process that was named is not there.
pub(super) fn look(selection: &Selection, kinds: &[Kind]) -> Result<Map> {
    let mut map = Map::default();
    let space = fs::metadata("/proc/self/ns/ipc").map_or(0, |about| about.ino());
    processes::gather(&mut map);
    descriptors::gather(&mut map);
    let memory = mappings::gather(&mut map, space);
    sysv::gather(&mut map, space);
    locks::gather(&mut map);
    sockets::gather(&mut map);
    epolls::join(&mut map);
    choose(&mut map, selection)?;
    let tasks = sleepers::tasks(&map);
    waits_for_opening(&mut map, &tasks);
    let refused = fill::gather(&mut map);
    let wanted = locks::wanted();
    sleepers::gather(&mut map, &tasks, &memory, space);
    map.index_sleepers();
    show_what_is_slept_on(&mut map);
    again::look(&mut map);
    map.cycles = cycles::find(&map, &wanted);
    only(&mut map, kinds);
    map.remarks = mistakes::find(&map);
    not_seen(&mut map, refused);
    Ok(map)
}

/// A FIFO that a process sleeps in open(2) of may be held by nobody.
fn waits_for_opening(map: &mut Map, tasks: &HashMap<usize, Vec<sleepers::Task>>) {
    for (at, key, name) in sleepers::openings(map, tasks) {
        if map.processes[at].chosen {
            let object = map.object(key);
            let object = &mut map.objects[object];
            object.name.get_or_insert(name);
            object.shown = true;
        }
    }
}

/// A System V object that nobody has open is seen by those that sleep on it.
fn show_what_is_slept_on(map: &mut Map) {
    let Map { processes, objects, .. } = map;
    let chosen = processes.iter().filter(|process| process.chosen);
    for sleep in chosen.flat_map(|process| &process.sleeps) {
        for wait in &sleep.waits {
            if let On::Object(object, _) = wait.on {
                let object = &mut objects[object];
                if object.shown || object.kind() == Kind::Pty {
                    continue;
                }
                object.shown = true;
                if matches!(object.kind(), Kind::SysvQueue | Kind::SysvSemaphore) {
                    sysv::details(object);
                }
            }
        }
    }
}

/// What may not be looked into, in sentences.
fn not_seen(map: &mut Map, refused: usize) {
    let closed: Vec<usize> =
        (0..map.processes.len()).filter(|at| map.processes[*at].closed).collect();
    let mut users: Vec<(u32, Vec<usize>)> = Vec::new();
    for at in closed {
        let uid = map.processes[at].uid;
        match users.iter_mut().find(|(known, _)| *known == uid) {
            Some((_, theirs)) => theirs.push(at),
            None => users.push((uid, vec![at])),
        }
    }
    for (uid, theirs) in users {
        let first: Vec<_> = theirs.iter().take(3).map(|at| map.who(*at)).collect();
        let dots = if theirs.len() > 3 { ", …" } else { "" };
        let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        let user = user.map_or(format!("user {uid}"), |user| user.name);
        let (noun, they) = match theirs.len() {
            1 => ("1 process".to_owned(), "it holds"),
            more => (format!("{more} processes"), "they hold"),
        };
        let why = match nix::unistd::geteuid().is_root() {
            true => "the kernel refuses it even to root",
            false => "root may see it",
        };
        map.not_seen.push(format!(
            "{noun} of {} ({}{dots}): what {they} is missing here ({why})",
            wire::visible::visible(user),
            first.join(", ")
        ));
    }
    if refused > 0 {
        map.not_seen.push(format!(
            "how much lies in {}: ptrace is refused",
            wire::say::count(refused as u64, "pipe")
        ));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hidden = mounts.lines().any(|line| {
        line.contains(" /proc ")
            && ["hidepid=1", "hidepid=2", "hidepid=invisible", "hidepid=noaccess"]
                .iter()
                .any(|option| line.contains(option))
    });
    if hidden && !nix::unistd::geteuid().is_root() {
        map.not_seen
            .push("processes of other users: /proc hides them (hidepid)".to_owned());
    }
}
