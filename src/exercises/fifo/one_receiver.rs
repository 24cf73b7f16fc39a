//! A receiver that has the FIFO for itself.

use anyhow::Result;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgid;

use bare::{Language, MeetingPlace};
use os::proc::{Activity, activity};

use crate::draw::joined;
use crate::partner::{Partner, processes_of};
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ONE_RECEIVER: Exercise = Exercise {
    name: "one-receiver",
    title: "one receiver at a time, and no trace of a killed one",
    kind: Kind::Mend,
    minutes: 30,
    after: &["fifo/receiver"],
    task: include_str!("one_receiver/task.md"),
    begin: Begin::Bare("fifo"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("one_receiver/solution.rs")),
        Some(include_str!("one_receiver/solution.c")),
        Some(include_str!("one_receiver/solution.py")),
    ],
    reasons: "A lock of flock(2) belongs to the open file, and goes when the last descriptor of it \
              is closed: at the latest when the process ends. To have a descriptor at once, the \
              receiver opens with O_NONBLOCK, and sleeps in poll(2) in place of open(2): poll tells \
              a FIFO to which no writer has come yet from one that its writers have left. Still \
              open: the first receiver may remove the name between the second one's open and its \
              lock, which then has a FIFO that nobody finds. A comparison of fstat with stat shows it.",
    hints: [
        "A file that marks the place stays when its process is killed. A lock on an open \
         descriptor does not: flock(2).",
        "You need a descriptor before the sender comes: O_RDONLY | O_NONBLOCK opens a FIFO at \
         once. Then read(2) returns 0 while there is no writer, which is not the end.",
        "open, flock(LOCK_EX | LOCK_NB), then poll(2) for POLLIN, which sleeps until a writer has \
         come; take O_NONBLOCK away with fcntl(F_SETFL), and read as before.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a receiver waits for the sender, and prints what it sends",
            players: |scene| {
                let messages = scene.draw().lines(3);
                vec![
                    receiver(scene).prints(joined(&messages)).idles(),
                    Player::learner(scene, "sender", messages),
                ]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "second",
            about: "a second receiver is refused, and the first gets all",
            players: |scene| {
                vec![
                    receiver(scene).prints(sent(scene)).idles(),
                    receiver(scene).prints("").ends(Ends::Failing),
                    Player::partner(),
                ]
            },
            partner: |partner| {
                let all = processes_of(&partner.scene.dir);
                let mut groups: Vec<_> = all
                    .into_iter()
                    .filter_map(|pid| getpgid(Some(pid)).ok())
                    .collect();
                groups.dedup();
                if groups.len() < 2 {
                    return send(partner);
                }
                // Without a message: which of them would get it is left to chance.
                let fifo = super::open_to_write(partner)?;
                drop(fifo);
                partner.wrong(
                    "two receivers wait at the FIFO, and would share what comes",
                )
            },
            hint: 1,
        },
        Stage {
            name: "killed",
            about: "the first receiver is killed, and the next one takes its place",
            players: |scene| {
                vec![
                    receiver(scene).prints("").ends(Ends::By(Signal::SIGKILL)),
                    Player::partner(),
                    receiver(scene).prints(sent(scene)),
                ]
            },
            partner: |partner| {
                let pid = partner.learner("receiver")?;
                let killed = killpg(getpgid(Some(pid))?, Signal::SIGKILL);
                partner.call("kill(receiver, SIGKILL)", killed)?;
                partner.until("its end", || {
                    (activity(pid) == Activity::Ended).then_some(())
                })?;
                send(partner)
            },
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "takes no writer for the end",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    select.select([fifo], [], [])  # sleeps",
                "    # sleeps",
            )],
        },
        Wrong {
            what: "looks again and again for a writer",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    select.select([fifo], [], [])  # sleeps",
                "    while not select.select([fifo], [], [], 0.001)[0]: pass  # sleeps",
            )],
        },
        Wrong {
            what: "takes no lock",
            stage: "second",
            language: Language::Python,
            edits: &[(
                "        fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                "        pass",
            )],
        },
        Wrong {
            what: "removes the name of the first",
            stage: "second",
            language: Language::Python,
            edits: &[(
                "        sys.exit(f\"{name}: another receiver is there\")",
                "        os.unlink(name)\n        sys.exit(f\"{name}: another receiver is there\")",
            )],
        },
        Wrong {
            what: "marks its place with a file",
            stage: "killed",
            language: Language::Python,
            edits: &[
                (
                    "        fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                    "        os.close(os.open(name + \".lock\", os.O_CREAT | os.O_EXCL))",
                ),
                ("    except BlockingIOError:", "    except FileExistsError:"),
                (
                    "    # b\"\": the last writer has closed it",
                    "    os.unlink(name + \".lock\")",
                ),
            ],
        },
    ],
};

fn receiver(scene: &Scene) -> Player {
    Player::learner(scene, "receiver", [""; 0])
}

fn sent(scene: &Scene) -> Vec<u8> {
    joined(&scene.draw().lines(3))
}

fn send(partner: &mut Partner) -> Result<()> {
    let fifo = super::open_to_write(partner)?;
    partner.write(&fifo, &sent(&partner.scene), "")
}
