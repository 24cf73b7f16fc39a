//! Message boundaries on a byte stream: however the bytes are cut into reads, the messages
//! are the same, within the limit, and make the same bytes again.

use crate::frame::{Framing, FramingOptions, ReassemblyBuffer};
use crate::fuzz::Input;

/// The framing, the limit, how the reads are cut, then the stream.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let framing = match input.u8() % 3 {
        0 => Framing::Lines,
        1 => Framing::Length,
        _ => Framing::None,
    };
    let stream = FramingOptions { framing, max_message: u32::from(input.u16()) + 1 };
    let count = usize::from(input.u8());
    let cuts = input.bytes(count);
    let bytes = input.rest();

    let (whole, ended) = messages(&stream, [bytes].into_iter());
    let (parts, ended_too) = messages(&stream, Parts { bytes, cuts, next: 0 });
    if framing == Framing::None {
        assert_eq!(parts.concat(), bytes);
        return;
    }
    assert_eq!(whole, parts, "{stream:?}, read in parts of {cuts:?}");
    assert_eq!(ended, ended_too, "{stream:?}, read in parts of {cuts:?}");

    let mut again = Vec::new();
    let mut scratch = Vec::new();
    for message in &whole {
        stream.check(message).expect("what was taken may be sent");
        again.extend_from_slice(stream.frame(message, &mut scratch));
    }
    let made =
        if ended == End::Unterminated { &again[..again.len() - 1] } else { &again };
    assert!(bytes.starts_with(made), "{stream:?}: {whole:?}");
    assert!(
        ended == End::Error || made.len() == bytes.len(),
        "{stream:?}: {whole:?}"
    );
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Unterminated,
    Error,
}

fn messages<'a>(
    stream: &FramingOptions,
    reads: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, End) {
    let mut incoming = ReassemblyBuffer::new(stream);
    let (mut all, mut message) = (Vec::new(), Vec::new());
    for read in reads {
        incoming.add(read).expect("there is memory");
        loop {
            match incoming.next(&mut message) {
                Ok(true) => all.push(message.clone()),
                Ok(false) => break,
                Err(_) => return (all, End::Error),
            }
        }
    }
    match incoming.at_end(&mut message) {
        Ok(true) => all.push(message),
        Ok(false) => {}
        Err(_) => return (all, End::Error),
    }
    (all, if incoming.is_unterminated() { End::Unterminated } else { End::Whole })
}

/// The stream in parts; their lengths are `cuts`, again and again.
struct Parts<'a> {
    bytes: &'a [u8],
    cuts: &'a [u8],
    next: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        let cut = self.cuts.get(self.next % self.cuts.len().max(1));
        let length = cut.map_or(1, |cut| usize::from(*cut) + 1);
        self.next += 1;
        let (part, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        Some(part)
    }
}
