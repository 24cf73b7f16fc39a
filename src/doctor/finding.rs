//! One line of the answer, whether it was tried, counted or looked up.

use super::answer::{Answer, Mark};
use super::ask::Asked;
use super::probe::Probe;

/// How it was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By doing it.
    Probe,
    /// By reading how much there is, and how much is used.
    Limit,
    /// By looking where this process runs.
    Surrounding,
}

impl Kind {
    /// As the JSON calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Probe => "probe",
            Kind::Limit => "limit",
            Kind::Surrounding => "surrounding",
        }
    }
}

/// One thing that was found out.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Its name, which stays the same.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The chapters that it concerns; none if all.
    pub(crate) chapters: &'static [&'static str],
    /// What it is.
    pub(crate) what: String,
    pub(crate) mark: Mark,
    /// What was seen.
    pub(crate) found: String,
    /// What a learner loses without it.
    pub(crate) loses: String,
    /// What helps.
    pub(crate) cure: Option<String>,
    pub(crate) necessary: bool,
    /// The experiments that cannot run without it.
    pub(crate) experiments: &'static [&'static str],
    /// How long a probe took, in microseconds.
    pub(crate) took_us: Option<u64>,
    pub(crate) amount: Option<Amount>,
}

/// How much of something there is.
#[derive(Debug, Clone)]
pub(crate) struct Amount {
    /// `None` if there is no limit.
    pub(crate) value: Option<u64>,
    /// Or why that is not known.
    pub(crate) used: Result<u64, &'static str>,
    pub(crate) unit: &'static str,
    /// Where it is set.
    pub(crate) set_in: String,
    /// The command that raises it for this shell, or until the next boot.
    pub(crate) now: String,
    /// What raises it for good.
    pub(crate) for_good: String,
    pub(crate) needs_root: bool,
}

impl Amount {
    /// What is left: `None` where there is no limit, or the kernel does not tell.
    pub(crate) fn left(&self) -> Option<u64> {
        Some(self.value?.saturating_sub(self.used.ok()?))
    }
}

/// Whether something of these chapters concerns the one that was chosen.
pub(crate) fn concerns(chapters: &[&str], chosen: Option<&str>) -> bool {
    chosen.is_none_or(|chosen| chapters.is_empty() || chapters.contains(&chosen))
}

impl Finding {
    /// What came of a probe.
    pub(crate) fn of_probe(probe: &Probe, asked: Asked) -> Finding {
        let Asked { answer: Answer { mark, found, cure }, took_us } = asked;
        Finding {
            name: probe.name,
            kind: Kind::Probe,
            chapters: probe.chapters,
            what: probe.what.to_owned(),
            mark,
            found,
            loses: probe.loses.to_owned(),
            cure: cure.filter(|_| mark != Mark::Ok),
            necessary: probe.necessary,
            experiments: probe.experiments,
            took_us: Some(took_us),
            amount: None,
        }
    }

    /// Whether it stands under the chapter `name`: under the first that it concerns.
    pub(crate) fn stands_under(&self, name: &str) -> bool {
        self.chapters.first().is_some_and(|first| *first == name)
    }
}
