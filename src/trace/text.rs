//! An event in words: as long as its lane allows.

use super::cell::{Cell, Part};
use super::decode::error_text;
use super::decode::signal_names::signal_name;
use super::event::{Call, End, Event, EventKind, Outcome, Piece};
use wire::visible::{quoted, visible};

/// How a character is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Not at all.
    Plain,
    /// A call's name.
    Name,
    /// What is added about a call.
    Faint,
    /// An error, or a signal.
    Bad,
    /// The number of an arrow.
    Mark,
}

/// The numbers of a cell's arrows that have no way: of those that end here, and of those that
/// begin here.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// `▶① `
    pub(super) before: String,
    /// ` ①▶`
    pub(super) after: String,
}

/// Characters with their colours.
pub(super) type Line = Vec<(char, Tone)>;

/// How much room is taken.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Every argument, as the kernel got it.
    full: bool,
    /// Descriptors with their whole name.
    long: bool,
    /// How many bytes of a buffer.
    bytes: usize,
}

/// The cell's part of an event in lines of up to `width` characters, between its marks.
pub(super) fn fit(
    event: &Event,
    cell: &Cell,
    marks: &Marks,
    full: bool,
    width: usize,
) -> Vec<Line> {
    const STYLES: [(bool, usize); 7] = [
        (true, 48),
        (true, 24),
        (false, 32),
        (false, 24),
        (false, 16),
        (false, 10),
        (false, 7),
    ];
    let mut best = Vec::new();
    for (long, bytes) in STYLES {
        let style = Style { full, long, bytes };
        let mut line = Words(Vec::new());
        line.add(&marks.before, Tone::Mark);
        line.0.extend(words(event, cell.part, cell.again, style));
        line.add(&marks.after, Tone::Mark);
        best = line.0;
        if best.len() <= width {
            return vec![best];
        }
    }
    wrap(&best, width)
}

/// The event's part in one line, however long.
pub(super) fn line(event: &Event, part: Part) -> String {
    let style = Style { full: true, long: true, bytes: 256 };
    words(event, part, 1, style).into_iter().map(|(c, _)| c).collect()
}

/// An argument in full.
pub(super) fn argument(piece: &Piece) -> String {
    piece_text(piece, Style { full: true, long: true, bytes: 4 * 256 })
}

fn wrap(line: &Line, width: usize) -> Vec<Line> {
    const INDENT: usize = 2;
    let mut lines = Vec::new();
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        let indent = if lines.is_empty() { 0 } else { INDENT };
        let room = width.saturating_sub(indent).max(1);
        let at = if rest.len() <= room {
            rest.len()
        } else {
            let breaks = || (room / 3 + 1..=room).rev();
            let next = |n: &usize| rest.get(*n + 1).map_or(' ', |(c, _)| *c);
            let result = |n: &usize| rest[*n].0 == ' ' && "=(…".contains(next(n));
            let comma = |n: &usize| rest[*n].0 == ' ' && rest[*n - 1].0 == ',';
            let inside =
                |n: &usize| rest[*n].0 == ' ' || "(|→".contains(rest[*n - 1].0);
            breaks()
                .find(result)
                .or_else(|| breaks().find(comma))
                .or_else(|| breaks().find(inside))
                .unwrap_or(room)
        };
        let mut line: Line = vec![(' ', Tone::Plain); indent];
        line.extend_from_slice(&rest[..at]);
        while line.last().is_some_and(|(c, _)| *c == ' ') {
            line.pop();
        }
        lines.push(line);
        rest = &rest[at..];
        while rest.first().is_some_and(|(c, _)| *c == ' ') {
            rest = &rest[1..];
        }
    }
    lines
}

fn words(event: &Event, part: Part, again: usize, style: Style) -> Line {
    let mut out = Words(Vec::new());
    match &event.what {
        EventKind::Starts => out.add("begins", Tone::Faint),
        EventKind::Ends(End::Status(0)) => out.add("ends", Tone::Faint),
        EventKind::Ends(End::Status(status)) => {
            out.add(&format!("ends with status {status}"), Tone::Bad);
        }
        EventKind::Ends(End::Signal(signal)) => {
            out.add(&format!("killed by {}", signal_name(*signal)), Tone::Bad);
        }
        EventKind::Signal { number, info } => {
            out.add(&signal_name(*number), Tone::Bad);
            if !info.is_empty() {
                out.add(&format!(" ({info})"), Tone::Faint);
            }
        }
        EventKind::Call(call) => {
            call_words(&mut out, event, call, part, again, style)
        }
    }
    out.0
}

struct Words(Line);

impl Words {
    fn add(&mut self, text: &str, tone: Tone) {
        self.0.extend(text.chars().map(|c| (c, tone)));
    }
}

fn call_words(
    out: &mut Words,
    event: &Event,
    call: &Call,
    part: Part,
    again: usize,
    style: Style,
) {
    let left_out = if style.full { &[] } else { left_out(&call.name) };
    if part == Part::Returns {
        out.add("…", Tone::Faint);
        for (index, piece) in call.args.iter().enumerate() {
            if call.out & 1 << index != 0 && !left_out.contains(&index) {
                let text = piece_text(piece, style);
                if text != "NULL" && call_returned(call) {
                    out.add(" ", Tone::Plain);
                    out.add(&text, Tone::Plain);
                }
            }
        }
    } else {
        out.add(&call.name, Tone::Name);
        out.add("(", Tone::Plain);
        let mut first = true;
        for (index, piece) in call.args.iter().enumerate() {
            if left_out.contains(&index) && !peeks(piece) {
                continue;
            }
            // What would have come out did not.
            let failed = !style.full && !matches!(call.result, Outcome::Value(..));
            let later =
                (part == Part::Begins || failed) && call.out & 1 << index != 0;
            let given = piece_text(piece, style);
            let text =
                if later && given != "NULL" { "…".to_owned() } else { given };
            if !style.full && ["NULL", "AT_FDCWD", ""].contains(&text.as_str()) {
                continue;
            }
            if !first {
                out.add(", ", Tone::Plain);
            }
            first = false;
            out.add(&text, Tone::Plain);
        }
        out.add(")", Tone::Plain);
    }
    if part == Part::Begins {
        out.add(" …sleeps", Tone::Faint);
        return;
    }
    if event.asleep {
        out.add(" asleep when it was ended", Tone::Bad);
    } else {
        result_words(out, call, style);
    }
    if again > 1 {
        out.add(&format!(" ×{again}"), Tone::Faint);
    }
    let time = || match event.took {
        short @ ..100_000 => format!("{} µs", short / 1000),
        long => format!("{:.1} ms", long as f64 / 1e6),
    };
    match part {
        Part::Returns => out.add(&format!(" (after {})", time()), Tone::Faint),
        _ if event.slept => out.add(&format!(" (slept {})", time()), Tone::Faint),
        _ => {}
    }
    if let Some(why) = event.doubt {
        out.add(&format!(" (no arrow: {why})"), Tone::Faint);
    }
}

/// Whether these flags leave the bytes where they are, for the next one to take.
fn peeks(piece: &Piece) -> bool {
    matches!(piece, Piece::Text(flags) if flags.contains("MSG_PEEK"))
}

fn call_returned(call: &Call) -> bool {
    matches!(call.result, Outcome::Value(value, ..) if value > 0 || call.out != 2)
}

fn result_words(out: &mut Words, call: &Call, style: Style) {
    match &call.result {
        Outcome::Never => out.add(" never returns", Tone::Faint),
        Outcome::Restart => out.add(" interrupted", Tone::Bad),
        Outcome::Error(number) => {
            out.add(&format!(" = {}", error_text(*number)), Tone::Bad)
        }
        Outcome::Value(value, piece, means) => {
            let shown = match piece {
                // poll's answer stands beside its number.
                Some(piece @ Piece::Group(..)) => {
                    format!(" = {value} {}", piece_text(piece, style))
                }
                Some(piece) => format!(" = {}", piece_text(piece, style)),
                None if *value == 0 && !style.full && says_nothing(&call.name) => {
                    String::new()
                }
                None => format!(" = {value}"),
            };
            out.add(&shown, Tone::Plain);
            if !means.is_empty() {
                out.add(&format!(" {means}"), Tone::Faint);
            }
        }
    }
}

/// Whether a result of 0 only means that nothing went wrong.
fn says_nothing(name: &str) -> bool {
    const COUNTS: [&str; 12] = [
        "read",
        "write",
        "recv",
        "send",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "msgrcv",
        "mq_timedreceive",
    ];
    !COUNTS.iter().any(|start| name.starts_with(start)) && !name.starts_with("futex")
}

/// Arguments that add nothing: sizes of what is shown, and the like.
fn left_out(name: &str) -> &'static [usize] {
    match name {
        "rt_sigaction" | "rt_sigprocmask" => &[2, 3],
        "rt_sigtimedwait" => &[2, 3],
        "rt_sigsuspend" | "rt_sigpending" | "poll" | "signalfd" => &[1],
        "ppoll" => &[1, 3, 4],
        "signalfd4" => &[2, 3],
        "bind" | "connect" => &[2],
        "accept" | "accept4" => &[1, 2, 3],
        "sendto" => &[3, 5],
        "recvfrom" => &[3, 5],
        "recvmsg" | "sendmsg" => &[2],
        "recvmmsg" | "sendmmsg" => &[2, 3],
        "setsockopt" | "getsockopt" => &[4],
        "epoll_pwait" | "epoll_pwait2" => &[4, 5],
        "epoll_wait" => &[2],
        "mmap" => &[0, 5],
        "wait4" | "readv" | "writev" => &[2],
        "preadv" | "pwritev" | "preadv2" | "pwritev2" => &[2, 4],
        "process_vm_readv" | "process_vm_writev" => &[2, 4, 5],
        "waitid" => &[4],
        "clone" => &[1, 2, 3, 4],
        "clone3" => &[1],
        "execve" => &[2],
        "execveat" => &[3],
        "futex" => &[4, 5],
        "pidfd_send_signal" => &[1, 3],
        "mq_timedreceive" | "mq_timedsend" => &[4],
        "semop" | "semtimedop" => &[2],
        "shmat" => &[1, 2],
        "fallocate" => &[1, 2],
        "socket" => &[2],
        "socketpair" => &[2],
        "pipe2" => &[1],
        "shmctl" | "msgctl" => &[2],
        "clock_nanosleep" => &[0, 1, 3],
        "nanosleep" => &[1],
        _ => &[],
    }
}

fn piece_text(piece: &Piece, style: Style) -> String {
    match piece {
        Piece::Text(text) if style.full => visible(text),
        Piece::Text(text) => visible(terse(text)),
        Piece::Bytes(bytes, whole) => bytes_text(bytes, *whole, style.bytes),
        Piece::Path(_, whole) if style.bytes > 256 => quoted(whole),
        Piece::Path(said, _) => quoted(said),
        Piece::Fd(number, Some(named)) => {
            let what = if style.long { &*named.long } else { named.short };
            format!("{number}<{}>", visible(what))
        }
        Piece::Fd(number, None) => number.to_string(),
        Piece::Group(open, parts, close) => {
            let mut parts: Vec<_> =
                parts.iter().map(|part| piece_text(part, style)).collect();
            parts.retain(|part| {
                style.full || !part.is_empty() && !part.starts_with("SI_")
            });
            format!("{open}{}{close}", parts.join(", "))
        }
    }
}

fn terse(text: &str) -> String {
    const FLAGS: [&str; 4] =
        ["O_CLOEXEC", "SOCK_CLOEXEC", "MSG_CMSG_CLOEXEC", "EPOLL_CLOEXEC"];
    // A program's own words, the arguments of an execve, stand in quotes.
    let flags = !text.starts_with('"');
    if flags && text.contains("CLONE_THREAD") {
        return "CLONE_THREAD|…".to_owned();
    }
    if flags && text.contains("CLONE_") {
        let kept = text.split('|').filter(|word| !word.ends_with("TID"));
        return kept.collect::<Vec<_>>().join("|");
    }
    if let Some(("value", value)) = text.split_once(' ') {
        // The text that a value carries means more than its number.
        let quoted = value.split_once(' ').map_or(value, |(_, quoted)| quoted);
        return format!("value {quoted}");
    }
    if flags && text.contains("MSG_PEEK") {
        return "MSG_PEEK".to_owned();
    }
    if !flags || !text.contains("CLOEXEC") {
        return text.to_owned();
    }
    let kept = text.split('|').filter(|word| !FLAGS.contains(word));
    kept.collect::<Vec<_>>().join("|")
}

/// The first bytes, as C would write them.
fn bytes_text(bytes: &[u8], whole: u64, most: usize) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for byte in bytes {
        let next = match byte {
            0 => "\\0".to_owned(),
            byte => byte.escape_ascii().to_string(),
        };
        if text.len() + next.len() > most {
            break;
        }
        text.push_str(&next);
        shown += 1;
    }
    let more = if shown < whole { "…" } else { "" };
    format!("\"{text}\"{more}")
}
