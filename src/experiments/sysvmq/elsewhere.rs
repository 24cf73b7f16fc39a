//! What another IPC namespace, as a container has it, knows of a queue.

use std::fs::File;

use anyhow::{Context, Result, bail};
use libc::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::message;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::processes::NAMESPACES;
use os::cleanup::Object;
use os::sysv::{msgget, msgsnd};
use os::sysv_control::ftok;

pub(super) const OTHER_NAMESPACE: Experiment = Experiment {
    name: "other-namespace",
    title: "The same key in a container",
    level: Level::Deep,
    question: "A process has made a queue with a key. Another one, of the same user and with the \
               same files, runs in an IPC namespace of its own, as in a container. It calls \
               msgget(2) with the key, and msgsnd(2) with the identifier, which it was told. \
               What do the two calls return?",
    answers: &[
        right(
            "ENOENT for the key, EINVAL for the identifier",
            "Each IPC namespace has its own System V objects, its own keys and its own \
             identifiers. Nothing of the other is seen, and no path leads there.",
        ),
        wrong(
            "ENOENT for the key, 0 for the identifier",
            "The identifier is an index in the namespace's own table. Worse than an error: in \
             another namespace it may be another queue's.",
        ),
        wrong(
            "EACCES for the key, EACCES for the identifier",
            "EACCES says that there is a queue, and that you may not. Here there is none.",
        ),
    ],
    kind: Kind::Needs(&NAMESPACES),
    run: other_namespace,
    moral: "Two containers share System V objects only if they share the IPC namespace (`docker \
            run --ipc=container:NAME`). When its last process ends, the namespace goes with all \
            that is in it: what a container leaves does not outlive it.",
    see: "ipc_namespaces(7), unshare(1), msgget(2)",
    file: file!(),
    shows: &["other-namespace"],
};

// ANCHOR: other-namespace
fn other_namespace(stage: &Stage) -> Result<usize> {
    stage.needs(&NAMESPACES)?;
    File::create(stage.path("key")).context("open")?;
    let key = ftok(&stage.path("key"), 1).context("ftok")?;
    let id = msgget(key, IPC_CREAT | IPC_EXCL | 0o600).context("msgget")?;
    stage.made(&Object::SysvQueue(id));
    stage.event("main", "msgget(key, IPC_CREAT): a queue");
    let inside = stage.fork("container", |stage| {
        // Root needs no user namespace, and may be refused one.
        let own = unshare(CloneFlags::CLONE_NEWIPC).or_else(|_| {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWIPC)
        });
        stage.call("unshare(CLONE_NEWIPC)", &own);
        own?;
        let by_key = msgget(key, 0);
        stage.call("msgget(key)", &by_key);
        let by_id = msgsnd(id, &message(1, b"hello"), IPC_NOWAIT);
        stage.call("msgsnd(the identifier)", &by_id);
        Ok((by_key.shown(), by_id.shown()))
    })?;
    let (by_key, by_id) = inside.join()?;
    let outside = msgsnd(id, &message(1, b"hello"), IPC_NOWAIT);
    stage.call("main: msgsnd(the identifier)", &outside);
    stage.saw("by the key", by_key.as_str());
    stage.saw("by the identifier", by_id.as_str());
    stage.saw("outside it is there", outside.is_ok());
    let is = |text: &str, error: Errno| text.starts_with(&format!("{error:?}"));
    match (by_key.as_str(), by_id.as_str()) {
        (key, id) if is(key, Errno::ENOENT) && is(id, Errno::EINVAL) => Ok(1),
        (key, "0") if is(key, Errno::ENOENT) => Ok(2),
        (key, id) if is(key, Errno::EACCES) && is(id, Errno::EACCES) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: other-namespace
