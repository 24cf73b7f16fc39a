//! Strategies that serve more than one client at a time.

pub(super) mod children;
pub mod fork;
pub mod threads;
