//! The contract that every chapter keeps, over command lines.
//!
//! It knows two commands and their limits, not the code behind them, so that a program in
//! any language can be held to it. Each clause runs real processes in a directory of its
//! own, waits for events and never for time, and looks that nothing is left behind. A
//! chapter that is a conversation is asked the same: its client is the sender, and what
//! "arrived" is what the client printed, the echo of what it sent.
//!
//! [`messages`]: what arrives, and what is refused · [`meeting`]: either order, and names
//! that are stale, taken or hostile · [`deaths`]: killed peers, signals, timeouts.

pub mod deaths;
mod leftovers;
pub mod meeting;
pub mod messages;
mod subject;
mod verdict;

pub use deaths::*;
pub use leftovers::left_behind;
pub use meeting::*;
pub use messages::*;
pub use subject::{DEADLINE, Ran, Subject};
pub use verdict::{failed_clearly, noise};
