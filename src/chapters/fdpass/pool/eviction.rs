//! The server disconnects a worker: one that is late, has left or breaks the protocol.

use std::time::Instant;

use rustix::net::{Shutdown, shutdown};

use super::super::more::multiprocessing::was_used;
use super::super::plain::ReceivedAcknowledgements;
use super::{Acknowledgement, WorkerPool};
use wire::say;
use wire::say::count;

// ANCHOR: eviction
impl WorkerPool {
    /// Disconnects each worker whose oldest connection has no `OK` in time.
    pub(in super::super) fn evict_late_workers(&mut self, now: Instant) {
        // From the last, since a worker that is disconnected leaves the list.
        for index in (0..self.workers.len()).rev() {
            let is_late = |pool: &WorkerPool| {
                let deadline =
                    pool.workers.get(index).and_then(|w| w.deadline(pool));
                deadline.is_some_and(|deadline| deadline <= now)
            };
            // If the server was stopped, the `OK` may have waited in its socket for long.
            if is_late(self) {
                self.read_or_evict(index);
            }
            if is_late(self) {
                let seconds = self.ack_timeout.as_secs_f64();
                self.evict(index, &format!("no OK within {seconds} s"));
            }
        }
    }

    /// Disconnects a worker. The order is what matters: after shutdown(2) no further `OK` can
    /// arrive, and the worker, whose send(2) fails, closes the connection. An `OK` that
    /// arrived before still counts. So both know the same of each connection.
    pub(super) fn evict(&mut self, index: usize, why: &str) {
        let _ = shutdown(&self.workers[index].socket, Shutdown::Both);
        while let ReceivedAcknowledgements::Number(_) =
            self.close_acknowledged(index)
        {}

        let mut worker = self.workers.remove(index);
        if index < self.turn {
            self.turn -= 1; // the same worker's turn as before
        }
        if self.turn == self.workers.len() {
            self.turn = 0;
        }
        if let Acknowledgement::Implicit(_) = worker.acknowledgement {
            // The worker may have read some that count as unread, just before it ended.
            let passed = worker.passed.len();
            worker.passed.retain(|(connection, _)| !was_used(&connection.socket));
            let used = (passed - worker.passed.len()) as u64;
            worker.acknowledged += used;
            self.acknowledged += used;
        }
        let (pid, held) = (worker.pid, count(worker.acknowledged, "connection"));
        say!("worker {pid} is disconnected: {why}");
        let did = match worker.acknowledgement {
            Acknowledgement::Explicit(_) => "acknowledged",
            Acknowledgement::Implicit(_) => "taken",
        };
        match worker.passed.len() {
            0 => say!("it had {did} {held}, all that it was passed"),
            others => say!("it had {did} {held}; {others} more go to others"),
        }
        for (connection, _) in worker.passed.into_iter().rev() {
            self.held.push_front(connection);
        }
    }
}
// ANCHOR_END: eviction
