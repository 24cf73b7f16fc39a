//! The spawn chapter: the contract, then what is special to it.
//!
//! The contract starts two commands. Here they are a parent, whose child sends each line back, and
//! another child that the shell starts behind it: what arrives has gone through three processes.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use support::*;

keeps_the_contract!(
    parent_and_child(),
    except {
        the_largest_message: "no option sets the limit" => a_line_of_one_mebibyte_comes_back_and_no_longer_one,
        one_byte_too_many: "no option sets the limit" => a_line_of_one_mebibyte_comes_back_and_no_longer_one,
        arguments_are_checked_first: "no option sets the limit" => a_newline_in_a_message_is_refused_before_anything_is_started,
        binary_bytes: "a child has lines alone; asked of cat" => sixty_four_mebibytes_go_there_and_back,
        sixty_four_mebibytes_arrive_to_the_byte: "a child has lines alone; asked of cat" => sixty_four_mebibytes_go_there_and_back,
        the_sender_may_be_first: "a pipe has no name: the parent starts the child",
        the_receiver_may_be_first: "a pipe has no name: the parent starts the child",
        a_stale_name_is_recovered: "a pipe has no name",
        a_taken_name_is_refused: "a pipe has no name",
        a_link_is_refused: "a pipe has no name",
        an_unsafe_directory_is_refused: "a pipe has no name, and no directory for it",
        the_receiver_is_killed: "a parent is no sender" => an_output_that_nobody_reads_is_a_quiet_end,
        signals_clear_up: "asked of a whole family" => a_signal_ends_the_whole_family,
    }
);

fn parent_and_child() -> Subject {
    let mut subject = subject("spawn");
    let words =
        |role: &str| [program().into(), "spawn".into(), role.into()].to_vec();
    (subject.sender, subject.receiver) = (words("parent"), words("child"));
    subject
}

/// `ipclab spawn …`
fn spawn(subject: &Subject, args: &[&str]) -> Command {
    ipclab(subject, &[&["spawn"], args].concat())
}

/// A parent that runs a shell, and reads no message.
fn shell(subject: &Subject, script: &str, more: &[&str]) -> Command {
    let words = ["-q", "hello", "--", "sh", "-c", script];
    spawn(subject, &[&["parent"], more, &words].concat())
}

fn said(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

#[test]
fn a_line_comes_back_and_a_question_is_answered() {
    let subject = subject("spawn");
    let words = ["parent", "hello", "", "descriptors", "-q"];
    let outcome = run(spawn(&subject, &words), Input::Nothing);
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(said(&outcome), "hello\n\n0 1 2\n");
    // Another program as the child, and standard input as the message.
    let words = ["parent", "-q", "--", "tr", "a-z", "A-Z"];
    let outcome = run(spawn(&subject, &words), Input::Bytes(b"one\ntwo".into()));
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(said(&outcome), "ONE\nTWO");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_thousand_lines_come_back_in_order() {
    let subject = subject("spawn");
    let line =
        |number: usize| format!("{number} {}\n", "x".repeat(number * 7 % 300));
    let lines: String = (0..1000).map(line).collect();
    let input = Input::Bytes(lines.clone().into());
    let outcome = run(spawn(&subject, &["parent", "-q"]), input);
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    assert!(said(&outcome) == lines);
}

#[test]
fn a_line_of_one_mebibyte_comes_back_and_no_longer_one() {
    let subject = subject("spawn");
    let line = [&*vec![b'x'; 1 << 20], b"\n"].concat();
    let outcome =
        run(spawn(&subject, &["parent", "-q"]), Input::Bytes(line.clone()));
    assert!(
        outcome.status.success() && outcome.stdout == line,
        "{}",
        outcome.stderr
    );
    let longer = [b"x", &line[..]].concat();
    let outcome = run(spawn(&subject, &["parent", "-q"]), Input::Bytes(longer));
    assert_eq!(outcome.status.code(), Some(1));
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert!(lines.len() == 2, "{lines:?}");
    assert!(lines[0].contains("line 1 is too large"), "{lines:?}");
    assert!(lines[1].contains("the child has failed: exit status: 1"), "{lines:?}");
}

#[test]
fn a_newline_in_a_message_is_refused_before_anything_is_started() {
    let subject = subject("spawn");
    let words = ["parent", "one", "two\nthree", "--", "touch", "started"];
    let outcome = run(spawn(&subject, &words), Input::Nothing);
    assert_eq!(outcome.status.code(), Some(2));
    assert!(outcome.stderr.contains("cannot hold a newline"), "{}", outcome.stderr);
    assert!(!subject.dir().join("started").exists());
}

#[test]
fn sixty_four_mebibytes_go_there_and_back() {
    let subject = subject("spawn");
    let bytes = contract::noise(64 << 20);
    let words = ["parent", "-q", "--", "cat"];
    let outcome = run(spawn(&subject, &words), Input::Bytes(bytes.clone()));
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert!(outcome.stdout == bytes, "{} bytes", outcome.stdout.len());
}

#[test]
fn an_output_that_nobody_reads_is_a_quiet_end() {
    let subject = subject("spawn");
    let mut shell = Command::new("sh");
    let pipeline = "\"$0\" -q spawn parent hello -- yes | head -1";
    shell.args(["-c", pipeline]).arg(program()).current_dir(subject.dir());
    let outcome = run(shell, Input::Nothing);
    assert_eq!((&*outcome.stdout, &*outcome.stderr), (&b"y\n"[..], ""));
}

/// Two processes that a shell starts, of which one leaves its process group. The shell waits for
/// them. Their PIDs and its own are in files.
const FAMILY: &str = "sleep 600 & echo $! > 1; setsid sleep 600 & echo $! > 2; echo $$ > 3; \
                      echo ready; wait";

/// Waits until all of [`FAMILY`] is there, and returns the PIDs.
fn family(subject: &Subject, more: &[&str]) -> (RoleProcess, Vec<String>) {
    let mut command = shell(subject, FAMILY, more);
    command.current_dir(subject.dir());
    let parent = RoleProcess::start("parent", command, Input::Nothing).unwrap();
    parent.wait_for_output(b"ready", deadline()).unwrap();
    (parent, pids(subject, &["1", "2", "3"]))
}

fn pids(subject: &Subject, files: &[&str]) -> Vec<String> {
    let read = |file: &&str| std::fs::read_to_string(subject.dir().join(file));
    files.iter().map(|file| read(file).unwrap().trim().to_owned()).collect()
}

fn is_there(pid: &String) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[test]
fn a_child_goes_with_a_parent_that_is_killed() {
    let subject = subject("spawn");
    let mut parent = spawn(&subject, &["parent", "-q", "--"]);
    parent.args(["sh", "-c", "echo $$ > 1; echo ready; exec sleep 600"]);
    let parent = RoleProcess::start("parent", parent, Input::Open).unwrap();
    parent.wait_for_output(b"ready", deadline()).unwrap();
    let pid: u32 = pids(&subject, &["1"])[0].parse().unwrap();
    parent.stop(Signal::SIGKILL, deadline()).unwrap();
    // Its new parent reaps it, or leaves a zombie.
    until("the child has ended", || {
        matches!(os::process_identity::state(pid), None | Some('Z' | 'X'))
    });
}

#[test]
fn a_child_that_fails_or_is_killed_is_told() {
    let subject = subject("spawn");
    for (script, told) in [
        ("exit 3", "the child has failed: exit status: 3"),
        ("kill -9 $$", "the child has failed: signal: 9 (SIGKILL)"),
    ] {
        let outcome = run(shell(&subject, script, &[]), Input::Nothing);
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains(told), "{line}");
    }
}

#[test]
fn a_signal_ends_the_whole_family() {
    let subject = subject("spawn");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (parent, pids) = family(&subject, &[]);
        assert!(pids.iter().all(is_there), "{pids:?}");
        let outcome = parent.stop(signal, deadline()).unwrap();
        assert_eq!(
            outcome.status.signal(),
            Some(signal as i32),
            "{}",
            outcome.stderr
        );
        let left: Vec<_> = pids.iter().filter(|pid| is_there(pid)).collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
}

#[test]
fn a_timeout_is_status_124_and_ends_the_family() {
    let subject = subject("spawn");
    let (parent, pids) = family(&subject, &["--timeout", "1"]);
    let outcome = parent.wait(deadline()).unwrap();
    assert_eq!(outcome.status.code(), Some(124), "{}", outcome.stderr);
    assert!(!pids.iter().any(is_there), "{pids:?}");
}

#[test]
fn what_the_child_leaves_behind_is_ended_and_its_output_is_read() {
    let subject = subject("spawn");
    let script = "sleep 600 & echo $!; setsid sleep 600 & echo $!";
    let outcome = run(shell(&subject, script, &[]), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let pids: Vec<_> = said(&outcome).lines().map(str::to_owned).collect();
    assert!(pids.len() == 2 && !pids.iter().any(is_there), "{pids:?}");
}

#[test]
fn a_child_that_reads_nothing_is_no_failure() {
    let subject = subject("spawn");
    let script = "exec 0< /dev/null; echo answer";
    let parent = spawn(&subject, &["parent", "-q", "--", "sh", "-c", script]);
    // More than the pipe holds: the parent waits for room that does not come.
    let outcome = run(parent, Input::Bytes(vec![b'x'; 1 << 20]));
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(said(&outcome), "answer\n");
}

#[test]
fn a_command_that_is_not_there_is_one_line() {
    let subject = subject("spawn");
    let outcome = run(
        spawn(&subject, &["parent", "-q", "x", "--", "./nothing"]),
        Input::Nothing,
    );
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("exec ./nothing: ENOENT"), "{line}");
}

#[test]
fn both_streams_are_read_whichever_is_full() {
    let subject = subject("spawn");
    let script = "head -c 300000 /dev/zero | tr '\\0' e >&2; \
                  head -c 300000 /dev/zero | tr '\\0' o; echo last >&2";
    let outcome = run(shell(&subject, script, &[]), Input::Nothing);
    assert!(outcome.status.success());
    assert!(outcome.stdout == vec![b'o'; 300_000], "{}", outcome.stdout.len());
    assert!(outcome.stderr == format!("{}last\n", "e".repeat(300_000)));
}

#[test]
fn the_child_has_what_the_parent_was_given() {
    let subject = subject("spawn");
    let mut shell = Command::new("sh");
    let script = "trap '' HUP PIPE; umask 027; \
                  exec \"$0\" -q spawn parent ignored umask blocked descriptors 5< /dev/null";
    shell.args(["-c", script]).arg(program()).current_dir(subject.dir());
    let outcome = run(shell, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(said(&outcome), "SIGHUP SIGPIPE\n0027\nnone\n0 1 2 5\n");
}

#[test]
fn a_child_that_is_started_by_hand_tells_what_it_has() {
    let subject = subject("spawn");
    let outcome = run(spawn(&subject, &["child", "all"]), Input::Nothing);
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    let text = said(&outcome);
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {text}")).trim().to_owned()
    };
    assert_eq!(of("descriptors"), "0 1 2");
    assert!(of("files").starts_with("0 /dev/null, 1 pipe:["), "{text}");
    let dir = subject.dir().canonicalize().unwrap();
    assert_eq!(of("directory"), dir.display().to_string());
    assert_eq!(of("parent"), std::process::id().to_string());
    assert_eq!(text.lines().count(), 12);
    // Line by line, from a user.
    let input = Input::Bytes(b"blocked\nnonsense\n".into());
    let outcome = run(spawn(&subject, &["child", "-q"]), input);
    assert_eq!(said(&outcome), "none\nnonsense\n");
}
