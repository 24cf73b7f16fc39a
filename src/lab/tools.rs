//! The C compiler and the Python of this machine.

use std::ffi::OsString;
use std::process::Command;

/// The program that compiles, and the one that interprets.
#[derive(Debug, Clone)]
pub struct Tools {
    /// A C compiler, with options of its own after blanks: `cc`, `ccache gcc`.
    pub cc: String,
    /// Python 3.10 or later.
    pub python: OsString,
}

impl Tools {
    /// `$CC`, else cc; `$IPCLAB_PYTHON`, else python3.
    pub fn of_environment() -> Tools {
        let cc = std::env::var("CC").ok().filter(|cc| !cc.trim().is_empty());
        let python = std::env::var_os("IPCLAB_PYTHON");
        Tools {
            cc: cc.unwrap_or_else(|| "cc".into()),
            python: python.unwrap_or_else(|| "python3".into()),
        }
    }
}

/// The C compiler `cc` as a command, with its own options.
pub fn compiler(cc: &str) -> Command {
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
}

/// The compiler that the command in a C program's header names, as this machine has it, and its
/// options without the files.
pub fn compile_line(line: &str) -> (String, Vec<&str>) {
    let mut words = line.split(' ');
    let cc = match words.next() {
        Some("mpicc") => std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into()),
        _ => Tools::of_environment().cc,
    };
    let words: Vec<_> = words.filter(|word| !word.ends_with(".c")).collect();
    let output = words.iter().position(|word| *word == "-o").unwrap_or(words.len());
    let options = words[..output].iter().chain(words.iter().skip(output + 2));
    (cc, options.copied().collect())
}

/// What to do where there is no C compiler, or none that works.
pub const NO_COMPILER: &str = "apt-get install gcc libc6-dev, or name another in CC";
