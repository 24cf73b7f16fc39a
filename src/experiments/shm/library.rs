//! The crate shared_memory: which process removes the name, and when.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::fault::{attempt, shown as shown_byte};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::shared::Shared;
use os::shm_file::segment_path;

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
    level: Level::Later,
    question: "A program makes shared memory with the crate shared_memory, whose Shmem \
               removes the name when its owner drops it. The program forks. The child drops \
               its Shmem and ends. Then the parent loads a byte of the memory, and another \
               program opens the name. What happens?",
    answers: &[
        right(
            "the load succeeds, and the open gets ENOENT",
            "Both processes had the same value, and the child's drop removed the name for \
             all. The parent's mapping is not touched, so the parent does not notice.",
        ),
        wrong(
            "the load succeeds, and the open does too",
            "Whether a Shmem is the owner is a bool in memory, and fork(2) has copied it. \
             What the child's drop changes in memory stays in the child, but it also calls \
             shm_unlink(3), and the name is not the child's alone.",
        ),
        wrong(
            "the load is SIGSEGV, and the open gets ENOENT",
            "The drop also unmaps the memory, but only in the child's address space.",
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
    let mut answers = Vec::new();
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
        let ours = Shared::new(ours.context("the parent's own")?);
        let mut byte = [1];
        let load = || {
            ours.read(0, &mut byte);
            byte[0]
        };
        let loaded = attempt(stage, "parent", "loads byte 0", load)?;
        let other = ShmemConf::new().os_id(&name).open();
        stage.call("ShmemConf::open(\"/object\")", &shown(&other));
        stage.saw(&format!("found, once the child {how}"), other.is_ok());
        stage.saw(
            &format!("the parent's load, once the child {how}"),
            shown_byte(loaded),
        );
        answers.push(match (loaded, &other) {
            (Err(_), _) => 3,
            (Ok(_), Ok(_)) => 2,
            (Ok(_), Err(_)) => 1,
        });
    }
    Ok(answers[0])
}
// ANCHOR_END: crate-fork

pub(super) const CRATE_KILLED: Experiment = Experiment {
    name: "crate-killed",
    title: "Starting again after kill -9",
    level: Level::Later,
    question: "A program makes shared memory with the crate shared_memory, under a name of \
               its own: ShmemConf::new().os_id(name).size(4096).create(). It is killed by \
               kill -9, and started again. What does create() return now?",
    answers: &[
        wrong(
            "a new mapping, full of zeros",
            "That would need the kernel to remove the name. When a process dies, it unmaps \
             the pages and closes the descriptors. The name is a file in /dev/shm, and files \
             stay.",
        ),
        right(
            "no mapping, but MappingIdExists",
            "No drop runs at SIGKILL, so the name stays. create() opens it with O_EXCL, \
             which accepts only a new name.",
        ),
        wrong(
            "the old mapping, with its data",
            "That is what open() returns. create() accepts only a new name.",
        ),
    ],
    kind: Kind::Kernel,
    run: crate_killed,
    moral: "At its start a program must expect what has a name to be there. Find out whether \
            a process still uses it, by a lock that ends with its owner; then take it over, \
            or remove it. The same pitfall: semaphore/stale-value.",
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
    level: Level::Deep,
    question: "With the crate shared_memory, two programs create memory with the same file \
               link, `link`, which tells others its name; both say force_create_flink(), so \
               that an old link is no error. The first ends while the second runs. Now a \
               third opens `link`. What happens?",
    answers: &[
        right(
            "the third gets the error LinkOpenFailed",
            "The second replaced the link of the first, and the first, at its end, removed \
             the link of the second. Neither was told.",
        ),
        wrong(
            "the second has got the error LinkExists",
            "That is true without force. With it, create() overwrites the link, and does not \
             check whether a program uses it.",
        ),
        wrong(
            "the third gets the memory of the second",
            "It would have, until the first ended. The first's drop removes `link`, and does \
             not check whose link that is by now.",
        ),
        wrong(
            "the third gets the memory of the first",
            "The second has overwritten the link, and each create() makes memory of its own.",
        ),
    ],
    kind: Kind::Kernel,
    run: crate_force,
    moral: "Overwriting is no way to deal with what a crash has left: it cannot tell the \
            dead from the living. Lock a file beside the name, and look while you hold the \
            lock.",
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
