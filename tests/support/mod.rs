//! What every chapter's tests share: the built program, and the contract's clauses.
#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub use ipclab::lab::contract::{self, Subject};
pub use ipclab::process::{Input, Outcome, Output, Role};

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ipclab"))
}

/// The chapter `name`, in a runtime directory of its own.
pub fn subject(name: &str) -> Subject {
    let row = ipclab::chapters::find(name).expect("a chapter of the table");
    Subject::new(&program(), row).expect("a scratch directory")
}

/// When a test has failed.
pub fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
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
    Role::start(&name, command, input)
        .and_then(|role| role.wait(deadline()))
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// Starts the chapter's receiver as the user `nobody`, who has no capabilities.
pub fn receiver_as_nobody(subject: &Subject, args: &[&str]) -> Role {
    use std::os::fd::AsRawFd;
    use std::os::unix::{fs::chown, process::CommandExt};
    const NOBODY: u32 = 65_534;
    // The program may lie where nobody may not go, but what is open may be executed.
    let opened = std::fs::File::open(program()).expect("the program");
    let mut command = Command::new(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    command.args(&subject.receiver[1..3]).args(args);
    command.env("IPCLAB_DIR", subject.dir()).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        chown(subject.dir(), Some(NOBODY), Some(NOBODY)).expect("chown");
        command.uid(NOBODY).gid(NOBODY);
    }
    Role::start("receiver", command, Input::Nothing).expect("the receiver")
}

/// The machine's python3 with a script from `tests/peers`, or `None`, said aloud.
pub fn python(subject: &Subject, script: &str, args: &[&str]) -> Option<Command> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    assert!(path.exists(), "no such script: {}", path.display());
    // IPCLAB_PYTHON may name the one of a virtual environment, with posix_ipc in it.
    let interpreter = std::env::var_os("IPCLAB_PYTHON").unwrap_or("python3".into());
    let there = Command::new(&interpreter).arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        skip("no python3 on this machine");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(path).args(args).env("IPCLAB_DIR", subject.dir());
    command.current_dir(subject.dir());
    Some(command)
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

/// Whether a program is on the path; a missing one is said aloud.
pub fn have(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).exists());
    if !found {
        skip(&format!("no {program} on this machine"));
    }
    found
}

/// Says aloud that a test does not run: cargo hides captured output, so it goes to the
/// terminal itself. With `IPCLAB_NO_SKIP` set, as in continuous integration, it fails.
pub fn skip(why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("IPCLAB_NO_SKIP").is_none(), "may not skip: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED {test}: {why}\n");
    let stderr = std::fs::OpenOptions::new().append(true).open("/proc/self/fd/2");
    let _ = stderr.and_then(|mut stderr| stderr.write_all(line.as_bytes()));
}

/// One test a clause of the contract; `$subject` is an expression that makes a fresh
/// [`Subject`].
macro_rules! keeps_the_contract {
    ($subject:expr; $($clause:ident),+ $(,)?) => {
        mod the_contract {
            use super::*;
            $(
                #[test]
                fn $clause() {
                    let subject = $subject;
                    if let Err(error) = crate::support::contract::$clause(&subject) {
                        panic!("{}", ipclab::errors::line(&error));
                    }
                }
            )+
        }
    };
}
pub(crate) use keeps_the_contract;
