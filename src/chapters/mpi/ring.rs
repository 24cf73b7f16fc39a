//! A token goes from rank to rank until it is back at rank 0.

use anyhow::{Result, ensure};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};

use super::options::Ring;
use super::tag::TOKEN;
use wire::payload::{Payload, Printed, Style};
use wire::say::Commentary;

// ANCHOR: ring
/// Rank 0 sends first and receives last; every other rank receives first. So at any time
/// one rank sends, and the next one waits for it. If all sent first, each MPI_Send might
/// wait for a receive that no rank comes to. (MPI_Sendrecv does both at once, and is the
/// way out where all must move at the same time.)
///
/// # Errors
/// A message that is no token, or standard output.
pub fn play(world: &SimpleCommunicator, options: &Ring) -> Result<()> {
    let (rank, size) = (world.rank(), world.size());
    let (left, right) = ((rank + size - 1) % size, (rank + 1) % size);
    let (mut sends, mut receives) =
        (Commentary::of("MPI_Send"), Commentary::of("MPI_Recv"));
    let mut payload = Payload::new(Style::Lines)?;
    let mut token = 0_u64;
    for _ in 0..options.laps {
        if rank > 0 {
            token = receive(world, left, &mut receives)?.wrapping_add(rank as u64);
        }
        sends.call(8, || {
            format!("MPI_Send(&token, 1, MPI_UINT64_T, rank {right}, tag {TOKEN}): {token}")
        });
        // MPI_Send(&token, 1, MPI_UINT64_T, right, TOKEN, MPI_COMM_WORLD)
        world.process_at_rank(right).send_with_tag(&token, TOKEN);
        if rank == 0 {
            token = receive(world, left, &mut receives)?;
            // No reader? The other ranks wait for the token all the same.
            let _: Printed = payload.print(token.to_string().as_bytes())?;
        }
    }
    Ok(())
}

fn receive(
    world: &SimpleCommunicator,
    left: i32,
    receives: &mut Commentary,
) -> Result<u64> {
    let mut token = 0_u64;
    // MPI_Recv(&token, 1, MPI_UINT64_T, left, TOKEN, MPI_COMM_WORLD, &status)
    let status =
        world.process_at_rank(left).receive_into_with_tag(&mut token, TOKEN);
    let count = status.count(u64::equivalent_datatype()); // MPI_Get_count
    ensure!(count == 1, "MPI_Recv: rank {left} sent no 64-bit number");
    receives
        .call(8, || format!("MPI_Recv() = {token} from rank {left}, tag {TOKEN}"));
    Ok(token)
}
// ANCHOR_END: ring
