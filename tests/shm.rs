//! The chapter of shared memory: the contract for each kind, then what is special.

mod support;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use support::*;
use wire::meet::{kernel_prefix_of, key_of};

const KINDS: [&str; 4] = ["crate", "posix", "sysv", "memfd"];

/// The chapter with `--kind KIND`.
fn of_kind(kind: &str) -> Subject {
    let mut subject = subject("shm");
    for words in [&mut subject.sender, &mut subject.receiver] {
        words.extend(["--kind", kind].map(Into::into));
    }
    subject.limit = ["--capacity", "4096"].map(Into::into).to_vec();
    subject.largest = 4092;
    subject.roomy = ["--capacity", "131072"].map(Into::into).to_vec();
    // What has a name keeps what nobody has read; the memfd goes with its last process.
    subject.keeps = kind != "memfd";
    subject
}

/// Where the segment of the kinds posix and crate is.
fn segment(subject: &Subject) -> PathBuf {
    PathBuf::from("/dev/shm").join(segment_name(subject))
}

fn segment_name(subject: &Subject) -> String {
    let prefix = kernel_prefix_of(Some(subject.dir().as_os_str()));
    format!("{}shm", prefix.trim_start_matches('/'))
}

macro_rules! each_kind {
    ($($module:ident $kind:literal),+) => {
        $(mod $module {
            use super::*;
            keeps_the_contract!(of_kind($kind), except {
                a_taken_name_is_refused: "a kernel name is no path"
                    => something_else_at_the_name_is_named_and_left_alone,
            });
        })+
    };
}
each_kind!(by_the_crate "crate", posix "posix", sysv "sysv", memfd "memfd");

#[test]
fn count_stops_like_head_and_leaves_the_rest() {
    for kind in &KINDS[..3] {
        holds(&of_kind(kind), contract::count_stops_like_head_and_leaves_the_rest);
    }
}

#[test]
fn lines_of_many_lengths_arrive_through_a_ring_of_a_mebibyte() {
    let mut subject = of_kind("posix");
    subject.roomy = ["--capacity", "1048576"].map(Into::into).to_vec();
    holds(&subject, contract::lines_of_many_lengths_arrive_as_sent);
}

#[test]
fn a_ring_of_64_bytes_carries_what_is_far_longer_than_it() {
    let subject = of_kind("crate");
    let args = ["-q", "--bytes", "--capacity", "64"];
    let sent = contract::noise(100_000);
    let arrived = subject.run(&args, Input::Bytes(sent.clone()), &args).unwrap();
    assert!(arrived == sent, "the bytes differ");
}

#[test]
fn spinning_sides_carry_the_same() {
    if !offers("shm", "two-cpus") {
        return;
    }
    let subject = of_kind("posix");
    let args = ["-q", "--bytes", "--spin"];
    let sent = contract::noise(4 << 20);
    let arrived = subject.run(&args, Input::Bytes(sent.clone()), &args).unwrap();
    assert!(arrived == sent, "the bytes differ");
}

/// The subject's role, bound to one processor.
fn bound_to(subject: &Subject, processor: &str, args: &[&str]) -> Command {
    let mut taskset = Command::new("taskset");
    taskset.args(["-c", processor]).arg(program()).arg("shm").args(args);
    taskset.env("IPCLAB_DIR", subject.dir());
    taskset
}

#[test]
fn spinning_where_the_other_side_cannot_run_is_refused() {
    if !have("taskset") {
        return;
    }
    let (sender, receiver) = (["sender", "hello"], ["receiver"]);
    for (first, second) in [(&receiver[..], &sender[..]), (&sender, &receiver)] {
        let subject = subject("shm");
        let first = [first, &["--kind", "memfd"]].concat();
        let bound = bound_to(&subject, "0", &first);
        let bound = RoleProcess::start("bound", bound, Input::Nothing).unwrap();
        bound.wait_for_comment("start the other", deadline()).unwrap();
        let spin = [second, &["--kind", "memfd", "--spin"]].concat();
        let refused = run(bound_to(&subject, "0", &spin), Input::Nothing);
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("two processors"), "{}", refused.stderr);
        // Which does the first no harm.
        let second = [second, &["--kind", "memfd"]].concat();
        let other = run(bound_to(&subject, "0", &second), Input::Nothing);
        assert!(other.status.success(), "{}", other.stderr);
        assert!(bound.wait(deadline()).unwrap().status.success());
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn one_who_spins_alone_gives_up_when_the_other_side_comes_to_its_processor() {
    if !have("taskset") || !offers("shm", "two-cpus") {
        return;
    }
    let subject = subject("shm");
    let spins = bound_to(&subject, "0", &["receiver", "--spin"]);
    let spins = RoleProcess::start("receiver", spins, Input::Nothing).unwrap();
    spins.wait_for_comment("start the other", deadline()).unwrap();
    let sender = bound_to(&subject, "0", &["sender"]);
    let sender = RoleProcess::start("sender", sender, Input::Open).unwrap();
    let spins = spins.wait(deadline()).unwrap();
    assert_eq!(spins.status.code(), Some(2), "{}", spins.stderr);
    assert!(spins.stderr.contains("two processors"), "{}", spins.stderr);
    sender.stop(Signal::SIGTERM, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn two_who_spin_on_a_processor_each_make_no_system_call() {
    if !have("taskset") || !have("strace") || !offers("shm", "two-cpus") {
        return;
    }
    let subject = subject("shm");
    let started = |role: &str, processor: &str, input| {
        let mut strace = Command::new("strace");
        let counts = subject.dir().join(role);
        strace.args(["-f", "-e", "trace=futex,membarrier,sched_getaffinity"]);
        strace.arg("-o").arg(counts).args(["taskset", "-c", processor]);
        strace.arg(program()).args([
            "-q",
            "shm",
            role,
            "--spin",
            "--capacity",
            "64",
        ]);
        strace.env("IPCLAB_DIR", subject.dir());
        RoleProcess::start("traced", strace, input).unwrap()
    };
    // The ring of 64 bytes is full, and empty, again and again: both wait all the time.
    let lines: String = (0..2000).map(|line| format!("line {line}\n")).collect();
    let receiver = started("receiver", "1", Input::Nothing);
    let sender = started("sender", "0", Input::Bytes(lines.clone().into_bytes()));
    assert!(sender.wait(deadline()).unwrap().status.success());
    let receiver = receiver.wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, lines.as_bytes(), "{}", receiver.stderr);
    for role in ["receiver", "sender"] {
        let path = subject.dir().join(role);
        let calls = std::fs::read_to_string(&path).unwrap();
        // A futex of a library's own is a private one.
        for call in ["FUTEX_WAIT,", "FUTEX_WAKE,", "membarrier("] {
            assert!(!calls.contains(call), "{role}:\n{calls}");
        }
        // Where the other may run is asked a few times, not for each message.
        let asked = calls.matches("sched_getaffinity(").count();
        assert!(asked < 100, "{role}:\n{calls}");
        std::fs::remove_file(path).unwrap();
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_nobody_has_read_waits_for_a_later_receiver() {
    for kind in ["crate", "posix", "sysv"] {
        let subject = of_kind(kind);
        send(&subject, &["one", "two", "three"]);
        // One takes a part, the next the rest, then the ring is gone.
        let first = subject.start_receiver(&["--count", "1"]).unwrap();
        assert_eq!(first.wait(deadline()).unwrap().stdout, b"one\n");
        let second = subject.start_receiver(&[]).unwrap();
        assert_eq!(second.wait(deadline()).unwrap().stdout, b"two\nthree\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn what_waits_survives_a_receiver_that_is_interrupted() {
    let subject = of_kind("posix");
    send(&subject, &["one", "two"]);
    // It holds the first line back: its standard output is a full pipe.
    let (reading, writing) = std::io::pipe().unwrap();
    fill(&writing);
    let command = subject.receiver_command(&[]);
    let output = Output::To(writing.into());
    let stuck =
        RoleProcess::start_with("stuck", command, Input::Nothing, output, None)
            .unwrap();
    stuck.wait_for_comment("one", deadline()).unwrap();
    stuck.stop(Signal::SIGINT, deadline()).unwrap();
    drop(reading);
    let next = subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
    assert_eq!(next.stdout, b"two\n", "{}", next.stderr);
    subject.nothing_is_left().unwrap();
}

/// Fills a pipe, so that the next write to it sleeps.
fn fill(pipe: &std::io::PipeWriter) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(pipe, &[0; 4096]).is_ok() {}
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}

#[test]
fn a_second_sender_is_refused_while_messages_wait() {
    for kind in ["crate", "posix", "sysv"] {
        let subject = of_kind(kind);
        send(&subject, &["hello"]);
        let line = failure(subject.start_sender(&["b"], Input::Nothing).unwrap());
        assert!(line.contains("9 bytes"), "{line}");
        assert!(line.contains("clean --pending"), "{line}");
        // Which is not undone by the refusal, nor by a plain `clean`.
        let kept = run(ipclab(&subject, &["clean"]), Input::Nothing);
        let text = String::from_utf8(kept.stdout).unwrap();
        assert!(text.contains("kept"), "{text}");
        let cleaned = run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing);
        assert!(cleaned.status.success());
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_memfd_sender_stays_until_all_is_read() {
    let subject = of_kind("memfd");
    let sender = subject.start_sender(&["hello"], Input::Nothing).unwrap();
    sender.wait_for_comment("we stay until all is read", deadline()).unwrap();
    let receiver = subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"hello\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn two_roles_that_end_at_the_same_moment_leave_nothing() {
    // Here both end on the same event: that the last byte was read.
    let subject = of_kind("memfd");
    for _ in 0..100 {
        let arrived =
            subject.run(&["-q", "hello"], Input::Nothing, &["-q"]).unwrap();
        assert_eq!(arrived, b"hello\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_second_pair_is_told_that_the_place_is_taken() {
    for kind in KINDS {
        let subject = of_kind(kind);
        let mut sender = subject.start_sender(&[], Input::Open).unwrap();
        sender.wait_for_comment("start the other", deadline()).unwrap();
        let receiver = subject.start_receiver(&[]).unwrap();
        receiver.wait_for_comment("the sender is there", deadline()).unwrap();
        for (second, first) in [
            (subject.start_sender(&["x"], Input::Nothing).unwrap(), &sender),
            (subject.start_receiver(&[]).unwrap(), &receiver),
        ] {
            let line = failure(second);
            let taken = format!("taken by pid {}", first.pid());
            assert!(line.contains(&taken) && line.contains("--at NAME"), "{line}");
        }
        sender.feed(b"hello\n").unwrap();
        assert!(sender.wait(deadline()).unwrap().status.success());
        assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"hello\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn two_pairs_at_two_names_do_not_meet() {
    for kind in KINDS {
        let subject = of_kind(kind);
        let name = |end: &str| format!("{}-{end}", segment_name(&subject));
        let (a, b) = (name("a"), name("b"));
        let at_b = subject.start_receiver(&["--at", &b]).unwrap();
        at_b.wait_for_comment("start the other", deadline()).unwrap();
        let arrived =
            subject.run(&["--at", &a, "to a"], Input::Nothing, &["--at", &a]);
        assert_eq!(arrived.unwrap(), b"to a\n");
        let arrived = subject.start_sender(&["--at", &b, "to b"], Input::Nothing);
        assert!(arrived.unwrap().wait(deadline()).unwrap().status.success());
        assert_eq!(at_b.wait(deadline()).unwrap().stdout, b"to b\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_sender_whose_receiver_died_says_how_many_messages_it_handed_over() {
    let subject = of_kind("posix");
    let mut sender =
        subject.start_sender(&["--capacity", "64"], Input::Open).unwrap();
    sender.wait_for_comment("start the other", deadline()).unwrap();
    let receiver = subject.start_receiver(&[]).unwrap();
    sender.feed(b"one\n").unwrap();
    receiver.wait_for_output(b"one\n", deadline()).unwrap();
    let pid = receiver.pid();
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    // Each takes 24 bytes: two fit into the ring, the third does not.
    for letter in ["a", "b", "c"] {
        let _ = sender.feed((letter.repeat(20) + "\n").as_bytes());
    }
    let line = failure(sender);
    assert!(line.contains("ESRCH") && line.contains(&pid.to_string()), "{line}");
    assert!(line.contains("3 messages handed over"), "{line}");
    // What is in the ring is not lost.
    let next = subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
    let handed = format!("{}\n{}\n", "a".repeat(20), "b".repeat(20));
    assert_eq!(next.stdout, handed.as_bytes());
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_killed_sender_sent_is_read_before_its_death_is_told() {
    for kind in ["crate", "posix", "sysv"] {
        let subject = of_kind(kind);
        let mut sender = subject.start_sender(&[], Input::Open).unwrap();
        sender.feed(b"last words\n").unwrap();
        sender.wait_for_comment("head = 14", deadline()).unwrap();
        // The commentary comes before the copy, the next look at stdin after it.
        sender.feed(b"x\n").unwrap();
        sender.wait_for_comment("head = 19", deadline()).unwrap();
        sender.stop(Signal::SIGKILL, deadline()).unwrap();
        let receiver =
            subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
        let line = contract::failed_clearly(&receiver).unwrap();
        assert!(line.contains("died before its goodbye"), "{line}");
        assert!(receiver.stdout.starts_with(b"last words\n"));
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn something_else_at_the_name_is_named_and_left_alone() {
    for kind in ["crate", "posix"] {
        let subject = of_kind(kind);
        let path = segment(&subject);
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        for role in [
            subject.start_receiver(&[]).unwrap(),
            subject.start_sender(&["hello"], Input::Nothing).unwrap(),
        ] {
            let line = failure(role);
            assert!(line.contains("no ring") && line.contains("--at"), "{line}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 5000]);
        std::fs::remove_file(&path).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_link_at_the_name_is_refused() {
    for kind in ["crate", "posix"] {
        let subject = of_kind(kind);
        let precious = subject.dir().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, segment(&subject)).unwrap();
        let line = failure(subject.start_receiver(&[]).unwrap());
        assert!(line.contains("ELOOP"), "{line}");
        std::fs::remove_file(segment(&subject)).unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
        std::fs::remove_file(&precious).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_ring_that_was_begun_and_not_finished_is_made_anew() {
    for kind in ["crate", "posix"] {
        for length in [0, 384 + 4096] {
            let subject = of_kind(kind);
            let begun = std::fs::File::create_new(segment(&subject)).unwrap();
            begun.set_len(length).unwrap();
            let arrived = subject.run(&["hello"], Input::Nothing, &[]).unwrap();
            assert_eq!(arrived, b"hello\n");
            subject.nothing_is_left().unwrap();
        }
    }
}

/// What a hostile peer could write into the header, and what must be said of it.
const SPOILT: [(u64, &[u8], &str); 9] = [
    (0, b"ipc-rinG", "no ring"),
    (8, &[9], "version 9"),
    (12, &[0], "header is corrupt"),
    (16, &[0xff; 8], "header is corrupt"),
    (16, &[0, 0, 0, 0x40, 0, 0, 0, 0], "cut short"),
    (128, &[0xff; 8], "corrupt: head is"),
    (256, &[0xff; 4], "corrupt: head is"),
    (384, &[0xff; 4], "corrupt: a message of 4,294,967,295"),
    (384, &[6, 0, 0, 0], "corrupt: a message of 6 bytes"),
];

#[test]
fn a_spoilt_ring_is_one_clear_line_and_never_a_crash() {
    for kind in ["crate", "posix"] {
        for (at, bytes, wanted) in SPOILT {
            let subject = of_kind(kind);
            send(&subject, &["hello"]);
            let file = std::fs::File::options().write(true).open(segment(&subject));
            file.unwrap().write_all_at(bytes, at).unwrap();
            let line = failure(subject.start_receiver(&[]).unwrap());
            assert!(
                line.replace(',', "").contains(&wanted.replace(',', "")),
                "{line}"
            );
            let _ = std::fs::remove_file(segment(&subject));
            run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing);
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn a_segment_that_was_cut_short_is_refused_and_not_a_sigbus() {
    for kind in ["crate", "posix"] {
        for length in [10, 384, 5000] {
            let subject = of_kind(kind);
            send(&subject, &["hello"]);
            let file = std::fs::File::options().write(true).open(segment(&subject));
            file.unwrap().set_len(length).unwrap();
            let line = failure(subject.start_receiver(&[]).unwrap());
            assert!(
                line.contains("cut short") || line.contains("no ring"),
                "{line}"
            );
            let _ = std::fs::remove_file(segment(&subject));
            run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing);
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn a_full_dev_shm_is_enospc_and_not_a_sigbus() {
    for kind in ["crate", "posix"] {
        let subject = of_kind(kind);
        // A mount name space of its own, where /dev/shm has room for 64 KiB.
        let shell = with_mounts(
            "mount -t tmpfs -o size=64k none /dev/shm; \
             exec \"$0\" shm receiver --kind \"$1\" 2>&1",
        );
        let Some(mut shell) = shell else { return };
        shell.arg(program()).arg(kind).env("IPCLAB_DIR", subject.dir());
        let outcome = run(shell, Input::Nothing);
        let text = String::from_utf8(outcome.stdout).unwrap();
        assert_eq!(outcome.status.code(), Some(1), "{text}");
        assert!(text.contains("ENOSPC") && text.contains("size="), "{text}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_capacity_that_cannot_be_is_a_usage_error() {
    for capacity in ["0", "1000", "32", "8589934592", "much"] {
        let subject = of_kind("posix");
        let args = ["--capacity", capacity];
        let refused =
            subject.start_receiver(&args).unwrap().wait(deadline()).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("power of two"), "{}", refused.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn the_system_v_limit_is_named() {
    if !have("unshare") {
        return;
    }
    let subject = of_kind("sysv");
    // A name space of System V objects has limits of its own.
    let mut shell = Command::new("unshare");
    shell.args(["-i", "sh", "-c"]);
    shell.arg(
        "echo 4096 > /proc/sys/kernel/shmmax || exit 77; \
         exec \"$0\" shm receiver --kind sysv 2>&1",
    );
    shell.arg(program()).env("IPCLAB_DIR", subject.dir());
    let outcome = run(shell, Input::Nothing);
    if outcome.status.code() == Some(77) || outcome.stdout.is_empty() {
        skip("a System V name space of its own is not permitted");
        return;
    }
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("EINVAL") && text.contains("kernel.shmmax"), "{text}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_the_name_once_the_ring_is_there() {
    for kind in KINDS {
        let subject = of_kind(kind);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(
            "exec 3>&1; exec \"$0\" -q shm receiver --kind \"$1\" --ready-fd 3",
        );
        shell.arg(program()).arg(kind).env("IPCLAB_DIR", subject.dir());
        let receiver =
            RoleProcess::start("receiver", shell, Input::Nothing).unwrap();
        receiver.wait_for_output(b"\n", deadline()).unwrap();
        send(&subject, &["hello"]);
        let receiver = receiver.wait(deadline()).unwrap();
        let text = String::from_utf8(receiver.stdout).unwrap();
        let (address, payload) = text.split_once('\n').unwrap();
        assert_eq!(payload, "hello\n");
        let prefix = kernel_prefix_of(Some(subject.dir().as_os_str()));
        let wanted = match kind {
            "crate" | "posix" => segment(&subject).display().to_string(),
            "sysv" => format!("{:#x}", key_of(&format!("{prefix}shm"))),
            _ => subject.dir().join("shm.memfd").display().to_string(),
        };
        assert!(address.contains(&wanted), "{address}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn python_reads_the_ring_by_multiprocessing() {
    for kind in ["crate", "posix"] {
        let subject = of_kind(kind);
        let name = segment_name(&subject);
        let Some(python) = python(&subject, "shm_receiver.py", &[&name]) else {
            return;
        };
        // More than the ring holds, so that it goes round and both wait.
        let mut sender =
            subject.start_sender(&["--capacity", "256"], Input::Open).unwrap();
        sender.wait_for_comment("start the other", deadline()).unwrap();
        let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
        reader.wait_for_comment("joined", deadline()).unwrap();
        let lines: String = (0..50).map(|i| format!("line {i}\n")).collect();
        sender.feed(lines.as_bytes()).unwrap();
        let sender = sender.wait(deadline()).unwrap();
        assert!(sender.status.success(), "{}", sender.stderr);
        let reader = reader.wait(deadline()).unwrap();
        assert_eq!(reader.stdout, lines.as_bytes(), "{}", reader.stderr);
        assert_eq!(reader.stderr, "joined\n", "the resource tracker complained");
        // Python knows of no lock file.
        run(ipclab(&subject, &["clean"]), Input::Nothing);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_sender_notices_that_a_python_receiver_was_killed() {
    let subject = of_kind("posix");
    let name = segment_name(&subject);
    let Some(python) = python(&subject, "shm_receiver.py", &[&name]) else { return };
    let mut sender =
        subject.start_sender(&["--capacity", "64"], Input::Open).unwrap();
    sender.wait_for_comment("start the other", deadline()).unwrap();
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    sender.feed(b"one\n").unwrap();
    reader.wait_for_output(b"one\n", deadline()).unwrap();
    reader.stop(Signal::SIGKILL, deadline()).unwrap();
    for _ in 0..10 {
        let _ = sender.feed(b"too much for the ring\n");
    }
    let line = failure(sender);
    assert!(line.contains("died") && line.contains("handed over"), "{line}");
    run(ipclab(&subject, &["clean", "--pending"]), Input::Nothing);
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_page_has_the_table_of_the_code() {
    let code = include_str!("../src/wire/ring.rs");
    let page = include_str!("../chapters/shm-ring.md");
    let rows: Vec<_> =
        code.lines().filter_map(|l| l.strip_prefix("//! |")).collect();
    assert!(rows.len() > 10, "the table is gone from the code");
    for row in rows {
        assert!(page.contains(&format!("|{row}\n")), "not on the page: {row}");
    }
}
