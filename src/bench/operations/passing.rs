//! A descriptor, or many in one message, to a socket and out of it again.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::operation::{Batch, Resources};

pub(super) fn one(_: &Resources) -> Result<Batch> {
    pass::<1>()
}

pub(super) fn sixteen(_: &Resources) -> Result<Batch> {
    pass::<16>()
}

/// SCM_MAX_FD, the most that one message carries (unix(7)).
pub(super) fn most(_: &Resources) -> Result<Batch> {
    pass::<253>()
}

/// sendmsg(2) of `N` descriptors and recvmsg(2) of their copies. To close the copies is
/// another matter, and not counted.
fn pass<const N: usize>() -> Result<Batch> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let passed = UnixStream::pair().context("socketpair")?.0;
    let mut send_room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut recv_room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    Ok(Box::new(move |count| {
        let mut time = Duration::ZERO;
        let all: [BorrowedFd<'_>; N] = [passed.as_fd(); N];
        for _ in 0..count {
            let began = Instant::now();
            let mut control = SendAncillaryBuffer::new(&mut send_room);
            let pushed = control.push(SendAncillaryMessage::ScmRights(&all));
            ensure!(pushed, "no room for {N} descriptors");
            let bytes = [IoSlice::new(b"x")];
            let sent = sendmsg(&ours, &bytes, &mut control, SendFlags::NOSIGNAL);
            sent.context("sendmsg")?;
            let mut control = RecvAncillaryBuffer::new(&mut recv_room);
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            recvmsg(&theirs, &mut bytes, &mut control, flags).context("recvmsg")?;
            time += began.elapsed();
            let came = control.drain().map(|message| match message {
                RecvAncillaryMessage::ScmRights(copies) => copies.count(),
                _ => 0,
            });
            let came: usize = came.sum();
            ensure!(came == N, "{came} of {N} descriptors came");
        }
        Ok(time)
    }))
}
