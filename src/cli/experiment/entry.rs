//! An experiment of a chapter, and those that a command line means.

use anyhow::Result;

use crate::cli::near;
use experiments::row::Experiment;
use experiments::{self, ALL};
use wire::errors::usage;

/// One experiment, with the chapter it belongs to.
pub(super) type Entry = (&'static str, &'static Experiment);

/// The experiments that were asked for.
pub(super) fn choose(which: Option<&str>) -> Result<Vec<Entry>> {
    let all = || {
        ALL.iter().flat_map(|(chapter, list)| {
            list.iter().map(|experiment| (*chapter, experiment))
        })
    };
    let Some(which) = which else { return Ok(all().collect()) };
    if let Some(one) = experiments::find(which) {
        return Ok(vec![one]);
    }
    let found: Vec<Entry> = all().filter(|(chapter, _)| *chapter == which).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(usage(unknown(which)))
}

/// That there is none of this name, and what may have been meant.
fn unknown(which: &str) -> String {
    let chapter = which.split('/').next().unwrap_or_default();
    let near = match which.contains('/') {
        true => Vec::new(),
        false => near::chapters(&[which]),
    };
    let near = match near.is_empty() {
        true => near::experiments(which),
        false => near.into_iter().map(str::to_owned).collect(),
    };
    let way_out = near::question(&near).unwrap_or_else(|| {
        let of = match experiments::of(chapter) {
            [] => String::new(),
            _ => format!(" {chapter}"),
        };
        format!("; ipclab experiment{of} lists them")
    });
    format!("no such experiment or chapter: '{which}'{way_out}")
}
