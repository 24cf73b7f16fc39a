//! Pipes and Unix sockets: bytes, descriptors, and what sock_diag(7) tells of them.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg,
};
use nix::unistd::pipe2;

use super::runtime::in_a_child;
use crate::answer::Answer;
use crate::probe::Probe;
use os::sock_diag::{ask, unix_request};
use wire::dirs;
use wire::say::grouped;

/// A pipe, with the capacity that a new one has.
pub static PIPE: Probe = Probe {
    name: "pipe",
    chapters: &["pipe", "spawn"],
    what: "a pipe from a child (write, read, end of file, its capacity)",
    loses: "pipe has no link; a small capacity changes what its experiments show",
    necessary: true,
    experiments: &[],
    run: |_| {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let holds =
            fcntl(&writing, FcntlArg::F_GETPIPE_SZ).context("F_GETPIPE_SZ")?;
        let mut writing = File::from(writing);
        ensure!(
            in_a_child(|| Ok(writing.write_all(b"ping")?))?,
            "the child could not write"
        );
        drop(writing);
        let mut text = Vec::new();
        File::from(reading).read_to_end(&mut text).context("read")?;
        ensure!(text == b"ping", "other bytes came out");
        let found =
            format!("4 bytes, then end of file; it holds {}", grouped(holds as u64));
        Ok(match holds {
            65_536.. => Answer::ok(found),
            _ => Answer::limited(found).cure(
                "close pipes, or raise fs.pipe-user-pages-soft: this user's pipes hold more \
                 pages than that",
            ),
        })
    },
};

/// A Unix socket at a path.
pub static UNIX: Probe = Probe {
    name: "unix-socket",
    chapters: &["unix", "eventfd", "fdpass", "multiplex", "dbus"],
    what: "a Unix socket in the runtime directory (bind, connect, accept, SO_PEERCRED)",
    loses: "unix, eventfd, fdpass, multiplex and dbus have no place to meet",
    necessary: true,
    experiments: &[],
    run: |place| {
        // This process is the probe's own. A name in its directory is short, and roles' are
        // shorter than a path in a directory of this run's own.
        std::env::set_current_dir(place.runtime_dir()?).context("chdir")?;
        let listener = UnixListener::bind("socket").context("bind a Unix socket")?;
        let mut client = UnixStream::connect("socket").context("connect")?;
        let (mut server, _) = listener.accept().context("accept")?;
        client.write_all(b"ping").context("write")?;
        let mut text = [0; 4];
        server.read_exact(&mut text).context("read")?;
        let peer = nix::sys::socket::getsockopt(
            &server,
            nix::sys::socket::sockopt::PeerCredentials,
        );
        let peer = peer.context("getsockopt SO_PEERCRED")?;
        ensure!(
            peer.pid() == nix::unistd::getpid().as_raw(),
            "SO_PEERCRED names another process"
        );
        // struct sockaddr_un has 108 bytes for a path, the last of which is NUL.
        let longest = dirs::runtime().join("multiplex").as_os_str().len();
        Ok(match longest {
            0..108 => Answer::ok("4 bytes went through it"),
            _ => Answer::limited(format!(
                "a socket there has a path of {longest} bytes; 107 are possible"
            ))
            .cure("set IPCLAB_DIR to a directory with a shorter path"),
        })
    },
};

/// SCM_MAX_FD: as many descriptors as one message may carry.
const MOST: usize = 253;

/// SCM_RIGHTS.
pub static DESCRIPTORS: Probe = Probe {
    name: "scm-rights",
    chapters: &["fdpass", "eventfd"],
    what: "253 descriptors in one message (SCM_RIGHTS)",
    loses: "fdpass passes descriptors; its experiments pass as many as one message may carry",
    necessary: true,
    experiments: &[],
    run: |_| {
        let (one, other) = UnixStream::pair().context("socketpair")?;
        pass(&one, &other, 1)?;
        if pass(&one, &other, MOST).is_ok() {
            return Ok(Answer::ok("253 arrived"));
        }
        Ok(Answer::limited("1 arrived, 253 at once did not").cure(
            "ulimit -n 300 raises RLIMIT_NOFILE, sysctl net.core.optmem_max the room of a message",
        ))
    },
};

fn pass(from: &UnixStream, to: &UnixStream, count: usize) -> Result<()> {
    let sent = vec![from.as_raw_fd(); count];
    let bytes = [IoSlice::new(b"x")];
    let rights = [ControlMessage::ScmRights(&sent)];
    let socket = from.as_raw_fd();
    sendmsg::<()>(socket, &bytes, &rights, MsgFlags::empty(), None)
        .context("sendmsg")?;
    let (mut byte, mut room) = ([0], nix::cmsg_space!([i32; MOST]));
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(to.as_raw_fd(), &mut bytes, Some(&mut room), flags)
        .context("recvmsg")?;
    let cut = got.flags.contains(MsgFlags::MSG_CTRUNC);
    // They are closed with this process.
    let arrived: usize = got
        .cmsgs()
        .context("recvmsg")?
        .map(|one| match one {
            ControlMessageOwned::ScmRights(fds) => fds.len(),
            _ => 0,
        })
        .sum();
    ensure!(!cut && arrived == count, "{arrived} of {count} descriptors arrived");
    Ok(())
}

/// sock_diag(7) of Unix sockets.
pub static UNIX_DIAG: Probe = Probe {
    name: "sock-diag-unix",
    chapters: &["unix"],
    what: "sock_diag(7) of Unix sockets (who is at the other end)",
    loses: "ss -x, and all that shows which two sockets are a pair",
    necessary: false,
    experiments: &[],
    run: |_| {
        let (_one, _other) = UnixStream::pair().context("socketpair")?;
        answered(ask(&unix_request(0, 0), libc::NLM_F_DUMP, |_| ()))
    },
};

/// What an answer of sock_diag means.
pub(super) fn answered(seen: nix::Result<()>) -> Result<Answer> {
    Ok(match seen {
        Ok(()) => Answer::ok("the kernel lists its sockets"),
        Err(Errno::ENOENT) => Answer::missing(
            "ENOENT: the kernel has no such module",
        )
        .cure("modprobe unix_diag inet_diag tcp_diag, as root, or another kernel"),
        Err(error) => Answer::missing(error.to_string()),
    })
}
