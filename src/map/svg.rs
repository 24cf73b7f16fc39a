//! The map as a picture, at most 720 pixels wide where the tree of processes is not deep.
//!
//! Two processes stand at the left and at the right, with the objects between them; a role of ipclab's
//! has its side and its colour. Others stand on the left as a tree, the objects on the right. A
//! line joins a process with what it holds.
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

/// How far apart two lines' ends are, and two boxes.
const PORT: f64 = 19.0;
const GAP: f64 = 14.0;
const MARGIN: f64 = 4.0;
/// The widths of a process's box, of the gap between the columns, and of an object's box.
const PROCESS: f64 = 154.0;
const BETWEEN: f64 = 86.0;
const OBJECT: f64 = 232.0;
/// The same where all processes stand on the left.
const WIDE_BETWEEN: f64 = 150.0;
const WIDE_OBJECT: f64 = 300.0;
/// What a process is moved to the right for each of its parents.
const STEP: f64 = 16.0;
/// How wide a character is, and how high a line of text.
pub(super) const CHARACTER: f64 = 7.25;
pub(super) const LINE: f64 = 16.0;

const STYLE: &str = "\
.ipclab-map{LIGHT;font:12px ui-monospace,Menlo,Consolas,monospace;max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){.ipclab-map{DARK}}\
.js.light .ipclab-map,.js.rust .ipclab-map{LIGHT}\
.js.coal .ipclab-map,.js.navy .ipclab-map,.js.ayu .ipclab-map{DARK}\
@media print{.js[class] .ipclab-map{LIGHT}}\
.ipclab-map text{fill:var(--t)}.ipclab-map text.f{fill:var(--f)}.ipclab-map text.b{fill:var(--b)}\
.ipclab-map .box{fill:var(--p);stroke:var(--l)}.ipclab-map .head{fill:var(--h)}\
.ipclab-map .thing{fill:var(--p);stroke:var(--l)}.ipclab-map .ink{fill:var(--p);stroke:var(--t)}\
.ipclab-map .part{fill:var(--u);stroke:var(--v)}.ipclab-map .way{stroke:var(--l)}\
.ipclab-map .tip{fill:var(--l)}\
.ipclab-map .sleeps{stroke:var(--t)}.ipclab-map .slept{fill:var(--t)}\
.ipclab-map .c0{stroke:var(--c0)}.ipclab-map .slept.c0{fill:var(--c0);stroke:none}.ipclab-map .h0{fill:var(--h0)}\
.ipclab-map .c1{stroke:var(--c1)}.ipclab-map .slept.c1{fill:var(--c1);stroke:none}.ipclab-map .h1{fill:var(--h1)}\
.ipclab-map .c2{stroke:var(--c2)}.ipclab-map .slept.c2{fill:var(--c2);stroke:none}.ipclab-map .h2{fill:var(--h2)}";

/// Each colour's name, and what it is in light and in dark: `c0` is the outline of a role of the
/// colour 0, and `h0` its head.
const COLOURS: [[&str; 3]; 14] = [
    ["t", "#24292f", "#d6dde4"],
    ["f", "#5f6872", "#98a4b0"],
    ["b", "#b3261e", "#ff8a80"],
    ["p", "#ffffff", "#1b2030"],
    ["h", "#eef1f4", "#2a3246"],
    ["c0", "#0b7285", "#5fd3e6"],
    ["h0", "#e3f3f6", "#173642"],
    ["c1", "#8a5a00", "#f0c05a"],
    ["h1", "#faf0dc", "#3a301b"],
    ["c2", "#2b7a0b", "#8bdc6e"],
    ["h2", "#e6f2e0", "#20371b"],
    ["u", "#ece5fa", "#342a52"],
    ["v", "#6941b8", "#c3a6ff"],
    ["l", "#6e7781", "#8b98a5"],
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

/// Where a box is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The picture, `title` being what it shows.
pub(super) fn picture(map: &Map, title: &str) -> String {
    let tree = tree(map);
    let places: BTreeMap<usize, usize> =
        tree.iter().enumerate().map(|(place, (at, _))| (*at, place)).collect();
    let objects = in_order(map, &places);
    let lines = lines(map, &objects, &places);
    let mut out = String::new();
    let side = |at: usize| map.processes[at].role.map(|role| role.side);
    let (width, end) = match tree[..] {
        [(one, _), (other, _)] => {
            let swapped = side(one) > side(other) && side(other).is_some();
            let two = if swapped { [other, one] } else { [one, other] };
            between_two(map, two, &objects, &lines, &mut out)
        }
        _ => beside_all(map, &tree, &objects, &lines, &mut out),
    };
    let end = sentences(map, !lines.is_empty(), end, width, &mut out);
    let style = STYLE.replace("DARK", &variables(2)).replace("LIGHT", &variables(1));
    let title = escaped(title);
    let about = escaped(&description(map, &tree, &objects));
    format!(
        "<svg class=\"ipclab-map\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         viewBox=\"0 0 {width:.0} {end:.0}\" width=\"{width:.0}\" height=\"{end:.0}\" \
         font-family=\"monospace\" font-size=\"12\">\n<title>{title}</title>\n\
         <desc>{about}</desc>\n<style>{style}</style>\n{out}</svg>\n"
    )
}

/// The same in words.
fn description(map: &Map, tree: &[(usize, String)], objects: &[usize]) -> String {
    let mut all = Vec::new();
    for (at, _) in tree {
        let does = doing(map, *at);
        let does = does.split("   ").next().filter(|does| !does.is_empty());
        let does = does.map(|does| format!(" ({does})")).unwrap_or_default();
        let holds: Vec<String> = objects
            .iter()
            .filter_map(|object| {
                let object = &map.objects[*object];
                let theirs = object.holders.iter().filter(|it| it.process == *at);
                let words: Vec<_> = theirs.map(descriptor).collect();
                (!words.is_empty())
                    .then(|| format!("{} as {}", label(object), words.join(" ")))
            })
            .collect();
        let used = objects.iter().filter(|object| {
            map.strangers(**object).iter().any(|(process, _)| process == at)
        });
        let used: Vec<_> = used.map(|it| label(&map.objects[*it])).collect();
        let has = match (holds.is_empty(), used.is_empty()) {
            (false, _) => format!("holds {}", holds.join(", ")),
            (true, false) => format!("uses {}", used.join(", ")),
            (true, true) => "holds nothing that is drawn".to_owned(),
        };
        all.push(format!("{}{does} {has}.", map.who(*at)));
    }
    all.join(" ")
}

/// The objects by the places of their holders; what is between equals, by the descriptors.
fn in_order(map: &Map, places: &BTreeMap<usize, usize>) -> Vec<usize> {
    let mut objects: Vec<usize> =
        (0..map.objects.len()).filter(|at| map.objects[*at].shown).collect();
    objects.sort_by_cached_key(|at| {
        let holders = &map.objects[*at].holders;
        let mut theirs: Vec<_> = holders
            .iter()
            .filter_map(|it| Some((*places.get(&it.process)?, it.fd)))
            .collect();
        theirs.sort_unstable();
        let sum: usize = theirs.iter().map(|(place, _)| place).sum();
        (sum * 64 / theirs.len().max(1), map.objects[*at].kind(), theirs, *at)
    });
    objects
}

/// Two tall boxes, and the objects between them: all lines are level. Returns how wide and how
/// high that is.
fn between_two(
    map: &Map,
    [left, right]: [usize; 2],
    objects: &[usize],
    lines: &[Line],
    out: &mut String,
) -> (f64, f64) {
    let x = MARGIN + PROCESS + BETWEEN;
    let (right_x, mut y) = (x + OBJECT + BETWEEN, MARGIN);
    let mut drawn = String::new();
    for object in objects {
        let of = |process| {
            let is_so =
                move |it: &&Line| it.object == *object && it.process == process;
            lines.iter().filter(is_so)
        };
        let ports = of(left).count().max(of(right).count());
        let height = shapes::height(map, *object, OBJECT).max(ports as f64 * PORT);
        let place = Place { x, y, width: OBJECT, height };
        shapes::object(map, *object, place, &mut drawn);
        for (process, from, to) in
            [(left, x - BETWEEN, x), (right, right_x, x + OBJECT)]
        {
            for (line, y) in of(process).zip(ends(place, of(process).count())) {
                draw(map, line, (from, y), (to, y), &mut drawn);
            }
        }
        y += height + GAP;
    }
    let height = (y - GAP - MARGIN).max(head(map, left).max(head(map, right)));
    for (at, x) in [(left, MARGIN), (right, right_x)] {
        process(map, at, Place { x, y: MARGIN, width: PROCESS, height }, out);
    }
    out.push_str(&drawn);
    (right_x + PROCESS + MARGIN, MARGIN + height + GAP)
}

/// All processes on the left, all objects on the right.
fn beside_all(
    map: &Map,
    tree: &[(usize, String)],
    objects: &[usize],
    lines: &[Line],
    out: &mut String,
) -> (f64, f64) {
    let mut of_process: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut of_object: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        of_process.entry(line.process).or_default().push(number);
        of_object.entry(line.object).or_default().push(number);
    }
    let depth = |branch: &str| (branch.chars().count() / 2) as f64 * STEP;
    let deepest = tree.iter().map(|(_, branch)| depth(branch)).fold(0.0, f64::max);
    let left = MARGIN + deepest + PROCESS;
    let x = left + WIDE_BETWEEN;
    let mut from = BTreeMap::new();
    let mut y = MARGIN;
    for (at, branch) in tree {
        let theirs = of_process.get(at).map_or(&[][..], Vec::as_slice);
        let height = head(map, *at).max(theirs.len() as f64 * PORT + 6.0);
        let x = MARGIN + depth(branch);
        let place = Place { x, y, width: left - x, height };
        process(map, *at, place, out);
        from.extend(theirs.iter().copied().zip(ends(place, theirs.len())));
        y += height + GAP;
    }
    let end = y;
    y = MARGIN;
    for object in objects {
        let theirs = of_object.get(object).map_or(&[][..], Vec::as_slice);
        let height = shapes::height(map, *object, WIDE_OBJECT)
            .max(theirs.len() as f64 * PORT + 6.0);
        let place = Place { x, y, width: WIDE_OBJECT, height };
        shapes::object(map, *object, place, out);
        for (number, y) in theirs.iter().zip(ends(place, theirs.len())) {
            draw(map, &lines[*number], (left, from[number]), (x, y), out);
        }
        y += height + GAP;
    }
    (x + WIDE_OBJECT + MARGIN, end.max(y))
}

/// Where the lines of a box end, from top to bottom.
fn ends(place: Place, count: usize) -> impl Iterator<Item = f64> {
    let first = place.y + (place.height - count as f64 * PORT) / 2.0 + PORT * 0.7;
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
        let is_pair = !map.objects[*object].ends.is_empty();
        for ((_, end, (not_write, read), process), holders) in grouped {
            let sleeps = map.sleepers(*object).any(|(it, _, wait)| {
                let same =
                    !is_pair || matches!(wait.on, On::Object(_, of) if of == end);
                let fits =
                    wait.fd.is_none() || holders.iter().any(|it| it.fd == wait.fd);
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
        for (process, sleep) in map.strangers(*object) {
            all.push(Line {
                process,
                object: *object,
                read: false,
                write: false,
                cloexec: false,
                sleeps: sleep.is_some(),
                words: sleep.map_or("used last", |it| &it.call).to_owned(),
            });
        }
    }
    all
}

/// The colour's name of the role that a process plays, or `other`.
fn shade(map: &Map, at: usize, kind: char, other: &str) -> String {
    let role = map.processes[at].role;
    role.map_or(other.to_owned(), |it| format!("{kind}{}", it.side.colour()))
}

/// How high a process's box is at least.
fn head(map: &Map, at: usize) -> f64 {
    30.0 + LINE * does(map, at).len() as f64
}

/// What the process does, in lines that fit its box.
fn does(map: &Map, at: usize) -> Vec<String> {
    let room = ((PROCESS - 16.0) / CHARACTER) as usize;
    let does = doing(map, at);
    // For how long stands after three blanks: a line of its own.
    let parts = does.split("   ").flat_map(|part| textwrap::wrap(part, room));
    parts.filter(|part| !part.is_empty()).map(|it| short(&it, room)).collect()
}

fn process(map: &Map, at: usize, place: Place, out: &mut String) {
    let Place { x, y, width, height } = place;
    let room = ((width - 16.0) / CHARACTER) as usize;
    let name = map.who(at);
    let closed = map.processes[at].closed || map.processes[at].zombie;
    let ghost = if closed { r#" stroke-dasharray="4 3""# } else { "" };
    let (edge, head) = (shade(map, at, 'c', "l"), shade(map, at, 'h', "h"));
    let _ = write!(
        out,
        "<g><title>{}: {}</title><rect class=\"box {edge}\" x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"1.6\"{ghost}/><path class=\"head {head}\" d=\"M{:.1} {:.1}v-15a6.2 6.2 0 0 1 \
         6.2 -6.2H{:.1}a6.2 6.2 0 0 1 6.2 6.2v15z\" fill=\"{}\"/>",
        escaped(&name),
        escaped(&doing(map, at)),
        light("p"),
        light(&edge),
        x + 0.8,
        y + 22.0,
        x + width - 7.0,
        light(&head),
    );
    text(out, "t", (x + 9.0, y + 16.0), true, &short(&name, room));
    for (number, line) in does(map, at).iter().enumerate() {
        let y = y + 38.0 + number as f64 * LINE;
        text(out, "f", (x + 9.0, y), false, line);
    }
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
    let edge = shade(map, line.process, 'c', "t");
    let (class, tip, colour) = match line.sleeps {
        true => (format!("sleeps {edge}"), format!("slept {edge}"), light(&edge)),
        false => ("way".to_owned(), "tip".to_owned(), light("l")),
    };
    let thick = if line.sleeps { 3.0 } else { 1.3 };
    let dashed = if line.cloexec { r#" stroke-dasharray="5 3""# } else { "" };
    // The words stand on the part of the line beside the object, which is straight.
    let straight = BETWEEN - 2.0 * 10.0;
    let words = short(&line.words, (straight / CHARACTER) as usize);
    let long = words.chars().count() as f64 * CHARACTER;
    let to = (x2 - x1).signum();
    let who = escaped(&map.who(line.process));
    let what = escaped(&label(&map.objects[line.object]));
    // A dash may not lie upon a head.
    let (start, end) = (
        x1 + if line.read { 8.0 * to } else { 0.0 },
        x2 - if line.write { 8.0 * to } else { 0.0 },
    );
    let path = match y1 == y2 {
        true => format!("M{start:.1} {y1:.1}H{end:.1}"),
        false => {
            let bend = x2 - (straight + 10.0) * to;
            let middle = (x1 + bend) / 2.0;
            format!(
                "M{start:.1} {y1:.1}C{middle:.1} {y1:.1} {middle:.1} {y2:.1} {bend:.1} \
                 {y2:.1}H{end:.1}"
            )
        }
    };
    let _ = write!(
        out,
        "<g><title>{who} holds {what}: {}</title><path class=\"{class}\" d=\"{path}\" \
         fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thick}\"{dashed}/>",
        escaped(&line.words)
    );
    let mut head = |x: f64, y: f64, back: f64| {
        let _ = write!(
            out,
            r#"<path class="{tip}" d="M{x:.1} {y:.1}l{back:.0} -4.5v9z" fill="{colour}"/>"#
        );
    };
    if line.write {
        head(x2, y2, -9.0 * to);
    }
    if line.read {
        head(x1, y1, 9.0 * to);
    }
    let middle = x2 - (straight / 2.0 + 10.0) * to;
    text(out, "t", (middle - long / 2.0, y2 - 4.0), false, &words);
    out.push_str("</g>\n");
}

/// The sentences and cycles, below, and how to read a line; returns where they end.
fn sentences(
    map: &Map,
    has_lines: bool,
    mut y: f64,
    width: f64,
    out: &mut String,
) -> f64 {
    let columns = ((width - 2.0 * MARGIN) / CHARACTER) as usize;
    let cycles =
        map.cycles.iter().map(|cycle| format!("cycle: {}", cycle_text(map, cycle)));
    let cycles = cycles.map(|text| ("b", text));
    let remarks = map.remarks.iter().map(|remark| ("t", remark.text.clone()));
    let not_seen =
        map.not_seen.iter().map(|what| ("f", format!("not looked into: {what}")));
    let legend = has_lines.then(|| {
        ("f", "thick: the process sleeps on it; dashed: close-on-exec".to_owned())
    });
    y += 8.0;
    for (class, sentence) in cycles.chain(remarks).chain(not_seen).chain(legend) {
        for line in textwrap::wrap(&sentence, columns) {
            text(out, class, (MARGIN, y), class == "b", &line);
            y += LINE;
        }
    }
    y
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
