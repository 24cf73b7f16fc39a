//! What the two types that carry packets have in common. One send(2) is one packet, and
//! one recvmsg(2) takes one packet: nothing has to mark where a message ends. A packet
//! travels whole or not at all, so there is a largest one.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::socket::sockopt::{PassCred, SndBuf};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, Shutdown, SockaddrLike, UnixAddr,
    UnixCredentials, connect, getsockopt, recvmsg, send, setsockopt, shutdown,
};
use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};

use crate::say;
use crate::wire::dialogue::Link;
use crate::wire::frame::{Framing, Stream};
use crate::wire::roles::Source;
use crate::wire::say::{self, Tally};

/// The length of an address that holds no name, but the family alone.
const NO_NAME: usize = size_of::<libc::sa_family_t>();

// ANCHOR: receive
/// A packet that has come.
#[derive(Debug)]
pub struct Packet {
    /// Its length in bytes, also when the buffer was too short for it.
    pub length: usize,
    /// Who sent it; the end of a connection is no packet, and has no sender.
    pub sender: Option<UnixCredentials>,
    /// The address to answer to, where there is no connection.
    pub from: Option<UnixAddr>,
}

/// SO_PASSCRED: each packet that comes brings its sender's pid, uid and gid.
///
/// # Errors
/// What setsockopt(2) says.
pub fn see_credentials(socket: &OwnedFd) -> Result<()> {
    setsockopt(socket, PassCred, &true).context("setsockopt(SO_PASSCRED)")
}

/// Memory for a packet and for what comes beside it.
#[derive(Debug)]
pub struct Inbox {
    packet: Vec<u8>,
    control: Vec<u8>,
}

impl Inbox {
    /// Room for packets of up to `largest` bytes.
    pub fn with_room(largest: usize) -> Inbox {
        let control = nix::cmsg_space!(UnixCredentials);
        Inbox { packet: vec![0; largest], control }
    }

    /// recvmsg(2): takes one packet.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(
        &mut self,
        socket: &OwnedFd,
        flags: MsgFlags,
    ) -> nix::Result<Packet> {
        let mut space = [IoSliceMut::new(&mut self.packet)];
        // MSG_TRUNC: the real length, even if there was no room for it, and a part is lost.
        let flags = flags | MsgFlags::MSG_TRUNC | MsgFlags::MSG_CMSG_CLOEXEC;
        let (fd, control) = (socket.as_raw_fd(), Some(self.control.as_mut_slice()));
        let taken = recvmsg::<UnixAddr>(fd, &mut space, control, flags)?;
        let sender = taken.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(sender) => Some(sender),
            _ => None,
        });
        // Of a sender without a name nix makes an address of length 0, on which it panics.
        let from = taken.address.filter(|address| address.len() as usize > NO_NAME);
        Ok(Packet { length: taken.bytes, sender, from })
    }

    /// The last packet, which has `length` bytes; `None` if there was no room for it.
    pub fn packet(&self, length: usize) -> Option<&[u8]> {
        self.packet.get(..length)
    }
}
// ANCHOR_END: receive

// ANCHOR: end
/// A server's end of a connected socket of packets: each call sleeps until it is done. It
/// is also what a bench times, of both ends of a pair, a pair of datagram sockets too.
#[derive(Debug)]
pub struct End {
    socket: OwnedFd,
    largest: usize,
    /// Where packets go that may be empty.
    inbox: Option<Inbox>,
    recvs: Tally,
    sends: Tally,
}

impl End {
    /// An end of `socket`, on which packets may have up to `largest` bytes. Whether they
    /// may be `empty` decides which call receives them: recv(2) says 0 of an empty packet
    /// and of the end, so only recvmsg(2) can tell, for about a tenth more time.
    ///
    /// # Errors
    /// As [`see_credentials`].
    pub fn on(socket: OwnedFd, largest: usize, empty: bool) -> Result<End> {
        if empty {
            // Kernels before 6.16 do not pass it on from the listening socket.
            see_credentials(&socket)?;
        }
        let inbox = empty.then(|| Inbox::with_room(largest));
        let recvs = Tally::of(if empty { "recvmsg" } else { "recv" });
        Ok(End { socket, largest, inbox, recvs, sends: Tally::of("send") })
    }

    /// The same end, which says whose packets they are.
    #[must_use]
    pub fn with(self, client: &str) -> End {
        let (recvs, sends) = (self.recvs.with(client), self.sends.with(client));
        End { recvs, sends, ..self }
    }

    /// Replaces `message` by the next packet; `false` once the other side has said all.
    ///
    /// # Errors
    /// ECONNRESET when it is gone with packets unread; a packet that is too large.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let call = if self.inbox.is_some() { "recvmsg" } else { "recv" };
        let taken = loop {
            match self.take(message) {
                Err(Errno::EINTR) => {}
                taken => break taken.context(call)?,
            }
        };
        let Some(n) = taken else {
            let sender = if self.inbox.is_some() { ", and no sender" } else { "" };
            self.recvs.special(0, || {
                format!("{call}() = 0{sender}: the client has said all")
            });
            return Ok(false);
        };
        if n > self.largest {
            bail!("a packet of {} is over --max-message", say::size(n));
        }
        self.recvs.call(n, || format!("{call}() = {n}: {}", say::bytes(message)));
        Ok(true)
    }

    /// Takes one packet, and returns its length; `None` at the end.
    fn take(&mut self, message: &mut Vec<u8>) -> nix::Result<Option<usize>> {
        message.clear();
        let Some(inbox) = &mut self.inbox else {
            // The packet goes right into memory that nothing has filled before.
            message.reserve(self.largest);
            let space = spare_capacity(message);
            let (_, n) = recv(&self.socket, space, RecvFlags::TRUNC)
                .map_err(|error| Errno::from_raw(error.raw_os_error()))?;
            return Ok((n > 0).then_some(n));
        };
        let packet = inbox.receive(&self.socket, MsgFlags::empty())?;
        if packet.length == 0 && packet.sender.is_none() {
            return Ok(None);
        }
        message.extend_from_slice(inbox.packet(packet.length).unwrap_or_default());
        Ok(Some(packet.length))
    }

    /// Sends `message` as one packet; sleeps while the other side does not read.
    ///
    /// # Errors
    /// EPIPE once it is gone.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        let n = message.len();
        self.sends.call(n, || format!("send({}, {n})", say::bytes(message)));
        let sent = send(self.socket.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
        sent.map(drop).context("send")
    }
}
// ANCHOR_END: end

/// The largest packet that a socket sends.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// In bytes.
    pub largest: usize,
    max_message: usize,
    send_buffer: usize,
}

/// What the kernel keeps of the send buffer for itself (unix_dgram_sendmsg).
const KEPT: usize = 32;

impl Limit {
    /// The limit of `socket`, with a send buffer of `wanted` bytes if that was asked for.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn of(
        socket: &OwnedFd,
        wanted: Option<u32>,
        stream: &Stream,
    ) -> Result<Limit> {
        if let Some(wanted) = wanted {
            let wanted = wanted as usize;
            setsockopt(socket, SndBuf, &wanted).context("setsockopt(SO_SNDBUF)")?;
        }
        let send_buffer =
            getsockopt(socket, SndBuf).context("getsockopt(SO_SNDBUF)")?;
        let max_message = stream.largest();
        let largest = max_message.min(send_buffer.saturating_sub(KEPT));
        Ok(Limit { largest, max_message, send_buffer })
    }

    /// Where it comes from, and how to raise it.
    fn text(&self) -> String {
        if self.largest == self.max_message {
            return format!("--max-message is {}; raise it there", self.max_message);
        }
        format!(
            "a packet holds at most {}, since SO_SNDBUF is {}; raise it by --send-buffer, \
             up to twice net.core.wmem_max",
            say::size(self.largest),
            say::grouped(self.send_buffer as u64)
        )
    }
}

/// The client's end of a socket of packets.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
    kind: Kind,
    limit: Limit,
    /// Whether a packet may be empty.
    empty: bool,
    inbox: Inbox,
    /// The length of the packet in the buffer.
    arrived: Option<usize>,
    sends: Tally,
    recvs: Tally,
}

/// What is different between the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection: it has an end.
    Seqpacket,
    /// None, so an empty datagram must say goodbye; the address is the server's.
    Dgram(UnixAddr),
}

impl Packets {
    /// The client's end of `socket`, which need not be connected yet.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn new(
        socket: OwnedFd,
        kind: Kind,
        send_buffer: Option<u32>,
        stream: &Stream,
    ) -> Result<Packets> {
        let limit = Limit::of(&socket, send_buffer, stream)?;
        let (sends, recvs) = (Tally::of("send"), Tally::of("recvmsg"));
        let empty = kind == Kind::Seqpacket && stream.framing != Framing::None;
        let (inbox, arrived) = (Inbox::with_room(limit.max_message), None);
        Ok(Packets { socket, kind, limit, empty, inbox, arrived, sends, recvs })
    }

    /// The socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Refuses arguments that cannot travel, before the first is sent.
    ///
    /// # Errors
    /// As [`Link::check`].
    pub fn check_all(&self, source: &Source) -> Result<()> {
        source.messages.iter().try_for_each(|message| self.check(message.as_bytes()))
    }
}

// ANCHOR: packets
impl Link for Packets {
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        let length = bytes.len();
        self.sends.call(0, || format!("send({}, {length})", say::bytes(bytes)));
        // All of it or nothing: a packet is never cut.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let taken = send(self.socket.as_raw_fd(), bytes, flags)?;
        self.sends.moved(taken);
        Ok(taken)
    }

    fn recv(&mut self) -> nix::Result<bool> {
        let packet = self.inbox.receive(&self.socket, MsgFlags::MSG_DONTWAIT)?;
        let n = packet.length;
        if n == 0 && self.kind == Kind::Seqpacket && packet.sender.is_none() {
            say!("recvmsg() = 0, and no sender: the end, and not an empty packet");
            return Ok(false);
        }
        if n == 0 && self.kind != Kind::Seqpacket {
            say!("recvmsg() = 0: the empty datagram, the server's goodbye");
            return Ok(false);
        }
        let shown = self.inbox.packet(n).unwrap_or_default();
        self.recvs.call(n, || format!("recvmsg() = {n}: {}", say::bytes(shown)));
        self.arrived = Some(n);
        Ok(true)
    }

    fn goodbye(&mut self) -> nix::Result<()> {
        let fd = self.socket.as_raw_fd();
        match self.kind {
            Kind::Seqpacket => {
                say!("shutdown(SHUT_WR): nothing more will come; answers still may");
                shutdown(fd, Shutdown::Write)
            }
            Kind::Dgram(_) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(fd, &[], flags)?;
                say!("send(\"\", 0): the empty datagram says goodbye");
                Ok(())
            }
        }
    }

    fn next(&mut self, answer: &mut Vec<u8>, _ended: bool) -> Result<bool> {
        let Some(length) = self.arrived.take() else { return Ok(false) };
        let Some(packet) = self.inbox.packet(length) else {
            bail!("an answer of {} is over --max-message", say::size(length));
        };
        answer.clear();
        answer.extend_from_slice(packet);
        Ok(true)
    }

    fn check(&self, message: &[u8]) -> Result<()> {
        if message.is_empty() && self.kind != Kind::Seqpacket {
            bail!(
                "an empty datagram says goodbye; --type seqpacket has empty messages"
            );
        }
        if message.is_empty() && !self.empty {
            bail!(
                "without framing an empty message is nothing; use another --framing"
            );
        }
        if message.len() > self.limit.largest {
            let size = say::size(message.len());
            bail!("a message of {size} is too large: {}", self.limit.text());
        }
        Ok(())
    }

    fn largest(&self) -> usize {
        self.limit.largest
    }

    fn limit(&self) -> String {
        self.limit.text()
    }

    fn has_boundaries(&self) -> bool {
        true
    }

    /// A datagram socket does not learn that its peer is gone, unless it sends.
    fn patience(&self) -> PollTimeout {
        match self.kind {
            Kind::Seqpacket => PollTimeout::NONE,
            Kind::Dgram(_) => PollTimeout::from(100_u8), // milliseconds
        }
    }

    fn still_there(&mut self) -> nix::Result<()> {
        match &self.kind {
            Kind::Seqpacket => Ok(()),
            // To the same socket it changes nothing; to a dead one, ECONNREFUSED.
            Kind::Dgram(server) => match connect(self.socket.as_raw_fd(), server) {
                Err(Errno::ENOENT) => Err(Errno::ECONNREFUSED),
                result => result,
            },
        }
    }
}
// ANCHOR_END: packets

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
