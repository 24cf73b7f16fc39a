//! A System V message queue, bare: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
//!
//! Wire: a queue message each. The end is an empty one of type 0x7fffffff.
//! Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter sysvmq.
//! Cargo.toml: nix = "0.31"

use std::io::stdout;
use std::ptr::null_mut;

use nix::errno::Errno;
use nix::libc::{IPC_CREAT, IPC_RMID, c_long, msgctl, msgget, msgrcv, msgsnd};
use nix::unistd::write;

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
        let to = (&raw mut message).cast();
        // SAFETY: `to` has room for a type and ROOM bytes. The size is without the type.
        let n = unsafe { msgrcv(queue, to, ROOM, 0, 0) }; // sleeps while it is empty
        let n = Errno::result(n)? as usize;
        if message.mtype == END {
            break;
        }
        write(stdout(), &[&message.mtext[..n], b"\n"].concat())?;
    }
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { msgctl(queue, IPC_RMID, null_mut()) }; // EINVAL: the sender has removed the queue
    Ok(())
}

fn sender(key: i32, messages: &[String]) -> nix::Result<()> {
    let queue = get_queue(key)?;
    let mut message = Message { mtype: 1, mtext: [0; ROOM] };
    for text in messages {
        let size = text.len();
        let room = message.mtext.get_mut(..size).ok_or(Errno::EMSGSIZE)?;
        room.copy_from_slice(text.as_bytes());
        let from = (&raw const message).cast();
        // SAFETY: at `from` are a type and `size` bytes.
        Errno::result(unsafe { msgsnd(queue, from, size, 0) })?; // sleeps while it is full
    }
    message.mtype = END;
    let from = (&raw const message).cast();
    // SAFETY: at `from` is a type.
    let sent = unsafe { msgsnd(queue, from, 0, 0) }; // sleeps while it is full
    Errno::result(sent).map(drop)
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, key] if role == "receiver" => receiver(key.parse()?)?,
        [role, key, messages @ ..] if role == "sender" => {
            sender(key.parse()?, messages)?
        }
        _ => Err("usage: sysvmq receiver PLACE | sender PLACE MESSAGE...")?,
    }
    Ok(())
}
