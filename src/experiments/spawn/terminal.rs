//! Sessions, process groups, and the terminal that a session may have.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    Pid, getpid, pause, pipe2, read, setpgid, setsid, tcsetpgrp, write,
};
use rustix::io::ioctl_fionread;
use rustix::process::{
    ioctl_tiocsctty, set_child_subreaper, set_parent_process_death_signal,
};

use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;
use os::proc::{Activity, activity};

/// Makes this process what a shell is in its window: the leader of a session that has the
/// terminal.
fn lead(terminal: &OwnedFd) -> Result<()> {
    setsid().context("setsid")?;
    ioctl_tiocsctty(terminal).context("TIOCSCTTY")
}

/// Puts this process into a process group of its own, as a shell does with each job.
fn be_a_job() -> Result<()> {
    setpgid(Pid::this(), Pid::from_raw(0)).context("setpgid")
}

pub(super) const CTRL_C: Experiment = Experiment {
    name: "ctrl-c",
    title: "Which processes get Ctrl-C",
    level: Level::First,
    question: "At a terminal a program runs in the foreground. It has started two children: the \
               first by fork(2) alone, the second also called setpgid(0, 0). The user presses \
               Ctrl-C. Which of the three processes get SIGINT?",
    answers: &[
        wrong(
            "the program, without its children",
            "The terminal does not know which process is a program's first. It knows a process \
             group.",
        ),
        wrong(
            "the program and both children",
            "The second child has left the group. The terminal has one foreground group, and \
             signals it alone.",
        ),
        right(
            "the program and the first of the children",
            "Ctrl-C is for the terminal's foreground process group, and fork(2) leaves the \
             child in it. So a supervisor and its children get it at the same time.",
        ),
    ],
    kind: Kind::Kernel,
    run: ctrl_c,
    moral: "Give a child a process group of its own if its parent is to decide what Ctrl-C means \
            for it: setpgid(2), process_group(0) in Rust, process_group=0 in Python.",
    see: "credentials(7), setpgid(2), termios(3)",
    file: file!(),
    shows: &["ctrl-c"],
};

// ANCHOR: ctrl-c
/// A process that writes a byte into `pipe` at SIGINT.
fn tells(pipe: OwnedFd) -> Result<()> {
    handlers::write_a_byte(libc::SIGINT, pipe)?;
    loop {
        pause();
    }
}

fn ctrl_c(stage: &Stage) -> Result<usize> {
    let pty = openpty(None, None).context("openpty")?;
    let pipes: Vec<_> = (0..3).map(|_| pipe2(OFlag::O_CLOEXEC)).collect();
    let pipes = pipes.into_iter().collect::<Result<Vec<_>, _>>().context("pipe")?;
    let copy = |number: usize| pipes[number].1.try_clone().context("dup");
    let ready = stage.gate()?;
    let program = stage.fork("program", |stage| -> Result<()> {
        lead(&pty.slave)?;
        let first = stage.fork("first child", |_| tells(copy(1)?))?;
        let second = stage.fork("second child", |_| {
            be_a_job()?;
            tells(copy(2)?)
        })?;
        for child in [&first, &second] {
            child.until_asleep_in(&[PAUSE])?;
        }
        ready.open(1)?;
        tells(copy(0)?)
    })?;
    ready.pass()?;
    program.until_asleep_in(&[PAUSE])?;
    stage.call("write(terminal, Ctrl-C)", &write(&pty.master, &[3]));
    // The kernel signals the whole group before one of it can run its handler's write.
    read(&pipes[0].0, &mut [0; 1]).context("read")?;
    stage.event("program", "its handler for SIGINT has run");
    read(&pipes[1].0, &mut [0; 1]).context("read")?;
    stage.event("first child", "its handler for SIGINT has run");
    let second = ioctl_fionread(&pipes[2].0)? > 0;
    stage
        .event("second child", if second { "got it, too" } else { "got no signal" });
    program.kill(Signal::SIGKILL)?;
    program.status()?;
    stage.saw("the second child got it", second);
    Ok(if second { 2 } else { 3 })
}
// ANCHOR_END: ctrl-c

pub(super) const BACKGROUND_READ: Experiment = Experiment {
    name: "background-read",
    title: "A background job that reads",
    level: Level::Later,
    question: "`program &` runs in the background, with the terminal as standard input. It calls \
               read(2) there. The user has typed nothing yet. What happens to the program?",
    answers: &[
        right(
            "it is stopped, by SIGTTIN",
            "A terminal is read by its foreground group alone, or a shell and a job would \
             take each other's keys. The kernel stops the whole group of the reader.",
        ),
        wrong(
            "it sleeps, until keys come",
            "That is true in the foreground. The keys are for the group there.",
        ),
        wrong(
            "it reads 0, as at the end",
            "A shell without job control gives a background job /dev/null as standard input, \
             so that it reads 0. This one has the terminal.",
        ),
    ],
    kind: Kind::Kernel,
    run: background_read,
    moral: "Give a background job `< /dev/null`. Where SIGTTIN is ignored or blocked, or nobody is \
            left to continue the group, read(2) fails with EIO instead. Output goes through, unless \
            `stty tostop` is set.",
    see: "setpgid(2), termios(3), tcsetpgrp(3)",
    file: file!(),
    shows: &["background-read"],
};

// ANCHOR: background-read
fn background_read(stage: &Stage) -> Result<usize> {
    let pty = openpty(None, None).context("openpty")?;
    let in_foreground = stage.gate()?;
    let shell = stage.fork("shell", |stage| -> Result<(bool, String)> {
        lead(&pty.slave)?;
        let job = stage.fork("job", |stage| {
            be_a_job()?;
            let mut buffer = [0; 16];
            let n = read(&pty.slave, &mut buffer)?;
            let got = String::from_utf8_lossy(&buffer[..n]).into_owned();
            stage.call("read(terminal)", &format!("{n}: {got:?}"));
            Ok(got)
        })?;
        let flags = WaitPidFlag::WUNTRACED;
        let status = waitpid(job.pid(), Some(flags)).context("waitpid")?;
        let stopped = status == WaitStatus::Stopped(job.pid(), Signal::SIGTTIN);
        stage
            .event("job", if stopped { "is stopped by SIGTTIN" } else { "goes on" });
        // What `fg` does.
        tcsetpgrp(&pty.slave, job.pid()).context("tcsetpgrp")?;
        killpg(job.pid(), Signal::SIGCONT).context("kill")?;
        stage.event("shell", "tcsetpgrp(terminal, job), and kill(-job, SIGCONT)");
        in_foreground.open(1)?;
        Ok((stopped, job.join()?))
    })?;
    in_foreground.pass()?;
    stage.call("write(terminal, \"hi\\n\")", &write(&pty.master, b"hi\n"));
    let (stopped, got) = shell.join()?;
    stage.saw("stopped by SIGTTIN", stopped);
    stage.saw("read in the foreground", got);
    Ok(if stopped { 1 } else { 2 })
}
// ANCHOR_END: background-read

pub(super) const HANGUP: Experiment = Experiment {
    name: "hangup",
    title: "The terminal's window is closed",
    level: Level::Later,
    question: "In a terminal's window run a shell, which leads the session, a job in the \
               foreground, and a job in the background. None of them handles SIGHUP. The window \
               is closed, and the shell sends no signals itself. Which of the three does the \
               kernel end?",
    answers: &[
        right(
            "the shell and the foreground job",
            "The kernel sends SIGHUP to the session's leader. When the leader ends, it sends \
             SIGHUP to the foreground process group. Nobody sends it to the background.",
        ),
        wrong(
            "the shell, and neither job",
            "The shell is the first: it leads the session of the terminal. Its end has an \
             effect of its own.",
        ),
        wrong(
            "the shell and each of its two jobs",
            "That is what one often sees, because bash sends SIGHUP to all of its jobs when it \
             gets it. The kernel does not.",
        ),
    ],
    kind: Kind::Kernel,
    run: hangup,
    moral: "nohup(1) ignores SIGHUP, setsid(1) leaves the session, and bash's disown tells bash not \
            to send it. What should live longer than a login is started by none of these, but by \
            systemd-run or a service.",
    see: "setsid(2), nohup(1), termios(3)",
    file: file!(),
    shows: &["hangup"],
};

// ANCHOR: hangup
fn hangup(stage: &Stage) -> Result<usize> {
    // So that main can wait for the jobs, whose parent ends.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let pty = openpty(None, None).context("openpty")?;
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (mut window, terminal) = (Some(pty.master), pty.slave);
    let shell = stage.fork("shell", |stage| -> Result<()> {
        drop(window.take()); // its copy, and so the jobs have none
        lead(&terminal)?;
        for foreground in [true, false] {
            let job = stage.fork("job", |_| -> Result<()> {
                set_parent_process_death_signal(None)?; // as after any fork
                be_a_job()?;
                write(&to, &getpid().as_raw().to_ne_bytes())?;
                loop {
                    pause();
                }
            })?;
            job.until_asleep_in(&[PAUSE])?;
            let pid = job.leave();
            if foreground {
                tcsetpgrp(&terminal, pid).context("tcsetpgrp")?;
            }
        }
        loop {
            pause();
        }
    })?;
    let job = || -> Result<Pid> {
        let mut pid = [0; 4];
        read(&output, &mut pid).context("read")?;
        Ok(Pid::from_raw(i32::from_ne_bytes(pid)))
    };
    let (foreground, background) = (job()?, job()?);
    shell.until_asleep_in(&[PAUSE])?;
    drop(window.take());
    stage.event("main", "closes the terminal's master: the window");
    let by = |status| match status {
        WaitStatus::Signaled(_, signal, _) => signal.to_string(),
        other => format!("{other:?}"),
    };
    let ends = [shell.status()?, waitpid(foreground, None).context("waitpid")?];
    let ends = ends.map(by);
    stage.call("waitpid(shell)", &ends[0].as_str());
    stage.call("waitpid(the job in the foreground)", &ends[1].as_str());
    let goes_on = activity(background) != Activity::Ended;
    stage.event("background", if goes_on { "goes on" } else { "has ended" });
    kill(background, Signal::SIGKILL).context("kill")?;
    waitpid(background, None).context("waitpid")?;
    stage.saw("the shell and the foreground job ended by", ends.to_vec());
    stage.saw("the background job goes on", goes_on);
    Ok(if goes_on { 1 } else { 3 })
}
// ANCHOR_END: hangup

pub(super) const NO_TERMINAL: Experiment = Experiment {
    name: "no-terminal",
    title: "After setsid, with the terminal still open",
    level: Level::Deep,
    question: "A process at a terminal forks, and its child calls setsid(2), to be a daemon. The \
               child still has the terminal as standard output. It writes there, and then opens \
               /dev/tty. Which of the two calls succeed?",
    answers: &[
        right(
            "the write, but not the open",
            "/dev/tty means the controlling terminal of this session, and a new session has \
             none: ENXIO. The old terminal is a file that can be written all the same.",
        ),
        wrong(
            "neither the write nor the open",
            "The descriptor is a descriptor as any other: setsid(2) closes nothing.",
        ),
        wrong(
            "the write, and also the open",
            "setsid(2) takes the controlling terminal from the child. Its keys and its end \
             signal the child no more.",
        ),
    ],
    kind: Kind::Kernel,
    run: no_terminal,
    moral: "setsid(2) frees of Ctrl-C and SIGHUP, not of the descriptors. A daemon also sets its \
            standard streams to /dev/null, or the first write after the window's end is EIO.",
    see: "setsid(2), tty(4), daemon(7)",
    file: file!(),
    shows: &["no-terminal"],
};

// ANCHOR: no-terminal
fn no_terminal(stage: &Stage) -> Result<usize> {
    let pty = openpty(None, None).context("openpty")?;
    let shell = stage.fork("shell", |stage| {
        lead(&pty.slave)?;
        let open = || File::open("/dev/tty");
        let before = open();
        stage.call("open(\"/dev/tty\")", &before);
        let child = stage.fork("daemon", |stage| {
            setsid().context("setsid")?;
            stage.event("daemon", "setsid(): a session without a terminal");
            let written = write(&pty.slave, b"hello\n");
            stage.call("write(terminal, \"hello\\n\")", &written);
            let opened = open();
            stage.call("open(\"/dev/tty\")", &opened);
            Ok((written.is_ok(), opened.is_ok()))
        })?;
        Ok((before.is_ok(), child.join()?))
    })?;
    let (before, (written, opened)) = shell.join()?;
    stage.saw("opened before setsid", before);
    stage.saw("written after it", written);
    stage.saw("opened after it", opened);
    Ok(match (written, opened) {
        (true, false) => 1,
        (false, _) => 2,
        (true, true) => 3,
    })
}
// ANCHOR_END: no-terminal

pub(super) const GROUP_LEADER: Experiment = Experiment {
    name: "group-leader",
    title: "setsid in a job of its own",
    level: Level::Deep,
    question: "A program that a shell has started as a job leads a process group: its PID is the \
               group's number. It calls setsid(2), to leave the terminal. What does the call do?",
    answers: &[
        wrong(
            "it makes a session with this PID",
            "A new session's number is the caller's PID, and so is its group's. That group is \
             there already, and may have other members, which stay in the old session.",
        ),
        wrong(
            "it makes a session with a new PID",
            "No call gives a process another PID. A new session has that of its leader.",
        ),
        right(
            "it fails, as the PID is a group's",
            "EPERM: a process group would be in two sessions. So a daemon forks first, and its \
             child, which leads no group, calls setsid(2). setsid(1) does the same.",
        ),
    ],
    kind: Kind::Kernel,
    run: group_leader,
    moral: "fork(2), then setsid(2) in the child. That is the first of the two forks of a classic \
            daemon; systemd needs neither.",
    see: "setsid(2), setsid(1), daemon(7)",
    file: file!(),
    shows: &["group-leader"],
};

// ANCHOR: group-leader
fn group_leader(stage: &Stage) -> Result<usize> {
    let leader = stage.fork("leader", |stage| {
        be_a_job()?;
        let made = setsid();
        stage.call("setsid()", &made.map(|_| "its PID"));
        let child = stage.fork("its child", |stage| {
            let made = setsid();
            stage.call("setsid()", &made.map(|_| "its PID"));
            Ok(made == Ok(getpid()))
        })?;
        let same = made == Ok(getpid());
        Ok((made.is_err(), same, child.join()?))
    })?;
    let (failed, same, in_child) = leader.join()?;
    stage.saw("it fails for the leader", failed);
    stage.saw("its child leads a session", in_child);
    Ok(match (failed, same) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 2,
    })
}
// ANCHOR_END: group-leader
