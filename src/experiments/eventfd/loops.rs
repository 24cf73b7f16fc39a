//! An eventfd in a loop of epoll(7).

use anyhow::{Context, Result, bail};
use nix::sys::epoll::EpollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{counter, left, ready, watching};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const LEVEL_IS_TOLD_AGAIN: Experiment = Experiment {
    name: "level-is-told-again",
    title: "Woken, and the counter not read",
    level: Level::Later,
    question: "An epoll watches an eventfd with EPOLLIN, and nothing else. One write \
               comes. The loop's epoll_wait(2) returns it; the program does its work, and \
               never reads the eventfd. What does the next epoll_wait do?",
    answers: &[
        right(
            "it returns at once, again",
            "By default epoll tells of a state: the counter is not 0. It stays so until it \
             is read, and the loop takes a whole CPU.",
        ),
        wrong(
            "it sleeps until a write",
            "So it is with EPOLLET, which tells of events. By default it is the state that \
             counts.",
        ),
        wrong(
            "it sleeps until a read",
            "A read makes it not ready. What makes it ready is a write.",
        ),
    ],
    kind: Kind::Kernel,
    run: level_is_told_again,
    moral: "Read the eventfd first, then look at what it announced: so a write that comes \
            meanwhile wakes the loop once more.",
    see: "epoll(7), eventfd(2)",
    file: file!(),
    shows: &[
        "level-is-told-again-broken",
        "level-is-told-again-cured",
        "level-is-told-again",
    ],
};

// ANCHOR: level-is-told-again-broken
/// Takes nothing out of the eventfd.
fn work(_: &EventFd) {}
// ANCHOR_END: level-is-told-again-broken

// ANCHOR: level-is-told-again-cured
/// Takes the number first.
fn read_and_work(event: &EventFd) {
    let _announced = event.read();
}
// ANCHOR_END: level-is-told-again-cured

// ANCHOR: level-is-told-again
fn level_is_told_again(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let epoll = watching(&event, EpollFlags::EPOLLIN)?;
    stage.call("write(1)", &event.write(1));
    let rounds = |work: fn(&EventFd)| {
        let mut woken = 0;
        for _ in 0..1000 {
            woken += ready(&epoll)?;
            work(&event);
        }
        anyhow::Ok(woken)
    };
    let unread = rounds(work)?;
    stage.event(
        "main",
        format!("never reads: {unread} of 1000 epoll_wait() return it"),
    );
    let read = rounds(read_and_work)?;
    stage.event("main", format!("reads: {read} of 1000 epoll_wait() return it"));
    stage.saw("told, of 1000, if it never reads", unread);
    stage.saw("told, of 1000, if it reads", read);
    match unread {
        1000 => Ok(1),
        1 => Ok(2),
        other => bail!("told {other} times"),
    }
}
// ANCHOR_END: level-is-told-again

pub(super) const EDGE_NEVER_READ: Experiment = Experiment {
    name: "edge-never-read",
    title: "EPOLLET, and never a read",
    level: Level::Later,
    question: "An epoll watches an eventfd with EPOLLET. A write comes and is reported; \
               the program does not read the eventfd. Another write comes: the counter \
               goes from 1 to 2. Is that one reported, too?",
    answers: &[
        wrong(
            "no: it was readable all the time",
            "An edge need not be one from \"not readable\" to \"readable\". For an eventfd \
             each write is an event.",
        ),
        wrong(
            "no: a read must come in between",
            "That is the rule for sockets with a rest of data, since nothing new need \
             come. Here something new has come: a write.",
        ),
        right(
            "yes: each write is a new event",
            "The write wakes those who wait for the eventfd, and epoll with EPOLLET \
             reports that wake-up. The read may be left out altogether.",
        ),
    ],
    kind: Kind::Kernel,
    run: edge_never_read,
    moral: "With EPOLLET a loop needs no read to be woken again; Rust's event loops on the crate \
            mio do so, and save a call. After 2^64 - 2 writes the next one would sleep.",
    see: "epoll(7), eventfd(2)",
    file: file!(),
    shows: &["edge-never-read"],
};

// ANCHOR: edge-never-read
fn edge_never_read(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let epoll = watching(&event, EpollFlags::EPOLLIN | EpollFlags::EPOLLET)?;
    let mut told = Vec::new();
    for _ in 0..3 {
        stage.call("write(1)", &event.write(1));
        for _ in 0..2 {
            let now = ready(&epoll)?;
            stage.call("epoll_wait()", &now);
            told.push(now);
        }
    }
    let number = left(&event)?;
    stage.call("read(), the number", &number);
    stage.saw("told, twice after each write", told.clone());
    stage.saw("left", number);
    match told[..] {
        [1, 0, 0, 0, 0, 0] => Ok(1),
        [1, 0, 1, 0, 1, 0] => Ok(3),
        _ => bail!("told {told:?}"),
    }
}
// ANCHOR_END: edge-never-read

pub(super) const EDGE_MERGES: Experiment = Experiment {
    name: "edge-merges",
    title: "EPOLLET, and a thousand writes",
    level: Level::Later,
    question: "An epoll watches an eventfd with EPOLLET. While the program is busy \
               elsewhere, other processes write 1 to the eventfd a thousand times. Then \
               the program calls epoll_wait(2) until nothing is reported. How often is it \
               told?",
    answers: &[
        wrong(
            "a thousand times",
            "epoll has no queue of events. It has a list of descriptors of which something \
             happened, and the eventfd stands there once.",
        ),
        right(
            "once, for them all",
            "The first write puts the eventfd on the list of the epoll, and the others \
             find it there. How much came, the counter says: 1000.",
        ),
        wrong(
            "never: it was busy",
            "The list waits for the program, as the counter does. Nothing is lost but the \
             number of the writes.",
        ),
    ],
    kind: Kind::Kernel,
    run: edge_merges,
    moral: "\"Edge-triggered\" is not \"once for each write\". After being told look at all that \
            there is to do.",
    see: "epoll(7), eventfd(2)",
    file: file!(),
    shows: &["edge-merges"],
};

// ANCHOR: edge-merges
fn edge_merges(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let epoll = watching(&event, EpollFlags::EPOLLIN | EpollFlags::EPOLLET)?;
    let notifier = stage.fork("notifier", |stage| {
        for _ in 0..1000 {
            event.write(1).context("write")?;
        }
        stage.event("notifier", "write(1), a thousand times");
        Ok(())
    })?;
    notifier.join()?;
    let mut told = 0;
    loop {
        let now = ready(&epoll)?;
        stage.call("epoll_wait()", &now);
        if now == 0 {
            break;
        }
        told += now;
    }
    let number = left(&event)?;
    stage.call("read(), the number", &number);
    stage.saw("told", told);
    stage.saw("in the counter", number);
    match told {
        1000 => Ok(1),
        1 => Ok(2),
        0 => Ok(3),
        other => bail!("told {other} times"),
    }
}
// ANCHOR_END: edge-merges

pub(super) const READY_AT_ADD: Experiment = Experiment {
    name: "ready-at-add",
    title: "The write came before the epoll",
    level: Level::Deep,
    question: "A notifier writes 1 to an eventfd. Only then does the waiter add the \
               eventfd to its epoll, with EPOLLET. No further write comes. Does the \
               waiter's epoll_wait(2) report the eventfd?",
    answers: &[
        right(
            "yes, once, since it is readable",
            "epoll_ctl(2) looks at the descriptor when it adds it. What is ready then goes \
             on the list as if it had just become so.",
        ),
        wrong(
            "no, never: the event is over",
            "If that were so, every loop with EPOLLET would have to try each descriptor \
             after adding it.",
        ),
        wrong(
            "yes, and again until it is read",
            "That is the default, without EPOLLET.",
        ),
    ],
    kind: Kind::Kernel,
    run: ready_at_add,
    moral: "The order of the first write and of EPOLL_CTL_ADD does not matter: an eventfd \
            remembers, where a FUTEX_WAKE that comes before the sleep wakes nobody.",
    see: "epoll(7), epoll_ctl(2)",
    file: file!(),
    shows: &["ready-at-add"],
};

// ANCHOR: ready-at-add
fn ready_at_add(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    stage.call("write(1)", &event.write(1));
    let epoll = watching(&event, EpollFlags::EPOLLIN | EpollFlags::EPOLLET)?;
    stage.event("main", "epoll_ctl(EPOLL_CTL_ADD, EPOLLIN | EPOLLET)");
    let told = [ready(&epoll)?, ready(&epoll)?];
    for told in &told {
        stage.call("epoll_wait()", told);
    }
    stage.saw("told", told.to_vec());
    match told {
        [1, 0] => Ok(1),
        [0, 0] => Ok(2),
        [1, 1] => Ok(3),
        _ => bail!("told {told:?}"),
    }
}
// ANCHOR_END: ready-at-add
