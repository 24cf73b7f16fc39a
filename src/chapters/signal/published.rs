//! How a sender learns the receiver's pid: from a file that the receiver publishes.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::number::Number;
use super::target::{Target, is_gone};
use os::calls::pidfd_open;
use os::cleanup::Object;
use os::process_identity::ProcessIdentity;
use wire::errors::Advise;
use wire::meet::{self, Presence, Rendezvous};
use wire::say;

#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/published.rs"]
pub(crate) mod fuzz;

/// What a receiver publishes: its pid, its start time, and which signal it takes.
#[derive(Debug, PartialEq, Eq)]
struct Published {
    pid: i32,
    /// When it started, in clock ticks since boot: field 22 of /proc/PID/stat.
    start: u64,
    signal: i32,
}

impl Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.pid, self.start, self.signal)
    }
}

impl Published {
    /// Three numbers and a newline; a file cut short is none.
    fn parse(text: &str) -> Option<Published> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let published = Published {
            pid: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
            signal: words.next()?.parse().ok()?,
        };
        (words.next().is_none() && published.pid > 0).then_some(published)
    }
}

// ANCHOR: publish
/// Lets senders find us. The signals are blocked by now: a sender that reads the file may send
/// at once. The file is written under another name and renamed, so that no sender reads half of
/// it. It is removed when we leave, even if senders stay: without us they would wait in vain.
///
/// # Errors
/// When something else is in the way at `path`; as open(2) and rename(2).
pub fn publish(path: &Path, signal: Number, presence: &mut Presence) -> Result<()> {
    // A live receiver of ours would have kept us out: what the file says is stale.
    read(path)?;
    let (pid, signal) = (std::process::id() as i32, signal.get());
    let start = ProcessIdentity::own().context("readlink /proc/self")?.start;
    let published = Published { pid, start, signal };
    presence.publish(path, &format!("{published}\n"))?;
    say!("published \"{published}\" at {}: pid, start, signal", path.display());
    Ok(())
}
// ANCHOR_END: publish

// ANCHOR: find
/// The receiver that has published itself at `rendezvous`; waits until there is one.
///
/// # Errors
/// When the file there is not a receiver's, or its receiver takes another signal.
pub fn find(
    rendezvous: &Rendezvous,
    signal: Number,
    presence: &mut Presence,
) -> Result<Target> {
    let path = rendezvous.path();
    let name = path.display();
    // We make nothing here that a receiver could find half made.
    presence.admit_peers()?;
    rendezvous.ready(path.display())?;
    let waits = || {
        say::waiting(
            format_args!("no receiver has published its pid at {name} yet"),
            &rendezvous.peer("receiver"),
        );
    };
    until_published(&path, waits, || {
        let Some(published) = read(&path)? else { return Ok(None) };
        presence.adopt(&Object::Path(path.clone()))?;
        let Published { pid, start, signal: theirs } = published;
        let Some(target) = living(pid, start)? else { return Ok(None) };
        ensure!(
            theirs == signal.get(),
            "pid {pid} takes {}, not {signal}; start both roles with the same --signal",
            theirs.to_string().parse().unwrap_or(signal)
        );
        say!("pidfd_open({pid}): the pid that {name} holds");
        Ok(Some(target))
    })
}

/// What `look` finds. While that is nothing, it says by `waits` what it waits for, and sleeps until
/// a file is renamed into the directory of `path`.
///
/// # Errors
/// As `look`; as inotify(7).
pub fn until_published<T>(
    path: &Path,
    waits: impl FnOnce(),
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    if let Some(found) = look()? {
        return Ok(found);
    }
    // The watch comes first and the next look after it: what appears in between is
    // seen by one of the two.
    let news = watch(path.parent().unwrap_or(Path::new("/")))?;
    waits();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        match news.read_events() {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("read inotify"),
        }
    }
}

fn watch(dir: &Path) -> Result<Inotify> {
    // A watch on the file itself would report nothing: rename puts another in its place.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let news = Inotify::init(InitFlags::IN_CLOEXEC)
        .context("inotify_init")
        .advise(|_| Some("fs.inotify.max_user_instances (sysctl) is the limit"))?;
    news.add_watch(dir, AddWatchFlags::IN_MOVED_TO)
        .with_context(|| format!("inotify_add_watch {}", dir.display()))?;
    Ok(news)
}

/// The process that has this pid and began at `start`, if it lives.
///
/// # Errors
/// EMFILE and the like, from pidfd_open(2).
pub fn living(pid: i32, start: u64) -> Result<Option<Target>> {
    let pidfd = match pidfd_open(pid) {
        Ok(pidfd) => pidfd,
        Err(Errno::ESRCH) => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("pidfd_open({pid})"));
        }
    };
    // Read after the open: if the start time is the same, the pidfd stands for that process.
    let process = ProcessIdentity { pid: pid.cast_unsigned(), start };
    let same = match process.runs() {
        Err(_) if is_gone(&pidfd) => return Ok(None),
        same => same.with_context(|| format!("open /proc/{pid}/stat"))?,
    };
    Ok((same && !is_gone(&pidfd)).then_some(Target { pid, pidfd }))
}
// ANCHOR_END: find

/// What lies at `path`, if anything does.
fn read(path: &Path) -> Result<Option<Published>> {
    let Some(text) = meet::published(path)? else { return Ok(None) };
    let published = Published::parse(&String::from_utf8_lossy(&text));
    let name = path.display();
    let what = "is not what a receiver publishes; use --at NAME for another place";
    published.with_context(|| format!("{name} {what}")).map(Some)
}
