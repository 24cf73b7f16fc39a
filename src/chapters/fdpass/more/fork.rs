//! Server and worker in one program: socketpair(2) makes both ends at once, so there is no name,
//! and fork(2) gives one to each. The child is forked before the first client comes: the
//! connections that it holds were passed to it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::super::options::{ForkOptions, PassingOptions, Protocol};
use super::super::rendezvous::listen_for_clients;
use super::super::server::FdpassServer;
use super::super::worker;
use os::spawn::{Forked, fork};
use wire::address::{Addresses, resolve};
use wire::fork::{as_child, wait_for};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::say;
use wire::standard;

// ANCHOR: fork
/// Plays the role.
pub(in super::super) fn run(
    rendezvous: &Rendezvous,
    options: &ForkOptions,
) -> Result<()> {
    standard::output()?;
    let addresses = resolve(&options.passing.listen)?;
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    let (parents, childs) = socketpair(unix, stream, None, SockFlag::SOCK_CLOEXEC)
        .context("socketpair")?;
    say!("socketpair(): two ends without a name, one for each of us");
    match fork().context("fork")? {
        Forked::Child => as_child("worker", || {
            drop(parents); // or recv(2) would never return 0: we would hold the parent's end
            // If only the parent is killed, the child must not go on alone.
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
            // The parent's end is closed: the child serves the clients that it has, and leaves.
            wait_for(child)?;
            passed.map(drop) // the names go last
        }
    }
}

fn pass_all(
    rendezvous: &Rendezvous,
    options: &PassingOptions,
    addresses: &Addresses,
    child: i32,
    socket: OwnedFd,
) -> Result<Presence> {
    let mut presence = rendezvous.arrive(Some(SoleRole::Server))?.removing_at_exit();
    let clients = listen_for_clients(rendezvous, addresses, &mut presence)?;
    let sleeps = "epoll_wait() sleeps until a client comes";
    say::waiting_at(sleeps, &[(&clients, &rendezvous.peer("client"))]);
    let mut server = FdpassServer::new(options, clients)?;
    server.add_worker(child, UnixStream::from(socket))?;
    server.run()?;
    Ok(presence)
}
// ANCHOR_END: fork
