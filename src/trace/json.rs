//! One event a line, as JSON: the fields are on the book's page "Trace".

use serde_json::{Map, Value, json};

use super::decode::error_name;
use super::decode::signal_names::signal_name;
use super::event::{End, Event, EventKind, Outcome, Trace};
use super::pair::Arrow;
use super::text;
use wire::visible;

/// A line for each shown event, in the order in which they began.
pub(super) fn lines(trace: &Trace, shown: &[usize], arrows: &[Arrow]) -> String {
    let mut out = String::new();
    for (index, event) in shown.iter().map(|index| (*index, &trace.events[*index])) {
        let from: Vec<usize> = arrows
            .iter()
            .filter(|arrow| {
                arrow.to == index && shown.binary_search(&arrow.from).is_ok()
            })
            .map(|arrow| arrow.from)
            .collect();
        out.push_str(&visible::json(&object(trace, index, event, &from)));
        out.push('\n');
    }
    for note in &trace.notes {
        out.push_str(&visible::json(&json!({ "event": "note", "text": note })));
        out.push('\n');
    }
    out
}

fn object(trace: &Trace, id: usize, event: &Event, from: &[usize]) -> Value {
    let process = &trace.processes[event.process];
    let mut map = Map::new();
    let mut add = |name: &str, value: Value| map.insert(name.to_owned(), value);
    let kind = match &event.what {
        EventKind::Call(_) => "call",
        EventKind::Signal { .. } => "signal",
        EventKind::Starts => "start",
        EventKind::Ends(_) => "end",
    };
    add("event", kind.into());
    add("id", id.into());
    add("process", process.name.clone().into());
    add("pid", process.pid.into());
    add("tid", event.tid.into());
    add("at_ns", event.at.into());
    match &event.what {
        EventKind::Call(call) => {
            add("took_ns", event.took.into());
            add("slept", event.slept.into());
            if event.asleep {
                add("asleep", true.into());
            }
            add("call", (*call.name).into());
            let args: Vec<_> = call.args.iter().map(text::argument).collect();
            add("args", args.into());
            match &call.result {
                Outcome::Value(value, piece, _) => {
                    add("result", (*value).into());
                    if let Some(piece) = piece {
                        add("result_text", text::argument(piece).into());
                    }
                }
                Outcome::Error(number) => {
                    add("result", (-1).into());
                    add("error", error_name(*number).into());
                }
                Outcome::Restart => {
                    add("interrupted", true.into());
                }
                Outcome::Never => {}
            }
        }
        EventKind::Signal { number, info } => {
            add("signal", signal_name(*number).into());
            add("info", info.clone().into());
        }
        EventKind::Starts => {}
        EventKind::Ends(End::Status(status)) => {
            add("status", (*status).into());
        }
        EventKind::Ends(End::Signal(signal)) => {
            add("signal", signal_name(*signal).into());
        }
    }
    if !from.is_empty() {
        add("from", from.into());
    } else if let Some(why) = event.doubt {
        add("no_arrow", why.into());
    }
    Value::Object(map)
}
