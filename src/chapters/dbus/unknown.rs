//! The specification says to ignore what is unknown: a peer of a later version may send it.
//! zbus takes some of it for junk, so it is removed before.
//!
//! That is: messages of an unknown type, unknown fields of a header, and without a bus also a
//! SENDER that is no unique name: only a bus gives names. (Unknown flags zbus ignores
//! itself. The type 0 and the field 0 are errors, and stay so.)

use zbus::Variant;
use zbus::names::UniqueName;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, LE};

/// The fixed part of a message's header, in bytes; its last four are the length of the rest.
const FIXED: usize = 16;

/// The highest message type that there is: SIGNAL.
const LAST_TYPE: u8 = 4;

/// The highest code of a header field that there is, UNIX_FDS, and that of SENDER.
const LAST_FIELD: u8 = 9;
const SENDER: u8 = 7;

/// A whole message without the header fields that are unknown; `None` if its type is unknown,
/// so that all of it is to be ignored. What is no message stays as it is: zbus refuses it.
pub(super) fn without_unknown(message: Vec<u8>) -> Option<Vec<u8>> {
    if message[1] > LAST_TYPE {
        return None;
    }
    Some(with_known_fields(&message).unwrap_or(message))
}

/// The message with the header fields that are known; `None` where all are, or where the
/// header is none.
fn with_known_fields(message: &[u8]) -> Option<Vec<u8>> {
    let little = message[0] == b'l';
    let length = message[FIXED - 4..FIXED].try_into().ok()?;
    let length =
        if little { u32::from_le_bytes(length) } else { u32::from_be_bytes(length) };
    let end = FIXED + length as usize;
    let header = message.get(..end)?;
    let context = Context::new(if little { LE } else { BE }, 0);
    let data = Data::new(header, context);
    let mut kept = header[..FIXED].to_vec();
    let mut at = FIXED;
    while at < end {
        let rest = data.slice(at..);
        let ((code, value), length): ((u8, Variant<'_>), usize) =
            rest.deserialize().ok()?;
        let is_known = code <= LAST_FIELD
            && (code != SENDER || UniqueName::try_from(value).is_ok());
        if is_known {
            // Each begins at a multiple of 8, so what it holds stays aligned.
            kept.resize(kept.len().next_multiple_of(8), 0);
            kept.extend_from_slice(header.get(at..at + length)?);
        }
        at = (at + length).next_multiple_of(8);
    }
    let length = (kept.len() - FIXED) as u32;
    if length as usize == end - FIXED {
        return None;
    }
    let bytes = if little { length.to_le_bytes() } else { length.to_be_bytes() };
    kept[FIXED - 4..FIXED].copy_from_slice(&bytes);
    kept.resize(kept.len().next_multiple_of(8), 0);
    kept.extend_from_slice(message.get(end.next_multiple_of(8)..)?);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message in one byte order: this type, these header fields, and a body of one string.
    fn message(order: u8, kind: u8, fields: &[(u8, &str, &[u8])]) -> Vec<u8> {
        let number = |n: usize| match order {
            b'l' => (n as u32).to_le_bytes(),
            _ => (n as u32).to_be_bytes(),
        };
        let text = |text: &[u8]| [&number(text.len()), text, b"\0"].concat();
        let mut array = Vec::new();
        for (code, signature, value) in fields {
            array.resize(array.len().next_multiple_of(8), 0);
            array.extend([*code, signature.len() as u8]);
            array.extend(signature.as_bytes());
            array.push(0);
            match *signature {
                "s" | "o" => {
                    array.resize(array.len().next_multiple_of(4), 0);
                    array.extend(text(value));
                }
                "g" => array.extend([&[value.len() as u8], *value, b"\0"].concat()),
                "t" => {
                    array.resize(array.len().next_multiple_of(8), 0);
                    array.extend(*value);
                }
                "a{sv}" => {
                    array.resize(array.len().next_multiple_of(4), 0);
                    array.extend(number(0));
                    array.resize(array.len().next_multiple_of(8), 0);
                }
                _ => array.extend(*value),
            }
        }
        let body = text(b"hello");
        let mut all = vec![order, kind, 0xF8, 1]; // with every unknown flag
        all.extend(number(body.len()));
        all.extend(number(7));
        all.extend(number(array.len()));
        all.extend(array);
        all.resize(all.len().next_multiple_of(8), 0);
        [all, body].concat()
    }

    const CALL: [(u8, &str, &[u8]); 4] = [
        (1, "o", b"/org/ipclab/Board"),
        (3, "s", b"Post"),
        (8, "g", b"s"),
        (7, "s", b":1.7"),
    ];

    #[test]
    fn what_is_unknown_is_taken_out_in_either_byte_order() {
        let unknown: [(u8, &str, &[u8]); 5] = [
            (200, "s", b"x"),
            (10, "t", b"12345678"),
            (255, "y", b"\x01"),
            (11, "a{sv}", b""),
            (7, "s", b"org.example.Peer"),
        ];
        for order in *b"lB" {
            let plain = message(order, 1, &CALL);
            assert_eq!(without_unknown(plain.clone()).unwrap(), plain);
            for (index, field) in
                (0..=CALL.len()).flat_map(|p| unknown.iter().map(move |f| (p, f)))
            {
                let mut fields = CALL.to_vec();
                fields.insert(index, *field);
                let found = without_unknown(message(order, 1, &fields)).unwrap();
                assert_eq!(found, plain, "{field:?} at {index}, {}", order as char);
            }
            for kind in [5, 9, 255] {
                assert_eq!(
                    without_unknown(message(order, kind, &CALL)),
                    None,
                    "type {kind}"
                );
            }
            // INVALID is no unknown type, and no unknown field.
            for invalid in
                [message(order, 0, &CALL), message(order, 1, &[(0, "s", b"x")])]
            {
                assert_eq!(without_unknown(invalid.clone()).unwrap(), invalid);
            }
        }
    }

    #[test]
    fn what_is_no_header_is_left_alone_wherever_it_is_cut() {
        let whole = message(b'l', 1, &[CALL[0], (200, "a{sv}", b""), CALL[1]]);
        for length in FIXED..whole.len() {
            let cut = whole[..length].to_vec();
            let _ = without_unknown(cut);
            let mut junk = whole.clone();
            junk[length] = 0xff;
            let _ = without_unknown(junk);
        }
    }
}
