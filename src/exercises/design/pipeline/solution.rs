//! A pipeline: pipe(2), fork(2), dup2(2), close(2), execve(2), waitpid(2), by std::process.

use std::error::Error;
//[
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
//]

fn run(commands: &[String]) -> Result<i32, Box<dyn Error>> {
    //[
    let (mut source, mut children) = (Stdio::inherit(), Vec::new());
    for (index, command) in commands.iter().enumerate() {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(source);
        if index + 1 < commands.len() {
            shell.stdout(Stdio::piped());
        }
        let mut child = shell.spawn()?; // SIGPIPE is as it was before this program ignored it
        source = child.stdout.take().map_or(Stdio::null(), Stdio::from);
        children.push(child);
    } // each `shell`, and the end of the pipe in it, is dropped: the command's own is enough
    let mut status = 0;
    for child in &mut children {
        let ended = child.wait()?; // sleeps
        status = ended.code().unwrap_or(128 + ended.signal().unwrap_or(0));
    }
    Ok(status)
    //]
    //| // Start all of `commands`, each with its output piped to the next, and wait for them.
    //| Err(format!("run {commands:?}: not written yet").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, commands @ ..] if role == "run" && !commands.is_empty() => {
            std::process::exit(run(commands)?)
        }
        _ => {
            eprintln!("usage: run COMMAND...");
            std::process::exit(2)
        }
    }
}
