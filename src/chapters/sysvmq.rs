//! A System V message queue is a list of messages in the kernel, found by a number, its
//! key (sysvipc(7)). Each message stays whole and has a type, by which a receiver may
//! choose. A queue outlives its users, is no file, and has no end of stream: the goodbye
//! is ours, a type that no message has.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::builder::ArgPredicate;
use libc::{IPC_NOWAIT, MSG_EXCEPT};
use nix::errno::Errno;

use os::cleanup::{Ticks, ticks};
use os::sysv::{Msgbuf, msgrcv, msgsnd, msgstat};
use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::errors::{Advise, usage};
use wire::meet::{Meets, Rendezvous, SoleRole};
use wire::roles::messages;
use wire::say;
use wire::say::Commentary;
use wire::transport::{Receiver, Sender};

mod open;

pub use open::Which;
use open::{OpenSysvQueue, gone, open};

/// The type of the goodbye, an empty message: the largest type of 32 bits.
const GOODBYE: i64 = 0x7fff_ffff;
/// A receiver that has received nothing for so long says how to end it.
const SILENCE: Duration = Duration::from_secs(2);
/// How often it looks at the clock meanwhile: msgrcv has no timeout of its own.
const TICK: Duration = Duration::from_millis(500);

/// The options of the sender.
#[derive(Debug, Clone, clap::Args)]
pub struct SysvmqSenderOptions {
    /// Send messages of type N, from 1
    #[arg(long = "type", value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(i64).range(1..GOODBYE))]
    pub mtype: i64,

    #[command(flatten)]
    which: Which,
}

/// The options of the receiver.
#[derive(Debug, Clone, clap::Args)]
pub struct SysvmqReceiverOptions {
    /// Which message to take: 0 the oldest of all, N the oldest of type N, -N the oldest
    /// of the lowest type up to N. But for 0, end when none is there, or with --count wait
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = clap::value_parser!(i64).range(-GOODBYE + 1..GOODBYE))]
    pub select: i64,

    /// Take the oldest whose type is not the N of --select
    #[arg(long, requires = "select")]
    pub except: bool,

    /// Wait for what was selected: `--count` implies it
    #[arg(long, hide = true)]
    #[arg(default_value_if("count", ArgPredicate::IsPresent, "true"))]
    wait: bool,

    #[command(flatten)]
    which: Which,
}

// ANCHOR: sender
/// The sending end.
#[derive(Debug)]
pub struct SysvmqSender {
    opened: OpenSysvQueue,
    mtype: i64,
    buffer: Msgbuf,
    /// The command that starts a receiver, until it was said of a full queue.
    receiver: Option<String>,
    /// Whether a receiver of ours was here before us.
    receiver_was_here: bool,
    sends: Commentary,
}

impl Sender for SysvmqSender {
    type Options = SysvmqSenderOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &SysvmqSenderOptions,
    ) -> Result<SysvmqSender> {
        let opened = open(rendezvous, Some(SoleRole::Sender), &options.which)?;
        let receiver_was_here = !opened.was_alone;
        let receiver = opened.rendezvous.peer("receiver");
        if !receiver_was_here {
            let keeps = match opened.now.msg_qnum {
                0 => "the queue keeps what is sent".to_owned(),
                old => format!("{} from before in the queue", messages(old)),
            };
            say::waiting(format_args!("nobody receives yet: {keeps}"), &receiver);
        }
        let buffer = Msgbuf::with_room(opened.largest());
        let (receiver, sends) =
            (Some(receiver), Commentary::of("msgsnd of a message"));
        let mtype = options.mtype;
        Ok(SysvmqSender {
            opened,
            mtype,
            buffer,
            receiver,
            receiver_was_here,
            sends,
        })
    }

    fn largest(&self) -> usize {
        self.opened.largest()
    }

    fn limit(&self) -> Option<String> {
        Some(self.opened.limit())
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mtype = self.mtype;
        self.sends.call(message.len(), || {
            format!("msgsnd({}, type {mtype})", say::data(message))
        });
        self.put(mtype, message)
    }

    fn finish(mut self) -> Result<()> {
        if self.had_receiver() {
            // A receiver that stops early (--count) never takes the goodbye.
            self.opened.presence.discard_goodbye();
        }
        say!("msgsnd(\"\", 0, type {GOODBYE:#x}): the goodbye");
        self.put(GOODBYE, b"")
    }

    fn abandon(self) -> Result<()> {
        // A goodbye would end the next receiver, before the next sender has begun.
        if self.had_receiver() { self.finish() } else { Ok(()) }
    }
}

impl SysvmqSender {
    /// Whether a receiver of ours is here, or was when we came.
    fn had_receiver(&self) -> bool {
        self.receiver_was_here || self.opened.presence.has_peers()
    }

    /// Sleeps while the queue is full, in bytes or in messages.
    fn put(&mut self, mtype: i64, text: &[u8]) -> Result<()> {
        self.say_if_full(text.len())?;
        self.buffer.set(mtype, text);
        loop {
            // The size argument of msgsnd is that of the text, without the type.
            match msgsnd(self.opened.id, &self.buffer, 0) {
                // A signal's handler ran; SA_RESTART does not count for msgsnd.
                Err(Errno::EINTR) => {}
                sent => {
                    return sent
                        .with_context(|| format!("msgsnd queue {}", self.opened.id))
                        .advise(gone);
                }
            }
        }
    }

    /// Says, once, that the call which comes now will sleep.
    fn say_if_full(&mut self, length: usize) -> Result<()> {
        if !say::on() || self.receiver.is_none() {
            return Ok(());
        }
        let Some(full) = self.opened.is_full(length)? else { return Ok(()) };
        let full = format!("{full}: msgsnd sleeps until one is taken");
        match self.receiver.take() {
            Some(command) if !self.opened.presence.has_peers() => {
                say::waiting(full, &command);
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
pub struct SysvmqReceiver {
    opened: OpenSysvQueue,
    /// Which message msgrcv takes, and whether it sleeps until there is one.
    select: i64,
    flags: i32,
    buffer: Msgbuf,
    goodbye: bool,
    /// Interrupts msgrcv now and then, from the first message until we said how to end.
    ticks: Option<Ticks>,
    last: Option<Instant>,
    receives: Commentary,
}

impl Receiver for SysvmqReceiver {
    type Options = SysvmqReceiverOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &SysvmqReceiverOptions,
    ) -> Result<SysvmqReceiver> {
        let select = options.select;
        if options.except && select <= 0 {
            return Err(usage("--except wants --select N with a type, N > 0"));
        }
        let mut opened = open(rendezvous, None, &options.which)?;
        // If we stop early (--count), no receiver needs the goodbye that we leave.
        opened.presence.discard_goodbye();
        let drains = select != 0 && !options.wait;
        let flags = if drains { IPC_NOWAIT } else { 0 }
            | if options.except { MSG_EXCEPT } else { 0 };
        if opened.now.msg_qnum == 0 && !drains {
            say!("the queue is empty: msgrcv sleeps until a message comes");
            let there = opened.presence.has(SoleRole::Sender);
            let command = opened.rendezvous.peer("sender");
            say::start_unless(there, "a sender is there already", &command);
        }
        Ok(SysvmqReceiver {
            select,
            flags,
            buffer: Msgbuf::with_room(opened.longest()),
            opened,
            goodbye: false,
            ticks: None,
            last: None,
            receives: Commentary::of("msgrcv of a message"),
        })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        loop {
            let id = self.opened.id;
            let n = match msgrcv(id, &mut self.buffer, self.select, self.flags) {
                Err(Errno::EINTR) => {
                    self.silence();
                    continue;
                }
                Err(Errno::ENOMSG) => return self.nothing_more(),
                received => received
                    .with_context(|| format!("msgrcv queue {id}"))
                    .advise(gone)?,
            };
            let mtype = self.buffer.mtype();
            if mtype == GOODBYE {
                say!("msgrcv() = {n}, type {GOODBYE:#x}: the goodbye");
                // Other senders may have sent since: their messages are taken, without sleep.
                (self.goodbye, self.flags) = (true, self.flags | IPC_NOWAIT);
                continue;
            }
            message.clear();
            message.extend_from_slice(self.buffer.text());
            self.receives.call(n, || {
                format!("msgrcv() = {n}: {}, type {mtype}", say::bytes(message))
            });
            self.listen();
            return Ok(true);
        }
    }
}

impl SysvmqReceiver {
    /// ENOMSG: nothing that we select is there (any more).
    fn nothing_more(&mut self) -> Result<bool> {
        if !self.goodbye {
            say!("msgrcv: ENOMSG, no message of that type waits");
        }
        let left = msgstat(self.opened.id).map_or(0, |now| now.msg_qnum);
        if self.goodbye && self.select != 0 && left > 0 {
            say!("{} we did not select: the goodbye goes back", messages(left));
            self.buffer.set(GOODBYE, b"");
            msgsnd(self.opened.id, &self.buffer, IPC_NOWAIT).context("msgsnd")?;
        }
        Ok(false)
    }

    /// From now on silence is noticed; without commentary nothing would be said of it.
    fn listen(&mut self) {
        if say::on() && (self.last.is_none() || self.ticks.is_some()) {
            self.ticks = self.ticks.take().or_else(|| ticks(TICK).ok());
            self.last = Some(Instant::now());
        }
    }

    /// Nothing came for a while: a queue cannot tell whether a message will ever come.
    fn silence(&mut self) {
        let long = self.last.is_some_and(|last| last.elapsed() >= SILENCE);
        if long && self.ticks.take().is_some() {
            say!("silence: a queue does not say whether its sender still lives");
            say!(
                "Ctrl-C ends this, or --count N, or the goodbye: an empty message of \
                 type {GOODBYE:#x}"
            );
        }
    }
}
// ANCHOR_END: receiver

/// The chapter.
#[derive(Debug)]
pub struct Sysvmq;

impl OneWay for Sysvmq {
    const ROW: Row = Row {
        name: "sysvmq",
        summary: "a queue of messages with types (msgget, msgsnd, msgrcv)",
        also: &[
            "queue",
            "message queue",
            "system v message queue",
            "sysv message queue",
            "system v",
            "sysv",
            "mq",
            "msgget",
            "msgsnd",
            "msgrcv",
            "mailbox",
        ],
        wire: "one queue message each, raw; the goodbye is an empty one of type 0x7fffffff",
        roles: &[
            Role {
                name: "sender",
                side: Side::Right,
                does: "puts messages into the queue",
                examples: &[
                    "sysvmq sender hello",
                    "sysvmq sender --type 7 hello",
                    "sysvmq sender --key private hello",
                ],
            },
            Role {
                name: "receiver",
                side: Side::Left,
                does: "takes messages out of the queue, all or those of some type",
                examples: &[
                    "sysvmq receiver",
                    "sysvmq receiver --select 7",
                    "sysvmq receiver --select -7 --count 3",
                ],
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
                what: "The first end removes the queue under a second sender or \
                       receiver, which ends by it.",
                shown: Shown::Experiment("removed-under-sleepers"),
                answer: ("chapters/sysvmq.rs", "receiver"),
            },
            Lack {
                what: "A signal that is caught during the sleep is not dealt with.",
                shown: Shown::Experiment("restart-does-not-help"),
                answer: ("chapters/sysvmq.rs", "receiver"),
            },
            Lack {
                what: "Where msgmax was raised, a message of more than 8,192 bytes \
                       is more than a receiver can deal with.",
                shown: Shown::Experiment("too-long-stays"),
                answer: ("chapters/sysvmq/open.rs", "limits"),
            },
            Lack {
                what: "Whether the queue can take a message of this length at all \
                       is not looked at before it is sent.",
                shown: Shown::Experiment("larger-than-the-queue"),
                answer: ("chapters/sysvmq/open.rs", "limits"),
            },
            Lack {
                what: "A sender without a receiver does not say when it stops, or \
                       why.",
                shown: Shown::Experiment("empty-messages-fill"),
                answer: ("chapters/sysvmq.rs", "sender"),
            },
            Lack {
                what: "A key is a number, which another program may use as well: \
                       the receiver takes that program's messages.",
                shown: Shown::Experiment("ftok-collides"),
                answer: ("chapters/sysvmq/open.rs", "open"),
            },
            Lack {
                what: "A queue that another user has made with this key is used, \
                       and its messages are printed.",
                shown: Shown::Test("sysvmq", "a_queue_of_another"),
                answer: ("chapters/sysvmq/open.rs", "open"),
            },
        ],
    };
    type Sender = SysvmqSender;
    type Receiver = SysvmqReceiver;
    type More = NoMore;
}
