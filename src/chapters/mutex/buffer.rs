//! The bounded buffer: a ring of slots that processes fill and empty, one at a time.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::shm_open;
use nix::sys::stat::Mode;

use super::condition::{Waitpoint, Woken};
use super::layout::{self, SEATS, SLOT_SIZE, at, seat};
use super::options::{BufferOptions, Kind};
use os::cleanup::Object;
use os::mutex::Mutex;
use os::owner::Owner;
use os::shared::Shared;
use os::sigbus;
use os::signal::retry_on_intr;
use wire::errors::{Advise, errno};
use wire::meet::{Presence, Rendezvous};
use wire::say;

/// Whether more will come.
const OPEN: u32 = 0;
const GOODBYE: u32 = 1;
const DIED: u32 = 2;

/// The largest message, in bytes.
pub(super) const LARGEST: usize = SLOT_SIZE - 4;

/// A buffer that this process has joined.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) name: String,
    memory: &'static Shared,
    mutex: Mutex,
    pub(super) not_empty: Waitpoint,
    pub(super) not_full: Waitpoint,
    slots: u32,
}

/// The mutex is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a>(&'a Buffer);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.mutex.unlock(); // EPERM: it was lost, and that was reported
    }
}

// ANCHOR: join
/// Enters the place, and finds its buffer or makes it.
pub(super) fn join(
    rendezvous: &Rendezvous,
    options: &BufferOptions,
) -> Result<(Buffer, Presence)> {
    sigbus::end_in_order(); // who cuts the memory short ends us with a line
    let name = rendezvous.kernel_name();
    let mut presence = rendezvous.arrive(None)?;
    let made = loop {
        let object = open(&name, &mut presence)?;
        let made = layout::map(&object, options);
        if let Some(made) =
            made.context(format!("/dev/shm{name}")).advise(way_out)?
        {
            break made;
        }
    };
    let layout::Made { memory, slots, kind, by_us } = made;
    let kinds = match kind {
        Kind::Pthread => "pthread_cond_t",
        Kind::Futex => "a futex's words",
    };
    let held = say::count(u64::from(slots), "slot");
    match by_us {
        true => say!(
            "{name}: a robust mutex, two conditions of {kinds}, {held}; the magic last"
        ),
        false => say!("{name}: its magic is there; conditions of {kinds}, {held}"),
    }
    if let Some(option) = options.unlike(slots, kind) {
        say!("{option} is for a new buffer: this one stays as it is");
    }
    let mutex = Mutex::at(memory, at::MUTEX);
    let [not_empty, not_full] =
        [at::NOT_EMPTY, at::NOT_FULL].map(|at| Waitpoint::at(memory, at, kind));
    let buffer = Buffer { name, memory, mutex, not_empty, not_full, slots };
    if presence.is_alone() {
        buffer.begin_anew()?;
    }
    Ok((buffer, presence))
}

/// Opens the object, or makes it without a byte.
fn open(name: &str, presence: &mut Presence) -> Result<std::os::fd::OwnedFd> {
    let object = Object::Segment(name.to_owned());
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let open = |more: OFlag| {
        retry_on_intr(|| shm_open(name, OFlag::O_RDWR | more, mode))
            .with_context(|| format!("shm_open {name}"))
    };
    loop {
        let made = presence.create(&object, || open(OFlag::O_CREAT | OFlag::O_EXCL));
        match made {
            Err(error) if errno(&error) == Some(Errno::EEXIST) => {}
            made => return made,
        }
        match open(OFlag::empty()) {
            Err(error) if errno(&error) == Some(Errno::ENOENT) => {}
            found => {
                let found = found?;
                // By the pointers in a mutex another user could have us store anywhere.
                if let Some(why) =
                    Owner::of_open(&found).context("fstat")?.why_not_ours()
                {
                    return Err(anyhow!("/dev/shm{name} {why}")).advise(way_out);
                }
                presence.adopt(&object)?;
                return Ok(found);
            }
        }
    }
}
// ANCHOR_END: join

/// An error that no call has returned is of what is in the object.
fn way_out(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error) {
        None => Some("use --at NAME for another, or remove it if it is yours"),
        Some(Errno::ENOSPC) => Some(
            "/dev/shm has no room for it (df /dev/shm): remove what nobody uses, or take \
             fewer --slots",
        ),
        Some(_) => None,
    }
}

impl Buffer {
    // ANCHOR: lock
    /// Locks the mutex; sleeps while another process has it.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        self.locked(self.mutex.lock()).context("pthread_mutex_lock")?;
        Ok(Locked(self))
    }

    /// Sleeps until `condition` is signalled, and at most for a moment.
    pub(super) fn wait(
        &self,
        locked: &Locked<'_>,
        condition: &Waitpoint,
    ) -> Result<Woken> {
        debug_assert!(std::ptr::eq(locked.0, self));
        let (woken, result) = condition.wait(&self.mutex);
        self.locked(result).context("wait for a condition")?;
        Ok(woken)
    }

    /// EOWNERDEAD: the owner was killed, and the mutex is ours. What may be half done is the
    /// text of a slot, and that is not counted yet: a counter changes in one store, at the end.
    fn locked(&self, result: nix::Result<()>) -> Result<()> {
        match result {
            Err(Errno::EOWNERDEAD) => {
                say!(
                    "EOWNERDEAD: a process was killed with the mutex; now it is ours"
                );
                let unread = self.unread();
                self.mutex.consistent().context("pthread_mutex_consistent")?;
                say!("pthread_mutex_consistent(): {} slots are whole", unread?);
                Ok(())
            }
            result => result.advise(|error| {
                (errno(error) == Some(Errno::ENOTRECOVERABLE)).then_some(
                    "a process unlocked it after EOWNERDEAD without \
                     pthread_mutex_consistent: remove the buffer, and start anew",
                )
            }),
        }
    }
    // ANCHOR_END: lock

    fn counter(&self, at: usize) -> u32 {
        self.memory.u32(at).load(Relaxed)
    }

    fn set(&self, at: usize, value: u32) {
        self.memory.u32(at).store(value, Relaxed);
    }

    // ANCHOR: buffer
    /// How many messages are in it. Any process may write anything there.
    pub(super) fn unread(&self) -> Result<u32> {
        let unread = self.counter(at::PUT).wrapping_sub(self.counter(at::TAKEN));
        ensure!(
            unread <= self.slots,
            "the counters of {} say {unread} messages in {} slots: a stranger wrote them",
            self.name,
            self.slots
        );
        Ok(unread)
    }

    pub(super) fn is_full(&self) -> Result<bool> {
        Ok(self.unread()? == self.slots)
    }

    /// Puts a message into the next slot, which is free.
    pub(super) fn put(&self, message: &[u8]) {
        let put = self.counter(at::PUT);
        let slot = at::SLOT + (put % self.slots) as usize * SLOT_SIZE;
        self.set(slot, message.len() as u32);
        self.memory.write(slot + 4, message);
        self.set(at::PUT, put.wrapping_add(1)); // only now it counts
    }

    /// Takes the oldest message, which is there.
    pub(super) fn take(&self, message: &mut Vec<u8>) -> Result<()> {
        let taken = self.counter(at::TAKEN);
        let slot = at::SLOT + (taken % self.slots) as usize * SLOT_SIZE;
        // Loaded once: what is checked is what is used, whatever another process stores.
        let length = self.counter(slot) as usize;
        ensure!(
            length <= LARGEST,
            "a slot says {length} bytes: a stranger wrote that"
        );
        message.clear();
        self.memory.append(slot + 4, length, message);
        self.set(at::TAKEN, taken.wrapping_add(1));
        Ok(())
    }
    // ANCHOR_END: buffer

    // ANCHOR: seats
    /// Says that one more producer is here: it has a seat's mutex as long as it lives.
    pub(super) fn sit_down(&self, _: &Locked<'_>) -> Result<Mutex> {
        self.bury()?;
        for number in 0..SEATS {
            let seat = Mutex::at(self.memory, seat(number));
            match seat.trylock() {
                Ok(()) => {
                    self.set(
                        at::PRODUCERS,
                        self.counter(at::PRODUCERS).wrapping_add(1),
                    );
                    self.set(at::CLOSED, OPEN);
                    return Ok(seat);
                }
                Err(Errno::EBUSY) => {}
                Err(error) => return Err(error).context("pthread_mutex_trylock"),
            }
        }
        bail!("{} already has {SEATS} producers", self.name)
    }

    /// Says that this producer has put all. The last one says it to all workers.
    pub(super) fn stand_up(&self, _: &Locked<'_>, seat: Mutex) -> Result<()> {
        seat.unlock().context("pthread_mutex_unlock")?;
        self.bury()?;
        self.leave(1, GOODBYE)
    }

    /// So many producers have gone.
    fn leave(&self, gone: u32, closed: u32) -> Result<()> {
        let left = self.counter(at::PRODUCERS).saturating_sub(gone);
        self.set(at::PRODUCERS, left);
        if left == 0 {
            self.set(at::CLOSED, closed);
            self.not_empty.broadcast().context("wake the workers")?;
        }
        Ok(())
    }

    /// Looks for producers that were killed: the kernel has marked the mutexes that they had.
    /// What they can no longer count down is counted down here.
    pub(super) fn bury(&self) -> Result<()> {
        for number in 0..SEATS {
            let seat = Mutex::at(self.memory, seat(number));
            match seat.trylock() {
                Ok(()) => seat.unlock().context("pthread_mutex_unlock")?,
                Err(Errno::EBUSY) => {} // it lives
                Err(Errno::EOWNERDEAD) => {
                    seat.consistent().context("pthread_mutex_consistent")?;
                    seat.unlock().context("pthread_mutex_unlock")?;
                    say!("EOWNERDEAD of seat {number}: its producer was killed");
                    self.leave(1, DIED)?;
                }
                Err(error) => return Err(error).context("pthread_mutex_trylock"),
            }
        }
        Ok(())
    }
    // ANCHOR_END: seats

    /// Nobody else is here: what says that others are, or were, is left from before.
    fn begin_anew(&self) -> Result<()> {
        let _locked = self.lock()?;
        self.bury()?;
        if self.unread()? == 0 && self.counter(at::CLOSED) != OPEN {
            self.set(at::CLOSED, OPEN);
        }
        Ok(())
    }

    /// Leaves the place, with the mutex, so that no process takes the last message meanwhile: the
    /// last role out removes the buffer, unless messages are in it. Returns how many are.
    pub(super) fn part(
        &self,
        _: &Locked<'_>,
        mut presence: Presence,
    ) -> Result<u32> {
        let unread = self.unread()?;
        if unread > 0 {
            presence.keep_pending()?;
        }
        Ok(unread)
    }

    /// How many producers are here.
    pub(super) fn producers(&self) -> u32 {
        self.counter(at::PRODUCERS)
    }

    /// Whether nothing more will come.
    ///
    /// # Errors
    /// When the last producer was killed.
    pub(super) fn is_closed(&self) -> Result<bool> {
        match self.counter(at::CLOSED) {
            OPEN => Ok(false),
            GOODBYE => Ok(true),
            _ => bail!(
                "the producer was killed before it had put all: what it has put is taken"
            ),
        }
    }
}
