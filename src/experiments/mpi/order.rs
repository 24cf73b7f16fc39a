//! Which of several messages a receive takes.

use anyhow::{Context, Result};
use mpi::traits::{CommunicatorCollectives, Destination, Source};

use super::job::{Job, Rank};
use crate::stage::Stage;

// ANCHOR: wildcard-order
/// How many messages are received with MPI_ANY_TAG.
const MORE: i32 = 1000;

/// Rank 1.
fn send(rank: &Rank) -> Result<()> {
    for number in [1, 2] {
        rank.peer().send_with_tag(&number, number); // its tag is its number
        rank.says(format!("MPI_Send(message {number}, tag {number}) has returned"))?;
    }
    rank.world.barrier(); // MPI_Barrier: returns once the other rank is there too
    for number in 0..MORE {
        rank.peer().send_with_tag(&number, 1 + number % 2);
    }
    Ok(())
}

/// Rank 0.
fn receive(rank: &Rank) -> Result<()> {
    rank.world.barrier();
    for tag in [2, 1] {
        let (number, _) = rank.peer().receive_with_tag::<i32>(tag);
        rank.says(format!("MPI_Recv(tag {tag}) got message {number}"))?;
    }
    let mut in_order = 0;
    for number in 0..MORE {
        let (next, _) = rank.peer().receive::<i32>(); // MPI_ANY_TAG
        in_order += i32::from(next == number);
    }
    rank.says(format!(
        "MPI_Recv(MPI_ANY_TAG), a thousand times: {in_order} in order"
    ))
}

pub(super) fn wildcard_order(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        let part = if rank.number() == 0 { receive } else { send };
        return part(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "wildcard-order")?;
    let first = job.says(0, "MPI_Recv(tag 2) got ")?;
    let second = job.says(0, "MPI_Recv(tag 1) got ")?;
    let more = job.says(0, "MPI_Recv(MPI_ANY_TAG), a thousand times: ")?;
    job.tell();
    stage.saw("tag 2 got", first.as_deref());
    stage.saw("tag 1 got", second.as_deref());
    stage.saw("MPI_ANY_TAG, a thousand times", more.as_deref());
    let first = first.context("MPI_Recv for tag 2 has not returned")?;
    let more = more.context("rank 0 does not get on")?;
    Ok(match (first.as_str(), more == "1000 in order") {
        ("message 2", true) => 2,
        ("message 2", false) => 3,
        (_, true) => 1,
        (_, false) => 4,
    })
}
// ANCHOR_END: wildcard-order
