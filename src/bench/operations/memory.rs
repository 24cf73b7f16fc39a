//! Shared memory: made, mapped, and undone. Each touches its first page once.

use std::fs::File;
use std::hint::black_box;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{ftruncate, getpid};
use rustix::mm::{MapFlags, MsyncFlags};

use super::operation::{Batch, Resources, each};
use os::mmap::Pages;
use os::shared::{Shared, mmap};
use os::sysv_segment;

const LENGTH: usize = 4096;

/// Copies out of this process's own memory: the kernel looks its pages up as it would another's.
pub(super) fn copied<const BYTES: usize>(_: &Resources) -> Result<Batch> {
    let (pid, from, mut to) = (getpid(), vec![1_u8; BYTES], vec![0_u8; BYTES]);
    Ok(each(move || {
        let base = from.as_ptr().expose_provenance();
        let there = [RemoteIoVec { base, len: BYTES }];
        let copied = process_vm_readv(pid, &mut [IoSliceMut::new(&mut to)], &there);
        ensure!(copied.context("process_vm_readv")? == BYTES, "a short copy");
        Ok(())
    }))
}

/// Copies 32 KiB out of memory that is shared: no call.
pub(super) fn copied_shared(_: &Resources) -> Result<Batch> {
    const BYTES: usize = 32_768;
    let fd = memfd_create("bench", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
    ftruncate(&fd, BYTES as i64).context("ftruncate")?;
    let (from, mut to) = (mmap(&fd, BYTES).context("mmap")?, vec![0; BYTES]);
    from.write(0, &[1; BYTES]);
    Ok(each(move || {
        from.read(0, &mut to);
        black_box(&to);
        Ok(())
    }))
}

fn map(fd: impl AsFd) -> Result<()> {
    ftruncate(&fd, LENGTH as i64).context("ftruncate")?;
    touch(&mmap(&fd, LENGTH).context("mmap")?);
    Ok(())
}

fn touch(memory: &Shared) {
    memory.u32(0).store(1, Relaxed);
}

pub(super) fn shm(resources: &Resources) -> Result<Batch> {
    let name = resources.name.clone();
    Ok(each(move || {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let fd = shm_open(name.as_str(), flags, mode).context("shm_open")?;
        map(&fd)?;
        shm_unlink(name.as_str()).context("shm_unlink")
    }))
}

pub(super) fn memfd(_: &Resources) -> Result<Batch> {
    Ok(each(|| {
        let fd =
            memfd_create("bench", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
        map(&fd)
    }))
}

pub(super) fn sysv(_: &Resources) -> Result<Batch> {
    Ok(each(|| {
        let flags = libc::IPC_CREAT | 0o600;
        let private = libc::IPC_PRIVATE;
        let id = sysv_segment::shmget(private, LENGTH, flags).context("shmget")?;
        let memory = sysv_segment::shmat(id);
        // Removed at once: it goes when it is detached, even by a kill -9.
        sysv_segment::shmctl_rmid(id).context("shmctl(IPC_RMID)")?;
        touch(&memory.context("shmat")?);
        Ok(())
    }))
}

pub(super) fn file(resources: &Resources) -> Result<Batch> {
    let file = page(resources, "mapped")?;
    Ok(each(move || {
        touch(&mmap(&file, LENGTH).context("mmap")?);
        Ok(())
    }))
}

pub(super) fn msync(resources: &Resources) -> Result<Batch> {
    let file = page(resources, "synced")?;
    let pages =
        Pages::map(Some(file.as_fd()), LENGTH, MapFlags::SHARED).context("mmap")?;
    let mut byte = 0_u8;
    Ok(each(move || {
        byte = byte.wrapping_add(1);
        pages.store(0, byte); // or there would be nothing to write
        pages.msync(MsyncFlags::SYNC).context("msync")
    }))
}

fn page(resources: &Resources, name: &str) -> Result<File> {
    let file = File::create_new(resources.path(name)).context("open")?;
    file.set_len(LENGTH as u64).context("ftruncate")?;
    Ok(file)
}
