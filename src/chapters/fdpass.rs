//! A descriptor can be passed to another process over a Unix socket (SCM_RIGHTS, unix(7)).
//! The number differs there; the open file is the same one, with its connection, its
//! offset and its flags. So one process can accept all clients, and others serve them.

use anyhow::Result;

use crate::row::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use ::wire::meet::{Meets, Presence, Rendezvous};

pub mod batch;
mod client;
mod descriptor;
mod door;
mod fork;
#[cfg(any(test, fuzzing))]
pub(crate) use descriptor::fuzz;
#[cfg(any(test, fuzzing))]
pub(crate) use multiprocessing::fuzz as fuzz_multiprocessing;
mod guests;
mod multiprocessing;
mod plain;
mod pool;
mod server;
mod wire;
mod worker;

/// The chapter.
#[derive(Debug)]
pub struct Fdpass;

impl Conversation for Fdpass {
    const ROW: Row = Row {
        name: "fdpass",
        summary: "a connection handed to another process (SCM_RIGHTS)",
        also: &[
            "descriptor passing",
            "fd passing",
            "file descriptor",
            "descriptor",
            "scm_rights",
            "sendmsg",
            "ancillary data",
            "pass fd",
            "multiprocessing",
            "memfd",
            "pidfd_getfd",
        ],
        wire: "server to worker: the byte `x` with one descriptor; worker to server: `OK`; \
               or that of Python's multiprocessing",
        roles: &[
            Role {
                name: "server",
                does: "accepts clients by TCP, and passes each connection to a worker",
                examples: &[
                    "fdpass server",
                    "fdpass server --listen 127.0.0.1:0 --count 10",
                    "fdpass server --protocol multiprocessing --auth-key-file key",
                ],
            },
            Role {
                name: "worker",
                does: "takes connections from the server; prints and echoes what comes",
                examples: &[
                    "fdpass worker",
                    "fdpass worker --count 100 > log",
                    "fdpass worker --protocol multiprocessing --auth-key-file key",
                ],
            },
            Role {
                name: "client",
                does: "connects by TCP, sends, and prints the echo",
                examples: &[
                    "fdpass client hello",
                    "fdpass client --bytes < picture.png",
                ],
            },
            Role {
                name: "fork",
                does: "server and worker in one program, over a socketpair",
                examples: &[
                    "fdpass fork",
                    "fdpass fork --listen 127.0.0.1:0 --count 1",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part {
                    role: "server",
                    args: &["--listen", "127.0.0.1:0", "--count", "1"],
                },
                Part { role: "worker", args: &[] },
                Part { role: "client", args: &["hello", "from a client"] },
            ],
            prints: "client",
            expect: "hello\nfrom a client\n",
        },
    };
    type Roles = FdpassRoles;
}

/// Its roles.
#[derive(Debug, clap::Subcommand)]
pub enum FdpassRoles {
    /// Accepts clients by TCP, and passes each connection to a worker
    Server(server::Options),
    /// Takes connections from the server; prints and echoes what comes
    Worker(worker::Options),
    /// Connects by TCP, sends, and prints the echo
    Client(client::Options),
    /// Server and worker in one program, over a socketpair
    Fork(fork::Fork),
}

impl Roles for FdpassRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            FdpassRoles::Server(options) => server::run(rendezvous, &options),
            FdpassRoles::Worker(options) => worker::run(rendezvous, &options),
            FdpassRoles::Client(options) => client::run(rendezvous, &options),
            FdpassRoles::Fork(options) => fork::run(rendezvous, &options),
        }
    }
}

/// Where clients come, where nobody says otherwise.
const ADDRESS: &str = "127.0.0.1:15000";

/// The server removes its names when it leaves. If it is killed, whoever is last does.
fn found_names(presence: &mut Presence) -> Result<()> {
    presence.noted()?.iter().try_for_each(|object| presence.remove_when_last(object))
}

/// The name of an error as the rest of the program prints it.
fn named(error: rustix::io::Errno) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error())
}

/// `1 connection`, `2 connections`.
fn connections(count: u64) -> String {
    ::wire::say::count(count, "connection")
}
