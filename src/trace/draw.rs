//! The drawing in a terminal: lanes side by side, arrows in the gutters between them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use colored::{Color, Colorize};

use super::event::Trace;
use super::rows::{Drawing, Join, Row};
use super::text::{Marks, Tone, fit};
use wire::say::COLOURS;
use wire::visible::visible;

/// The narrowest lane that can be read.
const NARROWEST: usize = 18;
/// From this width on a text is folded rather than drawn over a passing arrow.
const WIDE: usize = 30;
/// The columns between two lanes.
const GUTTER: usize = 6;
/// How far an arrow may run before a number stands for it.
const FARTHEST: usize = 30;
/// Which sides of a gutter's cell a line leaves by.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// How a character is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Tone(Tone, usize),
    Arrow,
    /// Words across the lanes, which no arrow may cut.
    Note,
    Title(usize),
}

/// The trace in `width` columns, or as many as the terminal has, or 80.
pub(super) fn text(
    trace: &Trace,
    drawing: &Drawing,
    width: Option<u16>,
    coloured: bool,
) -> String {
    let width = usize::from(width.or_else(terminal).unwrap_or(80));
    let lanes = drawing.lanes.len().max(1);
    let gutters = (GUTTER * (lanes - 1)).min(width);
    let lane = (width - gutters) / lanes;
    // The last lane has nothing beside it to reach into.
    let lane = lane - lane / 10 * usize::from(lanes > 1);
    let mut canvas = Canvas { lines: Vec::new(), lane, width };
    if lane < NARROWEST {
        canvas.list(trace, drawing);
    } else {
        canvas.titles(trace, drawing);
        canvas.grid(trace, drawing);
    }
    let mut out = canvas.print(coloured, &drawing.colours);
    for note in &trace.notes {
        let _ = writeln!(out, "\n{}", visible(note));
    }
    out
}

fn terminal() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col >= 60).then_some(size.ws_col)
}

struct Canvas {
    lines: Vec<Vec<(char, Paint)>>,
    lane: usize,
    width: usize,
}

/// How an arrow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Along its row.
    Straight,
    /// In this column of the gutter after that lane.
    Gutter(usize, usize),
    /// By a number at both its ends: it is too long, or the gutter is full.
    Number,
}

/// From which row to which a gutter's column is taken, and to which head: row and lane.
type Span = (usize, usize, (usize, usize));

/// The way of each arrow, which the rows alone decide: numbers are a part of the texts.
fn ways(drawing: &Drawing) -> Vec<Way> {
    let mut taken: HashMap<(usize, usize), Vec<Span>> = HashMap::new();
    let mut ways = Vec::new();
    for join in &drawing.arrows {
        let (from, to) = (join.from.0, join.to.0);
        if from == to {
            ways.push(Way::Straight);
            continue;
        }
        let right = join.from.1 < join.to.1;
        let gutter = if right { join.from.1 } else { join.from.1 - 1 };
        let free = |column: &usize| {
            taken.get(&(gutter, *column)).is_none_or(|spans| {
                spans
                    .iter()
                    .all(|(a, b, whose)| *b < from || to < *a || *whose == join.to)
            })
        };
        // A head stands in the second column from its text.
        let column = [3, 2, if right { 1 } else { 4 }].into_iter().find(free);
        ways.push(match column.filter(|_| to - from <= FARTHEST) {
            Some(column) => {
                let spans = taken.entry((gutter, column)).or_default();
                spans.push((from, to, join.to));
                Way::Gutter(gutter, column)
            }
            None => Way::Number,
        });
    }
    ways
}

/// The numbers of those arrows that are to have one, at both their ends.
fn marks(
    drawing: &Drawing,
    numbered: impl Iterator<Item = bool>,
) -> HashMap<(usize, usize), Marks> {
    let mut marks: HashMap<(usize, usize), Marks> = HashMap::new();
    let joins =
        drawing.arrows.iter().zip(numbered).filter(|(_, numbered)| *numbered);
    for (number, (join, _)) in joins.enumerate() {
        let mark = mark(number + 1);
        let _ = write!(marks.entry(join.from).or_default().after, " {mark}▶");
        let _ = write!(marks.entry(join.to).or_default().before, "▶{mark} ");
    }
    marks
}

/// What stands where once all texts are placed.
struct Placed {
    /// The first line of each row.
    top: Vec<usize>,
    /// Where the first line of a cell's text ends, by row and lane.
    ends: HashMap<(usize, usize), usize>,
}

impl Canvas {
    fn column(&self, lane: usize) -> usize {
        lane * (self.lane + GUTTER)
    }

    fn put(
        &mut self,
        line: usize,
        column: usize,
        text: impl Iterator<Item = (char, Paint)>,
    ) {
        while self.lines.len() <= line {
            self.lines.push(Vec::new());
        }
        for (offset, (c, paint)) in text.enumerate() {
            let at = column + offset;
            let cells = &mut self.lines[line];
            if cells.len() <= at {
                cells.resize(at + 1, (' ', Paint::Arrow));
            }
            cells[at] = (c, paint);
        }
    }

    fn say(&mut self, line: usize, column: usize, text: &str, paint: Paint) {
        self.put(line, column, text.chars().map(|c| (c, paint)));
    }

    fn titles(&mut self, trace: &Trace, drawing: &Drawing) {
        for (lane, process) in drawing.lanes.iter().enumerate() {
            let process = &trace.processes[*process];
            let title = format!("{} (pid {})", visible(&process.name), process.pid);
            let title: String = title.chars().take(self.lane + GUTTER - 1).collect();
            self.say(0, self.column(lane), &title, Paint::Title(lane));
        }
        self.lines.push(Vec::new());
    }

    fn grid(&mut self, trace: &Trace, drawing: &Drawing) {
        // An arrow at its right side keeps a text within its lane; else it may reach on.
        let rightward = |join: &Join| join.from.1 < join.to.1;
        let ways = ways(drawing);
        let numbers = ways.iter().map(|way| *way == Way::Number);
        let mut marks = marks(drawing, numbers);
        let numbered = !marks.is_empty();
        let held: HashSet<(usize, usize)> = drawing
            .arrows
            .iter()
            .map(|join| if rightward(join) { join.from } else { join.to })
            .collect();
        let mut placed = Placed { top: Vec::new(), ends: HashMap::new() };
        for (number, row) in drawing.rows.iter().enumerate() {
            let top = self.lines.len();
            placed.top.push(top);
            match row {
                Row::Note(text) => self.note(top, text),
                Row::Cells(cells) => {
                    for cell in cells {
                        let event = &trace.events[cell.event];
                        let column = self.column(cell.lane);
                        let beside =
                            cells.iter().any(|other| other.lane > cell.lane);
                        let room =
                            match held.contains(&(number, cell.lane)) || beside {
                                true => self.lane,
                                false => self.free(drawing, number, cell.lane),
                            };
                        let marks =
                            marks.remove(&(number, cell.lane)).unwrap_or_default();
                        let lines = fit(event, cell, &marks, drawing.full, room);
                        let first = lines.first().map_or(0, Vec::len);
                        placed.ends.insert((number, cell.lane), column + first);
                        for (offset, line) in lines.into_iter().enumerate() {
                            let paint =
                                |(c, tone)| (c, Paint::Tone(tone, cell.lane));
                            self.put(
                                top + offset,
                                column,
                                line.into_iter().map(paint),
                            );
                        }
                    }
                }
            }
        }
        self.arrows(drawing, &placed, &ways);
        self.legend(numbered);
    }

    /// What a number is.
    fn legend(&mut self, numbered: bool) {
        if numbered {
            let top = self.lines.len() + 1;
            self.note(
                top,
                "A number is an arrow without room: it starts at number▶ and ends at ▶number.",
            );
        }
    }

    /// How far a text may reach: to the end of the line, or to an arrow that passes by,
    /// where a lane is wide enough to be read all the same.
    fn free(&self, drawing: &Drawing, row: usize, lane: usize) -> usize {
        let column = self.column(lane);
        let gutters = drawing.arrows.iter().filter_map(|join| {
            let right = join.from.1 < join.to.1;
            let gutter = if right { join.from.1 } else { join.from.1 - 1 };
            let passes = (join.from.0..=join.to.0).contains(&row)
                && join.to.0 - join.from.0 <= FARTHEST;
            (passes && gutter >= lane && self.lane >= WIDE).then_some(gutter)
        });
        match gutters.min() {
            Some(gutter) => self.column(gutter) + self.lane - column,
            None => self.width - column,
        }
    }

    fn note(&mut self, top: usize, text: &str) {
        let mut line = String::from("──");
        let mut at = top;
        for word in visible(text).split(' ') {
            if line.chars().count() + 1 + word.chars().count() > self.width {
                self.say(at, 0, &line, Paint::Note);
                line = String::from("  ");
                at += 1;
            }
            line.push(' ');
            line.push_str(word);
        }
        self.say(at, 0, &line, Paint::Note);
    }

    fn arrows(&mut self, drawing: &Drawing, placed: &Placed, ways: &[Way]) {
        let mut bits: HashMap<(usize, usize), u8> = HashMap::new();
        let mut heads = Vec::new();
        for (join, way) in drawing.arrows.iter().zip(ways) {
            if *way == Way::Number {
                continue;
            }
            let (from, to) = (placed.top[join.from.0], placed.top[join.to.0]);
            let right = join.from.1 < join.to.1;
            let tail = if right {
                placed.ends[&join.from] + 1
            } else {
                self.column(join.from.1) - 2
            };
            let head = if right {
                self.column(join.to.1) - 2
            } else {
                placed.ends[&join.to] + 1
            };
            heads.push((to, head, if right { '▶' } else { '◀' }));
            let Way::Gutter(gutter, column) = *way else {
                across(&mut bits, from, tail, head);
                continue;
            };
            let column = self.column(gutter) + self.lane + column;
            across(&mut bits, from, tail, column);
            across(&mut bits, to, column, head);
            for line in from..=to {
                let side = bits.entry((line, column)).or_default();
                *side |= if line > from { UP } else { 0 }
                    | if line < to { DOWN } else { 0 };
            }
        }
        for ((line, column), sides) in bits {
            self.over(line, column, box_char(sides));
        }
        for (line, column, c) in heads {
            self.over(line, column, c);
        }
    }

    /// Draws an arrow's character unless text stands there, or ends right before it.
    fn over(&mut self, line: usize, column: usize, c: char) {
        let cell = |column: usize| self.lines.get(line)?.get(column);
        let text = |column| cell(column).filter(|(_, paint)| *paint != Paint::Arrow);
        let touched = |left| text(left).is_some_and(|(c, _)| *c != ' ');
        let touched = column.checked_sub(1).is_some_and(touched);
        if text(column).is_none() && !(c == '│' && touched) {
            self.put(line, column, std::iter::once((c, Paint::Arrow)));
        }
    }

    /// More processes than fit side by side: one below the other.
    fn list(&mut self, trace: &Trace, drawing: &Drawing) {
        const NAME: usize = 20;
        let all = drawing.arrows.iter().map(|_| true);
        let mut marks = marks(drawing, all);
        let numbered = !marks.is_empty();
        for (number, row) in drawing.rows.iter().enumerate() {
            let top = self.lines.len();
            let Row::Cells(cells) = row else {
                if let Row::Note(text) = row {
                    self.note(top, text);
                }
                continue;
            };
            for cell in cells {
                let top = self.lines.len();
                let process = &trace.processes[drawing.lanes[cell.lane]];
                let name = format!("{} {}", visible(&process.name), process.pid);
                let name: String = name.chars().take(NAME - 1).collect();
                self.say(top, 0, &name, Paint::Title(cell.lane));
                let marks = marks.remove(&(number, cell.lane)).unwrap_or_default();
                let room = self.width.saturating_sub(NAME).max(NARROWEST);
                let event = &trace.events[cell.event];
                let lines = fit(event, cell, &marks, drawing.full, room);
                for (offset, line) in lines.into_iter().enumerate() {
                    let paint = |(c, tone)| (c, Paint::Tone(tone, cell.lane));
                    self.put(top + offset, NAME, line.into_iter().map(paint));
                }
            }
        }
        self.legend(numbered);
    }

    fn print(self, coloured: bool, colours: &[usize]) -> String {
        let mut out = String::new();
        for mut line in self.lines {
            while line.last().is_some_and(|(c, _)| *c == ' ') {
                line.pop();
            }
            for run in line.chunk_by(|one, other| one.1 == other.1) {
                let text: String = run.iter().map(|(c, _)| c).collect();
                if coloured {
                    let _ = write!(out, "{}", painted(&text, run[0].1, colours));
                } else {
                    out.push_str(&text);
                }
            }
            out.push('\n');
        }
        out
    }
}

fn painted(text: &str, paint: Paint, colours: &[usize]) -> colored::ColoredString {
    let colour = |lane: usize| COLOURS[colours[lane] % COLOURS.len()];
    match paint {
        Paint::Tone(Tone::Plain, _) => text.normal(),
        Paint::Tone(Tone::Name, lane) => text.color(colour(lane)),
        Paint::Tone(Tone::Faint, _) => text.dimmed(),
        Paint::Tone(Tone::Bad, _) => text.color(Color::Red),
        Paint::Arrow | Paint::Note | Paint::Tone(Tone::Mark, _) => text.bold(),
        Paint::Title(lane) => text.color(colour(lane)).bold(),
    }
}

/// A line from one column to another, both included.
fn across(
    bits: &mut HashMap<(usize, usize), u8>,
    line: usize,
    one: usize,
    other: usize,
) {
    let (from, to) = (one.min(other), one.max(other));
    for column in from..=to {
        let sides = bits.entry((line, column)).or_default();
        *sides |= if column > from { LEFT } else { 0 }
            | if column < to { RIGHT } else { 0 };
    }
}

fn box_char(sides: u8) -> char {
    const CHARS: [char; 16] = [
        ' ', '│', '│', '│', '─', '┘', '┐', '┤', '─', '└', '┌', '├', '─', '┴', '┬',
        '┼',
    ];
    CHARS[usize::from(sides & 15)]
}

/// ① to ⑳, ⓐ to ⓩ, Ⓐ to Ⓩ, and then (73), (74), …
fn mark(number: usize) -> String {
    let mut all = ('①'..='⑳').chain('ⓐ'..='ⓩ').chain('Ⓐ'..='Ⓩ');
    all.nth(number - 1).map_or_else(|| format!("({number})"), String::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::event::{Event, EventKind, Process};
    use super::super::pair::Arrow;
    use super::super::rows::layout;
    use super::*;

    /// Signals that `lanes` processes get in turn, and arrows that run from each to some of
    /// the later ones.
    fn drawn(lanes: usize, events: usize, width: u16) -> (String, usize) {
        let process =
            |n: usize| Process { pid: 100 + n as i32, name: format!("p{n}") };
        let mut trace = Trace::default();
        trace.processes.extend((0..lanes).map(process));
        let event = |n: usize| Event {
            process: n % lanes,
            tid: 100 + (n % lanes) as i32,
            begin: n as u64,
            end: Some(n as u64),
            at: 0,
            took: 0,
            slept: false,
            asleep: false,
            doubt: None,
            what: EventKind::Signal { number: 10, info: "x".repeat(n * 7 % 40) },
            effects: Vec::new(),
        };
        trace.events.extend((0..events).map(event));
        let later = |from: usize| {
            [1, 2, 5, 7, 13, 35].into_iter().map(move |step| (from, from + step))
        };
        let pairs = (0..events).flat_map(later);
        let pairs =
            pairs.filter(|(from, to)| *to < events && from % lanes != to % lanes);
        let arrows: Vec<Arrow> =
            pairs.map(|(from, to)| Arrow { from, to }).collect();
        let shown: Vec<usize> = (0..events).collect();
        let drawing = layout(&trace, &shown, &arrows, false, None);
        (text(&trace, &drawing, Some(width), false), drawing.arrows.len())
    }

    #[test]
    fn a_number_that_stands_for_an_arrow_has_both_its_ends_at_any_width() {
        for lanes in 2..=6 {
            for width in 60..=200 {
                let (text, arrows) = drawn(lanes, 30, width);
                let body = text.split("\n── A number").next().unwrap_or_default();
                // Arrows that run behind a text touch it.
                let body = body.replace(|c| "─│┌┐└┘├┤┬┴┼◀".contains(c), " ");
                let numbers = (1..=arrows).map(mark);
                let numbers: BTreeSet<String> =
                    numbers.filter(|number| body.contains(number)).collect();
                assert!(!numbers.is_empty());
                for number in numbers {
                    for end in [format!("{number}▶"), format!("▶{number}")] {
                        let words = body.split_whitespace();
                        let times = words.filter(|word| **word == end).count();
                        assert_eq!(times, 1, "{lanes} {width} {end}: {text}");
                    }
                }
                assert!(
                    text.lines().all(|line| line.chars().count() <= width.into())
                );
            }
        }
    }
}
