//! The workers, and the connections that none of them holds yet.
//!
//! A connection is the server's until the worker that it was passed to has answered `OK`.
//! A worker that dies, is late or breaks the protocol is cut off, and what it has not
//! acknowledged goes to the next.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::descriptor::pass;
use super::multiprocessing::{self, Unread};
use super::named;
use super::plain::{self, Answers};
use wire::say::{self, Commentary};

mod cut_off;

/// How long a worker is left alone whose socket had no room.
const REST: Duration = Duration::from_millis(50);

// ANCHOR: state
/// A client's connection that no worker holds.
#[derive(Debug)]
struct Connection {
    number: u64,
    socket: TcpStream,
}

/// A worker, as the server knows it.
#[derive(Debug)]
pub(super) struct Worker {
    /// What epoll(7) calls it.
    id: u64,
    pid: i32,
    socket: UnixStream,
    /// Passed and when, and not known to be held: it takes them in this order.
    passed: VecDeque<(Connection, Instant)>,
    receipts: Receipts,
    acknowledged: u64,
    rests_until: Option<Instant>,
}

/// How the server knows what a worker holds.
#[derive(Debug)]
pub(super) enum Receipts {
    /// It answers `OK` (the plain protocol).
    Answers(Answers),
    /// It says nothing, but the kernel knows what it has read (multiprocessing).
    Unread(Unread),
}

/// All workers, and what waits for one.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) workers: Vec<Worker>,
    /// The place in `workers` of the one whose turn it is.
    turn: usize,
    /// Accepted and on its way to nobody, the oldest in front.
    held: VecDeque<Connection>,
    /// How many connections may be on their way to one worker.
    most: usize,
    ack_timeout: Duration,
    /// How many connections have come.
    pub(super) accepted: u64,
    /// How many of them a worker has acknowledged, or read.
    pub(super) acknowledged: u64,
    sendmsgs: Commentary,
    recvs: Commentary,
    ioctls: Commentary,
}
// ANCHOR_END: state

impl Pool {
    /// No worker has come yet. No more than `most` connections will be on their way to
    /// one of them, nor any for longer than `ack_timeout` without an `OK`.
    pub(super) fn new(most: usize, ack_timeout: Duration) -> Pool {
        Pool {
            workers: Vec::new(),
            turn: 0,
            held: VecDeque::new(),
            most,
            ack_timeout,
            accepted: 0,
            acknowledged: 0,
            sendmsgs: Commentary::of("sendmsg"),
            recvs: Commentary::of("recv"),
            ioctls: Commentary::of("ioctl"),
        }
    }

    /// A worker has come.
    pub(super) fn join(
        &mut self,
        id: u64,
        pid: i32,
        socket: UnixStream,
        receipts: Receipts,
    ) {
        self.workers.push(Worker {
            id,
            pid,
            socket,
            passed: VecDeque::new(),
            receipts,
            acknowledged: 0,
            rests_until: None,
        });
    }

    /// A client has come: its connection waits for a worker. Returns its number.
    pub(super) fn hold(&mut self, socket: TcpStream) -> u64 {
        self.accepted += 1;
        let number = self.accepted;
        self.held.push_back(Connection { number, socket });
        number
    }

    /// How many connections are on their way to nobody.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many descriptors all of this takes.
    pub(super) fn descriptors(&self) -> usize {
        let passed = self.workers.iter().map(|worker| worker.passed.len());
        self.held.len() + self.workers.len() + passed.sum::<usize>()
    }

    /// When something is to be done though nothing has come.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let wanted = |worker: &&Worker| {
            !self.held.is_empty() && worker.passed.len() < self.most
        };
        let rests = self.workers.iter().filter(wanted).filter_map(|w| w.rests_until);
        rests.chain(self.workers.iter().filter_map(|w| w.deadline(self))).min()
    }
}

impl Worker {
    fn has_room(&self, most: usize, now: Instant) -> bool {
        self.passed.len() < most && self.rests_until.is_none_or(|until| until <= now)
    }

    /// Whether it is known to have closed its end, though more is to be said of it.
    fn has_ended(&self) -> bool {
        matches!(&self.receipts, Receipts::Unread(unread) if unread.has_ended())
    }

    /// When its oldest connection is too long without an `OK`.
    fn deadline(&self, pool: &Pool) -> Option<Instant> {
        let Receipts::Answers(_) = self.receipts else { return None };
        self.passed.front().and_then(|(_, when)| when.checked_add(pool.ack_timeout))
    }
}

impl Receipts {
    /// The byte that a descriptor travels with.
    fn byte(&self) -> u8 {
        match self {
            Receipts::Answers(_) => plain::BYTE,
            Receipts::Unread(_) => multiprocessing::BYTE,
        }
    }
}

// ANCHOR: hand_out
impl Pool {
    /// Passes on what is held, to each worker in turn, while any has room.
    pub(super) fn hand_out(&mut self) {
        while let Some(connection) = self.held.pop_front() {
            let now = Instant::now();
            let mut places = (self.turn..self.workers.len()).chain(0..self.turn);
            let Some(index) =
                places.find(|p| self.workers[*p].has_room(self.most, now))
            else {
                return self.held.push_front(connection);
            };
            let Worker { pid, socket, receipts, .. } = &self.workers[index];
            let (number, fd) = (connection.number, connection.socket.as_raw_fd());
            let byte = receipts.byte();
            self.sendmsgs.call(1, || {
                let byte = say::bytes(&[byte]);
                format!("sendmsg(worker {pid}, {byte} + descriptor {fd}): connection {number}")
            });
            match pass(socket, &connection.socket, byte) {
                Ok(()) => {
                    self.workers[index].passed.push_back((connection, now));
                    self.turn = (index + 1) % self.workers.len();
                }
                Err(Errno::INTR) => self.held.push_front(connection),
                Err(
                    Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM,
                ) => {
                    self.workers[index].rests_until = Some(now + REST);
                    self.held.push_front(connection);
                }
                Err(error) => {
                    self.held.push_front(connection);
                    self.cut_off(index, &format!("sendmsg: {}", named(error)));
                }
            }
        }
    }
}
// ANCHOR_END: hand_out
