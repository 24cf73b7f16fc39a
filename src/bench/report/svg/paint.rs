//! The picture as a whole: its colours in light and dark, and its words for readers who
//! cannot see it.
//!
//! The lines are drawn in the light colours, which any viewer shows. A style sheet puts
//! those of the dark in their place, each found by the light one.

use std::fmt::Write;

use anyhow::{Context, Result};
use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea;

use super::panel::Panel;
use super::style::{
    ASIDE, DASHES, FAINT, FINE, GROUND, MOST, NET, RULES, WORDS, hex, pair,
};

/// Its width in pixels: that of the book's pages.
const WIDTH: i32 = 900;

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
