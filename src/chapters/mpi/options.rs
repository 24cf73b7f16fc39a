//! What the ranks can do, and the options of each.

/// What the ranks do. Each is one program that all ranks run.
#[derive(Debug, clap::Subcommand)]
pub enum MpiRoles {
    /// One number, one way
    SendReceive(SendReceive),
    /// Messages there and back
    PingPong(PingPong),
    /// Once around
    Ring(Ring),
    /// Many parts, one sum
    Reduction(Reduction),
}

/// The options of `mpi send-receive`.
#[derive(Debug, clap::Args)]
pub struct SendReceive {
    /// The number that rank 1 sends; without it, a random one
    #[arg(long, value_name = "N")]
    pub number: Option<u32>,
}

/// The options of `mpi ping-pong`.
#[derive(Debug, clap::Args)]
pub struct PingPong {
    /// What rank 0 sends, each argument one message; without any, each line of its
    /// standard input is one
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<std::ffi::OsString>,
}

/// The options of `mpi ring`.
#[derive(Debug, clap::Args)]
pub struct Ring {
    /// How many times the token goes around; all ranks must be told the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub laps: u32,
}

/// The options of `mpi reduction`.
#[derive(Debug, clap::Args)]
pub struct Reduction {
    /// Into how many strips the area is cut; what rank 0 was told counts
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
}

impl MpiRoles {
    /// The word that chooses it on the command line; the first role needs none.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            MpiRoles::SendReceive(_) => None,
            MpiRoles::PingPong(_) => Some("ping-pong"),
            MpiRoles::Ring(_) => Some("ring"),
            MpiRoles::Reduction(_) => Some("reduction"),
        }
    }
}
