//! When requests of an open loop are due, and what became of each.
//!
//! In a closed loop a client that waits asks nothing, so a server that stalls is asked
//! less, and its stall counts once a client. That is coordinated omission. Here requests are
//! due at a fixed rate whatever the server does, and each is timed from when it was due.
//! The same request timed from when it was sent is noted beside it: the naive figure.

use super::super::times::Times;

/// The requests of one open loop. All times are nanoseconds since any one moment.
#[derive(Debug)]
pub struct Schedule {
    began: u64,
    /// Requests per second.
    rate: u64,
    /// How many there are to be.
    total: u64,
    started: u64,
    answered: u64,
    /// The clients that wait for nothing.
    free: Vec<usize>,
    /// Of each client: when its request was due, and when it went.
    flights: Vec<(u64, u64)>,
    /// From when it was due to its answer.
    pub honest: Times,
    /// From when it was sent to its answer.
    pub naive: Times,
}

impl Schedule {
    /// Requests of `clients` clients, `rate` a second from `began` on, for `window`
    /// nanoseconds; at least one.
    ///
    /// # Panics
    /// Without a client, or with a rate of 0.
    pub fn new(clients: usize, rate: u64, began: u64, window: u64) -> Schedule {
        assert!(clients > 0 && rate > 0);
        let total = u128::from(rate) * u128::from(window) / 1_000_000_000;
        Schedule {
            began,
            rate,
            total: u64::try_from(total).unwrap_or(u64::MAX).max(1),
            started: 0,
            answered: 0,
            free: (0..clients).rev().collect(),
            flights: vec![(0, 0); clients],
            honest: Times::new(),
            naive: Times::new(),
        }
    }

    /// When the request of this number is due: counted from the beginning, so that no
    /// rounding adds up.
    fn due(&self, number: u64) -> u64 {
        let since = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.began + since as u64
    }

    /// The next request that is due, for a client that waits for nothing: it goes now.
    pub fn start(&mut self, now: u64) -> Option<usize> {
        let due = self.due(self.started);
        if self.started == self.total || due > now {
            return None;
        }
        let client = self.free.pop()?;
        self.started += 1;
        self.flights[client] = (due, now);
        Some(client)
    }

    /// The answer of `client` has come.
    pub fn answered(&mut self, client: usize, now: u64) {
        let (due, sent) = self.flights[client];
        self.honest.add(now.saturating_sub(due));
        self.naive.add(now.saturating_sub(sent));
        self.answered += 1;
        self.free.push(client);
    }

    /// Whether all requests were answered.
    pub fn is_over(&self) -> bool {
        self.answered == self.total
    }

    /// How long until there is something to send, if that does not depend on an answer.
    pub fn idle_for(&self, now: u64) -> Option<u64> {
        let sends = !self.free.is_empty() && self.started < self.total;
        sends.then(|| self.due(self.started).saturating_sub(now))
    }

    /// How many requests were due, and are not answered.
    pub fn owed(&self, now: u64) -> u64 {
        let past =
            u128::from(now.saturating_sub(self.began)) * u128::from(self.rate);
        let due = past / 1_000_000_000 + 1;
        (due.min(u128::from(self.total)) as u64).saturating_sub(self.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const BEGAN: u64 = 7 * MS;

    /// Plays the schedule on a clock that steps by 10 µs against a server which answers
    /// within one step, except while it is stopped.
    fn play(schedule: &mut Schedule, stopped: std::ops::Range<u64>) {
        let (mut now, mut asked) = (BEGAN, Vec::new());
        while !schedule.is_over() {
            while let Some(client) = schedule.start(now) {
                asked.push(client);
            }
            now += MS / 100;
            assert!(now < BEGAN + 1000 * MS, "it never ends");
            if !stopped.contains(&now) {
                for client in asked.drain(..) {
                    schedule.answered(client, now);
                }
            }
        }
    }

    #[test]
    fn every_request_is_due_at_its_own_time_whatever_the_rate() {
        let schedule = Schedule::new(1, 3, 5, 2_000_000_000);
        assert_eq!(schedule.total, 6);
        assert_eq!(schedule.due(0), 5);
        assert_eq!(schedule.due(1), 5 + 333_333_333);
        assert_eq!(
            schedule.due(3),
            5 + 1_000_000_000,
            "the thirds add up to a whole"
        );
        assert_eq!(schedule.due(u64::from(u32::MAX)), 5 + 1_431_655_765_000_000_000);
    }

    #[test]
    fn nothing_goes_before_it_is_due_nor_without_a_free_client() {
        let mut schedule = Schedule::new(2, 1000, BEGAN, 10 * MS);
        assert_eq!(schedule.start(BEGAN - 1), None);
        assert_eq!(schedule.start(BEGAN), Some(0));
        assert_eq!(schedule.start(BEGAN), None, "the next is due in 1 ms");
        assert_eq!(schedule.idle_for(BEGAN), Some(MS));
        assert_eq!(schedule.start(BEGAN + 5 * MS), Some(1));
        assert_eq!(schedule.start(BEGAN + 5 * MS), None, "both clients wait");
        assert_eq!(
            schedule.idle_for(BEGAN + 5 * MS),
            None,
            "an answer must come first"
        );
        assert_eq!(schedule.owed(BEGAN + 5 * MS), 6);
        schedule.answered(0, BEGAN + 5 * MS);
        assert_eq!(schedule.owed(BEGAN + 5 * MS), 5);
        assert_eq!(schedule.start(BEGAN + 5 * MS), Some(0), "late, and due at 2 ms");
        schedule.answered(0, BEGAN + 6 * MS);
        // Known to 0.1 %: sent 3 ms late, it was answered 1 ms after that.
        let about = |time: u64| time..=time + time / 500;
        assert!(about(5 * MS).contains(&schedule.honest.largest()));
        assert_eq!(schedule.honest.above(4 * MS - MS / 100), 2);
        assert_eq!(schedule.naive.above(MS + MS / 100), 1);
    }

    #[test]
    fn a_stop_of_the_server_shows_in_every_request_that_was_due_meanwhile() {
        // 100 ms at 1,000 a second; it is stopped from 20 ms on, for 50 ms.
        let mut schedule = Schedule::new(1, 1000, BEGAN, 100 * MS);
        play(&mut schedule, BEGAN + 20 * MS..BEGAN + 70 * MS);
        assert_eq!(schedule.honest.count(), 100);
        assert_eq!(schedule.naive.count(), 100);
        // Those due at 20, 21, … 69 ms: from 70 ms on one client asks for all of them, one
        // each 10 µs, so the last of them comes at 70.5 ms.
        assert_eq!(schedule.honest.above(MS), 50);
        assert_eq!(schedule.honest.above(25 * MS), 26);
        // The naive clock sees the one that was on its way.
        assert_eq!(schedule.naive.above(MS), 1);
        assert!(schedule.honest.at(0.90) > 40 * MS && schedule.naive.at(0.90) < MS);
    }

    #[test]
    fn without_a_stop_the_two_agree() {
        let mut schedule = Schedule::new(4, 1000, BEGAN, 50 * MS);
        play(&mut schedule, 0..0);
        assert_eq!(schedule.honest.pairs(), schedule.naive.pairs());
        assert_eq!(schedule.honest.count(), 50);
    }
}
