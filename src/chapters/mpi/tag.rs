//! What a message is about. A receive asks for a source and a tag, and other messages wait.

/// One 32-bit number.
pub const NUMBER: i32 = 1;
/// The bytes of a message that is to come back.
pub const BALL: i32 = 2;
/// Nothing more will come. MPI has no end of stream, so the goodbye is a message too.
pub const DONE: i32 = 3;
/// One 64-bit number that goes around.
pub const TOKEN: i32 = 4;
