//! How `ipclab trace` shows what it saw: every call, in every shape, on any terminal.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod names;
mod picture;
mod record;
mod terminal;

use serde_json::Value;
use support::*;

/// `ipclab trace` with these arguments, in the subject's directory.
fn traced(subject: &Subject, args: &[&str]) -> Outcome {
    run(ipclab(subject, &[&["trace"], args].concat()), Input::Nothing)
}

/// The events of a run that must end well.
fn events(subject: &Subject, args: &[&str]) -> Vec<Value> {
    let outcome = traced(subject, &[&["--json"], args].concat());
    read(&outcome)
}

fn read(outcome: &Outcome) -> Vec<Value> {
    let text = std::str::from_utf8(&outcome.stdout).expect("UTF-8");
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    text.lines().map(parse).collect()
}

/// Builds a C program of this folder; its path, or `None`, said aloud, without a compiler.
fn built(subject: &Subject, source: &str) -> Option<std::path::PathBuf> {
    if !have("cc") {
        return None;
    }
    let dir =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trace_shown");
    let program = subject.dir().join(source.trim_end_matches(".c"));
    let mut compiler = std::process::Command::new("cc");
    compiler.arg("-o").arg(&program).arg(dir.join(source));
    let outcome = run(compiler, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    Some(program)
}

/// The machine's own python3, not a shell script that starts one.
fn python() -> Option<&'static str> {
    let there = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let found = there.into_iter().find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        skip("no python3 in /usr/bin");
    }
    found
}

/// Where the kernel's tracepoints are, mounted if need be.
struct Tracefs {
    dir: std::path::PathBuf,
    mounted: Option<tempfile::TempDir>,
}

impl Tracefs {
    /// `None`, said aloud, where it cannot be had.
    fn find() -> Option<Tracefs> {
        let has = |dir: &std::path::Path| dir.join("events/raw_syscalls").exists();
        for dir in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            if has(dir.as_ref()) {
                return Some(Tracefs { dir: dir.into(), mounted: None });
            }
        }
        let at = tempfile::tempdir().expect("a directory");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tracefs", "tracefs"]).arg(at.path());
        let done = mount.output().is_ok_and(|output| output.status.success());
        if done && has(at.path()) {
            return Some(Tracefs { dir: at.path().into(), mounted: Some(at) });
        }
        skip("tracefs cannot be mounted here");
        None
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted {
            let _ = std::process::Command::new("umount").arg(at.path()).status();
        }
    }
}
