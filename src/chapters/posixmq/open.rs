//! Opening the queue: which role makes it, how large it is, and which limit mq_open(3) met,
//! since the names of its errors alone mislead.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_getattr};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;

use os::cleanup::Object;
use os::mqueue::{Queue, mq_open};
use os::owner::Owner;
use wire::errors::{Advise, errno};
use wire::meet::{Presence, Rendezvous};
use wire::roles::messages;
use wire::say;
use wire::say::{grouped, size};

/// The shape of a queue. It counts when the queue is made; a queue keeps its own.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Shape {
    /// Make the queue for at most N messages; without it, the kernel's msg_default
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub maxmsg: Option<u32>,

    /// Make it for messages of at most BYTES; without it, the kernel's msgsize_default
    #[arg(long, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub msgsize: Option<u32>,
}

// ANCHOR: open
/// A queue that is open, and our presence there.
#[derive(Debug)]
pub(super) struct OpenPosixQueue {
    pub(super) queue: Queue,
    pub(super) name: String,
    /// Its attributes when it was opened.
    pub(super) attr: MqAttr,
    pub(super) presence: Presence,
}

/// Opens the queue, and makes it if there is none.
pub(super) fn open(
    rendezvous: &Rendezvous,
    mut presence: Presence,
    access: MQ_OFlag,
    shape: &Shape,
) -> Result<OpenPosixQueue> {
    let name = rendezvous.kernel_name();
    let object = Object::Queue(name.clone());
    let attr = shape.given().map(|(maxmsg, msgsize)| {
        MqAttr::new(0, maxmsg as i64, msgsize as i64, 0) // flags and curmsgs are ignored
    });
    let open = |flags| {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mq_open(&name, flags | MQ_OFlag::O_CLOEXEC, mode, attr.as_ref())
            .with_context(|| format!("mq_open {name}"))
            .advise(|error| why_not(error, shape))
    };
    // O_CREAT | O_EXCL, so that we know whether we made it.
    let make = access | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
    let queue = presence.create(&object, || open(make));
    let (queue, made) = match queue {
        Err(error) if errno(&error) == Some(Errno::EEXIST) => (open(access)?, false),
        queue => (queue?, true),
    };
    let now = mq_getattr(&queue).context("mq_getattr")?;
    let (maxmsg, msgsize) = (now.maxmsg() as usize, now.msgsize() as usize);
    let room = format!("{} of up to {}", messages(maxmsg as u64), size(msgsize));
    if made {
        say!("mq_open({name}, O_CREAT) made a queue with room for {room}");
    } else {
        let owner = Owner::of_open(queue.as_fd()).context("stat the queue")?;
        rendezvous.must_be_ours(format_args!("the queue {name}"), &owner)?;
        presence.adopt(&object)?;
        let inside = messages(now.curmsgs() as u64);
        say!("mq_open({name}) found a queue with room for {room}; {inside} in it");
        if shape.given().is_some_and(|given| given != (maxmsg, msgsize)) {
            say!("it was made so: --maxmsg and --msgsize change no queue");
        }
    }
    presence.admit_peers()?;
    rendezvous.ready(&name)?;
    Ok(OpenPosixQueue { queue, name, attr: now, presence })
}
// ANCHOR_END: open

// ANCHOR: limits
impl Shape {
    /// How many messages, of how many bytes; `None` leaves both to the kernel.
    fn given(&self) -> Option<(usize, usize)> {
        (self.maxmsg.is_some() || self.msgsize.is_some()).then(|| self.asks())
    }

    fn asks(&self) -> (usize, usize) {
        let or =
            |given: Option<u32>, name| given.map_or(kernel(name), |n| n as usize);
        (or(self.maxmsg, "msg_default"), or(self.msgsize, "msgsize_default"))
    }
}

/// A limit of the kernel's, from /proc/sys/fs/mqueue (mq_overview(7)).
fn kernel(name: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}"));
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Which limit mq_open(3) met, and how to raise it.
fn why_not(error: &anyhow::Error, shape: &Shape) -> Option<String> {
    let (maxmsg, msgsize) = shape.asks();
    let limit = |name| {
        let value = grouped(kernel(name) as u64);
        format!("{name} is {value}; root raises it: sysctl fs.mqueue.{name}=N")
    };
    Some(match errno(error)? {
        Errno::EINVAL if maxmsg > kernel("msg_max") => limit("msg_max"),
        Errno::EINVAL => limit("msgsize_max"),
        Errno::ENOSPC => limit("queues_max"),
        Errno::EACCES => "another user made it; use --at NAME for another".into(),
        Errno::EMFILE => {
            // What the kernel adds for each message: getrlimit(2), RLIMIT_MSGQUEUE.
            let asks = grouped((maxmsg * (msgsize + 48 + 48)) as u64);
            let all = grouped(getrlimit(Resource::RLIMIT_MSGQUEUE).ok()?.0);
            format!(
                "a user's queues together may take RLIMIT_MSGQUEUE, {all} bytes (ulimit \
                 -q), and this one asks for {asks}: make it smaller by --maxmsg and \
                 --msgsize, or remove others"
            )
        }
        _ => return None,
    })
}
// ANCHOR_END: limits
