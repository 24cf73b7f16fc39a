//! What a map says, a sentence each, and in which of them two maps differ. They are made of what
//! --json prints, so that a map which was saved can be compared with one of now.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use colored::Colorize;
use serde_json::Value;

use wire::errors::usage;
use wire::visible::visible;

/// The sentences of a map.
///
/// # Errors
/// When it is no map, or one of another version of ipclab.
pub(super) fn of(json: &str) -> Result<BTreeSet<String>> {
    let map: Value =
        serde_json::from_str(json).context("no map that --json prints")?;
    if map["schema"] != super::json::SCHEMA {
        return Err(usage("a map that another version of ipclab has saved"));
    }
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| visible(value.as_str().unwrap_or_default());
    let mut all = BTreeSet::new();
    let objects = list(&map["objects"]);
    let labels: HashMap<&str, String> = objects
        .iter()
        .filter_map(|object| Some((object["id"].as_str()?, text(&object["label"]))))
        .collect();
    let mut who = HashMap::new();
    for process in list(&map["processes"]) {
        let name = if process["role"].is_null() { "name" } else { "role" };
        let name = format!("{} {}", text(&process[name]), process["pid"]);
        for sleep in list(&process["asleep"]) {
            for wait in list(&sleep["waits"]) {
                let label = wait["object"].as_str().and_then(|id| labels.get(id));
                let on = match (label, wait.get("child")) {
                    (Some(label), _) => label,
                    (None, Some(_)) => "its child",
                    _ => continue,
                };
                all.insert(format!(
                    "{name} sleeps in {} on {on}",
                    text(&sleep["call"])
                ));
            }
        }
        all.insert(name.clone());
        who.insert(process["pid"].as_i64(), name);
    }
    for object in &objects {
        let label = text(&object["label"]);
        for holder in list(&object["holders"]) {
            let name = who.get(&holder["pid"].as_i64()).map_or("?", String::as_str);
            all.insert(format!("{name} holds {label}: {}", descriptor(&holder)));
        }
    }
    for sentence in list(&map["remarks"]).iter().chain(&list(&map["cycles"])) {
        let cycle = if sentence.get("verdict").is_some() { "cycle: " } else { "" };
        all.insert(format!("{cycle}{}", text(&sentence["text"])));
    }
    Ok(all)
}

/// As the drawing has it: `3rwc`, `mapped rw`.
fn descriptor(holder: &Value) -> String {
    super::text::mode_of(
        holder["fd"].as_i64(),
        holder["read"] == true,
        holder["write"] == true,
        holder["cloexec"] == true,
        holder["mapped"] == true,
    )
}

/// A line for each that is gone (-), and for each that is new (+).
pub(super) fn changes(before: &BTreeSet<String>, now: &BTreeSet<String>) -> String {
    let gone = before.difference(now).map(|fact| format!("- {fact}\n").red());
    let new = now.difference(before).map(|fact| format!("+ {fact}\n").green());
    gone.chain(new).map(|line| line.to_string()).collect()
}
