//! An eventfd that is looked at before it is written to: eventfd(2), readlink(2), write(2), unix(7).
//!
//! Wire: the byte x with the eventfd; then no bytes but a number: a write adds, a read takes all.
//! Cargo.toml: nix = { version = "0.31", features = ["event", "fs", "socket", "uio"] }

use std::io::{IoSlice, IoSliceMut, stdout};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::readlink;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::*;
use nix::unistd::{close, read, unlink, write};

fn waiter(name: &str, total: u64) -> nix::Result<()> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?; // a counter of 0, without a name
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects notifiers
    let notifier = accept(listener.as_raw_fd())?; // sleeps until a notifier comes
    let (bytes, descriptors) = ([IoSlice::new(b"x")], [event.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&descriptors)];
    // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the notifier has left.
    sendmsg::<()>(notifier, &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    let mut taken = 0;
    while taken < total {
        let mut number = [0; 8]; // EINVAL with room for fewer
        read(&event, &mut number)?; // sleeps while the counter is 0; takes all of it
        let number = u64::from_ne_bytes(number);
        write(stdout(), format!("took {number}\n").as_bytes())?;
        taken = number.saturating_add(taken);
    }
    close(notifier)?; // the connection stayed open: its end is the only one that is seen
    unlink(name)
}

fn notifier(name: &str, numbers: &[u64]) -> Result<(), Box<dyn std::error::Error>> {
    let sock =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    connect(sock.as_raw_fd(), &UnixAddr::new(name)?)?; // sleeps while the backlog is full
    let (mut byte, mut room) = ([0], nix::cmsg_space!(i32));
    let mut bytes = [IoSliceMut::new(&mut byte)];
    // MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor.
    let (fd, flags) = (sock.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
    let got = recvmsg::<()>(fd, &mut bytes, Some(&mut room), flags)?; // sleeps until x comes
    let Some(ControlMessageOwned::ScmRights(rights)) = got.cmsgs()?.next() else {
        return Err(Errno::EBADMSG.into()); // the waiter has left, or sent no descriptor
    };
    // SAFETY: recvmsg has just made it. Another number than the waiter's, of the same counter.
    let event = unsafe { OwnedFd::from_raw_fd(rights[0]) };
    // The kernel says what it is: a link to the name of its kind.
    let kind = readlink(format!("/proc/self/fd/{}", event.as_raw_fd()).as_str())?;
    if kind != "anon_inode:[eventfd]" {
        return Err(format!("what was passed is no eventfd, but {}", kind.display()).into());
    }
    for number in numbers {
        write(&event, &number.to_ne_bytes())?; // sleeps while the sum is over 2^64 - 2
    }
    Ok(()) // the end of a process that has the eventfd open is no end of file
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, total] if role == "waiter" => waiter(name, total.parse()?)?,
        [role, name, numbers @ ..] if role == "notifier" => {
            let numbers: Result<Vec<u64>, _> =
                numbers.iter().map(|number| number.parse()).collect();
            notifier(name, &numbers?)?
        }
        _ => {
            eprintln!(
                "usage: eventfd waiter PLACE TOTAL | notifier PLACE NUMBER..."
            );
            std::process::exit(2)
        }
    }
    Ok(())
}
