//! The head of a report in words, and how the heads of two reports differ.

use super::super::model::{Head, Report};
use super::grid::{Cell, Grid, Side, Tone};
use wire::say::count;

/// Where, when and how it was measured; warnings last.
pub(super) fn text(report: &Report, width: usize) -> String {
    let head = &report.head;
    let mut grid = Grid::default();
    grid.column("", Side::Left);
    let mut say = |name: &str, words: String, tone: Tone| {
        grid.words(vec![Cell::new(name, Tone::Faint)], Cell::new(words, tone));
    };
    say("command", head.command.clone(), Tone::Strong);
    for (name, words) in facts(head) {
        say(name, words, Tone::Plain);
    }
    for warning in &head.warnings {
        say("warning", warning.clone(), Tone::Warning);
    }
    grid.text(width)
}

fn facts(head: &Head) -> Vec<(&'static str, String)> {
    let when = head.date.replace('T', " ").replace('Z', " UTC");
    let told = |fact: &Option<String>, none: &str| {
        fact.clone().unwrap_or_else(|| none.to_owned())
    };
    vec![
        ("ipclab", format!("{}, {when}, took {:.0} s", head.version, head.seconds)),
        ("kernel", head.kernel.clone()),
        ("CPU", format!("{}; {}", head.cpu, cpus(head))),
        ("governor", told(&head.governor, "the kernel tells none")),
        (
            "virtual",
            match head.hypervisor.as_deref() {
                None => "no".to_owned(),
                Some("unknown") => {
                    "yes (the machine does not tell which)".to_owned()
                }
                Some(name) => format!("yes, {name}"),
            },
        ),
        ("mitigations", mitigations(&head.mitigations)),
        ("limits", limits(&head.limits)),
    ]
}

fn cpus(head: &Head) -> String {
    let usable = format!("{} to use", count(head.cpus as u64, "CPU"));
    let pinned: Vec<_> = head.pinned.iter().map(usize::to_string).collect();
    match pinned.len() {
        0 => usable,
        _ => format!("{usable}, pinned to {}", pinned.join(" and ")),
    }
}

fn limits(limits: &[(String, String)]) -> String {
    let parts: Vec<_> =
        limits.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if parts.is_empty() { "none read".to_owned() } else { parts.join(", ") }
}

/// Which weaknesses cost something here: those that the kernel works around.
fn mitigations(all: &[(String, String)]) -> String {
    let named = |start: &str| -> Vec<&str> {
        let these = all.iter().filter(|(_, state)| state.starts_with(start));
        these.map(|(name, _)| name.as_str()).collect()
    };
    let (on, open) = (named("Mitigation"), named("Vulnerable"));
    let free = named("Not affected").len();
    let mut parts = Vec::new();
    if !on.is_empty() {
        parts.push(format!("{} on ({})", on.len(), on.join(", ")));
    }
    if !open.is_empty() {
        parts.push(format!("{} open ({})", open.len(), open.join(", ")));
    }
    if free > 0 {
        parts.push(format!("{free} not needed"));
    }
    let other = all.len() - on.len() - open.len() - free;
    if other > 0 {
        parts.push(format!("{other} unknown"));
    }
    if parts.is_empty() {
        "the kernel tells none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What stands in the way of a comparison: one sentence a difference.
pub(super) fn differences(old: &Head, new: &Head) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, old: String, new: String| {
        if old != new {
            found.push(format!("{name} differs: {old} → {new}"));
        }
    };
    let told =
        |fact: &Option<String>| fact.clone().unwrap_or_else(|| "none".to_owned());
    compare("ipclab's version", old.version.clone(), new.version.clone());
    compare("the kernel", old.kernel.clone(), new.kernel.clone());
    compare("the CPU", old.cpu.clone(), new.cpu.clone());
    compare("the number of CPUs", old.cpus.to_string(), new.cpus.to_string());
    compare("the governor", told(&old.governor), told(&new.governor));
    compare("the hypervisor", told(&old.hypervisor), told(&new.hypervisor));
    let (before, after) = (&old.mitigations, &new.mitigations);
    if before != after {
        found.push(format!(
            "the mitigations differ: {} → {}",
            mitigations(before),
            mitigations(after)
        ));
    }
    for (name, value) in &new.limits {
        if let Some((_, before)) = old.limits.iter().find(|(other, _)| other == name)
            && before != value
        {
            found.push(format!("the limit {name} differs: {before} → {value}"));
        }
    }
    for (head, other, which) in [(old, new, "old"), (new, old, "new")] {
        for warning in &head.warnings {
            if !other.warnings.contains(warning) {
                found.push(format!("only the {which} run was warned of: {warning}"));
            }
        }
    }
    found
}
