//! The plain protocol between server and worker, on a Unix stream socket: one byte `x`
//! with one descriptor one way, `OK` the other. `OK` means "I hold it, I have read no
//! byte": the server keeps its own copy until then, and closes it after.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, recvmsg, send,
    sendmsg,
};

/// The byte that a descriptor travels with: on a stream it needs one (unix(7)).
pub(super) const BYTE: u8 = b'x';

/// The worker's answer.
pub(super) const OK: &[u8; 2] = b"OK";

// ANCHOR: pass
/// Passes a copy of `connection` to the process at the other end of `worker`, at once or
/// not at all.
///
/// # Errors
/// EAGAIN while the socket is full; ETOOMANYREFS with too many descriptors in flight;
/// EPIPE or ECONNRESET when the worker is gone.
pub(super) fn pass(worker: impl AsFd, connection: impl AsFd) -> Result<(), Errno> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let descriptors = [connection.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));

    let bytes = [IoSlice::new(&[BYTE])];
    // NOSIGNAL: a worker that is gone is an error here, not a SIGPIPE.
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(worker, &bytes, &mut control, flags)?;
    Ok(())
}
// ANCHOR_END: pass

// ANCHOR: take
/// Takes the next connection that the server passes; `None` once the server has left.
///
/// # Errors
/// A server that breaks the protocol, or no room in our table of descriptors.
pub(super) fn take(server: impl AsFd) -> Result<Option<OwnedFd>> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    // What we do not take out of it is closed when it is dropped.
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    // Without CMSG_CLOEXEC the descriptor would live on in whatever we exec.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = match recvmsg(server, &mut bytes, &mut control, flags) {
        Ok(got) if got.bytes == 0 => return Ok(None),
        // It left without reading our last answer.
        Err(Errno::CONNRESET) => return Ok(None),
        got => got.context("recvmsg")?,
    };
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    if got.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel dropped what had no place, and nobody will tell us what it was.
        bail!(
            "recvmsg: MSG_CTRUNC: a descriptor was lost: the server sent several, or \
             this process may have no more open (RLIMIT_NOFILE; ulimit -n raises it)"
        );
    }
    match (byte, descriptors.len()) {
        ([BYTE], 1) => Ok(descriptors.pop()),
        ([byte], number) => bail!(
            "recvmsg: the server sent byte {byte:#04x} with {number} descriptors: the \
             protocol is one byte `x` with exactly one"
        ),
    }
}
// ANCHOR_END: take

// ANCHOR: acknowledge
/// Says "I hold it, I have read no byte", at once or not at all.
///
/// # Errors
/// EPIPE when the server has given up on us: then the connection is not ours.
pub(super) fn acknowledge(server: impl AsFd) -> Result<(), Errno> {
    // Two bytes on a Unix stream go whole or not at all.
    send(server, OK, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// What a worker has answered so far, and how much of the next `OK` is there.
#[derive(Debug, Default)]
pub(super) struct Answers {
    half: bool,
}

/// What became of reading a worker's answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// So many more connections are acknowledged.
    Held(usize),
    /// Nothing more is here, so far.
    Nothing,
    /// It sent a byte that is no part of an `OK`, after so many that were.
    Garbage(usize, u8),
    /// The worker has closed its end.
    End,
    /// Its end is closed, and not in peace: ECONNRESET when it died with a descriptor
    /// that it had not yet received.
    Failed(Errno),
}

impl Answers {
    /// Reads the answers that have come; never waits.
    pub(super) fn read(&mut self, worker: impl AsFd) -> Answered {
        let mut buffer = [0; 64];
        let n = match recv(worker, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Answered::End,
            Ok((n, _)) => n,
            Err(Errno::AGAIN | Errno::INTR) => return Answered::Nothing,
            Err(error) => return Answered::Failed(error),
        };
        let mut held = 0;
        for &byte in &buffer[..n] {
            // A read may end within an OK: the other half comes with the next.
            if byte != OK[usize::from(self.half)] {
                return Answered::Garbage(held, byte);
            }
            held += usize::from(self.half);
            self.half = !self.half;
        }
        Answered::Held(held)
    }
}
// ANCHOR_END: acknowledge

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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn read_after(answers: &mut Answers, bytes: &[u8]) -> Answered {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&theirs, bytes, SendFlags::empty()).unwrap();
        answers.read(&ours)
    }

    #[test]
    fn answers_may_arrive_in_halves_and_in_heaps() {
        let mut answers = Answers::default();
        assert_eq!(read_after(&mut answers, b"O"), Answered::Held(0));
        assert_eq!(read_after(&mut answers, b"KOKO"), Answered::Held(2));
        assert_eq!(read_after(&mut answers, b"K"), Answered::Held(1));
        assert_eq!(read_after(&mut answers, b"OKNO"), Answered::Garbage(1, b'N'));
    }

    #[test]
    fn answers_end_with_the_worker() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(Answers::default().read(&ours), Answered::Nothing);
        drop(theirs);
        assert_eq!(Answers::default().read(&ours), Answered::End);
        let (ours, theirs) = UnixStream::pair().unwrap();
        pass(&ours, &ours).unwrap();
        drop(theirs);
        let failed = Answered::Failed(Errno::CONNRESET);
        assert_eq!(Answers::default().read(&ours), failed);
    }

    #[test]
    fn one_descriptor_arrives_and_several_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        pass(&ours, &ours).unwrap();
        assert!(take(&theirs).unwrap().is_some());
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(3))];
        for number in [0, 2, 3] {
            let mut control = SendAncillaryBuffer::new(&mut room);
            let all = [ours.as_fd(); 3];
            let some = SendAncillaryMessage::ScmRights(&all[..number]);
            assert!(number == 0 || control.push(some));
            let bytes = [IoSlice::new(&[BYTE])];
            sendmsg(&ours, &bytes, &mut control, SendFlags::empty()).unwrap();
            let error = take(&theirs).unwrap_err().to_string();
            assert!(error.contains("descriptor"), "{number}: {error}");
        }
        drop(ours);
        assert!(take(&theirs).unwrap().is_none());
    }
}
