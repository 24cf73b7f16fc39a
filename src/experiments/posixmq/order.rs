//! In what order messages come out, and how long a receiver waits for one.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mqueue::{mq_open, mq_receive, mq_send, mq_timedreceive};
use nix::sys::time::{TimeSpec, TimeValLike};
use syscalls::Sysno;

use super::{MAKE, OURS, room_for};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const PRIORITY_ORDER: Experiment = Experiment {
    name: "priority-order",
    title: "In what order messages come out",
    level: Level::First,
    question: "Each message of a POSIX queue has a priority, a number. A program sends \
               four with mq_send(3): \"a\" at priority 1, \"b\" at 5, \"c\" at 1, \"d\" \
               at 5. Then another receives them all with mq_receive(3). In what order?",
    answers: &[
        right(
            "b d a c",
            "mq_receive takes the oldest message of the highest priority. A \
             receiver cannot ask for anything else.",
        ),
        wrong(
            "a c b d",
            "With nice(1) and in many task lists a low number comes first. Here a \
             high number is urgent, 32,767 the most urgent.",
        ),
        wrong(
            "d b a c",
            "Messages of one priority keep their order: POSIX promises the oldest \
             of the highest priority, and Linux keeps a list for each priority \
             that is in use.",
        ),
        wrong(
            "a b c d",
            "Priorities do not only decide which sleeping receiver is woken, they \
             order the messages. Which receiver is woken depends on how urgent the \
             receivers are to the scheduler, and on how long they sleep.",
        ),
    ],
    kind: Kind::Kernel,
    run: priority_order,
    moral: "A queue whose messages all have one priority is first in, first out. With \
            more, an endless stream of urgent messages starves the others: nothing \
            ages.",
    see: "mq_send(3), mq_receive(3), mq_overview(7)",
    file: file!(),
    shows: &["priority-order"],
};

// ANCHOR: priority-order
fn priority_order(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
    let queue = queue.context("mq_open")?;
    for (text, priority) in [("a", 1), ("b", 5), ("c", 1), ("d", 5)] {
        let sent = mq_send(&queue, text.as_bytes(), priority);
        stage.call(format!("mq_send(q, \"{text}\", 1, {priority})"), &sent);
        sent.context("mq_send")?;
    }
    let receiver = stage.fork("receiver", |stage| {
        let mut order = Vec::new();
        for _ in 0..4 {
            let (mut message, mut priority) = ([0; 16], 0);
            let n = mq_receive(&queue, &mut message, &mut priority);
            let text = String::from_utf8_lossy(&message[..n.context("mq_receive")?]);
            let got = format!("{}: \"{text}\", priority {priority}", text.len());
            stage.call("mq_receive(q, buffer, 16, &priority)", &got);
            order.push(text.into_owned());
        }
        Ok(order)
    })?;
    let order = receiver.join()?.join(" ");
    stage.saw("received", order.as_str());
    Ok(match order.as_str() {
        "a c b d" => 2,
        "d b a c" => 3,
        "b d a c" => 1,
        "a b c d" => 4,
        other => bail!("received {other}"),
    })
}
// ANCHOR_END: priority-order

pub(super) const URGENT_WAITS_OUTSIDE: Experiment = Experiment {
    name: "urgent-waits-outside",
    title: "An urgent message for a full queue",
    level: Level::Deep,
    question: "A queue has room for one message, and holds one of priority 0. One \
               sender comes with a message of priority 1 and sleeps; then another \
               comes with one of priority 9 and sleeps too. A receiver takes three \
               messages. Which priorities does it get, in order?",
    answers: &[
        right(
            "0, 1, 9",
            "When a message is taken, the sender that has slept longest puts its \
             own in. The urgent one waits its turn, outside. Priority only orders \
             what is inside.",
        ),
        wrong(
            "9, 1, 0",
            "A message in a sleeping mq_send(3) is not in the queue yet; it is in \
             the memory of its sender, which waits for room.",
        ),
        wrong(
            "0, 9, 1",
            "The sleepers are a line of processes, not of messages. Their place in \
             it is decided by how urgent they are to the scheduler, then by how \
             long they have slept; the priority of their messages is not looked \
             at.",
        ),
    ],
    kind: Kind::Kernel,
    run: urgent_waits_outside,
    moral: "Priorities stop counting when a queue is full: then an urgent message waits \
            behind every sender that sleeps. Keep room, or give what is urgent a queue \
            of its own.",
    see: "mq_send(3), mq_overview(7)",
    file: file!(),
    shows: &["urgent-waits-outside"],
};

// ANCHOR: urgent-waits-outside
fn urgent_waits_outside(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(1, 16)));
    let queue = queue.context("mq_open")?;
    let full = mq_send(&queue, b"", 0);
    stage.call("mq_send(q, \"\", 0, priority 0)", &full);

    let sender = |who, priority| {
        let sender = stage
            .fork(who, |_| mq_send(&queue, b"", priority).context("mq_send"))?;
        sender.until_asleep_in(&[Sysno::mq_timedsend])?;
        stage.event(
            who,
            format!("sleeps in mq_send(q, \"\", 0, priority {priority})"),
        );
        anyhow::Ok(sender)
    };
    let first = sender("first", 1)?;
    let urgent = sender("urgent", 9)?;

    let mut order = Vec::new();
    for _ in 0..3 {
        let (mut message, mut priority) = ([0; 16], 0);
        let received = mq_receive(&queue, &mut message, &mut priority);
        received.context("mq_receive")?;
        stage.call("mq_receive()", &format!("0 bytes, priority {priority}"));
        order.push(priority);
    }
    first.join()?;
    urgent.join()?;
    stage.saw("priorities, as received", order.clone());
    match order.as_slice() {
        [9, 1, 0] => Ok(2),
        [0, 9, 1] => Ok(3),
        [0, 1, 9] => Ok(1),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: urgent-waits-outside

pub(super) const TIMEOUT_IS_A_TIME: Experiment = Experiment {
    name: "timeout-is-a-time",
    title: "Waiting at most a minute",
    level: Level::Later,
    question: "A queue is empty. A program wants to wait for a message for at most a \
               minute: it calls mq_timedreceive(3) with a struct timespec of 60 seconds \
               and 0 nanoseconds. What happens?",
    answers: &[
        right(
            "it returns at once, with ETIMEDOUT",
            "The argument is a moment, and this one was a minute past midnight on \
             1 January 1970. It has passed, and the call does not wait.",
        ),
        wrong(
            "it sleeps for a minute, then ETIMEDOUT",
            "That is true of poll(2), select(2) and nanosleep(2), whose times are \
             durations. Here it is a moment, by the clock that date(1) shows \
             (CLOCK_REALTIME).",
        ),
        wrong(
            "it returns at once, with EINVAL",
            "EINVAL is for nanoseconds below 0 or above 999,999,999. A moment in \
             the past is valid.",
        ),
    ],
    kind: Kind::Kernel,
    run: timeout_is_a_time,
    moral: "mq_timedreceive and mq_timedsend, like sem_timedwait, want the moment: \
            now, by clock_gettime(CLOCK_REALTIME), plus the wait. Setting the \
            clock moves it. And the time counts only if the call must sleep: a \
            message that is there is taken, however late it is.",
    see: "mq_receive(3), clock_gettime(2)",
    file: file!(),
    shows: &[
        "timeout-is-a-time-broken",
        "timeout-is-a-time-cured",
        "timeout-is-a-time",
    ],
};

// ANCHOR: timeout-is-a-time-broken
/// "For at most a minute."
fn a_minute_wrongly() -> TimeSpec {
    TimeSpec::seconds(60)
}
// ANCHOR_END: timeout-is-a-time-broken

// ANCHOR: timeout-is-a-time-cured
/// "Until a minute from now."
fn a_minute_from_now() -> Result<TimeSpec> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(TimeSpec::from(now) + TimeSpec::seconds(60))
}
// ANCHOR_END: timeout-is-a-time-cured

// ANCHOR: timeout-is-a-time
fn timeout_is_a_time(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(1, 16)));
    let queue = queue.context("mq_open")?;
    let receive = |until: TimeSpec| {
        let (mut message, mut priority) = ([0; 16], 0);
        mq_timedreceive(&queue, &mut message, &mut priority, &until)
    };
    let begun = Instant::now();
    let broken = receive(a_minute_wrongly());
    let waited = begun.elapsed().as_secs() >= 60;
    stage.call("mq_timedreceive(q, …, {60 s})", &broken);
    stage.saw("with {60 s}", broken.err().map(|e| e.to_string()));
    stage.saw("a minute had passed", waited);

    let told = stage.gate()?;
    let receiver = stage.fork("receiver", |stage| {
        let cured = receive(a_minute_from_now()?);
        told.pass()?; // so that the report has its cause first
        stage.call("mq_timedreceive(q, …, {now + 60 s})", &cured);
        cured.context("mq_timedreceive")
    })?;
    receiver.until_asleep_in(&[Sysno::mq_timedreceive])?;
    stage.event("receiver", "sleeps in mq_timedreceive(q, …, {now + 60 s})");
    let sent = mq_send(&queue, b"hello", 0);
    stage.call("mq_send(q, \"hello\", 5, 0)", &sent);
    told.open(1)?;
    stage.saw("with {now + 60 s}, bytes received", receiver.join()?);

    // A message that is there is taken, though the moment has passed.
    let sent = mq_send(&queue, b"late", 0);
    stage.call("mq_send(q, \"late\", 4, 0)", &sent);
    let late = receive(a_minute_wrongly());
    stage.call("mq_timedreceive(q, …, {60 s})", &late);
    stage.saw("with {60 s} and a message there, bytes received", late.ok());
    Ok(match (broken, waited) {
        (Err(Errno::ETIMEDOUT), true) => 2,
        (Err(Errno::EINVAL), _) => 3,
        (Err(Errno::ETIMEDOUT), false) => 1,
        other => bail!("mq_timedreceive: {other:?}"),
    })
}
// ANCHOR_END: timeout-is-a-time
