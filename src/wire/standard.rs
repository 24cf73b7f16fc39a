//! Standard input and output, as they were given to us: they may be closed, open the wrong way,
//! or non-blocking, since O_NONBLOCK belongs to the open file, which other processes have as
//! well (fcntl(2), F_SETFL).
//!
//! Rust's own `stdin()`, `stdout()` and `stderr()` take what is closed for an empty stream
//! or for a sink, and fail where they should wait; `println!` and `eprintln!` panic where a
//! write fails. So all goes through here, `payload` and `say`; clippy refuses the others
//! (`clippy.toml`).

use std::io;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use rustix::stdio::{stdin, stdout};

use super::transfer::{read, write_all};
use crate::errors::Advise;

// ANCHOR: usable
/// Standard input, if it can be read.
///
/// # Errors
/// EBADF when it is closed or open for writing only, EISDIR when it is a directory.
pub fn input() -> Result<BorrowedFd<'static>> {
    let about = is_open_for(stdin(), OFlag::O_RDONLY).and_then(|()| fstat(stdin()));
    match about.map(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT)
    {
        Ok(SFlag::S_IFDIR) => Err(unread(Errno::EISDIR)),
        Ok(_) => Ok(stdin()),
        Err(error) => Err(unread(error)),
    }
}

/// Standard output, if it can be written.
///
/// # Errors
/// EBADF when it is closed, or open for reading only.
pub fn output() -> Result<BorrowedFd<'static>> {
    is_open_for(stdout(), OFlag::O_WRONLY).map_err(unprinted)?;
    Ok(stdout())
}

/// What was closed at the start is open the wrong way since (os/start.rs).
fn is_open_for(fd: BorrowedFd<'_>, way: OFlag) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    let open = [way, OFlag::O_RDWR].contains(&(flags & OFlag::O_ACCMODE));
    if open && !flags.contains(OFlag::O_PATH) { Ok(()) } else { Err(Errno::EBADF) }
}
// ANCHOR_END: usable

/// Why standard input could not be read.
pub fn unread(error: Errno) -> anyhow::Error {
    let failed =
        Err::<(), _>(anyhow::Error::new(error).context("read standard input"));
    let closed = |_: &_| {
        (error == Errno::EBADF).then_some("it is closed, or open for writing only")
    };
    failed.advise(closed).expect_err("it is one")
}

/// Why standard output took no more. The way out is not another meeting place.
pub fn unprinted(error: Errno) -> anyhow::Error {
    let failed = Err::<(), _>(error).context("write standard output");
    let failed = failed.advise(|_| match error {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG => {
            Some("there is no room for more in the file that it goes to")
        }
        Errno::EBADF => Some("it is closed, or open for reading only"),
        _ => None,
    });
    failed.expect_err("it is one")
}

/// Standard input, for code that wants a [`Read`](io::Read).
#[derive(Debug)]
pub struct Input(BorrowedFd<'static>);

impl Input {
    /// Standard input, if it can be read.
    ///
    /// # Errors
    /// As [`input`].
    pub fn open() -> Result<Input> {
        input().map(Input)
    }

    /// The same, with a buffer.
    ///
    /// # Errors
    /// As [`input`].
    pub fn buffered() -> Result<io::BufReader<Input>> {
        Input::open().map(io::BufReader::new)
    }
}

impl io::Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(read(self.0, buffer)?)
    }
}

/// Standard output, for code that wants a [`Write`](io::Write).
#[derive(Debug)]
pub struct Output;

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(stdout(), bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
