//! What is struck: each chapter, each of its kinds that has code of its own, each role.

/// One process of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The role, as on the command line.
    pub(crate) role: &'static str,
    /// The other arguments, a word each; `MESSAGES` stands for the messages of the run.
    pub(crate) args: &'static str,
    /// Whether it goes on until a signal.
    pub(crate) serves: bool,
    /// Whether what arrives is on its standard output.
    pub(crate) prints: bool,
}

/// A chapter and a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) chapter: &'static str,
    /// In the order in which they usually start.
    pub(crate) parts: &'static [Part],
    /// Whether what was sent waits for the next receiver, after the end of all.
    pub(crate) keeps: bool,
    /// Whether the second part's standard output is the first one's standard input.
    pub(crate) piped: bool,
}

const fn ends(role: &'static str, args: &'static str) -> Part {
    Part { role, args, serves: false, prints: false }
}

const fn prints(role: &'static str, args: &'static str) -> Part {
    Part { role, args, serves: false, prints: true }
}

const fn serves(role: &'static str, args: &'static str) -> Part {
    Part { role, args, serves: true, prints: false }
}

const fn row(
    name: &'static str,
    chapter: &'static str,
    parts: &'static [Part],
) -> Row {
    Row { name, chapter, parts, keeps: false, piped: false }
}

impl Row {
    const fn keeps(self) -> Row {
        Row { keeps: true, ..self }
    }

    const fn piped(self) -> Row {
        Row { piped: true, ..self }
    }
}

const LISTEN: &str = "--listen 127.0.0.1:0";

/// All rows.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row("spawn", "spawn", &[prints("child", ""), ends("parent", "MESSAGES")]).piped(),
    row("pipe", "pipe", &[prints("receiver", ""), ends("sender", "MESSAGES")]).piped(),
    row("pipe zero-copy", "pipe", &[prints("receiver", ""), ends("sender", "--zero-copy LONG")]).piped(),
    row("pipe fork", "pipe", &[prints("fork", "MESSAGES")]),
    row("pipe fork duplex", "pipe", &[prints("fork", "--duplex socketpair MESSAGES")]),
    row("fifo", "fifo", &[prints("receiver", ""), ends("sender", "MESSAGES")]),
    row("file", "file", &[prints("receiver", ""), ends("sender", "MESSAGES")]).keeps(),
    row("file append", "file", &[prints("receiver", "--append --count 3"), ends("sender", "--append MESSAGES")]).keeps(),
    row("signal", "signal", &[prints("receiver", ""), ends("sender", "MESSAGES")]),
    row("signal signalfd", "signal", &[prints("receiver", "--with signalfd"), ends("sender", "MESSAGES")]),
    row("signal handler", "signal", &[prints("receiver", "--with handler"), ends("sender", "MESSAGES")]),
    row("posixmq", "posixmq", &[prints("receiver", ""), ends("sender", "--maxmsg 4 --msgsize 512 MESSAGES")]).keeps(),
    row("sysvmq", "sysvmq", &[prints("receiver", ""), ends("sender", "MESSAGES")]).keeps(),
    row("shm crate", "shm", &[prints("receiver", "--kind crate --capacity 4096"), ends("sender", "--kind crate --capacity 4096 MESSAGES")]).keeps(),
    row("shm posix", "shm", &[prints("receiver", "--kind posix --capacity 4096"), ends("sender", "--kind posix --capacity 4096 MESSAGES")]).keeps(),
    row("shm sysv", "shm", &[prints("receiver", "--kind sysv --capacity 4096"), ends("sender", "--kind sysv --capacity 4096 MESSAGES")]).keeps(),
    row("shm memfd", "shm", &[prints("receiver", "--kind memfd --capacity 4096"), ends("sender", "--kind memfd --capacity 4096 MESSAGES")]).keeps(),
    row("mmap", "mmap", &[prints("receiver", "--capacity 4096"), ends("sender", "--capacity 4096 MESSAGES")]).keeps(),
    row("mutex", "mutex", &[prints("worker", ""), ends("producer", "MESSAGES")]).keeps(),
    row("mutex pthread", "mutex", &[prints("worker", "--condition pthread"), ends("producer", "--condition pthread MESSAGES")]).keeps(),
    row("semaphore posix", "semaphore", &[ends("waiter", "--times 2"), ends("poster", "--times 2")]).keeps(),
    row("semaphore sysv", "semaphore", &[ends("waiter", "--kind sysv --times 2"), ends("poster", "--kind sysv --times 2")]).keeps(),
    row("semaphore futex", "semaphore", &[ends("waiter", "--kind futex --times 2"), ends("poster", "--kind futex --times 2")]).keeps(),
    row("unix stream", "unix", &[serves("server", ""), prints("client", "MESSAGES")]),
    row("unix dgram", "unix", &[serves("server", "--type dgram"), prints("client", "--type dgram MESSAGES")]),
    row("unix seqpacket", "unix", &[serves("server", "--type seqpacket"), prints("client", "--type seqpacket MESSAGES")]),
    row("unix abstract", "unix", &[serves("server", "--abstract"), prints("client", "--abstract MESSAGES")]),
    row("tcp iterative", "tcp", &[serves("server", LISTEN), prints("client", "MESSAGES")]),
    row("tcp once", "tcp", &[serves("server", "--strategy once --listen 127.0.0.1:0"), prints("client", "MESSAGE")]),
    row("tcp fork", "tcp", &[serves("server", "--strategy fork --listen 127.0.0.1:0"), prints("client", "MESSAGES")]),
    row("tcp threads", "tcp", &[serves("server", "--strategy threads --listen 127.0.0.1:0"), prints("client", "MESSAGES")]),
    row("udp", "udp", &[serves("server", LISTEN), prints("client", "MESSAGES")]),
    row("udp relay", "udp", &[serves("server", LISTEN), serves("relay", LISTEN), prints("client", "MESSAGES")]),
    row("multiplex select", "multiplex", &[serves("server", "--with select"), prints("client", "MESSAGES")]),
    row("multiplex poll", "multiplex", &[serves("server", "--with poll"), prints("client", "MESSAGES")]),
    row("multiplex epoll", "multiplex", &[serves("server", "--with epoll --edge"), prints("client", "MESSAGES")]),
    row("eventfd", "eventfd", &[ends("waiter", "--semaphore"), ends("notifier", "1 1 1")]),
    row("fdpass", "fdpass", &[serves("server", LISTEN), serves("worker", ""), serves("worker", ""), prints("client", "MESSAGES")]),
    row("fdpass multiprocessing", "fdpass", &[serves("server", "--protocol multiprocessing --listen 127.0.0.1:0"), serves("worker", "--protocol multiprocessing"), serves("worker", "--protocol multiprocessing"), prints("client", "MESSAGES")]),
    row("fdpass fork", "fdpass", &[serves("fork", LISTEN), prints("client", "MESSAGES")]),
    row("procvm", "procvm", &[prints("reader", ""), ends("target", "MESSAGES")]),
    row("dbus", "dbus", &[serves("server", ""), ends("client", "call Post s MESSAGE")]),
    row("dbus watch", "dbus", &[serves("server", ""), serves("client", "watch"), ends("client", "call Post s MESSAGE")]),
];
