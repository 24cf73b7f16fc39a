//! The two halves of a conversation over one connected socket.
//!
//! A client that sends all that it has before it reads can wait for ever: the server
//! waits until its answers are read, the client until its messages are. So the client's
//! loop, [`converse`], asks poll(2) about both directions and never sleeps in send(2) or
//! recv(2). The server's half, [`answer`], may sleep: it owes its client one answer at a
//! time.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{MsgFlags, Shutdown, getsockopt, recv, send, shutdown};
use nix::unistd::read;

use super::frame::{CHUNK, Framing, Incoming, Stream};
use super::payload::{Payload, Printed, Style, write_all};
use super::roles::{Progress, Source, messages};
use super::say::{self, Tally};
use crate::say;

/// The options of every client.
#[derive(Debug, Clone, clap::Args)]
pub struct Client {
    /// What it sends.
    #[command(flatten)]
    pub source: Source,

    /// How messages are told apart.
    #[command(flatten)]
    pub stream: Stream,

    /// What the server was asked for; under `none` no answers are expected
    #[arg(long, value_enum, default_value = "echo")]
    pub reply: Reply,

    /// Write one JSON object an answer
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}

/// The options of every server.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// End once N clients have come and gone
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// What each message is answered with
    #[arg(long, value_enum, default_value = "echo")]
    pub reply: Reply,

    /// How messages are told apart.
    #[command(flatten)]
    pub stream: Stream,

    /// Print exactly the bytes that came, without a newline after each message
    #[arg(long)]
    pub bytes: bool,

    /// Print one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reply {
    /// The message itself
    Echo,
    /// The message in upper case (its ASCII letters)
    Upper,
    /// Nothing
    None,
}

impl Reply {
    /// The answer to `message`, if there is one; `scratch` holds it if it is made.
    pub fn to<'a>(
        self,
        message: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        match self {
            Reply::None => None,
            Reply::Echo => Some(message),
            Reply::Upper => {
                scratch.clear();
                scratch.extend(message.iter().map(u8::to_ascii_uppercase));
                Some(scratch)
            }
        }
    }
}

impl Client {
    /// Refuses arguments that cannot travel on a byte stream, before anything is opened.
    ///
    /// # Errors
    /// As [`Stream::check`].
    pub fn check(&self) -> Result<()> {
        let mut all = self.source.messages.iter();
        all.try_for_each(|message| self.stream.check(message.as_bytes()))
    }
}

impl Server {
    /// Where the server prints what it is sent.
    pub fn payload(&self) -> Payload {
        Payload::new(style(self.bytes, self.json))
    }
}

fn style(bytes: bool, json: bool) -> Style {
    match (bytes, json) {
        (true, _) => Style::Bytes,
        (_, true) => Style::Json,
        _ => Style::Lines,
    }
}

/// A connected socket, as the client's loop uses it. No call sleeps: EAGAIN says "later".
pub trait Link: AsFd {
    /// Refuses a message that cannot travel.
    ///
    /// # Errors
    /// Why not, and what would carry it.
    fn check(&self, message: &[u8]) -> Result<()>;

    /// The largest message, in bytes.
    fn largest(&self) -> usize;

    /// What sets [`Link::largest`], and how to raise it.
    fn limit(&self) -> String;

    /// Whether answers can be counted: without boundaries, one is any number of bytes.
    fn has_boundaries(&self) -> bool;

    /// Replaces `bytes` by `message` as it goes on the wire.
    fn frame(&self, message: &[u8], bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(message);
    }

    /// send(2): how many of `bytes` the kernel took.
    ///
    /// # Errors
    /// As send(2).
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize>;

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// As the call that says it.
    fn goodbye(&mut self) -> nix::Result<()>;

    /// recv(2), once; `false` at the end of all answers.
    ///
    /// # Errors
    /// As recv(2).
    fn recv(&mut self) -> nix::Result<bool>;

    /// Replaces `answer` by the next whole one that has been received, if there is one;
    /// `ended` says that no more will be.
    ///
    /// # Errors
    /// An answer that is too long, or cut short.
    fn next(&mut self, answer: &mut Vec<u8>, ended: bool) -> Result<bool>;

    /// How long poll(2) may wait for the rest of the answers before
    /// [`Link::still_there`] is asked.
    fn patience(&self) -> PollTimeout {
        PollTimeout::NONE
    }

    /// Looks whether the server is still there, for a socket whose poll(2) cannot tell.
    ///
    /// # Errors
    /// What shows that it is gone.
    fn still_there(&mut self) -> nix::Result<()> {
        Ok(())
    }
}

// ANCHOR: link
/// The client's end of a connected stream socket.
#[derive(Debug)]
pub struct StreamLink {
    socket: OwnedFd,
    stream: Stream,
    incoming: Incoming,
    sends: Tally,
    recvs: Tally,
}

impl StreamLink {
    /// The client's end of `socket`, which is connected.
    pub fn new(socket: OwnedFd, stream: &Stream) -> StreamLink {
        let (sends, recvs) = (Tally::of("send"), Tally::of("recv"));
        let incoming = Incoming::new(stream);
        StreamLink { socket, stream: *stream, incoming, sends, recvs }
    }
}

impl Link for StreamLink {
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        let length = bytes.len();
        self.sends.call(0, || format!("send({}, {length})", say::bytes(bytes)));
        // The kernel may take a part, or nothing (EAGAIN). MSG_NOSIGNAL: a server that
        // is gone is the error EPIPE, and not the signal SIGPIPE, which ends a process.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let taken = send(self.socket.as_raw_fd(), bytes, flags)?;
        self.sends.moved(taken);
        Ok(taken)
    }

    fn recv(&mut self) -> nix::Result<bool> {
        let space = self.incoming.space();
        let n = recv(self.socket.as_raw_fd(), space, MsgFlags::MSG_DONTWAIT)?;
        if n == 0 {
            say!("recv() = 0: the server has closed its side");
            return Ok(false);
        }
        self.recvs.call(n, || format!("recv() = {n}: {}", say::bytes(&space[..n])));
        self.incoming.filled(n);
        Ok(true)
    }

    fn goodbye(&mut self) -> nix::Result<()> {
        say!("shutdown(SHUT_WR): nothing more will come; answers still may");
        shutdown(self.socket.as_raw_fd(), Shutdown::Write)
    }

    fn next(&mut self, answer: &mut Vec<u8>, ended: bool) -> Result<bool> {
        Ok(self.incoming.next(answer)? || ended && self.incoming.at_end(answer)?)
    }

    fn frame(&self, message: &[u8], bytes: &mut Vec<u8>) {
        *bytes = self.stream.frame(message, &mut Vec::new()).to_vec();
    }

    fn check(&self, message: &[u8]) -> Result<()> {
        self.stream.check(message)
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn limit(&self) -> String {
        format!("--max-message is {}; raise it there", self.stream.max_message)
    }

    fn has_boundaries(&self) -> bool {
        self.stream.framing != Framing::None
    }
}
// ANCHOR_END: link

impl AsFd for StreamLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

// ANCHOR: converse
/// Sends all that `client` has to say, and prints the answers as they come. The
/// arguments were checked before the socket was opened.
///
/// # Errors
/// A line that cannot travel: what came before it is sent, and its answers are printed.
/// [`CutShort`] when the server ended the conversation first. Standard output that is
/// gone is a quiet end.
pub fn converse(link: impl Link, client: &Client) -> Result<()> {
    let mut talk = Talk::new(link, client);
    loop {
        talk.advance();
        if talk.is_over() {
            return talk.judge();
        }
        let ready = talk.wait()?;
        if ready.input {
            talk.questions.read();
        }
        if ready.send {
            talk.send();
        }
        if ready.recv && talk.receive()? == Printed::NobodyReads {
            return Ok(());
        }
    }
}

/// How far the client is in what it has to say.
enum Stage {
    /// The next message is wanted.
    Asking,
    /// This framed message is on its way; the kernel has taken so much of it.
    Sending(Vec<u8>, usize),
    /// All is said but the goodbye.
    Leaving,
    /// The goodbye is said, or there is nobody left to hear it.
    Left,
}

/// A conversation that is going on.
struct Talk<L> {
    link: L,
    questions: Questions,
    stage: Stage,
    /// Until the end of all answers.
    receiving: bool,
    /// Said poll(2): nobody is there any more.
    hung_up: bool,
    payload: Payload,
    score: CutShort,
    expects: bool,
}

/// What can be done now without sleeping.
struct Ready {
    input: bool,
    send: bool,
    recv: bool,
}

impl<L: Link> Talk<L> {
    fn new(link: L, client: &Client) -> Talk<L> {
        let questions = Questions::new(&client.source, link.largest());
        let score = CutShort::of(&questions, !link.has_boundaries());
        Talk {
            link,
            questions,
            stage: Stage::Asking,
            receiving: true,
            hung_up: false,
            payload: Payload::new(style(client.source.bytes, client.json)),
            score,
            expects: client.reply != Reply::None,
        }
    }

    fn is_over(&self) -> bool {
        !self.receiving && matches!(self.stage, Stage::Left)
    }

    /// Takes the next message, or says goodbye once there is none left.
    fn advance(&mut self) {
        if matches!(self.stage, Stage::Asking) {
            let mut message = Vec::new();
            match self.questions.next(&mut message, &self.link) {
                Next::Later => {}
                Next::End => self.stage = Stage::Leaving,
                Next::Message => {
                    let mut bytes = Vec::new();
                    self.link.frame(&message, &mut bytes);
                    self.stage = Stage::Sending(bytes, 0);
                }
            }
        }
        // A server that is gone cannot be told; whether that matters, `judge` knows.
        if matches!(self.stage, Stage::Leaving)
            && self.link.goodbye() != Err(Errno::EAGAIN)
        {
            self.stage = Stage::Left;
        }
    }

    /// Sleeps in poll(2) until something can be done, in whichever direction.
    fn wait(&mut self) -> Result<Ready> {
        let reading = matches!(self.stage, Stage::Asking);
        let sending = matches!(self.stage, Stage::Sending(..) | Stage::Leaving);
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, self.receiving);
        wanted.set(PollFlags::POLLOUT, sending);
        let stdin = std::io::stdin();
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.link.as_fd(), wanted),
        ];
        // A socket that has hung up is ready at all times: it would never let us sleep.
        let idle = self.hung_up && wanted.is_empty();
        let asked = &mut fds[usize::from(!reading)..2 - usize::from(idle)];
        let left = matches!(self.stage, Stage::Left);
        let patience = if left { self.link.patience() } else { PollTimeout::NONE };
        let timed_out = match poll(asked, patience) {
            Err(Errno::EINTR) => false,
            count => count.context("poll")? == 0,
        };
        let [input, socket] =
            fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let gone = socket.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        if gone && wanted.is_empty() {
            self.hang_up(socket);
        }
        if timed_out && let Err(error) = self.link.still_there() {
            self.failed("wait for the server", error);
            self.receiving = false;
        }
        Ok(Ready {
            input: !input.is_empty(),
            send: sending && (gone || socket.contains(PollFlags::POLLOUT)),
            recv: self.receiving && (gone || socket.contains(PollFlags::POLLIN)),
        })
    }

    /// Hands the kernel what it takes now of the message that is on its way.
    fn send(&mut self) {
        let Stage::Sending(bytes, taken) = &mut self.stage else { return };
        match self.link.send(&bytes[*taken..]) {
            Ok(more) => *taken += more,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(error) => {
                self.score.unsent = true;
                self.failed("send to the server", error);
                self.stage = Stage::Leaving;
                return; // what it had answered before may still be read
            }
        }
        if *taken == bytes.len() {
            self.score.handed += self.score.worth(bytes);
            self.stage = Stage::Asking;
        }
    }

    /// Receives once, and prints the answers that are whole.
    fn receive(&mut self) -> Result<Printed> {
        match self.link.recv() {
            Ok(more) => self.receiving = more,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Printed::Yes),
            Err(error) => {
                self.failed("receive from the server", error);
                self.receiving = false;
            }
        }
        let mut answer = Vec::new();
        while self.link.next(&mut answer, !self.receiving)? {
            self.score.answered += self.score.worth(&answer);
            if self.payload.print(&answer)? == Printed::NobodyReads {
                return Ok(Printed::NobodyReads);
            }
        }
        Ok(Printed::Yes)
    }
}
// ANCHOR_END: converse

impl<L: Link> Talk<L> {
    /// Nothing is on its way, and poll(2) says that the server has closed everything.
    /// What may still come from standard input will fail, so that is the time to fail.
    fn hang_up(&mut self, events: PollFlags) {
        self.hung_up = true;
        if events.contains(PollFlags::POLLERR) {
            let error = getsockopt(&self.link, SocketError).map(Errno::from_raw);
            say!("poll() = POLLERR, SO_ERROR = {error:?}: it was refused");
        } else {
            say!("poll() = POLLHUP: nobody is there any more");
        }
    }

    /// Remembers the first failure: those after it are its echo.
    fn failed(&mut self, call: &'static str, error: Errno) {
        self.score.failure.get_or_insert((call, error));
    }

    /// How it went, once all is over.
    fn judge(self) -> Result<()> {
        let score = self.score;
        let unanswered = match score.bytes {
            true => score.handed > 0 && score.answered == 0,
            false => score.answered < score.handed,
        };
        if score.unsent || self.expects && unanswered {
            return Err(score.into());
        }
        if let Some(refused) = self.questions.refused {
            return Err(refused);
        }
        if !score.bytes {
            say!("done: {} answered", messages(score.answered));
        }
        Ok(())
    }
}

/// The server ended the conversation before it had answered all, or taken all.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.story())]
pub struct CutShort {
    /// The call that failed first, if the server did not just close.
    pub failure: Option<(&'static str, Errno)>,
    /// How many messages there are, where that is known.
    pub all: Option<u64>,
    /// How many of them the kernel took, or how many bytes.
    pub handed: u64,
    /// How many were answered, or how many bytes came back.
    pub answered: u64,
    /// Whether a message could not be sent.
    pub unsent: bool,
    /// Whether it is bytes that are counted, for want of boundaries.
    pub bytes: bool,
}

impl CutShort {
    fn of(questions: &Questions, bytes: bool) -> CutShort {
        let all = questions.input.is_none() && !bytes;
        let all = all.then_some(questions.arguments.len() as u64);
        let (handed, answered, unsent) = (0, 0, false);
        CutShort { failure: None, all, handed, answered, unsent, bytes }
    }

    fn worth(&self, message: &[u8]) -> u64 {
        if self.bytes { message.len() as u64 } else { 1 }
    }

    fn story(&self) -> String {
        let what = match self.failure {
            Some((call, error)) => format!("{call}: {error}"),
            None => "the server closed its side too early".to_owned(),
        };
        let (handed, answered) = (self.handed, say::grouped(self.answered));
        let score = match (self.bytes, self.all) {
            (true, _) => {
                let handed = say::size(handed as usize);
                format!("{handed} handed over, {answered} came back")
            }
            (_, None) => {
                format!("{} handed over, {answered} answered", messages(handed))
            }
            (_, Some(all)) => {
                let (all, handed) = (messages(all), say::grouped(handed));
                format!("of {all}, {handed} handed over, {answered} answered")
            }
        };
        let why = if self.failure.is_none() && self.answered == 0 {
            "; if it was told --reply none, tell the client the same"
        } else {
            ""
        };
        format!("{what}; {score}{why}")
    }
}

/// What a client has to say: its arguments, or standard input in lines or as it is.
struct Questions {
    arguments: std::vec::IntoIter<OsString>,
    input: Option<Incoming>,
    /// How much one read of standard input asks for.
    chunk: usize,
    ended: bool,
    number: u64,
    /// What standard input held that cannot be sent, or why it could not be read.
    refused: Option<anyhow::Error>,
    progress: Option<Progress>,
}

/// What a client does next.
enum Next {
    /// It sends this message.
    Message,
    /// It waits for more of standard input.
    Later,
    /// It has said all.
    End,
}

impl Questions {
    fn new(source: &Source, largest: usize) -> Questions {
        let framing = if source.bytes { Framing::None } else { Framing::Lines };
        let max_message = u32::try_from(largest).unwrap_or(u32::MAX);
        let reads = source.bytes || source.messages.is_empty();
        Questions {
            arguments: source.messages.clone().into_iter(),
            input: reads.then(|| Incoming::new(&Stream { framing, max_message })),
            chunk: if source.bytes { largest.min(CHUNK) } else { CHUNK },
            ended: false,
            number: 0,
            refused: None,
            progress: source.bytes.then(Progress::of_stdin),
        }
    }

    /// Replaces `message` by the next one.
    fn next(&mut self, message: &mut Vec<u8>, link: &impl Link) -> Next {
        let Some(input) = &mut self.input else {
            return match self.arguments.next() {
                None => Next::End,
                Some(word) => {
                    *message = word.into_encoded_bytes();
                    Next::Message
                }
            };
        };
        if self.refused.is_some() {
            return Next::End;
        }
        let found = match input.next(message) {
            Ok(false) if self.ended => input.at_end(message),
            found => found,
        };
        self.number += 1;
        let checked = match found {
            Ok(true) => link.check(message),
            Ok(false) => {
                self.number -= 1;
                return if self.ended { Next::End } else { Next::Later };
            }
            Err(_) => Err(anyhow!("too large: {}", link.limit())),
        };
        match checked {
            Ok(()) => Next::Message,
            Err(error) => {
                self.refused = Some(error.context(format!("line {}", self.number)));
                Next::End
            }
        }
    }

    /// read(2) of standard input, once poll(2) has said that it will not sleep.
    fn read(&mut self) {
        let Some(input) = &mut self.input else { return };
        let space = input.space();
        let most = space.len().min(self.chunk);
        match read(std::io::stdin(), &mut space[..most]) {
            Ok(0) => self.ended = true,
            Ok(n) => {
                input.filled(n);
                self.progress.iter_mut().for_each(|progress| progress.moved(n));
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => {
                self.refused = Some(anyhow!(error).context("read standard input"));
            }
        }
    }
}

// ANCHOR: answer
/// The server's end of a connected stream socket.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    stream: Stream,
    reply: Reply,
    incoming: Incoming,
    frame: Vec<u8>,
    recvs: Tally,
    sends: Tally,
}

/// How a connection ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// The client has said all, and was answered.
    ClientDone,
    /// Nobody reads the server's standard output any more.
    NobodyReads,
}

impl Connection {
    /// The server's end of `socket`, which is connected to `client`, as it is called in
    /// the commentary.
    pub fn new(socket: OwnedFd, server: &Server, client: &str) -> Connection {
        let (stream, reply) = (server.stream, server.reply);
        let (recvs, sends) = (Tally::of("recv"), Tally::of("send"));
        let (recvs, sends) = (recvs.with(client), sends.with(client));
        let (incoming, frame) = (Incoming::new(&stream), Vec::new());
        Connection { socket, stream, reply, incoming, frame, recvs, sends }
    }

    /// Replaces `message` by the client's next one; sleeps until there is one. `false`
    /// once the client has said all.
    ///
    /// # Errors
    /// ECONNRESET when the client is gone with answers unread; a message that is too
    /// long or cut short.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            let space = self.incoming.space();
            let n = match recv(self.socket.as_raw_fd(), space, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                result => result.context("recv")?,
            };
            if n == 0 {
                self.recvs.call(0, || "recv() = 0: the client has said all");
                return self.incoming.at_end(message);
            }
            self.recvs
                .call(n, || format!("recv() = {n}: {}", say::bytes(&space[..n])));
            self.incoming.filled(n);
        }
        Ok(true)
    }

    /// Answers `message`; sleeps while the client does not read.
    ///
    /// # Errors
    /// EPIPE or ECONNRESET when the client is gone.
    pub fn reply(&mut self, message: &[u8]) -> Result<()> {
        let mut made = Vec::new();
        let Some(answer) = self.reply.to(message, &mut made) else { return Ok(()) };
        let bytes = self.stream.frame(answer, &mut self.frame);
        self.sends.call(bytes.len(), || {
            format!("send({}, {})", say::bytes(bytes), bytes.len())
        });
        // On a socket write(2) is send(2) without flags; SIGPIPE is ignored in Rust.
        write_all(&self.socket, bytes).context("send")
    }
}

/// Prints each message of a client and answers it, until the client has said all.
///
/// # Errors
/// What ended the conversation too early. It is this client's affair alone: a server
/// goes on with the next.
pub fn answer(
    mut connection: Connection,
    mut print: impl FnMut(&[u8]) -> Result<Printed>,
) -> Result<Ended> {
    let mut message = Vec::new();
    while connection.next(&mut message)? {
        if print(&message)? == Printed::NobodyReads {
            return Ok(Ended::NobodyReads);
        }
        connection.reply(&message)?;
    }
    Ok(Ended::ClientDone)
}
// ANCHOR_END: answer
