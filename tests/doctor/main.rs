//! `ipclab doctor`: the right mark in each surrounding, and nothing left behind.

#[path = "../support/mod.rs"]
mod support;

mod clears_up;
mod named;
mod needs;
mod shown;
mod surroundings;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use support::*;

/// What one run found.
pub(crate) struct Found {
    pub(crate) whole: Value,
    pub(crate) status: Option<i32>,
    marks: BTreeMap<String, String>,
}

impl Found {
    /// The mark of the finding `name`.
    #[track_caller]
    pub(crate) fn mark(&self, name: &str) -> &str {
        self.marks.get(name).unwrap_or_else(|| panic!("no finding {name}"))
    }

    /// The finding `name`.
    pub(crate) fn finding(&self, name: &str) -> &Value {
        let all = self.whole["findings"].as_array().expect("a list");
        all.iter().find(|one| one["name"] == name).expect("a finding")
    }

    /// The findings that are not ok.
    pub(crate) fn not_ok(&self) -> Vec<&str> {
        let all = self.marks.iter().filter(|(_, mark)| *mark != "ok");
        all.map(|(name, _)| name.as_str()).collect()
    }
}

/// Runs `command`, which ends in `ipclab doctor --json …`.
#[track_caller]
pub(crate) fn found(command: Command) -> Found {
    let outcome = run(command, Input::Nothing);
    let whole: Value =
        serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&outcome.stdout);
            panic!("{error}: {said}; {}", outcome.stderr)
        });
    let all = whole["findings"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let marks = all.map(|one| (text(&one["name"]), text(&one["mark"]))).collect();
    Found { whole, status: outcome.status.code(), marks }
}

/// `ipclab doctor --json`, started by the words of `before`, in the subject's directory.
pub(crate) fn doctor_after(subject: &Subject, before: &[&str]) -> Command {
    doctor_of(&program(), subject, before)
}

/// The same of another copy of the program.
pub(crate) fn doctor_of(
    program: &std::path::Path,
    subject: &Subject,
    before: &[&str],
) -> Command {
    let mut words: Vec<_> = before.iter().map(std::ffi::OsString::from).collect();
    words.extend([program.as_os_str().into(), "doctor".into(), "--json".into()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(subject.dir());
    command.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
    command
}
