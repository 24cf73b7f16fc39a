//! What must be removed when this process ends, however it ends.
//!
//! A role that is stopped by Ctrl-C may not leave a FIFO, a socket or a queue behind.
//! Each rendezvous that a role has entered stands in one fixed table; the last role
//! out removes what stands there. The same function does it at a normal end, on an
//! error, and inside the handler of SIGINT, SIGTERM, SIGHUP and of `--timeout`'s
//! SIGALRM. So it uses async-signal-safe calls alone (signal-safety(7)) and never
//! frees memory.

use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use super::{signal::retry_on_intr, sysv_semaphore};

pub mod notes;
mod objects;

use notes::{Noted, any_line, beside};
use objects::{Discard, Raw, Removed, c_string, is_ours, remove};
pub use objects::{Object, exists, owner_of, remove_now};

/// A rendezvous that a role has entered. A handler on any thread may read it at any time: so it is
/// changed by single atomic stores alone, and never freed.
struct Entry {
    owner: libc::pid_t,
    lock: OwnedFd,
    lock_path: CString,
    /// How our kernel names begin here.
    prefix: CString,
    /// Go with the last role out.
    objects: Objects,
    /// Go with this process, even if others stay.
    private: Objects,
    /// What is still there waits for another process.
    keep: AtomicBool,
    /// A queue in which only a goodbye waits need not stay.
    discards_goodbye: AtomicBool,
}

/// How many things one role may have made at one rendezvous.
const OBJECTS: usize = 16;

#[derive(Default)]
struct Objects([AtomicPtr<Raw<'static>>; OBJECTS]);

impl Objects {
    /// Adds an object, once.
    fn add(&self, object: &Object) {
        let new = Raw::from(object);
        if self.iter().any(|known| *known == new) {
            return;
        }
        let new = Box::into_raw(Box::new(new));
        let free = ptr::null_mut();
        let found = self.0.iter().any(|slot| {
            let put = slot.compare_exchange(
                free,
                new,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            put.is_ok()
        });
        assert!(found, "one process made more than {OBJECTS} things in one place");
    }

    /// Those that were added. Async-signal-safe.
    fn iter(&self) -> impl Iterator<Item = &Raw<'static>> {
        self.0.iter().filter_map(|slot| {
            // SAFETY: null, or from Box::into_raw; it is not changed or freed after that.
            unsafe { slot.load(Ordering::Acquire).as_ref() }
        })
    }
}

const PLACES: usize = 16;
static TABLE: [AtomicPtr<Entry>; PLACES] =
    [const { AtomicPtr::new(ptr::null_mut()) }; PLACES];

/// How many threads are leaving a rendezvous just now. The process may not end meanwhile: what
/// one thread has taken out of the table, no other removes.
static LEAVING: AtomicU32 = AtomicU32::new(0);

/// Monotonic nanoseconds at which `--timeout` expires; 0 when there is none.
static DEADLINE: AtomicI64 = AtomicI64::new(0);

/// Whether SIGALRM was ignored before we handled it: what others send is ignored still.
static ALARM_IGNORED: AtomicBool = AtomicBool::new(false);

/// An entry of the table; dropping it leaves the rendezvous.
pub struct Guard {
    slot: usize,
    entry: &'static Entry,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guard").field(&self.entry.lock_path).finish()
    }
}

/// Enters a rendezvous whose presence lock (fcntl(2), byte 0 of `lock`) this process
/// holds. Names of our kernel objects begin with `prefix` here.
///
/// # Panics
/// When one process enters more than 16 of them.
pub fn guard(lock: OwnedFd, lock_path: &Path, prefix: &str) -> Guard {
    let entry: &Entry = Box::leak(Box::new(Entry {
        owner: own_pid(),
        lock,
        lock_path: c_string(lock_path.as_os_str().as_bytes()),
        prefix: c_string(prefix.as_bytes()),
        objects: Objects::default(),
        private: Objects::default(),
        keep: AtomicBool::new(false),
        discards_goodbye: AtomicBool::new(false),
    }));
    let new = ptr::from_ref(entry).cast_mut();
    for (number, slot) in TABLE.iter().enumerate() {
        let free = ptr::null_mut();
        if slot
            .compare_exchange(free, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            return Guard { slot: number, entry };
        }
    }
    panic!("one process entered more than {PLACES} meeting places");
}

impl Guard {
    /// The lock file.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.entry.lock.as_fd()
    }

    /// The last role out of this rendezvous removes `object` as well.
    ///
    /// # Panics
    /// When one process makes more than 16 things at a rendezvous.
    pub fn add(&self, object: &Object) {
        self.entry.objects.add(object);
    }

    /// This process removes `object` when it leaves, also if others stay.
    ///
    /// # Panics
    /// As [`Guard::add`].
    pub fn add_private(&self, object: &Object) {
        self.entry.private.add(object);
    }

    /// Nothing is removed after all: what is there waits for another process.
    pub fn keep(&self) {
        self.entry.keep.store(true, Ordering::Release);
    }

    /// A queue in which nothing but a goodbye waits need not stay.
    pub fn discard_goodbye(&self) {
        self.entry.discards_goodbye.store(true, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if without_signals(|| leave(&TABLE[self.slot])) {
            // SAFETY: the descriptor is this entry's own. A borrow of it is a borrow of this
            // guard, and the entry is out of the table, so it is not used after this. (If
            // another thread took it out, the process is about to end.)
            unsafe { libc::close(self.entry.lock.as_raw_fd()) };
        }
    }
}

/// Takes what stands at `slot` out of the table, and clears it; returns whether it was there.
///
/// Async-signal-safe. The entry is leaked on purpose: a handler may be reading it.
fn leave(slot: &AtomicPtr<Entry>) -> bool {
    LEAVING.fetch_add(1, Ordering::AcqRel);
    let entry = slot.swap(ptr::null_mut(), Ordering::AcqRel);
    if !entry.is_null() {
        // SAFETY: the pointer came from Box::into_raw and is never freed.
        clear(unsafe { &*entry });
    }
    LEAVING.fetch_sub(1, Ordering::AcqRel);
    !entry.is_null()
}

/// Leaves all, and waits until other threads have left theirs.
fn leave_all() {
    for slot in &TABLE {
        leave(slot);
    }
    until_all_have_left();
}

/// Waits until all threads that are leaving a rendezvous have left it. Async-signal-safe: a
/// leaving thread holds signals off, so no handler waits for its own thread.
pub(super) fn until_all_have_left() {
    while LEAVING.load(Ordering::Acquire) > 0 {
        // SAFETY: it only lets others run.
        unsafe { libc::sched_yield() };
    }
}

/// Removes what the entry names if this process is the last one there.
fn clear(entry: &Entry) {
    // A forked child inherits the table, but not the duty.
    if entry.owner != own_pid() {
        return;
    }
    for object in entry.private.iter() {
        remove(object, Discard::All);
    }
    // What SEM_UNDO will do at our end must be done before a process looks at the value.
    if entry.objects.iter().any(Raw::has_undo) {
        sysv_semaphore::undo_now();
    }
    let lock = entry.lock.as_raw_fd();
    // Unlock first: two roles that leave at once and only tried to lock would each find
    // the other's lock.
    set_lock(lock, libc::F_UNLCK, 1);
    if set_lock(lock, libc::F_WRLCK, 1) && is_named(lock, &entry.lock_path) {
        let loses = match entry.discards_goodbye.load(Ordering::Acquire) {
            true => Discard::Goodbye,
            false => Discard::Nothing,
        };
        let keep = entry.keep.load(Ordering::Acquire);
        let mut stays = false;
        for object in entry.objects.iter() {
            // What was kept for another process, and is there no more, was taken.
            stays |= match keep {
                true => is_ours(object),
                false => remove(object, loses) == Removed::Waits,
            };
        }
        // While an object stays, its lock file stays beside it, to say what it is: also one
        // that only a peer has noted that was killed.
        if !stays && !names_what_is_there(entry) {
            // SAFETY: a valid C string.
            unsafe { libc::unlink(entry.lock_path.as_ptr()) };
        }
    }
    // All of it: once it has left, other processes may use what it held.
    set_lock(lock, libc::F_UNLCK, 0);
}

/// Whether the lock file names something that is there. Async-signal-safe.
fn names_what_is_there(entry: &Entry) -> bool {
    let path = entry.lock_path.as_bytes();
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (dir, file) = match slash {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b"."[..], path),
    };
    let stem = file.strip_suffix(beside::LOCK.as_bytes()).unwrap_or(file);
    let mut buffer = [0_u8; libc::PATH_MAX as usize];
    any_line(entry.lock.as_fd(), &mut |line| {
        Noted::parse(line)
            .filter(|noted| noted.can_be_of(stem, entry.prefix.as_bytes()))
            .and_then(|noted| Raw::noted(noted, dir, &mut buffer))
            .is_some_and(|object| is_ours(&object))
    })
}

/// Whether the lock file has its name still. If not, a role that left at the same time has
/// removed all, and what is there by now belongs to later processes. Async-signal-safe.
fn is_named(lock: c_int, path: &CString) -> bool {
    // SAFETY: a valid C string, and out-parameters of the right type.
    unsafe {
        let mut ours: libc::stat = std::mem::zeroed();
        let mut there: libc::stat = std::mem::zeroed();
        libc::fstat(lock, &mut ours) == 0
            && libc::lstat(path.as_ptr(), &mut there) == 0
            && (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
    }
}

/// Takes (`F_WRLCK`) or frees (`F_UNLCK`) the first `length` bytes of the lock file, 0 for all,
/// without waiting.
fn set_lock(fd: c_int, kind: c_int, length: libc::off_t) -> bool {
    // SAFETY: flock is plain data; fcntl is async-signal-safe.
    unsafe {
        let mut range: libc::flock = std::mem::zeroed();
        range.l_type = kind as libc::c_short;
        range.l_whence = libc::SEEK_SET as libc::c_short;
        range.l_len = length;
        let lock = || Errno::result(libc::fcntl(fd, libc::F_SETLK, &range));
        retry_on_intr(lock).is_ok()
    }
}

/// Installs the handlers of SIGINT, SIGTERM and SIGHUP, and arms `--timeout`.
///
/// A signal that was ignored when the program began (`nohup`, a background job of a
/// script) stays ignored.
pub fn install(timeout: Option<Duration>) {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        handle(signal);
    }
    if let Some(timeout) = timeout {
        let nanoseconds = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        DEADLINE.store(now().saturating_add(nanoseconds.max(1)), Ordering::Relaxed);
        handle(libc::SIGALRM);
        // Without a timer of its own (RLIMIT_SIGPENDING may be 0) it takes the one that
        // an alarm(2) from outside would have had.
        match timer(timeout, Duration::ZERO, libc::SIGEV_SIGNAL) {
            Ok(_) => {}
            Err(_) => set_timer(timeout),
        }
    }
}

/// Ends the program from any of its threads, with the names removed that the last role
/// out removes.
pub fn exit(status: i32) -> ! {
    without_signals(leave_all);
    std::process::exit(status)
}

/// As [`exit`], with one line on standard error that is in pieces, where nothing can be
/// allocated. Async-signal-safe.
pub(super) fn end_now(line: &[&[u8]], status: i32) -> ! {
    without_signals(|| {
        leave_all();
        let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; 4];
        for (piece, bytes) in pieces.iter_mut().zip(line) {
            piece.iov_base = bytes.as_ptr().cast_mut().cast();
            piece.iov_len = bytes.len();
        }
        // SAFETY: as many pieces as there are, which the kernel only reads; _exit takes a
        // plain number.
        unsafe {
            let count = pieces.len() as c_int;
            libc::writev(libc::STDERR_FILENO, pieces.as_ptr(), count);
            libc::_exit(status)
        }
    })
}

/// While it lives, SIGALRM interrupts this thread every `every`, so that a call which has
/// no timeout of its own (msgrcv, mq_receive), or is slower with one (futex), returns EINTR
/// now and then. It has a timer of its own, so that `--timeout` expires neither early
/// nor late.
#[derive(Debug)]
pub struct Ticks(libc::timer_t);

// SAFETY: any thread of the process may delete a timer; its id is no pointer to data of ours.
unsafe impl Send for Ticks {}

/// Starts [`Ticks`]. Repeated, since one that came just before the call would be lost.
///
/// # Errors
/// EAGAIN, ENOMEM from timer_create(2).
pub fn ticks(every: Duration) -> io::Result<Ticks> {
    // Without SA_RESTART, which would have the kernel begin mq_receive anew.
    handle_with(libc::SIGALRM, 0);
    timer(every, every, libc::SIGEV_THREAD_ID).map(Ticks)
}

/// A timer that sends SIGALRM after `first`, then every `every` unless that is zero: to
/// this thread (`SIGEV_THREAD_ID`), or to the process.
fn timer(first: Duration, every: Duration, to: c_int) -> io::Result<libc::timer_t> {
    let time = |time: Duration| libc::timespec {
        tv_sec: time.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    };
    let times = libc::itimerspec { it_interval: time(every), it_value: time(first) };
    // SAFETY: sigevent is plain data, and all pointers are to values of this frame.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = to;
        event.sigev_notify_thread_id = libc::gettid();
        event.sigev_signo = libc::SIGALRM;
        let mut timer = ptr::null_mut();
        if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) == -1
            || libc::timer_settime(timer, 0, &times, ptr::null_mut()) == -1
        {
            return Err(io::Error::last_os_error());
        }
        Ok(timer)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and is not used after this.
        unsafe { libc::timer_delete(self.0) };
    }
}

fn handle(signal: c_int) {
    handle_with(signal, libc::SA_RESTART);
}

fn handle_with(signal: c_int, flags: c_int) {
    // SAFETY: sigaction with valid arguments; the handler is async-signal-safe.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut old);
        if old.sa_sigaction == libc::SIG_IGN {
            if signal != libc::SIGALRM {
                return;
            }
            ALARM_IGNORED.store(true, Ordering::Relaxed);
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = on_signal as *const () as usize;
        new.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigfillset(&mut new.sa_mask);
        libc::sigaction(signal, &new, ptr::null_mut());
    }
}

extern "C" fn on_signal(
    signal: c_int,
    info: *mut libc::siginfo_t,
    _: *mut libc::c_void,
) {
    // SAFETY: errno of this thread; it must look untouched when a tick returns.
    let errno = unsafe { *libc::__errno_location() };
    let mut timed_out = false;
    if signal == libc::SIGALRM {
        let deadline = DEADLINE.load(Ordering::Relaxed);
        timed_out = deadline != 0 && now() >= deadline;
        // SAFETY: with SA_SIGINFO the kernel passes a whole siginfo_t.
        let of_ours = unsafe { (*info).si_code } == libc::SI_TIMER;
        // What is no tick comes from outside: an alarm(2) before execve(2), a kill(2).
        if !timed_out && (of_ours || ALARM_IGNORED.load(Ordering::Relaxed)) {
            // SAFETY: as above.
            unsafe { *libc::__errno_location() = errno };
            return;
        }
    }
    leave_all();
    // SAFETY: async-signal-safe calls with valid arguments. The signal is blocked until
    // this handler returns; then it ends the process, with the status that says so.
    unsafe {
        if timed_out {
            let text = b"ipclab: ETIMEDOUT: the time of --timeout is over\n";
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
            libc::_exit(124);
        }
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Runs `action` with every signal held off on this thread, so that none comes between
/// the making of a thing and the note that it is ours to remove. It must not sleep.
pub fn without_signals<T>(action: impl FnOnce() -> T) -> T {
    // SAFETY: plain sigset_t values, restored below.
    let before = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let result = action();
    // SAFETY: the mask that was read above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    result
}

fn set_timer(once: Duration) {
    let it_value = libc::timeval {
        tv_sec: once.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_usec: libc::suseconds_t::from(once.subsec_micros()),
    };
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_value, it_interval: never };
    // SAFETY: a valid itimerval.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) };
}

fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid out-parameter; clock_gettime is async-signal-safe.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn own_pid() -> libc::pid_t {
    // SAFETY: getpid cannot fail.
    unsafe { libc::getpid() }
}
