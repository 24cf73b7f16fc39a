//! Where the end of a FIFO's stream is, and what is left of its bytes.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, stat};
use nix::unistd::{mkfifo, read, write};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const EMPTY_OR_ENDED: Experiment = Experiment {
    name: "empty-or-ended",
    title: "Nothing to read: empty, or ended?",
    level: Level::Later,
    question: "A program reads a FIFO with O_NONBLOCK, twice. The first time the FIFO is \
               empty, and a writer has it open. The second time all writers have closed \
               it. What does read(2) return?",
    answers: &[
        wrong(
            "0 when it is empty, 0 when it has ended",
            "Some System V kernels had a flag, O_NDELAY, under which both were 0, and \
             texts of that time are still read. With O_NONBLOCK POSIX has made them \
             different.",
        ),
        wrong(
            "EAGAIN when it is empty or has ended",
            "EAGAIN means: something may still come. Without a writer nothing can.",
        ),
        right(
            "EAGAIN when it is empty, 0 when it has ended",
            "0 is the end of the file: no process has it open for writing. EAGAIN means \
             that the buffer is empty and that there is a writer.",
        ),
        wrong(
            "0 when it is empty, EAGAIN when it has ended",
            "It is the other way round: an empty FIFO may be filled again, one without a \
             writer has come to its end.",
        ),
    ],
    kind: Kind::Kernel,
    run: empty_or_ended,
    moral: "0 is the end of a stream, EAGAIN is \"not yet\". But a FIFO that never had a \
            writer also reads 0: see fifo/never-a-writer.",
    see: "fifo(7), read(2), poll(2)",
    file: file!(),
    shows: &["empty-or-ended"],
};

// ANCHOR: empty-or-ended
fn empty_or_ended(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let reader = open_without_waiting(stage)?;
    let writer = File::options().write(true).open(&path).context("open")?;

    let mut byte = [0; 1];
    let empty = read(&reader, &mut byte);
    stage.call("read() while a writer has it open", &empty);
    drop(writer);
    let ended = read(&reader, &mut byte);
    stage.call("read() when the last writer has closed", &ended);
    stage.saw("empty", empty.err().map(|e| e.to_string()));
    stage.saw("ended", ended.ok());
    Ok(match (empty, ended) {
        (Ok(0), Ok(0)) => 1,
        (Err(Errno::EAGAIN), Err(Errno::EAGAIN)) => 2,
        (Err(Errno::EAGAIN), Ok(0)) => 3,
        (Ok(0), Err(Errno::EAGAIN)) => 4,
        other => bail!("read: {other:?}"),
    })
}
// ANCHOR_END: empty-or-ended

/// open(O_RDONLY | O_NONBLOCK): a reader that need not wait for a writer.
fn open_without_waiting(stage: &Stage) -> Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(stage.path("fifo")).context("open")
}

pub(super) const NEVER_A_WRITER: Experiment = Experiment {
    name: "never-a-writer",
    title: "Before the first writer",
    level: Level::Deep,
    question: "A program opens a FIFO for reading with O_NONBLOCK, before any writer has \
               come. read(2) returns 0, as it does after the last writer has gone. You \
               may have read that poll(2) can tell \"not yet\" from \"no more\". What \
               does it report?",
    answers: &[
        right(
            "POLLHUP only after the last writer",
            "Before the first writer poll reports nothing, and would sleep. After the \
             last one it reports POLLHUP. So wait in poll, and read when it reports \
             something.",
        ),
        wrong(
            "POLLHUP before and after a writer",
            "Linux remembers, for each reader, whether a writer has come since it opened \
             the FIFO. Before that there is nobody who could hang up.",
        ),
        wrong(
            "no event before or after a writer",
            "POLLHUP is the end of the stream, and poll reports it even if it was not \
             asked for.",
        ),
    ],
    kind: Kind::Kernel,
    run: never_a_writer,
    moral: "A read of 0 from a FIFO opened with O_NONBLOCK may mean that nobody has come \
            yet. poll(2) waits for the first writer; read alone cannot.",
    see: "poll(2), fifo(7)",
    file: file!(),
    shows: &["never-a-writer"],
};

// ANCHOR: never-a-writer
fn never_a_writer(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let reader = open_without_waiting(stage)?;
    let mut byte = [0; 1];
    let mut look = |when: &str| -> Result<(nix::Result<usize>, PollFlags)> {
        let got = read(&reader, &mut byte);
        stage.call(format!("read() {when}"), &got);
        let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).context("poll")?;
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        stage.call(format!("poll() {when}, events"), &events);
        Ok((got, events))
    };
    let (first_read, before) = look("before the first writer")?;
    drop(File::options().write(true).open(&path).context("open")?);
    let (last_read, after) = look("after the last writer")?;
    stage.saw("read says", vec![first_read.ok(), last_read.ok()]);
    stage.saw("POLLHUP before", before.contains(PollFlags::POLLHUP));
    stage.saw("POLLHUP after", after.contains(PollFlags::POLLHUP));
    Ok(match (before.is_empty(), after.contains(PollFlags::POLLHUP)) {
        (true, true) => 1,
        (false, _) => 2,
        (true, false) => 3,
    })
}
// ANCHOR_END: never-a-writer

pub(super) const DUMMY_WRITER: Experiment = Experiment {
    name: "dummy-writer",
    title: "A server between two clients",
    level: Level::First,
    question: "A server opens a FIFO for reading and reads requests in a loop. The first \
               client writes its request and closes. The next client has not come yet. \
               What does the server's read(2) do?",
    answers: &[
        wrong(
            "it sleeps until the next client",
            "It would, if some process still had the FIFO open for writing. With the \
             last writer gone, read has nothing to wait for.",
        ),
        right(
            "it returns 0, as often as called",
            "Without a writer a FIFO is at its end, and a loop around read burns a whole \
             CPU. The end can pass: read returns data again once a writer comes.",
        ),
        wrong(
            "it returns -1, as often as called",
            "The server's own descriptor is open, and read works. Nobody but the server \
             can close it.",
        ),
    ],
    kind: Kind::Kernel,
    run: dummy_writer,
    moral: "A server of many clients opens its FIFO for writing as well, and never \
            writes. Then the FIFO is never at its end, and read sleeps between two \
            clients.",
    see: "fifo(7)",
    file: file!(),
    shows: &["dummy-writer-broken", "dummy-writer-cured", "dummy-writer"],
};

// ANCHOR: dummy-writer-broken
/// Reads until something comes, or a thousand times; returns how many reads gave 0.
fn serve_at_the_end(requests: &File) -> Result<u32> {
    let mut ends = 0;
    while ends < 1000 && read(requests, &mut [0; 64])? == 0 {
        ends += 1;
    }
    Ok(ends)
}
// ANCHOR_END: dummy-writer-broken

// ANCHOR: dummy-writer-cured
/// The same, with a write end of its own: as long as it is open, the end cannot come.
fn serve_without_end(stage: &Stage, requests: &File) -> Result<u32> {
    let _never_written = File::options().write(true).open(stage.path("fifo"))?;
    serve_at_the_end(requests)
}
// ANCHOR_END: dummy-writer-cured

// ANCHOR: dummy-writer
fn dummy_writer(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let client = stage.fork("client", |stage| {
        let fifo = File::options().write(true).open(stage.path("fifo"))?;
        stage.call("write(\"request 1\\n\")", &write(&fifo, b"request 1\n"));
        Ok(())
    })?;
    let requests = File::open(&path).context("open")?;
    client.join()?;
    let got = read(&requests, &mut [0; 64]);
    stage.call("read()", &got);
    let ends = serve_at_the_end(&requests)?;
    stage.event("main", format!("read() = 0, {ends} times in {ends}"));
    stage.saw("reads of 0 in a thousand", ends);

    let server =
        stage.fork("server", |stage| serve_without_end(stage, &requests))?;
    let cured = server.until_asleep_in(&[Sysno::read]).is_ok();
    stage.event("server", "with a write end of its own: sleeps in read()");
    stage.saw("with a dummy writer it sleeps", cured);
    server.kill(Signal::SIGKILL)?;
    server.end()?;
    Ok(if ends == 1000 { 2 } else { 1 })
}
// ANCHOR_END: dummy-writer

pub(super) const NAME_STAYS: Experiment = Experiment {
    name: "name-stays",
    title: "What is left in a FIFO that all have closed",
    level: Level::First,
    question: "A writer and a reader have a FIFO open. The writer writes 100 bytes, the \
               reader reads none of them, and both close. The FIFO's name is still in \
               its directory. How long did the bytes stay in the FIFO?",
    answers: &[
        right(
            "until the last process closed it",
            "The kernel makes the buffer when the FIFO is first opened and frees it at \
             the last close, with all that is in it. Only the name stays.",
        ),
        wrong(
            "until another reader takes them",
            "It has a file's name, owner and permissions. But its bytes were never in \
             the file system: st_size is 0 even while they wait.",
        ),
        wrong(
            "until the machine is restarted",
            "That is true of a message queue, if nobody removes it: with RemoveIPC=yes, \
             the default, systemd removes a user's queues at the last logout. A FIFO's \
             buffer goes with its last descriptor.",
        ),
    ],
    kind: Kind::Kernel,
    run: name_stays,
    moral: "A FIFO keeps nothing. What must outlive its processes belongs into a file or \
            a message queue.",
    see: "fifo(7), pipe(7)",
    file: file!(),
    shows: &["name-stays"],
};

// ANCHOR: name-stays
fn name_stays(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let reader = open_without_waiting(stage)?;
    let writer = File::options().write(true).open(&path).context("open")?;
    stage.call("write(100 bytes)", &write(&writer, &[b'x'; 100]));
    let size = stat(&path).context("stat")?.st_size;
    stage.call("stat(\"fifo\"), st_size", &size);
    drop((reader, writer));
    stage.event("main", "closes both ends; nobody has the FIFO open");

    let reader = open_without_waiting(stage)?;
    let _writer = File::options().write(true).open(&path).context("open")?;
    let found = read(&reader, &mut [0; 200]);
    stage.call("read() by the next reader, with a writer there", &found);
    stage.saw("st_size while 100 bytes waited", size);
    stage.saw("found afterwards", found.unwrap_or(0));
    stage.saw("the name is there", path.exists());
    match found {
        Ok(100) => Ok(2),
        Err(Errno::EAGAIN) | Ok(0) => Ok(1),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: name-stays
