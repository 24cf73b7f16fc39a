//! A signal is a number that the kernel delivers to a process, which takes it or ignores
//! it, or stops, goes on or ends (signal(7)). Real-time signals wait in a queue, in order,
//! and carry one value each, an int or a pointer (sigqueue(3)). We use the int, of 4 bytes:
//! enough to send messages, a word at a time. The address is a process, so the receiver
//! publishes its pid.

use wire::chapter::{NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script};
use wire::meet::Meets;

pub mod handler;
pub mod number;
pub mod plain;
mod protocol;
pub mod published;
pub mod receiver;
pub mod sender;
pub mod signalfd;
pub mod sigwaitinfo;
pub mod source;
pub mod target;

/// The chapter.
#[derive(Debug)]
pub struct Signals;

impl OneWay for Signals {
    const ROW: Row = Row {
        name: "signal",
        summary: "numbers that interrupt, and queue with a value (sigqueue)",
        also: &[
            "kill",
            "interrupt",
            "sigqueue",
            "sigaction",
            "signalfd",
            "sigint",
            "sigterm",
            "sigusr1",
            "sigchld",
            "real-time signal",
            "pidfd",
            "handler",
        ],
        wire: "SIGRTMIN with 4 bytes as its value: a length, the words, -1 as goodbye",
        roles: &[
            Role {
                name: "receiver",
                does: "takes the signals and prints the messages that they carry",
                examples: &[
                    "signal receiver",
                    "signal receiver --with signalfd",
                    "signal receiver --signal SIGUSR1",
                ],
            },
            Role {
                name: "sender",
                does: "sends messages, 4 bytes a signal",
                examples: &[
                    "signal sender hello",
                    "signal sender --signal SIGUSR1 --times 1000",
                    "signal sender --pid 4711 --signal SIGUSR1",
                ],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::Waits,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "receiver", args: &[] },
                Part { role: "sender", args: &["hello", "4 bytes at a time"] },
            ],
            prints: "receiver",
            expect: "hello\n4 bytes at a time\n",
        },
        lacks: &[],
    };
    type Sender = sender::SignalSender;
    type Receiver = receiver::SignalReceiver;
    type More = NoMore;
}
