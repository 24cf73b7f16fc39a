//! open(2) of a FIFO is where the two sides meet, or miss each other.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, mkfifo, setuid, write};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

pub(super) const OPEN_SLEEPS: Experiment = Experiment {
    name: "open-sleeps",
    title: "Opening a FIFO that nobody has open",
    level: Level::First,
    question: "A FIFO exists, and no process has it open. A program opens it for \
               reading, with no flag but O_RDONLY. When does open(2) return?",
    answers: &[
        wrong(
            "at once, before anybody writes",
            "That is how the two ends of a pipe(2) behave, which are made together. The \
             name of a FIFO leads to one end at a time.",
        ),
        right(
            "once a writer has opened it",
            "open(2) is where the two meet: the kernel lets neither side through before \
             the other has come. The reader slept in open, not in read.",
        ),
        wrong(
            "at once, with the error ENXIO",
            "ENXIO exists, but for the other side: a writer that opens with O_NONBLOCK.",
        ),
    ],
    kind: Kind::Kernel,
    run: open_sleeps,
    moral: "A FIFO's open(2) waits for the peer. A program that must not hang there \
            opens with O_NONBLOCK: see `fifo/no-reader-enxio` and `fifo/never-a-writer`.",
    see: "fifo(7)",
    file: file!(),
    shows: &["open-sleeps"],
};

// ANCHOR: open-sleeps
fn open_sleeps(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let reader = stage.fork("reader", |stage| {
        let fifo = open(&path, OFlag::O_RDONLY, Mode::empty());
        stage.call("open(\"fifo\", O_RDONLY)", &fifo);
        Ok(fifo.is_ok())
    })?;
    // It can come to rest in one of two calls; the answer is which.
    let asleep_in = reader.until_asleep_in(&[Sysno::openat, Sysno::read])?;
    stage.event("reader", format!("sleeps in {asleep_in}()"));
    stage.saw("the reader slept in", asleep_in.name());
    let writer = open(&path, OFlag::O_WRONLY, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY)", &writer);
    let opened = reader.join()?;
    Ok(match (asleep_in, opened) {
        (Sysno::openat, true) => 2,
        (_, true) => 1,
        (_, false) => 3,
    })
}
// ANCHOR_END: open-sleeps

pub(super) const NO_READER_ENXIO: Experiment = Experiment {
    name: "no-reader-enxio",
    title: "Opening for writing without waiting",
    level: Level::Later,
    question: "A FIFO exists, and no process has it open for reading. A program opens it \
               for writing with O_NONBLOCK, because it does not want to wait. What \
               becomes of its open(2)?",
    answers: &[
        wrong(
            "it succeeds; write(2) fails with EAGAIN",
            "One could have built it that way. But a FIFO that nobody has open for \
             reading has no place for bytes, and Linux refuses the writer at open(2).",
        ),
        wrong(
            "it succeeds; write(2) stores the bytes",
            "A FIFO's name is in a file system, its bytes are not: they are in a buffer \
             that exists only while a process has the FIFO open.",
        ),
        right(
            "it fails with ENXIO, no such device",
            "O_NONBLOCK asks open(2) not to wait for the reader, and a FIFO without a \
             reader is of no use to a writer. ENXIO means: nobody is there.",
        ),
        wrong(
            "it fails with EPIPE, a broken pipe",
            "EPIPE is the error of write(2) when readers were there and have gone.",
        ),
    ],
    kind: Kind::Kernel,
    run: no_reader_enxio,
    moral: "ENXIO is an answer rather than a failure: with it a sender learns, without \
            waiting, that nobody listens.",
    see: "fifo(7), open(2)",
    file: file!(),
    shows: &["no-reader-enxio"],
};

// ANCHOR: no-reader-enxio
fn no_reader_enxio(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let without_waiting = OFlag::O_WRONLY | OFlag::O_NONBLOCK;

    let alone = open(&path, without_waiting, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY | O_NONBLOCK)", &alone);
    stage.saw("without a reader", alone.as_ref().err().map(|e| e.to_string()));

    // The cure, or the proof: once there is a reader, the same call succeeds.
    let reader = open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty());
    stage.call("open(\"fifo\", O_RDONLY | O_NONBLOCK)", &reader);
    let joined = open(&path, without_waiting, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY | O_NONBLOCK)", &joined);
    stage.saw("with a reader", joined.is_ok());

    match alone {
        Err(Errno::ENXIO) => Ok(3),
        Err(Errno::EPIPE) => Ok(4),
        Err(error) => bail!("open: {error}"),
        Ok(fifo) => match write(&fifo, b"?") {
            Err(Errno::EAGAIN) => Ok(1),
            _ => Ok(2),
        },
    }
}
// ANCHOR_END: no-reader-enxio

pub(super) const WRONG_ORDER: Experiment = Experiment {
    name: "wrong-order",
    title: "Two FIFOs, one for each direction",
    level: Level::First,
    question: "A client and a server talk through two FIFOs, one for requests and one for \
               replies. The server opens `requests` for reading, then `replies` for \
               writing. The client opens `replies` for reading, then `requests` for \
               writing. What happens?",
    answers: &[
        wrong(
            "each opens both, and they talk",
            "Each open(2) waits for its partner: the second open of each side is what \
             the first open of the other waits for. Neither gets to its second.",
        ),
        right(
            "each sleeps in its first open(2)",
            "The server waits for somebody to write requests, and the client would, once \
             somebody writes replies. It is the classic deadlock, before a byte was \
             sent.",
        ),
        wrong(
            "one of them is refused with EDEADLK",
            "The kernel looks for circles among traditional fcntl(2) locks, and EDEADLK \
             is its answer there. It does not look for them among FIFOs.",
        ),
    ],
    kind: Kind::Kernel,
    run: wrong_order,
    moral: "Where an open waits for the peer, both sides must open in the same order of \
            FIFOs: agree on it as on any order of locks (`file/deadlock`).",
    see: "fifo(7), fcntl(2)",
    file: file!(),
    shows: &["wrong-order-broken", "wrong-order-cured", "wrong-order"],
};

// ANCHOR: wrong-order-broken
/// Reads replies before it writes requests: the server does it the other way round.
fn hasty_client(stage: &Stage) -> Result<()> {
    open(&stage.path("replies"), OFlag::O_RDONLY, Mode::empty())?;
    open(&stage.path("requests"), OFlag::O_WRONLY, Mode::empty())?;
    Ok(())
}
// ANCHOR_END: wrong-order-broken

// ANCHOR: wrong-order-cured
/// Opens in the server's order: each open(2) finds its partner there or on the way.
fn patient_client(stage: &Stage) -> Result<()> {
    open(&stage.path("requests"), OFlag::O_WRONLY, Mode::empty())?;
    open(&stage.path("replies"), OFlag::O_RDONLY, Mode::empty())?;
    Ok(())
}
// ANCHOR_END: wrong-order-cured

// ANCHOR: wrong-order
fn wrong_order(stage: &Stage) -> Result<usize> {
    for name in ["requests", "replies"] {
        mkfifo(&stage.path(name), Mode::S_IRUSR | Mode::S_IWUSR)
            .context("mkfifo")?;
    }
    let serve = |stage: &Stage| {
        open(&stage.path("requests"), OFlag::O_RDONLY, Mode::empty())?;
        open(&stage.path("replies"), OFlag::O_WRONLY, Mode::empty())?;
        Ok(())
    };

    let server = stage.fork("server", serve)?;
    let client = stage.fork("client", hasty_client)?;
    let asleep = [
        ("server", server.until_asleep_in(&[Sysno::openat])),
        ("client", client.until_asleep_in(&[Sysno::openat])),
    ];
    for (who, call) in &asleep {
        stage.event(
            who,
            format!("sleeps in {}()", call.as_ref().map_or("no", |c| c.name())),
        );
    }
    let stuck = asleep.iter().filter(|(_, call)| call.is_ok()).count();
    stage.saw("asleep in their first open", stuck);
    server.kill(Signal::SIGKILL)?;
    client.kill(Signal::SIGKILL)?;
    server.end()?;
    client.end()?;

    let server = stage.fork("server", serve)?;
    let client = stage.fork("client", patient_client)?;
    client.join()?;
    server.join()?;
    stage.event("both", "have opened both FIFOs, now that the order is the same");
    stage.saw("in the same order", "both through");
    Ok(if stuck == 2 { 2 } else { 1 })
}
// ANCHOR_END: wrong-order

pub(super) const ANOTHERS_IN_TMP: Experiment = Experiment {
    name: "anothers-in-tmp",
    title: "Another user's FIFO in /tmp",
    level: Level::Deep,
    question: "Another user has made a FIFO in a directory of root's like /tmp (mode 1777), has given it \
               the mode rw-rw-rw- (0666), and has it open for reading. Root opens it as a shell \
               does for `echo hello > fifo`: by open(2) with O_WRONLY | O_CREAT. In \
               /proc/sys/fs/protected_fifos is 1. What does open(2) return?",
    answers: &[
        wrong(
            "a descriptor for writing",
            "It would without O_CREAT, or with 0 in protected_fifos: the mode allows it, and a \
             reader is there.",
        ),
        right(
            "-1, with the error EACCES",
            "A program that says O_CREAT expects a file of its own. In a directory that has the sticky bit, \
             and to which all may write, the kernel does not open another user's FIFO for it, \
             unless the directory is that user's. Root has no exception.",
        ),
        wrong(
            "-1, with the error EEXIST",
            "That is for O_CREAT together with O_EXCL, and for each kind of file.",
        ),
    ],
    kind: Kind::Needs(&needs::PROTECTED_FIFOS),
    run: anothers_in_tmp,
    moral: "In /tmp anybody may make your FIFO before you. Open one that is to be there without \
            O_CREAT, and look by fstat(2) whose it is; or meet in a directory of your own, such as \
            $XDG_RUNTIME_DIR.",
    see: "proc(5), open(2), inode(7)",
    file: file!(),
    shows: &["anothers-in-tmp"],
};

// ANCHOR: anothers-in-tmp
fn anothers_in_tmp(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::PROTECTED_FIFOS)?;
    let directory = stage.path("tmp");
    std::fs::create_dir(&directory).context("mkdir")?;
    let sticky = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(&directory, sticky).context("chmod")?;
    let (open_there, never) = (stage.gate()?, stage.gate()?);
    let _other = stage.fork("other user", |stage| {
        std::env::set_current_dir(&directory)?;
        setuid(Uid::from_raw(65_534)).context("setuid")?;
        umask(Mode::empty());
        let made = mkfifo("fifo", Mode::from_bits_truncate(0o666));
        stage.call("mkfifo(\"fifo\", 0666)", &made);
        let reader =
            open("fifo", OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty());
        stage.call("open(\"fifo\", O_RDONLY | O_NONBLOCK)", &reader);
        open_there.open(1)?;
        never.pass()
    })?;
    open_there.pass()?;
    let fifo = directory.join("fifo");
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let created = open(&fifo, OFlag::O_WRONLY | OFlag::O_CREAT, mode);
    stage.call("root: open(\"tmp/fifo\", O_WRONLY | O_CREAT, 0600)", &created);
    let plain = open(&fifo, OFlag::O_WRONLY, Mode::empty());
    stage.call("root: open(\"tmp/fifo\", O_WRONLY)", &plain);
    let setting = std::fs::read_to_string("/proc/sys/fs/protected_fifos");
    let setting = setting.context("read protected_fifos")?;
    stage.note(format!("/proc/sys/fs/protected_fifos is {}", setting.trim()));
    stage.saw("with O_CREAT", created.as_ref().err().map(|error| error.to_string()));
    stage.saw("without O_CREAT", plain.is_ok());
    match created {
        Ok(_) => Ok(1),
        Err(Errno::EACCES) => Ok(2),
        Err(Errno::EEXIST) => Ok(3),
        Err(error) => bail!("open: {error}"),
    }
}
// ANCHOR_END: anothers-in-tmp
