//! The relay: stands between clients and the server, and does to their datagrams what a network
//! may do. What happens to the next one is drawn: the same seed draws the same.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, recvfrom, send, sendto};

use super::client::connect_to_next;
use super::datagram::ROOM;
use wire::address::udp::bind_udp;
use wire::address::{Addresses, RetryDelay, plain, resolve};
use wire::errors::usage;
use wire::meet::Rendezvous;
use wire::say;
use wire::shortage::{ErrorOf, Shortage, error_of};

/// The options of `udp relay`.
#[derive(Debug, clap::Args)]
pub struct UdpRelayOptions {
    /// The address to bind, for clients; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7778")]
    listen: String,

    /// The server's address; if none is given, the one that a server has published here, or
    /// else 127.0.0.1:7777
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    to: Option<String>,

    /// Draw as the relay did that printed this number
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    odds: Odds,
}

/// Of a hundred datagrams, so many get each treatment.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Odds {
    /// Of a hundred datagrams lose N
    #[arg(long, value_name = "N", default_value_t = 15)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=100))]
    lose: u64,

    /// Of a hundred datagrams send N twice
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=100))]
    double: u64,

    /// Of a hundred datagrams hold N back, until the next one has passed
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=100))]
    hold: u64,

    /// Of a hundred datagrams cut N in half
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=100))]
    cut: u64,
}

/// What happens to a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    IsLost,
    IsDoubled,
    IsHeld,
    IsCut,
}

// ANCHOR: draw
/// Draws by a seed: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fate(&mut self, odds: Odds) -> Fate {
        let mut drawn = self.next() % 100;
        let Odds { lose, double, hold, cut } = odds;
        let all = [
            (lose, Fate::IsLost),
            (double, Fate::IsDoubled),
            (hold, Fate::IsHeld),
            (cut, Fate::IsCut),
        ];
        for (share, fate) in all {
            match drawn.checked_sub(share) {
                Some(rest) => drawn = rest,
                None => return fate,
            }
        }
        Fate::Passes
    }
}
// ANCHOR_END: draw

/// So many clients at once, at most; the next one takes the place of the one that came first.
const MOST: usize = 64;

/// A client, and the socket by which the server knows it.
struct Client {
    name: String,
    address: SocketAddr,
    socket: OwnedFd,
    /// What is held back, to the server and to the client.
    held: [Option<Vec<u8>>; 2],
}

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

struct Relay<'a> {
    rendezvous: &'a Rendezvous,
    to: Option<Addresses>,
    server: String,
    socket: OwnedFd,
    odds: Odds,
    draw: Draw,
    clients: Vec<Client>,
    seen: u64,
    shortage: Shortage,
}

/// Plays the relay, until a signal ends it.
pub(super) fn relay(
    rendezvous: &Rendezvous,
    options: &UdpRelayOptions,
) -> Result<()> {
    let odds = options.odds;
    if odds.lose + odds.double + odds.hold + odds.cut > 100 {
        return Err(usage(
            "--lose, --double, --hold and --cut make over 100 together",
        ));
    }
    let to = rendezvous.given().or(options.to.as_deref());
    let to = to.map(resolve).transpose()?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32().context("getrandom")?),
    };
    let (socket, address) = bind_udp(&resolve(&options.listen)?)?;
    say!("the seed is {seed}: --seed {seed} draws the same again");
    rendezvous.ready(address)?;
    let client = rendezvous.peer_with("client", &format!(" --connect {address}"));
    let sleeps = "poll() sleeps until a datagram comes, from either side";
    say::waiting_at(sleeps, &[(&socket, &client)]);
    let server = rendezvous.peer("server");
    // What poll(2) has reported may be gone when it is looked at: damaged on its way.
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("fcntl")?;
    let (draw, clients, shortage) = (Draw(seed), Vec::new(), Shortage::default());
    let mut relay = Relay {
        rendezvous,
        to,
        server,
        socket,
        odds,
        draw,
        clients,
        seen: 0,
        shortage,
    };
    let mut data = vec![0; ROOM];
    loop {
        relay.pass_on(&mut data)?;
    }
}

impl Relay<'_> {
    /// Sleeps until something comes, and passes on one datagram of each socket that has one.
    fn pass_on(&mut self, data: &mut [u8]) -> Result<()> {
        let sockets = self.clients.iter().map(|client| client.socket.as_fd());
        let sockets = sockets.chain([self.socket.as_fd()]);
        let mut fds: Vec<_> =
            sockets.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(()),
            count => count.context("poll")?,
        };
        let ready: Vec<_> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for at in (0..self.clients.len()).filter(|at| ready[*at]) {
            let socket = self.clients[at].socket.as_raw_fd();
            match recv(socket, data, MsgFlags::MSG_DONTWAIT) {
                Ok(n) => self.treat(at, Way::ToClient, &data[..n]),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => say!("the server: recv() = {error:?}"),
            }
        }
        if ready.last() == Some(&true) {
            let socket = self.socket.as_raw_fd();
            match recvfrom::<SockaddrStorage>(socket, data) {
                Ok((n, Some(from))) => {
                    self.shortage.is_over();
                    let at = self.client_at(plain(&from))?;
                    self.treat(at, Way::ToServer, &data[..n]);
                }
                Ok((_, None)) => {}
                Err(error) => match error_of(error) {
                    ErrorOf::Client => {}
                    ErrorOf::Resources => {
                        self.shortage.rest(error, "recvfrom", Shortage::OF_MEMORY);
                    }
                    ErrorOf::Listener => return Err(error).context("recvfrom"),
                },
            }
        }
        Ok(())
    }

    /// The client with this address: each has a socket of its own to the server, which so sees an
    /// address for each.
    fn client_at(&mut self, address: SocketAddr) -> Result<usize> {
        let known = self.clients.iter().position(|it| it.address == address);
        if let Some(known) = known {
            return Ok(known);
        }
        let mut pause = RetryDelay::new();
        let (to, server) = (&self.to, &self.server);
        let socket = connect_to_next(self.rendezvous, to, server, 0, &mut pause)?;
        self.seen += 1;
        if self.clients.len() == MOST {
            self.clients.remove(0);
        }
        let name = format!("client {}", self.seen);
        self.clients.push(Client { name, address, socket, held: [None, None] });
        Ok(self.clients.len() - 1)
    }

    // ANCHOR: treat
    /// Does to a datagram what is drawn for it.
    fn treat(&mut self, at: usize, way: Way, datagram: &[u8]) {
        let mut fate = self.draw.fate(self.odds);
        let (front, client) = (&self.socket, &mut self.clients[at]);
        let held = client.held[way as usize].take();
        if held.is_some() && fate == Fate::IsHeld {
            fate = Fate::Passes;
        }
        let what = match fate {
            Fate::Passes => "passes",
            Fate::IsLost => "is lost",
            Fate::IsDoubled => "is doubled",
            Fate::IsHeld => "is held back, until the next one has passed",
            Fate::IsCut => "is cut in half",
        };
        let (from, to) = match way {
            Way::ToServer => (&client.name[..], "server"),
            Way::ToClient => ("server", &client.name[..]),
        };
        say!("{from} to {to}: {} {what}", say::bytes(datagram));
        match fate {
            Fate::IsLost => {}
            Fate::IsHeld => client.held[way as usize] = Some(datagram.to_vec()),
            Fate::IsCut => client.send(front, way, &datagram[..datagram.len() / 2]),
            Fate::Passes => client.send(front, way, datagram),
            Fate::IsDoubled => {
                client.send(front, way, datagram);
                client.send(front, way, datagram);
            }
        }
        if let Some(held) = held {
            say!("{from} to {to}: {} passes now", say::bytes(&held));
            client.send(front, way, &held);
        }
    }
    // ANCHOR_END: treat
}

impl Client {
    /// Sends a datagram on; an error is said, and it is lost.
    fn send(&self, front: &OwnedFd, way: Way, datagram: &[u8]) {
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = match way {
            Way::ToServer => send(self.socket.as_raw_fd(), datagram, flags),
            Way::ToClient => {
                let to = SockaddrStorage::from(self.address);
                sendto(front.as_raw_fd(), datagram, &to, flags)
            }
        };
        if let Err(error) = sent {
            say!(
                "to {}: {error:?}: it is lost",
                match way {
                    Way::ToServer => "the server",
                    Way::ToClient => &self.name,
                }
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: Odds = Odds { lose: 20, double: 10, hold: 10, cut: 10 };

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_another() {
        let fates = |seed| {
            let mut draw = Draw(seed);
            (0..1000).map(|_| draw.fate(ODDS)).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
    }

    #[test]
    fn each_fate_has_its_share() {
        let mut draw = Draw(1);
        let fates: Vec<_> = (0..10_000).map(|_| draw.fate(ODDS)).collect();
        let share = |fate| fates.iter().filter(|it| **it == fate).count() / 100;
        assert!((15..25).contains(&share(Fate::IsLost)));
        assert!((45..55).contains(&share(Fate::Passes)));
        for fate in [Fate::IsDoubled, Fate::IsHeld, Fate::IsCut] {
            assert!((7..13).contains(&share(fate)), "{fate:?}");
        }
        let all = Odds { lose: 100, double: 0, hold: 0, cut: 0 };
        assert!((0..100).all(|_| draw.fate(all) == Fate::IsLost));
    }
}
