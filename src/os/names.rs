//! Looking at kernel objects by name or identifier, without changing them.

use std::ffi::CString;
use std::mem::zeroed;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::cleanup::{Object, owner_of};
use super::shm_file::value_in_file;
use super::sysv_semaphore as sysv;

/// Whether a POSIX message queue `/name` exists, also one that we may not open.
pub fn queue_exists(name: &str) -> bool {
    owner_of(&Object::Queue(name.into())) != Err(Errno::ENOENT)
}

/// Whether a System V queue has this identifier.
pub fn sysv_queue_exists(id: i32) -> bool {
    owner_of(&Object::SysvQueue(id)).is_ok()
}

/// Whether a System V semaphore set has this identifier.
pub fn sysv_semaphore_exists(id: i32) -> bool {
    owner_of(&Object::SysvSemaphore(id, 0)).is_ok()
}

/// How much waits in `object`: a queue's messages, a file's bytes, a semaphore's posts
/// beyond the value that it was made with; else 0.
pub fn waiting(object: &Object) -> u64 {
    match object {
        Object::File(path) => path.symlink_metadata().map_or(0, |about| about.len()),
        Object::Queue(name) => with_queue(name, |fd| {
            // SAFETY: an open queue, and an out-parameter of the right type.
            let attributes = unsafe {
                let mut attributes: libc::mq_attr = zeroed();
                libc::mq_getattr(fd, &mut attributes);
                attributes
            };
            attributes.mq_curmsgs as u64
        })
        .unwrap_or(0),
        Object::SysvQueue(id) => {
            // SAFETY: an out-parameter of the right type.
            unsafe {
                let mut about: libc::msqid_ds = zeroed();
                libc::msgctl(*id, libc::IPC_STAT, &mut about);
                about.msg_qnum
            }
        }
        Object::Semaphore(path, made_with) => {
            let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
            value_in_file(&path).saturating_sub(*made_with).into()
        }
        Object::SysvSemaphore(id, made_with) => {
            let value = sysv::semctl_getval(*id).unwrap_or(0);
            value.saturating_sub(*made_with).into()
        }
        _ => 0,
    }
}

fn with_queue<T>(name: &str, look: impl FnOnce(libc::mqd_t) -> T) -> Option<T> {
    let name = CString::new(name).ok()?;
    // SAFETY: a valid C string; without O_CREAT there are no further arguments.
    let fd =
        unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd == -1 {
        return None;
    }
    let seen = look(fd);
    // SAFETY: the descriptor was just opened.
    unsafe { libc::mq_close(fd) };
    Some(seen)
}

/// The System V queue of `key`, if there is one: msgget(2) without IPC_CREAT.
pub fn sysv_queue(key: i32) -> Option<i32> {
    // SAFETY: takes plain numbers.
    let id = unsafe { libc::msgget(key, 0) };
    (id != -1).then_some(id)
}

/// The System V segment of `key`, if there is one: shmget(2) without IPC_CREAT.
pub fn sysv_segment(key: i32) -> Option<i32> {
    // SAFETY: takes plain numbers.
    let id = unsafe { libc::shmget(key, 0, 0) };
    (id != -1).then_some(id)
}

/// The System V semaphore set of `key`, if there is one: semget(2) without IPC_CREAT.
pub fn sysv_semaphore(key: i32) -> Option<i32> {
    sysv::semget(key, 0, 0).ok()
}

/// When a System V object was made or last changed by IPC_SET or SETVAL, in seconds since
/// 1970; `None` for what is none. The kernel gives an identifier to another object some day, and
/// begins anew when it boots.
pub fn sysv_made(object: &Object) -> Option<i64> {
    match object {
        Object::SysvQueue(id) => {
            // SAFETY: an out-parameter of the right type.
            unsafe {
                let mut about: libc::msqid_ds = zeroed();
                let known = libc::msgctl(*id, libc::IPC_STAT, &mut about) == 0;
                known.then_some(about.msg_ctime)
            }
        }
        Object::SysvSegment(id) => segment_status(*id).map(|about| about.shm_ctime),
        Object::SysvSemaphore(id, _) => {
            sysv::semctl_stat(*id).ok().map(|about| about.sem_ctime)
        }
        _ => None,
    }
}

/// How many processes sleep on a System V semaphore until its value rises.
pub fn sysv_sleepers(id: i32) -> u32 {
    sysv::semctl_getncnt(id).unwrap_or(0)
}

/// How many processes have a System V segment attached.
pub fn sysv_attached(id: i32) -> u64 {
    segment_status(id).map_or(0, |about| about.shm_nattch)
}

fn segment_status(id: i32) -> Option<libc::shmid_ds> {
    // SAFETY: an out-parameter of the right type.
    unsafe {
        let mut about: libc::shmid_ds = zeroed();
        (libc::shmctl(id, libc::IPC_STAT, &mut about) == 0).then_some(about)
    }
}
