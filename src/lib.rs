//! ipclab: a workbook for inter-process communication on Linux.
//!
//! # The map, in reading order
//!
//! - [`chapters`]: one file a mechanism. The code that the book shows is the code that
//!   runs, and each file holds both roles. Begin with `fifo`.
//! - [`wire`]: what the chapters share: message boundaries, how two strangers meet, the
//!   loops around a link, the commentary.
//! - [`os`]: thin, safe wrappers where no crate has one, and clean-up; the only `unsafe`.
//! - [`chapter`]: what a chapter is: a row of data and its types.
//! - [`process`]: real processes, watched and always reaped.
//! - [`experiments`]: each chapter's pitfalls, as questions that the kernel answers.
//! - [`lab`]: what can be done with any chapter: the demo, the contract, the clean-up.
//! - [`cli`]: the command line, made from the table.
//! - [`errors`]: how a failure reads; [`dirs`]: the directories that the environment names.
//!
//! Imports run one way: `os ← wire ← chapter ← chapters ← experiments ← lab ← cli`,
//! with `process` beside `wire`, and `errors` and `dirs` below all. No chapter imports another.

pub mod chapter;
pub mod chapters;
pub mod cli;
pub mod dirs;
pub mod errors;
pub mod experiments;
#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzz;
pub mod lab;
pub mod os;
pub mod process;
pub mod wire;
