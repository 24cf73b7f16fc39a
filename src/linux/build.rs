//! Stops a build for another system before anything else is compiled: the crates of ipclab all
//! depend on this one, and each has its other dependencies for Linux only.

#![allow(clippy::print_stdout, reason = "what Cargo reads")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!(
            "cargo::error=ipclab runs on Linux only, and this build is for {system}: build it \
             in a Linux container, or on Windows in WSL, by the commands of README.md, \
             \"Not on Linux?\""
        );
    }
}
