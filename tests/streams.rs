//! Standard input, output and error in every state that they can be in, for every verb and
//! role: nothing panics, nothing is lost, and the exit status says what was done.

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use chapters::rows;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use support::*;
use wire::chapter::Row;

/// `command`, with a redirection that a shell makes.
fn redirected(command: &Command, how: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {how}"));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.expect("a variable that is set"));
    }
    shell.current_dir(command.get_current_dir().expect("the subject's directory"));
    shell
}

/// The write end of a pipe whose reader has gone.
fn unread() -> OwnedFd {
    pipe2(OFlag::O_CLOEXEC).unwrap().1
}

/// A pipe whose `end` does not block: 0 to read from it, 1 to write to it.
fn nonblocking(end: usize) -> (OwnedFd, OwnedFd) {
    let pipe = pipe2(OFlag::O_CLOEXEC).unwrap();
    let fd = [&pipe.0, &pipe.1][end];
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    fcntl(fd, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    pipe
}

/// The states of standard error in which nothing can be written there.
const MUTE: [&str; 4] = ["2> /dev/full", "2>&-", "2< /dev/null", UNREAD];

/// Not a redirection: a pipe that nobody reads.
const UNREAD: &str = "unread";

/// Runs `command` with its standard error in one of the states above.
fn muted(command: Command, how: &str) -> RoleProcess {
    let (command, stderr) = match how {
        UNREAD => (command, Some(unread())),
        how => (redirected(&command, how), None),
    };
    RoleProcess::start_with(how, command, Input::Nothing, Output::Kept, stderr)
        .unwrap()
}

/// Command lines that end by themselves, and how.
const VERBS: &[(&str, i32)] = &[
    ("", 0),
    ("--help", 0),
    ("--version", 0),
    ("list", 0),
    ("list --json", 0),
    ("fifo", 0),
    ("fifo receiver --help", 0),
    ("demo fifo", 0),
    ("trace fifo", 0),
    ("trace --json pipe", 0),
    ("experiment", 0),
    ("experiment --json", 0),
    ("experiment fifo/no-reader-enxio --guess 1", 0),
    ("bench --help", 0),
    ("next", 0),
    ("clean", 0),
    ("clean --dry-run", 0),
    ("completions bash", 0),
    ("man", 0),
    ("pipe fork hello", 0),
    ("pipe fork --duplex two-pipes hello", 0),
    ("nosuch", 2),
    ("fifo receiver --count 0", 2),
    ("trace", 2),
    ("experiment fifo/no-reader-enxio", 2),
    ("experiment fifo --quiz", 2),
    ("fifo receiver --at /nosuch/x", 1),
    ("fifo receiver --ready-fd 99", 1),
    ("fifo receiver --timeout 0.05", 124),
];

fn verb(subject: &Subject, words: &str) -> Command {
    let words: Vec<_> = words.split_whitespace().collect();
    let mut command = ipclab(subject, &words);
    command.env("XDG_STATE_HOME", subject.dir().join("state"));
    command
}

#[test]
fn a_verb_ends_as_it_does_otherwise_where_standard_error_cannot_be_written() {
    for (words, status) in VERBS {
        for how in MUTE {
            let subject = subject("fifo");
            let role = muted(verb(&subject, words), how);
            let outcome = role.wait(deadline()).unwrap();
            assert_eq!(outcome.status.code(), Some(*status), "{words} {how}");
            if *status == 0 && !words.starts_with("clean") {
                assert!(!outcome.stdout.is_empty(), "{words} {how}");
            }
        }
    }
}

/// The last line on standard error; what is a failure's is the only one of its kind.
fn complaint(words: &str, outcome: &Outcome) -> String {
    let all: Vec<_> =
        outcome.stderr.lines().filter(|line| line.starts_with("ipclab: ")).collect();
    assert_eq!(all.len(), 1, "{words}: {}", outcome.stderr);
    all[0].to_owned()
}

#[test]
fn a_verb_says_that_standard_output_cannot_be_written() {
    let states =
        [("> /dev/full", "ENOSPC"), (">&-", "EBADF"), ("1< /dev/null", "EBADF")];
    // There is nothing to clean, and nothing printed about it.
    let prints = |(words, status): &&(&str, i32)| *status == 0 && *words != "clean";
    for (words, _) in VERBS.iter().filter(prints) {
        for (how, why) in states {
            if *words == "clean --dry-run" && why == "ENOSPC" {
                continue;
            }
            let subject = subject("fifo");
            let outcome =
                run(redirected(&verb(&subject, words), how), Input::Nothing);
            assert_eq!(
                outcome.status.code(),
                Some(1),
                "{words} {how}: {}",
                outcome.stderr
            );
            let line = complaint(words, &outcome);
            assert!(
                line.contains(&format!("write standard output: {why}")),
                "{words} {how}: {line}"
            );
        }
        let subject = subject("fifo");
        let output = Output::To(unread());
        let role = RoleProcess::start_with(
            words,
            verb(&subject, words),
            Input::Nothing,
            output,
            None,
        );
        let outcome = role.unwrap().wait(deadline()).unwrap();
        assert!(outcome.status.success(), "{words}: {}", outcome.stderr);
    }
}

/// The parts of a chapter's script, as commands in the subject's directory.
fn parts(subject: &Subject, row: &Row) -> Vec<(&'static str, Command)> {
    if row.name == "dbus" {
        // In its script one watches, who must be there before the other posts.
        let server = ipclab(subject, &["dbus", "server", "--count", "1"]);
        let client =
            ipclab(subject, &["dbus", "client", "call", "Post", "s", "hello"]);
        return vec![("server", server), ("client", client)];
    }
    let words =
        |part: &wire::chapter::Part| [&[row.name, part.role], part.args].concat();
    row.script
        .parts
        .iter()
        .map(|part| (part.role, ipclab(subject, &words(part))))
        .collect()
}

/// The chapters whose roles can be started here one by one.
fn played() -> impl Iterator<Item = Row> {
    rows()
        .iter()
        .copied()
        .filter(|row| row.missing().is_none() && row.meets.by_name())
}

#[test]
fn a_pair_does_its_work_where_standard_error_cannot_be_written() {
    for row in played() {
        for how in MUTE {
            let subject = subject(row.name);
            let running: Vec<_> = parts(&subject, &row)
                .into_iter()
                .map(|(role, command)| (role, muted(command, how)))
                .collect();
            for (role, running) in running {
                let outcome = running.wait(deadline()).unwrap();
                assert!(
                    outcome.status.success(),
                    "{} {role} {how}: {}",
                    row.name,
                    outcome.status
                );
                if role == row.script.prints
                    && !matches!(row.name, "multiplex" | "dbus")
                {
                    let printed = String::from_utf8(outcome.stdout).unwrap();
                    assert_eq!(
                        printed, row.script.expect,
                        "{} {role} {how}",
                        row.name
                    );
                }
            }
            subject.nothing_is_left().unwrap();
        }
    }
}

/// Roles that print, and what else they are told.
const PRINT: &[&str] = &[
    "pipe receiver",
    "pipe sender hello",
    "fifo receiver",
    "file receiver",
    "signal receiver",
    "sysvmq receiver",
    "posixmq receiver",
    "shm receiver",
    "mmap receiver",
    "semaphore waiter",
    "eventfd waiter",
    "unix server",
    "unix server --type seqpacket",
    "unix server --type dgram",
    "unix client hello",
    "unix client --type dgram hello",
    "tcp server --listen 127.0.0.1:0",
    "tcp server --listen 127.0.0.1:0 --strategy fork",
    "tcp server --listen 127.0.0.1:0 --strategy threads",
    "tcp client hello",
    "udp server --listen 127.0.0.1:0",
    "udp client hello",
    "multiplex server",
    "multiplex client hello",
    "fdpass worker",
    "fdpass fork --listen 127.0.0.1:0",
    "fdpass client hello",
    "dbus server",
    "dbus client list",
];

#[test]
fn a_role_that_cannot_print_takes_nothing_and_says_so() {
    for words in PRINT {
        for how in [">&-", "1< /dev/null"] {
            let subject = subject("fifo");
            // Of those that wait for a peer none would end before its time.
            let words = format!("{words} --timeout 20");
            let outcome =
                run(redirected(&verb(&subject, &words), how), Input::Nothing);
            assert_eq!(
                outcome.status.code(),
                Some(1),
                "{words} {how}: {}",
                outcome.stderr
            );
            let line = complaint(&words, &outcome);
            assert!(
                line.contains("write standard output: EBADF"),
                "{words} {how}: {line}"
            );
            subject.nothing_is_left().unwrap();
        }
    }
}

/// Roles that read standard input.
const READ: &[&str] = &[
    "pipe receiver",
    "pipe receiver --zero-copy --bytes",
    "pipe sender",
    "fifo sender",
    "fifo sender --bytes",
    "file sender",
    "signal sender",
    "sysvmq sender",
    "posixmq sender",
    "shm sender",
    "mmap sender",
    "unix client",
    "unix client --bytes",
    "unix client --type seqpacket",
    "unix client --type dgram",
    "tcp client",
    "udp client",
    "multiplex client",
    "multiplex server --stdin",
    "fdpass client",
    "eventfd notifier",
];

#[test]
fn a_standard_input_that_cannot_be_read_is_no_empty_one() {
    for words in READ {
        for (how, why) in
            [("<&-", "EBADF"), ("0> /dev/null", "EBADF"), ("< /", "EISDIR")]
        {
            let subject = subject("fifo");
            let words = format!("{words} --timeout 20");
            let outcome =
                run(redirected(&verb(&subject, &words), how), Input::Nothing);
            assert_eq!(
                outcome.status.code(),
                Some(1),
                "{words} {how}: {}",
                outcome.stderr
            );
            let line = complaint(&words, &outcome);
            assert!(
                line.contains(&format!("read standard input: {why}")),
                "{words} {how}: {line}"
            );
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn who_needs_no_standard_input_may_be_started_without_one() {
    for words in ["pipe fork hello", "demo fifo", "list", "clean"] {
        for how in ["<&-", "0> /dev/null", "< /"] {
            let subject = subject("fifo");
            let outcome =
                run(redirected(&verb(&subject, words), how), Input::Nothing);
            assert!(outcome.status.success(), "{words} {how}: {}", outcome.stderr);
        }
    }
}

#[test]
fn no_file_of_ours_gets_the_number_of_a_closed_stream() {
    let subject = subject("fifo");
    let (how, here) = ("<&- 2>&-", verb(&subject, "fifo receiver"));
    let receiver =
        RoleProcess::start("receiver", redirected(&here, how), Input::Nothing)
            .unwrap();
    let lock = subject.dir().join("fifo");
    until("it is there", || lock.exists());
    for number in [0, 2] {
        let link = format!("/proc/{}/fd/{number}", receiver.pid());
        assert_eq!(std::fs::read_link(link).unwrap(), OsStr::new("/dev/null"));
    }
    receiver.stop(nix::sys::signal::Signal::SIGINT, deadline()).unwrap();
}

/// More than any pipe, queue or socket here holds.
fn much() -> Vec<u8> {
    (0..5000).flat_map(|number| format!("{number:095}\n").into_bytes()).collect()
}

/// Sender and receiver of each chapter that carries what standard input says.
fn pairs() -> Vec<(Subject, Vec<u8>)> {
    let all = played().filter(|row| {
        !matches!(row.name, "semaphore" | "eventfd" | "dbus" | "fdpass")
    });
    all.map(|row| {
        // A signal carries four bytes.
        let all =
            if row.name == "signal" { much()[..9600].to_vec() } else { much() };
        (subject(row.name), all)
    })
    .collect()
}

#[test]
fn a_standard_input_that_does_not_block_is_waited_for() {
    for bytes in [false, true] {
        for (subject, all) in pairs() {
            let (reading, writing) = nonblocking(0);
            let more: &[&str] = if bytes { &["--bytes", "-q"] } else { &["-q"] };
            let (sender, receiver) =
                subject.start(more, Input::From(reading), more).unwrap();
            until("it sleeps", || asleep(&sender));
            let mut writing = File::from(writing);
            writing.write_all(&all).unwrap();
            drop(writing);
            let ran = subject.finish((sender, receiver)).unwrap();
            let name = subject.chapter.name;
            assert!(ran.sender.status.success(), "{name}: {}", ran.sender.stderr);
            assert!(
                ran.receiver.status.success(),
                "{name}: {}",
                ran.receiver.stderr
            );
            assert_eq!(ran.arrived.len(), all.len(), "{name}");
            assert!(ran.arrived == all, "{name}");
        }
    }
}

/// Whether a role sleeps.
fn asleep(role: &RoleProcess) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", role.pid()));
    stat.is_ok_and(|stat| stat.contains(") S "))
}

#[test]
fn a_standard_output_that_does_not_block_is_waited_for() {
    for (subject, all) in pairs() {
        let (reading, writing) = nonblocking(1);
        let (name, talks) = (subject.chapter.name, subject.talks());
        let printing = if talks {
            subject.sender_command(&["-q"])
        } else {
            subject.receiver_command(&["-q"])
        };
        let input = if talks { Input::Bytes(all.clone()) } else { Input::Nothing };
        let printing = RoleProcess::start_with(
            "prints",
            printing,
            input,
            Output::To(writing),
            None,
        )
        .unwrap();
        let other = if talks {
            subject.start_receiver(&["-q"]).unwrap()
        } else {
            subject.start_sender(&["-q"], Input::Bytes(all.clone())).unwrap()
        };
        // What was in its way is full before anything is taken out of it.
        until("it sleeps with its pipe full", || {
            rustix::io::ioctl_fionread(&reading).unwrap() > 0 && asleep(&printing)
        });
        let mut printed = Vec::new();
        File::from(reading).read_to_end(&mut printed).unwrap();
        assert!(printed == all, "{name}: {} of {} bytes", printed.len(), all.len());
        for role in [printing, other] {
            let outcome = role.wait(deadline()).unwrap();
            assert!(outcome.status.success(), "{name}: {}", outcome.stderr);
        }
    }
}

#[test]
fn a_pipe_that_does_not_block_is_waited_for_at_both_ends() {
    for options in
        [&["-q"][..], &["-q", "--bytes"], &["-q", "--bytes", "--zero-copy"]]
    {
        let subject = subject("pipe");
        let (reading, writing) = nonblocking(0);
        fcntl(&writing, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let all = much().repeat(3);
        let into = subject.dir().join("copy");
        let receiver = RoleProcess::start_with(
            "receiver",
            subject.receiver_command(options),
            Input::From(reading),
            Output::To(File::create(&into).unwrap().into()),
            None,
        );
        let receiver = receiver.unwrap();
        until("it sleeps", || asleep(&receiver));
        let (input, output) = (Input::Bytes(all.clone()), Output::To(writing));
        let sender = RoleProcess::start_with(
            "sender",
            subject.sender_command(options),
            input,
            output,
            None,
        );
        for role in [sender.unwrap(), receiver] {
            let outcome = role.wait(deadline()).unwrap();
            assert!(outcome.status.success(), "{options:?}: {}", outcome.stderr);
        }
        assert!(std::fs::read(into).unwrap() == all, "{options:?}");
    }
}

#[test]
fn a_standard_error_that_does_not_block_loses_no_line() {
    let subject = subject("pipe");
    let (reading, writing) = nonblocking(1);
    // Full from the start.
    let full = loop {
        match nix::unistd::write(&writing, b"x") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full, nix::errno::Errno::EAGAIN);
    let command = ipclab(&subject, &["pipe", "fork", "one", "two"]);
    let kept = Output::Kept;
    let role = RoleProcess::start_with(
        "fork",
        command,
        Input::Nothing,
        kept,
        Some(writing),
    )
    .unwrap();
    until("it sleeps", || asleep(&role));
    let mut said = String::new();
    File::from(reading).read_to_string(&mut said).unwrap();
    assert_eq!(role.wait(deadline()).unwrap().stdout, b"one\ntwo\n");
    for line in ["pipe2() made", "write(\"one\\n\", 4)", "read() = 0", "waitpid("] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_number_for_ready_fd_that_was_not_open_is_refused_before_a_file_of_ours_has_it()
{
    for number in ["3", "4", "5", "7"] {
        let subject = subject("fifo");
        let command = ipclab(&subject, &["fifo", "receiver", "--ready-fd", number]);
        // Whoever runs the tests may have left some open.
        let close = format!("{number}>&-");
        let outcome = run(redirected(&command, &close), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(1));
        assert!(complaint(number, &outcome).contains("EBADF"), "{}", outcome.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn arguments_and_variables_that_are_not_utf8_are_no_panic() {
    let bad = OsStr::from_bytes(b"\xff\xfe\x80");
    let subject = subject("fifo");
    let plain = |words: &[&str]| {
        let mut command = ipclab(&subject, words);
        command.arg0(bad);
        command
    };
    let receiver =
        RoleProcess::start("receiver", plain(&["fifo", "receiver"]), Input::Nothing)
            .unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let mut sender = plain(&["fifo", "sender"]);
    sender.arg(bad);
    assert!(run(sender, Input::Nothing).status.success());
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"\xff\xfe\x80\n");
    for (words, status) in VERBS {
        let outcome = run(
            plain(&words.split_whitespace().collect::<Vec<_>>()),
            Input::Nothing,
        );
        assert_eq!(
            outcome.status.code(),
            Some(*status),
            "{words}: {}",
            outcome.stderr
        );
        let mut more = verb(&subject, words);
        more.arg(bad);
        let code = run(more, Input::Nothing).status.code();
        assert!(
            matches!(code, Some(0..=2 | 124)),
            "{words} and three bytes: {code:?}"
        );
    }
    const VARIABLES: [&str; 16] = [
        "COLUMNS",
        "LINES",
        "TERM",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "HOME",
        "LANG",
        "XDG_STATE_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "DBUS_SYSTEM_BUS_ADDRESS",
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "CC",
    ];
    for (words, status) in VERBS {
        let mut command = verb(&subject, words);
        command.envs(VARIABLES.map(|name| (name, bad)));
        let outcome = run(command, Input::Nothing);
        assert_eq!(
            outcome.status.code(),
            Some(*status),
            "{words}: {}",
            outcome.stderr
        );
    }
}
