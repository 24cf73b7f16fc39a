//! `ipclab clean`: what a `kill -9` left behind, and nothing else.
//!
//! Each meeting place of ours has a lock file that says what it guards. Where nobody
//! holds the lock, what it names is stale, unless a stranger (who holds no lock) has it
//! open, which /proc tells. The directory of an experiment has such a list too.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, fcntl};

use super::experiment::left_behind;
use crate::os::cleanup::{Object, remove_now, segment_path, semaphore_path};
use crate::os::names;
use crate::os::proc;
use crate::wire::meet::{self, describe, is_pending, notes, runtime_dir};

/// The options of `ipclab clean`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks in the runtime directory, at the kernel names that go with it, \
                  and in TMPDIR for what an experiment left; what `--at DIR/NAME` left elsewhere, the next start there recovers.\n\n\
                  Examples:\n  ipclab clean --dry-run\n  ipclab clean --pending"
)]
pub struct Options {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Also remove what still waits for someone: queues with messages, published files,
    /// semaphores with posts
    #[arg(long)]
    pending: bool,
}

/// What is done with one thing that was found.
enum Verdict {
    Stale,
    InUse(String),
    Waits(String),
}

/// `ipclab clean`.
///
/// # Errors
/// When the runtime directory cannot be read.
pub fn run(options: &Options) -> Result<()> {
    let dir = runtime_dir();
    let used = Used::now();
    let mut report = String::new();
    let mut say = |what: &str, verdict: &Verdict| {
        let line = match verdict {
            Verdict::Stale if options.dry_run => format!("would remove {what}"),
            Verdict::Stale => format!("removed {what}"),
            Verdict::InUse(why) => format!("kept {what}: in use, {why}"),
            Verdict::Waits(why) => {
                format!("kept {what}: {why}; --pending removes it")
            }
        };
        report.push_str(&line);
        report.push('\n');
    };

    let mut known = HashSet::new();
    for path in files_in(&dir)? {
        if path.extension().is_some_and(|end| end == "lock") {
            clean_place(&path, &used, options, &mut known, &mut say)?;
        }
    }
    for (object, place) in without_lock(&dir)? {
        if known.contains(&describe(&object))
            || place.is_some_and(|lock| lock.exists())
        {
            continue;
        }
        clean_object(&object, &used, options, &mut say);
    }
    for left in left_behind() {
        for object in left.objects.iter().filter(|object| exists(object)) {
            say(&describe(object), &Verdict::Stale);
        }
        say(&format!("path {}", left.dir.display()), &Verdict::Stale);
        if !options.dry_run {
            left.remove();
        }
    }
    if report.is_empty() {
        report = format!("nothing to clean in {}\n", dir.display());
    }
    super::print(&report)
}

/// One meeting place: its objects, then its lock file.
fn clean_place(
    path: &Path,
    used: &Used,
    options: &Options,
    known: &mut HashSet<String>,
    say: &mut impl FnMut(&str, &Verdict),
) -> Result<()> {
    let name = path.display().to_string();
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let Ok(lock) = opened else { return Ok(()) };
    // All through this one descriptor: closing a second one would drop the lock.
    let objects = notes(&lock).with_context(|| format!("read {name}"))?;
    let kept = is_pending(&lock).with_context(|| format!("read {name}"))?;
    known.extend(objects.iter().map(describe));
    if !alone(&lock) {
        for object in &objects {
            let why = "a role of ours holds its lock".to_owned();
            say(&describe(object), &Verdict::InUse(why));
        }
        return Ok(());
    }
    let mut all_gone = true;
    let noted = lock.metadata().with_context(|| format!("fstat {name}"))?.mtime();
    for object in &objects {
        // An identifier that is younger than its note is another object's by now.
        let anothers = names::sysv_made(object).is_some_and(|made| made > noted);
        if anothers || !exists(object) {
            continue;
        }
        if kept && !options.pending && used.by_whom(object).is_none() {
            say(
                &describe(object),
                &Verdict::Waits("nobody has taken it yet".into()),
            );
            all_gone = false;
            continue;
        }
        all_gone &= clean_object(object, used, options, say);
    }
    if all_gone {
        say(&format!("path {name}"), &Verdict::Stale);
        if !options.dry_run {
            remove_now(&Object::Path(path.to_owned()));
        }
    }
    Ok(())
}

/// Whether `object` is gone now (or would be).
fn clean_object(
    object: &Object,
    used: &Used,
    options: &Options,
    say: &mut impl FnMut(&str, &Verdict),
) -> bool {
    let verdict = match used.by_whom(object) {
        Some(who) => Verdict::InUse(who),
        None => match names::waiting(object) {
            waiting if waiting > 0 && !options.pending => {
                Verdict::Waits(match object {
                    Object::File(_) => "nobody has taken it yet".into(),
                    Object::Semaphore(..) | Object::SysvSemaphore(..) => {
                        format!("{} that nobody has waited for", posts(waiting))
                    }
                    _ => format!("{} in it", crate::wire::roles::messages(waiting)),
                })
            }
            _ => Verdict::Stale,
        },
    };
    let goes = matches!(verdict, Verdict::Stale);
    say(&describe(object), &verdict);
    if goes && !options.dry_run {
        remove_now(object);
    }
    goes
}

fn posts(count: u64) -> String {
    format!("{count} post{}", if count == 1 { "" } else { "s" })
}

/// Whether nobody holds the lock file's first byte; then we hold it until it is closed.
fn alone(lock: &File) -> bool {
    fcntl(lock, FcntlArg::F_SETLK(&meet::byte(libc::F_WRLCK, 0))).is_ok()
}

/// What may be ours though no lock file names it, with the lock that would guard it: our
/// kernel names, and FIFOs and sockets in the runtime directory.
fn without_lock(dir: &Path) -> Result<Vec<(Object, Option<PathBuf>)>> {
    let mut found = Vec::new();
    for row in crate::chapters::rows() {
        let name = format!("{}{}", meet::kernel_prefix(), row.name);
        let key = meet::key_of(&name);
        let lock = Some(dir.join(format!("{}.lock", row.name)));
        let mut add = |object| found.push((object, lock.clone()));
        if names::queue_exists(&name) {
            add(Object::Queue(name.clone()));
        }
        let semaphore = semaphore_path(&name);
        if semaphore.symlink_metadata().is_ok() {
            add(Object::Semaphore(semaphore, 0));
        }
        let segment = segment_path(&name);
        match segment.symlink_metadata() {
            // Four bytes are a futex's word, which counts posts.
            Ok(about) if about.len() == 4 => add(Object::Semaphore(segment, 0)),
            Ok(_) => add(Object::Segment(name)),
            Err(_) => {}
        }
        if let Some(id) = names::sysv_queue(key) {
            add(Object::SysvQueue(id));
        }
        if let Some(id) = names::sysv_segment(key) {
            add(Object::SysvSegment(id));
        }
        if let Some(id) = names::sysv_semaphore(key) {
            add(Object::SysvSemaphore(id, 0));
        }
    }
    for path in files_in(dir)? {
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        let lock = meet::with_suffix(&path, ".lock");
        if about.file_type().is_fifo() || about.file_type().is_socket() {
            found.push((Object::Path(path), Some(lock)));
        }
    }
    Ok(found)
}

fn exists(object: &Object) -> bool {
    match object {
        Object::Path(path) | Object::File(path) | Object::Semaphore(path, _) => {
            path.symlink_metadata().is_ok()
        }
        Object::Queue(name) => names::queue_exists(name),
        Object::Segment(name) => segment_path(name).exists(),
        Object::SysvQueue(id) => names::sysv_queue_exists(*id),
        Object::SysvSegment(id) => names::sysv_segment_exists(*id),
        Object::SysvSemaphore(id, _) => names::sysv_semaphore_exists(*id),
    }
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("readdir {}", dir.display()));
        }
    };
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

/// What the processes of this machine have open or mapped, as far as we may look.
struct Used {
    names: std::collections::HashMap<String, String>,
}

impl Used {
    fn now() -> Used {
        let mut names = std::collections::HashMap::new();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = process.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|digit| digit.is_ascii_digit()) {
                continue;
            }
            let who = format!("pid {pid} has it open");
            let fds = std::fs::read_dir(process.path().join("fd"));
            for fd in fds.into_iter().flatten().flatten() {
                if let Ok(target) = std::fs::read_link(fd.path()) {
                    names.insert(target.to_string_lossy().into_owned(), who.clone());
                }
            }
            let maps = proc::text(process.path().join("maps"));
            for line in maps.unwrap_or_default().lines() {
                if let Some(at) = line.find('/') {
                    let who = format!("pid {pid} has it mapped");
                    names.insert(line[at..].to_owned(), who);
                }
            }
        }
        // Type 01 and state 01 aside, a bound socket's path is the line's last field.
        let sockets = proc::text("/proc/net/unix").unwrap_or_default();
        for line in sockets.lines().skip(1) {
            if let Some(at) = line.find('/') {
                names
                    .insert(line[at..].to_owned(), "a socket is bound to it".into());
            }
        }
        Used { names }
    }

    fn by_whom(&self, object: &Object) -> Option<String> {
        match object {
            // /proc shows paths without links and dots.
            Object::Path(path) | Object::File(path) | Object::Semaphore(path, _) => {
                let real = path.parent().and_then(|dir| dir.canonicalize().ok());
                let real =
                    real.zip(path.file_name()).map(|(dir, name)| dir.join(name));
                let path = real.as_ref().unwrap_or(path);
                self.names.get(path.to_string_lossy().as_ref())
            }
            // A queue's descriptor shows the name alone, as in its own file system.
            Object::Queue(name) => self.names.get(name),
            Object::Segment(name) => {
                self.names.get(segment_path(name).to_string_lossy().as_ref())
            }
            Object::SysvQueue(_) => None,
            Object::SysvSegment(id) => {
                let count = names::sysv_attached(*id);
                return (count > 0)
                    .then(|| format!("{count} processes have it attached"));
            }
            Object::SysvSemaphore(id, _) => {
                let count = names::sysv_sleepers(*id);
                return (count > 0)
                    .then(|| format!("{count} processes wait for it"));
            }
        }
        .cloned()
    }
}
