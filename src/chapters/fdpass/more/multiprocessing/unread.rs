//! How many of its connections a worker has read, where the protocol has no answer.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::net::{RecvFlags, recv};

use super::super::super::descriptor::pass;
use super::super::super::plain::ReceivedAcknowledgements;
use super::frame::BYTE;
use os::calls::nix_errno;
use os::siocoutq::unread;

// ANCHOR: unread
/// Which of the messages that were sent to a worker lie unread. The worker does not report it;
/// the kernel does.
#[derive(Debug)]
pub(in super::super::super) struct UnreadMessages {
    /// What the kernel charges for one of our messages that lies unread.
    of_one: usize,
    /// Whether the worker has closed its end.
    ended: bool,
    /// Whether it closed its end with messages unread. recv(2) reports this only once.
    reset: bool,
}

/// What the kernel charges for one message that lies unread: asked by a message to
/// ourselves.
pub(in super::super::super) fn charge_of_one_message() -> Result<usize> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    pass(&ours, &theirs, BYTE).context("sendmsg")?;
    let charge = unread(&ours).context("ioctl(SIOCOUTQ)")?;
    Ok(charge.max(1))
}

/// How many messages lie unread, of which the kernel charges `amount`. When the kernel reports
/// that one was read, it still charges a byte of that message, for a moment: sock_wfree() in
/// net/core/sock.c. Nothing reports when that byte is gone.
fn messages(amount: usize, of_one: usize) -> usize {
    (amount + of_one / 2) / of_one
}

impl UnreadMessages {
    /// For a new worker, if the kernel charges `of_one` for a message.
    pub(in super::super::super) fn new(of_one: usize) -> UnreadMessages {
        UnreadMessages { of_one, ended: false, reset: false }
    }

    /// Whether the worker has closed its end.
    pub(in super::super::super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Asks the kernel how many of `passed` connections the worker has read; never waits.
    pub(in super::super::super) fn read(
        &mut self,
        worker: impl AsFd,
        passed: usize,
    ) -> ReceivedAcknowledgements {
        let left = match unread(&worker) {
            Ok(amount) => messages(amount, self.of_one).min(passed),
            Err(_) => passed,
        };
        // Only after that: once a worker has closed its end, none of our messages lies there
        // any more, read or not. If one was not read, the end is a reset.
        if !self.reset && !self.read_end(worker) {
            return ReceivedAcknowledgements::Nothing;
        }
        match passed - left {
            _ if self.reset => ReceivedAcknowledgements::Failed(Errno::ECONNRESET),
            0 if passed == 0 && self.ended => ReceivedAcknowledgements::EndOfFile,
            0 => ReceivedAcknowledgements::Nothing,
            read => ReceivedAcknowledgements::Number(read),
        }
    }

    /// Reads whether the worker has closed its end. Bytes that it sends are ignored. `false`
    /// when there are so many of them that the end is not reached yet.
    fn read_end(&mut self, worker: impl AsFd) -> bool {
        let mut ignored = [0; 4096];
        for _ in 0..64 {
            let received = recv(&worker, &mut ignored[..], RecvFlags::DONTWAIT);
            match received.map_err(nix_errno) {
                Ok((1.., _)) | Err(Errno::EINTR) => continue,
                Ok((0, _)) => self.ended = true,
                Err(Errno::ECONNRESET) => self.reset = true,
                Err(_) => {}
            }
            return true;
        }
        false
    }
}
// ANCHOR_END: unread

#[cfg(test)]
mod tests {
    use super::super::super::super::descriptor::take;
    use super::*;

    #[test]
    fn a_byte_that_is_still_charged_of_a_message_that_was_read_is_no_message() {
        for of_one in [512, 768, 4096] {
            for unread in 0..5 {
                for still in [0, 1, 2] {
                    let amount = unread * of_one + still;
                    assert_eq!(messages(amount, of_one), unread);
                }
            }
        }
    }

    #[test]
    fn what_is_unread_is_counted_and_a_reset_stays_one() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut unread = UnreadMessages::new(charge_of_one_message().unwrap());
        assert_eq!(unread.read(&ours, 0), ReceivedAcknowledgements::Nothing);
        for _ in 0..3 {
            pass(&ours, &ours, BYTE).unwrap();
        }
        assert_eq!(unread.read(&ours, 3), ReceivedAcknowledgements::Nothing);
        drop(take(&theirs, BYTE).unwrap());
        assert_eq!(unread.read(&ours, 3), ReceivedAcknowledgements::Number(1));
        assert_eq!(unread.read(&ours, 2), ReceivedAcknowledgements::Nothing);
        drop(theirs);
        for _ in 0..2 {
            assert_eq!(
                unread.read(&ours, 2),
                ReceivedAcknowledgements::Failed(Errno::ECONNRESET)
            );
        }
    }

    #[test]
    fn a_worker_that_read_all_and_left_holds_all() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut unread = UnreadMessages::new(charge_of_one_message().unwrap());
        pass(&ours, &ours, BYTE).unwrap();
        drop(take(&theirs, BYTE).unwrap());
        drop(theirs);
        assert_eq!(unread.read(&ours, 1), ReceivedAcknowledgements::Number(1));
        assert_eq!(unread.read(&ours, 0), ReceivedAcknowledgements::EndOfFile);
    }
}
