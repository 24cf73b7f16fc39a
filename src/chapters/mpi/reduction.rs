//! The work is shared out, and the results are put together: the area under a curve.

use anyhow::Result;
use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Root};

use super::options::Reduction;
use wire::payload::{Payload, Style};
use wire::say;

// ANCHOR: reduction
/// The area under 4 / (1 + x²) between 0 and 1 is pi. Rank r takes the strips r, r + size,
/// r + 2·size and so on. All ranks call MPI_Bcast and MPI_Reduce, each in the same order:
/// no rank is sent to by its number, and there is no tag.
///
/// # Errors
/// Standard output.
pub fn play(world: &SimpleCommunicator, options: &Reduction) -> Result<()> {
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    let root = world.process_at_rank(0);
    let mut steps = options.steps;
    if rank == 0 {
        say!("MPI_Bcast(&steps, 1, MPI_UINT64_T, root 0): {steps}");
    }
    // MPI_Bcast(&steps, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD)
    root.broadcast_into(&mut steps);
    if rank > 0 {
        say!("MPI_Bcast() = {steps} from root 0");
    }
    let part = strips(steps, rank, size);
    say!(
        "MPI_Reduce(&part, &pi, 1, MPI_DOUBLE, MPI_SUM, root 0): part = {part:.10}"
    );
    if rank > 0 {
        // MPI_Reduce(&part, NULL, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD)
        root.reduce_into(&part, SystemOperation::sum());
        return Ok(());
    }
    let mut pi = 0.0;
    // MPI_Reduce(&part, &pi, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD)
    root.reduce_into_root(&part, &mut pi, SystemOperation::sum());
    say!("MPI_Reduce() = {pi:.10}: the sum of {size} parts");
    let _ = Payload::new(Style::Lines)?.print(format!("{pi:.10}").as_bytes())?;
    Ok(())
}

fn strips(steps: u64, rank: usize, size: usize) -> f64 {
    let width = 1.0 / steps as f64;
    let middle = |strip: u64| (strip as f64 + 0.5) * width;
    let height = |x: f64| 4.0 / (1.0 + x * x);
    (rank as u64..steps)
        .step_by(size)
        .map(|strip| height(middle(strip)))
        .sum::<f64>()
        * width
}
// ANCHOR_END: reduction
