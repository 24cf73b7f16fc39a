//! What is fuzzed of wire.

#[macro_use]
#[path = "input.rs"]
mod input;
#[path = "targets/frame.rs"]
mod frame;
#[path = "targets/proc.rs"]
mod proc;
#[path = "targets/ring.rs"]
mod ring;

pub use input::Input;

targets! {
    escape: crate::payload::fuzz::run;
    frame: frame::run;
    proc: proc::run;
    ring: ring::run;
}
