//! Changing and removing System V message queues: msgctl(2); making keys: ftok(3).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use libc::{c_int, c_long};
use nix::errno::Errno;

use super::sysv::msgstat;

/// `msgctl(id, IPC_SET, { msg_qbytes, … })`: how many bytes the queue may hold from now
/// on, and how many messages; all else stays as it is.
///
/// # Errors
/// EPERM over msgmnb without CAP_SYS_RESOURCE, or when it is another user's; EIDRM, EINVAL
/// when there is no such queue (any more).
pub fn set_qbytes(id: i32, bytes: u64) -> nix::Result<()> {
    let mut now = msgstat(id)?;
    now.msg_qbytes = bytes;
    // SAFETY: a whole msqid_ds, which the kernel only reads.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_SET, &mut now) }).map(drop)
}

/// `msgctl(id, IPC_RMID, NULL)`: removes the queue, with its messages, now.
///
/// # Errors
/// EPERM when it is another user's; EIDRM, EINVAL when there is none (any more).
pub fn remove(id: i32) -> nix::Result<()> {
    // SAFETY: IPC_RMID ignores the pointer.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_RMID, null_mut()) }).map(drop)
}

/// `msgsnd(id, memory, msgsz, flags)`: a message's type is the first long in `memory`, and
/// its text the `msgsz` bytes that follow, whatever they are.
///
/// # Errors
/// As for [`msgsnd`](super::sysv::msgsnd).
///
/// # Panics
/// When `memory` ends before the text does.
pub fn msgsnd_memory(
    id: i32,
    memory: &[c_long],
    msgsz: usize,
    flags: c_int,
) -> nix::Result<()> {
    let text = size_of_val(memory).checked_sub(size_of::<c_long>());
    assert!(text.is_some_and(|text| msgsz <= text), "over the end");
    // SAFETY: the type and `msgsz` bytes of text are within `memory`, as just checked.
    let sent = unsafe { libc::msgsnd(id, memory.as_ptr().cast(), msgsz, flags) };
    Errno::result(sent).map(drop)
}

/// `ftok(path, project)`: a key made from the low bits of the file's inode number, of its
/// device's number, and of `project`.
///
/// # Errors
/// As stat(2).
pub fn ftok(path: &Path, project: c_int) -> nix::Result<i32> {
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a valid C string.
    Errno::result(unsafe { libc::ftok(path.as_ptr(), project) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_reaches_over_the_end_of_its_memory() {
        for (memory, msgsz) in [(&[1, 2][..], 9), (&[1, 2], usize::MAX), (&[], 0)] {
            let send = || super::msgsnd_memory(-1, memory, msgsz, 0);
            assert!(std::panic::catch_unwind(send).is_err(), "{msgsz}");
        }
        assert_eq!(
            super::msgsnd_memory(-1, &[1], 0, 0),
            Err(nix::errno::Errno::EINVAL)
        );
    }
}
