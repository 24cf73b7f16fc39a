//! What mutexes, condition variables and their relatives do between processes that people do not
//! expect. What becomes of a mutex whose owner dies is also asked in the chapter of shared memory.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::row::Experiment;
use super::stage::Stage;
use os::mutex::{Attributes, Condition, Mutex, page};
use os::shared::Shared;

mod dying;
mod layout;
mod locking;
mod making;
mod others;
mod waiting;
mod waking;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    waiting::UNLOCKED_WHILE_ASLEEP,
    waiting::SIGNAL_BEFORE_WAIT,
    waiting::IF_NOT_WHILE,
    making::MADE_TWICE,
    locking::NOT_SHARED,
    locking::LOCKED_TWICE,
    locking::UNLOCKED_BY_ANOTHER,
    waiting::STOLEN_ITEM,
    waking::SIGNAL_WITHOUT_LOCK,
    waking::TIMEOUT_IS_A_TIME,
    waking::HANDLER_WHILE_WAITING,
    dying::HALF_DONE,
    dying::KILLED_WAITER,
    making::CREATOR_DIES,
    making::PADDING,
    layout::FIELD_ORDER,
    others::READER_DIES,
    others::BARRIER_COUNTS_THE_DEAD,
    locking::TRYLOCK_OF_THE_DEAD,
    locking::OWNER_IS_A_THREAD,
    locking::OWNER_BY_EXEC,
    waking::ONE_CONDITION_FOR_TWO,
    dying::DEAD_SIGNALLER,
    others::READER_BESIDE_WRITER,
    making::LOCK_OUTLIVES_CLOSE,
    making::LENGTH_READ_TWICE,
    layout::GROWN,
];

/// Words of the page, by their numbers.
const READY: usize = 0;
const ITEMS: usize = 0;

/// A page that all processes of a run share: a mutex, a condition variable, and words.
#[derive(Debug, Clone, Copy)]
struct Page {
    memory: &'static Shared,
    mutex: Mutex,
    condition: Condition,
}

impl Page {
    /// With a mutex of these attributes.
    fn with(how: Attributes) -> Result<Page> {
        let memory = page().context("mmap")?;
        let mutex = Mutex::init_at(memory, 0, how).context("pthread_mutex_init")?;
        let condition = Condition::init_at(memory, 64, true);
        let condition = condition.context("pthread_cond_init")?;
        Ok(Page { memory, mutex, condition })
    }

    /// With a mutex for processes that is not robust.
    fn new() -> Result<Page> {
        Page::with(Attributes::shared(false))
    }

    /// With a robust mutex.
    fn robust() -> Result<Page> {
        Page::with(Attributes::shared(true))
    }

    fn word(&self, number: usize) -> &AtomicU32 {
        self.memory.u32(256 + 4 * number)
    }

    fn load(&self, number: usize) -> u32 {
        self.word(number).load(SeqCst)
    }
}

/// A child takes the robust mutex of `page`, does `more`, and is killed while it has it.
fn die_with(stage: &Stage, page: &Page, more: impl FnOnce(&Stage)) -> Result<()> {
    let has_it = stage.gate()?;
    let owner = stage.fork("owner", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        more(stage);
        has_it.open(1)?;
        stage.gate()?.pass()
    })?;
    has_it.pass()?;
    owner.kill(Signal::SIGKILL)?;
    owner.end()?;
    stage.event("owner", "killed by SIGKILL, while it has the mutex");
    Ok(())
}

/// What a call returned, as text: `0`, or the error's name.
fn named(result: nix::Result<()>) -> String {
    match result {
        Ok(()) => "0".to_owned(),
        Err(error) => {
            let text = error.to_string();
            text.split(':').next().unwrap_or_default().to_owned()
        }
    }
}
