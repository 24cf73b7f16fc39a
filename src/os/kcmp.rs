//! Whether two descriptors of two processes lead to one open file description.

use nix::errno::Errno;
use nix::unistd::Pid;

/// `kcmp(one, other, KCMP_FILE, fd_of_one, fd_of_other)`: whether both are one open file
/// description: a duplicate, an inherited or a passed descriptor.
///
/// # Errors
/// ENOSYS in a kernel without it; EPERM for a process that we may not look into; EBADF, ESRCH.
pub fn is_same_file(one: (Pid, i32), other: (Pid, i32)) -> nix::Result<bool> {
    const KCMP_FILE: libc::c_int = 0;
    // SAFETY: five plain numbers.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            one.0.as_raw(),
            other.0.as_raw(),
            KCMP_FILE,
            libc::c_ulong::from(one.1.unsigned_abs()),
            libc::c_ulong::from(other.1.unsigned_abs()),
        )
    };
    Errno::result(order).map(|order| order == 0)
}
