//! `ipclab exercise check --watch`: a check at once, and at each file that is saved.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, killpg};
use nix::sys::statfs::{FsType, statfs};
use nix::unistd::{Pid, read};
use rustix::event::{PollFd, PollFlags};

use bare::Language;
use lab::interrupts::Interrupts;
use os::calls::{pidfd_open, poll_until};
use os::spawn::die_with_parent;
use wire::errors::usage;
use wire::say::tell;
use wire::standard;

/// An editor saves in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How often files are looked at where no event comes.
const LOOK: Duration = Duration::from_secs(1);

/// How long a check may take to end, and to remove what it has made.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is watched.
pub(super) struct Watched {
    /// Where the files are.
    folder: PathBuf,
    /// What the names of files end in that are the learner's.
    endings: &'static [&'static str],
    /// The files themselves, where they are known.
    files: Vec<PathBuf>,
}

impl Watched {
    /// The program in a learner's folder: what is built of it is none of the learner's files.
    pub(super) fn folder(dir: &Path, language: Language) -> Watched {
        let endings: &[_] = match language {
            Language::Rust => &["rs", "toml"],
            Language::C => &["c", "h"],
            Language::Python => &["py"],
        };
        Watched { folder: dir.to_owned(), endings, files: Vec::new() }
    }

    /// The files that a command names.
    ///
    /// # Errors
    /// When it names none.
    pub(super) fn command(words: &[OsString]) -> Result<Watched> {
        let files: Vec<_> =
            words.iter().map(PathBuf::from).filter(|path| path.is_file()).collect();
        let first = files.first().and_then(|file| file.parent());
        let Some(first) = first else {
            return Err(usage("the command names no file that could be watched"));
        };
        let here = first.as_os_str().is_empty();
        let folder = if here { PathBuf::from(".") } else { first.to_owned() };
        Ok(Watched { folder, endings: &[], files })
    }

    /// The directories with the files.
    fn dirs(&self) -> Vec<PathBuf> {
        let mut dirs = vec![self.folder.clone()];
        if self.files.is_empty() {
            let mut index = 0;
            while index < dirs.len() {
                let below = dirs[index].read_dir().into_iter().flatten().flatten();
                let below = below.filter(|entry| {
                    let name = entry.file_name();
                    let name = name.as_encoded_bytes();
                    name != b"target"
                        && !name.starts_with(b".")
                        && !name.starts_with(b"__")
                        && entry.file_type().is_ok_and(|kind| kind.is_dir())
                });
                dirs.extend(below.map(|entry| entry.path()).collect::<Vec<_>>());
                index += 1;
            }
        }
        let parents = self.files.iter().filter_map(|file| file.parent());
        dirs.extend(
            parents.filter(|dir| !dir.as_os_str().is_empty()).map(Path::to_owned),
        );
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// The files as they are now: when each was written, and how long it is.
    fn state(&self) -> BTreeMap<PathBuf, (SystemTime, u64)> {
        let mut files = self.files.clone();
        if files.is_empty() {
            let entries =
                self.dirs().into_iter().filter_map(|dir| dir.read_dir().ok());
            let paths = entries.flatten().flatten().map(|entry| entry.path());
            files.extend(paths.filter(|path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                ending.is_some_and(|ending| self.endings.contains(&ending))
            }));
        }
        files
            .into_iter()
            .filter_map(|path| {
                let about = path.metadata().ok()?;
                Some((path, (about.modified().ok()?, about.len())))
            })
            .collect()
    }
}

/// How files are watched: by inotify(7), or why not.
fn events(watched: &Watched, poll: bool) -> std::result::Result<Inotify, String> {
    if poll {
        return Err("as --poll says".into());
    }
    let FsType(kind) = statfs(&watched.folder)
        .map_err(|error| error.to_string())?
        .filesystem_type();
    // NFS, CIFS and SMB, 9p (also the Windows drives of WSL 2), FUSE, the shared folders of
    // VirtualBox, the drives of WSL 1: others write to them without an event here.
    let without = matches!(
        kind,
        0x6969
            | 0xff53_4d42
            | 0xfe53_4d42
            | 0x0102_1997
            | 0x6573_5546
            | 0x786f_4256
            | 0x5346_4846
    );
    if without {
        return Err(
            "inotify(7) does not report all changes on this file system".into()
        );
    }
    let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
    let inotify =
        Inotify::init(flags).map_err(|error| format!("inotify_init1: {error}"))?;
    let wanted = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB;
    for dir in watched.dirs() {
        inotify.add_watch(&dir, wanted).map_err(|error| {
            format!("inotify_add_watch {}: {error}", dir.display())
        })?;
    }
    Ok(inotify)
}

/// Checks at once, and at each change, by this program with `words`, until the learner ends it.
///
/// # Errors
/// EMFILE and the like.
pub(super) fn run(watched: &Watched, words: &[OsString], poll: bool) -> Result<()> {
    let mut stop = Interrupts::watch()?;
    let events = events(watched, poll);
    let how = match &events {
        Ok(_) => "by inotify(7)".to_owned(),
        Err(why) => format!("by a look each second, {why}"),
    };
    tell(&format!(
        "Watching {} {how}: each saved file starts the check. r and Enter starts it, too; q and \
         Enter ends.\n",
        watched.folder.display()
    ));
    let mut before = watched.state();
    let mut check = Some(Check::start(words)?);
    let mut due: Option<Instant> = events.is_err().then(|| Instant::now() + LOOK);
    let mut input = Some(standard::input()?);
    loop {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let mut fds = vec![PollFd::new(&stop.signals, PollFlags::IN)];
        let inotify = events.as_ref().ok().map(|events| events.as_fd());
        for fd in [inotify, input, check.as_ref().map(|check| check.pidfd.as_fd())] {
            fds.extend(fd.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        poll_until(&mut fds, left).context("poll")?;
        drop(fds);
        if stop.pending()? {
            drop(check);
            return stop.caught.map_or(Ok(()), |signal| stop.end_by(signal));
        }
        let ready = |fd: Option<_>| {
            fd.is_some_and(|fd| {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
                poll_until(&mut fds, Some(Duration::ZERO)).is_ok()
                    && !fds[0].revents().is_empty()
            })
        };
        if let Ok(events) = &events
            && ready(inotify)
        {
            while events.read_events().is_ok_and(|events| !events.is_empty()) {}
            due = Some(Instant::now() + DEBOUNCE);
        }
        let mut again = false;
        if ready(input) {
            match typed(&mut input)? {
                Some(b'q') => return Ok(()),
                Some(b'r') => again = true,
                _ => {}
            }
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            due = events.is_err().then(|| Instant::now() + LOOK);
            let now = watched.state();
            again |= now != before;
            before = now;
        }
        if check.as_mut().is_some_and(Check::has_ended) {
            check = None;
            tell("\nWatching: save a file, or r and Enter; q and Enter ends.\n");
        }
        if again {
            drop(check.take());
            tell(&format!("\n{}\n", "─".repeat(40)));
            check = Some(Check::start(words)?);
        }
    }
}

/// The first byte of what was typed; at its end nothing more is read.
fn typed(
    input: &mut Option<std::os::fd::BorrowedFd<'static>>,
) -> Result<Option<u8>> {
    let Some(fd) = input else { return Ok(None) };
    let mut bytes = [0; 512];
    match read(*fd, &mut bytes) {
        Ok(0) => *input = None,
        Ok(_) => return Ok(Some(bytes[0].to_ascii_lowercase())),
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(error) => return Err(error).context("read standard input"),
    }
    Ok(None)
}

/// A check that runs. Dropped, it is ended with all that it has started.
struct Check {
    child: Child,
    pidfd: std::os::fd::OwnedFd,
}

impl Check {
    fn start(words: &[OsString]) -> Result<Check> {
        let mut command = Command::new(std::env::current_exe().context("readlink")?);
        command.args(words).stdin(Stdio::null()).process_group(0);
        die_with_parent(&mut command);
        let mut child = command.spawn().context("spawn the check")?;
        match pidfd_open(child.id() as i32) {
            Ok(pidfd) => Ok(Check { child, pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("pidfd_open")
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // It ends its players, which have groups of their own; the group is it and a compiler.
        let group = Pid::from_raw(self.child.id() as i32);
        let _ = killpg(group, Signal::SIGTERM);
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let _ = poll_until(&mut fds, Some(PATIENCE));
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
