//! One panel: axes, lines, and their names at their ends.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Result;
use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{
    KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter,
};
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle};

use super::super::super::model::Unit;
use super::super::units;
use super::scale::{log2, nines};
use super::style::{AXIS, FAINT, GRID, TEXT, THIN, colour, font};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One line.
pub(super) struct Series {
    pub(super) name: String,
    /// Which colour, marker and dashes; a floor has none.
    pub(super) look: Option<usize>,
    pub(super) points: Vec<(f64, f64)>,
    /// Where markers stand.
    pub(super) marks: Vec<(f64, f64)>,
}

/// A scale, in logarithms.
#[derive(Clone)]
pub(super) struct Axis {
    name: &'static str,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
    /// Lines without a number.
    thin: Vec<f64>,
}

impl Axis {
    pub(super) fn sizes(sizes: &BTreeSet<u64>) -> Option<Axis> {
        let (from, to) = (log2(*sizes.first()?), log2(*sizes.last()?));
        // So many labels have room.
        let step = sizes.len().div_ceil(11);
        let ticks = sizes.iter().step_by(step);
        Some(Axis {
            name: "size of a message",
            from: from - 0.3,
            to: to + 0.3,
            ticks: ticks.map(|size| (log2(*size), units::size(*size))).collect(),
            thin: Vec::new(),
        })
    }

    /// Powers of ten, from a round number below all points to one above.
    pub(super) fn figures(series: &[Series], unit: Unit) -> Option<Axis> {
        let all =
            || series.iter().flat_map(|series| &series.points).map(|point| point.1);
        let (least, most) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
        let (first, last) = (least.floor() as i32, most.ceil() as i32);
        let round = (first..=last).flat_map(|power| {
            [1.0f64, 2.0, 5.0].map(|digit| (f64::from(power) + digit.log10(), digit))
        });
        let round: Vec<_> = round.collect();
        let from = round.iter().rev().find(|(at, _)| *at <= least)?.0;
        let to = round.iter().find(|(at, _)| *at > most)?.0;
        let few = to - from < 1.8;
        let inside =
            round.iter().copied().filter(|(at, _)| (from..=to).contains(at));
        let (numbered, bare): (Vec<_>, Vec<_>) =
            inside.partition(|(_, digit)| few || *digit == 1.0);
        let text = |at: f64| {
            let value = 10f64.powf(at);
            // A round number, which three digits would make look exact.
            let text = units::figure(value, unit);
            text.replace(".00", "").replace(".0 ", " ")
        };
        Some(Axis {
            name: match unit {
                Unit::Nanoseconds => "time",
                Unit::BytesPerSecond => "bytes a second",
                Unit::PerSecond => "a second",
            },
            from,
            to,
            ticks: numbered.into_iter().map(|(at, _)| (at, text(at))).collect(),
            thin: bare.into_iter().map(|(at, _)| at).collect(),
        })
    }

    /// From the fastest to the slowest of all; `last` is where the longest line ends.
    pub(super) fn percentiles(last: f64) -> Axis {
        const PARTS: [(f64, &str); 8] = [
            (0.0, "least"),
            (0.5, "50 %"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9999, "99.99 %"),
            (0.99999, "99.999 %"),
            (0.999999, "99.9999 %"),
        ];
        let ticks = PARTS.map(|(part, text)| (nines(part), text.to_owned()));
        Axis {
            name: "of the round trips took at most so long",
            from: -0.05,
            to: last.max(1.0) + 0.1,
            ticks: ticks
                .into_iter()
                .filter(|tick| tick.0 <= last.max(1.0))
                .collect(),
            thin: Vec::new(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (at - self.from) / (self.to - self.from);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => self.thin.clone(),
            false => self.ticks.iter().map(|tick| tick.0).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(at: &f64) -> String {
        units::digits(*at)
    }

    fn format_ext(&self, at: &f64) -> String {
        let near = |tick: &&(f64, String)| (tick.0 - at).abs() < 1e-6;
        self.ticks.iter().find(near).map(|tick| tick.1.clone()).unwrap_or_default()
    }
}

/// A picture with axes and lines.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// The height of a line's name, in pixels.
const LINE: i32 = 17;
/// Above and below the lines: the title, the numbers and the axis' name.
const AROUND: i32 = 116;

impl Panel {
    /// How high it is, in pixels.
    pub(super) fn height(&self) -> i32 {
        (self.series.len() as i32 * LINE).max(260) + AROUND
    }

    /// The width that the lines' names take at the right, in pixels.
    pub(super) fn beside(&self) -> i32 {
        let longest = self.series.iter().map(|series| series.name.chars().count());
        longest.max().unwrap_or(0) as i32 * 8 + 44
    }

    /// Draws it on `whole`, from pixel row `top` on, and `beside` pixels for the names.
    pub(super) fn draw(
        &self,
        whole: &Area,
        width: i32,
        top: i32,
        beside: i32,
    ) -> Result<()> {
        let bottom = top + self.height();
        let title = font(17.0, TEXT).pos(Pos::new(HPos::Left, VPos::Top));
        whole.draw(&Text::new(self.title.clone(), (12, top + 14), title))?;
        let area =
            whole.clone().shrink((8, top + 44), (width - 8, bottom - top - 52));
        let mut chart = ChartBuilder::on(&area)
            .margin_right(beside)
            .x_label_area_size(48)
            .y_label_area_size(86)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(THIN)
            .axis_style(AXIS)
            .label_style(font(13.0, TEXT))
            .axis_desc_style(font(13.0, FAINT))
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .draw()?;
        let mut ends = Vec::new();
        for series in &self.series {
            let line = colour(series.look).stroke_width(2);
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), line))?;
            for mark in &series.marks {
                marker(whole, chart.backend_coord(mark), series.look)?;
            }
            if let Some(end) = series.points.last() {
                ends.push((chart.backend_coord(end), series));
            }
        }
        let right = width - beside + 8;
        let high = (top + 50, bottom - 62);
        // A point alone has its name beside it: a line from there would be read as data.
        // At the right edge there is no room for it inside the axes.
        let edge = right - 16;
        let inside = |(end, series): &((i32, i32), &Series)| {
            series.points.len() == 1 && end.0 < edge - 40
        };
        let (alone, ends): (Vec<_>, Vec<_>) = ends.into_iter().partition(inside);
        named(whole, alone, edge, high)?;
        labels(whole, ends, right, high)
    }
}

/// The name of each point that stands alone, beside it, none over another: to its left
/// where it would not end before `edge`.
fn named(
    whole: &Area,
    mut points: Vec<((i32, i32), &Series)>,
    edge: i32,
    high: (i32, i32),
) -> Result<()> {
    points.sort_by_key(|(point, _)| point.1);
    let ys = apart(points.iter().map(|(point, _)| point.1).collect(), high);
    for (((x, _), series), y) in points.into_iter().zip(ys) {
        let long = series.name.chars().count() as i32 * 8;
        let (x, side) = match x + 10 + long > edge {
            true => (x - 10, HPos::Right),
            false => (x + 10, HPos::Left),
        };
        let text = font(14.0, colour(series.look)).pos(Pos::new(side, VPos::Center));
        whole.draw(&Text::new(series.name.clone(), (x, y), text))?;
    }
    Ok(())
}

/// Rows of pixels, from above to below, moved so that names there do not touch.
fn apart(mut ys: Vec<i32>, (top, bottom): (i32, i32)) -> Vec<i32> {
    for index in 0..ys.len() {
        let above = if index > 0 { ys[index - 1] + LINE } else { top };
        ys[index] = ys[index].max(above);
    }
    for index in (0..ys.len()).rev() {
        let below = ys.get(index + 1).map_or(bottom, |next| next - LINE);
        ys[index] = ys[index].min(below);
    }
    ys
}

/// The name of each line at its end, none over another.
fn labels(
    whole: &Area,
    mut ends: Vec<((i32, i32), &Series)>,
    x: i32,
    high: (i32, i32),
) -> Result<()> {
    ends.sort_by_key(|(end, _)| end.1);
    let ys = apart(ends.iter().map(|(end, _)| end.1).collect(), high);
    for (((end_x, end_y), series), y) in ends.into_iter().zip(ys) {
        let colour = colour(series.look);
        let way = vec![(end_x + 6, end_y), (x, y)];
        // Thin and grey: no data.
        whole.draw(&PathElement::new(way, FAINT.mix(0.4)))?;
        if series.look.is_some() {
            marker(whole, (x + 8, y), series.look)?;
        }
        let text = font(14.0, colour).pos(Pos::new(HPos::Left, VPos::Center));
        whole.draw(&Text::new(series.name.clone(), (x + 17, y), text))?;
    }
    Ok(())
}

/// A small shape, by which a line is known without its colour.
fn marker(whole: &Area, (x, y): (i32, i32), look: Option<usize>) -> Result<()> {
    const SHAPES: usize = 7;
    let Some(number) = look else { return Ok(()) };
    let colour: RGBColor = colour(look);
    let line: ShapeStyle = colour.stroke_width(2);
    // Of another width than the lines, which have their dashes.
    let cross: ShapeStyle = colour.stroke_width(3);
    let at = |corners: &[(i32, i32)]| -> Vec<(i32, i32)> {
        corners.iter().map(|(right, down)| (x + right, y + down)).collect()
    };
    let square = [(-4, -4), (4, -4), (4, 4), (-4, 4), (-4, -4)];
    match number % SHAPES {
        0 => whole.draw(&Circle::new((x, y), 4, colour.filled()))?,
        1 => whole
            .draw(&Polygon::new(at(&[(0, -5), (5, 4), (-5, 4)]), colour.filled()))?,
        2 => whole.draw(&Polygon::new(at(&square), colour.filled()))?,
        3 => whole.draw(&Circle::new((x, y), 4, line))?,
        4 => {
            let corners = at(&[(0, -6), (5, 0), (0, 6), (-5, 0)]);
            whole.draw(&Polygon::new(corners, colour.filled()))?;
        }
        5 => whole.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], line))?,
        _ => {
            whole.draw(&PathElement::new(at(&[(-4, -4), (4, 4)]), cross))?;
            whole.draw(&PathElement::new(at(&[(-4, 4), (4, -4)]), cross))?;
        }
    }
    Ok(())
}
