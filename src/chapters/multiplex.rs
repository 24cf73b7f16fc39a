//! One thread serves many clients when it never sleeps for one of them. Everything it
//! waits for is a descriptor: listening sockets, clients, a FIFO, a queue, signals, a
//! timer. It sleeps in one call for all of them, select(2), poll(2) or epoll_wait(2), and
//! touches only what is ready.

use anyhow::Result;

use wire::chapter::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use wire::meet::{Meets, Rendezvous};

mod accept;
mod client;
mod complaint;
mod connection;
pub mod epoll;
mod event_loop;
mod inputs;
pub mod kind;
mod limits;
mod listener;
mod messages;
mod options;
pub mod poll;
mod run;
pub mod select;
pub mod selector;
mod server;
mod signals;
#[cfg(test)]
mod tests;

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum MultiplexRoles {
    /// Answers all its clients from one thread
    Server(options::Options),
    /// Connects
    Client(client::Options),
}

impl Roles for MultiplexRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            MultiplexRoles::Server(options) => run::run(rendezvous, &options),
            MultiplexRoles::Client(options) => client::run(rendezvous, &options),
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Multiplex;

impl Conversation for Multiplex {
    const ROW: Row = Row {
        name: "multiplex",
        summary: "one thread, many clients (select, poll, epoll)",
        also: &[
            "epoll",
            "select",
            "poll",
            "event loop",
            "io multiplexing",
            "async",
            "nonblocking",
            "reactor",
            "selector",
            "epoll_wait",
            "kqueue",
            "io_uring",
            "timerfd",
            "eventfd",
        ],
        wire: "a byte stream; by default one message a line each way, so `nc -U` is a peer",
        roles: &[
            Role {
                name: "server",
                does: "answers all its clients from one thread, and prints what comes",
                examples: &[
                    "multiplex server",
                    "multiplex server --with select --tcp 127.0.0.1:7777 --fifo news",
                    "multiplex server --edge --tick 1 --stdin",
                ],
            },
            Role {
                name: "client",
                does: "connects, sends messages, and prints the answers",
                examples: &[
                    "multiplex client hello",
                    "multiplex client --bytes < picture.png > copy.png",
                    "multiplex client --connect 127.0.0.1:7777 hello",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "server", args: &["--count", "2"] },
                Part { role: "client", args: &["from one client"] },
                Part { role: "client", args: &["from another"] },
            ],
            prints: "client",
            expect: "from one client\n",
        },
        lacks: &[],
    };
    type Roles = MultiplexRoles;
}
