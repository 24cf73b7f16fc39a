//! The servers: the chapters' own, and the same work in C and in Python.

use std::path::Path;
use std::process::Command;

use super::load::Clients;

/// A way to serve many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// tcp, one client after the other.
    Iterative,
    /// tcp, a child for each client.
    Fork,
    /// tcp, a thread for each client.
    Threads,
    /// multiplex by select(2).
    Select,
    /// multiplex by poll(2).
    Poll,
    /// multiplex by epoll(7).
    Epoll,
    /// fdpass: a server that accepts, and a worker that serves.
    Fdpass,
}

/// Who has written the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The chapter's own role, of this very program.
    Ipclab,
    /// A short one in C, built by the system's compiler.
    C,
    /// One made of Python's standard library.
    Python,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 3] = [Program::Ipclab, Program::C, Program::Python];

    /// As reports call it.
    pub fn text(self) -> &'static str {
        match self {
            Program::Ipclab => "ipclab",
            Program::C => "C",
            Program::Python => "Python",
        }
    }
}

impl Kind {
    /// All of them, in the order of the book.
    pub const ALL: [Kind; 7] = [
        Kind::Iterative,
        Kind::Fork,
        Kind::Threads,
        Kind::Select,
        Kind::Poll,
        Kind::Epoll,
        Kind::Fdpass,
    ];

    /// Its chapter.
    pub fn chapter(self) -> &'static str {
        match self {
            Kind::Iterative | Kind::Fork | Kind::Threads => "tcp",
            Kind::Select | Kind::Poll | Kind::Epoll => "multiplex",
            Kind::Fdpass => "fdpass",
        }
    }

    /// As its option, the C and the Python program call it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Iterative => "iterative",
            Kind::Fork => "fork",
            Kind::Threads => "threads",
            Kind::Select => "select",
            Kind::Poll => "poll",
            Kind::Epoll => "epoll",
            Kind::Fdpass => "fdpass",
        }
    }

    /// As reports call it.
    pub fn subject(self) -> String {
        match self {
            Kind::Fdpass => "fdpass".to_owned(),
            _ => format!("{} {}", self.chapter(), self.word()),
        }
    }

    /// What its clients do.
    pub fn clients(self) -> Clients {
        match self {
            Kind::Fdpass => Clients::Visit,
            _ => Clients::Stay,
        }
    }

    /// Whether there is one by this program.
    pub fn has(self, program: Program) -> bool {
        program == Program::Ipclab || self != Kind::Fdpass
    }

    /// The roles that make up the chapter's own server, each as `ipclab`'s arguments, in
    /// the order in which they start.
    pub(super) fn roles(self) -> Vec<Vec<&'static str>> {
        let word = self.word();
        // The bytes as they are: no boundary is looked for, and none is needed.
        let tcp = |strategy| {
            vec![vec![
                "tcp",
                "server",
                "--quiet",
                "--bytes",
                "--listen",
                "127.0.0.1:0",
                "--strategy",
                strategy,
            ]]
        };
        match self {
            Kind::Iterative | Kind::Fork | Kind::Threads => tcp(word),
            Kind::Select | Kind::Poll | Kind::Epoll => vec![vec![
                "multiplex",
                "server",
                "--quiet",
                "--bytes",
                "--no-print",
                "--with",
                word,
            ]],
            Kind::Fdpass => vec![
                vec!["fdpass", "server", "--quiet", "--listen", "127.0.0.1:0"],
                vec!["fdpass", "worker", "--quiet"],
            ],
        }
    }

    /// The C program, and the name of its source.
    pub(super) fn c_source(self) -> (&'static str, &'static str) {
        match self {
            Kind::Iterative | Kind::Fork | Kind::Threads => {
                ("blocking", include_str!("../c/servers/blocking.c"))
            }
            Kind::Select => ("select", include_str!("../c/servers/select.c")),
            Kind::Poll => ("poll", include_str!("../c/servers/poll.c")),
            Kind::Epoll | Kind::Fdpass => {
                ("epoll", include_str!("../c/servers/epoll.c"))
            }
        }
    }

    /// How the C program of this kind is started, once it is built in `dir`.
    pub(super) fn c_command(self, dir: &Path) -> Command {
        let mut command = Command::new(dir.join(self.c_source().0));
        if matches!(self, Kind::Iterative | Kind::Fork | Kind::Threads) {
            command.arg(self.word());
        }
        command
    }
}
