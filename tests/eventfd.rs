//! The eventfd chapter. The contract's clauses about messages do not apply, since an eventfd
//! carries none; what they ask is asked here in numbers.

mod support;

use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;

use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::pipe2;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use support::*;

/// The most that the counter holds.
const MOST: &str = "18446744073709551614";

/// The chapter with the waiter as the role that receives.
fn eventfd() -> Subject {
    let mut subject = subject("eventfd");
    let words = |role: &str| -> Vec<OsString> {
        let words = ["eventfd", role].map(OsString::from);
        [program().into()].into_iter().chain(words).collect()
    };
    (subject.sender, subject.receiver) = (words("notifier"), words("waiter"));
    subject
}

keeps_the_contract!(eventfd(), except {
    one_message: "asked of numbers" => the_waiter_may_be_first,
    a_thousand_in_order: "asked of numbers" => a_thousand_numbers_are_one_sum,
    an_empty_message:
        "asked of numbers" => what_is_no_number_is_refused_before_anything_is_opened,
    the_largest_message:
        "asked of numbers" => a_number_that_does_not_fit_waits_for_the_waiter,
    one_byte_too_many:
        "asked of numbers" => what_is_no_number_is_refused_before_anything_is_opened,
    arguments_are_checked_first:
        "asked of numbers" => what_is_no_number_is_refused_before_anything_is_opened,
    binary_bytes: "a number carries no bytes",
    sixty_four_mebibytes_arrive_to_the_byte: "a number carries no bytes",
    lines_of_many_lengths_arrive_as_sent: "a number carries no bytes",
    a_closed_output_is_a_quiet_end: "asked of numbers" => a_closed_output_is_a_quiet_end,
    the_sender_may_be_first: "asked of numbers" => the_notifier_may_be_first,
    the_receiver_may_be_first: "asked of numbers" => the_waiter_may_be_first,
    a_stale_name_is_recovered:
        "asked of numbers" => a_killed_waiter_leaves_a_name_that_the_next_pair_uses,
    the_sender_is_killed:
        "asked of numbers" => the_waiter_ends_with_a_notifier_that_was_killed,
    the_sender_is_killed_in_full_flow:
        "asked of numbers" => the_waiter_ends_with_a_notifier_that_was_killed,
    the_receiver_is_killed:
        "asked of numbers" => a_notifier_whose_waiter_was_killed_is_told,
    signals_clear_up: "asked of numbers" => signals_clear_up,
});

/// Starts a waiter, and waits until it is about to sleep.
fn waiting(subject: &Subject, args: &[&str]) -> RoleProcess {
    let waiter = subject.start_receiver(args).unwrap();
    waiter.wait_for_comment("epoll_wait() sleeps", deadline()).unwrap();
    waiter
}

/// Starts a notifier that reads its numbers from us, and waits until it has the eventfd.
fn notifier(subject: &Subject) -> RoleProcess {
    let notifier = subject.start_sender(&[], Input::Open).unwrap();
    notifier.wait_for_comment("we have a copy", deadline()).unwrap();
    notifier
}

fn done(role: RoleProcess) -> Outcome {
    let name = role.name.clone();
    let outcome = role.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{name}: {}", outcome.stderr);
    outcome
}

/// What the waiter took, a read a line.
fn took(waiter: RoleProcess) -> Vec<u64> {
    let printed = String::from_utf8(done(waiter).stdout).unwrap();
    let number = |line: &str| line.strip_prefix("took ").unwrap().parse().unwrap();
    printed.lines().map(number).collect()
}

#[test]
fn the_waiter_may_be_first() {
    let subject = eventfd();
    let waiter = subject.start_receiver(&[]).unwrap();
    waiter.wait_for_comment("start the other: ", deadline()).unwrap();
    send(&subject, &["3"]);
    assert_eq!(took(waiter), [3]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_notifier_may_be_first() {
    let subject = eventfd();
    let notifier = subject.start_sender(&["3"], Input::Nothing).unwrap();
    notifier.wait_for_comment("no waiter listens there yet", deadline()).unwrap();
    notifier.wait_for_comment("start the other: ", deadline()).unwrap();
    let waiter = subject.start_receiver(&[]).unwrap();
    done(notifier);
    assert_eq!(took(waiter), [3]);
    subject.nothing_is_left().unwrap();
}

/// A waiter that is stopped while three numbers are written.
fn three_numbers_at_once(args: &[&str]) -> Vec<u64> {
    let subject = eventfd();
    let waiter = waiting(&subject, args);
    let mut notifier = notifier(&subject);
    waiter.signal(Signal::SIGSTOP).unwrap();
    notifier.feed(b"1\n2\n3\n").unwrap();
    notifier.close_stdin();
    done(notifier);
    waiter.signal(Signal::SIGCONT).unwrap();
    let all = took(waiter);
    subject.nothing_is_left().unwrap();
    all
}

#[test]
fn several_writes_are_one_read() {
    assert_eq!(three_numbers_at_once(&[]), [6]);
}

#[test]
fn as_a_semaphore_each_read_takes_one() {
    assert_eq!(three_numbers_at_once(&["--semaphore"]), [1; 6]);
    assert_eq!(three_numbers_at_once(&["--semaphore", "--total", "4"]), [1; 4]);
}

#[test]
fn a_thousand_numbers_are_one_sum() {
    let subject = eventfd();
    let waiter = waiting(&subject, &[]);
    let numbers: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    let notifier = subject.start_sender(&[], Input::Bytes(numbers.into())).unwrap();
    done(notifier);
    assert_eq!(took(waiter).iter().sum::<u64>(), 500_500);
    subject.nothing_is_left().unwrap();
}

#[test]
fn notifiers_at_the_same_time_add_to_one_counter() {
    let subject = eventfd();
    let waiter = waiting(&subject, &["--total", "1000"]);
    let numbers = "1\n".repeat(250);
    let notifiers = [(); 4].map(|()| {
        let input = Input::Bytes(numbers.clone().into());
        subject.start_sender(&[], input).unwrap()
    });
    for notifier in notifiers {
        done(notifier);
    }
    assert_eq!(took(waiter).iter().sum::<u64>(), 1000);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_total_outlives_the_notifiers() {
    let subject = eventfd();
    let waiter = waiting(&subject, &["--total", "5"]);
    send(&subject, &["2"]);
    waiter.wait_for_comment("no notifier is here any more", deadline()).unwrap();
    send(&subject, &["3"]);
    assert_eq!(took(waiter), [2, 3]);
    subject.nothing_is_left().unwrap();
}

/// A notifier that sleeps in its second write, and a waiter that is stopped.
fn a_notifier_that_sleeps(subject: &Subject) -> (RoleProcess, RoleProcess) {
    let waiter = waiting(subject, &[]);
    let mut notifier = notifier(subject);
    waiter.signal(Signal::SIGSTOP).unwrap();
    notifier.feed(format!("{MOST}\n7\n").as_bytes()).unwrap();
    notifier.close_stdin();
    notifier.wait_for_comment("write() sleeps until", deadline()).unwrap();
    (waiter, notifier)
}

#[test]
fn a_number_that_does_not_fit_waits_for_the_waiter() {
    let subject = eventfd();
    let (waiter, notifier) = a_notifier_that_sleeps(&subject);
    waiter.signal(Signal::SIGCONT).unwrap();
    done(notifier);
    assert_eq!(took(waiter), [u64::MAX - 1, 7]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_notifier_that_sleeps_in_write_is_told_that_its_waiter_was_killed() {
    let subject = eventfd();
    let (waiter, notifier) = a_notifier_that_sleeps(&subject);
    waiter.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(notifier);
    assert!(line.contains("EPIPE"), "{line}");
    assert!(line.contains("1 message handed over"), "{line}");
}

#[test]
fn a_notifier_whose_waiter_was_killed_is_told() {
    let subject = eventfd();
    let waiter = waiting(&subject, &[]);
    let mut notifier = notifier(&subject);
    notifier.feed(b"1\n").unwrap();
    waiter.wait_for_output(b"took 1\n", deadline()).unwrap();
    waiter.stop(Signal::SIGKILL, deadline()).unwrap();
    notifier.feed(b"2\n").unwrap();
    let line = failure(notifier);
    assert!(line.contains("EPIPE"), "{line}");
    assert!(line.contains("1 message handed over"), "{line}");
}

#[test]
fn the_waiter_ends_with_a_notifier_that_was_killed() {
    let subject = eventfd();
    let waiter = waiting(&subject, &[]);
    let mut notifier = notifier(&subject);
    notifier.feed(b"4\n").unwrap();
    waiter.wait_for_output(b"took 4\n", deadline()).unwrap();
    notifier.stop(Signal::SIGKILL, deadline()).unwrap();
    assert_eq!(took(waiter), [4]);
    subject.nothing_is_left().unwrap();
    // In full flow: what it has written is taken, and the waiter ends.
    let waiter = waiting(&subject, &[]);
    let mut notifier = subject.start_sender(&["-q"], Input::Open).unwrap();
    notifier.feed("1\n".repeat(2000).as_bytes()).unwrap();
    waiter.wait_for_output(b"took ", deadline()).unwrap();
    notifier.stop(Signal::SIGKILL, deadline()).unwrap();
    let sum = took(waiter).iter().sum::<u64>();
    assert!((1..=2000).contains(&sum), "{sum}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_killed_waiter_leaves_a_name_that_the_next_pair_uses() {
    let subject = eventfd();
    waiting(&subject, &[]).stop(Signal::SIGKILL, deadline()).unwrap();
    subject.nothing_is_left().expect_err("it was killed too late");
    let waiter = waiting(&subject, &[]);
    send(&subject, &["3"]);
    assert_eq!(took(waiter), [3]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn clean_removes_what_a_killed_waiter_left() {
    let subject = eventfd();
    waiting(&subject, &[]).stop(Signal::SIGKILL, deadline()).unwrap();
    let cleaned = run(ipclab(&subject, &["clean"]), Input::Nothing);
    assert!(cleaned.status.success(), "{}", cleaned.stderr);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_waiter_is_told_who_has_the_place() {
    let subject = eventfd();
    let first = waiting(&subject, &[]);
    let line = failure(subject.start_receiver(&[]).unwrap());
    let taken = format!("the waiter's place is taken by pid {}", first.pid());
    assert!(line.contains(&taken), "{line}");
    first.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn signals_clear_up() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let subject = eventfd();
        let ended = waiting(&subject, &[]).stop(signal, deadline()).unwrap();
        assert_eq!(ended.status.signal(), Some(signal as i32));
        subject.nothing_is_left().unwrap();
        let (waiter, notifier) = a_notifier_that_sleeps(&subject);
        let ended = notifier.stop(signal, deadline()).unwrap();
        assert_eq!(ended.status.signal(), Some(signal as i32));
        waiter.signal(Signal::SIGCONT).unwrap();
        assert_eq!(took(waiter), [u64::MAX - 1]);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_closed_output_is_a_quiet_end() {
    let subject = eventfd();
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(reading);
    let (command, output) = (subject.receiver_command(&[]), Output::To(writing));
    let waiter =
        RoleProcess::start_with("waiter", command, Input::Nothing, output, None);
    let notifier = subject.start_sender(&["1"], Input::Nothing).unwrap();
    let waiter = done(waiter.unwrap());
    assert!(!waiter.stderr.contains("ipclab: "), "{}", waiter.stderr);
    done(notifier);
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_is_no_number_is_refused_before_anything_is_opened() {
    let subject = eventfd();
    for wrong in
        ["one", "", "18446744073709551615", "1.5", "-1", "99999999999999999999"]
    {
        let args = ["1", "--", wrong];
        let line = failure(subject.start_sender(&args, Input::Nothing).unwrap());
        assert!(line.contains(&format!("{wrong:?} is no number")), "{line}");
        assert!(line.contains(MOST), "{line}");
        subject.nothing_is_left().unwrap();
    }
    let waiter = waiting(&subject, &[]);
    let input = Input::Bytes(b"2\ntwo\n".to_vec());
    let line = failure(subject.start_sender(&[], input).unwrap());
    assert!(line.contains("line 2: \"two\" is no number"), "{line}");
    assert_eq!(took(waiter), [2]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_the_path_once_the_socket_is_there() {
    let subject = eventfd();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec 3>&1; exec \"$0\" -q eventfd waiter --ready-fd 3"]);
    shell.arg(program()).env("IPCLAB_DIR", subject.dir());
    let waiter = RoleProcess::start("waiter", shell, Input::Nothing).unwrap();
    let line = format!("{}\n", subject.dir().join("eventfd").display());
    waiter.wait_for_output(line.as_bytes(), deadline()).unwrap();
    waiter.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

/// A stranger's waiter: it passes these descriptors with these bytes, to the one notifier.
fn pass(
    subject: &Subject,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> UnixStream {
    let path = subject.dir().join("eventfd");
    let listener = UnixListener::bind(&path).unwrap();
    let (connection, _) = listener.accept().unwrap();
    std::fs::remove_file(path).unwrap();
    let numbers: Vec<_> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights[..] };
    let (bytes, flags) = ([IoSlice::new(bytes)], MsgFlags::MSG_NOSIGNAL);
    sendmsg::<()>(connection.as_raw_fd(), &bytes, rights, flags, None).unwrap();
    connection
}

#[test]
fn a_descriptor_that_is_no_eventfd_is_refused_unwritten() {
    let subject = eventfd();
    let path = subject.dir().join("precious");
    let file = File::create_new(&path).unwrap();
    let notifier = subject.start_sender(&["1"], Input::Nothing).unwrap();
    let _connection = pass(&subject, b"x", &[file.as_fd()]);
    let line = failure(notifier);
    assert!(line.contains("is no eventfd"), "{line}");
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    std::fs::remove_file(path).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_waiter_that_breaks_the_protocol_is_named() {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap();
    let one = [event.as_fd()];
    let cases: [(&[u8], &[BorrowedFd<'_>], &str); 3] = [
        (b"y", &one, "byte 0x79 with 1 descriptors"),
        (b"x", &[], "byte 0x78 with 0 descriptors"),
        (b"x", &[event.as_fd(), event.as_fd()], "descriptor"),
    ];
    for (bytes, descriptors, said) in cases {
        let subject = eventfd();
        let notifier = subject.start_sender(&["1"], Input::Nothing).unwrap();
        let _connection = pass(&subject, bytes, descriptors);
        let line = failure(notifier);
        assert!(line.contains(said), "{line}");
        assert!(line.contains(&format!("pid {}", std::process::id())), "{line}");
    }
    let subject = eventfd();
    let listener = UnixListener::bind(subject.dir().join("eventfd")).unwrap();
    let notifier = subject.start_sender(&["1"], Input::Nothing).unwrap();
    drop(listener.accept().unwrap());
    let line = failure(notifier);
    assert!(line.contains("has passed no eventfd"), "{line}");
    assert_eq!(rustix::io::ioctl_fionbio(&event, true), Ok(()));
    assert_eq!(event.read(), Err(nix::errno::Errno::EAGAIN), "it was written to");
}

#[test]
fn an_eventfd_that_does_not_let_a_write_sleep_is_written_to_all_the_same() {
    let subject = eventfd();
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let event = event.unwrap();
    event.write(u64::MAX - 1).unwrap();
    let notifier = subject.start_sender(&["5"], Input::Nothing).unwrap();
    let _connection = pass(&subject, b"x", &[event.as_fd()]);
    notifier.wait_for_comment("write() sleeps until", deadline()).unwrap();
    assert_eq!(event.read(), Ok(u64::MAX - 1));
    done(notifier);
    assert_eq!(event.read(), Ok(5));
}

/// A stranger's notifier: the eventfd, and the connection.
fn be_passed(subject: &Subject) -> (OwnedFd, UnixStream) {
    let connection = UnixStream::connect(subject.dir().join("eventfd")).unwrap();
    let mut room =
        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&connection, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let event = rights.next().unwrap().next().unwrap();
    (event, connection)
}

#[test]
fn a_process_that_reads_the_eventfd_does_not_stop_the_waiter() {
    let subject = eventfd();
    let waiter = waiting(&subject, &[]);
    let (event, connection) = be_passed(&subject);
    assert_eq!(rustix::io::ioctl_fionbio(&event, true), Ok(()));
    let mut ours = 0;
    for _ in 0..2000 {
        nix::unistd::write(&event, &1_u64.to_ne_bytes()).unwrap();
        let mut number = [0; 8];
        let read = nix::unistd::read(&event, &mut number);
        ours += read.map_or(0, |_| u64::from_ne_bytes(number));
    }
    drop((event, connection));
    assert_eq!(took(waiter).iter().sum::<u64>() + ours, 2000);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_stranger_that_says_something_or_nothing_is_no_notifier_that_left() {
    let subject = eventfd();
    let waiter = waiting(&subject, &[]);
    let (event, mut connection) = be_passed(&subject);
    std::io::Write::write_all(&mut connection, b"hello").unwrap();
    send(&subject, &["2"]);
    waiter.wait_for_output(b"took 2\n", deadline()).unwrap();
    nix::unistd::write(&event, &3_u64.to_ne_bytes()).unwrap();
    waiter.wait_for_output(b"took 3\n", deadline()).unwrap();
    drop(connection);
    assert_eq!(took(waiter), [2, 3]);
    subject.nothing_is_left().unwrap();
}
