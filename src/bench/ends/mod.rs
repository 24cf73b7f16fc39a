//! The two processes of a measurement: the chapter's own sender and receiver, in loops.
//!
//! Each is this program, started by the bench with a socket on descriptor 3 that steers
//! it. Side `a` asks, or sends; side `b` answers, or receives. The C references and the
//! Python peers do the same work, and are steered in the same way.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Args, Command, FromArgMatches};

use self::control::Control;
use self::exchange::{Exchange, Links};
use self::numbers::{Numbers, Sums};
use self::payload::Check;
use super::job::{Job, Mode, Side, TOO_LARGE};
use super::subject::Subject;
use chapters::eventfd::Eventfd;
use chapters::mutex::Mutexes;
use chapters::mutex::producer::Producer;
use chapters::mutex::worker::Worker;
use chapters::udp;
use chapters::udp::client::Asking;
use chapters::udp::server::Answering;
use chapters::unix::more::packet::PacketSocket;
use os::{cleanup, spawn};
use wire::chapter::{Conversation, OneWay, Row};
use wire::dialogue::Connection;
use wire::frame::{Framing, FramingOptions};
use wire::meet::Rendezvous;
use wire::say;
use wire::transport::{Receiver, Sender};

pub mod control;
pub mod exchange;
mod loops;
mod numbers;
pub mod payload;

/// How a stream socket is measured: its bytes as they are.
const RAW: FramingOptions =
    FramingOptions { framing: Framing::None, max_message: 1 << 20 };
/// The largest packet that the bench receives, in bytes.
const LARGEST_PACKET: usize = 1 << 20;

/// Plays an end whose links are open, in the loop of its mode and side.
pub(super) fn run(job: &Job, control: &Control, end: impl Exchange) -> Result<()> {
    let check = Check::new(job.size);
    control.answer(b"ready")?;
    match (job.mode, job.side) {
        (Mode::Pingpong, Side::A) => loops::ask(end, job.size, check, control),
        (Mode::Pingpong, Side::B) => loops::answer(end, job.size, check),
        (Mode::Oneway, Side::A) => loops::send(end, job.size, control),
        (Mode::Oneway, Side::B) => loops::receive(end, check, control),
    }
}

/// Plays an end with the types of its chapter.
///
/// # Errors
/// As the mechanism's.
pub(super) fn play(job: &Job, control: &Control) -> Result<()> {
    let subject = Subject::find(&job.mechanism)
        .with_context(|| format!("no subject of the bench: {}", job.mechanism))?;
    (subject.ends)(&End { subject, job, control })
}

/// An end that is to be played with the types of its chapter.
#[derive(Debug)]
pub(super) struct End<'a> {
    subject: Subject,
    job: &'a Job,
    control: &'a Control,
}

impl End<'_> {
    /// What is measured.
    pub(super) fn name(&self) -> &str {
        &self.job.mechanism
    }

    /// Opens the chapter's own ends, and plays.
    fn links<S: Sender, R: Receiver>(&self, row: Row) -> Result<()> {
        let job = self.job;
        let base = Path::new(&job.base);
        let name = base.file_name().context("a place without a name")?;
        let name = name.to_string_lossy();
        let at = |way: &str| -> Result<Rendezvous> {
            let by_name = row.meets.by_name();
            let given = by_name.then(|| format!("{name}-{way}"));
            let mut at = Rendezvous::new(row.name, row.meets, given)?;
            for role in row.roles {
                at = at.with_peer(role.name, "ipclab bench".to_owned(), None);
            }
            Ok(at)
        };
        let words = |sends| self.subject.options(sends, job.size as u64);
        let (asks, both) = (job.side == Side::A, job.mode == Mode::Pingpong);
        let (out, into) = if asks { ("there", "back") } else { ("back", "there") };
        let links = Links::open(
            asks,
            both,
            || S::open(&at(out)?, &options(&words(true))?),
            || R::open(&at(into)?, &options(&words(false))?),
        )?;
        if let Some(sender) = &links.out
            && job.size > sender.largest()
        {
            let largest = say::size(sender.largest());
            let name = self.subject.name;
            say::tell(&format!("{name} carries at most {largest}\n"));
            cleanup::exit(TOO_LARGE);
        }
        run(job, self.control, links)
    }

    /// A socket that the bench has joined with the other end's.
    fn socket(&self) -> Result<OwnedFd> {
        let socket = spawn::inherited(control::DESCRIPTOR + 1);
        socket.context("descriptor 4: the bench gives us a socket")
    }
}

/// Plays an end of a chapter that has a sender and a receiver.
pub(super) fn one_way<C: OneWay>(end: &End<'_>) -> Result<()> {
    end.links::<C::Sender, C::Receiver>(C::ROW)
}

/// Plays a producer, a worker, or both.
pub(super) fn mutex(end: &End<'_>) -> Result<()> {
    end.links::<Producer, Worker>(Mutexes::ROW)
}

/// Plays a notifier, a waiter, or both.
pub(super) fn eventfd(end: &End<'_>) -> Result<()> {
    end.links::<Numbers, Sums>(Eventfd::ROW)
}

/// Plays the server's end of a connection, on both sides.
pub(super) fn stream(end: &End<'_>) -> Result<()> {
    run(end.job, end.control, Connection::on(end.socket()?, &RAW))
}

/// As [`stream`], of packets.
pub(super) fn packets(end: &End<'_>) -> Result<()> {
    let socket = PacketSocket::preallocated(end.socket()?, LARGEST_PACKET);
    run(end.job, end.control, socket)
}

/// Plays the client's end or the server's, where datagrams may be lost.
pub(super) fn datagrams(end: &End<'_>) -> Result<()> {
    let (job, control, socket) = (end.job, end.control, end.socket()?);
    match job.side {
        Side::A => run(job, control, Asking::on(socket)?),
        Side::B => run(job, control, Answering::on(socket, udp::LARGEST, Some(1))),
    }
}

/// Reads `words` as the chapter's own options.
fn options<T: Args + FromArgMatches>(words: &[String]) -> Result<T> {
    let mut command = Command::new("bench").no_binary_name(true);
    // Some chapters' options exclude these, which every role has and no end of ours.
    for other in ["at", "messages", "bytes"] {
        command = command.arg(clap::Arg::new(other).long(other));
    }
    let command = T::augment_args(command);
    Ok(T::from_arg_matches(&command.try_get_matches_from(words)?)?)
}
