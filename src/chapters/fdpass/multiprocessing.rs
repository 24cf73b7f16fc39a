//! The wire of Python's multiprocessing.connection, on a Unix stream socket: a handshake
//! by a common key, the worker's pid as a pickle, then one byte 1 with one descriptor for
//! each connection (send_handle). A worker answers nothing. That it has read a descriptor
//! is known from the kernel alone.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

pub(super) use self::fate::was_taken;
use self::frame::Frame;
use self::handshake::Handshake;
pub(super) use self::handshake::{Rules, Side};
pub(super) use self::key::Key;
use self::pid::{pickled, unpickled};
pub(super) use self::unread::{Unread, charge_of_one};

mod fate;
mod frame;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/multiprocessing.rs"]
pub(crate) mod fuzz;
mod handshake;
mod key;
mod pid;
mod unread;

/// The byte that a descriptor travels with: how many descriptors there are.
pub(super) const BYTE: u8 = 1;

// ANCHOR: greeting
/// A peer that is about to make itself known.
#[derive(Debug)]
pub(super) struct Greeting {
    frame: Frame,
    handshake: Option<Handshake>,
    side: Side,
    deadline: Option<Instant>,
}

impl Greeting {
    /// Begins to greet the peer at the other end of `socket`, called `who`. Without rules
    /// there is no handshake, as for Python's `Listener(path)` without an authkey.
    pub(super) fn begin(
        socket: impl AsFd,
        side: Side,
        who: &str,
        rules: Option<&Rules>,
        within: Duration,
    ) -> Result<Greeting> {
        let begun = rules.map(|rules| Handshake::begin(rules, side, who));
        let handshake = match begun.transpose()? {
            Some((handshake, first)) => {
                say_to(&socket, &first)?;
                Some(handshake)
            }
            None => None,
        };
        let deadline = Instant::now().checked_add(within);
        Ok(Greeting { frame: Frame::default(), handshake, side, deadline })
    }

    /// When it must have made itself known.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Goes on with what has come; `true` once both know each other. Never waits.
    ///
    /// # Errors
    /// A peer that is refused.
    pub(super) fn go_on(&mut self, socket: impl AsFd) -> Result<bool> {
        while self.handshake.is_some() || self.side == Side::Listener {
            let Some(frame) = self.frame.read(&socket)? else { return Ok(false) };
            let Some(handshake) = &mut self.handshake else {
                // Whose pid it is, the kernel has told us; this one is believed by none.
                ensure!(unpickled(&frame).is_some(), "it sent no pid");
                return Ok(true);
            };
            let mut reply = Vec::new();
            let done = handshake.take(&frame, &mut reply);
            say_to(&socket, &reply)?;
            if done? {
                self.handshake = None;
            }
        }
        say_to(&socket, &pickled(std::process::id() as i32))?;
        Ok(true)
    }
}

/// Sends one frame, at once or not at all: so little fits, unless the peer reads nothing.
fn say_to(socket: impl AsFd, frame: &[u8]) -> Result<()> {
    if !frame.is_empty() {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(socket, frame, flags).context("send")?;
    }
    Ok(())
}
// ANCHOR_END: greeting

// ANCHOR: meet
/// Makes ourselves known to the server at the other end of `socket`, and it to us.
///
/// # Errors
/// A server that is refused, or that refuses us, or that says nothing `within` the time.
pub(super) fn meet(
    socket: &OwnedFd,
    rules: Option<&Rules>,
    within: Duration,
) -> Result<()> {
    let who = "the server";
    let mut greeting = Greeting::begin(socket, Side::Client, who, rules, within)?;
    while !greeting.go_on(socket)? {
        let left =
            greeting.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().context("poll")?;
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], left.as_ref()) {
            Ok(0) => bail!("{}", late(within)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
    }
    Ok(())
}
// ANCHOR_END: meet

/// What is said of a peer that did not make itself known in time.
pub(super) fn late(within: Duration) -> String {
    let seconds = within.as_secs_f64();
    format!(
        "no handshake within {seconds} s; --handshake-timeout sets the time; a role of \
         --protocol plain makes none: give both the same --protocol"
    )
}
