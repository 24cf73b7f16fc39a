//! A logger that never waits: mq_open(3), mq_send(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mqueue"] }

//[
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, mq_open, mq_send};
//]
//| use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_send};
use nix::sys::stat::Mode;

fn logger(name: &str, messages: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    //[
    let flags = MQ_OFlag::O_WRONLY | MQ_OFlag::O_NONBLOCK;
    let queue = mq_open(name, flags, Mode::empty(), None)?; // ENOENT: nobody reads
    let mut dropped = 0;
    for message in messages {
        match mq_send(&queue, message.as_bytes(), 1) {
            Err(Errno::EAGAIN | Errno::EMSGSIZE) => dropped += 1, // full, or it is too long
            sent => sent?,
        }
    }
    match dropped {
        0 => Ok(()),
        _ => Err(format!("{dropped} of {} messages dropped", messages.len()).into()),
    }
    //]
    //| let attr = MqAttr::new(0, 10, 1024, 0); // of a new queue: mq_maxmsg, mq_msgsize
    //| let flags = MQ_OFlag::O_WRONLY | MQ_OFlag::O_CREAT;
    //| let queue = mq_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attr))?;
    //| for message in messages {
    //|     mq_send(&queue, message.as_bytes(), 1)?; // sleeps while it is full
    //| }
    //| Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, messages @ ..] if role == "logger" => logger(name, messages),
        _ => {
            eprintln!("usage: logger PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
}
