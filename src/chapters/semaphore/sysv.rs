//! A System V semaphore lives in the kernel: each post and each wait is a system call. It comes
//! in sets, here of one. In return the kernel knows which process changed it last and which ones
//! sleep on it, and can undo what a process did when it ends, even by kill -9: SEM_UNDO.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libc::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, SEM_UNDO};
use nix::errno::Errno;

use super::any::{Semaphore, timeout_advice};
use super::options::{Kind, SemaphoreOptions};
use os::cleanup::{Object, owner_of, remove_now};
use os::sysv_semaphore::{
    semctl_getpid, semctl_getval, semctl_setval, semctl_stat, semget, semop,
    semtimedop,
};
use wire::errors::{Advise, TimedOut, errno, usage};
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;

/// The largest value: SEMVMX of semop(2).
const SEMVMX: u32 = 32_767;

/// How long a stranger's set may be without its first semop(2), until we take it as it is.
const SETTLED: Duration = Duration::from_secs(1);

/// A System V set of one semaphore.
#[derive(Debug)]
pub(super) struct SysvSemaphore {
    key: i32,
    id: i32,
    flags: i32,
    posts: Commentary,
    waits: Commentary,
}

/// Refuses a value that no System V semaphore can have.
pub(super) fn check(options: &SemaphoreOptions) -> Result<()> {
    match options.value {
        Some(value) if value > SEMVMX => Err(usage(format!(
            "--value {value}: a System V semaphore holds at most {SEMVMX} (SEMVMX, \
             semop(2)); --kind posix holds more"
        ))),
        _ => Ok(()),
    }
}

impl SysvSemaphore {
    fn of(key: i32, id: i32, options: &SemaphoreOptions) -> SysvSemaphore {
        let flags = if options.undo { SEM_UNDO } else { 0 };
        let (posts, waits) =
            (Commentary::of("semop(+1)"), Commentary::of("semop(-1)"));
        SysvSemaphore { key, id, flags, posts, waits }
    }
}

// ANCHOR: sysv
impl Semaphore for SysvSemaphore {
    const KIND: Kind = Kind::Sysv;

    fn open(
        rendezvous: &Rendezvous,
        options: &SemaphoreOptions,
    ) -> Result<Option<SysvSemaphore>> {
        let key = rendezvous.key();
        let id = match semget(key, 0, 0o600) {
            Ok(id) => id,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("semget {key:#x}"))
                    .advise(why_not);
            }
        };
        let owner =
            owner_of(&Object::SysvSemaphore(id, 0)).context("semctl(IPC_STAT)");
        rendezvous
            .must_be_ours(format_args!("the System V set {key:#x}"), &owner?)?;
        let about = semctl_stat(id).context("semctl(IPC_STAT)")?;
        if about.sem_nsems != 1 {
            bail!(
                "the System V set {key:#x} has {} semaphores, not 1: it is a \
                 stranger's; use --at NAME for one of your own",
                about.sem_nsems
            );
        }
        until_it_has_a_value(id)?;
        let value = semctl_getval(id).context("semctl(GETVAL)")?;
        say!("semget({key:#x}, 0, 0600) = {id} found it; its value is {value}");
        Ok(Some(SysvSemaphore::of(key, id, options)))
    }

    fn make(
        rendezvous: &Rendezvous,
        options: &SemaphoreOptions,
        value: u32,
    ) -> Result<SysvSemaphore> {
        let key = rendezvous.key();
        let id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600)
            .with_context(|| format!("semget {key:#x}"))
            .advise(why_not)?;
        give_it_its_value(id, value).inspect_err(|_| {
            let _ = remove_now(&Object::SysvSemaphore(id, 0));
        })?;
        Ok(SysvSemaphore::of(key, id, options))
    }

    fn making(&self, value: u32) -> String {
        let (key, id) = (self.key, self.id);
        format!(
            "semget({key:#x}, 1, IPC_CREAT | IPC_EXCL | 0600) = {id}, SETVAL 0 and \
             semop(+{value})"
        )
    }

    fn name(&self) -> String {
        format!("{:#x}", self.key)
    }

    fn object(&self, made_with: u32) -> Object {
        Object::SysvSemaphore(self.id, made_with)
    }

    fn whose(&self) -> String {
        let last = semctl_getpid(self.id).unwrap_or(0);
        format!("semctl(GETPID) says that pid {last} changed the value last")
    }

    fn value(&self) -> Result<u32> {
        semctl_getval(self.id).context("semctl(GETVAL)")
    }

    fn post(&mut self) -> Result<()> {
        let value = || semctl_getval(self.id).unwrap_or(0);
        self.posts.call(0, || format!("semop(+1) on a value of {}", value()));
        semop(self.id, 1, self.flags)
            .with_context(|| format!("semop(+1) {:#x}", self.key))
            .advise(why_not)
    }

    fn wait(
        &mut self,
        patience: Option<Duration>,
        _: &mut dyn FnMut(),
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let (call, waited) = match patience {
                None => ("semop", semop(self.id, -1, self.flags)),
                Some(most) => {
                    let left = most.saturating_sub(began.elapsed());
                    ("semtimedop", semtimedop(self.id, -1, self.flags, left))
                }
            };
            match waited {
                Err(Errno::EINTR) => {} // never restarted by the kernel: signal(7)
                Err(Errno::EAGAIN) => {
                    return Err(Errno::EAGAIN)
                        .context(TimedOut)
                        .with_context(|| format!("{call}(-1) {:#x}", self.key))
                        .advise(|_| timeout_advice(patience));
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{call}(-1) {:#x}", self.key))
                        .advise(why_not);
                }
                Ok(()) => {
                    let left = || semctl_getval(self.id).unwrap_or(0);
                    self.waits.call(0, || {
                        format!("{call}(-1) took 1; a value of {} is left", left())
                    });
                    return Ok(());
                }
            }
        }
    }
}

/// Two calls, and a stranger may look between them. SETVAL leaves sem_otime at 0, and semop sets
/// it, so a process that waits for sem_otime sees no value that is not yet ours.
fn give_it_its_value(id: i32, value: u32) -> Result<()> {
    semctl_setval(id, 0).context("semctl(SETVAL)")?;
    match semop(id, value as i16, IPC_NOWAIT) {
        // "Wait for 0" would sleep: a stranger has posted already, by a semop of its own.
        Err(Errno::EAGAIN) if value == 0 => Ok(()),
        result => result.with_context(|| format!("semop(+{value})")),
    }
}

/// Waits until the process that made the set has given it a value: semop(2) sets sem_otime.
fn until_it_has_a_value(id: i32) -> Result<()> {
    let began = Instant::now();
    let is_new = || -> Result<bool> {
        Ok(semctl_stat(id).context("semctl(IPC_STAT)").advise(why_not)?.sem_otime
            == 0)
    };
    if is_new()? {
        say!(
            "its sem_otime is 0: the process that made it has yet to give it a value"
        );
    }
    while is_new()? {
        if began.elapsed() > SETTLED {
            say!(
                "its sem_otime stays 0: no semop has given it a value; we take it so"
            );
            break;
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}
// ANCHOR_END: sysv

/// Why System V refuses, and the way out.
fn why_not(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::EACCES => Some(
            "it belongs to another user (ipcs -s); use --at NAME for one of your own",
        ),
        Errno::ENOSPC => Some(
            "there are as many sets as SEMMNI allows, the fourth number of \
             /proc/sys/kernel/sem: ipcs -s lists them, ipcrm removes one",
        ),
        Errno::ERANGE => Some("its value is SEMVMX, 32,767, as semop(2) says"),
        Errno::EIDRM | Errno::EINVAL => Some("the set was removed"),
        _ => None,
    }
}
