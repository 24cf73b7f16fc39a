//! The exercises of the chapter fdpass.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::unistd::Pid;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketType, accept, bind, listen, recvmsg, sendmsg, socket,
};

use super::partner::Partner;
use super::row::Exercise;

mod giver;
mod prefork;
mod receiver;
mod surplus;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[giver::ROW, receiver::ROW, surplus::ROW, prefork::ROW];

/// More descriptors than a stage passes at once.
const MOST: usize = 64;

/// Waits at PLACE for the learner's program, and removes the name then.
pub(super) fn connected(partner: &Partner) -> Result<OwnedFd> {
    let place = partner.scene.place();
    let listener =
        socket(AddressFamily::UNIX, SocketType::STREAM, None).context("socket")?;
    let bound = bind(&listener, &SocketAddrUnix::new(place.as_str())?);
    partner.call("bind(PLACE)", bound)?;
    partner.call("listen()", listen(&listener, 5))?;
    let connection = partner.call("accept()", accept(&listener))?;
    std::fs::remove_file(&place).context("unlink")?;
    Ok(connection)
}

/// Sends a byte with descriptors.
pub(super) fn pass(
    partner: &Partner,
    to: &OwnedFd,
    byte: u8,
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = [byte];
    let sent =
        sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    let (shown, count) = (char::from(byte), descriptors.len());
    partner.call(&format!("sendmsg({shown:?}, {count} descriptors)"), sent).map(drop)
}

/// Receives some bytes, and the descriptors that came with them.
pub(super) fn receive(
    partner: &Partner,
    from: &OwnedFd,
) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut bytes = [0; 64];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
    let got = got.context("recvmsg")?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let bytes = bytes[..got.bytes].to_vec();
    let shown = wire::say::bytes(&bytes);
    partner.log(&format!(
        "recvmsg() = {}: {shown}, {} descriptors",
        got.bytes,
        descriptors.len()
    ));
    Ok((bytes, descriptors))
}

/// Waits until the learner's program has received all that was sent, and sleeps.
fn until_received(
    partner: &Partner,
    connection: &OwnedFd,
    learner: Pid,
) -> Result<()> {
    partner.until("a recvmsg", || {
        (os::siocoutq::unread(connection).ok()? == 0).then_some(())
    })?;
    partner.until_asleep(learner)
}
