//! A receiver that does not wait for ever: mq_open(3), mq_timedreceive(3), mq_unlink(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mqueue", "time"] }

use std::io::stdout;

//[
use nix::errno::Errno;
//]
use nix::mqueue::{
    //[
    MQ_OFlag, MqAttr, MqdT, mq_getattr, mq_open, mq_timedreceive, mq_unlink,
    //]
    //| MQ_OFlag, MqAttr, MqdT, mq_getattr, mq_open, mq_receive, mq_unlink,
};
use nix::sys::stat::Mode;
//[
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};
//]
use nix::unistd::write;

/// Receives a message, with its priority.
//[
fn receive(queue: &MqdT, buffer: &mut [u8], seconds: i64) -> nix::Result<(usize, u32)> {
//]
//| fn receive(queue: &MqdT, buffer: &mut [u8], _seconds: i64) -> nix::Result<(usize, u32)> {
    let mut priority = 0;
    //[
    // A time of the system's clock, and no number of seconds; each message has its own.
    let until = clock_gettime(ClockId::CLOCK_REALTIME)? + TimeSpec::seconds(seconds);
    let n = mq_timedreceive(queue, buffer, &mut priority, &until)?; // sleeps till then
    //]
    //| let n = mq_receive(queue, buffer, &mut priority)?; // sleeps while it is empty
    Ok((n, priority))
}

fn receiver(name: &str, seconds: i64) -> Result<(), Box<dyn std::error::Error>> {
    let attr = MqAttr::new(0, 10, 1024, 0); // of a new queue: mq_maxmsg, mq_msgsize
    let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_CREAT;
    let queue = mq_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attr))?;
    let mut buffer = vec![0; mq_getattr(&queue)?.msgsize() as usize];
    loop {
        match receive(&queue, &mut buffer, seconds) {
            Ok((0, 0)) => return Ok(mq_unlink(name)?),
            Ok((n, _)) => write(stdout(), &[&buffer[..n], b"\n"].concat())?,
            //[
            Err(Errno::ETIMEDOUT) => {
                mq_unlink(name)?;
                return Err(format!("no message for {seconds} s").into());
            }
            //]
            Err(errno) => return Err(errno.into()),
        };
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds = words.get(2).and_then(|seconds| seconds.parse().ok());
    match (&words[..], seconds) {
        ([role, name, _], Some(seconds)) if role == "receiver" => receiver(name, seconds),
        _ => {
            eprintln!("usage: receiver PLACE SECONDS");
            std::process::exit(2)
        }
    }
}
