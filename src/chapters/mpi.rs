//! MPI is message passing among the *ranks* of one *world*: processes that a launcher
//! (`mpiexec`) has started together, on one machine or on a thousand. A message goes from
//! a rank to a rank with a tag, and the library finds the way: shared memory, or the
//! network. The rank is the role: one program, and a branch on its number.

use anyhow::Result;

use wire::chapter::{
    Conversation, Feature, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown,
    Side,
};
use wire::meet::{Meets, Rendezvous};

#[cfg(feature = "mpi")]
mod idle;
pub mod options;
#[cfg(feature = "mpi")]
pub mod ping_pong;
#[cfg(feature = "mpi")]
pub mod reduction;
#[cfg(feature = "mpi")]
pub mod ring;
#[cfg(feature = "mpi")]
pub mod send_receive;
pub mod tag;
#[cfg(feature = "mpi")]
pub mod world;

pub use options::MpiRoles;

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
                side: Side::Left,
                does: "a random number goes from rank 1 to rank 0",
                examples: &[
                    "mpiexec -n 2 ipclab mpi",
                    "mpiexec -n 2 ipclab mpi send-receive --number 4711",
                ],
            },
            Role {
                name: "ping-pong",
                side: Side::Left,
                does: "messages go from rank 0 to rank 1 and back",
                examples: &[
                    "mpiexec -n 2 ipclab mpi ping-pong hello again",
                    "mpiexec -n 2 ipclab mpi ping-pong < Cargo.toml",
                ],
            },
            Role {
                name: "ring",
                side: Side::Left,
                does: "a token goes around all ranks, and each adds its number",
                examples: &[
                    "mpiexec -n 4 ipclab mpi ring",
                    "mpiexec -n 4 ipclab mpi ring --laps 3",
                ],
            },
            Role {
                name: "reduction",
                side: Side::Left,
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
        lacks: &[
            Lack {
                what: "In a world of one rank it ends with MPI_ERR_RANK, in Rust by \
                       a panic, and does not say how to start it.",
                shown: Shown::Test("mpi", "a_world_of_one_says_how"),
                answer: ("chapters/mpi/world.rs", "company"),
            },
            Lack {
                what: "Without a launcher it makes a world of its own, and ends in \
                       the same way.",
                shown: Shown::Test("mpi", "with_no_launcher"),
                answer: ("chapters/mpi/world.rs", "join"),
            },
            Lack {
                what: "A message that holds no number leaves 0, which is printed as \
                       if it had come.",
                shown: Shown::Test("mpi", "one_that_talks"),
                answer: ("chapters/mpi/send_receive.rs", "send_receive"),
            },
            Lack {
                what: "A rank in Python that leaves early sleeps in MPI_Finalize, \
                       and the other rank waits for its message, for ever.",
                shown: Shown::Test("mpi", "one_rank_that_times"),
                answer: ("chapters/mpi/world.rs", "join"),
            },
        ],
    };
    type Roles = MpiRoles;
}
