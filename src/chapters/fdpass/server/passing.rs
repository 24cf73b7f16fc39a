//! What a server may be told about its passing on.

use std::time::Duration;

use super::super::pool::Pool;
use wire::roles::seconds;

/// The options of a server, whatever it speaks with its workers.
#[derive(Debug, Clone, clap::Args)]
pub(in super::super) struct Passing {
    /// Where clients connect by TCP; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = super::super::ADDRESS)]
    pub(in super::super) listen: String,

    /// Stop after N connections, once workers hold them all
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Hold at most N connections for which no worker has room, then accept no more
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) hold: u32,

    /// Cut off a worker that leaves a connection SECONDS without an OK; for --protocol
    /// plain, whose workers answer [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) ack_timeout: Option<Duration>,

    /// At most N connections are on their way to one worker, not taken yet; 1 suits
    /// workers that serve one client at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    in_flight: u8,
}

impl Passing {
    /// The pool that these options ask for.
    pub(super) fn pool(&self) -> Pool {
        let ack_timeout = self.ack_timeout.unwrap_or(Duration::from_secs(5));
        Pool::new(self.in_flight.into(), ack_timeout)
    }
}
