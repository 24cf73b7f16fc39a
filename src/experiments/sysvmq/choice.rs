//! By its type a receiver chooses a message.

use anyhow::{Context, Result, bail};
use libc::{IPC_NOWAIT, MSG_COPY};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_send};
use nix::sys::stat::Mode;

use super::{make, message, text_of};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::sysv::{Msgbuf, msgrcv, msgsnd, msgstat};

pub(super) const LOWEST_NOT_FIRST: Experiment = Experiment {
    name: "lowest-not-first",
    title: "A negative type",
    level: Level::Later,
    question: "Messages of the types 70, 30, 50, 20 and 90 were sent, in this \
               order. A receiver calls msgrcv(2) with msgtyp -50. You may have \
               read that it takes the lowest type. Which message does it get?",
    answers: &[
        right(
            "the one of type 20",
            "-50 asks for the lowest type up to 50, and for the oldest message \
             among those of that type.",
        ),
        wrong(
            "the one of type 30",
            "It is the first in the queue whose type is at most 50, and some texts \
             say so. The kernel does look at the messages in order, but goes on \
             looking for a still lower type.",
        ),
        wrong(
            "the one of type 50",
            "Among types up to 50 the lowest comes first, not the highest.",
        ),
        wrong(
            "the one of type 70",
            "The oldest of all is what 0 asks for. No type is negative, so a \
             negative msgtyp is free to mean something else.",
        ),
    ],
    kind: Kind::Kernel,
    run: lowest_not_first,
    moral: "0 takes the oldest, +N the oldest of type N, -N the oldest of the \
            lowest type up to N. In this way types can be used as priorities, and \
            low is urgent.",
    see: "msgrcv(2)",
    file: file!(),
    shows: &["lowest-not-first"],
};

// ANCHOR: lowest-not-first
fn lowest_not_first(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    for mtype in [70, 30, 50, 20, 90] {
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
    let up_to_50 = take(-50)?;
    stage.saw("-50 took type", up_to_50);
    stage.saw("90 took type", take(90)?);
    stage.saw("0 took type", take(0)?);
    match up_to_50 {
        20 => Ok(1),
        30 => Ok(2),
        50 => Ok(3),
        70 => Ok(4),
        other => bail!("type {other}"),
    }
}
// ANCHOR_END: lowest-not-first

pub(super) const TYPE_IS_NO_PRIORITY: Experiment = Experiment {
    name: "type-is-no-priority",
    title: "A type here, a priority there",
    level: Level::First,
    question: "A System V message has a type, a POSIX message a priority. Into a \
               queue of each kind goes first a message numbered 1, then one \
               numbered 9. Then the usual receiver comes: msgrcv(2) with msgtyp 0, \
               and mq_receive(3). What does each get?",
    answers: &[
        wrong(
            "System V the newer one, POSIX the newer one",
            "A type is not urgent or less urgent: it is a label. msgtyp 0 does not \
             look at it.",
        ),
        wrong(
            "System V the older one, POSIX the older one",
            "First in, first out is true of many queues. mq_receive always looks \
             at the priority.",
        ),
        right(
            "System V the older one, POSIX the newer one",
            "System V: the receiver chooses, and 0 asks for the oldest. POSIX: the \
             sender chooses, and the receiver gets the highest priority. Sent the \
             other way round, both get the 9, as the run shows.",
        ),
        wrong(
            "System V the newer one, POSIX the older one",
            "It is the other way round: the POSIX queue looks at the number, and a \
             receiver that says 0 does not.",
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
    match (upwards, downwards) {
        ((9, 9), _) => Ok(1),
        ((1, 1), _) => Ok(2),
        ((1, 9), (9, 9)) => Ok(3),
        ((9, 1), _) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: type-is-no-priority

pub(super) const REPLIES_BY_PID: Experiment = Experiment {
    name: "replies-by-pid",
    title: "One queue for requests and replies",
    level: Level::Later,
    question: "A server and its clients share one System V queue. A client sends a \
               request of type 1 with its process id in the text, and receives by \
               that id as the type; the server replies with that type. The server \
               receives with msgtyp 0. What is the worst case?",
    answers: &[
        wrong(
            "each gets what is meant for it",
            "Each client selects its own replies. The server does not select, and \
             it reads from the same queue.",
        ),
        right(
            "the server may take its own reply",
            "The reply lies in the queue until its client comes for it. msgtyp 0 \
             takes the oldest message, whoever it is for. Then the client waits \
             for ever.",
        ),
        wrong(
            "a client may take the reply of another",
            "Two processes that live at the same time have different process ids, \
             and msgtyp +N takes no other type.",
        ),
        wrong(
            "the server may be refused its own msgsnd",
            "A process can send to itself. A queue does not know senders and \
             receivers: a process that may write and read it may do both.",
        ),
    ],
    kind: Kind::Kernel,
    run: replies_by_pid,
    moral: "On a queue for both directions every process must select, the server \
            too: it takes type 1. Two traps stay: a client with process id 1, as \
            the first process in a container has it, and a reply that a dead \
            client left for the next process with its id.",
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
    level: Level::Deep,
    question: "MSG_COPY lets msgrcv(2) copy a message and leave it in the queue. \
               Messages of the types 30, 10 and 20 lie in a queue, in this order. \
               A debugger calls msgrcv with msgtyp 1, MSG_COPY and IPC_NOWAIT. \
               What does it get?",
    answers: &[
        wrong(
            "no message; the error is ENOMSG",
            "There is no message of type 1. But with MSG_COPY msgtyp is not a \
             type.",
        ),
        wrong(
            "a copy of the message of type 30",
            "That is at position 0. Positions are counted from 0 here, though \
             types begin with 1.",
        ),
        right(
            "a copy of the message of type 10",
            "With MSG_COPY msgtyp is a position, counted from 0: 1 is the second \
             message. It is copied and stays where it is.",
        ),
    ],
    kind: Kind::Needs(&needs::COPY),
    run: peek_by_copy,
    moral: "MSG_COPY lets a debugger look at a whole queue: 0, 1, 2 … until \
            ENOMSG. It needs IPC_NOWAIT (else EINVAL, and without the kernel's \
            option ENOSYS), and only Linux has it. POSIX queues have nothing like \
            it.",
    see: "msgrcv(2)",
    file: file!(),
    shows: &["peek-by-copy"],
};

// ANCHOR: peek-by-copy
fn peek_by_copy(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::COPY)?;
    let id = make(stage)?;
    for mtype in [30, 10, 20] {
        let sent = msgsnd(id, &message(mtype, b""), 0);
        stage.call(format!("msgsnd(id, {{type {mtype}}}, 0, 0)"), &sent);
    }
    let mut copy = Msgbuf::with_room(0);
    let peeked = msgrcv(id, &mut copy, 1, MSG_COPY | IPC_NOWAIT);
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
        (Ok(10), 3) => Ok(3),
        (Ok(30), 3) => Ok(2),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: peek-by-copy
