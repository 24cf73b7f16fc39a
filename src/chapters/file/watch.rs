//! inotify(7): sleeping until a file comes or changes.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::rendezvous::directory;
use wire::errors::{Advise, errno};
use wire::meet::with_suffix;

/// The directory itself was removed, renamed or unmounted.
const GONE: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT);

// ANCHOR: watch
/// Waits until something happens to a file, which need not be there yet.
///
/// It watches the directory: a watch on the file itself would follow the inode of that moment,
/// and end with it when another file is renamed over its name.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    file: OsString,
    lock: OsString,
}

impl Watch {
    /// Begins to watch for `events` on the file `path`.
    pub(super) fn on(path: &Path, events: AddWatchFlags) -> Result<Watch> {
        let dir = directory(path);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)
            .context("inotify_init")
            .advise(limit)?;
        inotify
            .add_watch(dir, events | GONE | AddWatchFlags::IN_DELETE)
            .with_context(|| format!("inotify_add_watch {}", dir.display()))
            .advise(limit)?;
        let file = path.file_name().unwrap_or_default().to_owned();
        let lock = with_suffix(Path::new(&file), ".lock").into_os_string();
        Ok(Watch { inotify, file, lock })
    }

    /// Sleeps until there is reason to look again. One event may stand for many, and an event
    /// for us may be lost when the queue is full: so events are never counted.
    pub(super) fn wait(&self) -> Result<()> {
        use AddWatchFlags as Mask;
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EINTR) => continue,
                result => result.context("read inotify")?,
            };
            for event in &events {
                let (mask, name) = (event.mask, event.name.as_ref());
                // While this role is here, no role of ours removes the lock file.
                let unlocked =
                    mask.contains(Mask::IN_DELETE) && name == Some(&self.lock);
                if unlocked || mask.intersects(GONE) {
                    bail!("the meeting place was removed while we waited at it");
                }
                if mask.contains(Mask::IN_Q_OVERFLOW) || name == Some(&self.file) {
                    return Ok(());
                }
            }
        }
    }
}
// ANCHOR_END: watch

/// inotify(7) is rationed for each user.
fn limit(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::EMFILE => Some(
            "all of this user's inotify instances are in use: raise \
             /proc/sys/fs/inotify/max_user_instances, or ulimit -n",
        ),
        Errno::ENOSPC => Some(
            "all of this user's inotify watches are in use: raise \
             /proc/sys/fs/inotify/max_user_watches",
        ),
        _ => None,
    }
}
