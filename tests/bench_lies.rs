//! The lies of `ipclab bench --lie`: each is told with both figures and the reason, and
//! what gives it away is counted. No test here asserts a time.

mod support;

use std::collections::HashMap;

use support::*;

/// Tells a lie, which must end well and leave nothing behind.
fn lie(name: &str) -> String {
    let subject = subject("pipe");
    let mut command = ipclab(&subject, &["bench", "--lie", name]);
    command.env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    subject.nothing_is_left().unwrap();
    String::from_utf8(outcome.stdout).unwrap()
}

/// As [`lie`], with both figures and the reason.
fn told(name: &str) -> String {
    let text = lie(name);
    assert!(text.starts_with(&format!("{name}: ")), "{text}");
    for part in
        ["as published:", "honest:", "off by a factor of ", "\nWhy: ", "\nSeen by: "]
    {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    assert!(!text.contains('\x1b'), "colours, and no terminal: {text:?}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 100, "{longest} columns: {text}");
    let (_, why) = text.split_once("\nWhy: ").unwrap();
    for paragraph in why.split("\n\n") {
        assert!(paragraph.lines().count() <= 6, "{paragraph}");
    }
    text
}

/// Whether there are two CPUs; said aloud if not.
fn two_cpus() -> bool {
    offers("shm", "two-cpus")
}

/// The line of the table by this method, `as published:`, the first that has `what`.
fn line<'a>(text: &'a str, method: &str, what: &str) -> &'a str {
    let found =
        text.lines().find(|line| line.contains(method) && line.contains(what));
    found.unwrap_or_else(|| panic!("no {method} {what}: {text}"))
}

/// The numbers of the line that has `what`, thousands and all.
fn numbers(text: &str, what: &str) -> Vec<f64> {
    let line = text.lines().skip_while(|line| !line.contains(what)).take(2);
    let line = line.collect::<Vec<_>>().join(" ").replace(',', "");
    let (_, after) =
        line.split_once(what).unwrap_or_else(|| panic!("{what}: {text}"));
    after.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn stdio_makes_twice_the_calls_of_a_pipe() {
    told("stdio");
    if !have("strace") {
        return;
    }
    let subject = subject("pipe");
    let calls = subject.dir().join("calls");
    let inner = ipclab(&subject, &["bench", "--lie", "stdio"]);
    let mut strace = std::process::Command::new("strace");
    strace
        .args(["-f", "-qq", "-e", "trace=execve,read,write,kill,rt_sigtimedwait"])
        .args(["-e", "signal=none", "-o"])
        .arg(&calls)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("IPCLAB_DIR", subject.dir())
        .env("TMPDIR", subject.dir());
    let outcome = run(strace, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let calls = std::fs::read_to_string(calls).unwrap();
    let each = |mechanism| calls_a_message(&calls, mechanism);
    let (lie, plain) = (each("lie:stdio"), each("pipe"));
    assert!((1.8..2.4).contains(&plain), "a pipe: {plain} calls a message");
    assert!(lie >= 1.9 * plain, "stdio: {lie} calls a message; a pipe: {plain}");
}

/// How many calls the ends of `mechanism` made for each message that they wrote.
fn calls_a_message(trace: &str, mechanism: &str) -> f64 {
    let wanted = format!("\"bench-end\", \"{mechanism}\"");
    // Of each process: how many calls since it first wrote, and how many of them write.
    let mut ends: HashMap<&str, (u32, u32)> = HashMap::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with("execve(") && call.contains(&wanted) {
            ends.insert(pid, (0, 0));
        }
        let Some((calls, writes)) = ends.get_mut(pid) else { continue };
        let is = |name: &str| call.starts_with(name);
        *writes += u32::from(is("write("));
        let counts =
            is("read(") || is("write(") || is("kill(") || is("rt_sigtimedwait(");
        *calls += u32::from(counts && *writes > 0);
    }
    assert_eq!(ends.len(), 2, "the ends of {mechanism}");
    let sum =
        |of: fn(&(u32, u32)) -> u32| f64::from(ends.values().map(of).sum::<u32>());
    sum(|(calls, _)| *calls) / sum(|(_, writes)| *writes)
}

#[test]
fn spin_never_sleeps_and_a_tripwire_says_so() {
    if !two_cpus() {
        return;
    }
    let text = told("spin");
    let counts = numbers(&text, "switches a round trip and process:");
    assert!(counts[0] < 0.8 && counts[1] < 0.8, "{counts:?}: {text}");
    assert!(text.contains("tripwire: invalid: "), "{text}");
    assert!(
        text.contains("context switches a round trip and process, not 1"),
        "{text}"
    );
    assert!(line(&text, "beside:", "pipe").contains("both on one CPU"), "{text}");
}

#[test]
fn mixed_labels_the_placement_of_each_figure() {
    if !two_cpus() {
        return;
    }
    let text = told("mixed");
    let ends =
        |method, what, label: &str| line(&text, method, what).ends_with(label);
    assert!(ends("as published:", "tcp", "  same"), "{text}");
    assert!(ends("as published:", "pipe", "  cross, blocking"), "{text}");
    for what in ["tcp", "pipe"] {
        let mut honest = text
            .lines()
            .filter(|line| line.contains("honest:") && line.contains(what));
        assert!(honest.next().unwrap().ends_with("  same"), "{text}");
        assert!(honest.next().unwrap().ends_with("  cross, blocking"), "{text}");
    }
}

#[test]
fn unread_counts_the_bytes_that_were_read() {
    let text = told("unread");
    let published = numbers(&text, "published bytes read: ");
    let (read, sent) = (published[0], published[1]);
    assert!(read > 0.0, "{text}");
    assert_eq!(sent, read * f64::from(1 << 13), "8 bytes of each 64 KiB: {text}");
    let honest = numbers(&text, "honest bytes read: ");
    assert_eq!(honest[0], honest[1], "{text}");
}

#[test]
fn cold_has_the_first_message_in_its_figure() {
    let text = told("cold");
    let published = line(&text, "as published:", "mmap");
    assert!(published.ends_with("the mean of the first 10 round trips"), "{text}");
    assert!(line(&text, "beside:", "mmap").ends_with("the first of them alone"));
    let cold = numbers(&text, "  cold: ");
    let warm = numbers(&text, "  warm: ");
    // Each figure is a count of faults, and in how many round trips they were.
    let rate = |figures: &[f64]| figures[0] / figures[1];
    assert!(rate(&cold) > rate(&warm), "page faults: {cold:?} and {warm:?}: {text}");
}

#[test]
fn alignment_is_told_of_each_floor_and_a_tripwire_judges_the_false_one() {
    let text = told("alignment");
    for size in ["4 KiB", "64 KiB"] {
        let memcpy = format!("memcpy, {size}");
        let published = line(&text, "as published:", &memcpy);
        assert!(published.contains(" to 16 B behind its source"), "{text}");
        let honest = line(&text, "honest:", &memcpy);
        assert!(honest.ends_with(", the best of 5"), "{text}");
        assert!(!honest.contains(" to 16 B"), "{text}");
        let pipe = line(&text, "beside:", &format!("pipe, {size}"));
        assert!(pipe.contains(" of that floor, "), "{text}");
        let verdict = format!("{size}: tripwire, with that floor: ");
        let (_, verdict) = text.split_once(&verdict).unwrap();
        let silent = verdict.starts_with("silent: ");
        assert!(silent || verdict.starts_with("invalid: "), "{text}");
    }
}

#[test]
fn a_lie_that_needs_two_cpus_says_so_on_one() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    // Of this thread alone; what it starts inherits it.
    let mine = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| mine.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
    for name in ["spin", "mixed"] {
        let text = lie(name);
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        assert!(text.contains("not shown: it needs two CPUs"), "{text}");
    }
}

#[test]
fn a_lie_is_told_alone() {
    let subject = subject("pipe");
    let outcome =
        run(ipclab(&subject, &["bench", "pipe", "--lie", "spin"]), Input::Nothing);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
}
