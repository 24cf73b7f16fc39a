//! A child that may do anything: pipe2(2), fork(2), execvp(3), poll(2), waitpid(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "process", "signal"] }

use std::{ffi::CString, io::stdin, io::stdout, os::fd::AsFd, process::exit};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::*;

fn parent(line: &[u8], program: &CString, words: &[CString]) -> nix::Result<WaitStatus> {
    let (input, to_child) = pipe2(OFlag::O_CLOEXEC)?;
    let (from_child, output) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    let ForkResult::Parent { child } = unsafe { fork() }? else {
        dup2_stdin(&input)?;
        dup2_stdout(&output)?;
        // Before main, Rust has set it to be ignored, and execve keeps that.
        // SAFETY: the default action is no handler.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
        execvp(program, words)?;
        exit(1)
    };
    drop((input, output));
    // Our end alone: a write takes what there is room for.
    fcntl(&to_child, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let (mut to_child, mut rest) = (Some(to_child), line);
    let mut data = [0; 65536];
    loop {
        let mut fds = vec![PollFd::new(from_child.as_fd(), PollFlags::POLLIN)];
        fds.extend(to_child.as_ref().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLOUT)));
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until one of the two is ready
        let ready = |index: usize| fds.get(index).is_some_and(|fd| fd.any() == Some(true));
        let (readable, writable) = (ready(0), ready(1));
        if writable && let Some(end) = &to_child {
            match write(end, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::EPIPE) => rest = &[], // the child reads no more
                Err(error) => return Err(error),
            }
            if rest.is_empty() {
                to_child = None; // close(2): the child's read returns 0
            }
        }
        if readable {
            let n = read(&from_child, &mut data)?;
            if n == 0 {
                return waitpid(child, None);
            }
            let mut all = &data[..n];
            while !all.is_empty() {
                all = &all[write(stdout(), all)?..];
            }
        }
    }
}

fn child() -> std::io::Result<()> {
    for line in stdin().lines() {
        write(stdout(), format!("{}\n", line?).as_bytes())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Result<Vec<_>, _> = std::env::args().map(CString::new).collect();
    let words = words?;
    let itself = [words[0].clone(), c"child".into()];
    let (program, command) = match &words[..] {
        [_, role] if *role == *c"child" => return Ok(child()?),
        [_, role, _] if *role == *c"parent" => (&c"/proc/self/exe".into(), &itself[..]),
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
