//! Open files are received from the partner.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};

use bare::{Language, MeetingPlace};

use super::super::draw::joined;
use super::super::partner::{Partner, descriptors};
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{connected, pass, until_received};

pub(super) const ROW: Exercise = Exercise {
    name: "receiver",
    title: "files that another process passes are printed",
    kind: Kind::Write,
    minutes: 20,
    after: &["fdpass/giver"],
    task: include_str!("receiver/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("receiver/solution.rs")),
        Some(include_str!("receiver/solution.c")),
        Some(include_str!("receiver/solution.py")),
    ],
    reasons: "Each byte is received by recvmsg with room for a descriptor: a recv or read of the \
              byte loses the descriptor, for ever. What was received is in the table of this \
              process, as if it had opened it, and must be closed by it. MSG_CMSG_CLOEXEC sets \
              the flag in the call itself: between recvmsg and fcntl another thread could exec.",
    hints: [
        "recvmsg with room for one byte and one descriptor: the descriptor stands in the control \
         message, if there is one.",
        "`ls /proc/PID/fd` shows what your program has open. A descriptor that was received is \
         yours to close.",
        "Which flag of recvmsg sets close-on-exec? See MSG_CMSG_CLOEXEC in recvmsg(2).",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "one file",
            players,
            partner: |partner| give(partner, "x"),
            hint: 1,
        },
        Stage {
            name: "dots",
            about: "bytes without a descriptor between two files",
            players,
            partner: |partner| give(partner, ".x..x."),
            hint: 1,
        },
        Stage {
            name: "pipe",
            about: "the read end of a pipe, into which the partner writes twice",
            players,
            partner: |partner| {
                let lines = partner.scene.draw().lines(2);
                through_pipe(partner, |partner, writing, _| {
                    partner.write(writing, &joined(&lines[..1]), "")?;
                    partner.pause("the pipe is empty, and not at its end");
                    partner.write(writing, &joined(&lines[1..]), "")
                })
            },
            hint: 1,
        },
        Stage {
            name: "many",
            about: "300 files: each must be closed",
            players,
            partner: |partner| give(partner, &"x".repeat(300)),
            hint: 2,
        },
        Stage {
            name: "exec",
            about: "what was received has close-on-exec set",
            players,
            partner: |partner| {
                let lines = partner.scene.draw().lines(1);
                through_pipe(partner, |partner, writing, learner| {
                    let marked = close_on_exec(learner, writing)?;
                    partner.write(writing, &joined(&lines), "")?;
                    match marked {
                        true => Ok(()),
                        false => partner.wrong(
                            "a program that yours starts would inherit what it has received: \
                             close-on-exec is not set",
                        ),
                    }
                })
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "reads the byte without room for a descriptor",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "sock.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)",
                "(sock.recv(1), [])",
            )],
        },
        Wrong {
            what: "takes the number for the file's own",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            (fd,) = struct.unpack(\"i\", rights[0][2])\n",
                "            fd = 5\n",
            )],
        },
        Wrong {
            what: "wants a descriptor with each byte",
            stage: "dots",
            language: Language::Python,
            edits: &[("        if rights:\n", "        if True:\n")],
        },
        Wrong {
            what: "reads once",
            stage: "pipe",
            language: Language::Python,
            edits: &[(
                "            while data := os.read(fd, 65536):",
                "            for data in [os.read(fd, 65536)]:",
            )],
        },
        Wrong {
            what: "does not close them",
            stage: "many",
            language: Language::Python,
            edits: &[("            os.close(fd)\n", "")],
        },
        Wrong {
            what: "lets other programs inherit them",
            stage: "exec",
            language: Language::Python,
            edits: &[("CMSG_LEN(4), MSG_CMSG_CLOEXEC)", "CMSG_LEN(4))")],
        },
    ],
};

/// How many files a stage passes.
fn count(scene: &Scene) -> usize {
    match scene.stage {
        "plain" | "exec" => 1,
        "many" => 300,
        _ => 2,
    }
}

fn players(scene: &Scene) -> Vec<Player> {
    let printed = joined(&scene.draw().lines(count(scene)));
    let learner = Player::learner(scene, "receiver", [""; 0]).prints(printed);
    vec![Player::partner(), learner]
}

/// An open file with this text, from its start on.
pub(super) fn file_with(text: &str) -> Result<OwnedFd> {
    let mut file: File = tempfile::tempfile().context("open")?;
    file.write_all(format!("{text}\n").as_bytes()).context("write")?;
    file.rewind().context("lseek")?;
    Ok(file.into())
}

/// Passes a file for each x; where there are many, it looks then whether all are closed.
fn give(partner: &mut Partner, bytes: &str) -> Result<()> {
    let mut lines = partner.scene.draw().lines(count(&partner.scene)).into_iter();
    let connection = connected(partner)?;
    let learner = partner.learner("receiver")?;
    partner.until_asleep(learner)?;
    let before = descriptors(learner)?;
    for byte in bytes.bytes() {
        match byte {
            b'x' => {
                let file = file_with(&lines.next().context("a line")?)?;
                pass(partner, &connection, byte, &[file.as_fd()])?;
            }
            _ => pass(partner, &connection, byte, &[])?,
        }
    }
    until_received(partner, &connection, learner)?;
    match partner.scene.stage {
        "many" => all_closed(partner, learner, before),
        _ => Ok(()),
    }
}

/// Whether the learner's program has closed what it was passed.
pub(super) fn all_closed(
    partner: &Partner,
    learner: Pid,
    before: usize,
) -> Result<()> {
    let now = descriptors(learner)?;
    partner.log(&format!(
        "before, your program had {before} descriptors; now it has {now}"
    ));
    match now <= before {
        true => Ok(()),
        false => partner.wrong(&format!(
            "your program had {before} descriptors before it was passed any, and has {now} now"
        )),
    }
}

/// Passes the read end of a pipe; `then` is done when the learner's program sleeps at it.
fn through_pipe(
    partner: &mut Partner,
    then: impl Fn(&Partner, &OwnedFd, Pid) -> Result<()>,
) -> Result<()> {
    let connection = connected(partner)?;
    let learner = partner.learner("receiver")?;
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe2")?;
    pass(partner, &connection, b'x', &[reading.as_fd()])?;
    drop(reading);
    until_received(partner, &connection, learner)?;
    then(partner, &writing, learner)
}

/// Whether the other end of `pipe` has close-on-exec set in `learner`.
fn close_on_exec(learner: Pid, pipe: &OwnedFd) -> Result<bool> {
    use std::os::fd::AsRawFd;
    let own = std::fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd()))?;
    for entry in std::fs::read_dir(format!("/proc/{learner}/fd"))? {
        let path = entry?.path();
        if std::fs::read_link(&path).ok().as_ref() != Some(&own) {
            continue;
        }
        let number =
            path.file_name().context("a number")?.to_string_lossy().into_owned();
        let about = os::proc::text(format!("/proc/{learner}/fdinfo/{number}"))?;
        let flags = os::proc::field(&about, "flags:").context("flags")?;
        let flags = i32::from_str_radix(flags, 8).context("flags")?;
        return Ok(flags & libc::O_CLOEXEC != 0);
    }
    Ok(true) // it has ended already
}
