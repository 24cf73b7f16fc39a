//! io_uring: no report of what could be done, but of what is done.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::unistd::{pipe2, read, write};

use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use doctor::probes::needs::IO_URING;
use os::ring::{Completion, Ring};

fn new_pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).context("pipe")
}

/// A ring, where there may be one.
fn new_ring(stage: &Stage) -> Result<Ring> {
    stage.needs(&IO_URING)?;
    Ring::new(16).context("io_uring_setup")
}

/// io_uring_enter(2), reported.
fn enter(stage: &Stage, ring: &mut Ring, min_complete: usize) -> Result<()> {
    let handed_over = ring.enter(min_complete);
    stage
        .call(format!("io_uring_enter(min_complete: {min_complete})"), &handed_over);
    handed_over.context("io_uring_enter")?;
    Ok(())
}

/// What has come of a request: the bytes that were read, or an error.
fn shown(one: &Completion) -> String {
    match one.result {
        Ok(n) => {
            String::from_utf8_lossy(&one.buffer[..n.min(one.buffer.len())]).into()
        }
        Err(error) => error.to_string(),
    }
}

pub(super) const ONE_CALL: Experiment = Experiment {
    name: "ring-one-call",
    title: "Eight pipes, and how many system calls",
    level: Level::Later,
    question: "Each of eight pipes holds a message. With poll(2) and read(2) a program makes nine \
               system calls to get them all. Another one uses io_uring, and has made its ring. \
               How many system calls does it need for the eight messages?",
    answers: &[
        right(
            "one for all of them",
            "The requests are written into memory that program and kernel share, and so are the \
             results. One io_uring_enter hands over eight requests, and sleeps until eight are \
             complete.",
        ),
        wrong(
            "two for all of them",
            "To hand over and to wait are two numbers of one call: to_submit and min_complete.",
        ),
        wrong(
            "eight for all of them",
            "A request is no call: to write it into the queue is a store into memory.",
        ),
        wrong(
            "nine for all of them",
            "That is poll, which says what could be read, and then a read for each. A ring is \
             told what to read, and no poll comes before.",
        ),
    ],
    kind: Kind::Needs(&IO_URING),
    run: one_call,
    moral: "io_uring saves calls where there are many at a time. For one message at a time it is \
            one call as well, where epoll needs two; measure before you take it for that.",
    see: "io_uring(7), io_uring_enter(2)",
    file: file!(),
    shows: &["ring-one-call"],
};

// ANCHOR: ring-one-call
fn one_call(stage: &Stage) -> Result<usize> {
    let mut ring = new_ring(stage)?;
    let pipes = (0..8).map(|_| new_pipe()).collect::<Result<Vec<_>>>()?;
    for (number, (reading, writing)) in pipes.iter().enumerate() {
        write(writing, format!("message {number}").as_bytes()).context("write")?;
        ring.read(reading, 100).context("a request")?; // no system call
    }
    let mut calls = 0;
    let mut got = Vec::new();
    while got.len() < pipes.len() {
        enter(stage, &mut ring, pipes.len() - got.len())?;
        calls += 1;
        got.extend(ring.completions()); // no system call
    }
    for one in &got {
        stage.event("a completion", shown(one));
    }
    stage.saw("calls", calls);
    stage.saw("messages", got.iter().filter(|one| one.result == Ok(9)).count());
    Ok(match calls {
        1 => 1,
        2..8 => 2,
        8 => 3,
        _ => 4,
    })
}
// ANCHOR_END: ring-one-call

pub(super) const READS: Experiment = Experiment {
    name: "ring-reads",
    title: "Where the bytes are that have come",
    level: Level::Later,
    question: "A program has handed a read of an empty pipe to io_uring. It calls nothing more that \
               has to do with the ring or with the pipe. Now another process writes 5 bytes \
               into the pipe. Where are the bytes a moment later?",
    answers: &[
        wrong(
            "in the pipe, until it calls read",
            "So it would be with epoll, which tells that a read would not sleep. Here the read \
             was begun, and needs no further call.",
        ),
        wrong(
            "in the pipe, until it enters the ring",
            "io_uring_enter hands over requests, and can wait. The kernel completes them whether \
             anyone waits or not.",
        ),
        right(
            "in the buffer of the request it made",
            "io_uring tells what is done, not what could be done. The kernel has read for the \
             program, and the completion lies in shared memory, where the program may look \
             without a call.",
        ),
    ],
    kind: Kind::Needs(&IO_URING),
    run: reads,
    moral: "A request under way takes what comes: it is no question that one may forget. Who has \
            handed over a read and no longer wants it cancels it, and looks whether it was \
            complete already.",
    see: "io_uring(7), io_uring_prep_cancel(3)",
    file: file!(),
    shows: &["ring-reads"],
};

// ANCHOR: ring-reads
fn reads(stage: &Stage) -> Result<usize> {
    let mut ring = new_ring(stage)?;
    let (reading, writing) = new_pipe()?;
    ring.read(&reading, 100).context("a request")?;
    enter(stage, &mut ring, 0)?;
    let before = ring.completions().len();
    let writer = stage.fork("writer", |stage| {
        let written = write(&writing, b"hello");
        stage.call("write(pipe, \"hello\")", &written);
        Ok(written?)
    })?;
    writer.join()?;
    // This looks at memory that the kernel writes.
    let missing = || "the request does not complete".to_owned();
    let got = until(missing, || Ok(ring.completions().pop()))?;
    stage.event("main", format!("the completion has {:?}", shown(&got)));
    fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let left = read(&reading, &mut [0; 100]);
    stage.call("read(pipe), without blocking", &left);
    stage.saw("completions before the write", before);
    stage.saw("in the buffer", shown(&got));
    stage.saw("in the pipe", left.shown());
    Ok(if left.is_ok() { 1 } else { 3 })
}
// ANCHOR_END: ring-reads

pub(super) const ORDER: Experiment = Experiment {
    name: "ring-order",
    title: "Three requests, and which result is first",
    level: Level::Deep,
    question: "By one call a program hands three reads to io_uring: first one of pipe A, which is \
               empty, then one of pipe B, which holds a message, then one of a file. A message \
               comes to A some time after the call. In which order do the results come?",
    answers: &[
        wrong(
            "in their order: A, B, and then the file",
            "That is the order of the requests. A ring that kept it would let all wait for the \
             slowest one. IOSQE_IO_LINK asks for it.",
        ),
        right(
            "B and the file, and after them A",
            "Each result comes when it is there. The number that the program gave to the request \
             (user_data) says whose it is, and nothing else does.",
        ),
        wrong(
            "none, until A has its message",
            "The three requests have nothing to do with each other, though one call handed them \
             over.",
        ),
    ],
    kind: Kind::Needs(&IO_URING),
    run: order,
    moral: "Give each request a number of its own, and never count on an order: two writes to one \
            socket may change places, too. Link them, or have one under way at a time.",
    see: "io_uring(7), io_uring_enter(2)",
    file: file!(),
    shows: &["ring-order"],
};

// ANCHOR: ring-order
fn order(stage: &Stage) -> Result<usize> {
    let mut ring = new_ring(stage)?;
    let (a, to_a) = new_pipe()?;
    let (b, to_b) = new_pipe()?;
    let path = stage.path("file");
    std::fs::write(&path, "of the file").context("write")?;
    let file = File::open(&path).context("open")?;
    write(&to_b, b"of B").context("write")?;
    let first = ring.read(&a, 100).context("a request")?;
    ring.read(&b, 100).context("a request")?;
    ring.read(&file, 100).context("a request")?;
    let mut got = Vec::new();
    while got.len() < 2 {
        enter(stage, &mut ring, 2 - got.len())?;
        got.extend(ring.completions());
    }
    let at_first = got.iter().any(|one| one.request == first);
    write(&to_a, b"of A").context("write")?;
    stage.event("main", "writes the message for A");
    enter(stage, &mut ring, 1)?;
    got.extend(ring.completions());
    for one in &got {
        stage.event(
            "a completion",
            format!("request {}: {:?}", one.request, shown(one)),
        );
    }
    stage.saw("the last one is", got.last().map_or(String::new(), shown));
    stage.saw("A was among the first two", at_first);
    Ok(if at_first { 1 } else { 2 })
}
// ANCHOR_END: ring-order

pub(super) const POLL_ONCE: Experiment = Experiment {
    name: "ring-poll",
    title: "A ring that only waits, as epoll does",
    level: Level::Deep,
    question: "A program hands IORING_OP_POLL_ADD to io_uring, for the read end of a pipe. A byte \
               comes, and the program gets a completion with POLLIN. It does not read the \
               byte, and asks nothing again. A second byte comes. How often is it told in all?",
    answers: &[
        wrong(
            "again at each look, as with the level",
            "epoll is asked by each epoll_wait anew, and looks. A ring holds requests, and this \
             one is complete.",
        ),
        wrong(
            "a second time: by the edge",
            "That is EPOLLET, or the request with IORING_POLL_ADD_MULTI, which stays until it is \
             removed.",
        ),
        right(
            "the one time: a request is used up",
            "A request has one completion, and is gone. It is like EPOLLONESHOT. To hear more, \
             hand over another one, or a multishot request.",
        ),
    ],
    kind: Kind::Needs(&IO_URING),
    run: poll_once,
    moral: "The kernel forgets a request when it is complete. Multishot requests (poll, accept, recv) \
            have many completions, and IORING_CQE_F_MORE says at each whether more will come.",
    see: "io_uring_prep_poll_add(3), io_uring(7)",
    file: file!(),
    shows: &["ring-poll"],
};

// ANCHOR: ring-poll
fn poll_once(stage: &Stage) -> Result<usize> {
    let mut ring = new_ring(stage)?;
    let (reading, writing) = new_pipe()?;
    let asked = ring.poll(&reading, PollFlags::POLLIN).context("a request")?;
    enter(stage, &mut ring, 0)?;
    stage.call("write(pipe, \"1\")", &write(&writing, b"1"));
    enter(stage, &mut ring, 1)?;
    let told = ring.completions();
    let events = told.first().and_then(|one| one.result.ok()).unwrap_or(0);
    let events = PollFlags::from_bits_truncate(events as i16);
    stage.event("a completion", events.shown());
    stage.call("write(pipe, \"2\")", &write(&writing, b"2"));
    // What would tell of the second byte has had its turn before this.
    ring.poll(&reading, PollFlags::POLLIN).context("a request")?;
    enter(stage, &mut ring, 1)?;
    let more = ring.completions();
    let again = more.iter().filter(|one| one.request == asked).count();
    stage.event("a new request", "is complete at once: the bytes are there");
    stage.saw("told", events.shown());
    stage.saw("told again by the first request", again);
    stage.saw("a new request", more.iter().any(|one| one.request != asked));
    Ok(if again == 0 { 3 } else { 2 })
}
// ANCHOR_END: ring-poll

pub(super) const BUFFER: Experiment = Experiment {
    name: "ring-buffer",
    title: "A buffer that is used again",
    level: Level::Deep,
    question: "A pipe is full. A program hands a write of the 5 bytes `first` to io_uring. The call \
               that hands it over returns, and the program puts `other` into the same buffer, for \
               its next message. Then a reader empties the pipe. What does it get last?",
    answers: &[
        right(
            "`other`, which was not handed over",
            "The kernel keeps a pointer, and no copy. It reads the buffer when it can write: here \
             when the reader has made room. Until the completion the buffer is the kernel's.",
        ),
        wrong(
            "`first`, which io_uring_enter handed over",
            "So it is with write(2): once it returns, the kernel has the bytes. When \
             io_uring_enter returns, it has the request.",
        ),
        wrong(
            "nothing, since the pipe was full",
            "A request that would sleep waits in the kernel until it can be done; it does not \
             fail with EAGAIN.",
        ),
    ],
    kind: Kind::Needs(&IO_URING),
    run: buffer,
    moral: "From the submission to the completion a buffer may not be changed, moved or freed: a \
            buffer on the stack of a function that returns is memory that the kernel writes into. \
            The same holds for MPI_Isend.",
    see: "io_uring(7), io_uring_prep_write(3)",
    file: file!(),
    shows: &["ring-buffer"],
};

// ANCHOR: ring-buffer
fn buffer(stage: &Stage) -> Result<usize> {
    let mut ring = new_ring(stage)?;
    let (reading, writing) = new_pipe()?;
    let filled = fcntl(&writing, FcntlArg::F_GETPIPE_SZ);
    let filled = usize::try_from(filled.context("F_GETPIPE_SZ")?)?;
    write(&writing, &vec![b'.'; filled]).context("write")?;
    stage.event("main", "the pipe is full");
    let request = ring.write(&writing, b"first").context("a request")?;
    enter(stage, &mut ring, 0)?;
    let early = ring.completions();
    ring.overwrite(request, b"other").context("the request is complete")?;
    stage.event("main", "puts \"other\" into the buffer");
    let mut rest = filled;
    while rest > 0 {
        rest -= read(&reading, &mut vec![0; rest]).context("read")?;
    }
    stage.event("main", "reads what filled the pipe");
    enter(stage, &mut ring, 1)?;
    let done = ring.completions();
    let mut last = [0; 100];
    let n = read(&reading, &mut last).context("read")?;
    let last = String::from_utf8_lossy(&last[..n]).into_owned();
    stage.call("read(pipe)", &last);
    stage.saw("complete before the reader came", early.len());
    stage.saw(
        "the write's result",
        done.first().map_or(-1, |one| one.result.map_or(-1, |n| n as i64)),
    );
    stage.saw("the reader gets", last.as_str());
    match last.as_str() {
        "other" => Ok(1),
        "first" => Ok(2),
        _ => bail!("read {last:?}"),
    }
}
// ANCHOR_END: ring-buffer
