//! The buffer between a program and its standard output.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdout, pause, read};
use rustix::io::ioctl_fionread;

use super::{all_of, piped};
use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use doctor::probes::needs::{PYTHON, STDBUF};
use lab::tools::{Tools, compiler};
use os::stdio::{flush, puts};

pub(super) const LATE_LINES: Experiment = Experiment {
    name: "late-lines",
    title: "One line each, into a pipe",
    level: Level::First,
    question: "Three programs print one line, and then sleep: one in C by puts(3), one in \
               Rust by println!, one in Python by print(). Standard output is a pipe. Whose \
               line can be read while they sleep?",
    answers: &[
        wrong(
            "the line of C alone",
            "C's stdio looks what standard output is. It writes line by line to a terminal \
             alone; for a pipe it waits until a few thousand bytes have come together.",
        ),
        right(
            "the line of Rust alone",
            "Rust's standard output writes at each newline, whatever it leads to. C and \
             Python do so on a terminal alone: in a pipe their lines come when the buffer is \
             full, at a flush, or at the end.",
        ),
        wrong(
            "the line of Python alone",
            "Python looks what standard output is, as C does, and holds the line back. \
             python3 -u writes at once.",
        ),
        wrong(
            "the lines of all three",
            "That is what one sees on a terminal, and why it surprises in a pipe.",
        ),
    ],
    kind: Kind::Needs(&PYTHON),
    run: late_lines,
    moral: "Into a pipe, flush after each message that another process waits for: fflush(3), \
            print(…, flush=True), stdout().flush() after print! without a newline.",
    see: "stdio(3), setvbuf(3)",
    file: file!(),
    shows: &["late-lines"],
};

// ANCHOR: late-lines
/// `println!("{text}")`, without its panic.
#[expect(clippy::disallowed_methods, reason = "Rust's own buffer is what is shown")]
pub(super) fn print_in_rust(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("println!")
}

/// How many bytes are in the pipe once the program sleeps.
fn there(
    stage: &Stage,
    who: &'static str,
    part: impl FnOnce(&Stage) -> Result<()>,
) -> Result<u64> {
    let (child, output) = piped(stage, who, part)?;
    child.until_asleep_in(&[PAUSE])?;
    let waiting = ioctl_fionread(&output);
    stage.event(who, "has printed its line, and sleeps in pause()");
    stage.call("ioctl(its pipe, FIONREAD)", &waiting);
    child.kill(Signal::SIGKILL)?;
    child.status()?;
    Ok(waiting?)
}

/// A Python program that prints, and sleeps.
fn python(before: &[&str], options: &[&str]) -> Result<()> {
    let python = Tools::of_environment().python;
    let mut words = before.iter().map(Into::into).chain([python]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(options);
    let program = "import signal; print('one'); signal.pause()";
    Err(command.args(["-c", program]).env_remove("PYTHONUNBUFFERED").exec().into())
}

fn late_lines(stage: &Stage) -> Result<usize> {
    stage.needs(&PYTHON)?;
    let c = there(stage, "C", |_| {
        puts(c"one")?;
        pause();
        Ok(())
    })?;
    let rust = there(stage, "Rust", |_| {
        print_in_rust("one")?;
        pause();
        Ok(())
    })?;
    let python = there(stage, "Python", |_| python(&[], &[]))?;
    stage.saw("bytes of C, Rust and Python", vec![c, rust, python]);
    Ok(match [c > 0, rust > 0, python > 0] {
        [true, false, false] => 1,
        [false, true, false] => 2,
        [false, false, true] => 3,
        _ => 4,
    })
}
// ANCHOR_END: late-lines

pub(super) const LOST_AT_KILL: Experiment = Experiment {
    name: "lost-at-kill",
    title: "Printed, and then ended by a signal",
    level: Level::Later,
    question: "A C program prints three lines by puts(3) into a pipe, and sleeps. SIGTERM \
               ends it. How many of its lines does the reader get?",
    answers: &[
        wrong(
            "all of the three lines",
            "The kernel closes the descriptors of a process that ends. It knows nothing of \
             the buffers that a library has in the process's memory.",
        ),
        wrong(
            "the first of three lines",
            "Nothing makes stdio write after the first line: its buffer holds a few thousand \
             bytes.",
        ),
        right(
            "none of the three lines",
            "The lines were in the program's memory, which went with it. exit(3) writes what \
             is in the buffers; a signal's default action does not call exit(3).",
        ),
    ],
    kind: Kind::Kernel,
    run: lost_at_kill,
    moral: "What matters is flushed at once, or written by write(2). A log that ends before the \
            crash may be a buffer that was lost.",
    see: "exit(3), fflush(3), signal(7)",
    file: file!(),
    shows: &["lost-at-kill-broken", "lost-at-kill-cured", "lost-at-kill"],
};

// ANCHOR: lost-at-kill-broken
fn print_three() -> nix::Result<()> {
    [c"one", c"two", c"three"].into_iter().try_for_each(puts)
}
// ANCHOR_END: lost-at-kill-broken

// ANCHOR: lost-at-kill-cured
fn print_three_and_flush() -> nix::Result<()> {
    print_three()?;
    flush() // fflush(NULL)
}
// ANCHOR_END: lost-at-kill-cured

// ANCHOR: lost-at-kill
/// How many lines come out of a program that prints, sleeps and is ended.
fn lines_of(stage: &Stage, print: fn() -> nix::Result<()>) -> Result<usize> {
    let (child, output) = piped(stage, "C", |_| {
        print()?;
        pause();
        Ok(())
    })?;
    child.until_asleep_in(&[PAUSE])?;
    child.kill(Signal::SIGTERM)?;
    stage.event("C", "has printed three lines, and is ended by SIGTERM");
    child.status()?;
    let got = all_of(output)?;
    stage.call("read(its pipe)", &format!("{}: {got:?}", got.len()));
    Ok(got.lines().count())
}

fn lost_at_kill(stage: &Stage) -> Result<usize> {
    let got = lines_of(stage, print_three)?;
    stage.saw("lines", got);
    stage.saw("lines after fflush", lines_of(stage, print_three_and_flush)?);
    Ok(match got {
        0 => 3,
        1 => 2,
        _ => 1,
    })
}
// ANCHOR_END: lost-at-kill

pub(super) const TWICE_AFTER_FORK: Experiment = Experiment {
    name: "twice-after-fork",
    title: "Printed once, then forked",
    level: Level::Later,
    question: "A C program prints `one` by puts(3) into a pipe, and then calls fork(2). The \
               parent and the child print nothing more, and both call exit(3). What does the \
               reader of the pipe get?",
    answers: &[
        right(
            "`one` twice, once by each",
            "fork(2) copies the memory, and stdio's buffer is in it. Each exit(3) writes its \
             own copy. On a terminal the line would have been written before the fork.",
        ),
        wrong(
            "`one` once, by the child",
            "Both have the line in their buffers, and both call exit(3), which writes them.",
        ),
        wrong(
            "`one` once, by the parent",
            "The line was not written when it was printed: it was still in the memory of \
             which the child got a copy.",
        ),
    ],
    kind: Kind::Kernel,
    run: twice_after_fork,
    moral: "Flush before fork(2), or end the child by _exit(2), which writes no buffers. Rust's \
            print! without a newline, and Python's print with os.fork, do the same.",
    see: "fork(2), exit(3), _exit(2)",
    file: file!(),
    shows: &[
        "twice-after-fork-broken",
        "twice-after-fork-cured",
        "twice-after-fork",
    ],
};

// ANCHOR: twice-after-fork-broken
fn print_one() -> nix::Result<()> {
    puts(c"one")
}
// ANCHOR_END: twice-after-fork-broken

// ANCHOR: twice-after-fork-cured
fn print_one_and_flush() -> nix::Result<()> {
    puts(c"one")?;
    flush() // before the fork: there is nothing left to copy
}
// ANCHOR_END: twice-after-fork-cured

// ANCHOR: twice-after-fork
/// What comes out of a program that prints, and forks.
fn printed(stage: &Stage, print: fn() -> nix::Result<()>) -> Result<String> {
    let (parent, output) = piped(stage, "parent", |stage| {
        print()?;
        stage.fork("child", |_| Ok(()))?.join() // each ends by exit(3)
    })?;
    parent.join()?;
    let got = all_of(output)?;
    stage.call("read(the pipe)", &format!("{}: {got:?}", got.len()));
    Ok(got)
}

fn twice_after_fork(stage: &Stage) -> Result<usize> {
    let got = printed(stage, print_one)?;
    stage.saw("printed", got.as_str());
    stage.saw("after fflush", printed(stage, print_one_and_flush)?);
    Ok(if got.lines().count() == 2 { 1 } else { 3 })
}
// ANCHOR_END: twice-after-fork

pub(super) const AT_A_TERMINAL: Experiment = Experiment {
    name: "at-a-terminal",
    title: "The same program, at a pseudo-terminal",
    level: Level::Later,
    question: "A C program prints `one` by puts(3), and sleeps. You give it a \
               pseudo-terminal as standard output, instead of a pipe, and read at the \
               terminal's other side, the master. What does read(2) return there?",
    answers: &[
        right(
            "5 bytes: `one`, `\\r`, a newline",
            "isatty(3) is true, so stdio writes at the newline. The line discipline puts a \
             carriage return before it, as a screen needs it.",
        ),
        wrong(
            "4 bytes: `one`, a newline",
            "The terminal is no pipe: between the two sides is its line discipline, which \
             makes a newline a carriage return and a newline (ONLCR).",
        ),
        wrong(
            "0 bytes: it has not come yet",
            "That is what happens with a pipe. At a terminal stdio writes line by line.",
        ),
    ],
    kind: Kind::Kernel,
    run: at_a_terminal,
    moral: "A program that buffers, has no colours or asks for no password in a pipe behaves as \
            it does for a person once it has a pseudo-terminal: script(1), expect(1), openpty(3). \
            The price is the line discipline: echo, `\\r`, and Ctrl-C as a byte.",
    see: "pty(7), isatty(3), termios(3)",
    file: file!(),
    shows: &["at-a-terminal"],
};

// ANCHOR: at-a-terminal
fn at_a_terminal(stage: &Stage) -> Result<usize> {
    let pty = openpty(None, None).context("openpty")?;
    let child = stage.fork("C", |_| {
        dup2_stdout(&pty.slave)?;
        puts(c"one")?;
        pause();
        Ok(())
    })?;
    child.until_asleep_in(&[PAUSE])?;
    stage.event("C", "has printed its line, and sleeps in pause()");
    // The kernel hands over from one side to the other in a task of its own.
    let comes = until(
        || "nothing comes".into(),
        || Ok((ioctl_fionread(&pty.master)? > 0).then_some(())),
    );
    let mut got = String::new();
    while comes.is_ok() && !got.ends_with('\n') {
        let mut buffer = [0; 64];
        let n = read(&pty.master, &mut buffer).context("read")?;
        got += &String::from_utf8_lossy(&buffer[..n]);
    }
    let n = got.len();
    stage.call("read(master)", &format!("{n}: {got:?}"));
    stage.saw("the master's side read", got);
    Ok(match n {
        0 => 3,
        4 => 2,
        _ => 1,
    })
}
// ANCHOR_END: at-a-terminal

pub(super) const STDBUF_C: Experiment = Experiment {
    name: "stdbuf-c",
    title: "stdbuf before a script that starts a C program",
    level: Level::Later,
    question: "stdbuf(1) with `-oL` makes C's stdio write line by line. You put `stdbuf -oL` \
               before a shell script, which ends with `exec ./program`: a C program, which \
               prints a line by puts(3) into a pipe, and sleeps. What does the C program do \
               with that line?",
    answers: &[
        wrong(
            "it holds it back as ever",
            "So it would if stdbuf(1) changed the shell alone. It changes the environment, and \
             the shell hands that on.",
        ),
        right(
            "it writes it at once",
            "stdbuf(1) sets LD_PRELOAD and a variable of its own. Each program that is started \
             below it loads a library, which calls setvbuf(3) before main.",
        ),
        wrong(
            "it writes each byte at once",
            "That is -o0: one write(2) for each byte that it prints by putchar(3).",
        ),
    ],
    kind: Kind::Needs(&STDBUF),
    run: stdbuf_c,
    moral: "`stdbuf -oL` is the cure for a C program that you cannot change, and for the programs \
            that it starts. Some have an option: `grep --line-buffered`. One that is linked \
            statically, or that runs with another user's rights (setuid), does not load that library.",
    see: "stdbuf(1), setvbuf(3), ld.so(8)",
    file: file!(),
    shows: &["stdbuf-c"],
};

// ANCHOR: stdbuf-c
const PROGRAM: &str = r#"#include <stdio.h>
#include <unistd.h>

int main(void)
{
    puts("one");
    return pause();
}
"#;

fn stdbuf_c(stage: &Stage) -> Result<usize> {
    stage.needs(&STDBUF)?;
    std::fs::write(stage.path("program.c"), PROGRAM).context("write")?;
    let mut compile = compiler(&Tools::of_environment().cc);
    compile.args(["-o", "program", "program.c"]).current_dir(stage.path(""));
    compile.env("TMPDIR", stage.path("")); // where the compiler has files of its own
    ensure!(compile.status().context("exec cc")?.success(), "it does not compile");
    let bytes = |words: &'static str| {
        let mut command = Command::new("sh");
        command.args(["-c", words]).current_dir(stage.path(""));
        there(stage, words, |_| Err(command.exec().into()))
    };
    let alone = bytes("exec ./program")?;
    let before = bytes("exec stdbuf -oL ./program")?;
    let script = bytes("exec stdbuf -oL sh -c 'exec ./program'")?;
    stage.saw("bytes without stdbuf", alone);
    stage.saw("bytes with stdbuf -oL", before);
    stage.saw("bytes with stdbuf -oL before the shell", script);
    Ok(if script > 0 { 2 } else { 1 })
}
// ANCHOR_END: stdbuf-c

pub(super) const STDBUF_PYTHON: Experiment = Experiment {
    name: "stdbuf-python",
    title: "stdbuf before a Python program",
    level: Level::Deep,
    question: "stdbuf(1) with -oL makes C's stdio write line by line. You put `stdbuf -oL` \
               before a Python program that prints a line into a pipe, and sleeps. What does \
               Python do with that line?",
    answers: &[
        right(
            "it holds it back as ever",
            "Python has a buffer of its own, and so have Rust, Go and Java, and each program \
             that is linked statically. stdbuf(1) cannot reach those.",
        ),
        wrong(
            "it ends, by a usage error",
            "stdbuf(1) takes the option for itself, and tells Python nothing: it sets \
             LD_PRELOAD and a variable of its own. Python does not see it.",
        ),
        wrong(
            "it writes it at once",
            "stdbuf(1) loads a library that changes the buffer of C's stdout. Python does \
             not print by it.",
        ),
    ],
    kind: Kind::Needs(&PYTHON),
    run: stdbuf_python,
    moral: "stdbuf(1) is for programs that print by the C library they load. Python has -u and \
            PYTHONUNBUFFERED; for all others there is a pseudo-terminal, if they look for one.",
    see: "stdbuf(1), python3(1)",
    file: file!(),
    shows: &["stdbuf-python"],
};

// ANCHOR: stdbuf-python
fn stdbuf_python(stage: &Stage) -> Result<usize> {
    stage.needs(&PYTHON)?;
    let by_stdbuf =
        there(stage, "stdbuf -oL python3", |_| python(&["stdbuf", "-oL"], &[]))?;
    let by_option = there(stage, "python3 -u", |_| python(&[], &["-u"]))?;
    stage.saw("bytes with stdbuf -oL", by_stdbuf);
    stage.saw("bytes with python3 -u", by_option);
    Ok(if by_stdbuf > 0 { 3 } else { 1 })
}
// ANCHOR_END: stdbuf-python
