//! Prose on standard output: folded at the terminal's width, under the beginning of its text.
//! Where there is no terminal, a paragraph is one line, for programs that search it.

use std::fmt::Write;
use std::sync::OnceLock;

use anyhow::Result;
use rustix::stdio::stdout;
use textwrap::core::display_width;
use textwrap::{Options, WordSplitter, fill};

use wire::payload;
use wire::say::columns;

/// Longer lines are hard to read.
const READABLE: usize = 100;

/// More than any line has.
const ENDLESS: usize = u16::MAX as usize;

/// How many columns a line of standard output may have.
pub fn width() -> usize {
    columns(stdout()).unwrap_or(ENDLESS)
}

/// How many columns a line of `--help` has: clap's own lines have as many. Each start of the
/// program makes the examples of all commands, so the terminal is asked once.
pub fn help_width() -> usize {
    static WIDTH: OnceLock<usize> = OnceLock::new();
    *WIDTH.get_or_init(|| width().min(READABLE))
}

/// `text` as a paragraph whose lines begin with `first`, then with `rest`. No word is cut: a
/// command stays one that can be copied.
pub fn paragraph(width: usize, first: &str, rest: &str, text: &str) -> String {
    let width = if width == ENDLESS { width } else { width.min(READABLE) };
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    fill(text, options) + "\n"
}

/// Names and what they stand for, in two columns; a long name has a line of its own.
pub fn pairs<N: AsRef<str>>(width: usize, rows: &[(N, &str)]) -> String {
    let most = if width == ENDLESS { width } else { width / 2 };
    let wide = |name: &N| display_width(name.as_ref());
    let names = rows.iter().map(|(name, _)| wide(name));
    let column = names.filter(|wide| wide + 4 <= most).max().unwrap_or(0);
    let rest = " ".repeat(column + 4);
    let mut text = String::new();
    for (name, does) in rows {
        let shown = name.as_ref();
        if does.is_empty() {
            let _ = writeln!(text, "  {}", broken(width, shown));
        } else if wide(name) <= column {
            let blanks = " ".repeat(column - wide(name));
            text += &paragraph(width, &format!("  {shown}{blanks}  "), &rest, does);
        } else {
            let _ = writeln!(text, "  {}", broken(width, shown));
            text += &paragraph(width, &rest, &rest, does);
        }
    }
    text
}

/// A command line that a shell takes as one, broken at blanks where the line is full. One with
/// quotes stays whole: a blank in them is no place for it.
fn broken(width: usize, command: &str) -> String {
    if display_width(command) + 2 <= width || command.contains(['\'', '"', '\\']) {
        return command.to_owned();
    }
    // The indentation of the further lines, and the backslash.
    let options = Options::new(width.saturating_sub(6).max(1))
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::wrap(command, options).join(" \\\n    ")
}

/// The examples of a `--help`: command lines without the program's name, and what they do.
pub fn examples(rows: &[(&str, &str)]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(command, does)| (format!("ipclab {command}"), *does))
        .collect();
    format!("Examples:\n{}", pairs(help_width(), &rows))
}

/// Prints `text` on standard output; a reader that has left (`| head`) is a quiet end.
///
/// # Errors
/// ENOSPC and the like.
pub fn print(text: &str) -> Result<()> {
    payload::print(text.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn a_long_command_breaks_at_blanks_alone_and_stays_one() {
        let command =
            "ipclab exercise check fifo/receiver --stage halves --seed 81f3";
        let text = pairs(40, &[(command, "again")]);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        let joined = text.replace(" \\\n    ", " ");
        assert!(joined.starts_with(&format!("  {command}\n")), "{text}");
        assert!(pairs(80, &[(command, "again")]).contains(command));
        let quoted =
            "ipclab exercise check fifo/receiver -- './a program  with blanks'";
        assert!(pairs(40, &[(quoted, "again")]).contains(quoted));
    }
}
