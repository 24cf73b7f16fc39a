//! What chapters share, and the book explains once.
//!
//! [`chapter`]: what a chapter is · [`transport`]: the shape of a one-way link · [`frame`]: message
//! boundaries on a byte stream · [`ring`]: bytes in shared memory · [`meet`]: how two processes
//! find each other · [`roles`]: the loops around a link · [`dialogue`]: both halves of a
//! conversation over a socket · [`address`]: network addresses, listened on, connected to and
//! published · [`local`]: Unix sockets' names, bound and connected to · [`shortage`]: what a server
//! does when there is no room for one more client · [`fork`]: parent and child · [`holders`]: who
//! else holds the peer's end · [`launcher`]: what
//! starts a world of ranks · [`transfer`]: reading and writing that goes on · [`standard`]:
//! standard input and output as they were given to us · [`payload`]: what goes to standard output ·
//! [`mod@say`]: the commentary, and all else that goes to standard error · [`visible`]: what others
//! have named, as it may be shown · [`errors`]: how a failure reads · [`dirs`]: the directories
//! that the environment names.

pub mod address;
pub mod chapter;
pub mod dialogue;
pub mod dirs;
pub mod errors;
pub mod fork;
pub mod frame;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/wire.rs"]
pub mod fuzz;
pub mod holders;
pub mod launcher;
pub mod local;
pub mod meet;
pub mod payload;
pub mod ring;
pub mod roles;
pub mod say;
pub mod shortage;
pub mod standard;
pub mod transfer;
pub mod transport;
pub mod visible;
