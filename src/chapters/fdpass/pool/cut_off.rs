//! What the workers have answered, and parting with one of them.

use std::os::fd::AsRawFd;
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};

use super::super::connections;
use super::super::multiprocessing::was_taken;
use super::super::plain::{Answered, OK};
use super::{Pool, Receipts, Worker};
use wire::say;

// ANCHOR: cut_off
impl Pool {
    /// Looks what the worker `id` holds by now.
    pub(in super::super) fn hear(&mut self, id: u64) {
        if let Some(index) = self.workers.iter().position(|worker| worker.id == id) {
            self.hear_at(index);
        }
    }

    fn hear_at(&mut self, index: usize) {
        let mut answered = self.read_answers(index);
        // Nobody will tell us twice that it has closed its end.
        while matches!(answered, Answered::Held(_))
            && self.workers[index].has_ended()
        {
            answered = self.read_answers(index);
        }
        match answered {
            Answered::Held(_) | Answered::Nothing => {}
            Answered::End => {
                self.cut_off(index, "recv() = 0: it has closed its end")
            }
            Answered::Failed(error) => {
                self.cut_off(index, &format!("recv: {error}"));
            }
            Answered::Garbage(_, byte) => {
                let what = [byte].escape_ascii().to_string();
                self.cut_off(
                    index,
                    &format!("it answered {what:?} where OK belongs"),
                );
            }
        }
    }

    /// Cuts off each worker whose oldest connection has no `OK` in time.
    pub(in super::super) fn cut_off_the_late(&mut self, now: Instant) {
        // From the last, since one that is cut off leaves the list.
        for index in (0..self.workers.len()).rev() {
            let is_late = |pool: &Pool| {
                let deadline =
                    pool.workers.get(index).and_then(|w| w.deadline(pool));
                deadline.is_some_and(|deadline| deadline <= now)
            };
            // If it was us who slept, its answer may lie here since long ago.
            if is_late(self) {
                self.hear_at(index);
            }
            if is_late(self) {
                let seconds = self.ack_timeout.as_secs_f64();
                self.cut_off(index, &format!("no OK within {seconds} s"));
            }
        }
    }

    /// Parts with a worker. The order is what matters: after shutdown(2) no `OK` can come
    /// in any more, and the worker, whose send(2) fails, drops what it wanted to keep.
    /// Those that came in before still count. So of each connection both know the same.
    pub(super) fn cut_off(&mut self, index: usize, why: &str) {
        let _ = shutdown(&self.workers[index].socket, Shutdown::Both);
        while matches!(self.read_answers(index), Answered::Held(_)) {}

        let mut worker = self.workers.remove(index);
        if index < self.turn {
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

    /// Drops our copy of each connection that the worker at `index` is known to hold.
    fn read_answers(&mut self, index: usize) -> Answered {
        let Worker { socket, passed, receipts, .. } = &mut self.workers[index];
        let answered = match receipts {
            Receipts::Answers(answers) => answers.read(socket),
            Receipts::Unread(unread) => unread.read(socket, passed.len()),
        };
        let worker = &mut self.workers[index];
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
