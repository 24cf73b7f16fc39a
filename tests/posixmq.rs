//! The chapter of POSIX message queues: the contract, then what is special to it.

mod support;

use nix::mqueue::{MQ_OFlag, MqAttr};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use os::cleanup::{Object, remove_now};
use os::mqueue::{Queue, mq_open};
use os::names::{queue_exists, waiting};
use os::spawn::limit;
use support::*;
use wire::meet::kernel_prefix_of;

keeps_the_contract!(
    small(),
    except {
        a_taken_name_is_refused: "in the kernel's name space of queues are only queues",
    }
);

/// The chapter with small queues: all of a user's share RLIMIT_MSGQUEUE, 819,200 bytes.
fn small() -> Subject {
    let mut subject = large();
    for role in [&mut subject.sender, &mut subject.receiver] {
        role.extend(["--maxmsg", "4", "--msgsize", "512"].map(Into::into));
    }
    subject.largest = 512;
    subject
}

/// The chapter with queues of the kernel's default size.
fn large() -> Subject {
    let mut subject = subject("posixmq");
    (subject.limit, subject.keeps) = (Vec::new(), true);
    subject.largest = 8192;
    subject
}

/// The queue's name in this subject's directory.
fn name_of(subject: &Subject) -> String {
    kernel_prefix_of(Some(subject.dir().as_os_str())) + "posixmq"
}

/// Sends these arguments and looks that it went well.
fn send(subject: &Subject, args: &[&str]) -> Outcome {
    let sender = subject.start_sender(args, Input::Nothing).unwrap();
    let sender = sender.wait(deadline()).unwrap();
    assert!(sender.status.success(), "{}", sender.stderr);
    sender
}

/// What a receiver prints that is started with these arguments, and ends well.
fn receive(subject: &Subject, args: &[&str]) -> String {
    let receiver = subject.start_receiver(args).unwrap().wait(deadline()).unwrap();
    assert!(receiver.status.success(), "{}", receiver.stderr);
    String::from_utf8(receiver.stdout).unwrap()
}

/// The line of a role that fails.
fn failure(role: RoleProcess) -> String {
    contract::failed_clearly(&role.wait(deadline()).unwrap()).unwrap()
}

#[test]
fn the_highest_priority_comes_first_and_the_oldest_within_one() {
    let subject = large();
    send(&subject, &["low", "low too"]);
    send(&subject, &["--priority", "32767", "high", "high too"]);
    assert_eq!(receive(&subject, &[]), "high\nhigh too\nlow\nlow too\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn sending_may_end_before_receiving_starts() {
    let subject = small();
    send(&subject, &["one"]);
    assert_eq!(waiting(&Object::Queue(name_of(&subject))), 2);
    let second = send(&subject, &["two"]);
    assert!(second.stderr.contains("2 messages from before"), "{}", second.stderr);
    assert_eq!(receive(&subject, &[]), "one\ntwo\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_stream_without_messages_ends_too() {
    let subject = small();
    send(&subject, &["--bytes"]);
    assert_eq!(receive(&subject, &["--bytes"]), "");
    subject.nothing_is_left().unwrap();
}

#[test]
fn clean_keeps_what_waits_unless_told_otherwise() {
    let subject = small();
    send(&subject, &["one"]);
    let kept = run(ipclab(&subject, &["clean"]), Input::Nothing).stdout;
    let kept = String::from_utf8(kept).unwrap();
    assert!(kept.contains("2 messages in it; --pending removes it"), "{kept}");
    let gone = run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing).stdout;
    assert!(String::from_utf8(gone).unwrap().contains("removed queue"));
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_sender_says_that_it_sleeps_before_it_does() {
    let subject = small();
    let sender = subject.start_sender(&["1", "2", "3", "4", "5"], Input::Nothing);
    let sender = sender.unwrap();
    sender.wait_for_comment("the queue is full, 4 messages", deadline()).unwrap();
    assert_eq!(receive(&subject, &[]), "1\n2\n3\n4\n5\n");
    let sender = sender.wait(deadline()).unwrap();
    let named = sender.stderr.matches("start the other: ").count();
    assert!(sender.status.success() && named == 2, "{}", sender.stderr);
    subject.nothing_is_left().unwrap();
}

#[test]
fn nonblock_takes_what_waits_and_ends() {
    let subject = small();
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.feed(b"one\ntwo\n").unwrap();
    sender.wait_for_comment("two", deadline()).unwrap();
    let queue = Object::Queue(name_of(&subject));
    until("two messages wait", || waiting(&queue) == 2);
    assert_eq!(receive(&subject, &["--nonblock"]), "one\ntwo\n");
    let line = failure(subject.start_receiver(&["--nonblock"]).unwrap());
    assert!(line.contains("EAGAIN") && line.contains("is empty"), "{line}");
    sender.close_stdin();
    assert!(sender.wait(deadline()).unwrap().status.success());
    assert_eq!(receive(&subject, &["--nonblock"]), "");
    subject.nothing_is_left().unwrap();
}

#[test]
fn count_stops_like_head_and_leaves_the_rest() {
    let subject = small();
    for _ in 0..2 {
        let receiver = subject.start_receiver(&["--count", "1"]).unwrap();
        receiver.wait_for_comment("start the other: ", deadline()).unwrap();
        send(&subject, &["one"]);
        assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"one\n");
        subject.nothing_is_left().unwrap();
    }
    // Neither does a goodbye alone keep the queue when the receiver leaves last.
    send(&subject, &["one"]);
    assert_eq!(receive(&subject, &["--count", "1"]), "one\n");
    subject.nothing_is_left().unwrap();
    send(&subject, &["1", "2", "3"]);
    assert_eq!(receive(&subject, &["--count", "2"]), "1\n2\n");
    assert_eq!(receive(&subject, &[]), "3\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn two_receivers_share_what_one_sender_sends() {
    let subject = small();
    let mut receivers = [(); 2].map(|()| {
        let receiver = subject.start_receiver(&[]).unwrap();
        receiver.wait_for_comment("sleeps until a message", deadline()).unwrap();
        receiver
    });
    let text: String = (0..100).map(|n| format!("{n}\n")).collect();
    let input = Input::Bytes(text.into_bytes());
    let sender = subject.start_sender(&[], input).unwrap();
    assert!(sender.wait(deadline()).unwrap().status.success());
    // The goodbye ends one of the two; another sender's ends the other.
    until("one has ended", || receivers.iter_mut().any(RoleProcess::has_ended));
    send(&subject, &[]);
    let mut all = String::new();
    for receiver in receivers {
        let receiver = receiver.wait(deadline()).unwrap();
        assert!(receiver.status.success(), "{}", receiver.stderr);
        all += &String::from_utf8(receiver.stdout).unwrap();
    }
    let mut numbers: Vec<u32> =
        all.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100), "{all}");
    let _ = run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_sender_is_told_who_has_the_place() {
    let subject = small();
    let first = subject.start_sender(&[], Input::Open).unwrap();
    first.wait_for_comment("start the other: ", deadline()).unwrap();
    let line = failure(subject.start_sender(&["x"], Input::Nothing).unwrap());
    let taken = format!("taken by pid {}", first.pid());
    assert!(line.contains(&taken) && line.contains("--at NAME"), "{line}");
    first.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn at_names_a_queue_of_its_own() {
    let subject = small();
    let name = format!("{}-mine", name_of(&subject));
    let sender = send(&subject, &["--at", &name, "hello"]);
    assert!(sender.stderr.contains(&format!("--at {name}")), "{}", sender.stderr);
    assert!(queue_exists(&name));
    // The slash in front may be left out.
    assert_eq!(receive(&subject, &["--at", &name[1..]]), "hello\n");
    assert!(!queue_exists(&name));
    subject.nothing_is_left().unwrap();
}

/// Makes a queue that is none of ours.
fn make(name: &str, mode: Mode, maxmsg: i64, msgsize: i64) -> Queue {
    let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
    let attr = MqAttr::new(0, maxmsg, msgsize, 0);
    mq_open(name, flags | MQ_OFlag::O_CLOEXEC, mode, Some(&attr)).unwrap()
}

#[test]
fn a_queue_that_a_stranger_made_under_a_name_of_its_own_stays() {
    let subject = small();
    let name = format!("{}-theirs", name_of(&subject));
    let made = make(&name, Mode::S_IRUSR | Mode::S_IWUSR, 3, 77);
    let sender = send(&subject, &["--at", &name, "hello"]);
    assert!(
        sender
            .stderr
            .contains("found a queue with room for 3 messages of up to 77 bytes")
    );
    assert!(sender.stderr.contains("--maxmsg and --msgsize change no queue"));
    assert_eq!(receive(&subject, &["--at", &name]), "hello\n");
    assert!(queue_exists(&name));
    let line = failure(
        subject
            .start_sender(&["--at", &name, &"x".repeat(78)], Input::Nothing)
            .unwrap(),
    );
    assert!(
        line.contains("at most 77 bytes") && line.contains("--msgsize"),
        "{line}"
    );
    drop(made);
    remove_now(&Object::Queue(name)).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn an_empty_message_cannot_have_the_priority_of_the_goodbye() {
    let subject = small();
    let line = failure(
        subject.start_sender(&["--priority", "0", ""], Input::Nothing).unwrap(),
    );
    assert!(line.contains("goodbye") && line.contains("--priority 1"), "{line}");
    subject.nothing_is_left().unwrap();
    send(&subject, &["--priority", "0", "as low as the goodbye"]);
    assert_eq!(receive(&subject, &[]), "as low as the goodbye\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn numbers_that_cannot_be_are_usage_errors() {
    let subject = small();
    for bad in [["--priority", "32768"], ["--priority", "-1"], ["--msgsize", "0"]] {
        let role =
            subject.start_sender(&[bad[0], bad[1], "x"], Input::Nothing).unwrap();
        let outcome = role.wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(2), "{bad:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn silence_is_explained_after_two_seconds() {
    let subject = small();
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    let receiver = subject.start_receiver(&[]).unwrap();
    sender.feed(b"one\n").unwrap();
    receiver.wait_for_output(b"one\n", deadline()).unwrap();
    sender.stop(Signal::SIGKILL, deadline()).unwrap();
    receiver.wait_for_comment(r#"q.send(b"")"#, deadline()).unwrap();
    // It goes on waiting.
    send(&subject, &["two"]);
    let receiver = receiver.wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"one\ntwo\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_receiver_of_an_unlinked_queue_says_so() {
    let subject = small();
    let receiver = subject.start_receiver(&[]).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    remove_now(&Object::Queue(name_of(&subject))).unwrap();
    let line = failure(receiver);
    assert!(line.contains("was unlinked"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_receives_what_we_send() {
    let subject = small();
    let name = name_of(&subject);
    let script = "posixmq_receiver.py";
    let Some(python) = python_with("posix_ipc", &subject, script, &[&name]) else {
        return;
    };
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    reader.wait_for_output(b"ready\n", deadline()).unwrap();
    send(&subject, &["--priority", "3", "hello", "", "python"]);
    let reader = reader.wait(deadline()).unwrap();
    assert!(reader.status.success(), "{}", reader.stderr);
    assert_eq!(reader.stdout, b"ready\n3 hello\n3 \n3 python\n");
    // It holds no lock of ours, so what it took the last of may lie there still.
    let _ = run(ipclab(&subject, &["clean"]), Input::Nothing);
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_sends_what_we_receive() {
    let subject = small();
    let name = name_of(&subject);
    let args = [&name, "hello", "", "from", "python", "in", "six"];
    let script = "posixmq_sender.py";
    let Some(python) = python_with("posix_ipc", &subject, script, &args) else {
        return;
    };
    let sender = RoleProcess::start("python", python, Input::Nothing).unwrap();
    assert_eq!(receive(&subject, &[]), "hello\n\nfrom\npython\nin\nsix\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_kernels_limits_name_themselves() {
    let subject = small();
    let limits = "/proc/sys/fs/mqueue";
    for (option, limit) in [("--maxmsg", "msg_max"), ("--msgsize", "msgsize_max")] {
        let value = std::fs::read_to_string(format!("{limits}/{limit}")).unwrap();
        let value: u32 = value.trim().parse().unwrap();
        let other = if option == "--maxmsg" { "--msgsize" } else { "--maxmsg" };
        let over = (value + 1).to_string();
        let role = receiver_as_nobody(&subject, &[option, &over, other, "1"]);
        let line = failure(role);
        assert!(line.contains("EINVAL"), "{line}");
        let way_out = format!("sysctl fs.mqueue.{limit}=");
        assert!(line.contains(&way_out), "{line}");
        let value = wire::say::grouped(value.into());
        assert!(line.contains(&format!("{limit} is {value}")), "{line}");
    }
}

#[test]
fn a_queue_of_another_user_is_refused() {
    if !geteuid().is_root() {
        return skip("only root can play two users");
    }
    let subject = small();
    let name = name_of(&subject).replace("ipclab-0-", "ipclab-65534-");
    make(&name, Mode::from_bits_truncate(0o666), 1, 9);
    // Whether the umask left it open or shut, it is not nobody's.
    let role = receiver_as_nobody(&subject, &[]);
    let line = failure(role);
    remove_now(&Object::Queue(name)).unwrap();
    assert!(line.contains("belongs to uid 0") || line.contains("EACCES"), "{line}");
    assert!(line.contains("--at NAME"), "{line}");
}

#[test]
fn emfile_is_explained_as_rlimit_msgqueue() {
    let subject = small();
    let mut command = subject.receiver_command(&[]);
    let (_, hard) = getrlimit(Resource::RLIMIT_MSGQUEUE).unwrap();
    limit(&mut command, Resource::RLIMIT_MSGQUEUE, 1234, hard);
    let line =
        failure(RoleProcess::start("receiver", command, Input::Nothing).unwrap());
    assert!(
        line.contains("EMFILE") && line.contains("RLIMIT_MSGQUEUE, 1,234"),
        "{line}"
    );
    // 4 messages of 512 bytes, and 96 more for each: getrlimit(2).
    assert!(line.contains("asks for 2,432"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn sixty_four_mebibytes_arrive_to_the_byte() {
    let subject = large();
    let sent = contract::noise(64 << 20);
    let input = Input::Bytes(sent.clone());
    let arrived =
        subject.run(&["-q", "--bytes"], input, &["-q", "--bytes"]).unwrap();
    assert!(arrived == sent, "the bytes differ");
    subject.nothing_is_left().unwrap();
}

#[test]
fn lines_of_many_lengths_arrive_or_are_refused_with_the_limit() {
    let subject = large();
    let lengths = (0..300).chain([4095, 4096, 4097, 8190, 8191, 8192]);
    let text: String = lengths.map(|length| "x".repeat(length) + "\n").collect();
    let input = Input::Bytes(text.clone().into_bytes());
    let arrived = subject.run(&["-q"], input, &["-q"]).unwrap();
    assert!(arrived == text.as_bytes(), "the lines differ");
    for length in [8193, 65_536, 100_000] {
        let input = Input::Bytes(("x".repeat(length) + "\n").into_bytes());
        let line = failure(subject.start_sender(&[], input).unwrap());
        assert!(
            line.contains("8,192 bytes") && line.contains("--msgsize"),
            "{line}"
        );
        assert_eq!(receive(&subject, &[]), "");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_refused_message_leaves_no_queue_behind_if_nobody_is_there() {
    let subject = subject("posixmq");
    let long = "x".repeat(20_000);
    let sender = subject.start_sender(&[&long], Input::Nothing).unwrap();
    contract::failed_clearly(&sender.wait(deadline()).unwrap()).unwrap();
    subject.nothing_is_left().unwrap();
}
