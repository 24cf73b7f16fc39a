//! futex(2): waking where no process sleeps, and waking one that does; the same by an eventfd.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, ftruncate, getppid};
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};
use rustix::time::{ClockId, clock_gettime};

use super::operation::{Absent, Batch, Resources, each};
use crate::placement::pin;
use os::cleanup;
use os::process_identity;
use os::shared::{Shared, mmap};
use os::spawn::{Forked, fork};

/// Where things lie in the memory that both share; each has a cache line of its own.
const WORD: usize = 0;
const STAMP: usize = 64;
const ANSWER: usize = 128;
const DELAY: usize = 192;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn nobody(_: &Resources) -> Result<Batch> {
    let memory = memory()?;
    Ok(each(move || {
        let woken = futex::wake(memory.u32(WORD), Flags::empty(), 1);
        let woken = woken.context("futex(FUTEX_WAKE)")?;
        ensure!(woken == 0, "a process slept");
        Ok(())
    }))
}

pub(super) fn same(_: &Resources) -> Result<Batch> {
    sleeper(None, None)
}

pub(super) fn cross(resources: &Resources) -> Result<Batch> {
    sleeper(Some(another(resources)?), None)
}

pub(super) fn event_same(_: &Resources) -> Result<Batch> {
    sleeper(None, Some(event()?))
}

pub(super) fn event_cross(resources: &Resources) -> Result<Batch> {
    sleeper(Some(another(resources)?), Some(event()?))
}

fn another(resources: &Resources) -> Result<usize> {
    let absent = || Absent("there is no second CPU".to_owned());
    Ok(resources.other_cpu.ok_or_else(absent)?)
}

fn event() -> Result<EventFd> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context("eventfd")
}

fn memory() -> Result<Shared> {
    let fd = memfd_create("futex", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
    ftruncate(&fd, 4096).context("ftruncate")?;
    mmap(&fd, 4096).context("mmap")
}

/// Nanoseconds since the boot: both processes have the same clock.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A child that sleeps on `cpu`, or else on this one, until it is woken: by the eventfd, or by a
/// futex.
fn sleeper(cpu: Option<usize>, event: Option<EventFd>) -> Result<Batch> {
    let memory = memory()?;
    let parent = nix::unistd::getpid();
    let child = match fork().context("fork")? {
        Forked::Parent(child) => Child(child),
        Forked::Child => {
            let slept = sleep_and_tell(&memory, event.as_ref(), cpu, parent);
            cleanup::exit(i32::from(slept.is_err()))
        }
    };
    let mut round = 0_u32;
    Ok(Box::new(move |count| {
        let mut time = 0;
        for _ in 0..count {
            child.wait_until_it_sleeps()?;
            round = round.wrapping_add(1);
            let (word, answer) = (memory.u32(WORD), memory.u32(ANSWER));
            memory.u64(STAMP).store(now(), Release);
            word.store(round, Release);
            match &event {
                Some(event) => event.write(1).context("write")?,
                None => futex::wake(word, Flags::empty(), 1)
                    .context("futex(FUTEX_WAKE)")?,
            };
            wait_for(answer, round)?;
            time += memory.u64(DELAY).load(Acquire);
        }
        Ok(Duration::from_nanos(time))
    }))
}

/// The child: sleeps, and reports how long after the stamp it ran again.
fn sleep_and_tell(
    memory: &Shared,
    event: Option<&EventFd>,
    cpu: Option<usize>,
    parent: Pid,
) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("prctl")?;
    ensure!(getppid() == parent, "it has ended");
    if let Some(cpu) = cpu {
        pin(None, &[cpu])?;
    }
    let (word, answer) = (memory.u32(WORD), memory.u32(ANSWER));
    let mut seen = 0;
    loop {
        if let Some(event) = event {
            event.read().context("read")?;
        }
        while word.load(Acquire) == seen {
            match futex::wait(word, Flags::empty(), seen, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error).context("futex(FUTEX_WAIT)"),
            }
        }
        let delay = now().saturating_sub(memory.u64(STAMP).load(Acquire));
        memory.u64(DELAY).store(delay, Release);
        seen = word.load(Acquire);
        answer.store(seen, Release);
        futex::wake(answer, Flags::empty(), 1).context("futex(FUTEX_WAKE)")?;
    }
}

/// Sleeps until `word` is `value`.
fn wait_for(word: &AtomicU32, value: u32) -> Result<()> {
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    loop {
        let found = word.load(Acquire);
        if found == value {
            return Ok(());
        }
        match futex::wait(word, Flags::empty(), found, Some(&patience)) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error).context("futex(FUTEX_WAIT)"),
        }
    }
}

/// The child, which ends and is reaped when this is dropped.
struct Child(Pid);

impl Child {
    /// No event shows when another process sleeps: its state is asked for again and again.
    fn wait_until_it_sleeps(&self) -> Result<()> {
        let late = Instant::now() + PATIENCE;
        loop {
            match process_identity::state(self.0.as_raw() as u32) {
                Some('S') => return Ok(()),
                Some('R' | 'D') if Instant::now() < late => {
                    rustix::thread::sched_yield();
                }
                state => bail!("the sleeper does not sleep: its state is {state:?}"),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}
