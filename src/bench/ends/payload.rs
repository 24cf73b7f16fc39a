//! What the two ends send each other, and how every byte of it is checked.
//!
//! The first 8 bytes of a message are its number, little-endian; byte `i` after them is
//! `i * 7 + 3`. The sum of its 64-bit words is then known beforehand, and the receiver must
//! read every byte to come to it. A sum can be taken in parts, so a message that a stream
//! delivers in pieces is never put together, which would be a copy that C does not need.
//! (It does not see two words that changed places; no mechanism here moves words.)

/// In the number of a message: it is the last of its window.
pub const LAST: u64 = 1 << 63;

/// Messages of one size, one after the other.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    number: u64,
}

impl Outgoing {
    /// Messages of `size` bytes.
    pub fn new(size: usize) -> Outgoing {
        Outgoing { bytes: body(size), number: 0 }
    }

    /// The next message; `mark` is 0 or [`LAST`].
    #[inline]
    pub fn next(&mut self, mark: u64) -> &[u8] {
        let number = (self.number | mark).to_le_bytes();
        let length = self.bytes.len().min(8);
        self.bytes[..length].copy_from_slice(&number[..length]);
        self.number += 1;
        &self.bytes
    }
}

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|i| if i < 8 { 0 } else { (i * 7 + 3) as u8 }).collect()
}

/// Reads and checks what has come.
#[derive(Debug)]
pub struct Check {
    size: usize,
    /// The sum of a message's words but for its number.
    base: u64,
    /// The bits of a number that a message of this size has room for.
    mask: u64,
    number: u64,
    /// How far we are in the message that is coming.
    at: usize,
    sum: u64,
    /// The number of that message.
    bears: u64,
    /// How many whole messages have come.
    pub messages: u64,
    /// How many of them were not what was sent.
    pub bad: u64,
    /// Whether the last of a window has come.
    pub last: bool,
}

impl Check {
    /// Nothing has come yet, of messages of `size` bytes.
    pub fn new(size: usize) -> Check {
        let base = sum(0, &body(size));
        let mask = if size < 8 { (1 << (8 * size)) - 1 } else { u64::MAX };
        Check {
            size,
            base,
            mask,
            number: 0,
            at: 0,
            sum: 0,
            bears: 0,
            messages: 0,
            bad: 0,
            last: false,
        }
    }

    /// Reads what has come: one message, part of one, or several.
    #[inline]
    pub fn take(&mut self, mut bytes: &[u8]) {
        if self.size == 0 {
            self.messages += 1;
            self.bad += u64::from(!bytes.is_empty());
            return;
        }
        // The common case first: nothing is under way, and whole messages have come.
        while self.at == 0 && self.size >= 8 && bytes.len() >= self.size {
            let (message, rest) = bytes.split_at(self.size);
            self.bears = message.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
            self.sum = sum(0, message);
            self.whole();
            bytes = rest;
        }
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(self.size - self.at));
            if self.at < 8 {
                let room = part.len().min(8 - self.at);
                self.bears |= sum(self.at, &part[..room]);
            }
            self.sum = self.sum.wrapping_add(sum(self.at, part));
            self.at += part.len();
            if self.at == self.size {
                self.whole();
            }
            bytes = rest;
        }
    }

    #[inline]
    fn whole(&mut self) {
        let mark = self.bears & LAST & self.mask;
        let number = self.number & self.mask | mark;
        let right =
            self.bears == number && self.sum == self.base.wrapping_add(number);
        self.bad += u64::from(!right);
        self.last |= mark != 0;
        self.messages += 1;
        self.number += 1;
        (self.at, self.sum, self.bears) = (0, 0, 0);
    }
}

/// The sum of the words of `bytes`, which begin at byte `at` of a message.
#[inline]
fn sum(at: usize, bytes: &[u8]) -> u64 {
    let to_word = at.wrapping_neg() % 8;
    let (head, rest) = bytes.split_at(to_word.min(bytes.len()));
    let (words, tail) = rest.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let sum = words.fold(0, u64::wrapping_add);
    if head.is_empty() && tail.is_empty() {
        return sum;
    }
    sum.wrapping_add(loose(at, head)).wrapping_add(loose(0, tail))
}

/// The sum of bytes that do not fill a word.
#[inline]
fn loose(at: usize, bytes: &[u8]) -> u64 {
    let placed = bytes.iter().enumerate();
    placed.map(|(i, byte)| u64::from(*byte) << (8 * ((at + i) % 8))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that a window of three sends, one after the other.
    fn stream(size: usize) -> Vec<u8> {
        let mut outgoing = Outgoing::new(size);
        [0, 0, LAST].iter().flat_map(|mark| outgoing.next(*mark).to_vec()).collect()
    }

    #[test]
    fn what_was_sent_is_right_in_pieces_of_any_length() {
        for size in [1, 3, 7, 8, 9, 16, 63, 64, 65, 1000] {
            let stream = stream(size);
            for piece in [1, 2, 3, 7, 8, 11, 64, 100, stream.len()] {
                let mut check = Check::new(size);
                stream.chunks(piece).for_each(|part| check.take(part));
                assert_eq!((check.messages, check.bad), (3, 0), "{size} by {piece}");
                assert_eq!(check.last, size >= 8, "{size} by {piece}");
            }
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_noticed() {
        for size in [1, 8, 20, 64] {
            let good = stream(size);
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 0x10;
                let mut check = Check::new(size);
                check.take(&bytes);
                assert_eq!(check.bad, 1, "byte {at} of messages of {size}");
            }
        }
    }

    #[test]
    fn a_message_that_is_lost_or_comes_twice_is_noticed() {
        let good = stream(64);
        let mut check = Check::new(64);
        check.take(&good[64..]);
        assert_eq!((check.messages, check.bad), (2, 2));
        let mut check = Check::new(64);
        check.take(&good[..64]);
        check.take(&good[..64]);
        assert_eq!((check.messages, check.bad), (2, 1));
    }
}
