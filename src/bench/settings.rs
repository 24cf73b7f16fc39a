//! What the bench of servers and that of operations are asked for.

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// A short run: fewer servers, shorter windows.
    pub quick: bool,
    /// Whether servers in C and in Python take turns with ours.
    pub peers: bool,
    /// Only the servers of these chapters; of all, if there are none.
    pub chapters: &'a [String],
}
