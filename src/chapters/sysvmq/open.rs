//! Opening the queue: by a key that the two sides share, or by its identifier.

use anyhow::{Context, Result};
use libc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};
use nix::errno::Errno;

use os::cleanup::{Object, owner_of, remove_now, without_signals};
use os::sysv::{msgget, msgstat};
use wire::errors::{Advise, errno};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::roles::messages;
use wire::say;
use wire::say::{grouped, size};

/// Which queue.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The queue of the key N, instead of one made from the name of the meeting place;
    /// `private` makes one that no key finds
    #[arg(long, value_name = "N|private", value_parser = key, conflicts_with = "at")]
    #[arg(allow_negative_numbers = true)]
    key: Option<QueueKey>,

    /// The queue of this identifier, which must be there already
    #[arg(long, value_name = "ID", conflicts_with_all = ["at", "key"])]
    id: Option<i32>,
}

/// What `--key` says.
#[derive(Debug, Clone, Copy)]
enum QueueKey {
    Private,
    Number(i32),
}

/// Reads a key as ipcs(1) prints it, `0x0052e2c1`, or in decimal: a `key_t` has a sign, and
/// Python's sysv_ipc shows it.
fn key(text: &str) -> Result<QueueKey, String> {
    if text == "private" {
        return Ok(QueueKey::Private);
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(u32::cast_signed),
        None => text
            .parse()
            .ok()
            .or_else(|| Some(text.parse::<u32>().ok()?.cast_signed())),
    };
    match number {
        Some(0) => {
            Err("0 is IPC_PRIVATE, which finds no queue; say `private`".into())
        }
        Some(number) => Ok(QueueKey::Number(number)),
        None => Err("neither a number of 32 bits nor `private`".into()),
    }
}

// ANCHOR: open
/// A queue that is there, and its place.
#[derive(Debug)]
pub(super) struct OpenSysvQueue {
    pub(super) id: i32,
    /// Its attributes when we opened it.
    pub(super) now: libc::msqid_ds,
    pub(super) was_alone: bool,
    pub(super) rendezvous: Rendezvous,
    pub(super) presence: Presence,
}

/// Finds the queue, and makes it if there is none.
pub(super) fn open(
    rendezvous: &Rendezvous,
    role: Option<SoleRole>,
    which: &Which,
) -> Result<OpenSysvQueue> {
    if let Some(id) = which.id {
        let rendezvous = rendezvous.named(format!("id-{id}"));
        let presence = rendezvous.arrive(role)?;
        return enter(rendezvous, presence, id, false);
    }
    let (key, rendezvous) = match which.key {
        None => (rendezvous.key(), rendezvous.clone()),
        Some(QueueKey::Number(key)) => {
            (key, rendezvous.named(format!("key-{key:#010x}")))
        }
        Some(QueueKey::Private) => return make_private(rendezvous, role),
    };
    let mut presence = rendezvous.arrive(role)?;
    let get = |flags| {
        msgget(key, flags)
            .with_context(|| format!("msgget({key:#010x})"))
            .advise(why_not)
    };
    // IPC_CREAT | IPC_EXCL, so that we know whether we made it.
    let made = presence.create_numbered(|| {
        let id = get(IPC_CREAT | IPC_EXCL | 0o600)?;
        Ok((id, Object::SysvQueue(id)))
    });
    match made {
        Ok(id) => {
            say!("msgget({key:#010x}, IPC_CREAT) = {id}: made a queue");
            enter(rendezvous, presence, id, true)
        }
        Err(error) if errno(&error) == Some(Errno::EEXIST) => {
            let id = get(0)?;
            say!("msgget({key:#010x}) = {id}: found a queue");
            enter(rendezvous, presence, id, false)
        }
        Err(error) => Err(error),
    }
}

/// A queue that only its identifier finds: a child inherits it, other processes are told it.
fn make_private(
    rendezvous: &Rendezvous,
    role: Option<SoleRole>,
) -> Result<OpenSysvQueue> {
    // Its identifier names its place, so it is made before the place is there to note it.
    let make = || -> Result<_> {
        let id = msgget(IPC_PRIVATE, 0o600)
            .context("msgget(IPC_PRIVATE)")
            .advise(why_not)?;
        let queue = Object::SysvQueue(id);
        let rendezvous = rendezvous
            .named(format!("id-{id}"))
            .saying(&format!("--id {id}"), "--key private");
        let noted = rendezvous.try_arrive(role).and_then(|mut presence| {
            presence
                .as_mut()
                .map_or(Ok(()), |presence| presence.remove_when_last(&queue))?;
            Ok(presence)
        });
        if !matches!(noted, Ok(Some(_))) {
            let _ = remove_now(&queue);
        }
        Ok((id, rendezvous, noted?))
    };
    loop {
        let (id, rendezvous, presence) = without_signals(make)?;
        let Some(presence) = presence else {
            // Another process removes there what an earlier queue of this number has left. No
            // signal is held off while we wait for that.
            rendezvous.wait_for_turn()?;
            continue;
        };
        say!("msgget(IPC_PRIVATE) = {id}: made a queue that no key finds");
        return enter(rendezvous, presence, id, true);
    }
}

/// Enters the place, once the attributes of the queue are known.
fn enter(
    rendezvous: Rendezvous,
    mut presence: Presence,
    id: i32,
    made: bool,
) -> Result<OpenSysvQueue> {
    let now = msgstat(id)
        .with_context(|| format!("msgctl(IPC_STAT) queue {id}"))
        .advise(why_not)?;
    if !made {
        let queue = Object::SysvQueue(id);
        let owner = owner_of(&queue).context("msgctl(IPC_STAT)").advise(gone)?;
        rendezvous.must_be_ours(format_args!("queue {id}"), &owner)?;
        presence.adopt(&queue)?;
        say!("msgctl(IPC_STAT) of queue {id}: {} in it", messages(now.msg_qnum));
    }
    let was_alone = presence.is_alone();
    presence.admit_peers()?;
    rendezvous.ready(id)?;
    Ok(OpenSysvQueue { id, now, was_alone, rendezvous, presence })
}
// ANCHOR_END: open

// ANCHOR: limits
impl OpenSysvQueue {
    /// The longest text that msgsnd takes: one over msgmax is EINVAL, and one over msg_qbytes
    /// would wait for room that never comes.
    pub(super) fn largest(&self) -> usize {
        kernel("msgmax").min(self.now.msg_qbytes as usize)
    }

    /// The longest text in the queue; msgmax may have been larger when that was sent.
    pub(super) fn longest(&self) -> usize {
        kernel("msgmax").max(self.now.msg_qbytes as usize)
    }

    /// Says so if there is no room for a text of `length` bytes: msg_qbytes is the limit
    /// for the bytes in all, and for the number of messages as well.
    pub(super) fn is_full(&self, length: usize) -> Result<Option<String>> {
        let now = msgstat(self.id).context("msgctl(IPC_STAT)").advise(gone)?;
        let (bytes, room) = (now.__msg_cbytes, now.msg_qbytes);
        let full = bytes + length as u64 > room || now.msg_qnum >= room;
        Ok(full.then(|| {
            let (inside, bytes) = (messages(now.msg_qnum), size(bytes as usize));
            format!("the queue is full, {inside} of {bytes} in all")
        }))
    }

    /// Which of the two [`OpenSysvQueue::largest`] is, and how to raise it.
    pub(super) fn limit(&self) -> String {
        let (name, note) = if kernel("msgmax") <= self.now.msg_qbytes as usize {
            ("msgmax", "")
        } else {
            ("msgmnb", ", for queues made later")
        };
        format!("that is {name}; root raises it: sysctl kernel.{name}=N{note}")
    }
}

/// A limit of the kernel's, from /proc/sys/kernel (msgop(2), msgget(2)).
fn kernel(name: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(8192)
}

/// Why there is no queue for us, and the way out.
fn why_not(error: &anyhow::Error) -> Option<String> {
    Some(match errno(error)? {
        Errno::ENOSPC => {
            let most = grouped(kernel("msgmni") as u64);
            format!(
                "msgmni is {most} queues; root raises it: sysctl kernel.msgmni=N"
            )
        }
        Errno::EACCES => {
            "another user's; use --at NAME or --key N for another".into()
        }
        _ => return gone(error),
    })
}

/// The queue was removed: a call that sleeps returns EIDRM, a later one EINVAL.
pub(super) fn gone(error: &anyhow::Error) -> Option<String> {
    let gone = matches!(errno(error)?, Errno::EIDRM | Errno::EINVAL);
    gone.then(|| {
        "the queue is gone: it was removed (ipcrm can do that); start anew".into()
    })
}
// ANCHOR_END: limits
