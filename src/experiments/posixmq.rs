//! What a POSIX message queue does that people do not expect.

use nix::mqueue::{MQ_OFlag, MqAttr};
use nix::sys::stat::Mode;

use super::row::Experiment;

mod elsewhere;
mod notify;
mod order;
mod room;
mod stays;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    order::PRIORITY_ORDER,
    order::URGENT_WAITS_OUTSIDE,
    order::TIMEOUT_IS_A_TIME,
    room::FULL_QUEUE,
    room::SMALL_BUFFER,
    room::SHAPE_OF_THE_FIRST,
    room::OVER_MSG_MAX,
    room::QUEUE_BYTES,
    notify::NOTIFY_ONE_SHOT,
    notify::REARM_THEN_DRAIN,
    notify::NOTIFY_AND_A_SLEEPER,
    notify::NOTIFY_LOST_BY_CLOSE,
    stays::POLLABLE,
    stays::READ_TELLS,
    stays::UNLINK_WHILE_OPEN,
    stays::CRASH_LEAVES_IT,
    elsewhere::OTHER_NAMESPACE,
];

// ANCHOR: shared
/// Makes a queue of that name, which must not be there yet, and opens it both ways.
const MAKE: MQ_OFlag =
    MQ_OFlag::O_CREAT.union(MQ_OFlag::O_EXCL).union(MQ_OFlag::O_RDWR);
/// The user that makes it may use it, and no other user: 0600.
const OURS: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The shape of a queue: at most `mq_maxmsg` messages of at most `mq_msgsize` bytes.
fn room_for(mq_maxmsg: i64, mq_msgsize: i64) -> MqAttr {
    MqAttr::new(0, mq_maxmsg, mq_msgsize, 0)
}
// ANCHOR_END: shared
