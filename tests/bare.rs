//! The bare programs: each language with each, and with the chapters' roles, both ways round.

#[path = "bare/texts.rs"]
mod texts;
#[path = "bare/verbs.rs"]
mod verbs;

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use bare::{Language, MeetingPlace, PROGRAMS, Part, Program};
use lab::bare::MeetingPlaces;
use lab::tools::Tools;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use os::proc::{Activity, activity};
use support::{
    Input, Outcome, Output, RoleProcess, deadline, program as ipclab, run, skip,
};
use wire::meet::Meets;

/// What plays a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Player {
    /// The bare program in this language.
    Bare(Language),
    /// The chapter's role.
    Role,
}

const PLAYERS: [Player; 4] = [
    Player::Bare(Language::Rust),
    Player::Bare(Language::C),
    Player::Bare(Language::Python),
    Player::Role,
];

impl Player {
    fn name(self) -> &'static str {
        match self {
            Player::Bare(language) => lang(language),
            Player::Role => "role",
        }
    }
}

/// As `--lang` says it.
fn lang(language: Language) -> &'static str {
    match language {
        Language::Rust => "rust",
        Language::C => "c",
        Language::Python => "python",
    }
}

/// Why the roles of the two players, the first of whom plays the first part, cannot meet: the
/// bare program's wire is simpler than the role's. The program's header says it, too.
fn apart(program: &str, first: Player, second: Player) -> Option<&'static str> {
    match (program, first, second) {
        ("shm" | "mmap", Player::Role, _) | ("shm" | "mmap", _, Player::Role) => {
            Some("one slot for one message; the role's memory has a ring")
        }
        ("signal", Player::Bare(_), Player::Role) => Some(
            "the role looks who has published the pid: with --pid it sends to a bare one",
        ),
        _ => None,
    }
}

/// The command that plays `part`, in a directory of the run's own.
fn command(
    program: &Program,
    player: Player,
    part: &Part,
    places: &MeetingPlaces,
    dir: &Path,
) -> Command {
    let mut command = match player {
        Player::Role => {
            let mut command = Command::new(ipclab());
            command.arg("-q").args(places.role_words(program, part));
            command
        }
        Player::Bare(language) => {
            let mut command = Command::new(ipclab());
            command.args(["-q", "bare", program.name, "--lang", lang(language)]);
            // All else is where the chapter's roles meet in this directory.
            let meeting =
                part.places.iter().filter(|place| **place == MeetingPlace::Address);
            let meeting = meeting.map(|place| places.argument(*place));
            command.args([part.role, "--"]).args(meeting).args(part.args);
            command
        }
    };
    command.env("IPCLAB_DIR", dir).current_dir(dir);
    with_tools(command)
}

/// `command` with a directory for what is compiled, and with Python itself: `python3` may be a
/// script that looks for it, and sleeps meanwhile.
fn with_tools(mut command: Command) -> Command {
    static PYTHON: LazyLock<OsString> = LazyLock::new(|| {
        let python = Tools::of_environment().python;
        let mut itself = Command::new(&python);
        itself.args(["-c", "import sys; print(sys.executable, end='')"]);
        match itself.output() {
            Ok(output) if output.status.success() => {
                OsString::from_vec(output.stdout)
            }
            _ => python,
        }
    });
    command.env("IPCLAB_PYTHON", &*PYTHON);
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Whether this machine can play the program in `language`. (So the C program is compiled
/// before it is waited for.)
fn is_there(program: &Program, language: Language) -> bool {
    let usage = format!("usage: {}", program.name);
    let outcome = match language {
        Language::Rust => return program.main.is_some(),
        Language::C => {
            let mut command = Command::new(ipclab());
            command.args(["bare", program.name, "--lang", "c", "--prepare"]);
            run(with_tools(command), Input::Nothing)
        }
        // A command line that means nothing: its modules are there if it says so.
        Language::Python => {
            let mut command = Command::new(Tools::of_environment().python);
            command.args(["-c", program.text(Language::Python), "nothing"]);
            run(command, Input::Nothing)
        }
    };
    let there = outcome.status.success() || outcome.stderr.contains(&usage);
    if !there {
        let last = outcome.stderr.lines().last().unwrap_or_default();
        skip(&format!("no {} in {}: {last}", program.name, lang(language)));
    }
    there
}

/// Plays all parts of the program, the first by one player and the others by another; says what
/// went wrong.
fn play(program: &Program, first: Player, others: Player) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let places = MeetingPlaces::within(dir.path(), program);
    let alone = lab::bare::row(program).unwrap().meets == Meets::Nowhere;
    let mut running: Vec<RoleProcess> = Vec::new();
    let mut link: Option<OwnedFd> = None;
    for (index, part) in program.parts.iter().enumerate() {
        let player = if index == 0 { first } else { others };
        let command = command(program, player, part, &places, dir.path());
        let input = link.take().map_or(Input::Nothing, Input::From);
        let mut output = Output::Kept;
        if alone && index + 1 < program.parts.len() {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
            (link, output) = (Some(reading), Output::To(writing));
        }
        let started =
            RoleProcess::start_with(part.role, command, input, output, None);
        running.push(started.unwrap());
        let pid = running[index].pid();
        let end = deadline();
        while !alone && activity(pid) == Activity::Other && Instant::now() < end {
            std::thread::yield_now();
        }
    }
    let mut failures = String::new();
    for role in running {
        let name = role.name.clone();
        match role.wait(deadline()) {
            Err(error) => _ = write!(failures, "{name}: {error:#}; "),
            Ok(Outcome { status, stdout, stderr }) => {
                if !status.success() {
                    _ = write!(failures, "{name} ended with {status}: {stderr}; ");
                }
                if name == program.prints && stdout != program.expect.as_bytes() {
                    let got = String::from_utf8_lossy(&stdout);
                    _ = write!(failures, "{name} printed {got:?}; ");
                }
            }
        }
    }
    if let Some(left) = places.remove_leftovers() {
        _ = write!(failures, "{left}; ");
    }
    let names =
        dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    // A role that leaves while what it has sent still waits leaves its lock file as well.
    for name in names.filter(|name| !name.as_encoded_bytes().ends_with(b".lock")) {
        _ = write!(failures, "left behind: {name:?}; ");
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Plays the program in each pair of languages, and each with the chapter's roles both ways;
/// prints the table of what went well.
#[expect(clippy::print_stdout, reason = "the table is what the test shows")]
fn meets_all(name: &str) {
    let program = Program::find(name).unwrap();
    let can_play = |player: &Player| match player {
        Player::Bare(language) => is_there(program, *language),
        Player::Role => true,
    };
    let players: Vec<Player> = PLAYERS.into_iter().filter(can_play).collect();
    let mut table = format!("\n{name:<18}");
    for second in PLAYERS {
        _ = write!(table, "{:<8}", second.name());
    }
    let (mut failures, mut reasons) = (Vec::new(), BTreeSet::new());
    for first in PLAYERS {
        _ = write!(table, "\n  {:<16}", first.name());
        for second in PLAYERS {
            let why_not = apart(name, first, second);
            reasons.extend(why_not);
            let two_roles = first == second && first == Player::Role;
            let here = players.contains(&first) && players.contains(&second);
            let plays = here && !two_roles && why_not.is_none();
            let outcome = plays.then(|| play(program, first, second));
            table += match outcome {
                None => "–       ",
                Some(Ok(())) => "✓       ",
                Some(Err(failure)) => {
                    let pair = format!("{} with {}", first.name(), second.name());
                    failures.push(format!("{name}: {pair}: {failure}"));
                    "✗       "
                }
            };
        }
    }
    for why in reasons {
        _ = write!(table, "\n  – {why}");
    }
    println!("{table}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

macro_rules! pairs {
    ($($name:ident)*) => {
        mod each_pair_of {
            $(
                #[test]
                fn $name() {
                    super::meets_all(stringify!($name));
                }
            )*
        }

        #[test]
        fn each_program_is_tried_here() {
            let tried = [$(stringify!($name)),*, "spawn", "mpi"];
            let missing = |program: &&Program| !tried.contains(&program.name);
            assert_eq!(PROGRAMS.iter().find(missing).map(|program| program.name), None);
        }
    };
}

pairs! {
    file signal pipe fifo unix unix_dgram unix_seqpacket tcp tcp_iterative tcp_fork udp posixmq sysvmq shm mmap mutex eventfd fdpass multiplex multiplex_select multiplex_epoll semaphore semaphore_sysv semaphore_futex procvm dbus
}

/// Each language as the parent of each, and of the role: the parent starts its child.
#[test]
fn spawn() {
    let program = Program::find("spawn").unwrap();
    let can_play = |player: &Player| match player {
        Player::Bare(language) => is_there(program, *language),
        Player::Role => true,
    };
    let players: Vec<Player> = PLAYERS.into_iter().filter(can_play).collect();
    let [part] = program.parts else { panic!("the parent alone is started") };
    let mut failures = Vec::new();
    for (first, second) in players
        .iter()
        .flat_map(|first| players.iter().map(move |second| (*first, *second)))
    {
        let dir = tempfile::tempdir().unwrap();
        let places = MeetingPlaces::within(dir.path(), program);
        let mut parent = command(program, first, part, &places, dir.path());
        parent.args((first == Player::Role).then_some("--"));
        parent.arg(ipclab()).arg("-q");
        match second {
            Player::Role => parent.args(["spawn", "child"]),
            Player::Bare(language) => {
                parent.args(["bare", "spawn", "--lang", lang(language), "child"])
            }
        };
        let outcome = run(parent, Input::Nothing);
        if !outcome.status.success() || outcome.stdout != program.expect.as_bytes() {
            failures.push(format!(
                "{} of {}: {outcome:?}",
                first.name(),
                second.name()
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Each language as either rank, with each and with the role: one world of two programs.
#[cfg(feature = "mpi")]
#[test]
fn mpi() {
    let program = Program::find("mpi").unwrap();
    let mut table = format!("\n{:<18}rust    c       python  role", "mpi");
    let mut failures = Vec::new();
    for first in PLAYERS {
        _ = write!(table, "\n  {:<16}", first.name());
        for second in
            PLAYERS.into_iter().filter(|second| (first, *second) != TWO_ROLES)
        {
            let dir = tempfile::tempdir().unwrap();
            let places = MeetingPlaces::within(dir.path(), program);
            let mut world = wire::launcher::mpiexec();
            for (rank, player) in [first, second].into_iter().enumerate() {
                let part = &program.parts[rank];
                let one = command(program, player, part, &places, dir.path());
                world.args((rank > 0).then_some(":")).args(["-n", "1"]);
                world.arg(one.get_program()).args(one.get_args());
            }
            let outcome = run(with_tools(world), Input::Nothing);
            let expect = match first {
                Player::Role => "before: 0\nafter: 4711\n",
                Player::Bare(_) => program.expect,
            };
            let well =
                outcome.status.success() && outcome.stdout == expect.as_bytes();
            table += if well { "✓       " } else { "✗       " };
            if !well {
                failures.push(format!(
                    "{} with {}: {outcome:?}",
                    first.name(),
                    second.name()
                ));
            }
        }
    }
    println!("{table}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "mpi")]
const TWO_ROLES: (Player, Player) = (Player::Role, Player::Role);
