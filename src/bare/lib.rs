//! The shortest whole program of each mechanism, in Rust, C and Python: the texts, how they
//! are played, and the Rust ones as functions.
//!
//! Each file stands alone, and takes its arguments from the command line. A process plays
//! the Rust one of `fifo` if it was started under the name `ipclab bare fifo` ([`chosen`]).

use std::error::Error;

/// A language that a program is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// With the crates nix and libc.
    Rust,
    /// With the C library.
    C,
    /// With the standard library, or what the program's header names.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 3] = [Language::Rust, Language::C, Language::Python];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Python => "python",
        }
    }

    /// How the names of its files end.
    pub fn ending(self) -> &'static str {
        match self {
            Language::Rust => "rs",
            Language::C => "c",
            Language::Python => "py",
        }
    }
}

/// What an argument of a role stands for: where the roles meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeetingPlace {
    /// A path.
    Path,
    /// The name of a POSIX object: a slash, and no other.
    Name,
    /// The key of a System V object.
    Key,
    /// An IPv4 address and a port.
    Address,
}

/// One process of a short run, and what it is given.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The role: the first argument.
    pub role: &'static str,
    /// The arguments behind it, that say where the roles meet.
    pub places: &'static [MeetingPlace],
    /// The options, before `args`, by which the chapter's role does the same.
    pub role_options: &'static [&'static str],
    /// The arguments behind the places: messages, or how often.
    pub args: &'static [&'static str],
}

/// The `main` of a bare program.
pub type Main = fn() -> Result<(), Box<dyn Error>>;

/// One bare program.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name: that of its files, without their endings.
    pub name: &'static str,
    /// The texts, in the order of [`Language`].
    texts: [&'static str; 3],
    /// The Rust one, if this build has its feature.
    pub main: Option<Main>,
    /// A short run: each part starts once the one before it sleeps or has ended.
    pub parts: &'static [Part],
    /// The role whose standard output counts.
    pub prints: &'static str,
    /// What it prints, to the byte.
    pub expect: &'static str,
}

/// The programs: a feature that a program needs, its name, its parts in the order in which they
/// start (the role, where the roles meet, the options of the chapter's role, the arguments), and
/// what is printed.
macro_rules! programs {
    ($(
        $(#[$feature:meta])*
        $name:ident {
            $($role:literal [$($place:ident),*] $(($($option:literal)*))? $($arg:literal)*;)*
            prints $prints:literal $expect:literal
        }
    )*) => {
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
                parts: &[$(Part {
                    role: $role,
                    places: &[$(MeetingPlace::$place),*],
                    role_options: &[$($($option),*)?],
                    args: &[$($arg),*],
                }),*],
                prints: $prints,
                expect: $expect,
            }
        }),*];
    };
}

programs! {
    spawn {
        "parent" [] "descriptors";
        prints "parent" "0 1 2\n"
    }
    file {
        "sender" [Path] "hello" "through a file";
        "receiver" [Path];
        prints "receiver" "hello\nthrough a file\n"
    }
    signal {
        "receiver" [Path];
        "sender" [Path] "hello" "4 bytes at a time";
        prints "receiver" "hello\n4 bytes at a time\n"
    }
    pipe {
        "sender" [] "hello" "through a pipe";
        "receiver" [];
        prints "receiver" "hello\nthrough a pipe\n"
    }
    fifo {
        "receiver" [Path];
        "sender" [Path] "hello" "through a FIFO";
        prints "receiver" "hello\nthrough a FIFO\n"
    }
    unix {
        "server" [Path] ("--count" "1");
        "client" [Path] "hello" "through a socket";
        prints "client" "hello\nthrough a socket\n"
    }
    unix_dgram {
        "server" [Path] ("--type" "dgram" "--count" "1");
        "client" [Path] ("--type" "dgram") "hello" "in a datagram";
        prints "client" "hello\nin a datagram\n"
    }
    unix_seqpacket {
        "server" [Path] ("--type" "seqpacket" "--count" "1");
        "client" [Path] ("--type" "seqpacket") "hello" "in a packet";
        prints "client" "hello\nin a packet\n"
    }
    tcp {
        "server" [Address] ("--count" "1");
        "client" [Address] "hello" "through TCP";
        prints "client" "hello\nthrough TCP\n"
    }
    tcp_iterative {
        "server" [Address] ("--count") "1";
        "client" [Address] "hello" "through TCP";
        prints "client" "hello\nthrough TCP\n"
    }
    tcp_fork {
        "server" [Address] ("--strategy" "fork" "--count") "1";
        "client" [Address] "hello" "through TCP";
        prints "client" "hello\nthrough TCP\n"
    }
    udp {
        "server" [Address] ("--count" "1");
        "client" [Address] "hello" "in a datagram";
        prints "client" "hello\nin a datagram\n"
    }
    posixmq {
        "sender" [Name] "hello" "through a queue";
        "receiver" [Name];
        prints "receiver" "hello\nthrough a queue\n"
    }
    sysvmq {
        "sender" [Key] "hello" "through a queue";
        "receiver" [Key];
        prints "receiver" "hello\nthrough a queue\n"
    }
    shm {
        "receiver" [Name];
        "sender" [Name] "hello" "through shared memory";
        prints "receiver" "hello\nthrough shared memory\n"
    }
    mmap {
        "receiver" [Path];
        "sender" [Path] "hello" "through mapped pages";
        prints "receiver" "hello\nthrough mapped pages\n"
    }
    mutex {
        "worker" [Name] ("--condition" "pthread");
        "producer" [Name] ("--condition" "pthread") "hello" "from a producer";
        prints "worker" "hello\nfrom a producer\n"
    }
    eventfd {
        "waiter" [Path] ("--total") "3";
        "notifier" [Path] "3";
        prints "waiter" "took 3\n"
    }
    fdpass {
        "server" [Path, Address] ("--count" "1");
        "worker" [Path];
        "client" [Address] "hello" "from a client";
        prints "client" "hello\nfrom a client\n"
    }
    multiplex {
        "server" [Path] ("--with" "poll" "--count" "1");
        "client" [Path] "hello" "in one thread";
        prints "client" "hello\nin one thread\n"
    }
    multiplex_select {
        "server" [Path] ("--with" "select" "--count" "1");
        "client" [Path] "hello" "in one thread";
        prints "client" "hello\nin one thread\n"
    }
    multiplex_epoll {
        "server" [Path] ("--with" "epoll" "--count" "1");
        "client" [Path] "hello" "in one thread";
        prints "client" "hello\nin one thread\n"
    }
    semaphore {
        "waiter" [Name] ("--times") "2";
        "poster" [Name] ("--times") "2";
        prints "waiter" "took 1\ntook 2\n"
    }
    semaphore_sysv {
        "waiter" [Key] ("--kind" "sysv" "--times") "2";
        "poster" [Key] ("--kind" "sysv" "--times") "2";
        prints "waiter" "took 1\ntook 2\n"
    }
    semaphore_futex {
        "waiter" [Name] ("--kind" "futex" "--times") "2";
        "poster" [Name] ("--kind" "futex" "--times") "2";
        prints "waiter" "took 1\ntook 2\n"
    }
    procvm {
        "target" [Path] "hello" "in one copy";
        "reader" [Path];
        prints "reader" "hello\nin one copy\n"
    }
    #[cfg(feature = "dbus")]
    dbus {
        "server" [Path] ("--count" "1");
        "client" [Path] ("call" "Post" "s") "hello, object";
        prints "client" "1\n"
    }
    #[cfg(feature = "mpi")]
    mpi {
        "send-receive" [] ("--number") "4711";
        "send-receive" [] ("--number") "4711";
        prints "send-receive" "4711\n"
    }
}

/// How the name begins under which a process plays a program: `ipclab bare fifo`.
pub const PREFIX: &str = "ipclab bare ";

impl Program {
    /// The program of this name.
    pub fn find(name: &str) -> Option<&'static Program> {
        PROGRAMS.iter().find(|program| program.name == name)
    }

    /// The text in `language`.
    pub fn text(&self, language: Language) -> &'static str {
        self.texts[language as usize]
    }

    /// The chapter that the program belongs to: `unix` of `unix_dgram`.
    pub fn chapter(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }

    /// Whether it speaks the wire of its chapter's roles, and so meets them. The memory of shm and
    /// mmap has one slot for one message, where that of the roles has a ring.
    pub fn meets_roles(&self) -> bool {
        !matches!(self.name, "shm" | "mmap")
    }

    /// What its usage line says of its roles: each role, and the arguments behind it.
    pub fn usage(&self) -> Vec<(&'static str, &'static str)> {
        let text = self.text(Language::Rust);
        let begin = format!("usage: {} ", self.name);
        let usage =
            text.split(&begin).nth(1).and_then(|rest| rest.split('"').next());
        let roles = usage.unwrap_or_default().split(" | ").flat_map(|roles| {
            let (names, arguments) = roles.split_once(' ').unwrap_or((roles, ""));
            names.split('|').map(move |name| (name, arguments))
        });
        roles.collect()
    }

    /// What `argv[0]` must be for a process to play this program.
    pub fn process_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// What a role takes before its messages; nothing, if the role is in no short run.
    pub fn places(&self, role: &str) -> &'static [MeetingPlace] {
        let part = self.parts.iter().find(|part| part.role == role);
        part.map_or(&[], |part| part.places)
    }

    /// A command that builds or runs the text, as its header has it: the one that begins with one
    /// of `words`.
    pub fn command(
        &self,
        language: Language,
        words: &[&str],
    ) -> Option<&'static str> {
        header_command(self.text(language), words)
    }
}

/// The command in the header of a program's text that begins with one of `words`.
pub fn header_command<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    let header = text.lines().take(12);
    let mut commands = header.flat_map(|line| line.split(';')).map(|command| {
        command.trim_start_matches(['/', '!', ' ']).trim_end_matches(['*', '/', ' '])
    });
    commands.find(|command| {
        words.contains(&command.split(' ').next().unwrap_or_default())
    })
}

/// The program that this process is to play, by the name under which it was started.
pub fn chosen() -> Option<(&'static Program, Main)> {
    let name = std::env::args_os().next()?;
    let program = Program::find(name.to_str()?.strip_prefix(PREFIX)?)?;
    Some((program, program.main?))
}
