//! The chapter of System V message queues: the contract, then what is special to it.

mod support;

use std::process::Command;

use nix::sys::signal::Signal;
use os::cleanup::{Object, remove_now};
use os::names::{sysv_queue, sysv_queue_exists, waiting};
use os::sysv::{Msgbuf, msgget, msgrcv, msgsnd};
use support::*;
use wire::meet::{kernel_prefix_of, key_of};

keeps_the_contract!(
    queues(),
    except {
        a_taken_name_is_refused: "under a key of queues there are only queues",
    }
);
keeps_the_contract_of_queues!(queues());

fn queues() -> Subject {
    let mut subject = subject("sysvmq");
    (subject.limit, subject.keeps) = (Vec::new(), true);
    subject.largest = limit("msgmax").min(limit("msgmnb"));
    subject.longest = subject.largest;
    subject.queue = Queue {
        kind: "sysv-queue",
        room: limit("msgmnb") / subject.largest,
        way_out: "sysctl kernel.msg",
        goodbye: "an empty message of type 0x7fffffff",
    };
    subject
}

fn limit(name: &str) -> usize {
    let path = format!("/proc/sys/kernel/{name}");
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// The key that is made from this subject's directory.
fn key(subject: &Subject) -> i32 {
    let prefix = kernel_prefix_of(Some(subject.dir().as_os_str()));
    key_of(&(prefix + "sysvmq"))
}

/// Three senders, whose messages have the types 3, 1 and 2.
fn three_types(subject: &Subject) {
    for (mtype, message) in [("3", "three"), ("1", "one"), ("2", "two")] {
        send(subject, &["--type", mtype, message]);
    }
}

#[test]
fn select_takes_one_type_and_leaves_the_rest() {
    let subject = queues();
    three_types(&subject);
    assert_eq!(receive(&subject, &["--select", "2"]), "two\n");
    assert_eq!(receive(&subject, &["--select", "2"]), "");
    assert_eq!(receive(&subject, &[]), "three\none\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_negative_select_takes_the_lowest_type_first() {
    let subject = queues();
    three_types(&subject);
    // Not the first whose type is at most 2, nor any above.
    assert_eq!(receive(&subject, &["--select", "-2"]), "one\ntwo\n");
    assert_eq!(receive(&subject, &["--select=-9"]), "three\n");
    assert_eq!(receive(&subject, &[]), "");
    subject.nothing_is_left().unwrap();
}

#[test]
fn except_takes_all_other_types_and_puts_the_goodbye_back() {
    let subject = queues();
    three_types(&subject);
    assert_eq!(receive(&subject, &["--select", "1", "--except"]), "three\ntwo\n");
    // The one left, and a goodbye after it.
    assert_eq!(waiting(&Object::SysvQueue(sysv_queue(key(&subject)).unwrap())), 2);
    assert_eq!(receive(&subject, &[]), "one\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_selecting_receiver_with_count_waits() {
    let subject = queues();
    let receiver =
        subject.start_receiver(&["--select", "2", "--count", "2"]).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    three_types(&subject);
    receiver.wait_for_output(b"two\n", deadline()).unwrap();
    send(&subject, &["--type", "2", "two again"]);
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"two\ntwo again\n");
    assert_eq!(receive(&subject, &[]), "three\none\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn numbers_that_cannot_be_are_usage_errors() {
    let subject = queues();
    for (sends, bad) in [
        (true, vec!["--type", "0", "x"]),
        (true, vec!["--type", "2147483647", "x"]),
        (true, vec!["--key", "0", "x"]),
        (true, vec!["--key", "0x123456789", "x"]),
        (true, vec!["--key", "-2147483649", "x"]),
        (true, vec!["--key", "4294967296", "x"]),
        (true, vec!["--key", "-0x1", "x"]),
        (true, vec!["--key", "1", "--at", "y", "x"]),
        (false, vec!["--except"]),
        (false, vec!["--select", "0", "--except"]),
        (false, vec!["--select", "-1", "--except"]),
        (false, vec!["--select", "2147483647"]),
    ] {
        let role = if sends {
            subject.start_sender(&bad, Input::Nothing)
        } else {
            subject.start_receiver(&bad)
        };
        let outcome = role.unwrap().wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(2), "{bad:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_sender_names_the_key() {
    let subject = queues();
    let sender = send(&subject, &["one"]);
    let key = format!("{:#010x}", key(&subject));
    assert!(sender.stderr.contains(&key), "{}", sender.stderr);
    assert_eq!(receive(&subject, &[]), "one\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn another_key_is_another_place() {
    let subject = queues();
    let first = subject.start_sender(&[], Input::Open).unwrap();
    first.wait_for_comment("start the other: ", deadline()).unwrap();
    let other = format!("{}", key_of(&format!("{}", std::process::id())));
    send(&subject, &["--key", &other, "elsewhere"]);
    assert_eq!(receive(&subject, &["--key", &other]), "elsewhere\n");
    first.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_key_may_be_chosen_and_is_printed_as_ipcs_prints_it() {
    let subject = queues();
    let key = key_of(subject.dir().to_str().unwrap());
    let text = format!("{key:#010x}");
    let sender = send(&subject, &["--key", &text, "hello"]);
    assert!(sender.stderr.contains(&format!("receiver --key {text}")));
    assert!(sysv_queue(key).is_some());
    if have("ipcs") {
        let mut ipcs = Command::new("ipcs");
        ipcs.arg("-q");
        let listed = String::from_utf8(run(ipcs, Input::Nothing).stdout).unwrap();
        assert!(listed.contains(&text), "{listed}");
    }
    assert_eq!(receive(&subject, &["--key", &key.to_string()]), "hello\n");
    assert!(sysv_queue(key).is_none());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_key_may_be_negative_as_sysv_ipc_shows_it() {
    let subject = queues();
    let key = -key_of(subject.dir().to_str().unwrap());
    let sender = send(&subject, &["--key", &key.to_string(), "hello"]);
    let text = format!("{key:#010x}");
    assert!(sender.stderr.contains(&format!("msgget({text}")), "{}", sender.stderr);
    assert!(sysv_queue(key).is_some());
    assert_eq!(receive(&subject, &["--key", &text]), "hello\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn at_names_a_queue_of_its_own() {
    let subject = queues();
    let name = format!("{}-mine", subject.dir().file_name().unwrap().display());
    send(&subject, &["--at", &name, "hello"]);
    assert!(sysv_queue(key_of(&format!("/{name}"))).is_some());
    assert_eq!(receive(&subject, &["--at", &name]), "hello\n");
    assert!(sysv_queue(key_of(&format!("/{name}"))).is_none());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_signal_that_comes_with_the_making_of_a_queue_leaves_nothing() {
    for key in [&[][..], &["--key", "private"]] {
        let subject = queues();
        let mut command = ipclab(&subject, &["sysvmq", "receiver", "-q"]);
        command.args(key);
        let Some(said) = struck_at("msgget", 1, &command) else { return };
        // strace's line: `msgget(IPC_PRIVATE, 0600) = 3`.
        let id = said.lines().find_map(|line| {
            line.strip_prefix("msgget(")?.split_once(" = ")?.1.split(' ').next()
        });
        let id: i32 = id.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        assert!(!sysv_queue_exists(id), "{said}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_private_queue_is_found_by_its_identifier_alone() {
    let subject = queues();
    let sender = send(&subject, &["--key", "private", "hello"]);
    let (_, command) = sender.stderr.split_once("sysvmq receiver --id ").unwrap();
    let id = command.split_whitespace().next().unwrap();
    assert!(sysv_queue_exists(id.parse().unwrap()));
    // Two private queues are two.
    let other = send(&subject, &["--key", "private", "other"]);
    assert!(!other.stderr.contains(&format!("--id {id}\n")), "{}", other.stderr);
    assert_eq!(receive(&subject, &["--id", id]), "hello\n");
    assert!(!sysv_queue_exists(id.parse().unwrap()));
    let line = failure(subject.start_receiver(&["--id", id]).unwrap());
    assert!(line.contains("EINVAL") || line.contains("EIDRM"), "{line}");
    let gone = run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing).stdout;
    assert!(String::from_utf8(gone).unwrap().contains("removed sysv-queue"));
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_queue_that_a_stranger_made_under_a_key_of_its_own_stays() {
    let subject = queues();
    let key = key_of(&subject.dir().join("theirs").display().to_string());
    let id = msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600).unwrap();
    let text = key.to_string();
    send(&subject, &["--key", &text, "hello"]);
    assert_eq!(receive(&subject, &["--id", &id.to_string()]), "hello\n");
    assert!(sysv_queue_exists(id));
    remove_now(&Object::SysvQueue(id)).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_removed_queue_ends_a_sleeping_receiver_with_eidrm() {
    let subject = queues();
    let receiver = subject.start_receiver(&[]).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let id = sysv_queue(key(&subject)).unwrap();
    // Asleep in msgrcv, where it gets EIDRM; a little earlier it would be EINVAL.
    let status = format!("/proc/{}/status", receiver.pid());
    let asleep = || std::fs::read_to_string(&status).unwrap().contains("State:\tS");
    until("it sleeps", asleep);
    if have("ipcrm") {
        let mut ipcrm = Command::new("ipcrm");
        ipcrm.args(["-q", &id.to_string()]);
        assert!(run(ipcrm, Input::Nothing).status.success());
    } else {
        remove_now(&Object::SysvQueue(id)).unwrap();
    }
    let line = failure(receiver);
    assert!(line.contains("EIDRM") && line.contains("the queue is gone"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_type_is_not_counted_in_the_size() {
    let subject = queues();
    let id = msgget(key(&subject), libc::IPC_CREAT | 0o600).unwrap();
    send(&subject, &["--type", "7", "12345"]);
    let mut message = Msgbuf::with_room(100);
    assert_eq!(msgrcv(id, &mut message, 7, 0), Ok(5));
    assert_eq!((message.mtype(), message.text()), (7, b"12345".as_slice()));
    // Our goodbye from here ends a receiver as a stranger's would.
    message.set(0x7fff_ffff, b"");
    msgsnd(id, &message, 0).unwrap();
    assert_eq!(receive(&subject, &[]), "");
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_receives_what_we_send() {
    let subject = queues();
    let key = key(&subject).to_string();
    let script = "sysvmq_receiver.py";
    let Some(python) = python_with("sysv_ipc", &subject, script, &[&key]) else {
        return;
    };
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    reader.wait_for_output(b"ready\n", deadline()).unwrap();
    send(&subject, &["--type", "3", "hello", "", "python"]);
    let reader = reader.wait(deadline()).unwrap();
    assert!(reader.status.success(), "{}", reader.stderr);
    assert_eq!(reader.stdout, b"ready\n3 hello\n3 \n3 python\n");
    // It holds no lock of ours, so what it took the last of may lie there still.
    let _ = run(ipclab(&subject, &["clean"]), Input::Nothing);
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_sends_what_we_receive() {
    let subject = queues();
    let key = key(&subject).to_string();
    let args = [&key, "hello", "", "from", "python"];
    let script = "sysvmq_sender.py";
    let Some(python) = python_with("sysv_ipc", &subject, script, &args) else {
        return;
    };
    let sender = RoleProcess::start("python", python, Input::Nothing).unwrap();
    assert_eq!(receive(&subject, &[]), "hello\n\nfrom\npython\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_queue_of_another_user_is_refused() {
    if !offers("fdpass", "other-user") {
        return;
    }
    let subject = queues();
    let theirs = kernel_prefix_of(Some(subject.dir().as_os_str()));
    let theirs = theirs.replace("ipclab-0-", "ipclab-65534-") + "sysvmq";
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o666;
    let id = msgget(key_of(&theirs), flags).unwrap();
    let role = receiver_as_nobody(&subject, &[]);
    let line = failure(role);
    remove_now(&Object::SysvQueue(id)).unwrap();
    assert!(
        line.contains("belongs to uid 0") && line.contains("--at NAME"),
        "{line}"
    );
    subject.nothing_is_left().unwrap();
}
