//! A guard whose end is the end of its command's group: pipe2(2), fork(2), setpgid(2), kill(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process", "signal"] }

use std::error::Error;
use std::ffi::CString;
use std::process::exit;

//[
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
//]
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::*;

/// Forks the command, which leads a process group.
fn start(words: &[CString]) -> nix::Result<Pid> {
    // SAFETY: this process has one thread, so its child may call what it likes.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let _ = setpgid(child, child); // also here: whichever of the two is first
            Ok(child)
        }
        ForkResult::Child => {
            setpgid(Pid::this(), Pid::this())?;
            execvp(&words[0], words)?;
            exit(1)
        }
    }
}

fn guard(words: &[CString]) -> Result<i32, Box<dyn Error>> {
    //[
    // The write end is the guard's life: close-on-exec, so that the command has none.
    let (alive, held) = pipe2(OFlag::O_CLOEXEC)?;
    //]
    let command = start(words)?;
    //[
    // SAFETY: as above.
    if let ForkResult::Child = unsafe { fork() }? {
        let _ = setsid(); // no key and no kill of the guard's group ends the watcher
        drop(held); // or it would wait for itself
        read(&alive, &mut [0])?; // sleeps for as long as the guard lives
        let _ = killpg(command, Signal::SIGKILL);
        exit(0)
    }
    //]
    match waitpid(command, None)? { // sleeps until the command has ended
        WaitStatus::Exited(_, status) => Ok(status),
        by_a_signal => Err(format!("{by_a_signal:?}").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Result<Vec<_>, _> = std::env::args().skip(1).map(CString::new).collect();
    match &words?[..] {
        [role, command @ ..] if *role == *c"guard" && !command.is_empty() => {
            exit(guard(command)?)
        }
        _ => {
            eprintln!("usage: guard COMMAND ARGUMENT...");
            exit(2)
        }
    }
}
