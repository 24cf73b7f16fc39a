//! A signal that cannot come too early: sigprocmask(2), sigwait(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["signal"] }

use std::error::Error;
use std::io::Write;
//| use std::sync::atomic::{AtomicI32, Ordering};

//[
use nix::sys::signal::{SigSet, Signal};
//]
//| use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
//| use nix::unistd::pause;
//|
//| static CAME: AtomicI32 = AtomicI32::new(0);
//|
//| extern "C" fn note(signo: i32) {
//|     CAME.store(signo, Ordering::Relaxed);
//| }

fn worker(name: &str) -> Result<(), Box<dyn Error>> {
    //[
    let set = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGTERM]);
    set.thread_block()?; // from now on a signal waits
    //]
    //| let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    //| for signal in [Signal::SIGUSR1, Signal::SIGTERM] {
    //|     // SAFETY: the handler does nothing but store a number.
    //|     unsafe { sigaction(signal, &action) }?;
    //| }
    loop {
        //| CAME.store(0, Ordering::Relaxed);
        let mut place = std::fs::File::options().write(true).open(name)?; // sleeps until one reads
        writeln!(place, "{}", std::process::id())?;
        drop(place);
        //[
        let came = set.wait()?; // sleeps unless one has come
        if came == Signal::SIGTERM {
            return Ok(());
        }
        //]
        //| pause(); // sleeps until a signal comes
        //| if CAME.load(Ordering::Relaxed) == Signal::SIGTERM as i32 {
        //|     return Ok(());
        //| }
        println!("work");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "worker" => worker(name)?,
        _ => {
            eprintln!("usage: worker PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
