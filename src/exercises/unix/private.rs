//! `unix/private`.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent};
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::proc::{field, text};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "private",
    title: "a server whose name is never open to others, not for a moment",
    kind: Kind::Mend,
    minutes: 15,
    after: &["unix/who"],
    task: include_str!("private/task.md"),
    begin: Begin::Bare("unix"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("private/solution.rs")),
        Some(include_str!("private/solution.c")),
        Some(include_str!("private/solution.py")),
    ],
    reasons: "bind(2) makes the file with mode 0777 less the umask; chmod(2) comes later, and who \
              has connected by then stays connected. The umask is the process's: with threads, a \
              file that another thread makes meanwhile has it, too. On Linux fchmod(2) of the \
              socket before bind(2) needs no umask. Where neither will do, a directory of mode \
              0700 keeps others away from whatever is in it.",
    hints: [
        "Which call makes the file, and what decides its mode in that call?",
        "A chmod after bind comes too late. The umask takes bits away from 0777: which ones \
         leave 0600?",
        "umask(0177) returns the umask that was there. Set it back after bind. (On Linux, \
         fchmod(socket, 0600) before bind works as well.)",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your server and your client still meet",
            players: |scene| {
                let messages = scene.draw().lines(3);
                let server = Player::learner(scene, "server", NOTHING);
                let client = Player::learner(scene, "client", messages.clone());
                vec![server.prints("").idles(), client.prints(joined(&messages))]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "mode",
            about: "the mode of the name, once the server serves",
            players: watched,
            partner: |partner| serve(partner).map(drop),
            hint: 1,
        },
        Stage {
            name: "moment",
            about: "what happens to the name between the first moment and the last",
            players: watched,
            partner: |partner| {
                let events = serve(partner)?;
                let place = partner.scene.place();
                let name = Path::new(&place).file_name();
                let of_name = |event: &&InotifyEvent| event.name.as_deref() == name;
                let changed = AddWatchFlags::IN_ATTRIB;
                if events
                    .iter()
                    .filter(of_name)
                    .any(|one| one.mask.contains(changed))
                {
                    return partner.wrong(
                        "the name was there with another mode, until it was changed",
                    );
                }
                partner.log("no attribute of the name was changed");
                Ok(())
            },
            hint: 2,
        },
        Stage {
            name: "umask",
            about: "the umask of your server, once it serves",
            players: watched,
            partner: |partner| {
                partner.until_made(AddWatchFlags::empty())?;
                let client = partner.connect_soon()?;
                partner.echoed(&client, &joined(&partner.scene.draw().lines(1)))?;
                let ours = umask_of(Pid::this())?;
                let theirs = umask_of(partner.learner("server")?)?;
                partner.log(&format!("the server's umask is {theirs}"));
                drop(client);
                partner.until_all_have_ended()?;
                match theirs == ours {
                    true => Ok(()),
                    false => partner.wrong(&format!(
                        "the server was started with umask {ours}, and has {theirs} now"
                    )),
                }
            },
            hint: 3,
        },
        Stage {
            name: "alone",
            about: "what else is seen in the directory of the name",
            players: watched,
            partner: |partner| {
                let events = serve(partner)?;
                let place = partner.scene.place();
                let name = Path::new(&place).file_name();
                let other = |event: &InotifyEvent| {
                    event.name.as_deref() != name
                        && event.mask.contains(AddWatchFlags::IN_CREATE)
                };
                match events.iter().find(|event| other(event)) {
                    Some(event) => {
                        let seen = event.name.as_deref().unwrap_or(OsStr::new("?"));
                        let seen = seen.display();
                        partner.wrong(&format!("{seen} was made beside the name"))
                    }
                    None => Ok(()),
                }
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    listener.close()\n    os.unlink(name)",
                "    listener.close()",
            )],
        },
        Wrong {
            what: "lets the group in",
            stage: "mode",
            language: Language::Python,
            edits: &[("os.umask(0o177)", "os.umask(0o117)")],
        },
        Wrong {
            what: "changes the mode after bind",
            stage: "moment",
            language: Language::Python,
            edits: &[
                ("    before = os.umask(0o177)  # of the whole process\n", ""),
                ("    os.umask(before)\n", "    os.chmod(name, 0o600)\n"),
            ],
        },
        Wrong {
            what: "changes the mode between listen and accept",
            stage: "moment",
            language: Language::C,
            edits: &[
                (
                    "    mode_t before = umask(0177); /* of the whole process */\n",
                    "",
                ),
                ("    umask(before);\n", ""),
                (
                    "    int client = ok(accept(",
                    "    ok(chmod(address.sun_path, 0600), \"chmod\");\n    int client = ok(accept(",
                ),
            ],
        },
        Wrong {
            what: "leaves the umask as it is",
            stage: "umask",
            language: Language::Python,
            edits: &[("    os.umask(before)\n", "")],
        },
        Wrong {
            what: "makes a directory beside the name",
            stage: "alone",
            language: Language::Python,
            edits: &[
                (
                    "    before = os.umask(0o177)",
                    "    os.mkdir(name + \".d\", 0o700)\n    before = os.umask(0o177)",
                ),
                (
                    "    listener.bind(name)  # makes the name, mode 0600\n",
                    "    listener.bind(name + \".d/s\")\n    os.rename(name + \".d/s\", name)\n    \
                     os.rmdir(name + \".d\")\n",
                ),
            ],
        },
    ],
};

/// The partner, which watches the directory, and then the learner's server.
fn watched(scene: &Scene) -> Vec<Player> {
    let server = Player::learner(scene, "server", NOTHING);
    vec![Player::partner(), server.prints("")]
}

/// Is a client of the server, looks at the mode, and returns what happened in the directory.
fn serve(partner: &Partner) -> Result<Vec<InotifyEvent>> {
    let (watch, mut events) = partner.until_made(AddWatchFlags::IN_ATTRIB)?;
    let client = partner.connect_soon()?;
    partner.echoed(&client, &joined(&partner.scene.draw().lines(1)))?;
    let about = std::fs::symlink_metadata(partner.scene.place());
    let mode = partner.call("lstat(PLACE)", about)?.permissions().mode() & 0o7777;
    drop(client);
    partner.log("close()");
    partner.until_all_have_ended()?;
    if mode != 0o600 {
        return partner.wrong(&format!("the mode of PLACE is {mode:04o}, not 0600"));
    }
    rustix::io::ioctl_fionbio(&watch, true).context("ioctl")?;
    loop {
        match watch.read_events() {
            Ok(more) => events.extend(more),
            Err(Errno::EAGAIN) => return Ok(events),
            Err(error) => return Err(error).context("read"),
        }
    }
}

/// The umask of a process, as /proc shows it.
fn umask_of(pid: Pid) -> Result<String> {
    let status =
        text(format!("/proc/{pid}/status")).context("the server has ended")?;
    Ok(field(&status, "Umask:").context("no umask")?.trim().to_owned())
}
