//! Memory without a name: memfd_create(2) gives a descriptor of a file that is nowhere.
//! Another process opens it through `/proc/PID/fd/N`, which a note in the runtime directory
//! tells, or is passed the descriptor. It lives as long as a process holds it. Sealed
//! against shrinking, its size can be trusted: a peer that could cut it short could kill us
//! with SIGBUS.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::geteuid;

use os::cleanup::Object;
use os::cleanup::notes::beside;
use os::shared::{Shared, mmap};
use os::signal::retry_on_intr;
use wire::errors::{Advise, errno};
use wire::meet::{self, Rendezvous};
use wire::ring::join::{Backing, Found, allocate};
use wire::say;
use wire::transfer::write_all;

/// The memory that this note tells of.
#[derive(Debug)]
pub struct Memfd {
    /// A file that holds `/proc/PID/fd/N`.
    pub note: PathBuf,
}

// ANCHOR: memfd
/// Its size stays as it is, and so do these seals. (F_SEAL_WRITE cannot be had: the memory
/// is mapped for writing.)
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

impl Backing for Memfd {
    fn name(&self) -> String {
        format!("the memory that {} tells of", self.note.display())
    }

    fn find(&self) -> Result<Option<Found>> {
        let Some(path) = self.read_note()? else { return Ok(None) };
        let (object, owner) = (Object::Path(self.note.clone()), None);
        // Opening what is no memfd could do anything: a FIFO's writer would wake up.
        let target = std::fs::read_link(&path).unwrap_or_default();
        if !target.to_string_lossy().starts_with("/memfd:") {
            return Ok(Some(Found { object, owner, memory: None }));
        }
        let opened = File::options().read(true).write(true).open(&path);
        let file = match opened {
            // The process that made it has ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some(Found { object, owner, memory: None }));
            }
            result => result.with_context(|| format!("open {path}"))?,
        };
        let seals = retry_on_intr(|| fcntl(&file, FcntlArg::F_GET_SEALS))
            .context("fcntl(F_GET_SEALS)")?;
        if seals & SealFlag::F_SEAL_SHRINK.bits() == 0 {
            bail!(
                "{path} is not sealed against shrinking: its size cannot be trusted"
            );
        }
        let about = file.metadata().context("fstat")?;
        if about.uid() != geteuid().as_raw() {
            bail!("{path} belongs to uid {}", about.uid());
        }
        let length = about.len() as usize;
        let memory = mmap(&file, length).with_context(|| format!("mmap {path}"))?;
        let size = say::size(length);
        say!("open({path}, O_RDWR) = {}: the same memory", file.as_raw_fd());
        say!("fcntl(F_GET_SEALS) says F_SEAL_SHRINK: mmap({size}, MAP_SHARED)");
        Ok(Some(Found { object, owner, memory: Some(memory) }))
    }

    fn object(&self) -> Option<Object> {
        Some(Object::Path(self.note.clone()))
    }

    fn make(&self, length: usize) -> Result<(Shared, Object)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create("ipclab-ring", flags).context("memfd_create")?;
        allocate(&fd, length)
            .context("posix_fallocate the memfd")
            .advise(no_memory)?;
        retry_on_intr(|| fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS)))
            .context("fcntl(F_ADD_SEALS)")?;
        let memory = mmap(&fd, length).context("mmap the memfd")?;
        let size = say::size(length);
        say!("memfd_create(ipclab-ring) = {}, {size}", fd.as_raw_fd());
        say!(
            "fcntl(F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), mmap()"
        );
        let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        self.write_note(&path)?;
        // Open until this process ends: the note leads to it.
        std::mem::forget(fd);
        Ok((memory, Object::Path(self.note.clone())))
    }

    /// The kernel frees it with the last process that holds it.
    fn lasts(&self) -> bool {
        false
    }
}
// ANCHOR_END: memfd

impl Memfd {
    fn write_note(&self, text: &str) -> Result<()> {
        let note = self.note.display();
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.note)
            .with_context(|| format!("open {note}"))?;
        let written = write_all(&file, format!("{text}\n").as_bytes());
        if written.is_err() {
            let _ = std::fs::remove_file(&self.note);
        }
        written.with_context(|| format!("write {note}"))?;
        say!("{note} tells where it is: {text}");
        Ok(())
    }

    fn read_note(&self) -> Result<Option<String>> {
        let Some(text) = meet::published(&self.note)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text).trim_end().to_owned();
        // Nothing else is opened, whatever the note says.
        let is_number = |part: Option<&str>| {
            part.is_some_and(|part| part.parse::<u32>().is_ok())
        };
        let mut parts = text.split('/');
        let fits = (parts.next(), parts.next()) == (Some(""), Some("proc"))
            && is_number(parts.next())
            && parts.next() == Some("fd")
            && is_number(parts.next())
            && parts.next().is_none();
        Ok(Some(if fits { text } else { String::new() }))
    }
}

/// Where the note of a place lies: beside its lock file.
pub(super) fn note_of(rendezvous: &Rendezvous) -> PathBuf {
    meet::with_suffix(&rendezvous.lock_path().with_extension(""), beside::MEMFD)
}

fn no_memory(error: &anyhow::Error) -> Option<&'static str> {
    matches!(errno(error)?, Errno::ENOSPC | Errno::ENOMEM)
        .then_some("no memory for it; take a smaller --capacity")
}
