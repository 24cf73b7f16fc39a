//! The pipe chapter: the contract, then what is special to it.

mod support;

use std::process::Command;

use support::*;

keeps_the_contract! {
    subject("pipe");
    one_message, a_thousand_in_order, an_empty_message, the_largest_message,
    one_byte_too_many, arguments_are_checked_first, binary_bytes,
    the_sender_is_killed, the_sender_is_killed_in_full_flow, the_receiver_is_killed, a_closed_output_is_a_quiet_end,
}
// A pipe has no name: the clauses about names, start order and waiting do not apply.

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
fn sixty_four_mebibytes_arrive_to_the_byte() {
    let subject = subject("pipe");
    let sent = contract::noise(64 << 20);
    let input = Input::Bytes(sent.clone());
    let arrived =
        subject.run(&["-q", "--bytes"], input, &["-q", "--bytes"]).unwrap();
    assert!(arrived == sent, "the bytes differ");
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
