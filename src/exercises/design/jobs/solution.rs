//! A job runner: fork(2), waitpid(2), kill(2), prctl(2), signalfd(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["poll", "process", "signal"] }

//[
use std::collections::HashSet;
use std::os::fd::AsFd;
//]
use std::error::Error;
use std::process::Command;
//[
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// All that descends from this process.
fn family() -> Vec<Pid> {
    let (mut found, mut parents) = (Vec::new(), vec![getpid()]);
    while let Some(parent) = parents.pop() {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default(); // it has ended
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let pids: Vec<Pid> = pids.map(Pid::from_raw).collect();
        found.extend(&pids);
        parents.extend(pids);
    }
    found
}

/// Sends all a signal, and waits for them, at most so long.
fn end_family(signal: Signal, most: Option<Duration>) -> nix::Result<()> {
    let (began, mut asked) = (Instant::now(), HashSet::new());
    while most.is_none_or(|most| began.elapsed() < most) {
        for pid in family() {
            // Whoever was forked meanwhile is asked next time.
            if asked.insert(pid) {
                let _ = kill(pid, signal); // ESRCH: it has ended
            }
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return Ok(()), // there is nobody any more
                Ok(WaitStatus::StillAlive) => break,
                other => drop(other?),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
//]

fn run(command: &str) -> Result<i32, Box<dyn Error>> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    //[
    // What is orphaned becomes our child, and not that of process 1.
    set_child_subreaper(true)?;
    let wanted = SigSet::from_iter([Signal::SIGTERM, Signal::SIGCHLD]);
    wanted.thread_block()?; // not in the shell: Command unblocks all for it
    let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let job = Pid::from_raw(shell.spawn()?.id() as i32);
    let status = 'ended: loop {
        poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?; // sleeps
        let mut terminated = false;
        while let Some(signal) = signals.read_signal()? {
            terminated |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        // Several children may have ended, and orphans that were given to us among them.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == job => break 'ended status,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == job => {
                    break 'ended 128 + signal as i32;
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if terminated {
            end_family(Signal::SIGTERM, Some(Duration::from_secs(2)))?;
            eprintln!("ended by SIGTERM, with the whole family");
            break 128 + Signal::SIGTERM as i32;
        }
    };
    end_family(Signal::SIGKILL, None)?; // what is left
    Ok(status)
    //]
    //| Ok(shell.status()?.code().unwrap_or(1))
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, command] if role == "run" => std::process::exit(run(command)?),
        _ => {
            eprintln!("usage: run COMMAND");
            std::process::exit(2)
        }
    }
}
