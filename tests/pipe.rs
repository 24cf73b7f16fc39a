//! The pipe chapter: the contract, then what is special to it.

mod support;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::Signal;

use support::*;

keeps_the_contract!(
    subject("pipe"),
    except {
        the_sender_may_be_first: "a pipe has no name: the shell starts both",
        the_receiver_may_be_first: "a pipe has no name: the shell starts both",
        a_stale_name_is_recovered: "a pipe has no name",
        a_taken_name_is_refused: "a pipe has no name",
        a_link_is_refused: "a pipe has no name",
        an_unsafe_directory_is_refused: "a pipe has no name, and no directory for it",
    }
);

#[test]
fn a_filter_of_the_shell_is_a_peer() {
    let subject = subject("pipe");
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg("\"$0\" -q pipe sender one two | tr a-z A-Z | \"$0\" -q pipe receiver");
    shell.arg(program());
    let outcome = run(shell, Input::Nothing);
    assert_eq!(outcome.stdout, b"ONE\nTWO\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn fork_plays_both_roles() {
    let subject = subject("pipe");
    let outcome =
        run(ipclab(&subject, &["pipe", "fork", "one", "two"]), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, b"one\ntwo\n");
}

#[test]
fn fork_answers_by_two_pipes_and_by_a_socket_pair() {
    let subject = subject("pipe");
    for by in ["two-pipes", "socketpair"] {
        let command =
            ipclab(&subject, &["pipe", "fork", "--duplex", by, "one", "two"]);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{by}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, b"ONE\nTWO\n", "{by}");
    }
}

#[test]
fn bytes_and_another_framing_is_a_usage_error() {
    let subject = subject("pipe");
    let command =
        ipclab(&subject, &["pipe", "sender", "--bytes", "--framing", "lines"]);
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(2));
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_message_cut_short_by_the_end_is_an_error() {
    let subject = subject("pipe");
    let command =
        ipclab(&subject, &["-q", "pipe", "receiver", "--framing", "length"]);
    let outcome = run(command, Input::Bytes(b"\0\0\0\x05hel".to_vec()));
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("ended within a message"), "{line}");
}

#[test]
fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
    let subject = subject("pipe");
    let command =
        ipclab(&subject, &["-q", "pipe", "receiver", "--framing", "length"]);
    let outcome = run(command, Input::Bytes(b"\xff\xff\xff\xffhello".to_vec()));
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("4294967295") && line.contains("--max-message"), "{line}");
}

/// 64 MiB that end with three bytes which are too few for a page.
fn odd_noise() -> Vec<u8> {
    contract::noise((64 << 20) + 3)
}

#[test]
fn what_is_lent_arrives_to_the_byte() {
    let subject = subject("pipe");
    let sent = odd_noise();
    let arrived = subject.run(
        &["-q", "--bytes", "--zero-copy"],
        Input::Bytes(sent.clone()),
        &["-q", "--bytes"],
    );
    assert!(arrived.unwrap() == sent, "the bytes differ");
}

#[test]
fn lent_lines_and_lengths_of_any_size_arrive_whole() {
    let subject = subject("pipe");
    // Around the shortest that is lent, around what the pipe holds, and over it.
    let sizes = [131_071, 131_072, 131_073, 140_003, 524_288, 700_001, 2_000_003];
    let mut sent = Vec::new();
    for (number, size) in sizes.into_iter().cycle().take(21).enumerate() {
        sent.extend(std::iter::repeat_n(b'a' + number as u8, size));
        sent.push(b'\n');
    }
    for framing in ["lines", "length"] {
        let arrived = subject.run(
            &["-q", "--zero-copy", "--framing", framing],
            Input::Bytes(sent.clone()),
            &["-q", "--framing", framing],
        );
        assert!(arrived.unwrap() == sent, "{framing}: the bytes differ");
    }
}

/// `pipe sender SENDER < file | READER > copy`, in a shell; what the copy holds.
fn piped(subject: &Subject, sender: &str, reader: &str, sent: &[u8]) -> Vec<u8> {
    let file = subject.dir().join("file");
    std::fs::write(&file, sent).unwrap();
    let line = format!("\"$0\" -q pipe sender {sender} < file | {reader} > copy");
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).arg(program()).current_dir(subject.dir());
    let outcome = run(shell, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    std::fs::read(subject.dir().join("copy")).unwrap()
}

#[test]
fn what_is_lent_reaches_a_slow_reader_of_odd_pieces_to_the_byte() {
    let subject = subject("pipe");
    let sent = odd_noise();
    // dd reads fewer bytes at once than the sender lends, and never a whole page.
    let reader = "dd bs=3001 status=none";
    let arrived = piped(&subject, "--bytes --zero-copy", reader, &sent);
    assert!(arrived == sent, "the bytes differ");
}

#[test]
fn what_is_lent_or_written_is_moved_into_a_file_to_the_byte() {
    let subject = subject("pipe");
    let sent = odd_noise();
    for sender in ["--bytes --zero-copy", "--bytes"] {
        let reader = "\"$0\" -q pipe receiver --bytes --zero-copy";
        let arrived = piped(&subject, sender, reader, &sent);
        assert!(arrived == sent, "{sender}: the bytes differ");
    }
}

#[test]
fn a_reader_that_leaves_a_lender_is_epipe() {
    let subject = subject("pipe");
    std::fs::write(subject.dir().join("file"), vec![7; 8 << 20]).unwrap();
    let line = "\"$0\" -q pipe sender --bytes --zero-copy < file | head -c 1 > one";
    let mut shell = Command::new("bash");
    let line = format!("set -o pipefail; {line}");
    shell.args(["-c", &line]).arg(program()).current_dir(subject.dir());
    let outcome = run(shell, Input::Nothing);
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("vmsplice") && line.contains("EPIPE"), "{line}");
}

#[test]
fn a_lender_that_waits_for_its_reader_ends_by_ctrl_c() {
    let subject = subject("pipe");
    let (reading, writing) = std::io::pipe().unwrap();
    let file = subject.dir().join("file");
    std::fs::write(&file, vec![7; 2 << 20]).unwrap();
    let sender = RoleProcess::start_with(
        "sender",
        ipclab(&subject, &["pipe", "sender", "--bytes", "--zero-copy"]),
        Input::From(std::fs::File::open(&file).unwrap().into()),
        Output::To(writing.into()),
        None,
    );
    let sender = sender.unwrap();
    // The pipe is full of its pages once the first half of a message has come.
    until("it lends", || rustix::io::ioctl_fionread(&reading).unwrap() >= 500_000);
    let sender = sender.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(sender.status.signal(), Some(libc::SIGINT));
    // Its pages outlive it: what the pipe holds is still there.
    let mut rest = Vec::new();
    (&reading).read_to_end(&mut rest).unwrap();
    assert!(rest.len() >= 500_000 && rest.iter().all(|byte| *byte == 7));
}

#[test]
fn the_end_of_a_message_outlives_its_lender() {
    let subject = subject("pipe");
    let (mut reading, writing) = std::io::pipe().unwrap();
    let mut sent = vec![b'x'; 1 << 20];
    sent.push(b'\n');
    let sender = RoleProcess::start_with(
        "sender",
        ipclab(&subject, &["-q", "pipe", "sender", "--zero-copy"]),
        Input::Bytes(sent.clone()),
        Output::To(writing.into()),
        None,
    )
    .unwrap();
    // All that it lends is read, and nothing of the copied end, 64 bytes for each page.
    let mut arrived = vec![0; 1 << 19];
    reading.read_exact(&mut arrived).unwrap();
    let places = rustix::pipe::fcntl_getpipe_size(&reading).unwrap() / 4096;
    let lent = sent.len() - places * 64;
    arrived.resize(lent, 0);
    reading.read_exact(&mut arrived[1 << 19..]).unwrap();
    assert!(sender.wait(deadline()).unwrap().status.success());
    reading.read_to_end(&mut arrived).unwrap();
    assert!(arrived == sent, "the bytes differ");
}

#[test]
fn what_cannot_be_lent_or_moved_is_refused_and_says_why() {
    let subject = subject("pipe");
    let own = "\"$0\" -q pipe";
    let cases = [
        (format!("{own} sender --zero-copy x > copy"), "needs a pipe"),
        (format!("{own} receiver --zero-copy --bytes < copy > to"), "out of a pipe"),
        (
            format!("echo x | {own} receiver --zero-copy --bytes | cat"),
            "into a file or a device",
        ),
        (
            format!("echo x | {own} receiver --zero-copy --bytes >> copy"),
            "opened to append",
        ),
        (format!("echo x | {own} receiver --zero-copy > to"), "with --bytes"),
    ];
    for (line, why) in cases {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).arg(program()).current_dir(subject.dir());
        let said = run(shell, Input::Nothing).stderr;
        assert!(said.contains(why) && said.lines().count() == 1, "{line}: {said}");
    }
}
