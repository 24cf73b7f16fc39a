//! A signal is a number that the kernel delivers to a process, which takes it or ignores
//! it, or stops, goes on or ends (signal(7)). Real-time signals wait in a queue, in order,
//! and carry one value each, an int or a pointer (sigqueue(3)). We use the int, of 4 bytes:
//! enough to send messages, a word at a time. The address is a process, so the receiver
//! publishes its pid.

use crate::row::{NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script};
use wire::meet::Meets;

pub mod handler;
pub mod number;
pub mod plain;
pub mod published;
pub mod receiver;
pub mod sender;
pub mod signalfd;
pub mod sigwaitinfo;
pub mod target;
pub mod with;

use number::Number;
use with::With;

// ANCHOR: wire
/// The largest message, in bytes. A limit of ours: each 4 bytes cost one queued signal.
const LARGEST: usize = 65_536;
/// How many words may be on their way, at most.
const WINDOW: u64 = 64;
/// In the place of a length: a sender asks to be heard.
const HELLO: i32 = -2;
/// In the place of a length: nothing more will come.
const GOODBYE: i32 = -1;

/// The signal whose values are the words of messages: 34.
fn word_signal() -> Number {
    Number::rtmin(0)
}

/// The signal by which the receiver answers: 35. Its value is a credit, the number of
/// words that may now be sent; 0 means that another sender is being heard.
fn credit_signal() -> Number {
    Number::rtmin(1)
}

// ANCHOR_END: wire

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
    };
    type Sender = sender::SignalSender;
    type Receiver = receiver::SignalReceiver;
    type More = NoMore;
}

/// The options of the sender.
#[derive(Debug, clap::Args)]
pub struct Sending {
    /// Send to the process PID instead of the receiver that published itself
    #[arg(long, value_name = "PID", conflicts_with = "at")]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Send even if /proc says that the signal would end or stop that process
    #[arg(long, requires = "pid")]
    force: bool,

    /// Send plain signals of this name or number, which carry no message
    #[arg(long, value_name = "SIGNAL", conflicts_with_all = ["messages", "bytes"])]
    signal: Option<Number>,

    /// How many plain signals
    #[arg(long, value_name = "N", default_value_t = 1, requires = "signal")]
    #[arg(conflicts_with_all = ["messages", "bytes"])]
    times: u64,
}

/// The options of the receiver.
#[derive(Debug, clap::Args)]
pub struct Receiving {
    /// The call that takes the signals
    #[arg(long, value_enum, default_value = "sigwaitinfo", value_name = "CALL")]
    with: With,

    /// Count plain signals of this name or number: each is a line, its running number
    #[arg(long, value_name = "SIGNAL")]
    signal: Option<Number>,
}

/// How a signal was sent: its si_code, by name.
fn how(code: i32) -> String {
    match code {
        libc::SI_USER => "SI_USER (kill)".into(),
        libc::SI_QUEUE => "SI_QUEUE (sigqueue)".into(),
        libc::SI_TKILL => "SI_TKILL (tgkill)".into(),
        libc::SI_KERNEL => "SI_KERNEL".into(),
        code => format!("si_code {code}"),
    }
}
