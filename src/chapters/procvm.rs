//! A process that may trace another one reads its memory by process_vm_readv(2) and writes to it
//! by process_vm_writev(2): the kernel copies once, from one address space into the other, and
//! the target calls nothing. Here the target tells where its messages are, and the reader takes
//! them from there. Each wakes the other by an eventfd of the target's, of which the reader gets a
//! copy by pidfd_getfd(2).

use std::io::IoSliceMut;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::io::{ReadWriteFlags, preadv2};

use os::calls::nix_errno;
use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};
use wire::roles::{MessageSource, Sink, receive, send};

pub(crate) mod published;
mod reader;
mod target;

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum ProcvmRoles {
    /// Tells where its messages are, and waits until each has been read
    Target {
        /// Where the messages come from
        #[command(flatten)]
        source: MessageSource,

        /// The options of both roles
        #[command(flatten)]
        options: ProcvmOptions,
    },
    /// Copies the messages out of the target's memory
    Reader {
        /// What is done with the messages
        #[command(flatten)]
        sink: Sink,

        /// The options of both roles
        #[command(flatten)]
        options: ProcvmOptions,
    },
}

impl Roles for ProcvmRoles {
    fn play(self, at: &Rendezvous) -> Result<()> {
        match self {
            ProcvmRoles::Target { source, options } => {
                send::<target::Target>(at, &options, &source)
            }
            ProcvmRoles::Reader { sink, options } => {
                receive::<reader::Reader>(at, &options, &sink)
            }
        }
    }
}

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ProcvmOptions {
    /// The longest message that is offered or taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_message: u32,
}

// ANCHOR: table
/// The words of the table, 8 bytes each, in the target's memory. The target writes the first
/// three, and the number last of them: so a reader that sees a new number finds what belongs to it.
/// A message may be changed while the number is the one that is taken, and gets a new number then.
const NUMBER: usize = 0;
/// Where the message is, in the target's memory; 0 for the end.
const ADDRESS: usize = 1;
/// How many bytes it has.
const LENGTH: usize = 2;
/// The reader writes these: the number of the message that it has taken,
const TAKEN: usize = 3;
/// when it began (proc_pid_stat(5), field 22; 0 if it does not say),
const START: usize = 4;
/// and its pid.
const READER: usize = 5;
/// How many words there are.
const WORDS: usize = 6;
/// The bytes of a word.
const WORD: usize = size_of::<u64>();
// ANCHOR_END: table

// ANCHOR: drain
/// Takes what is in an eventfd that poll(2) has reported, if another process has not taken it.
fn drain(event: impl AsFd) -> Result<()> {
    let mut number = [0; WORD];
    let mut room = [IoSliceMut::new(&mut number)];
    // RWF_NOWAIT is of this call alone, where O_NONBLOCK would be of the other process's, too.
    match preadv2(event, &mut room, u64::MAX, ReadWriteFlags::NOWAIT)
        .map_err(nix_errno)
    {
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        Err(error) => Err(error).context("read an eventfd"),
    }
}
// ANCHOR_END: drain

/// The chapter.
#[derive(Debug)]
pub struct Procvm;

impl Conversation for Procvm {
    const ROW: Row = Row {
        name: "procvm",
        summary: "a copy of another process's memory (process_vm_readv)",
        also: &[
            "process_vm_readv",
            "process_vm_writev",
            "process_vm",
            "pidfd_getfd",
            "cross memory attach",
            "cma",
            "ptrace",
            "ptrace_scope",
            "yama",
            "another process's memory",
            "read memory",
            "one copy",
            "debugger",
        ],
        wire: "a line with the target's pid, start, the address of a table, and two eventfds; \
               the table has each message's number, address and length, and what is taken",
        roles: &[
            Role {
                name: "target",
                side: Side::Left,
                does: "tells where its messages are, and waits until each has been read",
                examples: &["procvm target one two three", "procvm target --bytes"],
            },
            Role {
                name: "reader",
                side: Side::Right,
                does: "copies the messages out of the target's memory",
                examples: &["procvm reader", "procvm reader --count 1"],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::Error,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "target", args: &["hello", "in one copy"] },
                Part { role: "reader", args: &[] },
            ],
            prints: "reader",
            expect: "hello\nin one copy\n",
        },
        lacks: &[
            Lack {
                what: "When the target is killed, the reader sleeps for ever: it has the \
                       eventfd open itself.",
                shown: Shown::Test("procvm", "a_reader_whose_target"),
                answer: ("chapters/procvm/reader.rs", "sleep"),
            },
            Lack {
                what: "When the reader is killed, the target sleeps for ever.",
                shown: Shown::Test("procvm", "a_target_whose_reader"),
                answer: ("chapters/procvm/target.rs", "offer"),
            },
            Lack {
                what: "A target that is killed leaves its file. Its pid is another process's \
                       later, and that one's memory is read and written.",
                shown: Shown::Test("procvm", "a_pid_that_is_another"),
                answer: ("chapters/signal/published.rs", "find"),
            },
            Lack {
                what: "A message that changes while it is copied is printed, half old and half \
                       new.",
                shown: Shown::Experiment("torn-copy"),
                answer: ("chapters/procvm/reader.rs", "copy"),
            },
            Lack {
                what: "A copy that comes short is printed with zeros for what is missing, and \
                       any length is believed.",
                shown: Shown::Experiment("half-there"),
                answer: ("chapters/procvm/reader.rs", "copy"),
            },
            Lack {
                what: "Whatever has the eventfd's number in the target is written to.",
                shown: Shown::Test("procvm", "a_descriptor_that_is_no_eventfd"),
                answer: ("chapters/procvm/reader.rs", "fetch"),
            },
            Lack {
                what: "Two readers both take the same message.",
                shown: Shown::Test("procvm", "a_second_reader"),
                answer: ("chapters/procvm/reader.rs", "open"),
            },
        ],
    };
    type Roles = ProcvmRoles;
}
