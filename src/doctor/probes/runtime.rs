//! The runtime directory, where roles meet: what its file system can do.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::event::{PollFd, PollFlags};

use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;
use os::calls::poll_until;
use os::shared::mmap;
use os::spawn::{Forked, fork};

/// The directory itself.
pub static DIRECTORY: Probe = Probe {
    name: "runtime-directory",
    chapters: &[],
    what: "the runtime directory (a file and a lock in it)",
    loses: "all roles meet there",
    necessary: true,
    experiments: &[],
    run: |place| {
        let path = place.runtime_dir()?.join("lock");
        let file = File::create_new(path).context("open a file in it")?;
        file.try_lock().context("flock")?;
        Ok(Answer::ok("open, flock"))
    },
};

/// Files that appear whole.
pub static RENAME: Probe = Probe {
    name: "rename",
    chapters: &["file", "tcp"],
    what: "rename(2) and fsync(2) in the runtime directory",
    loses: "file and tcp publish what they have made by rename",
    necessary: true,
    experiments: &[],
    run: |place| {
        let (from, to) = (
            place.runtime_dir()?.join("rename.new"),
            place.runtime_dir()?.join("rename"),
        );
        let mut file = File::create_new(&from).context("open a file there")?;
        file.write_all(b"whole").context("write")?;
        file.sync_all().context("fsync")?;
        std::fs::rename(from, &to).context("rename")?;
        let read = std::fs::read(to).context("read")?;
        ensure!(read == b"whole", "another file has the name after rename");
        Ok(Answer::ok("the file is whole under its new name"))
    },
};

/// inotify(7).
pub static INOTIFY: Probe = Probe {
    name: "inotify",
    chapters: &["file"],
    what: "an event of inotify(7) from the runtime directory",
    loses: "who waits for a file there hears nothing: NFS, 9p and drvfs give no events",
    necessary: false,
    experiments: &[],
    run: |place| {
        let dir = place.runtime_dir()?.join("watched");
        std::fs::create_dir(&dir).context("mkdir")?;
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let watch = Inotify::init(flags).context("inotify_init1")?;
        watch
            .add_watch(&dir, AddWatchFlags::IN_CREATE)
            .context("inotify_add_watch")?;
        File::create_new(dir.join("new")).context("open a file there")?;
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        poll_until(&mut fds, Some(DEADLINE / 2)).context("poll")?;
        let events = match fds[0].revents().is_empty() {
            true => 0,
            false => {
                watch.read_events().context("read an inotify descriptor")?.len()
            }
        };
        Ok(match events {
            0 => Answer::missing("a new file there caused no event"),
            _ => Answer::ok("IN_CREATE of a new file"),
        })
    },
};

/// Two processes that map one file.
pub static MAPPING: Probe = Probe {
    name: "mapped-file",
    chapters: &["mmap"],
    what: "a file of the runtime directory, mapped MAP_SHARED by two processes",
    loses: "mmap shares a file there",
    necessary: true,
    experiments: &[],
    run: |place| {
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true);
        let file = file
            .open(place.runtime_dir()?.join("mapped"))
            .context("open a file there")?;
        file.set_len(4096).context("ftruncate")?;
        let seen = stored_by_a_child(&file).context("mmap")?;
        ensure!(seen == 7, "one process does not see what the other has stored");
        Ok(Answer::ok("what one process stores, the other loads"))
    },
};

/// What a child has stored in the first word of the file, as this process loads it.
pub(super) fn stored_by_a_child(file: impl AsFd) -> Result<u32> {
    use std::sync::atomic::Ordering::SeqCst;
    let ours = mmap(&file, 4096)?;
    let stored = in_a_child(|| {
        let theirs = mmap(&file, 4096)?;
        theirs.u32(0).store(7, SeqCst);
        Ok(())
    })?;
    ensure!(stored, "the child could not store");
    Ok(ours.u32(0).load(SeqCst))
}

/// Runs `part` in a child, and waits for it; returns whether it went well.
pub(super) fn in_a_child(part: impl FnOnce() -> Result<()>) -> Result<bool> {
    match fork().context("fork")? {
        Forked::Child => {
            // Its own end, should it sleep for ever: a child does not inherit the alarm.
            nix::unistd::alarm::set(DEADLINE.as_secs() as u32);
            std::process::exit(i32::from(part().is_err()))
        }
        Forked::Parent(pid) => {
            let pid = rustix::process::Pid::from_raw(pid.as_raw());
            let none = rustix::process::WaitOptions::empty();
            let ended =
                rustix::io::retry_on_intr(|| rustix::process::waitpid(pid, none));
            let ended = ended.context("waitpid")?;
            Ok(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)))
        }
    }
}

/// A FIFO.
pub static FIFO: Probe = Probe {
    name: "fifo",
    chapters: &["fifo"],
    what: "a FIFO in the runtime directory (mkfifo, open, write, read)",
    loses: "fifo has no place to meet",
    necessary: true,
    experiments: &[],
    run: |place| {
        let path = place.runtime_dir()?.join("fifo");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
        // Opened both ways it never sleeps (fifo(7)).
        let mut both = File::options();
        let mut both = both.read(true).write(true).open(path).context("open")?;
        both.write_all(b"ping").context("write")?;
        let mut text = [0; 4];
        both.read_exact(&mut text).context("read")?;
        ensure!(&text == b"ping", "other bytes came out");
        Ok(Answer::ok("4 bytes went through it"))
    },
};
