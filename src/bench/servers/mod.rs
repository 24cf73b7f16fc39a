//! Requests per second: the chapters' own servers as real processes, under a load of
//! their own that checks every answer.
//!
//! A client of the closed loop asks again once it is answered: that shows the most that a
//! server can do. In the open loop requests come due at a fixed rate, as those of independent
//! clients do, and each is timed from when it was due: that shows how long such clients wait.

use std::path::Path;

use anyhow::{Context, Result};

use self::kind::ServerProgram;
use self::plan::{Effort, groups};
use self::session::ServerBench;
use super::model::{Placement, Row};
use super::placement::Awake;
use super::settings::Settings;
use wire::say::count;

pub mod kind;
pub mod load;
mod measure;
pub mod peers;
pub mod plan;
pub mod session;
pub mod times;

/// How many groups of servers there are to measure.
pub(super) fn steps(settings: &Settings<'_>) -> usize {
    groups(settings.quick, settings.chapters).len()
}

/// Measures the servers; `each` is called with each row, and `progress` with what comes next.
///
/// # Errors
/// When the bench itself cannot go on. What goes wrong with one server stands in its row.
/// A signal that ends the bench is pending again when this returns.
pub fn run(
    settings: &Settings<'_>,
    each: &mut dyn FnMut(Row),
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let program = std::env::current_exe().context("readlink /proc/self/exe")?;
    run_with(&program, settings, each, progress)
}

/// As [`run`], where `program` is the `ipclab` that plays servers and loads.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    program: &Path,
    settings: &Settings<'_>,
    each: &mut dyn FnMut(Row),
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut stage = ServerBench::new(program)?;
    let programs = if settings.peers {
        &ServerProgram::ALL[..]
    } else {
        &ServerProgram::ALL[..1]
    };
    let effort = Effort::of(settings.quick);
    for (group, placement) in groups(settings.quick, settings.chapters) {
        let Some(cpus) = stage.cpus.of(placement) else { continue };
        progress(&what(&group, placement));
        let awake = match placement {
            Placement::Same => None,
            _ => Some(Awake::keep(cpus)?),
        };
        let done =
            measure::group(&mut stage, (&group, placement), programs, &effort, each);
        drop(awake);
        if done.is_err() {
            stage.give_back()?;
        }
        done?;
    }
    Ok(())
}

/// `tcp: 64 clients, same`
fn what(group: &plan::Group, placement: Placement) -> String {
    let clients = match (group.busy, group.idle) {
        (busy, 0) => count(busy as u64, "client"),
        (busy, idle) => format!("{busy} client among {idle} idle"),
    };
    format!("{}: {clients}, {}", group.kinds[0].chapter(), placement.text())
}
