//! How two processes come to share a ring.
//!
//! The first role makes it, under the exclusive lock of the meeting place, so that no peer sees
//! it half made. What the first role finds there is left from before: messages that wait for a
//! receiver, a ring whose users died, or something else altogether.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;

use super::{Flaw, Ring, length_of};
use crate::errors::{Advise, errno};
use crate::meet::{Presence, Rendezvous, SoleRole};
use crate::say;
use os::cleanup::{Object, remove_now, without_signals};
use os::owner::Owner;
use os::process_identity::ProcessIdentity;
use os::shared::Shared;
use os::sigbus;
use os::signal::{is_to_end, retry_on_intr};

/// Where the memory comes from: what differs between the kinds of shared memory.
pub trait Backing {
    /// What it is called: `/dev/shm/…`, a path, a key.
    fn name(&self) -> String;

    /// Opens and maps what is there; `None` where nothing is.
    ///
    /// # Errors
    /// As the system call.
    fn find(&self) -> Result<Option<Found>>;

    /// Makes and maps a new object of `length` bytes, all zero.
    ///
    /// # Errors
    /// As the system call; then nothing is left of it.
    fn make(&self, length: usize) -> Result<(Shared, Object)>;

    /// What it will make, if that has a name before it is made.
    fn object(&self) -> Option<Object>;

    /// Whether the object outlives the processes that use it, and so can keep messages.
    fn lasts(&self) -> bool {
        true
    }
}

/// What a [`Backing`] found.
#[derive(Debug)]
pub struct Found {
    /// The object that was found.
    pub object: Object,
    /// Its owner; `None` where the [`Backing`] has looked.
    pub owner: Option<Owner>,
    /// Its memory, mapped; `None` when it has no bytes yet, and so cannot be mapped.
    pub memory: Option<Shared>,
}

/// A ring that this process has joined: what both ends have.
#[derive(Debug)]
pub(super) struct Joined {
    object: Object,
    /// Whether a role of ours made it, so that it is ours to remove.
    ours: bool,
    pub(super) lasts: bool,
    pub(super) presence: Presence,
}

impl Joined {
    /// Lets the peer in, once the ring has our process id.
    pub(super) fn welcome(
        mut self,
        rendezvous: &Rendezvous,
        backing: &dyn Backing,
    ) -> Result<Joined> {
        self.presence.admit_peers()?;
        rendezvous.ready(backing.name())?;
        Ok(self)
    }

    /// Removes the name now: even while the other side is still leaving, no other role may take
    /// this ring for a new one.
    pub(super) fn remove(&self) {
        if self.ours {
            let _ = remove_now(&self.object); // the place tries again
        }
    }
}

/// How often, and after how long, a role tries again that came while others were leaving.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// A ring, what it is called, and whether it is ours to remove; or, for now, why not.
enum JoinResult {
    Done(Ring, Object, bool),
    Later(String),
}

/// Enters the place, and finds its ring or makes it.
pub(super) fn join(
    rendezvous: &Rendezvous,
    backing: &dyn Backing,
    side: SoleRole,
    capacity: u64,
) -> Result<(Ring, Joined)> {
    sigbus::end_in_order(); // who cuts the memory short ends us with a line
    let mut tries = 0;
    loop {
        // From the arrival on until the place knows what to remove: a signal that came in
        // between would leave something behind. So nothing may sleep there.
        let tried = without_signals(|| -> Result<_> {
            let Some(mut presence) = rendezvous.try_arrive(Some(side))? else {
                return Ok(None);
            };
            let attempt = if presence.is_alone() {
                as_first(rendezvous, backing, side, capacity, &mut presence)?
            } else {
                as_second(rendezvous, backing, side, &mut presence)?
            };
            Ok(Some((presence, attempt)))
        });
        match tried {
            Ok(None) => rendezvous.wait_for_turn()?,
            Ok(Some((presence, JoinResult::Done(ring, object, ours)))) => {
                let lasts = backing.lasts();
                return Ok((ring, Joined { object, ours, lasts, presence }));
            }
            Ok(Some((_, JoinResult::Later(why)))) if tries == TRIES => {
                bail!("{}: {why}", backing.name())
            }
            Ok(Some((presence, JoinResult::Later(_)))) => {
                // Another role is just leaving: the place is free in a moment.
                tries += 1;
                drop(presence);
                std::thread::sleep(PAUSE);
            }
            // The signal was one that this program ignores, or we would not be here.
            Err(error) if errno(&error) == Some(Errno::EINTR) && tries < TRIES => {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How much of the memory is asked for at a time, in bytes.
const PART: usize = 64 << 20;

/// `posix_fallocate(file, 0, length)`, in parts: gigabytes take seconds, and signals are
/// held off. One that comes is seen between two parts.
///
/// # Errors
/// ENOSPC; EINTR when a signal waits that would end the program.
pub fn allocate(file: impl AsFd, length: usize) -> nix::Result<()> {
    for start in (0..length).step_by(PART) {
        let part = PART.min(length - start);
        retry_on_intr(|| posix_fallocate(&file, start as i64, part as i64))?;
        if is_to_end() {
            return Err(Errno::EINTR);
        }
    }
    Ok(())
}

/// What is there, if it is ours to use: before that, no byte of it is looked at.
fn find(
    rendezvous: &Rendezvous,
    backing: &dyn Backing,
) -> Result<Option<(Object, Option<Shared>)>> {
    let Some(Found { object, owner, memory }) = backing.find()? else {
        return Ok(None);
    };
    if let Some(owner) = owner {
        rendezvous.must_be_ours(backing.name(), &owner)?;
    }
    Ok(Some((object, memory)))
}

/// No role of ours is here, and none comes in: what lies here is left from before, or belongs to
/// a stranger, which holds no lock.
fn as_first(
    rendezvous: &Rendezvous,
    backing: &dyn Backing,
    side: SoleRole,
    capacity: u64,
    presence: &mut Presence,
) -> Result<JoinResult> {
    let Some((object, memory)) = find(rendezvous, backing)? else {
        return make(rendezvous, backing, capacity, presence);
    };
    let name = backing.name();
    let ours = presence.is_ours(&object)?;
    let ring = match memory.map_or(Err(Flaw::Uninitialized), Ring::over) {
        Ok(ring) => ring,
        Err(Flaw::Uninitialized) if ours => {
            say!("{name} was begun by a process that was killed: it is made anew");
            remove_now(&object).with_context(|| format!("remove {name}"))?;
            return make(rendezvous, backing, capacity, presence);
        }
        Err(flaw) => return Err(flaw).context(name).advise(elsewhere),
    };
    let unread = ring.unread().context(name.clone()).advise(elsewhere)?;
    let waiting = say::size(unread as usize);
    match state_for(side, &ring) {
        State::Usable => {
            presence.adopt(&object)?;
            say!("it begins with `ipc-ring`: a ring of {}", capacity_of(&ring));
            Ok(JoinResult::Done(ring, object, ours))
        }
        State::Busy(why) => {
            presence.adopt(&object)?;
            presence.keep_pending()?;
            Ok(JoinResult::Later(why))
        }
        State::Stale if ring.is_closed() && unread > 0 => {
            presence.adopt(&object)?;
            presence.keep_pending()?;
            let error = anyhow!("{waiting} wait in {name} for a receiver");
            Err(error).advise(|_| {
                let receiver = rendezvous.peer("receiver");
                let clean = rendezvous.clean_pending();
                Some(format!("start it: {receiver}; or drop them: {clean}"))
            })
        }
        State::Stale => {
            match unread {
                0 => say!("{name} is left from before: no process uses it"),
                _ => say!("{name} is left from a sender that died, {waiting} in it"),
            }
            if ours {
                remove_now(&object).with_context(|| format!("remove {name}"))?;
                return make(rendezvous, backing, capacity, presence);
            }
            say!("it is not ours to remove: the ring in it begins anew");
            let capacity = ring.capacity();
            let ring = Ring::make(ring.into_memory(), capacity);
            Ok(JoinResult::Done(ring, object, false))
        }
    }
}

/// A role of ours is here: then so is the ring, unless that role is just leaving.
fn as_second(
    rendezvous: &Rendezvous,
    backing: &dyn Backing,
    side: SoleRole,
    presence: &mut Presence,
) -> Result<JoinResult> {
    let later = |why: &str| Ok(JoinResult::Later(why.to_owned()));
    let Some((object, memory)) = find(rendezvous, backing)? else {
        if presence.is_foreign() {
            return Err(Errno::EACCES)
                .with_context(|| format!("open {}", backing.name()));
        }
        return later(
            "a process is at this place, but not with this ring: start both roles with \
             the same options",
        );
    };
    let Some(memory) = memory else {
        return later("the process that made it has gone");
    };
    let ring = Ring::over(memory).context(backing.name()).advise(elsewhere)?;
    match state_for(side, &ring) {
        State::Busy(why) => Ok(JoinResult::Later(why)),
        // A receiver can wait for a sender, which is not there yet: so nothing is stale.
        State::Stale if ring.is_closed() || ring.sender().is_some() => {
            later("the receiver still reads what an earlier sender left there")
        }
        State::Usable | State::Stale => {
            let ours = presence.is_ours(&object)?;
            presence.adopt(&object)?;
            say!("it begins with `ipc-ring`: a ring of {}", capacity_of(&ring));
            Ok(JoinResult::Done(ring, object, ours))
        }
    }
}

/// What a ring that was found is to us.
enum State {
    /// It can be used as it is.
    Usable,
    /// The processes that used it have gone.
    Stale,
    /// A process that holds no lock uses it: a stranger, or a role that is just leaving.
    Busy(String),
}

fn state_for(side: SoleRole, ring: &Ring) -> State {
    let alive = |life: Option<ProcessIdentity>| life.filter(|life| life.lives());
    let (sender, receiver) = (alive(ring.sender()), alive(ring.receiver()));
    let sends = side == SoleRole::Sender;
    let (role, same) =
        if sends { ("sender", sender) } else { ("receiver", receiver) };
    if let Some(life) = same.filter(|_| !ring.is_done()) {
        return State::Busy(format!(
            "the {role}'s place is taken by pid {}; use --at NAME for a meeting place of \
             your own",
            life.pid
        ));
    }
    let waits = ring.is_closed() || ring.unread().is_ok_and(|unread| unread > 0);
    let usable = if sends {
        // A stranger waits for a sender: it holds no lock, but its process id is in the ring.
        receiver.is_some() && ring.sender().is_none() && !waits
    } else {
        waits || sender.is_some()
    };
    let usable = usable && !ring.is_done();
    if usable { State::Usable } else { State::Stale }
}

fn make(
    rendezvous: &Rendezvous,
    backing: &dyn Backing,
    capacity: u64,
    presence: &mut Presence,
) -> Result<JoinResult> {
    let ours = !rendezvous.is_users_path();
    let make = || backing.make(length_of(capacity));
    let (memory, object) = match backing.object().filter(|_| ours) {
        Some(object) => presence.create(&object, make)?,
        None => make()?,
    };
    if ours {
        presence.remove_when_last(&object)?;
    }
    let ring = Ring::make(memory, capacity);
    say!("a ring of {} is in it: sizes first, the magic last", capacity_of(&ring));
    Ok(JoinResult::Done(ring, object, ours))
}

fn capacity_of(ring: &Ring) -> String {
    say::size(ring.capacity() as usize)
}

fn elsewhere(_: &anyhow::Error) -> Option<&'static str> {
    Some("remove it if it is yours, or use --at NAME for another place")
}
