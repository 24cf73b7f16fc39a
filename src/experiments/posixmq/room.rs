//! How much fits into a queue, into a buffer, and into a user's limit.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, mq_getattr, mq_open, mq_receive, mq_send, mq_set_nonblock, mq_unlink,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, geteuid, setuid};
use syscalls::Sysno;

use super::{MAKE, OURS, room_for};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

pub(super) const FULL_QUEUE: Experiment = Experiment {
    name: "full-queue",
    title: "When a queue is full",
    level: Level::First,
    question: "A queue was made with mq_maxmsg 2 and mq_msgsize 1024, so it can hold \
               2,048 bytes. Two messages of one byte each are in it. A program calls \
               mq_send(3) with a third of one byte. What happens?",
    answers: &[
        wrong(
            "it goes in, beside the other two",
            "That only 2 of 2,048 bytes are used does not help: bytes are not \
             counted, messages are. Both numbers are limits of their own: at most \
             so many messages, each of at most so many bytes.",
        ),
        wrong(
            "it fails with EAGAIN, and is not sent",
            "Only with O_NONBLOCK, which the run tries as well.",
        ),
        right(
            "it sleeps until a message has been taken",
            "Full means mq_maxmsg messages, however short. The sender sleeps, \
             which is the queue's flow control: a slow receiver slows its senders \
             down.",
        ),
        wrong(
            "it goes in, in place of the oldest message",
            "Some logs and some real-time systems do that. A message queue loses \
             nothing that it has taken.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_queue,
    moral: "A queue counts messages. O_NONBLOCK turns the sleep into EAGAIN; it belongs \
            to the open queue, and mq_setattr(3) can switch it at any time.",
    see: "mq_send(3), mq_setattr(3)",
    file: file!(),
    shows: &["full-queue"],
};

// ANCHOR: full-queue
fn full_queue(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(2, 1024)));
    let queue = queue.context("mq_open")?;
    for text in ["1", "2"] {
        let sent = mq_send(&queue, text.as_bytes(), 0);
        stage.call(format!("mq_send(q, \"{text}\", 1, 0)"), &sent);
    }
    let told = stage.gate()?;
    let sender = stage.fork("sender", |stage| {
        let sent = mq_send(&queue, b"3", 0);
        told.pass()?; // so that the report has its cause first
        stage.call("mq_send(q, \"3\", 1, 0)", &sent);
        Ok(sent.map_err(|e| e.to_string()))
    })?;
    let slept = sender.until_asleep_in(&[Sysno::mq_timedsend]).is_ok();
    if slept {
        stage.event("sender", "sleeps in mq_send(q, \"3\", 1, 0)");
    }
    let mut first = [0; 1024];
    let taken = mq_receive(&queue, &mut first, &mut 0);
    stage.call("mq_receive(q, buffer, 1024, NULL)", &taken);
    told.open(1)?;
    let sent = sender.join()?;
    let waiting = mq_getattr(&queue).context("mq_getattr")?.curmsgs();
    stage.saw("the third sender slept", slept);
    stage.saw("messages, after one was taken", waiting);

    // The same, full again, without waiting.
    mq_set_nonblock(&queue).context("mq_setattr")?;
    let refused = mq_send(&queue, b"4", 0);
    stage.call("mq_send(q, \"4\", 1, 0) with O_NONBLOCK", &refused);
    stage.saw("with O_NONBLOCK", refused.err().map(|e| e.to_string()));
    Ok(match (slept, sent, first[0]) {
        (false, Ok(()), b'1') => 1,
        (false, Err(_), _) => 2,
        (true, Ok(()), b'1') => 3,
        (_, Ok(()), _) => 4,
        (_, Err(error), _) => bail!("mq_send: {error}"),
    })
}
// ANCHOR_END: full-queue

pub(super) const SMALL_BUFFER: Experiment = Experiment {
    name: "small-buffer",
    title: "A short message, a short buffer",
    level: Level::First,
    question: "A queue has mq_msgsize 1024. In it is one message: \"hello\", 5 bytes. A \
               program that knows that its messages are short calls mq_receive(3) with a \
               buffer of 100 bytes. What does it get?",
    answers: &[
        wrong(
            "5 bytes, the whole message",
            "read(2) and recv(2) compare the buffer with what is there. mq_receive \
             compares it with what might be there, before it takes anything.",
        ),
        right(
            "EMSGSIZE, and the message stays",
            "The buffer must have room for the largest message that the queue \
             allows, its mq_msgsize. A program with a small buffer therefore fails \
             the first time, and not only on the day when a long message comes.",
        ),
        wrong(
            "EMSGSIZE, and the message is lost",
            "It stays: the size is checked before the queue is touched.",
        ),
    ],
    kind: Kind::Kernel,
    run: small_buffer,
    moral: "Ask mq_getattr(3) and allocate mq_msgsize bytes. A constant in the source is \
            wrong as soon as somebody else makes the queue.",
    see: "mq_receive(3), mq_getattr(3)",
    file: file!(),
    shows: &["small-buffer-broken", "small-buffer-cured", "small-buffer"],
};

// ANCHOR: small-buffer-broken
/// "Our messages are never longer."
fn buffer_of_a_guess() -> Vec<u8> {
    vec![0; 100]
}
// ANCHOR_END: small-buffer-broken

// ANCHOR: small-buffer-cured
/// The queue knows.
fn buffer_for(queue: &nix::mqueue::MqdT) -> Result<Vec<u8>> {
    let longest = mq_getattr(queue).context("mq_getattr")?.msgsize();
    Ok(vec![0; usize::try_from(longest)?])
}
// ANCHOR_END: small-buffer-cured

// ANCHOR: small-buffer
fn small_buffer(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(2, 1024)));
    let queue = queue.context("mq_open")?;
    let sent = mq_send(&queue, b"hello", 0);
    stage.call("mq_send(q, \"hello\", 5, 0)", &sent);

    let mut guess = buffer_of_a_guess();
    let broken = mq_receive(&queue, &mut guess, &mut 0);
    stage.call(format!("mq_receive(q, buffer, {}, NULL)", guess.len()), &broken);
    let left = mq_getattr(&queue).context("mq_getattr")?.curmsgs();
    stage.call("mq_getattr(q): mq_curmsgs", &left);
    stage.saw("with room for 100", broken.err().map(|e| e.to_string()));
    stage.saw("messages left", left);

    let mut enough = buffer_for(&queue)?;
    mq_set_nonblock(&queue).context("mq_setattr")?;
    let cured = mq_receive(&queue, &mut enough, &mut 0);
    stage.call(format!("mq_receive(q, buffer, {}, NULL)", enough.len()), &cured);
    stage.saw("with room for mq_msgsize", cured.ok());
    match (broken, left) {
        (Ok(5), _) => Ok(1),
        (Err(Errno::EMSGSIZE), 1) => Ok(2),
        (Err(Errno::EMSGSIZE), _) => Ok(3),
        other => bail!("mq_receive: {other:?}"),
    }
}
// ANCHOR_END: small-buffer

pub(super) const SHAPE_OF_THE_FIRST: Experiment = Experiment {
    name: "shape-of-the-first",
    title: "Two programs, two ideas of one queue",
    level: Level::Later,
    question: "Two programs open a queue with O_CREAT, whoever is first. One asks for 2 \
               messages of 64 bytes and comes first. The other asks for 8 messages of \
               256 bytes. What does the second mq_open(3) do?",
    answers: &[
        wrong(
            "it fails with EEXIST, and opens nothing",
            "Only with O_EXCL as well. O_CREAT alone means: make it if it is \
             missing.",
        ),
        wrong(
            "it fails with EINVAL, and opens nothing",
            "That the sizes differ is no error. They are an argument for making a \
             queue, and nothing is made here, so nothing looks at them.",
        ),
        wrong(
            "it opens the queue, enlarged to 8 messages of 256 bytes",
            "A queue never changes its size: mq_setattr(3) changes O_NONBLOCK \
             alone.",
        ),
        right(
            "it opens the queue, still for 2 messages of 64 bytes",
            "The first program decides. The second is told nothing, and finds out \
             when a message of 100 bytes is EMSGSIZE.",
        ),
    ],
    kind: Kind::Kernel,
    run: shape_of_the_first,
    moral: "After mq_open ask mq_getattr(3) what you got. Let one program make the \
            queue; otherwise an old queue from last week may decide its size.",
    see: "mq_open(3), mq_setattr(3)",
    file: file!(),
    shows: &["shape-of-the-first"],
};

// ANCHOR: shape-of-the-first
fn shape_of_the_first(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let create = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    let open = |maxmsg, msgsize| {
        let queue =
            mq_open(name.as_str(), create, OURS, Some(&room_for(maxmsg, msgsize)));
        let call = format!("mq_open(\"{name}\", O_CREAT, {{{maxmsg}, {msgsize}}})");
        stage.call(call, &queue);
        queue
    };
    let first = open(2, 64);
    let second = open(8, 256);
    stage.saw("the first succeeded", first.is_ok());
    stage.saw("the second succeeded", second.is_ok());
    let second = match second {
        Err(Errno::EEXIST) => return Ok(1),
        Err(Errno::EINVAL) => return Ok(2),
        second => second.context("mq_open")?,
    };
    let shape = mq_getattr(&second).context("mq_getattr")?;
    let (maxmsg, msgsize) = (shape.maxmsg(), shape.msgsize());
    stage.call("mq_getattr(second)", &format!("{{{maxmsg}, {msgsize}}}"));
    stage.saw("the shape", format!("{maxmsg} messages of {msgsize} bytes"));
    let sent = mq_send(&second, &[0; 100], 0);
    stage.call("mq_send(second, message, 100, 0)", &sent);
    stage.saw("sending 100 bytes", sent.err().map(|e| e.to_string()));
    match (maxmsg, msgsize) {
        (8, 256) => Ok(3),
        (2, 64) => Ok(4),
        other => bail!("the shape is {other:?}"),
    }
}
// ANCHOR_END: shape-of-the-first

pub(super) const OVER_MSG_MAX: Experiment = Experiment {
    name: "over-msg-max",
    title: "A queue that is larger than allowed",
    level: Level::Later,
    question: "/proc/sys/fs/mqueue/msg_max says how many messages a queue may be made \
               for: 10, unless somebody has raised it. An ordinary program calls \
               mq_open(3) with O_CREAT and mq_maxmsg one above it. What happens?",
    answers: &[
        wrong(
            "it makes a queue for msg_max messages",
            "listen(2) reduces a backlog that is too long in this way, without an \
             error. mq_open refuses.",
        ),
        right(
            "it fails, and the error is EINVAL",
            "\"Invalid argument\" is all it says: the same error as for 0 \
             messages, or for a size over msgsize_max. Which limit it was, only \
             /proc tells.",
        ),
        wrong(
            "it fails, and the error is EMSGSIZE",
            "EMSGSIZE is about a message, when one is sent or received.",
        ),
        wrong(
            "it fails, and the error is ENOSPC",
            "ENOSPC is for too many queues (queues_max).",
        ),
    ],
    kind: Kind::Kernel,
    run: over_msg_max,
    moral: "EINVAL from mq_open: compare with msg_max and msgsize_max. A process with \
            CAP_SYS_RESOURCE is not bound by them, but by 65,536 messages: a program \
            that was only ever tried by root may fail for its users.",
    see: "mq_overview(7), mq_open(3)",
    file: file!(),
    shows: &["over-msg-max"],
};

// ANCHOR: over-msg-max
fn over_msg_max(stage: &Stage) -> Result<usize> {
    let limit = |name: &str| {
        let path = format!("/proc/sys/fs/mqueue/{name}");
        let text = std::fs::read_to_string(path).context("read a limit")?;
        text.trim().parse::<i64>().context("a limit")
    };
    let (msg_max, msgsize_max) = (limit("msg_max")?, limit("msgsize_max")?);
    stage.note(format!("msg_max is {msg_max}, msgsize_max {msgsize_max}."));
    let name = stage.queue("queue");
    let program = stage.fork("program", |stage| {
        be_ordinary(Uid::from_raw(65_534))?;
        let make = |maxmsg, msgsize| {
            let attr = room_for(maxmsg, msgsize);
            let queue = mq_open(name.as_str(), MAKE, OURS, Some(&attr));
            let shape = format!("{{{maxmsg}, {msgsize}}}");
            stage.call(format!("mq_open(\"/queue\", O_CREAT, {shape})"), &queue);
            queue.map(drop).map_err(|e| e as i32)
        };
        let (many, long) = (make(msg_max + 1, 16), make(1, msgsize_max + 1));
        Ok((many, long, make(1, 16)))
    })?;
    let made = program.join();
    unlink_all(&[name]);
    let (many, long, small) = made?;
    let shown = |e: Option<i32>| e.map(|e| Errno::from_raw(e).to_string());
    stage.saw("one message over msg_max", shown(many.err()));
    stage.saw("one byte over msgsize_max", shown(long.err()));
    stage.saw("1 message of 16 bytes is allowed", small.is_ok());
    match many.map_err(Errno::from_raw) {
        Ok(()) => Ok(1),
        Err(Errno::EINVAL) => Ok(2),
        Err(Errno::EMSGSIZE) => Ok(3),
        Err(Errno::ENOSPC | Errno::ENOMEM) => Ok(4),
        Err(error) => bail!("mq_open: {error}"),
    }
}

/// As root becomes `uid`, which has no privileges; another user stays that user.
fn be_ordinary(uid: Uid) -> Result<()> {
    if geteuid().is_root() { setuid(uid).context("setuid") } else { Ok(()) }
}

/// Removes what another user has made: the end of a run leaves that alone.
fn unlink_all(names: &[String]) {
    for name in names {
        let _ = mq_unlink(name.as_str()); // ENOENT if it was not made
    }
}
// ANCHOR_END: over-msg-max

pub(super) const QUEUE_BYTES: Experiment = Experiment {
    name: "queue-bytes",
    title: "How much room a queue takes",
    level: Level::Deep,
    question: "A user's queues may take RLIMIT_MSGQUEUE bytes together (ulimit \
               -q). A program has no other queue and sets that limit to 81,920 \
               bytes. Then it calls mq_open(3) to make one for 10 messages of \
               8,192 bytes, which is 81,920. What happens?",
    answers: &[
        wrong(
            "it makes the queue",
            "A queue is charged when it is made, for all the messages that it \
             might hold, and for what the kernel needs to keep them in its lists: \
             on a 64-bit machine 96 bytes for each of the 10.",
        ),
        right(
            "it fails with EMFILE",
            "\"Too many open files\" has two meanings here, and the usual one is \
             not meant. The limit was smaller than 10 × (8,192 + 96) = 82,880 \
             bytes.",
        ),
        wrong(
            "it fails with ENOMEM",
            "ENOMEM is for want of memory, which an empty queue hardly takes. For \
             this limit mq_open says EMFILE.",
        ),
    ],
    kind: Kind::Kernel,
    run: queue_bytes,
    moral: "\"Too many open files\" from mq_open: look at ulimit -q before ulimit -n. The \
            usual 819,200 bytes hold nine queues of the default shape, not ten, and all \
            processes of the user share them.",
    see: "getrlimit(2), mq_overview(7), mq_open(3)",
    file: file!(),
    shows: &["queue-bytes"],
};

// ANCHOR: queue-bytes
fn queue_bytes(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::QUEUE_BYTES)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_MSGQUEUE).context("getrlimit")?;
    let names: Vec<_> = (1..=20).map(|n| stage.queue(&n.to_string())).collect();
    let alone = geteuid().is_root();
    let program = stage.fork("program", |stage| {
        // As root it becomes a user that has no other queues.
        be_ordinary(Uid::from_raw(60_000 + std::process::id() % 5_000))?;
        let make = |n: usize| {
            mq_open(names[n].as_str(), MAKE, OURS, Some(&room_for(10, 8_192)))
        };
        let allow = |bytes| {
            setrlimit(Resource::RLIMIT_MSGQUEUE, bytes, hard).context("setrlimit")
        };
        allow(81_920)?;
        stage.call("setrlimit(RLIMIT_MSGQUEUE, 81920)", &());
        let exactly = make(0).map(drop);
        stage.call("mq_open(\"/1\", O_CREAT, {10, 8192})", &exactly);

        // Then 96 bytes more each time, until it is enough.
        let (mut enough, mut made) = (81_920, Err(Errno::EMFILE));
        while exactly == Err(Errno::EMFILE) && made == Err(Errno::EMFILE) {
            enough += 96;
            allow(enough)?;
            made = make(0).map(drop);
        }
        stage.call(format!("setrlimit(RLIMIT_MSGQUEUE, {enough})"), &());
        stage.call(
            "mq_open(\"/1\", O_CREAT, {10, 8192})",
            &made.map(|()| "a descriptor"),
        );
        if !alone {
            stage.note("your other queues, if you have any, are counted as well.");
            return Ok((exactly.map_err(|e| e as i32), enough, None));
        }
        allow(819_200)?;
        let within = 1 + (1..20).take_while(|n| make(*n).is_ok()).count();
        Ok((exactly.map_err(|e| e as i32), enough, Some(within)))
    })?;
    let made = program.join();
    unlink_all(&names);
    let (exactly, enough, within) = made?;
    let exactly = exactly.map_err(Errno::from_raw);
    stage.saw("with 81,920 bytes", exactly.err().map(|e| e.to_string()));
    stage.saw("the least that is enough", enough);
    if let Some(within) = within {
        stage.saw("such queues within 819,200 bytes", within);
    }
    match exactly {
        Ok(()) => Ok(1),
        Err(Errno::EMFILE) => Ok(2),
        Err(Errno::ENOMEM | Errno::ENOSPC) => Ok(3),
        Err(error) => bail!("mq_open: {error}"),
    }
}
// ANCHOR_END: queue-bytes
