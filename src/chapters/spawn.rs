//! A process is born as a copy of another one (fork(2)), and becomes another program by
//! execve(2). What it has it has from its parent: descriptors, signal dispositions and mask,
//! umask, directory, process group, session and terminal. Two pipes on its standard input and
//! output, and the parent talks with it.

use anyhow::Result;

use wire::chapter::{
    Conversation, Lack, OnPeerDeath, Part, Role, Roles, Row, Script, Shown, Side,
};
use wire::meet::{Meets, Rendezvous};

pub mod child;
mod family;
pub mod parent;

/// The roles.
#[derive(Debug, clap::Subcommand)]
pub enum SpawnRoles {
    /// Starts a program, and talks with it by pipes
    Parent(parent::Options),
    /// Answers what it is asked of what it has inherited, and sends all other lines back
    Child(child::Options),
}

impl Roles for SpawnRoles {
    fn play(self, _: &Rendezvous) -> Result<()> {
        match self {
            SpawnRoles::Parent(options) => parent::play(&options),
            SpawnRoles::Child(options) => child::play(&options),
        }
    }
}

/// The chapter.
#[derive(Debug)]
pub struct Spawn;

impl Conversation for Spawn {
    const ROW: Row = Row {
        name: "spawn",
        summary: "a new process, and what it inherits (fork, exec)",
        also: &[
            "fork",
            "exec",
            "execve",
            "wait",
            "waitpid",
            "vfork",
            "posix_spawn",
            "subprocess",
            "child process",
            "zombie",
            "orphan",
            "process group",
            "session",
            "setsid",
            "daemon",
            "background job",
            "close-on-exec",
            "pty",
            "isatty",
            "nohup",
            "stdbuf",
        ],
        wire: "the child's standard input and output; a message a line, so any filter is a \
               child",
        roles: &[
            Role {
                name: "parent",
                side: Side::Left,
                does: "starts a program, and talks with it by pipes",
                examples: &[
                    "spawn parent hello descriptors",
                    "spawn parent all",
                    "spawn parent hello -- tr a-z A-Z",
                    "spawn parent < file -- sort",
                ],
            },
            Role {
                name: "child",
                side: Side::Right,
                does: "tells what it has inherited, and sends other lines back",
                examples: &[
                    "spawn child all",
                    "spawn child descriptors 3< /dev/null",
                ],
            },
        ],
        meets: Meets::Nowhere,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[Part { role: "parent", args: &["hello", "descriptors"] }],
            prints: "parent",
            expect: "hello\n0 1 2\n",
        },
        lacks: &[
            Lack {
                what: "It writes all before it reads anything: once both pipes are full, \
                       both processes sleep for ever.",
                shown: Shown::Test("spawn", "sixty_four_mebibytes_go"),
                answer: ("chapters/spawn/parent.rs", "talk"),
            },
            Lack {
                what: "When the child reads no more, the parent ends by EPIPE or \
                       SIGPIPE, and what the child has answered is lost.",
                shown: Shown::Test("spawn", "a_child_that_reads"),
                answer: ("chapters/spawn/parent.rs", "talk"),
            },
            Lack {
                what: "It cannot tell a command that is not there from one that has \
                       ended with status 1.",
                shown: Shown::Test("spawn", "a_command_that_is_not_there"),
                answer: ("chapters/spawn/family.rs", "start"),
            },
            Lack {
                what: "When the parent is killed, the child goes on.",
                shown: Shown::Experiment("parent-killed"),
                answer: ("chapters/spawn/family.rs", "start"),
            },
            Lack {
                what: "The child gets each signal disposition that the parent has set to \
                       ignore, and Rust has set SIGPIPE so.",
                shown: Shown::Experiment("ignored-sigpipe"),
                answer: ("chapters/spawn/family.rs", "start"),
            },
            Lack {
                what: "A process that the child has left behind keeps the pipe open, and \
                       the parent waits for its end.",
                shown: Shown::Experiment("held-pipe"),
                answer: ("chapters/spawn/family.rs", "end"),
            },
        ],
    };
    type Roles = SpawnRoles;
}
