//! Mounts that only this process and its children see: unshare(2), mount(2).

use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use nix::errno::Errno;

/// `unshare(CLONE_NEWNS)`: from now on this process has mounts of its own. A user who may
/// not do that gets a user namespace too, by CLONE_NEWUSER, and is root in it.
///
/// # Errors
/// EPERM where neither is allowed; ENOSPC at the limit of namespaces.
pub fn unshare_mounts() -> nix::Result<()> {
    if unshare(libc::CLONE_NEWNS).is_err() {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)?;
        for (file, text) in [
            ("uid_map", format!("0 {uid} 1")),
            ("setgroups", "deny".to_owned()),
            ("gid_map", format!("0 {gid} 1")),
        ] {
            std::fs::write(format!("/proc/self/{file}"), text)
                .map_err(|_| Errno::EPERM)?;
        }
    }
    let private = libc::MS_REC | libc::MS_PRIVATE;
    mount(c"none", c"/", private, None)
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
