//! TCP and UDP on the loopback interface, and sock_diag(7).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result, ensure};

use super::links::answered;
use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;
use os::sock_diag::ask;

const LOOPBACK: &str =
    "ip link set lo up, as root: a new network namespace has it down";

/// IPv4.
pub static TCP4: Probe = Probe {
    name: "tcp-v4",
    chapters: &["tcp", "fdpass"],
    what: "TCP over 127.0.0.1 (listen, connect, write, read)",
    loses: "tcp has no link, and fdpass no clients",
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

/// UDP.
pub static UDP4: Probe = Probe {
    name: "udp-v4",
    chapters: &["udp"],
    what: "UDP over 127.0.0.1 (bind, sendto, recvfrom)",
    loses: "udp has no link",
    necessary: true,
    experiments: &[],
    run: |_| {
        let exchange = || {
            let socket = UdpSocket::bind("127.0.0.1:0").context("bind")?;
            let address = socket.local_addr().context("getsockname")?;
            socket.set_read_timeout(Some(DEADLINE / 2)).context("SO_RCVTIMEO")?;
            socket.send_to(b"ping", address).context("sendto")?;
            let mut text = [0; 5];
            let (n, from) = socket.recv_from(&mut text).context("recvfrom")?;
            ensure!(
                &text[..n] == b"ping" && from == address,
                "other bytes came out"
            );
            Ok(Answer::ok("4 bytes went through it"))
        };
        Ok(exchange().unwrap_or_else(|error| Answer::failed(&error).cure(LOOPBACK)))
    },
};

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
        answered(ask(&request, libc::NLM_F_DUMP, |_| ()))
    },
};
