//! An eventfd is a counter in the kernel, and a descriptor of it (eventfd(2)): write(2) adds to
//! it, read(2) takes all of it, or 1 with EFD_SEMAPHORE, and sleeps while it is 0. So poll(2) and
//! epoll(7) can wait for it. It has no name: a process inherits it, or is passed it over a Unix
//! socket (SCM_RIGHTS).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use os::proc::{field, text};
use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};

pub mod notifier;
pub mod waiter;

use notifier::NotifierOptions;
use waiter::WaiterOptions;

/// The byte that the eventfd travels with.
const BYTE: u8 = b'x';

/// The most that the counter holds; a read of it is never 2^64 - 1.
const MOST: u64 = u64::MAX - 1;

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum EventfdRoles {
    /// Makes the eventfd, passes it to each notifier, and reads it
    Waiter(WaiterOptions),
    /// Is passed the eventfd, and writes numbers to it
    Notifier(NotifierOptions),
}

impl Roles for EventfdRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            EventfdRoles::Waiter(options) => waiter::run(rendezvous, &options),
            EventfdRoles::Notifier(options) => notifier::run(rendezvous, options),
        }
    }
}

/// The socket over which the eventfd is passed.
fn unix_socket() -> Result<OwnedFd> {
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    socket(AddressFamily::Unix, kind, flags, None).context("socket")
}

// ANCHOR: value
/// The counter of an eventfd, looked at without taking it; `None` if `fd` is none.
pub(crate) fn value(fd: impl AsFd) -> Result<Option<u64>> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let info = text(&path).with_context(|| format!("read {path}"))?;
    let count = field(&info, "eventfd-count:");
    Ok(count.and_then(|count| u64::from_str_radix(count, 16).ok()))
}
// ANCHOR_END: value

/// The chapter.
#[derive(Debug)]
pub struct Eventfd;

impl Conversation for Eventfd {
    const ROW: Row = Row {
        name: "eventfd",
        summary: "a counter that wakes a poll or epoll loop (eventfd)",
        also: &[
            "event",
            "event counter",
            "efd",
            "efd_semaphore",
            "wake epoll",
            "wake up",
            "notification",
            "notify",
        ],
        wire: "the byte `x` with the eventfd, over a Unix socket; then no bytes but a \
               number: a write adds it to the counter, a read takes all, or 1",
        roles: &[
            Role {
                name: "waiter",
                side: Side::Left,
                does: "makes the eventfd, passes it to each notifier, and reads it",
                examples: &[
                    "eventfd waiter",
                    "eventfd waiter --semaphore",
                    "eventfd waiter --total 10",
                ],
            },
            Role {
                name: "notifier",
                side: Side::Right,
                does: "is passed the eventfd, and writes numbers to it",
                examples: &["eventfd notifier 1", "eventfd notifier 1 2 3"],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "waiter", args: &["--total", "3"] },
                Part { role: "notifier", args: &["3"] },
            ],
            prints: "waiter",
            expect: "took 3\n",
        },
        lacks: &[
            Lack {
                what: "When the notifier is killed before its last number, the waiter \
                       sleeps for ever: an eventfd has no end of file.",
                shown: Shown::Experiment("last-writer"),
                answer: ("chapters/eventfd/waiter.rs", "loop"),
            },
            Lack {
                what: "When the waiter is killed, the notifier writes on to a counter \
                       that no process reads, and no error tells it.",
                shown: Shown::Test("eventfd", "a_notifier_whose_waiter"),
                answer: ("chapters/eventfd/notifier.rs", "notifier"),
            },
            Lack {
                what: "A second notifier is connected and gets no eventfd.",
                shown: Shown::Test("eventfd", "notifiers_at_the_same"),
                answer: ("chapters/eventfd/waiter.rs", "pass"),
            },
            Lack {
                what: "Another process that reads the eventfd takes what the waiter \
                       was woken for, and the waiter sleeps in read.",
                shown: Shown::Experiment("two-ready-one-takes"),
                answer: ("chapters/eventfd/waiter.rs", "take"),
            },
            Lack {
                what: "Whatever descriptor arrives is written to: a file gets 8 bytes.",
                shown: Shown::Test("eventfd", "a_descriptor_that_is_no_eventfd"),
                answer: ("chapters/eventfd/notifier.rs", "notifier"),
            },
            Lack {
                what: "A waiter that is killed leaves its name, and the next one ends \
                       by EADDRINUSE.",
                shown: Shown::Test("eventfd", "a_killed_waiter_leaves"),
                answer: ("wire/local.rs", "bind"),
            },
        ],
    };
    type Roles = EventfdRoles;
}
