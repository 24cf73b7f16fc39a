//! What a System V message queue does that people do not expect.

use anyhow::{Context, Result};
use libc::IPC_PRIVATE;

use super::row::Experiment;
use super::stage::Stage;
use os::cleanup::Object;
use os::sysv::{Msgbuf, msgget};

mod choice;
mod elsewhere;
mod keys;
mod room;
mod sleep;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    choice::LOWEST_NOT_FIRST,
    choice::TYPE_IS_NO_PRIORITY,
    choice::REPLIES_BY_PID,
    choice::PEEK_BY_COPY,
    room::SIZE_WITHOUT_TYPE,
    room::TOO_LONG_STAYS,
    room::EMPTY_MESSAGES_FILL,
    room::LARGER_THAN_THE_QUEUE,
    keys::FTOK_COLLIDES,
    keys::FTOK_OF_A_NEW_FILE,
    keys::PRIVATE_IS_NO_SECRET,
    keys::UMASK_IS_IGNORED,
    elsewhere::OTHER_NAMESPACE,
    sleep::REMOVED_UNDER_SLEEPERS,
    sleep::ONE_QUEUE_BOTH_WAYS,
    sleep::SELECT_CANNOT_WATCH,
    sleep::RESTART_DOES_NOT_HELP,
];

// ANCHOR: shared
/// A queue of this run's own, which no key finds: `msgget(IPC_PRIVATE, 0600)`.
fn make(stage: &Stage) -> Result<i32> {
    let id = msgget(IPC_PRIVATE, 0o600).context("msgget")?;
    stage.made(&Object::SysvQueue(id));
    Ok(id)
}

/// A message of the type `mtype` with the text `text`.
fn message(mtype: i64, text: &[u8]) -> Msgbuf {
    let mut message = Msgbuf::with_room(text.len());
    message.set(mtype, text);
    message
}

/// A message's text, as the report shows it.
fn text_of(message: &Msgbuf) -> String {
    String::from_utf8_lossy(message.text()).into_owned()
}
// ANCHOR_END: shared
