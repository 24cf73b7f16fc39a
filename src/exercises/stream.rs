//! What partners do with connections: the calls of a client, of a Unix socket or of TCP.

use std::io::BufRead;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use os::calls::poll_until;
use os::proc::{Activity, activity};
use wire::errors::errno;
use wire::say::count;

use super::partner::Partner;

/// What is said of each way in which a server's end is seen: which of them it is, is chance.
pub(super) const LOST: &str = "the server has ended the connection, or is gone";

/// Whether this is one of those ways.
pub(super) fn is_lost(error: &anyhow::Error) -> bool {
    use Errno::{ECONNREFUSED, ECONNRESET, ENOTCONN};
    matches!(errno(error), Some(ECONNRESET | ECONNREFUSED | ENOTCONN))
}

/// EPIPE of a connection is the same as ECONNRESET.
pub(super) fn lost(fd: impl AsFd, error: Errno) -> Errno {
    let is_socket = rustix::net::sockopt::socket_type(fd).is_ok();
    if error == Errno::EPIPE && is_socket { Errno::ECONNRESET } else { error }
}

/// More than the sockets of one connection hold, and a server needs to keep.
const MOST_KEPT: usize = 32 << 20;

impl Partner {
    /// Connects to the learner's server.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self) -> Result<OwnedFd> {
        self.call("connect(PLACE)", self.try_to_connect())
    }

    /// The same, as soon as the server listens: its name may be there before.
    ///
    /// # Errors
    /// When it does not by the deadline.
    pub fn connect_soon(&self) -> Result<OwnedFd> {
        let listens = || self.try_to_connect().ok();
        let client = self.until("a server that listens", listens)?;
        self.log("connect(PLACE)");
        Ok(client)
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

    /// Stops the learner's process that plays `role`, and waits until it is stopped.
    ///
    /// # Errors
    /// When it has ended.
    pub fn stop_role(&self, role: &str) -> Result<Pid> {
        let pid = self.learner(role)?;
        self.stop(pid, "on purpose; SIGCONT will follow")?;
        Ok(pid)
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

    /// Leaves as a client should: it says that nothing more will come, and reads to the end.
    ///
    /// # Errors
    /// As the calls.
    pub fn leave(&self, socket: OwnedFd) -> Result<()> {
        self.finish(&socket)?;
        self.read_to_end(&socket).map(drop)
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
                return self.wrong(LOST);
            }
            all.extend(part);
        }
        Ok(all)
    }

    /// Reads a line, which the server sends as the answer to one.
    ///
    /// # Errors
    /// As recv(2), or when the end comes before the first byte.
    pub fn answer(&self, mut stream: impl BufRead) -> Result<String> {
        let mut line = String::new();
        self.call("recv()", stream.read_line(&mut line))?;
        if line.is_empty() {
            return self.wrong(LOST);
        }
        Ok(line)
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
        poll_until(&mut [PollFd::new(&socket, PollFlags::IN)], None)
            .context("poll")?;
        drop(socket);
        self.log("close(): the answer is there, and was not read, on purpose");
        Ok(())
    }

    /// Sends `x` without a read until no more goes into the sockets, and the server sleeps. How
    /// many bytes that was.
    ///
    /// # Errors
    /// As send(2), or when the server keeps more.
    pub fn fill(&self, socket: impl AsFd) -> Result<usize> {
        let pid = self.learner("server")?;
        self.log("sends, and does not read, until the sockets are full");
        let (part, mut sent, mut quiet) = ([b'x'; 4096], 0, 0);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while quiet < 200 {
            let asleep = activity(pid) != Activity::Other;
            match send(&socket, &part, flags) {
                Ok(n) => (sent, quiet) = (sent + n, 0),
                Err(rustix::io::Errno::AGAIN) => {
                    // One that does not sleep has had a second, and is found out elsewhere.
                    quiet += if asleep { 20 } else { 1 };
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(error) => {
                    let error = Errno::from_raw(error.raw_os_error());
                    return Err(lost(&socket, error)).context("send");
                }
            }
            if sent > MOST_KEPT {
                // It is not to end by what follows from the partner's end.
                self.stop_role("server")?;
                let sent = count(sent as u64, "byte");
                return self.wrong(&format!(
                    "the server has taken {sent} from a client that reads nothing: at some \
                     point it must not read on"
                ));
            }
        }
        self.log(&format!("{} have gone", count(sent as u64, "byte")));
        Ok(sent)
    }
}
