//! A descriptor can be passed to another process over a Unix socket (SCM_RIGHTS, unix(7)).
//! The number differs there; the open file is the same one, with its connection, its
//! offset and its flags. So one process can accept all clients, and others serve them.

use anyhow::Result;

use self::more::fork;
use self::options::{ClientOptions, ForkOptions, ServerOptions, WorkerOptions};
use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};

mod client;
pub(crate) mod descriptor;
pub mod more;
mod options;
mod plain;
mod pool;
mod rendezvous;
mod server;
mod worker;

pub use options::ADDRESS;

#[cfg(any(test, fuzzing))]
pub(crate) use descriptor::fuzz;
#[cfg(any(test, fuzzing))]
pub(crate) use more::multiprocessing::fuzz as fuzz_multiprocessing;

/// Its roles.
#[derive(Debug, clap::Subcommand)]
pub enum FdpassRoles {
    /// Accepts clients by TCP, and passes each connection to a worker
    Server(ServerOptions),
    /// Takes connections from the server; prints and echoes what comes
    Worker(WorkerOptions),
    /// Connects by TCP, sends, and prints the echo
    Client(ClientOptions),
    /// Server and worker in one program, over a socketpair
    Fork(ForkOptions),
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
                side: Side::Left,
                does: "accepts clients by TCP, and passes each connection to a worker",
                examples: &[
                    "fdpass server",
                    "fdpass server --listen 127.0.0.1:0 --count 10",
                    "fdpass server --protocol multiprocessing --auth-key-file key",
                ],
            },
            Role {
                name: "worker",
                side: Side::Between,
                does: "takes connections from the server; prints and echoes what comes",
                examples: &[
                    "fdpass worker",
                    "fdpass worker --count 100 > log",
                    "fdpass worker --protocol multiprocessing --auth-key-file key",
                ],
            },
            Role {
                name: "client",
                side: Side::Right,
                does: "connects by TCP, sends, and prints the echo",
                examples: &[
                    "fdpass client hello",
                    "fdpass client --bytes < picture.png",
                ],
            },
            Role {
                name: "fork",
                side: Side::Left,
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
        lacks: &[
            Lack {
                what: "A worker that dies before it has received the descriptor \
                       ends the server, too.",
                shown: Shown::Experiment("dies-unread"),
                answer: ("chapters/fdpass/pool/eviction.rs", "eviction"),
            },
            Lack {
                what: "A worker that never answers OK keeps the server in recv for \
                       ever.",
                shown: Shown::Test("fdpass", "a_worker_that_never"),
                answer: ("chapters/fdpass/pool/eviction.rs", "eviction"),
            },
            Lack {
                what: "Any two bytes count as OK, and so does the worker's end: the \
                       server ends with 0, though no worker holds the connection.",
                shown: Shown::Test("fdpass", "a_worker_that_answers"),
                answer: (
                    "chapters/fdpass/pool/acknowledgements.rs",
                    "acknowledgements",
                ),
            },
            Lack {
                what: "That one message may carry more descriptors than one is not \
                       expected.",
                shown: Shown::Experiment("room-for-one"),
                answer: ("chapters/fdpass/descriptor.rs", "take"),
            },
            Lack {
                what: "A table of descriptors that is full (RLIMIT_NOFILE) is not \
                       noticed when a descriptor is received.",
                shown: Shown::Experiment("full-table"),
                answer: ("chapters/fdpass/descriptor.rs", "take"),
            },
            Lack {
                what: "Under umask 0 a process of any user may be the worker, and \
                       reads what the client has sent.",
                shown: Shown::Test("fdpass", "another_users_worker"),
                answer: ("chapters/fdpass/descriptor.rs", "peer"),
            },
            Lack {
                what: "One client that does not read keeps the worker in send: the \
                       next connection gets no OK.",
                shown: Shown::Test("fdpass", "a_client_that_does_not_read"),
                answer: ("chapters/fdpass/worker/clients.rs", "clients"),
            },
            Lack {
                what: "That the connection may have flags which the server has set \
                       is not expected.",
                shown: Shown::Experiment("nonblock-shared"),
                answer: ("chapters/fdpass/worker/clients.rs", "clients"),
            },
        ],
    };
    type Roles = FdpassRoles;
}
