//! The Unix socket at which client and server meet without a bus.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen,
    socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;

use os::cleanup::Object;
use wire::address::RetryDelay;
use wire::errors::{Advise, errno};
use wire::local::LONGEST_NAME;
use wire::meet::{FileKind, Presence, Rendezvous, SoleRole, is_taken};
use wire::say;

// ANCHOR: listen
/// The server: binds the socket, and listens for clients.
///
/// # Errors
/// The file or the server that has the name already, and its owner.
pub fn listen_for_clients(
    rendezvous: &Rendezvous,
) -> Result<(UnixListener, Presence)> {
    let path = rendezvous.path();
    let name = path.display();
    // From here on there is no other server of ours, so a name without a listener is stale.
    let mut presence = rendezvous.arrive(Some(SoleRole::Server))?;
    check(&path)?;
    match UnixStream::connect(&path) {
        Ok(other) => {
            let pid = getsockopt(&other, PeerCredentials).map_or(0, |p| p.pid());
            bail!(
                "bind {name}: EADDRINUSE: pid {pid} has it; use --at NAME for another"
            );
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&path).with_context(|| format!("unlink {name}"))?;
            say!(
                "unlink({name}): a server that was killed left it, no server listens"
            );
        }
        Err(_) => {}
    }
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    let listener =
        socket(unix, stream, SockFlag::SOCK_CLOEXEC, None).context("socket")?;
    // The file gets the mode of its socket: no other user may ever connect.
    fchmod(&listener, Mode::S_IRUSR | Mode::S_IWUSR).context("fchmod the socket")?;
    let address = UnixAddr::new(&path).with_context(|| format!("bind {name}"))?;
    presence
        .create(&Object::Path(path.clone()), || {
            bind(listener.as_raw_fd(), &address)
                .with_context(|| format!("bind {name}"))
        })
        .advise(|error| match errno(error)? {
            nix::errno::Errno::ENOENT => Some("make its directory first"),
            _ => Some("use --at NAME for another place"),
        })?;
    listen(&listener, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    say!("bind({name}), listen(): a socket of our own, so no bus is needed");
    presence.admit_peers()?;
    Ok((UnixListener::from(listener), presence))
}
// ANCHOR_END: listen

// ANCHOR: connect
/// The client: connects to the server, as soon as there is one.
///
/// # Errors
/// A file at the name that is no socket; a server of another user.
pub fn connect_to_server(rendezvous: &Rendezvous) -> Result<UnixStream> {
    let path = rendezvous.path();
    let name = path.display();
    rendezvous.make_dir()?; // in a directory of others the server could be theirs
    let mut pause = RetryDelay::new();
    let socket = loop {
        check(&path)?;
        let why = match UnixStream::connect(&path) {
            Ok(socket) => break socket,
            Err(error) if error.kind() == ErrorKind::NotFound => "ENOENT",
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "ECONNREFUSED"
            }
            Err(error) => {
                return Err(error).with_context(|| format!("connect {name}"));
            }
        };
        if pause.is_first() {
            let what =
                format!("connect({name}) = {why}: no server yet, trying again");
            say::waiting(what, &rendezvous.peer("server"));
        }
        pause.sleep();
    };
    let server = getsockopt(&socket, PeerCredentials).context("SO_PEERCRED")?;
    let (pid, uid) = (server.pid(), server.uid());
    say!("connect({name}) = 0: the server is pid {pid}, uid {uid}");
    ensure!(uid == geteuid().as_raw(), "connect {name}: pid {pid} is uid {uid}'s");
    Ok(socket)
}
// ANCHOR_END: connect

/// Whether `path` can be the name of a socket: it is one, or nothing is there yet.
fn check(path: &Path) -> Result<()> {
    let (name, length) = (path.display(), path.as_os_str().len());
    if length > LONGEST_NAME {
        bail!(
            "{name}: a path of {length} bytes is too long for a socket: sun_path holds \
             {LONGEST_NAME} (unix(7)); use a shorter --at, or IPCLAB_DIR"
        );
    }
    match FileKind::at(path).ok().flatten() {
        None | Some(FileKind::Socket) => Ok(()),
        Some(FileKind::Fifo | FileKind::Device) => Err(is_taken(path, "no socket")),
        Some(kind) => Err(is_taken(path, kind)),
    }
}
