//! The map of processes that do not end: who holds what, and who sleeps on it.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use process::{Input, RoleProcess};

/// How long the map may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What `ipclab map` shows of these processes; nothing, if it fails: whoever asks has a failure
/// of their own to report.
pub fn map_of(processes: &[Pid]) -> String {
    let map = || -> anyhow::Result<String> {
        let mut command = Command::new(std::env::current_exe()?);
        let own = std::process::id().to_string();
        command.args(["map", "--printed-to", &own]);
        command.args(processes.iter().map(Pid::to_string));
        let process = RoleProcess::start("map", command, Input::Nothing)?;
        let outcome = process.wait(Instant::now() + DEADLINE)?;
        Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
    };
    map().unwrap_or_default()
}
