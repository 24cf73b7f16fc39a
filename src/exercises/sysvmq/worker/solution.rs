//! A worker that takes the messages of its type: msgget(2), msgrcv(2).
//!
//! Cargo.toml: nix = "0.31"

//[
use std::io::stdout;

use nix::libc::{IPC_CREAT, c_long, msgget, msgrcv};
use nix::{errno::Errno, unistd::write};

const ROOM: usize = 8192;

#[repr(C)]
struct Message {
    mtype: c_long, // above 0
    mtext: [u8; ROOM],
}
//]

fn worker(key: i32, mtype: i64) -> Result<(), Box<dyn std::error::Error>> {
    //[
    // SAFETY: two numbers.
    let queue = Errno::result(unsafe { msgget(key, IPC_CREAT | 0o600) })?;
    let mut message = Message { mtype: 0, mtext: [0; ROOM] };
    loop {
        let into = (&raw mut message).cast();
        // SAFETY: there is room for a type and ROOM bytes. It sleeps while no message has the type.
        let n = Errno::result(unsafe { msgrcv(queue, into, ROOM, mtype, 0) })?;
        if n == 0 {
            return Ok(());
        }
        debug_assert_eq!(message.mtype, mtype);
        write(stdout(), &[&message.mtext[..n as usize], b"\n"].concat())?;
    }
    //]
    //| // Print the messages of type `mtype` in the queue `key`.
    //| Err(format!("worker {key:#x} {mtype}: not written yet").into())
}

/// Decimal, or hexadecimal behind 0x; 0, if it is no number.
fn number(word: &str) -> i32 {
    let hex = word.strip_prefix("0x");
    hex.map_or(word.parse(), |hex| i32::from_str_radix(hex, 16)).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, key, mtype] if role == "worker" => worker(number(key), mtype.parse()?),
        _ => {
            eprintln!("usage: worker PLACE TYPE");
            std::process::exit(2)
        }
    }
}
