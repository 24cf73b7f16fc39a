//! A queue as a descriptor, and as a name that stays.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, MqdT, mq_getattr, mq_open, mq_receive, mq_send, mq_unlink,
};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::read;
use syscalls::Sysno;

use super::{MAKE, OURS, room_for};
use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const POLLABLE: Experiment = Experiment {
    name: "pollable",
    title: "Waiting for a queue and for something else",
    level: Level::Later,
    question: "A program must wait for a message in a POSIX queue and for a byte in a \
               pipe, whichever is first. It gives both descriptors to poll(2). What \
               happens on Linux?",
    answers: &[
        wrong(
            "poll sets POLLNVAL for the queue",
            "POSIX leaves open what an mqd_t is. On Linux it is a file descriptor.",
        ),
        right(
            "poll sleeps, and wakes up for either",
            "POLLIN means that a message is there, POLLOUT that there is room. \
             select(2) and epoll(7) work as well.",
        ),
        wrong(
            "poll calls the queue ready at once",
            "That is true of a regular file. A queue has a state to wait for: the \
             run sees the empty queue as not readable.",
        ),
        wrong(
            "poll sleeps, and wakes up for the pipe alone",
            "A message wakes it too. mq_notify(3) is what POSIX offers where a \
             queue cannot be polled.",
        ),
    ],
    kind: Kind::Kernel,
    run: pollable,
    moral: "On Linux put the queue into the poll set; mq_notify is not needed. It \
            is not portable, and System V queues cannot do it.",
    see: "mq_overview(7), poll(2)",
    file: file!(),
    shows: &["pollable"],
};

// ANCHOR: pollable
fn pollable(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(1, 16)));
    let queue = queue.context("mq_open")?;
    let (pipe, _writer) = nix::unistd::pipe().context("pipe")?;
    let now = |which: &str| {
        let both = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut fds = [PollFd::new(queue.as_fd(), both)];
        ppoll(&mut fds, Some(TimeSpec::seconds(0)), None).context("ppoll")?;
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        stage.call(format!("poll(q), {which}: revents"), &events);
        stage.saw(which, events.shown());
        anyhow::Ok(events)
    };
    let empty = now("empty")?;
    let told = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        let input = PollFlags::POLLIN;
        let mut fds =
            [PollFd::new(queue.as_fd(), input), PollFd::new(pipe.as_fd(), input)];
        let ready = ppoll(&mut fds, None, None);
        told.pass()?; // so that the report has its cause first
        stage.call("poll({q, POLLIN}, {pipe, POLLIN})", &ready);
        Ok(fds.map(|fd| fd.any().unwrap_or(false)))
    })?;
    let slept = waiter.until_asleep_in(&[Sysno::ppoll]).is_ok();
    if slept {
        stage.event("waiter", "sleeps in poll({q, POLLIN}, {pipe, POLLIN})");
    }
    let sent = mq_send(&queue, b"hello", 0);
    stage.call("mq_send(q, \"hello\", 5, 0)", &sent);
    told.open(1)?;
    let [of_queue, of_pipe] = waiter.join()?;
    let full = now("full")?;
    stage.saw("poll slept on the empty queue", slept);
    stage.saw("it woke up for the queue", of_queue);
    stage.saw("it woke up for the pipe", of_pipe);
    Ok(match (slept, of_queue) {
        _ if empty.contains(PollFlags::POLLNVAL) => 1,
        (false, _) => 3,
        (true, true) if full.contains(PollFlags::POLLIN) => 2,
        (true, _) => 4,
    })
}
// ANCHOR_END: pollable

pub(super) const READ_TELLS: Experiment = Experiment {
    name: "read-tells",
    title: "read(2) of a queue",
    level: Level::Deep,
    question: "A POSIX queue on Linux is a file descriptor. Two messages are in the \
               queue, of 5 and of 6 bytes. A program calls not mq_receive(3) but read(2) \
               on the descriptor. What does it get?",
    answers: &[
        wrong(
            "the first message, and the other stays",
            "Only mq_receive takes messages. The read of a file has no place for \
             the priority.",
        ),
        wrong(
            "an error, and both messages stay",
            "POSIX promises nothing here. But Linux shows queues as files of a \
             small file system, and those have something to read.",
        ),
        right(
            "a line of text, and both messages stay",
            "It says how many bytes of messages are in the queue (QSIZE), and \
             which process asked to be notified and how.",
        ),
    ],
    kind: Kind::Kernel,
    run: read_tells,
    moral: "mount -t mqueue none /dev/mqueue shows every queue as such a file: ls \
            lists them, cat reads this line, rm unlinks. QSIZE counts bytes; \
            mq_getattr(3) tells how many messages they are.",
    see: "mq_overview(7)",
    file: file!(),
    shows: &["read-tells"],
};

// ANCHOR: read-tells
fn read_tells(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
    let queue = queue.context("mq_open")?;
    for text in ["hello", "world!"] {
        let sent = mq_send(&queue, text.as_bytes(), 0);
        stage.call(format!("mq_send(q, \"{text}\", {}, 0)", text.len()), &sent);
    }
    let mut buffer = [0; 200];
    let n = read(&queue, &mut buffer);
    stage.call("read(q, buffer, 200)", &n);
    let line = String::from_utf8_lossy(&buffer[..n.unwrap_or(0)]).into_owned();
    let words: Vec<_> = line.split_whitespace().collect();
    stage.saw("it says", words.join(" "));
    let left = messages(&queue)?;
    stage.saw("messages left", left);
    match (n, left) {
        (Err(_), _) => Ok(2),
        (Ok(_), 2) if line.starts_with("QSIZE:11 ") => Ok(3),
        (Ok(_), 1) => Ok(1),
        other => bail!("read: {other:?}, {line:?}"),
    }
}
// ANCHOR_END: read-tells

pub(super) const UNLINK_WHILE_OPEN: Experiment = Experiment {
    name: "unlink-while-open",
    title: "Removing a queue that a server has open",
    level: Level::Later,
    question: "A server sleeps in mq_receive(3) on the queue /queue. Somebody \
               tidies up and calls mq_unlink(3) on it. Then a client opens /queue \
               with O_CREAT, and sends. What becomes of the message?",
    answers: &[
        wrong(
            "the server gets it; mq_unlink failed with EBUSY",
            "As with a file, the name goes at once, whoever has the queue open.",
        ),
        wrong(
            "it lies in a new queue; the server was woken by EIDRM",
            "That is true of System V queues. A POSIX queue without a name lives \
             on for those that have it open: the server is told nothing.",
        ),
        wrong(
            "the server gets it; the client opened the same queue",
            "The name is the same. The queue is another: the client has made it.",
        ),
        right(
            "it lies in a new queue; the server sleeps on the old one",
            "The server holds the old queue, which has no name any more. The \
             client made a new one under that name. They can never meet.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlink_while_open,
    moral: "mq_unlink when the work is over, not \"to start clean\" while others may \
            run. A client that opens without O_CREAT is at least told: ENOENT.",
    see: "mq_unlink(3), mq_open(3)",
    file: file!(),
    shows: &["unlink-while-open"],
};

// ANCHOR: unlink-while-open
fn unlink_while_open(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let old = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(2, 16)));
    let old = old.context("mq_open")?;
    let told = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut message = [0; 16];
        let n = mq_receive(&old, &mut message, &mut 0);
        told.pass()?; // so that the report has its cause first
        let got = n.map(|n| String::from_utf8_lossy(&message[..n]).into_owned());
        stage.call("mq_receive(q, buffer, 16, NULL)", &got);
        Ok(got.map_err(|e| e.to_string()))
    })?;
    server.until_asleep_in(&[Sysno::mq_timedreceive])?;
    stage.event("server", "sleeps in mq_receive(q, buffer, 16, NULL)");

    let unlinked = mq_unlink(name.as_str());
    stage.call(format!("mq_unlink(\"{name}\")"), &unlinked);
    let plain = mq_open(name.as_str(), MQ_OFlag::O_WRONLY, Mode::empty(), None);
    stage.call(format!("mq_open(\"{name}\", O_WRONLY)"), &plain);
    let create = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    let new = mq_open(name.as_str(), create, OURS, Some(&room_for(2, 16)));
    stage.call(format!("mq_open(\"{name}\", O_RDWR | O_CREAT)"), &new);
    let new = new.context("mq_open")?;
    let sent = mq_send(&new, b"new", 0);
    stage.call("mq_send(new, \"new\", 3, 0)", &sent);
    let waits = messages(&new)?;
    let sleeps = server.until_asleep_in(&[Sysno::mq_timedreceive]).is_ok();
    stage.saw("without O_CREAT", plain.err().map(|e| e.to_string()));
    stage.saw("messages in the client's queue", waits);
    stage.saw("the server still sleeps", sleeps);

    // A process that has had it open since before can still send to it.
    let sent = mq_send(&old, b"old", 0);
    stage.call("mq_send(old, \"old\", 3, 0)", &sent);
    told.open(1)?;
    let received = server.join()?;
    stage.saw("the server received", received.clone().unwrap_or_else(|error| error));
    match (unlinked, received.as_deref(), waits) {
        (Err(Errno::EBUSY), ..) => Ok(1),
        (Ok(()), Err(_), _) => Ok(2),
        (Ok(()), Ok("new"), 0) => Ok(3),
        (Ok(()), Ok("old"), 1) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: unlink-while-open

pub(super) const CRASH_LEAVES_IT: Experiment = Experiment {
    name: "crash-leaves-it",
    title: "What a crash leaves",
    level: Level::First,
    question: "A program makes a queue, sends two messages, and is killed by SIGKILL \
               before anybody has received them. No process has the queue open now. \
               What is left of it?",
    answers: &[
        wrong(
            "nothing; the queue went with its maker",
            "The kernel closes what a process has open, and no more. mq_close(3) \
             never removes a queue either.",
        ),
        wrong(
            "the queue, with no message in it",
            "That is true of a FIFO, whose bytes vanish with the last close. A \
             queue keeps its messages.",
        ),
        right(
            "the queue, with both messages in it",
            "It stays until mq_unlink(3) or the end of the system (mq_overview(7) \
             calls that kernel persistence). The next program that opens the name \
             gets the two messages, from an hour ago or from last week.",
        ),
    ],
    kind: Kind::Kernel,
    run: crash_leaves_it,
    moral: "A receiver that starts must expect messages of a sender that is long \
            dead. What nobody unlinks counts against its user's RLIMIT_MSGQUEUE. \
            And the opposite trap: systemd removes the queues of an ordinary user \
            at the end of the last session, unless logind.conf(5) says \
            RemoveIPC=no. A service needs a system user.",
    see: "mq_overview(7), mq_unlink(3), logind.conf(5)",
    file: file!(),
    shows: &["crash-leaves-it"],
};

// ANCHOR: crash-leaves-it
fn crash_leaves_it(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let sent_both = stage.gate()?;
    let sender = stage.fork("sender", |stage| -> Result<()> {
        let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
        stage.call(format!("mq_open(\"{name}\", O_RDWR | O_CREAT)"), &queue);
        let queue = queue.context("mq_open")?;
        for text in ["1", "2"] {
            let sent = mq_send(&queue, text.as_bytes(), 0);
            stage.call(format!("mq_send(q, \"{text}\", 1, 0)"), &sent);
        }
        sent_both.open(1)?;
        loop {
            nix::unistd::pause();
        }
    })?;
    sent_both.pass()?;
    sender.kill(Signal::SIGKILL)?;
    let end = sender.end()?;
    stage.event("sender", "killed by SIGKILL");
    stage.saw("the sender was killed", end == End::Killed(Signal::SIGKILL));

    // Where the file system of queues is mounted, ls shows it.
    let listed = Path::new("/dev/mqueue").join(name.trim_start_matches('/'));
    let mounted = Path::new("/dev/mqueue").exists();
    stage.note(match (mounted, listed.exists()) {
        (true, true) => "ls /dev/mqueue shows the queue.",
        (true, false) => "/dev/mqueue is there, and does not show the queue.",
        (false, _) => {
            "no queue can be listed: /dev/mqueue is not there. As root: mkdir \
             /dev/mqueue; mount -t mqueue none /dev/mqueue."
        }
    });
    let read_only = MQ_OFlag::O_RDONLY | MQ_OFlag::O_NONBLOCK;
    let queue = mq_open(name.as_str(), read_only, Mode::empty(), None);
    stage.call(format!("mq_open(\"{name}\", O_RDONLY)"), &queue);
    let Ok(queue) = queue else { return Ok(1) };
    let left = messages(&queue)?;
    stage.call("mq_getattr(q): mq_curmsgs", &left);
    stage.saw("messages left", left);
    match left {
        0 => Ok(2),
        2 => Ok(3),
        other => bail!("{other} messages left"),
    }
}
// ANCHOR_END: crash-leaves-it

/// How many messages are in a queue now.
pub(super) fn messages(queue: &MqdT) -> Result<i64> {
    Ok(mq_getattr(queue).context("mq_getattr")?.curmsgs())
}
