//! What one process sees of what another writes.

use std::fs::{File, read_to_string, rename};
use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const HALF_WRITTEN: Experiment = Experiment {
    name: "half-written",
    title: "Reading a file while it is written",
    level: Level::First,
    question: "A file holds `old price 10`. A writer replaces it: it opens the file with \
               O_TRUNC, as `>` of a shell does, and writes `new price ` and then `20`. A \
               reader reads the file between the two writes. What does it see?",
    answers: &[
        wrong(
            "`old price 10`, the old contents",
            "close(2) publishes nothing. What write(2) has written can be read at once, \
             by every process.",
        ),
        wrong(
            "`new price 20`, after a wait",
            "Linux locks nothing by itself. A reader that wants to wait must ask for a \
             lock, and so must the writer.",
        ),
        right(
            "`new price `, half of it",
            "The old contents went with O_TRUNC, and the new ones are there as far as \
             they have been written.",
        ),
    ],
    kind: Kind::Kernel,
    run: half_written,
    moral: "Write beside the file, then rename(2): whoever opens the name gets all of the \
            old or all of the new. A reader that has the old one open keeps it.",
    see: "rename(2), open(2)",
    file: file!(),
    shows: &["half-written-broken", "half-written-cured", "half-written"],
};

// ANCHOR: half-written-broken
/// Writes the file where it stands. Calls `meanwhile` in the middle.
fn replace_in_place(stage: &Stage, meanwhile: impl FnOnce()) -> Result<()> {
    let mut file = File::create(stage.path("price"))?;
    file.write_all(b"new price ")?;
    meanwhile();
    file.write_all(b"20")?;
    Ok(())
}
// ANCHOR_END: half-written-broken

// ANCHOR: half-written-cured
/// Writes another file, and gives it the name once it is whole.
fn replace_by_rename(stage: &Stage, meanwhile: impl FnOnce()) -> Result<()> {
    let mut file = File::create(stage.path("price.new"))?;
    file.write_all(b"new price ")?;
    meanwhile();
    file.write_all(b"20")?;
    file.sync_all()?; // or a crash could leave the new name with nothing behind it
    rename(stage.path("price.new"), stage.path("price"))?;
    Ok(())
}
// ANCHOR_END: half-written-cured

// ANCHOR: half-written
fn half_written(stage: &Stage) -> Result<usize> {
    let price = stage.path("price");
    let mut seen = Vec::new();
    for by_rename in [false, true] {
        std::fs::write(&price, "old price 10").context("write")?;
        let (middle, go_on) = (stage.gate()?, stage.gate()?);
        let writer = stage.fork("writer", |stage| {
            let meanwhile = || {
                let _ = middle.open(1).and_then(|()| go_on.pass());
            };
            match by_rename {
                false => replace_in_place(stage, meanwhile),
                true => replace_by_rename(stage, meanwhile),
            }
        })?;
        middle.pass()?;
        let during = read_to_string(&price).context("read")?;
        go_on.open(1)?;
        writer.join()?;
        let after = read_to_string(&price).context("read")?;
        let how = if by_rename { "rename" } else { "in place" };
        stage.call(format!("read() in the middle, {how}"), &format!("{during:?}"));
        stage.call(format!("read() afterwards, {how}"), &format!("{after:?}"));
        stage.saw(&format!("in the middle, {how}"), during.as_str());
        seen.push(during);
    }
    match seen[0].as_str() {
        "old price 10" => Ok(1),
        "new price 20" => Ok(2),
        "new price " => Ok(3),
        other => bail!("read {other:?}"),
    }
}
// ANCHOR_END: half-written

pub(super) const LOST_APPEND: Experiment = Experiment {
    name: "lost-append",
    title: "Two programs append to one log",
    level: Level::First,
    question: "Two processes have an empty log file open, each by an open(2) of its own. \
               To append a line, each calls lseek(2) to the end of the file and then \
               write(2). A seeks, B seeks, A writes `from A`, B writes `from B`. What is \
               in the log?",
    answers: &[
        wrong(
            "both lines, A's and then B's",
            "A write goes to the offset of its own open file, whatever is there. A's \
             write moved A's offset; B's stayed at 0.",
        ),
        right(
            "one line, the one that B wrote",
            "Both offsets were 0. Between B's seek and its write the file has grown, and \
             what was the end is the end no more. B's bytes replaced A's.",
        ),
        wrong(
            "one line, the one that A wrote",
            "No write was refused, and none waited. B's came later, at the same offset.",
        ),
    ],
    kind: Kind::Kernel,
    run: lost_append,
    moral: "O_APPEND makes seek and write one step, under the file's lock: neither line \
            is lost. Over NFS the client does the two steps, and the race is back.",
    see: "open(2), lseek(2)",
    file: file!(),
    shows: &["lost-append"],
};

// ANCHOR: lost-append
fn lost_append(stage: &Stage) -> Result<usize> {
    let mut logs = Vec::new();
    for append in [false, true] {
        let name = if append { "log.append" } else { "log" };
        let mut options = File::options();
        options.create(true).truncate(false).append(append).write(true);
        let a_has_sought = stage.gate()?;
        let both_have_sought = stage.gate()?;
        let turn_of_b = stage.gate()?;
        let b = stage.fork("B", |stage| {
            let mut log = options.open(stage.path(name))?;
            a_has_sought.pass()?;
            stage.call("lseek(0, SEEK_END)", &log.seek(SeekFrom::End(0)));
            both_have_sought.open(1)?;
            turn_of_b.pass()?;
            stage.call("write(\"from B\\n\")", &log.write(b"from B\n"));
            Ok(())
        })?;
        let a = stage.fork("A", |stage| {
            let mut log = options.open(stage.path(name))?;
            stage.call("lseek(0, SEEK_END)", &log.seek(SeekFrom::End(0)));
            a_has_sought.open(1)?;
            both_have_sought.pass()?;
            stage.call("write(\"from A\\n\")", &log.write(b"from A\n"));
            Ok(())
        })?;
        a.join()?;
        turn_of_b.open(1)?;
        b.join()?;
        let log = read_to_string(stage.path(name)).context("read")?;
        let how = if append { "with O_APPEND" } else { "lseek, then write" };
        stage.event("main", format!("{how}: the log is {log:?}"));
        stage.saw(how, log.as_str());
        logs.push(log);
    }
    Ok(match logs[0].as_str() {
        "from A\n" => 3,
        "from B\n" => 2,
        _ => 1,
    })
}
// ANCHOR_END: lost-append

pub(super) const CREATED_TWICE: Experiment = Experiment {
    name: "created-twice",
    title: "Who made the lock file?",
    level: Level::First,
    question: "Two programs use a file as a lock. Each looks by stat(2) whether the file \
               is there, and makes it by open(2) with O_CREAT if it is not. Both look \
               before either makes it. How many of them now believe that they hold the \
               lock?",
    answers: &[
        wrong(
            "one of them",
            "That would be true with O_EXCL: the second open would fail with EEXIST. \
             O_CREAT alone means: make the file if it is not there, else open what is.",
        ),
        right(
            "both of them",
            "Between looking and making there is a gap, and both were in it. The second \
             open opened the first one's file, and succeeded.",
        ),
        wrong(
            "none of them",
            "Each looked before there was a file, and does not look again.",
        ),
    ],
    kind: Kind::Kernel,
    run: created_twice,
    moral: "Do not look and then act. O_CREAT | O_EXCL is both in one call: exactly one \
            caller succeeds. And a lock that should go with its owner is flock or fcntl.",
    see: "open(2)",
    file: file!(),
    shows: &["created-twice"],
};

// ANCHOR: created-twice
fn created_twice(stage: &Stage) -> Result<usize> {
    let lock = stage.path("lock");
    let mut made = Vec::new();
    for (how, exclusive) in
        [("O_CREAT", OFlag::empty()), ("O_CREAT | O_EXCL", OFlag::O_EXCL)]
    {
        let (looked, go) = (stage.gate()?, stage.gate()?);
        let take = |stage: &Stage| -> Result<bool> {
            let there = lock.exists();
            stage.call("stat(\"lock\")", &if there { "0" } else { "ENOENT" });
            looked.open(1)?;
            go.pass()?;
            let flags = OFlag::O_CREAT | OFlag::O_RDWR | exclusive;
            let file = open(&lock, flags, Mode::S_IRUSR | Mode::S_IWUSR);
            stage.call(format!("open(\"lock\", {how})"), &file);
            Ok(!there && file.is_ok())
        };
        let a = stage.fork("A", take)?;
        let b = stage.fork("B", take)?;
        looked.pass()?;
        looked.pass()?;
        go.open(2)?;
        let holders = u32::from(a.join()?) + u32::from(b.join()?);
        stage.saw(&format!("holders with {how}"), holders);
        made.push(holders);
        std::fs::remove_file(&lock).context("unlink")?;
    }
    Ok(match made[0] {
        1 => 1,
        2 => 2,
        _ => 3,
    })
}
// ANCHOR_END: created-twice

pub(super) const OWN_WORDS: Experiment = Experiment {
    name: "own-words",
    title: "One file for both directions",
    level: Level::First,
    question: "A client and a server share one file for both directions. The client \
               opens it with O_RDWR, writes `question`, and calls read(2) to get the \
               answer. The server has not written anything yet. What does the client's \
               read return?",
    answers: &[
        wrong(
            "the server's answer, after a wait",
            "A regular file never makes a reader wait for another process: where its \
             bytes end, read returns 0. It may still sleep until the disk has answered.",
        ),
        wrong(
            "`question`, the client's own words",
            "That is true if it reads from the beginning. But read and write share one \
             offset, and write has moved it to the end.",
        ),
        right(
            "0, which is the end of the file",
            "The offset is behind its own words, where nothing is. After lseek(2) to the \
             beginning it would read its own words.",
        ),
    ],
    kind: Kind::Kernel,
    run: own_words,
    moral: "A file has no two ends. Two files, one for each direction, and something that \
            tells when there is more: inotify(7), a lock, or better a pipe.",
    see: "read(2), lseek(2)",
    file: file!(),
    shows: &["own-words"],
};

// ANCHOR: own-words
fn own_words(stage: &Stage) -> Result<usize> {
    let mut options = File::options();
    let mut both = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(stage.path("both"))
        .context("open")?;
    let mut room = [0; 64];
    stage.call("write(\"question\")", &both.write(b"question"));
    let first = both.read(&mut room);
    stage.call("read()", &first);
    both.rewind().context("lseek")?;
    let again = both.read(&mut room);
    stage.call("read() after lseek(0, SEEK_SET)", &again);
    stage.saw("read", first.as_ref().ok().copied());
    stage.saw("read from the beginning", again.ok());
    match first {
        Ok(0) => Ok(3),
        Ok(_) => Ok(2),
        Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => Ok(1),
        Err(error) => Err(error).context("read"),
    }
}
// ANCHOR_END: own-words
