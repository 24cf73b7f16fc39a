//! The wire of Python's multiprocessing.connection, on a Unix stream socket: a handshake
//! by a common key, the worker's pid as a pickle, then one byte 1 with one descriptor for
//! each connection (send_handle). A worker answers nothing. That it has read a descriptor
//! is known from the kernel alone.

pub(in super::super) use self::frame::BYTE;
pub(in super::super) use self::handshakes::{Handshakes, MOST_HANDSHAKES};
pub(in super::super) use self::key::AuthKey;
pub(in super::super) use self::key_handshake::Rules;
pub(in super::super) use self::peer_handshake::meet_server;
pub(in super::super) use self::unread::{UnreadMessages, charge_of_one_message};
pub(in super::super) use self::was_used::was_used;

mod frame;
#[cfg(any(test, fuzzing))]
#[path = "../../../../tests/fuzz/targets/multiprocessing.rs"]
pub(crate) mod fuzz;
mod handshakes;
mod key;
mod key_handshake;
mod peer_handshake;
mod pid;
mod unread;
mod was_used;
