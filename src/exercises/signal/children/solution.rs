//! Children that are all collected: sigwait(3), waitpid(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["process", "signal"] }

use std::error::Error;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

fn parent(name: &str) -> Result<(), Box<dyn Error>> {
    let set = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGCHLD, Signal::SIGTERM]);
    set.thread_block()?;
    let (mut running, mut well, mut failed, mut ending) = (0, 0, 0, false);
    while running > 0 || !ending {
        match set.wait()? { // sleeps until a signal waits
            Signal::SIGTERM => ending = true,
            Signal::SIGUSR1 => {
                Command::new("cat").arg(name).spawn()?; // with no signal blocked
                running += 1;
            }
            //[
            // One signal may stand for several children: a standard signal waits once.
            _ => while running > 0 {
                match waitpid(None, Some(WaitPidFlag::WNOHANG))? { // does not sleep
                    WaitStatus::StillAlive => break, // the others run on
                    WaitStatus::Exited(_, 0) => well += 1,
                    _ => failed += 1,
                }
                running -= 1;
            },
            //]
            //| _ => {
            //|     match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
            //|         WaitStatus::StillAlive => continue,
            //|         WaitStatus::Exited(_, 0) => well += 1,
            //|         _ => failed += 1,
            //|     }
            //|     running -= 1;
            //| }
        }
    }
    println!("well {well}\nfailed {failed}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "parent" => parent(name)?,
        _ => {
            eprintln!("usage: parent PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
