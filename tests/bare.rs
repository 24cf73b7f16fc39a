//! The bare programs: each language with each, and with the chapters' roles, both ways round;
//! and the rules that hold for their texts.

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
use wire::chapter::{Lack, Shown};
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
            // A key is given by the name that it is made from.
            let meeting = part.places.iter().map(|place| match place {
                MeetingPlace::Key => places.argument(MeetingPlace::Name),
                place => places.argument(*place),
            });
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

/// Whether this machine can play the program in `language`: it answers a command line that means
/// nothing. (So the C program is compiled before it is waited for.)
fn is_there(program: &Program, language: Language) -> bool {
    let mut command = Command::new(ipclab());
    command.args(["bare", program.name, "--lang", lang(language), "nothing"]);
    let Outcome { stderr, .. } = run(with_tools(command), Input::Nothing);
    let answers = stderr.contains(&format!("usage: {}", program.name));
    if !answers {
        let last = stderr.lines().last().unwrap_or_default();
        skip(&format!("no {} in {}: {last}", program.name, lang(language)));
    }
    answers
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
            let tried = [$(stringify!($name)),*, "mpi"];
            let missing = |program: &&Program| !tried.contains(&program.name);
            assert_eq!(PROGRAMS.iter().find(missing).map(|program| program.name), None);
        }
    };
}

pairs! {
    file signal pipe fifo unix unix_dgram unix_seqpacket tcp tcp_iterative tcp_fork posixmq sysvmq shm mmap fdpass multiplex multiplex_select multiplex_epoll semaphore semaphore_sysv semaphore_futex dbus
}

/// Each language as either rank, with each and with the role: one world of two programs.
#[cfg(feature = "mpi")]
#[test]
#[expect(clippy::print_stdout, reason = "the table is what the test shows")]
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

/// Every text, with its program and its language.
fn texts() -> impl Iterator<Item = (&'static Program, Language, &'static str)> {
    PROGRAMS.iter().flat_map(|program| {
        Language::ALL.map(|language| (program, language, program.text(language)))
    })
}

#[test]
fn each_chapter_has_a_bare_program() {
    for row in chapters::rows() {
        assert!(Program::find(row.name).is_some(), "{}", row.name);
    }
}

#[test]
fn each_text_is_short_and_begins_with_what_it_is() {
    for (program, language, text) in texts() {
        let name = format!("{}.{}", program.name, language.ending());
        // fdpass: three roles, two kinds of sockets, and ancillary data by hand.
        let most = if program.name == "fdpass" { 125 } else { 80 };
        assert!(text.lines().count() <= most, "{name} has over {most} lines");
        let lines = text.lines().filter(|line| !line.starts_with("//! Cargo.toml"));
        let width = lines.map(|line| line.chars().count()).max().unwrap();
        assert!(width <= 100, "{name} has a line of {width} columns");
        let header: Vec<_> = text.lines().take(12).collect();
        let header = header.join("\n");
        let chapter = format!("See chapter {}.", program.chapter());
        let build = match language {
            Language::Rust => "Cargo.toml: ".to_owned(),
            Language::C => format!(" {}.c -o ", program.name),
            Language::Python => format!("python3 {}.py ", program.name),
        };
        for part in [", bare", "Wire: ", "Not here: ", &chapter, &build] {
            assert!(header.contains(part), "{name}: no {part:?} in its header");
        }
        assert!(text.contains("usage: "), "{name} does not tell its usage");
        assert!(text.ends_with('\n'), "{name} has no end of its last line");
    }
}

/// The calls of one layer: a helper from elsewhere would hide them.
#[test]
fn each_text_uses_one_layer_of_calls() {
    for (program, language, text) in texts() {
        let name = format!("{}.{}", program.name, language.ending());
        let is_used = |line: &&str| match language {
            Language::Rust => line.starts_with("use "),
            Language::C => line.starts_with("#include"),
            Language::Python => {
                line.starts_with("import ") || line.starts_with("from ")
            }
        };
        for line in text.lines().filter(is_used) {
            let module =
                line.split([' ', ':', '<', '>', '"', ';', '.']).nth(1).unwrap();
            let known: &[&str] = match (language, program.chapter()) {
                (Language::C, _) => continue,
                (Language::Rust, "dbus") => &["std", "nix", "zbus"],
                (Language::Rust, "mpi") => &["std", "nix", "mpi"],
                (Language::Rust, _) => &["std", "nix", "libc"],
                (Language::Python, _) => &[
                    "os",
                    "sys",
                    "socket",
                    "select",
                    "selectors",
                    "signal",
                    "mmap",
                    "ctypes",
                    "array",
                    "struct",
                    "contextlib",
                    "posix_ipc",
                    "sysv_ipc",
                    "jeepney",
                    "mpi4py",
                    "itertools",
                    "subprocess",
                    "time",
                    "errno",
                ],
            };
            assert!(known.contains(&module), "{name}: {line}");
        }
        // The crate zbus hides them itself.
        let hidden = ["std::fs", "std::net", "std::os::unix::net", "std::thread"];
        for hidden in hidden.iter().filter(|_| program.name != "dbus") {
            assert!(
                !text.contains(hidden),
                "{name} uses {hidden}, which hides the calls"
            );
        }
    }
}

/// The three files of a program are the same lesson: what sleeps in one sleeps in all. (Only
/// C's signal takes its signals in two places; zbus, sd-bus and MPI sleep where they like.)
#[test]
fn the_languages_say_alike_what_sleeps() {
    let libraries = ["dbus", "mpi"];
    for program in
        PROGRAMS.iter().filter(|program| !libraries.contains(&program.name))
    {
        let count = |language| program.text(language).matches("sleeps").count();
        let mut counts = Language::ALL.map(count);
        counts[1] -= usize::from(program.name == "signal");
        assert!(
            counts.iter().all(|count| *count == counts[0]),
            "{}: {counts:?}",
            program.name
        );
        assert!(counts[0] > 0, "{}: nothing sleeps", program.name);
    }
}

#[test]
fn what_is_printed_is_the_file() {
    for (program, language, text) in texts() {
        let mut command = Command::new(ipclab());
        command.args(["bare", program.name, "--lang", lang(language)]);
        let printed = run(command, Input::Nothing);
        assert!(
            printed.status.success() && printed.stderr.is_empty(),
            "{printed:?}"
        );
        assert_eq!(String::from_utf8_lossy(&printed.stdout), text);
    }
}

#[test]
fn no_compiler_has_anything_to_warn_of() {
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let name = program.name;
        std::fs::write(
            dir.path().join(format!("{name}.c")),
            program.text(Language::C),
        )
        .unwrap();
        std::fs::write(
            dir.path().join(format!("{name}.py")),
            program.text(Language::Python),
        )
        .unwrap();
        if is_there(program, Language::C) {
            let line = program.command(Language::C, &["cc", "mpicc"]).unwrap();
            let mut words: Vec<_> = line.split(' ').collect();
            let mpicc =
                std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_owned());
            if words[0] == "mpicc" {
                words[0] = &mpicc;
            }
            let mut cc = Command::new(words[0]);
            cc.args(["-Wall", "-Wextra", "-Werror"]).args(&words[1..]);
            cc.current_dir(dir.path());
            let outcome = run(cc, Input::Nothing);
            assert!(outcome.status.success(), "{name}.c: {}", outcome.stderr);
        }
        let mut compile = Command::new(Tools::of_environment().python);
        compile.args(["-W", "error", "-m", "py_compile"]).arg(format!("{name}.py"));
        compile.current_dir(dir.path());
        let outcome = run(compile, Input::Nothing);
        assert!(outcome.status.success(), "{name}.py: {}", outcome.stderr);
    }
}

/// The `lacks` of each chapter name what there is.
#[test]
fn each_lack_is_shown_and_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for row in chapters::rows() {
        let (count, name) = (row.lacks.len(), row.name);
        assert!((3..=8).contains(&count), "{name} has {count} lacks");
        for Lack { what, shown, answer: (file, anchor) } in row.lacks {
            match shown {
                Shown::Experiment(experiment) => {
                    let id = format!("{name}/{experiment}");
                    assert!(
                        experiments::find(&id).is_some(),
                        "{name}: no {id}: {what}"
                    );
                }
                Shown::Test(test, function) => {
                    let text = source(root, test);
                    let line = format!("fn {function}(");
                    assert!(
                        text.contains(&line),
                        "{name}: no {test} {function}: {what}"
                    );
                }
            }
            let text = std::fs::read_to_string(root.join("src").join(file));
            let text =
                text.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let begins = format!("// ANCHOR: {anchor}\n");
            assert!(text.contains(&begins), "{name}: no {anchor} in {file}");
        }
    }
}

#[test]
fn the_pages_have_the_lacks_of_the_rows() {
    for row in chapters::rows() {
        let path = format!("chapters/lacks/{}.md", row.name);
        let page = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(&path),
        );
        let mut command = Command::new(ipclab());
        command.args(["bare", row.name, "--lacks", "--markdown"]);
        let printed = run(command, Input::Nothing).stdout;
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(
            page.unwrap_or_default(),
            printed,
            "{path}: run chapters/lacks/capture"
        );
    }
}

/// The text of a test program, with its modules'.
fn source(root: &Path, test: &str) -> String {
    let mut text =
        std::fs::read_to_string(root.join("tests").join(format!("{test}.rs")))
            .unwrap();
    if let Ok(modules) = root.join("tests").join(test).read_dir() {
        for module in modules {
            text +=
                &std::fs::read_to_string(module.unwrap().path()).unwrap_or_default();
        }
    }
    text
}
