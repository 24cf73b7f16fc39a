//! Where the two roles meet.

use anyhow::Result;

use wire::address::{Addresses, resolve};
use wire::meet::Rendezvous;

/// Where the two roles meet unless told otherwise.
pub const DEFAULT: &str = "127.0.0.1:7777";

/// The addresses that `--at`, or else the option `given`, name.
pub(super) fn named(
    rendezvous: &Rendezvous,
    given: Option<&str>,
) -> Result<Option<Addresses>> {
    rendezvous.given().or(given).map(resolve).transpose()
}
