//! The floor of what is copied: memcpy(3), from where the CPU does it fastest.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::spread::median;

/// A page, in bytes.
const PAGE: usize = 4096;

// ANCHOR: copy
/// How far behind its source, modulo a page, a destination begins where memcpy is tried.
pub const TRIED: &[usize] = &[0, 64, 128, 1024, 2048];
/// How often it is tried at each.
const TRIES: usize = 3;
/// How much is copied in one try, in bytes; or one message, if that is larger.
const TRY: usize = 1 << 20;

/// memcpy(3) of messages of one size, to and from addresses that go round in a footprint. If
/// that is smaller than a message, it goes there in parts, as with the reads of a stream.
#[derive(Debug)]
pub struct Copy {
    from: Vec<u8>,
    /// The footprint, and a page, in which its beginning is moved.
    to: Vec<u8>,
    start: usize,
    part: usize,
    at: usize,
    apart: usize,
}

impl Copy {
    /// Of `size` bytes at a time, into memory of `footprint` bytes in all: at the fastest of
    /// the alignments that are [`TRIED`].
    pub fn best(size: u64, footprint: u64) -> Copy {
        let mut copy = Copy::at(size, footprint, 0);
        let often = (TRY / copy.from.len().max(1)).max(1);
        let mut least = (Duration::MAX, 0);
        for apart in TRIED.repeat(TRIES) {
            copy.align(apart);
            let began = Instant::now();
            (0..often).for_each(|_| copy.once());
            least = least.min((began.elapsed(), apart));
        }
        copy.align(least.1);
        copy
    }

    /// As [`Copy::best`], where the destination begins `apart` bytes behind the source,
    /// modulo a page.
    pub fn at(size: u64, footprint: u64, apart: usize) -> Copy {
        let (size, footprint) = (size as usize, footprint as usize);
        let (from, to) = (vec![1; size], vec![2; footprint + PAGE]);
        let part = size.min(footprint).max(1);
        let mut copy = Copy { from, to, start: 0, part, at: 0, apart };
        copy.align(apart);
        copy
    }

    fn align(&mut self, apart: usize) {
        let [from, to] = [&self.from, &self.to].map(|bytes| bytes.as_ptr().addr());
        self.start = (from + apart).wrapping_sub(to) % PAGE;
        (self.at, self.apart) = (self.start, apart);
    }

    /// (destination - source) modulo a page, in bytes, at the beginning of the footprint.
    pub fn apart(&self) -> usize {
        self.apart
    }

    /// One copy.
    #[inline]
    pub fn once(&mut self) {
        for part in black_box(&self.from).chunks(self.part) {
            let to = &mut self.to[self.at..self.at + part.len()];
            to.copy_from_slice(part);
            black_box(to);
            self.at += self.part;
            if self.at + self.part > self.to.len() - PAGE + self.start {
                self.at = self.start;
            }
        }
    }

    /// Bytes per second: the median of many short turns, so that one in which something
    /// else had the CPU does not count.
    pub fn rate(&mut self, window: Duration) -> f64 {
        let began = Instant::now();
        let batch = (4_194_304 / self.from.len().max(1)).max(1);
        let (mut rates, mut last) = (Vec::new(), began);
        while rates.len() < 5 || last - began < window {
            (0..batch).for_each(|_| self.once());
            let now = Instant::now();
            let bytes = (batch * self.from.len()) as f64;
            rates.push(bytes / (now - last).as_secs_f64());
            last = now;
        }
        median(&rates)
    }
}
// ANCHOR_END: copy

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_lies_as_far_behind_its_source_as_is_said_and_goes_round_its_footprint()
    {
        for (size, footprint) in
            [(64, 4096), (4096, 4096), (100, 1000), (9000, 4096)]
        {
            for apart in TRIED.iter().copied().chain([1, 16, 4095]) {
                let mut copy = Copy::at(size, footprint, apart);
                let from = copy.from.as_ptr().addr();
                let to = copy.to[copy.start..].as_ptr().addr();
                assert_eq!(to.wrapping_sub(from) % PAGE, apart);
                for _ in 0..footprint {
                    copy.once();
                }
                let (before, rest) = copy.to.split_at(copy.start);
                let (inside, behind) = rest.split_at(footprint as usize);
                let part = size.min(footprint) as usize;
                let whole = inside.len() / part * part;
                assert!(inside[..whole].iter().all(|byte| *byte == 1));
                assert!(before.iter().chain(behind).all(|byte| *byte == 2));
            }
        }
    }

    #[test]
    fn the_best_copy_is_at_one_of_the_alignments_that_are_tried() {
        for size in [1, 64, 4096, 65_536] {
            assert!(TRIED.contains(&Copy::best(size, size).apart()), "{size}");
        }
    }
}
