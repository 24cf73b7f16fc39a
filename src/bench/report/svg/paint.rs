//! The picture as a whole: its colours in light and dark, and its words for those who
//! cannot see it.
//!
//! The lines are drawn in the light colours, which any viewer shows. A style sheet puts
//! those of the dark in their place, each found by the light one.

use std::fmt::Write;

use anyhow::{Context, Result};
use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::style::{RGBColor, TextStyle};

use super::panel::{Panel, style};

/// Its width in pixels: that of the book's pages.
const WIDTH: i32 = 900;

/// A colour on light ground, and the one for dark ground. No two are the same.
type Pair = (RGBColor, RGBColor);

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const GROUND: Pair = (rgb(0xFFFFFF), rgb(0x0D1117));
const WORDS: Pair = (rgb(0x24292F), rgb(0xD6DDE4));
const ASIDE: Pair = (rgb(0x57606B), rgb(0x9AA6B2));
const RULES: Pair = (rgb(0x8C959F), rgb(0x6E7681));
const NET: Pair = (rgb(0xD0D7DE), rgb(0x3A424B));
const FINE: Pair = (rgb(0xEAEEF2), rgb(0x20262E));

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
const DASHES: [&str; 5] = ["", "8 4", "2 3", "12 4 2 4", "5 2"];
/// How many lines each have a colour of their own, if only by a shade.
const MOST: usize = 8 * LINES.len();

/// After each round through the colours the same again, by one shade of blue apart: the
/// style sheet tells lines by their colour.
fn pair(look: usize) -> Pair {
    let look = look % MOST;
    let (RGBColor(red, green, blue), dark) = LINES[look % LINES.len()];
    (RGBColor(red, green, blue ^ (look / LINES.len()) as u8), dark)
}

/// The colour of a line, as it is drawn.
pub(super) fn colour(look: Option<usize>) -> RGBColor {
    look.map_or(FAINT, |look| pair(look).0)
}

pub(super) fn font(pixels: f64, colour: RGBColor) -> TextStyle<'static> {
    style(pixels, colour)
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The panels, one below the other, in an SVG with its title and description.
pub(super) fn picture(title: &str, about: &str, panels: &[Panel]) -> Result<String> {
    let height: i32 = panels.iter().map(Panel::height).sum();
    let mut drawn = String::new();
    {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let whole = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        whole.fill(&GROUND.0)?;
        let mut top = 0;
        let beside = panels.iter().map(Panel::beside).max().unwrap_or(0);
        for panel in panels {
            panel.draw(&whole, WIDTH, top, beside)?;
            top += panel.height();
        }
        whole.present()?;
    }
    let looks = panels.iter().flat_map(|panel| &panel.series);
    let looks =
        looks.filter_map(|series| series.look).max().map_or(0, |most| most + 1);
    // plotters' own first element has no room for words.
    let body = drawn.split_once("<svg").and_then(|(_, rest)| rest.split_once('>'));
    let (_, body) = body.context("draw the picture")?;
    let body = dashed(body, looks);
    // A page may have several pictures.
    let id: String = title
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let (title, about) = (escaped(title), escaped(about));
    Ok(format!(
        "<svg class=\"ipclab-bench\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-about\" \
         viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\">\n\
         <title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-about\">{about}</desc>\n\
         <style>{}</style>{body}",
        sheet(looks)
    ))
}

/// The colours for a page of mdBook's themes, and for a picture by itself. Without
/// JavaScript a page says `light` whatever it is: there the browser's wish counts.
fn sheet(looks: usize) -> String {
    const SVG: &str = ".ipclab-bench";
    let mut pairs = vec![GROUND, WORDS, ASIDE, RULES, NET, FINE];
    pairs.extend((0..looks.min(MOST)).map(pair));
    let (mut light, mut dark, mut rules) =
        (String::new(), String::new(), String::new());
    for (number, (day, night)) in pairs.into_iter().enumerate() {
        let _ = write!(light, "--c{number}:{};", hex(day));
        let _ = write!(dark, "--c{number}:{};", hex(night));
        for what in ["fill", "stroke"] {
            let day = hex(day);
            let _ =
                write!(rules, "{SVG} [{what}=\"{day}\"]{{{what}:var(--c{number})}}");
        }
    }
    // On a page the ground is the page's.
    let clear = "--c0:transparent";
    format!(
        "{SVG}{{{light}max-width:100%;height:auto}}\
         @media(prefers-color-scheme:dark){{{SVG}{{{dark}}}}}\
         .js.light {SVG},.rust {SVG}{{{light}{clear}}}\
         .coal {SVG},.navy {SVG},.ayu {SVG}{{{dark}{clear}}}{rules}"
    )
}

/// Gives each line its dashes: plotters has none for lines of many points.
fn dashed(body: &str, looks: usize) -> String {
    let mut lines: Vec<(String, &str)> = (0..looks)
        .map(|look| (hex(pair(look).0), DASHES[look % DASHES.len()]))
        .collect();
    lines.push((hex(FAINT), "1 4"));
    let mut out = String::with_capacity(body.len());
    for line in body.split_inclusive('\n') {
        let dashes = lines.iter().find(|(colour, dashes)| {
            !dashes.is_empty()
                && line.starts_with("<polyline")
                && line.contains("stroke-width=\"2\"")
                && line.contains(&format!("stroke=\"{colour}\""))
        });
        match dashes {
            Some((_, dashes)) => {
                let dashes = format!("<polyline stroke-dasharray=\"{dashes}\"");
                out += &line.replacen("<polyline", &dashes, 1);
            }
            None => out += line,
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
