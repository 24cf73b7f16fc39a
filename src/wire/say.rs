//! The commentary: what a role asks of the kernel, in a learner's words, on stderr; and all
//! else that goes there.
//!
//! The first three calls of a kind are named as they happen, the rest are summed up at
//! the end. When it is off (`-q`), it costs one branch.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use colored::{Color, ColoredString, Colorize};
use rustix::stdio::stderr;

use super::payload::write_all;
use super::visible::{visible, visible_but};
use crate::errors;

static ON: AtomicBool = AtomicBool::new(false);
static ROLE: Mutex<(Cow<str>, Color)> =
    Mutex::new((Cow::Borrowed("ipclab"), Color::White));

/// The two or three colours of a chapter's roles, by their place in its row.
pub const COLOURS: [Color; 3] = [Color::Cyan, Color::Yellow, Color::Green];

/// Turns the commentary on, for the role `name`, the `place`th of its chapter.
pub fn start(name: &'static str, place: usize) {
    rename(name, place);
    ON.store(true, Ordering::Relaxed);
}

/// From now on this process plays the role `name`: what a forked child says first, and a
/// rank once it knows its number.
pub fn rename(name: impl Into<Cow<'static, str>>, place: usize) {
    if let Ok(mut role) = ROLE.lock() {
        *role = (name.into(), COLOURS[place % COLOURS.len()]);
    }
}

/// Whether anyone listens.
#[inline]
pub fn on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Says one line, as the role that this process plays. [`say!`](crate::say) first looks
/// whether the commentary is on.
pub fn line(text: fmt::Arguments<'_>) {
    styled(visible_but(text.to_string(), "\n\t").normal());
}

fn styled(text: ColoredString) {
    let Ok(role) = ROLE.lock() else { return };
    let (name, colour) = &*role;
    // One write(2) a line, so that the lines of two processes do not mix.
    let line = format!("{} {text}\n", format!("{name:<8} │").color(*colour));
    tell(&line);
}

/// Writes `text` to standard error, commentary or not. Nothing depends on it: what cannot
/// be written is left out.
pub fn tell(text: &str) {
    let _ = write_all(stderr(), text.as_bytes());
}

/// Tells of an error in one line, commentary or not.
pub fn complain(error: &anyhow::Error) {
    if !errors::is_told(error) {
        tell(&format!("ipclab: {}\n", errors::line(error)));
    }
}

/// Says a line of commentary: `say!("open({path}, O_RDONLY) = {fd}")`.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        if $crate::wire::say::on() {
            $crate::wire::say::line(format_args!($($text)*));
        }
    };
}

/// Says what this role waits for, and the command that ends the waiting.
pub fn waiting(what: impl fmt::Display, command: &str) {
    if on() {
        line(format_args!("{what}"));
        start_the_other(command);
    }
}

/// Names the command that starts the role that is not there yet.
pub fn start_the_other(command: &str) {
    if on() {
        styled(visible(format!("start the other: {command}")).bold());
    }
}

/// Counts the calls of one kind; names the first three, and sums up when dropped.
#[derive(Debug)]
pub struct Tally {
    call: &'static str,
    who: String,
    unit: &'static str,
    calls: u64,
    named: u64,
    /// How many are named one by one.
    most: u64,
    bytes: u64,
}

/// How many calls of a kind are named one by one, unless its tally says otherwise.
const NAMED: u64 = 3;

impl Tally {
    /// A tally of the system call named `call`.
    pub const fn of(call: &'static str) -> Tally {
        Tally {
            call,
            unit: " calls",
            who: String::new(),
            calls: 0,
            named: 0,
            most: NAMED,
            bytes: 0,
        }
    }

    /// A tally of steps that are no system calls.
    pub const fn steps(step: &'static str) -> Tally {
        let who = String::new();
        Tally {
            call: step,
            unit: "",
            who,
            calls: 0,
            named: 0,
            most: NAMED,
            bytes: 0,
        }
    }

    /// The same tally, whose lines begin with whose calls they are: a server has one for
    /// each client.
    #[must_use]
    pub fn with(mut self, who: &str) -> Tally {
        if on() {
            self.who = format!("{who}: ");
        }
        self
    }

    /// The same tally, which names `calls` calls one by one instead of three.
    #[must_use]
    pub const fn naming(mut self, calls: u64) -> Tally {
        self.most = calls;
        self
    }

    /// One more call, that moved `bytes`; `text` is asked only if it will be said.
    #[inline]
    pub fn call<D: fmt::Display>(&mut self, bytes: usize, text: impl FnOnce() -> D) {
        if on() {
            self.count(bytes, text);
        }
    }

    /// Cold: what makes the texts stays out of the way of the code that is timed.
    #[cold]
    fn count<D: fmt::Display>(&mut self, bytes: usize, text: impl FnOnce() -> D) {
        self.calls += 1;
        self.named += 1;
        self.bytes += bytes as u64;
        if self.named <= self.most {
            line(format_args!("{}{}", self.who, text()));
        } else if self.named == self.most + 1 {
            line(format_args!("{}{}: … and so on", self.who, self.call));
        }
    }

    /// One more call, which is named however many came before it: a goodbye.
    pub fn special<D: fmt::Display>(
        &mut self,
        bytes: usize,
        text: impl FnOnce() -> D,
    ) {
        if on() {
            self.calls += 1;
            self.bytes += bytes as u64;
            line(format_args!("{}{}", self.who, text()));
        }
    }

    /// The last call moved `bytes` more: what is only known once it has returned.
    pub fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.named > self.most {
            let Tally { who, call, unit, .. } = self;
            let calls = grouped(self.calls);
            let moved = match self.bytes {
                0 => String::new(),
                bytes => format!(", {} bytes", grouped(bytes)),
            };
            line(format_args!("{who}{call}: {calls}{unit} in all{moved}"));
        }
    }
}

/// A number with its thousands set apart: `65,536`.
///
/// ```
/// assert_eq!(ipclab::wire::say::grouped(65536), "65,536");
/// ```
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as C would write them, cut after 24: `"hello\n"`.
///
/// ```
/// assert_eq!(ipclab::wire::say::bytes(b"hello\n"), r#""hello\n""#);
/// ```
pub fn bytes(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// `1 byte`, `2 bytes`, `65,536 bytes`.
pub fn size(bytes: usize) -> String {
    format!("{} byte{}", grouped(bytes as u64), if bytes == 1 { "" } else { "s" })
}
