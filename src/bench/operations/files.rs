//! Descriptors and processes: made, and gone again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, open};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{execv, mkfifo as make_fifo, pipe2, read, unlink, write};
use rustix::event::{
    EventfdFlags, PollFd, PollFlags, Timespec, epoll as rustix_epoll, poll,
};

use super::operation::{Batch, Resources, each};
use os::cleanup;
use os::signal::{self, Set};
use os::spawn::{Forked, fork_after};

const OURS: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

pub(super) fn pipe(_: &Resources) -> Result<Batch> {
    Ok(each(|| pipe2(OFlag::O_CLOEXEC).context("pipe").map(drop)))
}

pub(super) fn write_and_read(_: &Resources) -> Result<Batch> {
    through::<64>(pipe2(OFlag::O_CLOEXEC).context("pipe")?)
}

/// As much as an eventfd takes.
pub(super) fn eight_bytes(_: &Resources) -> Result<Batch> {
    through::<8>(pipe2(OFlag::O_CLOEXEC).context("pipe")?)
}

/// As much as two copies of fit into a pipe.
pub(super) fn through_pipe(_: &Resources) -> Result<Batch> {
    through::<32_768>(pipe2(OFlag::O_CLOEXEC).context("pipe")?)
}

/// Writes so many bytes into a pipe that is never empty, and reads as many: neither call waits.
fn through<const BYTES: usize>(
    (reading, writing): (OwnedFd, OwnedFd),
) -> Result<Batch> {
    write(&writing, &[0; BYTES]).context("write")?;
    Ok(each(move || {
        write(&writing, &[1; BYTES]).context("write")?;
        read(&reading, &mut [0; BYTES]).context("read").map(drop)
    }))
}

/// Adds 1 to an eventfd, and takes it.
pub(super) fn through_eventfd(_: &Resources) -> Result<Batch> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context("eventfd")?;
    Ok(each(move || {
        event.write(1).context("write")?;
        event.read().context("read").map(drop)
    }))
}

/// As [`write_and_read`], through a pipe that was polled once: see os/start.rs.
pub(super) fn polled_once(_: &Resources) -> Result<Batch> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let mut asked = [PollFd::new(&reading, PollFlags::empty())];
    poll(&mut asked, Some(&Timespec::default())).context("poll")?;
    through::<64>((reading, writing))
}

pub(super) fn mkfifo(resources: &Resources) -> Result<Batch> {
    let path = resources.path("new");
    Ok(each(move || {
        make_fifo(&path, OURS).context("mkfifo")?;
        unlink(&path).context("unlink")
    }))
}

pub(super) fn open_fifo(resources: &Resources) -> Result<Batch> {
    let path = resources.path("fifo");
    make_fifo(&path, OURS).context("mkfifo")?;
    Ok(each(move || {
        // One process opens both ends, so the first may not wait for the other.
        let reading = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let reader = open(&path, reading, Mode::empty()).context("open")?;
        let writing = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let writer = open(&path, writing, Mode::empty()).context("open")?;
        drop((reader, writer));
        Ok(())
    }))
}

pub(super) fn eventfd(_: &Resources) -> Result<Batch> {
    let flags = EventfdFlags::CLOEXEC;
    Ok(each(move || rustix::event::eventfd(0, flags).context("eventfd").map(drop)))
}

pub(super) fn epoll(_: &Resources) -> Result<Batch> {
    let flags = rustix_epoll::CreateFlags::CLOEXEC;
    Ok(each(move || rustix_epoll::create(flags).context("epoll_create1").map(drop)))
}

pub(super) fn signalfd(_: &Resources) -> Result<Batch> {
    let set = Set::of(&[libc::SIGUSR1]);
    Ok(each(move || signal::signalfd(&set).context("signalfd").map(drop)))
}

pub(super) fn fork_and_wait(_: &Resources) -> Result<Batch> {
    Ok(children(|| cleanup::exit(0)))
}

pub(super) fn fork_and_exec(_: &Resources) -> Result<Batch> {
    Ok(children(|| {
        let _ = execv(c"/bin/true", &[c"true"]);
        cleanup::exit(127)
    }))
}

/// Times from fork(2) until the child, which does `as_child`, has ended and is reaped.
fn children(as_child: fn() -> std::convert::Infallible) -> Batch {
    Box::new(move |count| {
        let mut time = Duration::ZERO;
        for _ in 0..count {
            let mut began = Instant::now();
            match fork_after(|| began = Instant::now()).context("fork")? {
                Forked::Child => match as_child() {},
                Forked::Parent(child) => {
                    let ended = waitpid(child, None).context("wait")?;
                    time += began.elapsed();
                    let well = matches!(ended, WaitStatus::Exited(_, 0));
                    ensure!(well, "a child ended badly: {ended:?}");
                }
            }
        }
        Ok(time)
    })
}
