//! The drawing as a picture: text that can be selected, arrows as paths, light and dark.

use std::fmt::{self, Display, Formatter, Write};

use super::event::{EventKind, Trace};
use super::rows::{Drawing, Join, Row};
use super::text::{Line, Marks, Tone, fit};
use wire::visible::visible;

/// The width of a character and the height of a line, in pixels.
const CHARACTER: f64 = 7.2;
const HEIGHT: f64 = 18.0;
const GUTTER: f64 = 84.0;
const MARGIN: f64 = 12.0;

/// The colours, for a page of mdBook's themes, and for a picture by itself. Without
/// JavaScript a page says `light` whatever it is: there the browser's wish counts, as it
/// does for the page.
const STYLE: &str = "\
.ipclab-trace{LIGHT;font:12px ui-monospace,Menlo,Consolas,monospace;max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){.ipclab-trace{DARK}}\
.js.light .ipclab-trace,.rust .ipclab-trace{LIGHT}\
.coal .ipclab-trace,.navy .ipclab-trace,.ayu .ipclab-trace{DARK}\
@media print{.js[class] .ipclab-trace{LIGHT}}\
.ipclab-trace text{white-space:pre}.ipclab-trace .t{fill:var(--t)}.ipclab-trace .f{fill:var(--f)}\
.ipclab-trace .b{fill:var(--b)}.ipclab-trace .h{font-weight:bold}\
.ipclab-trace .l0{fill:var(--l0)}.ipclab-trace .l1{fill:var(--l1)}.ipclab-trace .l2{fill:var(--l2)}\
.ipclab-trace .l3{fill:var(--l3)}.ipclab-trace .a{stroke:var(--a)}.ipclab-trace .p{fill:var(--a)}\
.ipclab-trace line{stroke:var(--f)}";
const FONTS: &str = "monospace";

/// Each colour's name, and what it is in light and in dark. Each element of the picture, or its
/// group, has the light one, too: no program but browsers knows a `var(…)`.
const COLOURS: [[&str; 3]; 8] = [
    ["t", "#24292f", "#d6dde4"],
    ["f", "#6e7781", "#8b98a5"],
    ["b", "#b3261e", "#ff8a80"],
    ["a", "#57606a", "#a9b4bf"],
    ["l0", "#0b7285", "#5fd3e6"],
    ["l1", "#8a5a00", "#f0c05a"],
    ["l2", "#2b7a0b", "#8bdc6e"],
    ["l3", "#7b3fa0", "#d6a4f2"],
];

fn light(name: &str) -> &'static str {
    let named = COLOURS.iter().find(|colour| colour[0] == name);
    named.map_or(COLOURS[0][1], |colour| colour[1])
}

/// The colours as a style sheet's variables.
fn variables(which: usize) -> String {
    let all =
        COLOURS.iter().map(|colour| format!("--{}:{}", colour[0], colour[which]));
    all.collect::<Vec<_>>().join(";")
}

/// The picture, `title` being what it shows.
pub(super) fn picture(trace: &Trace, drawing: &Drawing, title: &str) -> String {
    let lanes = drawing.lanes.len().max(1);
    let characters = match lanes {
        1 => 100,
        2 => 52,
        3 => 38,
        _ => 34,
    };
    let mut picture = Picture { out: String::new(), characters, lanes };
    let width = picture.lane(lanes - 1) + picture.width() + MARGIN;
    let names = names(trace, drawing);
    for (lane, name) in names.iter().enumerate() {
        let (x, y) = (Px(picture.lane(lane)), Px(MARGIN + HEIGHT * 0.8));
        let (name, class) = (escaped(name), class(drawing, lane));
        let _ = writeln!(
            picture.out,
            r#"<text class="h {class}" x="{x}" y="{y}" fill="{}" stroke="none" font-weight="bold">{name}</text>"#,
            light(&class)
        );
    }
    let rule = Px(MARGIN + HEIGHT * 1.35);
    let _ = writeln!(
        picture.out,
        r#"<line x1="{MARGIN}" y1="{rule}" x2="{}" y2="{rule}" stroke="{}" stroke-opacity=".35"/>"#,
        Px(width - MARGIN),
        light("f")
    );
    let height = picture.rows(trace, drawing, MARGIN + HEIGHT * 2.4);
    let style = STYLE.replace("DARK", &variables(2)).replace("LIGHT", &variables(1));
    let (title, told) = (escaped(title), escaped(&told(trace, drawing, &names)));
    format!(
        "<svg class=\"ipclab-trace\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"{FONTS}\" font-size=\"12\" xml:space=\"preserve\">\n\
         <title>{title}</title>\n<desc>{told}</desc>\n<style>{style}</style>\n{}</svg>\n",
        picture.out
    )
}

/// What each lane is called: its process's name, with a number where others have the same one.
fn names(trace: &Trace, drawing: &Drawing) -> Vec<String> {
    let of = |lane: &usize| trace.processes[*lane].name.as_str();
    let all: Vec<_> = drawing.lanes.iter().map(of).collect();
    let number = |(lane, name): (usize, &&str)| {
        let same =
            |lanes: &[&str]| lanes.iter().filter(|other| *other == name).count();
        match same(&all) {
            1 => (*name).to_owned(),
            _ => format!("{name} {}", same(&all[..=lane])),
        }
    };
    all.iter().enumerate().map(number).collect()
}

/// What is in the picture, in a sentence.
fn told(trace: &Trace, drawing: &Drawing, names: &[String]) -> String {
    let cells = drawing.rows.iter().flat_map(|row| match row {
        Row::Cells(cells) => cells.as_slice(),
        Row::Note(_) => &[],
    });
    let call = |(row, lane): (usize, usize)| {
        let Row::Cells(cells) = &drawing.rows[row] else { return None };
        let cell = cells.iter().find(|cell| cell.lane == lane)?;
        Some(match &trace.events[cell.event].what {
            EventKind::Call(call) => format!("{} of {}", call.name, names[lane]),
            EventKind::Ends(_) => format!("the end of {}", names[lane]),
            EventKind::Starts => format!("the start of {}", names[lane]),
            EventKind::Signal { .. } => format!("a signal to {}", names[lane]),
        })
    };
    let mut arrows: Vec<String> = Vec::new();
    for Join { from, to } in &drawing.arrows {
        let ends = call(*from).zip(call(*to));
        let arrow = ends.map(|(from, to)| format!("{from} to {to}"));
        arrows.extend(arrow.filter(|arrow| !arrows.contains(arrow)));
    }
    let events: std::collections::HashSet<_> =
        cells.map(|cell| cell.event).collect();
    format!(
        "{} events of {}, from top to bottom in the order of time; arrows: {}.",
        events.len(),
        names.join(", "),
        if arrows.is_empty() { "none".to_owned() } else { arrows.join(", ") }
    )
}

/// Pixels, to the tenth.
struct Px(f64);

impl Display for Px {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() / 10.0;
        write!(f, "{tenths}")
    }
}

/// The class of a lane's colour.
fn class(drawing: &Drawing, lane: usize) -> String {
    format!("l{}", drawing.colours[lane] % 4)
}

struct Picture {
    out: String,
    /// Per lane.
    characters: usize,
    lanes: usize,
}

impl Picture {
    fn width(&self) -> f64 {
        self.characters as f64 * CHARACTER
    }

    fn lane(&self, lane: usize) -> f64 {
        MARGIN + lane as f64 * (self.width() + GUTTER)
    }

    /// Draws all rows from `y` on; returns how high the picture is.
    fn rows(&mut self, trace: &Trace, drawing: &Drawing, mut y: f64) -> f64 {
        let _ = writeln!(
            self.out,
            r#"<g class="t" fill="{}" stroke="none">"#,
            light("t")
        );
        let mut ys = Vec::new();
        let mut ends = std::collections::HashMap::new();
        for (number, row) in drawing.rows.iter().enumerate() {
            ys.push(y);
            let mut height = 1;
            match row {
                Row::Note(text) => {
                    let (text, y) = (escaped(text), Px(y));
                    let _ = writeln!(
                        self.out,
                        r#"<text class="f" x="{MARGIN}" y="{y}" fill="{}">{text}</text>"#,
                        light("f")
                    );
                }
                Row::Cells(cells) => {
                    for cell in cells {
                        let event = &trace.events[cell.event];
                        let marks = Marks::default();
                        let lines =
                            fit(event, cell, &marks, drawing.full, self.characters);
                        height = height.max(lines.len());
                        let x = self.lane(cell.lane);
                        let first = lines.first().map_or(0, Vec::len) as f64;
                        ends.insert((number, cell.lane), x + first * CHARACTER);
                        for (offset, line) in lines.iter().enumerate() {
                            self.line(
                                line,
                                x,
                                y + offset as f64 * HEIGHT,
                                &class(drawing, cell.lane),
                            );
                        }
                    }
                }
            }
            y += height as f64 * HEIGHT;
        }
        let colour = light("a");
        let _ = writeln!(
            self.out,
            "</g>\n<g class=\"a\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\">"
        );
        let mut heads = String::new();
        for join in &drawing.arrows {
            let (y1, y2) = (ys[join.from.0] - 4.0, ys[join.to.0] - 4.0);
            let right = join.from.1 < join.to.1;
            if right {
                let edge = self.lane(join.from.1) + self.width();
                let tail = ends[&join.from] + 5.0;
                heads += &self.arrow(
                    tail,
                    y1,
                    // A text that fills its lane pushes the curve's beginning on.
                    edge.max(tail),
                    edge + GUTTER,
                    self.lane(join.to.1) - 6.0,
                    y2,
                    1.0,
                );
            } else {
                let edge = self.lane(join.from.1);
                heads += &self.arrow(
                    edge - 6.0,
                    y1,
                    edge - 6.0,
                    edge - GUTTER,
                    ends[&join.to] + 6.0,
                    y2,
                    -1.0,
                );
            }
        }
        let _ = writeln!(
            self.out,
            "</g>\n<path class=\"p\" fill=\"{colour}\" stroke=\"none\" d=\"{heads}\"/>"
        );
        let _ = self.lanes;
        y + MARGIN - HEIGHT * 0.5
    }

    /// From (x1, y1) along the line to `near`, over the gutter to `far`, and on to (x2, y2);
    /// returns the outline of the head.
    #[allow(clippy::too_many_arguments)]
    fn arrow(
        &mut self,
        x1: f64,
        y1: f64,
        near: f64,
        far: f64,
        x2: f64,
        y2: f64,
        way: f64,
    ) -> String {
        let tip = x2 - 6.0 * way;
        // A head that is nearer than the gutter's far side has the curve end before it.
        let far = if way > 0.0 { far.min(tip) } else { far.max(tip) };
        let middle = (near + far) / 2.0;
        let [x1, y1, near, middle, y2, far, tip] =
            [x1, y1, near, middle, y2, far, tip].map(Px);
        let _ = writeln!(
            self.out,
            r#"<path d="M{x1} {y1}H{near}C{middle} {y1} {middle} {y2} {far} {y2}H{tip}"/>"#,
        );
        format!("M{} {y2}l{} -3.5v7z", Px(x2), -7.0 * way)
    }

    /// Each run of a colour has its beginning and its length: without these, ImageMagick puts it
    /// at the line's beginning.
    fn line(&mut self, line: &Line, x: f64, y: f64, named: &str) {
        let _ = write!(self.out, r#"<text y="{}">"#, Px(y));
        let mut before = 0;
        for run in line.chunk_by(|one, other| one.1 == other.1) {
            let text: String = run.iter().map(|(c, _)| c).collect();
            let blank = run.iter().take_while(|(c, _)| *c == ' ').count();
            let x = Px(x + (before + blank) as f64 * CHARACTER);
            let long = Px((run.len() - blank) as f64 * CHARACTER);
            before += run.len();
            if blank == run.len() {
                continue;
            }
            let class = match run[0].1 {
                // The group's own.
                Tone::Plain | Tone::Mark => None,
                Tone::Name => Some(named.to_owned()),
                Tone::Faint => Some("f".to_owned()),
                Tone::Bad => Some("b".to_owned()),
            };
            let colour = class.map_or_else(String::new, |class| {
                format!(r#" class="{class}" fill="{}""#, light(&class))
            });
            let text = escaped(&text[blank..]);
            let _ = write!(
                self.out,
                r#"<tspan x="{x}" textLength="{long}"{colour}>{text}</tspan>"#
            );
        }
        self.out.push_str("</text>\n");
    }
}

fn escaped(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
