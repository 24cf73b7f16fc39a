//! Figures as people read them: the unit that fits, and three digits.

use super::super::model::Unit;

/// Three significant digits: `1.94`, `19.4`, `194`, `1,940`; fewer below 0.01.
///
/// ```
/// use ipclab_bench::report::units::digits;
/// assert_eq!(digits(1.9449), "1.94");
/// assert_eq!(digits(9.999), "10.0");
/// assert_eq!(digits(1_234.5), "1,230");
/// assert_eq!(digits(0.003215), "0.0032");
/// assert_eq!(digits(0.0003215), "3.2e-4");
/// ```
pub fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rounded first, so that 9.999 is 10.0 and not 10.00.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let whole = rounded.abs().log10().floor() as i32;
    match 2 - whole {
        decimals if decimals > 5 => format!("{rounded:.1e}"),
        // No longer than four decimals: 0.0032.
        decimals @ 1.. => format!("{rounded:.0$}", decimals.min(4) as usize),
        0 => format!("{rounded:.0}"),
        _ => {
            let sign = if rounded < 0.0 { "-" } else { "" };
            let whole = wire::say::grouped(rounded.abs() as u64);
            format!("{sign}{whole}")
        }
    }
}

/// A unit with its name and how many base units it has.
type Scale = (f64, &'static str);

const TIMES: [Scale; 4] = [(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const BYTES: [Scale; 4] =
    [(1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")];
const RATES: [Scale; 4] = [(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")];

/// The greatest unit of which there is at least one.
fn scale(value: f64, scales: &[Scale; 4]) -> Scale {
    // 999.6 ns would be written as 1,000 ns.
    let fits = |scale: &&Scale| value.abs() * 1.0005 >= scale.0;
    scales.iter().rev().find(fits).copied().unwrap_or(scales[0])
}

fn scales(unit: Unit) -> &'static [Scale; 4] {
    match unit {
        Unit::Nanoseconds => &TIMES,
        Unit::BytesPerSecond => &BYTES,
        Unit::PerSecond => &RATES,
    }
}

/// A figure in the unit that fits: `1.94 µs`, `9.70 GB/s`, `328 k/s`.
///
/// ```
/// use ipclab_bench::{model::Unit, report::units::figure};
/// assert_eq!(figure(1_940.0, Unit::Nanoseconds), "1.94 µs");
/// assert_eq!(figure(999.7, Unit::Nanoseconds), "1.00 µs");
/// assert_eq!(figure(9.7e9, Unit::BytesPerSecond), "9.70 GB/s");
/// assert_eq!(figure(328_000.0, Unit::PerSecond), "328 k/s");
/// ```
pub fn figure(value: f64, unit: Unit) -> String {
    let (one, name) = scale(value, scales(unit));
    format!("{} {name}", digits(value / one))
}

/// The least and the greatest, in the unit that fits `value`: `1.90–1.99`.
pub fn range(min: f64, max: f64, value: f64, unit: Unit) -> String {
    let one = scale(value, scales(unit)).0;
    format!("{}–{}", digits(min / one), digits(max / one))
}

/// `other` in the unit that [`figure`] takes for `value`, without its name; from 1,000 of
/// them on in the unit that fits it, with its name.
///
/// ```
/// use ipclab_bench::{model::Unit, report::units::beside};
/// assert_eq!(beside(305.0, 261.0, Unit::Nanoseconds), "305");
/// assert_eq!(beside(12_000_000.0, 261.0, Unit::Nanoseconds), "12.0 ms");
/// ```
pub fn beside(other: f64, value: f64, unit: Unit) -> String {
    let scales = scales(unit);
    let (one, _) = scale(value, scales);
    // As in `scale`: what would be written as 1,000.
    match other.abs() * 1.0005 >= one * 1e3 && one < scales[3].0 {
        true => figure(other, unit),
        false => digits(other / one),
    }
}

/// A size in bytes: `1 B`, `64 B`, `4 KiB`, `1 MiB`; as it is where that is not whole.
///
/// ```
/// use ipclab_bench::report::units::size;
/// assert_eq!([size(64), size(1000), size(65536)], ["64 B", "1,000 B", "64 KiB"]);
/// ```
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] =
        [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole =
        |unit: &&(u64, &str)| bytes >= unit.0 && bytes.is_multiple_of(unit.0);
    match UNITS.iter().find(whole) {
        Some((unit, name)) => format!("{} {name}", grouped(bytes / unit)),
        None => format!("{} B", grouped(bytes)),
    }
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: impl Into<u64>) -> String {
    wire::say::grouped(number.into())
}
