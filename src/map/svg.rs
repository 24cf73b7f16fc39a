//! The map as a picture: processes on the left as a tree, objects on the right, a line for each
//! process that holds an object.
//!
//! The layout is our own and stable: processes stand in the order of the tree, objects in the
//! order of the processes that hold them, whatever else changes. Each shape has its colours as
//! plain attributes too, since no program but browsers knows a `var(…)`.

use std::collections::BTreeMap;
use std::fmt::Write;

use wire::visible::visible;

use super::descendants::tree;
use super::label::label;
use super::model::{Holder, Map, On};
use super::shapes;
use super::text::{cycle_text, descriptor, doing};

/// How far apart two lines' ends are, and what a box is high at least.
const PORT: f64 = 15.0;
const LEAST: f64 = 40.0;
const GAP: f64 = 14.0;
const MARGIN: f64 = 12.0;
/// The widths of a process's box, of the gap between the columns, and of an object's box.
const PROCESS: f64 = 210.0;
const BETWEEN: f64 = 190.0;
const OBJECT: f64 = 330.0;
/// What a process is moved to the right for each of its parents.
const STEP: f64 = 16.0;
/// How many characters of these widths there are room for.
const CHARACTER: f64 = 6.6;

const STYLE: &str = "\
.ipclab-map{LIGHT;max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){.ipclab-map{DARK}}\
.js.light .ipclab-map,.js.rust .ipclab-map{LIGHT}\
.js.coal .ipclab-map,.js.navy .ipclab-map,.js.ayu .ipclab-map{DARK}\
.ipclab-map text{fill:var(--t)}.ipclab-map text.f{fill:var(--f)}.ipclab-map text.b{fill:var(--b)}\
.ipclab-map .box{fill:var(--p);stroke:var(--r)}.ipclab-map .thing{fill:var(--p);stroke:var(--t)}\
.ipclab-map .part{fill:var(--u)}.ipclab-map .way{stroke:var(--l)}.ipclab-map .tip{fill:var(--l)}\
.ipclab-map .sleeps{stroke:var(--s)}.ipclab-map .slept{fill:var(--s)}";

/// Each colour's name, and what it is in light and in dark.
const COLOURS: [[&str; 3]; 8] = [
    ["t", "#24292f", "#d6dde4"],
    ["f", "#5f6872", "#98a4b0"],
    ["b", "#b3261e", "#ff8a80"],
    ["p", "#ffffff", "#1b2030"],
    ["r", "#0b7285", "#5fd3e6"],
    ["u", "#c9b8f2", "#54468a"],
    ["l", "#6e7781", "#8b98a5"],
    ["s", "#8a5a00", "#f0c05a"],
];

/// The light one of a colour.
pub(super) fn light(name: &str) -> &'static str {
    let named = COLOURS.iter().find(|colour| colour[0] == name);
    named.map_or(COLOURS[0][1], |colour| colour[1])
}

fn variables(which: usize) -> String {
    let all =
        COLOURS.iter().map(|colour| format!("--{}:{}", colour[0], colour[which]));
    all.collect::<Vec<_>>().join(";")
}

/// A line between a process and an object: what it holds there.
struct Line {
    process: usize,
    object: usize,
    read: bool,
    write: bool,
    cloexec: bool,
    sleeps: bool,
    words: String,
}

/// The picture, `title` being what it shows.
pub(super) fn picture(map: &Map, title: &str) -> String {
    let tree = tree(map);
    let places: BTreeMap<usize, usize> =
        tree.iter().enumerate().map(|(place, (at, _))| (*at, place)).collect();
    let mut objects: Vec<usize> =
        (0..map.objects.len()).filter(|at| map.objects[*at].shown).collect();
    objects.sort_by_key(|at| {
        let holders = &map.objects[*at].holders;
        let places: Vec<usize> = holders
            .iter()
            .filter_map(|it| places.get(&it.process).copied())
            .collect();
        let sum: usize = places.iter().sum();
        (sum * 64 / places.len().max(1), map.objects[*at].key)
    });
    let lines = lines(map, &objects, &places);
    let depth = tree.iter().map(|(_, branch)| branch.chars().count() / 2).max();
    let left = MARGIN + depth.unwrap_or(0) as f64 * STEP + PROCESS;
    let right = left + BETWEEN;
    let width = right + OBJECT + MARGIN;
    let (process_tops, process_end) = stack(
        tree.iter()
            .map(|(at, _)| lines.iter().filter(|it| it.process == *at).count()),
    );
    let (object_tops, object_end) = stack(
        objects.iter().map(|at| lines.iter().filter(|it| it.object == *at).count()),
    );
    let mut out = String::new();
    let mut from = BTreeMap::new();
    for ((at, branch), (top, height)) in tree.iter().zip(&process_tops) {
        let x = MARGIN + (branch.chars().count() / 2) as f64 * STEP;
        process(map, *at, (x, *top), (left - x, *height), &mut out);
        let mut port = ports(
            *top,
            *height,
            lines.iter().filter(|it| it.process == *at).count(),
        );
        for (number, _) in
            lines.iter().enumerate().filter(|(_, it)| it.process == *at)
        {
            from.insert(number, port.next().unwrap_or(*top));
        }
    }
    for (at, (top, height)) in objects.iter().zip(&object_tops) {
        shapes::object(map, *at, (right, *top), (OBJECT, *height), &mut out);
        let theirs: Vec<_> =
            lines.iter().enumerate().filter(|(_, it)| it.object == *at).collect();
        let ports = ports(*top, *height, theirs.len());
        for ((number, line), y) in theirs.into_iter().zip(ports) {
            draw(map, line, (left, from[&number]), (right, y), &mut out);
        }
    }
    let end = sentences(map, process_end.max(object_end), width, &mut out);
    let style = STYLE.replace("DARK", &variables(2)).replace("LIGHT", &variables(1));
    let title = escaped(title);
    format!(
        "<svg class=\"ipclab-map\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         viewBox=\"0 0 {width:.0} {end:.0}\" width=\"{width:.0}\" height=\"{end:.0}\" \
         font-family=\"monospace\" font-size=\"11\">\n<title>{title}</title>\n\
         <desc>Processes on the left, the objects that they hold on the right. A line has the \
         descriptor and its mode; a thick one: the process sleeps on it; a dashed one: \
         close-on-exec.</desc>\n<style>{style}</style>\n{out}</svg>\n"
    )
}

/// Where boxes begin that have so many lines each, one below the other, and how high they are;
/// and where the last one ends.
fn stack(lines: impl Iterator<Item = usize>) -> (Vec<(f64, f64)>, f64) {
    let mut top = MARGIN;
    let mut all = Vec::new();
    for count in lines {
        let height = (count as f64 * PORT + 8.0).max(LEAST);
        all.push((top, height));
        top += height + GAP;
    }
    (all, top)
}

/// Where the lines of a box end, from top to bottom.
fn ports(top: f64, height: f64, count: usize) -> impl Iterator<Item = f64> {
    let first = top + (height - count as f64 * PORT) / 2.0 + PORT * 0.7;
    (0..count).map(move |number| first + number as f64 * PORT)
}

/// The lines, a process's in one mode to one end of an object being one.
fn lines(
    map: &Map,
    objects: &[usize],
    places: &BTreeMap<usize, usize>,
) -> Vec<Line> {
    let mut all = Vec::new();
    for object in objects {
        let mut grouped: BTreeMap<_, Vec<&Holder>> = BTreeMap::new();
        for holder in &map.objects[*object].holders {
            if let Some(place) = places.get(&holder.process) {
                let mode = (!holder.write, holder.read);
                let key = (*place, holder.end, mode, holder.process);
                grouped.entry(key).or_default().push(holder);
            }
        }
        for ((_, end, (not_write, read), process), holders) in grouped {
            let is_pair = !map.objects[*object].ends.is_empty();
            let sleeps = map.sleepers(*object).any(|(it, _, wait)| {
                let same =
                    !is_pair || matches!(wait.on, On::Object(_, of) if of == end);
                let fits =
                    holders.iter().any(|it| it.fd == wait.fd || wait.fd.is_none());
                it == process && same && fits
            });
            let words: Vec<_> = holders.iter().map(|it| descriptor(it)).collect();
            all.push(Line {
                process,
                object: *object,
                read,
                write: !not_write,
                cloexec: holders.iter().all(|it| it.cloexec),
                sleeps,
                words: words.join(" "),
            });
        }
    }
    all
}

fn process(
    map: &Map,
    at: usize,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    out: &mut String,
) {
    let room = (width / CHARACTER) as usize - 2;
    let (name, does) = (map.who(at), doing(map, at));
    let ghost = if map.processes[at].closed || map.processes[at].zombie {
        r#" stroke-dasharray="4 3""#
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "<g><title>{}: {}</title><rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"1.6\"{ghost}/>",
        escaped(&name),
        escaped(&does),
        light("p"),
        light("r")
    );
    text(out, "t", (x + 9.0, y + 16.0), true, &short(&name, room));
    text(out, "f", (x + 9.0, y + 31.0), false, &short(&does, room));
    out.push_str("</g>\n");
}

/// A line from a process to an object, with heads where bytes go.
fn draw(
    map: &Map,
    line: &Line,
    (x1, y1): (f64, f64),
    (x2, y2): (f64, f64),
    out: &mut String,
) {
    let (class, tip, colour) = match line.sleeps {
        true => ("sleeps", "slept", light("s")),
        false => ("way", "tip", light("l")),
    };
    let thick = if line.sleeps { 3.0 } else { 1.3 };
    let dashed = if line.cloexec { r#" stroke-dasharray="5 3""# } else { "" };
    // The words stand on the last part of the line, which is straight.
    let straight =
        x2 - (line.words.chars().count().min(16) as f64 * CHARACTER) - 14.0;
    let middle = (x1 + straight) / 2.0;
    let who = escaped(&map.who(line.process));
    let what = escaped(&label(&map.objects[line.object]));
    let _ = write!(
        out,
        "<g><title>{who} holds {what}: {}</title><path class=\"{class}\" d=\"M{x1:.1} {y1:.1}\
         C{middle:.1} {y1:.1} {middle:.1} {y2:.1} {straight:.1} {y2:.1}H{x2:.1}\" fill=\"none\" \
         stroke=\"{colour}\" stroke-width=\"{thick}\"{dashed}/>",
        escaped(&line.words)
    );
    if line.write {
        let _ = write!(
            out,
            r#"<path class="{tip}" d="M{x2:.1} {y2:.1}l-8 -4v8z" fill="{colour}"/>"#
        );
    }
    if line.read {
        let _ = write!(
            out,
            r#"<path class="{tip}" d="M{x1:.1} {y1:.1}l8 -4v8z" fill="{colour}"/>"#
        );
    }
    text(out, "t", (straight + 2.0, y2 - 3.0), false, &short(&line.words, 16));
    out.push_str("</g>\n");
}

/// The sentences and cycles, below; returns where they end.
fn sentences(map: &Map, mut y: f64, width: f64, out: &mut String) -> f64 {
    let columns = ((width - 2.0 * MARGIN) / CHARACTER) as usize;
    let cycles =
        map.cycles.iter().map(|cycle| format!("cycle: {}", cycle_text(map, cycle)));
    let cycles = cycles.map(|text| ("b", text));
    let remarks = map.remarks.iter().map(|remark| ("t", remark.text.clone()));
    let not_seen =
        map.not_seen.iter().map(|what| ("f", format!("not looked into: {what}")));
    y += 6.0;
    for (class, sentence) in cycles.chain(remarks).chain(not_seen) {
        for line in textwrap::wrap(&sentence, columns) {
            text(out, class, (MARGIN, y), class == "b", &line);
            y += 16.0;
        }
    }
    y + 4.0
}

/// A line of text.
pub(super) fn text(
    out: &mut String,
    class: &str,
    (x, y): (f64, f64),
    bold: bool,
    words: &str,
) {
    let weight = if bold { r#" font-weight="bold""# } else { "" };
    let _ = write!(
        out,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" fill="{}"{weight}>{}</text>"#,
        light(class),
        escaped(words)
    );
}

/// At most so many characters.
pub(super) fn short(words: &str, room: usize) -> String {
    match words.chars().count() > room {
        false => words.to_owned(),
        true => words.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// As XML has it.
pub(super) fn escaped(text: &str) -> String {
    visible(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
