//! Thin, safe wrappers where no crate has one, and clean-up: the only `unsafe`, but
//! for the bare programs and the solutions of exercises.
//!
//! Each function's first line is the call itself; its man page gives the rest.
#![allow(unsafe_code)]

pub mod calls;
pub mod cleanup;
pub mod handlers;
pub mod inheritance;
pub mod ip;
pub mod kcmp;
pub mod memory;
pub mod mmap;
#[cfg(feature = "mpi")]
pub mod mpi_number;
pub mod mqueue;
pub mod mutex;
pub mod names;
pub mod namespace;
pub mod onlooker;
pub mod owner;
pub mod packet;
pub mod peer;
pub mod proc;
pub mod proc_fd;
pub mod process_identity;
pub mod ptrace;
pub mod ready;
pub mod ring;
pub mod sched;
pub mod select_bits;
pub mod semaphore;
pub mod shared;
pub mod shm_file;
pub mod sigbus;
pub mod signal;
pub mod siocoutq;
pub mod sock_diag;
pub mod spawn;
pub mod start;
pub mod stdio;
pub mod sysv;
pub mod sysv_control;
pub mod sysv_segment;
pub mod sysv_semaphore;
pub mod tcp;
