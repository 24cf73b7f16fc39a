//! The names of Unix sockets: a server binds its socket to one, clients connect to it.
//!
//! A path stays in the file system when its server is killed, and only connect(2) tells whether
//! a server listens there. An abstract name is no file: it goes with its socket.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, SockType};
use nix::sys::socket::{self, AddressFamily, SockFlag, UnixAddr, getsockopt};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;

use super::address::RetryDelay;
use super::meet::{FileKind, Presence, Rendezvous, SoleRole, is_taken};
use super::say;
use crate::errors::Advise;
use os::cleanup::Object;
use os::proc_fd::holders;

/// The longest path or abstract name, in bytes: `sun_path` has 108, one of them for a NUL
/// at either end.
pub const LONGEST_NAME: usize = 107;

/// The name of a Unix socket.
#[derive(Debug, Clone)]
pub struct Name {
    /// As bind(2) and connect(2) take it.
    pub address: UnixAddr,
    path: Option<PathBuf>,
    shown: String,
}

impl Name {
    /// The path of the meeting place.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn path(rendezvous: &Rendezvous) -> Result<Name> {
        let path = rendezvous.path();
        let (address, shown) = (UnixAddr::new(&path), path.display().to_string());
        let address = fits(address, path.as_os_str().len(), &shown)?;
        Ok(Name { address, path: Some(path), shown })
    }

    /// The abstract name of the meeting place, which is shown after an `@`. In what `--at`
    /// says, `\\0` is a NUL, `\\xHH` any byte, and `\\\\` a backslash: such a name is bytes.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn abstract_name(rendezvous: &Rendezvous) -> Result<Name> {
        let ours = rendezvous.kernel_name();
        let name = rendezvous.given().unwrap_or(ours.trim_start_matches('/'));
        let bytes = unescaped(name);
        let address = UnixAddr::new_abstract(&bytes);
        let shown = format!("@{name}");
        let address = fits(address, bytes.len(), &shown)?;
        Ok(Name { address, path: None, shown })
    }
}

/// The bytes of an abstract name; a backslash before anything else stands for itself.
fn unescaped(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (byte, left) = match rest {
            [b'\\', b'0', left @ ..] => (0, left),
            [b'\\', b'\\', left @ ..] => (b'\\', left),
            [b'\\', b'x', high, low, left @ ..] => match (digit(*high), digit(*low))
            {
                (Some(high), Some(low)) => ((high << 4 | low) as u8, left),
                _ => (*first, after),
            },
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    bytes
}

fn fits(
    address: nix::Result<UnixAddr>,
    length: usize,
    name: &str,
) -> Result<UnixAddr> {
    address.with_context(|| format!("bind {name}")).advise(|_| {
        Some(format!(
            "it has {length} bytes, and a socket's address holds {LONGEST_NAME} \
             (unix(7), sun_path): use a shorter --at or IPCLAB_DIR"
        ))
    })
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// ANCHOR: bind
/// Gives a server's socket its name. What it returns is the place to stay in; an abstract
/// name needs none, since the kernel removes it with its socket.
///
/// # Errors
/// EADDRINUSE, and the process that has the name; a file there that is no socket.
pub fn take(
    rendezvous: &Rendezvous,
    name: &Name,
    socket: &OwnedFd,
) -> Result<Option<Presence>> {
    // From here on no other server of ours can be here. Without that, two that start at
    // once could both find a stale name, and the second would remove the first's new one.
    let mut presence = match &name.path {
        Some(_) => Some(rendezvous.arrive(Some(SoleRole::Server))?),
        None => None,
    };
    bind(socket, name, presence.as_mut())?;
    Ok(presence)
}

/// As [`take`], for a role that is in the place already.
///
/// # Errors
/// As [`take`].
pub fn bind(
    socket: &OwnedFd,
    name: &Name,
    presence: Option<&mut Presence>,
) -> Result<()> {
    // The file gets the mode of its socket: no other user may ever connect, not even in the
    // instant between bind(2) and a chmod(2).
    fchmod(socket, Mode::S_IRUSR | Mode::S_IWUSR).context("fchmod the socket")?;
    let bind = || {
        socket::bind(socket.as_raw_fd(), &name.address)
            .with_context(|| format!("bind {name}"))
            .advise(|_| in_use(socket, name))
    };
    let (Some(path), Some(presence)) = (&name.path, presence) else { return bind() };
    // bind(2) refuses a name that is there, and the socket of a server that was killed still is:
    // it is removed first, but only if no server listens.
    if must_be_socket(path)? && in_use(socket, name).is_none() {
        std::fs::remove_file(path).with_context(|| format!("unlink {name}"))?;
        say!("unlink({name}): a server that was killed left it, no server listens");
    }
    presence.create(&Object::Path(path.clone()), bind)
}

/// The process that has the name, and what to do; `None` when none has. Only connect(2) tells.
fn in_use(socket: &OwnedFd, name: &Name) -> Option<String> {
    let kind = getsockopt(socket, SockType).ok()?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket::socket(AddressFamily::Unix, kind, flags, None).ok()?;
    let who = match socket::connect(probe.as_raw_fd(), &name.address) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => return None,
        Err(Errno::EPROTOTYPE) => "a server of another --type has it".to_owned(),
        Err(_) => "a server has it".to_owned(),
        Ok(()) => match getsockopt(&probe, PeerCredentials) {
            Ok(server) if server.pid() > 0 => format!("pid {} has it", server.pid()),
            _ => "a server has it".to_owned(), // no credentials without a connection
        },
    };
    Some(format!("{who}; use --at NAME for a name of your own"))
}
// ANCHOR_END: bind

/// Whether a socket is at `path`; what is there and is none is refused, and left alone.
fn must_be_socket(path: &Path) -> Result<bool> {
    match FileKind::at(path)? {
        Some(FileKind::Socket) => Ok(true),
        None => Ok(false),
        Some(FileKind::Device) => Err(is_taken(path, "no socket")),
        Some(kind) => Err(is_taken(path, kind)),
    }
}

// ANCHOR: connect
/// connect(2), again and again while no process listens: nothing announces one that comes, which is
/// the role `listens`.
///
/// # Errors
/// A file at the path that is no socket; a server of another type; another user's server.
pub fn connect(
    rendezvous: &Rendezvous,
    name: &Name,
    socket: &OwnedFd,
    listens: &str,
) -> Result<()> {
    if name.path.is_some() {
        rendezvous.make_dir()?; // a directory that others may write to could hold their server
    }
    let mut pause = RetryDelay::new();
    loop {
        // Sleeps while the server's backlog is full.
        match socket::connect(socket.as_raw_fd(), &name.address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(error @ (Errno::ENOENT | Errno::ECONNREFUSED)) => {
                if let Some(path) = &name.path {
                    must_be_socket(path)?; // a file refuses, too, and for ever
                }
                if pause.is_first() {
                    let waits = format_args!(
                        "connect({name}) = {error:?}: no {listens} listens there yet; \
                         trying again until one does"
                    );
                    say::waiting(waits, &rendezvous.peer(listens));
                }
                pause.sleep();
            }
            Err(error) => {
                let advice = match error {
                    Errno::EPROTOTYPE => Some("the server has another --type"),
                    Errno::EACCES => Some("the name belongs to another user"),
                    _ => None,
                };
                let failed = Err(error).with_context(|| format!("connect {name}"));
                return failed.advise(|_| advice);
            }
        }
    }
    match getsockopt(socket, PeerCredentials) {
        Ok(server) if server.pid() > 0 => {
            let (pid, uid) = (server.pid(), server.uid());
            say!("connect({name}) = 0: the {listens} is pid {pid}, uid {uid}");
            must_be_ours(rendezvous, name, Some(uid))
        }
        _ => {
            say!("connect({name}) = 0: what is sent now goes there");
            match name.path {
                None => must_be_ours(rendezvous, name, holder(&name.shown)),
                Some(_) => Ok(()), // in a directory of ours, or where the user said
            }
        }
    }
}
// ANCHOR_END: connect

/// Refuses a server of another user, and one that may be, at our default name: any user may take
/// an abstract name. The user answers for a name that the user gave.
fn must_be_ours(
    rendezvous: &Rendezvous,
    name: &Name,
    uid: Option<u32>,
) -> Result<()> {
    let why = match uid {
        _ if rendezvous.is_users_name()
            || rendezvous.given().is_some() && name.path.is_none() =>
        {
            return Ok(());
        }
        Some(uid) if uid == geteuid().as_raw() => return Ok(()),
        Some(uid) => format!("a server of uid {uid} has it"),
        None => "it cannot be seen whose server has it".to_owned(),
    };
    bail!("connect {name}: {why}; use --at NAME for a name of your own")
}

/// The process that has bound the abstract name, as far as we may look: without a connection,
/// the kernel does not report it. /proc/net/unix has the socket's inode number, and the process
/// has a link with that number in its /proc/PID/fd.
fn holder(name: &str) -> Option<u32> {
    let sockets = std::fs::read("/proc/net/unix").ok()?;
    let mut lines = sockets.split(|byte| *byte == b'\n');
    let line = lines.find(|line| {
        line.strip_suffix(name.as_bytes()).is_some_and(|rest| rest.ends_with(b" "))
    })?;
    let line = String::from_utf8_lossy(line);
    let inode = line.split_whitespace().nth(6)?;
    let pid = holders(&format!("socket:[{inode}]")).next()?;
    Some(std::fs::metadata(format!("/proc/{pid}")).ok()?.uid())
}
