//! `ipclab exercise`: programs that the learner writes, in any language, graded by what the
//! kernel sees of them.
//!
//! - `row`: what an exercise is; `texts`: what it begins with, and our solution.
//! - `scene`, `draw`: where a stage is played, and with which data; `partner`, `stream`: who plays
//!   against the learner's program; `pace`, `run`, `sleep`: the play; `judge`, `verdict`: what came of it.
//! - `slot`: what the partners of shm and mmap share.
//! - `folder`: the learner's folder; what was done is in `lab::progress`.
//! - `check`, `told`, `start`, `list`, `hint`, `show`: the verbs. `watch`: a check at each saved file;
//!   `tracing`: the calls of both sides; `class`: a folder of submissions.
//! - `schema`: what a check came to, as data; `formats`: that in the forms of other programs.
//! - `own`: an exercise of a teacher's own; `self_test`: whether an exercise is one.
//! - `lacks`: which of them asks for what a bare program lacks. A module a chapter: its exercises.

use std::sync::OnceLock;

use anyhow::Result;
use clap::Subcommand;

use lab::{progress, prose};

mod causes;
mod check;
mod class;
mod design;
pub mod draw;
pub mod folder;
pub mod formats;
mod hint;
mod judge;
pub mod lacks;
mod list;
mod own;
mod pace;
pub mod partner;
pub mod row;
pub mod run;
pub mod scene;
pub mod schema;
mod self_test;
mod show;
mod sleep;
mod slot;
mod start;
mod stream;
pub mod texts;
mod told;
mod tracing;
pub mod verdict;
mod watch;

mod dbus;
mod eventfd;
mod fdpass;
mod fifo;
mod file;
mod mmap;
mod mpi;
mod multiplex;
mod mutex;
mod pipe;
mod posixmq;
mod procvm;
mod semaphore;
mod shm;
mod signal;
mod spawn;
mod sysvmq;
mod tcp;
mod udp;
mod unix;

use row::Exercise;

/// The exercises of each chapter, in the order of the book.
pub const ALL: &[(&str, &[Exercise])] = &[
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

/// A chapter's name, and one of its exercises.
pub type Entry = (&'static str, &'static Exercise);

/// All exercises.
pub fn entries() -> impl Iterator<Item = Entry> {
    ALL.iter().flat_map(|(chapter, all)| all.iter().map(move |one| (*chapter, one)))
}

/// What an exercise is called: CHAPTER/NAME.
pub fn id((chapter, exercise): Entry) -> String {
    format!("{chapter}/{}", exercise.name)
}

/// The exercise CHAPTER/NAME.
pub fn find(wanted: &str) -> Option<Entry> {
    entries().find(|entry| id(*entry) == wanted)
}

/// What a shell completes.
pub fn ids() -> &'static [String] {
    static IDS: OnceLock<Vec<String>> = OnceLock::new();
    IDS.get_or_init(|| entries().map(id).collect())
}

/// A seed as it is printed.
fn seed(text: &str) -> Result<u64> {
    Ok(u64::from_str_radix(text, 16)?)
}

/// `ipclab exercise`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise list", "all exercises, and what you have passed"),
    ("exercise start fifo/receiver --lang python", "a folder of your own, with the task"),
    ("exercise check fifo/receiver", "run your program against a stern partner"),
    ("exercise check fifo/receiver --watch", "the same, each time that you save a file"),
    ("exercise hint fifo/receiver", "a hint: the one for the stage that failed, then three"),
    ("exercise show fifo/receiver", "our solution, once yours has passed, and its calls beside yours"),
    ("exercise check --all handed-in", "a folder of submissions, a folder a learner"),
    ("exercise new lesson", "an exercise of your own, for teachers"),
]))]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the exercises, and what you have passed
    List(list::Options),
    /// Make a folder of your own, with the task and a program to begin with
    Start(start::Options),
    /// Build your program, and try it stage by stage
    Check(check::Options),
    /// Show a hint: three, each more direct than the one before it
    Hint(hint::Options),
    /// Show our solution and its reasons, once yours has passed
    Show(show::Options),
    /// Make a folder with an exercise of your own, for teachers
    New(own::Options),
    /// Try whether an exercise is one: the beginning fails, the solution passes, wrong ones are caught
    SelfTest(self_test::Options),
}

/// `ipclab exercise`.
///
/// # Errors
/// An exercise that is none, a program that does not pass, a folder that cannot be made.
pub fn run(options: &Options) -> Result<()> {
    match &options.verb {
        None => list::run(&list::Options::default()),
        Some(Verb::List(options)) => list::run(options),
        Some(Verb::Start(options)) => start::run(options),
        Some(Verb::Check(options)) => check::run(options),
        Some(Verb::Hint(options)) => hint::run(options),
        Some(Verb::Show(options)) => show::run(options),
        Some(Verb::New(options)) => own::run(options),
        Some(Verb::SelfTest(options)) => self_test::run(options),
    }
}

/// Takes CHAPTER/NAME.
fn offers() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(ids().iter().map(String::as_str))
}
