//! What is measured: each mechanism of the book, in each of the ways that it has.

use anyhow::{Result, bail};
use nix::sys::socket::SockType;

use super::ends::{self, End, one_way};
use super::joined::{
    Meet, at_a_name, at_a_port, at_keys, by_eventfds, by_pipes, by_sockets, by_tcp,
    by_udp,
};
use chapters::udp;
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
    /// How an end is played with the chapter's own types.
    pub(super) ends: fn(&End<'_>) -> Result<()>,
    /// How two ends of the chapter's own meet.
    pub(super) ours: Meet,
    /// How two ends of a peer meet.
    pub(super) peers: Meet,
    /// The options of both its ends, as the chapter's roles take them.
    options: &'static [&'static str],
    /// The options of the sending end beside those.
    sending: &'static [&'static str],
    /// What a side does while it waits.
    pub waits: Waits,
    /// The most bytes that the bench sends through it at once, and why.
    pub largest: Option<(u64, &'static str)>,
    /// Its largest message, in bytes, where no usual size is it: measured where a larger one is
    /// wanted.
    full: Option<u64>,
    /// The size of a message that is one word, in bytes, if it has such.
    word: Option<u64>,
    /// Whether it carries bytes, and not that word alone.
    bytes: bool,
    /// Up to this size a message goes by one call of each side, and each side sleeps just once for
    /// it.
    at_once: Option<u64>,
    /// Why it is not measured one way, if it is not.
    pub not_one_way: Option<&'static str>,
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
    ends: |end| bail!("no subject of the bench: {}", end.name()),
    ours: at_a_name,
    peers: at_a_name,
    options: &[],
    sending: &[],
    waits: Waits::Sleeps,
    largest: None,
    full: None,
    word: None,
    bytes: true,
    at_once: Some(4096),
    not_one_way: None,
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
        ends: one_way::<chapters::file::Files>,
        options: &["--append", "--framing", "none"],
        largest: Some((1024, "the log keeps all that is sent")),
        at_once: None,
        ..PLAIN
    },
    Subject {
        name: "signal",
        chapter: "signal",
        ends: one_way::<chapters::signal::Signals>,
        largest: Some((4096, "each 4 bytes are a signal of their own")),
        // An empty message is one signal, and all that a signal can be compared with.
        word: Some(0),
        at_once: Some(0),
        ..PLAIN
    },
    Subject { name: "pipe", ..PIPE },
    Subject {
        name: "pipe --zero-copy",
        sending: &["--zero-copy"],
        beside: Some("pipe"),
        least: Some(128 << 10),
        copies: 1,
        ..PIPE
    },
    Subject {
        name: "fifo",
        chapter: "fifo",
        ends: one_way::<chapters::fifo::Fifo>,
        options: RAW,
        ..PLAIN
    },
    Subject {
        name: "unix stream",
        chapter: "unix",
        ends: ends::stream,
        ours: |_| by_sockets(SockType::Stream),
        // A process that waits in recv(2) on a stream is woken as well when its own message is
        // read: that is room to send in, and the kernel reports room on the same wait queue.
        at_once: None,
        ..PLAIN
    },
    Subject {
        name: "unix seqpacket",
        chapter: "unix",
        ends: ends::packets,
        ours: |_| by_sockets(SockType::SeqPacket),
        ..PLAIN
    },
    Subject {
        name: "unix dgram",
        chapter: "unix",
        ends: ends::packets,
        ours: |_| by_sockets(SockType::Datagram),
        ..PLAIN
    },
    Subject {
        name: "tcp",
        chapter: "tcp",
        ends: ends::stream,
        ours: by_tcp,
        peers: at_a_port,
        ..PLAIN
    },
    Subject {
        name: "udp",
        chapter: "udp",
        ends: ends::datagrams,
        ours: by_udp,
        peers: at_a_port,
        largest: Some((
            udp::LARGEST as u64,
            "a datagram carries at most 65,507 bytes, NUMBER and LENGTH among them",
        )),
        full: Some(udp::LARGEST as u64),
        not_one_way: Some(
            "nothing makes the sender wait: what finds the receiver's buffer full is lost",
        ),
        ..PLAIN
    },
    Subject {
        name: "posixmq",
        chapter: "posixmq",
        ends: one_way::<chapters::posixmq::Posixmq>,
        ..PLAIN
    },
    Subject {
        name: "sysvmq",
        chapter: "sysvmq",
        ends: one_way::<chapters::sysvmq::Sysvmq>,
        peers: at_keys,
        ..PLAIN
    },
    Subject { name: "shm", ..SHM },
    Subject { name: "shm --spin", options: SPIN, waits: Waits::Spins, ..SHM },
    Subject { name: "mmap", ..MMAP },
    Subject { name: "mmap --spin", options: SPIN, waits: Waits::Spins, ..MMAP },
    Subject {
        name: "mutex",
        chapter: "mutex",
        ends: ends::mutex,
        full: Some(4092),
        ..PLAIN
    },
    Subject {
        name: "eventfd",
        chapter: "eventfd",
        ends: ends::eventfd,
        peers: by_eventfds,
        word: Some(8),
        bytes: false,
        not_one_way: Some(
            "numbers that are written before a read are one sum, and no messages",
        ),
        ..PLAIN
    },
];

const PIPE: Subject = Subject {
    chapter: "pipe",
    ends: one_way::<chapters::pipe::Pipe>,
    ours: by_pipes,
    peers: by_pipes,
    options: RAW,
    ..PLAIN
};

/// How a ring is measured where a side that waits never sleeps.
const SPIN: &[&str] = &["--spin"];

const SHM: Subject = Subject {
    chapter: "shm",
    ends: one_way::<chapters::shm::Shm>,
    waits: Waits::LooksFirst,
    ring: true,
    ..PLAIN
};

const MMAP: Subject =
    Subject { chapter: "mmap", ends: one_way::<chapters::mmap::Mmap>, ..SHM };

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
        let beside = !self.bytes || sizes.contains(&64);
        let word = self.word.filter(|_| beside && !sizes.is_empty());
        word.into_iter().chain(self.sizes(sizes)).collect()
    }

    /// The sizes of its messages one way, in bytes, where `sizes` are wanted of all.
    pub fn one_way(&self, sizes: &[u64]) -> Vec<u64> {
        let word = self.word.filter(|_| !self.bytes && !sizes.is_empty());
        word.into_iter().chain(self.sizes(sizes)).collect()
    }

    /// The sizes of its messages of bytes, where `sizes` are wanted of all.
    fn sizes(&self, sizes: &[u64]) -> Vec<u64> {
        let least = self.least.unwrap_or(0);
        let fits = |size: &u64| self.bytes && *size >= least;
        let mut sizes: Vec<u64> = sizes.iter().copied().filter(fits).collect();
        if let Some(full) = self.full.filter(|full| !sizes.contains(full))
            && let Some(at) = sizes.iter().position(|size| *size > full)
        {
            sizes.insert(at, full);
        }
        sizes
    }

    /// Whether a message of `size` bytes goes by one call of each side, and each side sleeps
    /// just once for it.
    pub fn by_one_call(&self, size: u64) -> bool {
        self.at_once.is_some_and(|most| size <= most)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_measured_at_sizes_that_it_has() {
        let of = |name| Subject::find(name).unwrap();
        let usual = [1, 64, 4096, 65_536];
        let trips = |name| of(name).round_trips(&usual);
        assert_eq!(trips("pipe"), usual);
        assert_eq!(trips("signal"), [0, 1, 64, 4096, 65_536]);
        assert_eq!(of("signal").round_trips(&[4096]), [4096]);
        assert_eq!(trips("mutex"), [1, 64, 4092, 4096, 65_536]);
        assert_eq!(of("mutex").round_trips(&[1, 64]), [1, 64]);
        assert_eq!(of("udp").round_trips(&[65_490, 65_536]), [65_490, 65_536]);
        assert_eq!(trips("eventfd"), [8]);
        assert_eq!(of("eventfd").round_trips(&[4096]), [8]);
        assert!(of("eventfd").round_trips(&[]).is_empty());
        assert!(trips("pipe --zero-copy").is_empty());
        let one_way = |name| of(name).one_way(&usual[1..]);
        assert_eq!(one_way("signal"), [64, 4096, 65_536]);
        assert_eq!(one_way("eventfd"), [8]);
        assert!(one_way("pipe --zero-copy").is_empty());
        assert_eq!(of("pipe --zero-copy").one_way(&[64, 1 << 20]), [1 << 20]);
    }
}
