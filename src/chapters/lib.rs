//! The table of chapters, in the order of the book. One file a chapter: the code that
//! the book shows, that runs, and that the tests test.

use crate::row::{Conversation, OneWay, Row, Visitor};

pub mod dbus;
pub mod fdpass;
pub mod fifo;
pub mod file;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/chapters.rs"]
pub mod fuzz;
pub mod mmap;
pub mod mpi;
pub mod multiplex;
pub mod pipe;
pub mod posixmq;
pub mod row;
pub mod semaphore;
pub mod shm;
pub mod signal;
pub mod sysvmq;
pub mod tcp;
pub mod unix;

/// Shows `visitor` every chapter, in the order of the book.
pub fn each(visitor: &mut impl Visitor) {
    visitor.one_way::<file::Files>();
    visitor.one_way::<signal::Signals>();
    visitor.one_way::<pipe::Pipe>();
    visitor.one_way::<fifo::Fifo>();
    visitor.conversation::<unix::Unix>();
    visitor.conversation::<tcp::Tcp>();
    visitor.one_way::<posixmq::Posixmq>();
    visitor.one_way::<sysvmq::Sysvmq>();
    visitor.one_way::<shm::Shm>();
    visitor.one_way::<mmap::Mmap>();
    visitor.conversation::<fdpass::Fdpass>();
    visitor.conversation::<multiplex::Multiplex>();
    visitor.conversation::<semaphore::Semaphores>();
    visitor.conversation::<dbus::Dbus>();
    visitor.conversation::<mpi::Mpi>();
}

/// The rows of all chapters, in the order of the book.
pub fn rows() -> Vec<Row> {
    struct Rows(Vec<Row>);
    impl Visitor for Rows {
        fn one_way<C: OneWay>(&mut self) {
            self.0.push(C::ROW);
        }
        fn conversation<C: Conversation>(&mut self) {
            self.0.push(C::ROW);
        }
    }
    let mut rows = Rows(Vec::new());
    each(&mut rows);
    rows.0
}

/// The row of the chapter `name`.
pub fn find(name: &str) -> Option<Row> {
    rows().into_iter().find(|row| row.name == name)
}
