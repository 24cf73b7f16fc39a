//! The kernel's own record of the same run: the tracepoints raw_syscalls, by ftrace.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A call: its name, its arguments, its result.
type Call = (String, Vec<u64>, i64);

/// An instance of ftrace that is ours, and gone with us.
struct Instance(PathBuf);

impl Instance {
    fn new(tracefs: &Tracefs, name: &str) -> Instance {
        let dir = tracefs
            .dir
            .join(format!("instances/ipclab-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("an instance of ftrace");
        let instance = Instance(dir);
        instance.set("buffer_size_kb", "16384");
        instance.set("options/event-fork", "1");
        instance
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value)
            .unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("events/raw_syscalls/enable"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

/// Each thread's calls, from the first execve that succeeded on, or from its birth.
fn recorded(text: &str, names: &BTreeMap<u64, String>) -> BTreeMap<i64, Vec<Call>> {
    let mut threads: BTreeMap<i64, Vec<Call>> = BTreeMap::new();
    let mut open: BTreeMap<i64, (u64, Vec<u64>)> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // `   name-123 [000] ..... 1.5: sys_enter: NR 0 (3, 7ff0, 10, 0, 0, 0)`
        let Some((head, what)) =
            line.rsplit_once("sys_").filter(|(h, _)| h.ends_with(": "))
        else {
            continue;
        };
        let tid = head.split(" [").next().and_then(|task| task.rsplit('-').next());
        let tid: i64 =
            tid.and_then(|tid| tid.trim().parse().ok()).expect("a thread");
        if let Some(rest) = what.strip_prefix("enter: NR ") {
            let (number, args) = rest.split_once(" (").unwrap();
            let args = args.trim_end_matches(')').split(", ");
            let args =
                args.map(|arg| u64::from_str_radix(arg, 16).unwrap()).collect();
            open.insert(tid, (number.parse().unwrap(), args));
        } else if let Some(rest) = what.strip_prefix("exit: NR ") {
            let (_, result) = rest.split_once(" = ").unwrap();
            let Some((number, args)) = open.remove(&tid) else { continue };
            let name =
                names.get(&number).cloned().unwrap_or_else(|| number.to_string());
            let calls = threads.entry(tid).or_default();
            calls.push((name, args, result.parse().unwrap()));
        }
    }
    threads
}

/// The number that an argument begins with, if it is one.
fn number(text: &str) -> Option<u64> {
    let text = text.split('<').next()?;
    match (text, text.strip_prefix("0x")) {
        ("NULL", _) => Some(0),
        (_, Some(hex)) => u64::from_str_radix(hex, 16).ok(),
        // A mode.
        (octal, _) if octal.len() > 1 && octal.starts_with('0') => {
            u64::from_str_radix(octal, 8).ok()
        }
        _ => {
            text.parse::<i64>().ok().map(|n| n as u64).or_else(|| text.parse().ok())
        }
    }
}

fn agree(event: &Value, (name, args, result): &Call) -> bool {
    let ours = event["args"].as_array().unwrap();
    let same_args = ours.iter().zip(args).all(|(ours, raw)| {
        let ours = number(ours.as_str().unwrap());
        ours.is_none_or(|ours| ours == *raw || ours as u32 == *raw as u32)
    });
    let same_result = match (&event["error"], &event["interrupted"]) {
        (Value::String(error), _) => {
            format!("{:?}", nix::errno::Errno::from_raw(-*result as i32)) == *error
        }
        (_, Value::Bool(true)) => (-516..=-512).contains(result),
        _ => event["result"].as_i64() == Some(*result),
    };
    event["call"] == *name && same_args && same_result
}

#[test]
fn each_call_its_arguments_and_its_result_are_those_that_the_kernel_recorded() {
    if !nix::unistd::geteuid().is_root() {
        skip("only root reads the kernel's tracepoints");
        return;
    }
    let Some(tracefs) = Tracefs::find() else { return };
    let Some(python) = python() else { return };
    // The kernel records numbers: each call's name is said by one that refuses all.
    let names: BTreeMap<u64, String> = (0..480)
        .filter_map(|number| {
            Some((number, syscalls::Sysno::new(number as usize)?.name().to_owned()))
        })
        .collect();
    let threads = "import threading, subprocess, socket\n\
                   a, b = socket.socketpair()\n\
                   t = threading.Thread(target=lambda: b.sendall(b.recv(9)))\n\
                   t.start(); a.sendall(b'hello'); a.recv(9); t.join()\n\
                   subprocess.run(['sh', '-c', 'kill -STOP $$ & echo hi; wait; sleep 0.01'], stdout=subprocess.DEVNULL)";
    let threads = threads.replace("kill -STOP $$ & ", "");
    let programs: [&[&str]; 4] = [
        &["sh", "-c", "seq 300 | sort -n | tail -1 | { read x; test $x = 300; }"],
        &[python, "-c", &threads],
        &["sh", "-c", "mkfifo f; echo hi > f & cat f > /dev/null; wait; rm f"],
        &["sh", "-c", "trap : USR1; kill -USR1 $$; ls /proc/self > /dev/null"],
    ];
    for (index, program) in programs.iter().enumerate() {
        let subject = subject("fifo");
        let instance = Instance::new(&tracefs, &index.to_string());
        // The shell becomes ipclab, whose own calls are left out.
        let line = "cd \"$0\"; echo $$ > set_event_pid; \
                    echo \"common_pid != $$\" > events/raw_syscalls/filter; \
                    echo 1 > events/raw_syscalls/enable; cd \"$1\"; shift; exec \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", line]).arg(&instance.0).arg(subject.dir());
        command.arg(support::program()).args(["trace", "--json", "--all", "--"]);
        command.args(*program);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{program:?}: {}", outcome.stderr);
        instance.set("events/raw_syscalls/enable", "0");
        let text = fs::read(instance.0.join("trace")).unwrap();
        let text = String::from_utf8_lossy(&text);
        let kept =
            text.lines().find_map(|line| line.split("entries-written: ").nth(1));
        let kept = kept.and_then(|line| line.split(' ').next()).unwrap();
        let (there, written) = kept.split_once('/').unwrap();
        assert_eq!(there, written, "the kernel's buffer was too small");
        let recorded = recorded(&text, &names);
        let mut ours: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for event in read(&outcome) {
            if event["event"] == "call"
                && (event["result"].is_i64() || event["interrupted"] == true)
            {
                ours.entry(event["tid"].as_i64().unwrap()).or_default().push(event);
            }
        }
        let mut compared = 0;
        for (tid, ours) in &ours {
            let mut theirs = recorded.get(tid).cloned().unwrap_or_default();
            // Before its first program there is our own code, between fork and exec.
            if ours[0]["call"] == "execve" {
                let first =
                    theirs.iter().position(|call| call.0 == "execve" && call.2 == 0);
                theirs.drain(..first.unwrap_or(0));
            }
            for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert!(
                    agree(ours, theirs),
                    "{program:?} {tid} {index}: {ours}\n{theirs:x?}"
                );
            }
            assert_eq!(
                ours.len(),
                theirs.len(),
                "{program:?} {tid}: {:?}",
                ours.last()
            );
            compared += ours.len();
        }
        assert!(compared > 100, "{program:?}: {compared}");
    }
}
