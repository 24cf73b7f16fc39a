//! What is in an epoll's set: not numbers, but open files.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::unistd::{dup, pipe, write};

use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const CLOSED_BUT_WATCHED: Experiment = Experiment {
    name: "closed-but-watched",
    title: "A closed descriptor that epoll remembers",
    level: Level::Deep,
    question: "A program watches the read end of a pipe with epoll, under its \
               number. Somewhere a library, or a child that was forked, has a duplicate \
               of the descriptor. The program closes its own. Then a byte comes into \
               the pipe. What does epoll_wait(2) return?",
    answers: &[
        wrong(
            "no event, with an empty set",
            "A descriptor that is closed leaves the set by itself when it was the last \
             one. The set holds the open file, and that is open for as long as the \
             duplicate is.",
        ),
        wrong(
            "the error EBADF for the number",
            "epoll_wait never looks at the number again. It keeps it only to give you \
             back what you said when you added it.",
        ),
        right(
            "an event for the closed number",
            "And it says so each time, with no way to stop it: \
             epoll_ctl(EPOLL_CTL_DEL) looks for a number together with its open file, \
             and that pair can no longer be named. The duplicate has another number, \
             which was never added.",
        ),
    ],
    kind: Kind::Kernel,
    run: closed_but_watched,
    moral: "EPOLL_CTL_DEL first, close(2) then. Once the number is given to another \
            client, the event names the wrong one. Where it has happened: close the \
            epoll, and make a new one.",
    see: "epoll(7), epoll_ctl(2)",
    file: file!(),
    shows: &["closed-but-watched"],
};

// ANCHOR: closed-but-watched
fn closed_but_watched(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let number = reading.as_raw_fd();
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    let interest = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
    let added = epoll.add(&reading, interest);
    stage.call(format!("epoll_ctl(EPOLL_CTL_ADD, {number})"), &added);
    let duplicate = dup(&reading);
    stage.call(format!("dup({number})"), &duplicate);
    let duplicate = duplicate.context("dup")?;
    drop(reading);
    stage.event("main", format!("closes {number}"));

    write(&writing, b"x").context("write")?;
    let mut events = [EpollEvent::empty(); 4];
    let told = epoll.wait(&mut events, EpollTimeout::ZERO);
    stage.call("epoll_wait()", &told);
    let whose = told.is_ok_and(|n| n == 1).then(|| events[0].data());
    let for_closed = whose == Some(number as u64);
    // The next descriptor gets the lowest free number: the event now names it.
    let (stranger, _writing) = pipe().context("pipe")?;
    let reused = stranger.as_raw_fd() == number;
    stage.event(
        "main",
        format!("the next pipe(2) is given the number {number} again"),
    );
    let by_number = epoll.delete(&stranger);
    stage.call(format!("epoll_ctl(EPOLL_CTL_DEL, {number})"), &by_number);
    let by_duplicate = epoll.delete(&duplicate);
    stage.call("epoll_ctl(EPOLL_CTL_DEL, the duplicate)", &by_duplicate);
    stage.saw("an event for the closed number", for_closed);
    stage.saw("the number is given to another", reused);
    stage.saw("DEL of the number", by_number.shown());
    stage.saw("DEL of the duplicate", by_duplicate.shown());
    drop(duplicate);
    let afterwards = epoll.wait(&mut events, EpollTimeout::ZERO);
    stage.call("epoll_wait(), with the duplicate closed too", &afterwards);
    stage.saw("with the duplicate closed too", afterwards.shown());
    Ok(match told {
        Ok(0) => 1,
        Err(Errno::EBADF) => 2,
        _ => 3,
    })
}
// ANCHOR_END: closed-but-watched
