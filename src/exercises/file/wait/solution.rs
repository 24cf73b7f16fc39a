//! A file that is waited for: inotify(7), open(2), read(2), unlink(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "inotify"] }

use std::io::stdout;
use std::os::fd::OwnedFd;
//[
use std::path::Path;

use nix::errno::Errno;
//]
use nix::fcntl::{OFlag, open};
//[
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
//]
use nix::sys::stat::Mode;
use nix::unistd::{read, unlink, write};

/// Opens the file once it is there.
fn open_later(name: &str) -> nix::Result<OwnedFd> {
    //[
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let dir = Path::new(name).parent().unwrap_or(Path::new("."));
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    watch.add_watch(dir, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
    // It may have come before the watch: so each time look first, and sleep then.
    loop {
        match open(name, OFlag::O_RDONLY, Mode::empty()) {
            Err(Errno::ENOENT) => watch.read_events()?, // sleeps until a name appears
            opened => return opened,
        };
    }
    //]
    //| open(name, OFlag::O_RDONLY, Mode::empty())
}

fn receiver(name: &str) -> nix::Result<()> {
    let file = open_later(name)?;
    unlink(name)?; // the file has no name now, and is there until it is closed
    let mut buffer = [0; 4096];
    loop {
        let n = read(&file, &mut buffer)?;
        if n == 0 {
            return Ok(()); // the end of the file
        }
        write(stdout(), &buffer[..n])?;
    }
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
