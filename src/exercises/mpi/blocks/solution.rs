//! Blocks that are on their way: MPI_Isend(3), MPI_Barrier(3), MPI_Wait(3).
//!
//! Start it by mpiexec -n 2 target/debug/exercise blocks 3 10 1.
//! Cargo.toml: mpi = { version = "0.8", default-features = false }

//[
use mpi::request::scope;
//]
use mpi::topology::SimpleCommunicator;
//[
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Source};
//]
//| use mpi::traits::{Communicator, CommunicatorCollectives, Source};

fn receiver(world: &SimpleCommunicator, blocks: u32, length: usize) {
    let mut block = vec![0_u32; length];
    world.barrier();
    for _ in 0..blocks {
        world.process_at_rank(1).receive_into(&mut block[..]);
        let sum: u64 = block.iter().map(|number| u64::from(*number)).sum();
        println!("{sum}");
    }
}

fn sender(world: &SimpleCommunicator, blocks: u32, length: usize, first: u32) {
    //[
    let block = |b| vec![first.wrapping_add(b); length];
    let all: Vec<Vec<u32>> = (0..blocks).map(block).collect();
    let to = world.process_at_rank(0);
    // The borrows of the blocks live as long as the scope: nobody writes to them.
    scope(|scope| {
        let send = |block| to.immediate_send(scope, block);
        let sends: Vec<_> = all.iter().map(|block| send(&block[..])).collect();
        world.barrier();
        for send in sends {
            send.wait(); // sleeps, or spins, until it is done
        }
    });
    //]
    //| // Start all sends, meet rank 0 at the barrier, and wait for the ends.
    //| let _ = (world, length);
    //| eprintln!("sender of {blocks} blocks from {first} on: not written yet");
    //| std::process::exit(1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (blocks, length, first) = match &words[..] {
        [role, blocks, length, first] if role == "blocks" => {
            (blocks.parse()?, length.parse()?, first.parse()?)
        }
        _ => {
            eprintln!("usage: blocks BLOCKS LENGTH FIRST");
            std::process::exit(2)
        }
    };
    let universe = mpi::initialize().ok_or("MPI_Init")?; // sleeps until all ranks are there
    let world = universe.world();
    match world.rank() {
        0 => receiver(&world, blocks, length),
        _ => sender(&world, blocks, length, first),
    }
    Ok(()) // MPI_Finalize, by drop: sleeps until all ranks have come to it
}
