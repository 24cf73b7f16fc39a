//! A scene of the map's tests: a Python program that makes processes and objects, and what
//! `ipclab map --json` shows of them.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::process::Command;

use serde_json::Value;
use wire::visible;

use crate::support::{
    Input, Outcome, Output, RoleProcess, deadline, offers, program, run,
};

/// What each scene may use. A child ends with its parent, which is killed with the scene.
const PRELUDE: &str = r#"
import ctypes, ctypes.util, fcntl, mmap, os, pty, select, socket, struct, sys, tempfile, time
libc = ctypes.CDLL(None, use_errno=True)
# What whoever started the tests has left open would join all scenes.
os.closerange(3, 1024)
here = os.getcwd()
children = []
def child(work):
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, 9)
        try:
            work()
        finally:
            os._exit(0)
    children.append(pid)
    return pid
def forever():
    while True: time.sleep(1000)
def ready(*names):
    print(os.getpid(), *children, flush=True)
    print("ready", *names, flush=True)
def close_all_but(*kept):
    for fd in range(3, 64):
        if fd not in kept:
            try: os.close(fd)
            except OSError: pass
"#;

/// A running scene.
pub(crate) struct Scene {
    _role: RoleProcess,
    /// Where it runs; removed after it.
    _dir: tempfile::TempDir,
    /// The pid of the program, and those of its children.
    pub(crate) pids: Vec<i64>,
    /// What it has printed after `ready`.
    pub(crate) names: Vec<String>,
}

/// Starts the scene; `None`, with a line on the terminal, where there is no Python.
pub(crate) fn scene(script: &str) -> Option<Scene> {
    scene_by(&[], script)
}

/// The same by other words before the interpreter's, as `unshare -m`.
pub(crate) fn scene_by(before: &[&str], script: &str) -> Option<Scene> {
    if !offers("bare", "python") {
        return None;
    }
    let python = std::env::var_os("IPCLAB_PYTHON").unwrap_or("python3".into());
    let mut command = match before {
        [] => Command::new(&python),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&python);
            command
        }
    };
    command.arg("-c").arg(format!("{PRELUDE}{script}"));
    let dir = tempfile::tempdir().unwrap();
    command.current_dir(dir.path());
    let (said, stdout) = std::io::pipe().unwrap();
    let mut stderr = tempfile::tempfile().unwrap();
    let role = RoleProcess::start_with(
        "scene",
        command,
        Input::Nothing,
        Output::To(stdout.into()),
        Some(stderr.try_clone().unwrap().into()),
    )
    .unwrap();
    // It goes on until it is killed.
    let lines: Vec<String> =
        BufReader::new(said).lines().take(2).map(Result::unwrap).collect();
    if lines.len() < 2 {
        let mut text = String::new();
        stderr.seek(SeekFrom::Start(0)).unwrap();
        stderr.read_to_string(&mut text).unwrap();
        panic!("the scene was never ready: {text}");
    }
    let mut lines = lines.iter().map(String::as_str);
    let words = |line: Option<&str>| -> Vec<String> {
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let pids = words(lines.next()).iter().map(|pid| pid.parse().unwrap()).collect();
    let names = words(lines.next()).split_off(1);
    Some(Scene { _role: role, _dir: dir, pids, names })
}

impl Scene {
    /// The pid of a child.
    pub(crate) fn child(&self, index: usize) -> i64 {
        self.pids[index + 1]
    }

    /// What the map shows of the scene's processes, once it is as `is_so` wants.
    #[track_caller]
    pub(crate) fn map(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let pids: Vec<String> = self.pids.iter().map(i64::to_string).collect();
        let words: Vec<&str> = pids.iter().map(String::as_str).collect();
        until_map(&words, what, is_so)
    }

    /// The text of the map.
    pub(crate) fn text(&self) -> String {
        let pids: Vec<String> = self.pids.iter().map(i64::to_string).collect();
        let words: Vec<&str> = pids.iter().map(String::as_str).collect();
        let outcome = ipclab_map(&words);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        String::from_utf8(outcome.stdout).unwrap()
    }
}

/// Runs `ipclab map` with these words to its end.
pub(crate) fn ipclab_map(words: &[&str]) -> Outcome {
    let mut command = Command::new(program());
    command.arg("map").args(words);
    run(command, Input::Nothing)
}

/// What `ipclab map --json` shows with these words, once it is as `is_so` wants.
#[track_caller]
pub(crate) fn until_map(
    words: &[&str],
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let end = deadline();
    let mut words = words.to_vec();
    words.push("--json");
    loop {
        let outcome = ipclab_map(&words);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let map: Value = serde_json::from_slice(&outcome.stdout).unwrap();
        if is_so(&map) {
            return map;
        }
        assert!(std::time::Instant::now() < end, "never: {what}: {map:#}");
    }
}

/// The objects of a kind.
pub(crate) fn objects<'a>(map: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = map["objects"].as_array().unwrap();
    all.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one object of a kind whose name ends so; of a pipe, the one that the process of `pid`
/// has as descriptor `fd`.
#[track_caller]
pub(crate) fn named<'a>(map: &'a Value, kind: &str, end: &str) -> &'a Value {
    let has = |object: &&Value| {
        object["name"].as_str().is_some_and(|name| name.ends_with(end))
    };
    let found: Vec<_> = objects(map, kind).into_iter().filter(has).collect();
    assert_eq!(found.len(), 1, "{kind} {end}: {map:#}");
    found[0]
}

/// The object that the process has as this descriptor.
#[track_caller]
pub(crate) fn behind(map: &Value, pid: i64, fd: i64) -> &Value {
    let all = map["objects"].as_array().unwrap();
    let found = all.iter().find(|object| {
        holders(object).iter().any(|it| it["pid"] == pid && it["fd"] == fd)
    });
    found.unwrap_or_else(|| panic!("descriptor {fd} of {pid}: {map:#}"))
}

/// The holders of an object.
pub(crate) fn holders(object: &Value) -> &Vec<Value> {
    object["holders"].as_array().unwrap()
}

/// `pid fd mode` of each holder, sorted: what is compared.
pub(crate) fn held(object: &Value) -> Vec<(i64, Option<i64>, &'static str)> {
    let mut all: Vec<_> = holders(object)
        .iter()
        .map(|it| {
            let mode = match (it["read"] == true, it["write"] == true) {
                (true, true) => "rw",
                (false, true) => "w",
                _ => "r",
            };
            (it["pid"].as_i64().unwrap(), it["fd"].as_i64(), mode)
        })
        .collect();
    all.sort_unstable();
    all
}

/// Whether the process sleeps in this call, as far as the map shows.
pub(crate) fn sleeps(map: &Value, pid: i64, call: &str) -> bool {
    let all = map["processes"].as_array().unwrap();
    all.iter().filter(|process| process["pid"] == pid).any(|process| {
        let asleep = process["asleep"].as_array().unwrap();
        asleep.iter().any(|sleep| {
            sleep["call"].as_str().is_some_and(|name| name.contains(call))
        })
    })
}

/// The sentences about this.
pub(crate) fn remarks<'a>(map: &'a Value, about: &str) -> Vec<&'a str> {
    let all = map["remarks"].as_array().unwrap();
    let those = all.iter().filter(|remark| remark["about"] == about);
    those.map(|remark| remark["text"].as_str().unwrap()).collect()
}

/// The cycles: the verdict, and the pids.
pub(crate) fn cycles(map: &Value) -> Vec<(String, Vec<i64>)> {
    let all = map["cycles"].as_array().unwrap();
    let one = |cycle: &Value| {
        let steps = cycle["steps"].as_array().unwrap();
        let mut pids: Vec<_> =
            steps.iter().map(|step| step["pid"].as_i64().unwrap()).collect();
        pids.sort_unstable();
        (cycle["verdict"].as_str().unwrap().to_owned(), pids)
    };
    all.iter().map(one).collect()
}

/// What another program prints; `None`, without a line, where it is missing.
pub(crate) fn other(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    Some(visible::text(&output.stdout))
}

/// System V objects outlive their processes.
pub(crate) fn remove(option: &str, id: &str) {
    let done = std::process::Command::new("ipcrm").args([option, id]).status();
    assert!(done.unwrap().success());
}
