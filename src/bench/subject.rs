//! What is measured: each mechanism of the book, in each of the ways that it has.

use wire::frame::CHUNK;
use wire::ring::ends::CAPACITY as RING;

/// What a side does while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It sleeps in the kernel.
    Sleeps,
    /// It looks a moment if the other side runs on another CPU, and then sleeps.
    LooksFirst,
    /// It looks again and again.
    Spins,
}

/// A mechanism in one of its ways.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// As reports call it.
    pub name: &'static str,
    /// Its chapter.
    pub chapter: &'static str,
    /// The options of both its ends, as the chapter's roles take them.
    options: &'static [&'static str],
    /// The options of the sending end beside those.
    sending: &'static [&'static str],
    /// What a side does while it waits.
    pub waits: Waits,
    /// The most bytes that the bench sends through it at once, and why.
    pub largest: Option<(u64, &'static str)>,
    /// A subject that takes turns with it, one way: what it is an improvement on.
    pub beside: Option<&'static str>,
    /// The least message that it is for, in bytes; then it is measured one way alone.
    pub least: Option<u64>,
    /// How often each byte is copied, from the sender's memory to the receiver's.
    pub copies: u32,
    /// What its data is copied through, where that is memory that both share, in bytes.
    ring: bool,
}

const PLAIN: Subject = Subject {
    name: "",
    chapter: "",
    options: &[],
    sending: &[],
    waits: Waits::Sleeps,
    largest: None,
    beside: None,
    least: None,
    copies: 2,
    ring: false,
};

/// How a byte stream is measured: its bytes as they are.
const RAW: &[&str] = &["--framing", "none"];

/// All of them, in the order of the book.
pub const SUBJECTS: &[Subject] = &[
    Subject {
        name: "file",
        chapter: "file",
        options: &["--append", "--framing", "none"],
        largest: Some((1024, "the log keeps all that is sent")),
        ..PLAIN
    },
    Subject {
        name: "signal",
        chapter: "signal",
        largest: Some((4096, "each 4 bytes are a signal of their own")),
        ..PLAIN
    },
    Subject { name: "pipe", chapter: "pipe", options: RAW, ..PLAIN },
    Subject {
        name: "pipe --zero-copy",
        chapter: "pipe",
        options: RAW,
        sending: &["--zero-copy"],
        beside: Some("pipe"),
        least: Some(128 << 10),
        copies: 1,
        ..PLAIN
    },
    Subject { name: "fifo", chapter: "fifo", options: RAW, ..PLAIN },
    Subject { name: "unix stream", chapter: "unix", ..PLAIN },
    Subject { name: "unix seqpacket", chapter: "unix", ..PLAIN },
    Subject { name: "unix dgram", chapter: "unix", ..PLAIN },
    Subject { name: "tcp", chapter: "tcp", ..PLAIN },
    Subject { name: "posixmq", chapter: "posixmq", ..PLAIN },
    Subject { name: "sysvmq", chapter: "sysvmq", ..PLAIN },
    Subject {
        name: "shm",
        chapter: "shm",
        waits: Waits::LooksFirst,
        ring: true,
        ..PLAIN
    },
    Subject {
        name: "shm --spin",
        chapter: "shm",
        options: &["--spin"],
        waits: Waits::Spins,
        ring: true,
        ..PLAIN
    },
    Subject {
        name: "mmap",
        chapter: "mmap",
        waits: Waits::LooksFirst,
        ring: true,
        ..PLAIN
    },
    Subject {
        name: "mmap --spin",
        chapter: "mmap",
        options: &["--spin"],
        waits: Waits::Spins,
        ring: true,
        ..PLAIN
    },
];

impl Subject {
    /// The subject called `name`.
    pub fn find(name: &str) -> Option<Subject> {
        SUBJECTS.iter().find(|subject| subject.name == name).copied()
    }

    /// The bytes of its ring for messages of `size` bytes, if it has one: the chapter's
    /// default, or enough for two messages.
    pub fn ring(&self, size: u64) -> Option<u64> {
        self.ring.then(|| RING.max(((size + 4) * 2).next_power_of_two()))
    }

    /// Through how much memory messages of `size` bytes go, in bytes: a ring, or what is read
    /// at once.
    pub fn footprint(&self, size: u64) -> u64 {
        self.ring(size).unwrap_or(size.min(CHUNK as u64))
    }

    /// A floor, as if it were a mechanism.
    pub fn floor(name: &'static str, waits: Waits) -> Subject {
        Subject { name, waits, ..PLAIN }
    }

    /// The sizes of its round trips, in bytes, where `sizes` are wanted of all.
    pub fn round_trips(&self, sizes: &[u64]) -> Vec<u64> {
        if self.least.is_some() {
            return Vec::new();
        }
        // An empty message is one signal, and all that a signal can be compared with.
        let one_word = self.chapter == "signal" && sizes.contains(&64);
        one_word.then_some(0).into_iter().chain(sizes.iter().copied()).collect()
    }

    /// The sizes of its messages one way, in bytes, where `sizes` are wanted of all.
    pub fn one_way(&self, sizes: &[u64]) -> Vec<u64> {
        let least = self.least.unwrap_or(0);
        sizes.iter().copied().filter(|size| *size >= least).collect()
    }

    /// Whether a message of `size` bytes goes by one call of each side, and each side sleeps
    /// just once for it.
    pub fn by_one_call(&self, size: u64) -> bool {
        match self.chapter {
            "signal" => size == 0,
            "file" => false,
            // A process that waits in recv(2) on a stream is woken as well when its own message is
            // read: that is room to send in, and the kernel reports room on the same wait queue.
            "unix" if self.name == "unix stream" => false,
            _ => size <= 4096,
        }
    }

    /// The options of an end for messages of `size` bytes.
    pub fn options(&self, sends: bool, size: u64) -> Vec<String> {
        let own = if sends { self.sending } else { &[] };
        let mut words: Vec<String> =
            self.options.iter().chain(own).map(|word| (*word).to_owned()).collect();
        if let Some(bytes) = self.ring(size).filter(|bytes| *bytes > RING) {
            words.extend(["--capacity".to_owned(), bytes.to_string()]);
        }
        words
    }
}
