//! The tracer: what it shows is what strace shows, and it leaves the programs as they are.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use serde_json::Value;
use support::*;
use wire::chapter::Row;
use wire::meet::Meets;

fn traced(args: &[&str]) -> Outcome {
    let subject = subject("fifo");
    run(ipclab(&subject, &[&["trace"], args].concat()), Input::Nothing)
}

/// The events of a run, and how it ended.
fn events(args: &[&str]) -> (Vec<Value>, Outcome) {
    let outcome = traced(&[&["--json"], args].concat());
    let text = String::from_utf8(outcome.stdout.clone()).unwrap();
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    (text.lines().map(parse).collect(), outcome)
}

// ------------------------------------------------------------------ the same as strace

/// A call without what differs from run to run.
type Call = String;
/// What each role's threads did, in the order in which they began.
type Histories = BTreeMap<String, Vec<Call>>;

/// Calls whose number depends on who was faster.
fn is_retried(name: &str) -> bool {
    const WAITS: [&str; 8] = [
        "futex",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "restart_syscall",
    ];
    WAITS.contains(&name)
}

/// One call in a form that both are brought to: name, size, result. `None` leaves it out:
/// a read of /proc has the machine's own length.
fn normal(name: &str, args: &[String], result: &str) -> Option<Call> {
    let first = args.first().map_or("", String::as_str);
    // When the heap grows depends on where it begins, and that is random.
    if is_retried(name) || name == "brk" || first.contains("</proc/") {
        return None;
    }
    const SIZED: [&str; 12] = [
        "read",
        "write",
        "pread64",
        "pwrite64",
        "sendto",
        "recvfrom",
        "mq_timedsend",
        "mq_timedreceive",
        "msgsnd",
        "msgrcv",
        "readv",
        "writev",
    ];
    let sized = SIZED.contains(&name);
    let size = args.get(2).filter(|_| sized).map_or("", String::as_str);
    let result = match name {
        "mmap" | "mremap" | "shmat" if !result.starts_with('E') => "ADDRESS",
        "getpid" | "gettid" | "getppid" | "set_tid_address" | "fork" | "vfork"
        | "clone" | "clone3" | "wait4" => "PID",
        "msgget" | "semget" | "shmget" if !result.starts_with('E') => "ID",
        // It gives back the interrupted call's; and the other is printed in octal.
        "rt_sigreturn" | "umask" => "",
        _ => result,
    };
    Some(format!("{name}({size}) = {result}"))
}

/// What `ipclab trace` says.
fn ours(row: &Row) -> Histories {
    let (events, outcome) = events(&[row.name, "--all"]);
    assert!(outcome.status.success(), "{}: {}", row.name, outcome.stderr);
    let mut order: Vec<(String, i64, String)> = Vec::new();
    let mut histories = Histories::new();
    let mut roles: Vec<i64> = Vec::new();
    for event in &events {
        if event["event"] != "call" {
            continue;
        }
        let (pid, tid) =
            (event["pid"].as_i64().unwrap(), event["tid"].as_i64().unwrap());
        if !roles.contains(&pid) {
            roles.push(pid);
        }
        let role = roles.iter().position(|role| *role == pid).unwrap();
        let known = order.iter().find(|(_, t, _)| *t == tid);
        let key = known.map(|(_, _, key)| key.clone()).unwrap_or_else(|| {
            let threads =
                order.iter().filter(|(p, ..)| *p == pid.to_string()).count();
            let key = format!("role {role} thread {threads}");
            order.push((pid.to_string(), tid, key.clone()));
            key
        });
        let args: Vec<String> = event["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap().to_owned())
            .collect();
        let result = match (&event["error"], &event["result"]) {
            (Value::String(name), _) => name.clone(),
            (_, Value::Number(value)) => value.to_string(),
            _ if event["interrupted"] == true => "RESTART".to_owned(),
            _ => "?".to_owned(),
        };
        let name = event["call"].as_str().unwrap();
        histories.entry(key).or_default().extend(normal(name, &args, &result));
    }
    histories
}

/// What strace says of the same script, stepped in the same way.
fn straces(row: &Row) -> Histories {
    // A directory whose name is as long as that of the tracer's: it is written down.
    let dir = tempfile::Builder::new().prefix("ipclab-").tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let mut link: Option<OwnedFd> = None;
    let mut running = Vec::new();
    for (index, part) in row.script.parts.iter().enumerate() {
        let log = logs.path().join(format!("role-{index}"));
        let mut command = Command::new("strace");
        command.args(["-ff", "-qq", "-y", "-s", "4", "-o"]).arg(&log).arg(program());
        command.args([row.name, part.role]).args(part.args).arg("-q");
        command.env("IPCLAB_DIR", dir.path());
        let input = link.take().map_or(Input::Nothing, Input::From);
        let mut output = Output::Kept;
        if row.meets == Meets::Nowhere && index + 1 < row.script.parts.len() {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
            (link, output) = (Some(reading), Output::To(writing));
        }
        let (ready, low) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let says_so = fcntl_dupfd_cloexec(&low, 100).unwrap();
        drop(low);
        if row.meets != Meets::Nowhere {
            command.args(["--ready-fd", &says_so.as_raw_fd().to_string()]);
            fcntl_setfd(&says_so, FdFlags::empty()).unwrap();
        }
        running.push(
            RoleProcess::start_with(part.role, command, input, output, None)
                .unwrap(),
        );
        drop(says_so);
        poll(&mut [PollFd::new(&ready, PollFlags::IN)], None).unwrap();
    }
    for role in running {
        let outcome = role.wait(deadline()).unwrap();
        assert!(outcome.status.success(), "{}", outcome.stderr);
    }
    let mut histories = Histories::new();
    let mut roles = 0;
    for index in 0..row.script.parts.len() {
        let start = format!("role-{index}.");
        let mut logs: Vec<(u32, Vec<u8>)> = fs::read_dir(logs.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter_map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                let tid = name.strip_prefix(&start)?.parse().unwrap();
                Some((tid, fs::read(entry.path()).unwrap()))
            })
            .collect();
        logs.sort_unstable();
        // Each process's first thread, and the others in their order.
        let mut processes: Vec<Vec<u32>> = Vec::new();
        let mut started: Vec<(u32, u32)> = Vec::new();
        for (tid, log) in logs {
            let log = String::from_utf8_lossy(&log);
            let by = started.iter().find(|(thread, _)| *thread == tid);
            let first = by.map_or(tid, |(_, first)| *first);
            match processes.iter_mut().find(|process| process[0] == first) {
                Some(process) => process.push(tid),
                None => processes.push(vec![tid]),
            }
            let role = processes.iter().position(|process| process[0] == first);
            let (role, thread) = (role.unwrap(), processes[role.unwrap()].len() - 1);
            let threads = log.lines().filter(|line| line.contains("CLONE_THREAD"));
            let threads =
                threads.filter_map(|line| line.rsplit(" = ").next()?.parse().ok());
            started.extend(threads.map(|thread| (thread, first)));
            let calls = log.lines().filter_map(strace_line).collect();
            histories
                .insert(format!("role {} thread {thread}", roles + role), calls);
        }
        roles += processes.len();
    }
    histories
}

/// `name(args) = result (text)`.
fn strace_line(line: &str) -> Option<Call> {
    if line.starts_with("---") || line.starts_with("+++") {
        return None;
    }
    let (name, rest) = line.split_once('(').expect("a call");
    let (args, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
    let args = split_arguments(args.trim_end().trim_end_matches(')'));
    let result = match result.strip_prefix("-1 ") {
        Some(error) => error.split(' ').next().unwrap().to_owned(),
        None if result.starts_with("? ERESTART") => "RESTART".to_owned(),
        None => {
            let number = result.split([' ', '<']).next().unwrap();
            match number.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).unwrap().to_string(),
                None => number.to_owned(),
            }
        }
    };
    normal(name, &args, &result)
}

/// The arguments between commas that stand in no bracket and no text.
fn split_arguments(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut escaped) =
        (vec![String::new()], 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        let last = parts.last_mut().unwrap();
        if !(last.is_empty() && c == ' ') {
            last.push(c);
        }
    }
    parts
}

/// Which thread of a process lets go of what several shared last, and so closes it, is a
/// matter of luck: of threads, these calls are compared for the process as a whole.
fn apart(histories: Histories) -> Histories {
    let last = |call: &Call| call == "close() = 0" || call == "fcntl() = 1";
    let mut out = Histories::new();
    for (key, calls) in &histories {
        let role = key.split(" thread ").next().unwrap();
        if !histories.contains_key(&format!("{role} thread 1")) {
            out.insert(key.clone(), calls.clone());
            continue;
        }
        let (ends, rest): (Vec<Call>, Vec<Call>) =
            calls.iter().cloned().partition(last);
        out.insert(key.clone(), rest);
        for call in ends {
            out.entry(format!("{role} {call} thread any")).or_default().push(call);
        }
    }
    out
}

/// The chapters whose roles the tracer starts: all but those that mpiexec does.
fn chapters() -> Vec<Row> {
    let mut rows = chapters::rows().to_vec();
    rows.retain(|row| row.meets != Meets::World);
    rows
}

/// The histories that one of the two has seen.
type Seen = BTreeSet<Vec<Call>>;

/// Whether strace saw a history that we saw. What threads other than the first have done
/// when the process ends under them is a matter of luck: there, one is the beginning of the
/// other.
fn agree(role: &str, ours: &Seen, theirs: &Seen) -> bool {
    let cut = !role.ends_with(" thread 0");
    let begins = |a: &Vec<Call>, b: &Vec<Call>| a.starts_with(b) || b.starts_with(a);
    !ours.is_disjoint(theirs)
        || cut
            && (ours.is_empty()
                || theirs.is_empty()
                || ours.iter().any(|a| theirs.iter().any(|b| begins(a, b))))
}

/// Two runs differ where one role was faster than the other. A role's history is right if
/// strace saw the very same one, in some run.
#[test]
fn every_chapter_has_the_calls_the_sizes_and_the_results_that_strace_has() {
    if !have("strace") {
        return;
    }
    for row in chapters() {
        let mut seen: BTreeMap<String, (Seen, Seen)> = BTreeMap::new();
        let agrees = (0..40).any(|_| {
            for (role, calls) in apart(ours(&row)) {
                seen.entry(role).or_default().0.insert(calls);
            }
            for (role, calls) in apart(straces(&row)) {
                seen.entry(role).or_default().1.insert(calls);
            }
            seen.iter().all(|(role, (ours, theirs))| agree(role, ours, theirs))
        });
        if agrees {
            continue;
        }
        for (role, (ours, theirs)) in seen {
            if !agree(&role, &ours, &theirs) {
                let (one, other) = (ours.first(), theirs.first());
                let (one, other) = (one.unwrap(), other.expect("strace saw it too"));
                let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
                panic!(
                    "{}, {role}, after {same} calls:\nours   {:#?}\nstrace {:#?}",
                    row.name,
                    &one[same.saturating_sub(3)..one.len().min(same + 6)],
                    &other[same.saturating_sub(3)..other.len().min(same + 6)],
                );
            }
        }
    }
}

// ------------------------------------------------------------------ arrows

/// The arrows of a run: from which call of whom, to which of whom.
fn arrows(events: &[Value]) -> Vec<(String, String)> {
    let name = |event: &Value| {
        let what = event["call"].as_str().or(event["event"].as_str()).unwrap();
        format!("{} {what}", event["process"].as_str().unwrap())
    };
    let mut arrows = Vec::new();
    for to in events {
        for from in to["from"].as_array().into_iter().flatten() {
            let from = events.iter().find(|event| event["id"] == *from).unwrap();
            arrows.push((name(from), name(to)));
        }
    }
    arrows
}

#[test]
fn an_arrow_leads_from_each_write_to_the_read_that_took_its_bytes() {
    let (events, outcome) = events(&["fifo"]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let arrows = arrows(&events);
    let count = |from: &str, to: &str| {
        arrows.iter().filter(|(a, b)| (a.as_str(), b.as_str()) == (from, to)).count()
    };
    assert_eq!(count("sender write", "receiver read"), 2, "{arrows:?}");
    assert_eq!(count("sender openat", "receiver openat"), 1, "{arrows:?}");
    assert_eq!(count("sender close", "receiver read"), 1, "{arrows:?}");
}

#[test]
fn every_chapter_has_arrows_between_its_roles() {
    for row in chapters() {
        let roles: BTreeSet<&str> =
            row.script.parts.iter().map(|part| part.role).collect();
        let whose = |end: &str| end.split(' ').next().unwrap().to_owned();
        // Whether one side sleeps, and so must be woken, is a matter of luck.
        let joined = (0..20).any(|_| {
            let (events, outcome) = events(&[row.name]);
            assert!(outcome.status.success(), "{}: {}", row.name, outcome.stderr);
            let arrows = arrows(&events);
            roles.iter().all(|role| {
                arrows.iter().any(|(from, to)| {
                    whose(from) != whose(to)
                        && (whose(from) == *role || whose(to) == *role)
                })
            })
        });
        assert!(joined, "{}: a role without an arrow", row.name);
    }
}

#[test]
fn two_writers_at_once_get_no_arrow_and_one_after_the_other_get_theirs() {
    // The shell's own pipe: a child writes, the other reads, in an order that it makes.
    let line = "{ echo one; echo two; } | { read a; read b; }";
    let (events, outcome) = events(&["--", "sh", "-c", line]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let arrows = arrows(&events);
    assert!(
        arrows.iter().any(|(a, b)| a.ends_with(" write") && b.ends_with(" read")),
        "{arrows:?}"
    );
}

#[test]
fn a_passed_descriptor_is_named_on_both_sides() {
    let outcome = traced(&["fdpass", "--width", "200"]);
    let text = String::from_utf8(outcome.stdout).unwrap();
    let passed: Vec<_> =
        text.lines().filter(|line| line.contains("SCM_RIGHTS {")).collect();
    assert_eq!(passed.len(), 2, "{text}");
    assert!(
        passed[0].contains("sendmsg(") && passed[1].contains("recvmsg("),
        "{text}"
    );
}

/// By read(2), and by preadv2(2), whose argument is a list of buffers.
#[test]
fn an_eventfd_is_written_and_read_as_a_number_and_the_two_are_joined() {
    for (args, reads) in [(vec![], "preadv2"), (vec!["--bare"], "read")] {
        let args = [&["eventfd"], &args[..]].concat();
        let (events, outcome) = events(&args);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let joined = ("notifier write".to_owned(), format!("waiter {reads}"));
        let arrows = arrows(&events);
        assert!(arrows.contains(&joined), "{arrows:?}");
        let outcome = traced(&[&args[..], &["--width", "200"]].concat());
        let text = String::from_utf8(outcome.stdout).unwrap();
        assert_eq!(text.matches("{3}").count(), 2, "{text}");
    }
}

#[test]
fn shared_memory_says_that_no_call_carries_the_data() {
    for chapter in ["shm", "mmap"] {
        let outcome = traced(&[chapter, "--width", "200"]);
        let text = String::from_utf8(outcome.stdout).unwrap();
        assert!(
            text.contains("data crosses them without any system call"),
            "{text}"
        );
    }
}

#[test]
fn a_standard_signal_that_was_sent_twice_came_from_the_first() {
    if !have("python3") {
        return;
    }
    let code = "import os, signal\n\
                usr1 = {signal.SIGUSR1}\n\
                signal.pthread_sigmask(signal.SIG_BLOCK, usr1)\n\
                for times in (2, 1):\n    \
                    for _ in range(times): os.kill(os.getpid(), signal.SIGUSR1)\n    \
                    signal.sigwait(usr1)";
    let (events, outcome) = events(&["--", "python3", "-c", code]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let ids = |call: &str| -> Vec<&Value> {
        events.iter().filter(|e| e["call"] == call).map(|e| &e["id"]).collect()
    };
    let kills = ids("kill");
    assert_eq!(kills.len(), 3);
    let from: Vec<&Value> = events
        .iter()
        .filter(|event| event["call"] == "rt_sigtimedwait")
        .map(|event| &event["from"][0])
        .collect();
    assert_eq!(from, [kills[0], kills[2]]);
}

#[test]
fn messages_of_one_queue_are_paired_within_their_priority() {
    let (events, outcome) = events(&["posixmq"]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    for event in events.iter().filter(|event| event["call"] == "mq_timedreceive") {
        let Some(from) = event["from"].get(0) else { continue };
        let sent = events.iter().find(|other| other["id"] == *from).unwrap();
        let size = sent["args"][2].as_str().unwrap();
        assert_eq!(event["result"].to_string(), size);
        assert_eq!(event["args"][1], sent["args"][1]);
    }
}

#[test]
fn a_file_that_is_also_mapped_gets_no_arrow_for_its_bytes() {
    if !have("python3") {
        return;
    }
    let code = "import os, mmap, tempfile\n\
                kept = tempfile.TemporaryFile(); file = kept.fileno()\n\
                os.write(file, b'one!')\n\
                if MAP: pages = mmap.mmap(file, 4)\n\
                child = os.fork()\n\
                if not child: os.pread(file, 4, 0); os._exit(0)\n\
                os.waitpid(child, 0)";
    for (map, arrows) in [("False", 1), ("True", 0)] {
        let code = code.replace("MAP", map);
        let (events, outcome) = events(&["--", "python3", "-c", &code]);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let read = events.iter().find(|event| event["call"] == "pread64").unwrap();
        let from = read["from"].as_array().map_or(0, Vec::len);
        assert_eq!(from, arrows, "mapped: {map}: {read}");
    }
}

// ------------------------------------------------------------------ how it is drawn

#[test]
fn no_text_cuts_an_arrow_where_there_is_room_to_fold_it() {
    let text = String::from_utf8(traced(&["file", "--width", "80"]).stdout).unwrap();
    let lines: Vec<Vec<char>> =
        text.lines().map(|line| line.chars().collect()).collect();
    let mut begun = BTreeSet::new();
    for line in &lines {
        for column in begun.clone() {
            let c: char = *line.get(column).unwrap_or(&' ');
            assert!("│├┤┼└┘".contains(c), "cut at {column}: {text}");
            if "└┘".contains(c) {
                begun.remove(&column);
            }
        }
        begun.extend((0..line.len()).filter(|n| "┌┐".contains(line[*n])));
    }
}

#[test]
fn no_arrow_of_a_picture_begins_in_the_text() {
    let subject = subject("fdpass");
    let file = subject.dir().join("fdpass.svg");
    let args = ["trace", "fdpass", "--svg", file.to_str().unwrap()];
    assert!(run(ipclab(&subject, &args), Input::Nothing).status.success());
    let text = fs::read_to_string(file).unwrap();
    let paths: Vec<_> = text.split("<path d=\"M").skip(1).collect();
    assert!(!paths.is_empty());
    for path in paths {
        let number = |text: &str| -> f64 {
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap();
            text[..end].parse().unwrap()
        };
        let (tail, near) = (number(path), number(path.split('H').nth(1).unwrap()));
        let tip = number(path.split('H').nth(2).unwrap());
        assert!(tip < tail || tail <= near, "{path:.80}");
    }
}

#[test]
fn a_picture_that_does_not_fit_on_the_disk_is_not_left_half_done() {
    let subject = subject("fifo");
    let file = subject.dir().join("fifo.svg");
    let line = "trap '' XFSZ; ulimit -f 4; exec \"$0\" trace fifo --svg \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(program()).arg(&file);
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stderr.contains("fifo.svg: EFBIG"), "{}", outcome.stderr);
    assert!(!file.exists());
}

#[test]
fn no_line_is_wider_than_it_may_be() {
    for row in chapters() {
        for width in ["60", "80", "132"] {
            let text =
                String::from_utf8(traced(&[row.name, "--width", width]).stdout)
                    .unwrap();
            let most: usize = width.parse().unwrap();
            for line in text.lines() {
                assert!(
                    line.chars().count() <= most,
                    "{} {width}: {line}",
                    row.name
                );
            }
            assert!(!text.contains('\x1b'), "coloured though piped");
        }
    }
}

#[test]
fn the_picture_is_text_with_arrows_and_a_title() {
    let subject = subject("fifo");
    let file = subject.dir().join("fifo.svg");
    let args = ["trace", "fifo", "--svg", file.to_str().unwrap()];
    assert!(run(ipclab(&subject, &args), Input::Nothing).status.success());
    let text = fs::read_to_string(file).unwrap();
    for part in [
        "<title>ipclab trace fifo</title>",
        "<desc>",
        "prefers-color-scheme",
        // A page without JavaScript is called light even where it is dark.
        "}.js.light .ipclab-trace,",
        "<path ",
    ] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    assert!(!text.contains("NaN"));
}

// ------------------------------------------------------------------ any two programs

#[test]
fn any_two_programs_are_traced_and_left_as_they_are() {
    let subject = subject("fifo");
    nix::unistd::mkfifo(&subject.dir().join("f"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    let args =
        ["trace", "--json", "--", "sh", "-c", "echo hello > f", ":::", "cat", "f"];
    let outcome = run(ipclab(&subject, &args), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    // What they print is on standard error, to the byte, and the trace is alone.
    assert_eq!(outcome.stderr, "hello\n");
    let text = String::from_utf8(outcome.stdout).unwrap();
    let events: Vec<Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let arrows = arrows(&events);
    assert!(arrows.contains(&("sh write".into(), "cat read".into())), "{arrows:?}");
}

#[test]
fn an_exit_status_and_a_crash_are_shown() {
    let outcome =
        traced(&["--", "sh", "-c", "exit 3", ":::", "sh", "-c", "kill -SEGV $$"]);
    assert_eq!(outcome.status.code(), Some(1));
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("ends with status 3"), "{text}");
    assert!(text.contains("killed by SIGSEGV"), "{text}");
    assert_eq!(outcome.stderr, "ipclab: sh ended with exit status 3\n");
}

#[test]
fn a_crash_tells_what_was_touched_and_a_stop_what_was_waited_for() {
    if !have("python3") {
        return;
    }
    let crash = "import ctypes; ctypes.string_at(0)";
    let stop = "import os, signal\n\
                child = os.fork()\n\
                while not child: signal.pause()\n\
                os.kill(child, signal.SIGSTOP); os.waitpid(child, os.WUNTRACED)\n\
                os.kill(child, signal.SIGCONT); os.waitpid(child, os.WCONTINUED)\n\
                os.kill(child, signal.SIGKILL); os.waitpid(child, 0)";
    for (code, wanted) in [
        (crash, &["SIGSEGV (SEGV_MAPERR at 0x0)"][..]),
        (stop, &["[stopped by SIGSTOP]", "[continued]", "[killed by SIGKILL]"]),
    ] {
        let args = ["--width", "200", "--", "python3", "-c", code];
        let text = String::from_utf8(traced(&args).stdout).unwrap();
        for words in wanted {
            assert!(text.contains(words), "no {words}: {text}");
        }
    }
}

#[test]
fn what_a_call_never_gave_is_no_address_and_a_peek_is_called_one() {
    if !have("python3") {
        return;
    }
    let code = "import os, socket\n\
                one, other = socket.socketpair()\n\
                child = os.fork()\n\
                if not child: one.recv(9)\n\
                one.send(b'look'); other.recv(9, socket.MSG_PEEK)\n\
                stat = f'/proc/{child}/stat'\n\
                while open(stat).read().split()[2] != 'S': pass\n\
                os.kill(child, 9); os.waitpid(child, 0)";
    let args = ["--width", "200", "--", "python3", "-c", code];
    let text = String::from_utf8(traced(&args).stdout).unwrap();
    assert!(text.contains("9, MSG_PEEK) = 4"), "{text}");
    // A program's own words are left as they are.
    assert!(text.contains("other.recv(9, socket.MSG_PEEK)"), "{text}");
    let endless: Vec<_> = text
        .lines()
        .filter(|line| line.contains("asleep when it was ended"))
        .collect();
    assert!(!endless.is_empty(), "{text}");
    assert!(endless.iter().all(|line| !line.contains("0x7f")), "{text}");
}

#[test]
fn a_program_that_forks_many_is_drawn_whole() {
    let line = "i=0; while [ $i -lt 40 ]; do sh -c : & i=$((i+1)); done; wait";
    let outcome = traced(&["--", "sh", "-c", line]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(text.matches(" begins").count(), 40, "{text}");
    // Each arrow has a mark of its own.
    let marks = |word: &str| -> Vec<String> {
        let words = text.split_whitespace().map(str::to_owned);
        words.filter(|w| w.ends_with(word) && w.len() > word.len()).collect()
    };
    let marks = marks("▶");
    assert!(marks.len() >= 80, "{text}");
    assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), marks.len(), "{text}");
}

#[test]
fn what_cannot_be_run_is_one_line() {
    for (args, wanted) in [
        (&["fif"][..], "'fifo'"),
        (&[], "trace what?"),
        (&["--", "true", ":::"], ":::"),
        (&["--", "/no/such/program"], "execve /no/such/program: ENOENT"),
        (
            &["--", "sleep", "100", ":::", "/etc/passwd"],
            "execve /etc/passwd: EACCES: Permission denied; it is not a program",
        ),
    ] {
        let outcome = traced(args);
        assert!(!outcome.status.success());
        assert_eq!(
            outcome.stderr.lines().count(),
            1,
            "{args:?}: {}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains(wanted), "{args:?}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty());
    }
}

#[test]
fn a_program_that_is_stopped_and_goes_on_is_left_to_do_so() {
    // The child says so until its parent has gone on, and ended.
    let line =
        "(while kill -CONT $$; do sleep 0.02; done) 2>&- & kill -STOP $$; echo on";
    let outcome = traced(&["--", "sh", "-c", line]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "on\n");
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("SIGSTOP") && text.contains("SIGCONT"), "{text}");
}

#[test]
fn a_set_user_id_program_is_said_to_be_one() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !nix::unistd::geteuid().is_root() {
        skip("only root can give a file to somebody else");
        return;
    }
    let subject = subject("fifo");
    let file = subject.dir().join("program");
    fs::copy("/bin/true", &file).unwrap();
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
    let outcome =
        run(ipclab(&subject, &["trace", "--", "./program"]), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("program is set-user-ID"), "{text}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_calls_of_a_32_bit_program_are_shown_raw() {
    if !have("cc") {
        return;
    }
    let subject = subject("fifo");
    // getpid is 20 there; int 0x80 makes a 32-bit call from any program.
    let code = r#"int main(void) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); return r <= 0; }"#;
    fs::write(subject.dir().join("old.c"), code).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-o", "old", "old.c"]).current_dir(subject.dir());
    assert!(run(compiler, Input::Nothing).status.success());
    let outcome =
        run(ipclab(&subject, &["trace", "--all", "--", "./old"]), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("foreign_syscall_20("), "{text}");
    assert!(text.contains("are shown raw: by number."), "{text}");
}

#[test]
fn a_program_without_end_is_cut_and_runs_on_untraced() {
    let outcome = traced(&[
        "--json",
        "--",
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=1",
        "count=60000",
        "status=none",
    ]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("Cut after 100,000 events"), "{text}");
    assert!(text.contains(r#""event":"end""#), "{text}");
}

// ------------------------------------------------------------------ stopping

/// The children of a process that run `sleep`.
fn sleepers(of: Pid) -> Vec<Pid> {
    let path = format!("/proc/{of}/task/{of}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let pids =
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()));
    let sleeps = |pid: &Pid| {
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name == "sleep\n")
    };
    pids.filter(sleeps).collect()
}

fn started_sleeper(args: &[&str]) -> (RoleProcess, Pid) {
    let subject = subject("fifo");
    let role =
        RoleProcess::start("trace", ipclab(&subject, args), Input::Nothing).unwrap();
    let mut found = None;
    until("sleep is started", || {
        if let [sleeper] = *sleepers(role.pid()) {
            found = Some(sleeper);
        }
        found.is_some()
    });
    (role, found.unwrap())
}

#[test]
fn ctrl_c_ends_the_programs_and_draws_what_was_seen() {
    use std::os::unix::process::ExitStatusExt;
    let (role, sleeper) = started_sleeper(&["trace", "--", "sleep", "100"]);
    let outcome = role.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(2), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("killed by SIGINT"), "{text}");
    assert!(text.contains("Interrupted: what was seen until then."), "{text}");
    assert_eq!(kill(sleeper, None), Err(nix::errno::Errno::ESRCH));
}

#[test]
fn a_killed_tracer_leaves_no_process() {
    let (role, sleeper) = started_sleeper(&["trace", "--", "sleep", "100"]);
    role.stop(Signal::SIGKILL, deadline()).unwrap();
    let state =
        || fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
    // Whoever adopts it may be slow to reap it.
    until("the program is gone", || state().is_empty() || state().contains(") Z "));
}

#[test]
fn where_ptrace_is_forbidden_one_line_says_so() {
    // A process that is being traced cannot trace itself twice: strace holds it.
    if !have("strace") {
        return;
    }
    let subject = subject("fifo");
    let mut command = Command::new("strace");
    command
        .args(["-o", "/dev/null", "-e", "inject=ptrace:error=EPERM"])
        .arg(program());
    command.args(["trace", "fifo"]).env("IPCLAB_DIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("ptrace(PTRACE_SEIZE): EPERM"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("SYS_PTRACE"), "{}", outcome.stderr);
}

#[test]
fn the_ranks_of_mpiexec_are_not_traced_and_it_says_so() {
    let told = traced(&["mpi"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(told.stderr.contains("mpiexec starts its ranks"), "{}", told.stderr);
}

#[test]
fn pages_that_are_lent_and_moved_on_are_an_arrow() {
    // 200,000 bytes into a pipe that a file is moved from.
    let own = program();
    let own = own.display();
    let line = format!(
        "head -c 200000 /dev/zero | tr '\\0' x | {own} -q pipe sender --zero-copy | \
         {own} -q pipe receiver --bytes --zero-copy > /dev/null"
    );
    let (events, outcome) = events(&["--", "sh", "-c", &line]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let arrows = arrows(&events);
    assert!(
        arrows
            .iter()
            .any(|(a, b)| a.ends_with(" vmsplice") && b.ends_with(" splice")),
        "{arrows:?}"
    );
}
