//! io_uring(7): requests and completions in memory that is shared with the kernel.
//!
//! The kernel reads and writes the buffer of a request until the request is complete. So the
//! buffers belong to the [`Ring`], and a ring that goes while requests are under way leaves them
//! to the kernel for good.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{IoUring, opcode, squeue, types};
use nix::errno::Errno;
use nix::poll::PollFlags;

/// The two queues.
pub struct Ring {
    ring: IoUring,
    /// The buffers of requests that are not complete, by the number of the request.
    under_way: BTreeMap<u64, *mut [u8]>,
    last: u64,
}

/// What has become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The number of the request: `user_data`.
    pub request: u64,
    /// What the call would have returned.
    pub result: nix::Result<usize>,
    /// The request's buffer.
    pub buffer: Vec<u8>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} under way)", self.under_way.len())
    }
}

impl Ring {
    /// `io_uring_setup(entries, …)`, and mmap(2) of the queues.
    ///
    /// # Errors
    /// ENOSYS where the kernel has no io_uring or a seccomp(2) filter hides it; EPERM where
    /// `kernel.io_uring_disabled` or a filter forbids it.
    pub fn new(entries: u32) -> nix::Result<Ring> {
        let ring = IoUring::new(entries).map_err(errno)?;
        Ok(Ring { ring, under_way: BTreeMap::new(), last: 0 })
    }

    /// Writes a request into the submission queue: `read(fd, buffer, length)`. Its number.
    ///
    /// # Errors
    /// EBUSY when the queue is full.
    pub fn read(&mut self, fd: impl AsFd, length: usize) -> nix::Result<u64> {
        self.with_buffer(vec![0; length], |buffer, room| {
            opcode::Read::new(types::Fd(fd.as_fd().as_raw_fd()), buffer, room)
                .build()
        })
    }

    /// Writes a request into the submission queue: `write(fd, bytes, length)`. Its number.
    ///
    /// # Errors
    /// EBUSY when the queue is full.
    pub fn write(&mut self, fd: impl AsFd, bytes: &[u8]) -> nix::Result<u64> {
        self.with_buffer(bytes.to_vec(), |buffer, room| {
            let fd = types::Fd(fd.as_fd().as_raw_fd());
            opcode::Write::new(fd, buffer, room).build()
        })
    }

    /// Writes a request into the submission queue: to be told once of an event. Its number.
    ///
    /// # Errors
    /// EBUSY when the queue is full.
    pub fn poll(&mut self, fd: impl AsFd, events: PollFlags) -> nix::Result<u64> {
        self.with_buffer(Vec::new(), |_, _| {
            let fd = types::Fd(fd.as_fd().as_raw_fd());
            opcode::PollAdd::new(fd, events.bits() as u32).build()
        })
    }

    // ANCHOR: ring
    fn with_buffer(
        &mut self,
        buffer: Vec<u8>,
        request: impl FnOnce(*mut u8, u32) -> squeue::Entry,
    ) -> nix::Result<u64> {
        let buffer = Box::into_raw(buffer.into_boxed_slice());
        self.last += 1;
        let entry = request(buffer.cast(), buffer.len() as u32).user_data(self.last);
        // SAFETY: the buffer is not freed before the completion: it stays in `under_way`.
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            // SAFETY: made by Box::into_raw above, and the kernel has not seen it.
            drop(unsafe { Box::from_raw(buffer) });
            return Err(Errno::EBUSY);
        }
        self.under_way.insert(self.last, buffer);
        Ok(self.last)
    }
    // ANCHOR_END: ring

    /// Changes the buffer of a request that may be under way, which no program should do.
    ///
    /// # Errors
    /// ENOENT when the request is complete, or the buffer shorter.
    pub fn overwrite(&mut self, request: u64, bytes: &[u8]) -> nix::Result<()> {
        let buffer = self.under_way.get(&request).ok_or(Errno::ENOENT)?;
        if buffer.len() < bytes.len() {
            return Err(Errno::ENOENT);
        }
        // SAFETY: memory of this process, long enough, and reached by no reference. The kernel
        // may read it at the same time, and gets the old bytes or the new ones.
        unsafe {
            let to = buffer.cast::<u8>();
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(())
    }

    /// `io_uring_enter(ring, all requests, min_complete)`: hands over the requests in the
    /// submission queue, and sleeps until so many are complete. How many were handed over.
    ///
    /// # Errors
    /// EINTR, EAGAIN.
    pub fn enter(&mut self, min_complete: usize) -> nix::Result<usize> {
        self.ring.submit_and_wait(min_complete).map_err(errno)
    }

    /// Takes what is in the completion queue, in its order: that is no system call.
    pub fn completions(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        for entry in self.ring.completion() {
            let Some(buffer) = self.under_way.remove(&entry.user_data()) else {
                continue;
            };
            // SAFETY: made by Box::into_raw above, and the kernel is done with it.
            let buffer = unsafe { Box::from_raw(buffer) };
            let result = usize::try_from(entry.result())
                .map_err(|_| Errno::from_raw(-entry.result()));
            let (request, buffer) = (entry.user_data(), buffer.into_vec());
            all.push(Completion { request, result, buffer });
        }
        all
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use nix::unistd::{pipe, read, write};

    use super::*;

    #[test]
    fn a_read_completes_with_its_bytes_and_an_error_with_its_number() {
        // Where it is switched off, it says so, and the experiments that need it do, too.
        let mut ring = match Ring::new(4) {
            Err(Errno::ENOSYS | Errno::EPERM) => return,
            made => made.unwrap(),
        };
        let (reading, writing) = pipe().unwrap();
        write(&writing, b"hello").unwrap();
        let good = ring.read(&reading, 100).unwrap();
        let bad = ring.read(&writing, 100).unwrap();
        assert_eq!(ring.enter(2), Ok(2));
        let all = ring.completions();
        let of = |request| all.iter().find(|one| one.request == request).unwrap();
        assert_eq!(of(good).result, Ok(5));
        assert_eq!(of(good).buffer[..5], *b"hello");
        assert_eq!(of(bad).result, Err(Errno::EBADF));
    }

    #[test]
    fn more_requests_than_there_is_room_for_are_refused() {
        let mut ring = match Ring::new(1) {
            Err(Errno::ENOSYS | Errno::EPERM) => return,
            made => made.unwrap(),
        };
        let (reading, writing) = pipe().unwrap();
        ring.write(&writing, b"one").unwrap();
        assert_eq!(ring.write(&writing, b"two"), Err(Errno::EBUSY));
        assert_eq!(ring.enter(1), Ok(1));
        assert_eq!(ring.completions().len(), 1);
        assert_eq!(read(&reading, &mut [0; 10]), Ok(3));
    }
}
