//! What passing a descriptor does that people do not expect.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};

use super::record::Returned;
use super::row::Experiment;

mod bytes;
mod handover;
mod memory;
mod open_file;
mod room;
mod transit;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    open_file::SAME_OPEN_FILE,
    open_file::NONBLOCK_SHARED,
    open_file::RIGHTS_TRAVEL,
    open_file::CLOEXEC,
    transit::OUTLIVES_THE_SENDER,
    transit::EOF_IN_FLIGHT,
    transit::DIES_UNREAD,
    transit::TOO_MANY_IN_FLIGHT,
    bytes::PLAIN_READ,
    bytes::BARRIER,
    bytes::NO_BYTE,
    bytes::PEEK_LEAKS,
    room::ROOM_FOR_ONE,
    room::AT_MOST_253,
    room::FULL_TABLE,
    handover::LATE_OK,
    handover::UPGRADE,
    handover::PASSED_PIDFD,
    memory::TRUSTED_SIZE,
    memory::SEAL_WHILE_MAPPED,
];

// ANCHOR: shared
/// Two connected Unix stream sockets.
fn pair() -> Result<(OwnedFd, OwnedFd)> {
    pair_of(SocketType::STREAM)
}

fn pair_of(kind: SocketType) -> Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, kind, flags, None).context("socketpair")
}

/// sendmsg(2): these bytes, and beside them a copy of each descriptor. Never sleeps.
fn pass(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let size = cmsg_space!(ScmRights(descriptors.len()));
    let mut room = vec![MaybeUninit::uninit(); size];
    let mut control = SendAncillaryBuffer::new(&mut room);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}

/// What one recvmsg(2) brought.
#[derive(Debug)]
struct ReceivedMessage {
    text: String,
    descriptors: Vec<OwnedFd>,
    /// MSG_CTRUNC: there was something for which there was no room.
    truncated: bool,
}

/// Room for control messages, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Room([MaybeUninit<u8>; 2048]);

/// recvmsg(2) with room for `most` bytes of data, and msg_controllen = `room`.
fn take(
    socket: impl AsFd,
    most: usize,
    room: usize,
    flags: RecvFlags,
) -> Result<ReceivedMessage, Errno> {
    let mut bytes = vec![0; most];
    let mut space = Room([MaybeUninit::uninit(); 2048]);
    let mut control = RecvAncillaryBuffer::new(&mut space.0[..room]);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg(socket, &mut into, &mut control, flags)?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = descriptors.flatten().collect();
    let text = String::from_utf8_lossy(&bytes[..got.bytes]).into_owned();
    let truncated = got.flags.contains(ReturnFlags::CTRUNC);
    Ok(ReceivedMessage { text, descriptors, truncated })
}

/// Room for one descriptor: CMSG_LEN(sizeof(int)), without padding.
const ONE: usize = 20;
// ANCHOR_END: shared

/// `"x", descriptor 5`.
impl Returned for ReceivedMessage {
    fn shown(&self) -> String {
        let with = match &self.descriptors[..] {
            [] => "no descriptor".to_owned(),
            [one] => format!("descriptor {}", one.as_raw_fd()),
            more => format!("{} descriptors", more.len()),
        };
        let lost = if self.truncated { ", MSG_CTRUNC" } else { "" };
        format!("{} {:?}, {with}{lost}", self.text.len(), self.text)
    }
}

/// How many descriptors this process has open.
fn open_now() -> Result<usize> {
    // One of them is that of the directory itself.
    Ok(std::fs::read_dir("/proc/self/fd").context("readdir /proc/self/fd")?.count()
        - 1)
}
