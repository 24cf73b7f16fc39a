//! What the network below shows: packets that are too large, forged, or broken. A network of
//! our own, with root's rights in it, makes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::IpMtu;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
    getsockopt, sendto, socket,
};

use super::{bound, recv, send, unbound};
use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::ip::set_option;
use os::namespace::unshare_network;

/// Plays `part` in a network of its own, whose `lo` has this MTU.
fn apart<T: serde::Serialize + serde::de::DeserializeOwned>(
    stage: &Stage,
    mtu: i32,
    part: impl FnOnce(&Stage) -> Result<T>,
) -> Result<T> {
    stage.needs(&needs::OWN_NETWORK)?;
    let inside = stage.fork("in a network of its own", |stage| {
        unshare_network(mtu).context("unshare(CLONE_NEWNET)")?;
        part(stage)
    });
    inside?.join()
}

pub(super) const PATH_MTU: Experiment = Experiment {
    name: "path-mtu",
    title: "A datagram larger than the network's packets",
    level: Level::Deep,
    question: "A network carries packets of 1,500 bytes, as most do. A client sends a datagram of \
               4,000 bytes twice: once on a socket as it was made, once after \
               setsockopt(IP_MTU_DISCOVER, IP_PMTUDISC_DO). What happens?",
    answers: &[
        wrong(
            "both arrive whole, in fragments",
            "The option says: never fragment. With it each packet has the flag \"don't \
             fragment\" as well, for the routers on the way.",
        ),
        right(
            "the first arrives; the second is EMSGSIZE",
            "As a socket is made, the kernel cuts what is too large for its own network into \
             fragments, and the receiver's kernel joins them. With IP_PMTUDISC_DO nothing is \
             sent, and IP_MTU says how much a packet may have.",
        ),
        wrong(
            "neither does; both sends are EMSGSIZE",
            "EMSGSIZE without the option begins at 65,508 bytes: udp/too-large.",
        ),
    ],
    kind: Kind::Needs(&needs::OWN_NETWORK),
    run: path_mtu,
    moral: "If one fragment is lost, the datagram is lost; and many firewalls drop them. Send at \
            most 1,472 bytes of data where the MTU is 1,500, or ask for EMSGSIZE, and cut the \
            message yourself.",
    see: "ip(7), udp(7)",
    file: file!(),
    shows: &["path-mtu"],
};

// ANCHOR: path-mtu
fn path_mtu(stage: &Stage) -> Result<usize> {
    let (plain, discover, fits) = apart(stage, 1500, |stage| {
        let (server, address) = bound()?;
        let client = unbound()?;
        client.connect(address).context("connect")?;
        let mtu = getsockopt(&client, IpMtu).context("IP_MTU")?;
        stage.call("getsockopt(IP_MTU)", &mtu);
        let mut room = [0; 5000];
        let plain = client.send(&[b'x'; 4000]);
        stage.call("send(4,000 bytes)", &plain);
        stage.call("recv()", &server.recv(&mut room));
        let set = set_option(&client, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO);
        stage.call("setsockopt(IP_MTU_DISCOVER, IP_PMTUDISC_DO)", &set);
        let discover = client.send(&[b'x'; 4000]);
        stage.call("send(4,000 bytes)", &discover);
        let fits = client.send(&[b'x'; 1472]);
        stage.call("send(1,472 bytes)", &fits);
        stage.call("recv()", &server.recv(&mut room));
        Ok((plain.is_ok(), discover.shown(), fits.is_ok()))
    })?;
    let refused = discover.starts_with("EMSGSIZE");
    stage.saw("4,000 bytes", plain);
    stage.saw("4,000 bytes, with IP_PMTUDISC_DO", discover);
    stage.saw("1,472 bytes, with IP_PMTUDISC_DO", fits);
    Ok(match (plain, refused) {
        (true, false) => 1,
        (true, true) => 2,
        (false, _) => 3,
    })
}
// ANCHOR_END: path-mtu

/// A packet of IPv4 with a datagram of UDP in it, byte for byte: ip(7), RFC 768. The kernel fills
/// in the checksum of IP; `spoil` changes that of UDP.
fn packet(
    from: SocketAddr,
    to: SocketAddr,
    text: &str,
    spoil: u16,
) -> Result<Vec<u8>> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
        bail!("an address of IPv6");
    };
    let length = u16::try_from(8 + text.len()).context("a short text")?;
    let mut udp = Vec::new();
    for field in [from.port(), to.port(), length, 0] {
        udp.extend(field.to_be_bytes());
    }
    udp.extend(text.as_bytes());
    let mut summed = [from.ip().octets(), to.ip().octets()].concat();
    summed.extend([0, 17]); // the number of UDP, protocols(5)
    summed.extend(length.to_be_bytes());
    summed.extend(&udp);
    udp[6..8].copy_from_slice(&(checksum(&summed) ^ spoil).to_be_bytes());
    let mut packet = vec![0x45, 0]; // version 4, and a header of 5 words
    packet.extend((20 + length).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]); // time to live, UDP
    packet.extend([from.ip().octets(), to.ip().octets()].concat());
    packet.extend(udp);
    Ok(packet)
}

/// The sum that IP, UDP and TCP have: RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| {
        u32::from(two[0]) << 8 | u32::from(two.get(1).copied().unwrap_or(0))
    });
    let sum: u32 = words.sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !((folded >> 16) + (folded & 0xffff)) as u16
}

/// Sends a whole packet, with a header that the kernel does not make.
fn send_raw(stage: &Stage, packet: &[u8]) -> Result<()> {
    let (family, kind, none) =
        (AddressFamily::Inet, SockType::Raw, SockFlag::empty());
    let raw =
        socket(family, kind, none, SockProtocol::Raw).context("socket(SOCK_RAW)")?;
    let to = SockaddrIn::new(127, 0, 0, 1, 0);
    let sent = sendto(raw.as_raw_fd(), packet, &to, MsgFlags::empty());
    let header = packet.len().min(28);
    let data = packet.len() - header;
    stage.call(format!("stranger: sendto(raw, {header} + {data} bytes)"), &sent);
    sent.context("sendto").map(drop)
}

pub(super) const FORGED_SOURCE: Experiment = Experiment {
    name: "forged-source",
    title: "Who has sent a datagram",
    level: Level::Deep,
    question: "A client has called connect(2) with the server's address, so that it hears the \
               server alone. A stranger with the right to write whole packets (a raw socket) \
               sends one whose source is the server's address and port. What does the client \
               get by recv(2)?",
    answers: &[
        wrong(
            "nothing, as the server has not sent it",
            "The client's kernel sees a packet, and not who has made it.",
        ),
        right(
            "the data that the stranger has written",
            "The source address is two fields of the packet, which its sender writes. Whoever \
             controls a machine writes what they like; only some networks drop what cannot \
             come from there.",
        ),
        wrong(
            "an error, as the checksum is another's",
            "The checksum finds broken bits. Anybody can compute it.",
        ),
    ],
    kind: Kind::Needs(&needs::OWN_NETWORK),
    run: forged_source,
    moral: "An address proves nothing. TCP's first exchange shows at least that the client gets \
            what is sent to it; over UDP a server must ask for that itself before it sends large \
            answers, or it floods whom it never heard of. Real proof takes keys: DTLS, QUIC.",
    see: "raw(7), ip(7), udp(7)",
    file: file!(),
    shows: &["forged-source"],
};

// ANCHOR: forged-source
fn forged_source(stage: &Stage) -> Result<usize> {
    let (got, source) = apart(stage, 65_536, |stage| {
        let (server, address) = bound()?;
        let (client, its) = bound()?;
        client.connect(address).context("connect")?;
        send_raw(stage, &packet(address, its, "of the server", 0)?)?;
        let got = recv(stage, "client", &client);
        // And to the server, as from another machine.
        let far = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 53), 53));
        send_raw(stage, &packet(far, address, "from afar", 0)?)?;
        let (_, source) = server.recv_from(&mut [0; 100]).context("recvfrom")?;
        stage.call("server: recvfrom(), address", &source.to_string());
        Ok((got.unwrap_or_default(), source.to_string()))
    })?;
    stage.saw("the client got", got.as_str());
    stage.saw("the server saw as source", source);
    Ok(if got == "of the server" { 2 } else { 1 })
}
// ANCHOR_END: forged-source

pub(super) const BAD_CHECKSUM: Experiment = Experiment {
    name: "bad-checksum",
    title: "A damaged datagram",
    level: Level::Deep,
    question: "On the way to a server a bit of a datagram changes, so that its checksum no longer \
               fits. A second, whole datagram follows. When both have come, the server calls \
               recv(2) once. What does this call return?",
    answers: &[
        right(
            "the second datagram",
            "The kernel computes the checksum, throws the first datagram away and counts it \
             (InCsumErrors in /proc/net/snmp). Damaged is the same as lost.",
        ),
        wrong(
            "the first datagram, as it is now",
            "So it would be with a checksum of 0, which means that the sender made none: IPv4 \
             allows that.",
        ),
        wrong(
            "the error EBADMSG, for the first",
            "No call tells of it. The receiver only misses a datagram.",
        ),
    ],
    kind: Kind::Needs(&needs::OWN_NETWORK),
    run: bad_checksum,
    moral: "The checksum has 16 bits: of datagrams with random damage one in 65,536 passes. What \
            matters has a longer sum of its own, or a key.",
    see: "udp(7), recv(2)",
    file: file!(),
    shows: &["bad-checksum"],
};

// ANCHOR: bad-checksum
fn bad_checksum(stage: &Stage) -> Result<usize> {
    let (got, counted, unsummed) = apart(stage, 65_536, |stage| {
        let (server, address) = bound()?;
        let (client, its) = bound()?;
        client.connect(address).context("connect")?;
        send_raw(stage, &packet(its, address, "damaged", 1)?)?;
        send(stage, "client", &client, "undamaged")?;
        let got =
            recv(stage, "server", &server).map_err(|error| error.errno() as i32);
        let counted = checksum_errors()?;
        stage.call("/proc/net/snmp: InCsumErrors", &counted);
        // A checksum of 0 says that there is none.
        let mut packet = packet(its, address, "unsummed", 0)?;
        packet[26..28].fill(0);
        send_raw(stage, &packet)?;
        let unsummed = recv(stage, "server", &server).context("recv")?;
        Ok((got, counted, unsummed))
    })?;
    stage.saw("the server got", got.as_deref().unwrap_or("an error"));
    stage.saw("counted", counted);
    stage.saw("without a checksum", unsummed);
    match got.as_deref().map_err(|error| Errno::from_raw(*error)) {
        Ok("undamaged") => Ok(1),
        Ok("damaged") => Ok(2),
        Err(Errno::EBADMSG) => Ok(3),
        other => bail!("received {other:?}"),
    }
}

/// How many datagrams of this network had a wrong checksum.
fn checksum_errors() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/snmp");
    let table = table.context("read /proc/net/snmp")?;
    let mut lines = table.lines().filter(|line| line.starts_with("Udp: "));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        bail!("/proc/net/snmp has no line of UDP");
    };
    let named = names.split(' ').zip(numbers.split(' '));
    let mut found = named.filter(|(name, _)| *name == "InCsumErrors");
    let (_, number) = found.next().context("no InCsumErrors there")?;
    Ok(number.parse()?)
}
// ANCHOR_END: bad-checksum
