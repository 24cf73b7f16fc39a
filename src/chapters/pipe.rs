//! A pipe is a buffer of 16 pages in the kernel with a write end and a read end (pipe(7)). It
//! has no name: its two processes got their ends from the process that made it, which is the
//! shell in `ipclab pipe sender | ipclab pipe receiver`, and a parent in `ipclab pipe fork`.

use wire::chapter::{
    Lack, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::meet::Meets;

pub mod fork;
mod more;
mod receiver;
mod sender;
mod terminal;

pub use receiver::{PipeReceiver, PipeReceiverOptions};
pub use sender::{PipeSender, PipeSenderOptions};

/// The chapter.
#[derive(Debug)]
pub struct Pipe;

impl OneWay for Pipe {
    const ROW: Row = Row {
        name: "pipe",
        summary: "a nameless buffer between relatives (pipe, fork)",
        also: &[
            "anonymous pipe",
            "unnamed pipe",
            "nameless pipe",
            "popen",
            "pipe2",
            "stdin",
            "stdout",
            "fork",
            "splice",
        ],
        wire: "a byte stream; by default one message a line, so any filter is a peer",
        roles: &[
            Role {
                name: "sender",
                side: Side::Right,
                does: "writes messages into the pipe on its standard output",
                examples: &[
                    "pipe sender hello | ipclab pipe receiver",
                    "pipe sender one two three | tr a-z A-Z",
                    "pipe sender --zero-copy --bytes < file | sha256sum",
                ],
            },
            Role {
                name: "receiver",
                side: Side::Left,
                does: "prints what comes out of the pipe on its standard input",
                examples: &[
                    "pipe receiver < file",
                    "pipe sender hi | ipclab pipe receiver",
                    "pipe receiver --zero-copy --bytes > copy",
                ],
            },
            Role {
                name: "fork",
                side: Side::Left,
                does: "makes the pipe, forks, and plays both roles",
                examples: &[
                    "pipe fork hello world",
                    "pipe fork --duplex socketpair hello",
                ],
            },
        ],
        meets: Meets::Nowhere,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "sender", args: &["hello", "through a pipe"] },
                Part { role: "receiver", args: &[] },
            ],
            prints: "receiver",
            expect: "hello\nthrough a pipe\n",
        },
        lacks: &[
            Lack {
                what: "When the receiver is killed, the sender does not say how \
                       many messages were written.",
                shown: Shown::Experiment("sigpipe"),
                answer: ("chapters/pipe/sender.rs", "sender"),
            },
            Lack {
                what: "An end with O_NONBLOCK, which another process may have set, \
                       ends a program with EAGAIN, in the middle of a message.",
                shown: Shown::Test("streams", "a_pipe_that_does_not_block"),
                answer: ("chapters/pipe/receiver.rs", "receiver"),
            },
            Lack {
                what: "When the child of the role fork fails, its parent ends with \
                       0 all the same.",
                shown: Shown::Test("one_client", "one_failure_is_one_line"),
                answer: ("chapters/pipe/fork.rs", "one_way"),
            },
            Lack {
                what: "Without a standard input, the Rust receiver prints nothing \
                       and ends with 0.",
                shown: Shown::Test(
                    "streams",
                    "a_standard_input_that_cannot_be_read",
                ),
                answer: ("wire/standard.rs", "usable"),
            },
            Lack {
                what: "The pipe goes one way, so the receiver cannot answer.",
                shown: Shown::Test("pipe", "fork_answers_by_two"),
                answer: ("chapters/pipe/fork.rs", "both_ways"),
            },
        ],
    };
    type Sender = PipeSender;
    type Receiver = PipeReceiver;
    type More = fork::More;
}
