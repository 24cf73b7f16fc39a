//! Descriptors that something happens on.

use std::io::IoSliceMut;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{
    ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::answer::Answer;
use crate::probe::Probe;

/// signalfd(2).
pub static SIGNALFD: Probe = Probe {
    name: "signalfd",
    chapters: &["signal", "multiplex"],
    what: "signalfd(2) (a signal that is read)",
    loses: "signal, and all commands that start roles and wait for Ctrl-C",
    necessary: true,
    experiments: &[],
    run: |_| {
        let set = SigSet::from(Signal::SIGUSR1);
        set.thread_block().context("sigprocmask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&set, flags).context("signalfd")?;
        raise(Signal::SIGUSR1).context("raise")?;
        let read = signals.read_signal().context("read a signalfd")?;
        ensure!(
            read.is_some_and(|info| info.ssi_signo == Signal::SIGUSR1 as u32),
            "no signal came"
        );
        Ok(Answer::ok("SIGUSR1 was read"))
    },
};

/// eventfd(2).
pub static EVENTFD: Probe = Probe {
    name: "eventfd",
    chapters: &["multiplex", "eventfd", "procvm"],
    what: "eventfd(2) (a count that is written and read)",
    loses: "eventfd, and the gates of all experiments, which force an order",
    necessary: true,
    experiments: &[],
    run: |_| {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags).context("eventfd")?;
        event.write(3).context("write an eventfd")?;
        ensure!(event.read().context("read an eventfd")? == 3, "another count");
        Ok(Answer::ok("the count came out"))
    },
};

/// preadv2(2) with RWF_NOWAIT.
pub static READ_NOW: Probe = Probe {
    name: "read-now",
    chapters: &["eventfd", "procvm"],
    what: "a read of an eventfd that cannot sleep (preadv2, RWF_NOWAIT): Linux 5.8 or later",
    loses: "the roles of eventfd and procvm take nothing from an eventfd",
    necessary: true,
    experiments: &[],
    run: |_| {
        // Without EFD_NONBLOCK: the flag of the call alone is to keep it from sleeping.
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC);
        let event = event.context("eventfd")?;
        let take = || {
            let mut number = [0; size_of::<u64>()];
            let mut room = [IoSliceMut::new(&mut number)];
            preadv2(&event, &mut room, u64::MAX, ReadWriteFlags::NOWAIT)
        };
        match take() {
            Err(Errno::AGAIN) => {}
            other => {
                let n = other.context("preadv2(RWF_NOWAIT)")?;
                bail!("preadv2(RWF_NOWAIT) of a count of 0 = {n}");
            }
        }
        event.write(3).context("write an eventfd")?;
        take().context("preadv2(RWF_NOWAIT)")?;
        Ok(Answer::ok("a count came out, and no call slept"))
    },
};

/// timerfd_create(2).
pub static TIMERFD: Probe = Probe {
    name: "timerfd",
    chapters: &["multiplex"],
    what: "timerfd_create(2) (a time that is read)",
    loses: "programs of your own that wait for a time with poll; no role needs it",
    necessary: false,
    experiments: &[],
    run: |_| {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)
            .context("timerfd_create")?;
        let soon = TimeSpec::from_duration(Duration::from_micros(100));
        timer
            .set(Expiration::OneShot(soon), TimerSetTimeFlags::empty())
            .context("timerfd_settime")?;
        timer.wait().context("read a timerfd")?;
        Ok(Answer::ok("it expired"))
    },
};

/// epoll(7).
pub static EPOLL: Probe = Probe {
    name: "epoll",
    chapters: &["multiplex", "eventfd"],
    what: "epoll(7) (epoll_create1, epoll_ctl, epoll_wait)",
    loses: "multiplex --by epoll, and its experiments",
    necessary: true,
    experiments: &[],
    run: |_| {
        Ok(ready().map_or_else(|e| failed(&e), |()| Answer::ok("one was ready")))
    },
};

fn ready() -> Result<()> {
    let event = EventFd::from_value_and_flags(1, EfdFlags::EFD_CLOEXEC);
    let event = event.context("eventfd")?;
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    let wanted = EpollEvent::new(EpollFlags::EPOLLIN, 7);
    epoll.add(&event, wanted).context("epoll_ctl")?;
    let mut events = [EpollEvent::empty()];
    let n = epoll.wait(&mut events, EpollTimeout::ZERO).context("epoll_wait")?;
    ensure!(n == 1 && events[0].data() == 7, "none was ready");
    Ok(())
}

fn failed(error: &anyhow::Error) -> Answer {
    let answer = Answer::failed(error);
    match wire::errors::errno(error) {
        Some(nix::errno::Errno::ENOSPC) => {
            answer.cure("root raises it: sysctl fs.epoll.max_user_watches=N")
        }
        _ => answer,
    }
}
