//! Texts of any length: MPI_Mprobe(3), MPI_Get_count(3), MPI_Mrecv(3), MPI_Send(3).
//!
//! Start it by mpiexec -n 2 target/debug/exercise texts hello world.
//! Cargo.toml: mpi = { version = "0.8", default-features = false }

use std::io::{Write, stdout};

use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
//| use mpi::traits::Equivalence;

const TEXT: i32 = 1; // the tags
const END: i32 = 2;

fn receiver(world: &SimpleCommunicator) -> std::io::Result<()> {
    let from = world.process_at_rank(1);
    loop {
        //[
        // Probes, and makes the room that is needed. Sleeps, or spins, until a message has come.
        let (text, status) = from.receive_vec::<u8>();
        //]
        //| let mut text = vec![0_u8; 16];
        //| let status = from.receive_into(&mut text[..]); // sleeps, or spins, until one has come
        //| text.truncate(status.count(u8::equivalent_datatype()) as usize);
        if status.tag() == END {
            return Ok(());
        }
        stdout().write_all(&[&text[..], b"\n"].concat())?;
    }
}

fn sender(world: &SimpleCommunicator, texts: &[String]) {
    let to = world.process_at_rank(0);
    for text in texts {
        to.send_with_tag(text.as_bytes(), TEXT);
    }
    to.send_with_tag(&[0_u8; 0][..], END);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(("texts", texts)) = words.split_first().map(|(role, rest)| (&**role, rest)) else {
        eprintln!("usage: texts MESSAGE...");
        std::process::exit(2)
    };
    let universe = mpi::initialize().ok_or("MPI_Init")?; // sleeps until all ranks are there
    let world = universe.world();
    match world.rank() {
        0 => receiver(&world)?,
        _ => sender(&world, texts),
    }
    Ok(()) // MPI_Finalize, by drop: sleeps until all ranks have come to it
}
