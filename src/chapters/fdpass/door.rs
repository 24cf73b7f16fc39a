//! The Unix socket at which server and workers meet.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen,
    socket, sockopt::PeerCredentials,
};
use nix::sys::stat::{Mode, umask};

use crate::errors::{Advise, errno};
use crate::os::cleanup::{Object, without_signals};
use crate::say;
use crate::wire::address::Pause;
use crate::wire::meet::{At, Place};
use crate::wire::say;

// ANCHOR: open
/// Binds the socket where workers come.
pub(super) fn open(at: &At, place: &mut Place) -> Result<UnixListener> {
    let path = at.path();
    let name = path.display();
    // A name outlives its socket. Only connect(2) tells a stale one from one in use.
    match UnixStream::connect(&path) {
        Ok(stranger) => {
            let pid = getsockopt(&stranger, PeerCredentials).map_or(0, |p| p.pid());
            bail!("{name} is taken by pid {pid}; use --at NAME for another place");
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&path).with_context(|| format!("unlink {name}"))?;
            say!(
                "connect({name}) = ECONNREFUSED: a stale name; unlink() removed it"
            );
        }
        Err(_) => {}
    }
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    let door =
        socket(unix, stream, SockFlag::SOCK_CLOEXEC, None).context("socket")?;
    let address = UnixAddr::new(&path).with_context(|| format!("bind {name}"))?;
    // The mode of a socket's name is 0777 without the bits of the umask; to connect
    // takes the right to write (unix(7)).
    without_signals(|| {
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = bind(door.as_raw_fd(), &address);
        umask(before);
        bound.with_context(|| format!("bind {name}")).advise(
            |error| match errno(error)? {
                Errno::ENOENT => Some("make its directory first"),
                _ => Some("use --at NAME for another place"),
            },
        )?;
        place.owns_alone(&Object::Path(path.clone()))
    })?;
    listen(&door, Backlog::MAXCONN).context("listen")?;
    say!("socket(AF_UNIX), bind({name}), listen(): workers come here");
    Ok(UnixListener::from(door))
}
// ANCHOR_END: open

// ANCHOR: find
/// Connects to the server, as soon as there is one.
pub(super) fn find(at: &At) -> Result<UnixStream> {
    let path = at.path();
    let name = path.display();
    let mut pause = Pause::new();
    loop {
        check(&path)?;
        let why = match UnixStream::connect(&path) {
            Ok(server) => return Ok(server),
            Err(error) if error.kind() == ErrorKind::NotFound => "ENOENT",
            // A name without a socket: stale, or bind() was called and listen() not yet.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "ECONNREFUSED"
            }
            Err(error) => {
                return Err(error).with_context(|| format!("connect {name}"));
            }
        };
        if pause.is_first() {
            say::waiting(
                format_args!(
                    "connect({name}) = {why}: no server yet; tried until there is"
                ),
                &at.peer("server"),
            );
        }
        pause.sleep();
    }
}
// ANCHOR_END: find

/// The longest path that a socket can be bound to, in bytes: `sun_path` has 108, one of
/// them for the NUL (unix(7)).
const LONGEST_PATH: usize = 107;

/// Looks whether the socket can be, and is or could come, at `path`.
pub(super) fn check(path: &Path) -> Result<()> {
    let (name, length) = (path.display(), path.as_os_str().len());
    if length > LONGEST_PATH {
        bail!(
            "{name}: a path of {length} bytes is too long for a socket: sun_path holds \
             {LONGEST_PATH} (unix(7)); use a shorter --at, or IPCLAB_DIR"
        );
    }
    let Ok(about) = path.symlink_metadata() else { return Ok(()) };
    let kind = about.file_type();
    let what = match () {
        () if kind.is_socket() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        () if kind.is_file() => "a regular file",
        () => "no socket",
    };
    bail!("{name} is {what}; use --at NAME for another place")
}
