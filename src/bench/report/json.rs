//! `--json`: the whole report, for programs and for the next run's `--compare`.

use std::io;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::super::model::{Report, SCHEMA};
use wire::errors::Advise;

#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/report.rs"]
pub(crate) mod fuzz;

/// The report as JSON, indented; a pair such as a histogram's stands on one line.
///
/// # Errors
/// None for a report whose figures are finite numbers.
pub fn text(report: &Report) -> Result<String> {
    let mut out = Vec::new();
    let mut writer = Serializer::with_formatter(&mut out, Pairs::default());
    report.serialize(&mut writer).context("write the report as JSON")?;
    out.push(b'\n');
    String::from_utf8(out).context("write the report as JSON")
}

/// Reads a report that `--json` has written.
///
/// # Errors
/// ENOENT and the like; a file that is cut off, no report, or of another schema.
pub fn read(path: &Path) -> Result<Report> {
    let told = || format!("read {}", path.display());
    let text = std::fs::read(path).with_context(told)?;
    parse(&text).with_context(told).advise(|_| {
        Some("give a file that `ipclab bench --json FILE` of this version has written")
    })
}

fn parse(text: &[u8]) -> Result<Report> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| match error.is_eof() {
            true if text.is_empty() => anyhow!("it is empty"),
            true => anyhow!("it is cut off in line {}", error.line()),
            false => anyhow!("it is no JSON: {error}"),
        })?;
    // Before anything else: another schema's fields may be called the same.
    match value.get("schema") {
        None => return Err(anyhow!("it is no report of a bench: it has no schema")),
        Some(Value::Number(schema)) if schema.as_u64() == Some(SCHEMA.into()) => {}
        Some(other) => {
            return Err(anyhow!(
                "it is of schema {other}, and this ipclab knows schema {SCHEMA} alone"
            ));
        }
    }
    serde_json::from_value(value)
        .map_err(|error| anyhow!("it is no report of a bench: {error}"))
}

/// Indented as usual, but an array directly in an array on one line.
#[derive(Default)]
struct Pairs {
    pretty: PrettyFormatter<'static>,
    /// For each array and object around: whether it is an array.
    around: Vec<bool>,
    /// How many of the arrays around are on one line.
    flat: usize,
}

impl Formatter for Pairs {
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        let inner = self.flat > 0 || self.around.last() == Some(&true);
        self.around.push(true);
        if inner {
            self.flat += 1;
            return out.write_all(b"[");
        }
        self.pretty.begin_array(out)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.around.pop();
        if self.flat > 0 {
            self.flat -= 1;
            return out.write_all(b"]");
        }
        self.pretty.end_array(out)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        match (self.flat > 0, first) {
            (true, true) => Ok(()),
            (true, false) => out.write_all(b", "),
            (false, _) => self.pretty.begin_array_value(out, first),
        }
    }

    fn end_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
    ) -> io::Result<()> {
        match self.flat {
            0 => self.pretty.end_array_value(out),
            _ => Ok(()),
        }
    }

    fn begin_object<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
    ) -> io::Result<()> {
        self.around.push(false);
        self.pretty.begin_object(out)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.around.pop();
        self.pretty.end_object(out)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.pretty.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
    ) -> io::Result<()> {
        self.pretty.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
    ) -> io::Result<()> {
        self.pretty.end_object_value(out)
    }
}
