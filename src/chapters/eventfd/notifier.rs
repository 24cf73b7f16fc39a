//! The role that is passed the eventfd, and writes to it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::write;
use rustix::event::{PollFd, PollFlags};

use super::{BYTE, MOST, unix_socket, value};
use crate::fdpass::descriptor::{ReceivedDescriptor, known_peer, take};
use os::calls::poll_until;
use os::cleanup::{Ticks, ticks};
use wire::local::{self, Name};
use wire::meet::Rendezvous;
use wire::roles::{self, MessageSource};
use wire::say;
use wire::say::{Commentary, grouped};
use wire::transport::Sender;

/// The options of a notifier.
#[derive(Debug, clap::Args)]
pub struct NotifierOptions {
    /// Each argument is a number to add; without any, each line of standard input is one
    #[arg(value_name = "NUMBER")]
    numbers: Vec<OsString>,
}

/// How often a notifier that sleeps in write(2) looks whether the waiter is there.
const TICK: Duration = Duration::from_millis(500);

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: NotifierOptions) -> Result<()> {
    let messages = options.numbers.clone();
    let source = MessageSource { messages, bytes: false };
    roles::send::<Notifier>(rendezvous, &options, &source)
}

/// The number that a message is.
fn number_of(message: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(message);
    match text.parse() {
        Ok(number) if number <= MOST => Ok(number),
        _ => bail!("{text:?} is no number from 0 to {MOST}, the most that fits"),
    }
}

// ANCHOR: notifier
/// A copy of the eventfd, and the connection over which it came.
#[derive(Debug)]
pub struct Notifier {
    event: OwnedFd,
    waiter: OwnedFd,
    /// Since the first write: any may sleep.
    ticks: Option<Ticks>,
    writes: Commentary,
}

impl Sender for Notifier {
    type Options = NotifierOptions;

    fn check(_: &NotifierOptions, message: &[u8]) -> Result<()> {
        number_of(message).map(drop)
    }

    fn open(rendezvous: &Rendezvous, _: &NotifierOptions) -> Result<Notifier> {
        let (waiter, name) = (unix_socket()?, Name::path(rendezvous)?);
        local::connect(rendezvous, &name, &waiter, "waiter")?;
        let pid = known_peer(&waiter).context("the waiter")?;
        let event = loop {
            poll_until(&mut [PollFd::new(&waiter, PollFlags::IN)], None)?;
            match take(&waiter, BYTE)
                .with_context(|| format!("the waiter, pid {pid}"))?
            {
                ReceivedDescriptor::Descriptor(event) => break event,
                ReceivedDescriptor::Nothing => {}
                ReceivedDescriptor::EndOfFile => {
                    bail!(
                        "the waiter, pid {pid}, has left, and has passed no eventfd"
                    )
                }
            }
        };
        // A write to anything else would do there what nobody has asked for.
        let Some(now) = value(&event)? else {
            bail!(
                "what the waiter, pid {pid}, has passed is no eventfd: it is left alone"
            )
        };
        say!(
            "recvmsg(SCM_RIGHTS): we have a copy of the eventfd; its counter is {now}"
        );
        rendezvous.ready(&name)?;
        let writes = Commentary::of("write");
        Ok(Notifier { event, waiter, ticks: None, writes })
    }

    fn largest(&self) -> usize {
        MOST.to_string().len()
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.add(number_of(message)?)
    }
    // No goodbye: the waiter sees the end of the connection.
}

impl Notifier {
    /// Adds `number` to the counter; sleeps while that is more than it holds.
    ///
    /// # Errors
    /// EPIPE once the waiter has left.
    pub fn add(&mut self, number: u64) -> Result<()> {
        self.must_be_there()?;
        if say::on() {
            self.tell(number)?;
        }
        if self.ticks.is_none() {
            self.ticks = Some(ticks(TICK).context("timer_create")?);
        }
        loop {
            match write(&self.event, &number.to_ne_bytes()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => self.must_be_there()?,
                // O_NONBLOCK, which is of the open file, and so was set by another process. That
                // poll(2) finds room says only that 1 fits.
                Err(Errno::EAGAIN) => {
                    std::thread::sleep(TICK);
                    self.must_be_there()?;
                }
                Err(error) => return Err(error).context("write the eventfd"),
            }
        }
    }

    /// Says what the write will do. To look costs more than the write.
    fn tell(&mut self, number: u64) -> Result<()> {
        let now = value(&self.event)?.unwrap_or(0);
        self.writes.call(size_of::<u64>(), || {
            format!(
                "write({}) adds to a counter of {}",
                grouped(number),
                grouped(now)
            )
        });
        if number > MOST - now {
            say!(
                "that is more than it holds: write() sleeps until the waiter has read"
            );
        }
        Ok(())
    }

    /// An eventfd has no EPIPE: as long as we have a copy, it can be read. Only the connection
    /// tells that the waiter has left.
    fn must_be_there(&self) -> Result<()> {
        let mut connection = [PollFd::new(&self.waiter, PollFlags::RDHUP)];
        poll_until(&mut connection, Some(Duration::ZERO)).context("poll")?;
        if connection[0].revents().is_empty() {
            return Ok(());
        }
        Err(Errno::EPIPE).context("the connection to the waiter")
    }
}
// ANCHOR_END: notifier
