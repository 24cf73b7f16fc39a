//! The role that empties the buffer; there may be many.

use anyhow::{Context, Result};

use super::buffer::{Buffer, join};
use super::options::BufferOptions;
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;
use wire::transport::Receiver;

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    buffer: Buffer,
    takes: Commentary,
    waits: Commentary,
}

// ANCHOR: worker
impl Receiver for Worker {
    type Options = BufferOptions;

    fn open(rendezvous: &Rendezvous, options: &BufferOptions) -> Result<Worker> {
        let mut buffer = join(rendezvous, options)?;
        let (unread, producers) = (buffer.unread()?, buffer.producers());
        if unread > 0 {
            say!("{} in the buffer", wire::roles::messages(unread.into()));
        } else if producers > 0 {
            say!("{} here", say::count(producers.into(), "producer"));
        } else {
            let producer = rendezvous.peer("producer");
            say::waiting("nothing is put yet: the buffer is empty", &producer);
        }
        buffer.presence.admit_peers()?;
        rendezvous.ready(&buffer.name)?;
        let (takes, waits) =
            (Commentary::of("take"), Commentary::of("wait for not_empty"));
        Ok(Worker { buffer, takes, waits })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let buffer = &self.buffer;
        let locked = buffer.lock()?;
        // While, not if: a wake-up says `look again`, and another worker may have been first.
        while buffer.unread()? == 0 {
            if buffer.is_closed()? {
                say!("the buffer is empty, and closed: all producers are done");
                return Ok(false);
            }
            let waiting = || "the buffer is empty: wait for the condition not_empty";
            self.waits.call(0, waiting);
            buffer.wait(&locked, &buffer.not_empty)?; // sleeps, without the mutex
            buffer.bury()?;
        }
        buffer.take(message)?;
        buffer.not_full.signal().context("signal not_full")?; // wakes one producer
        drop(locked);
        let took =
            || format!("lock, take {}, signal not_full, unlock", say::data(message));
        self.takes.call(message.len(), took);
        Ok(true)
    }
}
// ANCHOR_END: worker

impl Drop for Worker {
    /// What is not taken stays for the next worker.
    fn drop(&mut self) {
        match self.buffer.unread() {
            Ok(unread) if unread > 0 && !self.buffer.presence.has_peers() => {
                say!("{} left for the next", wire::roles::messages(unread.into()));
                let _ = self.buffer.presence.keep_pending();
            }
            _ => {}
        }
    }
}
