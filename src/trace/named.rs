//! A kernel object, by its number in the run and by what it is called.

use std::rc::Rc;

/// Which of the run's objects.
pub(super) type ObjectId = usize;

/// What a descriptor was when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The kernel object.
    pub(super) object: ObjectId,
    /// In full: `tcp 127.0.0.1:7777→127.0.0.1:50824`.
    pub(super) long: Rc<str>,
    /// In a word: `tcp`.
    pub(super) short: &'static str,
}
