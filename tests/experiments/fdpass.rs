use crate::seen;
use nix::unistd::geteuid;
use serde_json::json;

#[test]
fn a_passed_descriptor_has_its_own_number_and_the_same_position() {
    let Some(saw) = seen("fdpass/same-open-file") else { return };
    assert_eq!(saw["the numbers differ"], true);
    assert_eq!(saw["the receiver read"], "abc");
    assert_eq!(saw["then the sender read"], "def");
}

#[test]
fn o_nonblock_is_shared_and_fd_cloexec_is_not() {
    let Some(saw) = seen("fdpass/nonblock-shared") else { return };
    assert_eq!(saw["the sender's has O_NONBLOCK"], true);
    assert_eq!(saw["the sender's has FD_CLOEXEC"], false);
    assert_eq!(saw["the sender's read"], "EAGAIN: Try again");
}

#[test]
fn a_passed_descriptor_gives_a_right_that_its_receiver_has_not() {
    let Some(saw) = seen("fdpass/rights-travel") else { return };
    assert_eq!(saw["the other user read"], "secret");
    assert_eq!(saw["the other user could open it again"], false);
}

#[test]
fn fd_cloexec_is_not_passed_and_must_be_asked_for() {
    let Some(saw) = seen("fdpass/cloexec") else { return };
    assert_eq!(saw["inherited from the sender"], false);
    assert_eq!(saw["inherited, without a flag"], true);
    assert_eq!(saw["inherited, with MSG_CMSG_CLOEXEC"], false);
}

#[test]
fn a_passed_descriptor_outlives_its_sender() {
    let Some(saw) = seen("fdpass/outlives-the-sender") else { return };
    assert_eq!(saw["descriptors received"], 1);
    assert_eq!(saw["the first read"], "hello");
    assert_eq!(saw["the pipe has ended then"], true);
}

#[test]
fn a_write_end_in_flight_keeps_a_pipe_from_ending() {
    let Some(saw) = seen("fdpass/eof-in-flight") else { return };
    assert_eq!(saw["while it is in flight"], "EAGAIN: Try again");
    assert_eq!(saw["descriptors that wait in the socket"], "1");
    assert_eq!(saw["once the socket is closed"], "0");
}

#[test]
fn a_worker_that_dies_with_something_unread_leaves_econnreset() {
    let Some(saw) = seen("fdpass/dies-unread") else { return };
    let (reset, broken) =
        ("ECONNRESET: Connection reset by peer", "EPIPE: Broken pipe");
    assert_eq!(saw["if it had not"], json!([reset, "0", broken]));
    assert_eq!(saw["if it had received it"], json!(["0", "0", broken]));
}

#[test]
fn more_in_flight_than_rlimit_nofile_is_etoomanyrefs_but_for_root() {
    let Some(saw) = seen("fdpass/too-many-in-flight") else { return };
    let said = saw["then"].as_str().unwrap();
    assert!(said.starts_with("ETOOMANYREFS"), "{said}");
    if geteuid().is_root() {
        assert_eq!(saw["messages that went"], 51);
        assert_eq!(saw["one received, one more went"], true);
        let excused = saw["root has a capability that excuses it"] == true;
        assert_eq!(saw["root was refused at the limit"], !excused);
    }
}

#[test]
fn a_plain_read_drops_the_descriptor_in_silence() {
    let Some(saw) = seen("fdpass/plain-read") else { return };
    assert_eq!(saw["read returned"], "1");
    assert_eq!(saw["descriptors that it brought"], 0);
    assert_eq!(saw["recvmsg after it"], "EAGAIN: Try again");
    assert_eq!(saw["the write end is closed"], true);
}

#[test]
fn a_stream_stops_behind_a_message_with_a_descriptor_and_not_before_it() {
    let Some(saw) = seen("fdpass/barrier") else { return };
    assert_eq!(
        saw["a stream, 100 bytes at a time"],
        json!(["onetwo + fd", "three"])
    );
    let by_4 = json!(["onet + fd", "woth", "ree"]);
    assert_eq!(saw["a stream, 4 bytes at a time"], by_4);
    assert_eq!(saw["seqpacket"], json!(["one", "two + fd", "three"]));
}

#[test]
fn on_a_stream_a_descriptor_without_a_byte_goes_nowhere() {
    let Some(saw) = seen("fdpass/no-byte") else { return };
    assert_eq!(saw["stream: sendmsg"], "0");
    assert_eq!(saw["stream: it arrived"], false);
    assert_eq!(saw["seqpacket: it arrived"], true);
}

#[test]
fn each_peek_by_recvmsg_installs_the_descriptor_again() {
    let Some(saw) = seen("fdpass/peek-leaks") else { return };
    assert_eq!(saw["with recvmsg and MSG_PEEK"], 4);
    assert_eq!(saw["with recv and MSG_PEEK"], 1);
    assert_eq!(saw["the last recvmsg brought it"], true);
}

#[test]
fn cmsg_space_of_one_int_has_room_for_two() {
    let Some(saw) = seen("fdpass/room-for-one") else { return };
    for (room, installed, truncated) in
        [(20, 1, true), (24, 2, true), (28, 3, false)]
    {
        assert_eq!(saw[format!("installed, with {room} bytes")], installed);
        assert_eq!(saw[format!("MSG_CTRUNC, with {room} bytes")], truncated);
    }
    assert_eq!(saw["MSG_CTRUNC, with 24 bytes for two"], false);
}

#[test]
fn a_message_takes_253_descriptors_or_none() {
    let Some(saw) = seen("fdpass/at-most-253") else { return };
    assert_eq!(saw["the most that went in one message"], 253);
    assert_eq!(saw["one more"], "EINVAL: Invalid argument");
    assert_eq!(saw["of that message something arrived"], false);
}

#[test]
fn a_full_table_is_msg_ctrunc_and_no_error() {
    let Some(saw) = seen("fdpass/full-table") else { return };
    assert_eq!(saw["bytes received"], "x");
    assert_eq!(saw["descriptors received"], 0);
    assert_eq!(saw["MSG_CTRUNC"], true);
    assert_eq!(saw["the message was still there"], false);
}

#[test]
fn an_ok_after_the_first_read_comes_too_late() {
    let Some(saw) = seen("fdpass/late-ok") else { return };
    assert_eq!(saw["OK after the first read: worker 2 got"], "llo");
    assert_eq!(saw["OK before it: worker 2 got"], "hello");
}

#[test]
fn a_passed_listening_socket_keeps_its_queue_and_a_closed_one_does_not() {
    let Some(saw) = seen("fdpass/upgrade") else { return };
    let (reset, refused) =
        ("ECONNRESET: Connection reset by peer", "ECONNREFUSED: Connection refused");
    assert_eq!(saw["closed and bound again: the waiting client got"], reset);
    assert_eq!(saw["closed and bound again: who came between"], refused);
    assert_eq!(saw["passed: the waiting client got"], "from the new server");
    assert_eq!(saw["passed: who came between"], "was connected");
}

#[test]
fn a_passed_pidfd_can_signal_and_be_polled_but_not_waited_for() {
    let Some(saw) = seen("fdpass/passed-pidfd") else { return };
    assert_eq!(saw["the signal ended the child"], true);
    assert_eq!(saw["poll told of its end"], true);
    assert_eq!(saw["waitid by the supervisor"], "ECHILD: No child processes");
    assert_eq!(saw["the parent learned how it ended"], true);
}

#[test]
fn only_a_seal_makes_the_size_of_passed_memory_one_to_trust() {
    let Some(saw) = seen("fdpass/trusted-size") else { return };
    assert_eq!(saw["mapped by its size"], "killed by SIGBUS");
    assert_eq!(saw["not sealed, and asked for seals"], "refused");
    assert_eq!(saw["sealed, and asked for seals"], "read 'b'"); // the size stays, no more
}

#[test]
fn what_is_mapped_writable_cannot_be_sealed_against_writing() {
    let Some(saw) = seen("fdpass/seal-while-mapped") else { return };
    let (busy, denied) =
        ("EBUSY: Device or resource busy", "EPERM: Operation not permitted");
    assert_eq!(saw["F_SEAL_WRITE while mapped"], busy);
    assert_eq!(saw["F_SEAL_FUTURE_WRITE while mapped"], "0");
    assert_eq!(saw["the map's content"], "through the map");
    assert_eq!(saw["pwrite"], denied);
    assert_eq!(saw["F_SEAL_WRITE once unmapped"], "0");
    assert_eq!(saw["a new writable map"], denied);
}

/// What `eof-in-flight` says of an end: on Linux a pipe can get a writer after it.
#[test]
fn a_pipe_at_its_end_gets_a_new_writer_by_its_name_in_proc() {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    let (mut reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let mut writer = std::fs::File::options().write(true).open(name).unwrap();
    writer.write_all(b"again").unwrap();
    let mut text = [0; 5];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"again");
}
