//! D-Bus sends messages to objects. A call names an object and one of its methods; the
//! receiving process looks both up, runs the code behind them, and sends a reply or an
//! error. Signals go the other way, unasked. The messages travel on a Unix socket: between
//! two processes alone, or through a daemon, the bus, that knows everybody by name.

use std::time::Duration;

use anyhow::Result;

use crate::row::{
    Conversation, Feature, OnPeerDeath, Part, Role, Roles, Row, Script,
};
use wire::meet::{Meets, Rendezvous};
use wire::roles::seconds;

#[cfg(feature = "dbus")]
pub mod board;
#[cfg(feature = "dbus")]
pub mod bus;
#[cfg(feature = "dbus")]
pub mod client;
pub mod door;
#[cfg(feature = "dbus")]
mod future;
pub mod handshake;
#[cfg(feature = "dbus")]
mod runtime;
#[cfg(feature = "dbus")]
pub mod server;
#[cfg(feature = "dbus")]
pub mod socket;
#[cfg(feature = "dbus")]
pub mod values;
#[cfg(feature = "dbus")]
pub mod wording;

/// The object: where calls go, in whichever process has it.
pub const OBJECT: &str = "/org/ipclab/Board";

/// The interface: what it can be asked for. The 1 is its version.
pub const INTERFACE: &str = "org.ipclab.Board1";

/// The name that its connection owns on a bus, unless `--at` says otherwise.
pub const NAME: &str = "org.ipclab.Board";

/// The object that a bus itself is.
pub const DAEMON_OBJECT: &str = "/org/freedesktop/DBus";

/// The chapter.
#[derive(Debug)]
pub struct Dbus;

impl Conversation for Dbus {
    const ROW: Row = Row {
        name: "dbus",
        summary: "calls to objects of another process, and signals (D-Bus)",
        also: &[
            "bus",
            "busctl",
            "gdbus",
            "zbus",
            "rpc",
            "remote procedure call",
            "systemd",
            "object",
            "sd-bus",
        ],
        wire: "D-Bus messages after an AUTH EXTERNAL handshake, so `busctl` and `gdbus` \
               are peers, with a bus or without",
        roles: &[
            Role {
                name: "server",
                does: "has an object, a message board, and answers the calls to it",
                examples: &[
                    "dbus server",
                    "dbus server --limit 10",
                    "dbus server --bus session",
                ],
            },
            Role {
                name: "client",
                does: "calls the board's methods, lists it, or watches its signals",
                examples: &[
                    "dbus client call Post s 'hello'",
                    "dbus client list",
                    "dbus client watch --count 3",
                    "dbus client introspect",
                    "dbus client call org.freedesktop.DBus.Properties.Get ss \
                     org.ipclab.Board1 Count",
                    "dbus client --bus session list",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::Error,
        needs: Some(Feature {
            name: "dbus",
            built: cfg!(feature = "dbus"),
            packages: "",
        }),
        script: Script {
            parts: &[
                Part { role: "server", args: &["--count", "2"] },
                Part { role: "client", args: &["watch", "--count", "1"] },
                Part {
                    role: "client",
                    args: &["call", "Post", "s", "hello, object"],
                },
            ],
            prints: "client",
            expect: "1\thello, object\n",
        },
    };
    type Roles = DbusRoles;
}

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum DbusRoles {
    /// Has the object
    Server(ServerOptions),
    /// Calls it
    #[command(arg_required_else_help = false)]
    Client(ClientOptions),
}

impl Roles for DbusRoles {
    #[cfg(feature = "dbus")]
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            DbusRoles::Server(options) => server::serve(rendezvous, &options),
            DbusRoles::Client(options) => client::run(rendezvous, &options),
        }
    }

    #[cfg(not(feature = "dbus"))]
    fn play(self, _: &Rendezvous) -> Result<()> {
        anyhow::bail!(Dbus::ROW.missing().unwrap_or_default())
    }
}

/// The options of `dbus server`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerOptions {
    /// Own a name on a bus instead of a socket: session, system, or the bus's ADDRESS
    #[arg(long, value_name = "BUS")]
    bus: Option<String>,

    /// How many messages the board holds: after that, the oldest makes room
    #[arg(long, value_name = "N", default_value = "100")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// The longest message, in bytes
    #[arg(long, value_name = "BYTES", default_value = "4096")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_message: u32,

    /// Cut off a client that leaves a handshake or a message half done, or does not read
    /// what it is sent, for SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    patience: Duration,

    /// End once N clients have come and gone
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// The options of `dbus client`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientOptions {
    /// Call through a bus instead of a socket: session, system, or the bus's ADDRESS
    #[arg(long, value_name = "BUS")]
    bus: Option<String>,

    /// The object to call
    #[arg(long, value_name = "PATH", default_value = OBJECT)]
    object: String,

    /// How long to wait for a reply
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    call_timeout: Duration,

    #[command(subcommand)]
    verb: Verb,
}

/// What a client does.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
pub enum Verb {
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
