//! A notifier that writes to nothing but an eventfd.

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::eventfd::EfdFlags;
use nix::unistd::pipe2;

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::{give, made};

pub(super) const ROW: Exercise = Exercise {
    name: "stranger",
    title: "a notifier that writes to nothing but an eventfd",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("stranger/task.md"),
    begin: Begin::Bare("eventfd"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("stranger/solution.rs")),
        Some(include_str!("stranger/solution.c")),
        Some(include_str!("stranger/solution.py")),
    ],
    reasons: "A descriptor says nothing of what it leads to, and write(2) is the same for all: into \
              a file it is 8 bytes, into a pipe as well. The link in /proc/self/fd names the kind: \
              anon_inode:[eventfd]. Other kinds have no path either, so the whole name counts.",
    hints: [
        "ls -l /proc/self/fd shows what each descriptor of a program leads to.",
        "readlink(2) of /proc/self/fd/N, before the first write. An eventfd has no path, but a name.",
        "The link of an eventfd reads anon_inode:[eventfd], and that of a pipe pipe:[NUMBER].",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the waiter passes an eventfd",
            players: |scene| {
                let number = TOTAL.to_string();
                let waiter = Player::learner(scene, "waiter", [number.clone()]);
                let waiter = waiter.prints(format!("took {TOTAL}\n"));
                vec![waiter, Player::learner(scene, "notifier", [number])]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "one",
            about: "an eventfd that was made with EFD_SEMAPHORE",
            players: |scene| {
                let number = TOTAL.to_string();
                let notifier = Player::learner(scene, "notifier", [number]);
                vec![Player::partner(), notifier]
            },
            partner: |partner| {
                let flags = EfdFlags::EFD_SEMAPHORE | EfdFlags::EFD_NONBLOCK;
                let event = made(partner, flags)?;
                let _connection = give(partner, &event)?;
                partner.until_all_have_ended()?;
                let added = (0..).take_while(|_| event.read().is_ok()).count();
                match added as u64 {
                    TOTAL => Ok(()),
                    other => partner.wrong(&format!(
                        "your program was to add {TOTAL}, and the eventfd has {other}"
                    )),
                }
            },
            hint: 3,
        },
        Stage {
            name: "file",
            about: "the waiter passes a file",
            players: refuses,
            partner: |partner| {
                let file = tempfile::tempfile().context("open")?;
                let _connection = give(partner, &file)?;
                partner.until_all_have_ended()?;
                let bytes = file.metadata().context("fstat")?.len();
                untouched(partner, "file", bytes)
            },
            hint: 2,
        },
        Stage {
            name: "pipe",
            about: "the waiter passes the write end of a pipe",
            players: refuses,
            partner: |partner| {
                let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe2")?;
                let _connection = give(partner, &writing)?;
                partner.until_all_have_ended()?;
                let bytes = rustix::io::ioctl_fionread(&reading).context("ioctl")?;
                untouched(partner, "pipe", bytes)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses one that does not block",
            stage: "one",
            language: Language::Python,
            edits: &[(
                "    if kind != \"anon_inode:[eventfd]\":",
                "    if kind != \"anon_inode:[eventfd]\" or not os.get_blocking(event):",
            )],
        },
        Wrong {
            what: "refuses all",
            stage: "plain",
            language: Language::Python,
            edits: &[("!= \"anon_inode:[eventfd]\"", "!= \"eventfd\"")],
        },
        Wrong {
            what: "does not look",
            stage: "file",
            language: Language::Python,
            edits: &[(
                "    if kind != \"anon_inode:[eventfd]\":\n",
                "    if not kind:\n",
            )],
        },
        Wrong {
            what: "refuses what has a path alone",
            stage: "pipe",
            language: Language::Python,
            edits: &[(
                "    if kind != \"anon_inode:[eventfd]\":\n",
                "    if kind.startswith(\"/\"):\n",
            )],
        },
        Wrong {
            what: "looks afterwards",
            stage: "file",
            language: Language::C,
            edits: &[(
                "    /* The kernel says what it is: a link to the name of its kind. */\n",
                "    uint64_t early = strtoull(*numbers++, NULL, 10);\n    ok(write(event, &early, sizeof early), \"write\");\n",
            )],
        },
    ],
};

/// What the notifier adds.
const TOTAL: u64 = 4;

/// The learner's notifier is passed something else.
fn refuses(scene: &Scene) -> Vec<Player> {
    let notifier = Player::learner(scene, "notifier", [TOTAL.to_string()]);
    vec![Player::partner(), notifier.ends(Ends::Failing)]
}

/// Wants no byte in it.
fn untouched(partner: &Partner, what: &str, bytes: u64) -> Result<()> {
    match bytes {
        0 => Ok(()),
        _ => partner.wrong(&format!(
            "your program has written {bytes} bytes into a {what} that it was passed"
        )),
    }
}
