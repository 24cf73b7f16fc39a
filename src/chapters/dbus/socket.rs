//! The bytes under the messages: recv(2) and send(2) on a Unix socket.
//!
//! zbus makes messages of bytes and bytes of messages, and would drive the socket itself. Here
//! this file drives it, so that each message can be shown, and so that no peer can make us wait
//! for the rest of a message, or take as much memory as the peer likes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use zbus::Message;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::message::{Flags, Type};

use super::{handshake, unknown, wording};
use os::cleanup::without_signals;
use wire::say::{self, Commentary};

#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/dbus.rs"]
pub(crate) mod fuzz;

/// The fixed part of a message's header, in bytes.
const FIXED: usize = 16;

/// The longest message that D-Bus allows, in bytes.
pub const LONGEST: usize = 128 << 20;

// ANCHOR: recv
/// Receives one whole message; `None` at the end of the stream. Its beginning may take for
/// ever, since no peer has to send anything; the rest of it may not.
fn receive(
    socket: &UnixStream,
    longest: usize,
    patience: Duration,
) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; FIXED];
    socket.set_read_timeout(None)?;
    let begun = loop {
        match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            // The peer left with something unread: it sends nothing more, either.
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(begun) => break begun,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let deadline = Instant::now() + patience;
    handshake::read(socket, &mut message[begun..], deadline)?;
    let number = |at: usize| {
        let bytes = [message[at], message[at + 1], message[at + 2], message[at + 3]];
        match message[0] {
            b'l' => Some(u64::from(u32::from_le_bytes(bytes))),
            b'B' => Some(u64::from(u32::from_be_bytes(bytes))),
            _ => None,
        }
    };
    let refuse = |why| Err(io::Error::new(ErrorKind::InvalidData, why));
    let (Some(body), Some(fields)) = (number(4), number(12)) else {
        return refuse(format!("a message that begins with {:#04x}", message[0]));
    };
    // The body begins at a multiple of 8. What the peer claims is only believed once it
    // has been compared: so much memory is asked for, and no more.
    let length = FIXED as u64 + fields.next_multiple_of(8) + body;
    if length > longest as u64 {
        let (length, longest) = (say::grouped(length), say::size(longest));
        return refuse(format!(
            "a message of {length} bytes, where {longest} are the most"
        ));
    }
    message.resize(length as usize, 0);
    handshake::read(socket, &mut message[FIXED..], deadline)?;
    Ok(Some(message))
}
// ANCHOR_END: recv

/// A socket that carries messages.
#[derive(Debug)]
pub struct MessageSocket {
    socket: Arc<UnixStream>,
    inbox: Arc<Inbox>,
    name: String,
}

impl MessageSocket {
    /// Takes over a socket whose handshake is done. A message may have at most `longest`
    /// bytes, and take `patience` from its first byte to its last; so may a send(2) that
    /// waits for room. `name` begins each line of commentary, if it is not empty.
    ///
    /// # Errors
    /// EAGAIN at the limit of threads.
    pub fn new(
        socket: UnixStream,
        longest: usize,
        patience: Duration,
        name: &str,
    ) -> anyhow::Result<MessageSocket> {
        socket.set_write_timeout(Some(patience)).context("SO_SNDTIMEO")?;
        let (socket, inbox) = (Arc::new(socket), Arc::new(Inbox::default()));
        let (from, to) = (socket.clone(), inbox.clone());
        let reader = move || {
            while let Some(received) = receive(&from, longest, patience).transpose()
            {
                let Some(received) =
                    received.map(unknown::without_unknown).transpose()
                else {
                    continue; // of a type that we do not know
                };
                let failed = received.is_err();
                if !to.put(received) || failed {
                    return;
                }
            }
            to.end();
        };
        // The thread inherits a mask that holds off all signals: they are for the main
        // thread, which knows when they would come at a bad time.
        let spawn = || thread::Builder::new().name("recv".into()).spawn(reader);
        without_signals(spawn).context("clone a thread that receives")?;
        Ok(MessageSocket { socket, inbox, name: name.to_owned() })
    }

    /// The inbox, for later: it says why the connection ended, once the connection has.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }
}

impl Socket for MessageSocket {
    type ReadHalf = MessageReceiver;
    type WriteHalf = MessageSender;

    fn split(self) -> Split<MessageReceiver, MessageSender> {
        let commentary = |call| {
            let commentary = Commentary::of(call).naming(12);
            if self.name.is_empty() {
                commentary
            } else {
                commentary.with(&self.name)
            }
        };
        let (received, sent) = (commentary("recv"), commentary("send"));
        let (socket, inbox) = (self.socket.clone(), self.inbox.clone());
        let sender = MessageSender { socket, inbox, sent };
        let bytes = ReceivedBytes { socket: self.socket, inbox: self.inbox };
        Split::new(MessageReceiver { bytes, received }, sender)
    }
}

/// Where the thread that receives leaves each message for zbus, which must not sleep in recv(2).
/// It holds one message; the next is received once zbus has taken this one.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<InboxState>,
    taken: Condvar,
}

#[derive(Debug, Default)]
struct InboxState {
    bytes: VecDeque<u8>,
    /// Calls that are not answered yet.
    unanswered: u64,
    ended: bool,
    why: Option<String>,
    /// Nothing takes the messages any more.
    closed: bool,
    waker: Option<Waker>,
}

impl InboxState {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().expect("no panic while it is held")
    }

    /// Leaves a message, and waits until it was taken; `false` if it never will be.
    fn put(&self, received: io::Result<Vec<u8>>) -> bool {
        let mut state = self.state();
        match received {
            Ok(message) => state.bytes.extend(message),
            Err(error) => {
                state.ended = true;
                state.unanswered = 0; // a peer that breaks the rules gets no reply
                state.why.get_or_insert(error.to_string());
            }
        }
        state.wake();
        while !state.bytes.is_empty() && !state.closed {
            state = self.taken.wait(state).expect("no panic while it is held");
        }
        !state.closed
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.wake();
    }

    /// Takes bytes. A peer that will send no more still gets its replies: until they are sent,
    /// zbus does not see the end of the stream.
    fn poll(&self, buffer: &mut [u8], context: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state();
        if state.bytes.is_empty() && !(state.ended && state.unanswered == 0) {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(state.bytes.len());
        for (to, from) in buffer.iter_mut().zip(state.bytes.drain(..count)) {
            *to = from;
        }
        if state.bytes.is_empty() {
            self.taken.notify_one();
        }
        Poll::Ready(count)
    }

    /// Why the connection ended, unless the peer just left.
    pub fn why(&self) -> Option<String> {
        self.state().why.clone()
    }

    /// Notes why the connection ended; the first reason counts.
    pub fn note_reason(&self, error: &impl ToString) {
        self.state().why.get_or_insert(error.to_string());
    }
}

/// The receiving half. All it adds to the bytes is the commentary.
#[derive(Debug)]
pub struct MessageReceiver {
    bytes: ReceivedBytes,
    received: Commentary,
}

#[async_trait]
impl ReadHalf for MessageReceiver {
    async fn receive_message(
        &mut self,
        number: u64,
        bytes: &mut Vec<u8>,
        fds: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        let inbox = self.bytes.inbox.clone();
        let received = self.bytes.receive_message(number, bytes, fds).await;
        match &received {
            Ok(message) => {
                let header = message.header();
                let flags = header.primary().flags();
                if message.message_type() == Type::MethodCall
                    && !flags.contains(Flags::NO_REPLY_EXPECTED)
                {
                    inbox.state().unanswered += 1;
                }
                let size = message.data().len();
                self.received.call(size, || {
                    format!("recv() = {size}: {}", wording::of(message))
                });
            }
            // An end of the stream is an error to zbus, and none to us.
            Err(_) if inbox.state().ended => {}
            Err(error) => {
                inbox.note_reason(&format!("not a D-Bus message: {error}"))
            }
        }
        received
    }
}

/// Bytes for zbus to make messages of.
#[derive(Debug)]
struct ReceivedBytes {
    socket: Arc<UnixStream>,
    inbox: Arc<Inbox>,
}

#[async_trait]
impl ReadHalf for ReceivedBytes {
    async fn recvmsg(
        &mut self,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Vec<OwnedFd>)> {
        let count = poll_fn(|context| self.inbox.poll(buffer, context)).await;
        Ok((count, Vec::new()))
    }
}

impl Drop for ReceivedBytes {
    fn drop(&mut self) {
        self.inbox.state().closed = true;
        self.inbox.taken.notify_one();
        let _ = self.socket.shutdown(Shutdown::Both); // ends the thread's recv(2)
    }
}

/// The sending half.
#[derive(Debug)]
pub struct MessageSender {
    socket: Arc<UnixStream>,
    inbox: Arc<Inbox>,
    sent: Commentary,
}

// ANCHOR: send
#[async_trait]
impl WriteHalf for MessageSender {
    /// Sends one whole message. It may sleep: the thread serves this one connection.
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let bytes = message.data().bytes();
        let size = bytes.len();
        self.sent.call(size, || format!("send({size}): {}", wording::of(message)));
        let result = handshake::send_all(&self.socket, bytes);
        let mut state = self.inbox.state();
        if let Type::MethodReturn | Type::Error = message.message_type() {
            state.unanswered = state.unanswered.saturating_sub(1);
        }
        if let Err(error) = &result {
            // A part of the message may be sent, so nothing can follow.
            if error.kind() != ErrorKind::BrokenPipe {
                state.why.get_or_insert(format!("send(): {error}"));
            }
            (state.ended, state.unanswered) = (true, 0);
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        state.wake();
        Ok(result?)
    }

    async fn sendmsg(
        &mut self,
        bytes: &[u8],
        _: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        handshake::send_all(&self.socket, bytes).map(|()| bytes.len())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }
}
// ANCHOR_END: send
