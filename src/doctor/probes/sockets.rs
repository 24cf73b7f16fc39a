//! TCP on the loopback interface, and sock_diag(7).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv,
    sendto, socket,
};

use super::links::answered;
use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;

const LOOPBACK: &str =
    "ip link set lo up, as root: a new network namespace has it down";

/// IPv4.
pub static TCP4: Probe = Probe {
    name: "tcp-v4",
    chapters: &["tcp"],
    what: "TCP over 127.0.0.1 (listen, connect, write, read)",
    loses: "tcp has no link",
    necessary: true,
    experiments: &[],
    run: |_| {
        Ok(round_trip("127.0.0.1:0")
            .unwrap_or_else(|error| Answer::failed(&error).cure(LOOPBACK)))
    },
};

/// IPv6.
pub static TCP6: Probe = Probe {
    name: "tcp-v6",
    chapters: &["tcp"],
    what: "TCP over ::1 (listen, connect, write, read)",
    loses: "tcp at [::1]; over 127.0.0.1 all works without it",
    necessary: false,
    experiments: &[],
    run: |_| {
        Ok(round_trip("[::1]:0").unwrap_or_else(|error| {
        Answer::failed(&error)
            .cure("sysctl net.ipv6.conf.lo.disable_ipv6=0, and ip link set lo up, as root")
    }))
    },
};

fn round_trip(address: &str) -> Result<Answer> {
    let listener = TcpListener::bind(address).context("bind")?;
    let address = listener.local_addr().context("getsockname")?;
    let mut client =
        TcpStream::connect_timeout(&address, DEADLINE / 2).context("connect")?;
    let (mut server, _) = listener.accept().context("accept")?;
    client.write_all(b"ping").context("write")?;
    let mut text = [0; 4];
    server.read_exact(&mut text).context("read")?;
    ensure!(&text == b"ping", "other bytes came out");
    Ok(Answer::ok("4 bytes went through it"))
}

/// sock_diag(7) of TCP.
pub static INET_DIAG: Probe = Probe {
    name: "sock-diag-inet",
    chapters: &["tcp"],
    what: "sock_diag(7) of TCP sockets (states, queues)",
    loses: "ss -t, and all that shows which two sockets are a connection",
    necessary: false,
    experiments: &[],
    run: |_| {
        // struct inet_diag_req_v2: family, protocol, extensions, padding, states, and a socket id
        // of 48 bytes, which is not looked at.
        let mut request = vec![libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0];
        request.extend(u32::MAX.to_ne_bytes());
        request.extend([0; 48]);
        answered(diag(&request))
    },
};

/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;

/// Asks for all sockets of a family, and looks at the first answer.
pub(super) fn diag(request: &[u8]) -> nix::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    // struct nlmsghdr: length, type, flags, sequence, port.
    let length = (16 + request.len()) as u32;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
    let mut answer = [0; 8192];
    let n = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let kind = answer.get(4..6).filter(|_| n >= 16).ok_or(Errno::EBADMSG)?;
    let kind = u16::from_ne_bytes([kind[0], kind[1]]);
    match i32::from(kind) {
        libc::NLMSG_ERROR => {
            let error: [u8; 4] = answer[16..20].try_into().unwrap_or_default();
            Err(Errno::from_raw(-i32::from_ne_bytes(error)))
        }
        // The end of an empty list carries an error, too, where there is no handler.
        libc::NLMSG_DONE if n >= 20 => {
            let error: [u8; 4] = answer[16..20].try_into().unwrap_or_default();
            match i32::from_ne_bytes(error) {
                0.. => Ok(()),
                error => Err(Errno::from_raw(-error)),
            }
        }
        _ => Ok(()),
    }
}
