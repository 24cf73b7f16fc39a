//! The ends of an eventfd, as the loops see them: a message of 8 bytes is the number that they
//! make, and 1, since 0 wakes nobody.

use anyhow::{Context, Result};

use chapters::eventfd::notifier::{Notifier, NotifierOptions};
use chapters::eventfd::waiter::{Waiter, WaiterOptions};
use wire::meet::Rendezvous;
use wire::transport::{Receiver, Sender};

/// A notifier.
#[derive(Debug)]
pub(super) struct Numbers(Notifier);

impl Sender for Numbers {
    type Options = NotifierOptions;

    fn open(rendezvous: &Rendezvous, options: &NotifierOptions) -> Result<Numbers> {
        Notifier::open(rendezvous, options).map(Numbers)
    }

    fn largest(&self) -> usize {
        size_of::<u64>()
    }

    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let number = message.first_chunk().context("a number has 8 bytes")?;
        self.0.add(u64::from_le_bytes(*number) + 1)
    }
}

/// A waiter, that takes what is in the counter: one number, as long as each is answered before the
/// next is sent.
#[derive(Debug)]
pub(super) struct Sums(Waiter);

impl Receiver for Sums {
    type Options = WaiterOptions;

    fn open(rendezvous: &Rendezvous, options: &WaiterOptions) -> Result<Sums> {
        Waiter::open(rendezvous, options).map(Sums)
    }

    #[inline]
    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let Some(sum) = self.0.wait()? else { return Ok(false) };
        message.clear();
        message.extend_from_slice(&(sum - 1).to_le_bytes());
        Ok(true)
    }
}
