//! The shape of each kind of object in the picture: a pipe is a tube with its fill, a socket two
//! plugs, a queue slots, memory pages, a semaphore its values, a lock a padlock.

use std::collections::BTreeMap;
use std::fmt::Write;

use wire::visible::visible;

use super::label::label;
use super::model::{Kind, Map, Object};
use super::svg::{CHARACTER, LINE, Place, escaped, light, short, text};
use super::text::fill;

/// The width of the shape, and what is left free beside it.
const SHAPE: f64 = 84.0;
const PAD: f64 = 8.0;
/// How high a box is without the lines at its end.
const LEAST: f64 = 56.0;

/// How high the object's box is at least.
pub(super) fn height(map: &Map, at: usize, width: f64) -> f64 {
    LEAST + LINE * about(map, at, width).len() as f64
}

/// Draws the object in its box.
pub(super) fn object(map: &Map, at: usize, place: Place, out: &mut String) {
    let Place { x, y, width, height } = place;
    let object = &map.objects[at];
    let (name, fill) = (label(object), fill(object));
    let ghost = if object.name_gone { r#" stroke-dasharray="4 3""# } else { "" };
    let remarks = map.remarks.iter().filter(|remark| remark.object == at);
    let remarks: Vec<_> = remarks.map(|remark| remark.text.as_str()).collect();
    let title =
        [&[name.as_str(), fill.as_str()][..], &remarks[..]].concat().join("\n");
    let _ = write!(
        out,
        "<g><title>{}</title><rect class=\"thing\" x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"1\"{ghost}/>",
        title.trim_end().split('\n').map(escaped).collect::<Vec<_>>().join("\n"),
        light("p"),
        light("l")
    );
    let about = about(map, at, width);
    // A box that is higher than it needs has its content in the middle.
    let top = y + (height - LEAST - LINE * about.len() as f64) / 2.0;
    let called = called(object, ((width - 2.0 * PAD) / CHARACTER) as usize);
    text(out, "t", (x + PAD, top + 17.0), true, &called);
    shape(object, (x + PAD, top + 37.0), out);
    let from = (x + PAD + SHAPE + PAD, top + 41.0);
    if let Some(beside) = beside(object, width) {
        text(out, "t", from, false, &beside);
    }
    let class = if remarks.is_empty() { "f" } else { "b" };
    for (number, line) in about.iter().enumerate() {
        let y = top + LEAST + 8.0 + number as f64 * LINE;
        text(out, class, (x + PAD, y), false, line);
    }
    ghosts(object, (x + width - PAD, top + 32.0), out);
    out.push_str("</g>\n");
}

/// The kind and the name; of a path that is too long the end, which tells more.
fn called(object: &Object, room: usize) -> String {
    let noun = object.kind().noun();
    let name = match (object.kind(), &object.name) {
        // A connection's two names stand below.
        (Kind::Tcp | Kind::Udp, _) if object.ends.len() == 2 => None,
        (kind, Some(name)) if kind.is_sysv() => {
            name.split(", ").next().map(str::to_owned)
        }
        (_, name) => name.as_deref().map(visible),
    };
    let Some(name) = name else { return short(&label_or(object, noun), room) };
    let left = room.saturating_sub(noun.chars().count() + 1);
    let long = name.chars().count();
    if long <= left || !name.contains('/') {
        return short(&format!("{noun} {name}"), room);
    }
    let end: String = name.chars().skip(long + 1 - left.max(1)).collect();
    // From a slash on, if that leaves a good part of it.
    let from = end.find('/').filter(|at| end.len() - at > 8).unwrap_or(0);
    format!("{noun} …{}", &end[from..])
}

fn label_or(object: &Object, noun: &str) -> String {
    match object.kind() {
        Kind::Tcp | Kind::Udp => noun.to_owned(),
        _ => label(object),
    }
}

/// What lies in it, without the blocks.
fn content(object: &Object) -> String {
    let fill = fill(object);
    fill.trim_start_matches(['█', '░', ' ']).replacen(" of ", "/", 1)
}

/// The same, if it fits beside the shape.
fn beside(object: &Object, width: f64) -> Option<String> {
    let room = ((width - SHAPE - 3.0 * PAD) / CHARACTER) as usize;
    Some(content(object)).filter(|content| content.chars().count() <= room)
}

/// What else is to be known of it, in lines that fit the box.
fn about(map: &Map, at: usize, width: f64) -> Vec<String> {
    let object = &map.objects[at];
    let mut all: Vec<String> = Vec::new();
    if object.kind().is_sysv() {
        let key = object.name.as_deref().and_then(|name| name.split_once(", "));
        all.extend(key.map(|(_, key)| key.to_owned()));
    }
    if beside(object, width).is_none() {
        all.push(content(object));
    }
    all.extend(object.about.iter().map(|it| (*it).to_owned()));
    if let (Kind::Tcp | Kind::Udp, [one, other]) = (object.kind(), &object.ends[..])
    {
        let names = [one, other].map(|end| end.name.as_deref().unwrap_or("?"));
        all.push(format!("{} and {}", names[0], names[1]));
    }
    all.extend(object.name_gone.then(|| "name gone".to_owned()));
    all.extend(object.moved.then(|| "moving".to_owned()));
    let unread: u64 = object.ends.iter().filter_map(|end| end.unread).sum();
    all.extend(
        (unread > 0).then(|| format!("{} unread", wire::say::count(unread, "byte"))),
    );
    for backlog in object.ends.iter().filter_map(|end| end.backlog.as_ref()) {
        let (waiting, most) = (backlog.waiting, backlog.most);
        all.push(format!("{waiting} in the backlog of at most {most}"));
    }
    let in_flight: u64 = object.ends.iter().map(|end| end.in_flight).sum();
    all.extend((in_flight > 0).then(|| {
        format!("{} in flight", wire::say::count(in_flight, "descriptor"))
    }));
    all.extend(super::text::targets(object));
    let mut locks: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for holder in &object.holders {
        let theirs = locks.entry(holder.process).or_default();
        theirs.extend(holder.locks.iter().map(super::model::Lock::text));
    }
    let locks = locks.into_iter().filter(|(_, locks)| !locks.is_empty());
    all.extend(
        locks.map(|(at, locks)| format!("{}: {}", map.who(at), locks.join("; "))),
    );
    let room = ((width - 2.0 * PAD) / CHARACTER) as usize;
    let mut lines = Vec::new();
    for part in all {
        // Short parts share a line.
        match lines.last_mut() {
            Some(last)
                if String::len(last) + part.len() + 2 <= room
                    && !part.contains(':') =>
            {
                let _ = write!(last, ", {part}");
            }
            _ => lines.extend(
                textwrap::wrap(&part, room).iter().map(|line| short(line, room)),
            ),
        }
    }
    lines.truncate(8);
    lines
}

/// What waits in a backlog or is in flight, as dashed boxes.
fn ghosts(object: &Object, (right, y): (f64, f64), out: &mut String) {
    let in_flight = object.ends.iter().map(|end| end.in_flight).sum::<u64>();
    let waiting = object.ends.iter().filter_map(|end| end.backlog.as_ref());
    let waiting = waiting.map(|backlog| backlog.waiting).sum::<u64>();
    for number in 0..(in_flight + waiting).min(6) {
        let x = right - 10.0 - 14.0 * number as f64;
        let _ = write!(
            out,
            "<rect class=\"part\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"10\" height=\"10\" \
             fill=\"{}\" stroke=\"{}\" stroke-dasharray=\"2 2\"/>",
            light("u"),
            light("v")
        );
    }
}

fn shape(object: &Object, (x, y): (f64, f64), out: &mut String) {
    let part = match (object.fill, object.capacity) {
        (Some(part), Some(of)) if of > 0 => (part as f64 / of as f64).min(1.0),
        _ => 0.0,
    };
    let (paper, ink) = (light("p"), light("t"));
    let mut rect = |class: &str, x: f64, y: f64, w: f64, h: f64| {
        let (fill, stroke) = match class {
            "part" => (light("u"), light("v")),
            _ => (paper, ink),
        };
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" \
             height=\"{h:.1}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.2\"/>"
        );
    };
    let full_or_not = |full: bool| if full { "part" } else { "ink" };
    match object.kind() {
        Kind::Pipe | Kind::Fifo => {
            let inside = ((SHAPE - 14.0) * part).max(3.0);
            let _ = write!(
                out,
                "<path class=\"ink\" d=\"M{:.1} {:.1}h{w:.1}a5 9 0 0 1 0 18h-{w:.1}\
                 a5 9 0 0 1 0 -18z\" fill=\"{paper}\" stroke=\"{ink}\" stroke-width=\"1.4\"/>",
                x + 5.0,
                y - 9.0,
                w = SHAPE - 10.0
            );
            if part > 0.0 {
                let _ = write!(
                    out,
                    "<rect class=\"part\" x=\"{:.1}\" y=\"{:.1}\" width=\"{inside:.1}\" \
                     height=\"12\" fill=\"{}\" stroke=\"{}\"/>",
                    x + 7.0,
                    y - 6.0,
                    light("u"),
                    light("v")
                );
            }
        }
        Kind::Unix | Kind::Tcp | Kind::Udp | Kind::Socket => {
            let unread = |at: usize| {
                let end = object.ends.get(at);
                full_or_not(
                    end.and_then(|end| end.unread).is_some_and(|bytes| bytes > 0),
                )
            };
            if object.ends.len() > 1 {
                rect("ink", x + 28.0, y - 2.0, SHAPE - 56.0, 4.0);
                rect(unread(1), x + SHAPE - 30.0, y - 8.0, 30.0, 16.0);
            } else {
                rect("ink", x + 30.0, y - 5.0, 9.0, 2.0);
                rect("ink", x + 30.0, y + 3.0, 9.0, 2.0);
            }
            rect(unread(0), x, y - 8.0, 30.0, 16.0);
        }
        Kind::PosixQueue | Kind::SysvQueue => {
            for slot in 0..6 {
                let full = part > 0.0 && f64::from(slot) < (part * 6.0).ceil();
                let left = x + f64::from(slot) * 14.0;
                rect(full_or_not(full), left, y - 9.0, 12.0, 18.0);
            }
        }
        Kind::File if object.holders.iter().any(|it| !it.locks.is_empty()) => {
            let _ = write!(
                out,
                "<path class=\"ink\" d=\"M{:.1} {:.1}v-4a7 7 0 0 1 14 0v4\" fill=\"none\" \
                 stroke=\"{ink}\" stroke-width=\"2\"/>",
                x + 35.0,
                y - 3.0
            );
            let _ = write!(
                out,
                "<rect class=\"part\" x=\"{:.1}\" y=\"{:.1}\" width=\"26\" height=\"14\" \
                 fill=\"{}\" stroke=\"{}\" stroke-width=\"1.2\"/>",
                x + 29.0,
                y - 3.0,
                light("u"),
                light("v")
            );
        }
        Kind::Segment | Kind::SysvSegment | Kind::File => {
            for page in 0..4 {
                rect("ink", x + f64::from(page) * 20.0, y - 10.0, 20.0, 20.0);
            }
        }
        Kind::PosixSemaphore | Kind::SysvSemaphore | Kind::Eventfd => {
            let values: Vec<u64> = match object.fill {
                Some(value) => vec![value],
                None => object.values.iter().map(|(it, _)| u64::from(*it)).collect(),
            };
            let left = x + (SHAPE - 28.0 * values.len().clamp(1, 3) as f64) / 2.0;
            for number in 0..values.len().clamp(1, 3) {
                let middle = left + 14.0 + 28.0 * number as f64;
                let _ = write!(
                    out,
                    "<circle class=\"ink\" cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"12\" \
                     fill=\"{paper}\" stroke=\"{ink}\" stroke-width=\"1.4\"/>"
                );
                if let Some(value) = values.get(number) {
                    let words = short(&value.to_string(), 3);
                    let half = CHARACTER / 2.0 * words.chars().count() as f64;
                    text(out, "t", (middle - half, y + 4.0), false, &words);
                }
            }
        }
        Kind::Pidfd | Kind::Epoll | Kind::Pty => {
            rect("ink", x + 22.0, y - 9.0, 40.0, 18.0);
        }
    }
}
