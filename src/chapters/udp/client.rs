//! The client: sends a message until it is answered, and then the next. What it does here by
//! hand, TCP does in the kernel: number what is sent, send it again, drop what comes twice.

use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::ADDRESS;
use super::datagram::{self, pack, unpack};
use wire::address::udp::{candidates, connect_udp};
use wire::address::{Addresses, RetryDelay, resolve};
use wire::dialogue::{self, Reply, Truncated};
use wire::errors::Advise;
use wire::meet::Rendezvous;
use wire::payload::Printed;
use wire::roles::{Lines, MessageSource, Progress, messages, within};
use wire::say;
use wire::say::Commentary;
use wire::shortage::Shortage;
use wire::standard::{self, Input};
use wire::transfer::read;

/// The options of `udp client`.
#[derive(Debug, clap::Args)]
pub struct UdpClientOptions {
    /// The server's address, or a relay's; if none is given, the one that a server has published
    /// here, or else 127.0.0.1:7777
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    connect: Option<String>,

    /// Send a message at most N times, if the server has answered before
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,

    #[command(flatten)]
    client: dialogue::Client,
}

/// Plays the client.
pub(super) fn talk(
    rendezvous: &Rendezvous,
    options: &UdpClientOptions,
) -> Result<()> {
    let client = &options.client;
    datagram::check(&client.stream)?;
    client.check_streams()?;
    let largest = datagram::largest(&client.stream);
    let limit = datagram::limit(&client.stream);
    for message in &client.source.messages {
        within(largest, message.len()).advise(|_| Some(&limit))?;
    }
    let mut payload = client.payload()?;
    let mut talk = Talk::new(rendezvous, options)?;
    if client.source.reads_input() {
        say::typing(!client.source.bytes);
    }
    let sent = each_message(&client.source, (largest, &limit), |message| {
        if client.reply == Reply::None {
            return talk.tell(message).map(|()| Printed::Yes);
        }
        payload.print(talk.ask(message)?)
    });
    let left = talk.goodbye();
    sent.and(left)
}

/// Gives each message of `source` to `send`, until standard output has no reader any more. Each
/// has at most so many bytes, for that reason.
fn each_message(
    source: &MessageSource,
    (largest, limit): (usize, &str),
    mut send: impl FnMut(&[u8]) -> Result<Printed>,
) -> Result<()> {
    if !source.reads_input() {
        for message in &source.messages {
            if send(message.as_encoded_bytes())? == Printed::NoReader {
                break;
            }
        }
        return Ok(());
    }
    let mut message = Vec::new();
    if !source.bytes {
        let mut lines = Lines::new(Input::buffered()?);
        while lines.next(&mut message, largest).advise(|_| Some(limit))? {
            if send(&message)? == Printed::NoReader {
                break;
            }
        }
        return Ok(());
    }
    let (stdin, mut progress) = (standard::input()?, Progress::of_stdin());
    message.resize(largest, 0);
    loop {
        let n = read(stdin, &mut message).map_err(standard::unread)?;
        if n == 0 || send(&message[..n])? == Printed::NoReader {
            return Ok(());
        }
        progress.moved(n);
    }
}

/// How long the first wait for an answer is; each further one is twice as long. TCP, too, waits
/// for 0.2 s at least, but it measures how long an answer takes.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_millis(1600);
/// The least time that SO_RCVTIMEO can have.
const LEAST_WAIT: Duration = Duration::from_micros(1);

/// A conversation with a server, which knows nothing of it.
struct Talk<'a> {
    rendezvous: &'a Rendezvous,
    given: Option<Addresses>,
    /// The command that starts the server.
    server: String,
    link: Asking,
    /// To which of the addresses the socket is connected; and the next pause.
    turn: usize,
    pause: RetryDelay,
    tries: u32,
    /// Whether a server has ever answered, and whether it has ended since.
    met: bool,
    gone: bool,
    score: Truncated,
}

impl<'a> Talk<'a> {
    fn new(
        rendezvous: &'a Rendezvous,
        options: &UdpClientOptions,
    ) -> Result<Talk<'a>> {
        let given = rendezvous.given().or(options.connect.as_deref());
        let given = given.map(resolve).transpose()?;
        let mut server = rendezvous.peer("server");
        if let Some(address) = &options.connect {
            server = format!("{server} --listen {address}");
        }
        let mut pause = RetryDelay::new();
        let socket = connect_to_next(rendezvous, &given, &server, 0, &mut pause)?;
        let source = &options.client.source;
        let all = (!source.reads_input()).then_some(source.messages.len() as u64);
        Ok(Talk {
            rendezvous,
            given,
            server,
            link: Asking::on(socket)?,
            turn: 0,
            pause,
            tries: options.tries,
            met: false,
            gone: false,
            score: Truncated {
                failure: None,
                all,
                handed: 0,
                answered: 0,
                broken: false,
                bytes: false,
            },
        })
    }

    // ANCHOR: ask
    /// Sends `message` until it is answered, and returns the answer.
    fn ask(&mut self, message: &[u8]) -> Result<&[u8]> {
        self.link.pack(message);
        self.score.handed += 1;
        let mut wait = FIRST_WAIT;
        let mut tried = 0;
        loop {
            match self.link.send_and_wait(Await::Answer, wait)? {
                Came::Answer => break,
                Came::Refused if !self.met => self.look_again()?,
                Came::Refused => return Err(self.failed(Errno::ECONNREFUSED)),
                Came::Nothing => {
                    tried += 1;
                    if self.met && tried == self.tries {
                        return Err(self.failed(Errno::ETIMEDOUT));
                    }
                    let seconds = wait.as_secs_f64();
                    say!(
                        "no answer for {seconds} s: the message was lost, or its answer; \
                         send it again"
                    );
                    wait = (2 * wait).min(LONGEST_WAIT);
                }
            }
        }
        self.met = true;
        self.score.answered += 1;
        Ok(self.link.answer())
    }
    // ANCHOR_END: ask

    /// Sends `message` once, and does not look what comes of it (`--reply none`).
    fn tell(&mut self, message: &[u8]) -> Result<()> {
        self.link.pack(message);
        while !self.link.send()? {
            self.look_again()?;
        }
        self.score.handed += 1;
        Ok(())
    }

    // ANCHOR: goodbye
    /// An empty datagram, sent until one comes back. The last one of all may be lost, and no side
    /// can know that: after some tries the client leaves all the same.
    fn goodbye(&mut self) -> Result<()> {
        if self.gone {
            return Ok(());
        }
        let mut wait = FIRST_WAIT;
        for _ in 0..self.tries {
            match self.link.goodbye(wait)? {
                Came::Answer => {
                    let Truncated { handed, answered, .. } = self.score;
                    match answered {
                        0 => say!("done: {} sent", messages(handed)),
                        _ => say!("done: {} answered", messages(answered)),
                    }
                    return Ok(());
                }
                Came::Refused if self.met || self.score.handed == 0 => {
                    say!("the server has ended, and needs no goodbye");
                    return Ok(());
                }
                Came::Refused => return Err(self.failed(Errno::ECONNREFUSED)),
                Came::Nothing => wait = (2 * wait).min(LONGEST_WAIT),
            }
        }
        say!("no goodbye came back: we leave, and the server may not know that");
        Ok(())
    }
    // ANCHOR_END: goodbye

    /// No server is there yet: connects to the next address that one may be at.
    fn look_again(&mut self) -> Result<()> {
        if self.pause.is_first() {
            let what = "no server is there yet; trying again until one answers";
            say::waiting(what, &self.server);
        }
        self.pause.sleep();
        self.turn += 1;
        let (given, pause) = (&self.given, &mut self.pause);
        let socket =
            connect_to_next(self.rendezvous, given, &self.server, self.turn, pause)?;
        self.link.connect(socket);
        Ok(())
    }

    /// The conversation is over, by this error.
    fn failed(&mut self, error: Errno) -> anyhow::Error {
        self.gone = true;
        let mut score = self.score.clone();
        score.failure = Some(("wait for the answer", error));
        let advice = match error {
            Errno::ECONNREFUSED => {
                "an ICMP message says that no socket has that port: \
                                    the server has ended"
            }
            _ => "if the server was told --reply none, tell the client the same",
        };
        let failed = Err::<(), _>(score).advise(|_| Some(advice));
        failed.expect_err("it is one")
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Await {
    /// The answer to the last message.
    Answer,
    /// An empty datagram.
    Goodbye,
}

/// What came after a datagram was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// What was waited for.
    Answer,
    /// Nothing in time: it was lost, or the answer was, or the server is slow.
    Nothing,
    /// ECONNREFUSED: an ICMP message says that no socket has the port.
    Refused,
}

/// The client's end: a connected socket, what it sends and what comes back.
#[derive(Debug)]
pub struct Asking {
    socket: OwnedFd,
    /// The socket's SO_RCVTIMEO; zero is none.
    timeout: Duration,
    /// The number of the last message.
    number: u32,
    datagram: Vec<u8>,
    /// What came, in its first bytes, and where in it the answer is.
    data: Vec<u8>,
    answer: Range<usize>,
    sends: Commentary,
    recvs: Commentary,
}

impl Asking {
    /// An end that has a connected socket.
    ///
    /// # Errors
    /// As getrandom(2).
    pub fn on(socket: OwnedFd) -> Result<Asking> {
        // As TCP does: a late datagram of an earlier client with our port is not taken for ours.
        let drawn = getrandom::u32().context("getrandom")?;
        Ok(Asking {
            socket,
            timeout: Duration::ZERO,
            number: (1 + drawn % 4000) * 1_000_000,
            datagram: Vec::new(),
            data: vec![0; datagram::ROOM],
            answer: 0..0,
            sends: Commentary::of("send"),
            recvs: Commentary::of("recv"),
        })
    }

    /// From now on this socket is used.
    fn connect(&mut self, socket: OwnedFd) {
        (self.socket, self.timeout) = (socket, Duration::ZERO);
    }

    // ANCHOR: wait
    /// Makes the datagram of the next message.
    pub fn pack(&mut self, message: &[u8]) {
        self.number = self.number.wrapping_add(1);
        pack(self.number, message, &mut self.datagram);
    }

    /// Sends what is in `datagram`, and waits for so long for what comes back.
    fn send_and_wait(&mut self, what: Await, wait: Duration) -> Result<Came> {
        match self.send()? {
            true => self.wait(what, wait),
            false => Ok(Came::Refused),
        }
    }

    /// send(2); `false` if an ICMP message had come, which an earlier datagram has caused: then
    /// nothing was sent.
    ///
    /// # Errors
    /// As send(2).
    pub fn send(&mut self) -> Result<bool> {
        let (fd, datagram) = (self.socket.as_raw_fd(), &self.datagram);
        self.sends.call(datagram.len(), || format!("send({})", say::data(datagram)));
        let send = || send(fd, datagram, MsgFlags::empty());
        let sent = Shortage::default().retry("send", send);
        match self.sends.returned(sent) {
            Ok(_) => Ok(true),
            Err(Errno::ECONNREFUSED) => Ok(false),
            Err(error) => Err(error).context("send"),
        }
    }

    /// Sleeps in recv(2) until it comes, or for so long.
    ///
    /// # Errors
    /// As recv(2).
    pub fn wait(&mut self, what: Await, wait: Duration) -> Result<Came> {
        let until = Instant::now() + wait;
        // What came in time is looked at, also if we are late; 0 would be no limit.
        let left =
            || until.saturating_duration_since(Instant::now()).max(LEAST_WAIT);
        self.limit(wait)?;
        loop {
            let fd = self.socket.as_raw_fd();
            let n = match recv(fd, &mut self.data, MsgFlags::empty()) {
                Ok(n) => n,
                Err(Errno::EAGAIN) => return Ok(Came::Nothing),
                Err(Errno::EINTR) => {
                    self.limit(left())?;
                    continue;
                }
                Err(Errno::ECONNREFUSED) => {
                    say!("recv() = ECONNREFUSED: by ICMP: no socket has that port");
                    return Ok(Came::Refused);
                }
                Err(error) => return Err(error).context("recv"),
            };
            let data = &self.data[..n];
            self.recvs.call(n, || match n {
                0 => "recv() = 0: an empty datagram: goodbye".to_owned(),
                _ => format!("recv() = {n}: {}", say::bytes(data)),
            });
            match (what, unpack(data)) {
                (Await::Goodbye, _) if n == 0 => return Ok(Came::Answer),
                (Await::Answer, Ok((its, answer))) if its == self.number => {
                    self.answer = n - answer.len()..n;
                    return Ok(Came::Answer);
                }
                (_, Ok((its, _))) => say!("dropped: an answer to {its} came late"),
                (_, Err(why)) => say!("dropped: {why}"),
            }
            self.limit(left())?;
        }
    }

    /// SO_RCVTIMEO, if it is another: how long recv(2) sleeps.
    fn limit(&mut self, time: Duration) -> Result<()> {
        if self.timeout != time {
            let limit = TimeVal::microseconds(time.as_micros() as i64);
            setsockopt(&self.socket, ReceiveTimeout, &limit)
                .context("setsockopt(SO_RCVTIMEO)")?;
            self.timeout = time;
        }
        Ok(())
    }
    // ANCHOR_END: wait

    /// Sends an empty datagram, and waits for so long for one that comes back.
    ///
    /// # Errors
    /// As send(2) and recv(2).
    pub fn goodbye(&mut self, wait: Duration) -> Result<Came> {
        self.datagram.clear();
        self.send_and_wait(Await::Goodbye, wait)
    }

    /// The answer that has come.
    pub fn answer(&self) -> &[u8] {
        &self.data[self.answer.clone()]
    }
}

// ANCHOR: connect
/// A socket that is connected to an address at which a server may be, of several the one whose
/// `turn` it is. Where none is known, it waits until a server has published one.
pub(super) fn connect_to_next(
    rendezvous: &Rendezvous,
    given: &Option<Addresses>,
    server: &str,
    turn: usize,
    pause: &mut RetryDelay,
) -> Result<OwnedFd> {
    let default = resolve(ADDRESS)?;
    loop {
        match candidates(rendezvous, given.as_ref(), &default)? {
            Ok(all) => {
                let address = all[turn % all.len()];
                let socket = connect_udp(address)?;
                if turn == 0 {
                    say!("connect({address}) = 0: only noted; nothing was sent");
                }
                return Ok(socket);
            }
            Err(missing) if pause.is_first() => {
                let what = format_args!("{missing} yet; looking again until one is");
                say::waiting(what, server);
            }
            Err(_) => {}
        }
        pause.sleep();
    }
}
// ANCHOR_END: connect
