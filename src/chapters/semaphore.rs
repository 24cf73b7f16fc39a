//! A semaphore is a counter that never falls below 0: a post adds 1; a wait takes 1, and
//! sleeps while there is none (sem_overview(7)). It carries no bytes, only "one more", and
//! it remembers: a post that nobody waits for yet stays until someone does. Linux has
//! three kinds: POSIX, System V, and what one builds from a word and futex(2).

use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::row::{Conversation, OnPeerDeath, Part, Role, Roles, Row, Script};
use os::cleanup::Object;
use wire::errors::usage;
use wire::meet::{Meets, Rendezvous};
use wire::payload::{Payload, Printed, Style};
use wire::roles;
use wire::say;

mod enter;
mod futex;
mod posix;
mod sysv;

use enter::enter;

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
            "mutex",
            "lock",
            "counter",
            "eventfd",
            "condition variable",
            "barrier",
        ],
        wire: "no bytes but a number: a post adds 1 to it, a wait takes 1 or sleeps",
        roles: &[
            Role {
                name: "waiter",
                does: "takes 1 from the semaphore, and sleeps while there is none",
                examples: &[
                    "semaphore waiter",
                    "semaphore waiter --times 3",
                    "semaphore waiter --kind sysv --patience 2",
                ],
            },
            Role {
                name: "poster",
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
    };
    type Roles = Command;
}

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Takes 1 from the semaphore, and sleeps while there is none
    Waiter {
        /// Those of both roles
        #[command(flatten)]
        options: Options,

        /// Give up a wait that lasts longer, with exit status 124
        #[arg(long, value_name = "SECONDS", value_parser = roles::seconds)]
        patience: Option<Duration>,
    },
    /// Adds 1 to the semaphore
    Poster(Options),
}

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Options {
    /// Which kind of semaphore; both sides must say the same
    #[arg(long, value_enum, default_value = "posix")]
    kind: Kind,

    /// The value with which it is made; one that is there keeps its own [default: 0]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=0x7fff_ffff))]
    value: Option<u32>,

    /// How many posts, or waits
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,

    /// Let the kernel undo it all when this process ends, however it ends (sysv only)
    #[arg(long)]
    undo: bool,
}

/// The three kinds of semaphore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// sem_open, sem_post, sem_wait
    Posix,
    /// semget, semop
    Sysv,
    /// A word of shared memory, FUTEX_WAIT and FUTEX_WAKE
    Futex,
}

impl Roles for Command {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        let (Command::Waiter { options, .. } | Command::Poster(options)) = self;
        match options.kind {
            Kind::Sysv => sysv::check(&options)?,
            _ if options.undo => {
                return Err(usage("only System V has SEM_UNDO: add --kind sysv"));
            }
            _ => {}
        }
        match options.kind {
            Kind::Posix => self.play_with::<posix::Posix>(rendezvous),
            Kind::Sysv => self.play_with::<sysv::Sysv>(rendezvous),
            Kind::Futex => self.play_with::<futex::Futex>(rendezvous),
        }
    }
}

impl Command {
    fn play_with<S: Semaphore>(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            Command::Waiter { options, patience } => {
                wait::<S>(rendezvous, &options, patience)
            }
            Command::Poster(options) => post::<S>(rendezvous, &options),
        }
    }
}

/// What the roles ask of a semaphore, of whichever kind.
trait Semaphore: Sized {
    const KIND: Kind;
    /// Opens the one that is there; `None` if there is none.
    fn open(rendezvous: &Rendezvous, options: &Options) -> Result<Option<Self>>;
    /// Makes it with this value; EEXIST if someone else just has.
    fn make(rendezvous: &Rendezvous, options: &Options, value: u32) -> Result<Self>;
    /// The calls that made it, for the commentary.
    fn making(&self, value: u32) -> String;
    /// Its name, as a stranger would give it to the kernel.
    fn name(&self) -> String;
    /// The thing that outlives us.
    fn object(&self, made_with: u32) -> Object;
    /// Whose posts may lie in it.
    fn whose(&self) -> String;
    /// The value; another process may change it at any time.
    fn value(&self) -> Result<u32>;
    /// Adds 1, and wakes one who sleeps.
    fn post(&mut self) -> Result<()>;
    /// Takes 1; sleeps while there is none, for as long as the patience lasts. Between
    /// two sleeps, if it has more than one, it calls `look`.
    fn wait(
        &mut self,
        patience: Option<Duration>,
        look: &mut dyn FnMut(),
    ) -> Result<()>;
}

// ANCHOR: poster
fn post<S: Semaphore>(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    let mut here = enter::<S>(rendezvous, options)?;
    if here.was_alone {
        say::waiting(
            "nobody waits yet: what is posted stays in the value",
            &rendezvous.peer("waiter"),
        );
    }
    if options.undo {
        say!("SEM_UNDO on a post: the kernel takes it back when this process ends");
        say!("that is made for locks: posts that are to last go without --undo");
    }
    for posted in 0..options.times {
        let of =
            || format!("after {posted} of {}", say::count(options.times, "post"));
        here.semaphore.post().with_context(of)?;
    }
    let posts = say::count(options.times, "post");
    let Ok(value) = here.semaphore.value() else {
        say!("done: {posts}; meanwhile someone removed the semaphore");
        return Ok(());
    };
    say!("done: {posts}; the value is {value} as we leave");
    if value > here.made_with && !options.undo && !here.presence.has_peers() {
        say!("the semaphore stays, for whoever waits next");
    }
    Ok(())
}
// ANCHOR_END: poster

// ANCHOR: waiter
fn wait<S: Semaphore>(
    rendezvous: &Rendezvous,
    options: &Options,
    patience: Option<Duration>,
) -> Result<()> {
    let mut payload = Payload::new(Style::Lines)?;
    let mut here = enter::<S>(rendezvous, options)?;
    let value = here.semaphore.value()?;
    let mut told = u64::from(value) < options.times;
    if told {
        let waits = say::count(options.times, "wait");
        say::waiting(
            format_args!(
                "{waits} on a value of {value}: at 0 a wait sleeps until a post"
            ),
            &rendezvous.peer("poster"),
        );
    }
    if options.undo {
        say!("SEM_UNDO: the kernel gives back what we take when this process ends");
    }
    for number in 1..=options.times {
        // A semaphore does not say that its poster has died. The lock file does.
        let mut look = || {
            if !told && !here.presence.has_peers() {
                say::waiting(
                    "nobody else is here any more",
                    &rendezvous.peer("poster"),
                );
                told = true;
            }
        };
        here.semaphore.wait(patience, &mut look)?;
        // Beyond the first value, each take is a post of one that was here.
        told &= number <= u64::from(value);
        let took = format!("took {number}");
        if payload.print(took.as_bytes())? == Printed::NobodyReads {
            break;
        }
    }
    say!("done: {}", say::count(payload.count(), "wait"));
    Ok(())
}
// ANCHOR_END: waiter

/// The advice of a wait that was given up.
fn impatient(patience: Option<Duration>) -> Option<String> {
    let seconds = patience?.as_secs_f64();
    Some(format!("nobody posted within the --patience of {seconds} s"))
}
