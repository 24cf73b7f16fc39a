//! Each experiment, run for real: its observation, its answer, and nothing left behind.
//! One module a chapter; what all rows and the command must keep is here.

#[path = "../support/pages.rs"]
mod pages;
#[path = "../support/mod.rs"]
mod support;

mod command;
mod dbus;
mod eventfd;
mod fdpass;
mod fifo;
mod file;
mod mmap;
mod mpi;
mod multiplex;
mod mutex;
mod pipe;
mod posixmq;
mod procvm;
mod rows;
mod semaphore;
mod shape;
mod shm;
mod signal;
mod spawn;
mod sysvmq;
mod tcp;
mod udp;
mod unix;

use serde_json::Value;
use support::{Input, run};

/// Runs `CHAPTER/NAME`, checks that the kernel gave the answer that the book expects and
/// that the run's directory is gone, and returns what was seen, by name.
///
/// `None` where it cannot be run, which is said aloud.
pub(crate) fn seen(id: &str) -> Option<Value> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut command = std::process::Command::new(support::program());
    command
        .args(["experiment", id, "--show", "--json"])
        .env("TMPDIR", scratch.path());
    let outcome = run(command, Input::Nothing);
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let observed: Value = serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{error}: {printed:?}: {}", outcome.stderr));
    let left: Vec<_> = std::fs::read_dir(scratch.path()).expect("readdir").collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    if let Some(needs) = observed["needs"].as_str() {
        support::skip(&format!("{id} needs {needs}"));
        return None;
    }
    assert_eq!(outcome.stderr, "", "{printed}");
    assert_eq!(observed["answer"], observed["expected"], "{observed:#}");
    Some(observed["saw"].clone())
}
