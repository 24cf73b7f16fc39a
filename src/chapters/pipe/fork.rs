//! One program that makes its pipe and forks: the parent sends, the child receives.
//!
//! After fork(2) both processes hold both ends. Each closes the end that it does not use: a
//! write end left open in the reader would keep the end of the stream away for ever. With
//! `--duplex` answers come back, by a second pipe or by a socket pair.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use super::receiver::PipeReceiver;
use super::sender::PipeSender;
use os::spawn::{Forked, fork};
use wire::chapter::Roles;
use wire::fork::{as_child, wait_for};
use wire::frame::FramingOptions;
use wire::meet::Rendezvous;
use wire::payload::{Payload, Printed, Style};
use wire::say;
use wire::transport::{Receiver, Sender};

/// The role that plays both.
#[derive(Debug, clap::Subcommand)]
pub enum More {
    /// Makes the pipe, forks, and plays both roles
    Fork(Options),
}

/// The options of `pipe fork`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What the parent sends; each argument is one message
    #[arg(value_name = "MESSAGE", default_values = ["hello", "from the parent"])]
    messages: Vec<OsString>,

    /// Let the child answer each message in upper case, over this second direction
    #[arg(long, value_name = "BY")]
    duplex: Option<Duplex>,

    #[command(flatten)]
    stream: FramingOptions,
}

/// What carries both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Duplex {
    /// A second pipe for the way back
    TwoPipes,
    /// One pair of connected Unix sockets
    Socketpair,
}

impl Roles for More {
    fn play(self, _: &Rendezvous) -> Result<()> {
        let More::Fork(options) = self;
        for message in &options.messages {
            options.stream.check(message.as_bytes())?;
        }
        match options.duplex {
            None => one_way(&options),
            Some(duplex) => both_ways(&options, duplex),
        }
    }
}

// ANCHOR: one_way
fn one_way(options: &Options) -> Result<()> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    say!("pipe2() made two descriptors: the read end and the write end");
    match fork().context("fork")? {
        Forked::Child => as_child("child", || {
            drop(writing); // or read() would never return 0: we would be a writer too
            let mut link = PipeReceiver::on(reading, &options.stream);
            let mut payload = Payload::new(Style::Lines)?;
            let mut message = Vec::new();
            while link.recv(&mut message)? {
                if payload.print(&message)? == Printed::NoReader {
                    break;
                }
            }
            Ok(())
        }),
        Forked::Parent(child) => {
            drop(reading); // or write() would never fail: we would be a reader too
            let mut link = PipeSender::on(writing, &options.stream);
            let sent =
                options.messages.iter().try_for_each(|m| link.send(m.as_bytes()));
            drop(link); // the last write end: the child's read() returns 0
            wait_for(child)?;
            sent
        }
    }
}
// ANCHOR_END: one_way

// ANCHOR: both_ways
fn both_ways(options: &Options, duplex: Duplex) -> Result<()> {
    let (parents, childs) = ends(duplex)?;
    match fork().context("fork")? {
        Forked::Child => as_child("child", || {
            drop(parents);
            let mut requests = PipeReceiver::on(childs.reading, &options.stream);
            let mut answers = PipeSender::on(childs.writing, &options.stream);
            let mut message = Vec::new();
            while requests.recv(&mut message)? {
                answers.send(&message.to_ascii_uppercase())?;
            }
            Ok(())
        }),
        Forked::Parent(child) => {
            drop(childs);
            let talked = talk(parents, options);
            wait_for(child)?;
            talked
        }
    }
}

/// One message, one answer, in turn: two full pipes can so never wait for each other.
fn talk(ends: Ends, options: &Options) -> Result<()> {
    let mut requests = PipeSender::on(ends.writing, &options.stream);
    let mut answers = PipeReceiver::on(ends.reading, &options.stream);
    let mut payload = Payload::new(Style::Lines)?;
    let mut answer = Vec::new();
    for message in &options.messages {
        requests.send(message.as_bytes())?;
        if !answers.recv(&mut answer)? {
            bail!("the child left without an answer");
        }
        if payload.print(&answer)? == Printed::NoReader {
            break;
        }
    }
    Ok(())
}

/// What one process reads and what it writes.
struct Ends {
    reading: OwnedFd,
    writing: OwnedFd,
}

/// The parent's ends and the child's.
fn ends(duplex: Duplex) -> Result<(Ends, Ends)> {
    match duplex {
        Duplex::TwoPipes => {
            let (child_reads, parent_writes) =
                pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            let (parent_reads, child_writes) =
                pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            say!("two pipes: four descriptors, one pipe a direction");
            Ok((
                Ends { reading: parent_reads, writing: parent_writes },
                Ends { reading: child_reads, writing: child_writes },
            ))
        }
        Duplex::Socketpair => {
            let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
            let (parents, childs) =
                socketpair(unix, stream, None, SockFlag::SOCK_CLOEXEC)
                    .context("socketpair")?;
            say!("socketpair(): two descriptors, and each goes both ways");
            let both = |socket: OwnedFd| -> Result<Ends> {
                let reading = socket.try_clone().context("dup")?;
                Ok(Ends { reading, writing: socket })
            };
            Ok((both(parents)?, both(childs)?))
        }
    }
}
// ANCHOR_END: both_ways
