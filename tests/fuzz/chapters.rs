//! What is fuzzed of the chapters.

#[macro_use]
#[path = "input.rs"]
mod input;
#[path = "targets/packet.rs"]
mod packet;

pub use input::Input;

targets! {
    dbus_handshake: crate::dbus::socket::fuzz::handshake;
    dbus_messages: crate::dbus::socket::fuzz::messages;
    descriptor: crate::fdpass::fuzz::run;
    multiprocessing: crate::fdpass::fuzz_multiprocessing::run;
    memory: crate::procvm::published::fuzz::run;
    packet: packet::run;
    published: crate::signal::published::fuzz::run;
}
