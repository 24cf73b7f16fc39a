//! For programs: one object, with names that stay the same.

use serde_json::{Value, json};

use super::answer::Mark;
use super::finding::{Amount, Finding};

/// The version of what is written here: it changes when a field changes its meaning.
const SCHEMA: u32 = 1;

/// All of it, as text.
pub(crate) fn whole(found: &[Finding], sentence: &str) -> String {
    let count = |mark| found.iter().filter(|one| one.mark == mark).count();
    let all = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "ok": count(Mark::Ok),
        "limited": count(Mark::Limited),
        "missing": count(Mark::Missing),
        "sentence": sentence,
        "findings": found.iter().map(finding).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

fn finding(one: &Finding) -> Value {
    json!({
        "name": one.name,
        "kind": one.kind.name(),
        "chapters": one.chapters,
        "what": one.what,
        "mark": one.mark,
        "found": one.found,
        "loses": one.loses,
        "cure": one.cure,
        "necessary": one.necessary,
        "experiments": one.experiments,
        "took_us": one.took_us,
        "limit": one.amount.as_ref().map(amount),
    })
}

fn amount(amount: &Amount) -> Value {
    json!({
        "value": amount.value,
        "used": amount.used.ok(),
        "not_counted": amount.used.err(),
        "left": amount.left(),
        "unit": amount.unit,
        "set_in": amount.set_in,
        "now": amount.now,
        "for_good": amount.for_good,
        "needs_root": amount.needs_root,
    })
}
