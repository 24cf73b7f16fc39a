//! Signals, bare: sigprocmask(2), sigwaitinfo(2), sigqueue(3).
//!
//! Wire: SIGRTMIN with an int: a message's length, then its bytes, 4 a signal; -1 is the end.
//! PLACE holds the receiver's pid. Simpler than the role's: ipclab signal sender needs --pid.
//! Not here: two senders, a full queue, an old or empty pid file, EINTR. See chapter signal.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process"] }

use std::{error::Error, io::stdout, mem, ptr::null_mut};

use nix::libc::*;
use nix::unistd::{getpid, read, unlink, write};
use nix::{errno::Errno, fcntl::OFlag, fcntl::open, sys::stat::Mode};

fn receiver(name: &str) -> Result<(), Box<dyn Error>> {
    // SAFETY: a set is plain data, and zeros are the empty set.
    let set = unsafe {
        let mut set = mem::zeroed();
        Errno::result(sigaddset(&mut set, SIGRTMIN()))?;
        Errno::result(sigprocmask(SIG_BLOCK, &set, null_mut()))?; // from now on the signal waits
        set
    };
    let new = OFlag::O_CREAT | OFlag::O_TRUNC;
    let place = open(name, OFlag::O_WRONLY | new, Mode::S_IRUSR | Mode::S_IWUSR)?;
    write(place, getpid().to_string().as_bytes())?;
    loop {
        match take(&set)? {
            (-1, _) => return Ok(unlink(name)?),
            (-2, pid) => queue(pid, SIGRTMIN() + 1, 1 << 30)?, // ipclab signal sender asks
            (length, _) => {
                for at in (0..length).step_by(4) {
                    let word = take(&set)?.0.to_le_bytes();
                    write(stdout(), &word[..4.min(length - at) as usize])?;
                }
                write(stdout(), b"\n")?;
            }
        }
    }
}

/// Takes a signal: its value, and the pid of its sender.
fn take(set: &sigset_t) -> nix::Result<(i32, i32)> {
    // SAFETY: the call fills in the info; si_status is where the int of si_value is, in C.
    unsafe {
        let mut info = mem::zeroed();
        Errno::result(sigwaitinfo(set, &mut info))?; // sleeps while no signal waits
        Ok((info.si_status(), info.si_pid()))
    }
}

fn sender(name: &str, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let mut text = [b' '; 64];
    read(open(name, OFlag::O_RDONLY, Mode::empty())?, &mut text)?; // ENOENT: no receiver yet
    let pid = str::from_utf8(&text)?.split(' ').next().unwrap_or("").parse()?;
    for message in messages {
        queue(pid, SIGRTMIN(), message.len() as i32)?; // EAGAIN: the queue is full
        for part in message.as_bytes().chunks(4) {
            let word = std::array::from_fn(|at| *part.get(at).unwrap_or(&0)); // ends with zeros
            queue(pid, SIGRTMIN(), i32::from_le_bytes(word))?;
        }
    }
    Ok(queue(pid, SIGRTMIN(), -1)?)
}

fn queue(pid: i32, signo: i32, value: i32) -> nix::Result<()> {
    // SAFETY: a sigval is a union of an int and a pointer in C, so that two ints fill it.
    let queued = unsafe { sigqueue(pid, signo, mem::transmute_copy(&[value, 0])) };
    Errno::result(queued).map(drop)
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name),
        [role, name, messages @ ..] if role == "sender" => sender(name, messages),
        _ => {
            eprintln!("usage: signal receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
}
