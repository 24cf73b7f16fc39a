//! `ipclab bench`: latency and throughput of the very code that the book shows.

pub mod model;
pub mod operations;
pub mod placement;
pub mod servers;
