//! The stern partner of a stage: a process that speaks the chapter's wire, and does on purpose
//! what a peer may do. It logs each step on standard error.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, read, write};
use rustix::event::{PollFd, PollFlags};

use os::calls::poll_until;
use os::proc::{Activity, activity, field, text};
use os::process_identity::state;
use wire::payload;
use wire::say::{bytes as shown, tell};
use wire::standard;

use super::row::{Exercise, Stage};
use super::scene::Scene;
use super::sleep::{IDLE, Sleep, ended_early, restless};
use super::{find, seed, stream};

/// The environment variable that all processes of a stage have: its directory.
pub(super) const MARK: &str = "IPCLAB_STAGE";

/// What a program leaves in a stage's directory that is not to do the learner's work: its name.
pub(super) const USED: &str = ".used";

/// This program's word for the partner.
pub(super) const VERB: &str = "exercise-partner";

/// Longer than any wait of a partner: by then the check has ended it.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a partner pauses where a stage says so: long for a program, short for a reader.
pub const PAUSE: Duration = Duration::from_millis(150);

/// The words that make this program a partner. `ipclab exercise check` starts it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The exercise: CHAPTER/NAME
    exercise: String,
    /// The stage
    stage: String,
    /// The seed
    seed: String,
}

/// Leaves this program's name in the stage's directory if the learner's program has started it.
pub fn tell_of_use() {
    let Some(dir) = std::env::var_os(MARK) else { return };
    if std::env::args_os().nth(1).is_some_and(|verb| verb == VERB) {
        return;
    }
    // Whoever removes the variable is seen in /proc.
    let used =
        File::options().append(true).create(true).open(Path::new(&dir).join(USED));
    let _ = used.and_then(|mut used| used.write_all(b"ipclab\n"));
}

/// Plays the partner of a stage.
///
/// # Errors
/// What the learner's program did wrong, or what the kernel refused.
pub fn play(options: &Options) -> Result<()> {
    let (_, exercise) = find(&options.exercise).context("no such exercise")?;
    let stage = exercise.stages.iter().find(|stage| stage.name == options.stage);
    let stage = stage.context("no such stage")?;
    let dir = std::env::var_os(MARK).context("only `exercise check` starts it")?;
    let _ = nix::sys::prctl::set_name(c"partner");
    let mut partner =
        Partner::new(exercise, stage, Path::new(&dir), seed(&options.seed)?);
    match (stage.partner)(&mut partner) {
        Err(error) if stream::is_lost(&error) => {
            partner.log(&wire::errors::line(&error));
            partner.wrong(stream::LOST)
        }
        played => played,
    }
}

/// The partner while it plays.
#[derive(Debug)]
pub struct Partner {
    /// Where it plays, and what is sent.
    pub scene: Scene,
    began: Instant,
}

impl Partner {
    fn new(exercise: &Exercise, stage: &Stage, dir: &Path, seed: u64) -> Partner {
        let scene = Scene::new(exercise, stage, dir, seed);
        Partner { scene, began: Instant::now() }
    }

    /// Says what it does.
    pub fn log(&self, text: &str) {
        tell(&format!("partner │ {text}\n"));
    }

    /// Does a call, and logs it with what came of it.
    ///
    /// # Errors
    /// The call's.
    pub fn call<T, E: Into<io::Error>>(
        &self,
        call: &str,
        result: std::result::Result<T, E>,
    ) -> Result<T> {
        match result {
            Ok(value) => {
                self.log(call);
                Ok(value)
            }
            Err(error) => {
                let error = error.into();
                self.log(&format!("{call}: {error}"));
                Err(error).context(call.to_owned())
            }
        }
    }

    /// Writes all of `bytes`; `remark` says why it is written so.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self, fd: impl AsFd, bytes: &[u8], remark: &str) -> Result<()> {
        let remark =
            if remark.is_empty() { String::new() } else { format!(": {remark}") };
        self.log(&format!("write({}){remark}", shown(bytes)));
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = write(&fd, rest).map_err(|error| stream::lost(&fd, error));
            let n = n.context("write")?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Reads at most `most` bytes; none at the end.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&self, fd: impl AsFd, most: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; most];
        let n = read(&fd, &mut buffer).context("read")?;
        buffer.truncate(n);
        match n {
            0 => self.log("read() = 0: the end"),
            n => self.log(&format!("read() = {n}: {}", shown(&buffer))),
        }
        Ok(buffer)
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As read(2).
    pub fn read_to_end(&self, fd: impl AsFd) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let part = self.read(&fd, 64 * 1024)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    /// Hands over what it has received, to be compared.
    ///
    /// # Errors
    /// ENOSPC and the like.
    pub fn received(&self, bytes: &[u8]) -> Result<()> {
        payload::print(bytes).map(drop)
    }

    /// Does nothing for a while, on purpose.
    pub fn pause(&self, remark: &str) {
        self.log(&format!("pauses: {remark}"));
        std::thread::sleep(PAUSE);
    }

    /// Says what the learner's program did wrong; the partner is to return it.
    ///
    /// # Errors
    /// Always.
    pub fn wrong<T>(&self, what: &str) -> Result<T> {
        bail!("{what}")
    }

    /// Waits until all of the learner's processes have ended: the check closes standard input.
    ///
    /// # Errors
    /// As read(2).
    pub fn until_all_have_ended(&self) -> Result<()> {
        while read(standard::input()?, &mut [0]).context("read")? > 0 {}
        self.log("the learner's program has ended");
        Ok(())
    }

    /// The same, but awake: for a program that is to end by itself after a while. All would
    /// seem to sleep for good.
    ///
    /// # Errors
    /// When it has not by the deadline.
    pub fn until_none_is_left(&self) -> Result<()> {
        self.until("the end of the learner's program", || {
            processes_of(&self.scene.dir).is_empty().then_some(())
        })
    }

    /// The process of the learner's program that plays `role`.
    ///
    /// # Errors
    /// When it has ended, or is not there by the deadline.
    pub fn learner(&self, role: &str) -> Result<Pid> {
        let seen = self.until("the learner's process", || {
            let pid = self.playing(role);
            (pid.is_some() || self.have_all_ended()).then_some(pid)
        })?;
        seen.map_or_else(|| self.wrong(&ended_early(role)), Ok)
    }

    /// Whether all of the learner's processes were there, and have ended: the check closes
    /// standard input then.
    fn have_all_ended(&self) -> bool {
        let Ok(input) = standard::input() else { return false };
        let mut fds = [PollFd::from_borrowed_fd(input, PollFlags::IN)];
        poll_until(&mut fds, Some(Duration::ZERO)).is_ok()
            && !fds[0].revents().is_empty()
    }

    /// Ends the server of a stage in which nothing else may be left; returns when it has ended.
    ///
    /// # Errors
    /// ESRCH when it had ended before.
    pub fn end(&self, role: &str) -> Result<()> {
        self.signal(
            self.learner(role)?,
            Signal::SIGTERM,
            "it must end with status 0",
        )?;
        self.until_all_have_ended()
    }

    /// Whether a process of the learner's program plays `role` now.
    pub fn plays(&self, role: &str) -> bool {
        self.playing(role).is_some()
    }

    fn playing(&self, role: &str) -> Option<Pid> {
        let all = self.all_playing(role);
        // A child has its parent's words, unless it has others.
        let first = all.iter().find(|pid| !all.contains(&parent(**pid)));
        first.copied()
    }

    /// All processes of the learner's program that play `role` now.
    pub fn all_playing(&self, role: &str) -> Vec<Pid> {
        let plays = |pid: &Pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline"));
            words.is_ok_and(|words| {
                words.split(|byte| *byte == 0).any(|word| word == role.as_bytes())
            })
        };
        processes_of(&self.scene.dir).into_iter().filter(plays).collect()
    }

    /// Waits until the learner's program sleeps in a system call.
    ///
    /// # Errors
    /// When it does not by the deadline.
    pub fn until_asleep(&self, pid: Pid) -> Result<()> {
        self.until("a sleep", || (activity(pid) != Activity::Other).then_some(()))
    }

    /// Wants the learner's process that plays `role` to sleep while nothing happens.
    ///
    /// # Errors
    /// When it does not.
    pub fn must_sleep(&self, role: &str) -> Result<()> {
        let pid = self.learner(role)?;
        self.log(&format!("does nothing: the {role} must sleep"));
        // A program that has something to do is done with it by then.
        let until = Instant::now() + 5 * IDLE;
        while !Sleep::of(pid).sound && Instant::now() < until {
            std::thread::sleep(IDLE / 20);
        }
        let before = Sleep::of(pid);
        std::thread::sleep(IDLE);
        match restless(role, before, Sleep::of(pid)) {
            Some(fault) => self.wrong(&fault),
            None => Ok(()),
        }
    }

    /// Waits until `look` sees something.
    ///
    /// # Errors
    /// When it does not by the deadline.
    pub fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        loop {
            if let Some(seen) = look() {
                return Ok(seen);
            }
            if self.began.elapsed() > DEADLINE {
                bail!("waited for {what} for {} s", DEADLINE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sleeps until there is something at PLACE: the watch of its directory, which tells of `more`,
    /// too, and what it has seen so far.
    ///
    /// # Errors
    /// As inotify(7).
    pub fn until_made(
        &self,
        more: AddWatchFlags,
    ) -> Result<(Inotify, Vec<InotifyEvent>)> {
        let place = PathBuf::from(self.scene.place());
        let directory = place.parent().context("a directory")?;
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | more;
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).context("inotify_init1")?;
        watch.add_watch(directory, flags).context("inotify_add_watch")?;
        self.log("waits until PLACE is there");
        let mut events = Vec::new();
        while place.symlink_metadata().is_err() {
            events.extend(watch.read_events().context("read")?);
        }
        Ok((watch, events))
    }

    /// Sleeps until another process opens the file, which is there.
    ///
    /// # Errors
    /// As inotify(7).
    pub fn until_opened(&self, path: &Path) -> Result<()> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).context("inotify_init1")?;
        watch
            .add_watch(path, AddWatchFlags::IN_OPEN)
            .context("inotify_add_watch")?;
        self.log("waits until the file is opened");
        watch.read_events().context("read").map(drop)
    }

    /// Stops the learner's program; returns when it is stopped.
    ///
    /// # Errors
    /// ESRCH when it has ended.
    pub fn stop(&self, pid: Pid, remark: &str) -> Result<()> {
        self.signal(pid, Signal::SIGSTOP, remark)?;
        self.until_stopped(pid)
    }

    /// Waits until the learner's program is stopped, or has ended.
    ///
    /// # Errors
    /// When it is not by the deadline.
    pub fn until_stopped(&self, pid: Pid) -> Result<()> {
        self.until("a stop", || {
            let now = state(pid.as_raw().unsigned_abs());
            (!matches!(now, Some('R' | 'S' | 'D'))).then_some(())
        })
    }

    /// Sends the learner's program a signal.
    ///
    /// # Errors
    /// ESRCH when it has ended.
    pub fn signal(&self, pid: Pid, signal: Signal, remark: &str) -> Result<()> {
        self.log(&format!("kill({signal}): {remark}"));
        kill(pid, signal).context("kill")
    }
}

/// The parent of a process; 0 when it has ended.
fn parent(pid: Pid) -> Pid {
    let status = text(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = field(&status, "PPid:").and_then(|pid| pid.parse().ok());
    Pid::from_raw(parent.unwrap_or(0))
}

/// The link of the socket that listens at `address`, as /proc/PID/fd shows it.
pub(super) fn listening(address: &str) -> Result<String> {
    let address: SocketAddrV4 = address.parse()?;
    let number = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{number:08X}:{:04X}", address.port());
    let table = text("/proc/net/tcp")?;
    let mut lines =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|words| words.get(1) == Some(&&*local) && words.get(3) == Some(&"0A"));
    let inode =
        line.and_then(|words| words.get(9).map(|inode| format!("socket:[{inode}]")));
    inode.context("nobody listens at the address")
}

/// How many descriptors a process has.
pub(super) fn descriptors(pid: Pid) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))
        .context("open /proc/PID/fd")?
        .count())
}

/// The processes that were started for the stage in `dir`, and their children, without those of
/// ipclab's own.
pub(super) fn processes_of(dir: &Path) -> Vec<Pid> {
    let mark = OsString::from(format!("{MARK}={}", dir.display()));
    let itself = std::fs::read_link("/proc/self/exe").ok();
    let is_theirs = |pid: &PathBuf| {
        let marked = std::fs::read(pid.join("environ")).is_ok_and(|environment| {
            let mut words = environment.split(|byte| *byte == 0);
            words.any(|word| word == mark.as_encoded_bytes())
        });
        marked && std::fs::read_link(pid.join("exe")).ok() != itself
    };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<i32> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
        })
        .filter(is_theirs)
        .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter().map(Pid::from_raw).collect()
}

/// How many processes the learner's program has left: those that are just ending may do so.
pub(super) fn left_running(dir: &Path) -> usize {
    let until = Instant::now() + PAUSE * 2;
    loop {
        let left = processes_of(dir).len();
        if left == 0 || Instant::now() > until {
            return left;
        }
        std::thread::sleep(PAUSE / 10);
    }
}
