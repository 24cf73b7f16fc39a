//! The client: sends a message until it is answered, and then the next. What it does here by
//! hand, TCP does in the kernel: number what is sent, send it again, drop what comes twice.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use rustix::event::{PollFd, PollFlags};

use super::ADDRESS;
use super::datagram::{self, pack, unpack};
use os::calls::poll_until;
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

/// What came after a datagram was sent.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The answer to it, which is in `data`.
    Answer,
    /// Nothing in time: it was lost, or the answer was, or the server is slow.
    Nothing,
    /// ECONNREFUSED: an ICMP message says that no socket has the port.
    Refused,
}

/// A conversation with a server, which knows nothing of it.
struct Talk<'a> {
    rendezvous: &'a Rendezvous,
    given: Option<Addresses>,
    /// The command that starts the server.
    server: String,
    /// A connected socket; which of the addresses it is connected to; and the next pause.
    socket: OwnedFd,
    turn: usize,
    pause: RetryDelay,
    tries: u32,
    /// The number of the next message.
    number: u32,
    /// Whether a server has ever answered, and whether it has ended since.
    met: bool,
    gone: bool,
    score: Truncated,
    datagram: Vec<u8>,
    data: Vec<u8>,
    sends: Commentary,
    recvs: Commentary,
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
        // As TCP does: a late datagram of an earlier client with our port is not taken for ours.
        let drawn = getrandom::u32().context("getrandom")?;
        let source = &options.client.source;
        let all = (!source.reads_input()).then_some(source.messages.len() as u64);
        Ok(Talk {
            rendezvous,
            given,
            server,
            socket,
            turn: 0,
            pause,
            tries: options.tries,
            number: (1 + drawn % 4000) * 1_000_000 + 1,
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
            datagram: Vec::new(),
            data: vec![0; datagram::ROOM],
            sends: Commentary::of("send"),
            recvs: Commentary::of("recv"),
        })
    }

    // ANCHOR: ask
    /// Sends `message` until it is answered, and returns the answer.
    fn ask(&mut self, message: &[u8]) -> Result<&[u8]> {
        pack(self.number, message, &mut self.datagram);
        self.score.handed += 1;
        let mut wait = FIRST_WAIT;
        let mut tried = 0;
        loop {
            match self.send_and_wait(Some(self.number), wait)? {
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
        self.number = self.number.wrapping_add(1);
        self.score.answered += 1;
        unpack(&self.data).map(|(_, answer)| answer)
    }

    /// Sends what is in `datagram`, and waits for so long for what comes back: the answer to this
    /// number, or without one a goodbye. It is then in `data`.
    fn send_and_wait(
        &mut self,
        number: Option<u32>,
        wait: Duration,
    ) -> Result<Came> {
        if !self.send()? {
            return Ok(Came::Refused);
        }
        let until = Instant::now() + wait;
        let mut left = wait;
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            poll_until(&mut fds, Some(left)).context("poll")?;
            left = until.saturating_duration_since(Instant::now());
            self.data.resize(datagram::ROOM, 0);
            let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            match recv(fd, &mut self.data, flags) {
                Ok(n) => self.data.truncate(n),
                Err(Errno::EAGAIN) if left.is_zero() => return Ok(Came::Nothing),
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(Errno::ECONNREFUSED) => {
                    say!("recv() = ECONNREFUSED: by ICMP: no socket has that port");
                    return Ok(Came::Refused);
                }
                Err(error) => return Err(error).context("recv"),
            }
            let (n, data) = (self.data.len(), &self.data);
            self.recvs.call(n, || match n {
                0 => "recv() = 0: an empty datagram: goodbye".to_owned(),
                _ => format!("recv() = {n}: {}", say::bytes(data)),
            });
            match (number, unpack(data)) {
                (None, _) if n == 0 => return Ok(Came::Answer),
                (Some(number), Ok((its, _))) if its == number => {
                    self.met = true;
                    return Ok(Came::Answer);
                }
                (_, Ok((its, _))) => say!("dropped: an answer to {its} came late"),
                (_, Err(why)) => say!("dropped: {why}"),
            }
        }
    }

    /// send(2); `false` if an ICMP message had come, which an earlier datagram has caused: then
    /// nothing was sent.
    fn send(&mut self) -> Result<bool> {
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
    // ANCHOR_END: ask

    /// Sends `message` once, and does not look what comes of it (`--reply none`).
    fn tell(&mut self, message: &[u8]) -> Result<()> {
        pack(self.number, message, &mut self.datagram);
        self.number = self.number.wrapping_add(1);
        while !self.send()? {
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
        self.datagram.clear();
        let mut wait = FIRST_WAIT;
        for _ in 0..self.tries {
            match self.send_and_wait(None, wait)? {
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
        self.socket =
            connect_to_next(self.rendezvous, given, &self.server, self.turn, pause)?;
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
