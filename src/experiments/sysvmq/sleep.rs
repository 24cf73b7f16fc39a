//! Which process sleeps on a queue, and what wakes it.

use std::io::{PipeReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use libc::IPC_NOWAIT;
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_send};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde::de::DeserializeOwned;
use syscalls::Sysno;

use super::{make, message};
use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::ready::poll;
use os::signal::catch_restarting;
use os::sysv::{Msgbuf, msgrcv, msgsnd};
use os::sysv_control::{remove, set_qbytes};

pub(super) const REMOVED_UNDER_SLEEPERS: Experiment = Experiment {
    name: "removed-under-sleepers",
    title: "Removing a queue that others sleep on",
    level: Level::Later,
    question: "One process sleeps in msgsnd(2), since the queue is full; another \
               sleeps in msgrcv(2) for a type that is not there. A third removes \
               the queue by msgctl(id, IPC_RMID). After that a fourth calls \
               msgsnd(2) with the same identifier. What do the calls return?",
    answers: &[
        wrong(
            "EBUSY for IPC_RMID; the other calls go on",
            "IPC_RMID never waits, and never fails for that reason. The messages \
             go as well.",
        ),
        wrong(
            "0 for IPC_RMID; the two sleepers sleep on",
            "That is true of a POSIX queue, and of a file: they go when the last \
             has closed them. A System V queue is not opened, and the kernel \
             cannot know who still uses it.",
        ),
        right(
            "EIDRM for the sleepers, and EINVAL for the fourth",
            "EIDRM, identifier removed, is for those that were there. For a later \
             call it is a number that means nothing: EINVAL.",
        ),
        wrong(
            "EIDRM for the sleepers; EIDRM for the fourth",
            "The man page's \"the message queue was removed\" reads like that. But \
             the identifier is forgotten at once, and what is unknown is EINVAL.",
        ),
    ],
    kind: Kind::Kernel,
    run: removed_under_sleepers,
    moral: "EIDRM is a way to end the wait of all sleepers. A program that asks \
            only for EIDRM misses the other half of the cases: a call that comes a \
            moment later gets EINVAL.",
    see: "msgctl(2), msgsnd(2)",
    file: file!(),
    shows: &["removed-under-sleepers"],
};

// ANCHOR: removed-under-sleepers
fn removed_under_sleepers(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    set_qbytes(id, 8).context("msgctl")?;
    let filled = msgsnd(id, &message(1, b"8 bytes!"), 0);
    stage.call("msgsnd(id, {1, \"8 bytes!\"}, 8, 0)", &filled);
    let told = [stage.gate()?, stage.gate()?];
    let sender = stage.fork("sender", |stage| {
        let sent = msgsnd(id, &message(1, b"more"), 0);
        told[0].pass()?; // so that the report has its cause first
        stage.call("msgsnd(id, {1, \"more\"}, 4, 0)", &sent);
        Ok(sent.err().map(|e| e.to_string()))
    })?;
    let receiver = stage.fork("receiver", |stage| {
        let received = msgrcv(id, &mut Msgbuf::with_room(8), 2, 0);
        told[1].pass()?;
        stage.call("msgrcv(id, &m, 8, 2, 0)", &received);
        Ok(received.err().map(|e| e.to_string()))
    })?;
    sender.until_asleep_in(&[Sysno::msgsnd])?;
    stage.event("sender", "sleeps in msgsnd(id, {1, \"more\"}, 4, 0)");
    receiver.until_asleep_in(&[Sysno::msgrcv])?;
    stage.event("receiver", "sleeps in msgrcv(id, &m, 8, 2, 0)");

    let removed = remove(id);
    stage.call("msgctl(id, IPC_RMID, NULL)", &removed);
    if removed == Err(Errno::EBUSY) {
        return Ok(1);
    }
    let woken = [
        sender.until_asleep_in(&[Sysno::readv]).is_ok(),
        receiver.until_asleep_in(&[Sysno::readv]).is_ok(),
    ];
    if woken != [true; 2] {
        return Ok(2);
    }
    told[0].open(1)?;
    let of_sender = sender.join()?;
    told[1].open(1)?;
    let of_receiver = receiver.join()?;
    let later = msgsnd(id, &message(1, b"later"), 0);
    stage.call("msgsnd(id, {1, \"later\"}, 5, 0)", &later);
    stage.saw("the sleeping sender", of_sender.clone());
    stage.saw("the sleeping receiver", of_receiver.clone());
    stage.saw("a later sender", later.err().map(|e| e.to_string()));
    let eidrm = Some(Errno::EIDRM.to_string());
    match (of_sender == eidrm && of_receiver == eidrm, later) {
        (true, Err(Errno::EINVAL)) => Ok(3),
        (true, Err(Errno::EIDRM)) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: removed-under-sleepers

pub(super) const ONE_QUEUE_BOTH_WAYS: Experiment = Experiment {
    name: "one-queue-both-ways",
    title: "Requests and replies in one full queue",
    level: Level::Later,
    question: "A server and its clients share one queue: requests are of type 1, \
               and replies of the client's process id as the type. Every process \
               selects correctly. The queue is small, and there are more requests \
               than it has room for. Which processes may sleep for ever?",
    answers: &[
        wrong(
            "none of these processes at all",
            "The server takes a request and makes room. But a client that slept in \
             msgsnd(2) fills it at once, before the server has put its reply \
             there.",
        ),
        wrong(
            "a client, but not the server",
            "The server needs room for its reply, and sleeps as a client does. A \
             message that a process waits for is handed over directly, but only if \
             the queue has room for it: the kernel looks at that first.",
        ),
        right(
            "the server, and the clients",
            "The queue is full of requests. The server, which alone would take \
             them, sleeps in msgsnd. The clients sleep in msgrcv. Nobody is left \
             to wake them.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_queue_both_ways,
    moral: "Replies need room that requests cannot take: a second queue for them. \
            The run has made the queue small; with 16,384 bytes it takes more \
            clients, on a busy day.",
    see: "msgsnd(2), msgrcv(2)",
    file: file!(),
    shows: &[
        "one-queue-both-ways-broken",
        "one-queue-both-ways-cured",
        "one-queue-both-ways",
    ],
};

// ANCHOR: one-queue-both-ways-broken
/// One queue: for requests and for replies.
fn one_for_both(stage: &Stage) -> Result<[i32; 2]> {
    let both = make(stage)?;
    Ok([both, both])
}
// ANCHOR_END: one-queue-both-ways-broken

// ANCHOR: one-queue-both-ways-cured
/// Two queues: one for requests, and one for replies.
fn one_for_each(stage: &Stage) -> Result<[i32; 2]> {
    Ok([make(stage)?, make(stage)?])
}
// ANCHOR_END: one-queue-both-ways-cured

// ANCHOR: one-queue-both-ways
fn one_queue_both_ways(stage: &Stage) -> Result<usize> {
    // Two clients, one server; do all of them sleep in the end?
    let stands_still = |[requests, replies]: [i32; 2]| {
        for queue in [requests, replies] {
            set_qbytes(queue, 8).context("msgctl")?; // room for one message
        }
        let client = |who| {
            stage.fork(who, move |_| {
                let pid = i64::from(std::process::id());
                msgsnd(requests, &message(1, &pid.to_ne_bytes()), 0)?;
                msgrcv(replies, &mut Msgbuf::with_room(8), pid, 0)?;
                Ok(())
            })
        };
        let first = client("client 1")?;
        first.until_asleep_in(&[Sysno::msgrcv])?;
        stage.event("client 1", "sleeps in msgrcv(), its request is in the queue");
        let second = client("client 2")?;
        second.until_asleep_in(&[Sysno::msgsnd])?;
        stage.event("client 2", "sleeps in msgsnd() with its request");

        let (taken, go) = (stage.gate()?, stage.gate()?);
        let server = stage.fork("server", |stage| {
            for _ in 0..2 {
                let mut request = Msgbuf::with_room(8);
                let n = msgrcv(requests, &mut request, 1, 0);
                stage.call("msgrcv(requests, &m, 8, 1, 0)", &n);
                taken.open(1)?;
                go.pass()?;
                let pid = i64::from_ne_bytes(request.text().try_into()?);
                let sent = msgsnd(replies, &message(pid, b"reply"), 0);
                stage.call("msgsnd(replies, {pid, \"reply\"}, 5, 0)", &sent);
            }
            Ok(())
        })?;
        taken.pass()?;
        second.until_asleep_in(&[Sysno::msgrcv])?;
        stage.event("client 2", "its request went in; it sleeps in msgrcv()");
        go.open(2)?;
        let stuck = server.until_asleep_in(&[Sysno::msgsnd]).is_ok();
        if stuck {
            stage.event(
                "server",
                "sleeps in msgsnd(replies, {pid, \"reply\"}, 5, 0)",
            );
            first.until_asleep_in(&[Sysno::msgrcv])?;
            second.until_asleep_in(&[Sysno::msgrcv])?;
            return anyhow::Ok(true); // all three sleep, and are now ended
        }
        server.join()?;
        first.join()?;
        second.join()?;
        stage.event("client 1", "has its reply");
        stage.event("client 2", "has its reply");
        Ok(false)
    };
    let one = stands_still(one_for_both(stage)?)?;
    let two = stands_still(one_for_each(stage)?)?;
    stage.saw("with one queue all three sleep for ever", one);
    stage.saw("with two queues they do", two);
    Ok(if one && !two { 3 } else { 1 })
}
// ANCHOR_END: one-queue-both-ways

pub(super) const SELECT_CANNOT_WATCH: Experiment = Experiment {
    name: "select-cannot-watch",
    title: "Polling a System V queue",
    level: Level::First,
    question: "A program waits in poll(2) for several sockets, and for a System V queue as \
               well: it puts the number that msgget(2) returned into the set, with POLLIN. \
               A message is in the queue. What does poll(2) say of it?",
    answers: &[
        wrong(
            "POLLIN, before its timeout",
            "That is true of a POSIX queue on Linux, which is a descriptor.",
        ),
        right(
            "POLLNVAL, before its timeout",
            "The number is an identifier of System V IPC, not a descriptor. If a \
             file happens to be open under that number, it is even worse: poll \
             watches the file.",
        ),
        wrong(
            "zero events, at its timeout",
            "poll does not ignore a number that is no open descriptor (only \
             negative ones): it reports it at once, and a loop around it then \
             takes all the processor time.",
        ),
    ],
    kind: Kind::Kernel,
    run: select_cannot_watch,
    moral: "poll, select and epoll cannot watch System V queues. The cure is a process (or \
            a thread) that sleeps in msgrcv and writes each message into a pipe, which can \
            be polled; or a POSIX queue.",
    see: "poll(2), msgget(2), sysvipc(7)",
    file: file!(),
    shows: &[
        "select-cannot-watch-broken",
        "select-cannot-watch-cured",
        "select-cannot-watch",
    ],
};

// ANCHOR: select-cannot-watch-broken
/// What poll(2) returns for a queue's identifier, as if it were a descriptor.
fn poll_identifier(id: i32) -> nix::Result<i16> {
    let mut set = [libc::pollfd { fd: id, events: libc::POLLIN, revents: 0 }];
    poll(&mut set, 0)?;
    Ok(set[0].revents)
}
// ANCHOR_END: select-cannot-watch-broken

// ANCHOR: select-cannot-watch-cured
/// A process that moves messages from the queue into a pipe, and the pipe's other end.
fn pump(stage: &Stage, id: i32) -> Result<(Child<()>, PipeReader)> {
    let (pipe, mut into) = std::io::pipe().context("pipe")?;
    let pump = stage.fork("pump", |_| {
        let mut message = Msgbuf::with_room(8);
        loop {
            msgrcv(id, &mut message, 0, 0).context("msgrcv")?;
            into.write_all(message.text()).context("write")?;
        }
    })?;
    Ok((pump, pipe))
}
// ANCHOR_END: select-cannot-watch-cured

// ANCHOR: select-cannot-watch
fn select_cannot_watch(stage: &Stage) -> Result<usize> {
    // The first identifiers after a boot are small: look for one that no file has.
    let mut id = make(stage)?;
    while Path::new(&format!("/proc/self/fd/{id}")).exists() {
        id = make(stage)?;
    }
    let send = || {
        let sent = msgsnd(id, &message(1, b"hello"), 0);
        stage.call(format!("msgsnd({id}, {{1, \"hello\"}}, 5, 0)"), &sent);
    };
    send();
    let broken = poll_identifier(id).context("poll")?;
    stage.call(format!("poll({{{id}, POLLIN}})"), &revents(broken));
    let taken = msgrcv(id, &mut Msgbuf::with_room(8), 0, IPC_NOWAIT);
    stage.call(format!("msgrcv({id}, &m, 8, 0, IPC_NOWAIT)"), &taken);

    let (pump, pipe) = pump(stage, id)?;
    pump.until_asleep_in(&[Sysno::msgrcv])?;
    stage.event("pump", format!("sleeps in msgrcv({id}, &m, 8, 0, 0)"));
    send();
    let fd = pipe.as_raw_fd();
    let mut set = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
    poll(&mut set, -1).context("poll")?;
    stage
        .call(format!("poll({{{fd}, POLLIN}}), the pipe"), &revents(set[0].revents));
    stage.saw("of the identifier", revents(broken));
    stage.saw("a message was there", taken == Ok(5));
    stage.saw("of the pipe", revents(set[0].revents));
    match broken {
        libc::POLLIN => Ok(1),
        libc::POLLNVAL => Ok(2),
        0 => Ok(3),
        other => bail!("poll: {other:#x}"),
    }
}
// ANCHOR_END: select-cannot-watch

fn revents(events: i16) -> String {
    match events {
        0 => "nothing".into(),
        libc::POLLIN => "POLLIN".into(),
        libc::POLLNVAL => "POLLNVAL".into(),
        other => format!("{other:#x}"),
    }
}

pub(super) const RESTART_DOES_NOT_HELP: Experiment = Experiment {
    name: "restart-does-not-help",
    title: "A handler with SA_RESTART",
    level: Level::Deep,
    question: "SA_RESTART is the flag of sigaction(2) that has an interrupted call \
               go on after the handler. Two processes have installed a handler \
               with it. One sleeps in mq_receive(3), the other in msgrcv(2). Each \
               gets the signal, and its handler runs. What becomes of the two \
               calls?",
    answers: &[
        right(
            "mq_receive sleeps on, msgrcv gets EINTR",
            "msgrcv, msgsnd and semop are never restarted, whatever sigaction \
             said; nor are poll(2), select(2) and epoll_wait(2).",
        ),
        wrong(
            "mq_receive sleeps on, msgrcv sleeps on",
            "SA_RESTART works for the calls that can be restarted. Some never are.",
        ),
        wrong(
            "mq_receive gets EINTR, msgrcv gets EINTR",
            "A POSIX queue is a file on Linux, and mq_receive is on the list of \
             calls that SA_RESTART restarts.",
        ),
        wrong(
            "mq_receive gets EINTR, msgrcv sleeps on",
            "It is the other way round. mq_receive is on the list of calls that \
             SA_RESTART restarts, and msgrcv is not.",
        ),
    ],
    kind: Kind::Kernel,
    run: restart_does_not_help,
    moral: "Around msgrcv and msgsnd there is always a loop that asks for EINTR, even in a \
            program that uses SA_RESTART throughout.",
    see: "signal(7), msgrcv(2), sigaction(2)",
    file: file!(),
    shows: &["restart-does-not-help"],
};

// ANCHOR: restart-does-not-help
fn restart_does_not_help(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    let name = stage.queue("queue");
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
    let shape = MqAttr::new(0, 1, 8, 0);
    let queue = mq_open(name.as_str(), flags, Mode::S_IRWXU, Some(&shape));
    let queue = queue.context("mq_open")?;
    let told = [stage.gate()?, stage.gate()?];
    let posix = stage.fork("posix", |stage| {
        catch_restarting(libc::SIGUSR1).context("sigaction")?;
        let received = mq_receive(&queue, &mut [0; 8], &mut 0);
        told[0].pass()?; // so that the report has its cause first
        stage.call("mq_receive(q, buffer, 8, NULL)", &received);
        Ok(received.is_ok())
    })?;
    let sysv = stage.fork("sysv", |stage| {
        catch_restarting(libc::SIGUSR1).context("sigaction")?;
        let received = msgrcv(id, &mut Msgbuf::with_room(8), 0, 0);
        told[1].pass()?;
        stage.call("msgrcv(id, &m, 8, 0, 0)", &received);
        Ok(received.err().map(|e| e.to_string()))
    })?;
    posix.until_asleep_in(&[Sysno::mq_timedreceive])?;
    stage.event("posix", "sleeps in mq_receive(q, buffer, 8, NULL)");
    sysv.until_asleep_in(&[Sysno::msgrcv])?;
    stage.event("sysv", "sleeps in msgrcv(id, &m, 8, 0, 0)");

    posix.kill(Signal::SIGUSR1)?;
    stage.call("kill(posix, SIGUSR1)", &());
    let posix_sleeps = sleeps_on(&posix, Sysno::mq_timedreceive)?;
    if posix_sleeps {
        stage.event("posix", "has run its handler, and sleeps in mq_receive again");
    }
    let sent = mq_send(&queue, b"hello", 0);
    stage.call("mq_send(q, \"hello\", 5, 0)", &sent);
    told[0].open(1)?;
    stage.saw("mq_receive slept on", posix_sleeps);
    stage.saw("mq_receive got the message then", posix.join()?);

    sysv.kill(Signal::SIGUSR1)?;
    stage.call("kill(sysv, SIGUSR1)", &());
    let sysv_sleeps = sleeps_on(&sysv, Sysno::msgrcv)?;
    msgsnd(id, &message(1, b"hello"), 0).context("msgsnd")?;
    told[1].open(1)?;
    stage.saw("msgrcv slept on", sysv_sleeps);
    stage.saw("msgrcv returned", sysv.join()?);
    match (posix_sleeps, sysv_sleeps) {
        (true, true) => Ok(2),
        (false, false) => Ok(3),
        (true, false) => Ok(1),
        (false, true) => Ok(4),
    }
}

/// Whether `child`, which was sent SIGUSR1, sleeps in `call` again after its handler, and
/// has not left it for the gate.
fn sleeps_on<T: DeserializeOwned>(child: &Child<T>, call: Sysno) -> Result<bool> {
    child.until_handled(libc::SIGUSR1)?;
    Ok(child.until_asleep_in(&[call, Sysno::readv])? == call)
}
// ANCHOR_END: restart-does-not-help
