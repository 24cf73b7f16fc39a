//! Unix domain sockets connect processes of one machine (unix(7)). Their addresses are
//! paths, or abstract names; the kernel vouches for who is at the other end; and there are
//! three types: a stream of bytes, a connection that keeps packets whole, and datagrams
//! without a connection.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, getsockopt,
};
use nix::sys::stat::{Mode, fchmod};

use crate::chapter::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use crate::errors::{Advise, usage};
use crate::os::cleanup::Object;
use crate::say;
use crate::wire::address::Pause;
use crate::wire::dialogue;
use crate::wire::frame::{Framing, Stream};
use crate::wire::meet::{At, Meets, Only, Place};
use crate::wire::say;

pub mod dgram;
pub mod packet;
pub mod seqpacket;
pub mod stream;

/// The longest path or abstract name, in bytes: `sun_path` has 108, one of them for a NUL
/// at either end.
pub const LONGEST_NAME: usize = 107;

/// How many clients may be connected, and not yet accepted.
const BACKLOG: i32 = 128;

/// The chapter.
#[derive(Debug)]
pub struct Unix;

impl Conversation for Unix {
    const ROW: Row = Row {
        name: "unix",
        summary: "sockets between the processes of one machine (AF_UNIX)",
        wire: "a byte stream, by default one message a line each way, so `nc -U` is a peer; \
               or one packet a message",
        roles: &[
            Role {
                name: "server",
                does: "answers the messages of its clients, many clients at once",
                examples: &[
                    "unix server",
                    "unix server --reply upper --type seqpacket",
                    "unix server --abstract --at demo",
                ],
            },
            Role {
                name: "client",
                does: "connects, sends messages, and prints the answers",
                examples: &[
                    "unix client hello",
                    "unix client --bytes < picture.png > copy.png",
                    "unix client --type dgram hello",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::EndOfStream,
        script: Script {
            parts: &[
                Part { role: "server", args: &["--count", "1", "--reply", "upper"] },
                Part { role: "client", args: &["hello", "through a socket"] },
            ],
            prints: "client",
            expect: "HELLO\nTHROUGH A SOCKET\n",
        },
    };
    type Roles = UnixRoles;
}

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum UnixRoles {
    /// Binds the name
    Server(ServerOptions),
    /// Connects to it
    Client(ClientOptions),
}

impl Roles for UnixRoles {
    fn play(self, at: &At) -> Result<()> {
        match self {
            UnixRoles::Server(options) => serve(at, &options),
            UnixRoles::Client(options) => talk(at, &options),
        }
    }
}

/// The options of `unix server`.
#[derive(Debug, clap::Args)]
pub struct ServerOptions {
    #[command(flatten)]
    link: LinkOptions,
    #[command(flatten)]
    server: dialogue::Server,
}

/// The options of `unix client`.
#[derive(Debug, clap::Args)]
pub struct ClientOptions {
    #[command(flatten)]
    link: LinkOptions,
    #[command(flatten)]
    client: dialogue::Client,
}

/// What both roles must agree on.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LinkOptions {
    /// The type of the socket
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value = "stream")]
    kind: Type,

    /// Meet at an abstract name, which is no file: any user's process may connect
    #[arg(long = "abstract")]
    is_abstract: bool,

    /// Ask for a send buffer of this many bytes (SO_SNDBUF; the kernel doubles it): a
    /// packet must fit in
    #[arg(long, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    send_buffer: Option<u32>,
}

/// The type of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// A connection that carries a stream of bytes
    Stream,
    /// Messages without a connection
    Dgram,
    /// A connection that carries messages
    Seqpacket,
}

impl LinkOptions {
    fn socket(&self, stream: &Stream) -> Result<OwnedFd> {
        if self.kind != Type::Stream && stream.framing == Framing::Length {
            return Err(usage(
                "--framing is for --type stream: a packet has an end of its own",
            ));
        }
        self.socket_of(SockFlag::empty())
    }

    fn socket_of(&self, flags: SockFlag) -> Result<OwnedFd> {
        let kind = match self.kind {
            Type::Stream => SockType::Stream,
            Type::Dgram => SockType::Datagram,
            Type::Seqpacket => SockType::SeqPacket,
        };
        // SOCK_CLOEXEC: no program that we might start inherits it.
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        socket::socket(AddressFamily::Unix, kind, flags, None).context("socket")
    }

    /// The address to meet at, and how it is shown: an abstract name after an `@`.
    fn address(&self, at: &At) -> Result<(UnixAddr, String)> {
        let (address, shown) = if self.is_abstract {
            let ours = at.kernel_name();
            let name = at.given().unwrap_or(ours.trim_start_matches('/'));
            (UnixAddr::new_abstract(name.as_bytes()), format!("@{name}"))
        } else {
            let path = at.path();
            (UnixAddr::new(&path), path.display().to_string())
        };
        let address =
            address.with_context(|| format!("bind {shown}")).advise(|_| {
                let length = shown.len() - usize::from(self.is_abstract);
                let way_out = "a shorter --at, or IPCLAB_DIR";
                Some(format!(
                    "it has {length} bytes, a socket's address holds {LONGEST_NAME} \
                 (sun_path in unix(7)): use {way_out}"
                ))
            })?;
        Ok((address, shown))
    }
}

// ANCHOR: server
fn serve(at: &At, options: &ServerOptions) -> Result<()> {
    let ServerOptions { link, server } = options;
    let socket = link.socket(&server.stream)?;
    let (address, name) = link.address(at)?;
    // The file gets the mode of its socket: nobody else may ever connect, not even in
    // the instant between bind(2) and a chmod(2).
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).context("fchmod the socket")?;
    if link.kind != Type::Stream {
        packet::see_credentials(&socket)?;
    }
    let mut place = None;
    if link.is_abstract {
        // The kernel removes an abstract name with its socket: none is ever stale.
        bind(&socket, &address, &name).advise(|_| in_use(link, &address))?;
    } else {
        place = Some(take_name(at, &socket, link, &address)?);
    }
    if link.kind != Type::Dgram {
        let backlog = Backlog::new(BACKLOG).context("a backlog")?;
        socket::listen(&socket, backlog)
            .with_context(|| format!("listen {name}"))?;
    }
    if let Some(place) = &mut place {
        place.open_to_all()?;
    }
    at.ready(&name)?;
    let call = if link.kind == Type::Dgram { "recvmsg" } else { "accept" };
    let waits = format_args!("{call}() sleeps until a client comes");
    say::waiting(waits, &at.peer("client"));
    match link.kind {
        Type::Stream => stream::serve(&socket, server),
        Type::Seqpacket => seqpacket::serve(&socket, link.send_buffer, server),
        Type::Dgram => dgram::serve(&socket, link.send_buffer, server),
    }
}

fn bind(socket: &OwnedFd, address: &UnixAddr, name: &str) -> Result<()> {
    socket::bind(socket.as_raw_fd(), address)
        .with_context(|| format!("bind {name}"))?;
    say!("bind({name}) gave the socket its name");
    Ok(())
}

/// Binds a path. The socket file of a server that was killed is still there, and bind(2)
/// refuses every name that is there: so it is removed first, but only if nobody listens.
fn take_name(
    at: &At,
    socket: &OwnedFd,
    link: &LinkOptions,
    address: &UnixAddr,
) -> Result<Place> {
    let path = at.path();
    let name = path.display().to_string();
    // From here on no other server of ours can be here. Without that, two that start at
    // once could both find a stale name, and the second would remove the first's new one.
    let mut place = at.arrive(Some(Only::Server))?;
    if must_be_socket(&path)? {
        if let Some(advice) = in_use(link, address) {
            let refused = Err(Errno::EADDRINUSE).context(format!("bind {name}"));
            return refused.advise(|_| Some(advice));
        }
        std::fs::remove_file(&path).with_context(|| format!("unlink {name}"))?;
        say!(
            "unlink({name}): left by a server that was killed, nobody listens there"
        );
    }
    place.makes(&Object::Path(path), || bind(socket, address, &name))?;
    Ok(place)
}
// ANCHOR_END: server

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

/// Whether a socket is at `path`; what is there and is none is refused, and left alone.
fn must_be_socket(path: &Path) -> Result<bool> {
    let name = path.display();
    let kind = match std::fs::symlink_metadata(path) {
        Ok(about) => about.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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

// ANCHOR: client
fn talk(at: &At, options: &ClientOptions) -> Result<()> {
    let ClientOptions { link, client } = options;
    let socket = link.socket(&client.stream)?;
    match link.kind {
        Type::Stream => {
            client.check()?;
            connect(at, link, &socket)?;
            let link = dialogue::StreamLink::new(socket, &client.stream);
            dialogue::converse(link, client)
        }
        Type::Seqpacket => {
            packet::see_credentials(&socket)?;
            let (kind, buffer) = (packet::Kind::Seqpacket, link.send_buffer);
            let packets =
                packet::Packets::new(socket, kind, buffer, &client.stream)?;
            packets.check_all(&client.source)?;
            connect(at, link, packets.socket())?;
            dialogue::converse(packets, client)
        }
        Type::Dgram => {
            let address = link.address(at)?.0;
            let (kind, buffer) = (packet::Kind::Dgram(address), link.send_buffer);
            let packets =
                packet::Packets::new(socket, kind, buffer, &client.stream)?;
            packets.check_all(&client.source)?;
            dgram::bind_to_any_name(packets.socket())?;
            connect(at, link, packets.socket())?;
            dialogue::converse(packets, client)
        }
    }
}

/// connect(2), again and again while nobody listens: a server that comes tells nobody.
fn connect(at: &At, link: &LinkOptions, socket: &OwnedFd) -> Result<()> {
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
                         nothing will tell, so it tries again"
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
// ANCHOR_END: client
