//! Waiting for a change by inotify(7).

use std::fs::{File, rename};
use std::io::Write;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

/// The events that wait in `inotify`, by name.
fn events(inotify: &Inotify) -> Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match inotify.read_events() {
            Err(Errno::EAGAIN) => return Ok(names),
            Err(error) => return Err(error).context("read inotify"),
            Ok(events) => names.extend(events.iter().map(|event| {
                let flags = event.mask.iter_names().map(|(name, _)| name);
                flags.collect::<Vec<_>>().join(" | ")
            })),
        }
    }
}

fn listed(events: &[String]) -> String {
    if events.is_empty() { "EAGAIN: no event".into() } else { events.join(", ") }
}

pub(super) const WATCHED_FILE: Experiment = Experiment {
    name: "watched-file",
    title: "Watching a file that is replaced",
    level: Level::Later,
    question: "A program watches the file `config` with inotify, for IN_MODIFY and \
               IN_CLOSE_WRITE. An editor writes `config.new`, then renames it to \
               `config`. Later the new `config` is written to again. Which event tells \
               the program of that last write?",
    answers: &[
        right(
            "no event of any kind",
            "rename(2) took the name from the old file. With its last link and \
             descriptor the old file went, and the watch with it: IN_IGNORED was the \
             last event.",
        ),
        wrong(
            "an IN_MODIFY",
            "inotify_add_watch looked the name up once. What it watches is the file that \
             was found there.",
        ),
        wrong(
            "an IN_MOVED_TO",
            "That is an event of the directory, at the rename. This program does not \
             watch the directory.",
        ),
    ],
    kind: Kind::Kernel,
    run: watched_file,
    moral: "Watch the directory, and look which name each event carries. Careful programs \
            replace files by rename, so watching the file itself works once.",
    see: "inotify(7)",
    file: file!(),
    shows: &["watched-file"],
};

// ANCHOR: watched-file
fn watched_file(stage: &Stage) -> Result<usize> {
    let (config, new) = (stage.path("config"), stage.path("config.new"));
    File::create_new(&config).context("open")?;
    let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
    let of_file = Inotify::init(flags).context("inotify_init1")?;
    let of_directory = Inotify::init(flags).context("inotify_init1")?;
    let wanted = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE;
    of_file.add_watch(&config, wanted).context("inotify_add_watch")?;
    let directory = config.parent().context("a directory")?;
    of_directory
        .add_watch(directory, wanted | AddWatchFlags::IN_MOVED_TO)
        .context("inotify_add_watch")?;

    std::fs::write(&new, "new").context("write")?;
    rename(&new, &config).context("rename")?;
    stage.event("editor", "renames \"config.new\" to \"config\"");
    let at_rename = events(&of_file)?;
    stage.call("read(inotify of the file)", &listed(&at_rename));
    events(&of_directory)?;

    let mut config = File::options().append(true).open(&config).context("open")?;
    config.write_all(b"newer").context("write")?;
    drop(config);
    stage.event("editor", "writes to \"config\"");
    let (file, directory) = (events(&of_file)?, events(&of_directory)?);
    stage.call("read(inotify of the file)", &listed(&file));
    stage.call("read(inotify of the directory)", &listed(&directory));
    stage.saw("at the rename", at_rename);
    stage.saw("of the write, the file's watch", file.clone());
    stage.saw("of the write, the directory's watch", directory);
    Ok(match file.first().map(String::as_str) {
        None => 1,
        Some("IN_MODIFY") => 2,
        Some(_) => 3,
    })
}
// ANCHOR_END: watched-file

pub(super) const COUNTED_EVENTS: Experiment = Experiment {
    name: "counted-events",
    title: "Three writes to a watched file",
    level: Level::Deep,
    question: "A program watches a file for IN_MODIFY, and is busy with something else. \
               Meanwhile another program calls write(2) on the file three times. How \
               many events does the first program then read?",
    answers: &[
        wrong(
            "three, one for each write",
            "The kernel compares a new event with the last one in the queue, and drops \
             it if it says the same.",
        ),
        right(
            "one event for all of them",
            "An event says that something has changed since you last looked, not how \
             often. A fast reader would have got three.",
        ),
        wrong(
            "none, they came too early",
            "Events wait in a queue, as many as /proc/sys/fs/inotify/max_queued_events. \
             Beyond that IN_Q_OVERFLOW says that some are lost.",
        ),
    ],
    kind: Kind::Kernel,
    run: counted_events,
    moral: "Never count events. An event means: look at the file, and see what is there now.",
    see: "inotify(7)",
    file: file!(),
    shows: &["counted-events"],
};

// ANCHOR: counted-events
fn counted_events(stage: &Stage) -> Result<usize> {
    let path = stage.path("watched");
    let mut file = File::create_new(&path).context("open")?;
    let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
    let inotify = Inotify::init(flags).context("inotify_init1")?;
    let watch = inotify.add_watch(&path, AddWatchFlags::IN_MODIFY);
    watch.context("inotify_add_watch")?;
    for letter in ["a", "b", "c"] {
        stage.call(format!("write({letter:?})"), &file.write(letter.as_bytes()));
    }
    let waiting = events(&inotify)?;
    stage.call("read(inotify)", &listed(&waiting));
    let mut one_by_one = 0;
    for letter in ["d", "e", "f"] {
        file.write_all(letter.as_bytes()).context("write")?;
        one_by_one += events(&inotify)?.len();
    }
    stage.saw("events of three writes, read at the end", waiting.len());
    stage.saw("events of three writes, read after each", one_by_one);
    Ok(match waiting.len() {
        0 => 3,
        1 => 2,
        _ => 1,
    })
}
// ANCHOR_END: counted-events
