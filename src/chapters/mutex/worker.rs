//! The role that empties the buffer; there may be many.

use anyhow::{Context, Result};

use super::buffer::{Buffer, join};
use super::condition::Woken;
use super::options::BufferOptions;
use wire::meet::{Presence, Rendezvous};
use wire::say;
use wire::say::Commentary;
use wire::transport::Receiver;

/// A worker.
#[derive(Debug)]
pub struct Worker {
    buffer: Buffer,
    /// Until it leaves.
    presence: Option<Presence>,
    takes: Commentary,
    waits: Commentary,
}

// ANCHOR: worker
impl Receiver for Worker {
    type Options = BufferOptions;

    fn open(rendezvous: &Rendezvous, options: &BufferOptions) -> Result<Worker> {
        let (buffer, mut presence) = join(rendezvous, options)?;
        let (unread, producers) = (buffer.unread()?, buffer.producers());
        if unread > 0 {
            say!("{} in the buffer", wire::roles::messages(unread.into()));
        } else if producers > 0 {
            say!("{} here", say::count(producers.into(), "producer"));
        } else {
            let producer = rendezvous.peer("producer");
            say::waiting("nothing is put yet: the buffer is empty", &producer);
        }
        presence.admit_peers()?;
        rendezvous.ready(&buffer.name)?;
        let (takes, waits) =
            (Commentary::of("take"), Commentary::of("wait for not_empty"));
        Ok(Worker { buffer, presence: Some(presence), takes, waits })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let buffer = &self.buffer;
        let locked = buffer.lock()?;
        let mut anew = true;
        // While, not if: a wake-up says `look again`, and another worker may have been first.
        while buffer.unread()? == 0 {
            if buffer.is_closed()? {
                say!("the buffer is empty, and closed: all producers are done");
                return Ok(false);
            }
            match std::mem::take(&mut anew) {
                false => self.waits.again(0),
                true => self.waits.call(
                    0,
                    || "the buffer is empty: wait for the condition not_empty",
                ),
            }
            // Sleeps, without the mutex. A producer that was killed signals nothing.
            if buffer.wait(&locked, &buffer.not_empty)? == Woken::ByTime {
                buffer.bury()?;
            }
        }
        buffer.take(message)?;
        drop(locked); // first: who is woken finds the mutex free
        buffer.not_full.signal().context("signal not_full")?; // wakes one producer
        let took =
            || format!("lock, take {}, unlock, signal not_full", say::data(message));
        self.takes.call(message.len(), took);
        Ok(true)
    }
}
// ANCHOR_END: worker

impl Drop for Worker {
    /// What is not taken stays for the next worker.
    fn drop(&mut self) {
        let Some(presence) = self.presence.take() else { return };
        let alone = !presence.has_peers();
        let Ok(locked) = self.buffer.lock() else { return };
        match self.buffer.part(&locked, presence) {
            Ok(left) if left > 0 && alone => {
                say!("{} left for the next", wire::roles::messages(left.into()));
            }
            _ => {}
        }
    }
}
