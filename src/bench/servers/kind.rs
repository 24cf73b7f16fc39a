//! The servers: the chapters' own, and the same work in C and in Python.

use std::path::Path;
use std::process::Command;

use super::load::order::Clients;

/// A way to serve many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
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

/// The program that the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerProgram {
    /// The chapter's own role, of this very program.
    Ipclab,
    /// A short one in C, built by the system's compiler.
    C,
    /// One made of Python's standard library.
    Python,
}

impl ServerProgram {
    /// All of them.
    pub const ALL: [ServerProgram; 3] =
        [ServerProgram::Ipclab, ServerProgram::C, ServerProgram::Python];

    /// As reports call it.
    pub fn text(self) -> &'static str {
        match self {
            ServerProgram::Ipclab => "ipclab",
            ServerProgram::C => "C",
            ServerProgram::Python => "Python",
        }
    }
}

impl ServerKind {
    /// All of them, in the order of the book.
    pub const ALL: [ServerKind; 7] = [
        ServerKind::Iterative,
        ServerKind::Fork,
        ServerKind::Threads,
        ServerKind::Select,
        ServerKind::Poll,
        ServerKind::Epoll,
        ServerKind::Fdpass,
    ];

    /// Its chapter.
    pub fn chapter(self) -> &'static str {
        match self {
            ServerKind::Iterative | ServerKind::Fork | ServerKind::Threads => "tcp",
            ServerKind::Select | ServerKind::Poll | ServerKind::Epoll => "multiplex",
            ServerKind::Fdpass => "fdpass",
        }
    }

    /// As its option, the C and the Python program call it.
    pub fn word(self) -> &'static str {
        match self {
            ServerKind::Iterative => "iterative",
            ServerKind::Fork => "fork",
            ServerKind::Threads => "threads",
            ServerKind::Select => "select",
            ServerKind::Poll => "poll",
            ServerKind::Epoll => "epoll",
            ServerKind::Fdpass => "fdpass",
        }
    }

    /// As reports call it.
    pub fn subject(self) -> String {
        match self {
            ServerKind::Fdpass => "fdpass".to_owned(),
            _ => format!("{} {}", self.chapter(), self.word()),
        }
    }

    /// What its clients do.
    pub fn clients(self) -> Clients {
        match self {
            ServerKind::Fdpass => Clients::Visit,
            _ => Clients::Stay,
        }
    }

    /// Whether there is one by this program.
    pub fn has(self, program: ServerProgram) -> bool {
        program == ServerProgram::Ipclab || self != ServerKind::Fdpass
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
            ServerKind::Iterative | ServerKind::Fork | ServerKind::Threads => {
                tcp(word)
            }
            ServerKind::Select | ServerKind::Poll | ServerKind::Epoll => vec![vec![
                "multiplex",
                "server",
                "--quiet",
                "--bytes",
                "--no-print",
                "--with",
                word,
            ]],
            ServerKind::Fdpass => vec![
                vec!["fdpass", "server", "--quiet", "--listen", "127.0.0.1:0"],
                vec!["fdpass", "worker", "--quiet"],
            ],
        }
    }

    /// The C program, and the name of its source.
    pub(super) fn c_source(self) -> (&'static str, &'static str) {
        match self {
            ServerKind::Iterative | ServerKind::Fork | ServerKind::Threads => {
                ("blocking", include_str!("../c/servers/blocking.c"))
            }
            ServerKind::Select => ("select", include_str!("../c/servers/select.c")),
            ServerKind::Poll => ("poll", include_str!("../c/servers/poll.c")),
            ServerKind::Epoll | ServerKind::Fdpass => {
                ("epoll", include_str!("../c/servers/epoll.c"))
            }
        }
    }

    /// How the C program of this kind is started, once it is built in `dir`.
    pub(super) fn c_command(self, dir: &Path) -> Command {
        let mut command = Command::new(dir.join(self.c_source().0));
        if matches!(
            self,
            ServerKind::Iterative | ServerKind::Fork | ServerKind::Threads
        ) {
            command.arg(self.word());
        }
        command
    }
}
