//! TCP carries a byte stream between two machines, or two processes of one (tcp(7)). A
//! server binds a socket to an address and listens; the kernel connects clients to it, and
//! the server takes them up one by one with accept(2). How it then serves them is a
//! strategy, and each strategy is a file.

use anyhow::Result;
use clap::ValueEnum;

use crate::row::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use wire::address::{Addresses, listen, publish, resolve};
use wire::dialogue;
use wire::errors::usage;
use wire::meet::{Meets, Rendezvous};
use wire::say;
use wire::standard;

pub mod children;
pub mod client;
pub mod door;
pub mod fork;
pub mod iterative;
pub mod once;
pub mod threads;

use children::Reap;
use door::Door;

/// Where the two roles meet unless told otherwise.
const DEFAULT: &str = "127.0.0.1:7777";

/// The chapter.
#[derive(Debug)]
pub struct Tcp;

impl Conversation for Tcp {
    const ROW: Row = Row {
        name: "tcp",
        summary: "a byte stream between machines (connect, accept)",
        also: &[
            "socket",
            "internet socket",
            "network",
            "port",
            "inet",
            "ip",
            "http",
            "rpc",
            "stream socket",
            "listen",
            "accept",
            "udp",
        ],
        wire: "a byte stream; by default one message a line each way, so `nc` is a peer",
        roles: &[
            Role {
                name: "server",
                does: "listens, and answers each message of its clients",
                examples: &[
                    "tcp server",
                    "tcp server --strategy once",
                    "tcp server --strategy fork",
                    "tcp server --strategy fork --reap never",
                    "tcp server --strategy threads",
                    "tcp server --listen 127.0.0.1:0 --reply upper",
                ],
            },
            Role {
                name: "client",
                does: "connects, sends messages, and prints the answers",
                examples: &[
                    "tcp client hello",
                    "tcp client --bytes < picture.png > copy.png",
                    "tcp client --connect 127.0.0.1:8080 hello",
                ],
            },
        ],
        meets: Meets::Address,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part {
                    role: "server",
                    args: &["--listen", "127.0.0.1:0", "--count", "1"],
                },
                Part { role: "client", args: &["hello", "through TCP"] },
            ],
            prints: "client",
            expect: "hello\nthrough TCP\n",
        },
    };
    type Roles = TcpRoles;
}

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum TcpRoles {
    /// Listens
    Server(Server),
    /// Connects
    Client(client::Client),
}

impl Roles for TcpRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            TcpRoles::Server(options) => serve(rendezvous, &options),
            TcpRoles::Client(options) => client::talk(rendezvous, &options),
        }
    }
}

/// The options of `tcp server`.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The address to listen at, 127.0.0.1:7777 if none is given; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    listen: Option<String>,

    /// How clients are served
    #[arg(long, value_enum, default_value = "iterative")]
    strategy: Strategy,

    /// What `--strategy fork` does about children that have ended; `loop` if not given
    #[arg(long, value_enum)]
    reap: Option<Reap>,

    #[command(flatten)]
    server: dialogue::Server,
}

/// How a server serves its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// Answers one message of a client, and closes
    Once,
    /// Serves one client to its end; the others wait
    Iterative,
    /// Serves each client by a child process
    Fork,
    /// Serves each client by a thread
    Threads,
}

// ANCHOR: server
fn serve(rendezvous: &Rendezvous, options: &Server) -> Result<()> {
    if options.reap.is_some() && options.strategy != Strategy::Fork {
        return Err(usage(
            "--reap goes with --strategy fork alone: the others have no children",
        ));
    }
    standard::output()?;
    let asked = rendezvous.given().or(options.listen.as_deref()).unwrap_or(DEFAULT);
    let asked = resolve(asked)?;
    let mut presence = rendezvous.arrive(None)?;
    let (listener, address) = listen(&asked)?;
    publish(rendezvous, &mut presence, address)?;
    presence.admit_peers()?;
    rendezvous.ready(address)?;
    let named = options.listen.is_some() && asked.port() != 0;
    let connect =
        if named { format!(" --connect {address}") } else { String::new() };
    let client = rendezvous.peer_with("client", &connect);
    let sleeps = match options.strategy {
        Strategy::Fork => {
            "poll() sleeps until a client is connected, or a child ends"
        }
        _ => "accept() sleeps until a client is connected",
    };
    say::waiting_at(sleeps, &[(&listener, &client)]);
    let door = Door::new(listener);
    match options.strategy {
        Strategy::Once => once::serve(door, &options.server),
        Strategy::Iterative => iterative::serve(door, &options.server),
        Strategy::Fork => {
            fork::serve(door, &options.server, options.reap.unwrap_or(Reap::Loop))
        }
        Strategy::Threads => threads::serve(door, &options.server),
    }
}
// ANCHOR_END: server

/// The addresses that `--at`, or else the option `given`, name.
fn named(rendezvous: &Rendezvous, given: Option<&str>) -> Result<Option<Addresses>> {
    rendezvous.given().or(given).map(resolve).transpose()
}
