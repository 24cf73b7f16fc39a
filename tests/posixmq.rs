//! The chapter of POSIX message queues: the contract, then what is special to it.

mod support;

use nix::mqueue::{MQ_OFlag, MqAttr};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use os::cleanup::{Object, remove_now};
use os::mqueue::mq_open;
use os::names::{queue_exists, waiting};
use os::spawn::limit;
use support::*;
use wire::meet::kernel_prefix_of;

keeps_the_contract!(
    small(),
    except {
        a_taken_name_is_refused: "in the kernel's name space of queues are only queues",
        sixty_four_mebibytes_arrive_to_the_byte: "asked of large queues, below",
        lines_of_many_lengths_arrive_as_sent: "asked of large queues, below",
    }
);
keeps_the_contract_of_queues!(small());

mod with_large_queues {
    use super::*;
    keeps_the_clauses! {
        large();
        sixty_four_mebibytes_arrive_to_the_byte, lines_of_many_lengths_arrive_as_sent,
        a_line_too_long_is_refused_with_the_way_out,
        a_refused_message_leaves_no_queue_behind,
    }
}

/// The chapter with small queues: all of a user's share RLIMIT_MSGQUEUE, 819,200 bytes.
fn small() -> Subject {
    let mut subject = large();
    for role in [&mut subject.sender, &mut subject.receiver] {
        role.extend(["--maxmsg", "4", "--msgsize", "512"].map(Into::into));
    }
    (subject.largest, subject.queue.room) = (512, 4);
    subject
}

/// The chapter with queues of the kernel's default size.
fn large() -> Subject {
    let mut subject = subject("posixmq");
    (subject.limit, subject.keeps) = (Vec::new(), true);
    (subject.largest, subject.longest) = (8192, 8192);
    subject.queue = Queue {
        kind: "queue",
        room: 10,
        way_out: "--msgsize",
        goodbye: r#"q.send(b"")"#,
    };
    subject
}

/// The queue's name in this subject's directory.
fn name_of(subject: &Subject) -> String {
    kernel_prefix_of(Some(subject.dir().as_os_str())) + "posixmq"
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
fn a_message_and_a_goodbye_wait_in_the_queue() {
    let subject = small();
    send(&subject, &["one"]);
    assert_eq!(waiting(&Object::Queue(name_of(&subject))), 2);
    assert_eq!(receive(&subject, &[]), "one\n");
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
fn make(name: &str, mode: Mode, maxmsg: i64, msgsize: i64) -> os::mqueue::Queue {
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
    if !offers("fdpass", "other-user") {
        return;
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
