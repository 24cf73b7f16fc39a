//! One client of the load: what it sends, and whether what comes back is that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// How long a message is, in bytes.
pub(in super::super) const SIZE: usize = 64;

/// A connected client that waits for at most one answer.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    number: u64,
    sequence: u64,
    message: [u8; SIZE],
    /// How much of the answer has come.
    came: usize,
    /// When its request went, in nanoseconds.
    pub(super) sent: u64,
}

impl Client {
    /// The client `number` at the other end of `socket`, which does not block.
    pub(super) fn new(socket: OwnedFd, number: u64) -> Client {
        let message = [0; SIZE];
        Client { socket, number, sequence: 0, message, came: 0, sent: 0 }
    }

    /// Sends the next message, unlike any before it.
    ///
    /// # Errors
    /// EPIPE or ECONNRESET when the server is gone.
    pub(super) fn ask(&mut self, now: u64) -> Result<()> {
        self.sequence += 1;
        fill(&mut self.message, self.number, self.sequence);
        (self.came, self.sent) = (0, now);
        let sent = send(&self.socket, &self.message, SendFlags::NOSIGNAL);
        let sent =
            sent.with_context(|| format!("send of client {}", self.number))?;
        // It waits for nothing else, so there is always room for the whole.
        ensure!(
            sent == SIZE,
            "send of client {}: {sent} of {SIZE} bytes",
            self.number
        );
        Ok(())
    }

    /// Takes what has come; whether that is the whole answer now.
    ///
    /// # Errors
    /// When the server has closed the connection, or answers something else.
    pub(super) fn take(&mut self) -> Result<bool> {
        // One byte more than the answer has, to see what is too much.
        let mut answer = [0; SIZE + 1];
        let room = &mut answer[..=SIZE - self.came];
        let n = match recv(&self.socket, room, RecvFlags::empty()) {
            Ok((0, _)) => {
                bail!(
                    "recv of client {}: the server closed the connection",
                    self.number
                )
            }
            Ok((n, _)) => n,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("recv of client {}", self.number));
            }
        };
        let owed = self.message.get(self.came..self.came + n);
        ensure!(
            owed == Some(&answer[..n]),
            "client {}: the answer to request {} is another than what it sent",
            self.number,
            self.sequence
        );
        self.came += n;
        Ok(self.came == SIZE)
    }

    /// Whether it has nothing to read, as it must be while it asks nothing.
    pub(super) fn is_silent(&self) -> bool {
        let peeked = recv(&self.socket, &mut [0; 1], RecvFlags::PEEK);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes the message that is `client`'s `sequence`th: eight words, each mixed from both
/// numbers and its index (splitmix64), and no newline but at the end: a line of text to
/// servers that read lines.
fn fill(message: &mut [u8; SIZE], client: u64, sequence: u64) {
    let seed = (client << 40) ^ sequence;
    for (index, word) in message.chunks_exact_mut(8).enumerate() {
        let mut mixed = seed
            .wrapping_mul(8)
            .wrapping_add(index as u64 + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed |= 0x8080_8080_8080_8080;
        word.copy_from_slice(&mixed.to_le_bytes());
    }
    message[SIZE - 1] = b'\n';
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Client::new(ours.into(), 3), theirs)
    }

    #[test]
    fn no_two_messages_are_alike_and_each_is_one_line() {
        let mut seen = std::collections::HashSet::new();
        for client in 0..10 {
            for sequence in 0..1000 {
                let mut message = [0; SIZE];
                fill(&mut message, client, sequence);
                assert_eq!(message.iter().position(|b| *b == b'\n'), Some(SIZE - 1));
                assert!(seen.insert(message));
            }
        }
    }

    #[test]
    fn an_answer_may_come_in_parts() {
        let (mut client, mut server) = pair();
        assert!(client.is_silent());
        client.ask(1).unwrap();
        let mut asked = [0; SIZE];
        server.read_exact(&mut asked).unwrap();
        assert!(!client.take().unwrap(), "nothing has come");
        server.write_all(&asked[..20]).unwrap();
        assert!(!client.take().unwrap() && client.is_silent());
        server.write_all(&asked[20..]).unwrap();
        assert!(client.take().unwrap());
        client.ask(2).unwrap();
        let mut next = [0; SIZE];
        server.read_exact(&mut next).unwrap();
        assert_ne!(asked, next);
        // The answer to the request before it, once more.
        server.write_all(&asked).unwrap();
        let wrong = client.take().unwrap_err().to_string();
        assert!(wrong.contains("the answer to request 2 is another"), "{wrong}");
    }

    #[test]
    fn a_byte_too_many_and_a_server_that_leaves_are_told() {
        let (mut client, mut server) = pair();
        client.ask(1).unwrap();
        let mut asked = [0; SIZE];
        server.read_exact(&mut asked).unwrap();
        server.write_all(&asked).unwrap();
        server.write_all(b"x").unwrap();
        assert!(client.take().unwrap_err().to_string().contains("is another"));
        let (mut client, server) = pair();
        client.ask(1).unwrap();
        drop(server);
        let gone = format!("{:#}", client.take().unwrap_err());
        assert!(gone.starts_with("recv of client 3"), "{gone}");
        assert!(!client.is_silent());
    }
}
