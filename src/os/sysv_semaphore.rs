//! System V semaphores: semget(2), semop(2), semctl(2).

use std::ffi::c_int;
use std::mem::zeroed;
use std::time::Duration;

use nix::errno::Errno;

/// `semget(key, nsems, flags)`: the identifier of a set of semaphores.
///
/// # Errors
/// EEXIST, ENOENT, EACCES; EINVAL when the set there has fewer semaphores; ENOSPC.
pub fn semget(key: i32, nsems: i32, flags: c_int) -> nix::Result<i32> {
    // SAFETY: takes plain numbers.
    Errno::result(unsafe { libc::semget(key, nsems, flags) })
}

/// `semop(id, {0, add, flags}, 1)`: adds to the first semaphore of a set. Sleeps while a
/// negative `add` would take the value below 0; an `add` of 0 sleeps until it is 0.
///
/// # Errors
/// EAGAIN under IPC_NOWAIT; EIDRM, EINVAL when the set was removed; ERANGE above SEMVMX,
/// 32,767; EINTR, never restarted.
pub fn semop(id: i32, add: i16, flags: c_int) -> nix::Result<()> {
    let mut operation = sembuf(add, flags);
    // SAFETY: one operation, as the count says.
    Errno::result(unsafe { libc::semop(id, &mut operation, 1) }).map(drop)
}

/// `semop(id, operations, n)`: each operation adds to the semaphore of that number. All are
/// done at once, or none yet: it sleeps until all can be.
///
/// # Errors
/// As [`semop`]; EFBIG for a number that is not in the set, E2BIG for over SEMOPM, 500.
pub fn semop_all(id: i32, operations: &[(u16, i16, c_int)]) -> nix::Result<()> {
    let each = |&(number, add, flags)| libc::sembuf {
        sem_num: number,
        ..sembuf(add, flags)
    };
    let mut operations: Vec<libc::sembuf> = operations.iter().map(each).collect();
    let (start, count) = (operations.as_mut_ptr(), operations.len());
    // SAFETY: so many operations, as the count says.
    Errno::result(unsafe { libc::semop(id, start, count) }).map(drop)
}

/// `semtimedop(id, {0, add, flags}, 1, timeout)`: as semop(2), for so long at most.
///
/// # Errors
/// EAGAIN when the time is over; else as [`semop`].
pub fn semtimedop(
    id: i32,
    add: i16,
    flags: c_int,
    timeout: Duration,
) -> nix::Result<()> {
    let mut operation = sembuf(add, flags);
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let (operations, count) = (&raw mut operation, 1_usize);
    // SAFETY: one operation, as the count says, and a valid timespec. The crate libc has
    // the call's number, but not the function.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_semtimedop,
            id,
            operations,
            count,
            &raw const timeout,
        )
    })
    .map(drop)
}

fn sembuf(add: i16, flags: c_int) -> libc::sembuf {
    libc::sembuf { sem_num: 0, sem_op: add, sem_flg: flags as libc::c_short }
}

/// `semctl(id, 0, SETVAL, value)`: sets the value. It does not touch sem_otime.
///
/// # Errors
/// ERANGE above SEMVMX; EIDRM, EINVAL, EPERM.
pub fn semctl_setval(id: i32, value: u32) -> nix::Result<()> {
    let value = c_int::try_from(value).map_err(|_| Errno::ERANGE)?;
    // SAFETY: SETVAL takes an int.
    Errno::result(unsafe { libc::semctl(id, 0, libc::SETVAL, value) }).map(drop)
}

/// `semctl(id, 0, GETVAL)`: the value, which may be another by the time that you look at
/// it. Async-signal-safe, since it is one system call.
///
/// # Errors
/// EIDRM, EINVAL when the set was removed; EACCES.
pub fn semctl_getval(id: i32) -> nix::Result<u32> {
    // SAFETY: GETVAL takes no argument.
    let value = Errno::result(unsafe { libc::semctl(id, 0, libc::GETVAL) })?;
    Ok(value as u32)
}

/// `semctl(id, 0, GETALL, values)`: the values of all semaphores of a set.
///
/// # Errors
/// As [`semctl_getval`].
pub fn semctl_getall(id: i32) -> nix::Result<Vec<u16>> {
    // Room for the largest set, since the identifier may be another set's by now: SEMMSL.
    let limits = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
    let semmsl = limits.split_whitespace().next().and_then(|n| n.parse().ok());
    let most = semmsl.unwrap_or(0).max(usize::from(u16::MAX) + 1);
    let mut values = vec![0_u16; most];
    // SAFETY: room for one value of each semaphore, as many as a set may have.
    Errno::result(unsafe {
        libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr())
    })?;
    values.truncate(semctl_stat(id)?.sem_nsems as usize);
    Ok(values)
}

/// `semctl(id, 0, GETNCNT)`: how many processes sleep until the value rises.
///
/// # Errors
/// As [`semctl_getval`].
pub fn semctl_getncnt(id: i32) -> nix::Result<u32> {
    // SAFETY: GETNCNT takes no argument.
    let count = Errno::result(unsafe { libc::semctl(id, 0, libc::GETNCNT) })?;
    Ok(count as u32)
}

/// `semctl(id, 0, GETPID)`: the process that changed the value last; 0 if none has.
///
/// # Errors
/// As [`semctl_getval`].
pub fn semctl_getpid(id: i32) -> nix::Result<i32> {
    // SAFETY: GETPID takes no argument.
    Errno::result(unsafe { libc::semctl(id, 0, libc::GETPID) })
}

/// `semctl(id, number, GETVAL)` and `semctl(id, number, GETPID)` of each semaphore of the set:
/// the values, and the process that changed each last; 0 if none has.
///
/// # Errors
/// As [`semctl_getval`].
pub fn semctl_each(id: i32) -> nix::Result<Vec<(u16, i32)>> {
    let count = semctl_stat(id)?.sem_nsems as i32;
    let each = (0..count).map(|number| {
        // SAFETY: GETVAL takes no argument.
        let value = unsafe { libc::semctl(id, number, libc::GETVAL) };
        // SAFETY: GETPID takes no argument.
        let pid = unsafe { libc::semctl(id, number, libc::GETPID) };
        Ok((Errno::result(value)? as u16, Errno::result(pid)?))
    });
    each.collect()
}

/// `semctl(id, 0, IPC_STAT, &about)`: how many semaphores are in the set, and when
/// semop(2) last changed one: 0 if it never has. Async-signal-safe.
///
/// # Errors
/// As [`semctl_getval`].
pub fn semctl_stat(id: i32) -> nix::Result<libc::semid_ds> {
    // SAFETY: plain data, and an out-parameter of the right type.
    unsafe {
        let mut about: libc::semid_ds = zeroed();
        Errno::result(libc::semctl(id, 0, libc::IPC_STAT, &raw mut about))?;
        Ok(about)
    }
}

/// `unshare(CLONE_SYSVSEM)`: does now what SEM_UNDO would do when this process ends.
/// Async-signal-safe, since it is one system call.
pub fn undo_now() {
    // SAFETY: takes a plain number. Where a container forbids it, it happens at the end.
    unsafe { libc::unshare(libc::CLONE_SYSVSEM) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_set_are_as_many_as_its_semaphores() {
        for number in [1, 7, 250] {
            let id = semget(libc::IPC_PRIVATE, number, 0o600).unwrap();
            let values = semctl_setval(id, 3).and_then(|()| semctl_getall(id));
            // SAFETY: IPC_RMID takes no argument.
            unsafe { libc::semctl(id, 0, libc::IPC_RMID) };
            let values = values.unwrap();
            assert_eq!((values.len(), values[0]), (number as usize, 3));
            assert!(semctl_getall(id).is_err());
        }
    }
}
