//! One descriptor over a Unix socket: passed, taken, and which user may have it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use os::calls::nix_errno;
use wire::shortage::Shortage;

// ANCHOR: pass
/// Passes a copy of `connection` to the process at the other end of `worker`, at once or
/// not at all. On a stream a descriptor travels with a byte (unix(7)).
///
/// # Errors
/// EAGAIN while the socket is full; ETOOMANYREFS with too many descriptors in flight;
/// EPIPE or ECONNRESET when the worker is gone.
pub(crate) fn pass(
    worker: impl AsFd,
    connection: impl AsFd,
    byte: u8,
) -> nix::Result<()> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let descriptors = [connection.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));

    let bytes = [IoSlice::new(std::slice::from_ref(&byte))];
    // NOSIGNAL: a worker that is gone is an error here, not a SIGPIPE.
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(worker, &bytes, &mut control, flags).map(drop).map_err(nix_errno)
}
// ANCHOR_END: pass

// ANCHOR: take
/// What a worker received from the server.
#[derive(Debug)]
pub(crate) enum ReceivedDescriptor {
    /// The one that came.
    Descriptor(OwnedFd),
    /// Nothing more has arrived so far.
    Nothing,
    /// The server has closed its end.
    EndOfFile,
}

/// Takes the next connection that the server has passed with `byte`; never waits.
///
/// # Errors
/// A server that breaks the protocol, or no room in our table of descriptors.
pub(crate) fn take(server: impl AsFd, byte: u8) -> Result<ReceivedDescriptor> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    // A descriptor that we do not take out of this buffer is closed when the buffer is dropped.
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte_received = [0];
    let mut bytes = [IoSliceMut::new(&mut byte_received)];
    // Without CMSG_CLOEXEC the descriptor would stay open in every program that we exec.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let returned = Shortage::default().retry("recvmsg", || {
        recvmsg(&server, &mut bytes, &mut control, flags).map_err(nix_errno)
    });
    let got = match returned {
        Ok(got) if got.bytes == 0 => return Ok(ReceivedDescriptor::EndOfFile),
        // The server left without reading our last `OK`.
        Err(Errno::ECONNRESET) => return Ok(ReceivedDescriptor::EndOfFile),
        Err(Errno::EAGAIN) => return Ok(ReceivedDescriptor::Nothing),
        got => got.context("recvmsg")?,
    };
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.flatten();
    let (first, others) = (descriptors.next(), descriptors.count());
    if got.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel closed the descriptor that had no room. Nothing tells which it was.
        bail!(
            "recvmsg: MSG_CTRUNC: a descriptor was lost: the peer sent several, or \
             this process may have no more open (RLIMIT_NOFILE; ulimit -n raises it)"
        );
    }
    match (byte_received, first, others) {
        ([received], Some(descriptor), 0) if received == byte => {
            Ok(ReceivedDescriptor::Descriptor(descriptor))
        }
        ([received], first, others) => bail!(
            "recvmsg: the peer sent byte {received:#04x} with {} descriptors: the protocol \
             is one byte {byte:#04x} with exactly one",
            others + usize::from(first.is_some())
        ),
    }
}
// ANCHOR_END: take

// ANCHOR: peer
/// The pid of the process that made the other end of a Unix socket, as the kernel knows it;
/// only if that process runs as our user.
///
/// # Errors
/// When the process is another user's: with a descriptor it would get the descriptor's rights.
pub(crate) fn known_peer(socket: impl AsFd) -> Result<i32> {
    let peer =
        getsockopt(&socket, PeerCredentials).context("getsockopt(SO_PEERCRED)")?;
    let ours = nix::unistd::geteuid().as_raw();
    if peer.uid() != ours {
        let (pid, uid) = (peer.pid(), peer.uid());
        bail!("refused: pid {pid} runs as uid {uid}, and we as uid {ours}");
    }
    Ok(peer.pid())
}
// ANCHOR_END: peer

#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/descriptor.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const BYTE: u8 = b'x';

    #[test]
    fn one_descriptor_arrives_and_several_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        pass(&ours, &ours, BYTE).unwrap();
        let taken = take(&theirs, BYTE).unwrap();
        assert!(matches!(taken, ReceivedDescriptor::Descriptor(_)), "{taken:?}");
        drop(taken);
        assert!(matches!(take(&theirs, BYTE).unwrap(), ReceivedDescriptor::Nothing));
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(3))];
        for number in [0, 2, 3] {
            let mut control = SendAncillaryBuffer::new(&mut room);
            let all = [ours.as_fd(); 3];
            let some = SendAncillaryMessage::ScmRights(&all[..number]);
            assert!(number == 0 || control.push(some));
            let bytes = [IoSlice::new(&[BYTE])];
            sendmsg(&ours, &bytes, &mut control, SendFlags::empty()).unwrap();
            let error = take(&theirs, BYTE).unwrap_err().to_string();
            assert!(error.contains("descriptor"), "{number}: {error}");
        }
        drop(ours);
        assert!(matches!(
            take(&theirs, BYTE).unwrap(),
            ReceivedDescriptor::EndOfFile
        ));
    }
}
