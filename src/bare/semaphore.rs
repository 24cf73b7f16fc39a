//! A POSIX semaphore, bare: sem_open(3), sem_wait(3), sem_post(3), sem_unlink(3).
//!
//! Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
//! Not here: a poster that dies, a name that is left, a signal in a call. See chapter semaphore.
//! Cargo.toml: nix = "0.31"

use std::error::Error;
use std::ffi::CString;
use std::io::stdout;

use nix::errno::Errno;
use nix::libc::{
    O_CREAT, SEM_FAILED, sem_open, sem_post, sem_t, sem_unlink, sem_wait,
};
use nix::unistd::write;

/// Either side may be first: a new one has the value 0.
fn open_semaphore(name: &str) -> Result<*mut sem_t, Box<dyn Error>> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends with a NUL, then the mode and the value.
    match unsafe { sem_open(name.as_ptr(), O_CREAT, 0o600, 0) } {
        SEM_FAILED => Err(Errno::last())?,
        semaphore => Ok(semaphore),
    }
}

fn waiter(name: &str, times: u32) -> Result<(), Box<dyn Error>> {
    let semaphore = open_semaphore(name)?;
    for number in 1..=times {
        // SAFETY: a semaphore that is open.
        Errno::result(unsafe { sem_wait(semaphore) })?; // takes 1; sleeps while it is 0
        write(stdout(), format!("took {number}\n").as_bytes())?;
    }
    let name = CString::new(name)?;
    // SAFETY: a string that ends with a NUL.
    match Errno::result(unsafe { sem_unlink(name.as_ptr()) }) {
        Err(Errno::ENOENT) => Ok(()), // the role (ipclab semaphore poster) has removed it
        unlinked => Ok(unlinked.map(drop)?),
    }
}

fn poster(name: &str, times: u32) -> Result<(), Box<dyn Error>> {
    let semaphore = open_semaphore(name)?;
    for _ in 0..times {
        // SAFETY: a semaphore that is open.
        Errno::result(unsafe { sem_post(semaphore) })?; // adds 1; wakes a waiter that sleeps
    }
    Ok(())
}

pub fn main() -> Result<(), Box<dyn Error>> {
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
