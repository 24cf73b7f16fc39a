//! Lines at the end of a file that others write as well: open(2), write(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs"] }

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
//| use nix::unistd::{Whence, lseek};
use nix::unistd::write;

fn logger(name: &str, source: &str) -> Result<(), Box<dyn Error>> {
    let how = OFlag::O_WRONLY | OFlag::O_CREAT;
    //[
    let how = how | OFlag::O_APPEND; // each write goes to the end
    //]
    let log = open(name, how, Mode::S_IRUSR | Mode::S_IWUSR)?;
    //| lseek(&log, 0, Whence::SeekEnd)?;
    for line in BufReader::new(File::open(source)?).split(b'\n') { // sleeps until a line has come
        //[
        let mut line = line?;
        line.push(b'\n');
        write(&log, &line)?; // one call: another line cannot come between
        //]
        //| write(&log, &line?)?;
        //| write(&log, b"\n")?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, source] if role == "logger" => logger(name, source)?,
        _ => {
            eprintln!("usage: logger PLACE INPUT");
            std::process::exit(2)
        }
    }
    Ok(())
}
