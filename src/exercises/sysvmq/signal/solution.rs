//! A receiver that answers signals: msgget(2), msgrcv(2), msgctl(2), sigaction(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["signal"] }

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::{io::stdout, ptr::null_mut};

use nix::libc::{IPC_CREAT, IPC_RMID, c_int, c_long, msgctl, msgget, msgrcv};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::{errno::Errno, unistd::write};

const END: c_long = 0x7fff_ffff;
const ROOM: usize = 8192;

/// What has been asked for by a signal.
static REPORT: AtomicBool = AtomicBool::new(false);
static LEAVE: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Message {
    mtype: c_long, // above 0
    mtext: [u8; ROOM],
}

extern "C" fn note(signal: c_int) {
    match signal == Signal::SIGUSR1 as c_int {
        true => REPORT.store(true, SeqCst),
        false => LEAVE.store(true, SeqCst),
    }
}

fn receiver(key: i32) -> nix::Result<()> {
    let flags = SaFlags::SA_RESTART; // msgrcv does not mind it
    let action = SigAction::new(SigHandler::Handler(note), flags, SigSet::empty());
    for signal in [Signal::SIGUSR1, Signal::SIGTERM] {
        // SAFETY: the handler only stores to a static.
        unsafe { sigaction(signal, &action) }?;
    }
    // SAFETY: two numbers.
    let queue = Errno::result(unsafe { msgget(key, IPC_CREAT | 0o600) })?;
    let mut message = Message { mtype: 0, mtext: [0; ROOM] };
    let mut count = 0;
    while !LEAVE.load(SeqCst) {
        if REPORT.swap(false, SeqCst) {
            write(stdout(), format!("received {count}\n").as_bytes())?;
        }
        // SAFETY: there is room for a type and ROOM bytes.
        let n = unsafe { msgrcv(queue, (&raw mut message).cast(), ROOM, 0, 0) }; // sleeps if empty
        //[
        let n = match Errno::result(n) {
            Err(Errno::EINTR) => continue, // a handler has run
            received => received? as usize,
        };
        //]
        //| let n = Errno::result(n)? as usize;
        if message.mtype == END {
            break;
        }
        write(stdout(), &[&message.mtext[..n], b"\n"].concat())?;
        count += 1;
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
