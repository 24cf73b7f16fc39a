//! A target that has ended, or has become another program; a pid that is another's.

use std::io::pipe;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{dup2_stdin, execvp};

use super::{address, copy};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::signal::identity::fork_as;
use crate::stage::Stage;
use crate::until::until;
use doctor::probes::needs;
use os::calls::pidfd_open;
use os::proc;
use os::process_identity;

pub(super) const HAS_ENDED: Experiment = Experiment {
    name: "has-ended",
    title: "The memory of a zombie",
    level: Level::Later,
    question: "A target has ended, and its parent has not waited for it yet: it is a \
               zombie, and its pid is taken still. The parent calls process_vm_readv(2) \
               for the message that the target had. What does the call return?",
    answers: &[
        wrong(
            "the message: it is kept for wait",
            "A zombie keeps its exit status and its usage of resources. Its memory went \
             first of all.",
        ),
        right(
            "an error: no memory, thus ESRCH",
            "As for a process that does not exist. Nothing of an address space is left.",
        ),
        wrong(
            "a 0: not one byte of it is left",
            "0 bytes would be the answer for nothing asked. This is an error.",
        ),
    ],
    kind: Kind::Kernel,
    run: has_ended,
    moral: "What is to be read out of a process must be read while it lives: the target has to \
            wait for its reader. A pipe, a queue or a file keeps what a process leaves.",
    see: "process_vm_readv(2), wait(2)",
    file: file!(),
    shows: &["has-ended"],
};

// ANCHOR: has-ended
fn has_ended(stage: &Stage) -> Result<usize> {
    let text = *b"8 bytes.";
    let target = stage.fork("target", |_| Ok(()))?;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(target.pid()), flags).context("waitid")?;
    stage.event("target", "has ended, and is a zombie");
    let copied = copy(target.pid(), &mut [0; 8], address(&text));
    stage.call("process_vm_readv(target, copy, 8)", &copied);
    stage.saw("error", copied.err().map(|error| error.to_string()));
    target.join()?;
    match copied {
        Ok(8) => Ok(1),
        Err(Errno::ESRCH) => Ok(2),
        Ok(0) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: has-ended

pub(super) const AFTER_EXEC: Experiment = Experiment {
    name: "after-exec",
    title: "The same pid, the same start, another program",
    level: Level::Deep,
    question: "A reader knows a target's pid and its start time, has a pidfd of it, and the \
               address of a message. The target calls execve(2). Pid, start time and pidfd \
               are as before. What does the reader find at the address?",
    answers: &[
        wrong(
            "the message: it is one process",
            "It is one process, and its memory is new: execve(2) throws the old one away \
             first.",
        ),
        wrong(
            "ESRCH: the old one has ended",
            "No process has ended, and the pidfd is right to say nothing.",
        ),
        right(
            "no message: the memory is new",
            "Most often EFAULT, since nothing is mapped there now; or bytes of the new \
             program, which mean something else.",
        ),
    ],
    kind: Kind::Kernel,
    run: after_exec,
    moral: "A pidfd and a start time name a process, and not a program. Let what you read say what \
            it is: a number that goes up, a magic. Descriptors that are closed by execve(2) help, \
            too.",
    see: "execve(2), process_vm_readv(2), pidfd_open(2)",
    file: file!(),
    shows: &["after-exec"],
};

// ANCHOR: after-exec
fn after_exec(stage: &Stage) -> Result<usize> {
    let text = *b"message!";
    let (reading, writing) = pipe().context("pipe")?;
    let go = stage.gate()?;
    let target = stage.fork("target", |stage| {
        go.pass()?;
        dup2_stdin(&reading).context("dup2")?;
        stage.event("target", "calls execve(\"cat\")");
        let _ = execvp(c"cat", &[c"cat"]).context("execvp")?;
        Ok(())
    })?;
    let pid = target.pid();
    let number = pid.as_raw().cast_unsigned();
    let pidfd = pidfd_open(pid.as_raw()).context("pidfd_open")?;
    let began = process_identity::start(number);
    let mut bytes = [0; 8];
    let before = copy(pid, &mut bytes, address(&text));
    stage.call("process_vm_readv(target, copy, 8)", &before);
    go.open(1)?;
    until(
        || "the target has not become cat".into(),
        || {
            let name = proc::text(format!("/proc/{pid}/comm")).context("comm")?;
            Ok((name == "cat\n").then_some(()))
        },
    )?;
    let mut then = [0; 8];
    let after = copy(pid, &mut then, address(&text));
    stage.call("process_vm_readv(target, copy, 8)", &after);
    let found = after.is_ok() && then == text;
    let same = process_identity::start(number) == began
        && !chapters::signal::target::is_gone(&pidfd);
    stage.saw("before", before.ok());
    stage.saw("pid, start and pidfd are as before", same);
    stage.saw("the message is there", found);
    drop(writing);
    target.kill(Signal::SIGKILL)?;
    target.status()?;
    match (found, after) {
        (true, _) => Ok(1),
        (false, Err(Errno::ESRCH)) => Ok(2),
        (false, Ok(_) | Err(Errno::EFAULT)) => Ok(3),
        (false, Err(other)) => bail!("{other}"),
    }
}
// ANCHOR_END: after-exec

pub(super) const PID_REUSE: Experiment = Experiment {
    name: "pid-reuse",
    title: "A pid in a file, read later",
    level: Level::Deep,
    question: "A file has a target's pid and the address of its message. The target has \
               ended, and the kernel has given its pid to another process of the same \
               program. A reader takes both out of the file, and calls process_vm_readv(2). \
               What does it get?",
    answers: &[
        wrong(
            "ESRCH, for the pid of one gone",
            "The pid is in use. The kernel does not know whom the reader means by it.",
        ),
        right(
            "8 bytes, out of the other one",
            "The call takes a number, and reads the process that has this number now. It is \
             of the same user, so nothing stands in the way.",
        ),
        wrong(
            "EPERM, as it is another one's",
            "Rights are asked of the process that is there, and it may be read.",
        ),
    ],
    kind: Kind::Needs(&needs::NEXT_PID),
    run: pid_reuse,
    moral: "Open a pidfd, then compare the start time (/proc/PID/stat, field 22) with what the file \
            says; after each copy look whether the pidfd is readable. As long as it is not, the pid \
            is still that process's.",
    see: "process_vm_readv(2), pidfd_open(2), proc_pid_stat(5)",
    file: file!(),
    shows: &["pid-reuse"],
};

// ANCHOR: pid-reuse
fn pid_reuse(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::NEXT_PID)?;
    let text = *b"8 bytes.";
    let target = stage.fork("target", |_| Ok(()))?;
    let noted = target.pid();
    let pidfd = pidfd_open(noted.as_raw()).context("pidfd_open")?;
    target.join()?;
    stage.event("target", "has ended and was reaped");
    let never = stage.gate()?;
    let other = fork_as(noted, || {
        let child = stage.fork("other", |_| never.pass())?;
        Ok((child.pid(), child))
    })?;
    stage.event("other", "has got the target's pid");
    let copied = copy(noted, &mut [0; 8], address(&text));
    stage.call("process_vm_readv(the noted pid, copy, 8)", &copied);
    let told = chapters::signal::target::is_gone(&pidfd);
    stage.call("poll(the target's pidfd) = POLLIN", &told);
    drop(other);
    stage.saw("copied", copied.ok());
    stage.saw("the pidfd tells", told);
    match copied {
        Err(Errno::ESRCH) => Ok(1),
        Ok(8) => Ok(2),
        Err(Errno::EPERM) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: pid-reuse
