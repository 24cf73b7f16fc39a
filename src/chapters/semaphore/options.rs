//! The options of both roles.

use clap::ValueEnum;

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SemaphoreOptions {
    /// Which kind of semaphore; both sides must say the same
    #[arg(long, value_enum, default_value = "posix")]
    pub(super) kind: Kind,

    /// The value with which it is made; one that is there keeps its own [default: 0]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=0x7fff_ffff))]
    pub(super) value: Option<u32>,

    /// How many posts, or waits
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) times: u64,

    /// Let the kernel undo it all when this process ends, however it ends (sysv only)
    #[arg(long)]
    pub(super) undo: bool,
}

/// The three kinds of semaphore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// sem_open, sem_post, sem_wait
    Posix,
    /// semget, semop
    Sysv,
    /// A word of shared memory, FUTEX_WAIT and FUTEX_WAKE
    Futex,
}
