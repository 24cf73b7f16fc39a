//! MPI, bare: MPI_Init(3), MPI_Comm_rank(3), MPI_Send(3), MPI_Recv(3), MPI_Finalize(3).
//!
//! Wire: one MPI_UINT32_T with the tag 1, from rank 1 to rank 0.
//! Not here: a world of one rank, a message that is no number, an error that ends all ranks.
//! See chapter mpi. Start it by mpiexec -n 2 target/debug/mpi send-receive 4711.
//! Cargo.toml: mpi = { version = "0.8", default-features = false }
//! Cargo.toml: nix = "0.31"

use std::error::Error;
use std::io::stdout;

use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
use nix::unistd::write;

const NUMBER: i32 = 1; // the tag

fn receiver(world: &SimpleCommunicator) -> nix::Result<()> {
    let mut number = 0_u32;
    let from = world.process_at_rank(1);
    from.receive_into_with_tag(&mut number, NUMBER); // sleeps, or spins, until it comes
    write(stdout(), format!("{number}\n").as_bytes()).map(drop)
}

fn sender(world: &SimpleCommunicator, number: u32) {
    let to = world.process_at_rank(0);
    to.send_with_tag(&number, NUMBER); // may sleep until rank 0 receives
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = match &words[..] {
        [role, number] if role == "send-receive" => number.parse().ok(),
        _ => None,
    };
    let Some(number) = number else {
        eprintln!("usage: mpi send-receive NUMBER");
        std::process::exit(2)
    };
    let universe = mpi::initialize().ok_or("MPI_Init")?; // sleeps until all ranks are there
    let world = universe.world();
    match world.rank() {
        0 => receiver(&world)?,
        1 => sender(&world, number),
        _ => {} // not needed
    }
    Ok(()) // MPI_Finalize, by drop: sleeps until all ranks have come to it
}
