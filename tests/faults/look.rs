//! What /proc and a role's end show.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use os::process_identity::state;

use crate::scene::PATIENCE;

/// Waits until the process sleeps, or has ended, or for something else.
pub(crate) fn settled(pid: Pid, until: Instant, or: impl Fn() -> bool) {
    let mut looks = 0;
    while Instant::now() < until && looks < 2 && !or() {
        match state(pid.as_raw() as u32) {
            Some('S') => looks += 1,
            Some('Z' | 'X') | None => return,
            _ => looks = 0,
        }
        nap();
    }
}

/// Between two looks at /proc.
pub(crate) fn nap() {
    std::thread::sleep(Duration::from_millis(1));
}

/// In which call a process sleeps.
pub(crate) fn where_it_is(pid: Pid) -> String {
    let read = |what| {
        std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default()
    };
    let call = read("syscall");
    let number = call.split_whitespace().next().and_then(|word| word.parse().ok());
    let name =
        number.and_then(syscalls::Sysno::new).map_or("?", |number| number.name());
    format!(
        "it still ran after {PATIENCE:?}: {} in {name}",
        state(pid.as_raw() as u32).unwrap_or('?')
    )
}

/// Whether a status is one that ipclab documents, or this signal.
pub(crate) fn documented(status: ExitStatus, signals: &[Signal]) -> bool {
    let by = |signal: &Signal| status.signal() == Some(*signal as i32);
    matches!(status.code(), Some(0 | 1 | 2 | 124)) || signals.iter().any(by)
}

/// Wants one line of error where a role failed, and no panic.
pub(crate) fn clear(
    name: &str,
    status: ExitStatus,
    stderr: &str,
) -> Result<(), String> {
    let lines = stderr.lines().filter(|line| line.starts_with("ipclab: ")).count();
    let wanted = usize::from(status.code().is_some_and(|code| code != 0));
    if stderr.contains("panicked") || stderr.contains("memory allocation") {
        return Err(format!("{name}: {status}: {}", stderr.trim_end()));
    }
    match lines == wanted || status.code() == Some(0) || status.code().is_none() {
        true => Ok(()),
        false => Err(format!(
            "{name}: {status}: {lines} lines of error: {}",
            stderr.trim_end()
        )),
    }
}

/// All processes that still have this directory as theirs.
pub(crate) fn processes_left(dir: &Path) -> Vec<String> {
    let wanted = format!("IPCLAB_DIR={}", dir.display());
    let of = |entry: std::fs::DirEntry| -> Option<String> {
        let path: PathBuf = entry.path();
        let name = entry.file_name().into_string().ok()?;
        name.parse::<i32>().ok()?;
        let environ = std::fs::read(path.join("environ")).ok()?;
        let ours =
            environ.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes());
        ours.then_some(name)
    };
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(of)
        .collect()
}

/// Names in /dev/shm that sem_open(3) has made, and not yet given the name that was asked
/// for: `sem.` and six letters. Nothing in them shows which process has made them.
pub(crate) fn unnamed_semaphores() -> BTreeSet<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let unnamed = |name: &String| {
        let letters = name.strip_prefix("sem.").unwrap_or_default();
        letters.len() == 6
            && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
    };
    names.filter(unnamed).collect()
}
