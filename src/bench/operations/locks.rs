//! A mutex and a condition variable in shared memory, while nobody sleeps: no system call.

use anyhow::{Context, Result};

use super::operation::{Batch, Resources, each};
use os::mutex::{Attributes, Condition, Mutex, ReaderWriterLock, page};

pub(super) fn ordinary(_: &Resources) -> Result<Batch> {
    lock_and_unlock(false)
}

pub(super) fn robust(_: &Resources) -> Result<Batch> {
    lock_and_unlock(true)
}

fn lock_and_unlock(robust: bool) -> Result<Batch> {
    let memory = page().context("mmap")?;
    let mutex = Mutex::init_at(memory, 0, Attributes::shared(robust));
    let mutex = mutex.context("pthread_mutex_init")?;
    Ok(each(move || {
        mutex.lock().context("pthread_mutex_lock")?;
        mutex.unlock().context("pthread_mutex_unlock")
    }))
}

pub(super) fn read(_: &Resources) -> Result<Batch> {
    let lock = ReaderWriterLock::init_at(page().context("mmap")?, 0);
    let lock = lock.context("pthread_rwlock_init")?;
    Ok(each(move || {
        lock.read().context("pthread_rwlock_rdlock")?;
        lock.unlock().context("pthread_rwlock_unlock")
    }))
}

pub(super) fn signal(_: &Resources) -> Result<Batch> {
    let condition = Condition::init_at(page().context("mmap")?, 0, true);
    let condition = condition.context("pthread_cond_init")?;
    Ok(each(move || condition.signal().context("pthread_cond_signal")))
}
