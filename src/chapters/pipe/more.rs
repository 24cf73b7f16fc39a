//! Without the copies.

pub(super) mod zero_copy;
