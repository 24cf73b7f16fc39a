//! `ipclab clean`: what a `kill -9` left behind, and nothing else.
//!
//! Each rendezvous of ours has a lock file that names what it guards. Where no process
//! holds the lock, what the file names is stale, unless a process of another program (which
//! holds no lock) has it open, which /proc shows. The directory of a demo, a trace, an
//! experiment or a bench has such a list too. What is not this user's own does not count
//! here, and is left alone.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use super::bare::OWN_PLACE;
use super::prose;
use super::scratch::{DesertedRun, deserted};
use chapters::find;
use os::cleanup::notes::beside;
use os::cleanup::{Object, exists, owner_of, remove_now};
use os::names;
use os::shm_file::{segment_path, semaphore_path};
use wire::meet::{
    self, Deserted, PlaceState, check_dir, describe, kernel_prefix, runtime_dir,
    with_suffix,
};
use wire::say::count;
use wire::visible::visible;

/// The options of `ipclab clean`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks in the runtime directory, at the kernel names that go with it, \
                  and in TMPDIR for what a demo, a trace, an experiment, a bench or the doctor left; what \
                  `--at DIR/NAME` left elsewhere, the next start there recovers.\n\n\
                  Examples:\n  ipclab clean --dry-run\n  ipclab clean --pending"
)]
pub struct Options {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Also remove what still waits to be taken: queues with messages, published files,
    /// semaphores with posts
    #[arg(long)]
    pending: bool,
}

/// What is done with one thing that was found.
enum CleanAction {
    Stale,
    InUse(String),
    Waits(String),
    /// It is another user's, or may be: why.
    Strange(String),
}

/// `ipclab clean`.
///
/// # Errors
/// When the runtime directory is not ours alone, or cannot be read; when something that is
/// stale cannot be removed.
pub fn run(options: &Options) -> Result<()> {
    let dir = runtime_dir();
    let there = dir.symlink_metadata().is_ok();
    if there {
        check_dir(&dir)?;
    }
    let mut cleaner =
        Cleaner { used: Used::now(), options, report: String::new(), failed: 0 };
    let files = if there { files_in(&dir)? } else { Vec::new() };
    let (locks, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| stem_of(path).is_some());
    for lock in &locks {
        cleaner.rendezvous(lock)?;
    }
    // What may be ours though no lock file names it.
    let locks: HashSet<_> = locks.iter().map(PathBuf::as_path).collect();
    let lone =
        |path: &Path| !locks.contains(with_suffix(path, beside::LOCK).as_path());
    let mut objects: Vec<_> = others.into_iter().filter(|path| lone(path)).collect();
    objects.retain(|path| is_fifo_or_socket(path));
    let mut objects: Vec<_> = objects.into_iter().map(Object::Path).collect();
    for row in chapters::rows() {
        for place in [row.name.to_owned(), format!("{}{OWN_PLACE}", row.name)] {
            if lone(&dir.join(&place)) {
                objects.extend(in_kernel(&format!("{}{place}", kernel_prefix())));
            }
        }
    }
    for object in objects {
        cleaner.object(&object);
    }
    for left in deserted() {
        cleaner.left(left);
    }
    if cleaner.report.is_empty() {
        cleaner.say(&format!("nothing to clean in {}", dir.display()));
    }
    prose::print(&cleaner.report)?;
    match cleaner.failed {
        0 => Ok(()),
        1 => bail!("one thing could not be removed"),
        n => bail!("{n} things could not be removed"),
    }
}

/// The name beside which a lock file lies, if it may be one.
fn stem_of(path: &Path) -> Option<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let stem = bytes.strip_suffix(beside::LOCK.as_bytes())?;
    Some(PathBuf::from(OsString::from_vec(stem.to_vec())))
}

struct Cleaner<'a> {
    used: Used,
    options: &'a Options,
    report: String,
    failed: usize,
}

impl Cleaner<'_> {
    /// Adds a line to the report. Names that others chose are escaped, so no terminal obeys them.
    fn say(&mut self, line: &str) {
        self.report.push_str(&visible(line));
        self.report.push('\n');
    }

    /// Reports what is done with `what`, and has it done by `remove`; returns whether it is gone
    /// then, or would be.
    fn conclude(
        &mut self,
        what: &str,
        action: &CleanAction,
        remove: impl FnOnce() -> Result<(), Errno>,
    ) -> bool {
        let (gone, line) = match action {
            CleanAction::Stale if self.options.dry_run => {
                (true, format!("would remove {what}"))
            }
            CleanAction::Stale => match remove() {
                Ok(()) => (true, format!("removed {what}")),
                Err(error) => {
                    self.failed += 1;
                    (false, format!("could not remove {what}: {error}"))
                }
            },
            CleanAction::InUse(why) => {
                (false, format!("kept {what}: in use, {why}"))
            }
            CleanAction::Waits(why) => {
                (false, format!("kept {what}: {why}; --pending removes it"))
            }
            CleanAction::Strange(why) => (false, format!("kept {what}: it {why}")),
        };
        self.say(&line);
        gone
    }

    /// One rendezvous: its objects, then its lock file.
    fn rendezvous(&mut self, lock: &Path) -> Result<()> {
        let what = format!("path {}", lock.display());
        let deserted = match Deserted::at(lock, |name| find(name).is_some())? {
            PlaceState::Deserted(deserted) => deserted,
            PlaceState::None => return Ok(()),
            PlaceState::Foreign(why) => {
                self.conclude(&what, &CleanAction::Strange(why), || Ok(()));
                return Ok(());
            }
            PlaceState::InUse(objects) => {
                for object in &objects {
                    let why = "a role of ours holds its lock".to_owned();
                    self.conclude(
                        &describe(object),
                        &CleanAction::InUse(why),
                        || Ok(()),
                    );
                }
                return Ok(());
            }
        };
        let (notes, noted_at) = (deserted.notes()?, deserted.noted_at()?);
        let mut objects = notes.objects();
        // An identifier that is younger than its note is another object's by now.
        objects.retain(|object| {
            names::sysv_made(object).is_none_or(|made| made <= noted_at)
        });
        // What was made in the instant before a role was killed is not noted yet.
        let path = stem_of(lock).unwrap_or_default();
        let stem =
            path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut unnoted = in_kernel(&format!("{}{stem}", kernel_prefix()));
        unnoted.extend(is_fifo_or_socket(&path).then_some(Object::Path(path)));
        for object in unnoted {
            if !objects.iter().any(|known| is_same(known, &object)) {
                objects.push(object);
            }
        }
        let kept = notes.is_pending();
        let mut all_gone = true;
        for object in objects.iter().filter(|object| owner_of(object).is_ok()) {
            let waits = kept && !self.options.pending && exists(object);
            all_gone &= if waits && self.used.by_whom(object).is_none() {
                let why = CleanAction::Waits("nobody has taken it yet".into());
                self.conclude(&describe(object), &why, || Ok(()))
            } else {
                self.object(object)
            };
        }
        if all_gone {
            let file = Object::Path(lock.to_owned());
            self.conclude(&what, &CleanAction::Stale, || remove_now(&file));
        }
        Ok(())
    }

    /// One thing; returns whether it is gone now, or would be.
    fn object(&mut self, object: &Object) -> bool {
        let action = self.action(object);
        // Another user's object is no concern of this rendezvous.
        self.conclude(&describe(object), &action, || remove_now(object))
            || matches!(action, CleanAction::Strange(_))
    }

    fn action(&self, object: &Object) -> CleanAction {
        match owner_of(object) {
            Ok(owner) if owner.is_us() => {}
            Ok(owner) => {
                let why = owner.why_not_ours();
                return CleanAction::Strange(why.unwrap_or_default());
            }
            Err(error) => {
                return CleanAction::Strange(format!(
                    "cannot be looked at: {error}"
                ));
            }
        }
        if let Some(who) = self.used.by_whom(object) {
            return CleanAction::InUse(who);
        }
        match names::waiting(object) {
            waiting if waiting > 0 && !self.options.pending => {
                CleanAction::Waits(match object {
                    Object::File(_) => "nobody has taken it yet".into(),
                    Object::Semaphore(..) | Object::SysvSemaphore(..) => {
                        format!(
                            "{} that nobody has waited for",
                            count(waiting, "post")
                        )
                    }
                    _ => format!("{} in it", wire::roles::messages(waiting)),
                })
            }
            _ => CleanAction::Stale,
        }
    }

    /// What a killed director left: what its run has made elsewhere, then its directory.
    fn left(&mut self, left: DesertedRun) {
        for object in left.objects.iter().filter(|object| exists(object)) {
            self.conclude(&describe(object), &CleanAction::Stale, || {
                remove_now(object)
            });
        }
        let what = format!("path {}", left.dir.display());
        self.conclude(&what, &CleanAction::Stale, || {
            left.remove_dir().map_err(|error| {
                Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
            })
        });
    }
}

/// Whether two name the same thing, whatever value a semaphore was made with.
fn is_same(one: &Object, other: &Object) -> bool {
    let named = |object: &Object| match object {
        Object::Semaphore(path, _) => Object::Semaphore(path.clone(), 0),
        Object::SysvSemaphore(id, _) => Object::SysvSemaphore(*id, 0),
        // A segment of four bytes may be a futex's word.
        Object::Segment(name) => Object::Semaphore(segment_path(name), 0),
        object => object.clone(),
    };
    named(one) == named(other)
}

/// What is in the kernel under `name`, as a chapter calls it.
pub(crate) fn in_kernel(name: &str) -> Vec<Object> {
    let mut found = vec![Object::Queue(name.to_owned())];
    let semaphore = semaphore_path(name);
    found.push(Object::Semaphore(semaphore, 0));
    let segment = segment_path(name);
    found.push(match segment.symlink_metadata() {
        // Four bytes are a futex's word, which counts posts.
        Ok(about) if about.len() == 4 => Object::Semaphore(segment, 0),
        _ => Object::Segment(name.to_owned()),
    });
    let key = meet::key_of(name);
    found.extend(names::sysv_queue(key).map(Object::SysvQueue));
    found.extend(names::sysv_segment(key).map(Object::SysvSegment));
    found.extend(names::sysv_semaphore(key).map(|id| Object::SysvSemaphore(id, 0)));
    // One that is there and that we may not open is there all the same.
    found.retain(|object| !matches!(owner_of(object), Err(Errno::ENOENT)));
    found
}

fn is_fifo_or_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| {
        about.file_type().is_fifo() || about.file_type().is_socket()
    })
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("readdir {}", dir.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

/// What the processes of this machine have open or mapped, as far as we may look.
struct Used {
    names: HashMap<Vec<u8>, String>,
    /// /proc/net/unix, whole: a path in it may have a newline.
    sockets: Vec<u8>,
}

impl Used {
    fn now() -> Used {
        let mut names = HashMap::new();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = process.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|digit| digit.is_ascii_digit()) {
                continue;
            }
            let who = format!("pid {pid} has it open");
            let fds = std::fs::read_dir(process.path().join("fd"));
            for fd in fds.into_iter().flatten().flatten() {
                if let Ok(target) = std::fs::read_link(fd.path()) {
                    names.insert(target.into_os_string().into_vec(), who.clone());
                }
            }
            let maps =
                std::fs::read(process.path().join("maps")).unwrap_or_default();
            for line in maps.split(|byte| *byte == b'\n') {
                if let Some(at) = line.iter().position(|byte| *byte == b'/') {
                    let who = format!("pid {pid} has it mapped");
                    names.insert(unescaped(&line[at..]), who);
                }
            }
        }
        let sockets = std::fs::read("/proc/net/unix").unwrap_or_default();
        Used { names, sockets }
    }

    fn by_whom(&self, object: &Object) -> Option<String> {
        match object {
            Object::Path(path) | Object::File(path) | Object::Semaphore(path, _) => {
                // /proc shows paths without links and dots, but a socket's as it was bound.
                let real = path.parent().and_then(|dir| dir.canonicalize().ok());
                let real =
                    real.zip(path.file_name()).map(|(dir, name)| dir.join(name));
                let real = real.as_ref().unwrap_or(path);
                let bound = [path, real].iter().any(|path| self.is_bound(path));
                let named = self.names.get(real.as_os_str().as_bytes()).cloned();
                named.or(bound.then(|| "a socket is bound to it".into()))
            }
            // A queue's descriptor shows the name alone, as in its own file system.
            Object::Queue(name) => self.names.get(name.as_bytes()).cloned(),
            Object::Segment(name) => {
                self.names.get(segment_path(name).as_os_str().as_bytes()).cloned()
            }
            Object::SysvQueue(_) => None,
            Object::SysvSegment(id) => match names::sysv_attached(*id) {
                0 => None,
                1 => Some("1 process has it attached".to_owned()),
                more => Some(format!("{more} processes have it attached")),
            },
            Object::SysvSemaphore(id, _) => match names::sysv_sleepers(*id) {
                0 => None,
                1 => Some("1 process waits for it".to_owned()),
                more => Some(format!("{more} processes wait for it")),
            },
        }
    }

    /// Type and state aside, a bound socket's path is the last of its line.
    fn is_bound(&self, path: &Path) -> bool {
        let end = [b" ", path.as_os_str().as_bytes(), b"\n"].concat();
        self.sockets.windows(end.len()).any(|part| part == end)
    }
}

/// A path as /proc/PID/maps writes it, in which a newline is `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut rest = path;
    let mut whole = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(after) => {
                whole.push(b'\n');
                rest = after;
            }
            None => {
                whole.push(*first);
                rest = after;
            }
        }
    }
    whole
}
