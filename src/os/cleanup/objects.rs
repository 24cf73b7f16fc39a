//! The things that outlive a process, and how each of them goes.
//!
//! What a signal handler calls here is async-signal-safe (signal-safety(7)): it takes an
//! object in a form that was made beforehand, allocates nothing and frees nothing.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nix::errno::Errno;

use super::notes::{Noted, joined};
use crate::owner::Owner;
use crate::shm_file::{segment_path, value_in_file};
use crate::sysv_semaphore;

/// A thing with a name that outlives the process that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// unlink(2), unless its value is above that: posts that no process has waited for.
    Semaphore(PathBuf, u32),
    /// A System V semaphore's identifier, with the value that it was made with. Goes by
    /// semctl(2), unless its value is above that.
    SysvSemaphore(i32, u32),
}

/// An [`Object`] in the form that a signal handler can use: nothing to allocate.
#[derive(PartialEq, Eq)]
pub(super) enum Raw<'a> {
    Path(Cow<'a, CStr>),
    File(Cow<'a, CStr>),
    Queue(Cow<'a, CStr>),
    SysvQueue(i32),
    SysvSegment(i32),
    Semaphore(Cow<'a, CStr>, u32),
    SysvSemaphore(i32, u32),
}

/// What may be lost when a queue is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Discard {
    /// No message: a queue in which one waits stays.
    Nothing,
    /// An empty message that is the only one: a goodbye that no process waits for.
    Goodbye,
    /// Whatever waits.
    All,
}

/// What became of a thing that was to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is not there, or not there any more.
    Gone,
    /// Something waits in it.
    Waits,
    /// It is there still: why. EPERM where it is another user's.
    Failed(Errno),
}

/// Removes `object` now, with its messages if it is a queue, its posts if a semaphore.
///
/// # Errors
/// EPERM when it is another user's, which is left alone; else as the system call.
pub fn remove_now(object: &Object) -> nix::Result<()> {
    match remove(&Raw::from(object), Discard::All) {
        Removed::Failed(error) => Err(error),
        Removed::Gone | Removed::Waits => Ok(()),
    }
}

/// The owner of `object`.
///
/// # Errors
/// ENOENT when it is not there; EACCES when that is all that we may know.
pub fn owner_of(object: &Object) -> nix::Result<Owner> {
    owner(&Raw::from(object))
}

/// Whether `object` is there, and this user's own.
pub fn exists(object: &Object) -> bool {
    is_ours(&Raw::from(object))
}

impl From<&Object> for Raw<'static> {
    fn from(object: &Object) -> Raw<'static> {
        let of = |bytes: &[u8]| Cow::Owned(c_string(bytes));
        match object {
            Object::Path(path) => Raw::Path(of(path.as_os_str().as_bytes())),
            Object::File(path) => Raw::File(of(path.as_os_str().as_bytes())),
            // The system call takes the name without the slash of the C function.
            Object::Queue(name) => {
                Raw::Queue(of(name.trim_start_matches('/').as_bytes()))
            }
            // shm_unlink(3) is unlink(2) below this directory.
            Object::Segment(name) => {
                Raw::Path(of(segment_path(name).as_os_str().as_bytes()))
            }
            Object::SysvQueue(id) => Raw::SysvQueue(*id),
            Object::SysvSegment(id) => Raw::SysvSegment(*id),
            Object::Semaphore(path, made_with) => {
                Raw::Semaphore(of(path.as_os_str().as_bytes()), *made_with)
            }
            Object::SysvSemaphore(id, made_with) => {
                Raw::SysvSemaphore(*id, *made_with)
            }
        }
    }
}

impl<'a> Raw<'a> {
    /// What a line of a lock file in the directory `dir` names, with its name in `buffer`.
    pub(super) fn noted(
        noted: Noted<'_>,
        dir: &[u8],
        buffer: &'a mut [u8],
    ) -> Option<Raw<'a>> {
        let parts: [&[u8]; 3] = match noted {
            Noted::Path(name) | Noted::File(name) => [dir, b"/", name],
            Noted::Queue(name) => [name.strip_prefix(b"/")?, b"", b""],
            Noted::Segment(name) => [b"/dev/shm", name, b""],
            Noted::Semaphore(path, _) => [path, b"", b""],
            _ => [b"", b"", b""],
        };
        let name = joined(buffer, &parts).map(Cow::Borrowed)?;
        Some(match noted {
            Noted::Path(_) | Noted::Segment(_) => Raw::Path(name),
            Noted::File(_) => Raw::File(name),
            Noted::Queue(_) => Raw::Queue(name),
            Noted::SysvQueue(id) => Raw::SysvQueue(id),
            Noted::SysvSegment(id) => Raw::SysvSegment(id),
            Noted::Semaphore(_, value) => Raw::Semaphore(name, value),
            Noted::SysvSemaphore(id, value) => Raw::SysvSemaphore(id, value),
        })
    }
}

/// What the kernel notes of a System V object.
fn sysv(id: i32, perm: &libc::ipc_perm) -> Owner {
    Owner {
        uid: perm.uid,
        creator: perm.cuid,
        #[allow(clippy::useless_conversion, reason = "x86-64 has a u16 there")]
        mode: perm.mode.into(),
        which: (0, id as u64),
    }
}

/// The owner of the object. Async-signal-safe.
fn owner(object: &Raw<'_>) -> nix::Result<Owner> {
    match object {
        // SAFETY: a valid C string, and an out-parameter of the right type.
        Raw::Path(path) | Raw::File(path) | Raw::Semaphore(path, _) => unsafe {
            let mut about: libc::stat = std::mem::zeroed();
            Errno::result(libc::lstat(path.as_ptr(), &mut about))?;
            Ok(Owner::from(&about))
        },
        Raw::Queue(name) => open_queue(name).map(|(fd, owner)| {
            // SAFETY: the descriptor was just opened.
            unsafe { libc::close(fd) };
            owner
        }),
        // SAFETY: an out-parameter of the right type.
        Raw::SysvQueue(id) => unsafe {
            let mut now: libc::msqid_ds = std::mem::zeroed();
            Errno::result(libc::msgctl(*id, libc::IPC_STAT, &mut now))?;
            Ok(sysv(*id, &now.msg_perm))
        },
        // SAFETY: an out-parameter of the right type.
        Raw::SysvSegment(id) => unsafe {
            let mut now: libc::shmid_ds = std::mem::zeroed();
            Errno::result(libc::shmctl(*id, libc::IPC_STAT, &mut now))?;
            // SHM_DEST: a removed segment stays known until the last process detaches it.
            match now.shm_perm.mode & 0o1000 {
                0 => Ok(sysv(*id, &now.shm_perm)),
                _ => Err(Errno::EIDRM),
            }
        },
        Raw::SysvSemaphore(id, _) => {
            sysv_semaphore::semctl_stat(*id).map(|now| sysv(*id, &now.sem_perm))
        }
    }
}

/// Opens a queue to look at it, and returns its owner too. Async-signal-safe.
fn open_queue(name: &CStr) -> nix::Result<(c_int, Owner)> {
    // Unlike the C function, the call reads its attributes even without O_CREAT.
    let none: *const libc::mq_attr = ptr::null();
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a valid C string, and an out-parameter of the right type.
    unsafe {
        let fd = libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0, none);
        let fd = Errno::result(fd)? as c_int;
        let mut about: libc::stat = std::mem::zeroed();
        let looked = Errno::result(libc::fstat(fd, &mut about));
        looked.inspect_err(|_| {
            libc::close(fd);
        })?;
        Ok((fd, Owner::from(&about)))
    }
}

/// Whether the object is there, and this user's own. Async-signal-safe.
pub(super) fn is_ours(object: &Raw<'_>) -> bool {
    owner(object).is_ok_and(|owner| owner.is_us())
}

/// Removes the object, if it is this user's own; a queue or file in which messages wait
/// stays, but for those that it `loses`, and so does a semaphore with posts.
/// Async-signal-safe.
pub(super) fn remove(object: &Raw<'_>, loses: Discard) -> Removed {
    match owner(object) {
        Ok(owner) if owner.is_us() => {}
        Ok(_) => return Removed::Failed(Errno::EPERM),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EIDRM | Errno::EINVAL) => {
            return Removed::Gone;
        }
        Err(error) => return Removed::Failed(error),
    }
    if loses != Discard::All && waits(object, loses) {
        return Removed::Waits;
    }
    // SAFETY: valid C strings; IPC_RMID takes no argument.
    let done = unsafe {
        match object {
            Raw::Path(path) | Raw::File(path) | Raw::Semaphore(path, _) => {
                libc::unlink(path.as_ptr()).into()
            }
            Raw::Queue(name) => libc::syscall(libc::SYS_mq_unlink, name.as_ptr()),
            Raw::SysvQueue(id) => {
                libc::msgctl(*id, libc::IPC_RMID, ptr::null_mut()).into()
            }
            Raw::SysvSegment(id) => {
                libc::shmctl(*id, libc::IPC_RMID, ptr::null_mut()).into()
            }
            Raw::SysvSemaphore(id, _) => libc::semctl(*id, 0, libc::IPC_RMID).into(),
        }
    };
    match Errno::result(done) {
        Ok(_) | Err(Errno::ENOENT | Errno::EIDRM | Errno::EINVAL) => Removed::Gone,
        Err(error) => Removed::Failed(error),
    }
}

/// Whether something waits in the object, other than what it `loses`. Async-signal-safe.
fn waits(object: &Raw<'_>, loses: Discard) -> bool {
    match object {
        Raw::Path(_) | Raw::SysvSegment(_) => false,
        // SAFETY: a valid C string, and an out-parameter of the right type.
        Raw::File(path) => unsafe {
            let mut about: libc::stat = std::mem::zeroed();
            libc::lstat(path.as_ptr(), &mut about) == 0 && about.st_size > 0
        },
        Raw::Queue(name) => open_queue(name).is_ok_and(|(fd, _)| {
            let none: *const libc::mq_attr = ptr::null();
            // The first line of a queue's file is `QSIZE:`, its messages' bytes.
            let mut line = [0_u8; 8];
            // SAFETY: an open queue, an out-parameter of the right type, and a buffer of
            // the size that is given.
            let now = unsafe {
                let mut now: libc::mq_attr = std::mem::zeroed();
                libc::syscall(libc::SYS_mq_getsetattr, fd, none, &raw mut now);
                libc::read(fd, line.as_mut_ptr().cast(), line.len());
                libc::close(fd);
                now
            };
            let bytes = u64::from(line != *b"QSIZE:0 ");
            !loses.allow(now.mq_curmsgs as u64, bytes)
        }),
        // SAFETY: an out-parameter of the right type.
        Raw::SysvQueue(id) => unsafe {
            let mut now: libc::msqid_ds = std::mem::zeroed();
            libc::msgctl(*id, libc::IPC_STAT, &mut now) == 0
                && !loses.allow(now.msg_qnum, now.__msg_cbytes)
        },
        Raw::Semaphore(path, made_with) => value_in_file(path) > *made_with,
        Raw::SysvSemaphore(id, made_with) => {
            sysv_semaphore::semctl_getval(*id).unwrap_or(0) > *made_with
        }
    }
}

impl Raw<'_> {
    /// Whether the kernel may have to undo at our end what we did to it: SEM_UNDO.
    pub(super) fn has_undo(&self) -> bool {
        matches!(self, Raw::SysvSemaphore(..))
    }
}

impl Discard {
    /// Whether a queue may go in which `messages` of `bytes` in all wait.
    fn allow(self, messages: u64, bytes: u64) -> bool {
        match self {
            Discard::Nothing => messages == 0,
            Discard::Goodbye => messages == 0 || (messages, bytes) == (1, 0),
            Discard::All => true,
        }
    }
}

pub(super) fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a path or name that came from the system has no NUL")
}
