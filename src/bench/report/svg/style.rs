//! The colours, dashes and fonts of the picture, and the scales of its axes.

use plotters::style::{IntoTextStyle, RGBColor, TextStyle};

/// A colour on light ground, and the one for dark ground. No two are the same.
pub(super) type Pair = (RGBColor, RGBColor);

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

pub(super) const GROUND: Pair = (rgb(0xFFFFFF), rgb(0x0D1117));
pub(super) const WORDS: Pair = (rgb(0x24292F), rgb(0xD6DDE4));
pub(super) const ASIDE: Pair = (rgb(0x57606B), rgb(0x9AA6B2));
pub(super) const RULES: Pair = (rgb(0x8C959F), rgb(0x6E7681));
pub(super) const NET: Pair = (rgb(0xD0D7DE), rgb(0x3A424B));
pub(super) const FINE: Pair = (rgb(0xEAEEF2), rgb(0x20262E));

pub(super) const TEXT: RGBColor = WORDS.0;
pub(super) const FAINT: RGBColor = ASIDE.0;
pub(super) const AXIS: RGBColor = RULES.0;
pub(super) const GRID: RGBColor = NET.0;
pub(super) const THIN: RGBColor = FINE.0;

const LINES: [Pair; 8] = [
    (rgb(0x0B7285), rgb(0x5FD3E6)),
    (rgb(0xB3261E), rgb(0xFF8A80)),
    (rgb(0x2B7A0B), rgb(0x8BDC6E)),
    (rgb(0x7B3FA0), rgb(0xD6A4F2)),
    (rgb(0x8A5A00), rgb(0xF0C05A)),
    (rgb(0x1F4FB0), rgb(0x8AB4FF)),
    (rgb(0xA0286A), rgb(0xFF9CCF)),
    (rgb(0x4D5560), rgb(0xB8C2CC)),
];

/// The dashes of a line, in pixels; none is a whole line.
pub(super) const DASHES: [&str; 5] = ["", "8 4", "2 3", "12 4 2 4", "5 2"];
/// How many lines each have a colour of their own, if only by a shade.
pub(super) const MOST: usize = 8 * LINES.len();

/// After each round through the colours the same again, by one shade of blue apart: the
/// style sheet distinguishes lines by their colour.
pub(super) fn pair(look: usize) -> Pair {
    let look = look % MOST;
    let (RGBColor(red, green, blue), dark) = LINES[look % LINES.len()];
    (RGBColor(red, green, blue ^ (look / LINES.len()) as u8), dark)
}

/// The colour of a line, as it is drawn.
pub(super) fn colour(look: Option<usize>) -> RGBColor {
    look.map_or(FAINT, |look| pair(look).0)
}

pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Text in a colour; plotters' sizes are 1.24 times those of the picture.
pub(super) fn font(pixels: f64, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", pixels * 1.24).with_color(colour).into_text_style(&(0u32, 0u32))
}
