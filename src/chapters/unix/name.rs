//! How the two roles meet at a name: the server binds it, the client connects to it. A
//! path stays in the file system when its server is killed, and nothing but connect(2)
//! tells whether somebody listens there.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{self, SockFlag, UnixAddr, getsockopt};

use super::LinkOptions;
use crate::errors::Advise;
use crate::os::cleanup::Object;
use crate::say;
use crate::wire::address::Pause;
use crate::wire::meet::{At, Only, Place};
use crate::wire::say;

// ANCHOR: bind
/// Gives the server's socket its name. What it returns is the place to stay in; an
/// abstract name needs none, since the kernel removes it with its socket.
///
/// # Errors
/// EADDRINUSE, and who has the name; what is there and is no socket.
pub fn take(at: &At, link: &LinkOptions, socket: &OwnedFd) -> Result<Option<Place>> {
    let (address, name) = link.address(at)?;
    let bind = || {
        socket::bind(socket.as_raw_fd(), &address)
            .with_context(|| format!("bind {name}"))
            .advise(|_| in_use(link, &address))
    };
    if link.is_abstract {
        bind()?;
        return Ok(None);
    }
    // From here on no other server of ours can be here. Without that, two that start at
    // once could both find a stale name, and the second would remove the first's new one.
    let mut place = at.arrive(Some(Only::Server))?;
    let path = at.path();
    // bind(2) refuses a name that is there, and the socket of a server that was killed
    // still is: it goes first, but only if nobody listens.
    if must_be_socket(&path)? && in_use(link, &address).is_none() {
        std::fs::remove_file(&path).with_context(|| format!("unlink {name}"))?;
        say!("unlink({name}): a server that was killed left it, nobody listens");
    }
    place.makes(&Object::Path(path), bind)?;
    Ok(Some(place))
}

/// Who has the name, and what to do; `None` when nobody does. Only connect(2) tells.
fn in_use(link: &LinkOptions, address: &UnixAddr) -> Option<String> {
    let probe = link.socket_of(SockFlag::SOCK_NONBLOCK).ok()?;
    let who = match socket::connect(probe.as_raw_fd(), address) {
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
    let name = path.display();
    let kind = match std::fs::symlink_metadata(path) {
        Ok(about) => about.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(error).with_context(|| format!("lstat {name}")),
    };
    let what = match () {
        () if kind.is_socket() => return Ok(true),
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        () if kind.is_file() => "a regular file",
        () => "no socket",
    };
    bail!("{name} is {what}; use --at NAME for another place")
}

// ANCHOR: connect
/// connect(2), again and again while nobody listens: a server that comes tells nobody.
///
/// # Errors
/// What is at the path and is no socket; a server of another type; another user's.
pub fn connect(at: &At, link: &LinkOptions, socket: &OwnedFd) -> Result<()> {
    let (address, name) = link.address(at)?;
    if !link.is_abstract {
        at.make_dir()?; // a directory that others may write to could hold their server
    }
    let mut pause = Pause::new();
    loop {
        // Sleeps while the server's backlog is full.
        match socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(error @ (Errno::ENOENT | Errno::ECONNREFUSED)) => {
                if !link.is_abstract {
                    must_be_socket(&at.path())?; // a file refuses, too, and for ever
                }
                if pause.is_first() {
                    let waits = format_args!(
                        "connect({name}) = {error:?}: nobody listens there yet; \
                         trying again until somebody does"
                    );
                    say::waiting(waits, &at.peer("server"));
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
            say!("connect({name}) = 0: the server is pid {pid}, uid {uid}");
        }
        _ => say!("connect({name}) = 0: what is sent now goes there"),
    }
    Ok(())
}
// ANCHOR_END: connect
