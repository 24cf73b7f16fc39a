//! Signals by number, with their values: nix's `Signal` names no real-time signal, and
//! its `SigSet::wait` panics on one.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use nix::errno::Errno;

/// What the kernel reports of one signal that was taken: fields of siginfo_t, sigaction(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The number of the signal.
    pub signal: i32,
    /// How it was sent: `SI_USER` by kill(2), `SI_QUEUE` by sigqueue(3).
    pub code: i32,
    /// The process that sent it; of a queued signal, what the *sender* claims.
    pub pid: i32,
    /// The sender's real user id, likewise.
    pub uid: u32,
    /// The value that came with it, if it was queued.
    pub value: i32,
}

/// `sigaction(signal, NULL, &now)`: whether this process ignores a signal, as nohup(1) makes
/// it ignore SIGHUP.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: sigaction is plain data, and without a new one the call only looks.
    unsafe {
        let mut now: libc::sigaction = zeroed();
        libc::sigaction(signal, ptr::null(), &mut now);
        now.sa_sigaction == libc::SIG_IGN
    }
}

/// `sigpending(&set)`: whether a signal waits, held off, that ends a role: SIGINT, SIGTERM,
/// SIGHUP, or the SIGALRM of `--timeout`. A long step looks now and then.
pub fn is_to_end() -> bool {
    // SAFETY: an out-parameter of the right type, then a look into it.
    unsafe {
        let mut set = zeroed();
        let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGALRM];
        libc::sigpending(&mut set) == 0
            && ends.iter().any(|signal| libc::sigismember(&set, *signal) == 1)
    }
}

/// `sigaction(signal, SIG_IGN, NULL)`. Of SIGCHLD it means more than of the others: the
/// kernel keeps nothing of a child that ends, so that there is no zombie (sigaction(2)).
///
/// # Errors
/// EINVAL for SIGKILL and SIGSTOP, which cannot be ignored.
pub fn ignore(signal: i32) -> io::Result<()> {
    dispose(signal, libc::SIG_IGN)
}

/// `sigaction(signal, SIG_DFL, NULL)`: the process that started us may have had it ignored, and
/// that is inherited over execve(2).
///
/// # Errors
/// As [`ignore`].
pub fn reset(signal: i32) -> io::Result<()> {
    dispose(signal, libc::SIG_DFL)
}

fn dispose(signal: i32, what: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: neither has a handler that could go wrong.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = what;
        succeeded(libc::sigaction(signal, &action, ptr::null_mut())).map(drop)
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl Set {
    /// `sigemptyset()`, then `sigaddset()` for each of these numbers.
    pub fn of(signals: &[i32]) -> Set {
        // SAFETY: a plain set, made by sigemptyset; a number that is none is refused.
        unsafe {
            let mut set = zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            Set(set)
        }
    }

    /// `sigprocmask(SIG_BLOCK, set, NULL)`: from now on these wait until they are taken.
    ///
    /// # Errors
    /// None that these arguments can cause.
    pub fn block(&self) -> io::Result<()> {
        self.mask(libc::SIG_BLOCK)
    }

    /// `sigprocmask(SIG_UNBLOCK, set, NULL)`: those that wait are delivered before it
    /// returns.
    ///
    /// # Errors
    /// None that these arguments can cause.
    pub fn unblock(&self) -> io::Result<()> {
        self.mask(libc::SIG_UNBLOCK)
    }

    fn mask(&self, how: i32) -> io::Result<()> {
        // SAFETY: a valid set, and no out-parameter.
        let done = unsafe { libc::sigprocmask(how, &self.0, ptr::null_mut()) };
        succeeded(done).map(drop)
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: a valid set.
        let holds =
            |signal: &i32| unsafe { libc::sigismember(&self.0, *signal) == 1 };
        f.debug_set().entries((1..=libc::SIGRTMAX()).filter(holds)).finish()
    }
}

/// Makes `call` again as long as it fails with EINTR: a handler ran, and went back.
///
/// # Errors
/// As `call`, otherwise.
pub fn retry_on_intr<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// `sigwaitinfo(set, &info)`: takes the lowest of the signals that wait; sleeps while
/// there is none.
///
/// # Errors
/// EINTR, when the handler of another signal ran.
pub fn sigwaitinfo(set: &Set) -> io::Result<Info> {
    // SAFETY: a valid set, and an out-parameter of the right type.
    unsafe {
        let mut info = zeroed();
        succeeded(libc::sigwaitinfo(&set.0, &mut info))?;
        Ok(of_siginfo(&info))
    }
}

/// `signalfd(-1, set, SFD_CLOEXEC)`: a descriptor that is readable while one waits.
///
/// # Errors
/// EMFILE at the limit of open files.
pub fn signalfd(set: &Set) -> io::Result<OwnedFd> {
    // SAFETY: a valid set; nothing else owns the descriptor that is returned.
    unsafe {
        let fd = succeeded(libc::signalfd(-1, &set.0, libc::SFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `read(signalfd, &info, 128)`: takes the lowest of the signals that wait; sleeps while
/// there is none.
///
/// # Errors
/// EINTR, when the handler of another signal ran.
pub fn read_signalfd(fd: impl AsFd) -> nix::Result<Info> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: plain data, and its own size; the kernel writes all of it or nothing.
    unsafe {
        let mut info: libc::signalfd_siginfo = zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        let n = libc::read(fd, (&raw mut info).cast(), size);
        Errno::result(n)?;
        Ok(Info {
            signal: info.ssi_signo as i32,
            code: info.ssi_code,
            pid: info.ssi_pid as i32,
            uid: info.ssi_uid,
            value: info.ssi_int,
        })
    }
}

/// Where the handler puts what it was told: atomics, which a handler may store.
static CAUGHT: Slot = Slot {
    full: AtomicBool::new(false),
    signal: AtomicI32::new(0),
    code: AtomicI32::new(0),
    pid: AtomicI32::new(0),
    uid: AtomicU32::new(0),
    value: AtomicI32::new(0),
};

struct Slot {
    full: AtomicBool,
    signal: AtomicI32,
    code: AtomicI32,
    pid: AtomicI32,
    uid: AtomicU32,
    value: AtomicI32,
}

/// `sigaction(signal, { handler, SA_SIGINFO, sa_mask }, NULL)` for each of `signals`,
/// with all of them in `sa_mask`: while the handler runs for one, the others wait.
///
/// # Errors
/// EINVAL for SIGKILL and SIGSTOP, which cannot be caught.
pub fn catch(signals: &[i32]) -> io::Result<()> {
    for signal in signals {
        // SAFETY: a valid sigaction; the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            action.sa_mask = Set::of(signals).0;
            succeeded(libc::sigaction(*signal, &action, ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// `sigaction(signal, { handler, SA_SIGINFO | SA_RESTART }, NULL)`: as [`catch`], but a call
/// that the handler interrupts is made again, if it is one of those that can be.
///
/// # Errors
/// EINVAL for SIGKILL and SIGSTOP, which cannot be caught.
pub fn catch_restarting(signal: i32) -> io::Result<()> {
    // SAFETY: a valid sigaction; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        succeeded(libc::sigaction(signal, &action, ptr::null_mut())).map(drop)
    }
}

/// Keeps what came with the signal. Async-signal-safe: it only stores atomics.
extern "C" fn on_signal(
    signal: i32,
    info: *mut libc::siginfo_t,
    _: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a whole siginfo_t.
    let info = of_siginfo(unsafe { &*info });
    CAUGHT.signal.store(signal, Ordering::Relaxed);
    CAUGHT.code.store(info.code, Ordering::Relaxed);
    CAUGHT.pid.store(info.pid, Ordering::Relaxed);
    CAUGHT.uid.store(info.uid, Ordering::Relaxed);
    CAUGHT.value.store(info.value, Ordering::Relaxed);
    CAUGHT.full.store(true, Ordering::Release);
}

/// `sigsuspend(mask)`, with the mask of this moment less `set`: unblocks the set, sleeps
/// until a handler has run, and blocks it again, with no gap for a signal to be lost in.
/// `None` when the handler that ran was not [`catch`]'s.
pub fn sigsuspend(set: &Set) -> Option<Info> {
    // SAFETY: valid sets; sigsuspend returns once a handler has run.
    unsafe {
        let mut mask = zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
        for signal in 1..=libc::SIGRTMAX() {
            if libc::sigismember(&set.0, signal) == 1 {
                libc::sigdelset(&mut mask, signal);
            }
        }
        libc::sigsuspend(&mask);
    }
    CAUGHT.full.swap(false, Ordering::Acquire).then(|| Info {
        signal: CAUGHT.signal.load(Ordering::Relaxed),
        code: CAUGHT.code.load(Ordering::Relaxed),
        pid: CAUGHT.pid.load(Ordering::Relaxed),
        uid: CAUGHT.uid.load(Ordering::Relaxed),
        value: CAUGHT.value.load(Ordering::Relaxed),
    })
}

/// `pidfd_send_signal(pidfd, signal, NULL, 0)`: what kill(2) does, but never to another
/// process that has got the same pid since.
///
/// # Errors
/// ESRCH when the process is gone; EPERM when it is another user's.
pub fn pidfd_kill(pidfd: impl AsFd, signal: i32) -> nix::Result<()> {
    send(pidfd, signal, ptr::null())
}

/// `pidfd_send_signal(pidfd, signal, info, 0)`, with `info` as sigqueue(3) fills it in:
/// `SI_QUEUE`, our pid, our uid, and `value`.
///
/// # Errors
/// EAGAIN at the target's RLIMIT_SIGPENDING; ESRCH and EPERM as for [`pidfd_kill`].
pub fn pidfd_sigqueue(pidfd: impl AsFd, signal: i32, value: i32) -> nix::Result<()> {
    let pid = std::process::id() as i32;
    pidfd_sigqueue_as(pidfd, signal, value, pid, nix::unistd::getuid().as_raw())
}

/// As [`pidfd_sigqueue`], with any pid and uid as the sender's: the kernel does not check them.
///
/// # Errors
/// As [`pidfd_sigqueue`].
pub fn pidfd_sigqueue_as(
    pidfd: impl AsFd,
    signal: i32,
    value: i32,
    pid: i32,
    uid: u32,
) -> nix::Result<()> {
    /// How siginfo_t begins when its si_code is SI_QUEUE; the libc crate hides it.
    #[repr(C)]
    struct Queued {
        si_signo: i32,
        si_errno: i32,
        si_code: i32,
        fields: Fields,
    }
    #[repr(C)]
    struct Fields {
        si_pid: i32,
        si_uid: u32,
        si_value: Value,
    }
    #[repr(C)]
    union Value {
        sival_int: i32,
        sival_ptr: *mut libc::c_void,
    }
    const { assert!(size_of::<Queued>() <= size_of::<libc::siginfo_t>()) };
    // SAFETY: siginfo_t is larger, aligned as strictly, and valid when it is all zeros.
    unsafe {
        let mut info: libc::siginfo_t = zeroed();
        let queued = (&raw mut info).cast::<Queued>();
        (*queued).si_signo = signal;
        (*queued).si_code = libc::SI_QUEUE;
        (*queued).fields.si_pid = pid;
        (*queued).fields.si_uid = uid;
        (*queued).fields.si_value.sival_int = value;
        send(pidfd, signal, &info)
    }
}

fn send(
    pidfd: impl AsFd,
    signal: i32,
    info: *const libc::siginfo_t,
) -> nix::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: `info` is null or points to a whole siginfo_t of our callers above.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0)
    };
    Errno::result(sent).map(drop)
}

impl From<&libc::siginfo_t> for Info {
    fn from(info: &libc::siginfo_t) -> Info {
        of_siginfo(info)
    }
}

fn of_siginfo(info: &libc::siginfo_t) -> Info {
    // SAFETY: the kernel wrote all of it; a field that is not meant is still a number.
    let (pid, uid, value) =
        unsafe { (info.si_pid(), info.si_uid(), info.si_value()) };
    // SAFETY: sigval is a union of an int and a pointer, so it begins with the int.
    let value = unsafe { (&raw const value).cast::<i32>().read() };
    Info { signal: info.si_signo, code: info.si_code, pid, uid, value }
}

fn succeeded(returned: i32) -> io::Result<i32> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
