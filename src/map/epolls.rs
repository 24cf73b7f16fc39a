//! Which epoll descriptors are one set: the kernel gives all of them one inode, so kcmp(2) must
//! tell. It is asked only of those that wait for the same, in processes or parents and children.

use std::collections::HashMap;

use nix::unistd::Pid;
use os::kcmp::is_same_file;

use super::model::{Kind, Map, Object};

/// Joins the objects of descriptors that were inherited, duplicated or passed.
pub(super) fn join(map: &mut Map) {
    let Map { objects, processes, .. } = map;
    let mut alike: HashMap<Vec<(i32, u32, u64)>, Vec<usize>> = HashMap::new();
    for at in 0..objects.len() {
        if objects[at].kind() == Kind::Epoll && !objects[at].targets.is_empty() {
            let targets = objects[at].targets.clone();
            let known = alike.entry(targets).or_default();
            let who = |object: &Object| {
                let holder = object.holders.first()?;
                let pid = processes[holder.process].pid;
                Some((Pid::from_raw(pid), holder.fd?))
            };
            let same = known.iter().copied().find(|other| {
                let pair = who(&objects[at]).zip(who(&objects[*other]));
                pair.is_some_and(|(one, other)| is_same_file(one, other) == Ok(true))
            });
            match same {
                Some(other) => {
                    let theirs = std::mem::take(&mut objects[at].holders);
                    objects[other].holders.extend(theirs);
                }
                None => known.push(at),
            }
        }
    }
}
