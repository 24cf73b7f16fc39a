//! The server reads acknowledgements, and closes its copy of each acknowledged connection.

use std::os::fd::AsRawFd;

use super::super::plain::{OK, ReceivedAcknowledgements};
use super::{Acknowledgement, PooledWorker, WorkerPool};

// ANCHOR: acknowledgements
impl WorkerPool {
    /// Reads what the worker `id` has acknowledged; `false` if there is no such worker.
    pub(in super::super) fn read_acknowledgements_of(&mut self, id: u64) -> bool {
        let index = self.workers.iter().position(|worker| worker.id == id);
        if let Some(index) = index {
            self.read_or_evict(index);
        }
        index.is_some()
    }

    /// Reads what the worker at `index` has acknowledged, and disconnects it if it has closed
    /// its end or breaks the protocol.
    pub(super) fn read_or_evict(&mut self, index: usize) {
        let mut received = self.close_acknowledged(index);
        // epoll(7) does not report a second time that the worker has closed its end.
        while matches!(received, ReceivedAcknowledgements::Number(_))
            && self.workers[index].has_ended()
        {
            received = self.close_acknowledged(index);
        }
        match received {
            ReceivedAcknowledgements::Number(_)
            | ReceivedAcknowledgements::Nothing => {}
            ReceivedAcknowledgements::EndOfFile => {
                self.evict(index, "recv() = 0: it has closed its end")
            }
            ReceivedAcknowledgements::Failed(error) => {
                self.evict(index, &format!("recv: {error}"));
            }
            ReceivedAcknowledgements::Garbage(_, byte) => {
                let what = [byte].escape_ascii().to_string();
                self.evict(index, &format!("it answered {what:?} where OK belongs"));
            }
        }
    }

    /// Closes the server's copy of each connection that the worker at `index` has
    /// acknowledged.
    pub(super) fn close_acknowledged(
        &mut self,
        index: usize,
    ) -> ReceivedAcknowledgements {
        let worker = &mut self.workers[index];
        let PooledWorker { socket, passed, acknowledgement, .. } = worker;
        let received = match acknowledgement {
            Acknowledgement::Explicit(reader) => reader.read(socket),
            Acknowledgement::Implicit(unread) => unread.read(socket, passed.len()),
        };
        let (ReceivedAcknowledgements::Number(number)
        | ReceivedAcknowledgements::Garbage(number, _)) = received
        else {
            return received;
        };
        for _ in 0..number {
            let Some((connection, _)) = worker.passed.pop_front() else {
                return ReceivedAcknowledgements::Garbage(0, OK[0]);
            };
            worker.acknowledged += 1;
            self.acknowledged += 1;
            let (pid, number) = (worker.pid, connection.number);
            let fd = connection.socket.as_raw_fd();
            match worker.acknowledgement {
                Acknowledgement::Explicit(_) => self.recvs.call(2, || {
                    format!("recv(worker {pid}) = \"OK\": it holds connection {number}; close({fd})")
                }),
                Acknowledgement::Implicit(_) => self.ioctls.call(0, || {
                    format!("ioctl(worker {pid}, SIOCOUTQ): it has read connection {number}; close({fd})")
                }),
            }
            drop(connection); // close(2)
        }
        received
    }
}
// ANCHOR_END: acknowledgements
