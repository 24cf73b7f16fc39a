//! A semaphore made by hand: a word in shared memory, and futex(2) to sleep on it. This is
//! what a POSIX semaphore is inside. The futex is not a private one: a private futex
//! never wakes another process.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{OFlag, posix_fallocate};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::{Mode, fstat};

use super::any::{Semaphore, timeout_advice};
use super::enter::why_not;
use super::options::{Kind, SemaphoreOptions};
use os::calls::{futex_wait, futex_wake};
use os::cleanup::Object;
use os::owner::Owner;
use os::shared::{Shared, mmap};
use os::shm_file::segment_path;
use os::sigbus;
use wire::errors::{Advise, TimedOut};
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;

/// The bytes of the word.
const SIZE: usize = size_of::<AtomicU32>();

/// The largest value, as in a POSIX semaphore.
const MOST: u32 = 0x7fff_ffff;

/// How long a sleep lasts at most. A peer may be killed between our wake-up and its take,
/// and a stranger may post without a wake-up; so a sleeper looks again now and then.
const NAP: Duration = Duration::from_millis(100);

/// A counter in a POSIX shared memory object.
#[derive(Debug)]
pub(super) struct Futex {
    name: String,
    memory: Shared,
    posts: Commentary,
    naps: Commentary,
    takes: Commentary,
}

impl Futex {
    fn of(name: String, memory: Shared) -> Futex {
        let (posts, takes) =
            (Commentary::of("futex(FUTEX_WAKE)"), Commentary::steps("taken"));
        let naps = Commentary::of("futex(FUTEX_WAIT)").naming(1);
        Futex { name, memory, posts, naps, takes }
    }

    /// Any process may write anything there.
    fn nonsense(&self, value: u32) -> anyhow::Error {
        anyhow!(
            "the word of {} is {value}, and no semaphore's value is above {MOST}: a \
             stranger wrote it; use --at NAME for another",
            self.name
        )
    }
}

// ANCHOR: futex
impl Semaphore for Futex {
    const KIND: Kind = Kind::Futex;

    fn open(rendezvous: &Rendezvous, _: &SemaphoreOptions) -> Result<Option<Futex>> {
        let name = rendezvous.kernel_name();
        let path = segment_path(&name);
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW;
        let segment = match shm_open(name.as_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            result => result
                .with_context(|| format!("shm_open {name}"))
                .advise(|error| why_not(error, &path))?,
        };
        rendezvous
            .must_be_ours(&name, &Owner::of_open(&segment).context("fstat")?)?;
        let size = fstat(&segment).context("fstat")?.st_size as usize;
        if size == 0 && !rendezvous.is_users_name() {
            // Begun by a process that was killed before this call, or is just about to make it.
            say!("{name} has no bytes yet: posix_fallocate gives it {SIZE}");
            posix_fallocate(&segment, 0, SIZE as i64).context("posix_fallocate")?;
        } else if size != SIZE {
            // To touch a map beyond the end of its file is SIGBUS.
            return Err(anyhow!("{} has {size} bytes, not {SIZE}", path.display()))
                .advise(|_| {
                    Some("it is no futex's word; use --at NAME for another")
                });
        }
        sigbus::end_in_order(); // who cuts it short from now on ends us with a line
        let memory = mmap(&segment, SIZE).with_context(|| format!("mmap {name}"))?;
        let found = Futex::of(name, memory);
        let (name, value) = (&found.name, found.value()?);
        say!("shm_open({name}, O_RDWR) and mmap found it; its value is {value}");
        Ok(Some(found))
    }

    fn make(
        rendezvous: &Rendezvous,
        _: &SemaphoreOptions,
        value: u32,
    ) -> Result<Futex> {
        let name = rendezvous.kernel_name();
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let segment = shm_open(name.as_str(), flags, mode)
            .with_context(|| format!("shm_open {name}"))?;
        let map = || {
            posix_fallocate(&segment, 0, SIZE as i64)
                .with_context(|| format!("posix_fallocate {name}"))
                .advise(|error| why_not(error, &segment_path(&name)))?;
            mmap(&segment, SIZE).with_context(|| format!("mmap {name}"))
        };
        sigbus::end_in_order();
        let memory = map().inspect_err(|_| {
            let _ = shm_unlink(name.as_str());
        })?;
        // Added, not stored: a stranger may have posted since it has its name.
        memory.u32(0).fetch_add(value, Release);
        Ok(Futex::of(name, memory))
    }

    fn making(&self, value: u32) -> String {
        let name = &self.name;
        format!(
            "shm_open({name}, O_CREAT | O_EXCL, 0600), {SIZE} bytes, mmap, +{value}"
        )
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn object(&self, made_with: u32) -> Object {
        Object::Semaphore(segment_path(&self.name), made_with)
    }

    fn whose(&self) -> String {
        "from a poster that has ended, nobody knows which".into()
    }

    fn value(&self) -> Result<u32> {
        match self.memory.u32(0).load(Relaxed) {
            value @ ..=MOST => Ok(value),
            value => Err(self.nonsense(value)),
        }
    }

    fn post(&mut self) -> Result<()> {
        let word = self.memory.u32(0);
        let value = || word.load(Relaxed);
        self.posts.call(0, || {
            format!("add 1 to a value of {}, futex(FUTEX_WAKE, 1)", value())
        });
        let one_more = |value| (value < MOST).then(|| value + 1);
        match word.fetch_update(Release, Relaxed, one_more) {
            Ok(_) => {}
            Err(MOST) => {
                return Err(Errno::EOVERFLOW)
                    .context("add 1")
                    .advise(|_| Some(format!("{} is full at {MOST}", self.name)));
            }
            Err(value) => return Err(self.nonsense(value)),
        }
        // The word has changed before we wake: a sleeper that comes now does not sleep.
        futex_wake(word, 1).context("futex(FUTEX_WAKE)").map(drop)
    }

    fn wait(
        &mut self,
        patience: Option<Duration>,
        look: &mut dyn FnMut(),
    ) -> Result<()> {
        let began = Instant::now();
        let word = self.memory.u32(0);
        let one_less = |value| (1..=MOST).contains(&value).then(|| value - 1);
        // Take one if there is one, even if other processes take at the same time.
        while let Err(value) = word.fetch_update(Acquire, Relaxed, one_less) {
            if value != 0 {
                return Err(self.nonsense(value));
            }
            let left =
                patience.map_or(NAP, |most| most.saturating_sub(began.elapsed()));
            if left.is_zero() {
                return Err(Errno::ETIMEDOUT)
                    .context(TimedOut)
                    .with_context(|| format!("futex(FUTEX_WAIT) {}", self.name))
                    .advise(|_| timeout_advice(patience));
            }
            self.naps
                .call(0, || "futex(FUTEX_WAIT, 0) sleeps if the word is still 0");
            // The kernel looks again, and so no post falls between our look and our sleep.
            match futex_wait(word, 0, Some(left.min(NAP))) {
                // EFAULT: the memory was cut short; our next look reports it (os/sigbus.rs).
                Ok(()) | Err(Errno::EAGAIN | Errno::EINTR | Errno::EFAULT) => {}
                Err(Errno::ETIMEDOUT) => look(),
                Err(error) => return Err(error).context("futex(FUTEX_WAIT)"),
            }
        }
        let left = || word.load(Relaxed);
        self.takes.call(0, || format!("took 1; a value of {} is left", left()));
        Ok(())
    }
}
// ANCHOR_END: futex
