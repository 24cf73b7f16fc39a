//! MPI is message passing among the *ranks* of one *world*: processes that a launcher
//! (`mpiexec`) has started together, on one machine or on a thousand. A message goes from
//! a rank to a rank with a tag, and the library finds the way: shared memory, or the
//! network. The rank is the role: one program, and a branch on its number.

use anyhow::Result;

use crate::row::{
    Conversation, Feature, OnPeerDeath, Part, Role, Roles, Row, Script,
};
use wire::meet::{Meets, Rendezvous};

#[cfg(feature = "mpi")]
pub mod ping_pong;
#[cfg(feature = "mpi")]
pub mod reduction;
#[cfg(feature = "mpi")]
pub mod ring;
#[cfg(feature = "mpi")]
pub mod send_receive;
#[cfg(feature = "mpi")]
pub mod world;

/// What a message is about. A receive asks for a source and a tag, and other messages wait.
pub mod tag {
    /// One 32-bit number.
    pub const NUMBER: i32 = 1;
    /// The bytes of a message that is to come back.
    pub const BALL: i32 = 2;
    /// Nothing more will come. MPI has no end of stream, so the goodbye is a message too.
    pub const DONE: i32 = 3;
    /// One 64-bit number that goes around.
    pub const TOKEN: i32 = 4;
}

/// The chapter.
#[derive(Debug)]
pub struct Mpi;

impl Conversation for Mpi {
    const ROW: Row = Row {
        name: "mpi",
        summary: "messages among ranks, also across machines (MPI)",
        also: &[
            "openmpi",
            "mpich",
            "mpiexec",
            "mpirun",
            "cluster",
            "rank",
            "message passing",
            "ping-pong",
            "allreduce",
        ],
        wire: "what the MPI library makes of it; a peer is a rank of the same MPI, in any \
               language",
        roles: &[
            Role {
                name: "send-receive",
                does: "a random number goes from rank 1 to rank 0",
                examples: &[
                    "mpiexec -n 2 ipclab mpi",
                    "mpiexec -n 2 ipclab mpi send-receive --number 4711",
                ],
            },
            Role {
                name: "ping-pong",
                does: "messages go from rank 0 to rank 1 and back",
                examples: &[
                    "mpiexec -n 2 ipclab mpi ping-pong hello again",
                    "mpiexec -n 2 ipclab mpi ping-pong < Cargo.toml",
                ],
            },
            Role {
                name: "ring",
                does: "a token goes around all ranks, and each adds its number",
                examples: &[
                    "mpiexec -n 4 ipclab mpi ring",
                    "mpiexec -n 4 ipclab mpi ring --laps 3",
                ],
            },
            Role {
                name: "reduction",
                does: "all ranks compute a part of pi, and rank 0 gets the sum",
                examples: &[
                    "mpiexec -n 4 ipclab mpi reduction",
                    "mpiexec -n 4 ipclab mpi reduction --steps 100",
                ],
            },
        ],
        meets: Meets::World,
        on_peer_death: OnPeerDeath::JobEnds,
        needs: Some(Feature {
            name: "mpi",
            built: cfg!(feature = "mpi"),
            packages: "openmpi-bin libopenmpi-dev libclang-dev",
        }),
        script: Script {
            parts: &[
                Part { role: "send-receive", args: &[] },
                Part { role: "send-receive", args: &["--number", "4711"] },
            ],
            prints: "send-receive",
            expect: "before: 0\nafter: 4711\n",
        },
    };
    type Roles = MpiRoles;
}

/// What the ranks do. Each is one program that all ranks run.
#[derive(Debug, clap::Subcommand)]
pub enum MpiRoles {
    /// One number, one way
    SendReceive(SendReceive),
    /// Messages there and back
    PingPong(PingPong),
    /// Once around
    Ring(Ring),
    /// Many parts, one sum
    Reduction(Reduction),
}

/// The options of `mpi send-receive`.
#[derive(Debug, clap::Args)]
pub struct SendReceive {
    /// The number that rank 1 sends; without it, a random one
    #[arg(long, value_name = "N")]
    pub number: Option<u32>,
}

/// The options of `mpi ping-pong`.
#[derive(Debug, clap::Args)]
pub struct PingPong {
    /// What rank 0 sends, each argument one message; without any, each line of its
    /// standard input is one
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<std::ffi::OsString>,
}

/// The options of `mpi ring`.
#[derive(Debug, clap::Args)]
pub struct Ring {
    /// How many times the token goes around; all ranks must be told the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub laps: u32,
}

/// The options of `mpi reduction`.
#[derive(Debug, clap::Args)]
pub struct Reduction {
    /// Into how many strips the area is cut; what rank 0 was told counts
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
}

impl Roles for MpiRoles {
    #[cfg(feature = "mpi")]
    fn play(self, _: &Rendezvous) -> Result<()> {
        world::join(&self)
    }

    #[cfg(not(feature = "mpi"))]
    fn play(self, _: &Rendezvous) -> Result<()> {
        anyhow::bail!(Mpi::ROW.missing().unwrap_or_default())
    }
}

impl MpiRoles {
    /// The word that chooses it on the command line; the first role needs none.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            MpiRoles::SendReceive(_) => None,
            MpiRoles::PingPong(_) => Some("ping-pong"),
            MpiRoles::Ring(_) => Some("ring"),
            MpiRoles::Reduction(_) => Some("reduction"),
        }
    }
}
