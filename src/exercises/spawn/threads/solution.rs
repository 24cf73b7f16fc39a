//! Commands side by side, and a journal: a thread for each, fork(2), execve(2), waitpid(2).

use std::error::Error;
use std::fs::File;
use std::io::{Result, Write, stdin};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The journal, and the lock for its next line.
static JOURNAL: OnceLock<Mutex<File>> = OnceLock::new();

/// One line of the journal, whole: no other thread writes meanwhile.
fn note(what: &str, command: &str) -> Result<()> {
    let mut journal = JOURNAL.get().expect("a journal").lock().expect("a lock");
    let line = format!("{what} {command}\n");
    journal.write_all(line.as_bytes()) // sleeps while PLACE is full
}

/// The thread of one command.
fn end_of(text: &str, mut child: Child) -> Result<()> {
    let status = child.wait()?; // sleeps until it has ended
    match status.signal() {
        Some(signal) => note(&format!("signal {signal}"), text),
        None => note(&format!("status {}", status.code().unwrap_or(1)), text),
    }
}

fn start(text: &str) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null());
    //[
    note("begins", text)?; // here, where the lock's holder is a thread that goes on
    //]
    //| let begins = text.to_owned();
    //| // SAFETY: it runs in the child, between fork and execve.
    //| unsafe {
    //|     std::os::unix::process::CommandExt::pre_exec(&mut command, move || note("begins", &begins));
    //| }
    command.spawn()
}

fn runner(place: &str) -> std::result::Result<(), Box<dyn Error>> {
    let file = File::options().append(true).create(true).open(place)?;
    JOURNAL.get_or_init(|| Mutex::new(file));
    let mut threads = Vec::new();
    for line in stdin().lines() {
        let text = line?; // it has slept until a line came
        let child = start(&text)?;
        threads.push(std::thread::spawn(move || end_of(&text, child)));
    }
    for thread in threads {
        thread.join().expect("a thread")?; // sleeps until that command has ended
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "runner" => runner(place),
        _ => {
            eprintln!("usage: runner PLACE");
            std::process::exit(2)
        }
    }
}
