//! A POSIX semaphore: a word in a file of /dev/shm that its users map. A post or a wait
//! that need not sleep is an atomic instruction; only sleeping and waking go into the
//! kernel, by futex(2).

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::any::{Semaphore, timeout_advice};
use super::enter::why_not;
use super::options::{Kind, SemaphoreOptions};
use os::cleanup::Object;
use os::semaphore::{
    Named, sem_create, sem_getvalue, sem_open, sem_post, sem_timedwait, sem_wait,
};
use os::shm_file::semaphore_path;
use wire::errors::{Advise, TimedOut};
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;

/// A POSIX semaphore, open.
#[derive(Debug)]
pub(super) struct PosixSemaphore {
    name: String,
    semaphore: Named,
    posts: Commentary,
    waits: Commentary,
}

impl PosixSemaphore {
    fn of(name: String, semaphore: Named) -> PosixSemaphore {
        let (posts, waits) =
            (Commentary::of("sem_post"), Commentary::of("sem_wait"));
        PosixSemaphore { name, semaphore, posts, waits }
    }
}

// ANCHOR: posix
impl Semaphore for PosixSemaphore {
    const KIND: Kind = Kind::Posix;

    fn open(
        rendezvous: &Rendezvous,
        _: &SemaphoreOptions,
    ) -> Result<Option<PosixSemaphore>> {
        let name = rendezvous.kernel_name();
        let path = semaphore_path(&name);
        match rendezvous.opens_ours(&path, || sem_open(&name))? {
            Ok(semaphore) => {
                let value = sem_getvalue(&semaphore);
                say!("sem_open({name}, 0) found it; its value is {value}");
                Ok(Some(PosixSemaphore::of(name, semaphore)))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("sem_open {name}"))
                .advise(|error| why_not(error, &path)),
        }
    }

    fn make(
        rendezvous: &Rendezvous,
        _: &SemaphoreOptions,
        value: u32,
    ) -> Result<PosixSemaphore> {
        let name = rendezvous.kernel_name();
        let semaphore = sem_create(&name, value)
            .with_context(|| format!("sem_open {name}"))
            .advise(|error| why_not(error, &semaphore_path(&name)))?;
        Ok(PosixSemaphore::of(name, semaphore))
    }

    fn making(&self, value: u32) -> String {
        format!("sem_open({}, O_CREAT | O_EXCL, 0600, {value})", self.name)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn object(&self, made_with: u32) -> Object {
        Object::Semaphore(semaphore_path(&self.name), made_with)
    }

    fn whose(&self) -> String {
        "from a poster that has ended, nobody knows which".into()
    }

    fn value(&self) -> Result<u32> {
        Ok(sem_getvalue(&self.semaphore))
    }

    fn post(&mut self) -> Result<()> {
        let value = || sem_getvalue(&self.semaphore);
        self.posts
            .call(0, || format!("sem_post() adds 1 to a value of {}", value()));
        sem_post(&self.semaphore)
            .with_context(|| format!("sem_post {}", self.name))
            .advise(|_| Some("its value is SEM_VALUE_MAX, 2,147,483,647"))
    }

    fn wait(
        &mut self,
        patience: Option<Duration>,
        _: &mut dyn FnMut(),
    ) -> Result<()> {
        // An absolute time of the wall clock, whatever sets that clock meanwhile.
        let until = patience.and_then(|most| SystemTime::now().checked_add(most));
        loop {
            let (call, waited) = match until {
                None => ("sem_wait", sem_wait(&self.semaphore)),
                Some(until) => {
                    ("sem_timedwait", sem_timedwait(&self.semaphore, until))
                }
            };
            match waited {
                Err(Errno::EINTR) => {}
                Err(Errno::ETIMEDOUT) => {
                    return Err(Errno::ETIMEDOUT)
                        .context(TimedOut)
                        .with_context(|| format!("{call} {}", self.name))
                        .advise(|_| timeout_advice(patience));
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{call} {}", self.name));
                }
                Ok(()) => {
                    let left = || sem_getvalue(&self.semaphore);
                    self.waits.call(0, || {
                        format!("{call}() took 1; a value of {} is left", left())
                    });
                    return Ok(());
                }
            }
        }
    }
}
// ANCHOR_END: posix
