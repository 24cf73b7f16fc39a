//! The report of another run of the bench, as `--compare` reads it: what is understood can be
//! shown in every form, and is written again as it was.

use super::super::{compare, csv, figures, svg, table};
use super::{parse, text};

/// The file.
pub(crate) fn run(input: &[u8]) {
    let Ok(report) = parse(input) else { return };
    let again = text(&report).expect("it is written again");
    let same = parse(again.as_bytes()).expect("it is read again");
    assert_eq!(text(&same).expect("and written again"), again);
    let _ = compare::text(&report, &same);
    let _ = table::text(&report, 80);
    let _ = figures::fragment(&report, "pipe");
    let lines = csv::text(&report).expect("it is a table");
    let mut reader = ::csv::Reader::from_reader(lines.as_bytes());
    let rows =
        reader.records().inspect(|row| assert!(row.is_ok(), "{row:?}")).count();
    assert_eq!(rows, report.floors.len() + report.rows.len());
    if let Ok(picture) = svg::draw(&report) {
        well_formed(&picture);
    }
}

/// What a reader of XML refuses first. (The tests have a whole parser.)
fn well_formed(text: &str) {
    for tag in text.split('<').skip(1) {
        assert!(
            tag.starts_with(|c: char| c.is_ascii_alphabetic() || "/?!".contains(c)),
            "<{tag}"
        );
    }
    for entity in text.split('&').skip(1) {
        let name = entity.split(';').next().unwrap_or_default();
        assert!(["amp", "lt", "gt", "quot", "apos"].contains(&name), "&{entity}");
    }
    assert!(
        text.chars().all(|c| c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}'
            || "\n\r\t".contains(c))
    );
    #[cfg(test)]
    roxmltree::Document::parse(text).expect("well-formed XML");
}
