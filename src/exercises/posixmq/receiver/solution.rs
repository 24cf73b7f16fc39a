//! A POSIX message queue's receiver: mq_open(3), mq_getattr(3), mq_receive(3), mq_unlink(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mqueue"] }

//[
use std::io::stdout;

use nix::mqueue::{
    MQ_OFlag, MqAttr, mq_getattr, mq_open, mq_receive, mq_unlink,
};
use nix::sys::stat::Mode;
use nix::unistd::write;
//]

fn receiver(name: &str) -> nix::Result<()> {
    //[
    let attr = MqAttr::new(0, 10, 1024, 0); // of a new queue: mq_maxmsg, mq_msgsize
    let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_CREAT;
    let queue = mq_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attr))?;
    let longest = mq_getattr(&queue)?.msgsize() as usize; // of the queue that is there
    let mut buffer = vec![0; longest]; // EMSGSIZE, if it is shorter
    loop {
        let mut priority = 0;
        let n = mq_receive(&queue, &mut buffer, &mut priority)?; // sleeps while it is empty
        if n == 0 && priority == 0 {
            return mq_unlink(name);
        }
        write(stdout(), &[&buffer[..n], b"\n"].concat())?;
    }
    //]
    //| // Open or make the queue `name`, print its messages, and remove it.
    //| eprintln!("receiver {name}: not written yet");
    //| std::process::exit(1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name)?,
        _ => {
            eprintln!("usage: receiver PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
