//! What both sides agree on.

use super::number::Number;

// ANCHOR: wire
/// The largest message, in bytes. A limit of ours: each 4 bytes cost one queued signal.
pub(super) const LARGEST: usize = 65_536;
/// How many words may be on their way, at most.
pub(super) const WINDOW: u64 = 64;
/// In the place of a length: a sender asks for its first credit.
pub(super) const HELLO: i32 = -2;
/// In the place of a length: nothing more will come.
pub(super) const GOODBYE: i32 = -1;

/// The signal whose values are the words of messages: 34.
pub(super) fn word_signal() -> Number {
    Number::rtmin(0)
}

/// The signal by which the receiver answers: 35. Its value is a credit, the number of words that
/// may now be sent; 0 means that the receiver is taking another sender's words.
pub(super) fn credit_signal() -> Number {
    Number::rtmin(1)
}

// ANCHOR_END: wire

/// How a signal was sent: its si_code, by name.
pub(super) fn how(code: i32) -> String {
    match code {
        libc::SI_USER => "SI_USER (kill)".into(),
        libc::SI_QUEUE => "SI_QUEUE (sigqueue)".into(),
        libc::SI_TKILL => "SI_TKILL (tgkill)".into(),
        libc::SI_KERNEL => "SI_KERNEL".into(),
        code => format!("si_code {code}"),
    }
}
