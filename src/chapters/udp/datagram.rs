//! What is in a datagram of this chapter: `NUMBER LENGTH MESSAGE`, in text. By its number a
//! message that comes twice is known, by its length one that was cut. UDP itself has neither.

use std::io::Write;

use anyhow::{Result, bail};

use wire::frame::{Framing, FramingOptions};
use wire::say;

/// The most that a datagram of IPv4 carries: 65,535 bytes, less 20 for IP and 8 for UDP.
const MOST: usize = 65_507;

/// The largest message: a number takes at most 10 digits, and a length 5.
pub const LARGEST: usize = MOST - "4294967295 65490 ".len();

/// Room for any datagram, so that none is ever cut: IPv6 carries 20 bytes more.
pub(super) const ROOM: usize = 1 << 16;

// ANCHOR: datagram
/// Replaces `datagram` by one that carries `message` under `number`.
pub(super) fn pack(number: u32, message: &[u8], datagram: &mut Vec<u8>) {
    datagram.clear();
    let _ = write!(datagram, "{number} {} ", message.len()); // a Vec takes all
    datagram.extend_from_slice(message);
}

/// The number and the message in `datagram`.
///
/// # Errors
/// Why it has none: anybody may send anything to a port.
pub(super) fn unpack(datagram: &[u8]) -> Result<(u32, &[u8])> {
    let mut parts = datagram.splitn(3, |byte| *byte == b' ');
    let (Some(number), Some(length), Some(message)) =
        (digits(parts.next()), digits(parts.next()), parts.next())
    else {
        bail!("it has no NUMBER LENGTH before the message");
    };
    if length as usize != message.len() {
        bail!("its LENGTH is {length}, and {} came", say::size(message.len()));
    }
    Ok((number, message))
}

fn digits(part: Option<&[u8]>) -> Option<u32> {
    let part = part.filter(|part| part.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(part).ok()?.parse().ok()
}
// ANCHOR_END: datagram

/// Refuses a framing that a datagram does not need.
pub(super) fn check(stream: &FramingOptions) -> Result<()> {
    if stream.framing == Framing::Length {
        return Err(wire::errors::usage(
            "--framing is for a stream of bytes: a datagram has an end of its own",
        ));
    }
    Ok(())
}

/// The largest message under these options, in bytes.
pub(super) fn largest(stream: &FramingOptions) -> usize {
    stream.largest().min(LARGEST)
}

/// What sets [`largest`], and how to raise it.
pub(super) fn limit(stream: &FramingOptions) -> String {
    if largest(stream) < LARGEST {
        return format!("--max-message is {}; raise it there", stream.max_message);
    }
    format!(
        "a datagram of IPv4 carries {}, and NUMBER and LENGTH take some of them",
        say::size(MOST)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut datagram = Vec::new();
        for (number, message) in
            [(1, &b""[..]), (7, b"hello"), (u32::MAX, b" 1 2 "), (0, &[0xff, 0])]
        {
            pack(number, message, &mut datagram);
            assert_eq!(unpack(&datagram).unwrap(), (number, message));
        }
        pack(u32::MAX, &vec![b'x'; LARGEST], &mut datagram);
        assert_eq!(datagram.len(), MOST);
    }

    #[test]
    fn what_anybody_may_send_is_refused() {
        for wrong in [
            "",
            " ",
            "  ",
            "1",
            "1 ",
            "1 0",
            "a 0 ",
            "1 b ",
            "1 5 hell",
            "1 5 hello!",
            "-1 0 ",
            "+1 0 ",
            "1 -0 ",
            "4294967296 0 ",
            " 1 0 ",
            "1  0 ",
        ] {
            assert!(unpack(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        let cut = unpack(b"1 5 hel").unwrap_err().to_string();
        assert_eq!(cut, "its LENGTH is 5, and 3 bytes came");
    }
}
