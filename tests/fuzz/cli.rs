//! What is fuzzed of the command line.

#[macro_use]
#[path = "input.rs"]
mod input;
#[path = "targets/arguments.rs"]
mod arguments;
#[path = "targets/lines.rs"]
mod lines;

pub use input::Input;

targets! {
    arguments: arguments::run;
    lines: lines::run;
}
