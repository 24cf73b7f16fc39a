//! Traced programs have the terminal as they would without us.

use std::process::Command;

use super::support::terminal::Terminal;
use super::*;

#[test]
fn a_program_reads_and_sets_the_terminal_as_ssh_and_stty_do() {
    let subject = subject("fifo");
    for line in [
        "read x < /dev/tty; echo got $x",
        "read x; echo got $x",
        "stty -echo < /dev/tty; read x < /dev/tty; stty echo; echo got $x",
        "stty tostop; echo before; read x; echo got $x",
    ] {
        for more in [&[][..], &[":::", "sh", "-c", "echo the other"]] {
            let args = [&["trace", "--", "sh", "-c", line], more].concat();
            let Some(mut terminal) = Terminal::of(&ipclab(&subject, &args)) else {
                return;
            };
            terminal.types("hello\n");
            let (status, text) = terminal.ends();
            assert!(status.success(), "{line}: {status} {text}");
            assert!(text.contains("got hello"), "{line}: {text}");
        }
    }
}

#[test]
fn standard_input_is_the_first_ones_and_the_others_is_empty() {
    let subject = subject("fifo");
    let args = ["trace", "--", "cat", ":::", "wc", "-c"];
    let outcome = run(ipclab(&subject, &args), Input::Bytes(b"hello\n".to_vec()));
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let mut lines: Vec<_> = outcome.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "hello"]);
}

#[test]
fn ctrl_c_is_the_programs_and_one_that_it_ends_ends_the_trace() {
    use std::os::unix::process::ExitStatusExt;
    let subject = subject("fifo");
    let trace = |line: &str| {
        Terminal::of(&ipclab(&subject, &["trace", "--", "sh", "-c", line]))
    };
    let Some(mut ended) = trace("echo up; exec sleep 100") else { return };
    ended.shows("up", 1);
    ended.types("\x03");
    let (status, text) = ended.ends();
    assert_eq!(status.signal(), Some(libc::SIGINT), "{text}");
    assert!(text.contains("killed by SIGINT"), "{text}");
    assert!(text.contains("Interrupted: what was seen until then."), "{text}");
    // It has its own way of taking Ctrl-C, and goes on after it.
    let own = "trap 'echo taken' INT; echo up; read x; read x; echo got $x";
    let mut own = trace(own).unwrap();
    own.shows("up", 1);
    own.types("\x03");
    own.shows("taken", 1);
    own.types("one\ntwo\n");
    let (status, text) = own.ends();
    assert!(status.success(), "{status} {text}");
    assert!(text.contains("got ") && !text.contains("Interrupted"), "{text}");
    // Ctrl-\ ends whom Ctrl-C does not.
    let mut deaf = trace("ulimit -c 0; trap '' INT; echo up; sleep 100").unwrap();
    deaf.shows("up", 1);
    deaf.types("\x03\x1c");
    let (status, text) = deaf.ends();
    assert_eq!(status.signal(), Some(libc::SIGQUIT), "{text}");
    assert!(text.contains("killed by SIGQUIT"), "{text}");
}

#[test]
fn ctrl_z_stops_both_and_fg_brings_both_back() {
    if !have("bash") {
        return;
    }
    let subject = subject("fifo");
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]).current_dir(subject.dir());
    let Some(mut terminal) = Terminal::of(&shell) else { return };
    let program = program();
    let line = format!(
        "{} trace -- sh -c 'echo u\"\"p; read x; echo got $x'\n",
        program.display()
    );
    let shell = terminal.pid();
    terminal.types(&line);
    terminal.shows("up", 1);
    let job = terminal.foreground(|group| group != shell);
    terminal.types("\x1a");
    terminal.shows("Stopped", 1);
    terminal.foreground(|group| group == shell);
    terminal.types("fg\n");
    terminal.foreground(|group| group == job);
    terminal.types("hello\n");
    terminal.shows("got hello", 1);
    terminal.shows("ends", 1);
    terminal.types("exit\n");
    let (_, text) = terminal.ends();
    assert!(text.contains("SIGTSTP") && text.contains("SIGCONT"), "{text}");
}
