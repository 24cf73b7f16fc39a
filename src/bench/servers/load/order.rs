//! What a load is asked for: what its clients do, and windows of requests.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::ValueEnum;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Clients {
    /// Stay, and send message after message
    Stay,
    /// Come, send one line, and leave
    Visit,
}

/// One order, as a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `closed NANOSECONDS`
    Closed {
        /// How long.
        window: u64,
    },
    /// `open NANOSECONDS RATE`
    Open {
        /// How long requests come due.
        window: u64,
        /// How many of them a second.
        rate: u64,
    },
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Order::Closed { window } => write!(f, "closed {window}"),
            Order::Open { window, rate } => write!(f, "open {window} {rate}"),
        }
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Order> {
        let mut words = line.split(' ');
        let name = words.next();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (name, numbers.as_slice()) {
            (Some("closed"), [window]) => Ok(Order::Closed { window: *window }),
            (Some("open"), [window, rate]) if *rate > 0 => {
                Ok(Order::Open { window: *window, rate: *rate })
            }
            _ => bail!("no such order: {line:?}"),
        }
    }
}
