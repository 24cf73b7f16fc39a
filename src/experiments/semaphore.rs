//! What semaphores do that people do not expect.

use anyhow::{Context, Result};
use libc::IPC_PRIVATE;
use serde::de::DeserializeOwned;
use syscalls::Sysno;

use super::child::Child;
use super::record::Returned;
use super::row::Experiment;
use super::stage::Stage;
use os::cleanup::Object;
use os::semaphore::Named;
use os::sysv_semaphore::{semget, semop_all};

mod futexes;
mod posts;
mod sets;
mod starting;
mod undo;
mod unnamed;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    posts::POSTS_ARE_KEPT,
    posts::NO_OWNER,
    posts::VALUE_OF_SLEEPERS,
    starting::CREATE_THEN_INIT,
    starting::CREATOR_DIES,
    starting::SETVAL_LEAVES_OTIME,
    starting::STALE_VALUE,
    starting::UNLINK_SPLITS,
    unnamed::WHO_GETS_IT,
    unnamed::MADE_BY_EACH,
    undo::UNDO_AFTER_KILL,
    undo::UNDO_A_POST,
    undo::GIVEN_BACK_BY_A_CHILD,
    undo::SETVAL_FORGETS_UNDO,
    sets::ALL_OR_NOTHING,
    sets::SWAPPED_WAITS,
    sets::BIG_WAIT_STARVES,
    sets::WAIT_FOR_ZERO,
    futexes::WAKE_BEFORE_SLEEP,
    futexes::PRIVATE_FUTEX,
];

// ANCHOR: shared
/// A System V set of this run's own, `semget(IPC_PRIVATE, n, 0600)`, with these values.
fn set_of(stage: &Stage, values: &[i16]) -> Result<i32> {
    let id = semget(IPC_PRIVATE, values.len() as i32, 0o600).context("semget")?;
    stage.made(&Object::SysvSemaphore(id, u32::MAX));
    let add = (0..).zip(values).map(|(number, value)| (number, *value, 0));
    let add: Vec<_> = add.filter(|(_, value, _)| *value != 0).collect();
    if !add.is_empty() {
        semop_all(id, &add).context("semop")?;
    }
    Ok(id)
}

/// Where a process that waits for a semaphore sleeps: semop(2), or sem_wait(3).
const WAITS: [Sysno; 3] = [Sysno::semop, Sysno::semtimedop, Sysno::futex];

/// Whether a child sleeps at a semaphore, or has come through to its next gate.
///
/// A process wakes a sleeper before its own call returns. So a child that is still
/// asleep after that call was not woken by it.
pub(super) fn sleeps<T: DeserializeOwned>(child: &Child<T>) -> Result<bool> {
    let asleep = child.until_asleep_in(&[&WAITS[..], &[Sysno::readv]].concat())?;
    Ok(asleep != Sysno::readv)
}
// ANCHOR_END: shared

impl Returned for Named {
    fn shown(&self) -> String {
        "a semaphore".to_owned()
    }
}
