//! What a run of the bench reports: to people, to programs and to the next run. All of it is
//! made from the one [`Report`].

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::model::{Placement, Ratio, Report, Row, What};
use os::cleanup::without_signals;
use wire::errors::{Advise, errno};
use wire::say::count;

pub mod compare;
pub mod csv;
pub mod figures;
mod grid;
mod head;
pub mod json;
mod percentiles;
pub mod progress;
pub mod svg;
pub mod table;
pub mod units;

/// The programs of peers: the ratio to them shows what a language costs, not what the
/// machine can do.
const PEERS: [&str; 3] = ["C", "Python", super::hardening::BARE];

/// The ratio of a row to its floor: to one of the report's floors, or else to the first
/// thing that is no program.
fn floor_ratio<'a>(report: &Report, ratios: &'a [Ratio]) -> Option<&'a Ratio> {
    let is_floor =
        |ratio: &&Ratio| report.floors.iter().any(|floor| floor.name == ratio.to);
    let is_peer = |ratio: &&Ratio| PEERS.contains(&ratio.to.as_str());
    let others = || ratios.iter().filter(|ratio| !is_peer(ratio));
    others().find(is_floor).or_else(|| others().next())
}

/// What a row is of, in a few words: `pipe, 64 B`, `epoll, 64 clients, 900 idle`.
fn name(row: &Row) -> String {
    let mut text = subject(row);
    if let Some(size) = row.size {
        text += &format!(", {}", units::size(size));
    }
    if let Some(clients) = row.clients {
        text += &format!(", {}", count(clients.into(), "client"));
    }
    if let Some(idle) = row.idle {
        text += &format!(", {} idle", units::grouped(idle));
    }
    text
}

/// The subject, and its program if that is not ours.
fn subject(row: &Row) -> String {
    match row.program.as_str() {
        "ipclab" => row.subject.clone(),
        other => format!("{} ({other})", row.subject),
    }
}

/// Whether `others` have a row of the same subject, but of another chapter.
fn shared(row: &Row, others: &[&Row]) -> bool {
    others.iter().any(|other| {
        other.what == row.what
            && other.subject == row.subject
            && other.chapter != row.chapter
    })
}

/// Where it ran, in a learner's words.
fn in_words(placement: Placement) -> &'static str {
    match placement {
        Placement::Same => "same: both on one CPU",
        Placement::CrossBlocking => {
            "cross, blocking: two CPUs, a waiting side sleeps"
        }
        Placement::CrossLooking => {
            "cross, looking first: two CPUs, a side looks, then sleeps"
        }
        Placement::CrossSpinning => {
            "cross, spinning: two CPUs, a waiting side keeps looking"
        }
    }
}

/// The kinds of figures, in the order of the reports.
const KINDS: [What; 4] =
    [What::Latency, What::Throughput, What::Server, What::Operation];

/// What a kind of figure is, as a title.
fn title(what: What) -> &'static str {
    match what {
        What::Latency => "Latency: round trips",
        What::Throughput => "Throughput: one way",
        What::Server => "Servers: requests answered",
        What::Operation => "Operations",
    }
}

/// A file that a report will be written to. Whether that can be is checked when the file is
/// named: not after minutes of measuring.
#[derive(Debug)]
pub struct Target {
    /// As the user named it.
    path: PathBuf,
    /// The file that is replaced; `None` for a terminal, a pipe or /dev/null, which are
    /// written as they are.
    file: Option<PathBuf>,
}

impl Target {
    /// Checks whether `path` can be written, and changes nothing.
    ///
    /// # Errors
    /// ENOENT, EACCES, EISDIR and the like: of the file, or of its directory.
    pub fn check(path: &Path) -> Result<Target> {
        let told = || format!("open {}", path.display());
        let advice = |_: &anyhow::Error| Some("name a file that can be written");
        if let Ok(about) = std::fs::metadata(path) {
            if !about.is_file() && !about.is_dir() {
                return Ok(Target { path: path.to_owned(), file: None });
            }
            // Also what rename(2) would ignore: a file that is write-protected.
            std::fs::OpenOptions::new()
                .append(true)
                .open(path)
                .with_context(told)
                .advise(advice)?;
        }
        // Through a symbolic link to what it names: the link stays.
        let file = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let target = Target { path: path.to_owned(), file: Some(file.clone()) };
        without_signals(|| beside(&file)).with_context(told).advise(advice)?;
        Ok(target)
    }

    /// Writes `text`: a reader that opens the file gets all of it, or what was there before.
    ///
    /// # Errors
    /// ENOSPC and the like; then the old file is as it was.
    pub fn save(&self, text: &str) -> Result<()> {
        self.put(text)
            .with_context(|| format!("write {}", self.path.display()))
            .advise(|error| {
                let full =
                    matches!(errno(error), Some(Errno::ENOSPC | Errno::EDQUOT));
                full.then_some("name a file where there is room")
            })
    }

    fn put(&self, text: &str) -> std::io::Result<()> {
        let Some(file) = &self.file else {
            let mut stream =
                std::fs::OpenOptions::new().append(true).open(&self.path)?;
            return stream.write_all(text.as_bytes());
        };
        // A signal in between would leave the temporary file behind.
        without_signals(|| {
            let mut new = beside(file)?;
            new.as_file_mut().write_all(text.as_bytes())?;
            if let Ok(old) = std::fs::metadata(file) {
                new.as_file().set_permissions(old.permissions())?;
            }
            new.persist(file).map_err(|error| error.error)
        })
        .map(|_| ())
    }
}

/// A new file in the same directory, which rename(2) can put in the other's place.
fn beside(file: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let dir = match file.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    if file.file_name().is_none() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut number = None;
    let made = tempfile::Builder::new().prefix(".bench-").make_in(dir, |path| {
        std::fs::File::create_new(path)
            .inspect_err(|error| number = error.raw_os_error())
    });
    // tempfile's own errors hide the error number.
    made.map_err(|error| number.map_or(error, std::io::Error::from_raw_os_error))
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// As [`Target::check`] and [`Target::save`].
pub fn save(path: &Path, text: &str) -> Result<()> {
    Target::check(path)?.save(text)
}
