//! What is fuzzed of bench.

#[macro_use]
#[path = "input.rs"]
mod input;

pub use input::Input;

targets! {
    report: crate::report::json::fuzz::run;
}
