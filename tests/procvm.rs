//! The procvm chapter: the contract, with the target as the one that sends and the reader as the
//! one that receives; then what a target may say that is not so. There the target is this process.

mod support;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::eventfd::EventFd;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use os::process_identity::ProcessIdentity;
use os::shared::mmap;
use rustix::process::{PTracer, set_ptracer};
use support::*;

fn procvm() -> Subject {
    subject("procvm")
}

keeps_the_contract!(procvm());

/// The words of a table: chapters/procvm.rs.
const NUMBER: usize = 0;
const ADDRESS: usize = 1;
const LENGTH: usize = 2;
const TAKEN: usize = 3;
const READER: usize = 5;

/// This process as the target.
struct Target {
    table: Box<[AtomicU64; 6]>,
    offered: EventFd,
    taken: EventFd,
    place: PathBuf,
}

impl Target {
    fn of(subject: &Subject) -> Target {
        let _ = set_ptracer(PTracer::Any); // EINVAL without Yama
        let table = Box::new([const { AtomicU64::new(0) }; 6]);
        let (offered, taken) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let place = subject.dir().join("procvm");
        Target { table, offered, taken, place }
    }

    fn address(&self) -> u64 {
        self.table.as_ptr().expose_provenance() as u64
    }

    /// Publishes what a target would, with these differences.
    fn publish(&self, start: u64, table: u64, offered: RawFd) {
        let pid = std::process::id();
        let taken = self.taken.as_raw_fd();
        let line = format!("{pid} {start} {table:x} {offered} {taken}\n");
        let unfinished = self.place.with_extension("test");
        std::fs::write(&unfinished, line).unwrap();
        std::fs::rename(unfinished, &self.place).unwrap();
    }

    fn publish_truly(&self) {
        let start = ProcessIdentity::own().unwrap().start;
        self.publish(start, self.address(), self.offered.as_raw_fd());
    }

    /// Offers what is at `address` as the message `number`.
    fn offer(&self, number: u64, address: u64, length: u64) {
        self.table[ADDRESS].store(address, Ordering::Release);
        self.table[LENGTH].store(length, Ordering::Release);
        self.table[NUMBER].store(number, Ordering::Release);
        self.offered.write(1).unwrap();
    }

    fn until_taken(&self, number: u64) {
        until("it is taken", || self.table[TAKEN].load(Ordering::Acquire) == number);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.place);
    }
}

fn reader(subject: &Subject, args: &[&str]) -> RoleProcess {
    subject.start_receiver(args).unwrap()
}

/// Starts a reader, and waits until it waits for a target.
fn waiting(subject: &Subject) -> RoleProcess {
    let reader = reader(subject, &[]);
    reader.wait_for_comment("start the other: ", deadline()).unwrap();
    reader
}

fn printed(reader: RoleProcess) -> Vec<u8> {
    let outcome = reader.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    outcome.stdout
}

#[test]
fn a_stopped_target_is_read_all_the_same() {
    let subject = procvm();
    let target = subject.start_sender(&["hello"], Input::Nothing).unwrap();
    target.wait_for_comment("offer 1: ", deadline()).unwrap();
    until("it sleeps in poll", || {
        let calls = [libc::SYS_poll, libc::SYS_ppoll].map(|call| call as usize);
        matches!(os::proc::activity(target.pid()),
            os::proc::Activity::Asleep(call) if calls.contains(&call))
    });
    target.signal(Signal::SIGSTOP).unwrap();
    waitid(Id::Pid(target.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT)
        .unwrap();
    let reader = reader(&subject, &[]);
    reader.wait_for_output(b"hello\n", deadline()).unwrap();
    target.signal(Signal::SIGCONT).unwrap();
    assert_eq!(printed(reader), b"hello\n");
    assert!(target.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_reader_whose_target_was_killed_is_told() {
    let subject = procvm();
    let target = subject.start_sender(&[], Input::Open).unwrap();
    let reader = reader(&subject, &[]);
    reader.wait_for_comment("our pid are in its table", deadline()).unwrap();
    target.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(reader);
    assert!(line.contains("it has ended before it said so"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_target_whose_reader_was_killed_is_told() {
    let subject = procvm();
    let mut target = subject.start_sender(&[], Input::Open).unwrap();
    target.feed(b"one\n").unwrap();
    let reader = reader(&subject, &[]);
    reader.wait_for_output(b"one\n", deadline()).unwrap();
    reader.stop(Signal::SIGKILL, deadline()).unwrap();
    target.feed(b"two\n").unwrap();
    let line = failure(target);
    assert!(line.contains("the reader's pidfd: it has ended"), "{line}");
    assert!(line.contains("1 message handed over"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_reader_that_leaves_after_the_last_message_has_taken_all() {
    let subject = procvm();
    let target = subject.start_sender(&["one", "two"], Input::Nothing).unwrap();
    assert_eq!(printed(reader(&subject, &["--count", "2"])), b"one\ntwo\n");
    assert!(target.wait(deadline()).unwrap().status.success());
    let target = subject.start_sender(&["one", "two"], Input::Nothing).unwrap();
    assert_eq!(printed(reader(&subject, &["--count", "1"])), b"one\n");
    let line = failure(target);
    assert!(line.contains("1 of 2 messages handed over"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_pid_that_is_another_process_now_is_none() {
    let subject = procvm();
    let stale = Target::of(&subject);
    let start = ProcessIdentity::own().unwrap().start;
    stale.publish(start + 1, stale.address(), stale.offered.as_raw_fd());
    let reader = waiting(&subject);
    assert_eq!(stale.table[READER].load(Ordering::Acquire), 0, "it was written to");
    let target = subject.start_sender(&["hello"], Input::Nothing).unwrap();
    assert_eq!(printed(reader), b"hello\n");
    assert!(target.wait(deadline()).unwrap().status.success());
    drop(stale);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_reader_is_told_who_is_here() {
    let subject = procvm();
    let first = waiting(&subject);
    let line = failure(reader(&subject, &[]));
    let taken = format!("the reader's place is taken by pid {}", first.pid());
    assert!(line.contains(&taken), "{line}");
    let mut target = subject.start_sender(&[], Input::Open).unwrap();
    target.wait_for_comment("published ", deadline()).unwrap();
    let line = failure(subject.start_sender(&["y"], Input::Nothing).unwrap());
    let taken = format!("the target's place is taken by pid {}", target.pid());
    assert!(line.contains(&taken), "{line}");
    target.feed(b"x\n").unwrap();
    target.close_stdin();
    assert_eq!(printed(first), b"x\n");
    assert!(target.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_message_that_changes_while_it_is_copied_is_copied_again() {
    let subject = procvm();
    let target = Target::of(&subject);
    let text = vec![b'x'; 8 << 20];
    target.offer(1, text.as_ptr().expose_provenance() as u64, text.len() as u64);
    target.publish_truly();
    // A reader that has had its copy while the other thread had no CPU is followed by another.
    loop {
        let is_over = AtomicBool::new(false);
        let (reader, seen, last) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut number = target.table[NUMBER].load(Ordering::Acquire);
                while !is_over.load(Ordering::Acquire) {
                    number += 1;
                    target.table[NUMBER].store(number, Ordering::Release);
                }
                number
            });
            let reader = reader(&subject, &["--count", "1"]);
            let seen = reader
                .wait_for_comment("has changed while it was copied", deadline());
            is_over.store(true, Ordering::Release);
            (reader, seen, writer.join().unwrap())
        });
        assert_eq!(printed(reader), [&text[..], b"\n"].concat());
        if seen.is_ok() {
            // Perhaps the last, or one at which the other thread had no CPU.
            let taken = target.table[TAKEN].load(Ordering::Acquire);
            assert!((1..=last).contains(&taken), "{taken} of {last}");
            break;
        }
    }
    drop(target);
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_target_says_is_not_believed() {
    let subject = procvm();
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    // The second page is mapped, and no page of the file.
    let memory = mmap(&file, 8192).unwrap();
    memory.write(0, &[b'x'; 4096]);
    let start = memory.address() as u64;
    for (address, length, said) in [
        (start, 5000, "only 4096 of 5,000 bytes at"),
        (start + 4096, 1, "EFAULT"),
        (8, 1, "EFAULT"),
        (u64::MAX, 1, "EFAULT"),
        (start, u64::MAX, "a message of 18,446,744,073,709,551,615 bytes"),
        (start, (16 << 20) + 1, "raise --max-message for both roles"),
    ] {
        let target = Target::of(&subject);
        target.offer(1, address, length);
        target.publish_truly();
        let line = failure(reader(&subject, &[]));
        assert!(line.contains(said), "{said}: {line}");
        assert_eq!(target.table[TAKEN].load(Ordering::Acquire), 0, "{said}");
    }
    for table in [0, 7, start + 4096, u64::MAX] {
        let target = Target::of(&subject);
        target.publish(0, table, target.offered.as_raw_fd());
        let line = failure(reader(&subject, &[]));
        assert!(line.contains("EFAULT"), "{table:x}: {line}");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_start_that_is_not_told_is_not_compared() {
    let subject = procvm();
    let target = Target::of(&subject);
    let text = "hello";
    target.offer(1, text.as_ptr().expose_provenance() as u64, text.len() as u64);
    target.publish(0, target.address(), target.offered.as_raw_fd());
    let reader = reader(&subject, &[]);
    target.until_taken(1);
    assert_eq!(target.taken.read().map(|times| times > 0), Ok(true));
    let pid = u64::try_from(reader.pid().as_raw()).unwrap();
    assert_eq!(target.table[READER].load(Ordering::Acquire), pid);
    target.offer(2, 0, 0);
    assert_eq!(printed(reader), b"hello\n");
    drop(target);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_descriptor_that_is_no_eventfd_is_refused() {
    let subject = procvm();
    let target = Target::of(&subject);
    let mut file = tempfile::tempfile().unwrap();
    target.publish(0, target.address(), file.as_raw_fd());
    let line = failure(reader(&subject, &[]));
    assert!(line.contains("it is no eventfd"), "{line}");
    let mut text = Vec::new();
    file.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"");
    target.publish(0, target.address(), 1 << 20);
    let line = failure(reader(&subject, &[]));
    assert!(line.contains("EBADF"), "{line}");
    drop(target);
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_is_no_targets_file_is_refused() {
    let subject = procvm();
    let place = subject.dir().join("procvm");
    for text in
        ["", "1 2 3\n", "0 0 0 0 0\n", "1 0 x 3 4\n", "1 0 0 -3 4\n", "1 0 0 3 4"]
    {
        std::fs::write(&place, text).unwrap();
        let line = failure(reader(&subject, &[]));
        assert!(line.contains("is not what a target publishes"), "{text:?}: {line}");
        let line = failure(subject.start_sender(&["x"], Input::Nothing).unwrap());
        assert!(line.contains("is not what a target publishes"), "{text:?}: {line}");
        assert_eq!(
            std::fs::read_to_string(&place).unwrap(),
            text,
            "it is left alone"
        );
    }
    std::fs::remove_file(place).unwrap();
    subject.nothing_is_left().unwrap();
}

/// A reader with fewer capabilities than the target may not trace it, though it is the same user.
#[test]
fn a_reader_that_may_not_trace_the_target_is_told_why() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only a process of root has capabilities to give up");
    }
    if !have("setpriv") {
        return;
    }
    let subject = procvm();
    let target = Target::of(&subject);
    target.publish_truly();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    let words = subject.receiver_command(&[]);
    command.arg(words.get_program()).args(words.get_args());
    command.env("IPCLAB_DIR", subject.dir());
    let line = contract::failed_clearly(&run(command, Input::Nothing)).unwrap();
    assert!(line.contains("EPERM"), "{line}");
    assert!(line.contains("PR_SET") || line.contains("ptrace_scope"), "{line}");
    assert_eq!(target.table[READER].load(Ordering::Acquire), 0);
    drop(target);
    subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_the_path_once_it_can_be_read() {
    let subject = procvm();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3>&1; exec \"$0\" -q procvm target --ready-fd 3 hello"]);
    shell.arg(program()).env("IPCLAB_DIR", subject.dir());
    let target = RoleProcess::start("target", shell, Input::Nothing).unwrap();
    let place = subject.dir().join("procvm");
    let line = format!("{}\n", place.display());
    target.wait_for_output(line.as_bytes(), deadline()).unwrap();
    let mut text = String::new();
    File::open(place).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with(&format!("{} ", target.pid())), "{text}");
    assert_eq!(printed(reader(&subject, &[])), b"hello\n");
    assert!(target.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}
