//! What every chapter's tests share: the built program, and the contract's clauses.
#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]

pub mod terminal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

// A crate that a test names is linked to it: those of the chapters need no more than these.
pub use contract::{self, Chapter, Queue, Subject};
pub use contract::{each_clause, each_clause_for_queues};
pub use process::{Input, Outcome, Output, RoleProcess};

use wire::chapter::OnPeerDeath::{self, EndOfStream, Error, JobEnds, Waits};
use wire::meet::Meets::{self, Address, Kernel, Nowhere, Path, World};

/// What the contract must know of each chapter: its name, whether the two sides talk,
/// where they meet, and what is seen of a peer's death. tests/cli.rs compares it with the
/// table of the chapters, whose code is not linked for it.
pub const CHAPTERS: [(&str, bool, Meets, OnPeerDeath); 20] = [
    ("spawn", false, Nowhere, EndOfStream),
    ("file", false, Path, Waits),
    ("pipe", false, Nowhere, EndOfStream),
    ("fifo", false, Path, EndOfStream),
    ("unix", true, Path, EndOfStream),
    ("tcp", true, Address, EndOfStream),
    ("udp", true, Address, Waits),
    ("posixmq", false, Kernel, Waits),
    ("sysvmq", false, Kernel, Waits),
    ("signal", false, Path, Waits),
    ("shm", false, Kernel, Error),
    ("mmap", false, Path, Error),
    ("semaphore", false, Kernel, Waits),
    ("mutex", false, Kernel, Error),
    ("eventfd", false, Path, EndOfStream),
    ("multiplex", true, Path, EndOfStream),
    ("fdpass", true, Path, EndOfStream),
    ("procvm", false, Path, Error),
    ("dbus", true, Path, Error),
    ("mpi", false, World, JobEnds),
];

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ipclab"))
}

/// The chapter `name`, in a runtime directory of its own.
pub fn subject(name: &str) -> Subject {
    Subject::new(&program(), chapter_of(name)).expect("a scratch directory")
}

/// What the contract must know of the chapter `name`.
pub fn chapter_of(name: &str) -> Chapter {
    let known = CHAPTERS.into_iter().find(|known| known.0 == name);
    let (name, talks, meets, on_peer_death) = known.expect("a chapter of the table");
    Chapter { name, talks, meets, on_peer_death }
}

/// When a test has failed.
pub fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Looks again and again until it is so: for what no line and no event reports.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = deadline();
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// What /proc/PID/stat says of a process: user and system time, in ticks of 10 ms.
pub fn processor_time(role: &RoleProcess) -> Duration {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", role.pid())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// A command of the built program with these arguments, in the subject's directory.
pub fn ipclab(subject: &Subject, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env("IPCLAB_DIR", subject.dir()).current_dir(subject.dir());
    command
}

/// Runs a command to its end.
pub fn run(command: Command, input: Input) -> Outcome {
    let name = format!("{:?}", command.get_program());
    RoleProcess::start(&name, command, input)
        .and_then(|role| role.wait(deadline()))
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// Sends these messages to the end, which goes well.
#[track_caller]
pub fn send(subject: &Subject, args: &[&str]) -> Outcome {
    subject.send(args).unwrap()
}

/// What a receiver prints that is started with these arguments, and ends well.
#[track_caller]
pub fn receive(subject: &Subject, args: &[&str]) -> String {
    subject.receive(args).unwrap()
}

/// The one line of a role that fails.
#[track_caller]
pub fn failure(role: RoleProcess) -> String {
    contract::failed_clearly(&role.wait(deadline()).unwrap()).unwrap()
}

/// Another user, which has no capabilities.
pub const NOBODY: u32 = 65_534;

/// The program as the user `nobody` would run it, if we are root and can become that user.
/// `opened` is the program: it may lie where that user may not go, and a copy of it may be
/// open for writing in a neighbouring test's child, but what is open may be executed.
pub fn as_nobody(opened: &std::fs::File, args: &[&str]) -> Command {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    command.args(args).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Starts the chapter's receiver as the user `nobody`, which gets the subject's runtime directory.
pub fn receiver_as_nobody(subject: &Subject, args: &[&str]) -> RoleProcess {
    let opened = std::fs::File::open(program()).expect("the program");
    let role =
        subject.receiver[1..3].iter().map(|word| word.to_str().expect("UTF-8"));
    let words: Vec<_> = role.chain(args.iter().copied()).collect();
    let mut command = as_nobody(&opened, &words);
    command.env("IPCLAB_DIR", subject.dir());
    if nix::unistd::geteuid().is_root() {
        let owner = Some(NOBODY);
        std::os::unix::fs::chown(subject.dir(), owner, owner).expect("chown");
    }
    RoleProcess::start("receiver", command, Input::Nothing).expect("the receiver")
}

/// The machine's python3 with a script from `tests/peers`, or `None`, with a line on the terminal.
pub fn python(subject: &Subject, script: &str, args: &[&str]) -> Option<Command> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    assert!(path.exists(), "no such script: {}", path.display());
    if !offers("bare", "python") {
        return None;
    }
    // IPCLAB_PYTHON may name the one of a virtual environment, with posix_ipc in it.
    let interpreter = std::env::var_os("IPCLAB_PYTHON").unwrap_or("python3".into());
    let mut command = Command::new(interpreter);
    command.arg(path).args(args).env("IPCLAB_DIR", subject.dir());
    command.current_dir(subject.dir());
    Some(command)
}

/// A command that starts the program of `words` so that the system call of this number fails by
/// `error`. `None`, with a line on the terminal, where there is no Python.
pub fn refusing(
    subject: &Subject,
    (call, error): (libc::c_long, i32),
    words: &[&str],
) -> Option<Command> {
    let (call, error) = (call.to_string(), error.to_string());
    python(subject, "refuse.py", &[&[&*call, &*error], words].concat())
}

/// As [`python`], for a script that imports `module`, which is not in the standard library.
pub fn python_with(
    module: &str,
    subject: &Subject,
    script: &str,
    args: &[&str],
) -> Option<Command> {
    let command = python(subject, script, args)?;
    let import = ["-c", &format!("import {module}")];
    let there = Command::new(command.get_program()).args(import).output();
    if there.is_ok_and(|output| output.status.success()) {
        return Some(command);
    }
    skip(&format!(
        "no Python module {module}; IPCLAB_PYTHON may name one that has it"
    ));
    None
}

/// Runs `command` so that SIGTERM comes with its `which`th system call `call`, and is
/// handled as that call returns, unless it is held off; returns strace's lines of these
/// calls. `None`, with a line on the terminal, where there is no strace.
pub fn struck_at(call: &str, which: u32, command: &Command) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    if !have("strace") {
        return None;
    }
    let inject = format!("inject={call}:signal=SIGTERM:when={which}");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", &format!("trace={call}"), "-e", &inject]);
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        strace.env(name, value.expect("a variable that is set"));
    }
    let outcome = run(strace, Input::Nothing);
    let (status, said) = (outcome.status, outcome.stderr);
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}: {said}");
    Some(said)
}

/// Whether a program is on the path, and can do its work; of a missing one a line is printed.
pub fn have(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).exists());
    if !found {
        skip(&format!("no {program} on this machine"));
    }
    found
        && match program {
            "cc" => offers("bare", "c-compiler"),
            "strace" => offers("trace", "ptrace"),
            _ => true,
        }
}

/// Whether this machine has what the probe `name` of `ipclab doctor SECTION` tries; of what is
/// missing a line is printed. A test asks no other way where there is a probe.
pub fn offers(section: &str, name: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, serde_json::Value>> =
        Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = known.entry(section.to_owned()).or_insert_with(|| {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let mut doctor = Command::new(program());
        doctor.args(["doctor", section, "--json"]).env("IPCLAB_DIR", dir.path());
        let said = run(doctor, Input::Nothing).stdout;
        serde_json::from_slice(&said).expect("what doctor has found")
    });
    let all = whole["findings"].as_array().expect("a list");
    let one = all.iter().find(|one| one["name"] == name).expect("a probe");
    let there = one["mark"] != "missing";
    if !there {
        skip(&format!("{}: {}; {}", one["what"], one["found"], one["cure"]));
    }
    there
}

/// `unshare`, for a script that mounts what only it sees; with a line on the terminal where that
/// is not possible.
pub fn with_mounts(script: &str) -> Option<Command> {
    if !have("unshare") || !have("mount") || !offers("mmap", "mount") {
        return None;
    }
    let mut command = Command::new("unshare");
    let root = nix::unistd::geteuid().is_root();
    command.args([if root { "-m" } else { "-rm" }, "sh", "-ec", script]);
    Some(command)
}

/// Prints that a test does not run: cargo hides captured output, so it goes to the
/// terminal itself. With `IPCLAB_NO_SKIP` set, as in continuous integration, it fails, but for a
/// reason with the word in `IPCLAB_MAY_SKIP`.
pub fn skip(why: &str) {
    use std::io::Write;
    let may = std::env::var("IPCLAB_MAY_SKIP");
    let may = may.is_ok_and(|word| !word.is_empty() && why.contains(&word));
    assert!(
        may || std::env::var_os("IPCLAB_NO_SKIP").is_none(),
        "may not skip: {why}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED {test}: {why}\n");
    let stderr = std::fs::OpenOptions::new().append(true).open("/proc/self/fd/2");
    let _ = stderr.and_then(|mut stderr| stderr.write_all(line.as_bytes()));
}

/// A test for each clause of the contract; `$subject` is an expression that makes a fresh
/// [`Subject`]. A clause that cannot be asked of it stands after `except` with its reason,
/// and with the test that asks it in the chapter's own way, if there is one: cargo then
/// lists it as ignored, and gives that reason. A name that is no clause, or no test, does not
/// compile.
macro_rules! keeps_the_contract {
    ($($all:tt)+) => {
        mod the_contract {
            use super::*;
            crate::support::each_clause_but! { ($) each_clause $($all)+ }
        }
    };
}
pub(crate) use keeps_the_contract;

/// The same of the clauses for queues.
macro_rules! keeps_the_contract_of_queues {
    ($($all:tt)+) => {
        mod the_contract_of_queues {
            use super::*;
            crate::support::each_clause_but! { ($) each_clause_for_queues $($all)+ }
        }
    };
}
pub(crate) use keeps_the_contract_of_queues;

/// `$d` is a dollar sign, for the variable of the macro within; `$each` names the list.
macro_rules! each_clause_but {
    (
        ($d:tt) $each:ident $subject:expr
        $(, except { $($except:ident: $why:literal $(=> $test:ident)?),+ $(,)? })? $(,)?
    ) => {
        // Without its rule, a clause runs; a rule that is not used names no clause.
        #[deny(unused_macro_rules)]
        macro_rules! clause {
            $($(($except) => {
                crate::support::exempt! { $subject, $except, $why $(, $test)? }
            };)+)?
            ($d clause:ident) => {
                crate::support::keeps_the_clauses! { $subject; $d clause }
            };
        }
        crate::support::$each!(clause);
    };
}
pub(crate) use each_clause_but;

/// The test of a clause that is not asked of a subject.
macro_rules! exempt {
    ($subject:expr, $clause:ident, $why:literal) => {
        #[test]
        #[ignore = $why]
        fn $clause() {
            crate::support::holds(&$subject, crate::support::contract::$clause);
        }
    };
    ($subject:expr, $clause:ident, $why:literal, $test:ident) => {
        mod $clause {
            #[test]
            #[ignore = $why]
            fn $test() {
                super::super::$test();
            }
        }
    };
}
pub(crate) use exempt;

/// These clauses alone, for a role whose chapter keeps all of them elsewhere.
macro_rules! keeps_the_clauses {
    ($subject:expr; $($clause:ident),+ $(,)?) => {
        $(
            #[test]
            fn $clause() {
                crate::support::holds(&$subject, crate::support::contract::$clause);
            }
        )+
    };
}
pub(crate) use keeps_the_clauses;

/// Holds a subject to one clause.
pub fn holds(subject: &Subject, clause: contract::Clause) {
    if let Err(error) = clause(subject) {
        panic!("{}", wire::errors::line(&error));
    }
}
