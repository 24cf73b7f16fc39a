//! A terminal of a test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use nix::unistd::{Pid, tcgetpgrp};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;

use super::{deadline, have, until};

/// What it has shown, whether that is all, and the waiters that are woken when it shows more.
type Shown = (Mutex<(Vec<u8>, bool)>, Condvar);

/// A terminal, and a program that has it as its controlling one.
pub struct Terminal {
    master: File,
    child: Child,
    shown: Arc<Shown>,
    _state: TempDir,
}

impl Terminal {
    /// `None`, with a line on the terminal, without setsid(1).
    pub fn of(command: &Command) -> Option<Terminal> {
        // Wide, so that a shell does not fold what is typed.
        Terminal::of_columns(command, 300)
    }

    /// The same, so many columns wide.
    pub fn of_columns(command: &Command, columns: u16) -> Option<Terminal> {
        if !have("setsid") {
            return None;
        }
        let size = nix::pty::Winsize {
            ws_row: 50,
            ws_col: columns,
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
        // What is done at a terminal is kept: not in the home of the person who runs the tests.
        let state = TempDir::new().expect("a directory");
        setsid.env("XDG_STATE_HOME", state.path());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => setsid.env(name, value),
                None => setsid.env_remove(name),
            };
        }
        setsid.current_dir(command.get_current_dir().unwrap());
        setsid.stdin(slave()).stdout(slave()).stderr(slave());
        // As a terminal's shell starts it, also where the tests are a background job's.
        os::inheritance::start_afresh(&mut setsid);
        let child = setsid.spawn().expect("setsid");
        drop(pair.slave);
        let shown = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new()));
        let master = File::from(pair.master);
        let (mut reader, tape) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: no process has the terminal open.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                tape.0.lock().unwrap().0.extend_from_slice(&buffer[..n]);
                tape.1.notify_all();
            }
            tape.0.lock().unwrap().1 = true;
            tape.1.notify_all();
        });
        Some(Terminal { master, child, shown, _state: state })
    }

    /// The program's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Types these keys.
    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("write to the terminal");
    }

    /// Waits until the terminal has shown this so often.
    pub fn shows(&self, text: &str, times: usize) {
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

    /// What it has shown until now.
    pub fn so_far(&self) -> String {
        let text =
            String::from_utf8_lossy(&self.shown.0.lock().unwrap().0).into_owned();
        text.replace("\r\n", "\n")
    }

    /// Waits until the process group in the foreground is one that `wanted` likes.
    pub fn foreground(&self, wanted: impl Fn(Pid) -> bool) -> Pid {
        let mut found = None;
        until("one is in the foreground", || {
            found = tcgetpgrp(&self.master).ok().filter(|group| wanted(*group));
            found.is_some()
        });
        found.unwrap()
    }

    /// All that was shown, once the program has ended.
    pub fn ends(mut self) -> (ExitStatus, String) {
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
