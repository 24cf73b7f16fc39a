//! The wire of Python's multiprocessing.connection, on a Unix stream socket: a handshake
//! by a common key, the worker's pid as a pickle, then one byte 1 with one descriptor for
//! each connection (send_handle). A worker answers nothing. That it has read a descriptor
//! is known from the kernel alone.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

pub(super) use self::fate::was_taken;
use self::frame::{Frame, framed};
use self::handshake::Handshake;
pub(super) use self::handshake::{Rules, Side};
pub(super) use self::key::Key;
use super::descriptor::pass;
use super::plain::Answered;
use crate::os::unread::unread;

mod fate;
mod frame;
mod handshake;
mod key;

/// The byte that a descriptor travels with: how many descriptors there are.
pub(super) const BYTE: u8 = 1;

// ANCHOR: pid
/// `pid` as Python's `Connection.send(os.getpid())` sends it: a frame with a pickle of
/// protocol 4 in it.
fn pickled(pid: i32) -> Vec<u8> {
    let [a, b, c, d] = pid.to_le_bytes();
    let value: &[u8] = match pid {
        0..=0xff => &[b'K', a],
        0x100..=0xffff => &[b'M', a, b],
        _ => &[b'J', a, b, c, d],
    };
    let mut pickle = vec![0x80, 4];
    let body = [value, b"."].concat();
    // A body of less than four bytes goes without the length before it.
    if body.len() >= 4 {
        pickle.push(0x95);
        pickle.extend((body.len() as u64).to_le_bytes());
    }
    pickle.extend(body);
    framed(&pickle)
}

/// The pid in a pickle: of protocol 2 to 5, and of one small integer. Nothing else that a
/// pickle can say is done.
fn unpickled(pickle: &[u8]) -> Option<i32> {
    let [0x80, 2..=5, body @ ..] = pickle else { return None };
    let body = match body {
        [0x95, rest @ ..] => {
            let (length, body) = rest.split_first_chunk::<8>()?;
            (u64::from_le_bytes(*length) == body.len() as u64).then_some(body)?
        }
        body => body,
    };
    let pid = match *body {
        [b'K', a, b'.'] => i32::from(a),
        [b'M', a, b, b'.'] => i32::from(u16::from_le_bytes([a, b])),
        [b'J', a, b, c, d, b'.'] => i32::from_le_bytes([a, b, c, d]),
        _ => return None,
    };
    (pid > 0).then_some(pid)
}
// ANCHOR_END: pid

// ANCHOR: greeting
/// A peer that is about to make itself known.
#[derive(Debug)]
pub(super) struct Greeting {
    frame: Frame,
    handshake: Option<Handshake>,
    side: Side,
    deadline: Option<Instant>,
}

impl Greeting {
    /// Begins to greet the peer at the other end of `socket`, called `who`. Without rules
    /// there is no handshake, as for Python's `Listener(path)` without an authkey.
    pub(super) fn begin(
        socket: impl AsFd,
        side: Side,
        who: &str,
        rules: Option<&Rules>,
        within: Duration,
    ) -> Result<Greeting> {
        let begun = rules.map(|rules| Handshake::begin(rules, side, who));
        let handshake = match begun.transpose()? {
            Some((handshake, first)) => {
                say_to(&socket, &first)?;
                Some(handshake)
            }
            None => None,
        };
        let deadline = Instant::now().checked_add(within);
        Ok(Greeting { frame: Frame::default(), handshake, side, deadline })
    }

    /// When it must have made itself known.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Goes on with what has come; `true` once both know each other. Never waits.
    ///
    /// # Errors
    /// A peer that is refused.
    pub(super) fn go_on(&mut self, socket: impl AsFd) -> Result<bool> {
        while self.handshake.is_some() || self.side == Side::Listener {
            let Some(frame) = self.frame.read(&socket)? else { return Ok(false) };
            let Some(handshake) = &mut self.handshake else {
                // Whose pid it is, the kernel has told us; this one is believed by none.
                ensure!(unpickled(&frame).is_some(), "it sent no pid");
                return Ok(true);
            };
            let mut reply = Vec::new();
            let done = handshake.take(&frame, &mut reply);
            say_to(&socket, &reply)?;
            if done? {
                self.handshake = None;
            }
        }
        say_to(&socket, &pickled(std::process::id() as i32))?;
        Ok(true)
    }
}

/// Sends one frame, at once or not at all: so little fits, unless the peer reads nothing.
fn say_to(socket: impl AsFd, frame: &[u8]) -> Result<()> {
    if !frame.is_empty() {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(socket, frame, flags).context("send")?;
    }
    Ok(())
}
// ANCHOR_END: greeting

// ANCHOR: unread
/// What a worker has read of that which it was passed. It tells us nothing; the kernel
/// does.
#[derive(Debug)]
pub(super) struct Unread {
    /// What the kernel charges for one of our messages that lies unread.
    of_one: usize,
    /// It has closed its end.
    ended: bool,
    /// With something unread. recv(2) says so only once.
    reset: bool,
}

/// What the kernel charges for one of our messages that lies unread: asked by a message to
/// ourselves.
pub(super) fn charge_of_one() -> Result<usize> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    pass(&ours, &theirs, BYTE).context("sendmsg")?;
    let charge = unread(&ours).context("ioctl(SIOCOUTQ)")?;
    Ok(charge.max(1))
}

impl Unread {
    /// Of a worker that has been passed nothing, if a message is charged `of_one`.
    pub(super) fn new(of_one: usize) -> Unread {
        Unread { of_one, ended: false, reset: false }
    }

    /// Whether the worker has closed its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Looks how many of `passed` connections the worker has read; never waits.
    pub(super) fn read(&mut self, worker: impl AsFd, passed: usize) -> Answered {
        let left = match unread(&worker) {
            Ok(amount) => amount.div_ceil(self.of_one).min(passed),
            Err(_) => passed,
        };
        // Only now: once a worker has closed its end, nothing of ours lies there any more,
        // whether it was read or not. If it was not, the end is a reset.
        if !self.reset && !self.listen(worker) {
            return Answered::Nothing;
        }
        match passed - left {
            _ if self.reset => Answered::Failed(Errno::CONNRESET),
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

// ANCHOR: meet
/// Makes ourselves known to the server at the other end of `socket`, and it to us.
///
/// # Errors
/// A server that is refused, or that refuses us, or that says nothing `within` the time.
pub(super) fn meet(
    socket: &OwnedFd,
    rules: Option<&Rules>,
    within: Duration,
) -> Result<()> {
    let who = "the server";
    let mut greeting = Greeting::begin(socket, Side::Client, who, rules, within)?;
    while !greeting.go_on(socket)? {
        let left =
            greeting.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().context("poll")?;
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], left.as_ref()) {
            Ok(0) => bail!("{}", late(within)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
    }
    Ok(())
}
// ANCHOR_END: meet

/// What is said of a peer that did not make itself known in time.
pub(super) fn late(within: Duration) -> String {
    let seconds = within.as_secs_f64();
    format!("no handshake within {seconds} s; --handshake-timeout sets the time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_pickled_as_python_does() {
        for (pid, pickle) in [
            (5, &b"\x80\x04K\x05."[..]),
            (300, b"\x80\x04\x95\x04\0\0\0\0\0\0\0M,\x01."),
            (70_000, b"\x80\x04\x95\x06\0\0\0\0\0\0\0Jp\x11\x01\0."),
        ] {
            assert_eq!(pickled(pid), framed(pickle));
            assert_eq!(unpickled(pickle), Some(pid));
            let newer = [&[0x80, 5], &pickle[2..]].concat();
            assert_eq!(unpickled(&newer), Some(pid));
            for end in 0..pickle.len() {
                assert_eq!(unpickled(&pickle[..end]), None);
            }
        }
        for wrong in
            [&b"\x80\x06K\x05."[..], b"\x80\x04K\0.", b"\x80\x04J\xff\xff\xff\xff."]
        {
            assert_eq!(unpickled(wrong), None);
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
        drop(super::super::descriptor::take(&theirs, BYTE).unwrap());
        assert_eq!(unread.read(&ours, 3), Answered::Held(1));
        assert_eq!(unread.read(&ours, 2), Answered::Nothing);
        drop(theirs);
        for _ in 0..2 {
            assert_eq!(unread.read(&ours, 2), Answered::Failed(Errno::CONNRESET));
        }
    }

    #[test]
    fn a_worker_that_read_all_and_left_holds_all() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut unread = Unread::new(charge_of_one().unwrap());
        pass(&ours, &ours, BYTE).unwrap();
        drop(super::super::descriptor::take(&theirs, BYTE).unwrap());
        drop(theirs);
        assert_eq!(unread.read(&ours, 1), Answered::Held(1));
        assert_eq!(unread.read(&ours, 0), Answered::End);
    }
}
