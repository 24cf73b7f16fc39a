//! A child for each client: fork(2) copies the whole server, and the copy serves one client and
//! ends. So no client waits for another, and a child that crashes ends only its own client's
//! connection. The parent has two new duties: to close the sockets that the child has, and to
//! ask how each child has ended, or that child stays a zombie.

use std::os::fd::OwnedFd;

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Whence, getpid, getppid, lseek, write};

use super::super::listener::Listener;
use super::children::{Children, NO_MEMORY, Reap};
use os::memory;
use os::signal::retry_on_intr;
use os::spawn::{Forked, fork};
use wire::dialogue::{Connection, Ended, Server, answer};
use wire::errors::{ChildReported, line};
use wire::fork::as_child;
use wire::meet::byte;
use wire::payload::{Payload, Printed};
use wire::say;
use wire::shortage::Shortage;

// ANCHOR: fork
/// Serves each client by a child of its own.
///
/// # Errors
/// As accept(2) or fork(2); a child that could not print.
pub fn serve(mut listener: Listener, server: &Server, reap: Reap) -> Result<()> {
    let mut stdout = SharedStdout::new(server)?;
    let mut children = Children::new(reap)?;
    let mut shortage = Shortage::default();
    let parent = getpid();
    for number in 1..=server.count.unwrap_or(u64::MAX) {
        let socket = loop {
            if children.wait_for_connection(&listener, &stdout.broken)?
                == Printed::NoReader
            {
                return Ok(());
            }
            if let Some(socket) = listener.try_accept()? {
                break socket;
            }
        };
        let name = format!("client {number}");
        // Both processes have both sockets now, and each closes the socket that it does not
        // need. A connection ends once no process has it open.
        let child = loop {
            match fork() {
                Ok(Forked::Child) => as_child("child", || {
                    drop(listener); // or the port would be taken for as long as we live
                    drop(children);
                    memory::ends_with(NO_MEMORY);
                    die_with(parent)?;
                    serve_one(socket, server, &name, &mut stdout)
                        .map_err(|error| stdout.failed(&error))
                }),
                Ok(Forked::Parent(child)) => break child,
                // At RLIMIT_NPROC the client waits until some process has ended.
                Err(error @ (Errno::EAGAIN | Errno::ENOMEM)) => {
                    shortage.rest(error, "fork", children.way_out());
                    children.look_after()?;
                }
                Err(error) => return Err(error).context("fork"),
            }
        };
        shortage.is_over();
        say!("fork() = {child}: that child serves {name}; close() of our copy");
        children.add(child, number);
        drop(socket); // or its client would never see the end of the stream
    }
    drop(listener); // a later client is refused, and does not wait in vain
    children.wait_for_all(&stdout.broken)
}

/// The child: serves one client to its end.
fn serve_one(
    socket: OwnedFd,
    server: &Server,
    name: &str,
    stdout: &mut SharedStdout,
) -> Result<()> {
    let connection = Connection::new(socket, server, name);
    match answer(connection, |message| stdout.print(message))? {
        Ended::ClientDone => say!("{name}: close(), and exit()"),
        Ended::ClientLost(why) => say!("{name} is lost: {}", line(&why)),
        Ended::NoReader => {} // the parent sees it, too
    }
    Ok(())
}

/// prctl(PR_SET_PDEATHSIG): however the parent ends, this child ends with it. SIGKILL, since a
/// child has nothing to clear away, and other signals may be ignored.
fn die_with(parent: Pid) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    // If the parent had ended before that call, no signal would ever come.
    if getppid() != parent {
        std::process::exit(0);
    }
    Ok(())
}
// ANCHOR_END: fork

// ANCHOR: stdout
/// Standard output, for one child at a time.
///
/// A long message takes more than one write(2), and write(2) to a pipe is in one piece
/// only up to PIPE_BUF, 4096 bytes (pipe(7)). So the messages of two children could mix.
#[derive(Debug)]
struct SharedStdout {
    payload: Payload,
    /// A file that all children have open, to lock it. The kernel frees the lock of a child that
    /// is killed.
    turn: OwnedFd,
    /// Readable once a child could not print: an eventfd(2), which all have open.
    broken: OwnedFd,
}

impl SharedStdout {
    fn new(server: &Server) -> Result<SharedStdout> {
        let payload = server.payload()?;
        let turn =
            memfd_create("turn", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
        let broken = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)
            .context("eventfd")?
            .into();
        Ok(SharedStdout { payload, turn, broken })
    }

    /// The child says why it could not print, and then tells the parent that it has: the
    /// parent may end at once, and this child with it.
    fn failed(&self, error: &Error) -> Error {
        say::complain(error);
        let told = write(&self.broken, &1_u64.to_ne_bytes());
        told.map_or_else(Error::new, |_| ChildReported.into())
    }

    /// Prints one whole message.
    fn print(&mut self, message: &[u8]) -> Result<Printed> {
        // Locks of fcntl(2) are a process's own, where one of flock(2) would belong to the
        // open file, which the children share: it would keep no child out.
        let lock = |kind| libc::flock { l_len: 0, ..byte(kind, 0) };
        let take = lock(libc::F_WRLCK);
        retry_on_intr(|| fcntl(&self.turn, FcntlArg::F_SETLKW(&take)))
            .context("fcntl(F_SETLKW)")?;
        // The offset belongs to the open file, too: here it counts the messages of all children.
        let number = lseek(&self.turn, 1, Whence::SeekCur).context("lseek")?;
        self.payload.next_is(number.unsigned_abs());
        let printed = self.payload.print(message);
        // Freeing the whole file needs no memory. If it failed all the same, the others would
        // wait until this child ends.
        let free = lock(libc::F_UNLCK);
        let _ = retry_on_intr(|| fcntl(&self.turn, FcntlArg::F_SETLK(&free)));
        printed
    }
}
// ANCHOR_END: stdout
