//! What a message is made of while it is on its way.

use anyhow::{Context, Result, bail};
use mpi::request::scope;
use mpi::traits::{CommunicatorCollectives, Destination, Source};

use super::job::{Job, Rank};
use crate::stage::Stage;
use os::mpi_number::Number;

// ANCHOR: buffer-reused-broken
/// Rank 1. A `Number` may be changed while the library has it; of a `u32` Rust would refuse that.
fn change_then_wait(rank: &Rank, message: &[Number], last: &Number) {
    scope(|scope| {
        let sending = rank.peer().immediate_send(scope, message);
        last.set(2);
        rank.world.barrier(); // from here on rank 0 receives
        sending.wait();
    });
}
// ANCHOR_END: buffer-reused-broken

// ANCHOR: buffer-reused-cured
/// Rank 1.
fn wait_then_change(rank: &Rank, message: &[Number], last: &Number) {
    scope(|scope| {
        let sending = rank.peer().immediate_send(scope, message);
        rank.world.barrier(); // from here on rank 0 receives
        sending.wait();
    });
    last.set(2);
}
// ANCHOR_END: buffer-reused-cured

// ANCHOR: buffer-reused
type Sending = fn(&Rank, &[Number], &Number);

/// What the two ranks do, one after the other: the length, how it is sent, and how that is called.
const EXCHANGES: [(usize, Sending, &str); 3] = [
    (1, change_then_wait, "1 number, changed before MPI_Wait"),
    (1 << 18, change_then_wait, "1 MiB, changed before MPI_Wait"),
    (1 << 18, wait_then_change, "1 MiB, changed after MPI_Wait"),
];

/// What each rank does.
fn exchange(rank: &Rank) -> Result<()> {
    for (length, send, name) in EXCHANGES {
        if rank.number() == 1 {
            let message: Vec<_> = (0..length).map(|_| Number::new(1)).collect();
            send(rank, &message, message.last().context("no number")?);
        } else {
            let mut room = vec![0_u32; length];
            rank.world.barrier(); // MPI_Barrier: returns once rank 1 is there too
            rank.peer().receive_into(&mut room[..]);
            rank.says(format!("{name}: MPI_Recv() got {}", room[length - 1]))?;
        }
    }
    Ok(())
}

pub(super) fn buffer_reused(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return exchange(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "buffer-reused")?;
    let mut got = Vec::new();
    for (_, _, name) in EXCHANGES {
        let number = job.says(0, &format!("{name}: MPI_Recv() got "))?;
        stage.saw(name, number.as_deref());
        got.push(number.context("rank 0 does not get on")?);
    }
    job.tell();
    match [got[0].as_str(), got[1].as_str()] {
        ["1", "1"] => Ok(1),
        ["2", "2"] => Ok(2),
        ["2", "1"] => Ok(3),
        ["1", "2"] => Ok(4),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: buffer-reused
