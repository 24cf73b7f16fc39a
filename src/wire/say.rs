//! The commentary: what a role asks of the kernel, in a learner's words, on stderr; and all
//! else that goes there.
//!
//! Calls of a kind that come fast are summed up ([`Commentary`]). On a terminal a line is folded at
//! its width; elsewhere each is one line. When the commentary is off (`-q`), it costs one
//! branch.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colored::{Color, ColoredString, Colorize};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::getpgrp;
use rustix::stdio::{stderr, stdin};
use rustix::termios::tcgetpgrp;
use textwrap::core::display_width;

use super::transfer::write_all;
use super::visible::{hides, quoted, visible, visible_but};
use crate::errors;

mod commentary;
mod fold;

pub use commentary::{Commentary, name_all};
pub use fold::{columns, fold, fold_command, hanging};

static ON: AtomicBool = AtomicBool::new(false);
static ROLE: Mutex<(Cow<str>, Color)> =
    Mutex::new((Cow::Borrowed("ipclab"), Color::White));

/// The colours of roles, by the number of their side's (`Side::colour`).
pub const COLOURS: [Color; 3] = [Color::Cyan, Color::Yellow, Color::Green];

/// Turns the commentary on, for the role `name`, in that colour.
pub fn start(name: &'static str, colour: usize) {
    rename(name, colour);
    ON.store(true, Ordering::Relaxed);
}

/// From now on this process plays the role `name`: what a forked child says first, and a
/// rank once it knows its number.
pub fn rename(name: impl Into<Cow<'static, str>>, colour: usize) {
    if let Ok(mut role) = ROLE.lock() {
        *role = (name.into(), COLOURS[colour % COLOURS.len()]);
    }
}

/// Whether the commentary is on.
#[inline]
pub fn on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Says one line, as the role that this process plays. [`say!`](crate::say!) first looks
/// whether the commentary is on.
pub fn line(text: fmt::Arguments<'_>) {
    styled(&visible_but(text.to_string(), "\n\t"), fold, |text| text.normal());
}

/// Says `text`, in lines as `fold` makes them for a terminal.
fn styled(
    text: &str,
    fold: impl Fn(&str, usize, usize, usize) -> Vec<String>,
    style: fn(&str) -> ColoredString,
) {
    let Ok(role) = ROLE.lock() else { return };
    let (name, colour) = &*role;
    let prefix = format!("{name:<8} │");
    let indent = display_width(&prefix) + 1;
    let lines = match columns(stderr()) {
        Some(width) => fold(text, indent, indent, width),
        None => vec![text.to_owned()],
    };
    // One write(2), so that the lines of two processes do not mix.
    let mut all = format!("{} ", prefix.color(*colour));
    for (number, line) in lines.iter().enumerate() {
        let blanks = if number == 0 { 0 } else { indent };
        all += &format!("{:blanks$}{}\n", "", style(line));
    }
    tell(&all);
}

/// Writes `text` to standard error, commentary or not. Nothing depends on it: what cannot
/// be written is left out.
pub fn tell(text: &str) {
    let _ = write_all(stderr(), text.as_bytes());
}

/// Tells of an error in one line, commentary or not.
pub fn complain(error: &anyhow::Error) {
    if !errors::is_reported(error) {
        const NAME: &str = "ipclab: ";
        let line = format!("{NAME}{}", errors::line(error));
        let line = match columns(stderr()) {
            Some(width) => hanging(&line, 0, NAME.len(), width),
            None => line,
        };
        tell(&(line + "\n"));
    }
}

/// Says a line of commentary: `say!("open({path}, O_RDONLY) = {fd}")`.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        if $crate::say::on() {
            $crate::say::line(format_args!($($text)*));
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

/// Says what a server waits for; and where no peer is at one of its `listeners` within a moment,
/// the command that starts such a peer. Peers that wait for a server already are there by then
/// ([`RetryDelay`](super::address::RetryDelay)).
pub fn waiting_at(what: impl fmt::Display, listeners: &[(&dyn AsFd, &str)]) {
    /// Longer than the longest pause between two attempts to connect.
    const MOMENT: Duration = Duration::from_millis(150);
    if !on() {
        return;
    }
    line(format_args!("{what}"));
    if THE_OTHER_COMES.load(Ordering::Relaxed) {
        return;
    }
    let until = Instant::now() + MOMENT;
    let mut commands: Vec<&str> =
        listeners.iter().map(|(_, command)| *command).collect();
    commands.dedup();
    for command in commands {
        let its = listeners.iter().filter(|(_, other)| *other == command);
        let mut its: Vec<PollFd<'_>> = its
            .map(|(listener, _)| PollFd::new(listener.as_fd(), PollFlags::POLLIN))
            .collect();
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if !matches!(poll(&mut its, left), Ok(1..)) {
            start_the_other(command);
        }
    }
    ctrl_c_ends();
}

static THE_OTHER_COMES: AtomicBool = AtomicBool::new(false);

/// From now on no command that starts the other role is named: that role comes without it.
pub fn the_other_comes() {
    THE_OTHER_COMES.store(true, Ordering::Relaxed);
}

/// Says that the other role is there already, or else the command that starts it.
pub fn start_unless(there: bool, already: &str, command: &str) {
    match there {
        true => crate::say!("{already}"),
        false => start_the_other(command),
    }
}

/// Names the command that starts the role that is not there yet.
pub fn start_the_other(command: &str) {
    if on() && !THE_OTHER_COMES.load(Ordering::Relaxed) {
        command_line("start the other: ", command);
        ctrl_c_ends();
    }
}

/// Says what a command is for, and the command, folded so that a shell takes it as it is.
pub fn command_line(purpose: &str, command: &str) {
    styled(
        &visible(format!("{purpose}{command}")),
        |text, first, rest, width| {
            let command = text.strip_prefix(purpose).unwrap_or(text);
            let mut lines =
                fold_command(command, first + purpose.len(), rest, width);
            lines[0] = format!("{purpose}{}", lines[0]).trim_end().into();
            lines
        },
        |text| text.bold(),
    );
}

/// Says once, on a terminal, that Ctrl-C ends this role: where the terminal would send the
/// signal to us, and not to another job.
pub fn ctrl_c_ends() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if on()
        && stderr().is_terminal()
        && tcgetpgrp(stderr()).is_ok_and(|group| group == getpgrp())
        && !SAID.swap(true, Ordering::Relaxed)
    {
        line(format_args!("Ctrl-C ends this"));
    }
}

/// Whether a user types what we read, and is told what to type.
pub fn somebody_types() -> bool {
    on() && stdin().is_terminal()
}

/// Says how to type, and how to end, when a user types what we read.
pub fn typing(whole: bool) {
    if somebody_types() {
        line(format_args!(
            "{}",
            match whole {
                true => "type a message and Enter; Ctrl-D ends",
                false =>
                    "type; each Enter sends what you typed, as it is; Ctrl-D ends",
            }
        ));
    }
}

/// A number with its thousands set apart: `65,536`.
///
/// ```
/// assert_eq!(ipclab_wire::say::grouped(65536), "65,536");
/// ```
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What was moved, as text between quotes: about the first 24 columns of it. What is no text,
/// and what a person must not see as it is, is escaped. Nothing is cut within a character.
///
/// ```
/// use ipclab_wire::say::bytes;
/// assert_eq!(bytes(b"hello\n"), r#""hello\n""#);
/// assert_eq!(bytes("你好\n".as_bytes()), r#""你好\n""#);
/// assert_eq!(bytes(b"\xe4\xbd"), r#""\xe4\xbd""#);
/// ```
pub fn bytes(bytes: &[u8]) -> String {
    /// So many columns are shown, an escape counted as one, and never more bytes than that.
    const COLUMNS: usize = 24;
    const BYTES: usize = 4 * COLUMNS;
    let (mut shown, mut columns) = (0, 0);
    'all: for chunk in bytes[..bytes.len().min(BYTES + 4)].utf8_chunks() {
        for c in chunk.valid().chars() {
            columns +=
                if hides(c) { 1 } else { display_width(c.encode_utf8(&mut [0; 4])) };
            if columns > COLUMNS || shown + c.len_utf8() > BYTES {
                break 'all;
            }
            shown += c.len_utf8();
        }
        let others = chunk.invalid().len().min(COLUMNS - columns);
        (shown, columns) = (shown + others, columns + others);
        if others < chunk.invalid().len() {
            break;
        }
    }
    let more = if bytes.len() > shown { "…" } else { "" };
    format!("{}{more}", quoted(&bytes[..shown]))
}

/// As [`bytes`], and how many there are: the two arguments of write(2). Where a character is
/// not a byte, that says what is counted.
///
/// ```
/// use ipclab_wire::say::data;
/// assert_eq!(data(b"hello\n"), r#""hello\n", 6"#);
/// assert_eq!(data("你好\n".as_bytes()), r#""你好\n", 7 bytes"#);
/// ```
pub fn data(all: &[u8]) -> String {
    let (shown, count) = (bytes(all), all.len());
    let unit = if shown.trim_end_matches('…').is_ascii() { "" } else { " bytes" };
    format!("{shown}, {count}{unit}")
}

/// `1 byte`, `2 bytes`, `65,536 bytes`.
pub fn size(bytes: usize) -> String {
    count(bytes as u64, "byte")
}

/// `1 message`, `65,536 messages`: how many there are, and the noun's number.
///
/// ```
/// use ipclab_wire::say::count;
/// assert_eq!(count(0, "message"), "0 messages");
/// assert_eq!(count(1, "message"), "1 message");
/// assert_eq!(count(65_536, "process"), "65,536 processes");
/// ```
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {}", grouped(number), plural(number, noun))
}

/// The noun for so many: `message`, `messages`.
pub fn plural(number: u64, noun: &str) -> String {
    let end = if noun.ends_with('s') { "es" } else { "s" };
    format!("{noun}{}", if number == 1 { "" } else { end })
}
