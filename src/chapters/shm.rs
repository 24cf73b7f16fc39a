//! Shared memory: the same pages in the address spaces of two processes (shm_overview(7)).
//! What one stores, the other loads; no system call moves the data, and none waits for
//! it. The processes must do both themselves: a ring of bytes with two counters says what is
//! there, and a futex sleeps when there is nothing. There are four ways to come by such
//! memory; the ring in it is the same.

use clap::ValueEnum;

use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};
use wire::ring::ends::{BackingOptions, RingOptions, RingReceiver, RingSender};
use wire::ring::join::Backing;

pub mod library;
pub mod memfd;
pub mod posix;
pub mod sysv;

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ShmOptions {
    /// Where the memory comes from; both sides must say the same
    #[arg(long, value_enum, default_value = "posix")]
    kind: Kind,

    #[command(flatten)]
    ring: RingOptions,
}

/// Where the memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// By hand: shm_open, posix_fallocate, mmap
    Posix,
    /// The crate shared_memory, which calls shm_open and mmap
    Crate,
    /// System V: shmget, shmat
    Sysv,
    /// Memory without a name: memfd_create, sealed
    Memfd,
}

// ANCHOR: roles
impl BackingOptions for ShmOptions {
    fn backing(&self, rendezvous: &Rendezvous) -> Box<dyn Backing> {
        match self.kind {
            Kind::Posix => {
                Box::new(posix::PosixMemory { name: rendezvous.kernel_name() })
            }
            Kind::Crate => Box::new(library::ByCrate {
                name: rendezvous.kernel_name(),
                rendezvous: rendezvous.clone(),
            }),
            Kind::Sysv => Box::new(sysv::SysvMemory { key: rendezvous.key() }),
            Kind::Memfd => {
                Box::new(memfd::Memfd { note: memfd::note_of(rendezvous) })
            }
        }
    }

    fn ring(&self) -> RingOptions {
        self.ring
    }
}
// ANCHOR_END: roles

/// The chapter.
#[derive(Debug)]
pub struct Shm;

impl OneWay for Shm {
    const ROW: Row = Row {
        name: "shm",
        summary: "memory that two processes share (shm_open, shmget)",
        also: &[
            "shared memory",
            "posix shared memory",
            "system v shared memory",
            "system v",
            "sysv",
            "sysvshm",
            "shm_open",
            "shmget",
            "shmat",
            "memory",
            "ring",
            "ring buffer",
            "memfd",
        ],
        wire: "a ring of bytes behind a header; each message has its length in 4 bytes, \
               little-endian, before it",
        roles: &[
            Role {
                name: "receiver",
                side: Side::Left,
                does: "reads the ring and prints what is in it",
                examples: &["shm receiver", "shm receiver --kind memfd"],
            },
            Role {
                name: "sender",
                side: Side::Right,
                does: "writes messages into the ring",
                examples: &["shm sender hello", "shm sender --bytes < picture.png"],
            },
        ],
        meets: Meets::Kernel,
        on_peer_death: OnPeerDeath::Error,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "receiver", args: &[] },
                Part { role: "sender", args: &["hello", "through shared memory"] },
            ],
            prints: "receiver",
            expect: "hello\nthrough shared memory\n",
        },
        lacks: &[
            Lack {
                what: "A sender that is killed wakes nobody: the receiver sleeps \
                       for ever.",
                shown: Shown::Test("shm", "what_a_killed"),
                answer: ("wire/ring/wait.rs", "wait"),
            },
            Lack {
                what: "A receiver that is killed wakes nobody: the sender sleeps \
                       for ever.",
                shown: Shown::Test("shm", "a_sender_whose_receiver"),
                answer: ("wire/ring/wait.rs", "wait"),
            },
            Lack {
                what: "There is room for one line: without a receiver the sender \
                       sleeps at its first message, and cannot leave it there.",
                shown: Shown::Test("shm", "what_nobody_has_read"),
                answer: ("wire/ring/flow.rs", "writer"),
            },
            Lack {
                what: "What a killed sender of an earlier run has left is not told from \
                       the line of this one.",
                shown: Shown::Test("shm", "what_a_killed"),
                answer: ("wire/ring/ends.rs", "roles"),
            },
            Lack {
                what: "Two senders store into one slot: lines are lost, and all the \
                       processes sleep in the end.",
                shown: Shown::Test("shm", "a_second_pair"),
                answer: ("wire/ring/ends.rs", "roles"),
            },
            Lack {
                what: "An object of another program under this name is cut to 4,096 \
                       bytes, taken for a slot and removed.",
                shown: Shown::Test("shm", "something_else_at_the_name"),
                answer: ("wire/ring.rs", "layout"),
            },
            Lack {
                what: "Where /dev/shm is full, ftruncate succeeds, and SIGBUS kills \
                       the process at its first access.",
                shown: Shown::Test("shm", "a_full_dev"),
                answer: ("chapters/shm/posix.rs", "posix"),
            },
        ],
    };
    type Sender = RingSender<ShmOptions>;
    type Receiver = RingReceiver<ShmOptions>;
    type More = NoMore;
}
