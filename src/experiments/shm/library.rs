//! The crate shared_memory: who removes the name, and when.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;
use crate::os::cleanup::segment_path;
use crate::os::shared::Shared;

/// What an error of the crate is called.
fn shown(result: &Result<Shmem, ShmemError>) -> String {
    match result {
        Ok(_) => "a mapping".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

pub(super) const CRATE_FORK: Experiment = Experiment {
    name: "crate-fork",
    title: "fork, and a value that cleans up",
    question: "A program makes shared memory with the crate shared_memory, whose Shmem \
               removes the name when its owner drops it. It forks. The child uses the \
               memory, drops its Shmem and ends. Another program now opens the name. What \
               happens?",
    answers: &[
        right(
            "MapOpenFailed, ENOENT: the child has removed the name",
            "Two processes had the same value, and each drops it. The parent's mapping \
             goes on working, so it notices nothing.",
        ),
        wrong(
            "it opens it: the parent is the owner, and it is still there",
            "The child is the owner as well. Whether a Shmem owns the name is a bool in \
             memory, and fork(2) has copied it.",
        ),
        wrong(
            "it opens it: a child's drop runs only in the child's memory",
            "What the drop changes in memory stays in the child. But it calls \
             shm_unlink(3), and the name is everybody's.",
        ),
    ],
    kind: Kind::Kernel,
    run: crate_fork,
    moral: "A value whose drop removes something outside the process is copied by fork. In \
            the child take the ownership away first, or compare the pid, or leave by _exit.",
    see: "fork(2), shm_unlink(3)",
    file: file!(),
    shows: &["crate-fork-broken", "crate-fork-cured", "crate-fork"],
};

// ANCHOR: crate-fork-broken
fn drop_it(ours: &mut Option<Shmem>) {
    *ours = None;
}
// ANCHOR_END: crate-fork-broken

// ANCHOR: crate-fork-cured
fn give_up_and_drop_it(ours: &mut Option<Shmem>) {
    if let Some(ours) = ours {
        ours.set_owner(false);
    }
    *ours = None;
}
// ANCHOR_END: crate-fork-cured

// ANCHOR: crate-fork
fn crate_fork(stage: &Stage) -> Result<usize> {
    let mut opened = Vec::new();
    for how in ["drops it", "gives it up, then drops it"] {
        let name = stage.segment("object");
        let made = ShmemConf::new().os_id(&name).size(4096).create();
        stage.call("ShmemConf::create(\"/object\")", &shown(&made));
        let mut ours = Some(made.context("ShmemConf::create")?);
        let child = stage.fork("child", |stage| {
            match how {
                "drops it" => drop_it(&mut ours),
                _ => give_up_and_drop_it(&mut ours),
            }
            stage.event("child", how);
            Ok(())
        })?;
        child.join()?;
        let other = ShmemConf::new().os_id(&name).open();
        stage.call("ShmemConf::open(\"/object\")", &shown(&other));
        stage.saw(&format!("found, once the child {how}"), other.is_ok());
        opened.push(other.is_ok());
    }
    Ok(if opened[0] { 2 } else { 1 })
}
// ANCHOR_END: crate-fork

pub(super) const CRATE_KILLED: Experiment = Experiment {
    name: "crate-killed",
    title: "Starting again after kill -9",
    question: "A program makes shared memory under a name of its own: \
               ShmemConf::new().os_id(name).size(4096).create(). It is killed by kill -9, \
               and started again. What does create() return now?",
    answers: &[
        wrong(
            "a mapping: the kernel has cleaned up after the dead process",
            "The kernel unmaps the pages and closes the descriptors. The name is a file in \
             /dev/shm, and files stay.",
        ),
        right(
            "Err(MappingIdExists)",
            "No drop runs at SIGKILL, so the name stays, and create() opens it with \
             O_EXCL: it will not take over what it has not made.",
        ),
        wrong(
            "a mapping of what the dead one had stored",
            "That is what open() gives. create() wants to be the first.",
        ),
    ],
    kind: Kind::Kernel,
    run: crate_killed,
    moral: "What has a name must be expected to be there at the start. Decide whether anybody \
            still uses it, by a lock that ends with its owner; then take it over, or remove \
            it.",
    see: "shm_open(3), shm_overview(7)",
    file: file!(),
    shows: &["crate-killed"],
};

// ANCHOR: crate-killed
fn crate_killed(stage: &Stage) -> Result<usize> {
    let name = stage.segment("object");
    let made = stage.gate()?;
    let first = stage.fork("first", |stage| {
        let object = ShmemConf::new().os_id(&name).size(4096).create();
        stage.call("ShmemConf::create(\"/object\")", &shown(&object));
        let object = Shared::new(object?);
        object.write(0, b"old");
        made.open(1)?;
        nix::unistd::pause();
        Ok(())
    })?;
    made.pass()?;
    first.kill(Signal::SIGKILL)?;
    first.end()?;
    stage.event("first", "killed by SIGKILL");
    let again = ShmemConf::new().os_id(&name).size(4096).create();
    stage.call("ShmemConf::create(\"/object\")", &shown(&again));
    stage.saw("create again", shown(&again));

    let found = ShmemConf::new().os_id(&name).open();
    stage.call("ShmemConf::open(\"/object\")", &shown(&found));
    let mut word = [0; 3];
    Shared::new(found.context("ShmemConf::open")?).read(0, &mut word);
    stage.saw("in what open finds", String::from_utf8_lossy(&word).into_owned());
    match again {
        Err(ShmemError::MappingIdExists) => Ok(2),
        Err(error) => bail!("ShmemConf::create: {error}"),
        Ok(object) => {
            let mut word = [0; 3];
            Shared::new(object).read(0, &mut word);
            Ok(if word == *b"old" { 3 } else { 1 })
        }
    }
}
// ANCHOR_END: crate-killed

pub(super) const CRATE_FORCE: Experiment = Experiment {
    name: "crate-force",
    title: "force_create_flink, twice",
    question: "With the crate shared_memory, two programs create memory with the same file \
               link, `link`, which tells others its name; both say force_create_flink(), so \
               that a stale link is no error. The first still runs when the second starts. \
               Then the first ends. A third opens `link`. What happens?",
    answers: &[
        right(
            "LinkOpenFailed: the first has removed the second's link",
            "The second took the name from the first, and the first, at its end, took it \
             from the second. Neither was told.",
        ),
        wrong(
            "the second create() fails: the first one still uses the link",
            "Without force it would be LinkExists. Forced, it overwrites the link, and does \
             not look whether anybody is behind it.",
        ),
        wrong(
            "the third finds the memory of the second",
            "It would have, until the first ended. Its drop removes `link`, as the owner of \
             a link of that name; that by then it is another one's link is not looked at.",
        ),
        wrong(
            "all three share one memory",
            "Each create() makes memory of its own. Only open() shares.",
        ),
    ],
    kind: Kind::Kernel,
    run: crate_force,
    moral: "To overwrite is no way to deal with what a crash has left: it cannot tell the \
            dead from the living. Lock a file beside the name, and look under the lock.",
    see: "shm_open(3), flock(2)",
    file: file!(),
    shows: &["crate-force"],
};

// ANCHOR: crate-force
fn crate_force(stage: &Stage) -> Result<usize> {
    let link = stage.path("link");
    let names = [stage.segment("first"), stage.segment("second")];
    let create = |name: &str| {
        let memory = ShmemConf::new().os_id(name).size(4096);
        let memory = memory.flink(&link).force_create_flink().create();
        stage.call("ShmemConf::create(), forced", &shown(&memory));
        memory
    };
    let open = || ShmemConf::new().flink(&link).open();
    let first = create(&names[0]).context("ShmemConf::create")?;
    let second = create(&names[1]);
    stage.saw("the second could create", second.is_ok());
    let behind = open().ok().map(|memory| memory.get_os_id().to_owned());
    let led_to_second = behind.as_deref() == Some(names[1].as_str());
    stage.saw("the link leads to the second", led_to_second);

    drop(first);
    stage.event("first", "ends, and drops its memory");
    let third = open();
    let text = match &third {
        Err(ShmemError::LinkOpenFailed(_)) => "LinkOpenFailed".to_owned(),
        other => shown(other),
    };
    stage.call("ShmemConf::open(\"link\")", &text);
    stage.saw("the third got", text.as_str());
    stage.saw("the second's memory is there", segment_path(&names[1]).exists());
    Ok(match (&second, &third) {
        (Err(_), _) => 2,
        (Ok(_), Err(_)) => 1,
        (Ok(_), Ok(_)) if led_to_second => 3,
        _ => 4,
    })
}
// ANCHOR_END: crate-force
