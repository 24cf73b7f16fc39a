//! What others have named, as a person may see it: on a terminal, in a picture, in a line.
//!
//! A name, a path, a program's arguments, a message: others have chosen the bytes. An escape
//! character would reprogram the terminal, U+202E turn a line round, U+FEFF hide.

use std::fmt::Write;
use std::ops::RangeInclusive;

/// Characters that are not seen where they stand, besides the control characters: soft
/// hyphen, invisible spaces, the marks that turn the direction of text, line separators,
/// byte order mark, annotations, tags, and what no XML may hold. Joiners (U+200C, U+200D)
/// are a part of many scripts, and stay.
const HIDDEN: [RangeInclusive<char>; 9] = [
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{fff9}'..='\u{ffff}',
    '\u{e0000}'..='\u{e007f}',
];

/// The byte order mark, which HIDDEN's ranges leave out.
const MARK: char = '\u{feff}';

/// Where [`text`] keeps a byte that is no UTF-8: in the last private use area.
const BYTES: u32 = 0x10_fd00;

/// Whether this character must not reach a person as it is.
pub fn hides(c: char) -> bool {
    c.is_control()
        || c == MARK
        || kept_byte(c).is_some()
        || HIDDEN.iter().any(|range| range.contains(&c))
}

/// The bytes in one line, and without what could reprogram a terminal: `a\x1b[2J`.
///
/// ```
/// use ipclab_wire::visible::visible;
/// assert_eq!(visible("\x1b[2Jé\u{202e}\n"), "\\x1b[2Jé\\u{202e}\\n");
/// assert_eq!(visible(b"\xff"), "\\xff");
/// ```
pub fn visible(bytes: impl AsRef<[u8]>) -> String {
    visible_but(bytes, "")
}

/// As [`visible`], but these characters stay as they are.
pub fn visible_but(bytes: impl AsRef<[u8]>, kept: &str) -> String {
    let mut out = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            push(c, kept, &mut out);
        }
        chunk.invalid().iter().for_each(|byte| push_byte(*byte, &mut out));
    }
    out
}

/// As [`visible`], between two quotes.
pub fn quoted(bytes: impl AsRef<[u8]>) -> String {
    let text = text(bytes.as_ref());
    let mut out = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        push(c, "", &mut out);
    }
    out.push('"');
    out
}

/// The bytes as text that [`visible`] shows as it would the bytes: none is lost, so that two
/// names that differ stay different.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        let keep = |byte: &u8| char::from_u32(BYTES + u32::from(*byte));
        out.extend(chunk.invalid().iter().filter_map(keep));
    }
    out
}

/// A JSON value in one line; what [`hides`] is escaped as JSON has it, and nothing is lost.
pub fn json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match hides(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
            false => out.push(c),
        }
    }
    out
}

fn kept_byte(c: char) -> Option<u8> {
    let byte = u8::try_from(u32::from(c).checked_sub(BYTES)?).ok()?;
    (byte >= 0x80).then_some(byte)
}

fn push(c: char, kept: &str, out: &mut String) {
    match kept_byte(c) {
        _ if kept.contains(c) || !hides(c) => out.push(c),
        Some(byte) => push_byte(byte, out),
        None if c.is_ascii() => push_byte(c as u8, out),
        None => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

fn push_byte(byte: u8, out: &mut String) {
    match byte {
        0 => out.push_str("\\0"),
        byte => {
            let _ = write!(out, "{}", byte.escape_ascii());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reprograms_a_terminal_or_turns_a_line_is_left() {
        for c in ('\0'..=char::MAX).filter(|c| hides(*c)) {
            let shown = visible(c.to_string());
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{c:?}: {shown}");
            assert_eq!(visible(&shown), shown);
        }
        for c in
            ['\x1b', '\x07', '\r', '\n', '\x7f', '\u{9b}', '\u{202e}', '\u{2066}']
        {
            assert!(hides(c), "{c:?}");
        }
        assert!(['\u{feff}', '\u{2028}', '\u{ffff}'].into_iter().all(hides));
    }

    #[test]
    fn what_is_no_control_character_is_left_as_it_is() {
        let words = "naïve 你好 שלום 👩\u{200d}🔬 e\u{301} \\ \" \u{3000}";
        assert_eq!(visible(words), words);
        assert_eq!(visible_but("a\tb\n\x1b", "\t\n"), "a\tb\n\\x1b");
        assert_eq!(quoted("a\"b\\\n"), r#""a\"b\\\n""#);
    }

    #[test]
    fn json_is_the_same_value_and_hides_nothing() {
        let value =
            serde_json::json!({ "text": "\x1b\u{7f}\u{9b}\u{202e}\u{e0001}é\n\"" });
        let line = json(&value);
        assert!(!line.chars().any(hides), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }

    #[test]
    fn bytes_that_are_no_text_stay_different() {
        for name in [&b"\xff\xfe"[..], b"\x9b", b"a\xf0\x9f", b"\xc3("] {
            assert_eq!(visible(text(name)), visible(name));
            assert_eq!(quoted(text(name)), quoted(name));
        }
        assert_ne!(text(b"\xff"), text(b"\xfe"));
    }
}
