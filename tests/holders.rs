//! A role that sleeps at a terminal says who else holds its peer's end, and which command shows it.

mod support;

use std::process::Command;

use support::terminal::Terminal;
use support::*;

/// What begins the line that names the command.
const COMMAND: &str = "who holds what: ";

/// A shell with a role at a terminal; `$0` is the program, `$IPCLAB_DIR` its runtime directory.
fn at_terminal(subject: &Subject, script: &str) -> Option<Terminal> {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program());
    shell.env("IPCLAB_DIR", subject.dir()).env("NO_COLOR", "1");
    shell.env_remove("COLUMNS").current_dir(subject.dir());
    Terminal::of(&shell)
}

/// A shell without one, beside it.
fn beside(subject: &Subject, script: &str) -> RoleProcess {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program()).env("IPCLAB_DIR", subject.dir());
    shell.current_dir(subject.dir());
    RoleProcess::start("other", shell, Input::Open).unwrap()
}

/// Waits for the sentence, runs the command that stands below it, and returns what both say.
fn said_and_shown(terminal: &Terminal, said: &str) -> (String, String) {
    terminal.shows(said, 1);
    terminal.shows(COMMAND, 1);
    until("a whole line", || {
        let so_far = terminal.so_far();
        so_far.split_once(COMMAND).is_some_and(|(_, after)| after.contains('\n'))
    });
    let so_far = terminal.so_far();
    let (before, after) = so_far.split_once(COMMAND).unwrap();
    let line = before.lines().find(|line| line.contains(said)).unwrap().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", after.lines().next().unwrap()]);
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let map = String::from_utf8(outcome.stdout).unwrap();
    let remark = map.split_once("  ← ").expect(&map).1;
    assert!(remark.contains(" while "), "{map}");
    (line, map)
}

const NO_END: &str = "no end of file comes while";

#[test]
fn a_shell_that_holds_the_write_end_of_the_fifo_is_named() {
    let subject = subject("fifo");
    let receiver = "exec \"$0\" fifo receiver < /dev/null";
    let Some(terminal) = at_terminal(&subject, receiver) else { return };
    terminal.shows("start the other:", 1);
    let script =
        "exec 7> \"$IPCLAB_DIR/fifo\"; \"$0\" -q fifo sender hello; read line";
    let shell = beside(&subject, script);
    let (line, map) = said_and_shown(&terminal, NO_END);
    let wanted = format!("sh {} holds the write end", shell.pid());
    assert!(line.contains(&wanted), "{line}");
    assert!(map.contains(&format!("sh {}", shell.pid())), "{map}");
    shell.stop(nix::sys::signal::Signal::SIGTERM, deadline()).unwrap();
    let (status, text) = terminal.ends();
    assert!(status.success(), "{text}");
    assert_eq!(text.matches(NO_END).count(), 1, "{text}");
}

#[test]
fn a_child_that_got_the_pipes_write_end_is_named() {
    let subject = subject("pipe");
    // The sender has ended, and cat still has what the shell gave to both.
    let pair = "{ \"$0\" -q pipe sender hello; cat < keep; } | \"$0\" pipe receiver";
    let made = Command::new("mkfifo").arg(subject.dir().join("keep")).status();
    assert!(made.unwrap().success());
    let Some(terminal) = at_terminal(&subject, pair) else { return };
    let (line, map) = said_and_shown(&terminal, NO_END);
    assert!(line.contains("the write end") && line.contains("hold"), "{line}");
    assert!(map.contains("─▶ sh ") && map.contains("◀─ receiver "), "{map}");
    // Opened, and closed: then cat ends, and with it the last writer.
    beside(&subject, ": > keep").wait(deadline()).unwrap();
    let (status, text) = terminal.ends();
    assert!(status.success(), "{text}");
}

#[test]
fn a_process_that_keeps_a_clients_connection_open_is_named() {
    let subject = subject("unix");
    let keeps = "\
import os, socket, sys, time
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
if os.fork() == 0:
    sys.stdin.read()";
    let server = "exec \"$0\" unix server --count 1 < /dev/null";
    let Some(terminal) = at_terminal(&subject, server) else { return };
    terminal.shows("start the other:", 1);
    let Some(python) = refusing(&subject, (libc::SYS_ptrace, libc::EPERM), &[])
    else {
        return;
    };
    let mut client = Command::new(python.get_program());
    client.args(["-c", keeps]).arg(subject.dir().join("unix"));
    let mut client = RoleProcess::start("client", client, Input::Open).unwrap();
    let (line, _) = said_and_shown(&terminal, NO_END);
    assert!(line.contains("the peer's end") && line.contains("python"), "{line}");
    // The end of its input ends the child.
    client.close_stdin();
    client.wait(deadline()).unwrap();
    let (status, text) = terminal.ends();
    assert!(status.success(), "{text}");
}

#[test]
fn a_writer_is_told_who_keeps_its_reader_alive() {
    let subject = subject("pipe");
    let pair = "\"$0\" pipe sender --bytes < /dev/zero | { head -c 1 > /dev/null; cat < keep; }";
    let made = Command::new("mkfifo").arg(subject.dir().join("keep")).status();
    assert!(made.unwrap().success());
    let Some(terminal) = at_terminal(&subject, pair) else { return };
    let (line, _) = said_and_shown(&terminal, "no EPIPE comes while");
    assert!(line.contains("the read end"), "{line}");
    beside(&subject, ": > keep").wait(deadline()).unwrap();
    terminal.ends();
}

#[test]
fn two_roles_alone_say_nothing_however_long_they_sleep() {
    let subjects = ["fifo", "unix", "tcp"].map(subject);
    let mut terminals = Vec::new();
    for of in &subjects {
        let name = of.chapter.name;
        let (first, second) = match name {
            "fifo" => ("receiver", "sender"),
            "tcp" => ("server --count 1 --listen 127.0.0.1:0", "client"),
            _ => ("server --count 1", "client"),
        };
        let first = format!("exec \"$0\" {name} {first} < /dev/null");
        let Some(waits) = at_terminal(of, &first) else { return };
        waits.shows("start the other:", 1);
        let second = format!("exec \"$0\" {name} {second}");
        let types = at_terminal(of, &second).unwrap();
        types.shows("Ctrl-D ends", 1);
        terminals.push((waits, types));
    }
    // Who holds a socket's other end alone is the peer.
    let idle = subject("unix");
    let server = "exec \"$0\" unix server --count 1 < /dev/null";
    let served = at_terminal(&idle, server).unwrap();
    served.shows("start the other:", 1);
    let client = "import socket, sys\nclient = socket.socket(socket.AF_UNIX)\n\
                  client.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()";
    let Some(python) = refusing(&idle, (libc::SYS_ptrace, libc::EPERM), &[]) else {
        return;
    };
    let mut command = Command::new(python.get_program());
    command.args(["-c", client]).arg(idle.dir().join("unix"));
    let mut client = RoleProcess::start("client", command, Input::Open).unwrap();
    until("the client is connected", || served.so_far().contains("accept"));
    // Another that began to sleep after them, and has a reason: when it speaks, they have looked.
    let last = subject("fifo");
    let last_waits = at_terminal(&last, "\"$0\" fifo receiver < /dev/null").unwrap();
    last_waits.shows("start the other:", 1);
    let mut shell = beside(&last, "exec 7> \"$IPCLAB_DIR/fifo\"; read line");
    last_waits.shows(NO_END, 1);
    shell.close_stdin();
    shell.wait(deadline()).unwrap();
    last_waits.ends();
    client.close_stdin();
    client.wait(deadline()).unwrap();
    let (status, text) = served.ends();
    assert!(status.success() && !text.contains(COMMAND), "{text}");
    for (waits, mut types) in terminals {
        types.types("hello\n");
        waits.shows("hello", 1);
        types.types("\u{4}");
        for one in [types, waits] {
            let (status, text) = one.ends();
            assert!(status.success() && !text.contains(COMMAND), "{text}");
        }
    }
}

#[test]
fn a_role_that_forks_does_so_while_a_thread_looks_on() {
    let subject = subject("pipe");
    let fork = "exec \"$0\" pipe fork --duplex socketpair hello";
    let Some(terminal) = at_terminal(&subject, fork) else { return };
    let (status, text) = terminal.ends();
    assert!(status.success() && text.contains("hello"), "{text}");
}
