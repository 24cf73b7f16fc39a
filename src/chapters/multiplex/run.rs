//! The server's role: opens all that it was asked for, and serves.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::options::{Options, each_once, rendezvous_of};
use super::server::MultiplexServer;
use super::signals::EndingSignals;
use super::{inputs, listener};
use wire::address::resolve;
use wire::meet::{Meets, Rendezvous};
use wire::say;
use wire::say::grouped;
use wire::standard;

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    options.check()?;
    if !options.no_print {
        standard::output()?;
    }
    let unix = rendezvous_of("unix", Meets::Path, &options.unix)?;
    let fifos = rendezvous_of("fifo", Meets::Path, &options.fifo)?;
    let queues = rendezvous_of("posixmq", Meets::Kernel, &options.queue)?;
    each_once([rendezvous].into_iter().chain(&unix).chain(&fifos).chain(&queues))?;
    raise_limit()?;
    let mut listeners = vec![listener::unix(rendezvous)?];
    for rendezvous in &unix {
        listeners.push(listener::unix(rendezvous)?);
    }
    for address in &options.tcp {
        listeners.push(listener::tcp(&resolve(address)?)?);
    }
    let mut inputs = Vec::new();
    for rendezvous in &fifos {
        inputs.push(inputs::fifo(rendezvous)?);
    }
    for rendezvous in &queues {
        inputs.push(inputs::queue(rendezvous)?);
    }
    if options.stdin {
        inputs.push(inputs::stdin()?);
    }
    let signals = EndingSignals::watch()?;
    let mut server = MultiplexServer::new(options, listeners, inputs, signals)?;
    server.watch_all()?;
    server.announce(rendezvous)?;
    server.serve()?;
    let (signals, stopped_by) = server.close();
    stopped_by.map_or(Ok(()), |signal| signals.end_by(signal))
}

/// Each client takes a descriptor: the soft limit of descriptors becomes the hard one.
fn raise_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit")?;
        let (soft, hard) = (grouped(soft), grouped(hard));
        say!("setrlimit(RLIMIT_NOFILE): {hard} descriptors instead of {soft}");
    }
    Ok(())
}
