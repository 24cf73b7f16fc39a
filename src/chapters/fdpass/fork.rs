//! Server and worker in one program: socketpair(2) makes both ends at once, so there is
//! no name, and fork(2) gives one to each. The child is forked before the first client
//! comes: what it holds of them was passed to it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::server::{self, Server, listen};
use super::wire::Protocol;
use super::worker;
use os::spawn::{Forked, fork};
use wire::address::{Addresses, resolve};
use wire::family::{as_child, wait_for};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::say;
use wire::standard;

/// The options of `fdpass fork`.
#[derive(Debug, Clone, clap::Args)]
pub struct Fork {
    #[command(flatten)]
    passing: server::Passing,

    #[command(flatten)]
    printing: worker::Printing,
}

// ANCHOR: fork
/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Fork) -> Result<()> {
    standard::output()?;
    let addresses = resolve(&options.passing.listen)?;
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    let (parents, childs) = socketpair(unix, stream, None, SockFlag::SOCK_CLOEXEC)
        .context("socketpair")?;
    say!("socketpair(): two ends without a name, one for each of us");
    match fork().context("fork")? {
        Forked::Child => as_child("worker", || {
            drop(parents); // or we would never see the parent leave: we would hold its end
            // Killed alone, the parent would leave a program half alive.
            set_pdeathsig(Signal::SIGTERM).context("prctl(PR_SET_PDEATHSIG)")?;
            worker::serve(childs, Protocol::Plain, &options.printing, None)
        }),
        Forked::Parent(child) => {
            drop(childs);
            let passed = pass_all(
                rendezvous,
                &options.passing,
                &addresses,
                child.as_raw(),
                parents,
            );
            // The parent's end is closed: the child serves what it holds, and leaves.
            wait_for(child)?;
            passed.map(drop) // now we leave the place, last
        }
    }
}

fn pass_all(
    rendezvous: &Rendezvous,
    options: &server::Passing,
    addresses: &Addresses,
    child: i32,
    socket: OwnedFd,
) -> Result<Presence> {
    let mut presence = rendezvous.arrive(Some(SoleRole::Server))?.removing_at_exit();
    let clients = listen(rendezvous, addresses, &mut presence)?;
    let sleeps = "epoll_wait() sleeps until a client comes";
    say::waiting_at(sleeps, &[(&clients, &rendezvous.peer("client"))]);
    let mut server = Server::new(options, clients)?;
    server.joins(child, UnixStream::from(socket))?;
    server.run()?;
    Ok(presence)
}
// ANCHOR_END: fork
