//! One message: a random number from rank 1 to rank 0.

use anyhow::{Context, Result, ensure};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};

use super::idle::idle;
use super::options::SendReceive;
use super::tag::NUMBER;
use wire::payload::{Payload, Style};
use wire::say;

// ANCHOR: send_receive
/// All ranks run this; what each does depends on its number.
///
/// # Errors
/// A message that is no number, or standard output.
pub fn play(world: &SimpleCommunicator, options: &SendReceive) -> Result<()> {
    match world.rank() {
        0 => receive(world),
        1 => send(world, options),
        _ => {
            idle(world);
            Ok(())
        }
    }
}

fn send(world: &SimpleCommunicator, options: &SendReceive) -> Result<()> {
    let number = match options.number {
        Some(number) => number,
        None => getrandom::u32().context("getrandom")?,
    };
    say!("MPI_Send(&number, 1, MPI_UINT32_T, rank 0, tag {NUMBER}): it is {number}");
    // MPI_Send(&number, 1, MPI_UINT32_T, 0, NUMBER, MPI_COMM_WORLD): returns once `number`
    // may be changed again. It may sleep until rank 0 receives.
    world.process_at_rank(0).send_with_tag(&number, NUMBER);
    Ok(())
}

fn receive(world: &SimpleCommunicator) -> Result<()> {
    let mut payload = Payload::new(Style::Lines)?;
    let mut number = 0_u32;
    let _ = payload.print(format!("before: {number}").as_bytes())?;
    say!(
        "number = {number}; MPI_Recv(&number, 1, MPI_UINT32_T, rank 1, tag {NUMBER}) \
         waits for it"
    );
    // MPI_Recv(&number, 1, MPI_UINT32_T, 1, NUMBER, MPI_COMM_WORLD, &status)
    let status = world.process_at_rank(1).receive_into_with_tag(&mut number, NUMBER);
    let count = status.count(u32::equivalent_datatype()); // MPI_Get_count
    ensure!(
        count == 1,
        "MPI_Recv: rank 1 sent something else than one 32-bit number"
    );
    let (source, tag) = (status.source_rank(), status.tag());
    say!("MPI_Recv() has returned: number = {number}");
    say!("its status: source {source}, tag {tag}, count {count}");
    let _ = payload.print(format!("after: {number}").as_bytes())?;
    Ok(())
}
// ANCHOR_END: send_receive
