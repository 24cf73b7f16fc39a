//! A number that may change while MPI sends it. What the crate mpi sends it borrows, so that no
//! safe program changes a buffer in flight, as a program in C may by mistake.

use std::sync::atomic::{AtomicU32, Ordering};

use mpi::datatype::{Equivalence, SystemDatatype};

/// MPI_UINT32_T.
#[derive(Debug)]
#[repr(transparent)]
pub struct Number(AtomicU32);

// SAFETY: it is four bytes, as a u32 is, and whatever they are is a number. The library reads it
// through a shared reference; in Rust it changes by an atomic store alone.
unsafe impl Equivalence for Number {
    type Out = SystemDatatype;

    fn equivalent_datatype() -> SystemDatatype {
        u32::equivalent_datatype()
    }
}

impl Number {
    /// With this value.
    pub fn new(value: u32) -> Number {
        Number(value.into())
    }

    /// Changes it, also while the library has it.
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }
}
