//! A program that needs its standard input not to block, and leaves it as it was.

use std::fs::File;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;

use bare::{Language, MeetingPlace};
use os::proc::{field, text};
use wire::standard;

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const POLITE: Exercise = Exercise {
    name: "polite",
    title: "a program that waits for two inputs, and changes none that it was given",
    kind: Kind::Mend,
    minutes: 20,
    after: &["pipe/at-once"],
    task: include_str!("polite/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("polite/solution.rs")),
        Some(include_str!("polite/solution.c")),
        Some(include_str!("polite/solution.py")),
    ],
    reasons: "O_NONBLOCK is in the open file, not in the descriptor: all that have it get EAGAIN. To \
              set it back at the end does not help, since a program can be killed, and the others \
              run meanwhile. After poll(2) has said POLLIN, one read(2) does not sleep, as long as \
              nobody else reads; so no flag is needed. Where somebody else does read, open the \
              terminal anew (/dev/tty): that is an open file of your own.",
    hints: [
        "Which line sets the flag? Why does the program sleep for good if you only take that \
         line away?",
        "poll(2) says that one read(2) will not sleep. It says nothing of a second one.",
        "One read for each time that poll says that the descriptor is ready: no loop until \
         EAGAIN, and no flag.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "lines from both, and then the end",
            players,
            partner: |partner| {
                let [one, two, three] = lines(&partner.scene);
                let fifo = fifo(partner)?;
                send(partner, None, &joined(&[one]))?;
                send(partner, Some(&fifo), &joined(&[two]))?;
                send(partner, None, &joined(&[three]))
            },
            hint: 1,
        },
        Stage {
            name: "halves",
            about: "half a line comes, and meanwhile a whole one from the other side",
            players,
            partner: |partner| {
                let [one, two, three] = lines(&partner.scene);
                let fifo = fifo(partner)?;
                let (begin, rest) = two.split_at(2);
                send(partner, None, begin.as_bytes())?;
                send(partner, Some(&fifo), &joined(&[one]))?;
                send(partner, None, &joined(&[rest.to_owned(), three]))
            },
            hint: 2,
        },
        Stage {
            name: "ended",
            about: "standard input has ended, and the FIFO goes on",
            players: |scene| {
                let mut players = players(scene);
                players[0].piped = false;
                players
            },
            partner: |partner| {
                let [one, two, three] = lines(&partner.scene);
                let fifo = fifo(partner)?;
                send(partner, Some(&fifo), &joined(&[one, two]))?;
                send(partner, Some(&fifo), three.as_bytes()) // no newline at the end
            },
            hint: 2,
        },
        Stage {
            name: "flags",
            about: "the flags of descriptor 0, while it waits and after a line",
            players,
            partner: |partner| {
                let lines = lines(&partner.scene);
                let _fifo = fifo(partner)?;
                for line in lines {
                    flags(partner)?;
                    send(partner, None, &joined(&[line]))?;
                }
                flags(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints lines without a newline",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "                os.write(1, line + b\"\\n\")",
                "                os.write(1, line)",
            )],
        },
        Wrong {
            what: "prints what it reads, line or not",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "            *lines, begun[fd] = (begun[fd] + data).split(b\"\\n\")\n",
                "            lines, begun[fd] = [data[:-1]] if data.endswith(b\"\\n\") else [data], b\"\"\n",
            )],
        },
        Wrong {
            what: "forgets a last line without a newline",
            stage: "ended",
            language: Language::Python,
            edits: &[("lines = [last] if last else []", "lines = []")],
        },
        Wrong {
            what: "asks poll for an input that has ended",
            stage: "ended",
            language: Language::C,
            edits: &[(
                "                inputs[i].fd = -1; /* poll passes it over */",
                "                inputs[i].fd = (i == 0 && inputs[1].fd >= 0) ? 0 : -1;",
            )],
        },
        Wrong {
            what: "sets the flag around each read",
            stage: "flags",
            language: Language::Python,
            edits: &[(
                "        waiting.register(fd, select.POLLIN)\n",
                "        waiting.register(fd, select.POLLIN)\n        os.set_blocking(fd, False)\n",
            )],
        },
    ],
};

fn lines(scene: &Scene) -> [String; 3] {
    let mut draw = scene.draw();
    [6, 9, 12].map(|length| draw.line(length))
}

/// The partner writes into the program's standard input, and into the FIFO.
fn players(scene: &Scene) -> Vec<Player> {
    scene.make_fifo(&scene.place());
    let merge = Player::learner(scene, "merge", NOTHING);
    vec![Player::partner().piped(), merge.prints(joined(&lines(scene)))]
}

/// Opens the FIFO, which the program opens to read, and removes its name.
fn fifo(partner: &Partner) -> Result<File> {
    let place = partner.scene.place();
    let fifo = File::options().write(true).open(&place);
    let fifo = partner.call("open(PLACE, O_WRONLY)", fifo)?;
    partner.call("unlink(PLACE)", std::fs::remove_file(&place))?;
    Ok(fifo)
}

/// Writes to the FIFO or to standard input, and waits until the program sleeps again.
fn send(partner: &Partner, fifo: Option<&File>, bytes: &[u8]) -> Result<()> {
    match fifo {
        Some(fifo) => partner.write(fifo, bytes, "into the FIFO")?,
        None => {
            partner.write(standard::output()?, bytes, "into its standard input")?
        }
    }
    partner.must_sleep("merge")
}

/// O_NONBLOCK must not be set on the open file that is the program's descriptor 0.
fn flags(partner: &Partner) -> Result<()> {
    let pid = partner.learner("merge")?;
    partner.until_asleep(pid)?;
    let about = text(format!("/proc/{pid}/fdinfo/0")).context("no descriptor 0")?;
    let flags = field(&about, "flags:").context("no flags")?.trim();
    partner.log(&format!("/proc/PID/fdinfo/0 has the flags {flags}"));
    let flags = i32::from_str_radix(flags, 8).context("the flags")?;
    match OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK) {
        true => partner.wrong(
            "O_NONBLOCK is set on its standard input, for all that have this open file",
        ),
        false => Ok(()),
    }
}
