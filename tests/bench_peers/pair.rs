//! Two processes that are steered by the protocol of the bench, one window at a time.

use std::fs::{self, File};
use std::io::pipe;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use os::names::{queue_exists, sysv_queue};
use os::spawn;
use rustix::event::{self, EventfdFlags};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, send, socketpair};

use crate::support::{Input, Output, RoleProcess, deadline};

/// How long an answer may take before a test has failed.
const PATIENCE: Duration = Duration::from_secs(50);

/// One side of a pair.
pub(crate) struct Side {
    role: RoleProcess,
    bench: OwnedFd,
    complaint: PathBuf,
}

/// Both sides, and the private directory in which they meet.
pub(crate) struct Pair {
    pub(crate) a: Side,
    pub(crate) b: Side,
    dir: tempfile::TempDir,
    base: String,
}

/// What came of a start.
pub(crate) enum Started {
    Ready(Box<Pair>),
    /// Both ended, with this status and this line.
    Refused(i32, String),
}

/// Starts a pair; `command` makes each side's, of its name and the base.
pub(crate) fn start(
    mechanism: &str,
    command: impl Fn(char, &str) -> Command,
) -> Started {
    let dir = tempfile::tempdir().unwrap();
    // The kernel's names have no directory: its name, which is unique, is in the base.
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    let mut base = format!("{}/p{name}", dir.path().display());
    match mechanism {
        "tcp" | "udp" => base += &format!(":{}", free_port()),
        "sysvmq" => {
            File::create(format!("{base}.there")).unwrap();
            File::create(format!("{base}.back")).unwrap();
        }
        _ => {}
    }
    let mut commands = ['a', 'b'].map(|side| command(side, &base));
    let ends = match mechanism {
        "pipe" => {
            let (from_a, to_b) = pipe().unwrap();
            let (from_b, to_a) = pipe().unwrap();
            [(from_b.into(), to_b.into()), (from_a.into(), to_a.into())]
        }
        "eventfd" => {
            let [(there, to_b), (back, to_a)] = [eventfd(), eventfd()];
            let (a, b) = UnixStream::pair().unwrap();
            spawn::give(&mut commands[0], a.into(), 4).unwrap();
            spawn::give(&mut commands[1], b.into(), 4).unwrap();
            [(to_a, there), (to_b, back)]
        }
        _ => [(nothing(), nothing()), (nothing(), nothing())],
    };
    let [a, b] = commands;
    let [a_ends, b_ends] = ends;
    let mut a = Side::start("a", a, a_ends, dir.path());
    let mut b = Side::start("b", b, b_ends, dir.path());
    if a.is_ready() && b.is_ready() {
        return Started::Ready(Box::new(Pair { a, b, dir, base }));
    }
    let (a, b) = (a.end(), b.end());
    assert_eq!(a, b, "the sides of {mechanism} disagree");
    fs::remove_file(dir.path().join("a.stderr")).unwrap();
    fs::remove_file(dir.path().join("b.stderr")).unwrap();
    nothing_is_left(dir.path(), &base);
    Started::Refused(a.0, a.1)
}

fn nothing() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

/// A counter, by two descriptors.
fn eventfd() -> (OwnedFd, OwnedFd) {
    let event = event::eventfd(0, EventfdFlags::empty()).unwrap();
    (event.try_clone().unwrap(), event)
}

/// A port that the kernel gives nobody by itself, and that none listens on.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 1_000) as u16 * 16;
    (0..1_000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000)
        .find(|port| {
            let at = ("127.0.0.1", *port);
            TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
        })
        .expect("a free port")
}

impl Side {
    fn start(
        name: &str,
        mut command: Command,
        ends: (OwnedFd, OwnedFd),
        dir: &Path,
    ) -> Side {
        let (bench, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        set_socket_timeout(&bench, Timeout::Recv, Some(PATIENCE)).unwrap();
        spawn::give(&mut command, theirs, 3).unwrap();
        let complaint = dir.join(format!("{name}.stderr"));
        let errors = File::create(&complaint).unwrap().into();
        let (input, output) = ends;
        let (input, output) = (Input::From(input), Output::To(output));
        let role =
            RoleProcess::start_with(name, command, input, output, Some(errors))
                .unwrap();
        Side { role, bench, complaint }
    }

    fn is_ready(&mut self) -> bool {
        let packet = self.answer();
        assert!(matches!(&packet[..], b"ready" | b""), "{packet:?}");
        !packet.is_empty()
    }

    pub(crate) fn tell(&self, command: &str) {
        send(&self.bench, command.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    }

    /// The next packet; an empty one once the side has ended.
    pub(crate) fn answer(&self) -> Vec<u8> {
        let mut packet = vec![0; 256 * 1024];
        // With a time limit, recv is interrupted where the process is stopped and goes on.
        let (n, _) =
            retry_on_intr(|| recv(&self.bench, &mut packet[..], RecvFlags::empty()))
                .unwrap_or_else(|error| {
                    panic!("{} gave no answer: {error}", self.role.name)
                });
        packet.truncate(n);
        packet
    }

    /// The next packet's numbers, where it is text.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let text = String::from_utf8(self.answer()).unwrap();
        text.split(' ').filter_map(|word| word.parse().ok()).collect()
    }

    /// What it said when it ended: its status, and its line.
    fn end(self) -> (i32, String) {
        let Side { role, bench, complaint } = self;
        drop(bench); // one that is ready waits for no command any more
        let status = role.wait(deadline()).unwrap().status;
        let said = fs::read_to_string(complaint).unwrap();
        (status.code().unwrap_or(-1), said)
    }
}

impl Pair {
    /// Round trips for 5 ms in both ways of timing; returns how many of the messages that
    /// came were wrong, at a and at b.
    pub(crate) fn pingpong(self) -> [u64; 2] {
        for (command, most) in [("batches 5", 16_384), ("each 5", 32_768)] {
            self.a.tell(command);
            let answer = self.a.answer();
            let (times, rest) = answer.as_chunks::<4>();
            assert!(
                rest.is_empty() && (1..=most).contains(&times.len()),
                "{times:?}"
            );
            assert!(times.iter().all(|time| u32::from_ne_bytes(*time) > 0));
        }
        self.quit()
    }

    /// Two windows of 5 ms; returns how many messages went, and how many were wrong.
    pub(crate) fn oneway(self, size: u64) -> [u64; 2] {
        let (mut all, mut all_bad) = (0, 0);
        for _ in 0..2 {
            self.a.tell("send 5");
            let [sent, took] = self.a.numbers()[..] else {
                panic!("not two numbers")
            };
            let [came, bytes, _, bad] = self.b.numbers()[..] else {
                panic!("not four numbers")
            };
            assert!(took >= 5_000_000, "a window of {took} ns");
            assert!(sent >= 2, "the last message and another");
            assert_eq!((came, bytes), (sent, sent * size));
            all += sent;
            all_bad += bad;
        }
        assert_eq!(self.quit(), [0, all_bad]);
        [all, all_bad]
    }

    /// Ends both, and looks what they left; returns how many messages were wrong.
    fn quit(self) -> [u64; 2] {
        self.a.tell("quit");
        self.b.tell("quit");
        let bad = [&self.a, &self.b].map(|side| {
            let answer = String::from_utf8(side.answer()).unwrap();
            answer.strip_prefix("bad ").expect(&answer).parse().unwrap()
        });
        assert_eq!(self.a.end(), (0, String::new()));
        assert_eq!(self.b.end(), (0, String::new()));
        nothing_is_left(self.dir.path(), &self.base);
        bad
    }

    /// Closes the bench's sockets, as its death would; returns how both ended.
    pub(crate) fn forsake(self) -> [i32; 2] {
        let Pair { a, b, dir, base } = self;
        let statuses = [a.end().0, b.end().0];
        nothing_is_left(dir.path(), &base);
        statuses
    }
}

/// No file but those of the test, no queue and no shared memory.
fn nothing_is_left(dir: &Path, base: &str) {
    let name = Path::new(base).file_name().unwrap().to_str().unwrap();
    for end in ["there", "back"] {
        assert!(!queue_exists(&format!("/{name}-{end}")), "a queue is left");
        assert!(!Path::new(&format!("/dev/shm/{name}-{end}")).exists());
        let file = format!("{base}.{end}");
        if let Ok(about) = fs::metadata(&file) {
            assert_eq!(about.len(), 0, "{file} is not the test's");
            // As ftok(3) makes it.
            let (device, inode) = (about.dev() as i32 & 0xff, about.ino() as i32);
            let key = i32::from(b'i') << 24 | device << 16 | inode & 0xffff;
            assert_eq!(sysv_queue(key), None, "a System V queue is left");
            fs::remove_file(&file).unwrap();
        }
    }
    let left: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|file| !file.to_string_lossy().ends_with(".stderr"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
