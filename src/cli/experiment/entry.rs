//! An experiment of a chapter, and those that a command line means.

use anyhow::Result;

use crate::cli::near;
use experiments::row::Experiment;
use experiments::{self, ALL};
use wire::errors::usage;

/// One experiment, with the chapter it belongs to.
pub(super) type Entry = (&'static str, &'static Experiment);

/// What an experiment is called: CHAPTER/NAME.
pub(super) fn id((chapter, experiment): Entry) -> String {
    format!("{chapter}/{}", experiment.name)
}

/// The experiments that were asked for, in the order of their pages.
pub(super) fn choose(which: Option<&str>) -> Result<Vec<Entry>> {
    let Some(which) = which else {
        return Ok(ALL.iter().flat_map(|(chapter, _)| of(chapter)).collect());
    };
    if let Some(one) = experiments::find(which) {
        return Ok(vec![one]);
    }
    let found = of(which);
    if !found.is_empty() {
        return Ok(found);
    }
    Err(usage(unknown(which)))
}

/// Those of a chapter.
pub(super) fn of(chapter: &str) -> Vec<Entry> {
    let list = ALL.iter().find(|(name, _)| *name == chapter);
    list.map_or(Vec::new(), |(chapter, list)| {
        list.iter().map(|one| (*chapter, one)).collect()
    })
}

/// The same in the order in which they are asked: by chapter, then by level.
pub(super) fn in_order(mut chosen: Vec<Entry>) -> Vec<Entry> {
    chosen.sort_by_key(|(chapter, one)| {
        (ALL.iter().position(|(name, _)| name == chapter), one.level)
    });
    chosen
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
