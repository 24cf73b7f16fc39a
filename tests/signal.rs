//! The signal chapter: the contract, then what is special to it.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use os::spawn;
use support::*;

const WITH: [&str; 3] = ["sigwaitinfo", "signalfd", "handler"];

/// The chapter; its limit is no option, so none is set.
fn signals() -> Subject {
    let mut subject = subject("signal");
    (subject.limit, subject.largest, subject.bulk) = (Vec::new(), 65_536, 4096);
    subject.longest = 65_536;
    subject
}

keeps_the_contract!(
    signals(),
    except {
        sixty_four_mebibytes_arrive_to_the_byte: "a signal carries 4 bytes"
            => each_call_that_takes_signals_takes_sixty_four_kibibytes_to_the_byte,
    }
);

/// A receiver that has published itself.
fn waiting_receiver(subject: &Subject, args: &[&str]) -> RoleProcess {
    let receiver = subject.start_receiver(args).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    receiver
}

fn run_sender(subject: &Subject, args: &[&str]) -> Outcome {
    run(subject.sender_command(args), Input::Nothing)
}

fn refused(subject: &Subject, args: &[&str]) -> String {
    contract::failed_clearly(&run_sender(subject, args)).unwrap()
}

/// Stops a role, and waits until it is stopped.
fn stop(role: &RoleProcess) {
    role.signal(Signal::SIGSTOP).unwrap();
    let stopped = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(role.pid()), stopped).unwrap();
}

fn printed(receiver: RoleProcess) -> Vec<u8> {
    let outcome = receiver.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    outcome.stdout
}

#[test]
fn each_call_that_takes_signals_takes_sixty_four_kibibytes_to_the_byte() {
    for with in WITH {
        let subject = signals();
        let sent = contract::noise(64 << 10);
        let input = Input::Bytes(sent.clone());
        let receive = ["-q", "--bytes", "--with", with];
        let arrived = subject.run(&["-q", "--bytes"], input, &receive).unwrap();
        assert!(arrived == sent, "{with}: the bytes differ");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_mebibyte_travels_as_many_messages() {
    let subject = signals();
    let sent = contract::noise(1 << 20);
    let input = Input::Bytes(sent.clone());
    let arrived =
        subject.run(&["-q", "--bytes"], input, &["-q", "--bytes"]).unwrap();
    assert!(arrived == sent, "the bytes differ");
}

#[test]
fn an_argument_that_is_too_large_is_refused_with_the_reason() {
    let subject = signals();
    let line = refused(&subject, &[&"x".repeat(100_000)]);
    assert!(line.contains("65,536") && line.contains("queued signal"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn of_many_standard_signals_one_is_kept_and_of_many_real_time_signals_all() {
    for (signal, arrive) in [("SIGUSR1", 1), ("RTMIN+5", 1000)] {
        for with in WITH {
            let subject = signals();
            let receiver =
                waiting_receiver(&subject, &["--signal", signal, "--with", with]);
            // While it is stopped it takes none: so all of them wait.
            stop(&receiver);
            send(&subject, &["--signal", signal, "--times", "1000"]);
            receiver.signal(Signal::SIGCONT).unwrap();
            let counted: String =
                (1..=arrive).map(|number| format!("{number}\n")).collect();
            let arrived = String::from_utf8(printed(receiver)).unwrap();
            assert_eq!(arrived, counted, "{signal} {with}");
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn the_goodbye_overtakes_no_signal_not_even_the_highest() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &["--signal", "64"]);
    stop(&receiver);
    send(&subject, &["--signal", "SIGRTMAX", "--times", "3"]);
    receiver.signal(Signal::SIGCONT).unwrap();
    assert_eq!(printed(receiver), b"1\n2\n3\n");
}

#[test]
fn a_counting_receiver_stops_at_its_count() {
    let subject = signals();
    let args = ["--signal", "RTMIN+1", "--count", "2"];
    let receiver = waiting_receiver(&subject, &args);
    // It may be gone before the last is sent.
    run_sender(&subject, &["--signal", "rtmin+1", "--times", "5"]);
    assert_eq!(printed(receiver), b"1\n2\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_counting_sender_may_be_first() {
    let subject = signals();
    let sender =
        subject.start_sender(&["--signal", "USR1"], Input::Nothing).unwrap();
    let peer = "signal receiver --signal SIGUSR1";
    sender.wait_for_comment("start the other: ", deadline()).unwrap();
    sender.wait_for_comment(&peer.replace("SIGUSR1", "USR1"), deadline()).unwrap();
    let receiver = subject.start_receiver(&["--signal", "SIGUSR1"]).unwrap();
    assert_eq!(printed(receiver), b"1\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_sends_plain_signals() {
    let subject = signals();
    let receiver =
        waiting_receiver(&subject, &["--signal", "SIGUSR1", "--count", "2"]);
    let Some(python) = python(&subject, "signal_kill.py", &[]) else { return };
    let mut python = RoleProcess::start("python", python, Input::Open).unwrap();
    // One after the other: two at once could arrive as one.
    python.feed(b"kill\n").unwrap();
    receiver.wait_for_output(b"1\n", deadline()).unwrap();
    python.feed(b"pidfd\n").unwrap();
    assert_eq!(printed(receiver), b"1\n2\n");
    python.close_stdin();
    assert!(python.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

/// Waits until a process sleeps in the system call `number`.
fn until_asleep_in(pid: &str, number: i64) {
    let call = format!("{number} ");
    until(&format!("pid {pid} sleeps in call {number}"), || {
        std::fs::read_to_string(format!("/proc/{pid}/syscall"))
            .is_ok_and(|text| text.starts_with(&call))
    });
}

#[test]
fn python_takes_plain_signals_in_sigwaitinfo() {
    let subject = signals();
    let Some(python) = python(&subject, "signal_wait.py", &[]) else { return };
    let python = RoleProcess::start("python", python, Input::Nothing).unwrap();
    python.wait_for_output(b"ready", deadline()).unwrap();
    let pid = python.pid().to_string();
    for number in [b"1", b"2"] {
        // Asleep there, /proc shows the signal as neither blocked nor caught.
        until_asleep_in(&pid, nix::libc::SYS_rt_sigtimedwait);
        send(&subject, &["--pid", &pid, "--signal", "SIGUSR1", "--times", "1"]);
        python.wait_for_output(&[b"\n", &number[..]].concat(), deadline()).unwrap();
    }
    let arrived = String::from_utf8(printed(python)).unwrap();
    let (_, taken) = arrived.split_once('\n').unwrap();
    assert_eq!(taken, "1 SIGUSR1 True True\n2 SIGUSR1 True True\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_sends_messages_through_the_c_librarys_sigqueue() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let Some(python) = python(&subject, "signal_sender.py", &[]) else { return };
    let text = format!("hello\n\n{}\nend\n", "0123456789".repeat(500));
    let input = Input::Bytes(text.clone().into_bytes());
    let python = RoleProcess::start("python", python, input).unwrap();
    assert_eq!(String::from_utf8(printed(receiver)).unwrap(), text);
    assert!(python.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

/// The shell's kill(1) with a value, as procps and util-linux have it.
fn kill_with_value(pid: &str, value: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", "34", "-q", value, pid]);
    let done = run(kill, Input::Nothing);
    if !done.status.success() {
        skip(&format!("kill(1) takes no -q here: {}", done.stderr.trim()));
    }
    done.status.success()
}

#[test]
fn kill_of_the_shell_sends_words_too() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let pid = receiver.pid().to_string();
    // A length of 0 is a whole message; each kill is a sender of its own, soon dead.
    if !kill_with_value(&pid, "0") || !kill_with_value(&pid, "0") {
        return;
    }
    receiver.wait_for_output(b"\n\n", deadline()).unwrap();
    send(&subject, &["end"]);
    assert_eq!(printed(receiver), b"\n\nend\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_dead_sender_left_unfinished_is_discarded_and_said() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let pid = receiver.pid().to_string();
    if !kill_with_value(&pid, "100") {
        return;
    }
    receiver.wait_for_comment("100: a length", deadline()).unwrap();
    send(&subject, &["whole"]);
    receiver.wait_for_comment("gone without a goodbye", deadline()).unwrap();
    receiver.wait_for_comment("unfinished message", deadline()).unwrap();
    assert_eq!(printed(receiver), b"whole\n");
}

#[test]
fn a_signal_without_a_value_and_a_wrong_length_are_ignored_and_said() {
    for with in WITH {
        let subject = signals();
        let receiver = waiting_receiver(&subject, &["--with", with]);
        let pid = receiver.pid().to_string();
        let mut kill = Command::new("kill");
        kill.args(["-s", "34", &pid]);
        assert!(run(kill, Input::Nothing).status.success());
        receiver.wait_for_comment("by SI_USER (kill)", deadline()).unwrap();
        if kill_with_value(&pid, "65537") {
            receiver.wait_for_comment("65537: ignored", deadline()).unwrap();
        }
        send(&subject, &["hello"]);
        assert_eq!(printed(receiver), b"hello\n", "{with}");
    }
}

#[test]
fn a_second_sender_is_told_that_another_is_heard() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let mut first = subject.start_sender(&[], Input::Open).unwrap();
    first.feed(b"one\n").unwrap();
    receiver.wait_for_output(b"one\n", deadline()).unwrap();
    let line = refused(&subject, &["two"]);
    assert!(line.contains("listens to another sender"), "{line}");
    first.feed(b"three\n").unwrap();
    first.close_stdin();
    assert!(first.wait(deadline()).unwrap().status.success());
    assert_eq!(printed(receiver), b"one\nthree\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_receiver_is_told_who_has_the_place() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let second = subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
    let line = contract::failed_clearly(&second).unwrap();
    assert!(line.contains(&format!("taken by pid {}", receiver.pid())), "{line}");
    send(&subject, &["hello"]);
    assert_eq!(printed(receiver), b"hello\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn roles_that_mean_different_signals_are_told_so() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &["--signal", "USR1"]);
    let line = refused(&subject, &["hello"]);
    assert!(line.contains("takes SIGUSR1, not SIGRTMIN"), "{line}");
    let line = refused(&subject, &["--signal", "USR2"]);
    assert!(line.contains("takes SIGUSR1, not SIGUSR2"), "{line}");
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_pid_that_nobody_has_is_esrch() {
    let subject = signals();
    // The kernel's highest possible pid is 4,194,303 (proc(5), pid_max).
    for args in [&["hello"][..], &["--signal", "USR1"]] {
        let line = refused(&subject, &[&["--pid", "4194304"], args].concat());
        assert!(line.contains("ESRCH") && line.contains("pidfd_open"), "{line}");
    }
}

#[test]
fn a_process_that_the_signal_would_kill_is_spared_unless_forced() {
    let subject = signals();
    let mut cat = Command::new("cat");
    cat.current_dir("/");
    let cat = RoleProcess::start("cat", cat, Input::Open).unwrap();
    let pid = cat.pid().to_string();
    for args in [&["--signal", "USR1"][..], &["--signal", "KILL"], &["hello"]] {
        let line = refused(&subject, &[&["--pid", &pid], args].concat());
        assert!(line.contains("neither blocks, catches nor ignores"), "{line}");
        assert!(line.contains("--force"), "{line}");
    }
    // The default action of SIGWINCH is to do nothing.
    let outcome = run_sender(&subject, &["--pid", &pid, "--signal", "WINCH"]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ignores SIGWINCH"), "{}", outcome.stderr);
    send(&subject, &["--pid", &pid, "--signal", "USR1", "--force"]);
    let ended = cat.wait(deadline()).unwrap();
    assert_eq!(ended.status.signal(), Some(Signal::SIGUSR1 as i32));
}

#[test]
fn a_process_whose_name_is_not_utf_8_is_looked_at_all_the_same() {
    let subject = signals();
    let mut shell = Command::new("sh");
    let script =
        "printf '\\377' >/proc/$$/comm; trap '' USR1; echo ready; read line";
    shell.args(["-c", script]);
    let shell = RoleProcess::start("sh", shell, Input::Open).unwrap();
    shell.wait_for_output(b"ready\n", deadline()).unwrap();
    let pid = shell.pid().to_string();
    let outcome = run_sender(&subject, &["--pid", &pid, "--signal", "USR1"]);
    assert!(outcome.stderr.contains("ignores SIGUSR1"), "{}", outcome.stderr);
    shell.stop(Signal::SIGKILL, deadline()).unwrap();
}

#[test]
fn a_process_that_ignores_the_signal_is_not_hurt() {
    let subject = signals();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' USR1; echo ready; exec cat"]);
    let mut shell = RoleProcess::start("sh", shell, Input::Open).unwrap();
    shell.wait_for_output(b"ready\n", deadline()).unwrap();
    let pid = shell.pid().to_string();
    let outcome = run_sender(&subject, &["--pid", &pid, "--signal", "USR1"]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ignores SIGUSR1"), "{}", outcome.stderr);
    shell.close_stdin();
    assert!(shell.wait(deadline()).unwrap().status.success());
}

#[test]
fn a_receiver_is_reached_by_its_pid_whatever_call_it_sleeps_in() {
    for with in WITH {
        let subject = signals();
        let receiver = waiting_receiver(&subject, &["--with", with]);
        let pid = receiver.pid().to_string();
        let sender = run_sender(&subject, &["--pid", &pid, "hello"]);
        // Without a handler, SigBlk would not show what sigwaitinfo waits for.
        let seen = if with == "signalfd" { "it blocks" } else { "it catches" };
        assert!(sender.stderr.contains(seen), "{with}: {}", sender.stderr);
        assert_eq!(printed(receiver), b"hello\n", "{with}");

        let receiver = waiting_receiver(
            &subject,
            &["--with", with, "--signal", "USR1", "--count", "1"],
        );
        let pid = receiver.pid().to_string();
        send(&subject, &["--pid", &pid, "--signal", "USR1"]);
        assert_eq!(printed(receiver), b"1\n", "{with}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn signals_that_cannot_be_taken_are_a_usage_error() {
    let subject = signals();
    for (signal, why) in [
        ("KILL", "cannot be caught"),
        ("SIGSTOP", "cannot be caught"),
        ("INT", "ends this program"),
        ("SIGALRM", "--timeout"),
        ("32", "C library"),
        ("65", "no such signal"),
        ("SIGFOO", "no such signal"),
    ] {
        let receiver = subject.start_receiver(&["--signal", signal]).unwrap();
        let outcome = receiver.wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(2), "{signal}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(why), "{signal}: {}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn options_that_contradict_each_other_are_a_usage_error() {
    let subject = signals();
    for args in [
        &["--signal", "USR1", "hello"][..],
        &["--signal", "USR1", "--bytes"],
        &["--times", "3", "hello"],
        &["--times", "3"],
        &["--force", "hello"],
        &["--pid", "1", "--at", "here", "hello"],
        &["--pid", "0", "hello"],
        &["--pid", "-1", "hello"],
    ] {
        let outcome = run_sender(&subject, args);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn every_way_to_take_signals_leaves_the_programs_own_alone() {
    for with in WITH {
        let subject = signals();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let receiver = waiting_receiver(&subject, &["--with", with]);
            let ended = receiver.stop(signal, deadline()).unwrap();
            assert_eq!(ended.status.signal(), Some(signal as i32), "{with}");
            subject.nothing_is_left().unwrap();
        }
        let late = ["--with", with, "--signal", "USR2", "--timeout", "0.05"];
        let ended = subject.start_receiver(&late).unwrap().wait(deadline()).unwrap();
        assert_eq!(ended.status.code(), Some(124), "{with}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_receiver_that_dies_before_its_welcome_is_replaced_by_the_next() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    stop(&receiver);
    let sender = subject.start_sender(&["hello"], Input::Nothing).unwrap();
    sender.wait_for_comment("sleeps until pid", deadline()).unwrap();
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    sender.wait_for_comment("start the other: ", deadline()).unwrap();
    assert_eq!(printed(subject.start_receiver(&[]).unwrap()), b"hello\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_sender_that_waits_for_a_credit_learns_that_the_receiver_died() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.feed(b"one\n").unwrap();
    receiver.wait_for_output(b"one\n", deadline()).unwrap();
    stop(&receiver);
    sender.feed(&[vec![b'x'; 1000], b"\n".to_vec()].concat()).unwrap();
    sender.wait_for_comment("1000): a length", deadline()).unwrap();
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(sender);
    // What is seen first: that the signal has no receiver, or that its pidfd is readable.
    assert!(line.contains("ESRCH") || line.contains("it has ended"), "{line}");
    assert!(line.contains("1 message handed over"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn count_stops_like_head_and_the_sender_says_how_many_were_handed_over() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &["--count", "1"]);
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.feed(b"one\n").unwrap();
    assert_eq!(printed(receiver), b"one\n");
    sender.feed(b"two\n").unwrap();
    let line = failure(sender);
    // What is seen first: that the signal has no receiver, or that its pidfd is readable.
    assert!(line.contains("ESRCH") || line.contains("it has ended"), "{line}");
    assert!(line.contains("1 message handed over"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_receiver_that_is_dead_but_not_yet_reaped_is_gone() {
    let subject = signals();
    let receiver = waiting_receiver(&subject, &[]);
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.feed(b"one\n").unwrap();
    receiver.wait_for_output(b"one\n", deadline()).unwrap();
    receiver.signal(Signal::SIGKILL).unwrap();
    let dead = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(receiver.pid()), dead).unwrap();
    // The kernel still takes signals for it, and drops them.
    sender.feed(b"two\n").unwrap();
    let line = failure(sender);
    assert!(line.contains("1 message handed over"), "{line}");
    drop(receiver);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_of_someones_own_is_left_alone() {
    let subject = signals();
    let path = subject.dir().join("notes");
    for text in ["", "precious\n", "12 34\n", "12 34 34", "12 34 34 5\n", "0 1 34\n"]
    {
        std::fs::write(&path, text).unwrap();
        let receiver = subject.start_receiver(&["--at", "notes"]).unwrap();
        let ended = receiver.wait(deadline()).unwrap();
        let line = contract::failed_clearly(&ended).unwrap();
        assert!(line.contains("not what a receiver publishes"), "{line}");
        let line = refused(&subject, &["--at", "notes", "hello"]);
        assert!(line.contains("not what a receiver publishes"), "{line}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_pid_that_another_process_has_by_now_is_stale() {
    let subject = signals();
    // It lives, but it did not start one tick after the machine did.
    let cat = RoleProcess::start("cat", Command::new("cat"), Input::Open).unwrap();
    let stale = format!("{} 1 34\n", cat.pid());
    std::fs::write(subject.dir().join("signal"), stale).unwrap();
    let sender = subject.start_sender(&["hello"], Input::Nothing).unwrap();
    sender.wait_for_comment("start the other: ", deadline()).unwrap();
    assert_eq!(printed(subject.start_receiver(&[]).unwrap()), b"hello\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
    let cat = cat.stop(Signal::SIGTERM, deadline()).unwrap();
    assert_eq!(cat.status.signal(), Some(Signal::SIGTERM as i32), "it was hurt");
}

#[test]
fn ready_fd_gets_the_pid_once_signals_may_come() {
    let subject = signals();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3>&1; exec \"$0\" -q signal receiver --ready-fd 3"]);
    shell.arg(program()).env("IPCLAB_DIR", subject.dir());
    let receiver = RoleProcess::start("receiver", shell, Input::Nothing).unwrap();
    let line = format!("{}\n", receiver.pid());
    receiver.wait_for_output(line.as_bytes(), deadline()).unwrap();
    let published = std::fs::read_to_string(subject.dir().join("signal")).unwrap();
    assert!(published.starts_with(line.trim_end()), "{published}");
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn json_has_an_object_a_message() {
    let subject = signals();
    let arrived = subject.run(&["é\n"], Input::Nothing, &["--json"]).unwrap();
    let object: serde_json::Value = serde_json::from_slice(&arrived).unwrap();
    let wanted = serde_json::json!({ "number": 1, "length": 3, "text": "é\n" });
    assert_eq!(object, wanted);
}

#[test]
fn a_queue_without_room_names_its_limit() {
    let subject = signals();
    let mut command = subject.receiver_command(&[]);
    spawn::limit(&mut command, Resource::RLIMIT_SIGPENDING, 0, 0);
    let receiver = RoleProcess::start("receiver", command, Input::Nothing).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let line = refused(&subject, &["hello"]);
    assert!(line.contains("EAGAIN") && line.contains("RLIMIT_SIGPENDING"), "{line}");
    assert!(line.contains("/0 by SigQ"), "{line}");
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

/// A user of its own, with a copy of the program that it may run: what waits in the
/// queues of one user is counted together. `None`, said aloud, if we are not root.
struct Stranger {
    scratch: tempfile::TempDir,
    uid: u32,
}

impl Stranger {
    fn new() -> Option<Stranger> {
        if !offers("fdpass", "other-user") {
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        // Another for each test, since theirs would count together as well.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let uid = 1_000_000 + 8 * std::process::id() + next;
        // By another process: while a file of ours is open for writing, a child that a
        // thread forks just then keeps it so, and exec would say ETXTBSY.
        let mut copy = Command::new("cp");
        copy.arg(program()).arg(scratch.path());
        assert!(run(copy, Input::Nothing).status.success());
        std::fs::create_dir(scratch.path().join("run")).unwrap();
        std::os::unix::fs::chown(scratch.path().join("run"), Some(uid), Some(uid))
            .unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(scratch.path(), open).unwrap();
        Some(Stranger { scratch, uid })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.scratch.path().join("ipclab"));
        command.args(args).uid(self.uid).gid(self.uid).current_dir("/");
        command.env("IPCLAB_DIR", self.scratch.path().join("run"));
        command
    }
}

#[test]
fn a_short_queue_makes_a_short_window() {
    let Some(stranger) = Stranger::new() else { return };
    let mut command = stranger.command(&["signal", "receiver"]);
    spawn::limit(&mut command, Resource::RLIMIT_SIGPENDING, 10, 10);
    let receiver = RoleProcess::start("receiver", command, Input::Nothing).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let text = "x".repeat(5000);
    let sender = run(stranger.command(&["signal", "sender", &text]), Input::Nothing);
    assert!(sender.status.success(), "{}", sender.stderr);
    assert!(sender.stderr.contains("SIGRTMIN+1, 10: so many"), "{}", sender.stderr);
    assert_eq!(printed(receiver), format!("{text}\n").into_bytes());
}

#[test]
fn another_users_signals_are_ignored_and_said_root_among_them() {
    let Some(stranger) = Stranger::new() else { return };
    let subject = signals();
    let command = stranger.command(&["signal", "receiver"]);
    let receiver = RoleProcess::start("receiver", command, Input::Nothing).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let pid = receiver.pid().to_string();
    let ours =
        subject.start_sender(&["--pid", &pid, "root"], Input::Nothing).unwrap();
    receiver.wait_for_comment("from uid 0", deadline()).unwrap();
    let theirs = stranger.command(&["signal", "sender", "theirs"]);
    assert!(run(theirs, Input::Nothing).status.success());
    assert_eq!(printed(receiver), b"theirs\n");
    let line = failure(ours);
    assert!(line.contains("ESRCH"), "{line}");

    // And who may not send is told so.
    let receiver = waiting_receiver(&subject, &[]);
    let pid = receiver.pid().to_string();
    let args = ["signal", "sender", "--pid", &pid, "hello"];
    let outcome = run(stranger.command(&args), Input::Nothing);
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("EPERM") && line.contains("another user"), "{line}");
}

#[test]
fn another_users_process_is_named_as_what_it_is() {
    if !offers("fdpass", "other-user") {
        return;
    }
    let opened = std::fs::File::open(program()).unwrap();
    let ours = std::process::id().to_string();
    let command = as_nobody(&opened, &["signal", "sender", "--pid", &ours, "hello"]);
    let line = contract::failed_clearly(&run(command, Input::Nothing)).unwrap();
    assert!(line.contains("EPERM") && line.contains("another user"), "{line}");
}
