//! One process of the bench of servers or of operations: started on one CPU, and why it ended.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use os::spawn;
use process::{Input, Output, RoleProcess};

/// How long a server may take to be there, a load to connect its clients, or an answer to
/// come after its window.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// How long the end of a server that has closed its connections may take. On a busy CPU
/// that is a while. The bench waits this long only if a server that answers wrong goes on.
pub(super) const DYING: Duration = Duration::from_secs(5);

/// Starts `command` on one CPU: pinned before it executes, so all of it runs there, and
/// all that it starts.
pub(super) fn start(
    name: &str,
    mut command: Command,
    input: Input,
    output: Output,
    cpu: usize,
) -> Result<RoleProcess> {
    command.process_group(0); // Ctrl-C comes to the bench alone, or to no process (nohup)
    spawn::pin(&mut command, &[cpu]);
    RoleProcess::start_with(name, command, input, output, None)
}

/// How a process ended that should not have, in one line.
pub(super) fn why_it_ended(role: RoleProcess) -> anyhow::Error {
    let name = role.name.clone();
    match role.wait(Instant::now() + DYING) {
        Err(error) => error,
        Ok(outcome) => {
            let said = outcome.stderr.lines().last().unwrap_or_default();
            let said = said.strip_prefix("ipclab: ").unwrap_or(said);
            match said {
                "" => anyhow::anyhow!("{name} ended by itself: {}", outcome.status),
                said => anyhow::anyhow!("{name}: {said}"),
            }
        }
    }
}
