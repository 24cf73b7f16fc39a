//! The same pipe without the copies. vmsplice(2) puts the sender's own pages into it, and
//! splice(2) moves what is in it on to a file, unseen by the process that asks for it.
//!
//! A page that is lent is one page with two users: what the sender stores into it, the
//! reader reads. So a sender that returns must know that its pages have left the pipe, and
//! no system call waits for that. Here the end of each message is copied, into as many
//! pieces as the pipe has slots: when the last piece has found a slot, everything before
//! the pieces has gone.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice, vmsplice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use rustix::io::ioctl_fionread;
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use wire::errors::{Advise, usage};
use wire::say;
use wire::say::Commentary;
use wire::standard;
use wire::standard::unprinted;
use wire::transfer::until_ready;

// ANCHOR: lend
/// What the pipe should hold, in bytes: half of a message of 1 MiB, so that one process
/// reads the first half while the other lends the second.
const CAPACITY: usize = 512 * 1024;

/// A slot of a pipe takes one page, or the smallest piece of one. There is a slot for
/// each 4096 bytes of its capacity, or fewer where pages are larger.
const PAGE: usize = 4096;

/// The length of one of the pieces that push a message out, in bytes.
const PIECE: usize = 64;

/// What is shorter, in bytes, is copied: to map it and to push it out would cost more.
const WORTH_IT: usize = 128 * 1024;

/// How much of standard input is sent as one message, in bytes.
pub(in super::super) const BLOCK: usize = 1024 * 1024;

/// Lends messages to a pipe, and waits until it has them back.
#[derive(Debug)]
pub(in super::super) struct VmspliceSender {
    /// How many bytes at the end of a message are copied: a piece for each slot.
    tail: usize,
    /// The copied end of the last message, which the pipe may still hold, and that of the
    /// one before it, which it does not.
    tails: [Vec<u8>; 2],
    calls: Commentary,
}

impl VmspliceSender {
    /// For messages into `pipe`, which is made larger where that is allowed.
    ///
    /// # Errors
    /// EBADF when it is no pipe.
    pub(in super::super) fn of(pipe: impl AsFd) -> Result<VmspliceSender> {
        let slots = enlarged(pipe)?.div_ceil(PAGE);
        let (tails, calls) = ([const { Vec::new() }; 2], Commentary::of("vmsplice"));
        Ok(VmspliceSender { tail: slots * PIECE, tails, calls })
    }

    /// The shortest message that is worth lending, in bytes.
    pub(in super::super) fn least(&self) -> usize {
        WORTH_IT.max(4 * self.tail)
    }

    /// Sends a message of at least [`VmspliceSender::least`] bytes. Once it returns, the reader
    /// has read all of it that is not our own copy, and `message` may change.
    ///
    /// # Errors
    /// EPIPE when no reader is left.
    pub(in super::super) fn send(
        &mut self,
        pipe: &File,
        message: &[u8],
    ) -> Result<()> {
        let (pages, end) = message.split_at(message.len() - self.tail);
        lend(pipe, pages, pages.len(), &mut self.calls)?;
        self.tails.swap(0, 1);
        let tail = &mut self.tails[0];
        tail.resize(self.tail + PIECE, 0);
        // A piece on two pages would need two slots.
        let start = tail.as_ptr().align_offset(PIECE);
        let tail = &mut tail[start..start + self.tail];
        tail.copy_from_slice(end);
        lend(pipe, tail, PIECE, &mut self.calls)?;
        until_no_more_unread_than(tail.len(), pipe)
    }
}

impl Drop for VmspliceSender {
    /// The pipe outlives this sender, with the end of the last message, and of the one before it
    /// if that was cut short. Memory that is given back could have another use while the reader
    /// reads it. So these few KiB are kept, for as long as the process lives; then the kernel
    /// keeps the pages, for as long as they are in the pipe.
    fn drop(&mut self) {
        for tail in &mut self.tails {
            std::mem::forget(std::mem::take(tail));
        }
    }
}

/// vmsplice(2): puts the memory of `bytes` into the pipe, one slot for each page of it, or
/// for each `piece` bytes. Sleeps while the pipe is full.
fn lend(
    pipe: &File,
    bytes: &[u8],
    piece: usize,
    calls: &mut Commentary,
) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut pieces = [IoSlice::new(&[]); 128];
        let all = rest.chunks(piece).zip(&mut pieces);
        let number = all.map(|(piece, to)| *to = IoSlice::new(piece)).count();
        // No SPLICE_F_GIFT: a gift may never change again, and we want it back.
        let lent = vmsplice(pipe, &pieces[..number], SpliceFFlags::empty());
        let n = match lent {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => {
                until_ready(pipe, PollFlags::POLLOUT)?;
                continue;
            }
            lent => lent.context("vmsplice the pipe")?,
        };
        calls.call(n, || match number {
            1 => format!("vmsplice({} bytes, our own pages) = {n}", rest.len()),
            _ => format!("vmsplice({number} pieces of a copy) = {n}"),
        });
        rest = &rest[n..];
    }
    Ok(())
}

/// Waits until no more than `bytes` bytes in the pipe are unread. So it is when the pieces
/// are in, unless another process has given the pipe more slots since we counted them.
fn until_no_more_unread_than(bytes: usize, pipe: &File) -> Result<()> {
    while ioctl_fionread(pipe).context("ioctl(FIONREAD)")? > bytes as u64 {
        // For a write end, poll(2) reports only that the last reader has left: so look again
        // after a millisecond.
        let mut end = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
        match poll(&mut end, PollTimeout::from(1_u8)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break, // no reader is left that could see a change
            Err(error) => return Err(error).context("poll"),
        }
    }
    Ok(())
}
// ANCHOR_END: lend

// ANCHOR: enlarged
/// Makes a pipe larger, and says how many bytes it holds then. Either end may do so.
fn enlarged(pipe: impl AsFd) -> Result<usize> {
    let held = fcntl_getpipe_size(&pipe).context("fcntl(F_GETPIPE_SZ)")?;
    if held >= CAPACITY {
        return Ok(held); // another process wanted it so
    }
    match fcntl_setpipe_size(&pipe, CAPACITY) {
        Ok(larger) => {
            say!("fcntl(F_SETPIPE_SZ, {CAPACITY}) = {larger}");
            Ok(larger)
        }
        // /proc/sys/fs/pipe-max-size, or this user's pipes are over pipe-user-pages-soft:
        // nothing breaks, both sides only wake each other more often.
        Err(error) => {
            say!(
                "fcntl(F_SETPIPE_SZ, {CAPACITY}): {error}: it goes on holding {held}"
            );
            Ok(held)
        }
    }
}
// ANCHOR_END: enlarged

// ANCHOR: move_on
/// Moves all that comes out of `pipe` to standard output; no byte passes through here.
pub(in super::super) fn move_on(pipe: &File) -> Result<()> {
    let (out, mut calls) = (standard::output()?, Commentary::of("splice"));
    fcntl_getpipe_size(pipe).map_err(|_| {
        usage("--zero-copy moves out of a pipe, and standard input is none")
    })?;
    must_keep_nothing(out)?;
    loop {
        let n = match move_some(pipe, out) {
            Err(Errno::EINTR) => continue,
            // Waits for whichever end the call itself does not wait for (O_NONBLOCK).
            Err(Errno::EAGAIN) => {
                until_ready(pipe, PollFlags::POLLIN)?;
                until_ready(out, PollFlags::POLLOUT)?;
                continue;
            }
            Err(Errno::EINVAL) => return Err(no_splice(out)),
            moved => moved.map_err(unprinted)?,
        };
        if n == 0 {
            say!("splice() = 0: the last writer has closed its end");
            return Ok(());
        }
        calls.call(n, || format!("splice(0, 1) = {n}: from the pipe to the file"));
    }
}

/// splice(2): moves what is in `pipe` to `to`, at most 1 MiB; sleeps while there is nothing.
/// 0 is the end of the stream.
pub(in super::super) fn move_some(
    pipe: impl AsFd,
    to: impl AsFd,
) -> nix::Result<usize> {
    // No offsets: each descriptor's own file position counts on.
    splice(pipe, None, to, None, 1 << 20, SpliceFFlags::empty())
}

/// Refuses an output that would keep the pages themselves. A sender that lends its pages takes
/// them to be free as soon as they have left its pipe; from another pipe or a socket a reader
/// would then read what they hold next.
fn must_keep_nothing(out: impl AsFd) -> Result<()> {
    let about = fstat(out).context("fstat standard output")?;
    let kind = SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG | SFlag::S_IFCHR | SFlag::S_IFBLK => Ok(()),
        _ => Err(usage(
            "--zero-copy moves pages into a file or a device, not into a pipe or a \
             socket: there they could still change, since the sender takes them for free \
             once they have left its own pipe; leave --zero-copy away",
        )),
    }
}
// ANCHOR_END: move_on

/// Why splice(2) returned EINVAL.
fn no_splice(out: impl AsFd) -> anyhow::Error {
    let flags = fcntl(out, FcntlArg::F_GETFL).unwrap_or(0);
    let appends = OFlag::from_bits_truncate(flags).contains(OFlag::O_APPEND);
    let error = anyhow::Error::new(Errno::EINVAL);
    let failed = Err::<(), _>(error.context("splice standard output"));
    let failed = failed.advise(|_| {
        Some(if appends {
            "it was opened to append (>>), where splice cannot write: use >, or leave \
             --zero-copy away"
        } else {
            "nothing can be moved into this kind of file: leave --zero-copy away"
        })
    });
    failed.expect_err("it is one")
}
