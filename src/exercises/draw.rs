//! Data that nobody can know in advance, and that a seed brings back.

/// A source of data: xorshift64* (Vigna 2016), from a seed.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// The data of a stage.
    pub fn new(seed: u64, stage: &str) -> Draw {
        // FNV-1a: stages of the same run draw other data.
        let hash = stage.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Draw(hash | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Any bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Small letters and blanks, that begin and end with a letter.
    pub fn line(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz   ";
        (0..length)
            .map(|index| {
                let inner = index > 0 && index + 1 < length;
                let letters = if inner { LETTERS.len() } else { 26 };
                char::from(LETTERS[self.below(letters)])
            })
            .collect()
    }

    /// This many lines of 3 to 20 letters.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let length = 3 + self.below(18);
                self.line(length)
            })
            .collect()
    }
}

/// Each line with a newline behind it.
pub fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_the_same_data_back_and_another_one_does_not() {
        let lines = |seed, stage| Draw::new(seed, stage).lines(3);
        assert_eq!(lines(7, "plain"), lines(7, "plain"));
        assert_ne!(lines(7, "plain"), lines(8, "plain"));
        assert_ne!(lines(7, "plain"), lines(7, "many"));
        for line in lines(7, "plain") {
            assert_eq!(line.trim(), line);
        }
    }
}
