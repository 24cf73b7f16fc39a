//! What mq_notify(3) reports, and what it does not.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_set_nonblock,
};
use nix::sys::stat::Mode;
use syscalls::Sysno;

use super::{MAKE, OURS, room_for};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mqueue::mq_notify;
use os::ready::poll;
use os::signal::{Set, read_signalfd, signalfd};

pub(super) const NOTIFY_ONE_SHOT: Experiment = Experiment {
    name: "notify-one-shot",
    title: "How often mq_notify tells",
    level: Level::Later,
    question: "mq_notify(3) registers a process to be told of a new message, here \
               by a real-time signal; those are counted, and none is merged with \
               another. The queue is empty. Three messages arrive, the process \
               receives them, and a fourth arrives. How many signals does it get?",
    answers: &[
        wrong(
            "four signals",
            "One for each message would be too many. It is told that the queue is \
             no longer empty, not that a message came. The second and third came \
             into a queue that was not empty.",
        ),
        wrong(
            "two signals",
            "The first and the fourth both found the queue empty. But by the \
             fourth nobody was registered: the first signal ended the \
             registration.",
        ),
        right(
            "one signal",
            "It is for the first message. A registration is good for one \
             notification, and is gone with it. To be told again, call mq_notify \
             again.",
        ),
        wrong(
            "no signal",
            "A signal does not need a program that sleeps in mq_receive(3). It is \
             the other way round: while a process sleeps there, no signal is sent.",
        ),
    ],
    kind: Kind::Kernel,
    run: notify_one_shot,
    moral: "mq_notify fires once, and only when a message makes an empty queue not empty. \
            So each time: register again, then receive until EAGAIN; posixmq/rearm-then-drain \
            shows why in this order.",
    see: "mq_notify(3)",
    file: file!(),
    shows: &["notify-one-shot", "notify-one-shot-signals"],
};

// ANCHOR: notify-one-shot
fn notify_one_shot(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
    let queue = queue.context("mq_open")?;
    let signals = Signals::blocked()?;
    let registered = mq_notify(&queue, libc::SIGRTMIN());
    stage.call("mq_notify(q, SIGRTMIN)", &registered);

    let mut total = 0;
    let send = |text: &str| {
        let sent = mq_send(&queue, text.as_bytes(), 0);
        stage.call(format!("mq_send(q, \"{text}\", 1, 0)"), &sent);
        signals.taken()
    };
    for (text, what) in [
        ("1", "signals for the first message"),
        ("2", "signals for the second"),
        ("3", "signals for the third"),
    ] {
        let came = send(text)?;
        stage.saw(what, came);
        total += came;
    }
    for _ in 0..3 {
        let received = mq_receive(&queue, &mut [0; 16], &mut 0);
        stage.call("mq_receive(q, buffer, 16, NULL)", &received);
    }
    let came = send("4")?;
    stage.saw("signals for the fourth, into the empty queue", came);
    match total + came {
        4 => Ok(1),
        2 => Ok(2),
        1 => Ok(3),
        0 => Ok(4),
        other => bail!("{other} signals"),
    }
}
// ANCHOR_END: notify-one-shot

pub(super) const REARM_THEN_DRAIN: Experiment = Experiment {
    name: "rearm-then-drain",
    title: "Between the last message and the next mq_notify",
    level: Level::Deep,
    question: "A program is told by a signal that its queue is no longer empty. It \
               receives messages until the queue is empty, and then calls mq_notify(3) \
               for the next signal. Message B arrives between these two steps, and \
               message C after them. Which of them is it told of?",
    answers: &[
        wrong(
            "of B alone",
            "poll(2) looks at what is there. mq_notify waits for a change: from \
             empty to not empty. B made that change before the program was \
             registered for it.",
        ),
        wrong(
            "of C alone",
            "C comes into a queue that holds B. That is no change from empty.",
        ),
        right(
            "of neither",
            "Nor is it told of any later one. B came unnoticed, and keeps the \
             queue from ever being empty again: the program sleeps, the queue \
             fills up, the senders sleep too.",
        ),
    ],
    kind: Kind::Kernel,
    run: rearm_then_drain,
    moral: "Register first, then receive until EAGAIN, with O_NONBLOCK. A message that \
            comes in between is then received or signalled, or both: a needless signal \
            does no harm.",
    see: "mq_notify(3)",
    file: file!(),
    shows: &[
        "rearm-then-drain-all",
        "rearm-then-drain-broken",
        "rearm-then-drain-cured",
        "rearm-then-drain",
    ],
};

// ANCHOR: rearm-then-drain-all
/// Takes what is in a queue with O_NONBLOCK, and returns how many messages it was.
fn drain(stage: &Stage, queue: &MqdT) -> Result<usize> {
    for n in 0.. {
        let received = mq_receive(queue, &mut [0; 16], &mut 0);
        stage.call("mq_receive(q, buffer, 16, NULL)", &received);
        match received {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(n),
            Err(error) => bail!("mq_receive: {error}"),
        }
    }
    unreachable!("a queue has an end")
}

/// Asks for a signal when the queue is no longer empty.
fn register(stage: &Stage, queue: &MqdT) -> Result<()> {
    let registered = mq_notify(queue, libc::SIGRTMIN());
    stage.call("mq_notify(q, SIGRTMIN)", &registered);
    registered.context("mq_notify")
}
// ANCHOR_END: rearm-then-drain-all

// ANCHOR: rearm-then-drain-broken
/// Empties the queue, then asks for the next signal. Returns how many it received.
fn drain_then_rearm(
    stage: &Stage,
    queue: &MqdT,
    between: impl FnOnce(),
) -> Result<usize> {
    let received = drain(stage, queue)?;
    between();
    register(stage, queue)?;
    Ok(received)
}
// ANCHOR_END: rearm-then-drain-broken

// ANCHOR: rearm-then-drain-cured
/// Asks for the next signal, then empties the queue. Returns how many it received.
fn rearm_and_drain(
    stage: &Stage,
    queue: &MqdT,
    between: impl FnOnce(),
) -> Result<usize> {
    register(stage, queue)?;
    between();
    drain(stage, queue)
}
// ANCHOR_END: rearm-then-drain-cured

// ANCHOR: rearm-then-drain
fn rearm_then_drain(stage: &Stage) -> Result<usize> {
    let signals = Signals::blocked()?;
    // A comes, and is reported; B comes in between; C comes last.
    let told_of = |which: &str, cured: bool| {
        let name = stage.queue(which);
        let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
        let queue = queue.context("mq_open")?;
        mq_set_nonblock(&queue).context("mq_setattr")?;
        let send = |text: &str| {
            let sent = mq_send(&queue, text.as_bytes(), 0);
            stage.call(format!("mq_send(q, \"{text}\", 1, 0)"), &sent);
        };
        stage.event("main", format!("{which}:"));
        register(stage, &queue)?;
        send("A");
        if signals.taken()? != 1 {
            bail!("no signal for A");
        }
        let b = || send("B");
        let drained = match cured {
            false => drain_then_rearm(stage, &queue, b)?,
            true => rearm_and_drain(stage, &queue, b)?,
        };
        let of_b = signals.taken()?;
        send("C");
        let of_c = signals.taken()?;
        stage.saw(&format!("{which}: received"), drained);
        stage.saw(&format!("{which}: signals for B, for C"), vec![of_b, of_c]);
        anyhow::Ok((of_b, of_c))
    };
    let (of_b, of_c) = told_of("broken", false)?;
    told_of("cured", true)?;
    match (of_b, of_c) {
        (1, _) => Ok(1),
        (0, 1) => Ok(2),
        (0, 0) => Ok(3),
        other => bail!("{other:?} signals"),
    }
}
// ANCHOR_END: rearm-then-drain

pub(super) const NOTIFY_AND_A_SLEEPER: Experiment = Experiment {
    name: "notify-and-a-sleeper",
    title: "One is registered, another sleeps in mq_receive",
    level: Level::Deep,
    question: "A queue is empty. Process A has asked by mq_notify(3) for a signal. \
               Process B sleeps in mq_receive(3) on the same queue. A message \
               arrives. Who learns of it, and is A registered afterwards?",
    answers: &[
        right(
            "B alone, and A is still registered",
            "The message is handed to the sleeper, past the queue. A is told of \
             the first message that really comes to lie in the queue.",
        ),
        wrong(
            "A and B, and A is still registered",
            "Then A would wake up for a queue that is empty again. The kernel \
             spares it that.",
        ),
        wrong(
            "A alone, and A must register again",
            "The message goes to the process that sleeps for it. It never gets \
             into the queue, so the queue is empty all the time.",
        ),
        wrong(
            "B alone, and A must register again",
            "B alone it is. But a registration is used up by a signal, and none \
             was sent.",
        ),
    ],
    kind: Kind::Kernel,
    run: notify_and_a_sleeper,
    moral: "A monitor that counts messages by mq_notify misses all that go straight to a \
            sleeping receiver.",
    see: "mq_notify(3)",
    file: file!(),
    shows: &["notify-and-a-sleeper"],
};

// ANCHOR: notify-and-a-sleeper
fn notify_and_a_sleeper(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(2, 16)));
    let queue = queue.context("mq_open")?;
    let signals = Signals::blocked()?;
    stage.call("mq_notify(q, SIGRTMIN)", &mq_notify(&queue, libc::SIGRTMIN()));
    let told = stage.gate()?;
    let receiver = stage.fork("receiver", |stage| {
        let received = mq_receive(&queue, &mut [0; 16], &mut 0);
        told.pass()?; // so that the report has its cause first
        stage.call("mq_receive(q, buffer, 16, NULL)", &received);
        received.context("mq_receive")
    })?;
    receiver.until_asleep_in(&[Sysno::mq_timedreceive])?;
    stage.event("receiver", "sleeps in mq_receive(q, buffer, 16, NULL)");

    let sender = stage.fork("sender", |stage| {
        let sent = mq_send(&queue, b"hello", 0);
        stage.call("mq_send(q, \"hello\", 5, 0)", &sent);
        sent.context("mq_send")
    })?;
    sender.join()?;
    told.open(1)?;
    let at_once = signals.taken()?;
    // If the message is not in the queue, the receiver has it.
    let waits = super::stays::messages(&queue)?;
    if waits == 0 {
        stage.saw("bytes the receiver got", receiver.join()?);
    }
    stage.saw("signals for the first message", at_once);
    stage.saw("messages that came to lie in the queue", waits);

    let sent = mq_send(&queue, b"again", 0);
    stage.call("mq_send(q, \"again\", 5, 0)", &sent);
    let later = signals.taken()?;
    stage.saw("signals for the next, when nobody sleeps", later);
    match (at_once, waits, later) {
        (1, 0, 1) => Ok(2),
        (1, 1, 0) => Ok(3),
        (0, 0, 0) => Ok(4),
        (0, 0, 1) => Ok(1),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: notify-and-a-sleeper

pub(super) const NOTIFY_LOST_BY_CLOSE: Experiment = Experiment {
    name: "notify-lost-by-close",
    title: "Closing another descriptor of the queue",
    level: Level::Deep,
    question: "A program has asked by mq_notify(3) for a signal. Then another \
               process opens the same queue and closes it. Later a library in the \
               program opens the queue too, looks how full it is, and closes what \
               it has opened. What ends the registration?",
    answers: &[
        wrong(
            "only a close of the descriptor that was registered",
            "The man page reads like that (\"via mqdes\"), and so does POSIX. \
             Linux keeps in mind which process asked, not by which descriptor.",
        ),
        right(
            "the close that the library makes",
            "Linux removes a process's registration when that process closes any \
             descriptor of the queue.",
        ),
        wrong(
            "the close that the other process makes",
            "What others close does no harm: after it the registration stands, as \
             the run shows.",
        ),
    ],
    kind: Kind::Kernel,
    run: notify_lost_by_close,
    moral: "A registration dies with the first close of any descriptor of that queue in \
            its process, as a lock of fcntl(2) does with any close of its file. Open a \
            queue once in a process that uses mq_notify.",
    see: "mq_close(3), mq_notify(3), fcntl(2)",
    file: file!(),
    shows: &["notify-lost-by-close"],
};

// ANCHOR: notify-lost-by-close
fn notify_lost_by_close(stage: &Stage) -> Result<usize> {
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(2, 16)));
    stage.call("mq_open(\"/queue\", O_CREAT | O_RDWR)", &queue);
    let queue = queue.context("mq_open")?;
    let signals = Signals::blocked()?;
    let notify = format!("mq_notify({}, SIGRTMIN)", queue.as_raw_fd());
    let first = mq_notify(&queue, libc::SIGRTMIN());
    stage.call(&notify, &first);
    first.context("mq_notify")?;
    let look_and_close = |stage: &Stage| {
        let read_only = MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC;
        let again = mq_open(name.as_str(), read_only, Mode::empty(), None);
        stage.call("mq_open(\"/queue\", O_RDONLY)", &again);
        let again = again.context("mq_open")?;
        let call = format!("mq_close({})", again.as_raw_fd());
        let closed = mq_close(again);
        stage.call(call, &closed);
        closed.context("mq_close")
    };
    stage.fork("other", look_and_close)?.join()?;
    let still = mq_notify(&queue, libc::SIGRTMIN());
    stage.call(&notify, &still);
    look_and_close(stage)?;

    let sent = mq_send(&queue, b"hello", 0);
    stage.call(format!("mq_send({}, \"hello\", 5, 0)", queue.as_raw_fd()), &sent);
    let told = signals.taken()?;
    // If no process is registered any more, we can be again.
    let again = mq_notify(&queue, libc::SIGRTMIN());
    stage.call(&notify, &again);
    let still_registered = still == Err(Errno::EBUSY);
    if told == 0 {
        stage.note("the kernel differs from mq_close(3), which says \"via mqdes\".");
    }
    stage.saw("registered after another process closed it", still_registered);
    stage.saw("signals after this process closed another", told);
    stage.saw("registering again succeeds", again.is_ok());
    Ok(match (still_registered, told) {
        (true, 0) => 2,
        (true, _) => 1,
        (false, _) => 3,
    })
}
// ANCHOR_END: notify-lost-by-close

// ANCHOR: notify-one-shot-signals
/// SIGRTMIN, blocked, to be counted: a real-time signal is queued each time it is sent.
struct Signals(OwnedFd);

impl Signals {
    fn blocked() -> Result<Signals> {
        let set = Set::of(&[libc::SIGRTMIN()]);
        set.block().context("sigprocmask")?;
        Ok(Signals(signalfd(&set).context("signalfd")?))
    }

    /// Takes those that wait, and returns how many they were.
    fn taken(&self) -> Result<usize> {
        let events = libc::POLLIN;
        let mut fds = [libc::pollfd { fd: self.0.as_raw_fd(), events, revents: 0 }];
        let mut taken = 0;
        while poll(&mut fds, 0).context("poll")? == 1 {
            read_signalfd(&self.0).context("read a signalfd")?;
            taken += 1;
        }
        Ok(taken)
    }
}
// ANCHOR_END: notify-one-shot-signals
