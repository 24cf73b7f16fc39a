//! Several descriptors in one message. Most of what passing one costs is the message: two
//! system calls and, as a rule, a wake-up. So a program that has several to pass
//! sends them together, up to the [`MOST`] that the kernel takes at once.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use os::calls::nix_errno;

/// How many descriptors one message may carry: SCM_MAX_FD (unix(7)).
pub const MOST: usize = 253;

// ANCHOR: batch
/// Passes copies of all `descriptors`, 1 to [`MOST`], to the process at the other end of
/// `socket`, with one byte: all of them or none, and never waits.
///
/// # Errors
/// EINVAL for none or for too many; EAGAIN while the socket is full; ETOOMANYREFS with too
/// many in flight; EPIPE or ECONNRESET when the other end is closed.
pub fn pass_all(
    socket: impl AsFd,
    descriptors: &[BorrowedFd<'_>],
    byte: u8,
) -> nix::Result<()> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let all = SendAncillaryMessage::ScmRights(descriptors);
    // A byte without a descriptor would be a message, too: the peer would have to refuse it.
    if descriptors.is_empty() || descriptors.len() > MOST || !control.push(all) {
        return Err(Errno::EINVAL);
    }
    let bytes = [IoSlice::new(std::slice::from_ref(&byte))];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &bytes, &mut control, flags).map(drop).map_err(nix_errno)
}

/// What the receiver of several descriptors received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivedDescriptors {
    /// One message with so many descriptors, at least one.
    Number(usize),
    /// Nothing has arrived so far.
    Nothing,
    /// The other end is closed.
    EndOfFile,
}

/// Adds to `taken` the descriptors of the next message that came with `byte`; never waits.
/// The peer decides how many there are, so we decide how many we take: with more than
/// `most` of them all are closed.
///
/// # Errors
/// A peer that breaks these rules, or no room in our table of descriptors. Then `taken` is
/// as it was.
pub fn take_all(
    socket: impl AsFd,
    byte: u8,
    most: usize,
    taken: &mut Vec<OwnedFd>,
) -> Result<ReceivedDescriptors> {
    // Room for all that can come: the kernel closes a descriptor that has no room.
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut received = [0];
    let mut bytes = [IoSliceMut::new(&mut received)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let returned = recvmsg(socket, &mut bytes, &mut control, flags);
    let got = match returned.map_err(nix_errno) {
        Ok(got) if got.bytes == 0 => return Ok(ReceivedDescriptors::EndOfFile),
        Err(Errno::ECONNRESET) => return Ok(ReceivedDescriptors::EndOfFile),
        Err(Errno::EAGAIN | Errno::EINTR) => {
            return Ok(ReceivedDescriptors::Nothing);
        }
        got => got.context("recvmsg")?,
    };
    let before = taken.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            taken.extend(descriptors);
        }
    }
    let number = taken.len() - before;
    let fits = (1..=most).contains(&number) && received == [byte];
    let lost = got.flags.contains(ReturnFlags::CTRUNC);
    if fits && !lost {
        return Ok(ReceivedDescriptors::Number(number));
    }
    taken.truncate(before); // closes them: they are ours, wanted or not
    if lost {
        bail!(
            "recvmsg: MSG_CTRUNC: a descriptor was lost: this process may have no more \
             open (RLIMIT_NOFILE; ulimit -n raises it)"
        );
    }
    let [received] = received;
    bail!(
        "recvmsg: byte {received:#04x} came with {number} descriptors: expected was \
         {byte:#04x} with 1 to {most}"
    )
}
// ANCHOR_END: batch

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn up_to_253_descriptors_travel_in_one_message() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut taken = Vec::new();
        for number in [1, 2, 16, MOST] {
            pass_all(&ours, &vec![ours.as_fd(); number], b'x').unwrap();
            let came = take_all(&theirs, b'x', MOST, &mut taken).unwrap();
            assert_eq!(came, ReceivedDescriptors::Number(number));
        }
        assert_eq!(taken.len(), 1 + 2 + 16 + MOST);
        assert_eq!(
            take_all(&theirs, b'x', MOST, &mut taken).unwrap(),
            ReceivedDescriptors::Nothing
        );
        for number in [0, MOST + 1] {
            let error = pass_all(&ours, &vec![theirs.as_fd(); number], b'x');
            assert_eq!(error, Err(Errno::EINVAL), "{number}");
        }
        drop((taken, ours));
        assert_eq!(
            take_all(&theirs, b'x', MOST, &mut Vec::new()).unwrap(),
            ReceivedDescriptors::EndOfFile
        );
    }

    #[test]
    fn what_nobody_asked_for_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (pipe, writing) = std::io::pipe().unwrap();
        pass_all(&ours, &[writing.as_fd(); 3], b'x').unwrap();
        pass_all(&ours, &[writing.as_fd(); 2], b'y').unwrap();
        drop(writing);
        let mut taken = vec![OwnedFd::from(pipe)];
        let error = take_all(&theirs, b'x', 2, &mut taken).unwrap_err().to_string();
        assert!(error.contains("3 descriptors"), "{error}");
        let error = take_all(&theirs, b'x', 2, &mut taken).unwrap_err().to_string();
        assert!(error.contains("0x79"), "{error}");
        assert_eq!(taken.len(), 1);
        // No copy of the write end is left: the pipe has ended.
        let n = rustix::io::read(&taken[0], &mut [0; 1]).unwrap();
        assert_eq!(n, 0);
    }
}
