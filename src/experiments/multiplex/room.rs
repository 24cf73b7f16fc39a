//! How many descriptors: how many fit, what they cost, and when there is no room.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{SocketFlags, accept_with};

use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::{ready, select_bits};

fn event(value: u32) -> Result<EventFd> {
    EventFd::from_value_and_flags(value, EfdFlags::EFD_CLOEXEC).context("eventfd")
}

/// Raises the soft limit of open files to the hard one; returns that.
fn all_files_allowed() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit")?;
    Ok(hard)
}

pub(super) const FD_SETSIZE: Experiment = Experiment {
    name: "fd-setsize",
    title: "select, and the descriptor 1500",
    level: Level::Later,
    question: "A program has a readable descriptor whose number is 1500. It calls \
               select(2) with a set of 4096 bits of its own making, in which the bit \
               1500 is set. You may have read that select can watch only descriptors \
               below 1024. What does the system call return?",
    answers: &[
        wrong(
            "-1, with the error EINVAL",
            "The kernel has no FD_SETSIZE. EINVAL is for a negative number.",
        ),
        wrong(
            "zero, with the bit 1500 clear",
            "The kernel does not stop at 1024 bits. It looks at as many as the first \
             argument says, as far as descriptors are open.",
        ),
        right(
            "one, with the bit 1500 set",
            "The system call takes sets of any length. FD_SETSIZE is the length of the \
             C type fd_set, and with it of all programs that use it.",
        ),
    ],
    kind: Kind::Kernel,
    run: fd_setsize,
    moral: "In C the limit is still real: FD_SET(1500) on an fd_set writes outside it, \
            into whatever is beside it. A program that may have more than 1024 \
            descriptors uses poll or epoll.",
    see: "select(2)",
    file: file!(),
    shows: &["fd-setsize"],
};

// ANCHOR: fd-setsize
fn fd_setsize(stage: &Stage) -> Result<usize> {
    const NUMBER: usize = 1500;
    stage.needs(&needs::HIGH_DESCRIPTOR)?;
    all_files_allowed()?;
    let readable = event(1)?; // a count that is not 0 can be read
    let high = fcntl_dupfd_cloexec(&readable, NUMBER as i32).context("fcntl")?;
    let number = high.as_raw_fd() as usize;
    stage.call("fcntl(a readable descriptor, F_DUPFD, 1500)", &high);

    let mut set = [0; 4096 / select_bits::PER_WORD];
    set[number / select_bits::PER_WORD] |= 1 << (number % select_bits::PER_WORD);
    let selected = select_bits::select(&mut set);
    stage.call("select(4096, a set with that bit)", &selected);
    let still =
        set[number / select_bits::PER_WORD] >> (number % select_bits::PER_WORD) & 1;
    stage.event("main", format!("its bit in the set is {still}"));
    stage.saw("the descriptor", number);
    stage.saw("select", selected.shown());
    stage.saw("its bit", still);
    stage.saw("bits in a C fd_set", ready::FD_SETSIZE);
    match (selected, still) {
        (Err(Errno::EINVAL), _) => Ok(1),
        (Ok(0), _) => Ok(2),
        (Ok(1), 1) => Ok(3),
        other => bail!("select: {other:?}"),
    }
}
// ANCHOR_END: fd-setsize

pub(super) const ONE_OF_MANY: Experiment = Experiment {
    name: "one-of-many",
    title: "One is ready among ten thousand",
    level: Level::First,
    question: "A server watches 10,000 descriptors, and the last of them is ready. It \
               calls poll(2) for all, or epoll_wait(2) with a set that it has filled \
               before. The call returns one. How many entries must the program look at \
               to learn which it is?",
    answers: &[
        wrong(
            "one after poll, one after epoll_wait",
            "One is the number that each of them returns. poll does not say which it \
             is: its array has an entry for each descriptor, and the program looks for \
             the one that is not zero.",
        ),
        right(
            "all after poll, one after epoll_wait",
            "poll is given all 10,000 anew in each call, asks each of them, and writes \
             its answer into each entry. epoll keeps the set in the kernel, with a list \
             of what is ready, and writes only what is on that list.",
        ),
        wrong(
            "all after poll, all after epoll_wait",
            "epoll_wait fills its array from the front with those that are ready, and \
             returns how many. A descriptor that becomes ready puts itself on epoll's \
             list.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_of_many,
    moral: "The cost of select and poll grows with what is watched, that of epoll_wait with \
            what is ready. For ten descriptors it does not matter, as the times show; for \
            ten thousand it is all that matters.",
    see: "poll(2), epoll(7), select(2)",
    file: file!(),
    shows: &["one-of-many"],
};

// ANCHOR: one-of-many
fn one_of_many(stage: &Stage) -> Result<usize> {
    let room = all_files_allowed()?.saturating_sub(100) as usize;
    let (mut last, mut times) = ((0, 0, 0), Vec::new());
    for wanted in [10, 100, 1000, 10_000] {
        let many = wanted.min(room);
        if many < wanted {
            stage.note(format!("RLIMIT_NOFILE allows {many} here, not {wanted}"));
        }
        let events: Vec<EventFd> = (0..many)
            .map(|index| event(u32::from(index == many - 1)))
            .collect::<Result<_>>()?;
        let (by_poll, poll_took) = poll_them(&events)?;
        let (by_epoll, epoll_took) = epoll_them(&events)?;
        stage.event(
            "main",
            format!(
                "{many} watched: entries to look at: {by_poll} by poll, {by_epoll} by epoll"
            ),
        );
        let select_took = match many {
            ..=1000 => format!("select {:.1} µs, ", select_them(&events)?),
            _ => String::new(),
        };
        times.push(format!(
            "of {many}: {select_took}poll {poll_took:.1} µs, epoll_wait {epoll_took:.1} µs"
        ));
        stage.saw(&format!("of {many}: to look at, by poll"), by_poll);
        stage.saw(&format!("of {many}: to look at, by epoll"), by_epoll);
        last = (many, by_poll, by_epoll);
    }
    stage.note(format!("one call, one ready {}", times.join("; ")));
    Ok(match last {
        (_, 1, 1) => 1,
        (many, poll, 1) if poll == many => 2,
        _ => 3,
    })
}

/// How many entries of poll(2) a program looks at until one is ready, and the microseconds
/// that the call took.
fn poll_them(events: &[EventFd]) -> Result<(usize, f64)> {
    let entry = |event: &EventFd| libc::pollfd {
        fd: event.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut fds: Vec<libc::pollfd> = events.iter().map(entry).collect();
    let took = fastest(|| ready::poll(&mut fds, -1))?;
    let first = fds.iter().position(|fd| fd.revents != 0);
    Ok((first.context("none is ready")? + 1, took))
}

/// The same of epoll_wait(2).
fn epoll_them(events: &[EventFd]) -> Result<(usize, f64)> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    for (index, event) in (0..).zip(events) {
        let interest = EpollEvent::new(EpollFlags::EPOLLIN, index);
        epoll.add(event, interest).context("epoll_ctl")?;
    }
    let mut written = vec![EpollEvent::empty(); events.len()];
    let took = fastest(|| epoll.wait(&mut written, EpollTimeout::NONE))?;
    let first = written.iter().position(|event| !event.events().is_empty());
    let first = first.context("none is ready")?;
    let which = written[first].data();
    anyhow::ensure!(which as usize == events.len() - 1, "{which} is ready");
    Ok((first + 1, took))
}

/// The microseconds that select(2) took.
fn select_them(events: &[EventFd]) -> Result<f64> {
    let mut all = [0; 2048 / select_bits::PER_WORD];
    for number in events.iter().map(|event| event.as_raw_fd() as usize) {
        all[number / select_bits::PER_WORD] |= 1 << (number % select_bits::PER_WORD);
    }
    fastest(|| select_bits::select(&mut all.clone()))
}

/// The fastest of some calls, in microseconds: the others were disturbed.
fn fastest(mut call: impl FnMut() -> nix::Result<usize>) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        let ready = call()?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e6);
        anyhow::ensure!(ready == 1, "{ready} are ready");
    }
    Ok(fastest)
}
// ANCHOR_END: one-of-many

pub(super) const ACCEPT_EMFILE: Experiment = Experiment {
    name: "accept-emfile",
    title: "No descriptor left for the next client",
    level: Level::Later,
    question: "A server waits in epoll_wait(2) for its listening socket, and accepts \
               each client. It has used up its descriptors (RLIMIT_NOFILE) when one \
               more client connects. accept(2) fails with EMFILE; the server writes \
               that to its log and calls epoll_wait again. What does that do?",
    answers: &[
        right(
            "it returns at once, and does so again and again",
            "The client that was not accepted is still in the queue, so the loop turns \
             as fast as it can. It takes a whole processor and fills the disk with its \
             log, to do nothing.",
        ),
        wrong(
            "it sleeps until one client leaves or another comes",
            "The client that could not be accepted is still in the queue. The socket \
             is as ready as before.",
        ),
        wrong(
            "it sleeps, and that client's connection is closed",
            "accept failed before it took anything from the queue. The client is \
             connected, and waits for an answer.",
        ),
    ],
    kind: Kind::Kernel,
    run: accept_emfile,
    moral: "At EMFILE a server must do something: stop watching the listener until a client \
            has left, or keep a spare descriptor and use it to turn the client away.",
    see: "accept(2), epoll(7), getrlimit(2)",
    file: file!(),
    shows: &["accept-emfile-broken", "accept-emfile-cured", "accept-emfile"],
};

// ANCHOR: accept-emfile-broken
/// Accepts; if it fails, goes on.
fn accept_or_log(listener: &UnixListener) -> nix::Result<OwnedFd> {
    let accepted = accept_with(listener, SocketFlags::CLOEXEC);
    accepted.map_err(os::calls::nix_errno)
}
// ANCHOR_END: accept-emfile-broken

// ANCHOR: accept-emfile-cured
/// Accepts; if there is no descriptor, turns the client away with the spare one.
fn accept_or_turn_away(
    listener: &UnixListener,
    spare: &mut Option<OwnedFd>,
) -> nix::Result<OwnedFd> {
    let accepted = accept_or_log(listener);
    if accepted.as_ref().err() == Some(&Errno::EMFILE) {
        *spare = None; // makes room for one
        drop(accept_or_log(listener)?); // the client's recv returns 0
        *spare = Some(open("/dev/null", OFlag::O_RDONLY, Mode::empty())?);
    }
    accepted
}
// ANCHOR_END: accept-emfile-cured

// ANCHOR: accept-emfile
fn accept_emfile(stage: &Stage) -> Result<usize> {
    let path = stage.path("sock");
    let listener = UnixListener::bind(&path).context("bind")?;
    listener.set_nonblocking(true).context("fcntl")?;
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    let interest = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    epoll.add(&listener, interest).context("epoll_ctl")?;
    let client = UnixStream::connect(&path).context("connect")?;
    // The spare has the lowest free number. With the limit above it, no other is free.
    let mut spare =
        Some(open("/dev/null", OFlag::O_RDONLY, Mode::empty()).context("open")?);
    let limit = spare.as_ref().map_or(0, |fd| fd.as_raw_fd() as u64) + 1;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).context("setrlimit")?;
    stage.event("main", "every descriptor that RLIMIT_NOFILE allows is in use");

    let mut room = [EpollEvent::empty(); 4];
    let (mut turns, mut failed) = (0, 0);
    while turns < 1000 && epoll.wait(&mut room, EpollTimeout::ZERO)? == 1 {
        turns += 1;
        let accepted = accept_or_log(&listener);
        failed += usize::from(accepted.as_ref().err() == Some(&Errno::EMFILE));
        if turns <= 2 {
            stage.call("epoll_wait()", &1);
            stage.call("accept()", &accepted);
        }
    }
    stage.event("main", format!("and so on: {failed} failures in {turns} turns"));
    let mut closed_by_kernel = [0];
    client.set_nonblocking(true).context("fcntl")?;
    let gone = nix::unistd::read(&client, &mut closed_by_kernel) == Ok(0);

    let turned_away = accept_or_turn_away(&listener, &mut spare);
    stage.call("accept(), with a spare descriptor", &turned_away);
    let heard = nix::unistd::read(&client, &mut [0; 1]);
    stage.call("the client: read()", &heard);
    let after = epoll.wait(&mut room, EpollTimeout::ZERO);
    stage.call("epoll_wait()", &after);
    stage.saw("turns in a thousand", turns);
    stage.saw("of which accept failed", failed);
    stage.saw("turned away, the client reads", heard.shown());
    stage.saw("the listener is then ready", after == Ok(1));
    Ok(match (turns, gone) {
        (1000, false) => 1,
        (_, true) => 3,
        _ => 2,
    })
}
// ANCHOR_END: accept-emfile
