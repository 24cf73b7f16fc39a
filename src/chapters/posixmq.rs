//! A POSIX message queue is a list of messages in the kernel, under a name like `/orders`
//! (mq_overview(7)). Each message stays whole and has a priority: the highest is taken
//! first, and the oldest within one priority. A queue outlives its users, so sending may
//! end before receiving starts, and so there is no end of stream: the goodbye is ours.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_getattr, mq_send, mq_setattr};
use nix::sys::stat::fstat;

use os::cleanup::{Ticks, ticks};
use os::mqueue::mq_receive;
use os::signal::retry_on_intr;
use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::errors::Advise;
use wire::meet::{Meets, Rendezvous, SoleRole};
use wire::roles::messages;
use wire::say;
use wire::say::Commentary;
use wire::transport::{Receiver, Sender};

mod open;

pub use open::Shape;
use open::{OpenPosixQueue, open};

/// The goodbye is an empty message at this priority, the lowest, so that it comes last.
const GOODBYE: u32 = 0;
/// There are this many priorities: sysconf(_SC_MQ_PRIO_MAX) on Linux.
const PRIORITIES: i64 = 32_768;
/// How often a receiver that sleeps looks around: mq_receive has no timeout.
const TICK: Duration = Duration::from_millis(500);
/// A receiver without a message for more than so many ticks, 2 seconds, says how to end it.
const SILENCE: u32 = 4;

/// The options of the sender.
#[derive(Debug, Clone, clap::Args)]
pub struct PosixmqSenderOptions {
    /// Send at priority N, from 0 to 32767: the highest is received first
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..PRIORITIES))]
    pub priority: u32,

    #[command(flatten)]
    shape: Shape,
}

/// The options of the receiver.
#[derive(Debug, Clone, clap::Args)]
pub struct PosixmqReceiverOptions {
    /// Take what waits and end, instead of waiting for more
    #[arg(long)]
    pub nonblock: bool,

    #[command(flatten)]
    shape: Shape,
}

// ANCHOR: sender
/// The sending end.
#[derive(Debug)]
pub struct PosixmqSender {
    opened: OpenPosixQueue,
    priority: u32,
    /// The command that starts a receiver, until it was said of a full queue.
    receiver: Option<String>,
    /// Whether a receiver of ours was here before us.
    receiver_was_here: bool,
    sends: Commentary,
}

impl Sender for PosixmqSender {
    type Options = PosixmqSenderOptions;

    fn check(options: &PosixmqSenderOptions, message: &[u8]) -> Result<()> {
        ensure!(
            !message.is_empty() || options.priority != GOODBYE,
            "an empty message at priority {GOODBYE} is the goodbye; \
             --priority 1 or more can carry it"
        );
        Ok(())
    }

    fn open(
        rendezvous: &Rendezvous,
        options: &PosixmqSenderOptions,
    ) -> Result<PosixmqSender> {
        let presence = rendezvous.arrive(Some(SoleRole::Sender))?;
        let receiver_was_here = !presence.is_alone();
        let opened = open(rendezvous, presence, MQ_OFlag::O_WRONLY, &options.shape)?;
        let receiver = rendezvous.peer("receiver");
        if !receiver_was_here {
            let keeps = match opened.attr.curmsgs() {
                0 => "the queue keeps what is sent".to_owned(),
                old => format!("{} from before in the queue", messages(old as u64)),
            };
            say::waiting(format_args!("nobody receives yet: {keeps}"), &receiver);
        }
        let (receiver, sends) =
            (Some(receiver), Commentary::of("mq_send of a message"));
        Ok(PosixmqSender {
            opened,
            priority: options.priority,
            receiver,
            receiver_was_here,
            sends,
        })
    }

    fn largest(&self) -> usize {
        self.opened.attr.msgsize() as usize
    }

    fn limit(&self) -> Option<String> {
        Some("that is the queue's msgsize, set by --msgsize when it is made".into())
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let priority = self.priority;
        self.sends.call(message.len(), || {
            format!("mq_send({}, priority {priority})", say::data(message))
        });
        self.say_if_full()?;
        // Sleeps while the queue is full.
        retry_on_intr(|| mq_send(&self.opened.queue, message, priority))
            .with_context(|| format!("mq_send {}", self.opened.name))
    }

    fn finish(mut self) -> Result<()> {
        if self.had_receiver() {
            // A receiver that stops early (--count) never takes the goodbye.
            self.opened.presence.discard_goodbye();
        }
        say!("mq_send(\"\", 0, priority {GOODBYE}): the goodbye");
        self.say_if_full()?;
        retry_on_intr(|| mq_send(&self.opened.queue, b"", GOODBYE))
            .with_context(|| format!("mq_send {}: the goodbye", self.opened.name))
    }

    fn abandon(self) -> Result<()> {
        // A goodbye would end the next receiver, before the next sender has begun.
        if self.had_receiver() { self.finish() } else { Ok(()) }
    }
}

impl PosixmqSender {
    /// Whether a receiver of ours is here, or was when we came.
    fn had_receiver(&self) -> bool {
        self.receiver_was_here || self.opened.presence.has_peers()
    }

    /// Says, once, that the call which comes now will sleep.
    fn say_if_full(&mut self) -> Result<()> {
        if !say::on() || self.receiver.is_none() {
            return Ok(());
        }
        let now = mq_getattr(&self.opened.queue).context("mq_getattr")?;
        if now.curmsgs() < now.maxmsg() {
            return Ok(());
        }
        let full = messages(now.maxmsg() as u64);
        let full =
            format!("the queue is full, {full}: mq_send sleeps until one is taken");
        match self.receiver.take() {
            Some(command) if !self.opened.presence.has_peers() => {
                say::waiting(full, &command)
            }
            _ => say!("{full}"),
        }
        Ok(())
    }
}
// ANCHOR_END: sender

// ANCHOR: receiver
/// The receiving end.
#[derive(Debug)]
pub struct PosixmqReceiver {
    opened: OpenPosixQueue,
    /// Whether anything has come: a message, or a goodbye.
    received_any: bool,
    /// Interrupts mq_receive now and then: mq_timedreceive would start a timer and stop it
    /// for each message.
    _ticks: Option<Ticks>,
    /// How many ticks ago the last message came.
    quiet: u32,
    warned: bool,
    receives: Commentary,
}

impl Receiver for PosixmqReceiver {
    type Options = PosixmqReceiverOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &PosixmqReceiverOptions,
    ) -> Result<PosixmqReceiver> {
        let mut access = MQ_OFlag::O_RDONLY;
        access.set(MQ_OFlag::O_NONBLOCK, options.nonblock);
        let mut opened =
            open(rendezvous, rendezvous.arrive(None)?, access, &options.shape)?;
        // If we stop early (--count), no receiver needs the goodbye that we leave.
        opened.presence.discard_goodbye();
        let waits = opened.attr.curmsgs() == 0 && !options.nonblock;
        if waits {
            say!("the queue is empty: mq_receive sleeps until a message comes");
            let there = opened.presence.has(SoleRole::Sender);
            say::start_unless(
                there,
                "a sender is there already",
                &rendezvous.peer("sender"),
            );
        }
        let receives = Commentary::of("mq_receive of a message");
        let ticks = if options.nonblock { None } else { ticks(TICK).ok() };
        Ok(PosixmqReceiver {
            opened,
            received_any: false,
            _ticks: ticks,
            quiet: 0,
            warned: false,
            receives,
        })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        loop {
            // With less room than msgsize, it is EMSGSIZE, however short the message.
            let room = self.opened.attr.msgsize() as usize;
            match mq_receive(&*self.opened.queue, message, room) {
                Ok(GOODBYE) if message.is_empty() => {
                    say!("mq_receive() = 0 at priority {GOODBYE}: the goodbye");
                    // Others may have sent since: their messages are taken, without sleep.
                    let flags = MQ_OFlag::O_NONBLOCK.bits().into();
                    let nonblock = MqAttr::new(flags, 0, 0, 0);
                    mq_setattr(&self.opened.queue, &nonblock)
                        .context("mq_setattr")?;
                    self.received_any = true;
                }
                Ok(priority) => {
                    let n = message.len();
                    self.receives.call(n, || {
                        let text = say::bytes(message);
                        format!("mq_receive() = {n}: {text}, priority {priority}")
                    });
                    (self.received_any, self.quiet) = (true, 0);
                    return Ok(true);
                }
                Err(Errno::EAGAIN) if self.received_any => return Ok(false),
                Err(Errno::EINTR) => self.tick()?,
                Err(error) => {
                    let empty = error == Errno::EAGAIN;
                    return Err(error)
                        .with_context(|| format!("mq_receive {}", self.opened.name))
                        .advise(|_| empty.then_some("the queue is empty"));
                }
            }
        }
    }
}

impl PosixmqReceiver {
    fn tick(&mut self) -> Result<()> {
        self.quiet += 1;
        if self.quiet > SILENCE {
            self.quiet = 0;
            self.silence()?;
        }
        Ok(())
    }

    /// Nothing came for a while: a queue cannot tell whether a message will ever come.
    fn silence(&mut self) -> Result<()> {
        ensure!(
            fstat(&*self.opened.queue).context("stat the queue")?.st_nlink > 0
                || self.opened.presence.has(SoleRole::Sender),
            "the queue {} was unlinked, so no sender can find it; start anew",
            self.opened.name
        );
        if self.received_any && !self.warned {
            say!("silence: a queue does not say whether its sender still lives");
            say!(
                "Ctrl-C ends this, or --count N, or the goodbye: an empty message at \
                 priority {GOODBYE} (Python: q.send(b\"\"))"
            );
            self.warned = true;
        }
        Ok(())
    }
}
// ANCHOR_END: receiver

/// The chapter.
#[derive(Debug)]
pub struct Posixmq;

impl OneWay for Posixmq {
    const ROW: Row = Row {
        name: "posixmq",
        summary: "a queue of messages with priorities (mq_open, mq_send)",
        also: &[
            "queue",
            "message queue",
            "posix message queue",
            "mq",
            "mqueue",
            "mq_open",
            "mq_send",
            "mq_receive",
            "mq_notify",
            "priority queue",
        ],
        wire: "one queue message each, raw; the goodbye is an empty one at priority 0",
        roles: &[
            Role {
                name: "sender",
                side: Side::Right,
                does: "puts messages into the queue",
                examples: &[
                    "posixmq sender hello",
                    "posixmq sender --priority 9 urgent",
                ],
            },
            Role {
                name: "receiver",
                side: Side::Left,
                does: "takes messages out of the queue, the highest priority first",
                examples: &["posixmq receiver", "posixmq receiver --nonblock"],
            },
        ],
        meets: Meets::Kernel,
        on_peer_death: OnPeerDeath::Waits,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "sender", args: &["hello", "through a queue"] },
                Part { role: "receiver", args: &[] },
            ],
            prints: "receiver",
            expect: "hello\nthrough a queue\n",
        },
        lacks: &[
            Lack {
                what: "What a killed sender of an earlier run has left is not told \
                       from the messages of this one.",
                shown: Shown::Experiment("crash-leaves-it"),
                answer: ("chapters/posixmq/open.rs", "open"),
            },
            Lack {
                what: "The first end removes the name, and a second sender is not \
                       told.",
                shown: Shown::Experiment("unlink-while-open"),
                answer: ("chapters/posixmq.rs", "sender"),
            },
            Lack {
                what: "Of two receivers one takes the end; the other sleeps for \
                       ever on a queue that has no name any more.",
                shown: Shown::Test("posixmq", "a_receiver_of_an_unlinked"),
                answer: ("chapters/posixmq.rs", "receiver"),
            },
            Lack {
                what: "Nothing is said when no receiver takes the messages.",
                shown: Shown::Experiment("full-queue"),
                answer: ("chapters/posixmq.rs", "sender"),
            },
            Lack {
                what: "A program trusts that the queue has the attributes that it \
                       has asked for.",
                shown: Shown::Experiment("shape-of-the-first"),
                answer: ("chapters/posixmq/open.rs", "open"),
            },
            Lack {
                what: "The limit on a user's queues (RLIMIT_MSGQUEUE) ends both \
                       roles, and is not explained.",
                shown: Shown::Experiment("queue-bytes"),
                answer: ("chapters/posixmq/open.rs", "limits"),
            },
            Lack {
                what: "A queue that another user has made under this name is used, \
                       and its messages are printed.",
                shown: Shown::Test("posixmq", "a_queue_of_another"),
                answer: ("chapters/posixmq/open.rs", "open"),
            },
        ],
    };
    type Sender = PosixmqSender;
    type Receiver = PosixmqReceiver;
    type More = NoMore;
}
