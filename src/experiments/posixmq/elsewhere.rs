//! What another IPC namespace, as a container has it, knows of a queue.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, mq_open, mq_send};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use super::stays::messages;
use super::{MAKE, OURS, room_for};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::processes::NAMESPACES;

pub(super) const OTHER_NAMESPACE: Experiment = Experiment {
    name: "other-namespace",
    title: "A queue, open, and another IPC namespace",
    level: Level::Deep,
    question: "A process has opened a queue, and then moves to an IPC namespace of its own, by \
               unshare(2). There it sends a message by its descriptor, and opens the queue's \
               name once more. What becomes of the two calls?",
    answers: &[
        right(
            "the message is sent, the name is not there",
            "A descriptor is an open file, and leads to its queue from wherever it is. Names \
             are looked up in the namespace's own file system of queues, which is new.",
        ),
        wrong(
            "the message is sent, the name is there",
            "The queue is in the old namespace alone. /dev/mqueue may still show it: a mount \
             shows the namespace in which it was made.",
        ),
        wrong(
            "the message is refused, the name is not there",
            "unshare(2) closes nothing. What is open stays open, as with files after \
             chroot(2).",
        ),
    ],
    kind: Kind::Needs(&NAMESPACES),
    run: other_namespace,
    moral: "A queue's name is good within one IPC namespace; its descriptor can be passed to \
            another one (unix(7), SCM_RIGHTS). mq_open in a container gives ENOENT, or makes a \
            second queue where O_CREAT is set, which nobody outside reads.",
    see: "ipc_namespaces(7), mq_overview(7), unshare(2)",
    file: file!(),
    shows: &["other-namespace"],
};

// ANCHOR: other-namespace
fn other_namespace(stage: &Stage) -> Result<usize> {
    stage.needs(&NAMESPACES)?;
    let name = stage.queue("queue");
    let queue = mq_open(name.as_str(), MAKE, OURS, Some(&room_for(4, 16)));
    stage.call(format!("mq_open(\"{name}\", O_RDWR | O_CREAT)"), &queue);
    let queue = queue.context("mq_open")?;
    let inside = stage.fork("container", |stage| {
        // Root needs no user namespace, and may be refused one.
        let own = unshare(CloneFlags::CLONE_NEWIPC).or_else(|_| {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWIPC)
        });
        stage.call("unshare(CLONE_NEWIPC)", &own);
        own?;
        let sent = mq_send(&queue, b"one", 0);
        stage.call("mq_send(q, \"one\")", &sent);
        let again = mq_open(name.as_str(), MQ_OFlag::O_RDONLY, Mode::empty(), None);
        stage.call(format!("mq_open(\"{name}\", O_RDONLY)"), &again);
        let known = again.as_ref().err() != Some(&Errno::ENOENT);
        Ok((sent.is_ok(), known, again.map(drop).shown()))
    })?;
    let (sent, known, again) = inside.join()?;
    let there = messages(&queue)?;
    stage.call("main: mq_getattr(q): mq_curmsgs", &there);
    stage.saw("sent by the descriptor", sent);
    stage.saw("by the name", again);
    stage.saw("messages in the queue", there);
    match (sent, known) {
        (true, false) => Ok(1),
        (true, true) => Ok(2),
        (false, false) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: other-namespace
