//! Unix domain sockets connect processes of one machine (unix(7)). Their addresses are
//! paths, or abstract names; the kernel vouches for the process at the other end; and there
//! are three types: a stream of bytes, a connection that keeps packets whole, and datagrams
//! without a connection.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use clap::ValueEnum;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};

use self::more::packet::{self, PacketKind, PacketLink};
use self::more::{dgram, seqpacket};
use wire::address::BACKLOG;
use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::dialogue::{self, StreamLink, converse};
use wire::errors::usage;
use wire::frame::{Framing, FramingOptions};
use wire::local::{self, Name};
use wire::meet::{Meets, Presence, Rendezvous};
use wire::say;
use wire::standard;

pub mod more;
pub mod stream;

/// The options of `unix server`.
#[derive(Debug, clap::Args)]
pub struct UnixServerOptions {
    #[command(flatten)]
    link: UnixLinkOptions,
    #[command(flatten)]
    server: dialogue::Server,
}

/// The options of `unix client`.
#[derive(Debug, clap::Args)]
pub struct UnixClientOptions {
    #[command(flatten)]
    link: UnixLinkOptions,
    #[command(flatten)]
    client: dialogue::Client,
}

/// What both roles must agree on.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct UnixLinkOptions {
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

impl UnixLinkOptions {
    fn socket(&self, stream: &FramingOptions) -> Result<OwnedFd> {
        if self.kind != Type::Stream && stream.framing == Framing::Length {
            return Err(usage(
                "--framing is for --type stream: a packet has an end of its own",
            ));
        }
        let kind = match self.kind {
            Type::Stream => SockType::Stream,
            Type::Dgram => SockType::Datagram,
            Type::Seqpacket => SockType::SeqPacket,
        };
        // SOCK_CLOEXEC: no program that we might start inherits it.
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, kind, flags, None).context("socket")
    }

    /// The name to meet at.
    fn name(&self, rendezvous: &Rendezvous) -> Result<Name> {
        if self.is_abstract {
            Name::abstract_name(rendezvous)
        } else {
            Name::path(rendezvous)
        }
    }
}

// ANCHOR: server
fn run_server(rendezvous: &Rendezvous, options: &UnixServerOptions) -> Result<()> {
    let UnixServerOptions { link, server } = options;
    standard::output()?;
    let socket = link.socket(&server.stream)?;
    if link.kind != Type::Stream {
        packet::see_credentials(&socket)?;
    }
    let name = link.name(rendezvous)?;
    let mut presence = local::take(rendezvous, &name, &socket)?;
    say!("bind({name}): the socket has a name");
    if link.kind != Type::Dgram {
        let backlog = Backlog::new(BACKLOG).context("a backlog")?;
        listen(&socket, backlog).with_context(|| format!("listen {name}"))?;
        say!("listen({BACKLOG}): from now on the kernel connects clients");
    }
    presence.as_mut().map_or(Ok(()), Presence::admit_peers)?;
    rendezvous.ready(&name)?;
    let call = if link.kind == Type::Dgram { "recvmsg" } else { "accept" };
    let waits = format_args!("{call}() sleeps until a client comes");
    say::waiting_at(waits, &[(&socket, &rendezvous.peer("client"))]);
    match link.kind {
        Type::Stream => stream::serve(&socket, server),
        Type::Seqpacket => seqpacket::serve(&socket, link.send_buffer, server),
        Type::Dgram => dgram::serve(&socket, link.send_buffer, server),
    }
}
// ANCHOR_END: server

// ANCHOR: client
fn run_client(rendezvous: &Rendezvous, options: &UnixClientOptions) -> Result<()> {
    let UnixClientOptions { link, client } = options;
    client.check_streams()?;
    let (socket, name) = (link.socket(&client.stream)?, link.name(rendezvous)?);
    let kind = match link.kind {
        Type::Seqpacket => PacketKind::Seqpacket,
        Type::Dgram => PacketKind::Dgram(name.address),
        Type::Stream => {
            client.check()?;
            local::connect(rendezvous, &name, &socket, "server")?;
            return converse(StreamLink::new(socket, &client.stream), client);
        }
    };
    let packets = PacketLink::new(socket, kind, link.send_buffer, &client.stream)?;
    packets.check_all(&client.source)?;
    if link.kind == Type::Dgram {
        dgram::bind_to_any_name(packets.socket())?;
    } else {
        packet::see_credentials(packets.socket())?;
    }
    local::connect(rendezvous, &name, packets.socket(), "server")?;
    converse(packets, client)
}
// ANCHOR_END: client

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum UnixRoles {
    /// Binds the name
    Server(UnixServerOptions),
    /// Connects to it
    Client(UnixClientOptions),
}

impl Roles for UnixRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            UnixRoles::Server(options) => run_server(rendezvous, &options),
            UnixRoles::Client(options) => run_client(rendezvous, &options),
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Unix;

impl Conversation for Unix {
    const ROW: Row = Row {
        name: "unix",
        summary: "sockets between the processes of one machine (AF_UNIX)",
        also: &[
            "socket",
            "unix socket",
            "domain socket",
            "unix domain socket",
            "local socket",
            "socketpair",
            "af_unix",
            "uds",
            "datagram",
            "dgram",
            "seqpacket",
            "so_peercred",
            "abstract socket",
        ],
        wire: "a byte stream, by default one message a line each way, so `nc -U` is a peer; \
               or one packet a message",
        roles: &[
            Role {
                name: "server",
                side: Side::Left,
                does: "answers the messages of its clients, many clients at once",
                examples: &[
                    "unix server",
                    "unix server --reply upper --type seqpacket",
                    "unix server --abstract --at demo",
                ],
            },
            Role {
                name: "client",
                side: Side::Right,
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
        needs: None,
        script: Script {
            parts: &[
                Part { role: "server", args: &["--count", "1", "--reply", "upper"] },
                Part { role: "client", args: &["hello", "through a socket"] },
            ],
            prints: "client",
            expect: "HELLO\nTHROUGH A SOCKET\n",
        },
        lacks: &[
            Lack {
                what: "A server that is killed leaves its name: neither the next \
                       server nor a client gets past it.",
                shown: Shown::Experiment("stale-name"),
                answer: ("wire/local.rs", "bind"),
            },
            Lack {
                what: "A second client is connected and waits; when the first has \
                       left, the server ends, and the second gets ECONNRESET.",
                shown: Shown::Test("unix", "a_hundred_clients"),
                answer: ("chapters/unix/stream.rs", "threads"),
            },
            Lack {
                what: "A client that is killed before it has read its answers ends \
                       the server by ECONNRESET or EPIPE, and the name stays.",
                shown: Shown::Test("unix", "a_client_that_is_killed"),
                answer: ("chapters/unix/stream.rs", "threads"),
            },
            Lack {
                what: "With 2 MB of messages the client and the server both sleep \
                       in send for ever: neither reads, and both sockets are full.",
                shown: Shown::Test("multiplex", "sixty_four_mebibytes_come"),
                answer: ("wire/dialogue/client.rs", "converse"),
            },
            Lack {
                what: "Under umask 0 the socket file has mode 0777, and any user \
                       may connect.",
                shown: Shown::Test("unix", "the_socket_is_the_owners"),
                answer: ("wire/local.rs", "bind"),
            },
            Lack {
                what: "The client of unix_dgram sleeps for ever when its server is \
                       killed before it has answered: no connection ends.",
                shown: Shown::Test("unix", "a_datagram_client_notices"),
                answer: ("chapters/unix/more/packet.rs", "packets"),
            },
            Lack {
                what: "unix_seqpacket and unix_dgram have room for 4,096 bytes, and \
                       do not notice a longer packet.",
                shown: Shown::Experiment("boundaries"),
                answer: ("chapters/unix/more/packet.rs", "receive"),
            },
            Lack {
                what: "An empty packet ends the server of unix_seqpacket: recv \
                       returns 0, as at the end of the connection.",
                shown: Shown::Test("unix", "an_empty_packet"),
                answer: ("chapters/unix/more/packet.rs", "socket"),
            },
        ],
    };
    type Roles = UnixRoles;
}
