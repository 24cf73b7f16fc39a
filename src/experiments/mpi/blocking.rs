//! What MPI_Send and MPI_Recv wait for, and how.

use anyhow::{Result, ensure};
use mpi::point_to_point::send_receive_into;
use mpi::request::scope;
use mpi::traits::{Destination, Source};

use super::job::{Job, Rank};
use crate::stage::Stage;

// ANCHOR: both-send-first-broken
/// Both ranks run this: each sends before it receives.
fn send_then_receive(rank: &Rank, message: &[u8], size: &str) -> Result<()> {
    let mut theirs = vec![0; message.len()];
    rank.says(format!("enters MPI_Send({size})"))?;
    rank.peer().send(message);
    rank.says(format!("MPI_Send({size}) has returned"))?;
    rank.peer().receive_into(&mut theirs[..]);
    rank.says(format!("MPI_Recv({size}) has returned"))
}
// ANCHOR_END: both-send-first-broken

// ANCHOR: both-send-first-cured
/// Both ranks run this: the library does both at once.
fn send_and_receive(rank: &Rank, message: &[u8], size: &str) -> Result<()> {
    let mut theirs = vec![0; message.len()];
    let peer = rank.peer();
    rank.says(format!("enters MPI_Sendrecv({size})"))?;
    send_receive_into(message, &peer, &mut theirs[..], &peer);
    rank.says(format!("MPI_Sendrecv({size}) has returned"))
}
// ANCHOR_END: both-send-first-cured

// ANCHOR: both-send-first
/// What each rank does. The broken exchange is the last: no rank comes back from it.
fn exchange(rank: &Rank) -> Result<()> {
    send_then_receive(rank, &[1], "1 B")?;
    let large = vec![1; 1 << 20];
    send_and_receive(rank, &large, "1 MiB")?;
    send_then_receive(rank, &large, "1 MiB")
}

pub(super) fn both_send_first(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return exchange(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "both-send-first")?;
    ensure!(job.both_say("enters MPI_Send(1 B)")?, "no rank sends");
    let small = job.both_say("MPI_Recv(1 B) has returned")?;
    let cured = small && job.both_say("MPI_Sendrecv(1 MiB) has returned")?;
    let entered = cured && job.both_say("enters MPI_Send(1 MiB)")?;
    // From here on nothing happens any more. That cannot be waited for, so: they have
    // time to return and do not, and they do not sleep either, since MPI_Send polls.
    let stuck = entered && job.is_silent()?;
    let polling = stuck && job.is_busy(0)? && job.is_busy(1)? && job.is_silent()?;
    job.tell_in_turn();
    stage.saw("1 B was exchanged, both sending first", small);
    stage.saw("1 MiB was exchanged by MPI_Sendrecv", cured);
    stage.saw("both have entered MPI_Send with 1 MiB", entered);
    stage.saw("neither has returned from it", stuck);
    stage.saw("both ran all the while, and did not sleep", polling);
    stage.event("main", "ends the job: it would wait for ever");
    stage.note(
        "a rank that waits polls, so it cannot be seen asleep. That it is stuck is \
         concluded: neither came back in 300 ms and 50 ms of processor time.",
    );
    Ok(match (small, stuck, job.ended) {
        (false, ..) => 2,
        (true, true, _) => 3,
        (true, false, false) => 1,
        (true, false, true) => 4,
    })
}
// ANCHOR_END: both-send-first

// ANCHOR: waiting-rank
/// What each rank does: rank 0 waits for a message, and rank 1 for the run.
fn wait_for_each_other(rank: &Rank) -> Result<()> {
    if rank.number() == 0 {
        rank.says("enters MPI_Recv()")?;
        let (number, _) = rank.peer().receive::<i32>();
        rank.says(format!("MPI_Recv() has returned: the number {number}"))
    } else {
        rank.says("enters open(\"go\", O_RDONLY)")?;
        rank.waits_to_go()?;
        rank.says("open() has returned; MPI_Send() follows")?;
        rank.peer().send(&4711);
        Ok(())
    }
}

pub(super) fn waiting_rank(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return wait_for_each_other(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "waiting-rank")?;
    ensure!(job.both_say("enters ")?, "they do not wait");
    job.tell_in_turn();
    let before = job.processor_time(1)?;
    // Each looks until rank 0 has had 50 ms of processor time.
    let looks = [job.is_busy(0)?, job.is_busy(0)?, job.is_busy(0)?];
    let other = job.processor_time(1)? - before;
    let waited = job.is_silent()?;
    job.go()?;
    let came = job.says(0, "MPI_Recv() has returned")?.is_some();
    job.tell();
    ensure!(waited && came, "rank 0 did not wait for the message");
    stage.saw("three looks at rank 0 in MPI_Recv: it runs", looks.to_vec());
    stage.saw("rank 1 in open(2) slept", other.as_millis() < 50);
    Ok(match looks {
        [true, true, true] => 1,
        [true, ..] => 2,
        _ => 3,
    })
}
// ANCHOR_END: waiting-rank

// ANCHOR: wait-at-once-broken
/// Both ranks run this: each waits for its own send before it receives.
fn begin_wait_receive(rank: &Rank, message: &[u8]) -> Result<()> {
    let mut theirs = vec![0; message.len()];
    rank.says("enters MPI_Isend, MPI_Wait, MPI_Recv")?;
    scope(|scope| rank.peer().immediate_send(scope, message).wait());
    rank.says("MPI_Wait has returned, before MPI_Recv")?;
    rank.peer().receive_into(&mut theirs[..]);
    Ok(())
}
// ANCHOR_END: wait-at-once-broken

// ANCHOR: wait-at-once-cured
/// Both ranks run this: the send is under way while they receive.
fn begin_receive_wait(rank: &Rank, message: &[u8]) -> Result<()> {
    let mut theirs = vec![0; message.len()];
    rank.says("enters MPI_Isend, MPI_Recv, MPI_Wait")?;
    scope(|scope| {
        let sending = rank.peer().immediate_send(scope, message);
        rank.peer().receive_into(&mut theirs[..]);
        sending.wait(); // until then `message` belongs to the library
    });
    rank.says("MPI_Wait has returned, behind MPI_Recv")
}
// ANCHOR_END: wait-at-once-cured

// ANCHOR: wait-at-once
/// What each rank does. The broken exchange is the last: no rank comes back from it.
fn exchange_without_blocking(rank: &Rank) -> Result<()> {
    let large = vec![1; 1 << 20];
    begin_receive_wait(rank, &large)?;
    begin_wait_receive(rank, &large)
}

pub(super) fn wait_at_once(stage: &Stage) -> Result<usize> {
    // mpiexec starts this program, and so this function, twice more.
    if let Some(rank) = Rank::join(stage)? {
        return exchange_without_blocking(&rank).map(|()| 0);
    }
    let mut job = Job::start(stage, "wait-at-once")?;
    let behind = job.both_say("MPI_Wait has returned, behind MPI_Recv")?;
    let entered = behind && job.both_say("enters MPI_Isend, MPI_Wait, MPI_Recv")?;
    // As above: that they are stuck is concluded.
    let stuck = entered && job.is_silent()?;
    let polling = stuck && job.is_busy(0)? && job.is_busy(1)? && job.is_silent()?;
    job.tell_in_turn();
    stage.saw("MPI_Wait behind MPI_Recv has returned", behind);
    stage.saw("both have entered the exchange with MPI_Wait first", entered);
    stage.saw("neither has returned from it", stuck);
    stage.saw("both ran all the while, and did not sleep", polling);
    stage.event("main", "ends the job: it would wait for ever");
    Ok(match (behind, stuck) {
        (true, false) => 1,
        (true, true) => 2,
        (false, _) => 3,
    })
}
// ANCHOR_END: wait-at-once
