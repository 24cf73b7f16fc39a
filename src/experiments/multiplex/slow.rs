//! One server, many subscribers, and one of them does not read.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;

const MESSAGE: usize = 1000;
const MESSAGES: usize = 2000;

/// Three connections: the server's ends, and the subscribers'.
fn three() -> Result<(Vec<UnixStream>, Vec<UnixStream>)> {
    let pairs: std::io::Result<Vec<_>> =
        (0..3).map(|_| UnixStream::pair()).collect();
    Ok(pairs.context("socketpair")?.into_iter().unzip())
}

/// A subscriber that reads to the end: how many whole messages it got.
fn reader(
    stage: &Stage,
    who: &'static str,
    ends: &mut (Vec<UnixStream>, Vec<UnixStream>),
    number: usize,
) -> Result<Child<usize>> {
    stage.fork(who, |_| {
        let mut own = ends.1.swap_remove(number);
        ends.0.clear(); // its copies of the server's ends: no end would come
        let (mut all, mut buffer) = (0, [0; 4096]);
        loop {
            match own.read(&mut buffer)? {
                0 => return Ok(all / MESSAGE),
                n => all += n,
            }
        }
    })
}

pub(super) const SLOW_SUBSCRIBER: Experiment = Experiment {
    name: "slow-subscriber",
    title: "Two that read, and one that sleeps",
    level: Level::Later,
    question: "A server sends each message to its three subscribers, one after the other, by \
               write(2) on sockets that block. Two subscribers read all that comes. The third \
               never reads. There are two thousand messages of 1000 bytes. How many does one \
               of the two that read get?",
    answers: &[
        right(
            "as many as the socket of the third holds",
            "Until that one is full, all goes well. Then the server sleeps in write(2) to the \
             third, and the two others get nothing more, for as long as it sleeps.",
        ),
        wrong(
            "all of them, as it keeps up with them",
            "It keeps up, and that is of no use: the server has one thread, and that one sleeps \
             for another client.",
        ),
        wrong(
            "two thirds, as one of three is slow",
            "Nobody shares out. The first messages come without delay, and then none.",
        ),
    ],
    kind: Kind::Kernel,
    run: slow_subscriber,
    moral: "Whoever sends to many must never block on one. With O_NONBLOCK decide what becomes of \
            the rest: drop messages for that client, and tell it how many; or close it; or keep \
            them, up to a bound. Each is right somewhere; to sleep is right nowhere.",
    see: "write(2), socket(7), fcntl(2)",
    file: file!(),
    shows: &["slow-subscriber-broken", "slow-subscriber-cured", "slow-subscriber"],
};

// ANCHOR: slow-subscriber-broken
fn to_each(clients: &mut [UnixStream], message: &[u8]) -> std::io::Result<usize> {
    for client in clients {
        client.write_all(message)?; // sleeps while this one is full
    }
    Ok(0)
}
// ANCHOR_END: slow-subscriber-broken

// ANCHOR: slow-subscriber-cured
/// Returns for how many there was no room: they miss this message.
fn to_those_with_room(
    clients: &mut [UnixStream],
    message: &[u8],
) -> std::io::Result<usize> {
    let mut missed = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        // Here the two that read are waited for; a real server would use poll(2).
        client.set_nonblocking(number == 2)?;
        match client.write(message) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => missed += 1,
            // A part would have to be kept, and sent first the next time.
            written => drop(written?),
        }
    }
    Ok(missed)
}
// ANCHOR_END: slow-subscriber-cured

// ANCHOR: slow-subscriber
type Publish = fn(&mut [UnixStream], &[u8]) -> std::io::Result<usize>;

/// How many messages a subscriber that reads got, and whether the server came to its end.
fn published(stage: &Stage, publish: Publish) -> Result<(usize, bool)> {
    let mut ends = three()?;
    let first = reader(stage, "first", &mut ends, 0)?;
    let second = reader(stage, "second", &mut ends, 1)?;
    let (mut servers, subscribers) = ends;
    let done = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let message = [b'm'; MESSAGE];
        let mut missed = 0;
        for _ in 0..MESSAGES {
            missed += publish(&mut servers, &message)?;
        }
        stage
            .event("server", format!("has sent all; the third has missed {missed}"));
        done.pass()
    })?;
    drop(servers);
    // It sleeps at the end; or, while the two that read sleep, for the third.
    let came_to_end = until(
        || "the server does not sleep".into(),
        || {
            let asleep = || server.until_asleep_in(&[Sysno::sendto, Sysno::readv]);
            asleep()?;
            let slept = server.times_slept()?;
            first.until_asleep_in(&[Sysno::recvfrom])?;
            second.until_asleep_in(&[Sysno::recvfrom])?;
            let came_to_end = asleep()? == Sysno::readv;
            Ok((server.times_slept()? == slept).then_some(came_to_end))
        },
    )?;
    if came_to_end {
        done.open(1)?;
        server.join()?;
    } else {
        stage.event("server", "sleeps in write() to the third");
        stage.event("main", "ends the server");
        server.kill(Signal::SIGKILL)?;
        server.end()?;
    }
    drop(subscribers);
    let (first, second) = (first.join()?, second.join()?);
    stage.event("first", format!("got {first} messages"));
    stage.event("second", format!("got {second} messages"));
    Ok((first, came_to_end))
}

fn slow_subscriber(stage: &Stage) -> Result<usize> {
    let (got, came_to_end) = published(stage, to_each)?;
    stage.saw("messages that a reader got", got);
    stage.saw("the server came to its end", came_to_end);
    let (cured, _) = published(stage, to_those_with_room)?;
    stage.saw("messages, with O_NONBLOCK", cured);
    Ok(match got {
        MESSAGES => 2,
        got if came_to_end => bail!("{got} messages"),
        _ => 1,
    })
}
// ANCHOR_END: slow-subscriber

pub(super) const WITHOUT_A_BOUND: Experiment = Experiment {
    name: "without-a-bound",
    title: "What a server keeps for a client that does not read",
    level: Level::Later,
    question: "A server never blocks: what a client's socket does not take, it puts into a list \
               for that client, and sends it when there is room. It publishes ten million \
               bytes to a client that never reads. Where are most of them?",
    answers: &[
        right(
            "in the server, in the list",
            "The socket takes what its buffer holds, some hundred thousand bytes. The list \
             takes the rest, for each such client, until the memory is full.",
        ),
        wrong(
            "in the kernel, in the socket",
            "A socket's buffer has a bound (SO_SNDBUF, net.core.wmem_max). That is why the \
             server gets EAGAIN at all.",
        ),
        wrong(
            "in the client, in the buffer",
            "Nothing comes into a process that does not read. It may be stopped, or its network \
             may be down, or it may be hostile.",
        ),
    ],
    kind: Kind::Kernel,
    run: without_a_bound,
    moral: "A list for each client needs a bound, and a rule for the moment when it is reached: \
            drop messages (a price, a position; dbus-daemon does), or disconnect (a log, a chat; \
            Redis does). One client decides how much memory you use otherwise.",
    see: "socket(7), send(2)",
    file: file!(),
    shows: &["without-a-bound"],
};

// ANCHOR: without-a-bound
/// What a server keeps for a client: at most `bound` bytes, or it closes the connection.
struct Kept {
    socket: Option<UnixStream>,
    list: VecDeque<u8>,
    bound: usize,
}

impl Kept {
    fn publish(&mut self, message: &[u8]) -> Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        self.list.extend(message);
        while !self.list.is_empty() {
            match socket.write(self.list.as_slices().0) {
                Ok(n) => drop(self.list.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("write"),
            }
        }
        if self.list.len() > self.bound {
            (self.socket, self.list) = (None, VecDeque::new()); // disconnected
        }
        Ok(())
    }
}

fn without_a_bound(stage: &Stage) -> Result<usize> {
    let ten_million = |what: &str, bound: usize| {
        let (server, client) = UnixStream::pair().context("socketpair")?;
        server.set_nonblocking(true).context("fcntl")?;
        let mut kept = Kept { socket: Some(server), list: VecDeque::new(), bound };
        for _ in 0..10_000 {
            kept.publish(&[b'm'; MESSAGE])?;
        }
        let in_list = kept.list.len();
        let connected = kept.socket.is_some();
        let in_socket = rustix::io::ioctl_fionread(&client).context("ioctl")?;
        stage.event("server", format!("{what}: {in_list} bytes in its list"));
        stage.call("ioctl(client, FIONREAD)", &in_socket);
        anyhow::Ok((in_list, in_socket as usize, connected))
    };
    let (in_list, in_socket, _) = ten_million("no bound", usize::MAX)?;
    let (bounded, _, connected) = ten_million("at most 65,536", 65_536)?;
    stage.saw("most are in the list", in_list > in_socket);
    stage.saw("none is lost", in_list + in_socket == 10_000_000);
    stage.saw("with a bound, bytes in the list", bounded);
    stage.saw("with a bound, still connected", connected);
    Ok(if in_list > in_socket { 1 } else { 2 })
}
// ANCHOR_END: without-a-bound
