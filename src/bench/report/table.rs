//! The report for people: what a figure is in terms of what the machine can do at best.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::model::{
    Figure, Floor, Outcome, Placement, Ratio, Report, Row, Unit, What,
};
use super::grid::{Cell, Grid, Side, Tone, paint};
use super::units::{digits, figure, grouped, range, size};
use super::{KINDS, PEERS, floor_ratio, head, in_words, name, percentiles, shared};
use super::{subject, title};

/// The whole report in up to `width` columns, in colour where that is wanted.
///
/// A block has one kind of figure in one placement. Where the percentiles do not fit
/// beside the figures, they stand below them.
pub fn text(report: &Report, width: usize) -> String {
    let mut out = head::text(report, width);
    let mut notes = Notes::default();
    out.push_str(&floors(report, width));
    for what in KINDS {
        let of_kind = || report.rows.iter().filter(|row| row.what == what);
        let mut placements: Vec<_> = of_kind().map(|row| row.placement).collect();
        placements.sort();
        placements.dedup();
        for placement in placements {
            let rows = of_kind().filter(|row| row.placement == placement).collect();
            let block = Block::new(report, what, placement, rows);
            out.push_str(&block.text(width, &mut notes));
        }
    }
    out.push_str(&notes.text(width));
    out
}

/// Why figures are absent or doubted, each reason once and numbered.
#[derive(Debug, Default)]
struct Notes {
    all: Vec<String>,
    /// Whether too few were timed for some percentiles.
    few: bool,
}

impl Notes {
    fn number(&mut self, text: &str) -> String {
        let at =
            self.all.iter().position(|note| note == text).unwrap_or_else(|| {
                self.all.push(text.to_owned());
                self.all.len() - 1
            });
        format!("[{}]", at + 1)
    }

    fn text(&self, width: usize) -> String {
        let mut out = String::new();
        if self.few {
            for line in textwrap::wrap(percentiles::FEW, width) {
                let _ = write!(out, "\n{}", paint(&line, Tone::Faint));
            }
            out.push('\n');
        }
        if self.all.is_empty() {
            return out;
        }
        let mut grid = Grid::default();
        grid.column("", Side::Right);
        for (number, note) in self.all.iter().enumerate() {
            let number = format!("[{}]", number + 1);
            grid.words(vec![Cell::plain(number)], Cell::plain(note));
        }
        out + &format!("\n{}", grid.text(width))
    }
}

fn headline(text: &str) -> String {
    format!("\n{}\n", paint(text, Tone::Strong))
}

fn floors(report: &Report, width: usize) -> String {
    if report.floors.is_empty() {
        return String::new();
    }
    let mut grid = Grid::default();
    grid.column("", Side::Left);
    grid.column("", Side::Left);
    for head in ["size", "takes", "least–most", "moves"] {
        grid.column(head, Side::Right);
    }
    for floor in &report.floors {
        let Floor { nanoseconds: took, min, max, .. } = *floor;
        let rate = floor.size.filter(|_| floor.name.contains("memcpy"));
        let rate = rate.map(|size| size as f64 / took * 1e9);
        let placement = floor.placement.map_or("", Placement::text).to_owned();
        let from = floor.apart.map_or(placement, |n| format!("{n} B apart"));
        grid.line(vec![
            Cell::plain(&floor.name),
            Cell::new(from, Tone::Faint),
            Cell::plain(floor.size.map(size).unwrap_or_default()),
            Cell::new(figure(took, Unit::Nanoseconds), Tone::Strong),
            Cell::plain(range(min, max, took, Unit::Nanoseconds)),
            Cell::plain(
                rate.map(|rate| figure(rate, Unit::BytesPerSecond))
                    .unwrap_or_default(),
            ),
        ]);
    }
    headline("Floors: what this machine can do at best") + &grid.text(width)
}

/// All figures of one kind in one placement.
struct Block<'a> {
    report: &'a Report,
    what: What,
    placement: Option<Placement>,
    /// Ours and those of peers that have no row of ours beside them, in order.
    rows: Vec<&'a Row>,
    /// Peers' rows that have one of ours beside them.
    peers: Vec<&'a Row>,
    /// The floors that the rows are compared with.
    floors: Vec<&'a str>,
    /// What else they are compared with: a column each.
    others: Vec<&'a str>,
}

fn measured(row: &Row) -> Option<&Figure> {
    match &row.outcome {
        Outcome::Measured(figure) => Some(figure),
        _ => None,
    }
}

impl<'a> Block<'a> {
    fn new(
        report: &'a Report,
        what: What,
        placement: Option<Placement>,
        all: Vec<&'a Row>,
    ) -> Block<'a> {
        let folded = |row: &&Row| {
            let compared = |ours: &Figure| {
                measured(row).is_none()
                    || ours.ratios.iter().any(|ratio| ratio.to == row.program)
            };
            PEERS.contains(&row.program.as_str())
                && all.iter().any(|ours| {
                    ours.program == "ipclab"
                        && ours.work() == row.work()
                        && measured(ours).is_some_and(compared)
                })
        };
        let (peers, mut rows): (Vec<&Row>, Vec<&Row>) =
            all.iter().copied().partition(folded);
        // As the report has them first, and a subject's sizes together.
        let mut order = BTreeMap::new();
        for row in &rows {
            let next = order.len();
            order.entry((&row.chapter, &row.subject, &row.program)).or_insert(next);
        }
        rows.sort_by_key(|row| {
            let first = order[&(&row.chapter, &row.subject, &row.program)];
            (first, row.size, row.clients, row.idle)
        });
        let mut block = Block {
            report,
            what,
            placement,
            rows,
            peers,
            floors: Vec::new(),
            others: Vec::new(),
        };
        for figure in block.rows.iter().filter_map(|row| measured(row)) {
            let floor = floor_ratio(report, &figure.ratios);
            for ratio in &figure.ratios {
                let list = match floor.is_some_and(|floor| floor.to == ratio.to) {
                    true => &mut block.floors,
                    false => &mut block.others,
                };
                if !list.contains(&ratio.to.as_str()) {
                    list.push(&ratio.to);
                }
            }
        }
        for peer in &block.peers {
            if !block.others.contains(&peer.program.as_str()) {
                block.others.push(&peer.program);
            }
        }
        block
    }

    fn text(&self, width: usize, notes: &mut Notes) -> String {
        let kind = title(self.what);
        let mut out = match self.placement {
            Some(placement) => headline(&format!("{kind}; {}", in_words(placement))),
            None => headline(kind),
        };
        if let Some(lesson) = self.lesson() {
            let lines = textwrap::wrap(&lesson, width);
            for line in lines {
                let _ = writeln!(out, "{}", paint(&line, Tone::Faint));
            }
        }
        let mut figures = self.rows.iter().filter_map(|row| measured(row));
        notes.few |= figures.any(percentiles::few);
        // Numbered once, whichever way it is laid out.
        let together = self.grid(true, notes);
        if together.width() <= width {
            return out + &together.text(width);
        }
        out.push_str(&self.grid(false, notes).text(width));
        if let Some(grid) = self.percentiles() {
            let _ = writeln!(
                out,
                "\n{}",
                paint(
                    "The single ones, in the unit of p50 or their own:",
                    Tone::Faint
                )
            );
            out.push_str(&grid.text(width));
        }
        out
    }

    /// A figure as a sentence, which shows how to read all others.
    fn lesson(&self) -> Option<String> {
        let sentence = |row: &&Row| {
            let this = measured(row)?;
            let ratio = floor_ratio(self.report, &this.ratios)?;
            Some(format!(
                "{}: {} = {} × {} ({}, {} pairs)",
                name(row),
                figure(this.value, this.unit),
                digits(ratio.median),
                ratio.to,
                interval(ratio),
                ratio.pairs
            ))
        };
        let usual = if self.what == What::Throughput { 1 << 16 } else { 64 };
        // What a learner meets first.
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|row| (row.subject != "pipe", row.size != Some(usual)));
        rows.into_iter().find_map(sentence)
    }

    /// The subject, with its chapter where another one calls its work the same.
    fn subject(&self, row: &Row) -> String {
        match shared(row, &self.rows) {
            true => format!("{}: {}", row.chapter, subject(row)),
            false => subject(row),
        }
    }

    fn names(&self, grid: &mut Grid) {
        grid.column("", Side::Left);
        let counts = self.counts();
        for (_, head) in
            counts.iter().zip(["size", "clients", "idle"]).filter(|c| *c.0)
        {
            grid.column(head, Side::Right);
        }
    }

    /// Whether any row has a size, clients, idle clients.
    fn counts(&self) -> [bool; 3] {
        let any = |has: fn(&Row) -> bool| self.rows.iter().any(|row| has(row));
        [
            any(|row| row.size.is_some()),
            any(|row| row.clients.is_some()),
            any(|row| row.idle.is_some()),
        ]
    }

    fn name_cells(&self, row: &Row, again: bool) -> Vec<Cell> {
        // A subject is named in each line, so that grep finds it; a reader needs it once.
        let tone = if again { Tone::Faint } else { Tone::Strong };
        let mut cells = vec![Cell::new(self.subject(row), tone)];
        let counts =
            [row.size.map(size), row.clients.map(grouped), row.idle.map(grouped)];
        let shown = counts.into_iter().zip(self.counts()).filter(|(_, any)| *any);
        cells.extend(shown.map(|(count, _)| Cell::plain(count.unwrap_or_default())));
        cells
    }

    fn has_percentiles(&self) -> bool {
        let mut figures = self.rows.iter().filter_map(|row| measured(row));
        figures.any(|figure| figure.percentiles.is_some())
    }

    fn grid(&self, all: bool, notes: &mut Notes) -> Grid {
        let mut grid = Grid::default();
        self.names(&mut grid);
        grid.column("median", Side::Right);
        if self.what != What::Latency {
            grid.column("least–most", Side::Right);
        }
        if self.what == What::Throughput {
            grid.column("messages", Side::Right);
        }
        match self.floors.as_slice() {
            [] => {}
            [floor] => grid.column(format!("= × {floor}"), Side::Left),
            _ => grid.column("= × its floor", Side::Left),
        }
        for other in &self.others {
            grid.column(format!("×{other}"), Side::Right);
        }
        if all && self.has_percentiles() {
            for head in percentiles::HEADS {
                grid.column(head, Side::Right);
            }
        }
        grid.column("", Side::Left);
        let mut rows = self.rows.iter().enumerate().peekable();
        while let Some((index, row)) = rows.next() {
            let own = self.subject(row);
            let again = index > 0 && self.subject(self.rows[index - 1]) == own;
            let mut cells = self.name_cells(row, again);
            match &row.outcome {
                Outcome::Measured(figure) => {
                    cells.extend(self.figure_cells(row, figure, all, notes));
                    grid.line(cells);
                }
                Outcome::Invalid(why) => {
                    grid.words(
                        cells,
                        Cell::new(format!("invalid: {why}"), Tone::Bad),
                    );
                }
                Outcome::Absent(why) => {
                    // The sizes that a mechanism cannot carry are one line.
                    let same = |next: &Row| {
                        self.subject(next) == own
                            && matches!(&next.outcome, Outcome::Absent(other) if other == why)
                    };
                    let mut last = None;
                    while let Some((_, next)) = rows.next_if(|(_, next)| same(next))
                    {
                        last = next.size;
                    }
                    let upto = last.map_or(String::new(), |last| {
                        format!("to {}: ", size(last))
                    });
                    let words = format!("{upto}–  {}", notes.number(why));
                    grid.words(cells, Cell::new(words, Tone::Faint));
                }
            }
        }
        grid
    }

    fn figure_cells(
        &self,
        row: &Row,
        this: &Figure,
        all: bool,
        notes: &mut Notes,
    ) -> Vec<Cell> {
        let value = figure(this.value, this.unit);
        let mut marks = String::new();
        let mut cells = vec![match &this.noisy {
            None => Cell::plain(value),
            Some(why) => {
                marks += &notes.number(&format!("~ noisy: {why}"));
                Cell::new(format!("~{value}"), Tone::Warning)
            }
        }];
        if self.what != What::Latency {
            let spread = range(this.min, this.max, this.value, this.unit);
            cells.push(Cell::new(spread, Tone::Faint));
        }
        if self.what == What::Throughput {
            let rate = this.messages.map(|rate| figure(rate, Unit::PerSecond));
            cells.push(Cell::plain(rate.unwrap_or_default()));
        }
        let floor = floor_ratio(self.report, &this.ratios);
        if !self.floors.is_empty() {
            let named = |ratio: &Ratio| {
                let of = if self.floors.len() > 1 { ratio.to.as_str() } else { "" };
                let text =
                    format!("{} ({}) {of}", digits(ratio.median), interval(ratio));
                text.trim_end().to_owned()
            };
            cells
                .push(Cell::new(floor.map(named).unwrap_or_default(), Tone::Strong));
        }
        for other in &self.others {
            let is_it = |ratio: &&Ratio| {
                ratio.to == *other && floor.is_none_or(|floor| floor.to != ratio.to)
            };
            if let Some(ratio) = this.ratios.iter().find(is_it) {
                cells.push(Cell::plain(digits(ratio.median)));
                continue;
            }
            let same =
                |peer: &&&Row| peer.program == *other && peer.work() == row.work();
            let (text, tone) =
                match self.peers.iter().find(same).map(|peer| &peer.outcome) {
                    Some(Outcome::Absent(why)) => {
                        marks += &notes.number(&format!("{other}: {why}"));
                        ("–", Tone::Faint)
                    }
                    Some(Outcome::Invalid(why)) => {
                        marks += &notes.number(&format!("{other}: invalid: {why}"));
                        ("invalid", Tone::Bad)
                    }
                    _ => ("", Tone::Plain),
                };
            cells.push(Cell::new(text, tone));
        }
        if all && self.has_percentiles() {
            cells.extend(percentiles::cells(this, true));
        }
        cells.push(Cell::new(marks, Tone::Faint));
        cells
    }

    fn percentiles(&self) -> Option<Grid> {
        let mut grid = Grid::default();
        self.names(&mut grid);
        for head in percentiles::HEADS {
            grid.column(head, Side::Right);
        }
        let mut before = String::new();
        for row in &self.rows {
            let Some(this) = measured(row).filter(|this| this.percentiles.is_some())
            else {
                continue;
            };
            let mut cells = self.name_cells(row, before == self.subject(row));
            cells.extend(percentiles::cells(this, false));
            grid.line(cells);
            before = self.subject(row);
            if let Some(naive) = &this.naive {
                let naive = Figure {
                    percentiles: Some((**naive).clone()),
                    ..(*this).clone()
                };
                let mut cells = self.name_cells(row, true);
                cells[0] = Cell::new("… timed from sending", Tone::Faint);
                cells.extend(percentiles::cells(&naive, false));
                grid.line(cells);
            }
        }
        self.has_percentiles().then_some(grid)
    }
}

/// The least and the greatest pair's ratio.
fn interval(ratio: &Ratio) -> String {
    format!("{}–{}", digits(ratio.min), digits(ratio.max))
}
