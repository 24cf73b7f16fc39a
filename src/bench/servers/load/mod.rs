//! The load: a process of its own, with a fixed number of threads, which asks a server and
//! checks every answer. Orders come line by line on standard input, and each is answered
//! by one line of JSON on standard output.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl::set_timerslack;
use nix::time::{ClockId, clock_gettime};

pub mod address;
pub(super) mod client;
pub mod order;
pub mod schedule;
mod staying;
mod visiting;
mod wait;
pub mod window;

use address::ServerAddress;
use order::{Clients, Order};
use staying::StayingClients;
use visiting::VisitingClients;
use window::{Answers, Window};

/// The longest window, in milliseconds.
const LONGEST: u64 = 10_000;

/// What the load does. Not for people: the bench starts it.
#[derive(Debug, clap::Args)]
pub struct LoadOptions {
    /// Where the server is: a path, or HOST:PORT
    #[arg(long)]
    to: ServerAddress,

    /// What its clients do
    #[arg(long, value_enum)]
    clients: Clients,

    /// So many of them at once
    #[arg(long)]
    busy: usize,

    /// So many more that say nothing
    #[arg(long, default_value_t = 0)]
    idle: usize,

    /// So many threads share the clients
    #[arg(long, default_value_t = 1)]
    threads: usize,

    /// Never sleep while requests are to come due: the load has its CPU for itself
    #[arg(long)]
    spins: bool,
}

/// The load's process: connects, prints `ready`, and carries out orders until standard
/// input ends.
///
/// # Errors
/// The first wrong answer, or whatever else keeps the server from answering.
pub fn load(options: &LoadOptions) -> Result<()> {
    let LoadOptions { to, clients, busy, idle, threads, spins } = options;
    ensure!((1..=*busy).contains(threads), "--threads: more than clients, or none");
    // A sleep until a request is due should end then, not 50 µs later (prctl(2)).
    set_timerslack(1).context("prctl(PR_SET_TIMERSLACK)")?;
    let mut shares = Vec::new();
    let mut first = 0;
    for thread in 0..*threads {
        let part = |all: usize| all / threads + usize::from(thread < all % threads);
        let (busy, idle) = (part(*busy), part(*idle));
        shares.push(match clients {
            Clients::Stay => {
                Share::Stay(StayingClients::connect(to, busy, idle, first, *spins)?)
            }
            Clients::Visit => Share::Visit(VisitingClients::new(to, busy, first)?),
        });
        first += busy + idle;
    }
    let mut out = wire::standard::Output;
    writeln!(out, "ready").context("write standard output")?;
    for line in wire::standard::Input::buffered()?.lines() {
        let order = line.context("read standard input")?.parse()?;
        let answer = serde_json::to_string(&window(&mut shares, order)?)?;
        writeln!(out, "{answer}").context("write standard output")?;
    }
    Ok(())
}

/// One thread's clients.
enum Share {
    Stay(StayingClients),
    Visit(VisitingClients),
}

impl Share {
    fn follow(&mut self, order: Order, threads: u64) -> Result<Answers> {
        match (self, order) {
            (Share::Stay(crowd), Order::Closed { window }) => crowd.closed(window),
            (Share::Stay(crowd), Order::Open { window, rate }) => {
                crowd.open((rate / threads).max(1), window)
            }
            (Share::Visit(visitors), Order::Closed { window }) => {
                visitors.closed(window)
            }
            (Share::Visit(_), Order::Open { .. }) => {
                bail!("clients that come and go have no open loop")
            }
        }
    }
}

/// One window by all threads at once.
fn window(shares: &mut [Share], order: Order) -> Result<Window> {
    let (Order::Closed { window } | Order::Open { window, .. }) = order;
    ensure!(window <= LONGEST * 1_000_000, "a window takes {LONGEST} ms at most");
    let threads = shares.len() as u64;
    let began = cpu_time()?;
    let all: Vec<Result<Answers>> = match shares {
        [only] => vec![only.follow(order, 1)],
        several => std::thread::scope(|scope| {
            let follow =
                |share| scope.spawn(move || Share::follow(share, order, threads));
            let running: Vec<_> = several.iter_mut().map(follow).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        }),
    };
    let cpu = cpu_time()?.saturating_sub(began);
    let mut answers =
        Answers { requests: 0, nanoseconds: 0, honest: vec![], naive: vec![] };
    for part in all {
        let part = part?;
        answers.requests += part.requests;
        answers.nanoseconds = answers.nanoseconds.max(part.nanoseconds);
        answers.honest.extend(part.honest);
        answers.naive.extend(part.naive);
    }
    Ok(Window { answers, cpu })
}

/// The CPU time of this process, in nanoseconds.
fn cpu_time() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    Ok(Duration::from(time.context("clock_gettime")?).as_nanos() as u64)
}
