//! The same servers in C and in Python: built, or found, when they are asked for.
//!
//! A peer's descriptor 0 is a socket that listens. So it needs no code for addresses, and
//! there is nothing to wait for before clients may come.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

use super::kind::{ServerKind, ServerProgram};
use super::load::address::ServerAddress;
use lab::tools::Tools;
use wire::address;

/// Why a peer is not there: the row has the reason, and the bench goes on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Absent(pub String);

/// The server of Python's standard library.
const PYTHON: &str = include_str!("../python/servers/echo.py");

/// How a peer's server is started. What it is built of lies in `dir`.
///
/// # Errors
/// [`Absent`] without a compiler or Python; the compiler's own error.
pub(super) fn command(
    kind: ServerKind,
    program: ServerProgram,
    dir: &Path,
) -> Result<Command> {
    match program {
        ServerProgram::Python => python(kind),
        _ => {
            build(kind, dir)?;
            Ok(kind.c_command(dir))
        }
    }
}

fn python(kind: ServerKind) -> Result<Command> {
    // The interpreter may be one of a virtual environment.
    let name = Tools::of_environment().python;
    let said = Command::new(&name).args(["-c", "import selectors"]).output();
    if !said.is_ok_and(|said| said.status.success()) {
        let name = name.to_string_lossy();
        let why =
            format!("no {name} on this machine; IPCLAB_PYTHON may name another");
        return Err(Absent(why).into());
    }
    let mut command = Command::new(name);
    command.args(["-I", "-c", PYTHON, kind.word()]);
    Ok(command)
}

/// Builds the C program of this kind, unless it is there.
fn build(kind: ServerKind, dir: &Path) -> Result<()> {
    let (name, source) = kind.c_source();
    let program = dir.join(name);
    if program.exists() {
        return Ok(());
    }
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-pthread", "-D_GNU_SOURCE", "-x", "c", "-o"]);
    cc.arg(&program).arg("-");
    cc.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut running) = cc.spawn() else {
        let why = "no cc on this machine: install a C compiler, such as gcc";
        return Err(Absent(why.to_owned()).into());
    };
    if let Some(mut stdin) = running.stdin.take() {
        stdin.write_all(source.as_bytes()).context("write to cc")?;
    }
    let done = running.wait_with_output().context("wait for cc")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.lines().next().unwrap_or_default();
    ensure!(done.status.success(), "cc {name}.c: {said}");
    Ok(())
}

/// A socket that listens where the chapter's own server would, and its address.
///
/// # Errors
/// EADDRINUSE, EMFILE.
pub(super) fn listener(
    kind: ServerKind,
    dir: &Path,
) -> Result<(OwnedFd, ServerAddress)> {
    if kind.chapter() == "multiplex" {
        let path = dir.join("echo");
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let listener =
            socket(family, SockType::Stream, flags, None).context("socket")?;
        let name = UnixAddr::new(&path).context("a path too long")?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &name).context("bind")?;
        listen(&listener, Backlog::MAXCONN).context("listen")?;
        return Ok((listener, ServerAddress::Unix(path)));
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (listener, address) = address::listen(&any.into())?;
    listen(&listener, Backlog::MAXCONN).context("listen")?;
    // What is accepted inherits it.
    address::send_at_once(&listener)?;
    Ok((listener, ServerAddress::Tcp(address)))
}
