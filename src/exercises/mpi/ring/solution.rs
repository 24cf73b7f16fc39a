//! A ring of ranks: MPI_Sendrecv(3), MPI_Gather(3).
//!
//! Start it by mpiexec -n 3 target/debug/exercise ring 10 1.
//! Cargo.toml: mpi = { version = "0.8", default-features = false }

//[
use mpi::point_to_point::send_receive_into;
//]
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Root};
//| use mpi::traits::{Destination, Source};

fn ring(world: &SimpleCommunicator, count: u32, first: u32) {
    let (rank, ranks) = (world.rank(), world.size());
    let next = world.process_at_rank((rank + 1) % ranks);
    let before = world.process_at_rank((rank + ranks - 1) % ranks);
    let number = |i| first.wrapping_add(rank as u32).wrapping_add(i);
    let mine: Vec<u32> = (0..count).map(number).collect();
    let mut theirs = vec![0_u32; count as usize];
    //[
    send_receive_into(&mine[..], &next, &mut theirs[..], &before); // both at the same time
    //]
    //| next.send(&mine[..]);
    //| before.receive_into(&mut theirs[..]);
    let sum: u64 = theirs.iter().map(|number| u64::from(*number)).sum();
    let root = world.process_at_rank(0);
    if rank > 0 {
        return root.gather_into(&sum);
    }
    let mut sums = vec![0_u64; ranks as usize];
    root.gather_into_root(&sum, &mut sums[..]);
    for sum in sums {
        println!("{sum}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (count, first) = match &words[..] {
        [role, count, first] if role == "ring" => (count.parse()?, first.parse()?),
        _ => {
            eprintln!("usage: ring COUNT FIRST");
            std::process::exit(2)
        }
    };
    let universe = mpi::initialize().ok_or("MPI_Init")?; // sleeps until all ranks are there
    ring(&universe.world(), count, first);
    Ok(()) // MPI_Finalize, by drop: sleeps until all ranks have come to it
}
