//! What is kept when a process ends, and what msync(2) does for it.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};
use rustix::mm::MsyncFlags;

use super::{file_with, map_shared};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::mmap::Pages;

pub(super) const KILL_NINE: Experiment = Experiment {
    name: "kill-nine",
    title: "kill -9 before msync",
    level: Level::First,
    question: "A process stores `new` over `old` in a file mapped MAP_SHARED. Before it can \
               call msync or munmap, it is killed by kill -9. Another writes `new` over \
               `old` in a file of its own through a BufWriter, and is killed before it \
               flushes. What do the two files hold?",
    answers: &[
        wrong(
            "the mapped one `old`, the other `old`",
            "A store in a shared mapping is the writing. There is nothing left to do, as far \
             as other processes are concerned.",
        ),
        right(
            "the mapped one `new`, the other `old`",
            "The store went into the kernel's page of the file, which does not die with the \
             process. The BufWriter's buffer was the process's own memory.",
        ),
        wrong(
            "the mapped one `old`, the other `new`",
            "It is the other way round. The store is in the file's page at once. What is \
             written through a BufWriter is in the process's own memory until it is flushed.",
        ),
        wrong(
            "the mapped one `new`, the other `new`",
            "The kernel writes back the pages of a mapping. It knows nothing of a buffer in \
             the heap.",
        ),
    ],
    kind: Kind::Kernel,
    run: kill_nine,
    moral: "What was stored survives the process, all of it. Against a crash of the machine \
            or a power cut there is msync with MS_SYNC, for a file on a disk; no experiment \
            here can show that. For a file in a tmpfs there is nothing.",
    see: "msync(2), mmap(2)",
    file: file!(),
    shows: &["kill-nine"],
};

// ANCHOR: kill-nine
fn kill_nine(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "mapped", b"old")?;
    let buffered = file_with(stage, "buffered", b"old")?;
    let by_store = stage.fork("mapper", |stage| {
        let pages = map_shared(&file, 3)?;
        b"new".iter().enumerate().for_each(|(at, byte)| pages.store(at, *byte));
        stage.event("mapper", "stores \"new\", and is killed by SIGKILL");
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    by_store.end()?;
    let by_buffer = stage.fork("writer", |stage| {
        let mut writer = BufWriter::new(
            File::options().write(true).open(stage.path("buffered"))?,
        );
        writer.write_all(b"new")?;
        stage.event("writer", "BufWriter::write(\"new\"), and is killed by SIGKILL");
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    by_buffer.end()?;
    drop((file, buffered));
    let held = |name: &str| -> Result<String> {
        let text = std::fs::read_to_string(stage.path(name)).context("read")?;
        stage.call(format!("read({name:?})"), &format!("{text:?}"));
        stage.saw(&format!("{name} holds"), text.as_str());
        Ok(text)
    };
    let (mapped, buffered) = (held("mapped")?, held("buffered")?);
    Ok(match (mapped.as_str(), buffered.as_str()) {
        ("old", "old") => 1,
        ("new", "old") => 2,
        ("old", "new") => 3,
        ("new", "new") => 4,
        (mapped, buffered) => bail!("{mapped:?} and {buffered:?}"),
    })
}
// ANCHOR_END: kill-nine

pub(super) const MSYNC_ASYNC: Experiment = Experiment {
    name: "msync-async",
    title: "What MS_ASYNC does",
    level: Level::Deep,
    question: "A process has stored in a mapped file on a disk. msync(2) with MS_SYNC writes \
               the change to the disk and returns when it is there. You may have read that \
               with MS_ASYNC it begins the write and returns. What does MS_ASYNC do on \
               Linux?",
    answers: &[
        wrong(
            "it begins the write, and returns",
            "A page whose write has begun is no longer dirty in the mapping, so that the \
             next store is noticed. Here it still is dirty. Linux gave that up in 2.6.19.",
        ),
        wrong(
            "it does the write, then returns",
            "MS_SYNC leaves the page clean. After MS_ASYNC it is as dirty as before.",
        ),
        right(
            "it does nothing, and returns",
            "The kernel keeps track of dirty pages by itself, and writes them after some \
             seconds, asked or not. MS_ASYNC has nothing to add.",
        ),
    ],
    kind: Kind::Needs(&needs::ON_A_DISK),
    run: msync_async,
    moral: "To have it on the disk: msync with MS_SYNC, or fsync(2). To have the write \
            begin: sync_file_range(2). MS_ASYNC does neither.",
    see: "msync(2), proc_pid_smaps(5), sync_file_range(2)",
    file: file!(),
    shows: &["msync-async"],
};

// ANCHOR: msync-async
/// How many bytes of the mapping are dirty: stored in, and not yet being written.
fn dirty(pages: &Pages) -> Result<u64> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").context("read smaps")?;
    let begin = format!("{:x}-", pages.address());
    let ours = smaps.lines().skip_while(|line| !line.starts_with(&begin));
    let dirty = ours.take(25).filter(|line| line.contains("_Dirty:"));
    let kib =
        dirty.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.take(2).sum::<u64>() * 1024) // Shared_Dirty and Private_Dirty
}

fn msync_async(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::ON_A_DISK)?;
    let file = file_with(stage, "file", b"old")?;
    let pages = map_shared(&file, 3).context("mmap")?;
    // Another process's sync(2) may come between: again, at most a few times.
    let mut after = [0; 3];
    for _ in 0..5 {
        pages.msync(MsyncFlags::SYNC).context("msync")?;
        pages.store(0, b'n');
        let stored = dirty(&pages)?;
        pages.msync(MsyncFlags::ASYNC).context("msync")?;
        let asked = dirty(&pages)?;
        pages.msync(MsyncFlags::SYNC).context("msync")?;
        after = [stored, asked, dirty(&pages)?];
        if asked > 0 {
            break;
        }
    }
    let when = ["the store", "msync(MS_ASYNC)", "msync(MS_SYNC)"];
    for (when, bytes) in when.into_iter().zip(after) {
        stage.call(format!("dirty bytes in smaps after {when}"), &bytes);
        stage.saw(&format!("dirty after {when}"), bytes);
    }
    Ok(match after {
        [_, 0, _] => 1,
        [_, _, 0] => 3,
        _ => 2,
    })
}
// ANCHOR_END: msync-async
