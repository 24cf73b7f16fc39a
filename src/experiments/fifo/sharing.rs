//! Several readers of one FIFO.

use std::fs::File;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, write};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const TWO_READERS: Experiment = Experiment {
    name: "two-readers",
    title: "Two readers of one FIFO",
    level: Level::First,
    question: "Two processes, A and B, have the same FIFO open for reading. A writer writes \
               `hello all` once. B reads 5 bytes, then A reads. What does each of them \
               get?",
    answers: &[
        wrong(
            "B gets `hello`, A gets `hello all`",
            "That is true of a file, where each open has an offset of its own. The bytes \
             of a FIFO have no position: a read takes them out.",
        ),
        wrong(
            "B gets `hello`, A gets no bytes",
            "That is true of a datagram: what B's buffer has no room for is dropped. A \
             stream knows no messages, and the rest stayed for whoever reads next.",
        ),
        right(
            "B gets `hello`, A gets ` all`",
            "Each byte goes to exactly one reader, the one that asks first. The two of \
             them tore one message apart.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_readers,
    moral: "A FIFO is no broadcast, and two readers of one steal from each other, even \
            in the middle of a message. Give each reader a FIFO of its own, or use \
            packets.",
    see: "pipe(7)",
    file: file!(),
    shows: &["two-readers"],
};

// ANCHOR: two-readers
fn two_readers(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let turn_of_a = stage.gate()?;
    let take = |stage: &Stage, most: usize| -> Result<String> {
        let fifo = File::open(stage.path("fifo"))?;
        let mut buffer = [0; 64];
        if most == 64 {
            turn_of_a.pass()?;
        }
        let n = read(&fifo, &mut buffer[..most])?;
        let got = String::from_utf8_lossy(&buffer[..n]).into_owned();
        stage.call(format!("read({most} bytes)"), &format!("{n}: {got:?}"));
        Ok(got)
    };
    let a = stage.fork("A", |stage| take(stage, 64))?;
    let b = stage.fork("B", |stage| take(stage, 5))?;
    let writer = File::options().write(true).open(&path).context("open")?;
    a.until_asleep_in(&[Sysno::readv])?; // it has opened the FIFO, and waits for its turn
    b.until_asleep_in(&[Sysno::read])?;
    stage.event("writer", "writes \"hello all\"");
    write(&writer, b"hello all").context("write")?;
    let b = b.join()?;
    drop(writer);
    turn_of_a.open(1)?;
    let a = a.join()?;
    stage.saw("A got", a.as_str());
    stage.saw("B got", b.as_str());
    Ok(match a.as_str() {
        "hello all" => 1,
        "" => 2,
        _ => 3,
    })
}
// ANCHOR_END: two-readers

pub(super) const REPLY_FIFO: Experiment = Experiment {
    name: "reply-fifo",
    title: "One FIFO for all replies",
    level: Level::Later,
    question: "Two clients, A and B, have sent a request, and both wait in read(2) on \
               the one FIFO into which the server writes its replies. A waited first. \
               The server now writes the reply to B, with its name in it. Who gets it?",
    answers: &[
        wrong(
            "only client B",
            "The name is in the bytes, and the kernel does not read them.",
        ),
        wrong(
            "both clients",
            "A byte is read once. A could only write the reply back, and hope that B \
             reads it.",
        ),
        right(
            "only client A",
            "Readers of one FIFO are rivals. Linux, since 5.6, wakes the one that has \
             waited longest; before that it woke both, and one of them won.",
        ),
    ],
    kind: Kind::Kernel,
    run: reply_fifo,
    moral: "Requests may share one FIFO, because the server is its only reader. Each \
            client needs a reply FIFO of its own, and says in its request which.",
    see: "pipe(7)",
    file: file!(),
    shows: &["reply-fifo-broken", "reply-fifo-cured"],
};

// ANCHOR: reply-fifo-broken
/// A client that reads its reply from the FIFO `replies`.
fn client(stage: &Stage, replies: &str) -> Result<String> {
    let mut buffer = [0; 64];
    let fifo = File::open(stage.path(replies))?;
    let n = read(&fifo, &mut buffer)?;
    let got = String::from_utf8_lossy(&buffer[..n]).into_owned();
    stage.call(format!("read({replies:?})"), &format!("{got:?}"));
    Ok(got)
}

fn reply_fifo(stage: &Stage) -> Result<usize> {
    let path = stage.path("replies");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let turn_of_second = stage.gate()?;
    let first = stage.fork("client A", |stage| client(stage, "replies"))?;
    let second = stage.fork("client B", |stage| {
        turn_of_second.pass()?;
        client(stage, "replies")
    })?;
    let server = File::options().write(true).open(&path).context("open")?;
    first.until_asleep_in(&[Sysno::read])?;
    turn_of_second.open(1)?;
    second.until_asleep_in(&[Sysno::read])?;
    stage.event("server", "writes \"for client B\" into \"replies\"");
    write(&server, b"for client B").context("write")?;
    let first_got = first.join()?;
    drop(server); // client B reads the end instead of its reply
    let second_got = second.join()?;
    stage.saw("client A got", first_got.as_str());
    stage.saw("client B got", second_got.as_str());
    one_each(stage)?;
    Ok(match (first_got.as_str(), second_got.as_str()) {
        ("", _) => 1,
        (_, "") => 3,
        _ => 2,
    })
}
// ANCHOR_END: reply-fifo-broken

// ANCHOR: reply-fifo-cured
/// The same with a FIFO a client: the name that the client chose is the address.
fn one_each(stage: &Stage) -> Result<()> {
    let names = ["replies.A", "replies.B"];
    for name in names {
        mkfifo(&stage.path(name), Mode::S_IRUSR | Mode::S_IWUSR)
            .context("mkfifo")?;
    }
    let first = stage.fork("client A", |stage| client(stage, names[0]))?;
    let second = stage.fork("client B", |stage| client(stage, names[1]))?;
    let to_first = File::options().write(true).open(stage.path(names[0]))?;
    let to_second = File::options().write(true).open(stage.path(names[1]))?;
    write(&to_second, b"for client B").context("write")?;
    write(&to_first, b"for client A").context("write")?;
    let got = [first.join()?, second.join()?];
    stage.saw("with a FIFO each", got.to_vec());
    Ok(())
}
// ANCHOR_END: reply-fifo-cured
