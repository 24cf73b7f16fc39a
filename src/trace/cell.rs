//! One event of the drawing, or a part of it.

/// Which part of an event a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Its beginning: others did something before it ended.
    Begins,
    /// Its end.
    Returns,
}

/// One event, or a part of it, in a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// The lane.
    pub(super) lane: usize,
    /// The event, by its index.
    pub(super) event: usize,
    /// Which part.
    pub(super) part: Part,
    /// How many such calls it stands for.
    pub(super) again: usize,
}
