//! What a server, or who has taken its place, passes to a worker: a connection is taken only
//! with its byte and alone, and no descriptor of another kind stays open.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{ReceivedDescriptor, take};
use crate::fuzz::Input;

const BYTE: u8 = b'x';

/// Messages: how many descriptors, how many bytes, and the bytes.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let (reading, writing) = std::io::pipe().expect("pipe");
    let mut wanted = 0;
    for _ in 0..16 {
        if !input.has_more() {
            break;
        }
        let (count, length) =
            (usize::from(input.u8() % 6), usize::from(input.u8() % 4));
        let bytes = input.bytes(length);
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(5))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let all = [writing.as_fd(); 5];
        assert!(control.push(SendAncillaryMessage::ScmRights(&all[..count])));
        let bytes = [std::io::IoSlice::new(bytes)];
        sendmsg(&ours, &bytes, &mut control, SendFlags::DONTWAIT).expect("sendmsg");
        wanted += count;
    }
    drop(ours);
    let mut taken = Vec::new();
    for _ in 0..128 {
        match take(&theirs, BYTE) {
            Ok(ReceivedDescriptor::Descriptor(descriptor)) => taken.push(descriptor),
            Ok(ReceivedDescriptor::Nothing | ReceivedDescriptor::EndOfFile) => break,
            Err(_) => {}
        }
    }
    assert!(taken.len() <= wanted);
    drop((taken, theirs, writing));
    assert!(is_closed(&reading), "a descriptor is left open");
}

/// Whether nobody has the write end of this pipe any more.
pub(crate) fn is_closed(reading: impl AsFd) -> bool {
    let mut byte = [0];
    rustix::io::ioctl_fionbio(&reading, true).expect("ioctl");
    rustix::io::read(reading, &mut byte) != Err(Errno::AGAIN)
}
