//! What a command prints, and how it ends: pipe(2), fork(2), execve(2), read(2), waitpid(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process"] }

use std::error::Error;
use std::ffi::CString;
use std::io::{Write, stdout};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, dup2_stdout, execvp, fork, pipe, read};

fn run(command: &[String]) -> Result<(), Box<dyn Error>> {
    let words: Vec<CString> =
        command.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
    let (reading, writing) = pipe()?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            dup2_stdout(&writing)?;
            drop((reading, writing)); // the command gets 0, 1 and 2 alone
            let Err(errno) = execvp(&words[0], &words);
            eprintln!("{}: {errno}", command[0]);
            std::process::exit(127)
        }
    };
    let mut printed = Vec::new();
    let mut buffer = [0; 65536];
    //[
    drop(writing); // or read never returns 0: this process is a writer as well
    //]
    //| let ended = waitpid(child, None)?; // sleeps until the command has ended
    loop {
        let n = read(&reading, &mut buffer)?; // sleeps until the command prints
        if n == 0 {
            break;
        }
        printed.extend(&buffer[..n]);
    }
    //[
    // Before the end of all output this could sleep for ever: the pipe is full at 64 KiB.
    let ended = waitpid(child, None)?; // sleeps until the command has ended
    //]
    match ended {
        WaitStatus::Signaled(_, signal, _) => println!("signal {}", signal as i32),
        WaitStatus::Exited(_, status) => println!("status {status}"),
        other => return Err(format!("{other:?}").into()),
    }
    Ok(stdout().write_all(&printed)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, command @ ..] if role == "run" && !command.is_empty() => run(command)?,
        _ => {
            eprintln!("usage: run COMMAND ARGUMENT...");
            std::process::exit(2)
        }
    }
    Ok(())
}
