//! Signal handlers by which an experiment sees what becomes of a signal.

use std::io;
use std::mem::zeroed;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::signal::Info;

/// How often [`count`]'s handler has run in this process.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// `sigaction(signal, { handler, flags }, NULL)`, with a handler that counts.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
pub fn count(signal: i32, flags: i32) -> io::Result<()> {
    extern "C" fn handler(_: i32) {
        COUNTED.fetch_add(1, Ordering::SeqCst); // an atomic: async-signal-safe
    }
    // SAFETY: it touches an atomic alone.
    unsafe { install(signal, flags, handler) }
}

/// How often the handler of [`count`] has run.
pub fn counted() -> u32 {
    COUNTED.load(Ordering::SeqCst)
}

/// `sigaction(signal, { handler, 0 }, NULL)`, with a handler that writes a byte into `pipe`,
/// which stays open: write(2) is async-signal-safe, and sleeps while the pipe is full.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
pub fn write_a_byte(signal: i32, pipe: OwnedFd) -> io::Result<()> {
    static PIPE: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn handler(_: i32) {
        // SAFETY: one byte of a literal; the descriptor stays open for good.
        unsafe { libc::write(PIPE.load(Ordering::SeqCst), b"x".as_ptr().cast(), 1) };
    }
    PIPE.store(pipe.into_raw_fd(), Ordering::SeqCst);
    // SAFETY: it calls write(2) alone.
    unsafe { install(signal, 0, handler) }
}

/// As [`write_a_byte`], but the handler locks `lines`, and adds the signal's number to them.
/// That is what no handler may do: the thread that holds the lock is the interrupted one.
///
/// # Errors
/// As [`write_a_byte`].
///
/// # Panics
/// When another call has given it other lines before.
pub fn add_a_line(signal: i32, lines: &'static Mutex<Vec<i32>>) -> io::Result<()> {
    static LINES: OnceLock<&Mutex<Vec<i32>>> = OnceLock::new();
    extern "C" fn handler(signal: i32) {
        let lines = LINES.get().map(|lines| lines.lock());
        if let Some(Ok(mut lines)) = lines
            && lines.len() < lines.capacity()
        {
            lines.push(signal);
        }
    }
    if let Ok(mut lines) = lines.lock() {
        lines.reserve(16);
    }
    assert!(std::ptr::eq(*LINES.get_or_init(|| lines), lines), "one list for all");
    // SAFETY: it allocates nothing, so all that it can do wrong is to sleep for ever, in
    // futex(2). The mutex itself is atomics.
    unsafe { install(signal, 0, handler) }
}

/// `sigaction(signal, { handler, flags }, NULL)`.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
///
/// # Safety
/// The handler runs in the middle of whatever the program does, malloc(3) included. It
/// calls nothing that is not async-signal-safe (signal-safety(7)), or whose failure there
/// could be more than a sleep without an end.
unsafe fn install(
    signal: i32,
    flags: i32,
    handler: extern "C" fn(i32),
) -> io::Result<()> {
    // SAFETY: a valid sigaction with an empty mask; the handler is a function of the type
    // that is called when SA_SIGINFO is not set, and the caller answers for it.
    let done = unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags & !libc::SA_SIGINFO;
        libc::sigaction(signal, &action, ptr::null_mut())
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `sigpending(&set)`: whether `signal` was sent to this process and waits, blocked.
pub fn is_pending(signal: i32) -> bool {
    // SAFETY: an out-parameter of the right type, then a look into it.
    unsafe {
        let mut set = zeroed();
        libc::sigpending(&mut set) == 0 && libc::sigismember(&set, signal) == 1
    }
}

/// `sigtimedwait({signal}, &info, {0, 0})`: takes one if one waits; the signal must be
/// blocked.
///
/// # Errors
/// EAGAIN when none waits.
pub fn take(signal: i32) -> io::Result<Info> {
    // SAFETY: a valid set, an out-parameter of the right type, and a plain time.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        let mut info = zeroed();
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        if libc::sigtimedwait(&set, &mut info, &now) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Info::from(&info))
    }
}

/// `kill(pid, signal)`, for every signal: nix names no real-time signal.
///
/// # Errors
/// ESRCH, EPERM; not EAGAIN, since a signal that cannot be queued is lost in silence.
pub fn kill(pid: nix::unistd::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    let done = unsafe { libc::kill(pid.as_raw(), signal) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_handler_writes_and_another_adds_within_its_room() {
        let (mut reading, writing) = std::io::pipe().unwrap();
        write_a_byte(libc::SIGURG, writing.into()).unwrap();
        // SAFETY: takes a plain number; both signals have handlers.
        let raise = |signal| assert_eq!(unsafe { libc::raise(signal) }, 0);
        raise(libc::SIGURG);
        let mut byte = [0];
        reading.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        static LINES: Mutex<Vec<i32>> = Mutex::new(Vec::new());
        add_a_line(libc::SIGWINCH, &LINES).unwrap();
        let room = LINES.lock().unwrap().capacity();
        (0..room + 3).for_each(|_| raise(libc::SIGWINCH));
        assert_eq!(*LINES.lock().unwrap(), vec![libc::SIGWINCH; room]);
        assert_eq!(LINES.lock().unwrap().capacity(), room, "nothing was allocated");
        assert!(count(libc::SIGKILL, 0).is_err());
    }
}
