//! Messages that carry more descriptors than one.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;

use bare::{Language, MeetingPlace};

use super::super::draw::joined;
use super::super::partner::{Partner, descriptors};
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::receiver::{all_closed, file_with};
use super::{connected, pass, until_received};

pub(super) const ROW: Exercise = Exercise {
    name: "surplus",
    title: "a message with more descriptors than one is refused whole",
    kind: Kind::Mend,
    minutes: 20,
    after: &["fdpass/receiver"],
    task: include_str!("surplus/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("surplus/solution.rs")),
        Some(include_str!("surplus/solution.c")),
        Some(include_str!("surplus/solution.py")),
    ],
    reasons: "The kernel puts as many descriptors into the table of this process as the control \
              buffer has room for, and sets MSG_CTRUNC if there were more: those are closed by \
              the kernel, those that came are not. CMSG_SPACE(sizeof(int)) is rounded up, and has \
              room for two. So all that came are closed, and one is right only without \
              MSG_CTRUNC.",
    hints: [
        "How many descriptors are in the control message? cmsg_len tells: it is CMSG_LEN of their \
         size.",
        "All descriptors in the message are in your table now: close each of them.",
        "Where the buffer had no room for all, recvmsg sets MSG_CTRUNC in msg_flags: then there \
         were more than you see. A buffer for 253 descriptors (SCM_MAX_FD) has room for all.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two messages with a descriptor each",
            players,
            partner: |partner| give(partner, &[1, 1]),
            hint: 1,
        },
        Stage {
            name: "two",
            about: "a message with two descriptors between two others",
            players,
            partner: |partner| give(partner, &[1, 2, 1]),
            hint: 2,
        },
        Stage {
            name: "fifty",
            about: "a message with 50 descriptors between two others",
            players,
            partner: |partner| give(partner, &[1, 50, 1]),
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses all",
            stage: "plain",
            language: Language::Python,
            edits: &[("        if len(fds) == 1", "        if len(fds) == 0")],
        },
        Wrong {
            what: "prints the first",
            stage: "two",
            language: Language::Python,
            edits: &[(
                "        if len(fds) == 1 and not flags & MSG_CTRUNC:\n",
                "        if fds:\n",
            )],
        },
        Wrong {
            what: "closes none of them",
            stage: "two",
            language: Language::Python,
            edits: &[(
                "        for fd in fds:\n",
                "        for fd in fds if len(fds) == 1 else []:\n",
            )],
        },
        Wrong {
            what: "closes the first two",
            stage: "fifty",
            language: Language::Python,
            edits: &[("        for fd in fds:\n", "        for fd in fds[:2]:\n")],
        },
        Wrong {
            what: "does not look at MSG_CTRUNC",
            stage: "two",
            language: Language::Python,
            edits: &[
                ("CMSG_LEN(253 * 4)", "CMSG_LEN(4)"),
                (
                    "        if len(fds) == 1 and not flags & MSG_CTRUNC:\n",
                    "        if len(fds) == 1:\n",
                ),
            ],
        },
    ],
};

fn players(scene: &Scene) -> Vec<Player> {
    let printed = joined(&scene.draw().lines(2));
    vec![
        Player::partner(),
        Player::learner(scene, "receiver", [""; 0]).prints(printed),
    ]
}

/// Passes messages with so many descriptors each.
fn give(partner: &mut Partner, counts: &[usize]) -> Result<()> {
    let lines = partner.scene.draw().lines(2);
    let mut lines = lines.iter();
    let connection = connected(partner)?;
    let learner = partner.learner("receiver")?;
    partner.until_asleep(learner)?;
    let before = descriptors(learner)?;
    for count in counts {
        let files: Vec<OwnedFd> = match count {
            1 => lines
                .next()
                .into_iter()
                .map(|line| file_with(line))
                .collect::<Result<_>>()?,
            _ => (0..*count)
                .map(|_| file_with("not to be printed"))
                .collect::<Result<_>>()?,
        };
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        pass(partner, &connection, b'x', &files)?;
    }
    until_received(partner, &connection, learner)?;
    all_closed(partner, learner, before)
}
