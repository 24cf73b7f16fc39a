//! A signal is a number that the kernel delivers to a process, which takes it or ignores
//! it, or stops, goes on or ends (signal(7)). Real-time signals wait in a queue, in order,
//! and carry one value each, an int or a pointer (sigqueue(3)). We use the int, of 4 bytes:
//! enough to send messages, a word at a time. The address is a process, so the receiver
//! publishes its pid.

use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
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
                side: Side::Left,
                does: "takes the signals and prints the messages that they carry",
                examples: &[
                    "signal receiver",
                    "signal receiver --with signalfd",
                    "signal receiver --signal SIGUSR1",
                ],
            },
            Role {
                name: "sender",
                side: Side::Right,
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
        lacks: &[
            Lack {
                what: "A sender that is first fails with ENOENT, and does not wait \
                       for a receiver.",
                shown: Shown::Test("signal", "a_counting_sender"),
                answer: ("chapters/signal/published.rs", "find"),
            },
            Lack {
                what: "The pid that a killed receiver left is believed, whichever \
                       process has it now.",
                shown: Shown::Experiment("pid-reuse"),
                answer: ("chapters/signal/published.rs", "find"),
            },
            Lack {
                what: "A second receiver writes its pid over the first one's, which \
                       then waits for ever.",
                shown: Shown::Test("signal", "a_second_receiver"),
                answer: ("chapters/signal/receiver.rs", "receiver"),
            },
            Lack {
                what: "The signals of two senders at once are put together as one \
                       message.",
                shown: Shown::Test("signal", "a_second_sender_is_told_that_another"),
                answer: ("chapters/signal/receiver.rs", "current_sender"),
            },
            Lack {
                what: "When a sender is killed in a message, the next sender's \
                       signals are taken for the rest of it.",
                shown: Shown::Test("signal", "what_a_dead"),
                answer: ("chapters/signal/receiver.rs", "current_sender"),
            },
            Lack {
                what: "A signal sent by kill(2) has no value, and is printed as an \
                       empty message.",
                shown: Shown::Test("signal", "a_signal_without"),
                answer: ("chapters/signal/receiver.rs", "current_sender"),
            },
            Lack {
                what: "Nothing waits for room in the receiver's queue of signals.",
                shown: Shown::Experiment("queue-limit"),
                answer: ("chapters/signal/sender.rs", "sender"),
            },
            Lack {
                what: "A receiver that was stopped, by Ctrl-Z for example, ends once it \
                       goes on; in Python it does not.",
                shown: Shown::Test("bare", "a_stop_ends"),
                answer: ("chapters/signal/sigwaitinfo.rs", "sigwaitinfo"),
            },
        ],
    };
    type Sender = sender::SignalSender;
    type Receiver = receiver::SignalReceiver;
    type More = NoMore;
}
