//! The plain protocol between server and worker, on a Unix stream socket: one byte `x`
//! with one descriptor one way, `OK` the other. `OK` means "I hold it, I have read no
//! byte": the server keeps its own copy until then, and closes it after.

use std::os::fd::AsFd;

use nix::errno::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::named;
use wire::shortage::Shortage;

/// The byte that a descriptor travels with.
pub(super) const BYTE: u8 = b'x';

/// The worker's answer.
pub(super) const OK: &[u8; 2] = b"OK";

// ANCHOR: acknowledge
/// Says of `held` connections "I hold it, I have read no byte", of all or of none.
///
/// # Errors
/// EPIPE when the server has given up on us: then the connections are not ours.
pub(super) fn acknowledge(server: impl AsFd, held: usize) -> nix::Result<()> {
    // So few bytes go whole, as a rule; half an OK is none.
    let answers = OK.repeat(held);
    let (mut left, flags) =
        (answers.as_slice(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    while !left.is_empty() {
        let sent = Shortage::default()
            .insist("send", || send(&server, left, flags).map_err(named));
        left = &left[sent?..];
    }
    Ok(())
}

/// What a worker has answered so far, and how much of the next `OK` is there.
#[derive(Debug, Default)]
pub(super) struct Answers {
    half: bool,
}

/// What became of reading a worker's answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// So many more connections are acknowledged.
    Held(usize),
    /// Nothing more is here, so far.
    Nothing,
    /// It sent a byte that is no part of an `OK`, after so many that were.
    Garbage(usize, u8),
    /// The worker has closed its end.
    End,
    /// Its end is closed, and not in peace: ECONNRESET when it died with a descriptor
    /// that it had not yet received.
    Failed(Errno),
}

impl Answers {
    /// Reads the answers that have come; never waits.
    pub(super) fn read(&mut self, worker: impl AsFd) -> Answered {
        let mut buffer = [0; 64];
        let received = Shortage::default().insist("recv", || {
            recv(&worker, &mut buffer[..], RecvFlags::DONTWAIT).map_err(named)
        });
        let n = match received {
            Ok((0, _)) => return Answered::End,
            Ok((n, _)) => n,
            Err(Errno::EAGAIN) => return Answered::Nothing,
            Err(error) => return Answered::Failed(error),
        };
        let mut held = 0;
        for &byte in &buffer[..n] {
            // A read may end within an OK: the other half comes with the next.
            if byte != OK[usize::from(self.half)] {
                return Answered::Garbage(held, byte);
            }
            held += usize::from(self.half);
            self.half = !self.half;
        }
        Answered::Held(held)
    }
}
// ANCHOR_END: acknowledge

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::super::descriptor::pass;
    use super::*;

    fn read_after(answers: &mut Answers, bytes: &[u8]) -> Answered {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&theirs, bytes, SendFlags::empty()).unwrap();
        answers.read(&ours)
    }

    #[test]
    fn answers_may_arrive_in_halves_and_in_heaps() {
        let mut answers = Answers::default();
        assert_eq!(read_after(&mut answers, b"O"), Answered::Held(0));
        assert_eq!(read_after(&mut answers, b"KOKO"), Answered::Held(2));
        assert_eq!(read_after(&mut answers, b"K"), Answered::Held(1));
        assert_eq!(read_after(&mut answers, b"OKNO"), Answered::Garbage(1, b'N'));
    }

    #[test]
    fn answers_end_with_the_worker() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(Answers::default().read(&ours), Answered::Nothing);
        drop(theirs);
        assert_eq!(Answers::default().read(&ours), Answered::End);
        let (ours, theirs) = UnixStream::pair().unwrap();
        pass(&ours, &ours, BYTE).unwrap();
        drop(theirs);
        let failed = Answered::Failed(Errno::ECONNRESET);
        assert_eq!(Answers::default().read(&ours), failed);
    }
}
