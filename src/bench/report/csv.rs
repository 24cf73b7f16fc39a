//! `--csv`: one line a figure, for a spreadsheet.
//!
//! The cells are plain numbers and words; their units stand in the header. The floors come
//! first. What has no column here (other ratios, histograms) is in `--json`.

use anyhow::{Context, Result};

use super::super::model::{Figure, Floor, Outcome, Report, Row, Unit};
use super::floor_ratio;

/// The columns. New ones come at the end.
pub const HEADER: [&str; 47] = [
    "what",
    "chapter",
    "subject",
    "program",
    "placement",
    "size_bytes",
    "clients",
    "idle_clients",
    "outcome",
    "reason",
    "noisy",
    "ns",
    "ns_min",
    "ns_max",
    "bytes_per_s",
    "bytes_per_s_min",
    "bytes_per_s_max",
    "per_s",
    "per_s_min",
    "per_s_max",
    "messages_per_s",
    "windows",
    "timed",
    "p50_ns",
    "p90_ns",
    "p99_ns",
    "p999_ns",
    "max_ns",
    "switches_first",
    "switches_second",
    "floor",
    "floor_ratio",
    "floor_ratio_min",
    "floor_ratio_max",
    "floor_pairs",
    "c_ratio",
    "c_ratio_min",
    "c_ratio_max",
    "c_pairs",
    "python_ratio",
    "python_ratio_min",
    "python_ratio_max",
    "python_pairs",
    "ipclab",
    "date",
    "kernel",
    "cpu",
];

/// The report as CSV (RFC 4180): the header, the floors, the rows.
///
/// # Errors
/// None that a report can cause.
pub fn text(report: &Report) -> Result<String> {
    let told = "write the report as CSV";
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    out.write_record(HEADER).context(told)?;
    for floor in &report.floors {
        out.write_record(line(report, of_floor(floor))).context(told)?;
    }
    for row in &report.rows {
        out.write_record(line(report, of_row(report, row))).context(told)?;
    }
    let bytes = out.into_inner().context(told)?;
    String::from_utf8(bytes).context(told)
}

/// A cell and the column that it belongs to.
type Cell = (&'static str, String);

/// The cells in the header's order, the same head at the end of each.
fn line(report: &Report, mut cells: Vec<Cell>) -> Vec<String> {
    let head = &report.head;
    cells.push(("ipclab", head.version.clone()));
    cells.push(("date", head.date.clone()));
    cells.push(("kernel", head.kernel.clone()));
    cells.push(("cpu", head.cpu.clone()));
    let find = |name: &&str| cells.iter().find(|(column, _)| column == name);
    HEADER
        .iter()
        .map(|name| find(name).map_or_else(String::new, |(_, text)| text.clone()))
        .collect()
}

/// Name of a serde enum's value, as the JSON has it.
fn word(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn of_floor(floor: &Floor) -> Vec<Cell> {
    vec![
        ("what", "floor".to_owned()),
        ("subject", floor.name.clone()),
        ("placement", floor.placement.map(word).unwrap_or_default()),
        ("size_bytes", number(floor.size)),
        ("outcome", "measured".to_owned()),
        ("ns", floor.nanoseconds.to_string()),
        ("ns_min", floor.min.to_string()),
        ("ns_max", floor.max.to_string()),
    ]
}

fn of_row(report: &Report, row: &Row) -> Vec<Cell> {
    let mut cells = vec![
        ("what", word(row.what)),
        ("chapter", row.chapter.clone()),
        ("subject", row.subject.clone()),
        ("program", row.program.clone()),
        ("placement", row.placement.map(word).unwrap_or_default()),
        ("size_bytes", number(row.size)),
        ("clients", number(row.clients)),
        ("idle_clients", number(row.idle)),
    ];
    match &row.outcome {
        Outcome::Measured(figure) => {
            cells.push(("outcome", "measured".to_owned()));
            cells.extend(of_figure(report, figure));
        }
        Outcome::Invalid(why) => {
            cells.push(("outcome", "invalid".to_owned()));
            cells.push(("reason", why.clone()));
        }
        Outcome::Absent(why) => {
            cells.push(("outcome", "absent".to_owned()));
            cells.push(("reason", why.clone()));
        }
    }
    cells
}

fn of_figure(report: &Report, figure: &Figure) -> Vec<Cell> {
    let columns = match figure.unit {
        Unit::Nanoseconds => ["ns", "ns_min", "ns_max"],
        Unit::BytesPerSecond => {
            ["bytes_per_s", "bytes_per_s_min", "bytes_per_s_max"]
        }
        Unit::PerSecond => ["per_s", "per_s_min", "per_s_max"],
    };
    let values = [figure.value, figure.min, figure.max];
    let mut cells: Vec<Cell> =
        columns.into_iter().zip(values.map(|value| value.to_string())).collect();
    cells.push(("noisy", figure.noisy.clone().unwrap_or_default()));
    cells.push(("messages_per_s", number(figure.messages)));
    cells.push(("windows", figure.windows.to_string()));
    if let Some(percentiles) = &figure.percentiles {
        cells.push(("timed", percentiles.count.to_string()));
        let names = ["p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"];
        cells.extend(names.into_iter().zip(percentiles.known().map(number)));
    }
    if let Some([first, second]) = figure.switches {
        cells.push(("switches_first", first.to_string()));
        cells.push(("switches_second", second.to_string()));
    }
    let to = |name: &str| figure.ratios.iter().find(|ratio| ratio.to == name);
    let floor = floor_ratio(report, &figure.ratios);
    cells.push(("floor", floor.map(|ratio| ratio.to.clone()).unwrap_or_default()));
    const OF_FLOOR: [&str; 4] =
        ["floor_ratio", "floor_ratio_min", "floor_ratio_max", "floor_pairs"];
    const OF_C: [&str; 4] = ["c_ratio", "c_ratio_min", "c_ratio_max", "c_pairs"];
    const OF_PYTHON: [&str; 4] =
        ["python_ratio", "python_ratio_min", "python_ratio_max", "python_pairs"];
    for (columns, ratio) in
        [(OF_FLOOR, floor), (OF_C, to("C")), (OF_PYTHON, to("Python"))]
    {
        if let Some(ratio) = ratio {
            let values = [ratio.median, ratio.min, ratio.max];
            cells.extend(
                columns.into_iter().zip(values.map(|value| value.to_string())),
            );
            cells.push((columns[3], ratio.pairs.to_string()));
        }
    }
    cells
}

fn number<N: ToString>(value: Option<N>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
