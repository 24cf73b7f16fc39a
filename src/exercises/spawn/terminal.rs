//! A command that is run at a pseudo-terminal.

use nix::sys::signal::Signal;

use bare::Language;
use wire::standard;

use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const TERMINAL: Exercise = Exercise {
    name: "terminal",
    title: "a program that runs a command at a terminal",
    kind: Kind::Write,
    minutes: 45,
    after: &["spawn/detach"],
    task: include_str!("terminal/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("terminal/solution.rs")),
        Some(include_str!("terminal/solution.c")),
        Some(include_str!("terminal/solution.py")),
    ],
    reasons: "A pseudo-terminal is a pair: the command has the slave, and whoever holds the master is \
              the keyboard and the screen. Between them is the line discipline, which makes lines of \
              keys, a signal of Ctrl-C, and an end of input of Ctrl-D. It belongs to the terminal, and \
              to no process, so the modes can be set before execve. The reader of the master \
              must hold no slave: when the last one is closed, read(2) fails by EIO, which is the \
              end of file of a terminal. Nobody else may have the master: its last close is what \
              hangs up.",
    hints: [
        "In the child, in this order: setsid, TIOCSCTTY on the slave, dup2 to 0, 1 and 2. The master is \
         not for the command, so it is close-on-exec; and the parent closes the slave.",
        "OPOST in c_oflag makes a carriage return and a newline of a newline, and ECHO in c_lflag sends \
         keys back: switch both off before anything goes through. Read the master until it fails by EIO, \
         and wait for the command after that.",
        "Two directions at once: a second thread for the keys. Ctrl-D hands over what has been typed of a \
         line; the reader gets 0, its end, where nothing has been.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "its three streams are a terminal, and a line comes out as it is",
            players: |scene| {
                let script =
                    "for fd in 0 1 2; do test -t $fd || exit; done; echo a terminal";
                vec![terminal(scene, script).prints("a terminal\n")]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "status",
            about: "the command ends with status 3",
            players: |scene| {
                let terminal = terminal(scene, "echo no; exit 3");
                vec![terminal.prints("no\n").ends(Ends::Failing)]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "long",
            about: "the command prints 300,000 bytes, and ends at once",
            players: |scene| {
                let script = "head -c 300000 /dev/zero | tr '\\0' x";
                vec![terminal(scene, script).prints("x".repeat(300_000))]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "keys",
            about: "the command reads lines from the terminal, to the end",
            players: |scene| {
                let lines = scene.draw().lines(5).join("\n") + "\n";
                let terminal = terminal(scene, "tr a-z A-Z");
                vec![terminal.prints(lines.to_uppercase()).reading(lines)]
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "half",
            about: "the last line of its input has no newline",
            players: |scene| {
                let lines = scene.draw().lines(2).join("\n");
                vec![terminal(scene, "cat").prints(&*lines).reading(&*lines)]
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "interrupt",
            about: "Ctrl-C, while the command reads",
            players: |scene| {
                let ready = ready(scene);
                scene.make_fifo(&ready);
                let trap = "trap 'echo interrupted; exit 0' INT";
                let script = format!("{trap}; : > {ready}; read line");
                let terminal = terminal(scene, &script).prints("interrupted\n");
                vec![Player::partner().piped(), terminal]
            },
            partner: |partner| {
                let ready = ready(&partner.scene);
                partner
                    .call("waits for the command", std::fs::File::open(&ready))?;
                std::fs::remove_file(&ready)?;
                partner.must_sleep("terminal")?; // the shell, too
                partner.write(standard::output()?, &[3], "Ctrl-C")?;
                partner.until_all_have_ended()
            },
            hint: 1,
        },
        Stage {
            name: "killed",
            about: "SIGKILL comes to your program, and so a hang-up to the command",
            players: |scene| {
                let terminal = terminal(scene, "exec cat").prints("");
                let terminal = terminal.ends(Ends::By(Signal::SIGKILL));
                vec![Player::partner().piped(), terminal]
            },
            partner: |partner| {
                partner.must_sleep("terminal")?;
                let terminal = partner.learner("terminal")?;
                partner.signal(
                    terminal,
                    Signal::SIGKILL,
                    "to your program alone",
                )?;
                partner.until_none_is_left()
            },
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves the terminal's modes as they are",
            stage: "plain",
            language: Language::Python,
            edits: &[("modes[1] &= ~termios.OPOST", "pass")],
        },
        Wrong {
            what: "keeps the slave",
            stage: "plain",
            language: Language::Python,
            edits: &[("    os.close(slave)  # or", "    # or")],
        },
        Wrong {
            what: "takes EIO for a failure",
            stage: "plain",
            language: Language::C,
            edits: &[("    if (errno != EIO)", "    if (errno)")],
        },
        Wrong {
            what: "ends with 0 whatever comes",
            stage: "status",
            language: Language::Python,
            edits: &[("    if status != 0:", "    if status < 0:")],
        },
        Wrong {
            what: "reads once",
            stage: "long",
            language: Language::Python,
            edits: &[(
                "        while data := os.read(master, 4096):",
                "        if data := os.read(master, 4096):",
            )],
        },
        Wrong {
            what: "has the keys echoed",
            stage: "keys",
            language: Language::Python,
            edits: &[("modes[3] &= ~termios.ECHO", "pass")],
        },
        Wrong {
            what: "does not type Ctrl-D",
            stage: "keys",
            language: Language::Python,
            edits: &[(
                "b\"\\x04\" if last == b\"\\n\" else b\"\\x04\\x04\"",
                "b\"\"",
            )],
        },
        Wrong {
            what: "types Ctrl-D once",
            stage: "half",
            language: Language::Python,
            edits: &[("else b\"\\x04\\x04\"", "else b\"\\x04\"")],
        },
        Wrong {
            what: "makes no session",
            stage: "interrupt",
            language: Language::Python,
            edits: &[
                ("os.setsid()  # without", "pass  # without"),
                ("        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)\n", ""),
                ("import fcntl\n", ""),
            ],
        },
        Wrong {
            what: "hands on the master",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "    child = os.fork()",
                "    os.set_inheritable(master, True)\n    child = os.fork()",
            )],
        },
    ],
};

fn terminal(scene: &Scene, script: &str) -> Player {
    Player::learner(scene, "terminal", ["sh", "-c", script])
}

/// A FIFO that the command opens once it is ready.
fn ready(scene: &Scene) -> String {
    scene.dir.join("ready").display().to_string()
}
