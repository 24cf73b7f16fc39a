//! A System V message queue, bare: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
//!
//! Wire: a queue message each. The end is an empty one of type 0x7fffffff.
//! Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter sysvmq.
//! Cargo.toml: nix = "0.31"

use std::{io::stdout, ptr::null_mut};

use nix::libc::{IPC_CREAT, IPC_RMID, c_long, msgctl, msgget, msgrcv, msgsnd};
use nix::{errno::Errno, unistd::write};

const END: c_long = 0x7fff_ffff;
const ROOM: usize = 8192;

#[repr(C)]
struct Message {
    mtype: c_long, // above 0
    mtext: [u8; ROOM],
}

/// Either side may be first: the queue keeps the messages.
fn get_queue(key: i32) -> nix::Result<i32> {
    // SAFETY: two numbers.
    Errno::result(unsafe { msgget(key, IPC_CREAT | 0o600) })
}

fn receiver(key: i32) -> nix::Result<()> {
    let queue = get_queue(key)?;
    let mut message = Message { mtype: 0, mtext: [0; ROOM] };
    loop {
        // SAFETY: there is room for a type and ROOM bytes. The size is without the type.
        let n = unsafe { msgrcv(queue, (&raw mut message).cast(), ROOM, 0, 0) }; // sleeps if empty
        let n = Errno::result(n)? as usize;
        if message.mtype == END {
            break;
        }
        write(stdout(), &[&message.mtext[..n], b"\n"].concat())?;
    }
    // SAFETY: IPC_RMID uses no buffer.
    match Errno::result(unsafe { msgctl(queue, IPC_RMID, null_mut()) }) {
        Err(Errno::EINVAL) => Ok(()), // the role (ipclab sysvmq sender) has removed the queue
        removed => removed.map(drop), // the sender has sent all
    }
}

fn sender(key: i32, messages: &[String]) -> nix::Result<()> {
    let queue = get_queue(key)?;
    let mut message = Message { mtype: 1, mtext: [0; ROOM] };
    for text in messages {
        let room = message.mtext.get_mut(..text.len()).ok_or(Errno::EMSGSIZE)?;
        room.copy_from_slice(text.as_bytes());
        let from = (&raw const message).cast();
        // SAFETY: at `from` are a type and the bytes.
        Errno::result(unsafe { msgsnd(queue, from, text.len(), 0) })?; // sleeps while it is full
    }
    message.mtype = END;
    // SAFETY: a type alone. The call sleeps while the queue is full.
    Errno::result(unsafe { msgsnd(queue, (&raw const message).cast(), 0, 0) })?;
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
    match &words[..] {
        [role, _] if key != 0 && role == "receiver" => receiver(key)?,
        [role, _, texts @ ..] if key != 0 && role == "sender" => sender(key, texts)?,
        _ => {
            eprintln!("usage: sysvmq receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
