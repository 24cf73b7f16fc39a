//! All handshakes of a server: with the processes that have connected and are no workers yet.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

use super::key_handshake::{Rules, Side};
use super::peer_handshake::{PeerHandshake, late};

/// How many handshakes may be under way at once. A further connection waits in the backlog.
pub(in super::super::super) const MOST_HANDSHAKES: usize = 16;

/// A process in the handshake.
#[derive(Debug)]
pub(in super::super::super) struct HandshakePeer {
    /// The number that epoll(7) reports for its socket.
    pub(in super::super::super) id: u64,
    pub(in super::super::super) pid: i32,
    pub(in super::super::super) socket: UnixStream,
    handshake: PeerHandshake,
}

// ANCHOR: handshakes
/// All handshakes under way. Never blocks: each one advances when its socket is readable.
#[derive(Debug)]
pub(in super::super::super) struct Handshakes {
    rules: Option<Rules>,
    within: Duration,
    peers: Vec<HandshakePeer>,
}

impl Handshakes {
    /// No handshake is under way yet.
    pub(in super::super::super) fn new(
        rules: Option<Rules>,
        within: Duration,
    ) -> Handshakes {
        Handshakes { rules, within, peers: Vec::new() }
    }

    /// How many are under way.
    pub(in super::super::super) fn number(&self) -> usize {
        self.peers.len()
    }

    /// Begins the handshake with the process `pid`, which has connected.
    pub(in super::super::super) fn begin(
        &mut self,
        id: u64,
        pid: i32,
        socket: UnixStream,
    ) -> Result<()> {
        let (peer, rules) = (format!("worker {pid}"), self.rules.as_ref());
        let handshake = PeerHandshake::begin(
            &socket,
            Side::Listener,
            &peer,
            rules,
            self.within,
        )?;
        self.peers.push(HandshakePeer { id, pid, socket, handshake });
        Ok(())
    }

    /// Continues with the peer `id`, whose socket is readable. Returns the peer once the
    /// handshake is done, or why it is refused; `None` while it is under way.
    pub(in super::super::super) fn advance(
        &mut self,
        id: u64,
    ) -> Option<Result<HandshakePeer>> {
        let index = self.peers.iter().position(|peer| peer.id == id)?;
        let peer = &mut self.peers[index];
        match peer.handshake.advance(&peer.socket) {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.peers.swap_remove(index))),
            Err(error) => Some(Err(refused(&self.peers.swap_remove(index), error))),
        }
    }

    /// When the first peer is late.
    pub(in super::super::super) fn next_deadline(&self) -> Option<Instant> {
        self.peers.iter().filter_map(|peer| peer.handshake.deadline()).min()
    }

    /// Refuses a peer that is late.
    pub(in super::super::super) fn next_late(
        &mut self,
        now: Instant,
    ) -> Option<Error> {
        let is_late = |peer: &HandshakePeer| {
            peer.handshake.deadline().is_some_and(|d| d <= now)
        };
        let peer = self.peers.swap_remove(self.peers.iter().position(is_late)?);
        Some(refused(&peer, anyhow!("{}", late(self.within))))
    }
}
// ANCHOR_END: handshakes

fn refused(peer: &HandshakePeer, why: Error) -> Error {
    why.context(format!("worker {} is refused", peer.pid))
}
