//! Opening the queue: who makes it, how large, and which limit mq_open(3) met, since the
//! names of its errors alone mislead.

use std::fs::Metadata;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use posixmq::{Attributes, OpenOptions, PosixMq};

use os::cleanup::Object;
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
/// A queue that is open, and its place.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) queue: PosixMq,
    pub(super) name: String,
    /// What it was like when it was opened.
    pub(super) shape: Attributes,
    pub(super) presence: Presence,
}

/// Opens the queue, and makes it if there is none.
pub(super) fn open(
    rendezvous: &Rendezvous,
    mut presence: Presence,
    access: OpenOptions,
    shape: &Shape,
) -> Result<Link> {
    let name = rendezvous.kernel_name();
    let object = Object::Queue(name.clone());
    let mut make = access;
    if let Some((maxmsg, msgsize)) = shape.given() {
        make.capacity(maxmsg).max_msg_len(msgsize);
    }
    // O_CREAT | O_EXCL, so that we know who made it; the mode is 0600.
    let begun = |opened: std::io::Result<PosixMq>| {
        opened
            .with_context(|| format!("mq_open {name}"))
            .advise(|error| why_not(error, shape))
    };
    let queue = presence.create(&object, || begun(make.create_new().open(&name)));
    let (queue, made) = match queue {
        Err(error) if errno(&error) == Some(Errno::EEXIST) => {
            (begun(access.open(&name))?, false)
        }
        queue => (queue?, true),
    };
    let now = queue.attributes().context("mq_getattr")?;
    let (capacity, longest) = (now.capacity, now.max_msg_len);
    let room = format!("{} of up to {}", messages(capacity as u64), size(longest));
    if made {
        say!("mq_open({name}, O_CREAT) made a queue with room for {room}");
    } else {
        let owner = Owner::from(&about(&queue)?);
        rendezvous.must_be_ours(format_args!("the queue {name}"), &owner)?;
        presence.adopt(&object)?;
        let inside = messages(now.current_messages as u64);
        say!("mq_open({name}) found a queue with room for {room}; {inside} in it");
        if shape.given().is_some_and(|given| given != (capacity, longest)) {
            say!("it was made so: --maxmsg and --msgsize change no queue");
        }
    }
    presence.admit_peers()?;
    rendezvous.ready(&name)?;
    Ok(Link { queue, name, shape: now, presence })
}

/// A queue's descriptor is a file's, in a file system of its own.
pub(super) fn about(queue: &PosixMq) -> Result<Metadata> {
    let path = format!("/proc/self/fd/{}", queue.as_raw_fd());
    std::fs::metadata(path).context("stat the queue")
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
