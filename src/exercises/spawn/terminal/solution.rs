//! A command at a terminal of its own: openpty(3), setsid(2), TIOCSCTTY, tcsetattr(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process", "term"] }

use std::error::Error;
use std::ffi::CString;
use std::fs::File;
use std::io::{Write, stderr};
use std::os::fd::OwnedFd;
//[
use std::io::{ErrorKind, Read, stdin, stdout};
use std::os::fd::AsRawFd;
//]

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, execvp, fork};
//[
use nix::libc::{TIOCSCTTY, ioctl};
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
//]

/// Makes of this process the command; returns only if that fails.
fn become_the_command(words: &[CString], slave: &OwnedFd) -> nix::Result<()> {
    //[
    setsid()?; // without a terminal; the next line gives it this one
    // SAFETY: this one takes a plain number.
    nix::errno::Errno::result(unsafe { ioctl(slave.as_raw_fd(), TIOCSCTTY, 0) })?;
    dup2_stdin(slave)?;
    dup2_stdout(slave)?;
    dup2_stderr(slave)?;
    //]
    //| let _ = slave;
    execvp(&words[0], words)?;
    Ok(())
}

/// What comes from standard input, and then its end.
fn type_keys(mut master: File) -> std::io::Result<()> {
    //[
    let (mut data, mut last) = ([0; 1024], b'\n');
    loop {
        let n = stdin().read(&mut data)?; // sleeps until there is something
        if n == 0 {
            break;
        }
        master.write_all(&data[..n])?;
        last = data[n - 1];
    }
    // Ctrl-D: whoever reads gets what is there. Within a line, that is not the end yet.
    master.write_all(if last == b'\n' { b"\x04" } else { b"\x04\x04" })
    //]
    //| master.write_all(b"") // nothing yet
}

fn terminal(words: &[CString]) -> Result<(), Box<dyn Error>> {
    let pty = openpty(None, None)?;
    for fd in [&pty.master, &pty.slave] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    //[
    let mut modes = tcgetattr(&pty.slave)?;
    modes.output_flags.remove(OutputFlags::OPOST); // or a newline comes out as two bytes
    modes.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &modes)?;
    //]
    // SAFETY: this process has one thread yet, so its child may call what it likes.
    let ForkResult::Parent { child } = unsafe { fork() }? else {
        let failed = become_the_command(words, &pty.slave).err();
        let _ = writeln!(stderr(), "{:?}: {failed:?}", words[0]);
        std::process::exit(127)
    };
    drop(pty.slave); // or the terminal is never closed
    let master = File::from(pty.master);
    let keys = master.try_clone()?;
    std::thread::spawn(move || type_keys(keys));
    //[
    let (mut master, mut data) = (master, [0; 4096]);
    loop {
        match master.read(&mut data) { // sleeps until something is printed
            Ok(0) => break,
            Ok(n) => {
                stdout().write_all(&data[..n])?;
                stdout().flush()?; // it may be no whole line
            }
            // EIO: the last process has closed the terminal.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    //]
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, command @ ..] if role == "terminal" && !command.is_empty() => {
            let command: Result<Vec<_>, _> =
                command.iter().map(|word| CString::new(word.as_str())).collect();
            terminal(&command?)
        }
        _ => {
            eprintln!("usage: terminal COMMAND ARGUMENT...");
            std::process::exit(2)
        }
    }
}
