//! D-Bus sends messages to objects. A call names an object and one of its methods; the
//! receiving process looks both up, runs the code behind them, and sends a reply or an
//! error. Signals go the other way, unasked. The messages travel on a Unix socket: between
//! two processes alone, or through a daemon, the bus, which knows every process by a name.

use anyhow::Result;

use self::options::{DbusClientOptions, DbusServerOptions};
use wire::chapter::{
    Conversation, Feature, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown,
    Side,
};
use wire::meet::{Meets, Rendezvous};

#[cfg(feature = "dbus")]
pub mod board;
#[cfg(feature = "dbus")]
pub mod bus;
#[cfg(feature = "dbus")]
pub mod client;
#[cfg(feature = "dbus")]
mod deliver;
pub mod handshake;
pub mod names;
mod options;
#[cfg(feature = "dbus")]
pub mod rendezvous;
#[cfg(feature = "dbus")]
mod runtime;
#[cfg(feature = "dbus")]
pub mod server;
#[cfg(feature = "dbus")]
pub mod socket;
#[cfg(feature = "dbus")]
mod unknown;
#[cfg(feature = "dbus")]
pub mod values;
#[cfg(feature = "dbus")]
pub mod wording;

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum DbusRoles {
    /// Has the object
    Server(DbusServerOptions),
    /// Calls it
    #[command(arg_required_else_help = false)]
    Client(DbusClientOptions),
}

impl Roles for DbusRoles {
    #[cfg(feature = "dbus")]
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            DbusRoles::Server(options) => match &options.bus {
                Some(bus) => bus::serve(rendezvous, &options, bus),
                None => server::serve(rendezvous, &options),
            },
            DbusRoles::Client(options) => client::run(rendezvous, &options),
        }
    }

    #[cfg(not(feature = "dbus"))]
    fn play(self, _: &Rendezvous) -> Result<()> {
        anyhow::bail!(Dbus::ROW.missing().unwrap_or_default())
    }
}

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
                side: Side::Left,
                does: "has an object, a message board, and answers the calls to it",
                examples: &[
                    "dbus server",
                    "dbus server --limit 10",
                    "dbus server --bus session",
                ],
            },
            Role {
                name: "client",
                side: Side::Right,
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
        lacks: &[
            Lack {
                what: "A client that is first fails with ENOENT, and does not wait \
                       for the server.",
                shown: Shown::Test("dbus", "the_client_may_be_first"),
                answer: ("chapters/dbus/rendezvous.rs", "connect"),
            },
            Lack {
                what: "A server that is killed leaves its name, and the next server \
                       fails with EADDRINUSE.",
                shown: Shown::Test("dbus", "a_name_left"),
                answer: ("chapters/dbus/rendezvous.rs", "listen"),
            },
            Lack {
                what: "A second client waits until the first has left, and then \
                       finds no server any more.",
                shown: Shown::Test("dbus", "many_clients_post"),
                answer: ("chapters/dbus/server.rs", "peers"),
            },
            Lack {
                what: "A client that connects and says nothing keeps the server for \
                       ever.",
                shown: Shown::Test("dbus", "strangers_that_send"),
                answer: ("chapters/dbus/handshake.rs", "welcome"),
            },
            Lack {
                what: "Bytes that are no message end the server.",
                shown: Shown::Test("dbus", "a_message_that_is_junk"),
                answer: ("chapters/dbus/socket.rs", "recv"),
            },
            Lack {
                what: "Where the socket's mode lets other users in, so does the \
                       server.",
                shown: Shown::Test("dbus", "another_user_is_refused"),
                answer: ("chapters/dbus/handshake.rs", "welcome"),
            },
            Lack {
                what: "While the server hangs, the client in Rust or Python waits \
                       for its reply for ever.",
                shown: Shown::Test("dbus", "a_server_that_dies_or_hangs"),
                answer: ("chapters/dbus/client.rs", "call"),
            },
        ],
    };
    type Roles = DbusRoles;
}
