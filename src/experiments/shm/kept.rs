//! How long a segment lives, and who else removes it.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use libc::{IPC_CREAT, IPC_EXCL};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::shm_open;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{dup2_stderr, ftruncate, pipe2};
use rustix::process::set_child_subreaper;

use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs::PYTHON;
use lab::tools::Tools;
use os::cleanup::Object;
use os::names::sysv_attached;
use os::shared::mmap;
use os::sysv_control::ftok;
use os::sysv_segment::{shmat, shmctl_rmid, shmget};

/// Makes a System V segment with a key that leads to it.
fn segment(stage: &Stage) -> Result<(i32, i32)> {
    File::create(stage.path("key")).context("open")?;
    let key = ftok(&stage.path("key"), 1).context("ftok")?;
    let id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600);
    stage.call("shmget(key, 4096, IPC_CREAT)", &id.map(|_| "a segment"));
    let id = id.context("shmget")?;
    stage.made(&Object::SysvSegment(id));
    Ok((key, id))
}

pub(super) const REMOVED_WHILE_ATTACHED: Experiment = Experiment {
    name: "removed-while-attached",
    title: "IPC_RMID of a segment that is in use",
    level: Level::Later,
    question: "A has attached a System V segment, and stored `one` in it. B calls \
               shmctl(id, IPC_RMID), which returns 0. Then A looks at the memory, and C calls \
               shmget(2) with the segment's key. What do they get?",
    answers: &[
        right(
            "A reads `one`, and C gets ENOENT",
            "IPC_RMID takes the key away at once, and marks the segment. It goes with the last \
             process that has it attached.",
        ),
        wrong(
            "A reads `one`, and C gets the segment",
            "The key became 0 (IPC_PRIVATE): no key leads there any more. On Linux its \
             identifier still does, while somebody has it attached; elsewhere not even that.",
        ),
        wrong(
            "A gets SIGBUS, and C gets ENOENT",
            "Memory that is attached stays, as a file that is open stays after unlink(2). A \
             queue or a semaphore set goes at once: their calls return EIDRM.",
        ),
    ],
    kind: Kind::Kernel,
    run: removed_while_attached,
    moral: "Call IPC_RMID as soon as all have attached: then nothing is left, whoever dies. \
            That is the one cure for a segment that nobody removes.",
    see: "shmctl(2), shmget(2), sysvipc(7)",
    file: file!(),
    shows: &["removed-while-attached"],
};

// ANCHOR: removed-while-attached
fn removed_while_attached(stage: &Stage) -> Result<usize> {
    let (key, id) = segment(stage)?;
    let (stored, removed) = (stage.gate()?, stage.gate()?);
    let a = stage.fork("A", |stage| {
        let memory = shmat(id)?;
        memory.write(0, b"one");
        stage.event("A", "shmat(), stores \"one\"");
        stored.open(1)?;
        removed.pass()?;
        let mut word = [0; 3];
        memory.read(0, &mut word);
        let word = String::from_utf8_lossy(&word).into_owned();
        stage.event(
            "A",
            format!("reads {word:?}; processes attached: {}", sysv_attached(id)),
        );
        Ok(word)
    })?;
    stored.pass()?;
    let done = shmctl_rmid(id);
    stage.call("B: shmctl(IPC_RMID)", &done);
    let c = shmget(key, 0, 0);
    stage.call("C: shmget(key)", &c);
    removed.open(1)?;
    let word = a.join()?;
    stage.event("A", "has ended");
    let late = shmat(id).map(drop);
    stage.call("shmat(id), by now", &late);
    stage.saw("A read", word.as_str());
    stage.saw("C got", c.shown());
    stage.saw("it went with A", late.is_err());
    match (word.as_str(), c) {
        ("one", Err(Errno::ENOENT)) => Ok(1),
        ("one", Ok(_)) => Ok(2),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: removed-while-attached

pub(super) const NOBODY_ATTACHED: Experiment = Experiment {
    name: "nobody-attached",
    title: "A segment after its last process",
    level: Level::Later,
    question: "A process makes a System V segment, attaches it, stores `one`, and is done: \
               shmdt(2), exit. No process has the segment attached now (nattch is 0). What has \
               become of it?",
    answers: &[
        wrong(
            "it has gone with its last process",
            "So it is with what has no name: a memfd, a mapping of MAP_ANONYMOUS; or with a \
             segment that was marked by IPC_RMID before.",
        ),
        wrong(
            "it is there, and its bytes are zeros",
            "Pages are not cleared while they are somebody's, and these are still the \
             segment's. The next process finds what was there.",
        ),
        right(
            "it is there, and its bytes are too",
            "nattch is a count that nobody acts on. A segment stays until IPC_RMID, or until \
             the IPC namespace ends: by a reboot, or with the container.",
        ),
    ],
    kind: Kind::Kernel,
    run: nobody_attached,
    moral: "ipcs -m shows what is left: nattch 0, and the pid of its maker (ipcs -mp), which \
            lives no more. ipcrm -m removes it. A POSIX object stays in the same way, as a file \
            in /dev/shm, and is easier to see.",
    see: "shmctl(2), ipcs(1), ipcrm(1), sysvipc(7)",
    file: file!(),
    shows: &["nobody-attached"],
};

// ANCHOR: nobody-attached
fn nobody_attached(stage: &Stage) -> Result<usize> {
    let (_, id) = segment(stage)?;
    let maker = stage.fork("maker", |stage| {
        shmat(id)?.write(0, b"one"); // detached at the end of this line
        stage.event("maker", "shmat(), stores \"one\", shmdt()");
        Ok(())
    })?;
    maker.join()?;
    let attached = sysv_attached(id);
    stage.event("main", format!("the maker has ended; nattch is {attached}"));
    let memory = shmat(id);
    stage.call("shmat(id)", &memory.as_ref().map(|_| "the memory").map_err(|e| *e));
    let Ok(memory) = memory else { return Ok(1) };
    let mut word = [0; 3];
    memory.read(0, &mut word);
    stage.event("main", format!("reads {:?}", String::from_utf8_lossy(&word)));
    stage.saw("nattch after its end", attached);
    stage.saw("the bytes", String::from_utf8_lossy(&word).replace('\0', "0"));
    Ok(if word == *b"one" { 3 } else { 2 })
}
// ANCHOR_END: nobody-attached

pub(super) const TRACKER: Experiment = Experiment {
    name: "tracker",
    title: "A Python program looks into your memory, and ends",
    level: Level::Later,
    question: "A program of yours has made the object `/board` by shm_open(3), and uses it. A \
               Python program attaches it by multiprocessing's SharedMemory(\"board\"), \
               reads, calls close(), and ends. It never calls unlink(). Then a third program \
               calls shm_open(\"/board\"). What does it get?",
    answers: &[
        wrong(
            "the object, as Python has closed it",
            "close() unmaps it in that process. But Python has noted the name, too, in a \
             process beside the program: the resource tracker.",
        ),
        wrong(
            "EACCES, as Python has locked it",
            "Nothing locks an object. Its mode is what you gave it.",
        ),
        right(
            "ENOENT, as Python has unlinked it",
            "Python's resource tracker unlinks, at the program's end, each name that the \
             program has opened and not unlinked, whoever made it. Yours goes on, with an object \
             that has no name.",
        ),
    ],
    kind: Kind::Needs(&PYTHON),
    run: tracker,
    moral: "In Python 3.13 and later say SharedMemory(name, track=False); before, \
            resource_tracker.unregister(\"/board\", \"shared_memory\"), or map \
            /dev/shm/board by mmap. Python's bug 82300 has the story.",
    see: "shm_unlink(3), python3(1)",
    file: file!(),
    shows: &["tracker-broken", "tracker-cured", "tracker"],
};

// ANCHOR: tracker-broken
const ATTACHES: &str = "
import sys
from multiprocessing.shared_memory import SharedMemory
board = SharedMemory(sys.argv[1])
board.close()
";
// ANCHOR_END: tracker-broken

// ANCHOR: tracker-cured
const ATTACHES_ALONE: &str = "
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
board = SharedMemory(sys.argv[1])
board.close()
resource_tracker.unregister('/' + sys.argv[1], 'shared_memory')
";
// ANCHOR_END: tracker-cured

// ANCHOR: tracker
fn tracker(stage: &Stage) -> Result<usize> {
    stage.needs(&PYTHON)?;
    // The tracker outlives the program that started it: main waits for both.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let after = |what: &str, name: &str, program: &str| {
        let name = stage.segment(name);
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        let object = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        stage.call(format!("shm_open(\"{name}\", O_CREAT)"), &object);
        let object = object.context("shm_open")?;
        ftruncate(&object, 4096).context("ftruncate")?;
        let memory = mmap(&object, 4096).context("mmap")?;
        memory.write(0, b"one");
        let (errors, said) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let python = stage.fork("Python", |_| -> Result<()> {
            dup2_stderr(&said)?;
            let mut command = Command::new(Tools::of_environment().python);
            command.args(["-c", program, name.trim_start_matches('/')]);
            Err(command.exec().into())
        })?;
        let ended = python.status()?;
        drop(said);
        let mut text = String::new();
        File::from(errors).read_to_string(&mut text).context("read")?; // the tracker has it, too
        while waitpid(None, None).is_ok() {}
        stage.event("Python", format!("{what}: has ended, and so has its tracker"));
        if !matches!(ended, nix::sys::wait::WaitStatus::Exited(_, 0)) {
            bail!("python: {ended:?}: {text}");
        }
        let third = shm_open(name.as_str(), OFlag::O_RDWR, Mode::empty());
        stage.call(format!("third: shm_open(\"{name}\")"), &third);
        let mut word = [0; 3];
        memory.read(0, &mut word);
        anyhow::Ok((third.map(drop), word == *b"one"))
    };
    let (third, kept) = after("close()", "board", ATTACHES)?;
    let (cured, _) = after("close(), unregister()", "board-2", ATTACHES_ALONE)?;
    stage.saw("the third program", third.shown());
    stage.saw("the memory itself is still there", kept);
    stage.saw("after unregister", cured.shown());
    match third {
        Ok(()) => Ok(1),
        Err(Errno::EACCES) => Ok(2),
        Err(Errno::ENOENT) => Ok(3),
        Err(error) => bail!("shm_open: {error}"),
    }
}
// ANCHOR_END: tracker
