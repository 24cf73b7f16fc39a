//! The FIFO chapter: the contract, then what is special to it.

mod support;

use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use nix::sys::signal::Signal;
use support::*;

keeps_the_contract!(subject("fifo"));

/// A receiver that waits, with the FIFO already made.
fn waiting_receiver(subject: &Subject, args: &[&str]) -> RoleProcess {
    let receiver = subject.start_receiver(args).unwrap();
    receiver.wait_for_comment("sleeps until a writer", deadline()).unwrap();
    receiver
}

#[test]
fn echo_of_the_shell_is_a_sender() {
    let subject = subject("fifo");
    let receiver = waiting_receiver(&subject, &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo hello; echo world"]);
    let fifo = std::fs::File::options().write(true).open(subject.dir().join("fifo"));
    let output = Output::To(fifo.unwrap().into());
    let shell =
        RoleProcess::start_with("sh", shell, Input::Nothing, output, None).unwrap();
    assert!(shell.wait(deadline()).unwrap().status.success());
    let receiver = receiver.wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"hello\nworld\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_end_is_read_once_though_the_last_line_has_no_newline() {
    let ends = |outcome: &Outcome| outcome.stderr.matches(" = 0: ").count();
    for text in [&b"one\ntwo"[..], b"one\ntwo\n", b"two", b""] {
        let printed =
            [text, if text.ends_with(b"two") { b"\n" } else { b"" }].concat();
        let subject = subject("fifo");
        let receiver = waiting_receiver(&subject, &[]);
        std::fs::write(subject.dir().join("fifo"), text).unwrap();
        let receiver = receiver.wait(deadline()).unwrap();
        assert_eq!(receiver.stdout, printed);
        assert_eq!(ends(&receiver), 1, "{text:?}: {}", receiver.stderr);
        let pipe = run(
            ipclab(&subject, &["pipe", "receiver"]),
            Input::Bytes(text.to_vec()),
        );
        assert_eq!(pipe.stdout, printed);
        assert_eq!(ends(&pipe), 1, "{text:?}: {}", pipe.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn cat_is_a_receiver() {
    let subject = subject("fifo");
    let sender = subject.start_sender(&["hello", "cat"], Input::Nothing).unwrap();
    sender.wait_for_comment("sleeps until a reader", deadline()).unwrap();
    let mut cat = Command::new("cat");
    cat.arg(subject.dir().join("fifo"));
    assert_eq!(run(cat, Input::Nothing).stdout, b"hello\ncat\n");
    assert!(sender.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_makes_and_reads_the_fifo() {
    let subject = subject("fifo");
    let Some(python) = python(&subject, "fifo_reader.py", &["fifo"]) else { return };
    let reader = RoleProcess::start("python", python, Input::Nothing).unwrap();
    reader.wait_for_output(b"ready\n", deadline()).unwrap();
    let sender = subject.start_sender(&["hello", "python"], Input::Nothing).unwrap();
    assert!(sender.wait(deadline()).unwrap().status.success());
    let reader = reader.wait(deadline()).unwrap();
    assert_eq!(reader.stdout, b"ready\nhello\npython\n");
}

#[test]
fn lengths_go_before_the_messages_when_asked() {
    let subject = subject("fifo");
    let args = ["--framing", "length"];
    let sent = ["--framing", "length", "two\nlines", ""];
    let arrived = subject.run(&sent, Input::Nothing, &args).unwrap();
    assert_eq!(arrived, b"two\nlines\n\n");
}

#[test]
fn a_newline_within_a_line_is_refused_before_anything_is_opened() {
    let subject = subject("fifo");
    let sender = subject.start_sender(&["two\nlines"], Input::Nothing).unwrap();
    let line = failure(sender);
    assert!(line.contains("--framing length"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_regular_file_in_the_way_is_explained() {
    let subject = subject("fifo");
    let file = subject.dir().join("fifo");
    std::fs::write(&file, "hi\n").unwrap();
    let receiver = subject.start_receiver(&[]).unwrap();
    let line = failure(receiver);
    assert!(line.contains("regular file") && line.contains("echo hi >"), "{line}");
    assert_eq!(std::fs::read(&file).unwrap(), b"hi\n");
}

#[test]
fn a_fifo_that_the_user_made_stays_the_users() {
    let subject = subject("fifo");
    let path = subject.dir().join("mine");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let at = path.to_str().unwrap();
    let arrived = subject.run(&["--at", at, "hello"], Input::Nothing, &["--at", at]);
    assert_eq!(arrived.unwrap(), b"hello\n");
    assert!(path.symlink_metadata().unwrap().file_type().is_fifo());
    assert_eq!(
        subject.nothing_is_left().unwrap_err().to_string(),
        "left behind: mine"
    );
}

#[test]
fn count_stops_like_head() {
    let subject = subject("fifo");
    let receiver = waiting_receiver(&subject, &["--count", "2"]);
    let sender = subject.start_sender(&["1", "2", "3"], Input::Nothing).unwrap();
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"1\n2\n");
    sender.wait(deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_sender_whose_reader_left_says_how_many_were_handed_over() {
    let subject = subject("fifo");
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    let receiver = subject.start_receiver(&["--count", "1"]).unwrap();
    sender.feed(b"one\n").unwrap();
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"one\n");
    sender.feed(b"two\n").unwrap();
    let line = failure(sender);
    assert!(
        line.contains("EPIPE") && line.contains("1 message handed over"),
        "{line}"
    );
}

#[test]
fn json_has_an_object_a_message() {
    let subject = subject("fifo");
    let arrived = subject.run(
        &["--framing", "length", "é\n"],
        Input::Nothing,
        &["--framing", "length", "--json"],
    );
    let object: serde_json::Value =
        serde_json::from_slice(&arrived.unwrap()).unwrap();
    assert_eq!(
        object,
        serde_json::json!({ "number": 1, "length": 3, "text": "é\n" })
    );
}

#[test]
fn ready_fd_gets_the_path_once_the_fifo_is_there() {
    let subject = subject("fifo");
    let mut shell = Command::new("sh");
    let program = program();
    shell.args(["-c", "exec 3>&1; exec \"$0\" -q fifo receiver --ready-fd 3"]);
    shell.arg(&program).env("IPCLAB_DIR", subject.dir());
    let receiver = RoleProcess::start("receiver", shell, Input::Nothing).unwrap();
    let path = subject.dir().join("fifo");
    let line = format!("{}\n", path.display());
    receiver.wait_for_output(line.as_bytes(), deadline()).unwrap();
    assert!(path.symlink_metadata().unwrap().file_type().is_fifo());
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}
