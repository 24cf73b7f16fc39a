//! Many processes wait for one socket, and one client comes.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::sys::signal::Signal;
use nix::unistd::{pipe2, read, write};
use syscalls::Sysno;

use crate::child::{Child, EPOLL_WAIT};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};

/// How many wait.
const WORKERS: usize = 8;

/// An epoll that watches one descriptor.
fn watching(fd: impl AsFd, flags: EpollFlags) -> Result<Epoll> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    epoll.add(fd, EpollEvent::new(flags, 0)).context("epoll_ctl")?;
    Ok(epoll)
}

/// Waits until every worker sleeps in one of these calls. A worker that was seen asleep may
/// have been woken since, by another that was looked at later: so two rounds must have
/// seen the same.
fn until_all_sleep(workers: &[Child<()>], calls: &[Sysno]) -> Result<()> {
    let round = || -> Result<Vec<Sysno>> {
        workers.iter().map(|worker| worker.until_asleep_in(calls)).collect()
    };
    let mut seen = round()?;
    loop {
        let now = round()?;
        if now == seen {
            return Ok(());
        }
        seen = now;
    }
}

fn end_all(workers: Vec<Child<()>>) -> Result<()> {
    for worker in workers {
        worker.kill(Signal::SIGKILL)?;
        worker.end()?;
    }
    Ok(())
}

pub(super) const HERD: Experiment = Experiment {
    name: "herd",
    title: "Eight processes wait for one client",
    level: Level::Deep,
    question: "Eight processes sleep in epoll_wait(2), each on an epoll of its own, \
               for one listening socket. One client connects. How many are woken by \
               default, and how many if each has added the socket with the flag \
               EPOLLEXCLUSIVE, which says that others watch it, too?",
    answers: &[
        wrong(
            "one by default, one with the flag",
            "The kernel does not know that one of them is enough. By default each has \
             asked to be told.",
        ),
        right(
            "all by default, fewer with the flag",
            "The socket wakes every epoll that watches it; seven find nothing to \
             accept. EPOLLEXCLUSIVE says: not all of us. epoll_ctl(2) promises that one \
             or more are woken, and it is one as a rule.",
        ),
        wrong(
            "all by default, all with the flag",
            "The flag does not decide which process may accept: accept(2) gives the \
             client to one, and the others get EAGAIN. It decides which are woken.",
        ),
    ],
    kind: Kind::Kernel,
    run: herd,
    moral: "A thundering herd costs a wake-up and an EAGAIN for each worker, per client. Use \
            EPOLLEXCLUSIVE, and count on nothing but that at least one is woken.",
    see: "epoll_ctl(2), epoll(7)",
    file: file!(),
    shows: &["herd-broken", "herd-cured", "herd"],
};

// ANCHOR: herd-broken
/// epoll reports each client to every worker.
fn tell_everybody(listener: &UnixListener) -> Result<Epoll> {
    watching(listener, EpollFlags::EPOLLIN)
}
// ANCHOR_END: herd-broken

// ANCHOR: herd-cured
/// With EPOLLEXCLUSIVE, epoll reports each client to at least one worker.
fn tell_one_of_us(listener: &UnixListener) -> Result<Epoll> {
    watching(listener, EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE)
}
// ANCHOR_END: herd-cured

// ANCHOR: herd
fn herd(stage: &Stage) -> Result<usize> {
    let woken = woken(stage, "each its own", |_| Ok(None), tell_everybody)?;
    let exclusive = self::woken(stage, "exclusive", |_| Ok(None), tell_one_of_us)?;
    stage.saw("processes", WORKERS);
    stage.saw("woken", woken);
    stage.saw("woken with EPOLLEXCLUSIVE", exclusive);
    Ok(match (woken, exclusive) {
        (WORKERS, WORKERS) => 3,
        (WORKERS, _) => 2,
        _ => 1,
    })
}

/// Lets the workers wait by an epoll that they inherit, or by one of their own, and one
/// client connect. Returns in how many of them epoll_wait(2) reported it. No worker
/// accepts, or the late ones would find nothing.
fn woken(
    stage: &Stage,
    name: &str,
    inherited: impl FnOnce(&UnixListener) -> Result<Option<Epoll>>,
    own: fn(&UnixListener) -> Result<Epoll>,
) -> Result<usize> {
    let path = stage.path(name);
    let listener = UnixListener::bind(&path).context("bind")?;
    let inherited = inherited(&listener)?;
    let (counted, count) =
        pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("pipe")?;
    let closed: Gate = stage.gate()?;
    let mut workers: Vec<Child<()>> = Vec::new();
    for _ in 0..WORKERS {
        workers.push(stage.fork("worker", |_| {
            let own = match &inherited {
                Some(_) => None,
                None => Some(own(&listener)?),
            };
            let epoll = inherited.as_ref().or(own.as_ref()).context("an epoll")?;
            epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
            write(&count, b".")?;
            closed.pass() // stays where it can be seen
        })?);
    }
    until_all_sleep(&workers, &[EPOLL_WAIT])?;
    let _client = UnixStream::connect(&path).context("connect")?;
    // All workers that this wakes are awake by now, but may not have run yet.
    until_all_sleep(&workers, &[EPOLL_WAIT, Sysno::readv])?;
    let told = read(&counted, &mut [0; 2 * WORKERS]).unwrap_or(0);
    stage.event("main", format!("{name}: one client; woken: {told} of {WORKERS}"));
    end_all(workers)?;
    Ok(told)
}
// ANCHOR_END: herd

pub(super) const INHERITED_EPOLL: Experiment = Experiment {
    name: "inherited-epoll",
    title: "One epoll for eight processes",
    level: Level::Deep,
    question: "To spare itself the herd, a server makes one epoll, adds its listening \
               socket, and then forks eight processes, which all sleep in epoll_wait(2) on \
               that one epoll. One client connects, and nobody has accepted it yet. How many \
               are woken, by default and with EPOLLET?",
    answers: &[
        wrong(
            "one by default, one with EPOLLET",
            "An event that is told of a level is not used up: the client is still \
             there, and so the next process that waits is told, too.",
        ),
        right(
            "all by default, one with EPOLLET",
            "By default the first to be woken puts the socket back on the list, as it \
             is still readable, and wakes the next, who does the same. An edge is taken \
             off the list by the first.",
        ),
        wrong(
            "all by default, all with EPOLLET",
            "They wait at one epoll, which wakes one sleeper for each event that it \
             has.",
        ),
    ],
    kind: Kind::Kernel,
    run: inherited_epoll,
    moral: "To share an epoll is no cure for the herd by itself: it needs EPOLLET, or \
            EPOLLONESHOT. And after fork(2) remember that the set is shared, too: what \
            one process adds, all are told of.",
    see: "epoll(7)",
    file: file!(),
    shows: &["inherited-epoll"],
};

// ANCHOR: inherited-epoll
fn inherited_epoll(stage: &Stage) -> Result<usize> {
    let shared = |flags| move |listener: &_| Ok(Some(watching(listener, flags)?));
    let level = shared(EpollFlags::EPOLLIN);
    let edge = shared(EpollFlags::EPOLLIN | EpollFlags::EPOLLET);
    let by_level = woken(stage, "inherited", level, tell_everybody)?;
    let by_edge = woken(stage, "inherited, EPOLLET", edge, tell_everybody)?;
    stage.saw("woken by level", by_level);
    stage.saw("woken by edge", by_edge);
    Ok(match (by_level, by_edge) {
        (WORKERS, WORKERS) => 3,
        (WORKERS, _) => 2,
        _ => 1,
    })
}
// ANCHOR_END: inherited-epoll

pub(super) const BLOCKING_ACCEPT: Experiment = Experiment {
    name: "blocking-accept",
    title: "Eight processes asleep in accept",
    level: Level::Later,
    question: "Eight processes sleep in accept(2) on one listening TCP socket, without \
               any epoll. One client connects. You may have read that the kernel wakes \
               only one of them for it. How many does it wake, and what do the others \
               do?",
    answers: &[
        right(
            "one; the other seven sleep on",
            "What you have read is true. A process that sleeps in accept waits \
             exclusively: the kernel wakes the first in the row and stops. Nothing has \
             to be asked for.",
        ),
        wrong(
            "all; seven of them sleep again",
            "That was true before Linux 2.4. It could not be seen from the result of \
             accept, only from the processes' switches, which are what is counted \
             here.",
        ),
        wrong(
            "all; seven of them get EAGAIN",
            "EAGAIN is for sockets that are non-blocking. These would sleep again.",
        ),
    ],
    kind: Kind::Kernel,
    run: blocking_accept,
    moral: "The herd belongs to select, poll and epoll, where one process waits for \
            many things. For processes that only accept, a plain blocking accept(2) is \
            the simplest cure.",
    see: "accept(2), proc(5)",
    file: file!(),
    shows: &["blocking-accept"],
};

// ANCHOR: blocking-accept
fn blocking_accept(stage: &Stage) -> Result<usize> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    let address = listener.local_addr().context("getsockname")?;
    let (closed, served) = (stage.gate()?, stage.gate()?);
    let mut workers: Vec<Child<()>> = Vec::new();
    for _ in 0..WORKERS {
        workers.push(stage.fork("worker", |stage| {
            let accepted = listener.accept().map(|(socket, _)| socket);
            stage.call("accept()", &accepted);
            served.open(1)?;
            closed.pass() // stays where it can be seen
        })?);
    }
    until_all_sleep(&workers, &[Sysno::accept4])?;
    let before: Vec<u64> =
        workers.iter().map(Child::times_slept).collect::<Result<_>>()?;
    let _client = TcpStream::connect(address).context("connect")?;
    served.pass()?;
    until_all_sleep(&workers, &[Sysno::accept4, Sysno::readv])?;
    let mut ran = 0;
    for (worker, before) in workers.iter().zip(before) {
        ran += usize::from(worker.times_slept()? != before);
    }
    let mut still = 0;
    for worker in &workers {
        let asleep = worker.until_asleep_in(&[Sysno::accept4, Sysno::readv])?;
        still += usize::from(asleep == Sysno::accept4);
    }
    stage.event(
        "main",
        format!("woken: {ran} of {WORKERS}; asleep in accept: {still}"),
    );
    stage.saw("processes that ran", ran);
    stage.saw("still asleep in accept", still);
    end_all(workers)?;
    Ok(match (ran, still) {
        (1, _) => 1,
        (_, 0) => 3,
        _ => 2,
    })
}
// ANCHOR_END: blocking-accept
