//! UDP carries messages between two machines, or two processes of one, and promises nothing
//! (udp(7)): a datagram arrives whole, or cut by a reader with little room, or twice, or late,
//! or not at all, and nobody is told. There is no connection. What a program needs beyond that
//! it does by itself: the client numbers its messages and sends them until they are answered,
//! and the server remembers what it has answered.

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};

pub mod client;
mod datagram;
pub mod relay;
pub mod server;

pub use datagram::LARGEST;

/// Where the two roles meet unless told otherwise. UDP's ports are not TCP's.
pub const ADDRESS: &str = "127.0.0.1:7777";

/// The chapter's roles.
#[derive(Debug, clap::Subcommand)]
pub enum UdpRoles {
    /// Binds the address
    Server(server::UdpServerOptions),
    /// Sends to it
    Client(client::UdpClientOptions),
    /// Stands between
    Relay(relay::UdpRelayOptions),
}

impl Roles for UdpRoles {
    fn play(self, rendezvous: &Rendezvous) -> Result<()> {
        match self {
            UdpRoles::Server(options) => server::serve(rendezvous, &options),
            UdpRoles::Client(options) => client::talk(rendezvous, &options),
            UdpRoles::Relay(options) => relay::relay(rendezvous, &options),
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Udp;

impl Conversation for Udp {
    const ROW: Row = Row {
        name: "udp",
        summary: "messages between machines, that may be lost (sendto)",
        also: &[
            "datagram socket",
            "datagram",
            "internet socket",
            "multicast",
            "broadcast",
            "packet loss",
            "retransmission",
            "sendto",
            "recvfrom",
            "recvmmsg",
            "mtu",
            "icmp",
            "quic",
            "dns",
        ],
        wire: "one message a datagram: `NUMBER LENGTH MESSAGE`, sent back as it came, so \
               that `printf '1 5 hello' | nc -u 127.0.0.1 7777` is a peer",
        roles: &[
            Role {
                name: "server",
                side: Side::Left,
                does: "answers each message once, however often it comes",
                examples: &[
                    "udp server",
                    "udp server --listen 127.0.0.1:0 --reply upper",
                ],
            },
            Role {
                name: "client",
                side: Side::Right,
                does: "sends each message until it is answered, and prints the answers",
                examples: &[
                    "udp client hello",
                    "udp client --connect 127.0.0.1:7778 one two three",
                    "udp client --reply none < messages",
                ],
            },
            Role {
                name: "relay",
                side: Side::Between,
                does: "loses, doubles, delays and cuts what clients and server send",
                examples: &[
                    "udp relay",
                    "udp relay --seed 7",
                    "udp relay --lose 50 --double 0 --hold 0 --cut 0",
                ],
            },
        ],
        meets: Meets::Address,
        on_peer_death: OnPeerDeath::Waits,
        needs: None,
        script: Script {
            parts: &[
                Part {
                    role: "server",
                    args: &["--listen", "127.0.0.1:0", "--count", "1"],
                },
                Part { role: "client", args: &["hello", "in a datagram"] },
            ],
            prints: "client",
            expect: "hello\nin a datagram\n",
        },
        lacks: &[
            Lack {
                what: "A lost datagram, either way, and the client sleeps for ever.",
                shown: Shown::Test("udp", "what_the_relay"),
                answer: ("chapters/udp/client.rs", "ask"),
            },
            Lack {
                what: "A message that comes twice is carried out twice.",
                shown: Shown::Test("udp", "a_message_that_comes"),
                answer: ("chapters/udp/server.rs", "order"),
            },
            Lack {
                what: "A datagram of over 4,096 bytes is cut, and neither side notices.",
                shown: Shown::Test("udp", "a_datagram_that_was_cut"),
                answer: ("chapters/udp/datagram.rs", "datagram"),
            },
            Lack {
                what: "An empty datagram from anybody ends the server, whoever else is \
                       being served.",
                shown: Shown::Test("udp", "a_stranger_cannot_end"),
                answer: ("chapters/udp/server.rs", "server"),
            },
            Lack {
                what: "The client that comes before its server ends by ECONNREFUSED.",
                shown: Shown::Test("udp", "a_client_that_is_first"),
                answer: ("chapters/udp/client.rs", "connect"),
            },
            Lack {
                what: "The answer to the goodbye is lost, and the client sleeps for ever: \
                       the server has ended.",
                shown: Shown::Test("udp", "a_goodbye_that_is_not_answered"),
                answer: ("chapters/udp/client.rs", "goodbye"),
            },
        ],
    };
    type Roles = UdpRoles;
}
