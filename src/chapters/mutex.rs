//! A mutex in shared memory lets one process at a time at what it protects; a condition variable
//! lets a process that has it sleep until another has changed something (pthread_mutex_lock(3),
//! pthread_cond_wait(3)). Here they protect a bounded buffer: producers fill its slots, any number
//! of workers empty them. The mutex is robust: when its owner is killed, the next one is told.

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};
use wire::roles::{MessageSource, Sink, receive, send};

mod buffer;
mod condition;
mod layout;
mod options;
pub mod producer;
pub mod worker;

use options::BufferOptions;

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum MutexRoles {
    /// Takes messages out of the buffer, and sleeps while it is empty
    Worker {
        /// What is done with the messages
        #[command(flatten)]
        sink: Sink,

        /// The options of both roles
        #[command(flatten)]
        options: BufferOptions,
    },
    /// Puts messages into the buffer, and sleeps while it is full
    Producer {
        /// Where the messages come from
        #[command(flatten)]
        source: MessageSource,

        /// The options of both roles
        #[command(flatten)]
        options: BufferOptions,
    },
}

impl Roles for MutexRoles {
    fn play(self, at: &Rendezvous) -> Result<()> {
        match self {
            MutexRoles::Worker { sink, options } => {
                receive::<worker::Worker>(at, &options, &sink)
            }
            MutexRoles::Producer { source, options } => {
                send::<producer::Producer>(at, &options, &source)
            }
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Mutexes;

impl Conversation for Mutexes {
    const ROW: Row = Row {
        name: "mutex",
        summary: "a lock and conditions in shared memory (pthread_mutex_t)",
        also: &[
            "lock",
            "robust mutex",
            "condition variable",
            "condvar",
            "pthread",
            "pthread_mutex_lock",
            "pthread_cond_wait",
            "bounded buffer",
            "producer",
            "monitor",
            "rwlock",
            "reader-writer lock",
            "barrier",
            "critical section",
        ],
        wire: "8 slots of 4096 bytes behind a header, a mutex and two conditions; each slot is a \
               length in 4 bytes, then the message",
        roles: &[
            Role {
                name: "worker",
                side: Side::Left,
                does: "takes messages out of the buffer; any number of workers share them",
                examples: &["mutex worker", "mutex worker --count 1"],
            },
            Role {
                name: "producer",
                side: Side::Right,
                does: "puts messages into the buffer",
                examples: &[
                    "mutex producer one two three",
                    "mutex producer --slots 1 one two three",
                ],
            },
        ],
        meets: Meets::Kernel,
        on_peer_death: OnPeerDeath::Error,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "worker", args: &[] },
                Part { role: "producer", args: &["hello", "through a buffer"] },
            ],
            prints: "worker",
            expect: "hello\nthrough a buffer\n",
        },
        lacks: &[
            Lack {
                what: "When a process is killed with the mutex, all others end by EOWNERDEAD \
                       at their next call.",
                shown: Shown::Test("mutex", "a_role_mends"),
                answer: ("chapters/mutex/buffer.rs", "lock"),
            },
            Lack {
                what: "A producer that is killed does not count itself down: the workers sleep \
                       for ever.",
                shown: Shown::Test("mutex", "a_producer_killed"),
                answer: ("chapters/mutex/buffer.rs", "seats"),
            },
            Lack {
                what: "A worker that is killed while it waits takes later signals with it: \
                       another worker sleeps on, though a message is there.",
                shown: Shown::Experiment("killed-waiter"),
                answer: ("chapters/mutex/condition.rs", "condition"),
            },
            Lack {
                what: "A length in a slot that is too large is cut, and not reported; and \
                       whatever has the name is cut to the size of a buffer.",
                shown: Shown::Test("mutex", "what_is_no_buffer"),
                answer: ("chapters/mutex/layout.rs", "check"),
            },
            Lack {
                what: "The first worker that is done removes the name, also before another \
                       producer comes.",
                shown: Shown::Test("mutex", "what_nobody_took"),
                answer: ("chapters/mutex/buffer.rs", "join"),
            },
        ],
    };
    type Roles = MutexRoles;
}
