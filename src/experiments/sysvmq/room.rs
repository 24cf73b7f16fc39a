//! How large a message is, and how much a queue holds.

use anyhow::{Context, Result, bail};
use libc::{IPC_NOWAIT, MSG_NOERROR, c_long};
use nix::errno::Errno;
use syscalls::Sysno;

use super::{make, message, text_of};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::sysv::{Msgbuf, msgrcv, msgsnd, msgstat};
use os::sysv_control::{msgsnd_memory, set_qbytes};

pub(super) const SIZE_WITHOUT_TYPE: Experiment = Experiment {
    name: "size-without-type",
    title: "The size that msgsnd wants",
    level: Level::First,
    question: "In C: struct { long mtype; char mtext[8]; } m = { 1, \"hello\" }. \
               On a 64-bit machine a program sends it by msgsnd(id, &m, sizeof m, \
               0); the size is 16. You may have read that the size counts the \
               type. What does another process receive?",
    answers: &[
        wrong(
            "the 8 bytes of mtext, and nothing more",
            "Many programs are written like that, and seem to work. But the size \
             is that of mtext alone; the type is not counted.",
        ),
        right(
            "the 8 bytes of mtext, and 8 others",
            "The kernel takes the type, and then 16 bytes of text: 8 more than \
             there are. What lies behind m in memory goes to the receiver, \
             whatever it is.",
        ),
        wrong(
            "not a byte; msgsnd gets EFAULT",
            "The kernel does not know how large m is. The memory behind it is \
             readable, and no call fails.",
        ),
    ],
    kind: Kind::Kernel,
    run: size_without_type,
    moral: "The size is sizeof m.mtext, or sizeof m - sizeof(long). Too much on the sending \
            side gives away memory; on the receiving side it lets the kernel write over \
            what follows the buffer.",
    see: "msgsnd(2)",
    file: file!(),
    shows: &[
        "size-without-type-broken",
        "size-without-type-cured",
        "size-without-type",
    ],
};

// ANCHOR: size-without-type-broken
/// `msgsnd(id, &m, sizeof m, 0)`, where m is the first two longs of `memory`.
fn send_sizeof_m(id: i32, memory: &[c_long; 3]) -> nix::Result<()> {
    msgsnd_memory(id, memory, size_of::<[c_long; 2]>(), 0)
}
// ANCHOR_END: size-without-type-broken

// ANCHOR: size-without-type-cured
/// `msgsnd(id, &m, sizeof m.mtext, 0)`.
fn send_sizeof_mtext(id: i32, memory: &[c_long; 3]) -> nix::Result<()> {
    msgsnd_memory(id, memory, size_of::<[u8; 8]>(), 0)
}
// ANCHOR_END: size-without-type-cured

// ANCHOR: size-without-type
fn size_without_type(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::LONG)?;
    let id = make(stage)?;
    // m.mtype, m.mtext, and another variable that happens to lie behind m.
    let memory = [
        1,
        c_long::from_ne_bytes(*b"hello\0\0\0"),
        c_long::from_ne_bytes(*b"password"),
    ];
    let receive = || {
        let mut received = Msgbuf::with_room(64);
        let n = msgrcv(id, &mut received, 0, 0);
        stage.call("msgrcv(id, &other, 64, 0, 0)", &n);
        anyhow::Ok((n.context("msgrcv")?, text_of(&received).replace('\0', "\\0")))
    };
    let sent = send_sizeof_m(id, &memory);
    stage.call("msgsnd(id, &m, sizeof m, 0)", &sent);
    let Ok(()) = sent else { return Ok(3) };
    let (length, text) = receive()?;
    let sent = send_sizeof_mtext(id, &memory);
    stage.call("msgsnd(id, &m, sizeof m.mtext, 0)", &sent);
    let (cured_length, cured_text) = receive()?;
    stage.saw("broken: bytes received", length);
    stage.saw("broken: text received", text.as_str());
    stage.saw("cured: bytes received", cured_length);
    stage.saw("cured: text received", cured_text);
    match length {
        8 => Ok(1),
        16 if text.ends_with("password") => Ok(2),
        other => bail!("{other} bytes: {text:?}"),
    }
}
// ANCHOR_END: size-without-type

pub(super) const TOO_LONG_STAYS: Experiment = Experiment {
    name: "too-long-stays",
    title: "A message that is longer than the buffer",
    level: Level::First,
    question: "The oldest message in a System V queue is 12 bytes long. A receiver \
               has room for 8, and calls msgrcv(2) in a loop that goes on after an \
               error. It does not set MSG_NOERROR, the flag that lets a message be \
               cut off. What does it get?",
    answers: &[
        wrong(
            "8 bytes, then the other 4",
            "That is true of a stream, a pipe or a TCP connection. A message is \
             taken whole or not at all.",
        ),
        wrong(
            "8 bytes, then the next message",
            "That is what a datagram socket does, and msgrcv with MSG_NOERROR, \
             which the run tries last.",
        ),
        wrong(
            "E2BIG once, then the next message",
            "E2BIG throws nothing away: the long message stays at the head.",
        ),
        right(
            "E2BIG again and again",
            "The message is not taken, and the next call meets it again. One long \
             message stops this receiver, and the messages behind it wait.",
        ),
    ],
    kind: Kind::Kernel,
    run: too_long_stays,
    moral: "Receive with room for msgmax bytes (/proc/sys/kernel/msgmax), or have a way \
            past a long message: MSG_NOERROR cuts it off and takes it.",
    see: "msgrcv(2)",
    file: file!(),
    shows: &["too-long-stays"],
};

// ANCHOR: too-long-stays
fn too_long_stays(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    for text in ["twelve bytes", "next"] {
        let sent = msgsnd(id, &message(1, text.as_bytes()), 0);
        stage.call(format!("msgsnd(id, {{1, {text:?}}}, {}, 0)", text.len()), &sent);
    }
    let receive = |flags, shown: &str| {
        let mut received = Msgbuf::with_room(8);
        let n = msgrcv(id, &mut received, 0, IPC_NOWAIT | flags);
        stage.call(format!("msgrcv(id, &m, 8, 0, IPC_NOWAIT{shown})"), &n);
        n.map(|_| text_of(&received)).unwrap_or_else(|e| e.to_string())
    };
    let tries = [receive(0, ""), receive(0, ""), receive(0, "")];
    let cut = receive(MSG_NOERROR, " | MSG_NOERROR");
    let after = receive(0, "");
    let e2big = Errno::E2BIG.to_string();
    let refused = tries.iter().filter(|one| **one == e2big).count();
    stage.saw("of three tries, refused with E2BIG", refused);
    stage.saw("with MSG_NOERROR", cut);
    stage.saw("then", after);
    match tries.each_ref().map(|one| one.as_str()) {
        ["twelve b", "ytes", _] => Ok(1),
        ["twelve b", "next", _] => Ok(2),
        [first, "next", _] if first == e2big => Ok(3),
        all if all == [e2big.as_str(); 3] => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: too-long-stays

pub(super) const EMPTY_MESSAGES_FILL: Experiment = Experiment {
    name: "empty-messages-fill",
    title: "How many empty messages fit",
    level: Level::Deep,
    question: "A System V queue holds msg_qbytes bytes, 16,384 unless changed. Types alone \
               carry the meaning, so a program sends messages of 0 bytes, with \
               IPC_NOWAIT. How many fit?",
    answers: &[
        wrong(
            "any number of them",
            "They take none of the bytes. But each takes some memory of the \
             kernel's, and without a limit an unprivileged program could take all \
             of it.",
        ),
        right(
            "16,384 of them",
            "msg_qbytes is also the limit of the number of messages, and there is \
             no second number for it. The next gets EAGAIN.",
        ),
        wrong("only ten of them", "Ten is the usual mq_maxmsg of a POSIX queue."),
        wrong(
            "2,048 of them",
            "That would be 8 bytes each, for the type. The type is not counted, \
             neither by msgsnd(2) nor by the queue.",
        ),
    ],
    kind: Kind::Kernel,
    run: empty_messages_fill,
    moral: "A System V queue is full of bytes or full of messages, by one number. \
            Lower it by msgctl(2) IPC_SET, and fewer empty messages fit as well.",
    see: "msgsnd(2), msgctl(2)",
    file: file!(),
    shows: &["empty-messages-fill"],
};

// ANCHOR: empty-messages-fill
fn empty_messages_fill(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    let qbytes = msgstat(id).context("msgctl")?.msg_qbytes;
    stage.call("msgctl(id, IPC_STAT, &now): msg_qbytes", &qbytes);
    if qbytes != 16_384 {
        stage.note(format!("msg_qbytes of a new queue is {qbytes} (msgmnb)."));
    }
    let empty = message(1, b"");
    let fill = |limit: u64| {
        for sent in 0..=limit {
            if let Err(error) = msgsnd(id, &empty, IPC_NOWAIT) {
                stage.call(
                    format!("msgsnd(id, &m, 0, IPC_NOWAIT), {sent} times"),
                    &(),
                );
                let again = "msgsnd(id, &m, 0, IPC_NOWAIT)";
                stage.call(again, &Err::<(), _>(error));
                return (sent, Some(error));
            }
        }
        (limit + 1, None)
    };
    let (sent, refused) = fill(qbytes);
    let now = msgstat(id).context("msgctl")?;
    stage.saw("empty messages that fitted", sent);
    stage.saw("then", refused.map(|e| e.to_string()));
    stage.saw("bytes in the full queue", now.__msg_cbytes);
    Ok(match (sent, refused) {
        (_, None) => 1,
        (sent, Some(Errno::EAGAIN)) if sent == qbytes => 2,
        (10, _) => 3,
        (sent, _) if sent == qbytes / 8 => 4,
        other => bail!("{other:?}"),
    })
}
// ANCHOR_END: empty-messages-fill

pub(super) const LARGER_THAN_THE_QUEUE: Experiment = Experiment {
    name: "larger-than-the-queue",
    title: "A message that no room is enough for",
    level: Level::Deep,
    question: "An administrator has lowered a queue's msg_qbytes to 100 by msgctl(2). The \
               queue is empty. A program sends a message of 200 bytes, which is far \
               below msgmax (8,192). What does msgsnd(2) do?",
    answers: &[
        right(
            "it sleeps, although the queue is empty",
            "200 bytes do not fit into 100, now or after any msgrcv(2). No \
             receiver can wake it: the call sleeps until msg_qbytes is raised, the \
             queue is removed, or a signal comes.",
        ),
        wrong(
            "it fails, and the error is EINVAL",
            "EINVAL is for a message over msgmax. msg_qbytes is not compared with \
             one message, only with what would then be in the queue.",
        ),
        wrong(
            "it succeeds, although 200 is above 100",
            "Some queues take one message of any size when they are empty, and \
             cannot get stuck. This one counts first.",
        ),
        wrong(
            "it fails, and the error is E2BIG",
            "E2BIG is what msgrcv(2) says of a message that does not fit into its \
             buffer.",
        ),
    ],
    kind: Kind::Kernel,
    run: larger_than_the_queue,
    moral: "\"Full\" is not the opposite of \"empty\" here. A sender should compare its \
            largest message with msg_qbytes, not with msgmax alone. Raising msg_qbytes \
            wakes the sleepers; over msgmnb that takes CAP_SYS_RESOURCE.",
    see: "msgsnd(2), msgctl(2)",
    file: file!(),
    shows: &["larger-than-the-queue"],
};

// ANCHOR: larger-than-the-queue
fn larger_than_the_queue(stage: &Stage) -> Result<usize> {
    let id = make(stage)?;
    let lowered = set_qbytes(id, 100);
    stage.call("msgctl(id, IPC_SET, {msg_qbytes 100})", &lowered);
    lowered.context("msgctl")?;
    let large = message(1, &[b'x'; 200]);
    let at_once = msgsnd(id, &large, IPC_NOWAIT);
    stage.call("msgsnd(id, &m, 200, IPC_NOWAIT)", &at_once);
    let told = stage.gate()?;
    let sender = stage.fork("sender", |stage| {
        let sent = msgsnd(id, &large, 0);
        told.pass()?; // so that the report has its cause first
        stage.call("msgsnd(id, &m, 200, 0)", &sent);
        Ok(sent.map_err(|e| e as i32))
    })?;
    let slept = match at_once {
        Err(Errno::EAGAIN) => sender.until_asleep_in(&[Sysno::msgsnd]).is_ok(),
        _ => false,
    };
    if slept {
        stage.event("sender", "sleeps in msgsnd(id, &m, 200, 0)");
    }
    let waits = msgstat(id).context("msgctl")?.msg_qnum;
    stage.call("msgctl(id, IPC_STAT, &now): msg_qnum", &waits);
    let raised = set_qbytes(id, 200);
    stage.call("msgctl(id, IPC_SET, {msg_qbytes 200})", &raised);
    told.open(1)?;
    let sent = sender.join()?.map_err(Errno::from_raw);
    stage.saw("with IPC_NOWAIT", at_once.err().map(|e| e.to_string()));
    stage.saw("it slept", slept);
    stage.saw("messages in the queue then", waits);
    stage.saw("raising msg_qbytes let it through", slept && sent.is_ok());
    Ok(match (slept, sent) {
        (true, _) => 1,
        (false, Ok(())) => 3,
        (false, Err(Errno::E2BIG)) => 4,
        (false, Err(Errno::EINVAL)) => 2,
        (false, Err(error)) => bail!("msgsnd: {error}"),
    })
}
// ANCHOR_END: larger-than-the-queue
