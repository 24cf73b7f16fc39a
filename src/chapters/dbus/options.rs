//! What the command line says to each role.

use std::time::Duration;

use super::names::OBJECT;
use wire::roles::seconds;

/// The options of `dbus server`.
#[derive(Debug, Clone, clap::Args)]
pub struct DbusServerOptions {
    /// Own a name on a bus instead of a socket: session, system, or the bus's ADDRESS
    #[arg(long, value_name = "BUS")]
    pub(super) bus: Option<String>,

    /// How many messages the board holds: after that, the oldest makes room
    #[arg(long, value_name = "N", default_value = "100")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: u32,

    /// The longest message, in bytes
    #[arg(long, value_name = "BYTES", default_value = "4096")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) max_message: u32,

    /// Cut off a client that leaves a handshake or a message half done, or does not read
    /// what it is sent, for SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) patience: Duration,

    /// End once N clients have come and gone
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
}

/// The options of `dbus client`.
#[derive(Debug, Clone, clap::Args)]
pub struct DbusClientOptions {
    /// Call through a bus instead of a socket: session, system, or the bus's ADDRESS
    #[arg(long, value_name = "BUS")]
    pub(super) bus: Option<String>,

    /// The object to call
    #[arg(long, value_name = "PATH", default_value = OBJECT)]
    pub(super) object: String,

    /// How long to wait for a reply
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    pub(super) call_timeout: Duration,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What a client does.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
pub(super) enum Verb {
    /// Call a method, and print what it returns
    #[command(
        after_help = "The SIGNATURE has one letter for each argument, as for \
        busctl: y byte, b boolean, n q int16 uint16, i u int32 uint32, x t int64 uint64, \
        d double, s string, o object path, g signature.\n\n\
        Examples:\n  ipclab dbus client call Post s 'hello'\n  \
        ipclab dbus client call List\n  \
        ipclab dbus client call org.freedesktop.DBus.Peer.Ping"
    )]
    Call {
        /// The method; of another interface than org.ipclab.Board1 in full, with dots
        #[arg(value_name = "METHOD")]
        method: String,

        /// The types of the arguments
        #[arg(value_name = "SIGNATURE", default_value = "")]
        signature: String,

        /// The arguments
        #[arg(value_name = "ARG", allow_negative_numbers = true)]
        arguments: Vec<String>,
    },
    /// Print the messages on the board: a number, a tab, the message
    List,
    /// Print each message as it is posted, by the signal that says so
    Watch {
        /// Stop after N messages
        #[arg(long, value_name = "N")]
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Print what the object says of itself: its interfaces, as XML
    Introspect,
}
