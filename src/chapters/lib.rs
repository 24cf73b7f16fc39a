//! The table of chapters, in the order of the book. The code in the chapters is what the book
//! shows, what runs, and what the tests test.

use wire::chapter::{Conversation, OneWay, Role, Row, Visitor};

pub mod dbus;
pub mod eventfd;
pub mod fdpass;
pub mod fifo;
pub mod file;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/chapters.rs"]
pub mod fuzz;
pub mod mmap;
pub mod mpi;
pub mod multiplex;
pub mod mutex;
pub mod pipe;
pub mod posixmq;
pub mod procvm;
pub mod semaphore;
pub mod shm;
pub mod signal;
pub mod spawn;
pub mod sysvmq;
pub mod tcp;
pub mod udp;
pub mod unix;

/// The table: each chapter's shape, which is the method of [`Visitor`] that takes the chapter,
/// and its type.
macro_rules! table {
    ($($shape:ident $chapter:ty;)*) => {
        static ROWS: &[Row] = &[$(<$chapter>::ROW),*];

        /// Shows `visitor` every chapter, in the order of the book.
        pub fn each(visitor: &mut impl Visitor) {
            $(visitor.$shape::<$chapter>();)*
        }
    };
}

table! {
    conversation spawn::Spawn;
    one_way file::Files;
    one_way pipe::Pipe;
    one_way fifo::Fifo;
    conversation unix::Unix;
    conversation tcp::Tcp;
    conversation udp::Udp;
    one_way posixmq::Posixmq;
    one_way sysvmq::Sysvmq;
    one_way signal::Signals;
    one_way shm::Shm;
    one_way mmap::Mmap;
    conversation semaphore::Semaphores;
    conversation mutex::Mutexes;
    conversation eventfd::Eventfd;
    conversation multiplex::Multiplex;
    conversation fdpass::Fdpass;
    conversation procvm::Procvm;
    conversation dbus::Dbus;
    conversation mpi::Mpi;
}

/// The rows of all chapters, in the order of the book.
pub fn rows() -> &'static [Row] {
    ROWS
}

/// The row of the chapter `name`.
pub fn find(name: &str) -> Option<Row> {
    ROWS.iter().find(|row| row.name == name).copied()
}

/// The role in a command line of ipclab's: the word after a chapter's name that is one of its.
pub fn role<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Role> {
    let mut words = words.into_iter().skip(1);
    let row = words.find_map(find)?;
    words.find_map(|word| {
        let is_so =
            |role: &&Role| role.name == word || role.aliases().contains(&word);
        row.roles.iter().find(is_so).copied()
    })
}

/// The address at which the chapter `name` listens unless told otherwise.
pub fn address(name: &str) -> Option<&'static str> {
    match name {
        "tcp" => Some(tcp::ADDRESS),
        "udp" => Some(udp::ADDRESS),
        "fdpass" => Some(fdpass::ADDRESS),
        _ => None,
    }
}
