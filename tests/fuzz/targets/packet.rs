//! Packets with whatever may come beside them: descriptors that nobody asked for are closed,
//! and each packet is taken as it was sent, or as much of it as there is room for.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};

use crate::fuzz::Input;
use crate::unix::more::packet::see_credentials;
use os::packet::recvmsg;

/// The type of the socket, then packets: what comes beside it, its length, its bytes.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let kind = match input.u8() & 1 {
        0 => SockType::SeqPacket,
        _ => SockType::Datagram,
    };
    let pair =
        || socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = pair().expect("socketpair");
    see_credentials(&theirs).expect("setsockopt");
    let (reading, writing) = std::io::pipe().expect("pipe");
    let writing = OwnedFd::from(writing);
    let largest = usize::from(input.u8()) + 1;
    let mut taken = Vec::new();
    for _ in 0..8 {
        if !input.has_more() {
            break;
        }
        let (count, length) = (usize::from(input.u8() % 8), usize::from(input.u8()));
        let bytes = input.bytes(length);
        let descriptors = [writing.as_raw_fd(); 8];
        let rights = [ControlMessage::ScmRights(&descriptors[..count])];
        let beside = if count == 0 { &[][..] } else { &rights };
        let to = ours.as_raw_fd();
        let space = [IoSlice::new(bytes)];
        sendmsg::<()>(to, &space, beside, MsgFlags::MSG_DONTWAIT, None)
            .expect("sendmsg");
        taken.clear();
        taken.shrink_to_fit();
        taken.reserve_exact(largest);
        let room = taken.capacity();
        let packet =
            recvmsg(&theirs, &mut taken, libc::MSG_DONTWAIT).expect("it came");
        assert_eq!(packet.length, bytes.len());
        assert_eq!(taken, bytes[..bytes.len().min(room)]);
        let who = packet.sender.expect("it has a sender");
        assert_eq!(who.pid, std::process::id() as i32);
    }
    drop((ours, theirs, writing));
    assert!(crate::fdpass::fuzz::is_closed(reading.as_fd()), "left open");
}
