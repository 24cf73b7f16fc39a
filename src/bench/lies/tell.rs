//! What a lie prints: the wrong figure, the right one, and how to tell them apart.

use std::fmt::Write;

use colored::{Color, Colorize};

use crate::model::Unit;
use crate::report::units;
use lab::prose;

/// The width of prose, in columns.
const PROSE: usize = 78;

/// By which method a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The one that is published.
    Published,
    /// The one that is right.
    Honest,
    /// What explains the difference.
    Beside,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Line {
    /// By which method.
    pub(super) by: Method,
    /// What was measured.
    pub(super) what: String,
    /// The figure, with its unit.
    pub(super) figure: String,
    /// How it was measured.
    pub(super) how: String,
}

/// A lie that was told.
#[derive(Debug)]
pub(super) struct LieReport {
    /// In a few words.
    pub(super) title: &'static str,
    /// The figures.
    pub(super) lines: Vec<Line>,
    /// By how much the published one is off, and what else was counted.
    pub(super) facts: Vec<String>,
    /// How the wrong figure came about.
    pub(super) why: &'static str,
    /// How to find it out.
    pub(super) see: &'static str,
}

impl Line {
    /// A line with a figure.
    pub(super) fn new(by: Method, what: &str, figure: String, how: &str) -> Line {
        Line { by, what: what.to_owned(), figure, how: how.to_owned() }
    }
}

/// A time in nanoseconds, in the unit that fits.
pub(super) fn time(nanoseconds: f64) -> String {
    units::figure(nanoseconds, Unit::Nanoseconds)
}

/// By what factor the greater of two figures exceeds the other.
pub(super) fn off(published: f64, honest: f64) -> String {
    let factor = (published / honest).max(honest / published);
    format!("off by a factor of {}", units::digits(factor))
}

impl LieReport {
    /// What cannot be shown on this machine, and why.
    pub(super) fn absent(title: &'static str, why: &str) -> LieReport {
        let facts = vec![format!("not shown: {why}")];
        LieReport { title, lines: Vec::new(), facts, why: "", see: "" }
    }

    /// As it is printed, in colour where that is wanted.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title.bold());
        let wide = |of: fn(&Line) -> &str| {
            let count = |line| of(line).chars().count();
            self.lines.iter().map(count).max().unwrap_or(0)
        };
        let (whats, figures) = (wide(|line| &line.what), wide(|line| &line.figure));
        for line in &self.lines {
            let (label, colour) = match line.by {
                Method::Published => ("as published:", Color::Red),
                Method::Honest => ("honest:", Color::Green),
                Method::Beside => ("beside:", Color::Yellow),
            };
            let figure = format!("{:>figures$}", line.figure).color(colour).bold();
            let label = format!("{label:<13}").color(colour);
            let _ = writeln!(
                text,
                "  {label}  {:<whats$}  {figure}  {}",
                line.what, line.how
            );
        }
        for fact in &self.facts {
            text += &paragraph("  ", "    ", fact);
        }
        for (title, prose) in [("Why: ", self.why), ("Seen by: ", self.see)] {
            if !prose.is_empty() {
                text.push('\n');
                text += &paragraph(title, "", prose);
            }
        }
        text
    }
}

/// `text` as a paragraph whose lines begin with `first`, then with `rest`.
fn paragraph(first: &str, rest: &str, text: &str) -> String {
    prose::paragraph(PROSE, first, rest, text)
}
