//! The chapter of mutexes: the contract, with the producer as the one that sends and the worker as
//! the one that receives; then what processes leave in shared memory that are killed.

mod support;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use os::cleanup::{Object, remove_now};
use os::mutex::Mutex;
use os::proc::{Activity, activity};
use os::shared::{Shared, mmap};
use os::shm_file::segment_path;
use support::*;
use wire::meet::kernel_prefix_of;

/// Where the words are that these tests write: chapters/mutex/layout.rs.
const VERSION: u64 = 4;
const SLOTS: u64 = 8;
const MUTEX_SIZE: u64 = 12;
const KIND: u64 = 20;
const MUTEX: usize = 64;
const PUT: u64 = 256;
const SLOT: u64 = 4096;
/// The length of a buffer of 8 slots.
const LENGTH: u64 = 4096 + 8 * 4096;

fn mutexes(options: &[&str]) -> Subject {
    let mut subject = subject("mutex");
    let words = |role: &str| -> Vec<OsString> {
        let words = ["mutex", role].into_iter().chain(options.iter().copied());
        [program().into()].into_iter().chain(words.map(OsString::from)).collect()
    };
    (subject.sender, subject.receiver) = (words("producer"), words("worker"));
    (subject.limit, subject.keeps) = (Vec::new(), true);
    (subject.largest, subject.longest) = (4092, 4092);
    subject
}

keeps_the_contract!(
    mutexes(&[]),
    except {
        a_taken_name_is_refused:
            "a kernel name is no path" => what_is_no_buffer_of_ours_is_refused,
    }
);

#[test]
fn count_stops_like_head_and_leaves_the_rest() {
    holds(&mutexes(&[]), contract::count_stops_like_head_and_leaves_the_rest);
}

#[test]
fn workers_share_what_producers_put() {
    let subject = mutexes(&[]);
    let workers = [waiting(&subject), waiting(&subject), waiting(&subject)];
    let put: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    // All are here before one of them is done.
    let producers: Vec<_> =
        put.chunks(100).map(|lines| (typing(&subject, &lines[0]), lines)).collect();
    for (mut producer, lines) in producers {
        producer.feed((lines[1..].join("\n") + "\n").as_bytes()).unwrap();
        done(producer);
    }
    let all: Vec<_> =
        workers.into_iter().flat_map(|worker| done(worker).stdout).collect();
    let all = String::from_utf8(all).unwrap();
    let mut lines: Vec<_> = all.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, put);
    subject.nothing_is_left().unwrap();
}

/// With condition variables of the C library.
mod with_pthread_conditions {
    use super::*;
    keeps_the_clauses! {
        mutexes(&["--condition", "pthread"]);
        one_message, a_thousand_in_order, the_largest_message, binary_bytes,
        lines_of_many_lengths_arrive_as_sent, the_sender_may_be_first,
        the_receiver_may_be_first, the_sender_is_killed, signals_clear_up,
        a_timeout_is_status_124,
    }
}

/// Where each message waits for the one before it to be taken.
mod with_one_slot {
    use super::*;
    keeps_the_clauses! {
        mutexes(&["--slots", "1"]);
        a_thousand_in_order, binary_bytes, the_sender_is_killed_in_full_flow,
    }
}

/// The name in the kernel of the subject's own buffer.
fn kernel_name(subject: &Subject) -> String {
    format!("{}mutex", kernel_prefix_of(Some(subject.dir().as_os_str())))
}

fn file_of(subject: &Subject) -> PathBuf {
    segment_path(&kernel_name(subject))
}

fn open(subject: &Subject) -> File {
    OpenOptions::new().read(true).write(true).open(file_of(subject)).unwrap()
}

/// The buffer's memory, as a process of its own has it.
fn memory_of(subject: &Subject) -> &'static Shared {
    Box::leak(Box::new(mmap(open(subject), LENGTH as usize).unwrap()))
}

/// Starts a worker, and waits until it waits for a producer.
fn waiting(subject: &Subject) -> RoleProcess {
    let worker = subject.start_receiver(&[]).unwrap();
    worker.wait_for_comment("start the other: ", deadline()).unwrap();
    worker
}

/// Starts a producer that has put this line, and waits for more.
fn typing(subject: &Subject, line: &str) -> RoleProcess {
    let mut producer = subject.start_sender(&[], Input::Open).unwrap();
    producer.feed(format!("{line}\n").as_bytes()).unwrap();
    producer.wait_for_comment(line, deadline()).unwrap();
    producer
}

fn done(role: RoleProcess) -> Outcome {
    let name = role.name.clone();
    let outcome = role.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{name}: {}", outcome.stderr);
    outcome
}

#[test]
fn a_role_mends_what_a_killed_owner_left() {
    let subject = mutexes(&[]);
    let worker = waiting(&subject);
    // The kernel treats the end of a thread that has the mutex as that of a process.
    std::thread::scope(|scope| {
        scope.spawn(|| Mutex::at(memory_of(&subject), MUTEX).lock().unwrap());
    });
    let producer =
        done(subject.start_sender(&["one", "two"], Input::Nothing).unwrap());
    let worker = done(worker);
    assert_eq!(worker.stdout, b"one\ntwo\n");
    let told = producer.stderr + &worker.stderr;
    assert_eq!(
        told.matches("EOWNERDEAD: a process was killed").count(),
        1,
        "{told}"
    );
    assert!(told.contains("pthread_mutex_consistent()"), "{told}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_mutex_that_was_lost_for_good_is_told() {
    let subject = mutexes(&[]);
    let worker = waiting(&subject);
    let mutex = Mutex::at(memory_of(&subject), MUTEX);
    // Until we are told, and not the worker, which looks now and then.
    loop {
        std::thread::scope(|scope| {
            scope.spawn(|| Mutex::at(memory_of(&subject), MUTEX).lock().unwrap());
        });
        let told = mutex.lock() == Err(Errno::EOWNERDEAD);
        mutex.unlock().unwrap();
        if told {
            break;
        }
    }
    let line = failure(worker);
    assert!(line.contains("ENOTRECOVERABLE"), "{line}");
    assert!(line.contains("start anew"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_producer_killed_beside_another_is_counted_down() {
    let subject = mutexes(&[]);
    let worker = waiting(&subject);
    let killed = typing(&subject, "first");
    let other = typing(&subject, "second");
    worker.wait_for_output(b"first\nsecond\n", deadline()).unwrap();
    killed.stop(Signal::SIGKILL, deadline()).unwrap();
    worker.wait_for_comment("EOWNERDEAD of seat 0", deadline()).unwrap();
    done(other);
    assert_eq!(done(worker).stdout, b"first\nsecond\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn all_workers_are_told_that_the_producer_was_killed() {
    let subject = mutexes(&[]);
    let workers = [waiting(&subject), waiting(&subject)];
    let producer = typing(&subject, "one");
    until("it is taken", || {
        let memory = memory_of(&subject);
        let word = |at| memory.u32(at).load(std::sync::atomic::Ordering::Relaxed);
        word(PUT as usize + 4) == 1
    });
    producer.stop(Signal::SIGKILL, deadline()).unwrap();
    for worker in workers {
        let line = failure(worker);
        assert!(line.contains("the producer was killed"), "{line}");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_last_of_two_producers_closes_the_buffer() {
    let subject = mutexes(&[]);
    let workers = [waiting(&subject), waiting(&subject), waiting(&subject)];
    let first = typing(&subject, "first");
    let second = typing(&subject, "second");
    let told = done(first).stderr;
    assert!(told.contains("1 more producer here"), "{told}");
    let told = done(second).stderr;
    assert!(told.contains("the goodbye"), "{told}");
    let mut all: Vec<_> =
        workers.into_iter().flat_map(|worker| done(worker).stdout).collect();
    all.sort_unstable();
    let mut sent = b"first\nsecond\n".to_vec();
    sent.sort_unstable();
    assert_eq!(all, sent);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_ninth_producer_is_refused() {
    let subject = mutexes(&[]);
    let producers: Vec<_> =
        (0..8).map(|n| typing(&subject, &format!("of number {n}"))).collect();
    let ninth = subject.start_sender(&["x"], Input::Nothing).unwrap();
    let line = failure(ninth);
    assert!(line.contains("already has 8 producers"), "{line}");
    let worker = subject.start_receiver(&["-q"]).unwrap();
    for producer in producers {
        done(producer);
    }
    assert_eq!(done(worker).stdout.iter().filter(|byte| **byte == b'\n').count(), 8);
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_nobody_took_waits_for_a_later_worker() {
    let subject = mutexes(&["--slots", "3"]);
    let told = send(&subject, &["one", "two"]).stderr;
    assert!(told.contains("start the other: "), "{told}");
    assert!(told.contains("2 messages not taken yet"), "{told}");
    subject.nothing_is_left().expect_err("the messages are gone");
    // Another producer adds to them, and sleeps while there is no slot.
    let producer = subject.start_sender(&["three", "four"], Input::Nothing).unwrap();
    producer.wait_for_comment("the buffer is full", deadline()).unwrap();
    assert_eq!(receive(&subject, &[]), "one\ntwo\nthree\nfour\n");
    done(producer);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_killed_worker_leaves_the_rest_to_another() {
    let subject = mutexes(&["--slots", "2"]);
    let killed = waiting(&subject);
    killed.stop(Signal::SIGKILL, deadline()).unwrap();
    let sent: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    let args: Vec<_> = sent.iter().map(String::as_str).collect();
    let producer = subject.start_sender(&args, Input::Nothing).unwrap();
    assert_eq!(receive(&subject, &["-q"]), sent.join("\n") + "\n");
    done(producer);
    subject.nothing_is_left().unwrap();
}

/// Puts a file in place of the buffer, and returns the worker's line.
fn refused(subject: &Subject, length: u64, words: &[(u64, u32)]) -> String {
    let file = File::create(file_of(subject)).unwrap();
    file.set_len(length).unwrap();
    for (at, word) in words {
        file.write_at(&word.to_le_bytes(), *at).unwrap();
    }
    std::fs::set_permissions(file_of(subject), PermissionsExt::from_mode(0o600))
        .unwrap();
    // By its name, so that it is not ours to remove.
    let name = kernel_name(subject);
    let line = failure(subject.start_receiver(&["--at", &name]).unwrap());
    remove_now(&Object::Segment(name)).unwrap();
    line
}

#[test]
fn what_is_no_buffer_of_ours_is_refused() {
    let subject = mutexes(&[]);
    let magic = (0, u32::from_le_bytes(*b"ipcm"));
    let [mutex, condition] =
        [os::mutex::MUTEX_SIZE, os::mutex::CONDITION_SIZE].map(|size| size as u32);
    let whole =
        [magic, (VERSION, 1), (SLOTS, 8), (MUTEX_SIZE, mutex), (16, condition)];
    let but = |change: (u64, u32)| [&whole[..], &[change]].concat();
    for (length, words, says) in [
        (5, vec![], "it has 5 bytes"),
        (LENGTH + 1, whole.to_vec(), "it has 36865 bytes"),
        (LENGTH, vec![(0, 7)], "something else in it"),
        (LENGTH, but((VERSION, 2)), "its version is 2, and ours 1"),
        (LENGTH, but((SLOTS, 1000)), "it says that it has 1000 slots"),
        (LENGTH, but((MUTEX_SIZE, 999)), "a mutex of 999 bytes there"),
        (LENGTH, but((KIND, 9)), "of a kind 9"),
        (LENGTH, but((PUT, 9)), "say 9 messages in 8 slots"),
        (
            LENGTH,
            [but((PUT, 1)), vec![(SLOT, 4093)]].concat(),
            "a slot says 4093 bytes",
        ),
    ] {
        let line = refused(&subject, length, &words);
        assert!(line.contains(says), "{line}");
    }
    subject.nothing_is_left().unwrap();
}

/// A creator that was killed before its last step: its object has no bytes, or no magic.
#[test]
fn a_buffer_that_is_half_made_is_made_anew() {
    for length in [0, LENGTH] {
        let subject = mutexes(&[]);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file_of(&subject))
            .unwrap();
        file.set_len(length).unwrap();
        let arrived = subject.run(&["one"], Input::Nothing, &[]).unwrap();
        assert_eq!(arrived, b"one\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_role_sleeps_while_another_process_makes_the_buffer() {
    let subject = mutexes(&[]);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file_of(&subject))
        .unwrap();
    let creator = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let worker = subject.start_receiver(&[]).unwrap();
    let asleep = Activity::Asleep(syscalls::Sysno::flock.id() as usize);
    until("it sleeps in flock", || activity(worker.pid()) == asleep);
    drop(creator); // killed, without a byte in it
    worker.wait_for_comment("the magic last", deadline()).unwrap();
    worker.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn an_option_for_a_new_buffer_is_told_of_one_that_is_there() {
    for args in [["--slots", "2", "x"], ["--condition", "pthread", "x"]] {
        let subject = mutexes(&[]);
        let worker = waiting(&subject);
        let producer = send(&subject, &args).stderr;
        let says = format!("{} is for a new buffer", args[0]);
        assert!(producer.contains(&says), "{producer}");
        done(worker);
        subject.nothing_is_left().unwrap();
    }
}
