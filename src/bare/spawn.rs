//! A child process, bare: pipe2(2), fork(2), dup2(2), execvp(3), write(2), read(2), waitpid(2).
//!
//! Wire: the child's standard input and output, a line each way. The end is the parent's close(2).
//! Not here: more than a pipe holds, standard error, a family to end. See chapter spawn.
//! Cargo.toml: libc = "0.2"
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process"] }

use std::{ffi::CString, io::stdin, io::stdout, process::exit};

use libc::{POLLNVAL, poll, pollfd};
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::*;

fn parent(
    line: &[u8],
    program: &CString,
    words: &[CString],
) -> nix::Result<WaitStatus> {
    let (input, to_child) = pipe2(OFlag::O_CLOEXEC)?; // execve will close all four
    let (from_child, output) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    let ForkResult::Parent { child } = unsafe { fork() }? else {
        dup2_stdin(&input)?; // the copies are not close-on-exec
        dup2_stdout(&output)?;
        execvp(program, words)?; // it returns only if it has failed
        exit(1)
    };
    drop((input, output)); // or read would never return 0: the parent is a writer as well
    write(&to_child, line)?; // sleeps while the pipe is full
    drop(to_child); // the child's read returns 0
    let mut data = [0; 4096];
    loop {
        let n = read(&from_child, &mut data)?; // sleeps until the child writes
        if n == 0 {
            return waitpid(child, None); // sleeps until the child has ended
        }
        write(stdout(), &data[..n])?;
    }
}

/// Sends each line back, but for one that is a question.
fn child() -> std::io::Result<()> {
    // Each read sleeps until the parent writes.
    for line in stdin().lines() {
        let mut answer = line?;
        if answer == "descriptors" {
            let of = |fd| pollfd { fd, events: 0, revents: 0 };
            let mut fds: Vec<_> = (0..16).map(of).collect();
            // SAFETY: 16 of them. The call looks which are open.
            unsafe { poll(fds.as_mut_ptr(), 16, 0) };
            fds.retain(|one| one.revents & POLLNVAL == 0);
            answer = fds.iter().map(|one| format!("{} ", one.fd)).collect();
        }
        write(stdout(), format!("{}\n", answer.trim_end()).as_bytes())?;
    }
    Ok(()) // the parent has closed its end
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Result<Vec<_>, _> = std::env::args().map(CString::new).collect();
    let words = words?;
    let itself = [words[0].clone(), c"child".into()]; // this program once more
    let (program, command) = match &words[..] {
        [_, role] if *role == *c"child" => return Ok(child()?),
        [_, role, _] if *role == *c"parent" => {
            (&c"/proc/self/exe".into(), &itself[..])
        }
        [_, role, _, rest @ ..] if *role == *c"parent" => (&rest[0], rest),
        _ => {
            eprintln!("usage: spawn parent MESSAGE [COMMAND...] | child");
            exit(2)
        }
    };
    let line = [words[2].to_bytes(), b"\n"].concat();
    match parent(&line, program, command)? {
        WaitStatus::Exited(_, status) => exit(status),
        by_a_signal => Err(format!("{by_a_signal:?}").into()),
    }
}
