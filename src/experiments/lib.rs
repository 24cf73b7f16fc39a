//! The pitfalls of each chapter, as questions that the kernel answers.
//!
//! A chapter's list is one file, or a folder of themes beside it. To add an experiment,
//! write its row and its run there, add it to the list, and run
//! `chapters/experiments/capture CHAPTER` for its page; [`row::Experiment`] says what each
//! field holds, and [`stage::Stage`] what a run is given.

use row::Experiment;

pub mod child;
pub mod dbus;
pub mod eventfd;
mod fault;
pub mod fdpass;
pub mod fifo;
pub mod file;
pub mod mmap;
pub mod mpi;
pub mod multiplex;
pub mod mutex;
pub mod pipe;
pub mod play;
pub mod posixmq;
pub mod procvm;
pub mod record;
pub mod row;
pub mod semaphore;
pub mod shm;
pub mod signal;
pub mod spawn;
pub mod stage;
pub mod sysvmq;
pub mod tcp;
pub mod udp;
pub mod unix;
pub mod until;

/// Each chapter's experiments, in the order of the book.
pub const ALL: &[(&str, &[Experiment])] = &[
    ("spawn", spawn::ALL),
    ("file", file::ALL),
    ("pipe", pipe::ALL),
    ("fifo", fifo::ALL),
    ("unix", unix::ALL),
    ("tcp", tcp::ALL),
    ("udp", udp::ALL),
    ("posixmq", posixmq::ALL),
    ("sysvmq", sysvmq::ALL),
    ("signal", signal::ALL),
    ("shm", shm::ALL),
    ("mmap", mmap::ALL),
    ("semaphore", semaphore::ALL),
    ("mutex", mutex::ALL),
    ("eventfd", eventfd::ALL),
    ("multiplex", multiplex::ALL),
    ("fdpass", fdpass::ALL),
    ("procvm", procvm::ALL),
    ("dbus", dbus::ALL),
    ("mpi", mpi::ALL),
];

/// The experiment `CHAPTER/NAME`, with its chapter.
pub fn find(id: &str) -> Option<(&'static str, &'static Experiment)> {
    let (chapter, name) = id.split_once('/')?;
    let (chapter, list) = ALL.iter().find(|(known, _)| *known == chapter)?;
    Some((*chapter, list.iter().find(|one| one.name == name)?))
}

/// The experiments of a chapter, in the order of its page.
pub fn of(chapter: &str) -> &'static [Experiment] {
    ALL.iter().find(|(name, _)| *name == chapter).map_or(&[], |(_, list)| list)
}
