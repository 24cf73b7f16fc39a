//! How much there is of what runs out: value, used, left, and how it is raised.

use nix::sys::resource::{Resource, getrlimit};

use super::answer::Mark;
use super::finding::{Amount, Finding, Kind, concerns};
use wire::say::grouped;

mod rows;
mod used;

use rows::ROWS;

/// Where a limit is set.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// getrlimit(2), with the letter of `ulimit`, and the word of limits.conf(5).
    Rlimit(Resource, char, &'static str),
    /// A file below /proc/sys, and which of its numbers.
    Sysctl(&'static str, usize),
    /// The size of /dev/shm.
    SharedMemory,
    /// What this process's control group may have.
    Cgroup(used::Group),
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy)]
enum Used {
    /// So much, where /proc shows it.
    Of(fn() -> Option<u64>),
    /// So much, where the file system of POSIX queues is mounted.
    OfQueues(fn() -> Option<u64>),
    /// It bounds each one by itself: a queue, a message. They do not add up.
    OfEach,
    /// Nothing tells, for this reason.
    Untold(&'static str),
}

impl Used {
    fn look(self) -> Result<u64, &'static str> {
        match self {
            Used::Of(count) => count().ok_or("/proc does not show it here"),
            Used::OfQueues(count) => count().ok_or("/dev/mqueue is not mounted"),
            Used::OfEach => Err("it bounds each one by itself"),
            Used::Untold(why) => Err(why),
        }
    }
}

/// One limit.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    chapters: &'static [&'static str],
    what: &'static str,
    source: Source,
    used: Used,
    /// With less left, the learner loses something: this much is suggested, too.
    wants: u64,
    loses: &'static str,
}

/// All limits that concern a chapter, or all. What this kernel does not have is left out.
pub(crate) fn all(chapter: Option<&str>) -> Vec<Finding> {
    let rows = ROWS.iter().filter(|row| concerns(row.chapters, chapter));
    rows.filter_map(Limit::finding).collect()
}

impl Limit {
    fn finding(&self) -> Option<Finding> {
        let amount = self.amount()?;
        let raised = amount.value.is_some();
        let left = amount.left().or(amount.value);
        let enough = left.is_none_or(|left| left >= self.wants);
        let number = |n: u64| grouped(n);
        let value = amount.value.map_or("no limit".to_owned(), number);
        let used = match (amount.used, self.used) {
            (Ok(used), _) => {
                let left =
                    amount.left().map(|left| format!(", {} left", number(left)));
                format!("; {} used{}", number(used), left.unwrap_or_default())
            }
            (Err(_), Used::OfEach) => String::new(),
            (Err(why), _) => format!("; how much is used is not known: {why}"),
        };
        let unit = if amount.value.is_none() { "" } else { amount.unit };
        let (now, root) =
            (&amount.now, if amount.needs_root { ", as root" } else { "" });
        let until = match self.source {
            Source::Rlimit(..) => "in this shell",
            Source::Sysctl(..) | Source::SharedMemory => "until the next boot",
            Source::Cgroup(..) => "now",
        };
        let cure = format!("{until}: {now}{root}; for good: {}", amount.for_good);
        Some(Finding {
            name: self.name,
            kind: Kind::Limit,
            chapters: self.chapters,
            what: format!("{} ({})", self.what, amount.set_in),
            mark: if enough { Mark::Ok } else { Mark::Limited },
            found: format!(
                "{value}{}{unit}{used}",
                if unit.is_empty() { "" } else { " " }
            ),
            loses: self.loses.to_owned(),
            cure: raised.then_some(cure),
            necessary: false,
            experiments: &[],
            took_us: None,
            amount: Some(amount),
        })
    }

    fn amount(&self) -> Option<Amount> {
        let used = self.used.look();
        let first = self.what.split(' ').next().unwrap_or_default();
        let unit = if ["bytes", "pages"].contains(&first) { first } else { "" };
        // What there is and a half, where that is enough; else what the book wants.
        let wants = self.wants.saturating_add(used.unwrap_or(0));
        let raised = |value: Option<u64>| {
            let value = value.unwrap_or(0);
            if value >= wants { value.saturating_add(value / 2) } else { wants }
        };
        Some(match self.source {
            Source::Rlimit(resource, letter, word) => {
                // Both count addresses by 1024 bytes.
                let by = if word == "as" { 1024 } else { 1 };
                let (soft, hard) = getrlimit(resource).ok()?;
                let limited = |n: u64| (n != u64::MAX).then_some(n);
                let more = raised(limited(soft));
                Amount {
                    value: limited(soft),
                    used,
                    unit,
                    set_in: format!("{resource:?}, hard {}", shown(limited(hard))),
                    now: format!("ulimit -{letter} {}", more.div_ceil(by)),
                    for_good: format!(
                        "a line `* - {word} {}` in /etc/security/limits.conf, as root",
                        more.div_ceil(by)
                    ),
                    needs_root: hard < more,
                }
            }
            Source::Sysctl(file, which) => {
                let text = os::proc::text(format!("/proc/sys/{file}")).ok()?;
                let numbers: Vec<&str> = text.split_whitespace().collect();
                let value: u64 = numbers.get(which)?.parse().ok()?;
                // Some say "as many as can be counted", and 0 is no limit of pipes.
                let is_none =
                    value >= 1 << 60 || value == 0 && file.contains("pipe");
                let value = (!is_none).then_some(value);
                let key = file.replace('/', ".");
                // Of several numbers only one is raised.
                let mut all: Vec<String> =
                    numbers.iter().map(|n| (*n).to_owned()).collect();
                all[which] = raised(value).to_string();
                let raised = all.join(" ");
                let quoted = if raised.contains(' ') {
                    format!("'{key}={raised}'")
                } else {
                    format!("{key}={raised}")
                };
                Amount {
                    value,
                    used,
                    unit,
                    set_in: key.clone(),
                    now: format!("sysctl {quoted}"),
                    for_good: format!(
                        "a line `{key} = {raised}` in /etc/sysctl.d/ipclab.conf"
                    ),
                    needs_root: true,
                }
            }
            Source::SharedMemory => {
                let size = used::shared_memory_size()?;
                Amount {
                    value: Some(size),
                    used,
                    unit,
                    set_in: "/dev/shm".to_owned(),
                    now: format!(
                        "mount -o remount,size={}M /dev/shm",
                        raised(Some(size)) >> 20
                    ),
                    for_good: "a line in /etc/fstab; docker run --shm-size 1g"
                        .to_owned(),
                    needs_root: true,
                }
            }
            Source::Cgroup(group) => {
                let text = group.most()?;
                Amount {
                    value: text.parse().ok().filter(|value| *value < 1 << 60),
                    used,
                    unit,
                    set_in: format!("cgroup {}", group.most),
                    now: "systemctl set-property --runtime, or the container's options".to_owned(),
                    for_good: "systemctl set-property, or the container's options".to_owned(),
                    needs_root: true,
                }
            }
        })
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or("unlimited".to_owned(), grouped)
}
