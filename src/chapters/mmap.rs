//! mmap(2) puts a file into the address space: a load reads it, a store writes it, and all
//! processes that map it MAP_SHARED see the same pages, the kernel's cache of the file. The
//! ring of shared memory, in a file that stays when its processes end. By the crate memmap2.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::errno::Errno;

use os::cleanup::Object;
use os::owner::Owner;
use os::shared::{Shared, map_raw};
use wire::chapter::{
    Lack, NoMore, OnPeerDeath, OneWay, Part, Role, Row, Script, Shown, Side,
};
use wire::errors::{Advise, errno};
use wire::meet::{FileKind, Meets, Rendezvous, is_taken};
use wire::ring::ends::{BackingOptions, RingOptions, RingReceiver, RingSender};
use wire::ring::join::{Backing, Found, allocate};
use wire::ring::{self, DATA, Flaw};
use wire::say;

// ANCHOR: file
/// The file that both map.
#[derive(Debug)]
struct RingFile {
    path: PathBuf,
}

impl Backing for RingFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn find(&self) -> Result<Option<Found>> {
        let name = self.path.display();
        if !self.is_there()? {
            return Ok(None);
        }
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.path)
            .with_context(|| format!("open {name}"))?;
        let object = Object::Path(self.path.clone());
        let about = file.metadata().context("fstat")?;
        let (length, owner) = (about.len(), Some(Owner::from(&about)));
        if length == 0 {
            return Ok(Some(Found { object, owner, memory: None }));
        }
        // By pread(2) and before it is mapped: a load from a page that the file does not
        // have is no error, it is SIGBUS.
        let mut header = [0; DATA];
        let read = file.read_exact_at(&mut header, 0);
        let checked = match read {
            Ok(()) => ring::check(&header, length),
            Err(_) => Err(Flaw::NoRing),
        };
        if let Err(flaw) = checked
            && flaw != Flaw::Uninitialized
        {
            return Err(flaw).with_context(|| self.name()).advise(|_| {
                Some("it is left as it is: remove it, or use --at NAME for another")
            });
        }
        let memory = self.map(&file, length as usize)?;
        let size = say::size(length as usize);
        say!(
            "open({name}, O_RDWR), pread() of the header, mmap({size}, MAP_SHARED)"
        );
        Ok(Some(Found { object, owner, memory: Some(memory) }))
    }

    fn object(&self) -> Option<Object> {
        Some(Object::Path(self.path.clone()))
    }

    fn make(&self, length: usize) -> Result<(Shared, Object)> {
        let name = self.path.display();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .with_context(|| format!("open {name}"))?;
        say!("open({name}, O_CREAT | O_EXCL | O_RDWR, 0600) made the file");
        // ftruncate(2) would leave holes, and a store into a hole that the full disk
        // cannot fill is SIGBUS.
        let map = || {
            allocate(&file, length)
                .with_context(|| format!("posix_fallocate {name}"))
                .advise(no_room)?;
            self.map(&file, length)
        };
        let memory = map().inspect_err(|_| {
            let _ = std::fs::remove_file(&self.path);
        })?;
        let size = say::size(length);
        say!("posix_fallocate({size}), mmap({size}, MAP_SHARED)");
        Ok((memory, Object::Path(self.path.clone())))
    }
}

impl RingFile {
    /// `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)`
    fn map(&self, file: &File, length: usize) -> Result<Shared> {
        // The mapping needs the descriptor no more.
        map_raw(file, length)
            .with_context(|| format!("mmap {}", self.path.display()))
    }

    /// Whether a file is there; what is no file is refused.
    fn is_there(&self) -> Result<bool> {
        match FileKind::at(&self.path)? {
            Some(FileKind::Regular) => Ok(true),
            None => Ok(false),
            Some(FileKind::Socket | FileKind::Device) => {
                Err(is_taken(&self.path, "no file"))
            }
            Some(kind) => Err(is_taken(&self.path, kind)),
        }
    }
}
// ANCHOR_END: file

fn no_room(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::ENOSPC => {
            Some("no space left there: free some, or take a smaller --capacity")
        }
        Errno::EDQUOT => {
            Some("your quota is used up: free some, or take a smaller --capacity")
        }
        Errno::EFBIG => Some("over the limit of a file's size (ulimit -f)"),
        _ => None,
    }
}

/// The options of both roles.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct MmapOptions {
    #[command(flatten)]
    ring: RingOptions,
}

// ANCHOR: roles
impl BackingOptions for MmapOptions {
    fn backing(&self, rendezvous: &Rendezvous) -> Box<dyn Backing> {
        Box::new(RingFile { path: rendezvous.path() })
    }

    fn ring(&self) -> RingOptions {
        self.ring
    }
}
// ANCHOR_END: roles

/// The chapter.
#[derive(Debug)]
pub struct Mmap;

impl OneWay for Mmap {
    const ROW: Row = Row {
        name: "mmap",
        summary: "a file in the memory of both processes (mmap)",
        also: &[
            "memory-mapped file",
            "mapped file",
            "map",
            "memory map",
            "shared memory",
            "msync",
            "memory",
        ],
        wire: "the ring of shm, in a file: a header, then messages with their length \
               in 4 bytes, little-endian, before each",
        roles: &[
            Role {
                name: "receiver",
                side: Side::Left,
                does: "maps the file, reads the ring in it and prints what is there",
                examples: &["mmap receiver", "mmap receiver --at ./ring"],
            },
            Role {
                name: "sender",
                side: Side::Right,
                does: "maps the file and writes messages into the ring in it",
                examples: &["mmap sender hello", "mmap sender --at ./ring hello"],
            },
        ],
        meets: Meets::Path,
        on_peer_death: OnPeerDeath::Error,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "receiver", args: &[] },
                Part { role: "sender", args: &["hello", "through mapped pages"] },
            ],
            prints: "receiver",
            expect: "hello\nthrough mapped pages\n",
        },
        lacks: &[
            Lack {
                what: "A sender that is killed wakes nobody: the receiver sleeps \
                       for ever.",
                shown: Shown::Test("mmap", "a_receiver_notices"),
                answer: ("wire/ring/wait.rs", "wait"),
            },
            Lack {
                what: "There is room for one line: without a receiver the sender \
                       sleeps at its first message, and cannot leave it there.",
                shown: Shown::Test("mmap", "what_nobody_has_read"),
                answer: ("wire/ring/flow.rs", "writer"),
            },
            Lack {
                what: "What a killed sender of an earlier run has left is not told \
                       from the line of this one.",
                shown: Shown::Experiment("kill-nine"),
                answer: ("wire/ring/ends.rs", "roles"),
            },
            Lack {
                what: "Any other file under this name is cut to 4,096 bytes, taken \
                       for a slot and removed.",
                shown: Shown::Test("mmap", "a_file_that_is_no_ring"),
                answer: ("chapters/mmap.rs", "file"),
            },
            Lack {
                what: "That another process may cut the file short meanwhile is not \
                       expected.",
                shown: Shown::Experiment("peer-truncates"),
                answer: ("chapters/mmap.rs", "file"),
            },
            Lack {
                what: "A full file system is not noticed in time.",
                shown: Shown::Experiment("full-disk"),
                answer: ("chapters/mmap.rs", "file"),
            },
        ],
    };
    type Sender = RingSender<MmapOptions>;
    type Receiver = RingReceiver<MmapOptions>;
    type More = NoMore;
}
