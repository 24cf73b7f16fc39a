//! recvmsg(2) of packets, into memory that nothing has filled before.
//!
//! A process that can send to a Unix socket can pass descriptors with its packet, asked or
//! not. Where there is room for control messages, the kernel puts them into our table, and
//! they stay there until they are closed: so each call here closes them.

use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// The process that sent a packet: SCM_CREDENTIALS, unix(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its process id, as our name space has it.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

/// The address of a Unix socket, as the kernel wrote it, and a NUL: `sun_path` may be full, with
/// none in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Vec<u8>);

/// A packet that has come.
#[derive(Debug)]
pub struct Packet {
    /// Its length in bytes, also when there was no room for all of it.
    pub length: usize,
    /// Its sender, under SO_PASSCRED; the end of a connection is no packet, and has none.
    pub sender: Option<Sender>,
    /// The address to answer to, if it has one.
    pub from: Option<Address>,
}

/// Room for the credentials, and for nothing else.
const CONTROL: usize =
    // SAFETY: it only computes a number.
    unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// Aligned as a cmsghdr must be (cmsg(3)).
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; CONTROL]);

/// `recvmsg(socket, { packet }, flags | MSG_TRUNC | MSG_CMSG_CLOEXEC)`: replaces what is in
/// `packet` by the next packet, or by as much of it as there is room for in its memory.
/// Descriptors that came with it are closed.
///
/// # Errors
/// As recvmsg(2); EAGAIN with MSG_DONTWAIT and no packet.
pub fn recvmsg(
    socket: impl AsFd,
    packet: &mut Vec<u8>,
    flags: i32,
) -> nix::Result<Packet> {
    packet.clear();
    let space = packet.spare_capacity_mut();
    let room = space.len();
    let mut into =
        libc::iovec { iov_base: space.as_mut_ptr().cast(), iov_len: room };
    let mut control = Control([MaybeUninit::uninit(); CONTROL]);
    // SAFETY: plain numbers and pointers, valid when they are all zeros.
    let (mut name, mut message): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (zeroed(), zeroed()) };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of_val(&name) as libc::socklen_t;
    (message.msg_iov, message.msg_iovlen) = (&raw mut into, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let flags = flags | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer in `message` is to memory of this frame or of `packet`, and each
    // has its own length beside it.
    let length = unsafe {
        libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags)
    };
    let length = Errno::result(length)? as usize;
    // SAFETY: the kernel has filled so many bytes of the spare memory.
    unsafe { packet.set_len(length.min(room)) };
    // SAFETY: the kernel has filled in the control messages, as far as msg_controllen says,
    // and they have not been looked at before.
    let sender = unsafe { take_control(&message) };
    Ok(Packet { length, sender, from: address(&name, message.msg_namelen) })
}

/// The credentials among the control messages; descriptors are closed.
///
/// # Safety
/// recvmsg(2) has filled in `message`, and no descriptor in it has an owner yet.
unsafe fn take_control(message: &libc::msghdr) -> Option<Sender> {
    let mut sender = None;
    // SAFETY: the macros of cmsg(3), over a buffer that the kernel has filled; what they
    // point at is read unaligned, and no further than cmsg_len. By the caller's promise each
    // descriptor is ours alone.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = next.as_ref() {
            let data = libc::CMSG_DATA(header);
            #[allow(clippy::unnecessary_cast, reason = "musl has a u32 there")]
            let length = header.cmsg_len as usize;
            let length = length.saturating_sub(libc::CMSG_LEN(0) as usize);
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let descriptors = data.cast::<i32>();
                    for number in 0..length / size_of::<i32>() {
                        let number = descriptors.add(number).read_unaligned();
                        drop(OwnedFd::from_raw_fd(number));
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
                    if length >= size_of::<libc::ucred>() =>
                {
                    let who = data.cast::<libc::ucred>().read_unaligned();
                    sender =
                        Some(Sender { pid: who.pid, uid: who.uid, gid: who.gid });
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(message, header);
        }
    }
    sender
}

/// The address in `name`; `None` for a sender without one.
fn address(
    name: &libc::sockaddr_storage,
    length: libc::socklen_t,
) -> Option<Address> {
    // Of a path of 108 bytes the kernel returns 111, with the NUL for which there is no room,
    // and takes 110 at the most.
    let length = (length as usize).min(size_of::<libc::sockaddr_un>());
    // SAFETY: as many bytes of a value that was all zeros before the kernel wrote into it.
    let bytes = unsafe {
        std::slice::from_raw_parts((&raw const *name).cast::<u8>(), length)
    };
    (length > size_of::<libc::sa_family_t>())
        .then(|| Address([bytes, &[0]].concat()))
}

/// `sendto(socket, packet, flags | MSG_NOSIGNAL, to)`: all of it or nothing.
///
/// # Errors
/// ECONNREFUSED when no socket has the address any more; EAGAIN while its queue is full, with
/// MSG_DONTWAIT or after SO_SNDTIMEO.
pub fn sendto(
    socket: impl AsFd,
    packet: &[u8],
    flags: i32,
    to: &Address,
) -> nix::Result<()> {
    let (data, length) = (packet.as_ptr().cast(), packet.len());
    let (name, name_length) =
        (to.0.as_ptr().cast(), (to.0.len() - 1) as libc::socklen_t);
    let (fd, flags) = (socket.as_fd().as_raw_fd(), flags | libc::MSG_NOSIGNAL);
    // SAFETY: two slices with their lengths, which the kernel only reads.
    let sent = unsafe { libc::sendto(fd, data, length, flags, name, name_length) };
    Errno::result(sent).map(drop)
}

/// `recv(socket, NULL, 0, flags | MSG_PEEK | MSG_TRUNC)`: the length of the next packet, which
/// stays where it is, with what was passed with it. Sleeps until there is one; 0 is an empty
/// packet or the end of the connection.
///
/// # Errors
/// As recv(2).
pub fn next_length(socket: impl AsFd, flags: i32) -> nix::Result<usize> {
    let (fd, nothing) = (socket.as_fd().as_raw_fd(), std::ptr::null_mut());
    let flags = flags | libc::MSG_PEEK | libc::MSG_TRUNC;
    // SAFETY: nothing is written where there is no room.
    let length = unsafe { libc::recv(fd, nothing, 0, flags) };
    Errno::result(length).map(|length| length as usize)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use nix::sys::socket::sockopt::PassCred;
    use nix::sys::socket::{
        ControlMessage, MsgFlags, UnixAddr, sendmsg, setsockopt,
    };

    use super::*;

    fn pass(from: &UnixDatagram, packet: &[u8], descriptors: &[i32]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let data = [std::io::IoSlice::new(packet)];
        let none = MsgFlags::empty();
        sendmsg::<UnixAddr>(from.as_raw_fd(), &data, &rights, none, None).unwrap();
    }

    #[test]
    fn descriptors_that_nobody_asked_for_are_closed() {
        // With room for credentials and none that come, four descriptors fit there.
        for passcred in [false, true] {
            for number in [1, 2, 4, 253] {
                let (ours, theirs) = UnixDatagram::pair().unwrap();
                setsockopt(&ours, PassCred, &passcred).unwrap();
                let (mut read, write) = std::io::pipe().unwrap();
                pass(&theirs, b"hi", &vec![write.as_raw_fd(); number]);
                drop(write);
                let mut packet = Vec::with_capacity(16);
                assert_eq!(next_length(&ours, 0).unwrap(), 2);
                let came = recvmsg(&ours, &mut packet, 0).unwrap();
                assert_eq!((came.length, &packet[..]), (2, &b"hi"[..]));
                let own = std::process::id() as i32;
                assert_eq!(came.sender.map(|who| who.pid), passcred.then_some(own));
                // No copy of the write end is left: the pipe has ended.
                let n = std::io::Read::read(&mut read, &mut [0]).unwrap();
                assert_eq!(n, 0, "SO_PASSCRED: {passcred}, {number} descriptors");
            }
        }
    }

    #[test]
    fn a_packet_is_cut_to_the_room_and_tells_its_length() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for room in [0, 1, 99, 100, 101] {
            theirs.send(&[b'x'; 100]).unwrap();
            let mut packet = Vec::new();
            packet.reserve_exact(room);
            let room = packet.capacity();
            assert_eq!(next_length(&ours, 0).unwrap(), 100);
            assert_eq!(recvmsg(&ours, &mut packet, 0).unwrap().length, 100);
            assert_eq!(packet, vec![b'x'; room.min(100)]);
        }
        let none = recvmsg(&ours, &mut Vec::new(), libc::MSG_DONTWAIT);
        assert_eq!(none.unwrap_err(), Errno::EAGAIN);
        assert_eq!(next_length(&ours, libc::MSG_DONTWAIT), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_sender_is_answered_whatever_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let server = dir.path().join("server");
        let ours = UnixDatagram::bind(&server).unwrap();
        let mut packet = Vec::with_capacity(16);
        // A path of all 108 bytes of sun_path, which has no NUL.
        let left = 108 - dir.path().as_os_str().len() - 1;
        let long = dir.path().join("x".repeat(left));
        let full = UnixDatagram::unbound().unwrap();
        // SAFETY: plain data, valid when it is all zeros.
        let mut name: libc::sockaddr_un = unsafe { zeroed() };
        name.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(long.as_os_str());
        for (to, from) in name.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let size = size_of_val(&name) as libc::socklen_t;
        // SAFETY: a whole sockaddr_un.
        let bound =
            unsafe { libc::bind(full.as_raw_fd(), (&raw const name).cast(), size) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        let short = UnixDatagram::bind(dir.path().join("short")).unwrap();
        for client in [&full, &short] {
            client.send_to(b"ask", &server).unwrap();
            let from = recvmsg(&ours, &mut packet, 0).unwrap().from.unwrap();
            sendto(&ours, b"answer", 0, &from).unwrap();
            let mut answer = [0; 16];
            let n = client.recv(&mut answer).unwrap();
            assert_eq!(&answer[..n], b"answer");
        }
        let nameless = UnixDatagram::unbound().unwrap();
        nameless.send_to(b"ask", &server).unwrap();
        assert_eq!(recvmsg(&ours, &mut packet, 0).unwrap().from, None);
    }
}
