//! What is not on the plain path: several descriptors in one message, server and worker in
//! one program, and the wire of Python's multiprocessing.

pub mod batch;
pub(super) mod fork;
pub(super) mod multiprocessing;
