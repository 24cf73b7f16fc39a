//! `--svg`: the figures as one picture, readable in light and dark, without colours, and
//! without eyes.
//!
//! Each placement has panels of its own: latency by size, throughput by size, and how the
//! single round trips are spread. Placements are never mixed in one.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::super::model::{
    Figure, Outcome, Percentiles, Placement, Report, Row, Unit, What,
};
use super::units::{digits, figure, size};
use super::{floor_ratio, in_words};
use panel::{Axis, Panel, Series};
use scale::{log2, nines};

mod paint;
mod panel;
mod scale;
mod style;

/// The picture.
///
/// # Errors
/// A report with neither latency nor throughput in it: nothing to draw.
pub fn draw(report: &Report) -> Result<String> {
    let all: Vec<Drawn> = report.rows.iter().filter_map(Drawn::of).collect();
    let mut subjects: Vec<&str> = Vec::new();
    for drawn in &all {
        if !subjects.contains(&drawn.row.subject.as_str()) {
            subjects.push(&drawn.row.subject);
        }
    }
    let placements: BTreeSet<_> =
        all.iter().map(|drawn| drawn.row.placement).collect();
    let mut panels = Vec::new();
    let mut told = Vec::new();
    for placement in placements {
        let here: Vec<_> = all
            .iter()
            .copied()
            .filter(|drawn| drawn.row.placement == placement)
            .collect();
        let set = Set { report, subjects: &subjects, placement, all: here };
        for panel in [
            set.by_size(What::Latency),
            set.by_size(What::Throughput),
            set.distribution(),
        ] {
            panels.extend(panel);
        }
        told.extend(set.told(What::Latency));
        told.extend(set.told(What::Throughput));
    }
    if panels.is_empty() {
        bail!(
            "nothing to draw: no latency or throughput of ipclab was measured; \
             leave --svg out, or measure a chapter that sends messages"
        );
    }
    let title = format!("ipclab bench: {}", subjects.join(", "));
    let head = &report.head;
    let mut about =
        format!("Measured {} on {}, {}. ", head.date, head.cpu, head.kernel);
    about += &told.join(" ");
    paint::picture(&title, &about, &panels)
}

/// A row that is drawn.
#[derive(Clone, Copy)]
struct Drawn<'a> {
    row: &'a Row,
    figure: &'a Figure,
    size: u64,
}

impl<'a> Drawn<'a> {
    /// The peers are left to the table: here they would lie on ours.
    fn of(row: &'a Row) -> Option<Drawn<'a>> {
        let is_kind = matches!(row.what, What::Latency | What::Throughput);
        match (&row.outcome, row.size) {
            (Outcome::Measured(figure), Some(size @ 1..))
                if is_kind && row.program == "ipclab" && figure.value > 0.0 =>
            {
                Some(Drawn { row, figure, size })
            }
            _ => None,
        }
    }
}

/// All that is drawn of one placement.
struct Set<'a> {
    report: &'a Report,
    /// In all panels, so that a subject looks the same in each.
    subjects: &'a [&'a str],
    placement: Option<Placement>,
    all: Vec<Drawn<'a>>,
}

impl<'a> Set<'a> {
    fn of(&self, what: What) -> impl Iterator<Item = Drawn<'a>> {
        self.all.iter().copied().filter(move |drawn| drawn.row.what == what)
    }

    fn title(&self, what: &str) -> String {
        match self.placement {
            Some(placement) => format!("{what}; {}", in_words(placement)),
            None => what.to_owned(),
        }
    }

    /// A line a subject, over the sizes.
    fn by_size(&self, what: What) -> Option<Panel> {
        let (name, unit) = match what {
            What::Latency => ("Round trip by size", Unit::Nanoseconds),
            _ => ("Throughput by size", Unit::BytesPerSecond),
        };
        let fits = |drawn: &Drawn| drawn.figure.unit == unit;
        let rows: Vec<_> = self.of(what).filter(fits).collect();
        let sizes: BTreeSet<u64> = rows.iter().map(|drawn| drawn.size).collect();
        let mut series: Vec<Series> = Vec::new();
        for (look, subject) in self.subjects.iter().enumerate() {
            let own = rows.iter().filter(|drawn| drawn.row.subject == *subject);
            let mut points: Vec<_> = own
                .map(|drawn| (log2(drawn.size), drawn.figure.value.log10()))
                .collect();
            points.sort_by(|one, two| one.0.total_cmp(&two.0));
            series.push(Series {
                name: (*subject).to_owned(),
                look: Some(look),
                marks: points.clone(),
                points,
            });
        }
        series.extend(self.floors(&rows, &sizes, unit));
        series.retain(|series| !series.points.is_empty());
        Some(Panel {
            title: self.title(name),
            x: Axis::sizes(&sizes)?,
            y: Axis::figures(&series, unit)?,
            series,
        })
    }

    /// What the machine can do at best, where the rows are compared with it.
    fn floors(
        &self,
        rows: &[Drawn],
        sizes: &BTreeSet<u64>,
        unit: Unit,
    ) -> Vec<Series> {
        let compared = |drawn: &Drawn| {
            floor_ratio(self.report, &drawn.figure.ratios)
                .map(|ratio| ratio.to.clone())
        };
        let names: BTreeSet<String> = rows.iter().filter_map(compared).collect();
        let here = |placement: Option<Placement>| {
            placement.is_none() || placement == self.placement
        };
        let series = |name: String| {
            let floors = || {
                let all = self.report.floors.iter();
                all.filter(|floor| floor.name == name && here(floor.placement))
            };
            let at = |size: &u64| {
                let floor = floors().find(|floor| floor.size == Some(*size));
                let floor =
                    floor.or_else(|| floors().find(|floor| floor.size.is_none()));
                let value = match unit {
                    Unit::Nanoseconds => floor?.nanoseconds,
                    _ => *size as f64 / floor?.nanoseconds * 1e9,
                };
                Some((log2(*size), value.log10()))
            };
            // A floor without a size has no bytes per second.
            let sized = floors().any(|floor| floor.size.is_some());
            let mut points: Vec<_> = match sized || unit == Unit::Nanoseconds {
                true => sizes.iter().filter_map(at).collect(),
                false => Vec::new(),
            };
            // Of one size alone it is a line still: it has no markers.
            if let [(x, y)] = points[..] {
                points = vec![(x - 0.2, y), (x + 0.2, y)];
            }
            Series { name, look: None, points, marks: Vec::new() }
        };
        names.into_iter().map(series).collect()
    }

    /// A line a subject: how long the fastest so many of the round trips took at most.
    fn distribution(&self) -> Option<Panel> {
        let with = |drawn: &Drawn| {
            let percentiles = drawn.figure.percentiles.as_ref();
            percentiles.is_some_and(|all| all.count > 0 && !all.histogram.is_empty())
        };
        let rows: Vec<_> = self.of(What::Latency).filter(with).collect();
        let sizes: BTreeSet<u64> = rows.iter().map(|drawn| drawn.size).collect();
        let of = sizes.get(&64).or(sizes.first()).copied()?;
        let mut series = Vec::new();
        for drawn in rows.iter().filter(|drawn| drawn.size == of) {
            let look = self
                .subjects
                .iter()
                .position(|subject| *subject == drawn.row.subject);
            let Some(percentiles) = &drawn.figure.percentiles else { continue };
            let (points, marks) = quantiles(percentiles);
            let name = drawn.row.subject.clone();
            series.push(Series { name, look, points, marks });
        }
        let last = series.iter().flat_map(|series| &series.points);
        let last = last.map(|point| point.0).fold(0.0, f64::max);
        Some(Panel {
            title: self.title(&format!("How {} round trips are spread", size(of))),
            x: Axis::percentiles(last),
            y: Axis::figures(&series, Unit::Nanoseconds)?,
            series,
        })
    }

    /// The figures in a sentence: those of 64 B, or of the one size nearest to it.
    fn told(&self, what: What) -> Option<String> {
        let far = |size: u64| (log2(size) - 6.0).abs();
        let sizes = self.of(what).map(|drawn| drawn.size);
        let of = sizes.min_by(|one, two| far(*one).total_cmp(&far(*two)))?;
        let kind = match what {
            What::Latency => "Round trip",
            _ => "Throughput",
        };
        let rows = self.of(what).filter(|drawn| drawn.size == of).map(|drawn| {
            let value = figure(drawn.figure.value, drawn.figure.unit);
            let subject = &drawn.row.subject;
            match floor_ratio(self.report, &drawn.figure.ratios) {
                Some(ratio) => {
                    let times = digits(ratio.median);
                    format!("{subject} {value}, which is {times} × {}", ratio.to)
                }
                None => format!("{subject} {value}"),
            }
        });
        let rows: Vec<_> = rows.collect();
        Some(format!(
            "{}: {}.",
            self.title(&format!("{kind} of {}", size(of))),
            rows.join("; ")
        ))
    }
}

/// The line of a distribution, and its points of note: p50, p90, p99, p99.9.
#[allow(clippy::type_complexity)]
fn quantiles(all: &Percentiles) -> (Vec<(f64, f64)>, Vec<(f64, f64)>) {
    let log = |nanoseconds: u64| (nanoseconds.max(1) as f64).log10();
    let whole =
        all.histogram.iter().map(|(_, count)| count).sum::<u64>().max(1) as f64;
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut below = 0.0;
    for (value, count) in &all.histogram {
        if points.is_empty() {
            points.push((0.0, log(*value)));
        }
        below += *count as f64;
        // All of them would be infinitely far: half of the slowest one is left out.
        let part = (below / whole).min(1.0 - 0.5 / whole);
        points.push((nines(part), log(*value)));
    }
    let last = points.last().map_or(0.0, |point| point.0);
    let known = [0.5, 0.9, 0.99, 0.999].into_iter().zip(all.known());
    let marks = known.filter_map(|(part, value)| Some((nines(part), log(value?))));
    (points, marks.filter(|mark| mark.0 <= last).collect())
}
