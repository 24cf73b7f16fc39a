//! Requests per second: the chapters' own servers as real processes, under a load of
//! their own that checks every answer.
//!
//! A client of the closed loop asks again once it is answered: that tells the most that a
//! server can do. In the open loop requests come due at a fixed rate, as those of strangers
//! do, and each is timed from when it was due: that tells how long strangers wait.

use std::path::Path;

use anyhow::{Context, Result};

use self::kind::Program;
use self::plan::{Effort, groups};
use self::session::Stage;
use super::model::{Placement, Row};
use super::placement::Awake;

pub mod kind;
pub mod lines;
pub mod load;
mod measure;
pub mod peers;
pub mod plan;
pub mod session;
pub mod times;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// A short run: fewer servers, shorter windows.
    pub quick: bool,
    /// Whether servers in C and in Python take turns with ours.
    pub peers: bool,
    /// Only the servers of these chapters; of all, if there are none.
    pub chapters: &'a [String],
}

impl Settings<'_> {
    /// How many groups of servers there are to measure.
    pub fn steps(&self) -> usize {
        groups(self.quick, self.chapters).len()
    }
}

/// The processes of this bench that are not servers. Not for people.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// Asks a server, and checks its answers
    Load(load::Options),
    /// Times what it costs to open, connect, create and remove
    Operations(super::operations::Options),
}

impl Part {
    /// Plays the part.
    ///
    /// # Errors
    /// What keeps it from its work.
    pub fn play(&self) -> Result<()> {
        match self {
            Part::Load(options) => load::load(options),
            Part::Operations(options) => super::operations::part(options),
        }
    }
}

/// Measures the servers; `each` is told each row, and `progress` what comes next.
///
/// # Errors
/// When the bench itself cannot go on. What goes wrong with one server is told by its row.
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
    let mut stage = Stage::new(program)?;
    let programs =
        if settings.peers { &Program::ALL[..] } else { &Program::ALL[..1] };
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
        (1, 0) => "1 client".to_owned(),
        (busy, 0) => format!("{busy} clients"),
        (busy, idle) => format!("{busy} client among {idle} idle"),
    };
    format!("{}: {clients}, {}", group.kinds[0].chapter(), placement.text())
}
