//! Printing into a pipe that no process reads any more.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{dup2_stderr, dup2_stdout, pipe2};

use crate::child::End;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs::PYTHON;
use lab::tools::Tools;
use os::signal;
use os::stdio::{flush, puts};

pub(super) const PRINTED_TO_NOBODY: Experiment = Experiment {
    name: "printed-to-nobody",
    title: "print, printf and println!, and no reader",
    level: Level::Later,
    question: "Three programs print a line, and flush it, into a pipe whose reader has \
               ended: in C by printf(3), in Rust by println!, in Python by print(). None of \
               them looks for an error, and none has changed what SIGPIPE does. What ends \
               each?",
    answers: &[
        wrong(
            "C a signal, Rust a signal, Python a signal",
            "SIGPIPE would do that, and in C it does. Rust's runtime and Python ignore it \
             from the start of the program.",
        ),
        right(
            "C a signal, Rust a panic, Python an exception",
            "C keeps SIGPIPE's default. The two others ignore SIGPIPE, so that write(2) fails \
             with EPIPE, and their ways to print do not let an error pass: println! panics, \
             print() raises BrokenPipeError.",
        ),
        wrong(
            "C nothing, Rust a panic, Python an exception",
            "printf(3) would return a negative number, which no program looks at. It does not \
             come to that: SIGPIPE ends the process in write(2).",
        ),
        wrong(
            "C nothing, Rust nothing, Python nothing",
            "What is printed to nobody is an error to all three. yes(1) in a pipeline with \
             head(1) would run for ever otherwise.",
        ),
    ],
    kind: Kind::Needs(&PYTHON),
    run: printed_to_nobody,
    moral: "In Rust use writeln! to standard output, and end quietly at ErrorKind::BrokenPipe. \
            In Python catch BrokenPipeError, also around the last flush; or set SIGPIPE back to \
            SIG_DFL at the start, as a filter in C has it.",
    see: "pipe(7), signal(7), write(2)",
    file: file!(),
    shows: &["printed-to-nobody"],
};

// ANCHOR: printed-to-nobody
#[expect(clippy::print_stdout, reason = "what println! itself does is shown")]
fn print_in_rust() {
    println!("one");
}

/// Standard output becomes a pipe without a reader, standard error one that can be read.
fn nobody_reads(errors: &OwnedFd) -> Result<()> {
    let (_, nobody) = pipe2(OFlag::O_CLOEXEC)?; // the read end is closed here
    dup2_stdout(&nobody)?;
    Ok(dup2_stderr(errors)?)
}

fn printed_to_nobody(stage: &Stage) -> Result<usize> {
    stage.needs(&PYTHON)?;
    let (read_errors, errors) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let c = stage.fork("C", |_| {
        signal::reset(libc::SIGPIPE)?; // as it is when a C program's main begins
        nobody_reads(&errors)?;
        Ok(puts(c"one").and_then(|()| flush()).is_err())
    })?;
    let c = c.end()?;
    let killed = c == End::Killed(Signal::SIGPIPE);
    stage.event(
        "C",
        if killed {
            "ended by SIGPIPE, in write()"
        } else {
            "goes on after write()"
        },
    );
    let rust = stage.fork("Rust", |_| {
        signal::ignore(libc::SIGPIPE)?; // as it is when a Rust program's main begins
        nobody_reads(&errors)?;
        Ok(catch_unwind(print_in_rust).is_err())
    })?;
    let panicked = rust.join()?;
    let python = stage.fork("Python", |_| -> Result<()> {
        signal::reset(libc::SIGPIPE)?;
        nobody_reads(&errors)?;
        let mut command = Command::new(Tools::of_environment().python);
        Err(command.args(["-c", "print('one', flush=True)"]).exec().into())
    })?;
    let python = python.status()?;
    drop(errors);
    let mut said = String::new();
    File::from(read_errors).read_to_string(&mut said).context("read")?;
    for line in said.lines().filter(|line| line.contains("roken")) {
        stage.event("standard error", line);
    }
    let raised = matches!(python, WaitStatus::Exited(_, 1));
    stage.saw("C was ended by SIGPIPE", killed);
    stage.saw("println! panicked", panicked);
    stage.saw(
        "Python raised BrokenPipeError",
        raised && said.contains("BrokenPipeError"),
    );
    match (killed, panicked, raised) {
        (true, false, false) => Ok(1),
        (true, true, true) => Ok(2),
        (false, true, true) => Ok(3),
        (false, false, false) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: printed-to-nobody
