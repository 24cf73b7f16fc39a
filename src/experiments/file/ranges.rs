//! Locks on ranges of bytes: where they end, whose they are, and what /proc/locks shows.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use wire::meet::byte;

/// A lock of `length` bytes from `start` on.
fn range(kind: i32, start: i64, length: i64) -> libc::flock {
    libc::flock { l_len: length, ..byte(kind, start) }
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).context("open")
}

/// The locks on this file, as /proc/locks shows them: the kind, the pid, the first and last byte.
fn shown(file: &File) -> Result<Vec<[String; 4]>> {
    let inode = file.metadata().context("fstat")?.ino();
    let table =
        std::fs::read_to_string("/proc/locks").context("read /proc/locks")?;
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| {
        row.get(5).and_then(|file| file.rsplit(':').next())
            == Some(&*inode.to_string())
    });
    Ok(ours.map(|row| [1, 4, 6, 7].map(|at| row[at].to_owned())).collect())
}

pub(super) const UNLOCKED_MIDDLE: Experiment = Experiment {
    name: "unlocked-middle",
    title: "Ten bytes unlocked out of a hundred",
    level: Level::Later,
    question: "By one fcntl(2) F_SETLK a process locks the bytes 0 to 99 of a file. By another \
               it unlocks the bytes 40 to 49. How many locks does it have on the file then, \
               and which bytes can another process lock?",
    answers: &[
        wrong(
            "one lock; no byte can be locked",
            "What is unlocked need not be what was locked: the range of the second call \
             counts, whatever the first one's was.",
        ),
        wrong(
            "no lock; each byte can be locked",
            "Only the bytes of the call are unlocked. To give back all, l_len is 0: from \
             l_start on to the end, however long the file becomes.",
        ),
        right(
            "two locks; bytes 40 to 49 can be locked",
            "The kernel keeps ranges, and splits one where a part of it changes. It joins \
             them again once they touch.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlocked_middle,
    moral: "A record lock is a set of bytes, not an object: each call sets the state of its \
            bytes. A split needs a new lock, so even unlocking can fail with ENOLCK.",
    see: "fcntl(2), proc_locks(5)",
    file: file!(),
    shows: &["unlocked-middle"],
};

// ANCHOR: unlocked-middle
fn unlocked_middle(stage: &Stage) -> Result<usize> {
    let path = stage.path("data");
    let file = open(&path)?;
    for (what, lock) in [
        ("F_WRLCK, bytes 0 to 99", range(libc::F_WRLCK, 0, 100)),
        ("F_UNLCK, bytes 40 to 49", range(libc::F_UNLCK, 40, 10)),
    ] {
        let done = fcntl(&file, FcntlArg::F_SETLK(&lock));
        stage.call(format!("fcntl(F_SETLK, {what})"), &done);
    }
    let locks = shown(&file)?;
    for [kind, _, first, last] in &locks {
        stage.event("/proc/locks", format!("{kind}, bytes {first} to {last}"));
    }
    let other = stage.fork("other", |stage| {
        let file = open(&path)?;
        let free = [0, 40, 49, 50].map(|at| {
            let lock = range(libc::F_WRLCK, at, 1);
            let taken = fcntl(&file, FcntlArg::F_SETLK(&lock));
            stage.call(format!("fcntl(F_SETLK, F_WRLCK, byte {at})"), &taken);
            taken.is_ok()
        });
        Ok(free)
    })?;
    let free = other.join()?;
    stage.saw("locks", locks.len());
    stage.saw("bytes 0, 40, 49, 50 can be locked", free.to_vec());
    match (locks.len(), free) {
        (1, [false, false, false, false]) => Ok(1),
        (0, [true, true, true, true]) => Ok(2),
        (2, [false, true, true, false]) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: unlocked-middle

pub(super) const OWN_SECOND_LOCK: Experiment = Experiment {
    name: "own-second-lock",
    title: "One process, two descriptors, one byte",
    level: Level::Later,
    question: "A program with two threads opens a file twice, once in each. The first thread \
               locks byte 0 for writing. Then the second asks for the same lock, without \
               waiting. They do so once by F_SETLK, and once by F_OFD_SETLK. Is the second \
               thread refused?",
    answers: &[
        wrong(
            "by F_SETLK yes, by F_OFD_SETLK no",
            "It is the other way round: the newer locks belong to an open file, of which there \
             are two.",
        ),
        wrong(
            "by F_SETLK yes, by F_OFD_SETLK yes",
            "A traditional lock belongs to the process, and a process never conflicts with \
             itself. Both threads have the lock, and each believes that it is alone.",
        ),
        right(
            "by F_SETLK no, by F_OFD_SETLK yes",
            "A traditional lock belongs to the process, of which there is one; an open file \
             description lock to the open file, of which there are two.",
        ),
    ],
    kind: Kind::Kernel,
    run: own_second_lock,
    moral: "Between threads, and in a library that cannot know who else in the process has the \
            file open, use F_OFD_SETLK or flock(2), and open the file once for each owner.",
    see: "fcntl(2)",
    file: file!(),
    shows: &["own-second-lock"],
};

// ANCHOR: own-second-lock
fn own_second_lock(stage: &Stage) -> Result<usize> {
    let lock = range(libc::F_WRLCK, 0, 1);
    let mut refused = Vec::new();
    for name in ["F_SETLK", "F_OFD_SETLK"] {
        let path = stage.path(name);
        let take = |file: &File| match name {
            "F_SETLK" => fcntl(file, FcntlArg::F_SETLK(&lock)),
            _ => fcntl(file, FcntlArg::F_OFD_SETLK(&lock)),
        };
        let first = open(&path)?;
        stage.call(format!("first thread: fcntl({name})"), &take(&first));
        let second = std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<_> {
                let second = open(&path)?;
                Ok(take(&second))
            });
            thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
        })?;
        stage.call(format!("second thread: fcntl({name})"), &second);
        refused.push(second == Err(Errno::EAGAIN));
    }
    stage.saw("refused by F_SETLK and F_OFD_SETLK", refused.clone());
    match refused[..] {
        [true, false] => Ok(1),
        [true, true] => Ok(2),
        [false, true] => Ok(3),
        _ => bail!("{refused:?}"),
    }
}
// ANCHOR_END: own-second-lock

pub(super) const WHO_HAS_IT: Experiment = Experiment {
    name: "who-has-it",
    title: "Asking for the owner of a lock",
    level: Level::Deep,
    question: "A process has an open file description lock (F_OFD_SETLK) on byte 0 of a file, \
               and a traditional one (F_SETLK) on byte 1. Another process asks who has them: \
               by F_GETLK, whose l_pid says it, and in /proc/locks. For which of the two \
               bytes does it learn a pid?",
    answers: &[
        right(
            "for byte 1, both ways",
            "A traditional lock belongs to a process. An open file may be in several, so \
             that l_pid is -1, and so is the pid in /proc/locks.",
        ),
        wrong(
            "for bytes 0 and 1, both ways",
            "The kernel could say who took the lock. It does not: by now that process may \
             have ended, and others may have the open file.",
        ),
        wrong(
            "for byte 1, in /proc/locks alone",
            "F_GETLK is there for this question. It tells the first lock that is in the way, \
             of whichever kind.",
        ),
    ],
    kind: Kind::Kernel,
    run: who_has_it,
    moral: "Who waits for whom, lslocks(8) and /proc/locks show; who has an OFD lock or one of \
            flock(2), the holders of the open file do: /proc/PID/fdinfo has `lock:` lines, \
            and `ipclab map file` reads them. The answer is old when it comes.",
    see: "fcntl(2), proc_locks(5), lslocks(8)",
    file: file!(),
    shows: &["who-has-it"],
};

// ANCHOR: who-has-it
fn who_has_it(stage: &Stage) -> Result<usize> {
    let path = stage.path("data");
    let file = open(&path)?;
    let by_file = fcntl(&file, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, 0, 1)));
    stage.call("fcntl(F_OFD_SETLK, byte 0)", &by_file);
    let by_process = fcntl(&file, FcntlArg::F_SETLK(&range(libc::F_WRLCK, 1, 1)));
    stage.call("fcntl(F_SETLK, byte 1)", &by_process);
    let owner = std::process::id() as i32;
    let other = stage.fork("other", |stage| {
        let file = open(&path)?;
        let mut known = Vec::new();
        for at in [0, 1] {
            let mut asked = range(libc::F_WRLCK, at, 1);
            fcntl(&file, FcntlArg::F_GETLK(&mut asked)).context("fcntl")?;
            let row = shown(&file)?.into_iter().find(|row| row[2] == at.to_string());
            let row = row.context("no row in /proc/locks")?;
            let who = |pid: &str| match pid == owner.to_string() {
                true => "its owner's pid".to_owned(),
                false => pid.to_owned(),
            };
            let asked = who(&asked.l_pid.to_string());
            let listed = who(&row[1]);
            stage.call(format!("fcntl(F_GETLK, byte {at}), l_pid"), &asked);
            stage.event("/proc/locks", format!("byte {at}: {}, {listed}", row[0]));
            known.push((asked, listed));
        }
        Ok(known)
    })?;
    let known = other.join()?;
    let pid = |text: &str| text == "its owner's pid";
    let of = |at: usize| (pid(&known[at].0), pid(&known[at].1));
    stage.saw("byte 0: l_pid", known[0].0.as_str());
    stage.saw("byte 0: in /proc/locks", known[0].1.as_str());
    stage.saw("byte 1: l_pid", known[1].0.as_str());
    stage.saw("byte 1: in /proc/locks", known[1].1.as_str());
    match (of(0), of(1)) {
        ((false, false), (true, true)) => Ok(1),
        ((true, true), (true, true)) => Ok(2),
        ((false, false), (false, true)) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: who-has-it
