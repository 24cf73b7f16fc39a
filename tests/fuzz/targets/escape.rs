//! Strangers' bytes on their way to a terminal or into JSON: no control character is left
//! but newline and tab, nor what turns or hides text, and nothing else changes.

use super::{Payload, Style, escape};
use crate::visible::{self, hides};

/// A message.
pub(crate) fn run(message: &[u8]) {
    let mut once = Vec::new();
    escape(message, &mut once);
    let text = plain(&once);
    assert!(plain(message).is_none() || once == message, "{text:?}");
    let mut twice = Vec::new();
    escape(&once, &mut twice);
    assert_eq!(once, twice);
    for style in [Style::Lines, Style::Bytes, Style::Json] {
        for terminal in [true, false] {
            let mut payload = Payload::new(style).expect("standard output");
            payload.terminal = terminal;
            let shown = payload.text(message).to_vec();
            if terminal {
                assert!(plain(&shown).is_some(), "{style:?}: {shown:?}");
            }
            match style {
                Style::Bytes => assert!(terminal || shown == message),
                Style::Lines => {
                    assert!(terminal || shown == [message, b"\n"].concat())
                }
                Style::Json => same_in_json(message, &shown),
            }
        }
    }
    let shown = crate::say::bytes(message);
    assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
    let shown = visible::visible(message);
    assert!(!shown.chars().any(hides), "{shown:?}");
    assert_eq!(visible::visible(visible::text(message)), shown);
    let shown = visible::quoted(message);
    assert!(!shown.chars().any(hides), "{shown:?}");
}

/// The text that these bytes are, if a terminal may have it as it is.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(|c| !hides(c) || "\n\t".contains(c)).then_some(text)
}

fn same_in_json(message: &[u8], shown: &[u8]) {
    let line = shown.strip_suffix(b"\n").expect("it ends with a newline");
    assert!(!line.contains(&b'\n'), "one line");
    let object: serde_json::Value =
        serde_json::from_slice(line).expect("it is JSON");
    assert_eq!(object["length"], message.len());
    match object["text"].as_str() {
        Some(text) => assert_eq!(text.as_bytes(), message),
        None => assert_eq!(object["hex"], super::hex(message)),
    }
}
