//! Two processes that have one eventfd open.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EfdFlags;
use nix::sys::signal::Signal;
use rustix::io::ioctl_fionbio;
use syscalls::Sysno;

use super::{counter, left, sleeps};
use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};

pub(super) const ONE_COUNTER: Experiment = Experiment {
    name: "one-counter",
    title: "An eventfd, and fork",
    level: Level::First,
    question: "A program makes an eventfd and has an ordinary variable, both 0. It forks. \
               The child adds 2 to each, and ends. What does the parent find, in the \
               eventfd and in the variable?",
    answers: &[
        wrong(
            "2 and 2",
            "After fork(2) each process has its own copy of the memory: the child has \
             changed its own variable.",
        ),
        right(
            "2 and 0",
            "The child has inherited a copy of the descriptor, and both lead to one \
             counter in the kernel. The variable was copied.",
        ),
        wrong(
            "0 and 0",
            "Of memory that is true. A descriptor is copied too, but the thing that it \
             leads to is not.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_counter,
    moral: "Inheritance is the simplest way to share an eventfd: make it, then fork. A program \
            that the child executes has it too, unless it was made with EFD_CLOEXEC.",
    see: "eventfd(2), fork(2)",
    file: file!(),
    shows: &["one-counter"],
};

// ANCHOR: one-counter
fn one_counter(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let mut variable = 0;
    let child = stage.fork("child", |stage| {
        stage.call("write(eventfd, 2)", &event.write(2));
        variable += 2;
        stage.call("variable += 2", &variable);
        Ok(())
    })?;
    child.join()?;
    let number = left(&event)?;
    stage.call("read(eventfd), the number", &number);
    stage.call("the variable", &variable);
    stage.saw("in the eventfd", number);
    stage.saw("in the variable", variable);
    match (number, variable) {
        (2, 2) => Ok(1),
        (2, 0) => Ok(2),
        (0, 0) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: one-counter

pub(super) const NO_NAME: Experiment = Experiment {
    name: "no-name",
    title: "The way to it through /proc",
    level: Level::Later,
    question: "/proc/PID/fd has a link for each descriptor of a process. A FIFO or a \
               deleted file can be opened there by another process. A program opens \
               the link of an eventfd in its own /proc/self/fd. What does it get?",
    answers: &[
        right(
            "an error: it is ENXIO",
            "The link reads anon_inode:[eventfd], which is no path. The kernel finds the \
             inode, but that inode stands for every such file, and open(2) has nothing to \
             open.",
        ),
        wrong(
            "the same counter",
            "So it is with a pipe or a FIFO, whose buffer hangs on the inode. All \
             eventfds have one inode, and their counters hang on the open file.",
        ),
        wrong("a counter of its own", "Only eventfd(2) makes a counter."),
    ],
    kind: Kind::Kernel,
    run: no_name,
    moral: "An eventfd reaches another process in three ways: by inheritance, over a Unix socket \
            (SCM_RIGHTS), or by pidfd_getfd(2), which needs the right to trace its owner.",
    see: "eventfd(2), proc_pid_fd(5), unix(7), pidfd_getfd(2)",
    file: file!(),
    shows: &["no-name"],
};

// ANCHOR: no-name
fn no_name(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let link = format!("/proc/self/fd/{}", event.as_fd().as_raw_fd());
    let target = std::fs::read_link(&link).context("readlink")?;
    let target = target.display().to_string();
    stage.call("readlink(\"/proc/self/fd/N\")", &target);
    let opened = File::options().read(true).write(true).open(&link);
    stage.call("open(\"/proc/self/fd/N\", O_RDWR)", &opened);
    stage.saw("the link", target);
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let error = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            stage.saw("open", error.to_string());
            return if error == Errno::ENXIO { Ok(1) } else { bail!(error) };
        }
    };
    nix::unistd::write(&opened, &1_u64.to_ne_bytes()).context("write")?;
    Ok(if left(&event)? == 1 { 2 } else { 3 })
}
// ANCHOR_END: no-name

pub(super) const TWO_READERS: Experiment = Experiment {
    name: "two-readers",
    title: "Two sleepers, one write",
    level: Level::Later,
    question: "Two processes sleep in read(2) on one eventfd, made without \
               EFD_SEMAPHORE. A third one writes 2, once. What do the two readers get?",
    answers: &[
        wrong(
            "each of them reads 1",
            "The counter is not shared out. A read takes all that there is.",
        ),
        wrong(
            "each of them reads 2",
            "A read leaves 0, and the other reader finds 0. An eventfd has no list of \
             readers who all must be told.",
        ),
        right(
            "one reads 2, one none",
            "The write wakes both. The first to run takes all of the counter, and the \
             other finds 0 and sleeps again. Which is first, nothing promises.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_readers,
    moral: "An eventfd is no broadcast: a write is read once. To tell n processes, give each its \
            own eventfd, or use a futex, whose FUTEX_WAKE wakes as many as it is told.",
    see: "eventfd(2), futex(2)",
    file: file!(),
    shows: &["two-readers"],
};

// ANCHOR: two-readers
/// What two readers of one eventfd have read after a write of 2, and whether one of them sleeps
/// on.
fn two_readers_after(stage: &Stage, flags: EfdFlags) -> Result<(Vec<u64>, bool)> {
    let event = counter(flags)?;
    let end = stage.gate()?;
    let reader = || {
        stage.fork("reader", |stage| {
            let number = event.read();
            end.pass()?; // so that the report has its cause first
            stage.call("read(), the number", &number);
            number.context("read")
        })
    };
    let (one, other) = (reader()?, reader()?);
    one.until_asleep_in(&[Sysno::read])?;
    other.until_asleep_in(&[Sysno::read])?;
    stage.event("reader", "two of them sleep in read()");
    stage.call("write(2)", &event.write(2));
    let (through, asleep) = match (sleeps(&one)?, sleeps(&other)?) {
        (false, false) => (vec![one, other], None),
        (false, true) => (vec![one], Some(other)),
        (true, false) => (vec![other], Some(one)),
        (true, true) => bail!("nobody was woken"),
    };
    end.open(through.len() as u64)?;
    let numbers: Result<Vec<u64>> = through.into_iter().map(Child::join).collect();
    let slept = asleep.is_some();
    if let Some(asleep) = asleep {
        stage.event("reader", "the other sleeps on");
        asleep.kill(Signal::SIGKILL)?;
        asleep.end()?;
    }
    Ok((numbers?, slept))
}

fn two_readers(stage: &Stage) -> Result<usize> {
    let (numbers, one_sleeps) = two_readers_after(stage, EfdFlags::empty())?;
    stage.saw("read", numbers.clone());
    stage.saw("one sleeps on", one_sleeps);
    match (&numbers[..], one_sleeps) {
        ([1, 1], false) => Ok(1),
        ([2, 2], false) => Ok(2),
        ([2], true) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: two-readers

pub(super) const TWO_READERS_OF_A_SEMAPHORE: Experiment = Experiment {
    name: "two-readers-of-a-semaphore",
    title: "Two sleepers, one write, EFD_SEMAPHORE",
    level: Level::Later,
    question: "Two workers sleep in read(2) on one eventfd, made with EFD_SEMAPHORE. A \
               third process has two jobs for them, and writes 2, once. What do the two \
               workers get?",
    answers: &[
        right(
            "each of them reads 1",
            "Each read takes 1, and the counter had 2. So one write wakes as many workers \
             as there are jobs.",
        ),
        wrong(
            "one reads 2, one none",
            "So it is without EFD_SEMAPHORE: the first takes all.",
        ),
        wrong(
            "one reads 1, one none",
            "sem_post(3) adds 1 and wakes one. This write added 2 and wakes every process \
             that sleeps; each takes 1 while there is some.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_readers_of_a_semaphore,
    moral: "For a pool of workers: EFD_SEMAPHORE, and a write of the number of jobs. The jobs \
            themselves wait elsewhere, in shared memory or in a file.",
    see: "eventfd(2), sem_post(3)",
    file: file!(),
    shows: &["two-readers-of-a-semaphore"],
};

// ANCHOR: two-readers-of-a-semaphore
fn two_readers_of_a_semaphore(stage: &Stage) -> Result<usize> {
    let (numbers, one_sleeps) = two_readers_after(stage, EfdFlags::EFD_SEMAPHORE)?;
    stage.saw("read", numbers.clone());
    stage.saw("one sleeps on", one_sleeps);
    match (&numbers[..], one_sleeps) {
        ([1, 1], false) => Ok(1),
        ([2], true) => Ok(2),
        ([1], true) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: two-readers-of-a-semaphore

pub(super) const TWO_READY_ONE_TAKES: Experiment = Experiment {
    name: "two-ready-one-takes",
    title: "poll says POLLIN, to two",
    level: Level::Later,
    question: "Two processes watch one eventfd, which was made without EFD_NONBLOCK. Its \
               counter is 1, and poll(2) reports POLLIN to both. Now both call \
               read(2). What happens?",
    answers: &[
        wrong(
            "one gets 1, the other fails, EAGAIN",
            "So it is with EFD_NONBLOCK. Without it read waits for a number, whatever \
             poll has said before.",
        ),
        wrong(
            "one gets 1, the other also gets a 1",
            "poll takes nothing and reserves nothing. There is one 1.",
        ),
        right(
            "one gets 1, the other sleeps for it",
            "What poll reports was true when it looked. The other process took it, and a \
             program that is written around one poll now sleeps in read, deaf to all else.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_ready_one_takes,
    moral: "If another process may read the eventfd as well, read it so that the call cannot \
            sleep: EFD_NONBLOCK, or preadv2(2) with RWF_NOWAIT, which is of the call alone.",
    see: "eventfd(2), poll(2), preadv2(2)",
    file: file!(),
    shows: &[
        "two-ready-one-takes-broken",
        "two-ready-one-takes-cured",
        "two-ready-one-takes",
    ],
};

// ANCHOR: two-ready-one-takes-broken
const MAY_SLEEP: EfdFlags = EfdFlags::empty();
// ANCHOR_END: two-ready-one-takes-broken

// ANCHOR: two-ready-one-takes-cured
const NEVER_SLEEPS: EfdFlags = EfdFlags::EFD_NONBLOCK;
// ANCHOR_END: two-ready-one-takes-cured

// ANCHOR: two-ready-one-takes
fn two_ready_one_takes(stage: &Stage) -> Result<usize> {
    // How many of the two were told POLLIN, whether B slept, and what they read.
    let race = |flags: EfdFlags| {
        let event = counter(flags)?;
        event.write(1).context("write")?;
        let (go_a, go_b) = (stage.gate()?, stage.gate()?);
        let (read, end) = (stage.gate()?, stage.gate()?);
        let reader = |name, go: &Gate| {
            stage.fork(name, |stage| {
                let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::ZERO).context("poll")?;
                let events = fds[0].revents().unwrap_or(PollFlags::empty());
                stage.call("poll(eventfd), events", &events);
                go.pass()?;
                let number = event.read();
                stage.call("read(), the number", &number);
                read.open(1)?;
                end.pass()?;
                Ok((events == PollFlags::POLLIN, number.ok()))
            })
        };
        let a = reader("A", &go_a)?;
        a.until_asleep_in(&[Sysno::readv])?;
        let b = reader("B", &go_b)?;
        b.until_asleep_in(&[Sysno::readv])?;
        go_a.open(1)?;
        read.pass()?;
        go_b.open(1)?; // which has woken it when it returns
        let slept = sleeps(&b)?;
        if slept {
            stage.event("B", "sleeps in read()");
            stage.call("write(7), to end that", &event.write(7));
        }
        read.pass()?;
        end.open(2)?;
        let (a, b): ((bool, Option<u64>), (bool, Option<u64>)) =
            (a.join()?, b.join()?);
        let numbers: Vec<_> = [a.1, b.1].into_iter().flatten().collect();
        anyhow::Ok((u64::from(a.0) + u64::from(b.0), slept, numbers))
    };
    let (ready, slept, numbers) = race(MAY_SLEEP)?;
    stage.saw("told POLLIN", ready);
    stage.saw("B slept", slept);
    let (_, cured_slept, cured) = race(NEVER_SLEEPS)?;
    stage.saw("with EFD_NONBLOCK it slept", cured_slept);
    stage.saw("with EFD_NONBLOCK were read", cured);
    match (slept, &numbers[..]) {
        (false, [1]) => Ok(1),
        (false, [1, 1]) => Ok(2),
        (true, [1, 7]) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: two-ready-one-takes

pub(super) const NONBLOCK_IS_SHARED: Experiment = Experiment {
    name: "nonblock-is-shared",
    title: "One side will not wait",
    level: Level::Later,
    question: "A waiter and a notifier share one eventfd, which the notifier has \
               inherited. The waiter sets O_NONBLOCK on its own descriptor by fcntl(2), \
               for its loop. The counter is full. What does the notifier's write \
               do?",
    answers: &[
        wrong(
            "it sleeps until there is room",
            "It did, until the waiter's fcntl. The notifier has not called anything, and \
             its write has changed.",
        ),
        right(
            "it fails with EAGAIN at once",
            "O_NONBLOCK is a flag of the open file description, and fork(2), dup(2) and \
             SCM_RIGHTS copy descriptors of one and the same.",
        ),
        wrong(
            "it fails with EINVAL at once",
            "EINVAL is for fewer than 8 bytes, and for the number 2^64 - 1.",
        ),
    ],
    kind: Kind::Kernel,
    run: nonblock_is_shared,
    moral: "Agree on EFD_NONBLOCK when you make it: it holds for all who have it. One call alone \
            does not sleep by preadv2(2) with RWF_NOWAIT; there is no such flag for a write.",
    see: "eventfd(2), fcntl(2), preadv2(2)",
    file: file!(),
    shows: &["nonblock-is-shared"],
};

// ANCHOR: nonblock-is-shared
fn nonblock_is_shared(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    stage.call("write(2^64 - 2)", &event.write(u64::MAX - 1));
    let (go, end) = (stage.gate()?, stage.gate()?);
    let notifier = stage.fork("notifier", |stage| {
        go.pass()?;
        let added = event.write(1);
        stage.call("write(1)", &added);
        end.pass()?;
        Ok(added.err().map(|error| error as i32))
    })?;
    let set = ioctl_fionbio(&event, true);
    stage.call("fcntl(eventfd, F_SETFL, O_NONBLOCK)", &set);
    go.open(1)?;
    let asleep = notifier.until_asleep_in(&[Sysno::write, Sysno::readv])?;
    if asleep == Sysno::write {
        event.read().context("read")?;
        end.open(1)?;
        notifier.join()?;
        return Ok(1);
    }
    end.open(1)?;
    let error = notifier.join()?.map(Errno::from_raw);
    stage.saw("the notifier's write", error.map(|error| error.to_string()));
    match error {
        Some(Errno::EAGAIN) => Ok(2),
        Some(Errno::EINVAL) => Ok(3),
        other => bail!("write: {other:?}"),
    }
}
// ANCHOR_END: nonblock-is-shared
