//! What the two types that carry packets have in common. One send(2) is one packet, and
//! one recvmsg(2) takes one packet: nothing has to mark where a message ends. A packet
//! travels whole or not at all, so there is a largest one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::socket::sockopt::{PassCred, SndBuf};
use nix::sys::socket::{
    MsgFlags, Shutdown, UnixAddr, connect, getsockopt, send, setsockopt, shutdown,
};
use rustix::buffer::spare_capacity;

use os::calls::recv;
use os::memory;
use os::packet::{self, Packet};
use wire::dialogue::Link;
use wire::frame::{CHUNK, Framing, FramingOptions, fits_in_memory};
use wire::roles::MessageSource;
use wire::say;
use wire::say::Commentary;
use wire::shortage::Shortage;

// ANCHOR: receive
/// SO_PASSCRED: each packet that comes brings its sender's pid, uid and gid.
///
/// # Errors
/// As setsockopt(2).
pub fn see_credentials(socket: &OwnedFd) -> Result<()> {
    setsockopt(socket, PassCred, &true).context("setsockopt(SO_PASSCRED)")
}

/// Takes the next packet into `message`, or only its length if that is over `largest`. A
/// packet that has less room than it needs is cut, so its length is asked for first, and no
/// memory is taken for what has not come.
///
/// # Errors
/// As recvmsg(2); ENOMEM for a packet for which there is no memory: it is lost.
pub(super) fn receive(
    socket: &OwnedFd,
    message: &mut Vec<u8>,
    largest: usize,
    flags: MsgFlags,
) -> nix::Result<Packet> {
    let length = packet::next_length(socket, flags.bits())?;
    message.clear();
    message.shrink_to(length.max(CHUNK));
    let room = if length <= largest { room_for(message, length) } else { Ok(()) };
    if room.is_err() {
        *message = Vec::new();
    }
    let received = packet::recvmsg(socket, message, flags.bits())?;
    room.map(|()| received)
}

fn room_for(message: &mut Vec<u8>, length: usize) -> nix::Result<()> {
    memory::reserve(message, length)?;
    fits_in_memory(length).map_err(|_| Errno::ENOMEM)
}
// ANCHOR_END: receive

// ANCHOR: socket
/// A server's end of a connected socket of packets: each call sleeps until it is done. It
/// is also what a bench times, of both ends of a pair, a pair of datagram sockets too.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    largest: usize,
    /// Whether packets may be empty.
    empty: bool,
    /// Whether the largest packet has its memory beforehand, so that no length is asked for.
    preallocated: bool,
    recvs: Commentary,
    sends: Commentary,
}

impl PacketSocket {
    /// A client's end of `socket`, on which packets may have up to `largest` bytes. Whether they
    /// may be `empty` decides which call receives them: recv(2) returns 0 for an empty packet
    /// and at the end, so only recvmsg(2) can tell, by the sender's credentials.
    ///
    /// # Errors
    /// As [`see_credentials`].
    pub fn on(socket: OwnedFd, largest: usize, empty: bool) -> Result<PacketSocket> {
        if empty {
            // Before Linux 6.16, this socket does not inherit it from the listening socket.
            see_credentials(&socket)?;
        }
        let recvs = Commentary::of(if empty { "recvmsg" } else { "recv" });
        let end = PacketSocket::preallocated(socket, largest);
        Ok(PacketSocket { empty, recvs, preallocated: false, ..end })
    }

    /// An end of `socket` that has memory for the largest packet from the start, and so needs
    /// one call a packet. No packet is empty.
    pub fn preallocated(socket: OwnedFd, largest: usize) -> PacketSocket {
        let (recvs, sends) = (Commentary::of("recv"), Commentary::of("send"));
        PacketSocket {
            socket,
            largest,
            empty: false,
            preallocated: true,
            recvs,
            sends,
        }
    }

    /// The same socket, whose commentary names the client.
    #[must_use]
    pub fn with(self, client: &str) -> PacketSocket {
        let (recvs, sends) = (self.recvs.with(client), self.sends.with(client));
        PacketSocket { recvs, sends, ..self }
    }

    /// Replaces `message` by the next packet; `false` once the peer has sent all.
    ///
    /// # Errors
    /// ECONNRESET when the other side is gone with packets unread; a packet that is too large.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let call = if self.empty { "recvmsg" } else { "recv" };
        let taken = loop {
            match self.take(message) {
                Err(Errno::EINTR) => {}
                taken => break taken.context(call)?,
            }
        };
        let Some(n) = taken else {
            let sender = if self.empty { ", and no sender" } else { "" };
            self.recvs.always(0, || {
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
        if self.empty {
            let flags = MsgFlags::empty();
            let packet = receive(&self.socket, message, self.largest, flags)?;
            let ended = packet.length == 0 && packet.sender.is_none();
            return Ok((!ended).then_some(packet.length));
        }
        let room = match self.preallocated {
            true => self.largest,
            false => packet::next_length(&self.socket, 0)?,
        };
        // The packet goes right into memory that nothing has filled before.
        message.clear();
        if room <= self.largest {
            room_for(message, room)?;
        }
        let space = spare_capacity(message);
        let n = recv(&self.socket, space, MsgFlags::MSG_TRUNC)?;
        Ok((n > 0).then_some(n))
    }

    /// Sends `message` as one packet; sleeps while the other side does not read.
    ///
    /// # Errors
    /// EPIPE once the other side is gone.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sends.call(message.len(), || format!("send({})", say::data(message)));
        let fd = self.socket.as_raw_fd();
        let sent = || send(fd, message, MsgFlags::MSG_NOSIGNAL);
        let sent = Shortage::default().retry("send", sent).map(drop);
        self.sends.returned(sent).context("send")
    }
}
// ANCHOR_END: socket

/// The largest packet that a socket sends.
#[derive(Debug, Clone, Copy)]
pub struct PacketLimit {
    /// In bytes.
    pub largest: usize,
    max_message: usize,
    send_buffer: usize,
}

/// What the kernel keeps of the send buffer for itself (unix_dgram_sendmsg).
const KEPT: usize = 32;

impl PacketLimit {
    /// The limit of `socket`, with a send buffer of `wanted` bytes if that was asked for.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn of(
        socket: &OwnedFd,
        wanted: Option<u32>,
        stream: &FramingOptions,
    ) -> Result<PacketLimit> {
        if let Some(wanted) = wanted {
            let wanted = wanted as usize;
            setsockopt(socket, SndBuf, &wanted).context("setsockopt(SO_SNDBUF)")?;
        }
        let send_buffer =
            getsockopt(socket, SndBuf).context("getsockopt(SO_SNDBUF)")?;
        let max_message = stream.largest();
        let largest = max_message.min(send_buffer.saturating_sub(KEPT));
        Ok(PacketLimit { largest, max_message, send_buffer })
    }

    /// Where the limit comes from, and how to raise it.
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
pub struct PacketLink {
    socket: OwnedFd,
    kind: PacketKind,
    limit: PacketLimit,
    /// Whether a packet may be empty.
    empty: bool,
    /// The packet that was received, and its length.
    packet: Vec<u8>,
    arrived: Option<usize>,
    sends: Commentary,
    recvs: Commentary,
}

/// What is different between the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// A connection: it has an end.
    Seqpacket,
    /// No connection, so an empty datagram must say goodbye; the address is the server's.
    Dgram(UnixAddr),
}

impl PacketLink {
    /// The client's end of `socket`, which need not be connected yet.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn new(
        socket: OwnedFd,
        kind: PacketKind,
        send_buffer: Option<u32>,
        stream: &FramingOptions,
    ) -> Result<PacketLink> {
        let limit = PacketLimit::of(&socket, send_buffer, stream)?;
        let (sends, recvs) = (Commentary::of("send"), Commentary::of("recvmsg"));
        let empty = kind == PacketKind::Seqpacket && stream.framing != Framing::None;
        let (packet, arrived) = (Vec::new(), None);
        Ok(PacketLink { socket, kind, limit, empty, packet, arrived, sends, recvs })
    }

    /// The socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Refuses arguments that cannot travel, before the first is sent.
    ///
    /// # Errors
    /// As [`Link::check`].
    pub fn check_all(&self, source: &MessageSource) -> Result<()> {
        source.messages.iter().try_for_each(|message| self.check(message.as_bytes()))
    }
}

// ANCHOR: packets
impl Link for PacketLink {
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        self.sends.call(0, || format!("send({})", say::data(bytes)));
        // All of it or nothing: a packet is never cut.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let taken = send(self.socket.as_raw_fd(), bytes, flags);
        let taken = match taken {
            Err(Errno::EAGAIN | Errno::EINTR) => taken?,
            taken => self.sends.returned(taken)?,
        };
        self.sends.moved(taken);
        Ok(taken)
    }

    fn recv(&mut self) -> nix::Result<bool> {
        let (largest, flags) = (self.limit.max_message, MsgFlags::MSG_DONTWAIT);
        let packet = receive(&self.socket, &mut self.packet, largest, flags)?;
        let n = packet.length;
        if n == 0 && self.kind == PacketKind::Seqpacket && packet.sender.is_none() {
            say!("recvmsg() = 0, and no sender: the end, and not an empty packet");
            return Ok(false);
        }
        if n == 0 && self.kind != PacketKind::Seqpacket {
            say!("recvmsg() = 0: the empty datagram, the server's goodbye");
            return Ok(false);
        }
        let shown = &self.packet;
        self.recvs.call(n, || format!("recvmsg() = {n}: {}", say::bytes(shown)));
        self.arrived = Some(n);
        Ok(true)
    }

    fn goodbye(&mut self) -> nix::Result<()> {
        let fd = self.socket.as_raw_fd();
        match self.kind {
            PacketKind::Seqpacket => {
                say!("shutdown(SHUT_WR): nothing more will come; answers still may");
                shutdown(fd, Shutdown::Write)
            }
            PacketKind::Dgram(_) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(fd, &[], flags)?;
                say!("send(\"\", 0): the empty datagram says goodbye");
                Ok(())
            }
        }
    }

    fn next(&mut self, answer: &mut Vec<u8>, _ended: bool) -> Result<bool> {
        let Some(length) = self.arrived.take() else { return Ok(false) };
        if length > self.limit.max_message {
            bail!("an answer of {} is over --max-message", say::size(length));
        }
        std::mem::swap(answer, &mut self.packet);
        Ok(true)
    }

    fn check(&self, message: &[u8]) -> Result<()> {
        if message.is_empty() && self.kind != PacketKind::Seqpacket {
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
    fn answer_timeout(&self) -> PollTimeout {
        match self.kind {
            PacketKind::Seqpacket => PollTimeout::NONE,
            PacketKind::Dgram(_) => PollTimeout::from(100_u8), // milliseconds
        }
    }

    fn still_there(&mut self) -> nix::Result<()> {
        match &self.kind {
            PacketKind::Seqpacket => Ok(()),
            // To the same socket, connect(2) changes nothing; to a dead one, ECONNREFUSED.
            PacketKind::Dgram(server) => {
                match connect(self.socket.as_raw_fd(), server) {
                    Err(Errno::ENOENT) => Err(Errno::ECONNREFUSED),
                    result => result,
                }
            }
        }
    }
}
// ANCHOR_END: packets

impl AsFd for PacketLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
