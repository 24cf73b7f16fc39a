//! Open files are passed to the partner.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{connected, receive};

pub(super) const ROW: Exercise = Exercise {
    name: "giver",
    title: "open files are passed to another process",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("giver/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("giver/solution.rs")),
        Some(include_str!("giver/solution.c")),
        Some(include_str!("giver/solution.py")),
    ],
    reasons: "On a stream a descriptor travels with a byte: without one, sendmsg sends nothing. \
              The number of the descriptor means nothing to the other process: the kernel gives \
              it one of its own, for the same open file. Once it is sent, the sender's may be \
              closed: that in flight keeps the file open. MSG_NOSIGNAL makes a peer that has gone \
              an error, and no SIGPIPE.",
    hints: [
        "The descriptor goes into the control message: cmsg_level SOL_SOCKET, cmsg_type \
         SCM_RIGHTS. The byte goes into the data, as ever.",
        "A message with one byte and one descriptor for each file.",
        "Without MSG_NOSIGNAL, sendmsg to a peer that has gone ends the process by SIGPIPE, and \
         it says nothing.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "one file",
            players,
            partner: |partner| take(partner, 1),
            hint: 1,
        },
        Stage {
            name: "three",
            about: "three files, in order",
            players,
            partner: |partner| take(partner, 3),
            hint: 2,
        },
        Stage {
            name: "absent",
            about: "the second file is not there",
            players,
            partner: |partner| take(partner, 1),
            hint: 3,
        },
        Stage {
            name: "gone",
            about: "the partner leaves after the first of 1,000 files",
            players,
            partner: |partner| {
                write_files(&partner.scene)?;
                let connection = connected(partner)?;
                receive(partner, &connection)?;
                let learner = partner.learner("giver")?;
                partner.until_asleep(learner)?;
                partner.stop(learner, "it sleeps, for the socket is full")?;
                partner.log("close()");
                drop(connection);
                partner.signal(learner, Signal::SIGCONT, "it goes on")?;
                partner.until_all_have_ended()?;
                remove_files(&partner.scene)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends the number as text",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            sock.sendmsg([b\"x\"], rights, MSG_NOSIGNAL)",
                "            sock.send(str(file.fileno()).encode()) or sock.sendmsg([b\"x\"], rights, MSG_NOSIGNAL)",
            )],
        },
        Wrong {
            what: "sends a byte alone",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "sock.sendmsg([b\"x\"], rights, MSG_NOSIGNAL)",
                "sock.send(b\"x\")",
            )],
        },
        Wrong {
            what: "has read from the file",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            rights = ",
                "            file.read(1)\n            rights = ",
            )],
        },
        Wrong {
            what: "sends the last one first",
            stage: "three",
            language: Language::Python,
            edits: &[("in files:", "in reversed(files):")],
        },
        Wrong {
            what: "leaves out what is not there",
            stage: "absent",
            language: Language::Python,
            edits: &[(
                "    for name in files:\n",
                "    for name in filter(__import__(\"os\").path.exists, files):\n",
            )],
        },
        Wrong {
            what: "is ended by SIGPIPE",
            stage: "gone",
            language: Language::C,
            edits: &[("&message, MSG_NOSIGNAL)", "&message, 0)")],
        },
    ],
};

/// The files of a stage, and which of them there are.
fn files(scene: &Scene) -> (Vec<PathBuf>, usize) {
    let (all, there) = match scene.stage {
        "plain" => (1, 1),
        "absent" => (2, 1),
        _ => (3, 3),
    };
    (
        (1..=all).map(|number| scene.dir.join(format!("file{number}"))).collect(),
        there,
    )
}

fn write_files(scene: &Scene) -> Result<Vec<String>> {
    let (paths, there) = files(scene);
    let texts = scene.draw().lines(there);
    for (path, text) in paths.iter().zip(&texts) {
        std::fs::write(path, text).context("write")?;
    }
    Ok(texts)
}

fn remove_files(scene: &Scene) -> Result<()> {
    let (paths, there) = files(scene);
    paths[..there].iter().try_for_each(std::fs::remove_file).context("unlink")
}

fn players(scene: &Scene) -> Vec<Player> {
    let (mut paths, _) = files(scene);
    if scene.stage == "gone" {
        paths = paths.iter().cycle().take(1000).cloned().collect();
    }
    let ends = match scene.stage {
        "absent" | "gone" => Ends::Failing,
        _ => Ends::Well,
    };
    vec![Player::partner(), Player::learner(scene, "giver", paths).ends(ends)]
}

/// Takes so many files, and then the end.
fn take(partner: &mut Partner, count: usize) -> Result<()> {
    let texts = write_files(&partner.scene)?;
    let connection = connected(partner)?;
    for (number, text) in (1..=count).zip(&texts) {
        let (bytes, descriptors) = receive(partner, &connection)?;
        if bytes.is_empty() {
            return partner.wrong(&format!(
                "the end came in place of file {number} of {count}"
            ));
        }
        if bytes != b"x" {
            return partner.wrong("what came is not the one byte x");
        }
        let [file] = &descriptors[..] else {
            return partner.wrong(&format!(
                "the byte came with {} descriptors",
                descriptors.len()
            ));
        };
        let got = partner.read_to_end(file)?;
        if got != text.as_bytes() {
            return partner.wrong(&format!(
                "a read of the descriptor does not give the {} bytes of file {number}",
                text.len()
            ));
        }
    }
    let (bytes, descriptors) = receive(partner, &connection)?;
    if !bytes.is_empty() || !descriptors.is_empty() {
        return partner.wrong("there was more than the files");
    }
    partner.until_all_have_ended()?;
    remove_files(&partner.scene)
}
