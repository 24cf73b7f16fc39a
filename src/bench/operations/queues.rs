//! Message queues: made, opened, and removed.

use anyhow::{Context, Result};
use nix::mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink};
use nix::sys::stat::Mode;

use super::operation::{Batch, Resources, each};
use os::{sysv, sysv_control};

const OURS: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

fn create(name: &str) -> Result<()> {
    // Small: all queues of a user share RLIMIT_MSGQUEUE.
    let room = MqAttr::new(0, 1, 64, 0);
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
    let queue = mq_open(name, flags, OURS, Some(&room)).context("mq_open")?;
    mq_close(queue).context("close")
}

pub(super) fn mq_create(resources: &Resources) -> Result<Batch> {
    let name = resources.name.clone();
    Ok(each(move || {
        create(&name)?;
        mq_unlink(name.as_str()).context("mq_unlink")
    }))
}

/// A queue that goes when this is dropped.
struct Queue(String);

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = mq_unlink(self.0.as_str());
    }
}

pub(super) fn mq_reopen(resources: &Resources) -> Result<Batch> {
    create(&resources.name)?;
    let queue = Queue(resources.name.clone());
    Ok(each(move || {
        let name = queue.0.as_str();
        let opened = mq_open(name, MQ_OFlag::O_RDWR, Mode::empty(), None);
        mq_close(opened.context("mq_open")?).context("close")
    }))
}

pub(super) fn msg_create(resources: &Resources) -> Result<Batch> {
    let key = resources.key();
    Ok(each(move || {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        let id = sysv::msgget(key, flags).context("msgget")?;
        sysv_control::remove(id).context("msgctl(IPC_RMID)")
    }))
}
