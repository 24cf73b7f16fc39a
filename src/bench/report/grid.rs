//! Cells in columns: aligned by how wide the characters are, coloured when wanted.

use colored::{ColoredString, Colorize};
use textwrap::core::display_width;

/// How a cell is painted, where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Faint,
    Warning,
    Bad,
}

/// One text of a line.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: text.into(), tone }
    }

    pub(super) fn plain(text: impl Into<String>) -> Cell {
        Cell::new(text, Tone::Plain)
    }

    pub(super) fn empty() -> Cell {
        Cell::plain("")
    }
}

/// To which side a column's cells are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Columns with their heads, and lines of cells.
#[derive(Debug, Default)]
pub(super) struct Grid {
    columns: Vec<(String, Side)>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    cells: Vec<Cell>,
    /// What goes on to the right of the cells, whatever the columns are.
    tail: Option<Cell>,
}

/// The columns between two cells.
const GAP: usize = 2;

impl Grid {
    pub(super) fn column(&mut self, head: impl Into<String>, side: Side) {
        self.columns.push((head.into(), side));
    }

    pub(super) fn line(&mut self, cells: Vec<Cell>) {
        self.lines.push(Line { cells, tail: None });
    }

    /// A line that ends in words instead of cells; they are wrapped where they begin.
    pub(super) fn words(&mut self, cells: Vec<Cell>, tail: Cell) {
        self.lines.push(Line { cells, tail: Some(tail) });
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |(index, (head, _)): (usize, &(String, Side))| {
            let cells = self.lines.iter().filter_map(|line| line.cells.get(index));
            let cells = cells.map(|cell| display_width(&cell.text));
            cells.fold(display_width(head), usize::max)
        };
        self.columns.iter().enumerate().map(widest).collect()
    }

    /// How wide the columns are together.
    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    /// All lines, each ended; words are kept within `width`.
    pub(super) fn text(&self, width: usize) -> String {
        let widths = self.widths();
        let mut out = String::new();
        if self.columns.iter().any(|(head, _)| !head.is_empty()) {
            let heads = self.columns.iter();
            let heads = heads.map(|(head, _)| Cell::new(head, Tone::Faint));
            self.put(&mut out, &heads.collect::<Vec<_>>(), &widths);
            out.push('\n');
        }
        for line in &self.lines {
            let at = self.put(&mut out, &line.cells, &widths);
            if let Some(tail) = &line.tail {
                let at = if at == 0 { 0 } else { at + GAP };
                let begun = out.rsplit('\n').next().map_or(0, display_width);
                out.push_str(&" ".repeat(at.saturating_sub(begun)));
                out.push_str(&wrapped(tail, at, width));
            }
            out.push('\n');
        }
        out
    }

    /// Puts the cells into their columns; returns where the last of them ends.
    fn put(&self, out: &mut String, cells: &[Cell], widths: &[usize]) -> usize {
        let last = cells.iter().rposition(|cell| !cell.text.is_empty());
        for (index, cell) in cells.iter().enumerate() {
            if last.is_none_or(|last| index > last) {
                break;
            }
            let blank =
                " ".repeat(widths[index].saturating_sub(display_width(&cell.text)));
            let painted = paint(&cell.text, cell.tone);
            let gap = if index > 0 { " ".repeat(GAP) } else { String::new() };
            match self.columns[index].1 {
                Side::Right => *out += &format!("{gap}{blank}{painted}"),
                // Nothing is to stand at the end of a line.
                Side::Left if Some(index) == last => {
                    *out += &format!("{gap}{painted}")
                }
                Side::Left => *out += &format!("{gap}{painted}{blank}"),
            }
        }
        let gaps = GAP * cells.len().saturating_sub(1);
        widths[..cells.len()].iter().sum::<usize>() + gaps
    }
}

/// The words in lines that begin at column `at` and end before `width`.
fn wrapped(words: &Cell, at: usize, width: usize) -> String {
    const LEAST: usize = 24;
    let lines = textwrap::wrap(&words.text, width.saturating_sub(at).max(LEAST));
    let painted = lines.iter().map(|line| paint(line, words.tone).to_string());
    painted.collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(at)))
}

/// A text in its tone's colour; plain where no colour is wanted.
pub(super) fn paint(text: &str, tone: Tone) -> ColoredString {
    match tone {
        Tone::Plain => text.normal(),
        Tone::Strong => text.bold(),
        Tone::Faint => text.dimmed(),
        Tone::Warning => text.yellow(),
        Tone::Bad => text.red(),
    }
}
