//! O_NONBLOCK: what a write does where not all has room, and who else is affected.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, ttyname, write};

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const ALL_OR_NOTHING: Experiment = Experiment {
    name: "all-or-nothing",
    title: "4096 bytes into 4000 bytes of room",
    level: Level::Later,
    question: "A pipe with O_NONBLOCK has room for 4000 bytes, and PIPE_BUF is 4096. A program \
               writes 4096 bytes with one write(2). What does it return, and how many of the \
               bytes are in the pipe then?",
    answers: &[
        wrong(
            "4000, and there are 4000",
            "So a longer write would do it, in part. Up to PIPE_BUF bytes a write is all or \
             nothing, so that no reader ever sees half a record.",
        ),
        wrong(
            "-1 with EAGAIN, and there are 4000",
            "Then the program would not know what to write again. An error of write(2) means \
             that nothing was written.",
        ),
        wrong(
            "4096, and there are 4096",
            "There is no room for the last 96, and O_NONBLOCK says that the call is not to \
             wait for it.",
        ),
        right(
            "-1 with EAGAIN, and there are none",
            "A write of up to PIPE_BUF bytes is atomic: it waits until all has room, and with \
             O_NONBLOCK it fails. The other one to remember is a write of more, which may be \
             partial.",
        ),
    ],
    kind: Kind::Kernel,
    run: all_or_nothing,
    moral: "Records of up to PIPE_BUF bytes need no loop and no rest: after EAGAIN try the same \
            record again. Longer ones need a loop that keeps count.",
    see: "pipe(7), write(2)",
    file: file!(),
    shows: &["all-or-nothing"],
};

// ANCHOR: all-or-nothing
fn all_or_nothing(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe2(OFlag::O_NONBLOCK).context("pipe")?;
    while write(&writing, &[b'.'; 4096]).is_ok() {}
    read(&reading, &mut [0; 4096]).context("read")?; // one page is free again
    write(&writing, &[b'.'; 96]).context("write")?; // and 96 bytes of it are used
    let before = rustix::io::ioctl_fionread(&writing).context("ioctl")?;
    let record = write(&writing, &[b'r'; 4096]);
    stage.call("write(4096 bytes), room for 4000", &record);
    let added = rustix::io::ioctl_fionread(&writing).context("ioctl")? - before;
    stage.call("ioctl(FIONREAD), bytes that came to it", &added);
    let longer = write(&writing, &[b'l'; 5000]);
    stage.call("write(5000 bytes), room for 4000", &longer);
    stage.saw("the record", record.err().map(|error| error.to_string()));
    stage.saw("bytes of the record in the pipe", added);
    stage.saw("the longer one is written in part", longer.is_ok_and(|n| n < 5000));
    match (record, added) {
        (Ok(4000), 4000) => Ok(1),
        (Err(Errno::EAGAIN), 4000) => Ok(2),
        (Ok(4096), 4096) => Ok(3),
        (Err(Errno::EAGAIN), 0) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: all-or-nothing

pub(super) const SHELLS_TERMINAL: Experiment = Experiment {
    name: "shells-terminal",
    title: "A program that did not want to wait for keys",
    level: Level::Deep,
    question: "A shell runs at a terminal. It starts a program, which sets O_NONBLOCK on its \
               descriptor 0, by fcntl(2), looks for a key, and ends. Then the shell calls \
               read(2) on its descriptor 0, and later write(2) on its descriptor 1, while the \
               terminal takes no more. Which of the two can fail with EAGAIN?",
    answers: &[
        wrong(
            "neither: the flag ended with the program",
            "A descriptor ends with its process; the flag is not in the descriptor. \
             FD_CLOEXEC is, and that is the difference of F_SETFD and F_SETFL.",
        ),
        wrong(
            "the read: it was set on descriptor 0",
            "Descriptors 0, 1 and 2 of a shell are most often one open file, opened once by \
             the terminal program and duplicated. All three have the flag then.",
        ),
        right(
            "both: the terminal is one open file",
            "O_NONBLOCK belongs to the open file description. The shell's three descriptors \
             and those of all programs that it has started lead to the same one.",
        ),
    ],
    kind: Kind::Kernel,
    run: shells_terminal,
    moral: "Never set O_NONBLOCK on a descriptor that you were given. Ask poll(2) first, and \
            read what is there; or open /dev/tty yourself, which is an open file of your own. \
            To set the flag back at the end is not enough: a program can be killed.",
    see: "fcntl(2), open(2), poll(2), tty(4)",
    file: file!(),
    shows: &["shells-terminal-broken", "shells-terminal-cured", "shells-terminal"],
};

// ANCHOR: shells-terminal-broken
fn on_what_it_was_given(terminal: &OwnedFd) -> nix::Result<()> {
    fcntl(terminal, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).map(drop)
}
// ANCHOR_END: shells-terminal-broken

// ANCHOR: shells-terminal-cured
fn on_one_of_its_own(terminal: &OwnedFd) -> nix::Result<()> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    open(&ttyname(terminal)?, flags, Mode::empty()).map(drop)
}
// ANCHOR_END: shells-terminal-cured

// ANCHOR: shells-terminal
fn shells_terminal(stage: &Stage) -> Result<usize> {
    type Ask = fn(&OwnedFd) -> nix::Result<()>;
    let after = |name: &str, ask: Ask| {
        let pty = openpty(None, None).context("openpty")?;
        let (input, output) = (pty.slave.try_clone()?, pty.slave.try_clone()?);
        let program = stage.fork("program", |stage| {
            let done = ask(&input);
            stage.call(name, &done);
            Ok(done?)
        })?;
        program.join()?;
        stage.event("program", "has ended");
        let flags = fcntl(&input, FcntlArg::F_GETFL).context("fcntl")?;
        let is_set = OFlag::from_bits_truncate(flags).contains(OFlag::O_NONBLOCK);
        if !is_set {
            stage.event("shell", "its terminal has no O_NONBLOCK");
            return anyhow::Ok((false, false)); // both would sleep
        }
        let key = read(&input, &mut [0; 1]);
        stage.call("shell: read(0)", &key);
        let full = loop {
            match write(&output, &[b'.'; 256]) {
                Ok(_) => {}
                full => break full,
            }
        };
        stage.call("shell: write(1), the terminal is full", &full);
        Ok((key == Err(Errno::EAGAIN), full == Err(Errno::EAGAIN)))
    };
    let given = after("fcntl(0, F_SETFL, O_NONBLOCK)", on_what_it_was_given)?;
    let own = after("open(its terminal, O_NONBLOCK)", on_one_of_its_own)?;
    stage.saw("EAGAIN for read and write", vec![given.0, given.1]);
    stage.saw("with an open file of its own", vec![own.0, own.1]);
    match given {
        (false, false) => Ok(1),
        (true, false) => Ok(2),
        (true, true) => Ok(3),
        (false, true) => bail!("the write alone"),
    }
}
// ANCHOR_END: shells-terminal
