//! The lie of a floor that is none: memcpy between two buffers as malloc has laid them, on a
//! CPU that is slow there.

use anyhow::{Context, Result};

use super::runner::{PairPlan, Runner, median, pipe};
use super::tell::{LieReport, Line, Method, off};
use crate::floors::copy::TRIED;
use crate::job::Mode;
use crate::model::{Placement, Unit};
use crate::report::units;
use crate::tripwire::OneWay;

const SIZES: [u64; 2] = [4 << 10, 64 << 10];
/// The second of two blocks that malloc lays one after the other begins behind a header of
/// so many bytes; their sizes are whole pages.
const HEADER: usize = 16;

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let (mut lines, mut facts) = (Vec::new(), Vec::new());
    let figure = |rate| units::figure(rate, Unit::BytesPerSecond);
    let apart = [&[HEADER], TRIED].concat();
    for size in SIZES {
        let one_way =
            PairPlan { mode: Mode::Oneway, ..pipe("pipe", size, runner.same()) };
        let all = runner.beside_copies(one_way, &apart)?;
        let rates: Vec<f64> = all.iter().map(median).collect();
        let (rate, published) = (rates[0], rates[1]);
        let tried = TRIED.iter().zip(&rates[2..]);
        let (best, honest) =
            tried.max_by(|a, b| a.1.total_cmp(b.1)).context("none")?;
        let size = units::size(size);
        let (memcpy, pipe) = (format!("memcpy, {size}"), format!("pipe, {size}"));
        let where_ = |apart| format!("to {apart} B behind its source");
        let how = format!("{}, the best of {}", where_(best), TRIED.len());
        lines.push(Line::new(
            Method::Published,
            &memcpy,
            figure(published),
            &where_(&HEADER),
        ));
        lines.push(Line::new(Method::Honest, &memcpy, figure(*honest), &how));
        let part = |floor| units::digits(rate / floor);
        let how = format!(
            "{} of that floor, {} of the honest one",
            part(published),
            part(*honest)
        );
        lines.push(Line::new(Method::Beside, &pipe, figure(rate), &how));
        facts.push(format!("{size}: {}", off(published, *honest)));
        let moved = OneWay { placement: Placement::Same, rate, copies: 2 };
        let verdict = moved.flaw(published).map_or_else(
            || "silent: this CPU is not so slow there".to_owned(),
            |flaw| format!("invalid: {flaw}"),
        );
        facts.push(format!("{size}: tripwire, with that floor: {verdict}"));
    }
    Ok(LieReport {
        title: "alignment: a floor that is measured where malloc happened to lay it",
        lines,
        facts,
        why: "Some CPUs copy much slower if the destination begins 1 to 31 bytes behind \
              the source, modulo 4096: an AMD EPYC took 22 µs for 64 KiB, not 1.3. malloc's \
              header of 16 bytes does it, between two blocks or before a large one. Beside \
              such a floor all look good; with such a buffer a mechanism looks bad.",
        see: "memcpy that is slower than a pipe, or much slower at one size than at the \
              next. Measure at several alignments and take the best; and align all buffers, \
              also those of whom you compare with.",
    })
}
