//! What a worker has read of the connections that it was passed, where it does not say so.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::super::descriptor::pass;
use super::super::plain::Answered;
use super::BYTE;
use os::siocoutq::unread;

// ANCHOR: unread
/// What a worker has read of that which it was passed. It tells us nothing; the kernel
/// does.
#[derive(Debug)]
pub(in super::super) struct Unread {
    /// What the kernel charges for one of our messages that lies unread.
    of_one: usize,
    /// It has closed its end.
    ended: bool,
    /// With something unread. recv(2) says so only once.
    reset: bool,
}

/// What the kernel charges for one of our messages that lies unread: asked by a message to
/// ourselves.
pub(in super::super) fn charge_of_one() -> Result<usize> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    pass(&ours, &theirs, BYTE).context("sendmsg")?;
    let charge = unread(&ours).context("ioctl(SIOCOUTQ)")?;
    Ok(charge.max(1))
}

/// How many messages lie unread, of which the kernel charges `amount`. When it tells that one
/// was read, it still charges a byte of that one, for a moment: sock_wfree() in
/// net/core/sock.c. Nothing tells when that is gone.
fn messages(amount: usize, of_one: usize) -> usize {
    (amount + of_one / 2) / of_one
}

impl Unread {
    /// Of a worker that has been passed nothing, if a message is charged `of_one`.
    pub(in super::super) fn new(of_one: usize) -> Unread {
        Unread { of_one, ended: false, reset: false }
    }

    /// Whether the worker has closed its end.
    pub(in super::super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Looks how many of `passed` connections the worker has read; never waits.
    pub(in super::super) fn read(
        &mut self,
        worker: impl AsFd,
        passed: usize,
    ) -> Answered {
        let left = match unread(&worker) {
            Ok(amount) => messages(amount, self.of_one).min(passed),
            Err(_) => passed,
        };
        // Only now: once a worker has closed its end, nothing of ours lies there any more,
        // whether it was read or not. If it was not, the end is a reset.
        if !self.reset && !self.listen(worker) {
            return Answered::Nothing;
        }
        match passed - left {
            _ if self.reset => Answered::Failed(nix::errno::Errno::ECONNRESET),
            0 if passed == 0 && self.ended => Answered::End,
            0 => Answered::Nothing,
            read => Answered::Held(read),
        }
    }

    /// Listens whether the worker has closed its end. What it says has no meaning here.
    /// `false` when it goes on and on, so that nothing is known yet.
    fn listen(&mut self, worker: impl AsFd) -> bool {
        let mut ignored = [0; 4096];
        for _ in 0..64 {
            match recv(&worker, &mut ignored[..], RecvFlags::DONTWAIT) {
                Ok((1.., _)) | Err(Errno::INTR) => continue,
                Ok((0, _)) => self.ended = true,
                Err(Errno::CONNRESET) => self.reset = true,
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
    use super::super::super::descriptor::take;
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
        let mut unread = Unread::new(charge_of_one().unwrap());
        assert_eq!(unread.read(&ours, 0), Answered::Nothing);
        for _ in 0..3 {
            pass(&ours, &ours, BYTE).unwrap();
        }
        assert_eq!(unread.read(&ours, 3), Answered::Nothing);
        drop(take(&theirs, BYTE).unwrap());
        assert_eq!(unread.read(&ours, 3), Answered::Held(1));
        assert_eq!(unread.read(&ours, 2), Answered::Nothing);
        drop(theirs);
        for _ in 0..2 {
            assert_eq!(
                unread.read(&ours, 2),
                Answered::Failed(nix::errno::Errno::ECONNRESET)
            );
        }
    }

    #[test]
    fn a_worker_that_read_all_and_left_holds_all() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut unread = Unread::new(charge_of_one().unwrap());
        pass(&ours, &ours, BYTE).unwrap();
        drop(take(&theirs, BYTE).unwrap());
        drop(theirs);
        assert_eq!(unread.read(&ours, 1), Answered::Held(1));
        assert_eq!(unread.read(&ours, 0), Answered::End);
    }
}
