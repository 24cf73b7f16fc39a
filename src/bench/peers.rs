//! The peers of `ipclab bench --peers`: the same work in C, built here by the system's
//! compiler, and in Python by its standard library.
//!
//! Each is started as one side of a pair, by the same protocol as our own ends. The file
//! chapter has no peer: a log that is followed is no round trip.
//!
//! They share no code with the bare programs of `src/bare`: those have no loop to be steered in,
//! print what they get, and stay what a learner would write; `hardening` times them as they are.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use lab::tools::{NO_COMPILER, Tools, compiler};

/// Which program a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The C references in `src/bench/c`.
    C,
    /// The scripts in `src/bench/python`.
    Python,
}

impl Program {
    /// As the reports print it.
    pub fn text(self) -> &'static str {
        match self {
            Program::C => "C",
            Program::Python => "Python",
        }
    }
}

/// A C reference: one mechanism, and how it is built.
struct Reference {
    mechanism: &'static str,
    source: &'static str,
    defines: &'static [&'static str],
}

const fn of(mechanism: &'static str, source: &'static str) -> Reference {
    Reference { mechanism, source, defines: &[] }
}

const REFERENCES: [Reference; 16] = [
    of("pipe", "pipe.c"),
    of("fifo", "fifo.c"),
    of("unix stream", "unix_stream.c"),
    of("unix seqpacket", "unix_seqpacket.c"),
    of("unix dgram", "unix_dgram.c"),
    of("tcp", "tcp.c"),
    of("udp", "udp.c"),
    of("posixmq", "posixmq.c"),
    of("sysvmq", "sysvmq.c"),
    of("signal", "signal.c"),
    of("shm", "shm.c"),
    Reference { mechanism: "shm --spin", source: "shm.c", defines: &["-DSPIN"] },
    Reference { mechanism: "mmap", source: "shm.c", defines: &["-DMMAP"] },
    Reference {
        mechanism: "mmap --spin",
        source: "shm.c",
        defines: &["-DMMAP", "-DSPIN"],
    },
    of("mutex", "mutex.c"),
    of("eventfd", "eventfd.c"),
];

/// Every file that a peer is made of, by its path in the private directory.
const FILES: [(&str, &str); 17] = [
    ("c/bench.h", include_str!("c/bench.h")),
    ("c/meet.h", include_str!("c/meet.h")),
    ("c/pipe.c", include_str!("c/pipe.c")),
    ("c/fifo.c", include_str!("c/fifo.c")),
    ("c/unix_stream.c", include_str!("c/unix_stream.c")),
    ("c/unix_seqpacket.c", include_str!("c/unix_seqpacket.c")),
    ("c/unix_dgram.c", include_str!("c/unix_dgram.c")),
    ("c/tcp.c", include_str!("c/tcp.c")),
    ("c/udp.c", include_str!("c/udp.c")),
    ("c/posixmq.c", include_str!("c/posixmq.c")),
    ("c/sysvmq.c", include_str!("c/sysvmq.c")),
    ("c/signal.c", include_str!("c/signal.c")),
    ("c/shm.c", include_str!("c/shm.c")),
    ("c/mutex.c", include_str!("c/mutex.c")),
    ("c/eventfd.c", include_str!("c/eventfd.c")),
    ("python/ends.py", include_str!("python/ends.py")),
    ("python/links.py", include_str!("python/links.py")),
];

/// The peers of this machine, ready to be started.
#[derive(Debug)]
pub struct Peers {
    dir: PathBuf,
    python: OsString,
    no_c: Option<String>,
    no_python: Option<String>,
}

impl Peers {
    /// Builds the C references in the private directory `dir`, and finds Python, by the
    /// tools of the environment. What is not there is [`absent`](Peers::absent).
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn build(dir: &Path) -> Result<Peers> {
        Peers::build_with(dir, &Tools::of_environment())
    }

    /// As [`Peers::build`], with these tools.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn build_with(dir: &Path, tools: &Tools) -> Result<Peers> {
        for (path, text) in FILES {
            let path = dir.join(path);
            let parent = path.parent().unwrap_or(dir);
            fs::create_dir_all(parent)
                .with_context(|| format!("mkdir {}", parent.display()))?;
            fs::write(&path, text)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(Peers {
            dir: dir.to_owned(),
            python: tools.python.clone(),
            no_c: compile_all(dir, &tools.cc).err(),
            no_python: try_python(tools).err(),
        })
    }

    /// Why there are no peers of this kind, and what would help; `None` if there are.
    pub fn absent(&self, program: Program) -> Option<String> {
        match program {
            Program::C => self.no_c.clone(),
            Program::Python => self.no_python.clone(),
        }
    }

    /// The command of one side, `a` or `b`, of a pair that passes messages of `size` bytes
    /// by `mechanism` in `mode`, `pingpong` or `oneway`, and meets at `base`. `None` for
    /// an absent program or an unknown mechanism.
    ///
    /// It exits with status 3 if the mechanism does not carry `size`, and with 4 if the
    /// language does not have the mechanism; one line on its standard error gives the reason.
    pub fn command(
        &self,
        program: Program,
        mechanism: &str,
        mode: &str,
        side: char,
        size: u64,
        base: &str,
    ) -> Option<Command> {
        let reference = REFERENCES.iter().find(|r| r.mechanism == mechanism)?;
        if self.absent(program).is_some() {
            return None;
        }
        let mut command = match program {
            Program::C => Command::new(built(&self.dir, reference)),
            Program::Python => {
                let mut python = Command::new(&self.python);
                // -B: it leaves no __pycache__ behind. -E: nothing in the environment
                // makes it slower.
                let script = self.dir.join("python/ends.py");
                python.args(["-B", "-E"]).arg(script).arg(mechanism);
                python
            }
        };
        command.args([mode, &side.to_string(), &size.to_string(), base]);
        Some(command)
    }
}

/// The mechanisms that have peers, in the order of the book.
pub fn mechanisms() -> impl Iterator<Item = &'static str> {
    REFERENCES.iter().map(|reference| reference.mechanism)
}

/// Where a reference is built: `shm --spin` is `c/shm_spin`.
fn built(dir: &Path, reference: &Reference) -> PathBuf {
    dir.join("c").join(reference.mechanism.replace(" --", "_").replace(' ', "_"))
}

/// Compiles all references at once, or returns why that failed.
fn compile_all(dir: &Path, cc: &str) -> Result<(), String> {
    let started: Vec<io::Result<Child>> =
        REFERENCES.iter().map(|reference| compile(dir, cc, reference)).collect();
    // All are waited for, even if one failed: none stays a zombie.
    let ended: Vec<_> = started
        .into_iter()
        .map(|child| child.and_then(Child::wait_with_output))
        .collect();
    for (reference, ended) in REFERENCES.iter().zip(ended) {
        let source = reference.source;
        let output = ended.map_err(|error| {
            format!("no C compiler: exec {cc}: {error}; {NO_COMPILER}")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let why =
                said.lines().find(|line| line.contains("error")).unwrap_or(&said);
            return Err(format!(
                "{cc} cannot build {source}: {}; {NO_COMPILER}",
                why.trim()
            ));
        }
    }
    Ok(())
}

fn compile(dir: &Path, cc: &str, reference: &Reference) -> io::Result<Child> {
    compiler(cc)
        .args(["-O3", "-Wall", "-Wextra", "-o"])
        .arg(built(dir, reference))
        .args(reference.defines)
        .arg(dir.join("c").join(reference.source))
        .args(["-lrt", "-pthread"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// Whether there is a Python that has all that the scripts use.
fn try_python(tools: &Tools) -> Result<(), String> {
    let name = tools.python.to_string_lossy();
    let advice = "apt-get install python3, or name one in IPCLAB_PYTHON";
    let check = "import sys; sys.exit(sys.version_info < (3, 10))";
    let output = Command::new(&tools.python)
        .args(["-E", "-c", check])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("no Python: exec {name}: {error}; {advice}"))?;
    if !output.status.success() {
        return Err(format!(
            "{name} is no Python of version 3.10 or later; {advice}"
        ));
    }
    Ok(())
}
