//! What ends a job that could go on, or could not.

use anyhow::{Result, ensure};
use mpi::traits::{Destination, Source};
use nix::sys::signal::{Signal, raise};

use super::job::{Job, Rank};
use crate::stage::Stage;

// ANCHOR: truncated
/// What each rank does.
fn send_more_than_there_is_room_for(rank: &Rank) -> Result<()> {
    if rank.number() == 1 {
        rank.peer().send(&[1; 100][..]);
        return rank.says("MPI_Send(100 numbers) has returned");
    }
    let mut room = [0; 10];
    rank.says("enters MPI_Recv(room for 10)")?;
    rank.peer().receive_into(&mut room[..]);
    rank.says("MPI_Recv(room for 10) has returned")?;
    rank.peer().receive_into(&mut room[..]);
    rank.says("the next MPI_Recv has returned")
}

pub(super) fn truncated(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return send_more_than_there_is_room_for(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "truncated")?;
    ensure!(job.says(0, "enters ")?.is_some(), "no rank receives");
    let end = job.comes_to_its_end()?;
    let returned = job.has_said(0, "MPI_Recv(room for 10) has returned");
    let again = job.has_said(0, "the next MPI_Recv has returned");
    job.tell_in_turn();
    let ended = end.is_some();
    stage.event("main", if ended { "no rank is left" } else { "the ranks live" });
    stage.saw("MPI_Recv has returned", returned);
    stage.saw("the job ended", ended);
    // The library's words on standard error may be lost, as the launcher that passes them on is
    // told to end the job.
    stage.saw("mpiexec reports a failure", end.is_some_and(|end| !end.success()));
    Ok(match (returned, again) {
        (false, _) => 3,
        (true, false) => 1,
        (true, true) => 2,
    })
}
// ANCHOR_END: truncated

// ANCHOR: rank-dies
/// What each rank does.
fn wait_for_one_that_dies(rank: &Rank) -> Result<()> {
    if rank.number() == 1 {
        rank.waits_to_go()?;
        rank.says("dies by SIGKILL")?;
        raise(Signal::SIGKILL)?;
    }
    rank.says("enters MPI_Recv()")?;
    let (number, _) = rank.peer().receive::<i32>();
    rank.says(format!("MPI_Recv() has returned: {number}"))
}

pub(super) fn rank_dies(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return wait_for_one_that_dies(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "rank-dies")?;
    ensure!(job.says(0, "enters ")?.is_some(), "rank 0 does not wait");
    job.go()?;
    let ended = job.comes_to_its_end()?.is_some();
    let returned = job.has_said(0, "MPI_Recv() has returned");
    job.tell();
    stage.event("main", if ended { "no rank is left" } else { "rank 0 waits on" });
    stage.saw("rank 1 died", job.has_said(1, "dies"));
    stage.saw("rank 0's MPI_Recv has returned", returned);
    stage.saw("rank 0 was ended", ended && !returned);
    Ok(match (returned, ended) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 3,
    })
}
// ANCHOR_END: rank-dies
