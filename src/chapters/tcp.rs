//! TCP carries a byte stream between two machines, or two processes of one (tcp(7)). A server
//! binds a socket to an address and listens; the kernel connects clients to it, and the server
//! accepts them one by one with accept(2). How it then serves them is a strategy, and each
//! strategy is a file.

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
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
        ],
        wire: "a byte stream; by default one message a line each way, so `nc` is a peer",
        roles: &[
            Role {
                name: "server",
                side: Side::Left,
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
                side: Side::Right,
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
        lacks: &[
            Lack {
                what: "A second client has to wait (tcp, tcp_iterative).",
                shown: Shown::Elsewhere("tcp-servers", "second-client"),
                answer: ("chapters/tcp/more/threads.rs", "threads"),
            },
            Lack {
                what: "A client that is killed before it has read its answers ends \
                       tcp_iterative by ECONNRESET, and nobody serves the next \
                       client.",
                shown: Shown::Test("tcp", "a_client_that_is_killed"),
                answer: ("chapters/tcp/iterative.rs", "iterative"),
            },
            Lack {
                what: "Children of tcp_fork are waited for only when the next \
                       client comes.",
                shown: Shown::Elsewhere("tcp-servers", "zombies"),
                answer: ("chapters/tcp/more/children.rs", "reap"),
            },
            Lack {
                what: "Nothing is arranged for the children of a tcp_fork that is \
                       killed.",
                shown: Shown::Elsewhere("tcp-servers", "orphan"),
                answer: ("chapters/tcp/more/fork.rs", "fork"),
            },
            Lack {
                what: "At the limit of processes (RLIMIT_NPROC) fork fails by \
                       EAGAIN, and tcp_fork ends.",
                shown: Shown::Test("tcp", "without_a_process"),
                answer: ("chapters/tcp/more/fork.rs", "fork"),
            },
            Lack {
                what: "At the limit of descriptors (RLIMIT_NOFILE) accept fails by \
                       EMFILE, and the server ends.",
                shown: Shown::Test("tcp", "without_a_descriptor"),
                answer: ("chapters/tcp/listener.rs", "accept"),
            },
            Lack {
                what: "If the server has read everything and closes after one answer, \
                       the client ends with status 0, though its other messages have \
                       none.",
                shown: Shown::Test("tcp", "a_client_of_a_once"),
                answer: ("chapters/tcp/client.rs", "client"),
            },
            Lack {
                what: "An IPv6 address is refused: the address family is fixed.",
                shown: Shown::Test("tcp", "both_roles_of_ipv6"),
                answer: ("wire/address.rs", "listen"),
            },
        ],
    };
    type Roles = TcpRoles;
}
