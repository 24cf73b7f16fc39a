//! The things that outlive a process, and how each of them goes.
//!
//! What a signal handler calls here is async-signal-safe (signal-safety(7)): it takes an
//! object in a form that was made beforehand, allocates nothing and frees nothing.

use std::ffi::{CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use super::c_string;
use crate::os::{semaphore, sysv_semaphore};

/// A thing with a name that outlives the process that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A name in the file system: a file, a FIFO, a socket. Goes by unlink(2).
    Path(PathBuf),
    /// A file of messages. Goes by unlink(2), unless there is something in it.
    File(PathBuf),
    /// A POSIX message queue, `/name`. Goes by mq_unlink(3), unless messages wait.
    Queue(String),
    /// A POSIX shared memory object, `/name`. Goes by shm_unlink(3).
    Segment(String),
    /// A System V message queue's identifier. Goes by msgctl(2), unless messages wait.
    SysvQueue(i32),
    /// A System V shared memory identifier. Goes by shmctl(2).
    SysvSegment(i32),
    /// A semaphore that is a file, with the value that it was made with. Goes by
    /// unlink(2), unless its value is above that: posts that nobody has waited for.
    Semaphore(PathBuf, u32),
    /// A System V semaphore's identifier, with the value that it was made with. Goes by
    /// semctl(2), unless its value is above that.
    SysvSemaphore(i32, u32),
}

/// An [`Object`] in the form that a signal handler can use: nothing to allocate.
pub(super) enum Raw {
    Path(CString),
    File(CString),
    Queue(CString),
    SysvQueue(i32),
    SysvSegment(i32),
    Semaphore(CString, u32),
    SysvSemaphore(i32, u32),
}

/// What may be lost when a queue is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loses {
    /// No message: a queue in which one waits stays.
    Nothing,
    /// An empty message that is the only one: a goodbye that nobody waits for.
    Goodbye,
    /// Whatever waits.
    All,
}

/// Removes `object` now, with its messages if it is a queue, its posts if a semaphore.
pub fn remove_now(object: &Object) {
    remove(&Raw::from(object), Loses::All);
}

impl From<&Object> for Raw {
    fn from(object: &Object) -> Raw {
        match object {
            Object::Path(path) => Raw::Path(c_string(path.as_os_str().as_bytes())),
            Object::File(path) => Raw::File(c_string(path.as_os_str().as_bytes())),
            // The system call takes the name without the slash of the C function.
            Object::Queue(name) => {
                Raw::Queue(c_string(name.trim_start_matches('/').as_bytes()))
            }
            Object::Segment(name) => {
                // shm_unlink(3) is unlink(2) below this directory.
                Raw::Path(c_string(segment_path(name).as_os_str().as_bytes()))
            }
            Object::SysvQueue(id) => Raw::SysvQueue(*id),
            Object::SysvSegment(id) => Raw::SysvSegment(*id),
            Object::Semaphore(path, made_with) => {
                Raw::Semaphore(c_string(path.as_os_str().as_bytes()), *made_with)
            }
            Object::SysvSemaphore(id, made_with) => {
                Raw::SysvSemaphore(*id, *made_with)
            }
        }
    }
}

/// A segment's mode bit once it is to go with the last that has it attached (shmctl(2)).
const SHM_DEST: libc::c_ushort = 0o1000;

/// Whether the object may still be there. Async-signal-safe.
pub(super) fn exists(object: &Raw) -> bool {
    match object {
        // SAFETY: a valid C string.
        Raw::Path(path) | Raw::File(path) | Raw::Semaphore(path, _) => unsafe {
            libc::access(path.as_ptr(), libc::F_OK) == 0
        },
        Raw::Queue(_) | Raw::SysvQueue(_) => true,
        // SAFETY: an out-parameter of the right type. A removed segment stays known until
        // the last process detaches it.
        Raw::SysvSegment(id) => unsafe {
            let mut now: libc::shmid_ds = std::mem::zeroed();
            let known = libc::shmctl(*id, libc::IPC_STAT, &mut now) == 0;
            known && now.shm_perm.mode & SHM_DEST == 0
        },
        Raw::SysvSemaphore(id, _) => sysv_semaphore::semctl_stat(*id).is_ok(),
    }
}

/// Whether the object is gone; a queue or file in which messages wait stays, but for
/// those that it `loses`, and so does a semaphore with posts. Async-signal-safe.
pub(super) fn remove(object: &Raw, loses: Loses) -> bool {
    match object {
        Raw::Path(path) => {
            // SAFETY: a valid C string.
            unsafe { libc::unlink(path.as_ptr()) };
            true
        }
        // SAFETY: a valid C string, and an out-parameter of the right type.
        Raw::File(path) => unsafe {
            let mut about: libc::stat = std::mem::zeroed();
            let known = libc::lstat(path.as_ptr(), &mut about) == 0;
            if known && about.st_size > 0 && loses != Loses::All {
                return false;
            }
            libc::unlink(path.as_ptr());
            true
        },
        // SAFETY: a valid C string, and an out-parameter of the right type.
        Raw::Queue(name) => unsafe {
            // Unlike the C function, the call reads its attributes even without O_CREAT.
            let none: *const libc::mq_attr = ptr::null();
            let fd = libc::syscall(
                libc::SYS_mq_open,
                name.as_ptr(),
                libc::O_RDONLY,
                0,
                none,
            );
            if fd >= 0 {
                let mut now: libc::mq_attr = std::mem::zeroed();
                libc::syscall(libc::SYS_mq_getsetattr, fd, none, &raw mut now);
                // The first line of a queue's file is `QSIZE:`, its messages' bytes.
                let mut line = [0_u8; 8];
                libc::read(fd as c_int, line.as_mut_ptr().cast(), line.len());
                libc::close(fd as c_int);
                let bytes = u64::from(line != *b"QSIZE:0 ");
                if !loses.allow(now.mq_curmsgs as u64, bytes) {
                    return false;
                }
            }
            libc::syscall(libc::SYS_mq_unlink, name.as_ptr());
            true
        },
        // SAFETY: an out-parameter of the right type; IPC_RMID takes none.
        Raw::SysvQueue(id) => unsafe {
            let mut now: libc::msqid_ds = std::mem::zeroed();
            let known = libc::msgctl(*id, libc::IPC_STAT, &mut now) == 0;
            if known && !loses.allow(now.msg_qnum, now.__msg_cbytes) {
                return false;
            }
            libc::msgctl(*id, libc::IPC_RMID, ptr::null_mut());
            true
        },
        Raw::SysvSegment(id) => {
            // SAFETY: IPC_RMID takes no argument.
            unsafe { libc::shmctl(*id, libc::IPC_RMID, ptr::null_mut()) };
            true
        }
        Raw::Semaphore(path, made_with) => {
            let posts = semaphore::value_in_file(path).saturating_sub(*made_with);
            if posts > 0 && loses != Loses::All {
                return false;
            }
            // SAFETY: a valid C string.
            unsafe { libc::unlink(path.as_ptr()) };
            true
        }
        Raw::SysvSemaphore(id, made_with) => {
            let value = sysv_semaphore::semctl_getval(*id).unwrap_or(0);
            if value > *made_with && loses != Loses::All {
                return false;
            }
            // SAFETY: IPC_RMID takes no argument.
            unsafe { libc::semctl(*id, 0, libc::IPC_RMID) };
            true
        }
    }
}

impl Raw {
    /// Whether the kernel may have to undo at our end what we did to it: SEM_UNDO.
    pub(super) fn is_undone(&self) -> bool {
        matches!(self, Raw::SysvSemaphore(..))
    }
}

impl Loses {
    /// Whether a queue may go in which `messages` of `bytes` in all wait.
    fn allow(self, messages: u64, bytes: u64) -> bool {
        match self {
            Loses::Nothing => messages == 0,
            Loses::Goodbye => messages == 0 || (messages, bytes) == (1, 0),
            Loses::All => true,
        }
    }
}

/// The file behind a POSIX shared memory object.
pub fn segment_path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(name.trim_start_matches('/'))
}

/// The file behind a POSIX semaphore (sem_overview(7)).
pub fn semaphore_path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(format!("sem.{}", name.trim_start_matches('/')))
}
