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
use rustix::net::{Shutdown, shutdown};

use super::descriptor::pass;
use super::multiprocessing::{self, Unread, was_taken};
use super::plain::{self, Answered, Answers, OK};
use super::{connections, named};
use crate::say;
use crate::wire::say::{self, Tally};

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
    sendmsgs: Tally,
    recvs: Tally,
    ioctls: Tally,
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
            sendmsgs: Tally::of("sendmsg"),
            recvs: Tally::of("recv"),
            ioctls: Tally::of("ioctl"),
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
            let Some(place) =
                places.find(|p| self.workers[*p].has_room(self.most, now))
            else {
                return self.held.push_front(connection);
            };
            let Worker { pid, socket, receipts, .. } = &self.workers[place];
            let (number, fd) = (connection.number, connection.socket.as_raw_fd());
            let byte = receipts.byte();
            self.sendmsgs.call(1, || {
                let byte = say::bytes(&[byte]);
                format!("sendmsg(worker {pid}, {byte} + descriptor {fd}): connection {number}")
            });
            match pass(socket, &connection.socket, byte) {
                Ok(()) => {
                    self.workers[place].passed.push_back((connection, now));
                    self.turn = (place + 1) % self.workers.len();
                }
                Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS) => {
                    self.workers[place].rests_until = Some(now + REST);
                    self.held.push_front(connection);
                }
                Err(error) => {
                    self.held.push_front(connection);
                    self.cut_off(place, &format!("sendmsg: {}", named(error)));
                }
            }
        }
    }
}
// ANCHOR_END: hand_out

// ANCHOR: cut_off
impl Pool {
    /// Looks what the worker `id` holds by now.
    pub(super) fn hear(&mut self, id: u64) {
        if let Some(place) = self.workers.iter().position(|worker| worker.id == id) {
            self.hear_at(place);
        }
    }

    fn hear_at(&mut self, place: usize) {
        let mut answered = self.read_answers(place);
        // Nobody will tell us twice that it has closed its end.
        while matches!(answered, Answered::Held(_))
            && self.workers[place].has_ended()
        {
            answered = self.read_answers(place);
        }
        match answered {
            Answered::Held(_) | Answered::Nothing => {}
            Answered::End => {
                self.cut_off(place, "recv() = 0: it has closed its end")
            }
            Answered::Failed(error) => {
                self.cut_off(place, &format!("recv: {}", named(error)));
            }
            Answered::Garbage(_, byte) => {
                let what = [byte].escape_ascii().to_string();
                self.cut_off(
                    place,
                    &format!("it answered {what:?} where OK belongs"),
                );
            }
        }
    }

    /// Cuts off each worker whose oldest connection has no `OK` in time.
    pub(super) fn cut_off_the_late(&mut self, now: Instant) {
        // From the last, since one that is cut off leaves the list.
        for place in (0..self.workers.len()).rev() {
            let is_late = |pool: &Pool| {
                let deadline =
                    pool.workers.get(place).and_then(|w| w.deadline(pool));
                deadline.is_some_and(|deadline| deadline <= now)
            };
            // If it was us who slept, its answer may lie here since long ago.
            if is_late(self) {
                self.hear_at(place);
            }
            if is_late(self) {
                let seconds = self.ack_timeout.as_secs_f64();
                self.cut_off(place, &format!("no OK within {seconds} s"));
            }
        }
    }

    /// Parts with a worker. The order is what matters: after shutdown(2) no `OK` can come
    /// in any more, and the worker, whose send(2) fails, drops what it wanted to keep.
    /// Those that came in before still count. So of each connection both know the same.
    fn cut_off(&mut self, place: usize, why: &str) {
        let _ = shutdown(&self.workers[place].socket, Shutdown::Both);
        while matches!(self.read_answers(place), Answered::Held(_)) {}

        let mut worker = self.workers.remove(place);
        if place < self.turn {
            self.turn -= 1; // the same worker's turn as before
        }
        if self.turn == self.workers.len() {
            self.turn = 0;
        }
        if let Receipts::Unread(_) = worker.receipts {
            // Some that we count as unread it may have taken, the moment before it went.
            let passed = worker.passed.len();
            worker.passed.retain(|(connection, _)| !was_taken(&connection.socket));
            let taken = (passed - worker.passed.len()) as u64;
            worker.acknowledged += taken;
            self.acknowledged += taken;
        }
        let (pid, held) = (worker.pid, connections(worker.acknowledged));
        say!("worker {pid} is out: {why}");
        let did = match worker.receipts {
            Receipts::Answers(_) => "acknowledged",
            Receipts::Unread(_) => "taken",
        };
        match worker.passed.len() {
            0 => say!("it had {did} {held}, all that it was passed"),
            others => say!("it had {did} {held}; {others} more go to others"),
        }
        for (connection, _) in worker.passed.into_iter().rev() {
            self.held.push_front(connection);
        }
    }

    /// Drops our copy of each connection that the worker at `place` is known to hold.
    fn read_answers(&mut self, place: usize) -> Answered {
        let Worker { socket, passed, receipts, .. } = &mut self.workers[place];
        let answered = match receipts {
            Receipts::Answers(answers) => answers.read(socket),
            Receipts::Unread(unread) => unread.read(socket, passed.len()),
        };
        let worker = &mut self.workers[place];
        let (Answered::Held(held) | Answered::Garbage(held, _)) = answered else {
            return answered;
        };
        for _ in 0..held {
            let Some((connection, _)) = worker.passed.pop_front() else {
                return Answered::Garbage(0, OK[0]);
            };
            worker.acknowledged += 1;
            self.acknowledged += 1;
            let (pid, number) = (worker.pid, connection.number);
            let fd = connection.socket.as_raw_fd();
            match worker.receipts {
                Receipts::Answers(_) => self.recvs.call(2, || {
                    format!("recv(worker {pid}) = \"OK\": it holds connection {number}; close({fd})")
                }),
                Receipts::Unread(_) => self.ioctls.call(0, || {
                    format!("ioctl(worker {pid}, SIOCOUTQ): it has read connection {number}; close({fd})")
                }),
            }
        }
        answered
    }
}
// ANCHOR_END: cut_off
