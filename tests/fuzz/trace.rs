//! What is fuzzed of trace.

#[macro_use]
#[path = "input.rs"]
mod input;

pub use input::Input;

targets! {
    decode: crate::decode_fuzz::run;
}
