//! Datagrams: one that is longer than its room, and a receiver that does not read.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv, send};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const TRUE_LENGTH: Experiment = Experiment {
    name: "true-length",
    title: "Ten bytes, and room for four",
    level: Level::Later,
    question: "Two datagrams wait, `0123456789` and `next`. A program calls recv(2) with room \
               for 4 bytes and the flag MSG_TRUNC. What does the call return, and what does \
               the next recv return?",
    answers: &[
        wrong(
            "4; the next recv returns `4567`",
            "No recv returns the rest of a datagram. What had no room is gone.",
        ),
        wrong(
            "4; the next recv returns `next`",
            "So it is without the flag: then nothing says that six bytes are lost.",
        ),
        right(
            "10; the next recv returns `next`",
            "As a flag of the call, MSG_TRUNC makes it return the datagram's own length. \
             Four bytes are in the buffer, and six are gone.",
        ),
        wrong(
            "-1; the next recv returns `0123`",
            "recv(2) does not refuse a datagram that is too long; mq_receive(3) does, by \
             EMSGSIZE.",
        ),
    ],
    kind: Kind::Kernel,
    run: true_length,
    moral: "A length larger than the room is how one learns that a datagram was cut. Add \
            MSG_PEEK, and it stays: ask for the length, get the room, receive. And never use \
            that length for what is in the buffer.",
    see: "recv(2), unix(7)",
    file: file!(),
    shows: &["true-length"],
};

// ANCHOR: true-length
fn true_length(stage: &Stage) -> Result<usize> {
    let cut = MsgFlags::MSG_TRUNC;
    let mut seen = Vec::new();
    for flags in [cut, cut | MsgFlags::MSG_PEEK, MsgFlags::empty()] {
        let (receiver, sender) = UnixDatagram::pair().context("socketpair")?;
        for text in ["0123456789", "next"] {
            send(sender.as_raw_fd(), text.as_bytes(), MsgFlags::empty())?;
        }
        let mut room = [0; 4];
        let first = recv(receiver.as_raw_fd(), &mut room, flags);
        let names: Vec<_> = flags.iter_names().map(|(name, _)| name).collect();
        let names = if names.is_empty() { "0".into() } else { names.join(" | ") };
        stage.call(format!("recv(4 bytes, {names})"), &first);
        let n = recv(receiver.as_raw_fd(), &mut room, MsgFlags::empty())?;
        let second = String::from_utf8_lossy(&room[..n]).into_owned();
        stage.call("the next recv(4 bytes)", &format!("{second:?}"));
        stage.saw(&format!("{names}: returned"), first.map_or(-1, |n| n as i64));
        stage.saw(&format!("{names}: the next"), second.as_str());
        seen.push((first, second));
    }
    match (seen[0].0, seen[0].1.as_str()) {
        (Ok(4), "4567") => Ok(1),
        (Ok(4), "next") => Ok(2),
        (Ok(10), "next") => Ok(3),
        (Err(_), "0123") => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: true-length

pub(super) const FULL_AND_WRITABLE: Experiment = Experiment {
    name: "full-and-writable",
    title: "EAGAIN, and then poll",
    level: Level::Deep,
    question: "A receiver of datagrams does not read, and its queue is full. A sender, by \
               sendto(2) with MSG_DONTWAIT on a socket that it has not connected, gets \
               EAGAIN. It calls poll(2) with POLLOUT, to wait for room. What does poll say?",
    answers: &[
        right(
            "POLLOUT, as if there were room",
            "poll(2) looks at the sender's own send buffer, which has room. The queue that \
             is full is the receiver's (net.unix.max_dgram_qlen, and one more), and an \
             unconnected socket has no receiver. The next send is EAGAIN again.",
        ),
        wrong(
            "POLLERR, as if it were closed",
            "A full queue is no error. A receiver that is gone would be one: ECONNREFUSED.",
        ),
        wrong(
            "nothing, as there is no room",
            "So it is once the sender's socket is connected to the receiver. Otherwise poll \
             does not know whose queue is meant.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_and_writable,
    moral: "A sender of datagrams that must not block connects its socket first: then poll(2) \
            waits for the receiver. Without it, poll and send go round and round. A send that \
            may block sleeps, however long the receiver does.",
    see: "unix(7), poll(2), connect(2)",
    file: file!(),
    shows: &["full-and-writable"],
};

// ANCHOR: full-and-writable
/// Sends until the receiver's queue is full; what does poll(2) say then?
fn when_full(stage: &Stage, how: &str) -> Result<(usize, PollFlags)> {
    let path = stage.path(how);
    let _receiver = UnixDatagram::bind(&path).context("bind")?;
    let sender = UnixDatagram::unbound().context("socket")?;
    sender.set_nonblocking(true)?;
    if how == "connected" {
        sender.connect(&path).context("connect")?;
    }
    let send = || match how {
        "connected" => sender.send(b"x"),
        _ => sender.send_to(b"x", &path),
    };
    let taken = std::iter::repeat_with(send).take_while(Result::is_ok).count();
    let again =
        send().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    stage.event("sender", format!("{how}: the queue takes {taken} datagrams"));
    stage.call("send(MSG_DONTWAIT)", &again);
    let mut socket = [PollFd::new(sender.as_fd(), PollFlags::POLLOUT)];
    poll(&mut socket, PollTimeout::ZERO).context("poll")?;
    let said = socket[0].revents().context("flags")?;
    stage.call("poll(POLLOUT)", &said);
    if again != Err(Errno::EAGAIN) {
        bail!("{how}: {again:?}");
    }
    Ok((taken, said))
}

fn full_and_writable(stage: &Stage) -> Result<usize> {
    let (taken, unconnected) = when_full(stage, "unconnected")?;
    let (_, connected) = when_full(stage, "connected")?;
    stage.saw("datagrams that the queue takes", taken);
    stage.saw("unconnected, poll says POLLOUT", unconnected == PollFlags::POLLOUT);
    stage.saw("connected, poll says nothing", connected.is_empty());
    // A sender that may block.
    let path = stage.path("blocking");
    let _receiver = UnixDatagram::bind(&path).context("bind")?;
    let sender = stage.fork("sender", |_| {
        let sender = UnixDatagram::unbound()?;
        while sender.send_to(b"x", &path).is_ok() {}
        Ok(())
    })?;
    let sleeps = sender.until_asleep_in(&[Sysno::sendto]).is_ok();
    stage.event("sender", "without MSG_DONTWAIT: sleeps in sendto()");
    stage.saw("a send that may block sleeps", sleeps);
    sender.kill(Signal::SIGKILL)?;
    sender.end()?;
    Ok(match unconnected {
        said if said.is_empty() => 3,
        said if said.contains(PollFlags::POLLERR) => 2,
        _ => 1,
    })
}
// ANCHOR_END: full-and-writable
