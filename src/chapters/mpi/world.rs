//! From MPI_Init to MPI_Finalize: joining the world, and leaving it well or badly.

use std::mem::ManuallyDrop;

use anyhow::{Result, bail};
use mpi::environment::processor_name;
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;

use super::options::MpiRoles;
use super::{ping_pong, reduction, ring, send_receive};
use wire::errors::{Advise, status};
use wire::launcher::{self, Launched, launched};
use wire::meet;
use wire::say;

// ANCHOR: join
/// Joins the world that the launcher has made, plays a role in it, and leaves it.
///
/// # Errors
/// When there is no world around this process. Later errors end the whole job.
pub fn join(role: &MpiRoles) -> Result<()> {
    let Some(by) = launched() else {
        return Err(anyhow::anyhow!("no launcher has started this process"))
            .advise(|_| Some(start_by(role)));
    };
    // MPI_Init_thread(NULL, NULL, MPI_THREAD_SINGLE, &provided): waits until all ranks of
    // the job have come this far, with Open MPI as it is configured by default.
    let Some(universe) = mpi::initialize() else {
        bail!("MPI_Init was called before")
    };
    let world = universe.world(); // MPI_COMM_WORLD
    let (rank, size) = (world.rank(), world.size()); // MPI_Comm_rank, MPI_Comm_size
    let host = processor_name().unwrap_or_default(); // MPI_Get_processor_name
    say::rename(format!("rank {rank}"), rank as usize);
    let pid = std::process::id();
    say!(
        "MPI_Init() has returned: process {pid} is rank {rank} of {size}, on {host}"
    );
    company(size, by, role)?;
    // Dropping it calls MPI_Finalize, which waits for all ranks: not after an error.
    let universe = ManuallyDrop::new(universe);
    match play(&world, role) {
        Ok(()) => {
            say!("MPI_Finalize() waits for all ranks");
            drop(ManuallyDrop::into_inner(universe));
            Ok(())
        }
        Err(error) => {
            // A rank that waits for us would wait for ever: so all ranks are ended.
            say::complain(&error);
            world.abort(status(&error).into()) // MPI_Abort(MPI_COMM_WORLD, status)
        }
    }
}
// ANCHOR_END: join

fn play(world: &SimpleCommunicator, role: &MpiRoles) -> Result<()> {
    match role {
        MpiRoles::SendReceive(options) => send_receive::play(world, options),
        MpiRoles::PingPong(options) => ping_pong::play(world, options),
        MpiRoles::Ring(options) => ring::play(world, options),
        MpiRoles::Reduction(options) => reduction::play(world, options),
    }
}

// ANCHOR: company
/// Looks whether the world holds more than this process.
fn company(size: i32, by: Launched, role: &MpiRoles) -> Result<()> {
    if size > 1 {
        return Ok(());
    }
    let alone = match by.processes {
        // Each process has found no launcher of its own kind, and made a world for itself.
        Some(processes) if processes > 1 => anyhow::anyhow!(
            "MPI_Comm_size() = 1, though {} started {processes} processes \
             ({}={processes}): it is not one for {}, with which this program was built",
            by.by,
            by.variable,
            launcher::library()
        ),
        _ => {
            anyhow::anyhow!("MPI_Comm_size() = 1: there is no other rank to talk to")
        }
    };
    Err(alone).advise(|_| Some(start_by(role)))
}
// ANCHOR_END: company

/// The command that starts this role as it should be.
fn start_by(role: &MpiRoles) -> String {
    let (mpiexec, ipclab) = (launcher::program(), meet::program());
    let role = role.word().map_or(String::new(), |word| format!(" {word}"));
    format!("start two ranks or more: {mpiexec} -n 2 {ipclab} mpi{role}")
}
