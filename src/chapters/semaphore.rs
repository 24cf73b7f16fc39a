//! A semaphore is a counter that never falls below 0: a post adds 1; a wait takes 1, and sleeps
//! while there is none (sem_overview(7)). It carries no bytes, only "one more", and it
//! remembers: a post stays until a process waits for it. Linux has three kinds: POSIX, System V,
//! and what one builds from a word and futex(2).

use std::time::Duration;

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::errors::usage;
use wire::meet::{Meets, Rendezvous};
use wire::roles;

mod any;
mod enter;
mod futex;
mod options;
mod posix;
mod poster;
mod sysv;
mod waiter;

use any::Semaphore;
use options::{Kind, SemaphoreOptions};

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum SemaphoreRoles {
    /// Takes 1 from the semaphore, and sleeps while there is none
    Waiter {
        /// The options of both roles
        #[command(flatten)]
        options: SemaphoreOptions,

        /// Give up a wait that lasts longer, with exit status 124
        #[arg(long, value_name = "SECONDS", value_parser = roles::seconds)]
        patience: Option<Duration>,
    },
    /// Adds 1 to the semaphore
    Poster(SemaphoreOptions),
}

impl Roles for SemaphoreRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        let (SemaphoreRoles::Waiter { options, .. }
        | SemaphoreRoles::Poster(options)) = self;
        match options.kind {
            Kind::Sysv => sysv::check(&options)?,
            _ if options.undo => {
                return Err(usage("only System V has SEM_UNDO: add --kind sysv"));
            }
            _ => {}
        }
        match options.kind {
            Kind::Posix => self.play_with::<posix::PosixSemaphore>(rendezvous),
            Kind::Sysv => self.play_with::<sysv::SysvSemaphore>(rendezvous),
            Kind::Futex => self.play_with::<futex::Futex>(rendezvous),
        }
    }
}

impl SemaphoreRoles {
    fn play_with<S: Semaphore>(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            SemaphoreRoles::Waiter { options, patience } => {
                waiter::wait::<S>(rendezvous, &options, patience)
            }
            SemaphoreRoles::Poster(options) => {
                poster::post::<S>(rendezvous, &options)
            }
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Semaphores;

impl Conversation for Semaphores {
    const ROW: Row = Row {
        name: "semaphore",
        summary: "a counter that processes wait on (sem_open, semget, futex)",
        also: &[
            "sem",
            "posix semaphore",
            "system v semaphore",
            "system v",
            "sysv",
            "named semaphore",
            "unnamed semaphore",
            "sem_open",
            "sem_wait",
            "sem_post",
            "semget",
            "semop",
            "futex",
            "counter",
        ],
        wire: "no bytes but a number: a post adds 1 to it, a wait takes 1 or sleeps",
        roles: &[
            Role {
                name: "waiter",
                side: Side::Left,
                does: "takes 1 from the semaphore, and sleeps while there is none",
                examples: &[
                    "semaphore waiter",
                    "semaphore waiter --times 3",
                    "semaphore waiter --kind sysv --patience 2",
                ],
            },
            Role {
                name: "poster",
                side: Side::Right,
                does: "adds 1 to the semaphore",
                examples: &[
                    "semaphore poster",
                    "semaphore poster --kind sysv --times 3",
                ],
            },
        ],
        meets: Meets::Kernel,
        on_peer_death: OnPeerDeath::Waits,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "waiter", args: &["--times", "2"] },
                Part { role: "poster", args: &["--times", "2"] },
            ],
            prints: "waiter",
            expect: "took 1\ntook 2\n",
        },
        lacks: &[
            Lack {
                what: "Posts of an earlier run are not told from those of this one.",
                shown: Shown::Experiment("posts-are-kept"),
                answer: ("chapters/semaphore/enter.rs", "enter"),
            },
            Lack {
                what: "The first waiter that is done removes the name under all \
                       others.",
                shown: Shown::Experiment("unlink-splits"),
                answer: ("chapters/semaphore/enter.rs", "enter"),
            },
            Lack {
                what: "When the poster is killed before its last post, the waiter \
                       sleeps for ever, and does not say for what.",
                shown: Shown::Test("semaphore", "a_waiter_goes"),
                answer: ("chapters/semaphore/waiter.rs", "waiter"),
            },
            Lack {
                what: "Nothing gives back what a killed waiter has taken.",
                shown: Shown::Experiment("undo-after-kill"),
                answer: ("chapters/semaphore/sysv.rs", "sysv"),
            },
            Lack {
                what: "semaphore_sysv does not wait until another program that has \
                       just made the set gives it its first value.",
                shown: Shown::Experiment("create-then-init"),
                answer: ("chapters/semaphore/sysv.rs", "sysv"),
            },
            Lack {
                what: "semaphore_sysv ends by ERANGE at the post after the \
                       32,767th, and does not say how many it has posted.",
                shown: Shown::Test("semaphore", "a_full_semaphore"),
                answer: ("chapters/semaphore/poster.rs", "poster"),
            },
            Lack {
                what: "semaphore_futex sleeps on if a process stores the new value \
                       and does not call futex(FUTEX_WAKE).",
                shown: Shown::Test("semaphore", "python_posts_to_the_futex"),
                answer: ("chapters/semaphore/futex.rs", "futex"),
            },
            Lack {
                what: "A waiter of semaphore_sysv that was stopped ends once it goes on.",
                shown: Shown::Test("bare", "a_stop_ends"),
                answer: ("chapters/semaphore/sysv.rs", "sysv"),
            },
        ],
    };
    type Roles = SemaphoreRoles;
}
