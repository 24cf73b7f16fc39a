//! The options of both roles.

use clap::ValueEnum;

use super::layout::MOST_SLOTS;

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BufferOptions {
    /// How many messages the buffer holds, if we are first and make it [default: 8]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SLOTS)))]
    slots: Option<u32>,

    /// What its condition variables are, if we are first and make it [default: futex]
    #[arg(long, value_enum, hide_default_value = true)]
    condition: Option<Kind>,
}

/// What a condition variable is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// pthread_cond_t, as the bare program has it
    Pthread,
    /// Two words and futex(2): it outlives a process that is killed while it waits
    Futex,
}

impl BufferOptions {
    pub(super) fn slots(&self) -> u32 {
        self.slots.unwrap_or(8)
    }

    pub(super) fn kind(&self) -> Kind {
        self.condition.unwrap_or(Kind::Futex)
    }

    /// What was asked for, and a buffer that is there does not have.
    pub(super) fn unlike(&self, slots: u32, kind: Kind) -> Option<&'static str> {
        if self.slots.is_some_and(|wanted| wanted != slots) {
            return Some("--slots");
        }
        self.condition.is_some_and(|wanted| wanted != kind).then_some("--condition")
    }
}
