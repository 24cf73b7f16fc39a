//! Where clients come in: listening sockets, Unix and TCP, as many as were asked for.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen,
    socket,
};
use nix::sys::stat::{Mode, umask};
use rustix::net::{SocketFlags, accept_with};

use super::LONGEST_PATH;
use crate::errors::{Advise, errno};
use crate::os::cleanup::Object;
use crate::say;
use crate::wire::address::{self, send_at_once};
use crate::wire::meet::{At, Only, Place};

/// A listening socket that does not block.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: OwnedFd,
    /// Its address, as a client would name it.
    pub(super) name: String,
    /// How a client names it on its command line.
    pub(super) option: &'static str,
    /// A Unix socket's name goes with the last one out.
    _place: Option<Place>,
}

/// What accept(2) says.
#[derive(Debug)]
pub(super) enum Came {
    /// A client; its socket does not block.
    Client(OwnedFd),
    /// Nobody more, for now.
    Nobody,
    /// Somebody, but there is no descriptor or no memory for him.
    NoRoom(Errno),
}

// ANCHOR: accept
impl Door {
    /// accept4(2): takes up a client that the kernel has connected.
    ///
    /// # Errors
    /// What no client is to blame for.
    pub(super) fn accept(&self) -> Result<Came> {
        // Non-blocking from the start: no further call for it. Close-on-exec as always.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match accept_with(&self.listener, flags) {
            Ok(socket) => Ok(Came::Client(socket)),
            Err(error) => match Errno::from_raw(error.raw_os_error()) {
                Errno::EAGAIN => Ok(Came::Nobody),
                full @ (Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::ENOMEM) => Ok(Came::NoRoom(full)),
                broken @ (Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK) => {
                    Err(broken).with_context(|| format!("accept {}", self.name))
                }
                // Of the one that came: it gave up, or its network did (accept(2)).
                _ => Ok(Came::Nobody),
            },
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: unix_door
/// A Unix socket at the path of `at`.
pub(super) fn unix(at: &At) -> Result<Door> {
    let path = at.path();
    let name = path.display().to_string();
    if path.as_os_str().len() > LONGEST_PATH {
        bail!(
            "bind {name}: a path of {} bytes is too long for a socket, which has room \
             for {LONGEST_PATH} (sun_path, unix(7)); use a shorter one, or IPCLAB_DIR",
            path.as_os_str().len()
        );
    }
    let mut place = at.arrive(Some(Only::Server))?;
    must_be_socket(&path)?;
    let address = UnixAddr::new(&path).with_context(|| format!("bind {name}"))?;
    // A name outlives its socket. Only connect(2) tells a stale one from one in use.
    let probe = unix_socket(SockFlag::SOCK_NONBLOCK)?;
    match connect(probe.as_raw_fd(), &address) {
        Ok(()) | Err(Errno::EAGAIN) => {
            bail!(
                "bind {name}: EADDRINUSE: somebody listens there; use another name"
            )
        }
        Err(Errno::ECONNREFUSED) => {
            std::fs::remove_file(&path).with_context(|| format!("unlink {name}"))?;
            say!(
                "connect({name}) = ECONNREFUSED: a stale name; unlink() removed it"
            );
        }
        Err(_) => {}
    }
    let listener = unix_socket(SockFlag::SOCK_NONBLOCK)?;
    let made = place.makes(&Object::Path(path), || {
        // The name's mode is 0777 without the bits of the umask; only who may write to
        // it may connect (unix(7)).
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = bind(listener.as_raw_fd(), &address);
        umask(before);
        bound.with_context(|| format!("bind {name}"))
    });
    made.advise(|error| {
        (errno(error) == Some(Errno::ENOENT)).then_some("make its directory first")
    })?;
    listen(&listener, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    place.open_to_all()?;
    say!(
        "bind({name}), listen(): clients come to descriptor {}",
        listener.as_raw_fd()
    );
    Ok(Door { listener, name, option: "--at", _place: Some(place) })
}
// ANCHOR_END: unix_door

/// A TCP socket at `address`; its port may be 0.
pub(super) fn tcp(address: SocketAddr) -> Result<Door> {
    let (listener, address) = address::listen(address)?;
    // Again, for more than 128 at once (/proc/sys/net/core/somaxconn is the most).
    listen(&listener, Backlog::MAXCONN).context("listen")?;
    // On Linux the accepted sockets inherit it: no call for each client.
    send_at_once(&listener)?;
    rustix::io::ioctl_fionbio(&listener, true).context("ioctl(FIONBIO)")?;
    let name = address.to_string();
    Ok(Door { listener, name, option: "--connect", _place: None })
}

fn unix_socket(flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).context("socket")
}

/// Refuses to bind to a name that is something else's.
pub(super) fn must_be_socket(path: &Path) -> Result<()> {
    let Ok(about) = path.symlink_metadata() else { return Ok(()) };
    let kind = about.file_type();
    let what = match () {
        () if kind.is_socket() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        () if kind.is_file() => "a regular file",
        () if kind.is_fifo() => "a FIFO",
        () => "no socket",
    };
    bail!("{} is {what}; use --at NAME for another place", path.display())
}

impl AsFd for Door {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
