//! The shape of each kind of object in the picture: a pipe is a tube with its fill, a socket two
//! plugs, a queue slots, memory pages, a semaphore its values, a lock a padlock.

use std::fmt::Write;

use super::label::label;
use super::model::{Kind, Map, Object};
use super::svg::{escaped, light, short, text};
use super::text::fill;

/// The width of the shape at the left of an object's box.
const SHAPE: f64 = 84.0;
/// How many characters are beside it.
const ROOM: usize = 34;

/// Draws the object in its box.
pub(super) fn object(
    map: &Map,
    at: usize,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    out: &mut String,
) {
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
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"1\"{ghost}/>",
        title.split('\n').map(escaped).collect::<Vec<_>>().join("\n"),
        light("p"),
        light("t")
    );
    let middle = (x + 8.0, y + height / 2.0);
    shape(object, middle, out);
    let beside = x + SHAPE + 14.0;
    let top = y + height / 2.0;
    text(out, "t", (beside, top - 4.0), true, &short(&name, ROOM));
    let mut about: Vec<String> = Vec::new();
    about.extend(
        (!fill.is_empty())
            .then(|| fill.trim_start_matches(['█', '░', ' ']).to_owned()),
    );
    about.extend(object.about.iter().map(|it| (*it).to_owned()));
    about.extend(object.name_gone.then(|| "name gone".to_owned()));
    let unread: u64 = object.ends.iter().filter_map(|end| end.unread).sum();
    about.extend((unread > 0).then(|| format!("{unread} bytes unread")));
    let class = if remarks.is_empty() { "f" } else { "b" };
    text(out, class, (beside, top + 11.0), false, &short(&about.join(", "), ROOM));
    ghosts(object, (x + width, top), out);
    out.push_str("</g>\n");
}

/// What waits in a backlog or is in flight, as dashed boxes.
fn ghosts(object: &Object, (right, middle): (f64, f64), out: &mut String) {
    let in_flight = object.ends.iter().map(|end| end.in_flight).sum::<u64>();
    let waiting = object.ends.iter().filter_map(|end| end.backlog.as_ref());
    let waiting = waiting.map(|backlog| backlog.waiting).sum::<u64>();
    for number in 0..(in_flight + waiting).min(6) {
        let x = right - 14.0 * (number + 1) as f64;
        let y = middle + 4.0;
        let _ = write!(
            out,
            "<rect class=\"thing\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"10\" height=\"10\" \
             fill=\"{}\" stroke=\"{}\" stroke-dasharray=\"2 2\"/>",
            light("p"),
            light("t")
        );
    }
}

fn shape(object: &Object, (x, y): (f64, f64), out: &mut String) {
    let part = match (object.fill, object.capacity) {
        (Some(part), Some(of)) if of > 0 => (part as f64 / of as f64).min(1.0),
        _ => 0.0,
    };
    let (paper, ink, content) = (light("p"), light("t"), light("u"));
    let mut rect = |class: &str, x: f64, y: f64, w: f64, h: f64, fill: &str| {
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" \
             height=\"{h:.1}\" fill=\"{fill}\" stroke=\"{ink}\" stroke-width=\"1\"/>"
        );
    };
    match object.kind() {
        Kind::Pipe | Kind::Fifo => {
            let inside = (SHAPE - 12.0) * part;
            let _ = write!(
                out,
                "<path class=\"thing\" d=\"M{x:.1} {:.1}h{w:.1}a5 9 0 0 1 0 18h-{w:.1}\
                 a5 9 0 0 1 0 -18z\" fill=\"{paper}\" stroke=\"{ink}\" stroke-width=\"1.4\"/>",
                y - 9.0,
                w = SHAPE - 6.0
            );
            if inside > 0.0 {
                let _ = write!(
                    out,
                    "<rect class=\"part\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" \
                     fill=\"{content}\"/>",
                    x + 3.0,
                    y - 6.0,
                    inside.max(2.0)
                );
            }
        }
        Kind::Unix | Kind::Tcp | Kind::Udp | Kind::Socket => {
            rect("thing", x, y - 8.0, 30.0, 16.0, paper);
            if object.ends.len() > 1 {
                rect("thing", x + SHAPE - 30.0, y - 8.0, 30.0, 16.0, paper);
                rect("thing", x + 30.0, y - 1.5, SHAPE - 60.0, 3.0, paper);
            } else {
                rect("thing", x + 30.0, y - 4.0, 8.0, 2.0, paper);
                rect("thing", x + 30.0, y + 2.0, 8.0, 2.0, paper);
            }
        }
        Kind::PosixQueue | Kind::SysvQueue => {
            for slot in 0..6 {
                let full = part > 0.0 && f64::from(slot) < (part * 6.0).ceil();
                let class = if full { "part" } else { "thing" };
                let fill = if full { content } else { paper };
                rect(class, x + f64::from(slot) * 14.0, y - 9.0, 12.0, 18.0, fill);
            }
        }
        Kind::File if object.holders.iter().any(|it| !it.locks.is_empty()) => {
            let _ = write!(
                out,
                "<path class=\"thing\" d=\"M{:.1} {:.1}v-5a8 8 0 0 1 16 0v5\" fill=\"none\" \
                 stroke=\"{ink}\" stroke-width=\"2\"/>",
                x + 32.0,
                y - 3.0
            );
            let _ = write!(
                out,
                "<rect class=\"part\" x=\"{:.1}\" y=\"{:.1}\" width=\"26\" height=\"15\" rx=\"2\" \
                 fill=\"{content}\" stroke=\"{ink}\"/>",
                x + 27.0,
                y - 3.0
            );
        }
        Kind::Segment | Kind::SysvSegment | Kind::File => {
            for page in 0..4 {
                rect(
                    "thing",
                    x + f64::from(page) * 20.0,
                    y - 10.0,
                    20.0,
                    20.0,
                    paper,
                );
            }
        }
        Kind::PosixSemaphore | Kind::SysvSemaphore | Kind::Eventfd => {
            let _ = write!(
                out,
                "<circle class=\"thing\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"12\" fill=\"{paper}\" \
                 stroke=\"{ink}\" stroke-width=\"1.4\"/>",
                x + SHAPE / 2.0
            );
            let value = object.values.first().map(|(value, _)| u64::from(*value));
            if let Some(value) = value.or(object.fill) {
                let words = value.to_string();
                let left = x + SHAPE / 2.0 - 3.3 * words.len() as f64;
                text(out, "t", (left, y + 4.0), false, &words);
            }
        }
        Kind::Pidfd | Kind::Epoll | Kind::Pty => {
            rect("thing", x + 22.0, y - 9.0, 40.0, 18.0, paper);
        }
    }
}
