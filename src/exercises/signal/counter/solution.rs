//! A count of signals: sigprocmask(2), sigwaitinfo(2).
//!
//! Cargo.toml: nix = "0.31"

use std::error::Error;
//[
use std::{mem, ptr::null_mut};

use nix::errno::Errno;
use nix::libc::*;
//]

fn counter(name: &str) -> Result<(), Box<dyn Error>> {
    //[
    // SAFETY: a set is plain data, and zeros are the empty set.
    let set = unsafe {
        let mut set = mem::zeroed();
        Errno::result(sigaddset(&mut set, SIGRTMIN()))?;
        Errno::result(sigaddset(&mut set, SIGTERM))?;
        Errno::result(sigprocmask(SIG_BLOCK, &set, null_mut()))?; // from now on they wait
        set
    };
    //]
    std::fs::write(name, format!("{}\n", std::process::id()))?;
    //[
    let mut count = 0;
    loop {
        // SAFETY: the set is one, and nothing is asked of the signal but its number.
        match Errno::result(unsafe { sigwaitinfo(&set, null_mut()) }) { // sleeps until one waits
            Err(Errno::EINTR) => {} // the process was stopped, and goes on
            Ok(SIGTERM) => break,
            taken => count += i32::from(taken? == SIGRTMIN()),
        }
    }
    println!("{count}");
    Ok(std::fs::remove_file(name)?)
    //]
    //| Err("not written yet".into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "counter" => counter(name)?,
        _ => {
            eprintln!("usage: counter PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
