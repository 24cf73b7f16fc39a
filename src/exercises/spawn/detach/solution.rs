//! A command that lives on: fork(2), setsid(2), chdir(2), dup2(2), execvp(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process"] }

use std::error::Error;
use std::ffi::CString;

use nix::errno::Errno;
use nix::fcntl::OFlag;
//[
use nix::fcntl::open;
use nix::sys::stat::Mode;
//]
use nix::unistd::*;

/// Makes of this process the command; returns only if that fails.
fn become_the_command(words: &[CString]) -> nix::Result<()> {
    //[
    setsid()?; // a forked process leads no group, so that it may
    chdir("/")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    //]
    execvp(&words[0], words)?;
    Ok(())
}

fn detach(place: &str, words: &[CString]) -> Result<(), Box<dyn Error>> {
    // Close-on-exec: the end of file says that execve has succeeded.
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    let ForkResult::Parent { child } = unsafe { fork() }? else {
        let failed = become_the_command(words).err().unwrap_or(Errno::EIO) as i32;
        write(&writing, &failed.to_ne_bytes())?;
        std::process::exit(1)
    };
    //[
    drop(writing); // or read never returns 0
    let mut errno = [0; 4];
    if read(&reading, &mut errno)? == 4 {
        // sleeps until execve has come to an end
        return Err(Errno::from_raw(i32::from_ne_bytes(errno)).into());
    }
    //]
    //| drop((reading, writing));
    Ok(std::fs::write(place, format!("{child}\n"))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, command @ ..] if role == "detach" && !command.is_empty() => {
            let command: Result<Vec<_>, _> =
                command.iter().map(|word| CString::new(word.as_str())).collect();
            detach(place, &command?)
        }
        _ => {
            eprintln!("usage: detach PLACE COMMAND ARGUMENT...");
            std::process::exit(2)
        }
    }
}
