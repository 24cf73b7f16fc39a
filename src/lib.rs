//! ipclab: a workbook for inter-process communication on Linux.
//!
//! # The map, in reading order
//!
//! Each folder of src but `cli` is a crate, and may import only those that stand above it here:
//!
//! - `linux`: its build script stops a build for another system.
//! - [`bare`]: the shortest whole program of each mechanism, in Rust, C and Python.
//! - [`os`]: thin, safe wrappers where no crate has one, and clean-up; the only `unsafe`
//!   but for the programs of `bare` and of `exercises`.
//! - [`wire`]: what the chapters share: message boundaries, how two processes meet, the
//!   loops around a link, the commentary, and how a failure reads.
//! - [`process`]: real processes, watched and always reaped.
//! - `contract`: what every chapter keeps, over command lines; only the tests use it.
//! - [`chapters`]: the mechanisms, with their roles. The code that the book shows is the
//!   code that runs. Begin with `fifo`; [`wire::chapter`] says what a chapter is.
//! - [`lab`]: the demo, the clean-up, and what the learner has done.
//! - [`doctor`]: what this machine offers, by trying it.
//! - [`experiments`]: each chapter's pitfalls, as questions that the kernel answers.
//! - [`trace`]: the system calls of both roles, in one picture.
//! - [`mod@map`]: which process holds which object, and who sleeps on it.
//! - [`mod@bench`]: what each mechanism costs, beside what it could cost at best.
//! - `exercises`: programs that the learner writes, and the partners that check them.
//! - [`cli`]: the command line, made from the table of the chapters.

pub mod cli;
#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/cli.rs"]
pub mod fuzz;
