//! A POSIX message queue, bare: mq_open(3), mq_send(3), mq_receive(3), mq_unlink(3).
//!
//! Wire: a queue message each. The end is an empty one of priority 0, the lowest.
//! Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter posixmq.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mqueue"] }

use std::io::stdout;

use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, MqAttr, MqdT, mq_getattr, mq_open, mq_receive, mq_send, mq_unlink,
};
use nix::sys::stat::Mode;
use nix::unistd::write;

/// Either side may be first: the queue keeps the messages.
fn open_queue(name: &str, access: MQ_OFlag) -> nix::Result<MqdT> {
    let attr = MqAttr::new(0, 10, 8192, 0); // of a new queue: mq_maxmsg, mq_msgsize
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    mq_open(name, access | MQ_OFlag::O_CREAT, mode, Some(&attr))
}

fn receiver(name: &str) -> nix::Result<()> {
    let queue = open_queue(name, MQ_OFlag::O_RDONLY)?;
    let longest = mq_getattr(&queue)?.msgsize() as usize;
    let mut buffer = vec![0; longest]; // EMSGSIZE, if it is shorter
    loop {
        let mut priority = 0;
        let n = mq_receive(&queue, &mut buffer, &mut priority)?; // sleeps while it is empty
        if n == 0 && priority == 0 {
            break;
        }
        write(stdout(), &[&buffer[..n], b"\n"].concat())?;
    }
    match mq_unlink(name) {
        Err(Errno::ENOENT) => Ok(()), // the role (ipclab posixmq sender) has removed it
        unlinked => unlinked,         // the sender has sent all
    }
}

fn sender(name: &str, messages: &[String]) -> nix::Result<()> {
    let queue = open_queue(name, MQ_OFlag::O_WRONLY)?;
    for message in messages {
        mq_send(&queue, message.as_bytes(), 1)?; // sleeps while it is full
    }
    mq_send(&queue, b"", 0) // the end: the lowest priority is last; sleeps while it is full
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name)?,
        [role, name, messages @ ..] if role == "sender" => sender(name, messages)?,
        _ => {
            eprintln!("usage: posixmq receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
