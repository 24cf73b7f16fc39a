//! Addresses that are in use, though no process seems to use them.

use std::fs::read_to_string;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect,
    getpeername, getsockname, listen, setsockopt, socket,
};
use nix::unistd::{getpid, read};

use super::{recv, send};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::tcp::STATES;

fn tcp_socket() -> Result<OwnedFd> {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .context("socket")
}

pub(super) const TIME_WAIT: Experiment = Experiment {
    name: "time-wait",
    title: "Starting a server again",
    level: Level::First,
    question: "A server that never heard of SO_REUSEADDR has closed a client's connection, \
               before the client did, and has ended. Its author adds SO_REUSEADDR before \
               bind(2), and starts it again at once. What does bind return?",
    answers: &[
        wrong(
            "zero, with or without the option",
            "The old server has ended. But the side that closes first leaves the \
             connection in TIME_WAIT, where the kernel keeps it without any process: \
             late packets of it must not meet a new connection.",
        ),
        wrong(
            "zero, but EADDRINUSE without the option",
            "Not by itself. Both must have agreed: the option counts on the new socket \
             and on the one that is in TIME_WAIT.",
        ),
        right(
            "EADDRINUSE, with or without the option",
            "The connection that is in TIME_WAIT did not have the option: it inherited \
             the lack of it from the socket that listened. From the next start on it \
             works; and a client that closes first never causes the trouble.",
        ),
    ],
    kind: Kind::Kernel,
    run: time_wait,
    moral: "Every TCP server sets SO_REUSEADDR, from the first day. Rust's \
            TcpListener::bind and Python's create_server do it for you; C and \
            socket.bind do not.",
    see: "socket(7), tcp(7), bind(2)",
    file: file!(),
    shows: &["time-wait"],
};

// ANCHOR: time-wait
/// Which of the two listening sockets have SO_REUSEADDR, and which side closes first.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    old: bool,
    new: bool,
    server_closes_first: bool,
}

fn time_wait(stage: &Stage) -> Result<usize> {
    let case = |name, old, new, server_closes_first| Case {
        name,
        old,
        new,
        server_closes_first,
    };
    let cases = [
        case("neither", false, false, true),
        case("the new one only", false, true, true),
        case("both", true, true, true),
        case("neither, and the client closed first", false, false, false),
    ];
    let mut bound = Vec::new();
    for case in cases {
        let (again, left) = start_again(stage, case)?;
        let call = format!("bind(), SO_REUSEADDR on {}", case.name);
        stage.call(&call, &again);
        stage.saw(&call, again.shown());
        if let (true, Some(left)) = (bound.is_empty(), left) {
            stage.note(format!("TIME_WAIT lasts {left} s more, says /proc/net/tcp"));
        }
        bound.push(again);
    }
    Ok(match (bound[0], bound[1]) {
        (Ok(()), _) => 1,
        (Err(_), Ok(())) => 2,
        (Err(_), Err(_)) => 3,
    })
}

/// Serves one client, ends, and binds a new socket to the same address. Returns how long
/// TIME_WAIT would last, too.
fn start_again(stage: &Stage, case: Case) -> Result<(nix::Result<()>, Option<u64>)> {
    let old = tcp_socket()?;
    setsockopt(&old, ReuseAddr, &case.old).context("setsockopt")?;
    bind(old.as_raw_fd(), &own_address()).context("bind")?;
    listen(&old, Backlog::new(1)?).context("listen")?;
    let old = TcpListener::from(old);
    let address = old.local_addr().context("getsockname")?;
    let client = TcpStream::connect(address).context("connect")?;
    let (connection, _) = old.accept().context("accept")?;
    drop(old);
    let (first, second) = match case.server_closes_first {
        true => (connection, client),
        false => (client, connection),
    };
    drop(first);
    ensure!(read(&second, &mut [0; 1])? == 0, "the end of the stream");
    drop(second);

    let left = until_settled(&SockaddrIn::from(as_v4(address)?))?;
    let what = match left {
        Some(_) => "its connection is in TIME_WAIT",
        None => "nothing is left at its address",
    };
    stage.event("main", format!("the server has ended; {what}"));
    let new = tcp_socket()?;
    setsockopt(&new, ReuseAddr, &case.new).context("setsockopt")?;
    Ok((bind(new.as_raw_fd(), &SockaddrIn::from(as_v4(address)?)), left))
}
// ANCHOR_END: time-wait

/// An address that no other run uses, at a port of the kernel's choice: all of 127.0.0.0/8
/// is this machine.
fn own_address() -> SockaddrIn {
    let [_, high, middle, low] = getpid().as_raw().to_be_bytes();
    SockaddrIn::new(127, 64 | (high & 63), middle, low, 0)
}

fn as_v4(address: std::net::SocketAddr) -> Result<SocketAddrV4> {
    match address {
        std::net::SocketAddr::V4(address) => Ok(address),
        std::net::SocketAddr::V6(_) => anyhow::bail!("an IPv6 address"),
    }
}

/// Waits until nothing but TIME_WAIT is left of the connections of `local`; returns how
/// many seconds are left of that.
fn until_settled(local: &SockaddrIn) -> Result<Option<u64>> {
    // As /proc/net/tcp writes it: the address as a number in memory, the port as read.
    let number = u32::from(local.ip()).swap_bytes();
    let wanted = format!("{number:08X}:{:04X}", local.port());
    let missing = || "the connection is still open".to_owned();
    until(missing, || {
        let table = read_to_string("/proc/net/tcp").context("read /proc/net/tcp")?;
        let rows =
            table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let ours = rows.filter(|row| row.len() > 5 && row[1] == wanted);
        let state_and_timer = ours.map(|row| {
            let number = usize::from_str_radix(row[3], 16).unwrap_or(0);
            let timer = row[5].split_once(':').map_or("0", |(_, when)| when);
            let hundredths = u64::from_str_radix(timer, 16).unwrap_or(0);
            (STATES.get(number.wrapping_sub(1)).copied(), hundredths.div_ceil(100))
        });
        Ok(match state_and_timer.collect::<Vec<_>>()[..] {
            [] => Some(None),
            [(Some("TIME_WAIT"), seconds)] => Some(Some(seconds)),
            _ => None,
        })
    })
}

pub(super) const SELF_CONNECT: Experiment = Experiment {
    name: "self-connect",
    title: "A client that tries until somebody answers",
    level: Level::Deep,
    question: "A server on this machine should listen at port 40000, but is not \
               running. A client calls connect(2) again and again, each time with a new \
               socket, whose port the kernel chooses. One day the kernel chooses 40000. \
               What does that connect return?",
    answers: &[
        wrong(
            "-1, with ECONNREFUSED",
            "ECONNREFUSED is the answer of a kernel that finds no socket for a \
             request. Here it finds one, at exactly that address: the client's own.",
        ),
        wrong(
            "-1, with EADDRINUSE",
            "TCP does not forbid that both ends are one. Two ends that ask at the same \
             time are connected, and a socket may be both.",
        ),
        right(
            "zero, with itself as the peer",
            "The client is connected to itself. TCP has a simultaneous open: each \
             side's request meets the other's. The client then reads what it sends, and \
             its server, when it is started, finds the port in use.",
        ),
    ],
    kind: Kind::Kernel,
    run: self_connect,
    moral: "Give a server a port outside net.ipv4.ip_local_port_range. A client that \
            tries again and again compares getsockname with getpeername, and closes a \
            connection to itself.",
    see: "tcp(7), ip(7), connect(2)",
    file: file!(),
    shows: &["self-connect"],
};

// ANCHOR: self-connect
fn self_connect(stage: &Stage) -> Result<usize> {
    let client = tcp_socket()?;
    // bind stands for chance: it gives the client the port that it will ask for.
    bind(client.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).context("bind")?;
    let port: SockaddrIn = getsockname(client.as_raw_fd()).context("getsockname")?;
    stage.event("main", "nobody listens at the port, and the client has it");

    let connected = connect(client.as_raw_fd(), &port);
    stage.call("connect(the same port)", &connected);
    stage.saw("connect", connected.shown());
    match connected {
        Err(Errno::ECONNREFUSED) => return Ok(1),
        Err(Errno::EADDRINUSE) => return Ok(2),
        _ => connected.context("connect")?,
    }
    let peer: SockaddrIn = getpeername(client.as_raw_fd()).context("getpeername")?;
    stage.call("getpeername() == getsockname()", &(peer == port));
    send(stage, &client, "hello?").context("send")?;
    let heard = recv(stage, &client).context("recv")?;
    let server = TcpListener::bind((port.ip(), port.port()));
    stage.call("the server, at last: bind()", &server);
    stage.saw("it hears", heard);
    stage.saw("it is its own peer", peer == port);
    stage.saw("its server's bind", server.shown());
    let range = read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.context("read ip_local_port_range")?;
    let range: Vec<_> = range.split_whitespace().collect();
    stage.note(format!("the kernel chooses from the ports {}", range.join(" to ")));
    Ok(3)
}
// ANCHOR_END: self-connect
