//! Exercises that join chapters. Each stands in the chapter that it fits best.

pub(super) mod jobs;
pub(super) mod locks;
pub(super) mod pipeline;
pub(super) mod upgrade;
