//! By its type a receiver chooses a message.

use anyhow::{Context, Result, bail};
use libc::{IPC_NOWAIT, MSG_COPY};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_send};
use nix::sys::stat::Mode;

use super::{make, message, text_of};
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;
use crate::os::sysv::{Msgbuf, msgrcv, msgsnd, msgstat};

pub(super) const LOWEST_NOT_FIRST: Experiment = Experiment {
    name: "lowest-not-first",
    title: "A negative type",
    question: "Messages of the types 7, 3, 5, 2 and 9 were sent, in this order. A \
               receiver calls msgrcv(2) with msgtyp -5. You may have read that it takes \
               the first message whose type is at most 5. Which does it get?",
    answers: &[
        right(
            "the one of type 2: the lowest type up to 5",
            "-5 asks for the lowest type up to 5, and for the oldest message among \
             those of that type.",
        ),
        wrong(
            "the one of type 3: the first in the queue whose type is at most 5",
            "Some texts say so. The kernel does look at the messages in order, but goes \
             on looking for a still lower type.",
        ),
        wrong(
            "the one of type 5: the sign means \"up to\", and 5 is the highest of these",
            "Among types up to 5 the lowest wins, not the highest.",
        ),
        wrong(
            "the one of type 7: the oldest, as no type is negative",
            "A type is never negative, so a negative msgtyp is free to mean something \
             else. The oldest of all is what 0 asks for.",
        ),
    ],
    kind: Kind::Kernel,
    run: lowest_not_first,
    moral: "0 takes the oldest, +N the oldest of type N, -N the oldest of the lowest type \
            up to N. Types are so made priorities, and low is urgent.",
    see: "msgrcv(2)",
    file: file!(),
    shows: &["lowest-not-first"],
};

// ANCHOR: lowest-not-first
fn lowest_not_first(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    for mtype in [7, 3, 5, 2, 9] {
        let sent = msgsnd(id, &message(mtype, b""), 0);
        stage.call(format!("msgsnd(id, {{type {mtype}}}, 0, 0)"), &sent);
    }
    let take = |msgtyp| {
        let mut taken = Msgbuf::with_room(0);
        msgrcv(id, &mut taken, msgtyp, 0).context("msgrcv")?;
        let got = format!("type {}", taken.mtype());
        stage.call(format!("msgrcv(id, &m, 0, {msgtyp}, 0)"), &got);
        anyhow::Ok(taken.mtype())
    };
    let up_to_5 = take(-5)?;
    stage.saw("-5 took type", up_to_5);
    stage.saw("9 took type", take(9)?);
    stage.saw("0 took type", take(0)?);
    match up_to_5 {
        3 => Ok(2),
        5 => Ok(3),
        2 => Ok(1),
        7 => Ok(4),
        other => bail!("type {other}"),
    }
}
// ANCHOR_END: lowest-not-first

pub(super) const TYPE_IS_NO_PRIORITY: Experiment = Experiment {
    name: "type-is-no-priority",
    title: "A type here, a priority there",
    question: "A System V message has a type, a POSIX message a priority. Into a queue of \
               each kind goes first a message numbered 1, then one numbered 9. Then the \
               usual receiver comes: msgrcv(2) with msgtyp 0, and mq_receive(3). What \
               does each get?",
    answers: &[
        wrong(
            "9 from both: the higher number is more urgent",
            "A type is not urgent or less so: it is a label. msgtyp 0 does not look at it.",
        ),
        wrong(
            "1 from both: the oldest",
            "So a queue works that is first in, first out. mq_receive always looks at \
             the priority.",
        ),
        right(
            "1 from the System V queue, 9 from the POSIX queue",
            "System V: the receiver chooses, and who says 0 gets the oldest. POSIX: the \
             sender chooses, and the receiver gets the highest priority.",
        ),
        wrong(
            "1 from the System V queue as the lower number, 9 from the POSIX queue",
            "The pair is right, the reason is not: sent the other way round, msgtyp 0 \
             gets the 9. The run tries it.",
        ),
    ],
    kind: Kind::Kernel,
    run: type_is_no_priority,
    moral: "With System V a receiver can take one kind and leave the others, which POSIX \
            cannot do. With POSIX a sender can be urgent; with System V only if every \
            receiver asks with a negative msgtyp.",
    see: "msgrcv(2), mq_receive(3)",
    file: file!(),
    shows: &["type-is-no-priority"],
};

// ANCHOR: type-is-no-priority
fn type_is_no_priority(stage: &Stage) -> Result<usize> {
    // Sends two messages to a new queue of each kind; which number comes out first?
    let first_out = |name: &str, numbers: [i64; 2]| {
        let sysv = make(stage)?;
        let name = stage.queue(name);
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
        let shape = MqAttr::new(0, 2, 8, 0);
        let posix = mq_open(name.as_str(), flags, Mode::S_IRWXU, Some(&shape));
        let posix = posix.context("mq_open")?;
        for number in numbers {
            let sent = msgsnd(sysv, &message(number, b""), 0);
            stage.call(format!("msgsnd(id, {{type {number}}}, 0, 0)"), &sent);
            let sent = mq_send(&posix, b"", u32::try_from(number)?);
            stage.call(format!("mq_send(q, \"\", 0, priority {number})"), &sent);
        }
        let mut taken = Msgbuf::with_room(0);
        msgrcv(sysv, &mut taken, 0, 0).context("msgrcv")?;
        let mtype = taken.mtype();
        stage.call("msgrcv(id, &m, 0, 0, 0)", &format!("type {mtype}"));
        let (mut buffer, mut priority) = ([0; 8], 0);
        mq_receive(&posix, &mut buffer, &mut priority).context("mq_receive")?;
        stage.call("mq_receive(q, …)", &format!("priority {priority}"));
        anyhow::Ok((mtype, i64::from(priority)))
    };
    let upwards = first_out("upwards", [1, 9])?;
    let downwards = first_out("downwards", [9, 1])?;
    stage.saw("1 then 9: System V gave", upwards.0);
    stage.saw("1 then 9: POSIX gave", upwards.1);
    stage.saw("9 then 1: System V gave", downwards.0);
    stage.saw("9 then 1: POSIX gave", downwards.1);
    match (upwards, downwards.0) {
        ((9, 9), _) => Ok(1),
        ((1, 1), _) => Ok(2),
        ((1, 9), 9) => Ok(3),
        ((1, 9), 1) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: type-is-no-priority

pub(super) const REPLIES_BY_PID: Experiment = Experiment {
    name: "replies-by-pid",
    title: "One queue for requests and replies",
    question: "A server and its clients share one System V queue. A client sends its \
               request as type 1, with its process id in the text; the server replies with \
               a message whose type is that process id, and the client receives by that \
               type. The server, which takes whatever comes, receives with msgtyp 0. \
               What can go wrong?",
    answers: &[
        wrong(
            "nothing: each client selects its own replies",
            "The clients do. The server does not select, and it reads from the same queue.",
        ),
        right(
            "the server takes its own reply, and the client waits for ever",
            "The reply lies in the queue until its client comes for it. msgtyp 0 takes \
             the oldest message, whoever it is for.",
        ),
        wrong(
            "a client takes the reply of another",
            "Two processes that live at the same time have different process ids, and \
             msgtyp +N takes no other type.",
        ),
        wrong(
            "msgsnd(2) fails, as a process cannot send to itself",
            "It can. A queue does not know senders and receivers: who may write and read \
             it may do both.",
        ),
    ],
    kind: Kind::Kernel,
    run: replies_by_pid,
    moral: "On a queue for both directions everyone must select, the server too: it takes \
            type 1. Two traps stay: a client with process id 1, as the first process in a \
            container has it, and a reply that a dead client left for the next process \
            with its id.",
    see: "msgrcv(2), msgsnd(2)",
    file: file!(),
    shows: &["replies-by-pid-broken", "replies-by-pid-cured", "replies-by-pid"],
};

// ANCHOR: replies-by-pid-broken
/// The server takes whatever comes.
fn next_of_any_type(queue: i32, request: &mut Msgbuf) -> nix::Result<usize> {
    msgrcv(queue, request, 0, IPC_NOWAIT)
}
// ANCHOR_END: replies-by-pid-broken

// ANCHOR: replies-by-pid-cured
/// The server takes requests.
fn next_request(queue: i32, request: &mut Msgbuf) -> nix::Result<usize> {
    msgrcv(queue, request, 1, IPC_NOWAIT)
}
// ANCHOR_END: replies-by-pid-cured

// ANCHOR: replies-by-pid
fn replies_by_pid(stage: &Stage) -> Result<usize> {
    type Next = fn(i32, &mut Msgbuf) -> nix::Result<usize>;
    // Does the server see its own reply again, and does the client get it?
    let converse = |msgtyp: &str, next: Next| {
        let id = make(stage)?;
        let (asked, answered) = (stage.gate()?, stage.gate()?);
        let client = stage.fork("client", |stage| {
            let pid = i64::from(std::process::id());
            let sent = msgsnd(id, &message(1, &pid.to_ne_bytes()), 0);
            stage.call("msgsnd(id, {type 1, my pid}, 8, 0)", &sent);
            asked.open(1)?;
            answered.pass()?; // it was busy with something else for a while
            let mut reply = Msgbuf::with_room(8);
            let got = msgrcv(id, &mut reply, pid, IPC_NOWAIT);
            stage.call("msgrcv(id, &m, 8, my pid, IPC_NOWAIT)", &got);
            Ok(got.is_ok())
        })?;
        let server = stage.fork("server", |stage| {
            let receive = |request: &mut Msgbuf| {
                let got = next(id, request).map(|_| text_type(request));
                let call = format!("msgrcv(id, &m, 8, {msgtyp}, IPC_NOWAIT)");
                stage.call(call, &got);
                got
            };
            asked.pass()?;
            let mut request = Msgbuf::with_room(8);
            receive(&mut request).context("msgrcv")?;
            let pid = i64::from_ne_bytes(request.text().try_into()?);
            let sent = msgsnd(id, &message(pid, b"reply"), 0);
            stage.call("msgsnd(id, {type its pid, \"reply\"}, 5, 0)", &sent);
            let own = receive(&mut request).is_ok() && request.mtype() == pid;
            answered.open(1)?;
            Ok(own)
        })?;
        anyhow::Ok((server.join()?, client.join()?))
    };
    let (took_own, served) = converse("0", next_of_any_type)?;
    stage.saw("broken: the server took its own reply", took_own);
    stage.saw("broken: the client got it", served);
    let (took_own_still, served_now) = converse("1", next_request)?;
    stage.saw("cured: the server took its own reply", took_own_still);
    stage.saw("cured: the client got it", served_now);
    Ok(if took_own && !served { 2 } else { 1 })
}
// ANCHOR_END: replies-by-pid

/// What the server has received, in words.
fn text_type(message: &Msgbuf) -> String {
    match message.mtype() {
        1 => format!("{}: a request", message.text().len()),
        _ => format!(
            "{}: {:?}, for the client",
            message.text().len(),
            text_of(message)
        ),
    }
}

pub(super) const PEEK_BY_COPY: Experiment = Experiment {
    name: "peek-by-copy",
    title: "Looking without taking",
    question: "Messages of the types 30, 10 and 20 lie in a queue, in this order. A \
               debugger calls msgrcv(2) with msgtyp 1 and the flags MSG_COPY and \
               IPC_NOWAIT, so as to look and not to take. What does it get?",
    answers: &[
        wrong(
            "-1 and ENOMSG: there is no message of type 1",
            "With MSG_COPY msgtyp is not a type.",
        ),
        right(
            "a copy of the message of type 10; all three stay",
            "With MSG_COPY msgtyp is a position, counted from 0: 1 is the second message. \
             It is copied and stays where it is.",
        ),
        wrong(
            "a copy of the message of type 30; all three stay",
            "That is at position 0. Programmers count from 0 here, though types begin \
             with 1.",
        ),
        wrong(
            "the message of type 10, which is then gone",
            "MSG_COPY takes nothing: msg_qnum is the same before and after.",
        ),
    ],
    kind: Kind::Needs("a kernel built with CONFIG_CHECKPOINT_RESTORE, as most are"),
    run: peek_by_copy,
    moral: "MSG_COPY lets a debugger walk through a queue: 0, 1, 2 … until ENOMSG. It \
            wants IPC_NOWAIT (else EINVAL, and without the kernel's option ENOSYS), and is \
            Linux alone. POSIX queues have nothing like it.",
    see: "msgrcv(2)",
    file: file!(),
    shows: &["peek-by-copy"],
};

// ANCHOR: peek-by-copy
fn peek_by_copy(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    for mtype in [30, 10, 20] {
        let sent = msgsnd(id, &message(mtype, b""), 0);
        stage.call(format!("msgsnd(id, {{type {mtype}}}, 0, 0)"), &sent);
    }
    let mut copy = Msgbuf::with_room(0);
    let peeked = msgrcv(id, &mut copy, 1, MSG_COPY | IPC_NOWAIT);
    let there = peeked != Err(Errno::ENOSYS);
    stage.needs(there, "a kernel built with CONFIG_CHECKPOINT_RESTORE")?;
    let peeked = peeked.map(|_| copy.mtype());
    stage.call(
        "msgrcv(id, &m, 0, 1, MSG_COPY | IPC_NOWAIT)",
        &peeked.map(|mtype| format!("type {mtype}")),
    );
    let left = msgstat(id).context("msgctl")?.msg_qnum;
    stage.call("msgctl(id, IPC_STAT, &now): msg_qnum", &left);
    let waiting = msgrcv(id, &mut copy, 1, MSG_COPY);
    stage.call("msgrcv(id, &m, 0, 1, MSG_COPY)", &waiting);
    stage.saw("msgtyp 1 copied type", peeked.ok());
    stage.saw("messages left", left);
    stage.saw("without IPC_NOWAIT", waiting.err().map(|e| e.to_string()));
    match (peeked, left) {
        (Err(Errno::ENOMSG), _) => Ok(1),
        (Ok(10), 3) => Ok(2),
        (Ok(30), 3) => Ok(3),
        (Ok(10), 2) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: peek-by-copy
