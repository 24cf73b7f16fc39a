//! Traced programs have the terminal as they would without us.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use nix::unistd::{Pid, tcgetpgrp};
use rustix::io::{FdFlags, fcntl_setfd};

use super::*;

/// What it has shown, whether that is all, and who is told of more.
type Shown = (Mutex<(Vec<u8>, bool)>, Condvar);

/// A terminal, and a program that has it as its controlling one.
struct Terminal {
    master: File,
    child: Child,
    shown: Arc<Shown>,
}

impl Terminal {
    /// `None`, said aloud, without setsid(1).
    fn of(command: &Command) -> Option<Terminal> {
        if !have("setsid") {
            return None;
        }
        // Wide, so that a shell does not fold what is typed.
        let size = nix::pty::Winsize {
            ws_row: 50,
            ws_col: 300,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = nix::pty::openpty(Some(&size), None).expect("a terminal");
        for end in [&pair.master, &pair.slave] {
            fcntl_setfd(end, FdFlags::CLOEXEC).expect("fcntl");
        }
        let slave = || Stdio::from(pair.slave.try_clone().expect("dup"));
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
        setsid.current_dir(command.get_current_dir().unwrap());
        setsid.stdin(slave()).stdout(slave()).stderr(slave());
        // As a terminal's shell starts it, also where the tests are a background job's.
        ipclab::os::inheritance::reset_signals(&mut setsid);
        let child = setsid.spawn().expect("setsid");
        drop(pair.slave);
        let shown = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new()));
        let master = File::from(pair.master);
        let (mut reader, tape) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: nobody has the terminal open.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                tape.0.lock().unwrap().0.extend_from_slice(&buffer[..n]);
                tape.1.notify_all();
            }
            tape.0.lock().unwrap().1 = true;
            tape.1.notify_all();
        });
        Some(Terminal { master, child, shown })
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("write to the terminal");
    }

    /// Waits until the terminal has shown this so often.
    fn shows(&self, text: &str, times: usize) {
        let deadline = deadline();
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            let so_far = String::from_utf8_lossy(&shown.0).into_owned();
            if so_far.matches(text).count() >= times {
                return;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(
                !left.is_zero() && !shown.1,
                "no {text:?} {times} times: {so_far}"
            );
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until the process group in the foreground is one that `wanted` likes.
    fn foreground(&self, wanted: impl Fn(Pid) -> bool) -> Pid {
        let deadline = deadline();
        loop {
            match tcgetpgrp(&self.master) {
                Ok(group) if wanted(group) => return group,
                _ => assert!(
                    std::time::Instant::now() < deadline,
                    "not in the foreground"
                ),
            }
            std::thread::yield_now();
        }
    }

    /// All that was shown, once the program has ended.
    fn ends(mut self) -> (ExitStatus, String) {
        let deadline = deadline();
        let mut shown = self.shown.0.lock().unwrap();
        while !shown.1 {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(
                !left.is_zero(),
                "goes on: {}",
                String::from_utf8_lossy(&shown.0)
            );
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
        let text = String::from_utf8_lossy(&shown.0).into_owned();
        drop(shown);
        (self.child.wait().expect("wait"), text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    let shell = Pid::from_raw(terminal.child.id() as i32);
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
