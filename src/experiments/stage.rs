//! The stage on which an experiment's processes play: a directory of its own, forked
//! children that are always reaped, gates that force an order, and the report.
//!
//! Nothing here makes the calls that an experiment is about: those stand in its own code.

use std::fmt::Display;
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::pipe2;
use rustix::io::{readv, retry_on_intr};
use rustix::process::{getppid, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::Child;
use super::record::{Record, Returned};
use doctor::ask;
use doctor::probe::{Place, Probe};
use os::cleanup::Object;
use os::shm_file::semaphore_path;
use os::spawn::{Forked, fork};
use wire::dirs::LIST;
use wire::meet::{describe, kernel_prefix_of};
use wire::transfer::write_all;

/// Where an experiment runs. A forked child has its own, with the name of its part.
#[derive(Debug)]
pub struct Stage {
    who: &'static str,
    scratch: PathBuf,
    report: Rc<OwnedFd>,
}

impl Stage {
    /// The stage of this process, which reports on `report`.
    pub(super) fn of(scratch: &Path, report: OwnedFd) -> Stage {
        let (who, scratch) = ("main", scratch.to_owned());
        Stage { who, scratch, report: Rc::new(report) }
    }

    /// `name` in a directory that is this run's own and goes with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The name of a POSIX queue of this run's own, `/…-name`; it is removed in the end.
    pub fn queue(&self, name: &str) -> String {
        let name = self.kernel_name(name);
        self.made(&Object::Queue(name.clone()));
        name
    }

    /// The name of a POSIX shared memory object of this run's own; removed in the end.
    pub fn segment(&self, name: &str) -> String {
        let name = self.kernel_name(name);
        self.made(&Object::Segment(name.clone()));
        name
    }

    /// The name of a POSIX semaphore of this run's own; it is removed in the end.
    pub fn semaphore(&self, name: &str) -> String {
        let name = self.kernel_name(name);
        self.made(&Object::Semaphore(semaphore_path(&name), u32::MAX));
        name
    }

    fn kernel_name(&self, name: &str) -> String {
        kernel_prefix_of(Some(self.scratch.as_os_str())) + name
    }

    /// Has something removed in the end, however this run ends: a System V identifier.
    pub fn made(&self, object: &Object) {
        let line = describe(object);
        // Should the director be killed, `ipclab clean` or the next run reads it there.
        let list = File::options().append(true).open(self.path(LIST));
        let _ =
            list.and_then(|mut list| list.write_all(format!("{line}\n").as_bytes()));
        self.tell(&Record::Made(line));
    }

    /// Reports a call that mattered, written as C would write it, and what it returned.
    pub fn call(&self, call: impl Display, returned: &impl Returned) {
        self.tell(&Record::Call {
            who: self.who.to_owned(),
            call: self.without_paths(&call.to_string()),
            returned: self.without_paths(&returned.shown()),
        });
    }

    /// Reports what happened to the process `who`, and is no call of its own.
    pub fn event(&self, who: &str, text: impl Display) {
        let text = self.without_paths(&text.to_string());
        self.tell(&Record::Event { who: who.to_owned(), text });
    }

    /// Reports an observation: the data that the answer is computed from.
    pub fn saw(&self, what: &str, value: impl Into<serde_json::Value>) {
        self.tell(&Record::Saw { what: what.to_owned(), value: value.into() });
    }

    /// Reports a setting of this machine that bears on the answer, as measured.
    pub fn note(&self, text: impl Display) {
        self.tell(&Record::Note(text.to_string()));
    }

    /// Ends the run where it cannot be made, and reports what is missing. `ipclab doctor` asks the
    /// same probe.
    ///
    /// # Errors
    /// If the probe finds that it is missing.
    pub fn needs(&self, probe: &'static Probe) -> Result<()> {
        let there = ask::one(probe, &Place::at(&self.scratch))?.is_there();
        if there { Ok(()) } else { Err(Missing(probe.what).into()) }
    }

    /// fork(2): `part` is played by a child called `who`, and its result is what
    /// [`Child::join`] returns. The child dies with its parent.
    ///
    /// # Errors
    /// EAGAIN at the limit of processes.
    pub fn fork<T: Serialize + DeserializeOwned>(
        &self,
        who: &'static str,
        part: impl FnOnce(&Stage) -> Result<T>,
    ) -> Result<Child<T>> {
        let (theirs, ours) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let parent = rustix::process::getpid();
        match fork().context("fork")? {
            Forked::Parent(pid) => Ok(Child::of(pid, who, theirs)),
            Forked::Child => {
                drop(theirs);
                let kill = rustix::process::Signal::KILL;
                let _ = set_parent_process_death_signal(Some(kill));
                if getppid() != Some(parent) {
                    std::process::exit(1); // the parent was gone before prctl(2)
                }
                let (scratch, report) = (self.scratch.clone(), self.report.clone());
                let outcome = part(&Stage { who, scratch, report });
                let outcome = outcome.map_err(|e| wire::errors::line(&e));
                let line = serde_json::to_vec(&outcome).unwrap_or_default();
                let sent = write_all(&ours, &line);
                std::process::exit(i32::from(outcome.is_err() || sent.is_err()));
            }
        }
    }

    /// A gate through which processes pass in the order that the experiment wants.
    ///
    /// # Errors
    /// EMFILE at the limit of open files.
    pub fn gate(&self) -> Result<Gate> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_SEMAPHORE;
        let passes = EventFd::from_value_and_flags(0, flags).context("eventfd")?;
        Ok(Gate { passes })
    }

    pub(super) fn tell(&self, record: &Record) {
        // The director has gone only when this run is about to be killed.
        let _ = write_all(&self.report, record.line().as_bytes());
    }

    /// The report is the same in every run: its directory and names are left out.
    fn without_paths(&self, text: &str) -> String {
        let kernel = kernel_prefix_of(Some(self.scratch.as_os_str()));
        let dir = format!("{}/", self.scratch.display());
        text.replace(&dir, "").replace(&kernel, "/")
    }
}

/// Closed until another process opens it: an eventfd(2) that counts passes.
#[derive(Debug)]
pub struct Gate {
    passes: EventFd,
}

impl Gate {
    /// Lets `passes` processes through, now or when they come.
    ///
    /// # Errors
    /// None that these arguments can cause.
    pub fn open(&self, passes: u64) -> Result<()> {
        self.passes.write(passes).context("write an eventfd")?;
        Ok(())
    }

    /// Sleeps until the gate is open, and uses up one pass. It sleeps in readv(2), so that
    /// it is not taken for an experiment's own read(2).
    ///
    /// # Errors
    /// None that these arguments can cause.
    pub fn pass(&self) -> Result<()> {
        let mut pass = [0; size_of::<u64>()];
        let read = || readv(&self.passes, &mut [IoSliceMut::new(&mut pass)]);
        retry_on_intr(read).context("readv an eventfd")?;
        Ok(())
    }
}

/// What an experiment needs, and this machine or this user does not have.
#[derive(Debug, thiserror::Error)]
#[error("needs {0}")]
pub(super) struct Missing(pub(super) &'static str);
