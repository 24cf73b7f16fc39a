//! What partners do with connections: the calls of a client, of a Unix socket or of TCP.

use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use os::calls::poll_until;
use os::proc::{Activity, activity};

use super::partner::Partner;

impl Partner {
    /// Connects to the learner's server.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self) -> Result<OwnedFd> {
        self.call("connect(PLACE)", self.try_to_connect())
    }

    /// The same, without a line in the log: for a server that may not be there yet.
    ///
    /// # Errors
    /// As connect(2).
    pub fn try_to_connect(&self) -> std::io::Result<OwnedFd> {
        let place = self.scene.place();
        if place.starts_with('/') {
            UnixStream::connect(&place).map(OwnedFd::from)
        } else {
            TcpStream::connect(&place).map(OwnedFd::from)
        }
    }

    /// Says that nothing more will come: the peer's recv returns 0.
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn finish(&self, socket: impl AsFd) -> Result<()> {
        self.call("shutdown(SHUT_WR)", shutdown(socket, Shutdown::Write))
    }

    /// Is a client that sends `bytes`, and reads to the end.
    ///
    /// # Errors
    /// As the calls.
    pub fn ask(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let socket = self.connect()?;
        self.write(&socket, bytes, "")?;
        self.finish(&socket)?;
        self.read_to_end(&socket)
    }

    /// Reads `length` bytes, in as many pieces as they come.
    ///
    /// # Errors
    /// As read(2), or when the end comes before.
    pub fn read_exactly(&self, socket: impl AsFd, length: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < length {
            let part = self.read(&socket, length - all.len())?;
            if part.is_empty() {
                return self.wrong("the connection ended before the answer was there");
            }
            all.extend(part);
        }
        Ok(all)
    }

    /// Sends `bytes`, and wants them back; the connection stays open.
    ///
    /// # Errors
    /// As the calls, or when something else comes back.
    pub fn echoed(&self, socket: impl AsFd, bytes: &[u8]) -> Result<()> {
        self.write(&socket, bytes, "")?;
        if self.read_exactly(&socket, bytes.len())? != bytes {
            return self.wrong("what came back is not what was sent");
        }
        Ok(())
    }

    /// Is a client that sends `bytes`, and leaves while the answer is there, unread: the server's
    /// next call with this connection fails.
    ///
    /// # Errors
    /// As the calls.
    pub fn leave_unread(&self, bytes: &[u8]) -> Result<()> {
        let socket = self.connect()?;
        self.write(&socket, bytes, "")?;
        poll_until(&mut [PollFd::new(&socket, PollFlags::IN)], None).context("poll")?;
        drop(socket);
        self.log("close(): the answer is there, and was not read, on purpose");
        Ok(())
    }

    /// Sends without a read until no more goes into the sockets, and the server, whose process is
    /// `pid`, sleeps. How much that was; `None` if it is more than `most`.
    ///
    /// # Errors
    /// As send(2).
    pub fn fill(
        &self,
        socket: impl AsFd,
        pid: nix::unistd::Pid,
        most: usize,
    ) -> Result<Option<usize>> {
        self.log("sends, and does not read, until the sockets are full");
        let (part, mut sent, mut quiet) = ([b'x'; 4096], 0, 0);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while quiet < 10 {
            let asleep = activity(pid) != Activity::Other;
            match send(&socket, &part, flags) {
                Ok(n) => (sent, quiet) = (sent + n, 0),
                Err(rustix::io::Errno::AGAIN) => {
                    quiet = if asleep { quiet + 1 } else { 0 };
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(error) => {
                    return Err(Errno::from_raw(error.raw_os_error()))
                        .context("send");
                }
            }
            if sent > most {
                return Ok(None);
            }
        }
        self.log(&format!("{} are on the way", wire::say::count(sent as u64, "byte")));
        Ok(Some(sent))
    }
}
