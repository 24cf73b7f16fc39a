//! The role that fills the buffer.

use anyhow::{Context, Result};

use super::buffer::{Buffer, LARGEST, join};
use super::options::BufferOptions;
use os::mutex::Mutex;
use wire::meet::{Presence, Rendezvous};
use wire::roles::messages;
use wire::say;
use wire::say::Commentary;
use wire::transport::Sender;

/// A producer.
#[derive(Debug)]
pub struct Producer {
    buffer: Buffer,
    presence: Presence,
    seat: Mutex,
    worker: String,
    puts: Commentary,
    waits: Commentary,
}

// ANCHOR: producer
impl Sender for Producer {
    type Options = BufferOptions;

    fn open(rendezvous: &Rendezvous, options: &BufferOptions) -> Result<Producer> {
        let (buffer, mut presence) = join(rendezvous, options)?;
        let locked = buffer.lock()?;
        let seat = buffer.sit_down(&locked)?;
        let unread = buffer.unread()?;
        drop(locked);
        let worker = rendezvous.peer("worker");
        if !presence.has_peers() {
            let unread = match unread {
                0 => "what we put waits in the buffer".to_owned(),
                unread => {
                    format!("{} from before wait in it", messages(unread.into()))
                }
            };
            say::waiting(format_args!("no worker is here: {unread}"), &worker);
        }
        presence.admit_peers()?;
        rendezvous.ready(&buffer.name)?;
        let (puts, waits) =
            (Commentary::of("put"), Commentary::of("wait for not_full"));
        Ok(Producer { buffer, presence, seat, worker, puts, waits })
    }

    fn largest(&self) -> usize {
        LARGEST
    }

    fn limit(&self) -> Option<String> {
        Some("that is what a slot of the buffer holds".into())
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let put =
            || format!("lock, put {}, unlock, signal not_empty", say::data(message));
        self.puts.call(message.len(), put);
        let buffer = &self.buffer;
        let locked = buffer.lock()?;
        let mut anew = true;
        while buffer.is_full()? {
            match std::mem::take(&mut anew) {
                false => self.waits.again(0),
                true => self.waits.call(
                    0,
                    || "the buffer is full: wait for the condition not_full",
                ),
            }
            if !self.presence.has_peers() && !self.worker.is_empty() {
                say::start_the_other(&std::mem::take(&mut self.worker));
            }
            buffer.wait(&locked, &buffer.not_full)?; // sleeps, without the mutex
        }
        buffer.put(message);
        drop(locked); // first: who is woken finds the mutex free
        buffer.not_empty.signal().context("signal not_empty")?; // wakes one worker
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let Producer { buffer, presence, seat, .. } = self;
        let locked = buffer.lock()?;
        buffer.stand_up(&locked, seat)?;
        match buffer.producers() {
            0 => say!("closed = 1, broadcast not_empty: the goodbye"),
            others => {
                say!(
                    "{} here: they go on",
                    say::count(others.into(), "more producer")
                )
            }
        }
        let unread = buffer.part(&locked, presence)?;
        if unread > 0 {
            say!("{} not taken yet: we do not wait", messages(unread.into()));
        }
        Ok(())
    }
}
// ANCHOR_END: producer
