//! The workers, and the connections that none of them holds yet.
//!
//! A connection is the server's until the worker that it was passed to has answered `OK`. A
//! worker that dies, is late or breaks the protocol is disconnected, and the connections that it
//! has not acknowledged are passed to the next worker.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::descriptor::pass;
use super::more::multiprocessing::{self, UnreadMessages};
use super::plain::{self, AcknowledgementReader};
use wire::say::{self, Commentary};

mod acknowledgements;
mod eviction;

/// How long nothing is passed to a worker whose socket was full.
const PAUSE: Duration = Duration::from_millis(50);

// ANCHOR: state
/// A client's connection that no worker is known to hold.
#[derive(Debug)]
struct ClientConnection {
    number: u64,
    socket: TcpStream,
}

/// A worker, as the server knows it.
#[derive(Debug)]
pub(super) struct PooledWorker {
    /// The number that epoll(7) reports for it.
    id: u64,
    pid: i32,
    socket: UnixStream,
    /// The connections passed to it and not yet acknowledged, and when: received in this order.
    passed: VecDeque<(ClientConnection, Instant)>,
    acknowledgement: Acknowledgement,
    /// How many connections it has acknowledged.
    acknowledged: u64,
    /// Until when nothing is passed to it, since its socket was full.
    paused_until: Option<Instant>,
}

/// How the server knows which connections a worker holds.
#[derive(Debug)]
pub(super) enum Acknowledgement {
    /// The worker answers `OK` (the plain protocol).
    Explicit(AcknowledgementReader),
    /// The worker answers nothing. The kernel knows what it has read (multiprocessing).
    Implicit(UnreadMessages),
}

/// All workers, and the connections that wait for one.
#[derive(Debug)]
pub(super) struct WorkerPool {
    pub(super) workers: Vec<PooledWorker>,
    /// The index of the worker whose turn it is.
    turn: usize,
    /// Accepted and not passed to a worker, the oldest in front.
    held: VecDeque<ClientConnection>,
    /// How many unacknowledged connections one worker may have.
    most_passed: usize,
    ack_timeout: Duration,
    /// How many connections have been accepted.
    pub(super) accepted: u64,
    /// How many of them a worker has acknowledged, or read.
    pub(super) acknowledged: u64,
    sendmsgs: Commentary,
    recvs: Commentary,
    ioctls: Commentary,
}
// ANCHOR_END: state

impl WorkerPool {
    /// A pool without a worker. One worker will have at most `most_passed` unacknowledged
    /// connections, and none of them for longer than `ack_timeout` (the plain protocol).
    pub(super) fn new(most_passed: usize, ack_timeout: Duration) -> WorkerPool {
        WorkerPool {
            workers: Vec::new(),
            turn: 0,
            held: VecDeque::new(),
            most_passed,
            ack_timeout,
            accepted: 0,
            acknowledged: 0,
            sendmsgs: Commentary::of("sendmsg"),
            recvs: Commentary::of("recv"),
            ioctls: Commentary::of("ioctl"),
        }
    }

    /// Adds a worker.
    pub(super) fn add(
        &mut self,
        id: u64,
        pid: i32,
        socket: UnixStream,
        acknowledgement: Acknowledgement,
    ) {
        self.workers.push(PooledWorker {
            id,
            pid,
            socket,
            passed: VecDeque::new(),
            acknowledgement,
            acknowledged: 0,
            paused_until: None,
        });
    }

    /// Keeps an accepted connection until a worker has room for it. Returns its number.
    pub(super) fn hold(&mut self, socket: TcpStream) -> u64 {
        self.accepted += 1;
        let number = self.accepted;
        self.held.push_back(ClientConnection { number, socket });
        number
    }

    /// How many connections are accepted and not passed to a worker.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many descriptors the pool has open.
    pub(super) fn descriptors(&self) -> usize {
        let passed = self.workers.iter().map(|worker| worker.passed.len());
        self.held.len() + self.workers.len() + passed.sum::<usize>()
    }

    /// When something is to be done though no socket is ready.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let wanted = |worker: &&PooledWorker| {
            !self.held.is_empty() && worker.passed.len() < self.most_passed
        };
        let pauses =
            self.workers.iter().filter(wanted).filter_map(|w| w.paused_until);
        pauses.chain(self.workers.iter().filter_map(|w| w.deadline(self))).min()
    }
}

impl PooledWorker {
    fn has_room(&self, most: usize, now: Instant) -> bool {
        self.passed.len() < most
            && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Whether it has closed its end, though not all that it has read is counted yet.
    fn has_ended(&self) -> bool {
        matches!(&self.acknowledgement, Acknowledgement::Implicit(unread) if unread.has_ended())
    }

    /// When its oldest connection is without an `OK` for too long.
    fn deadline(&self, pool: &WorkerPool) -> Option<Instant> {
        let Acknowledgement::Explicit(_) = self.acknowledgement else { return None };
        self.passed.front().and_then(|(_, when)| when.checked_add(pool.ack_timeout))
    }
}

impl Acknowledgement {
    /// The byte that a descriptor travels with.
    fn byte(&self) -> u8 {
        match self {
            Acknowledgement::Explicit(_) => plain::BYTE,
            Acknowledgement::Implicit(_) => multiprocessing::BYTE,
        }
    }
}

// ANCHOR: hand_out
impl WorkerPool {
    /// Passes the connections that are held, to each worker in turn, while one has room.
    pub(super) fn hand_out(&mut self) {
        while let Some(connection) = self.held.pop_front() {
            let now = Instant::now();
            let mut indices = (self.turn..self.workers.len()).chain(0..self.turn);
            let Some(index) =
                indices.find(|i| self.workers[*i].has_room(self.most_passed, now))
            else {
                return self.held.push_front(connection);
            };
            let PooledWorker { pid, socket, acknowledgement, .. } =
                &self.workers[index];
            let (number, fd) = (connection.number, connection.socket.as_raw_fd());
            let byte = acknowledgement.byte();
            self.sendmsgs.call(1, || {
                let byte = say::bytes(&[byte]);
                format!("sendmsg(worker {pid}, {byte} + descriptor {fd}): connection {number}")
            });
            match pass(socket, &connection.socket, byte) {
                Ok(()) => {
                    self.workers[index].passed.push_back((connection, now));
                    self.turn = (index + 1) % self.workers.len();
                }
                Err(Errno::EINTR) => self.held.push_front(connection),
                Err(
                    Errno::EAGAIN
                    | Errno::ETOOMANYREFS
                    | Errno::ENOBUFS
                    | Errno::ENOMEM,
                ) => {
                    self.workers[index].paused_until = Some(now + PAUSE);
                    self.held.push_front(connection);
                }
                Err(error) => {
                    self.held.push_front(connection);
                    self.evict(index, &format!("sendmsg: {error}"));
                }
            }
        }
    }
}
// ANCHOR_END: hand_out
