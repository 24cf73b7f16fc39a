//! What a stage reports, as lines of JSON on one pipe. Every process of the stage writes
//! there, each record by one write(2) of at most PIPE_BUF bytes: their order on the pipe is
//! the order in which things were reported, and no two mix.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that a process of a stage reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A call that mattered, with what it returned.
    Call {
        /// The process, by the name of its part.
        who: String,
        /// The call as C would write it.
        call: String,
        /// What it returned: a number, a descriptor, an error by name and meaning.
        returned: String,
    },
    /// Something that happened, and is no call: `killed by SIGPIPE`.
    Event {
        /// The process that it happened to.
        who: String,
        /// What happened.
        text: String,
    },
    /// An observation: the data from which the answer was computed.
    Saw {
        /// What was observed.
        what: String,
        /// A number, a text, a list.
        value: Value,
    },
    /// A setting of this machine that bears on the answer, as measured.
    Note(String),
    /// Something with a name that must be removed in the end, as a lock file's line.
    Made(String),
    /// The number of the answer that came out.
    Answer(usize),
    /// It cannot be run here, for want of this.
    Needs(String),
    /// It went wrong.
    Failed(String),
}

/// What a call returned, in words.
///
/// ```
/// use ipclab_experiments::record::Returned;
/// use nix::errno::Errno;
///
/// let opened: nix::Result<i32> = Err(Errno::ENXIO);
/// assert_eq!(opened.shown(), "ENXIO: No such device or address");
/// assert_eq!(nix::Result::Ok(6_usize).shown(), "6");
/// ```
pub trait Returned {
    /// As the report shows it.
    fn shown(&self) -> String;
}

impl<T: Returned, E: Failure> Returned for Result<T, E> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(error) => error.errno().to_string(),
        }
    }
}

/// An error of a system call, whichever crate wrapped it.
pub trait Failure {
    /// Its number.
    fn errno(&self) -> Errno;
}

impl Failure for Errno {
    fn errno(&self) -> Errno {
        *self
    }
}

impl Failure for rustix::io::Errno {
    fn errno(&self) -> Errno {
        Errno::from_raw(self.raw_os_error())
    }
}

impl Failure for std::io::Error {
    fn errno(&self) -> Errno {
        Errno::from_raw(self.raw_os_error().unwrap_or_default())
    }
}

impl<E: Failure> Failure for &E {
    fn errno(&self) -> Errno {
        (**self).errno()
    }
}

/// What poll(2) returns for a descriptor: `POLLIN | POLLHUP`.
impl Returned for PollFlags {
    fn shown(&self) -> String {
        let names: Vec<_> = self.iter_names().map(|(name, _)| name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" | ") }
    }
}

impl Returned for () {
    fn shown(&self) -> String {
        "0".to_owned()
    }
}

/// A descriptor: its number.
macro_rules! descriptors {
    ($($kind:ty),+) => {$(
        impl Returned for $kind {
            fn shown(&self) -> String {
                self.as_fd().as_raw_fd().to_string()
            }
        }
    )+};
}
descriptors!(
    std::os::fd::OwnedFd,
    std::fs::File,
    nix::mqueue::MqdT,
    std::net::TcpListener,
    std::net::TcpStream,
    std::os::unix::net::UnixDatagram,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixStream
);

/// A mapping: where it is differs from run to run.
impl Returned for os::shared::Shared {
    fn shown(&self) -> String {
        "an address".to_owned()
    }
}

impl Returned for os::mmap::Pages {
    fn shown(&self) -> String {
        "an address".to_owned()
    }
}

/// A number, or words of the experiment's own.
macro_rules! plain {
    ($($kind:ty),+) => {$(
        impl Returned for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
plain!(i32, i64, u32, u64, usize, isize, bool, str, String, Errno);

impl<T: Returned + ?Sized> Returned for &T {
    fn shown(&self) -> String {
        (**self).shown()
    }
}

impl Record {
    /// As one line.
    pub fn line(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_else(|error| {
            format!("{{\"failed\":\"a record that is no JSON: {error}\"}}")
        });
        text + "\n"
    }

    /// The records of all lines; what is none (a panic's message) is left out.
    pub fn all_of(lines: &[u8]) -> Vec<Record> {
        let lines = lines.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}
