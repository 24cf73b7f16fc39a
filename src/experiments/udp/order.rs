//! In which order datagrams come.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::{bound, recv, send, unbound};
use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::spawn::leave_open;

pub(super) const OVERTAKEN: Experiment = Experiment {
    name: "overtaken",
    title: "Two datagrams, and a longer way for the first",
    level: Level::Later,
    question: "A client sends a server two datagrams: `speed 10`, and then `speed 20`. The \
               first takes a longer way through the network; both arrive whole. The server \
               calls recv(2) twice, and sets the speed that each datagram says. What is the \
               speed in the end?",
    answers: &[
        wrong(
            "20: the kernel has put them in order",
            "TCP does that. UDP numbers nothing, so that the kernel cannot know which of the \
             two was sent first.",
        ),
        right(
            "10: the kernel gives each as it comes",
            "Datagrams come in any order, and recv(2) returns them in the order in which they \
             came. `speed 10` is the last to come.",
        ),
        wrong(
            "20: the kernel drops what is too late",
            "For the kernel no datagram is late. It drops one that is damaged, or for which the \
             buffer has no room.",
        ),
    ],
    kind: Kind::Kernel,
    run: overtaken,
    moral: "Put a number into each datagram. If only the newest value counts, drop a datagram that \
            is older than what you have. If each counts, in order, keep what comes too early \
            until the gap is filled, or take TCP.",
    see: "udp(7), recv(2)",
    file: file!(),
    shows: &["overtaken-broken", "overtaken-cured", "overtaken"],
};

// ANCHOR: overtaken-broken
/// The server takes whatever comes.
fn take_all(_newest: &mut u32, _datagram: &str) -> bool {
    true
}
// ANCHOR_END: overtaken-broken

// ANCHOR: overtaken-cured
/// The server takes a datagram if none that was sent later has come: `2: speed 20`.
fn take_newer(newest: &mut u32, datagram: &str) -> bool {
    let number = datagram.split(':').next().and_then(|text| text.parse().ok());
    let number = number.unwrap_or(0);
    let newer = number > *newest;
    *newest = number.max(*newest);
    newer
}
// ANCHOR_END: overtaken-cured

// ANCHOR: overtaken
/// `ipclab udp relay`, which holds a datagram back until the next one has passed.
fn network(stage: &Stage, server: SocketAddr) -> Result<(Child<()>, SocketAddr)> {
    let (ready, announce) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let mut relay = Command::new(std::env::current_exe().context("readlink")?);
    let (to, number) = (server.to_string(), announce.as_raw_fd().to_string());
    relay
        .args(["udp", "relay", "--listen", "127.0.0.1:0", "--to", &to])
        .args(["--lose", "0", "--double", "0", "--cut", "0", "--hold", "100"])
        .args(["--quiet", "--ready-fd", &number])
        .env("IPCLAB_DIR", stage.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    leave_open(&mut relay, announce);
    let relay = stage.fork("network", move |_| Err(relay.exec().into()))?;
    let mut address = String::new();
    BufReader::new(File::from(ready)).read_line(&mut address).context("read")?;
    Ok((relay, address.trim().parse().context("the relay has not started")?))
}

/// The speed, once both datagrams have come.
fn speed(
    stage: &Stage,
    (client, server): (&UdpSocket, &UdpSocket),
    datagrams: [&str; 2],
    take: fn(&mut u32, &str) -> bool,
) -> Result<String> {
    for datagram in datagrams {
        send(stage, "client", client, datagram)?;
    }
    let (mut newest, mut speed) = (0, "none".to_owned());
    for _ in datagrams {
        let datagram = recv(stage, "server", server).context("recv")?;
        if take(&mut newest, &datagram) {
            speed = datagram.rsplit(' ').next().unwrap_or_default().to_owned();
        } else {
            stage.event("server", "drops it: a newer one has come");
        }
    }
    Ok(speed)
}

fn overtaken(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let (_relay, network) = network(stage, address)?;
    let client = unbound()?;
    client.connect(network).context("connect")?;
    let ends = (&client, &server);
    let plain = speed(stage, ends, ["speed 10", "speed 20"], take_all)?;
    let numbered = ["1: speed 10", "2: speed 20"];
    let cured = speed(stage, ends, numbered, take_newer)?;
    stage.saw("the speed in the end", plain.as_str());
    stage.saw("with numbers", cured);
    match plain.as_str() {
        "10" => Ok(2),
        "20" => Ok(1),
        other => bail!("the speed is {other}"),
    }
}
// ANCHOR_END: overtaken
