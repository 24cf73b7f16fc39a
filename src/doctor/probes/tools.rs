//! Programs beside ipclab.

use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;
use lab::tools::{NO_COMPILER, Tools, compiler};
use os::spawn::die_with_parent;

/// Runs `command` to its end; returns what it printed, or how it failed.
pub(super) fn printed(command: &mut Command) -> Result<Result<String, String>> {
    die_with_parent(command);
    command.stdin(Stdio::null());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let error = Err::<(), _>(error).context(format!("exec {name}"));
            return Ok(Err(error.map_err(|e| wire::errors::line(&e)).unwrap_err()));
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => {
            let said = text(&output.stderr);
            Err(said.lines().last().unwrap_or("it failed").to_owned())
        }
    })
}

/// A program failed, or is not there: `package` helps only then.
pub(super) fn failed(why: String, package: &str) -> Answer {
    let is_gone = why.contains("ENOENT");
    let answer = Answer::of_text(&why);
    if is_gone { answer.cure(package) } else { answer }
}

/// A C compiler.
pub static COMPILER: Probe = Probe {
    name: "c-compiler",
    chapters: &["bare"],
    what: "a C compiler (a program of one line, compiled and run)",
    loses: "ipclab bare --lang c prints programs that cannot be compiled here",
    necessary: false,
    experiments: &[],
    run: |place| {
        let program = match compiled(&place.scratch()?.join("c"))? {
            Ok(program) => program,
            Err(answer) => return Ok(answer),
        };
        // The runtime directory may be mounted noexec: that is no fault of the compiler.
        Ok(match printed(&mut Command::new(program))? {
            Ok(_) => Answer::ok("compiled, and run"),
            Err(why) => Answer::limited(format!("compiled, but not run: {why}")),
        })
    },
};

/// Compiles a C program of one line to `program`, which it returns, or why that fails.
pub(super) fn compiled(program: &Path) -> Result<Result<PathBuf, Answer>> {
    let source = program.with_extension("c");
    let text = "#include <sys/socket.h>\nint main(void) { return 0; }\n";
    std::fs::write(&source, text).context("write")?;
    let mut compile = compiler(&Tools::of_environment().cc);
    compile.arg("-o").arg(program).arg(source);
    if let Some(directory) = program.parent() {
        compile.env("TMPDIR", directory);
    }
    Ok(match printed(&mut compile)? {
        Ok(_) => Ok(program.to_owned()),
        Err(why) => Err(failed(why, NO_COMPILER)),
    })
}

/// Python.
pub static PYTHON: Probe = Probe {
    name: "python",
    chapters: &["bare"],
    what: "Python 3.10 with the modules posix_ipc and sysv_ipc",
    loses: "bare --lang python; its queues, segments and semaphores need the modules",
    necessary: false,
    experiments: &[],
    run: |_| {
        const SCRIPT: &str = "\
import sys
missing = [] if sys.version_info >= (3, 10) else ['version 3.10']
for name in 'posix_ipc', 'sysv_ipc':
    try: __import__(name)
    except ImportError: missing.append(name)
print('%d.%d' % sys.version_info[:2], *missing)";
        let tools = Tools::of_environment();
        let mut python = Command::new(tools.python);
        python.args(["-c", SCRIPT]);
        Ok(match printed(&mut python)? {
            Err(why) => failed(
                why,
                "apt-get install python3, or name another in IPCLAB_PYTHON",
            ),
            Ok(said) => match said.split_once(' ') {
                None => Answer::ok(format!("Python {said}, both modules")),
                Some((version, missing)) => Answer::limited(format!(
                    "Python {version}, without {}",
                    missing.replace(' ', ", ")
                ))
                .cure("python3 -m pip install posix_ipc sysv_ipc, or IPCLAB_PYTHON"),
            },
        })
    },
};

/// The feature of cargo.
pub static DBUS: Probe = Probe {
    name: "dbus-feature",
    chapters: &["dbus"],
    what: "the feature dbus, with which this program is built unless it is left out",
    loses: "the roles of dbus do not run",
    necessary: false,
    experiments: &[],
    run: |_| {
        Ok(match chapters::find("dbus").and_then(|row| row.missing()) {
            Some(missing) => Answer::of_text(&missing),
            None => Answer::ok("it is built in"),
        })
    },
};

/// The session bus.
pub static SESSION_BUS: Probe = Probe {
    name: "session-bus",
    chapters: &["dbus"],
    what: "a D-Bus session bus (connect, and authenticate)",
    loses: "busctl --user and gdbus --session; the chapter's roles need no bus",
    necessary: false,
    experiments: &[],
    run: |_| {
        Ok(match authenticated() {
            Ok(()) => Answer::ok("it let this user in"),
            Err(error) => Answer::limited(wire::errors::line(&error))
                .cure("dbus-run-session -- bash starts one"),
        })
    },
};

fn authenticated() -> Result<()> {
    let Ok(all) = std::env::var("DBUS_SESSION_BUS_ADDRESS") else {
        bail!("DBUS_SESSION_BUS_ADDRESS is not set")
    };
    let first = all.split(';').next().unwrap_or_default();
    let keys =
        first.strip_prefix("unix:").context("the bus is at no Unix socket")?;
    let key = |name: &str| keys.split(',').find_map(|key| key.strip_prefix(name));
    let bus = match (key("path="), key("abstract=")) {
        (Some(path), _) => UnixStream::connect(path),
        (_, Some(name)) => {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
        }
        _ => bail!("the bus is at no path"),
    };
    let mut bus = bus.context("connect to the bus")?;
    bus.set_read_timeout(Some(DEADLINE / 2)).context("setsockopt")?;
    // The uid as text, each of its characters as two hexadecimal digits.
    let uid = nix::unistd::geteuid().to_string();
    let uid: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
    bus.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())
        .context("write")?;
    let mut line = String::new();
    BufReader::new(bus).read_line(&mut line).context("read from the bus")?;
    match line.starts_with("OK ") {
        true => Ok(()),
        false => bail!("the bus refuses this user"),
    }
}
