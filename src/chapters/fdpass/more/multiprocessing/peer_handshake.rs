//! The handshake with one peer, on a socket: the proof of the key, then the worker's pid.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};

use super::frame::Frame;
use super::key_handshake::{KeyHandshake, Rules, Side};
use super::pid::{pickled, unpickled};
use os::calls::nix_errno;

// ANCHOR: peer_handshake
/// A handshake with one peer that is under way.
#[derive(Debug)]
pub(super) struct PeerHandshake {
    frame: Frame,
    /// The proof of the key; `None` once it is done, or if there is no key.
    key: Option<KeyHandshake>,
    side: Side,
    deadline: Option<Instant>,
}

impl PeerHandshake {
    /// Begins the handshake with the peer at the other end of `socket`, called `peer`. Without
    /// rules no key is proved, as for Python's `Listener(path)` without an authkey.
    pub(super) fn begin(
        socket: impl AsFd,
        side: Side,
        peer: &str,
        rules: Option<&Rules>,
        within: Duration,
    ) -> Result<PeerHandshake> {
        let begun = rules.map(|rules| KeyHandshake::begin(rules, side, peer));
        let key = match begun.transpose()? {
            Some((key, first)) => {
                send_frame(&socket, &first)?;
                Some(key)
            }
            None => None,
        };
        let deadline = Instant::now().checked_add(within);
        Ok(PeerHandshake { frame: Frame::default(), key, side, deadline })
    }

    /// When the handshake must be done.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Continues with the bytes that have arrived; `true` once the handshake is done. Never
    /// waits.
    ///
    /// # Errors
    /// A peer that is refused.
    pub(super) fn advance(&mut self, socket: impl AsFd) -> Result<bool> {
        while self.key.is_some() || self.side == Side::Listener {
            let Some(frame) = self.frame.read(&socket)? else { return Ok(false) };
            let Some(key) = &mut self.key else {
                // The kernel has reported the pid (SO_PEERCRED); the frame's pid is not used.
                ensure!(unpickled(&frame).is_some(), "it sent no pid");
                return Ok(true);
            };
            let mut reply = Vec::new();
            let done = key.take(&frame, &mut reply);
            send_frame(&socket, &reply)?;
            if done? {
                self.key = None;
            }
        }
        send_frame(&socket, &pickled(std::process::id() as i32))?;
        Ok(true)
    }
}

/// Sends one frame; never waits. A frame is so short that it fits, unless the peer reads
/// nothing.
fn send_frame(socket: impl AsFd, frame: &[u8]) -> Result<()> {
    if !frame.is_empty() {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(socket, frame, flags).map_err(nix_errno).context("send")?;
    }
    Ok(())
}
// ANCHOR_END: peer_handshake

// ANCHOR: meet
/// The worker: makes the whole handshake with the server at the other end of `socket`.
///
/// # Errors
/// A server that is refused, or that refuses us, or that says nothing `within` the time.
pub(in super::super::super) fn meet_server(
    socket: &OwnedFd,
    rules: Option<&Rules>,
    within: Duration,
) -> Result<()> {
    let peer = "the server";
    let mut handshake =
        PeerHandshake::begin(socket, Side::Client, peer, rules, within)?;
    while !handshake.advance(socket)? {
        let left =
            handshake.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().context("poll")?;
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()).map_err(nix_errno) {
            Ok(0) => bail!("{}", late(within)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
    }
    Ok(())
}
// ANCHOR_END: meet

/// The error text for a peer whose handshake was not done in time.
pub(super) fn late(within: Duration) -> String {
    let seconds = within.as_secs_f64();
    format!(
        "no handshake within {seconds} s; --handshake-timeout sets the time; a role of \
         --protocol plain makes none: give both the same --protocol"
    )
}
