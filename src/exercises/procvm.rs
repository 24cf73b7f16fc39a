//! The exercises of the chapter procvm.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::sys::eventfd::EventFd;
use rustix::process::{PTracer, set_ptracer};

use super::partner::Partner;
use super::row::Exercise;
use os::process_identity::ProcessIdentity;

mod death;
mod reader;
mod stale;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[reader::ROW, stale::ROW, death::ROW];

/// Publishes a line at the place, once the learner's program may read this process's memory.
fn publish(partner: &Partner, line: &str) -> Result<()> {
    let _ = set_ptracer(PTracer::Any); // EINVAL where there is no Yama
    let written = std::fs::write(partner.scene.place(), format!("{line}\n"));
    partner.call(&format!("write({line:?}) to PLACE"), written)
}

/// Removes the place.
fn withdraw(partner: &Partner) -> Result<()> {
    std::fs::remove_file(partner.scene.place()).context("unlink")
}

/// The words of a table: chapters/procvm.rs.
const NUMBER: usize = 0;
const ADDRESS: usize = 1;
const LENGTH: usize = 2;
const TAKEN: usize = 3;
const READER: usize = 5;

/// This process as a target.
struct Target {
    table: Box<[AtomicU64; 6]>,
    offered: EventFd,
    taken: EventFd,
}

impl Target {
    /// A target that has published itself, with `start` more than its start time, or with 0; and
    /// whose place has been opened by the learner's program.
    fn published(partner: &Partner, start: Option<u64>) -> Result<Target> {
        let event = || EventFd::new().context("eventfd");
        let table = Box::new([const { AtomicU64::new(0) }; 6]);
        let target = Target { table, offered: event()?, taken: event()? };
        let own = ProcessIdentity::own().context("readlink /proc/self")?;
        let start = start.map_or(0, |more| own.start + more);
        let address = target.table.as_ptr().expose_provenance();
        let (offered, taken) =
            (target.offered.as_raw_fd(), target.taken.as_raw_fd());
        let pid = own.pid;
        publish(partner, &format!("{pid} {start} {address:x} {offered} {taken}"))?;
        partner.until_opened(std::path::Path::new(&partner.scene.place()))?;
        Ok(target)
    }

    /// Offers `text` as the message `number`; the end, without one.
    fn offer(
        &self,
        partner: &Partner,
        number: u64,
        text: Option<&str>,
    ) -> Result<()> {
        let address = text.map_or(0, |text| text.as_ptr().expose_provenance());
        let length = text.map_or(0, str::len);
        self.table[ADDRESS].store(address as u64, Ordering::SeqCst);
        self.table[LENGTH].store(length as u64, Ordering::SeqCst);
        self.table[NUMBER].store(number, Ordering::SeqCst);
        let shown = text.map_or("the end".to_owned(), |text| format!("{text:?}"));
        let offered = self.offered.write(1);
        partner.call(&format!("offers {number}: {shown}"), offered).map(drop)
    }

    /// Waits until the learner's program has taken the message `number`.
    fn until_taken(&self, partner: &Partner, number: u64) -> Result<()> {
        partner.until(&format!("taken = {number} in the table"), || {
            (self.table[TAKEN].load(Ordering::SeqCst) == number).then_some(())
        })
    }

    /// Whether the learner's program has stored into the table.
    fn is_written(&self) -> bool {
        let words = &self.table[TAKEN..=READER];
        words.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }
}
