//! The chapter of mapped files: the contract, then what is special to a ring in a file.

mod support;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use support::*;

/// The chapter, with a small ring where a limit is asked for.
fn mmap() -> Subject {
    let mut subject = subject("mmap");
    subject.limit = ["--capacity", "4096"].map(Into::into).to_vec();
    subject.largest = 4092;
    subject.roomy = ["--capacity", "131072"].map(Into::into).to_vec();
    subject.keeps = true;
    subject
}

keeps_the_contract!(mmap());

mod as_a_queue_of_one_sender {
    use super::*;
    keeps_the_clauses! {
        mmap();
        count_stops_like_head_and_leaves_the_rest,
        a_second_sender_is_told_who_has_the_place,
    }
}

fn file(subject: &Subject) -> PathBuf {
    subject.dir().join("mmap")
}

#[test]
fn what_nobody_has_read_waits_in_the_file_for_a_later_receiver() {
    let subject = mmap();
    send(&subject, &["one", "two", "three"]);
    let line = failure(subject.start_sender(&["four"], Input::Nothing).unwrap());
    assert!(line.contains("23 bytes") && line.contains("--pending"), "{line}");
    let first = subject.start_receiver(&["--count", "1"]).unwrap();
    assert_eq!(first.wait(deadline()).unwrap().stdout, b"one\n");
    let second = subject.start_receiver(&[]).unwrap().wait(deadline()).unwrap();
    assert_eq!(second.stdout, b"two\nthree\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_of_the_users_stays_and_serves_again() {
    let subject = mmap();
    let at = ["--at", "./ring", "--capacity", "4096"];
    let messages = |text: &'static str| [&at[..], &[text]].concat();
    let receiver = subject.start_receiver(&at).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    send(&subject, &messages("receiver first"));
    let receiver = receiver.wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"receiver first\n");

    let ring = subject.dir().join("ring");
    assert_eq!(ring.metadata().unwrap().len(), 384 + 4096);
    send(&subject, &messages("sender first"));
    let receiver = subject.start_receiver(&at).unwrap().wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"sender first\n", "{}", receiver.stderr);

    // Nor does it go with its users when they are killed.
    let receiver = subject.start_receiver(&at).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    let arrived = subject.run(&messages("afterwards"), Input::Nothing, &at).unwrap();
    assert_eq!(arrived, b"afterwards\n");
    assert_eq!(
        subject.nothing_is_left().unwrap_err().to_string(),
        "left behind: ring"
    );
}

#[test]
fn a_file_that_is_no_ring_is_never_written() {
    let subject = mmap();
    let zeros = vec![0; 8192];
    let texts: [&[u8]; 5] =
        [b"hello\n", b"", b"ipc-ring", b"ipc-ring and more", &zeros];
    for text in texts {
        let path = subject.dir().join("letter.txt");
        std::fs::write(&path, text).unwrap();
        for role in [
            subject.start_receiver(&["--at", "./letter.txt"]).unwrap(),
            subject
                .start_sender(&["--at", "./letter.txt", "x"], Input::Nothing)
                .unwrap(),
        ] {
            let line = failure(role);
            assert!(line.contains("letter.txt") && line.contains("--at"), "{line}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), text);
        std::fs::remove_file(&path).unwrap();
    }
    // And so in our own directory, for what has something in it.
    std::fs::write(file(&subject), "hello\n").unwrap();
    let line = failure(subject.start_receiver(&[]).unwrap());
    assert!(line.contains("no ring"), "{line}");
    assert_eq!(std::fs::read(file(&subject)).unwrap(), b"hello\n");
    std::fs::remove_file(file(&subject)).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_that_was_cut_short_is_refused_and_not_a_sigbus() {
    for length in [10, 384, 384 + 4095] {
        let subject = mmap();
        send(&subject, &["--capacity", "4096", "hello"]);
        let ring =
            std::fs::File::options().write(true).open(file(&subject)).unwrap();
        ring.set_len(length).unwrap();
        for role in [
            subject.start_receiver(&[]).unwrap(),
            subject.start_sender(&["hello"], Input::Nothing).unwrap(),
        ] {
            let line = failure(role);
            assert!(
                line.contains("cut short") || line.contains("no ring"),
                "{line}"
            );
        }
        assert_eq!(file(&subject).metadata().unwrap().len(), length);
        // The file is still there, so its lock is, too; without it, `clean` takes that.
        std::fs::remove_file(file(&subject)).unwrap();
        assert!(run(ipclab(&subject, &["clean"]), Input::Nothing).status.success());
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_ring_that_was_begun_and_not_finished_is_made_anew() {
    for length in [0, 384 + 4096] {
        let subject = mmap();
        let begun = std::fs::File::create_new(file(&subject)).unwrap();
        begun.set_len(length).unwrap();
        let arrived = subject.run(&["hello"], Input::Nothing, &[]).unwrap();
        assert_eq!(arrived, b"hello\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_spoilt_ring_is_one_clear_line_and_never_a_crash() {
    let spoilt: [(u64, &[u8], &str); 6] = [
        (8, &[9], "version 9"),
        (16, &[1], "header is corrupt"),
        (128, &[0xff; 8], "corrupt: head is"),
        (256, &[0xff; 4], "corrupt: head is"),
        (384, &[0xff; 4], "corrupt: a message of"),
        (384, &[6], "corrupt: a message of 6 bytes"),
    ];
    for (at, bytes, wanted) in spoilt {
        let subject = mmap();
        let args = ["--at", "./ring"];
        send(&subject, &["--at", "./ring", "hello"]);
        let ring = subject.dir().join("ring");
        let opened = std::fs::File::options().write(true).open(&ring).unwrap();
        opened.write_all_at(bytes, at).unwrap();
        let line = failure(subject.start_receiver(&args).unwrap());
        assert!(line.contains(wanted), "{line}");
        std::fs::remove_file(&ring).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_full_disk_is_enospc_and_leaves_no_file() {
    let subject = mmap();
    let full = subject.dir().join("full");
    std::fs::create_dir(&full).unwrap();
    // A mount name space of its own, and in it a disk of 64 KiB.
    let shell = with_mounts(
        "mount -t tmpfs -o size=64k none full; set +e; \
         \"$0\" mmap receiver --at full/ring 2>&1; echo \"status $?\"; ls -A full",
    );
    let Some(mut shell) = shell else { return };
    shell.arg(program()).env("IPCLAB_DIR", subject.dir()).current_dir(subject.dir());
    let outcome = run(shell, Input::Nothing);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("posix_fallocate full/ring: ENOSPC"), "{text}");
    assert!(text.contains("--capacity"), "no way out: {text}");
    assert!(text.ends_with("status 1\n"), "{text}");
}

#[test]
fn python_reads_the_file_by_mmap() {
    let subject = mmap();
    let args = ["ring"];
    let Some(python) = python(&subject, "mmap_receiver.py", &args) else { return };
    let sent = ["--at", "./ring", "--capacity", "256"];
    let mut sender = subject.start_sender(&sent, Input::Open).unwrap();
    sender.wait_for_comment("start the other", deadline()).unwrap();
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    // More than the ring holds, so that it goes round, and the sender sleeps.
    let lines: String = (0..50).map(|i| format!("line {i}\n")).collect();
    sender.feed(lines.as_bytes()).unwrap();
    assert!(sender.wait(deadline()).unwrap().status.success());
    let reader = reader.wait(deadline()).unwrap();
    assert_eq!(reader.stdout, lines.as_bytes(), "{}", reader.stderr);
}

#[test]
fn python_writes_the_file_by_mmap() {
    let subject = mmap();
    let Some(python) = python(&subject, "mmap_sender.py", &["mmap"]) else { return };
    let receiver = subject.start_receiver(&["--capacity", "256"]).unwrap();
    receiver.wait_for_comment("start the other", deadline()).unwrap();
    let lines: String = (0..50).map(|i| format!("line {i}\n")).collect();
    let input = Input::Bytes(lines.clone().into_bytes());
    let sender = RoleProcess::start("python", python, input).unwrap();
    let sender = sender.wait(deadline()).unwrap();
    assert!(sender.status.success(), "{}", sender.stderr);
    let receiver = receiver.wait(deadline()).unwrap();
    assert!(receiver.status.success(), "{}", receiver.stderr);
    assert_eq!(receiver.stdout, lines.as_bytes());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_receiver_notices_that_a_python_sender_was_killed() {
    let subject = mmap();
    let Some(python) = python(&subject, "mmap_sender.py", &["mmap"]) else { return };
    let receiver = subject.start_receiver(&[]).unwrap();
    receiver.wait_for_comment("start the other", deadline()).unwrap();
    let mut sender = RoleProcess::start("python", python, Input::Open).unwrap();
    // Python reads a pipe by blocks, so that the first lines come with the rest.
    sender.feed(&b"line\n".repeat(20_000)).unwrap();
    receiver.wait_for_output(b"line\n", deadline()).unwrap();
    sender.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(receiver);
    assert!(line.contains("died before its goodbye"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_ring_that_a_python_receiver_reads_is_taken_for_a_receiver_not_for_a_sender() {
    let subject = mmap();
    let args = ["ring"];
    let Some(python) = python(&subject, "mmap_receiver.py", &args) else { return };
    send(&subject, &["--at", "./ring", "--capacity", "4096"]);
    let ring = subject.dir().join("ring");
    // Open again, as a maker that still lives would have left it.
    let opened = std::fs::File::options().write(true).open(&ring).unwrap();
    opened.write_all_at(&[0; 36], 32).unwrap();
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    until("Python joins", || {
        let mut pid = [0; 4];
        std::fs::File::open(&ring).unwrap().read_exact_at(&mut pid, 48).unwrap();
        i64::from(u32::from_le_bytes(pid)) == i64::from(reader.pid().as_raw())
    });
    let line = failure(subject.start_receiver(&["--at", "./ring"]).unwrap());
    assert!(line.contains(&format!("taken by pid {}", reader.pid())), "{line}");
    // But a sender may come: it finds no lock held, and a receiver that lives.
    send(&subject, &["--at", "./ring", "hello"]);
    assert_eq!(reader.wait(deadline()).unwrap().stdout, b"hello\n");
}
