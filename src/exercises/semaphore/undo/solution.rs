//! A worker whose lock is given back even if it is killed: semget(2), semop(2).
//!
//! Cargo.toml: nix = "0.31"

use std::io::stdout;

use nix::errno::Errno;
//[
use nix::libc::{SEM_UNDO, sembuf, semget, semop};
//]
//| use nix::libc::{sembuf, semget, semop};
use nix::unistd::write;

const LOCK: u16 = 0;
const LEAVE: u16 = 1;

/// Adds to a semaphore of the set; sleeps while its value would be below 0.
fn add(set: i32, sem_num: u16, sem_op: i16, flags: i32) -> nix::Result<()> {
    let mut operation = sembuf { sem_num, sem_op, sem_flg: flags as i16 };
    //[
    loop {
        // SAFETY: one operation.
        match Errno::result(unsafe { semop(set, &mut operation, 1) }) {
            Err(Errno::EINTR) => {} // it was stopped, and goes on
            done => return done.map(drop),
        }
    }
    //]
    //| // SAFETY: one operation.
    //| Errno::result(unsafe { semop(set, &mut operation, 1) }).map(drop)
}

fn worker(key: i32) -> nix::Result<()> {
    // SAFETY: three numbers.
    let set = Errno::result(unsafe { semget(key, 2, 0) })?;
    //[
    add(set, LOCK, -1, SEM_UNDO)?; // the kernel notes what to add when this process ends
    //]
    //| add(set, LOCK, -1, 0)?;
    write(stdout(), b"working\n")?;
    add(set, LEAVE, -1, 0)?;
    //[
    add(set, LOCK, 1, SEM_UNDO) // and that there is nothing to add any more
    //]
    //| add(set, LOCK, 1, 0)
}

/// Decimal, or hexadecimal behind 0x; 0, if it is no number.
fn number(word: &str) -> i32 {
    let hex = word.strip_prefix("0x");
    hex.map_or(word.parse(), |hex| i32::from_str_radix(hex, 16)).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, key] if role == "worker" => worker(number(key))?,
        _ => {
            eprintln!("usage: worker PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
