//! A System V semaphore, bare: semget(2), semop(2), semctl(2).
//!
//! Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
//! Not here: a poster that dies, a set that is left, EINTR after a stop. See chapter semaphore.
//! Cargo.toml: nix = "0.31"

use std::io::stdout;

use nix::errno::Errno;
use nix::libc::{IPC_CREAT, IPC_RMID, sembuf, semctl, semget, semop};
use nix::unistd::write;

/// Either side may be first: a new one has the value 0, on Linux.
fn get_semaphore(key: i32) -> nix::Result<i32> {
    // SAFETY: three numbers.
    Errno::result(unsafe { semget(key, 1, IPC_CREAT | 0o600) }) // a set of 1
}

fn waiter(key: i32, times: u32) -> nix::Result<()> {
    let semaphore = get_semaphore(key)?;
    let mut take = sembuf { sem_num: 0, sem_op: -1, sem_flg: 0 };
    for number in 1..=times {
        // SAFETY: one operation.
        Errno::result(unsafe { semop(semaphore, &mut take, 1) })?; // takes 1; sleeps while it is 0
        write(stdout(), format!("took {number}\n").as_bytes())?;
    }
    // SAFETY: three numbers.
    match Errno::result(unsafe { semctl(semaphore, 0, IPC_RMID) }) {
        Err(Errno::EINVAL) => Ok(()), // the role (ipclab semaphore poster) has removed the set
        removed => removed.map(drop),
    }
}

fn poster(key: i32, times: u32) -> nix::Result<()> {
    let semaphore = get_semaphore(key)?;
    let mut add = sembuf { sem_num: 0, sem_op: 1, sem_flg: 0 };
    for _ in 0..times {
        // SAFETY: one operation. It adds 1, and wakes a waiter that sleeps.
        Errno::result(unsafe { semop(semaphore, &mut add, 1) })?;
    }
    Ok(())
}

/// Decimal, or hexadecimal behind 0x; 0, if it is no number.
fn number(word: &str) -> i32 {
    let hex = word.strip_prefix("0x");
    hex.map_or(word.parse(), |hex| i32::from_str_radix(hex, 16)).unwrap_or(0)
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let key = words.get(1).map_or(0, |key| number(key)); // 0, IPC_PRIVATE: they would never meet
    let times = words.get(2).map_or(1, |times| times.parse().unwrap_or(0));
    match &words[..] {
        [role, _] | [role, _, _] if role == "waiter" && key != 0 && times > 0 => {
            waiter(key, times)?
        }
        [role, _] | [role, _, _] if role == "poster" && key != 0 && times > 0 => {
            poster(key, times)?
        }
        _ => {
            eprintln!("usage: semaphore_sysv waiter|poster PLACE [TIMES]");
            std::process::exit(2)
        }
    }
    Ok(())
}
