//! The plain protocol between server and worker, on a Unix stream socket: one byte `x`
//! with one descriptor one way, `OK` the other. `OK` means "I hold it, I have read no
//! byte": the server keeps its own copy until then, and closes it after.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use wire::shortage::Shortage;

/// The byte that a descriptor travels with.
pub(super) const BYTE: u8 = b'x';

/// The worker's answer.
pub(super) const OK: &[u8; 2] = b"OK";

// ANCHOR: acknowledge
/// The worker says "I hold it, I have read no byte" of `held` connections, all or none.
///
/// # Errors
/// EPIPE when the server has disconnected this worker: the connections are not its own then.
pub(super) fn acknowledge(server: impl AsFd, held: usize) -> nix::Result<()> {
    // So few bytes go whole, as a rule; half an OK is none.
    let answers = OK.repeat(held);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let (server, mut left) = (server.as_fd().as_raw_fd(), answers.as_slice());
    while !left.is_empty() {
        let sent = Shortage::default().retry("send", || send(server, left, flags));
        left = &left[sent?..];
    }
    Ok(())
}

/// Reads what a worker answers: so far, how much of the next `OK` is there.
#[derive(Debug, Default)]
pub(super) struct AcknowledgementReader {
    half: bool,
}

/// What the server received of a worker's acknowledgements.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReceivedAcknowledgements {
    /// So many more connections are acknowledged.
    Number(usize),
    /// Nothing more has arrived so far.
    Nothing,
    /// After so many acknowledgements, a byte that is no part of an `OK`.
    Garbage(usize, u8),
    /// The worker has closed its end.
    EndOfFile,
    /// ECONNRESET when the worker died with a descriptor that it had not yet received.
    Failed(Errno),
}

impl AcknowledgementReader {
    /// Reads the acknowledgements that have arrived; never waits.
    pub(super) fn read(&mut self, worker: impl AsFd) -> ReceivedAcknowledgements {
        let mut buffer = [0; 64];
        let received = Shortage::default().retry("recv", || {
            recv(worker.as_fd().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
        });
        let n = match received {
            Ok(0) => return ReceivedAcknowledgements::EndOfFile,
            Ok(n) => n,
            Err(Errno::EAGAIN) => return ReceivedAcknowledgements::Nothing,
            Err(error) => return ReceivedAcknowledgements::Failed(error),
        };
        let mut number = 0;
        for &byte in &buffer[..n] {
            // A read may end within an OK: the other half comes with the next.
            if byte != OK[usize::from(self.half)] {
                return ReceivedAcknowledgements::Garbage(number, byte);
            }
            number += usize::from(self.half);
            self.half = !self.half;
        }
        ReceivedAcknowledgements::Number(number)
    }
}
// ANCHOR_END: acknowledge

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::super::descriptor::pass;
    use super::*;

    fn read_after(
        answers: &mut AcknowledgementReader,
        bytes: &[u8],
    ) -> ReceivedAcknowledgements {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(theirs.as_raw_fd(), bytes, MsgFlags::empty()).unwrap();
        answers.read(&ours)
    }

    #[test]
    fn answers_may_arrive_in_halves_and_in_heaps() {
        let mut answers = AcknowledgementReader::default();
        assert_eq!(
            read_after(&mut answers, b"O"),
            ReceivedAcknowledgements::Number(0)
        );
        assert_eq!(
            read_after(&mut answers, b"KOKO"),
            ReceivedAcknowledgements::Number(2)
        );
        assert_eq!(
            read_after(&mut answers, b"K"),
            ReceivedAcknowledgements::Number(1)
        );
        assert_eq!(
            read_after(&mut answers, b"OKNO"),
            ReceivedAcknowledgements::Garbage(1, b'N')
        );
    }

    #[test]
    fn answers_end_with_the_worker() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(
            AcknowledgementReader::default().read(&ours),
            ReceivedAcknowledgements::Nothing
        );
        drop(theirs);
        assert_eq!(
            AcknowledgementReader::default().read(&ours),
            ReceivedAcknowledgements::EndOfFile
        );
        let (ours, theirs) = UnixStream::pair().unwrap();
        pass(&ours, &ours, BYTE).unwrap();
        drop(theirs);
        let failed = ReceivedAcknowledgements::Failed(Errno::ECONNRESET);
        assert_eq!(AcknowledgementReader::default().read(&ours), failed);
    }
}
