//! The ring between two threads that have each mapped it, and under a hostile peer.

use std::fs::File;
use std::sync::atomic::Ordering;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::flow::{Reader, Writer};
use super::wait::Waiting;
use super::*;
use os::shared::mmap;

/// A file in memory that holds a ring of this capacity.
fn ring_file(capacity: u64) -> File {
    let fd = memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap();
    let file = File::from(fd);
    file.set_len(length_of(capacity) as u64).unwrap();
    Ring::make(map(&file), capacity);
    file
}

/// A mapping of its own, as another process would have it.
fn map(file: &File) -> Shared {
    mmap(file, file.metadata().unwrap().len() as usize).unwrap()
}

fn writer(file: &File) -> Writer {
    Writer::of(Ring::over(map(file)).unwrap(), Waiting::Sleeping).unwrap()
}

fn reader(file: &File) -> Reader {
    Reader::of(Ring::over(map(file)).unwrap(), Waiting::Sleeping).unwrap()
}

/// A thread that panics leaves its pid, which lives on: the other side would wait for it.
struct DeadIfPanicking(Shared);

impl Drop for DeadIfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.u32(SENDER).store(NOBODY, Ordering::SeqCst);
        }
    }
}

/// No process has this id.
const NOBODY: u32 = u32::MAX;

/// Sends `count` messages of odd lengths through a ring from thread to thread.
fn through(capacity: u64, count: u64, waiting: Waiting) {
    through_both(capacity, count, (waiting, waiting));
}

/// The same; the sender waits in the first way, the receiver in the second.
fn through_both(capacity: u64, count: u64, waiting: (Waiting, Waiting)) {
    let file = ring_file(capacity);
    let theirs = file.try_clone().unwrap();
    let largest = capacity as usize - LENGTH;
    let message = move |number: u64| -> Vec<u8> {
        let length =
            (number.wrapping_mul(0x9e37_79b9) >> 7) as usize % (largest + 1);
        (0..length).map(|i| (number as usize * 31 + i) as u8).collect()
    };
    let sender = std::thread::spawn(move || {
        let ring = Ring::over(map(&theirs)).unwrap();
        let _dead = DeadIfPanicking(map(&theirs));
        let mut writer = Writer::of(ring, waiting.0).unwrap();
        for number in 0..count {
            writer.send(&message(number)).unwrap();
        }
        writer.close().unwrap();
    });
    let ring = Ring::over(map(&file)).unwrap();
    let mut reader = Reader::of(ring, waiting.1).unwrap();
    let mut got = Vec::new();
    for number in 0..count {
        assert!(reader.recv(&mut got).unwrap(), "an early goodbye at {number}");
        assert!(got == message(number), "message {number} differs");
    }
    assert!(!reader.recv(&mut got).unwrap(), "no goodbye");
    sender.join().unwrap();
}

#[test]
fn messages_of_odd_lengths_go_round_the_end_of_small_rings() {
    through(64, 50_000, Waiting::Sleeping);
    through(256, 50_000, Waiting::Sleeping);
    through(4096, 20_000, Waiting::Sleeping);
}

#[test]
fn spinning_sides_need_no_sleep() {
    if std::thread::available_parallelism().map_or(1, usize::from) > 1 {
        through(1024, 20_000, Waiting::Spinning);
    }
}

#[test]
fn one_who_spins_and_one_who_sleeps_understand_each_other() {
    if std::thread::available_parallelism().map_or(1, usize::from) > 1 {
        through_both(1024, 20_000, (Waiting::Spinning, Waiting::Sleeping));
        through_both(1024, 20_000, (Waiting::Sleeping, Waiting::Spinning));
    }
}

#[test]
fn who_never_sleeps_says_so_and_the_next_takes_it_back() {
    let file = ring_file(4096);
    let memory = map(&file);
    let word = memory.u32(RECEIVER_SLEEPS);
    let mut writer = writer(&file);
    let mut got = Vec::new();
    for (waiting, says) in [
        (Waiting::Sleeping, AWAKE),
        (Waiting::Spinning, NEVER_SLEEPS),
        (Waiting::Sleeping, AWAKE),
    ] {
        let ring = Ring::over(map(&file)).unwrap();
        let mut reader = Reader::of(ring, waiting).unwrap();
        assert_eq!(word.load(Ordering::SeqCst), says);
        writer.send(b"hello").unwrap();
        assert!(reader.recv(&mut got).unwrap());
        assert_eq!(word.load(Ordering::SeqCst), says, "the sender changed it");
    }
    // A sleeper is woken, and its word cleared.
    word.store(ASLEEP, Ordering::SeqCst);
    writer.send(b"hello").unwrap();
    assert_eq!(word.load(Ordering::SeqCst), AWAKE);
    // A value that no side writes there means no sleeper.
    word.store(77, Ordering::SeqCst);
    writer.send(b"hello").unwrap();
    assert_eq!(word.load(Ordering::SeqCst), 77);
}

#[test]
fn the_counters_may_pass_the_end_of_their_64_bits() {
    let file = ring_file(64);
    let memory = map(&file);
    let near = u64::MAX - 20;
    memory.u64(HEAD).store(near, Ordering::SeqCst);
    memory.u64(TAIL).store(near, Ordering::SeqCst);
    let (mut writer, mut reader) = (writer(&file), reader(&file));
    let mut got = Vec::new();
    for number in 0..20_u8 {
        writer.send(&[number; 9]).unwrap();
        assert!(reader.recv(&mut got).unwrap());
        assert_eq!(got, [number; 9]);
    }
}

#[test]
fn a_corrupt_head_or_tail_is_an_error_on_both_sides() {
    for (head, tail) in [(65, 0), (u64::MAX, 0), (3, 0), (1 << 40, 5)] {
        let file = ring_file(64);
        let memory = map(&file);
        let mut reader = reader(&file);
        memory.u64(HEAD).store(head, Ordering::SeqCst);
        memory.u64(TAIL).store(tail, Ordering::SeqCst);
        let error = reader.recv(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("corrupt"), "{head} {tail}: {error}");
    }
    for tail in [65, 100, u64::MAX] {
        let file = ring_file(64);
        let mut writer = writer(&file);
        map(&file).u64(TAIL).store(tail, Ordering::SeqCst);
        writer.send(&[0; 60]).unwrap(); // there is room by what it knows
        let error = writer.send(&[0; 60]).unwrap_err();
        assert!(error.to_string().contains("corrupt"), "{tail}: {error}");
        assert!(writer.close().is_err() && writer.drain().is_err());
        let ring = Ring::over(map(&file)).unwrap();
        assert!(Writer::of(ring, Waiting::Sleeping).is_err());
    }
}

#[test]
fn a_length_is_believed_only_as_far_as_bytes_are_there() {
    for length in [5, 100, u32::MAX] {
        let file = ring_file(64);
        let memory = map(&file);
        memory.write(DATA, &length.to_le_bytes());
        memory.u64(HEAD).store(8, Ordering::SeqCst);
        let error = reader(&file).recv(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("corrupt"), "{length}: {error}");
    }
}

#[test]
fn a_header_of_all_sorts_of_bytes_never_panics() {
    let file = ring_file(64);
    let length = length_of(64) as u64;
    let mut good = [0; DATA];
    map(&file).read(0, &mut good);
    assert_eq!(check(&good, length), Ok(64));
    assert_eq!(check(&[0; DATA], length), Err(Flaw::Uninitialized));
    assert_eq!(check(&[0xff; DATA], length), Err(Flaw::NoRing));
    let with = |at: usize, bytes: &[u8]| {
        let mut header = good;
        header[at..at + bytes.len()].copy_from_slice(bytes);
        check(&header, length)
    };
    assert_eq!(with(AT_MAGIC, b"ipc-rinG"), Err(Flaw::NoRing));
    assert_eq!(with(AT_VERSION, &[2, 0, 0, 0]), Err(Flaw::Version(2)));
    assert!(matches!(with(AT_START, &[1]), Err(Flaw::Header(_))));
    for capacity in [0, 1, 63, 65, 96, 1 << 32, 1 << 63, u64::MAX] {
        let refused = with(AT_CAPACITY, &capacity.to_le_bytes());
        assert!(matches!(refused, Err(Flaw::Header(_))), "{capacity}");
    }
    let short = with(AT_CAPACITY, &128_u64.to_le_bytes());
    assert_eq!(short, Err(Flaw::Short { should: 512, has: 448 }));
    // Every byte of the header in turn, each value of it: an answer, and no panic.
    for at in 0..DATA {
        for value in 0..=255 {
            let _ = with(at, &[value]);
        }
    }
}

#[test]
fn a_dead_peer_is_noticed_on_both_sides() {
    let file = ring_file(64);
    let memory = map(&file);
    let (mut writer, mut reader) = (writer(&file), reader(&file));
    writer.send(&[7; 60]).unwrap();
    memory.u32(RECEIVER).store(NOBODY, Ordering::SeqCst);
    let error = writer.send(b"more").unwrap_err();
    assert_eq!(crate::errors::errno(&error), Some(nix::errno::Errno::ESRCH));
    memory.u32(SENDER).store(NOBODY, Ordering::SeqCst);
    let mut got = Vec::new();
    assert!(reader.recv(&mut got).unwrap(), "what it sent before is not lost");
    let error = reader.recv(&mut got).unwrap_err();
    assert!(error.to_string().contains("died"), "{error}");
}
