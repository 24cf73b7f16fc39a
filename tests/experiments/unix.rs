use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, shutdown,
    socketpair,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::seen;

#[test]
fn a_stale_name_is_eaddrinuse_to_bind_and_econnrefused_to_connect() {
    let Some(saw) = seen("unix/stale-name") else { return };
    assert_eq!(saw["bind to the stale name"], "EADDRINUSE: Address already in use");
    assert_eq!(saw["connect to it"], "ECONNREFUSED: Connection refused");
    assert_eq!(saw["binding one socket twice"], "EINVAL: Invalid argument");
}

#[test]
fn unlink_steals_a_living_servers_name_unless_it_needs_the_lock() {
    let Some(saw) = seen("unix/stolen-name") else { return };
    assert_eq!(saw["the new client went to the first"], false);
    assert_eq!(saw["to the second"], true);
    assert_eq!(saw["the old client is still served"], true);
    assert_eq!(saw["with a lock, the second is refused"], true);
}

#[test]
fn a_socket_can_have_a_longer_name_than_an_address() {
    let Some(saw) = seen("unix/long-path") else { return };
    assert!(saw["bytes of the path"].as_u64().unwrap() > 108);
    assert_eq!(saw["bound by the whole path"], false);
    assert_eq!(saw["bound by the short one"], true);
    assert_eq!(saw["the socket has the long name"], true);
}

#[test]
fn an_abstract_name_is_open_to_all_users_of_one_network_namespace() {
    let Some(saw) = seen("unix/abstract") else { return };
    assert_eq!(saw["another user: path, abstract"], json!([false, true]));
    assert_eq!(saw["other namespace: path, abstract"], json!([true, false]));
}

#[test]
fn a_packet_loses_what_has_no_room_and_a_stream_keeps_it() {
    let Some(saw) = seen("unix/boundaries") else { return };
    for (kind, second, cut) in [
        ("SOCK_STREAM", "et", false),
        ("SOCK_SEQPACKET", "tw", true),
        ("SOCK_DGRAM", "tw", true),
    ] {
        assert_eq!(saw[format!("{kind}: the second")], second);
        assert_eq!(saw[format!("{kind}: MSG_TRUNC at the first")], cut);
    }
}

#[test]
fn a_client_without_a_name_cannot_be_answered() {
    let Some(saw) = seen("unix/unbound-client") else { return };
    let refused = "ENOTCONN: Transport endpoint is not connected";
    assert_eq!(saw["answer to the unbound client"], refused);
    assert_eq!(saw["answer to the bound client"], "6");
}

#[test]
fn a_full_backlog_is_eagain() {
    let Some(saw) = seen("unix/full-backlog") else { return };
    assert_eq!(saw["got through"], 2);
    assert_eq!(saw["the next one"], "EAGAIN: Try again");
    assert_eq!(saw["poll said"], json!(["POLLOUT", "POLLHUP"]));
}

#[test]
fn so_peercred_names_who_connected_and_scm_credentials_who_sent() {
    let Some(saw) = seen("unix/who-connected") else { return };
    assert_eq!(saw["who connected"], "the parent");
    assert_eq!(saw["who sent"], "the child");
    assert_eq!(saw["forged credentials were refused"], true);
}

#[test]
fn credentials_asked_for_too_late_say_nothing() {
    let Some(saw) = seen("unix/passcred-late") else { return };
    assert_eq!(saw["set after the send"], "pid 0, uid 65534");
    assert_eq!(saw["set before the send"], "the sender's");
}

#[test]
fn a_client_needs_the_right_to_write_to_the_socket_file() {
    let Some(saw) = seen("unix/which-bit") else { return };
    assert_eq!(saw["connected with mode"], json!(["0222"]));
}

#[test]
fn who_connected_before_the_chmod_is_served() {
    let Some(saw) = seen("unix/before-chmod") else { return };
    assert_eq!(saw["mode in the end, by-chmod"], "0600");
    assert_eq!(saw["mode in the end, by-umask"], "0600");
    assert_eq!(saw["the client is accepted, by chmod"], true);
    assert_ne!(saw["the client is accepted, by umask"], true, "{saw}");
}

#[test]
fn fchmod_of_a_socket_changes_the_file_before_bind_alone() {
    let Some(saw) = seen("unix/fchmod-which") else { return };
    assert_eq!(saw["mode after bind, fchmod"], "0755");
    assert_eq!(saw["mode after fchmod, bind"], "0600");
}

#[test]
fn msg_trunc_returns_the_length_of_the_datagram() {
    let Some(saw) = seen("unix/true-length") else { return };
    for (flags, returned, next) in [
        ("MSG_TRUNC", 10, "next"),
        ("MSG_PEEK | MSG_TRUNC", 10, "0123"),
        ("0", 4, "next"),
    ] {
        assert_eq!(saw[format!("{flags}: returned")], returned, "{saw}");
        assert_eq!(saw[format!("{flags}: the next")], next, "{saw}");
    }
}

#[test]
fn poll_knows_of_a_full_receiver_once_the_sender_is_connected() {
    let Some(saw) = seen("unix/full-and-writable") else { return };
    assert_eq!(saw["unconnected, poll says POLLOUT"], true);
    assert_eq!(saw["connected, poll says nothing"], true);
    assert_eq!(saw["a send that may block sleeps"], true);
}

#[test]
fn a_pidfd_of_the_peer_tells_its_end() {
    let Some(saw) = seen("unix/peer-has-ended") else { return };
    assert_eq!(saw["recv"], "EAGAIN: Try again");
    assert_eq!(saw["SO_PEERCRED still says the pid"], true);
    assert_eq!(saw["poll said it before"], false);
    assert_eq!(saw["poll says it"], true);
    assert_eq!(saw["a signal by the pidfd"], "ESRCH: No such process");
}

#[test]
fn the_pidfd_of_a_message_is_its_senders() {
    let Some(saw) = seen("unix/pidfd-of-a-message") else { return };
    assert_eq!(saw["the child ended"], true);
    assert_eq!(saw["the client ended"], false);
    assert_eq!(saw["SO_PEERPIDFD ended the client"], true);
}

/// What the page says of packets: poll(2) tells an empty one from the end.
#[test]
fn pollrdhup_tells_the_end_from_an_empty_packet() {
    let (unix, packets) = (AddressFamily::Unix, SockType::SeqPacket);
    let (here, there) = socketpair(unix, packets, None, SockFlag::empty()).unwrap();
    let events = || {
        let mut fds = [PollFd::new(&there, PollFlags::IN | PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec::default())).unwrap();
        fds[0].revents()
    };
    let receive = || recv(there.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT);
    send(here.as_raw_fd(), b"", MsgFlags::empty()).unwrap();
    assert_eq!(events(), PollFlags::IN);
    assert_eq!(receive(), Ok(0));
    shutdown(here.as_raw_fd(), Shutdown::Write).unwrap();
    assert_eq!(events(), PollFlags::IN | PollFlags::RDHUP);
    assert_eq!(receive(), Ok(0));
}

/// What the page says of datagrams: a client's own queue is full first, and no other's.
#[test]
fn a_datagram_socket_takes_max_dgram_qlen_and_one_more() {
    let scratch = tempfile::tempdir().unwrap();
    let bind = |name| UnixDatagram::bind(scratch.path().join(name)).unwrap();
    let (server, _slow, _other) = (bind("server"), bind("slow"), bind("other"));
    server.set_nonblocking(true).unwrap();
    let send = |name| server.send_to(b"answer", scratch.path().join(name));
    let most = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    let most: usize = most.trim().parse().unwrap();
    let taken = std::iter::repeat_with(|| send("slow")).take_while(Result::is_ok);
    assert_eq!(taken.count(), most + 1);
    assert_eq!(send("other").unwrap(), 6);
}
