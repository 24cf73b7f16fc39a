//! TCP carries a byte stream between two machines, or two processes of one (tcp(7)). A server
//! binds a socket to an address and listens; the kernel connects clients to it, and the server
//! accepts them one by one with accept(2). How it then serves them is a strategy, and each
//! strategy is a file.

use anyhow::Result;

use wire::chapter::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use wire::meet::{Meets, Rendezvous};

mod address;
pub mod client;
pub mod iterative;
pub mod listener;
pub mod more;
pub mod once;
mod server;

pub use address::DEFAULT as ADDRESS;

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum TcpRoles {
    /// Listens
    Server(server::ServerOptions),
    /// Connects
    Client(client::ClientOptions),
}

impl Roles for TcpRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            TcpRoles::Server(options) => server::serve(rendezvous, &options),
            TcpRoles::Client(options) => client::talk(rendezvous, &options),
        }
    }
}

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
        lacks: &[],
    };
    type Roles = TcpRoles;
}
