//! Finding a semaphore, or making it.

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use nix::errno::Errno;

use super::any::Semaphore;
use super::options::{Kind, SemaphoreOptions};
use os::cleanup::Object;
use os::names::sysv_semaphore;
use wire::errors::errno;
use wire::meet::{Presence, Rendezvous};
use wire::say;
use wire::say::count;

/// A role that has its semaphore.
pub(super) struct Entered<S> {
    pub(super) semaphore: S,
    /// Whether no other role was there when we came.
    pub(super) was_alone: bool,
    pub(super) made_with: u32,
    pub(super) presence: Presence,
}

// ANCHOR: enter
/// Opens the semaphore of this name, or makes it. The last role out removes it, unless
/// its value is then above the one that it was made with: posts that still wait.
pub(super) fn enter<S: Semaphore>(
    rendezvous: &Rendezvous,
    options: &SemaphoreOptions,
) -> Result<Entered<S>> {
    let mut presence = rendezvous.arrive(None)?;
    let was_alone = presence.is_alone();
    let noted = presence.noted()?;
    let mut made_with = options.value.unwrap_or(0);
    let semaphore = loop {
        if let Some(found) = S::open(rendezvous, options)? {
            let before = made_before(&noted, &found);
            tell(&found, before, was_alone, rendezvous, options)?;
            made_with = before.unwrap_or(0);
            presence.adopt(&found.object(made_with))?;
            break found;
        }
        if !was_alone {
            must_be_first_of_its_kind::<S>(&noted)?;
        }
        let made = presence.create_numbered(|| {
            let made = S::make(rendezvous, options, made_with)?;
            let object = made.object(made_with);
            Ok((made, object))
        });
        match made {
            // A stranger made it between our two looks.
            Err(error) if errno(&error) == Some(Errno::EEXIST) => continue,
            made => {
                let made = made?;
                say!("{} made it", made.making(made_with));
                break made;
            }
        }
    };
    // What an earlier run left here of another kind goes with the last one out as well.
    for other in
        noted.iter().filter(|object| is_of_another_kind::<S>(object, rendezvous))
    {
        presence.adopt(other)?;
    }
    presence.admit_peers()?;
    rendezvous.ready(semaphore.name())?;
    Ok(Entered { semaphore, was_alone, made_with, presence })
}
// ANCHOR_END: enter

/// Reports a semaphore that was here before us.
fn tell<S: Semaphore>(
    found: &S,
    made_with: Option<u32>,
    alone: bool,
    rendezvous: &Rendezvous,
    options: &SemaphoreOptions,
) -> Result<()> {
    let value = found.value()?;
    match made_with {
        Some(made_with) if alone && value > made_with => {
            let posts = count(u64::from(value - made_with), "post");
            say!("{posts} already here: {}", found.whose());
        }
        Some(made_with) if alone && value < made_with => {
            say!(
                "it was made with {made_with}: a process took the rest and was killed, \
                 or is a stranger that still has it"
            );
            say!("to make it anew, stop this role and start it again");
        }
        None if rendezvous.is_users_name() => {
            say!("no role of ours made it, so it stays when we leave");
        }
        _ => {}
    }
    if let Some(wanted) = options.value.filter(|wanted| made_with != Some(*wanted)) {
        say!("--value {wanted} is for a new one: this one keeps its value, {value}");
    }
    Ok(())
}

/// The value with which a role of ours made it, as the lock file says.
fn made_before<S: Semaphore>(noted: &[Object], found: &S) -> Option<u32> {
    noted.iter().rev().find_map(|object| match object {
        Object::Semaphore(_, made_with) | Object::SysvSemaphore(_, made_with)
            if *object == found.object(*made_with) =>
        {
            Some(*made_with)
        }
        _ => None,
    })
}

/// Refuses to make a second semaphore where a role of ours waits on another.
fn must_be_first_of_its_kind<S: Semaphore>(noted: &[Object]) -> Result<()> {
    match noted.iter().rev().find_map(kind_of) {
        None => Ok(()),
        Some(kind) if kind == S::KIND => bail!(
            "the semaphore was removed while a role of ours uses it; stop that role \
             and start it again"
        ),
        Some(kind) => {
            let kind = kind.to_possible_value().expect("none is hidden");
            let kind = kind.get_name();
            bail!(
                "the role that is here has --kind {kind}: use that, or --at NAME for \
                 another place"
            )
        }
    }
}

/// Whether `object` was left here by roles of another kind. A System V identifier may
/// have been given to a stranger since, so it must still be the one of our key.
fn is_of_another_kind<S: Semaphore>(
    object: &Object,
    rendezvous: &Rendezvous,
) -> bool {
    kind_of(object) != Some(S::KIND)
        && match object {
            Object::SysvSemaphore(id, _) => {
                sysv_semaphore(rendezvous.key()) == Some(*id)
            }
            _ => true,
        }
}

fn kind_of(object: &Object) -> Option<Kind> {
    match object {
        Object::SysvSemaphore(..) => Some(Kind::Sysv),
        Object::Semaphore(path, _) => {
            let name = path.file_name()?.as_encoded_bytes();
            Some(if name.starts_with(b"sem.") { Kind::Posix } else { Kind::Futex })
        }
        _ => None,
    }
}

/// Why a file in /dev/shm could not be opened as a semaphore, and the way out.
pub(super) fn why_not(error: &anyhow::Error, path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let shown = path.display();
    match errno(error)? {
        Errno::EACCES => {
            let about = path.symlink_metadata().ok()?;
            let (uid, mode) = (about.uid(), about.mode() & 0o7777);
            Some(format!(
                "{shown} belongs to uid {uid}, with mode {mode:04o}; use --at NAME for \
                 one of your own"
            ))
        }
        Errno::EINVAL => Some(format!(
            "{shown} is too small to be a semaphore: remove it if it is yours, or use \
             --at NAME for another"
        )),
        Errno::ELOOP => Some(format!("{shown} is a link: remove it")),
        Errno::ENOSPC => {
            Some("the file system /dev/shm is full (df /dev/shm)".into())
        }
        _ => None,
    }
}
