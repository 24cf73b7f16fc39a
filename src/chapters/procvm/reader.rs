//! The role that reads the target's memory.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::{Pid, write};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::published::find;
use super::{
    ADDRESS, LENGTH, NUMBER, ProcvmOptions, START, TAKEN, WORD, WORDS, drain,
};
use crate::eventfd::value;
use crate::signal::target::{Target as Process, is_gone};
use os::calls::{nix_errno, poll_until};
use os::cleanup::Object;
use os::proc;
use os::process_identity::ProcessIdentity;
use wire::errors::{Advise, PeerGone, errno};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::roles::within;
use wire::say;
use wire::say::Commentary;
use wire::transport::Receiver;

/// The target's memory goes with it, and its pid may be another process's then.
const HAS_ENDED: PeerGone = PeerGone {
    what: "poll() = POLLIN of the target's pidfd: it has ended before it said so",
    errno: Errno::ESRCH,
};

/// How long a process that has no memory any more needs at most to end.
const MOMENT: Duration = Duration::from_secs(1);

/// A table, as it was copied.
type Table = [u64; WORDS];

// ANCHOR: open
/// A process that reads another one's memory.
#[derive(Debug)]
pub(super) struct Reader {
    target: Process,
    table: usize,
    offered: OwnedFd,
    taken: OwnedFd,
    own: ProcessIdentity,
    largest: usize,
    copies: Commentary,
    place: PathBuf,
    presence: Presence,
}

impl Receiver for Reader {
    type Options = ProcvmOptions;

    fn open(rendezvous: &Rendezvous, options: &ProcvmOptions) -> Result<Reader> {
        // Two readers would take the same message: what is read stays where it is.
        let mut presence = rendezvous.arrive(Some(SoleRole::Reader))?;
        let own = ProcessIdentity::own().context("readlink /proc/self")?;
        presence.admit_peers()?;
        rendezvous.ready(rendezvous.path().display())?;
        let (published, target) = find(rendezvous, &mut presence)?;
        let pid = target.pid;
        say!("pidfd_open({pid}): the target that published \"{published}\"");
        let reader = Reader {
            offered: fetch(&target, published.offered)?,
            taken: fetch(&target, published.taken)?,
            table: usize::try_from(published.table).context("an address")?,
            target,
            own,
            largest: options.max_message as usize,
            copies: Commentary::of("process_vm_readv"),
            place: rendezvous.path(),
            presence,
        };
        let (offered, taken) = (published.offered, published.taken);
        say!(
            "pidfd_getfd({offered}), pidfd_getfd({taken}): copies of its two eventfds"
        );
        reader.look()?; // first: an address that is no table's is not written to
        reader.write(START, &[own.start, own.pid.into()])?;
        reader.wake()?;
        say!("process_vm_writev(): our start and our pid are in its table");
        Ok(reader)
    }
    // ANCHOR_END: open

    // ANCHOR: copy
    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let taken = self.take(message);
        if taken.as_ref().err().and_then(errno) == Some(Errno::ESRCH) {
            // It has left its file, which nobody else removes.
            self.presence.adopt(&Object::Path(self.place.clone()))?;
        }
        taken
    }
}

impl Reader {
    fn take(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        loop {
            let table = self.look()?;
            let number = table[NUMBER];
            if number == table[TAKEN] {
                self.sleep()?;
                continue;
            }
            if table[ADDRESS] == 0 {
                self.acknowledge(number)?;
                say!("{number} is the end; process_vm_writev(): taken");
                return Ok(false);
            }
            let there = RemoteIoVec {
                base: usize::try_from(table[ADDRESS]).context("an address")?,
                len: usize::try_from(table[LENGTH]).unwrap_or(usize::MAX),
            };
            let RemoteIoVec { base, len } = there;
            within(self.largest, len)
                .advise(|_| Some("raise --max-message for both roles"))?;
            message.resize(len, 0);
            let copied = self.copy(message, there);
            // The table again: had it changed meanwhile, the bytes may be of two messages.
            if self.look()?[..=LENGTH] != table[..=LENGTH] {
                say!("message {number} has changed while it was copied: once more");
                continue;
            }
            let n = copied.with_context(|| {
                format!("process_vm_readv {} at {base:x}", say::size(len))
            })?;
            if n < len {
                bail!("only {n} of {} at {base:x} are there", say::size(len));
            }
            self.acknowledge(number)?;
            let shown = || {
                let data = say::data(message);
                format!("process_vm_readv({base:x}) = {n}: {data}; taken: {number}")
            };
            self.copies.call(len, shown);
            return Ok(true);
        }
    }

    /// Copies what is `there`; how many bytes. EFAULT, if not even the first page is readable.
    fn copy(&self, bytes: &mut [u8], there: RemoteIoVec) -> nix::Result<usize> {
        let (pid, mut ours) =
            (Pid::from_raw(self.target.pid), [IoSliceMut::new(bytes)]);
        process_vm_readv(pid, &mut ours, &[there])
    }

    /// Copies the table.
    fn look(&self) -> Result<Table> {
        let mut words = [[0; WORD]; WORDS];
        let there = RemoteIoVec { base: self.table, len: WORDS * WORD };
        let copied = self.copy(words.as_flattened_mut(), there);
        self.all_of_table(WORDS * WORD, copied, "process_vm_readv")?;
        Ok(words.map(u64::from_ne_bytes))
    }

    /// What came of a call on `length` bytes of the table. The call takes a pid, and no pidfd: as
    /// long as the target has not ended, the pid is its own.
    fn all_of_table(
        &self,
        length: usize,
        moved: nix::Result<usize>,
        call: &'static str,
    ) -> Result<()> {
        let pidfd = &self.target.pidfd;
        if moved == Err(Errno::ESRCH) {
            // It is just ending: its memory goes before its locks, and the pidfd tells last.
            let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
            poll_until(&mut fds, Some(MOMENT)).context("poll")?;
        }
        if is_gone(pidfd) || moved == Err(Errno::ESRCH) {
            return Err(HAS_ENDED.into());
        }
        let n =
            moved.with_context(|| format!("{call} the table")).advise(why_not)?;
        ensure!(n == length, "{call}: only {n} bytes of the table are there");
        Ok(())
    }
    // ANCHOR_END: copy

    /// Writes words of the table, from the one at `index` on.
    fn write(&self, index: usize, words: &[u64]) -> Result<()> {
        if is_gone(&self.target.pidfd) {
            return Err(HAS_ENDED.into());
        }
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let there =
            RemoteIoVec { base: self.table + index * WORD, len: bytes.len() };
        let pid = Pid::from_raw(self.target.pid);
        let written = process_vm_writev(pid, &[IoSlice::new(&bytes)], &[there]);
        self.all_of_table(bytes.len(), written, "process_vm_writev")
    }

    /// Tells that we have taken the message `number`: from now on the target may change it.
    fn acknowledge(&self, number: u64) -> Result<()> {
        self.write(TAKEN, &[number, self.own.start, self.own.pid.into()])?;
        self.wake()
    }

    fn wake(&self) -> Result<()> {
        write(&self.taken, &1_u64.to_ne_bytes()).context("write the eventfd")?;
        Ok(())
    }

    // ANCHOR: sleep
    /// Sleeps until the target has offered something. The eventfd has no end of file: that the
    /// target has ended, its pidfd tells.
    fn sleep(&self) -> Result<()> {
        let pidfd = &self.target.pidfd;
        let mut fds =
            [&self.offered, pidfd].map(|fd| PollFd::new(fd, PollFlags::IN));
        poll_until(&mut fds, None).context("poll")?;
        match is_gone(pidfd) {
            true => Err(HAS_ENDED.into()),
            false => drain(&self.offered),
        }
    }
    // ANCHOR_END: sleep
}

// ANCHOR: fetch
/// A copy of the target's descriptor `number`, if that is an eventfd: 8 bytes in a file, or in
/// another program's pipe, would do harm.
fn fetch(target: &Process, number: i32) -> Result<OwnedFd> {
    let call = || format!("pidfd_getfd({number}) from pid {}", target.pid);
    let copy = pidfd_getfd(&target.pidfd, number, PidfdGetfdFlags::empty())
        .map_err(nix_errno)
        .with_context(call)
        .advise(why_not)?;
    match value(&copy)? {
        Some(_) => Ok(copy),
        None => bail!("{}: it is no eventfd", call()),
    }
}
// ANCHOR_END: fetch

// ANCHOR: why
/// What EPERM means here: PTRACE_MODE_ATTACH_REALCREDS of ptrace(2).
fn why_not(error: &anyhow::Error) -> Option<&'static str> {
    if errno(error) != Some(Errno::EPERM) {
        return None;
    }
    let scope = proc::text("/proc/sys/kernel/yama/ptrace_scope").ok();
    Some(match scope.as_deref().map(str::trim) {
        Some("1") => {
            "kernel.yama.ptrace_scope is 1: the target must allow it, by \
             prctl(PR_SET_PTRACER)"
        }
        Some("2") => "kernel.yama.ptrace_scope is 2: it takes CAP_SYS_PTRACE",
        Some("3") => "kernel.yama.ptrace_scope is 3: no process may, until a reboot",
        _ => {
            "the target must be of this user, dumpable (PR_SET_DUMPABLE), and have no \
             capability that we have not"
        }
    })
}
// ANCHOR_END: why
