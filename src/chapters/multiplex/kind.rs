//! The three selectors, behind one option.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use super::epoll::Epoll;
use super::poll::Poll;
use super::select::Select;
use super::selector::Selector;

/// Which system call does the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SelectorKind {
    /// A bit for each descriptor, of 1,024: the oldest, known everywhere
    Select,
    /// An array of descriptors, handed over anew in each call
    Poll,
    /// A set that the kernel keeps, so that a call costs only what is ready
    Epoll,
    /// The best that there is: epoll, or poll where the kernel refuses it
    Default,
}

impl SelectorKind {
    /// A selector of this kind that watches nothing yet.
    ///
    /// # Errors
    /// EMFILE from epoll_create1(2): an epoll is a descriptor, too.
    pub fn open<D: Copy + 'static>(self) -> Result<Box<dyn Selector<D>>> {
        Ok(match self {
            SelectorKind::Select => Box::new(Select::new()),
            SelectorKind::Poll => Box::new(Poll::new()),
            SelectorKind::Epoll => Box::new(Epoll::new()?),
            SelectorKind::Default => match Epoll::new() {
                Ok(epoll) => Box::new(epoll),
                Err(_) => Box::new(Poll::new()),
            },
        })
    }
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SelectorKind::Select => "select",
            SelectorKind::Poll => "poll",
            SelectorKind::Epoll => "epoll",
            SelectorKind::Default => "default",
        })
    }
}
