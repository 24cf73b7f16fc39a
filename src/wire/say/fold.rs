//! Lines for a terminal: folded at its width, the rest under the beginning of the text.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use textwrap::core::display_width;

/// The width of a terminal that does not report it.
const USUAL: usize = 80;

/// Lines of more columns are hard to read, and of fewer nothing can be shown.
const SENSIBLE: std::ops::RangeInclusive<usize> = 40..=200;

/// How many columns a line of `stream` may have; `None` where it is no terminal, and lines
/// are as long as they are. `COLUMNS` can make them shorter than the terminal is wide.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    let stream = stream.as_fd();
    if !stream.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    let said =
        std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let known = [size, said].into_iter().flatten().filter(|columns| *columns > 0);
    Some(known.min().unwrap_or(USUAL).clamp(*SENSIBLE.start(), *SENSIBLE.end()))
}

/// The lines of `text` on a terminal of `width` columns, of which the first line may use all
/// but `first`, and the others all but `rest`.
///
/// ```
/// use ipclab_wire::say::fold;
/// let lines = fold("open(…/fifo, O_RDONLY) sleeps until", 4, 4, 30);
/// assert_eq!(lines, ["open(…/fifo, O_RDONLY)", "sleeps until"]);
/// ```
pub fn fold(text: &str, first: usize, rest: usize, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut room = width.saturating_sub(first);
    for line in text.split('\n') {
        let mut line = line.replace('\t', "    ");
        loop {
            let end = end_of_line(&line, room);
            lines.push(line[..end].trim_end().to_owned());
            room = width.saturating_sub(rest);
            line.drain(..end);
            if line.is_empty() {
                break;
            }
        }
    }
    lines
}

/// The lines that [`fold`] makes, as they are written: each but the first behind `rest` blanks.
pub fn hanging(text: &str, first: usize, rest: usize, width: usize) -> String {
    fold(text, first, rest, width).join(&format!("\n{:rest$}", ""))
}

/// How many bytes of `text` go on a line of `room` columns, with the blanks after them: up to
/// the last blank; else, of a word that is too long, up to a slash or comma in the second half,
/// or as many whole characters as there is room for.
fn end_of_line(text: &str, room: usize) -> usize {
    let (mut columns, mut end) = (0, 0);
    let (mut blank, mut mark) = (None, None);
    let mut left = text;
    while !left.is_empty() {
        let unit = unit_of(left);
        if left.starts_with(' ') {
            end += 1;
            columns += 1;
            // A blank at the end of a line takes no room.
            if columns <= room + 1 {
                blank = Some(end);
            }
        } else {
            let wide = display_width(&left[..unit]);
            if columns + wide > room && columns > 0 {
                let whole = blank.or(mark).unwrap_or(end);
                let blanks = text[whole..].len()
                    - text[whole..].trim_start_matches(' ').len();
                return whole + blanks;
            }
            columns += wide;
            end += unit;
            if left.starts_with(['/', ',']) && columns > room / 2 {
                mark = Some(end);
            }
        }
        left = &text[end..];
    }
    text.len()
}

/// How many bytes at the beginning of `text` stay together: a character with what is joined
/// to it, or an escape (`\\n`, `\\xff`, `\\u{202e}`).
fn unit_of(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, c)) = chars.next() else { return 0 };
    if c == '\\' {
        let rest = &text[1..];
        let escape = match rest.as_bytes() {
            [b'x', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 3,
            [b'u', b'{', ..] => rest.find('}').map_or(2, |end| end + 1),
            _ => rest.chars().next().map_or(0, char::len_utf8),
        };
        return 1 + escape;
    }
    const JOINER: char = '\u{200d}';
    let mut before = c;
    for (at, c) in chars {
        let joins = before == JOINER || c == JOINER;
        if !joins && display_width(c.encode_utf8(&mut [0; 4])) > 0 {
            return at;
        }
        before = c;
    }
    text.len()
}

/// The lines of a shell command, as [`fold`], broken only between its words, with a backslash
/// at the end of each line but the last: what is copied from there is still the command. A
/// word that is too long is left to the terminal, which joins its halves again.
///
/// ```
/// use ipclab_wire::say::fold_command;
/// let lines = fold_command("ipclab fifo sender --at 'a b' hello", 5, 5, 35);
/// assert_eq!(lines, ["ipclab fifo sender --at \\", "'a b' hello"]);
/// ```
pub fn fold_command(
    command: &str,
    first: usize,
    rest: usize,
    width: usize,
) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width.saturating_sub(first);
    let mut quoted = false;
    let mut words = command
        .split(|c: char| {
            quoted ^= c == '\'';
            c == ' ' && !quoted
        })
        .peekable();
    while let Some(word) = words.next() {
        let only = lines.len() == 1;
        let line = lines.last_mut().expect("there is one");
        let blank = usize::from(!line.is_empty());
        let backslash = if words.peek().is_some() { " \\".len() } else { 0 };
        let wide = display_width(line) + blank + display_width(word) + backslash;
        if wide > room && only && line.is_empty() && rest < first {
            room = width.saturating_sub(rest);
            lines.push(word.to_owned()); // all of it on lines of its own
        } else if wide <= room || line.is_empty() {
            *line += &" "[..blank];
            *line += word;
        } else {
            *line += " \\";
            lines.push(word.to_owned());
            room = width.saturating_sub(rest);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_is_lost() {
        let texts = [
            "open(/run/user/1000/ipclab/fifo, O_RDONLY) sleeps until a writer opens it too",
            "write(\"你好,世界,你好,世界,你好世界你好世界你好世界\\n\", 64 bytes)",
            r"read() = 24: \xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\u{202e}\u{e0001}\n\n\n\n\n\n",
            "👩\u{200d}🔬👩\u{200d}🔬👩\u{200d}🔬👩\u{200d}🔬👩\u{200d}🔬e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            "/a/very/long/path/without/any/blank/that/must/be/broken/somewhere/or/other/fifo",
        ];
        for text in texts {
            for width in 20..=200 {
                let lines = fold(text, 11, 11, width);
                let fits = |line: &String| {
                    let whole = unit_of(line) == line.len();
                    11 + display_width(line) <= width || whole
                };
                assert!(lines.iter().all(fits), "{width}: {lines:#?}");
                let without = |text: &str| text.replace(' ', "");
                assert_eq!(without(&lines.concat()), without(text));
            }
        }
    }

    #[test]
    fn neither_a_character_nor_an_escape_is_cut() {
        for width in 1..40 {
            for line in fold(r"\xe4\xbd\u{202e}\n", 0, 0, width) {
                let whole = [r"\xe4", r"\xbd", r"\u{202e}", r"\n"];
                let rest = whole
                    .iter()
                    .fold(line.clone(), |line, unit| line.replace(unit, ""));
                assert_eq!(rest, "", "{width}: {line}");
            }
            for line in fold("e\u{301}👩\u{200d}🔬e\u{301}", 0, 0, width) {
                assert!(!line.starts_with(['\u{301}', '\u{200d}']), "{line:?}");
                assert!(!line.ends_with('\u{200d}'), "{line:?}");
            }
        }
    }

    #[test]
    fn a_command_of_several_lines_is_the_same_words_to_a_shell() {
        let command =
            "IPCLAB_DIR='/tmp/a  b' ipclab tcp client --at 127.0.0.1:7777 hello";
        for width in 12..120 {
            let lines = fold_command(command, 28, 11, width);
            let typed =
                lines.join("\n           ").replace("IPCLAB_DIR=", "printf '%s\n' ");
            let typed =
                std::process::Command::new("sh").args(["-c", &typed]).output();
            let printed = String::from_utf8(typed.unwrap().stdout).unwrap();
            let words = [
                "/tmp/a  b",
                "ipclab",
                "tcp",
                "client",
                "--at",
                "127.0.0.1:7777",
                "hello",
            ];
            assert_eq!(printed.lines().collect::<Vec<_>>(), words, "{lines:#?}");
        }
    }
}
