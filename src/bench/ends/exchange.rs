//! An end of a pair, as the loops see it: what it sends goes to the other side, and what
//! it receives came from there.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use crate::job::{OTHER_LEFT, TOO_LARGE};
use chapters::udp::client::{Asking, Await, Came};
use chapters::udp::server::Answering;
use chapters::unix::more::packet::PacketSocket;
use os::cleanup;
use wire::dialogue::Connection;
use wire::errors::errno;
use wire::say::tell;
use wire::transport::{Receiver, Sender};

/// One end of a pair.
pub trait Exchange {
    /// Sends one message; waits while the link is full.
    ///
    /// # Errors
    /// As the mechanism's.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Replaces `bytes` by what has come: one message, or as much of a stream as one read
    /// returned. `false` once the other side has sent its goodbye.
    ///
    /// # Errors
    /// As the mechanism's.
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool>;

    /// Sends the goodbye.
    ///
    /// # Errors
    /// As the mechanism's.
    fn finish(self) -> Result<()>;
}

/// Two one-way links, or one of them.
#[derive(Debug)]
pub struct Links<S, R> {
    /// Where this end sends.
    pub out: Option<S>,
    /// Where it receives.
    pub into: Option<R>,
}

impl<S: Sender, R: Receiver> Exchange for Links<S, R> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.out.as_mut().context("this end only receives")?.send(message)
    }

    #[inline]
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        self.into.as_mut().context("this end only sends")?.recv(bytes)
    }

    fn finish(self) -> Result<()> {
        self.out.map_or(Ok(()), Sender::finish)
    }
}

impl<S: Sender, R: Receiver> Links<S, R> {
    /// Opens both links of one end: `asks` is the side that sends first.
    ///
    /// The first message goes there and back before anything is timed. Some links are open
    /// only once their receiver receives: a FIFO's open(2) sleeps until then, and a
    /// signal's sender waits for an answer to its hello.
    ///
    /// # Errors
    /// As the mechanism's.
    pub fn open(
        asks: bool,
        both: bool,
        sender: impl FnOnce() -> Result<S>,
        receiver: impl FnOnce() -> Result<R>,
    ) -> Result<Links<S, R>> {
        let mut links = Links { out: None, into: None };
        let mut first = Vec::new();
        if asks {
            links.out = Some(sender()?);
            links.send(FIRST)?;
            if both {
                links.into = Some(receiver()?);
                links.recv(&mut first)?;
            }
        } else {
            links.into = Some(receiver()?);
            links.recv(&mut first)?;
            if both {
                links.out = Some(sender()?);
                links.send(FIRST)?;
            }
        }
        if first != FIRST && (both || !asks) {
            bail!("the other side's first message was not {FIRST:?}, but {first:?}");
        }
        Ok(links)
    }
}

impl Exchange for Connection {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Connection::send(self, message)
    }

    #[inline]
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        self.next(bytes)
    }

    fn finish(self) -> Result<()> {
        Ok(()) // closing the socket is the end of the stream
    }
}

impl Exchange for PacketSocket {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match PacketSocket::send(self, message) {
            Err(error) if errno(&error) == Some(Errno::EMSGSIZE) => {
                let length = message.len();
                tell(&format!("a packet of {length} is over SO_SNDBUF\n"));
                cleanup::exit(TOO_LARGE)
            }
            sent => sent,
        }
    }

    #[inline]
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        self.next(bytes)
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}

/// Who only waits for an answer that is lost waits for ever; the figure is none, then.
const LOST: Duration = Duration::from_secs(5);

impl Exchange for Asking {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.pack(message);
        if !Asking::send(self)? {
            bail!(OTHER_LEFT);
        }
        Ok(())
    }

    #[inline]
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        match self.wait(Await::Answer, LOST)? {
            Came::Answer => {
                bytes.clear();
                bytes.extend_from_slice(self.answer());
                Ok(true)
            }
            Came::Nothing => {
                bail!("a datagram was lost: no answer came for {LOST:?}")
            }
            Came::Refused => bail!(OTHER_LEFT),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.goodbye(LOST).map(drop)
    }
}

impl Exchange for Answering {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.answer(message);
        Ok(())
    }

    #[inline]
    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        self.next(bytes)
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}

/// The first message each way: 8 bytes, since a number has no fewer.
const FIRST: &[u8] = b"1st here";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joined::by_udp;

    #[test]
    fn an_answer_that_is_lost_is_no_round_trip_and_a_late_one_no_other() {
        let [a, b] = by_udp(&mut "".into()).unwrap().sockets.unwrap();
        let (mut asks, mut bytes) = (Asking::on(a).unwrap(), Vec::new());
        let mut answers = Answering::on(b, 64, Some(1));
        Exchange::send(&mut asks, b"one").unwrap();
        assert!(answers.recv(&mut bytes).unwrap() && bytes == b"one");
        // It is answered late: after the next was sent.
        Exchange::send(&mut asks, b"two").unwrap();
        Exchange::send(&mut answers, b"late").unwrap();
        let lost = asks.recv(&mut bytes).unwrap_err().to_string();
        assert!(lost.starts_with("a datagram was lost"), "{lost}");
        assert!(answers.recv(&mut bytes).unwrap() && bytes == b"two");
        Exchange::send(&mut answers, b"right").unwrap();
        assert!(asks.recv(&mut bytes).unwrap() && bytes == b"right");
    }
}
