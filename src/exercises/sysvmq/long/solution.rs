//! A receiver of messages of any length: msgget(2), msgrcv(2), msgctl(2).
//!
//! Cargo.toml: nix = "0.31"

use std::{io::stdout, ptr::null_mut};

//[
use nix::libc::{IPC_CREAT, IPC_RMID, c_long, msgctl, msgget, msgrcv};
//]
//| use nix::libc::{IPC_CREAT, IPC_RMID, MSG_NOERROR, c_long, msgctl, msgget, msgrcv};
use nix::{errno::Errno, unistd::write};

const END: c_long = 0x7fff_ffff;
const WORD: usize = size_of::<c_long>();

fn receiver(key: i32) -> nix::Result<()> {
    // SAFETY: two numbers.
    let queue = Errno::result(unsafe { msgget(key, IPC_CREAT | 0o600) })?;
    let mut message: Vec<c_long> = vec![0; 1 + 64 / WORD]; // the type, and room for 64 bytes
    loop {
        let room = (message.len() - 1) * WORD;
        let into = message.as_mut_ptr().cast();
        //[
        // SAFETY: there is room for a type and so many bytes. It sleeps while the queue is empty.
        let n = match Errno::result(unsafe { msgrcv(queue, into, room, 0, 0) }) {
            Err(Errno::E2BIG) => {
                message.resize(2 * message.len(), 0); // the message is still in the queue
                continue;
            }
            received => received? as usize,
        };
        //]
        //| // SAFETY: there is room for a type and so many bytes. It sleeps while the queue is empty.
        //| let n = unsafe { msgrcv(queue, into, room, 0, MSG_NOERROR) };
        //| let n = Errno::result(n)? as usize;
        if message[0] == END {
            break;
        }
        let bytes = message[1..].iter().flat_map(|word| word.to_ne_bytes()).take(n);
        write(stdout(), &bytes.chain([b'\n']).collect::<Vec<_>>())?;
    }
    // SAFETY: IPC_RMID uses no buffer.
    Errno::result(unsafe { msgctl(queue, IPC_RMID, null_mut()) }).map(drop)
}

/// Decimal, or hexadecimal behind 0x; 0, if it is no number.
fn number(word: &str) -> i32 {
    let hex = word.strip_prefix("0x");
    hex.map_or(word.parse(), |hex| i32::from_str_radix(hex, 16)).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, key] if role == "receiver" => receiver(number(key))?,
        _ => {
            eprintln!("usage: receiver PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
