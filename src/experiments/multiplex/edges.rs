//! Level, edge and one shot: how often epoll reports.

use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::sys::signal::Signal;
use nix::unistd::{pipe, read, write};
use syscalls::Sysno;

use crate::child::{Child, EPOLL_WAIT};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

/// An epoll that watches one descriptor.
fn watching(fd: impl std::os::fd::AsFd, flags: EpollFlags) -> Result<Epoll> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    epoll.add(fd, EpollEvent::new(flags, 0)).context("epoll_ctl")?;
    Ok(epoll)
}

/// epoll_wait(2) without waiting: how many are ready.
fn look(epoll: &Epoll) -> nix::Result<usize> {
    epoll.wait(&mut [EpollEvent::empty(); 4], EpollTimeout::ZERO)
}

pub(super) const LEVEL_OR_EDGE: Experiment = Experiment {
    name: "level-or-edge",
    title: "One more byte, behind ninety unread ones",
    level: Level::Later,
    question: "A program watches a socket with EPOLLET. 100 bytes come, it is told, \
               reads 10 of them, and sleeps in epoll_wait(2). Then one more byte comes, \
               behind the 90. From now on it reads 10 bytes each time that it is told. \
               How often is it told?",
    answers: &[
        right(
            "it is told once",
            "An edge is not the change from nothing to something: each time that data \
             come is one. But it is told once, however much is there: 81 bytes lie \
             unread. By default, without EPOLLET, it would be told until all is read.",
        ),
        wrong(
            "it is told ten times",
            "That is true without EPOLLET: by default epoll tells of a state, that \
             something is there to read. With EPOLLET it tells of an event, that \
             something has come.",
        ),
        wrong(
            "it is never told",
            "The socket was readable before, and so nothing has changed, one might \
             think. But what EPOLLET reports is that data have come, and they have.",
        ),
    ],
    kind: Kind::Kernel,
    run: level_or_edge,
    moral: "With EPOLLET read until EAGAIN. New data wake a program that has left some \
            unread, and so the mistake stays hidden for as long as the peer goes on \
            sending.",
    see: "epoll(7)",
    file: file!(),
    shows: &["level-or-edge"],
};

// ANCHOR: level-or-edge
fn level_or_edge(stage: &Stage) -> Result<usize> {
    let mut told = Vec::new();
    for (name, flags) in [
        ("level", EpollFlags::EPOLLIN),
        ("edge", EpollFlags::EPOLLIN | EpollFlags::EPOLLET),
    ] {
        let (here, there) = UnixStream::pair().context("socketpair")?;
        let epoll = watching(&here, flags)?;
        let ten = || read(&here, &mut [0; 10]).context("read");
        write(&there, &[0; 100]).context("write")?;
        let first = look(&epoll);
        stage.call(format!("{name}: 100 bytes have come, epoll_wait()"), &first);
        ten()?;
        let unread = look(&epoll);
        stage.call(format!("{name}: 90 are unread, epoll_wait()"), &unread);
        write(&there, &[0]).context("write")?;
        let (mut times, mut bytes) = (0, 0);
        while look(&epoll)? == 1 {
            times += 1;
            bytes += ten()?;
        }
        let call = format!("{name}: one more byte, epoll_wait() returned 1, times");
        stage.call(call, &times);
        stage.saw(&format!("{name}: told of the 90 again"), unread? == 1);
        stage.saw(&format!("{name}: times it was told after one more"), times);
        stage.saw(&format!("{name}: bytes read then"), bytes);
        told.push(times);
    }
    Ok(match told[1] {
        1 => 1,
        0 => 3,
        _ => 2,
    })
}
// ANCHOR_END: level-or-edge

pub(super) const EDGE_NOT_DRAINED: Experiment = Experiment {
    name: "edge-not-drained",
    title: "One read for each edge",
    level: Level::Later,
    question: "A server watches a client with EPOLLET, and calls read(2) once, with room \
               for 4 bytes, each time that epoll_wait(2) tells it to. The client sends a \
               request of 8 bytes, and waits for the answer, which the server sends when it \
               has all 8. What happens?",
    answers: &[
        right(
            "the server sleeps in epoll_wait, the client in read",
            "The server waits to be told of 4 bytes that it has been told of. Only new \
             data would wake it, and the client sends none before it has its answer.",
        ),
        wrong(
            "the server is told twice, reads twice and answers",
            "That is true without EPOLLET. The second half came with the first, so no \
             second event comes.",
        ),
        wrong(
            "the server is told again when the client calls read",
            "The kernel does not know what a client is waiting for.",
        ),
    ],
    kind: Kind::Kernel,
    run: edge_not_drained,
    moral: "With EPOLLET: non-blocking, and read until EAGAIN, every time. With a peer \
            that goes on sending the mistake stays hidden; with one that waits it \
            hangs.",
    see: "epoll(7)",
    file: file!(),
    shows: &[
        "edge-not-drained-broken",
        "edge-not-drained-cured",
        "edge-not-drained",
    ],
};

// ANCHOR: edge-not-drained-broken
/// One read, as a program would do when poll has returned readable.
fn read_once(stage: &Stage, client: &UnixStream) -> Result<usize> {
    let got = read(client, &mut [0; 4]);
    stage.call("read(4 bytes)", &got);
    Ok(got?)
}
// ANCHOR_END: edge-not-drained-broken

// ANCHOR: edge-not-drained-cured
/// Reads until nothing is left: then, and only then, is there another edge to wait for.
fn read_until_eagain(stage: &Stage, client: &UnixStream) -> Result<usize> {
    let mut sum = 0;
    loop {
        let got = read(client, &mut [0; 4]);
        stage.call("read(4 bytes)", &got);
        match got {
            Err(Errno::EAGAIN) => return Ok(sum),
            got => sum += got?,
        }
    }
}
// ANCHOR_END: edge-not-drained-cured

// ANCHOR: edge-not-drained
fn edge_not_drained(stage: &Stage) -> Result<usize> {
    type Reads = fn(&Stage, &UnixStream) -> Result<usize>;
    let converse = |who, reads: Reads| -> Result<(Child<usize>, Child<usize>)> {
        let (here, there) = UnixStream::pair().context("socketpair")?;
        here.set_nonblocking(true).context("fcntl")?;
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        let epoll = watching(&here, edge)?;
        let server = stage.fork(who, |stage| {
            let mut have = 0;
            while have < 8 {
                let told =
                    epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE);
                stage.call("epoll_wait()", &told);
                have += reads(stage, &here)?;
            }
            Ok(write(&here, b"answer")?)
        })?;
        let client = stage.fork("client", |stage| {
            stage.event("client", "writes 8 bytes"); // said before the server is told
            write(&there, b"question")?;
            let got = read(&there, &mut [0; 16]);
            stage.call("read()", &got);
            Ok(got?)
        })?;
        Ok((server, client))
    };
    let (server, client) = converse("hasty", read_once)?;
    client.until_asleep_in(&[Sysno::read])?;
    let stuck = server.until_asleep_in(&[EPOLL_WAIT]).is_ok()
        && client.until_asleep_in(&[Sysno::read]).is_ok();
    stage.event("hasty", "sleeps in epoll_wait(), with 4 bytes to read");
    stage.event("client", "sleeps in read()");
    server.kill(Signal::SIGKILL)?;
    client.kill(Signal::SIGKILL)?;
    server.end()?;
    client.end()?;

    let (server, client) = converse("drains", read_until_eagain)?;
    let answer = client.join()?;
    server.join()?;
    stage.saw("one read for each edge: both sleep", stuck);
    stage.saw("until EAGAIN: bytes of the answer", answer);
    Ok(if stuck { 1 } else { 2 })
}
// ANCHOR_END: edge-not-drained

pub(super) const ONESHOT: Experiment = Experiment {
    name: "oneshot",
    title: "Two threads, one epoll, one client",
    level: Level::Deep,
    question: "Two threads wait on one epoll. A client's message comes; thread A is \
               told, and has not read yet, when more comes from the same client. Thread \
               B calls epoll_wait(2). Is B told of it by default, with EPOLLET, and \
               with EPOLLONESHOT?",
    answers: &[
        wrong(
            "no; no; no",
            "The kernel does not know that A is at work. By default the client is \
             readable, and each thread that asks is told so.",
        ),
        wrong(
            "yes; no; no",
            "Each edge is told once. The second message is a second edge, and B is the \
             one that asks.",
        ),
        right(
            "yes; yes; no",
            "Only EPOLLONESHOT switches the descriptor off when it has been told. A \
             switches it on again by epoll_ctl(EPOLL_CTL_MOD) when it is done, and what \
             came meanwhile is told then.",
        ),
    ],
    kind: Kind::Kernel,
    run: oneshot,
    moral: "With several threads on one epoll use EPOLLONESHOT, or two of them will serve one \
            client at the same time, and its messages are answered in any order, or torn.",
    see: "epoll(7), epoll_ctl(2)",
    file: file!(),
    shows: &["oneshot"],
};

// ANCHOR: oneshot
fn oneshot(stage: &Stage) -> Result<usize> {
    // Threads, so in a process of its own: this one will fork again.
    let process = stage.fork("threads", |stage| {
        let mut told = Vec::new();
        for (name, how) in [
            ("default", EpollFlags::empty()),
            ("EPOLLET", EpollFlags::EPOLLET),
            ("EPOLLONESHOT", EpollFlags::EPOLLONESHOT),
        ] {
            let (reading, writing) = pipe()?;
            let flags = EpollFlags::EPOLLIN | how;
            let epoll = watching(&reading, flags)?;
            write(&writing, b"first")?;
            let a = in_a_thread(|| look(&epoll))?;
            stage.call(format!("{name}: thread A: epoll_wait()"), &a);
            write(&writing, b"second")?; // A has not read yet
            let b = in_a_thread(|| look(&epoll))?;
            stage.call(format!("{name}: thread B: epoll_wait()"), &b);
            told.push(b? == 1);
            if how == EpollFlags::EPOLLONESHOT {
                let armed = epoll.modify(&reading, &mut EpollEvent::new(flags, 0));
                stage.call("thread A: epoll_ctl(EPOLL_CTL_MOD)", &armed);
                let again = look(&epoll);
                stage.call("epoll_wait()", &again);
                told.push(again? == 1);
            }
        }
        Ok(told)
    })?;
    let told: Vec<bool> = process.join()?;
    stage.saw("B was told by default", told[0]);
    stage.saw("with EPOLLET", told[1]);
    stage.saw("with EPOLLONESHOT", told[2]);
    stage.saw("with EPOLLONESHOT, armed again", told[3]);
    Ok(match told[..3] {
        [false, false, false] => 1,
        [true, false, false] => 2,
        _ => 3,
    })
}

/// What `part` returns in a thread of its own.
fn in_a_thread<T: Send>(part: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(part).join())
        .map_err(|_| anyhow!("a thread panicked"))
}
// ANCHOR_END: oneshot
