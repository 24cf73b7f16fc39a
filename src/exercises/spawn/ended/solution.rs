//! Tells how a command has ended: fork(2), execvp(3), waitpid(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["process"] }

use std::error::Error;
//[
use std::ffi::CString;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, execvp, fork};
//]

fn runner(words: &[String]) -> Result<(), Box<dyn Error>> {
    //[
    let words: Vec<CString> =
        words.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let Err(errno) = execvp(&words[0], &words);
            eprintln!("execvp: {errno}");
            std::process::exit(127)
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            // It has slept until the command has ended.
            WaitStatus::Signaled(_, signal, _) => println!("signal {}", signal as i32),
            WaitStatus::Exited(_, status) => println!("status {status}"),
            other => return Err(format!("waitpid: {other:?}").into()),
        },
    }
    Ok(())
    //]
    //| Err(format!("runner {words:?}: not written yet").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, command @ ..] if role == "runner" && !command.is_empty() => runner(command),
        _ => {
            eprintln!("usage: runner COMMAND [ARGUMENT...]");
            std::process::exit(2)
        }
    }
}
