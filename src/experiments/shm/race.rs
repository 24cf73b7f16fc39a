//! Two processes on two CPUs that do something at the same moment, again and again: a
//! litmus test.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, sched_yield};

use super::without_name;
use crate::stage::Stage;
use os::shared::Shared;

/// The CPUs that this process may run on.
pub(super) fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("sched_getaffinity")?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// sched_setaffinity(2): this process runs on `cpu` from now on.
pub(super) fn stay_on(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).context("sched_setaffinity")
}

/// Rounds between two looks at what came out.
const BATCH: usize = 1024;

/// Two numbers of one round, 0 at first, on cache lines of their own.
pub(super) struct Round<'memory> {
    pub(super) x: &'memory AtomicU32,
    pub(super) y: &'memory AtomicU32,
}

/// What one process does in a round, and what it has seen.
pub(super) type Part = fn(&Round) -> u32;

/// Lets `a` and `b` meet in round after round, until both have seen 0, or `most` rounds
/// or `time` are over. How many rounds, and in how many both saw 0.
pub(super) fn race(
    stage: &Stage,
    (a, b): (Part, Part),
    most: usize,
    time: Duration,
) -> Result<(usize, usize)> {
    let field = Field { memory: without_name(256 + 4 * 4 * BATCH)? };
    let cpus = cpus()?;
    let other = stage.fork("B", |_| {
        stay_on(cpus[1])?;
        while field.again(1, 0) {
            field.play(b, 1);
        }
        Ok(())
    })?;
    let judge = stage.fork("A", |_| {
        stay_on(cpus[0])?;
        let began = Instant::now();
        let (mut rounds, mut both_zero) = (0, 0);
        while both_zero == 0 && rounds < most && began.elapsed() < time {
            field.clear();
            field.again(0, 1);
            field.play(a, 0);
            field.meet(0);
            both_zero = field.both_zero();
            rounds += BATCH;
        }
        field.again(0, 2);
        Ok((rounds, both_zero))
    })?;
    let result = judge.join()?;
    other.join()?;
    Ok(result)
}

/// The memory of a race: two meeting points, a word that says whether to go on, and four
/// numbers a round.
struct Field {
    memory: Shared,
}

const COUNTS: [usize; 2] = [0, 64];
const GO_ON: usize = 128;

impl Field {
    fn number(&self, which: usize, round: usize) -> &AtomicU32 {
        self.memory.u32(256 + 4 * (which * BATCH + round))
    }

    fn play(&self, part: Part, who: usize) {
        for at in 0..BATCH {
            let round = Round { x: self.number(0, at), y: self.number(1, at) };
            self.meet(who);
            let saw = part(&round);
            self.number(2 + who, at).store(saw, Ordering::Relaxed);
        }
        if who == 1 {
            self.meet(who);
        }
    }

    /// Waits until both have come here equally often.
    fn meet(&self, who: usize) {
        let [mine, other] =
            [COUNTS[who], COUNTS[1 - who]].map(|at| self.memory.u32(at));
        let times = mine.fetch_add(1, Ordering::SeqCst) + 1;
        let mut looks = 0_u32;
        // The counters wrap, so they are compared by their difference.
        while (other.load(Ordering::Acquire).wrapping_sub(times) as i32) < 0 {
            looks += 1;
            if looks.is_multiple_of(1000) {
                sched_yield(); // the other may wait for this very CPU
            }
            std::hint::spin_loop();
        }
    }

    /// Process 0 stores whether there is another batch; the other process loads it.
    fn again(&self, who: usize, says: u32) -> bool {
        let word = self.memory.u32(GO_ON);
        if who == 0 {
            word.store(says, Ordering::Release);
        }
        self.meet(who);
        let again = word.load(Ordering::Acquire) == 1;
        fence(Ordering::SeqCst);
        again
    }

    fn clear(&self) {
        for which in 0..4 {
            (0..BATCH)
                .for_each(|at| self.number(which, at).store(0, Ordering::Relaxed));
        }
    }

    fn both_zero(&self) -> usize {
        let zero = |which, at| self.number(which, at).load(Ordering::Relaxed) == 0;
        (0..BATCH).filter(|at| zero(2, *at) && zero(3, *at)).count()
    }
}
