//! One thread serves many clients when it never sleeps for one of them. Everything it
//! waits for is a descriptor: listening sockets, clients, a FIFO, a queue, signals, a
//! timer. It sleeps in one call for all of them, select(2), poll(2) or epoll_wait(2), and
//! touches only what is ready.

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
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
        ],
        wire: "a byte stream; by default one message a line each way, so `nc -U` is a peer",
        roles: &[
            Role {
                name: "server",
                side: Side::Left,
                does: "answers all its clients from one thread, and prints what comes",
                examples: &[
                    "multiplex server",
                    "multiplex server --with select --tcp 127.0.0.1:7777 --fifo news",
                    "multiplex server --edge --tick 1 --stdin",
                ],
            },
            Role {
                name: "client",
                side: Side::Right,
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
        lacks: &[
            Lack {
                what: "One client that sends and does not read stops the server, \
                       which sleeps in send: no other client is served.",
                shown: Shown::Test("multiplex", "a_client_that_does_not_read"),
                answer: ("chapters/multiplex/connection.rs", "connection"),
            },
            Lack {
                what: "A client that is killed before it has read its answers ends \
                       the server by ECONNRESET, with all other clients.",
                shown: Shown::Test("multiplex", "a_reset_within"),
                answer: ("chapters/multiplex/connection.rs", "connection"),
            },
            Lack {
                what: "At the limit of descriptors (RLIMIT_NOFILE) the server ends, \
                       with all its clients.",
                shown: Shown::Experiment("accept-emfile"),
                answer: ("chapters/multiplex/accept.rs", "accept_clients"),
            },
            Lack {
                what: "Descriptor 1024 ends multiplex_select in Rust and Python; in \
                       C, FD_SET writes beyond the end of the fd_set.",
                shown: Shown::Test("multiplex", "select_turns_away"),
                answer: ("chapters/multiplex/select.rs", "select"),
            },
            Lack {
                what: "SIGTERM ends the server between any two calls, and its name \
                       stays: the next server's bind fails by EADDRINUSE.",
                shown: Shown::Test("multiplex", "a_signal_lets"),
                answer: ("chapters/multiplex/signals.rs", "signals"),
            },
            Lack {
                what: "A server of multiplex_epoll or multiplex_select that was stopped \
                       ends once it goes on (Rust, C).",
                shown: Shown::Test("bare", "a_stop_ends"),
                answer: ("chapters/multiplex/epoll.rs", "epoll"),
            },
        ],
    };
    type Roles = MultiplexRoles;
}
