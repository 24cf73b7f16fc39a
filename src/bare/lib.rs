//! The shortest whole program of each mechanism, in Rust, C and Python: the texts, and the
//! Rust ones as functions.
//!
//! Each file stands alone. It takes its arguments from the command line, so that whoever calls
//! its `main` is to be a process of that program's own.

use std::error::Error;

/// A language that a program is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// With the crates nix and libc.
    Rust,
    /// With the C library.
    C,
    /// With the standard library, and what the header names.
    Python,
}

/// The `main` of a bare program.
pub type Main = fn() -> Result<(), Box<dyn Error>>;

/// One bare program.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name: that of its files, without their ends.
    pub name: &'static str,
    /// The texts, in the order of [`Language`].
    texts: [&'static str; 3],
    /// The Rust one, if this build has its feature.
    pub main: Option<Main>,
}

/// The programs, a line each: a feature that a program needs stands before it.
macro_rules! programs {
    ($($(#[$feature:meta])* $name:ident;)*) => {
        $(
            $(#[$feature])*
            mod $name;
        )*

        /// All programs, in the order of the book.
        pub static PROGRAMS: &[Program] = &[$({
            #[allow(unused_variables)]
            let main: Option<Main> = None;
            $(#[$feature])*
            let main: Option<Main> = Some($name::main);
            Program {
                name: stringify!($name),
                texts: [
                    include_str!(concat!(stringify!($name), ".rs")),
                    include_str!(concat!(stringify!($name), ".c")),
                    include_str!(concat!(stringify!($name), ".py")),
                ],
                main,
            }
        }),*];
    };
}

programs! {
    fifo;
    unix;
    unix_dgram;
    unix_seqpacket;
    tcp;
    tcp_iterative;
    tcp_fork;
    fdpass;
    multiplex;
    multiplex_select;
    multiplex_epoll;
}

impl Program {
    /// The text in `language`.
    pub fn text(&self, language: Language) -> &'static str {
        self.texts[language as usize]
    }

    /// The chapter that the program belongs to: `unix` of `unix_dgram`.
    pub fn chapter(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }
}
