//! Mounts that only this process and its children see, and whole surroundings of their own:
//! unshare(2), mount(2), namespaces(7).

use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid, pipe2};
use std::os::fd::AsFd;

use super::spawn::{Forked, fork};

/// `unshare(CLONE_NEWNS)`: from now on this process has mounts of its own. A user who may
/// not do that gets a user namespace too, by CLONE_NEWUSER, and is root in it.
///
/// # Errors
/// EPERM where neither is allowed; ENOSPC at the limit of namespaces.
pub fn unshare_mounts() -> nix::Result<()> {
    if unshare(libc::CLONE_NEWNS).is_err() {
        unshare_as(libc::CLONE_NEWNS, 0, 0)?;
    }
    let private = libc::MS_REC | libc::MS_PRIVATE;
    mount(c"none", c"/", private, None)
}

/// As `unshare(flags | CLONE_NEWUSER)`, with this user as `uid` and `gid` in the new namespace.
fn unshare_as(flags: c_int, uid: u32, gid: u32) -> nix::Result<()> {
    let (outer_uid, outer_gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(flags | libc::CLONE_NEWUSER)?;
    for (file, text) in [
        ("uid_map", format!("{uid} {outer_uid} 1")),
        ("setgroups", "deny".to_owned()),
        ("gid_map", format!("{gid} {outer_gid} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|_| Errno::EPERM)?;
    }
    Ok(())
}

/// `unshare(CLONE_NEWNET)`: from now on this process has a network of its own, with `lo` alone,
/// which carries packets of so many bytes. A user who may not do that gets a user namespace too,
/// by CLONE_NEWUSER, and is root in it: raw sockets are allowed.
///
/// # Errors
/// EPERM where neither is allowed; ENOSPC at the limit of namespaces.
pub fn unshare_network(mtu: i32) -> nix::Result<()> {
    if unshare(libc::CLONE_NEWNET).is_err() {
        unshare_as(libc::CLONE_NEWNET, 0, 0)?;
    }
    bring_up_loopback()?;
    let mut request = loopback();
    request.ifr_ifru.ifru_mtu = mtu;
    change_loopback(libc::SIOCSIFMTU as _, &request)
}

/// What [`go_apart`] came to: it returns twice where it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// In a child with namespaces of its own.
    Inside,
    /// In this process: the child has ended with this exit status.
    Ended(u8),
    /// In this process, and there is no child: namespaces are not allowed here.
    Refused,
}

/// The exit status of a child that was refused its namespaces, which no program of ours has.
const REFUSED: u8 = 77;

/// Goes on in a child that is alone with its children: it has processes, System V objects, POSIX
/// queues, shared memory, mounts and a network (with `lo` alone) of its own, by the namespaces
/// user, IPC, PID, mount and network. The kernel ends all of its processes with it, and nothing
/// of what they leave is seen outside. This process waits for it.
///
/// # Errors
/// EAGAIN at the limit of processes.
///
/// # Panics
/// When the process has a second thread, as [`fork`].
pub fn go_apart() -> nix::Result<Apart> {
    let outer = getpid();
    match fork()? {
        Forked::Parent(child) => Ok(match ended(child) {
            REFUSED => Apart::Refused,
            status => Apart::Ended(status),
        }),
        Forked::Child => {
            let dies = set_pdeathsig(Signal::SIGKILL).is_ok() && getppid() == outer;
            let inside = dies && apart().is_ok();
            if !inside {
                leave(REFUSED);
            }
            Ok(Apart::Inside)
        }
    }
}

/// The steps of [`go_apart`] in the child. Only its own child, the first process of the new
/// namespace, returns well.
fn apart() -> nix::Result<()> {
    let flags = libc::CLONE_NEWIPC
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET;
    if unshare(flags).is_err() {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        unshare_as(flags, uid.as_raw(), gid.as_raw())?;
    }
    mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE, None)?;
    bring_up_loopback()?;
    let (heard, lives) = pipe2(OFlag::O_CLOEXEC)?;
    if let Forked::Parent(first) = fork()? {
        leave(ended(first));
    }
    set_pdeathsig(Signal::SIGKILL)?;
    // A parent that had ended before the prctl sends no signal; it is in another namespace, so
    // that getppid does not tell.
    drop(lives);
    let mut ends = [PollFd::new(heard.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ends, PollTimeout::ZERO)? > 0 {
        return Err(Errno::ESRCH);
    }
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(c"proc", c"/proc", flags, None)?;
    mount_tmpfs(Path::new("/dev/shm"), 256 << 20)?;
    // It need not be mounted for the calls of mq_overview(7).
    let _ = mount(c"mqueue", c"/dev/mqueue", flags, None);
    Ok(())
}

/// Waits for a child; its exit status as a shell would have it.
fn ended(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return status as u8,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as u8,
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return REFUSED,
        }
    }
}

/// Ends this process at once: what its parent has registered for its end is the parent's.
fn leave(status: u8) -> ! {
    // SAFETY: _exit touches no memory.
    unsafe { libc::_exit(status.into()) }
}

/// `ioctl(SIOCSIFFLAGS)` for `lo`, which is down in a new network namespace.
fn bring_up_loopback() -> nix::Result<()> {
    let mut request = loopback();
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    change_loopback(libc::SIOCSIFFLAGS as _, &request)
}

/// A request that names `lo`: netdevice(7).
fn loopback() -> libc::ifreq {
    // SAFETY: plain numbers, valid when they are all zeros.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as _;
    request.ifr_name[1] = b'o' as _;
    request
}

fn change_loopback(what: libc::Ioctl, request: &libc::ifreq) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: the ioctl reads the name, and the flags or the MTU.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw const *request) };
    Errno::result(done).map(drop)
}

fn unshare(flags: c_int) -> nix::Result<()> {
    // SAFETY: takes plain numbers; descriptors and memory stay as they are.
    Errno::result(unsafe { libc::unshare(flags) }).map(drop)
}

/// `mount("tmpfs", directory, "tmpfs", 0, "size=…")`: a file system in memory that holds
/// so many bytes. It goes with the last process that sees it.
///
/// # Errors
/// EPERM without mounts of our own; ENOENT.
pub fn mount_tmpfs(directory: &Path, size: usize) -> nix::Result<()> {
    let directory = CString::new(directory.as_os_str().as_bytes());
    let options = CString::new(format!("size={size}")).map_err(|_| Errno::EINVAL)?;
    let directory = directory.map_err(|_| Errno::EINVAL)?;
    mount(c"tmpfs", &directory, 0, Some(&options))
}

fn mount(
    what: &CStr,
    on: &CStr,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> nix::Result<()> {
    let (kind, options) =
        (what.as_ptr(), options.map_or(null(), CStr::as_ptr).cast());
    // SAFETY: valid C strings, or NULL where none is needed.
    let done = unsafe { libc::mount(kind, on.as_ptr(), kind, flags, options) };
    Errno::result(done).map(drop)
}
