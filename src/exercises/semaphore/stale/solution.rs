//! A POSIX semaphore of this run: sem_open(3), sem_wait(3), sem_post(3), sem_unlink(3).
//!
//! Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
//! Cargo.toml: nix = "0.31"

use std::error::Error;
use std::ffi::CString;
use std::io::stdout;

use nix::errno::Errno;
use nix::libc::{
    O_CREAT, O_EXCL, SEM_FAILED, sem_open, sem_post, sem_t, sem_unlink, sem_wait,
};
use nix::unistd::write;

fn open_semaphore(name: &str, flags: i32) -> Result<*mut sem_t, Box<dyn Error>> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends with a NUL, then the mode and the value, if O_CREAT is there.
    match unsafe { sem_open(name.as_ptr(), flags, 0o600, 0) } {
        SEM_FAILED => Err(Errno::last())?,
        semaphore => Ok(semaphore),
    }
}

fn remove(name: &str) -> Result<(), Box<dyn Error>> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends with a NUL.
    match Errno::result(unsafe { sem_unlink(name.as_ptr()) }) {
        Err(Errno::ENOENT) => Ok(()), // there was none
        unlinked => Ok(unlinked.map(drop)?),
    }
}

/// The waiter is first, and its semaphore is a new one, with the value 0.
fn waiter(name: &str, times: u32) -> Result<(), Box<dyn Error>> {
    remove(name)?; // what a killed run has left: its posts go with it
    let semaphore = open_semaphore(name, O_CREAT | O_EXCL)?;
    for number in 1..=times {
        // SAFETY: a semaphore that is open.
        Errno::result(unsafe { sem_wait(semaphore) })?; // takes 1; sleeps while it is 0
        write(stdout(), format!("took {number}\n").as_bytes())?;
    }
    remove(name)
}

fn poster(name: &str, times: u32) -> Result<(), Box<dyn Error>> {
    let semaphore = open_semaphore(name, 0)?; // ENOENT: no waiter is there
    for _ in 0..times {
        // SAFETY: a semaphore that is open.
        Errno::result(unsafe { sem_post(semaphore) })?; // adds 1; wakes a waiter that sleeps
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let times = words.get(2).map_or(1, |times| times.parse().unwrap_or(0));
    match &words[..] {
        [role, name] | [role, name, _] if role == "waiter" && times > 0 => {
            waiter(name, times)?
        }
        [role, name] | [role, name, _] if role == "poster" && times > 0 => {
            poster(name, times)?
        }
        _ => {
            eprintln!("usage: semaphore waiter|poster PLACE [TIMES]");
            std::process::exit(2)
        }
    }
    Ok(())
}
