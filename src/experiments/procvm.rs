//! What process_vm_readv(2), process_vm_writev(2) and pidfd_getfd(2) do that people do not expect.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::row::Experiment;
use os::calls::{nix_errno, pidfd_open};

mod descriptors;
mod ends;
mod places;
mod reading;
mod rights;
mod writing;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    reading::ITS_OWN_COPY,
    reading::STOPPED,
    reading::TORN_COPY,
    places::HALF_THERE,
    writing::WAKES_NOBODY,
    reading::NEVER_TOUCHED,
    reading::PROBE_OWN,
    places::SECOND_OF_THREE,
    places::LESS_ROOM,
    places::TOO_MANY,
    writing::WHOSE_PAGE,
    writing::READ_ONLY,
    rights::NOT_DUMPABLE,
    rights::FEWER_CAPABILITIES,
    ends::HAS_ENDED,
    ends::AFTER_EXEC,
    ends::PID_REUSE,
    descriptors::ONE_OFFSET,
    descriptors::ITS_FLAG,
    descriptors::KEPT_OPEN,
];

// ANCHOR: shared
/// process_vm_readv(pid, &bytes, 1, &{address, bytes.len()}, 1, 0)
fn copy(pid: Pid, bytes: &mut [u8], address: usize) -> nix::Result<usize> {
    let there = RemoteIoVec { base: address, len: bytes.len() };
    process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &[there])
}

/// process_vm_writev(pid, &bytes, 1, &{address, bytes.len()}, 1, 0)
fn store(pid: Pid, bytes: &[u8], address: usize) -> nix::Result<usize> {
    let there = RemoteIoVec { base: address, len: bytes.len() };
    process_vm_writev(pid, &[IoSlice::new(bytes)], &[there])
}

/// The address of a value: after fork(2) the same in both processes.
fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value).expose_provenance()
}

/// pidfd_getfd(pidfd_open(pid, 0), number, 0)
fn fetch(pid: Pid, number: RawFd) -> Result<OwnedFd> {
    let pidfd = pidfd_open(pid.as_raw()).context("pidfd_open")?;
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
        .map_err(nix_errno)
        .context("pidfd_getfd")
}

/// Gives up all capabilities, as a process of a plain user has none.
fn drop_capabilities() -> Result<()> {
    let none = CapabilitySet::empty();
    let none =
        CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).context("capset")
}
// ANCHOR_END: shared
