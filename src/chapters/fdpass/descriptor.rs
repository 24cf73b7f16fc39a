//! One descriptor over a Unix socket: sent, taken, and whom it may go to.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::named;
use wire::shortage::Shortage;

// ANCHOR: pass
/// Passes a copy of `connection` to the process at the other end of `worker`, at once or
/// not at all. On a stream a descriptor travels with a byte (unix(7)).
///
/// # Errors
/// EAGAIN while the socket is full; ETOOMANYREFS with too many descriptors in flight;
/// EPIPE or ECONNRESET when the worker is gone.
pub(super) fn pass(
    worker: impl AsFd,
    connection: impl AsFd,
    byte: u8,
) -> Result<(), Errno> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let descriptors = [connection.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));

    let bytes = [IoSlice::new(std::slice::from_ref(&byte))];
    // NOSIGNAL: a worker that is gone is an error here, not a SIGPIPE.
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(worker, &bytes, &mut control, flags)?;
    Ok(())
}
// ANCHOR_END: pass

// ANCHOR: take
/// What came from the server.
#[derive(Debug)]
pub(super) enum Taken {
    /// A connection.
    Connection(OwnedFd),
    /// Nothing more, so far.
    Nothing,
    /// The server has left.
    End,
}

/// Takes the next connection that the server has passed with `byte`; never waits.
///
/// # Errors
/// A server that breaks the protocol, or no room in our table of descriptors.
pub(super) fn take(server: impl AsFd, byte: u8) -> Result<Taken> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    // What we do not take out of it is closed when it is dropped.
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut came = [0];
    let mut bytes = [IoSliceMut::new(&mut came)];
    // Without CMSG_CLOEXEC the descriptor would live on in whatever we exec.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = Shortage::default().insist("recvmsg", || {
        recvmsg(&server, &mut bytes, &mut control, flags).map_err(named)
    });
    let got = match received {
        Ok(got) if got.bytes == 0 => return Ok(Taken::End),
        // It left without reading our last answer.
        Err(nix::errno::Errno::ECONNRESET) => return Ok(Taken::End),
        Err(nix::errno::Errno::EAGAIN) => return Ok(Taken::Nothing),
        got => got.context("recvmsg")?,
    };
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.flatten();
    let (first, others) = (descriptors.next(), descriptors.count());
    if got.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel dropped what had no place, and nobody will tell us what it was.
        bail!(
            "recvmsg: MSG_CTRUNC: a descriptor was lost: the server sent several, or \
             this process may have no more open (RLIMIT_NOFILE; ulimit -n raises it)"
        );
    }
    match (came, first, others) {
        ([came], Some(descriptor), 0) if came == byte => {
            Ok(Taken::Connection(descriptor))
        }
        ([came], first, others) => bail!(
            "recvmsg: the server sent byte {came:#04x} with {} descriptors: the protocol \
             is one byte {byte:#04x} with exactly one",
            others + usize::from(first.is_some())
        ),
    }
}
// ANCHOR_END: take

// ANCHOR: peer
/// Who made the other end of a Unix socket, as the kernel knows: its pid, once it is
/// sure that it runs as the user that we are.
///
/// # Errors
/// When it is someone else: whoever gets a descriptor gets what it can do.
pub(super) fn known_peer(socket: impl AsFd) -> Result<i32> {
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
        assert!(matches!(taken, Taken::Connection(_)), "{taken:?}");
        drop(taken);
        assert!(matches!(take(&theirs, BYTE).unwrap(), Taken::Nothing));
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
        assert!(matches!(take(&theirs, BYTE).unwrap(), Taken::End));
    }
}
