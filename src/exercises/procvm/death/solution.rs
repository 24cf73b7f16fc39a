//! Another process's memory, bare: process_vm_readv(2), process_vm_writev(2), pidfd_getfd(2).
//!
//! Wire: PLACE holds the target's pid, start (0: not told), the address of a table, 2 eventfds.
//! The table: a message's number, address (0: the end), length; number taken; reader's start, pid.
//! Not here: a process that dies, a pid that is another's by now, half a copy. See chapter procvm.
//! Cargo.toml: nix = { version = "0.31", features = ["event", "fs", "poll", "process", "uio"] }

use std::io::{IoSlice, IoSliceMut, stdout};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc::{PR_SET_PTRACER, SYS_pidfd_getfd, SYS_pidfd_open, prctl, syscall};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::stat::Mode;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::{Pid, getpid, read, unlink, write};

/// A message's number, address, length; and the reader's words: the number taken, its start, pid.
static TABLE: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

fn target(name: &str, messages: &[String]) -> nix::Result<()> {
    let (offered, taken) = (EventFd::new()?, EventFd::new()?);
    // SAFETY: no pointers. Any process of ours may read us; EINVAL, and no harm, without Yama.
    unsafe { prctl(PR_SET_PTRACER, -1_i64) };
    let (pid, table) = (getpid(), TABLE.as_ptr() as usize);
    let place =
        format!("{pid} 0 {table:x} {} {}\n", offered.as_raw_fd(), taken.as_raw_fd());
    let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    write(open(name, new, Mode::S_IRUSR | Mode::S_IWUSR)?, place.as_bytes())?;
    let end = (0, 0);
    let all = messages.iter().map(|text| (text.as_ptr() as usize, text.len()));
    for (number, (address, length)) in (1..).zip(all.chain([end])) {
        TABLE[1].store(address as u64, SeqCst);
        TABLE[2].store(length as u64, SeqCst);
        TABLE[0].store(number, SeqCst); // only now: the others belong to it
        offered.write(1)?; // wakes the reader
        while TABLE[3].load(SeqCst) != number {
            taken.read()?; // sleeps until the reader has taken it: the bytes are still ours alone
        }
    }
    unlink(name)
}

fn reader(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut place = [b' '; 128];
    read(open(name, OFlag::O_RDONLY, Mode::empty())?, &mut place)?; // ENOENT: no target yet
    let words: Vec<_> = str::from_utf8(&place)?.split_whitespace().collect();
    let &[pid, _, table, offered, taken] = &words[..] else {
        return Err("a strange file".into());
    };
    let (pid, table) =
        (Pid::from_raw(pid.parse()?), usize::from_str_radix(table, 16)?);
    // SAFETY: no pointers; each call makes a descriptor that is ours.
    let (process, offered, taken) = unsafe {
        let new = |fd| Errno::result(fd).map(|fd| OwnedFd::from_raw_fd(fd as i32));
        let target = new(syscall(SYS_pidfd_open, pid.as_raw(), 0))?;
        let get = |fd: i32| new(syscall(SYS_pidfd_getfd, target.as_raw_fd(), fd, 0));
        let (offered, taken) = (offered.parse()?, taken.parse()?);
        // EPERM, unless we may trace the target.
        let (offered, taken) = (get(offered)?, get(taken)?);
        (target, offered, taken)
    };
    let copy = |base, bytes: &mut [u8]| {
        let from = RemoteIoVec { base, len: bytes.len() };
        process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &[from])
    };
    loop {
        let mut words = [[0; 8]; 4];
        copy(table, words.as_flattened_mut())?;
        let [number, address, length, last] = words.map(usize::from_ne_bytes);
        if number == last {
            let watched = [process.as_fd(), offered.as_fd()];
            let mut fds = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            poll(&mut fds, PollTimeout::NONE)?; // sleeps until the target offers one, or ends
            if fds[0].any() == Some(true) {
                return Err("the target has ended before it said so".into());
            }
            read(&offered, &mut [0; 8])?;
            continue;
        }
        let mut text = vec![0; length];
        if address != 0 {
            copy(address, &mut text)?; // out of the target's memory into ours: one copy
            text.push(b'\n');
            write(stdout(), &text)?;
        }
        let ours = [number, 0, getpid().as_raw() as usize].map(usize::to_ne_bytes);
        let to = RemoteIoVec { base: table + 24, len: 24 };
        process_vm_writev(pid, &[IoSlice::new(ours.as_flattened())], &[to])?;
        write(&taken, &1_u64.to_ne_bytes())?; // wakes the target
        if address == 0 {
            return Ok(());
        }
    }
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, messages @ ..] if role == "target" => target(name, messages)?,
        [role, name] if role == "reader" => reader(name)?,
        _ => {
            eprintln!("usage: procvm target PLACE MESSAGE... | reader PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
