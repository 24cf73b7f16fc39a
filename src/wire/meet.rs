//! How two strangers find each other, and who clears the place when they leave.
//!
//! Two processes that were not forked from one parent can only meet at a name. Names
//! live in one directory of the user's own, or in the kernel's name space for queues and
//! shared memory. Beside each name lies `NAME.lock`. Each role shares a lock on its first
//! byte for as long as it lives; whoever can have that byte alone is the first one in, or
//! the last one out, and the last one out removes the name. The kernel frees the lock of
//! a process that was killed, so the next start sees that what it finds is stale.
//! Strangers (`cat`, a Python script) hold no lock.
//!
//! The locks are the traditional ones of fcntl(2). Their one vice, that closing any
//! descriptor of the file drops them, does not hurt a file that is opened once. They have
//! two virtues: F_GETLK tells the owner's pid; and when a process dies the kernel frees
//! them before it closes any pipe or socket, so whoever reads the end of a killed peer's
//! stream finds its lock free. Locks of an open file description, and flock(2)'s, are
//! freed in no such order.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;

use crate::errors::{Advise, usage};
use crate::os::cleanup::{self, Guard, Object};

/// Where the two roles of a chapter meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// At a path: `--at NAME` in the runtime directory, `--at DIR/NAME` anywhere.
    Path,
    /// At a name that only the kernel knows: `/NAME`.
    Kernel,
    /// At a network address; the runtime directory holds only its notes.
    Address,
    /// Nowhere: the two are relatives, or a shell made the link.
    Nowhere,
}

/// One meeting place, as the command line named it.
#[derive(Debug, Clone)]
pub struct At {
    chapter: &'static str,
    meets: Meets,
    given: Option<String>,
    dir: PathBuf,
    ready: Option<i32>,
    peers: Vec<(&'static str, String)>,
}

impl At {
    /// The meeting place of `chapter`; `given` is what `--at` said.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn new(
        chapter: &'static str,
        meets: Meets,
        given: Option<String>,
    ) -> Result<At> {
        if let Some(name) = &given {
            check_name(meets, name)?;
        }
        let dir = runtime_dir();
        Ok(At { chapter, meets, given, dir, ready: None, peers: Vec::new() })
    }

    /// Names the descriptor that gets one line once peers may come (`--ready-fd`).
    #[must_use]
    pub fn announcing(mut self, ready: Option<i32>) -> At {
        self.ready = ready;
        self
    }

    /// Adds the exact command that starts the role `role` at this place.
    #[must_use]
    pub fn with_peer(mut self, role: &'static str, command: String) -> At {
        self.peers.push((role, command));
        self
    }

    /// The exact command that starts the peer, with `IPCLAB_DIR=…` in front where the
    /// other terminal would not find the place by itself.
    pub fn peer(&self, role: &str) -> String {
        let (_, command) =
            self.peers.iter().find(|(name, _)| *name == role).unwrap_or_else(|| {
                panic!("{}: no peer command for {role}", self.chapter)
            });
        match std::env::var("IPCLAB_DIR") {
            Ok(dir) => format!("IPCLAB_DIR={} {command}", quoted(&dir)),
            Err(_) => command.clone(),
        }
    }

    /// The path of a chapter that meets at one, or of the notes that lie beside an
    /// address.
    pub fn path(&self) -> PathBuf {
        match &self.given {
            Some(name) if self.meets == Meets::Path && name.contains('/') => {
                PathBuf::from(name)
            }
            Some(name) if self.meets != Meets::Address => self.dir.join(name),
            _ => self.dir.join(self.chapter),
        }
    }

    /// What `--at` said, as it was said.
    pub fn given(&self) -> Option<&str> {
        self.given.as_deref()
    }

    /// Whether the path is one that the user chose outside the runtime directory.
    pub fn is_users_path(&self) -> bool {
        self.meets == Meets::Path && self.is_users_name()
    }

    /// Whether the name may be one that other programs use too: a path of the user's,
    /// or a kernel name that `--at` gave. What is found there is not ours to remove.
    pub fn is_users_name(&self) -> bool {
        self.given.as_ref().is_some_and(|name| match self.meets {
            Meets::Path => name.contains('/'),
            Meets::Kernel => true,
            Meets::Address | Meets::Nowhere => false,
        })
    }

    /// The name of a kernel object: `/ipclab-UID-CHAPTER`, or what `--at` said.
    pub fn kernel_name(&self) -> String {
        match &self.given {
            Some(name) => format!("/{}", name.trim_start_matches('/')),
            None => format!("{}{}", kernel_prefix(), self.chapter),
        }
    }

    /// The key of a System V object: the 31-bit FNV-1a hash of the kernel name, never 0.
    ///
    /// ftok(3) keeps only 16 bits of the inode and 8 of the device, so it collides.
    pub fn key(&self) -> i32 {
        key_of(&self.kernel_name())
    }

    /// Says that peers may come, on the descriptor of `--ready-fd`.
    ///
    /// # Errors
    /// EBADF when the program was started without that descriptor.
    pub fn ready(&self, address: impl std::fmt::Display) -> Result<()> {
        let Some(number) = self.ready else { return Ok(()) };
        let fd = crate::os::spawn::inherited(number)
            .with_context(|| format!("fcntl --ready-fd {number}"))?;
        writeln!(File::from(fd), "{address}")
            .with_context(|| format!("write --ready-fd {number}"))
    }

    /// The place of an object that an option of the chapter's own names, as if `--at`
    /// had said `name`.
    #[must_use]
    pub fn named(&self, name: String) -> At {
        At { given: Some(name), ..self.clone() }
    }

    /// From now on the peers' commands say `words` where they said `instead_of`.
    #[must_use]
    pub fn saying(mut self, words: &str, instead_of: &str) -> At {
        for (_, command) in &mut self.peers {
            *command = command.replace(instead_of, words);
        }
        self
    }

    /// Makes the runtime directory if it is needed and missing.
    ///
    /// # Errors
    /// When it is a link, someone else's, or open to others' writing.
    pub fn make_dir(&self) -> Result<()> {
        if self.is_users_path() { Ok(()) } else { make_runtime_dir(&self.dir) }
    }

    /// The lock file of this place.
    pub fn lock_path(&self) -> PathBuf {
        let name = match (self.meets, &self.given) {
            (Meets::Kernel, Some(name)) => {
                let name = name.trim_start_matches('/');
                self.dir.join(format!("{}:{name}", self.chapter))
            }
            _ => self.path(),
        };
        with_suffix(&name, ".lock")
    }

    /// Whether a role of ours is in the place now; if none is, what lies here is stale.
    /// For those outside alone: a process that closes a file gives up its locks on it, so
    /// one that is in the place asks [`Place::has_company`].
    pub fn is_inhabited(&self) -> bool {
        let Ok(lock) = File::open(self.lock_path()) else { return false };
        let mut range = byte(libc::F_WRLCK, 0);
        let asked = fcntl(&lock, FcntlArg::F_GETLK(&mut range));
        asked.is_ok() && range.l_type != libc::F_UNLCK as libc::c_short
    }

    /// Enters the place, and stays in it until the [`Place`] is dropped. `role` is a
    /// role of which there can be only one at a time, if it is such a role.
    ///
    /// # Errors
    /// "taken by pid N" when that role is there already.
    pub fn arrive(&self, role: Option<Only>) -> Result<Place> {
        self.make_dir()?;
        let path = self.lock_path();
        loop {
            // A signal between making the lock file and guarding it would leave it there.
            if let Some(place) =
                cleanup::without_signals(|| self.enter(&path, role))?
            {
                return Ok(place);
            }
            wait_for_turn(&path)?;
        }
    }

    /// Tries to enter; `None` while somebody is alone there and makes things whole.
    fn enter(&self, path: &Path, role: Option<Only>) -> Result<Option<Place>> {
        let users = self.is_users_name();
        let (file, alone) = match open_lock(path, self.is_users_path())? {
            Opened::Ours { file, alone } => (file, alone),
            Opened::Busy => return Ok(None),
            Opened::Foreign => {
                let (guard, lock, alone) = (None, None, false);
                return Ok(Some(Place { guard, lock, alone, users }));
            }
        };
        if let Some(role) = role {
            role.take(&file).advise(|_| self.elsewhere())?;
        }
        let lock = Some(file.try_clone().context("dup the lock")?);
        let guard = Some(cleanup::guard(OwnedFd::from(file), path));
        Ok(Some(Place { guard, lock, alone, users }))
    }

    fn elsewhere(&self) -> Option<&'static str> {
        Some("use --at NAME for a meeting place of your own")
    }
}

/// A role of which a meeting place has room for one: a ring's ends, a queue's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The sending end.
    Sender = 1,
    /// The receiving end.
    Receiver = 2,
    /// The server: its name in the file system can be bound to one socket alone.
    Server = 3,
}

impl Only {
    /// Takes the role's byte of the lock file, or says who has it.
    fn take(self, file: &File) -> Result<()> {
        let name = match self {
            Only::Sender => "sender",
            Only::Receiver => "receiver",
            Only::Server => "server",
        };
        let mut range = byte(libc::F_WRLCK, self as i64);
        match fcntl(file, FcntlArg::F_SETLK(&range)) {
            Ok(_) => return Ok(()),
            Err(Errno::EACCES | Errno::EAGAIN) => {}
            Err(error) => return Err(error).context("fcntl(F_SETLK) the lock file"),
        }
        fcntl(file, FcntlArg::F_GETLK(&mut range)).context("fcntl(F_GETLK)")?;
        anyhow::bail!("the {name}'s place is taken by pid {}", range.l_pid)
    }
}

/// A meeting place entered. Dropping it leaves; the last role out removes the name.
#[derive(Debug)]
pub struct Place {
    guard: Option<Guard>,
    lock: Option<File>,
    alone: bool,
    users: bool,
}

impl Place {
    /// Whether nobody was here: what lies here is stale, and nobody comes in before
    /// [`Place::open_to_all`], so that no peer ever sees a thing half made.
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// We found `object` instead of making it. The last one out removes it all the same
    /// if it is ours.
    ///
    /// # Errors
    /// As [`Place::owns`].
    pub fn found(&mut self, object: &Object) -> Result<()> {
        if self.is_ours(object)? { self.owns(object) } else { Ok(()) }
    }

    /// Whether a role of ours made `object`; a thing that the user made stays the user's.
    ///
    /// # Errors
    /// From reading the lock file.
    pub fn is_ours(&self, object: &Object) -> Result<bool> {
        Ok(!self.users || self.noted()?.contains(object))
    }

    /// The last one out removes `object`; the lock file says so, for `ipclab clean`.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn owns(&mut self, object: &Object) -> Result<()> {
        if let (Some(guard), Some(lock)) = (&mut self.guard, &self.lock) {
            guard.add(object);
            note(lock, object).context("write the lock file")?;
        }
        Ok(())
    }

    /// Makes `object` by `make`, as [`Place::owns`]: no signal comes between the two.
    ///
    /// # Errors
    /// What `make` says; as [`Place::owns`].
    pub fn makes<T>(
        &mut self,
        object: &Object,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        cleanup::without_signals(|| {
            let made = make()?;
            self.owns(object)?;
            Ok(made)
        })
    }

    /// What is here waits for someone, so it stays when we leave, and the lock file says
    /// so. Queues and files need none of this: the kernel knows what waits in them.
    ///
    /// # Errors
    /// ENOSPC and the like, from writing the lock file.
    pub fn keep(&mut self) -> Result<()> {
        if let (Some(guard), Some(mut lock)) = (&mut self.guard, self.lock.as_ref())
        {
            guard.keep();
            lock.write_all(PENDING.as_bytes()).context("write the lock file")?;
        }
        Ok(())
    }

    /// We remove `object` when we leave, whoever stays: nobody else uses it.
    ///
    /// # Errors
    /// As [`Place::owns`].
    pub fn owns_alone(&mut self, object: &Object) -> Result<()> {
        if let (Some(guard), Some(lock)) = (&mut self.guard, &self.lock) {
            guard.add_private(object);
            note(lock, object).context("write the lock file")?;
        }
        Ok(())
    }

    /// A queue in which nothing but a goodbye waits goes with the last one out: a role
    /// says so once a receiver of ours has been here, which left before it heard it.
    pub fn lose_goodbye(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.lose_goodbye();
        }
    }

    /// Whether another process plays `role` here just now.
    pub fn has(&self, role: Only) -> bool {
        self.is_held(role as i64)
    }

    /// Whether any other role of ours is here just now.
    pub fn has_company(&self) -> bool {
        self.is_held(0)
    }

    /// Whether another process holds this byte of the lock file, alone or shared.
    fn is_held(&self, place: i64) -> bool {
        let mut range = byte(libc::F_WRLCK, place);
        self.lock.as_ref().is_some_and(|lock| {
            fcntl(lock, FcntlArg::F_GETLK(&mut range)).is_ok()
                && range.l_type != libc::F_UNLCK as libc::c_short
        })
    }

    /// What roles of ours have made here, those that were killed as well.
    ///
    /// # Errors
    /// EIO and the like, from reading the lock file.
    pub fn noted(&self) -> Result<Vec<Object>> {
        let Some(lock) = &self.lock else { return Ok(Vec::new()) };
        notes(lock).context("read the lock file")
    }

    /// Lets peers in, once what they will find is whole.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn open_to_all(&mut self) -> Result<()> {
        if let (true, Some(lock)) = (self.alone, &self.lock) {
            // Atomic, unlike the change from exclusive to shared in flock(2).
            let range = byte(libc::F_RDLCK, 0);
            fcntl(lock, FcntlArg::F_SETLK(&range))
                .context("fcntl(F_SETLK) the lock file")?;
            self.alone = false;
        }
        Ok(())
    }
}

/// What came of opening a lock file.
enum Opened {
    /// Its first byte is ours: alone if nobody is here, else shared.
    Ours { file: File, alone: bool },
    /// Somebody makes the thing, or removes it, just now.
    Busy,
    /// It is in a directory where we may not write: someone else keeps the place.
    Foreign,
}

/// Opens the lock file, and tries to get its first byte. Does not sleep.
fn open_lock(path: &Path, users: bool) -> Result<Opened> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true) // so that the notes of two roles never overwrite each other
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if users && may_not_write(&error) => return Ok(Opened::Foreign),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("open {}", path.display()))
                .advise(|e| why_not(e, path));
        }
    };
    let about = file.metadata().context("fstat the lock file")?;
    if about.uid() != geteuid().as_raw() {
        if users {
            return Ok(Opened::Foreign);
        }
        anyhow::bail!("{} belongs to uid {}", path.display(), about.uid());
    }
    let take = |kind| match fcntl(&file, FcntlArg::F_SETLK(&byte(kind, 0))) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("fcntl(F_SETLK) {}", path.display()))
        }
    };
    let alone = take(libc::F_WRLCK)?;
    let held = alone || take(libc::F_RDLCK)?;
    // The last one out may have unlinked the file between our open and our lock.
    if held && same_file(&file, path) {
        return Ok(Opened::Ours { file, alone });
    }
    Ok(Opened::Busy)
}

/// Sleeps until nobody holds the place alone; whoever does, does not do so for long.
fn wait_for_turn(path: &Path) -> Result<()> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    loop {
        match fcntl(&file, FcntlArg::F_SETLKW(&byte(libc::F_RDLCK, 0))) {
            Err(Errno::EINTR) => {}
            result => {
                let what = || format!("fcntl(F_SETLKW) {}", path.display());
                return result.map(drop).with_context(what);
            }
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => {
            (ours.dev(), ours.ino()) == (there.dev(), there.ino())
        }
        _ => false,
    }
}

/// One byte of a lock file, as fcntl(2) wants it.
pub fn byte(kind: i32, start: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    }
}

/// Whether the place is someone else's: then it is for him to keep.
fn may_not_write(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

fn why_not(error: &anyhow::Error, path: &Path) -> Option<String> {
    let dir = path.parent().unwrap_or(Path::new("/")).display();
    match crate::errors::errno(error)? {
        Errno::ENOENT => Some(format!("make the directory {dir} first")),
        Errno::ELOOP => Some(format!("{} is a link: remove it", path.display())),
        Errno::ENOSPC => {
            Some(format!("no space below {dir}: free some, or set IPCLAB_DIR"))
        }
        _ => None,
    }
}

/// Adds a line for `object` to the lock file, once.
fn note(mut lock: &File, object: &Object) -> std::io::Result<()> {
    if notes(lock)?.contains(object) {
        return Ok(());
    }
    lock.write_all(format!("{}\n", describe(object)).as_bytes())
}

/// The objects that a lock file names: what roles of ours have made there.
///
/// # Errors
/// As read(2).
pub fn notes(lock: &File) -> std::io::Result<Vec<Object>> {
    Ok(text_of(lock)?.lines().filter_map(parse).collect())
}

fn text_of(mut lock: &File) -> std::io::Result<String> {
    let mut text = String::new();
    lock.rewind()?;
    lock.read_to_string(&mut text)?;
    Ok(text)
}

/// The line of a lock file whose objects wait for someone, though nobody is there.
const PENDING: &str = "pending\n";

/// Whether the objects of a lock file wait for someone.
///
/// # Errors
/// As read(2).
pub fn is_pending(lock: &File) -> std::io::Result<bool> {
    Ok(text_of(lock)?.contains(PENDING))
}

/// An object as a line of a lock file; [`parse`] is its inverse.
pub fn describe(object: &Object) -> String {
    match object {
        Object::Path(path) => format!("path {}", path.display()),
        Object::File(path) => format!("file {}", path.display()),
        Object::Queue(name) => format!("queue {name}"),
        Object::Segment(name) => format!("segment {name}"),
        Object::SysvQueue(id) => format!("sysv-queue {id}"),
        Object::SysvSegment(id) => format!("sysv-segment {id}"),
    }
}

/// Reads a line of a lock file.
///
/// ```
/// use ipclab::os::cleanup::Object;
/// use ipclab::wire::meet::{describe, parse};
///
/// let queue = Object::Queue("/ipclab-1000-posixmq".into());
/// assert_eq!(parse(&describe(&queue)), Some(queue));
/// assert_eq!(parse("something else"), None);
/// ```
pub fn parse(line: &str) -> Option<Object> {
    let (kind, name) = line.split_once(' ')?;
    match kind {
        "path" => Some(Object::Path(PathBuf::from(name))),
        "file" => Some(Object::File(PathBuf::from(name))),
        "queue" => Some(Object::Queue(name.into())),
        "segment" => Some(Object::Segment(name.into())),
        "sysv-queue" => name.parse().ok().map(Object::SysvQueue),
        "sysv-segment" => name.parse().ok().map(Object::SysvSegment),
        _ => None,
    }
}

/// `$IPCLAB_DIR`, else `$XDG_RUNTIME_DIR/ipclab`, else `/tmp/ipclab-UID`.
pub fn runtime_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = set("IPCLAB_DIR") {
        return PathBuf::from(dir);
    }
    if let Some(dir) = set("XDG_RUNTIME_DIR") {
        return Path::new(&dir).join("ipclab");
    }
    PathBuf::from(format!("/tmp/ipclab-{}", geteuid()))
}

/// The System V key of a kernel name: its 31-bit FNV-1a hash.
pub fn key_of(kernel_name: &str) -> i32 {
    let hash = fnv1a(kernel_name.as_bytes());
    ((hash ^ (hash >> 31)) & 0x7fff_ffff).max(1) as i32
}

/// How the names of our kernel objects begin: `/ipclab-UID-`, and under `IPCLAB_DIR`
/// eight hexadecimal digits of the directory's name as well.
pub fn kernel_prefix() -> String {
    let dir = std::env::var_os("IPCLAB_DIR").filter(|value| !value.is_empty());
    kernel_prefix_of(dir.as_deref())
}

/// [`kernel_prefix`] as a process sees it that has this `IPCLAB_DIR`.
pub fn kernel_prefix_of(dir: Option<&OsStr>) -> String {
    let uid = geteuid();
    match dir {
        None => format!("/ipclab-{uid}-"),
        Some(dir) => {
            let hash = fnv1a(dir.as_encoded_bytes());
            format!("/ipclab-{uid}-{:08x}-", (hash ^ (hash >> 32)) as u32)
        }
    }
}

fn make_runtime_dir(dir: &Path) -> Result<()> {
    let shown = dir.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let about = match (std::fs::symlink_metadata(dir), made) {
        (Ok(about), _) => about,
        (Err(_), Err(error)) => {
            return Err(error)
                .with_context(|| format!("mkdir {shown}"))
                .advise(|_| Some("set IPCLAB_DIR to a directory of yours"));
        }
        (Err(error), Ok(())) => {
            return Err(error).with_context(|| format!("stat {shown}"));
        }
    };
    let refuse = |why: String| {
        Err(anyhow::anyhow!("{shown} {why}"))
            .advise(|_| Some("set IPCLAB_DIR to a directory of yours alone"))
    };
    if !about.is_dir() {
        return refuse("is not a directory, or is a link to one".into());
    }
    if about.uid() != geteuid().as_raw() {
        return refuse(format!("belongs to uid {}", about.uid()));
    }
    if about.mode() & 0o022 != 0 {
        let mode = about.mode() & 0o7777;
        return refuse(format!("may be written by others (mode {mode:04o})"));
    }
    Ok(())
}

fn check_name(meets: Meets, name: &str) -> Result<()> {
    let bare = match meets {
        Meets::Kernel => name.strip_prefix('/').unwrap_or(name),
        _ => name,
    };
    let bad = match meets {
        Meets::Path => {
            name.is_empty() || name.ends_with('/') || name.ends_with("/..")
        }
        Meets::Kernel => bare.is_empty() || bare.contains('/') || bare.len() > 200,
        Meets::Address | Meets::Nowhere => name.is_empty(),
    };
    if bad || name.contains(['\0', '\n']) || matches!(bare, "." | "..") {
        return Err(usage(format!("--at {}: not a name", quoted(name))));
    }
    Ok(())
}

/// `path` with `suffix` after its last component.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A word as a shell would take it.
///
/// ```
/// use ipclab::wire::meet::quoted;
/// assert_eq!(quoted("fifo"), "fifo");
/// assert_eq!(quoted("my fifo"), "'my fifo'");
/// ```
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
