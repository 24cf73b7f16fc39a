//! A role that is struck: it runs under ptrace(2), and at one of its system calls it gets a
//! signal, or the call fails, or does less than it was asked for.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use os::calls::nix_errno;
use os::inheritance;
use os::ptrace::{AT_CALL, Go, Point, point, resume};
use os::spawn;
use rustix::process::{WaitOptions, WaitStatus};
use syscalls::Sysno;

/// At which call: the `nth` (from 1) of that name, of all threads and children together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NthCall {
    pub(crate) call: &'static str,
    pub(crate) nth: u32,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// This signal comes before the call (SIGKILL: it is not made), or right after it.
    Signal { signal: Signal, after: bool },
    /// The call is not made, and fails with this error.
    Error(Errno),
    /// As `Error`, and each second call of that name from there on.
    Errors(Errno),
    /// One byte is read or written, where more was asked for.
    Short,
    /// SIGSTOP comes before the call; the test that plays the scene sends SIGCONT.
    Stop,
}

/// Where, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) nth_call: NthCall,
    pub(crate) blow: Blow,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct StruckRun {
    pub(crate) status: ExitStatus,
    /// How often each call was made, once its own code ran.
    pub(crate) calls: BTreeMap<&'static str, u32>,
    /// Whether the strike came.
    pub(crate) hit: bool,
    /// Whether the program's own code was reached.
    pub(crate) begun: bool,
}

/// What the tracer has seen, for the test that plays the scene.
#[derive(Debug, Default)]
struct Seen {
    /// The processes that run.
    alive: Mutex<Vec<Pid>>,
    /// How the first one ended.
    status: OnceLock<ExitStatus>,
    /// Whether the strike has come.
    hit: AtomicBool,
    /// Whether the role's program runs, and the loader is done.
    begun: AtomicBool,
}

impl Seen {
    fn alive(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.alive.lock().expect("no panic while it is held")
    }

    fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Relaxed)
    }

    fn now(flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
    }
}

/// A role under the tracer, which is a thread of its own.
#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) pid: Pid,
    seen: Arc<Seen>,
    tracer: Option<JoinHandle<StruckRun>>,
}

impl Struck {
    /// Starts `words`, after the shell has run `prelude`, with its output in files.
    pub(crate) fn start(
        words: &[String],
        prelude: &str,
        dir: &Path,
        (stdin, stdout, stderr): (Stdio, Stdio, File),
        strike: Option<Strike>,
    ) -> Struck {
        let (gate, opens) = std::io::pipe().expect("a pipe");
        // The shell opens the gate by its name in /proc, reads, and becomes the role.
        let path = {
            use std::os::fd::AsRawFd;
            format!("/proc/{}/fd/{}", std::process::id(), gate.as_raw_fd())
        };
        let mut command = Command::new("sh");
        let script = format!("read _ <\"$0\" && {prelude} \"$@\"");
        command.args(["-c", &script, &path]).args(words);
        command.env("IPCLAB_DIR", dir).env("TMPDIR", dir).current_dir(dir);
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        spawn::die_with_parent(&mut command);
        inheritance::start_afresh(&mut command);
        let program = PathBuf::from(&words[0]);
        let seen = Arc::new(Seen::default());
        let its = Arc::clone(&seen);
        let (told, tells) = mpsc::channel();
        let tracer = std::thread::spawn(move || {
            // The tracer reaps it, with all that it forks.
            #[expect(clippy::zombie_processes)]
            let child = command.spawn().expect("sh");
            drop(command);
            let pid = Pid::from_raw(child.id() as i32);
            seize(pid);
            its.alive().push(pid);
            told.send(pid).expect("who started it waits");
            std::io::Write::write_all(&mut { opens }, b"\n").expect("it reads");
            let end = Tracer::new(pid, program, strike, its).run();
            drop(gate);
            end
        });
        Struck { pid: tells.recv().expect("a child"), seen, tracer: Some(tracer) }
    }

    /// Whether all of its processes have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.tracer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends the first process a signal, if it is still there.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.seen.alive().contains(&self.pid) {
            let _ = kill(self.pid, signal);
        }
    }

    /// SIGCONT, to all of its processes: any of them may have been stopped.
    pub(crate) fn go_on(&self) {
        for pid in self.seen.alive().iter() {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }

    /// How its first process ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.seen.status.get().copied()
    }

    /// Whether its first process still runs.
    pub(crate) fn leader_runs(&self) -> bool {
        self.status().is_none()
    }

    /// Whether the strike has come.
    pub(crate) fn is_hit(&self) -> bool {
        Seen::is(&self.seen.hit)
    }

    /// Whether it is no longer the shell.
    pub(crate) fn has_begun(&self) -> bool {
        Seen::is(&self.seen.begun)
    }

    /// Ends what still runs of it, and returns what became of it.
    pub(crate) fn end(mut self) -> StruckRun {
        self.kill_all();
        self.tracer.take().expect("not joined yet").join().expect("the tracer")
    }

    fn kill_all(&self) {
        for pid in self.seen.alive().iter() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            self.kill_all();
            let _ = tracer.join();
        }
    }
}

fn seize(pid: Pid) {
    use ptrace::Options as O;
    let options = O::PTRACE_O_TRACESYSGOOD
        | O::PTRACE_O_TRACEEXEC
        | O::PTRACE_O_TRACECLONE
        | O::PTRACE_O_TRACEFORK
        | O::PTRACE_O_TRACEVFORK
        | O::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("PTRACE_SEIZE of a child");
}

struct Tracer {
    leader: Pid,
    program: PathBuf,
    strike: Option<Strike>,
    seen: Arc<Seen>,
    /// Whether the first process is the role by now, and not the shell before it.
    is_role: bool,
    calls: BTreeMap<&'static str, u32>,
    /// Nothing more is to be seen.
    done: bool,
    /// Threads within a call: its name, what it is to return, whether it counts.
    within: HashMap<Pid, (&'static str, Option<i64>, bool)>,
}

impl Tracer {
    fn new(
        leader: Pid,
        program: PathBuf,
        strike: Option<Strike>,
        seen: Arc<Seen>,
    ) -> Tracer {
        Tracer {
            leader,
            program,
            strike,
            seen,
            is_role: false,
            calls: BTreeMap::new(),
            done: false,
            within: HashMap::new(),
        }
    }

    fn run(&mut self) -> StruckRun {
        // This thread's children and tracees alone: others have children of their own.
        let flags = (libc::__WALL | libc::__WNOTHREAD) as u32;
        let options = WaitOptions::from_bits_retain(flags);
        loop {
            match rustix::process::wait(options).map_err(nix_errno) {
                Ok(Some((pid, status))) => {
                    let pid = Pid::from_raw(pid.as_raw_nonzero().get());
                    self.changed(pid, status);
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        StruckRun {
            status: *self.seen.status.get().expect("the leader's end was seen"),
            calls: std::mem::take(&mut self.calls),
            hit: Seen::is(&self.seen.hit),
            begun: Seen::is(&self.seen.begun),
        }
    }

    fn changed(&mut self, pid: Pid, status: WaitStatus) {
        let raw = status.as_raw();
        if !status.stopped() {
            self.within.remove(&pid);
            self.seen.alive().retain(|known| *known != pid);
            if pid == self.leader {
                let _ = self.seen.status.set(ExitStatus::from_raw(raw));
            }
            return;
        }
        let (signal, event) = (libc::WSTOPSIG(raw), raw >> 16);
        if (event == libc::PTRACE_EVENT_FORK || event == libc::PTRACE_EVENT_VFORK)
            && let Ok(child) = ptrace::getevent(pid)
        {
            self.seen.alive().push(Pid::from_raw(child as i32));
        }
        if event == libc::PTRACE_EVENT_EXEC && pid == self.leader {
            let runs = std::fs::read_link(format!("/proc/{pid}/exe"));
            self.is_role = runs.is_ok_and(|path| path == self.program);
        }
        let mut go = if self.done { Go::Freely } else { Go::ToNextCall };
        let mut deliver = 0;
        match (signal, event) {
            (AT_CALL, _) if self.done => {}
            (AT_CALL, _) => {
                self.at_call(pid);
                go = if self.done { Go::Freely } else { go };
            }
            // SIGSTOP took hold: it stays stopped until SIGCONT.
            (libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU, 128) => {
                go = Go::StayStopped;
            }
            (_, 0) => deliver = signal,
            _ => {}
        }
        let _ = resume(pid, go, deliver);
    }

    fn at_call(&mut self, pid: Pid) {
        match point(pid) {
            Ok(Point::Entry { number, args, .. }) => {
                let name = match Sysno::new(number as usize) {
                    // One waits and one does not: they fail in different ways.
                    Some(Sysno::futex) if !waits(args[1] as i32) => "futex wake",
                    Some(number) => number.name(),
                    None => return,
                };
                // The last thing that the C library's start does before our own code.
                if name == "rseq" && self.is_role {
                    Seen::now(&self.seen.begun);
                }
                let counted = Seen::is(&self.seen.begun) && counts(name, &args);
                if counted {
                    *self.calls.entry(name).or_default() += 1;
                }
                let value = if counted { self.enter(pid, name) } else { None };
                self.within.insert(pid, (name, value, counted));
            }
            Ok(Point::Exit(_)) => {
                let Some((name, value, counted)) = self.within.remove(&pid) else {
                    return;
                };
                if let Some(value) = value
                    && let Ok(mut registers) = ptrace::getregs(pid)
                {
                    registers.rax = value as u64;
                    let _ = ptrace::setregs(pid, registers);
                }
                if counted {
                    self.leave(pid, name);
                }
            }
            _ => {}
        }
    }

    /// Whether the strike is for this call; a repeated one is for each second from there.
    fn is_here(&self, name: &str) -> bool {
        let Some(Strike { nth_call, blow }) = self.strike else { return false };
        if nth_call.call != name {
            return false;
        }
        let now = self.calls[name];
        match blow {
            Blow::Errors(_) => {
                now >= nth_call.nth && (now - nth_call.nth).is_multiple_of(2)
            }
            _ => now == nth_call.nth && !Seen::is(&self.seen.hit),
        }
    }

    /// At the entry: the value that the call is to return instead of being made.
    fn enter(&mut self, pid: Pid, name: &'static str) -> Option<i64> {
        if !self.is_here(name) {
            return None;
        }
        match self.strike?.blow {
            Blow::Signal { after: true, .. } => None,
            Blow::Signal { signal, after: false } => {
                Seen::now(&self.seen.hit);
                self.done = true;
                if signal == Signal::SIGKILL {
                    instead(pid);
                }
                let _ = kill(process_of(pid), signal);
                None
            }
            Blow::Error(error) | Blow::Errors(error) => {
                Seen::now(&self.seen.hit);
                instead(pid);
                Some(-i64::from(error as i32))
            }
            Blow::Stop => {
                // In this order: SIGCONT comes once it is hit, and must come after.
                let _ = kill(process_of(pid), Signal::SIGSTOP);
                Seen::now(&self.seen.hit);
                None
            }
            Blow::Short => {
                // A signalfd and a timerfd give whole records (signalfd(2), timerfd_create(2)).
                if let Ok(mut registers) = ptrace::getregs(pid)
                    && !matches!(registers.rdx, 0 | 1 | 8 | 128)
                {
                    Seen::now(&self.seen.hit);
                    registers.rdx = 1;
                    let _ = ptrace::setregs(pid, registers);
                }
                None
            }
        }
    }

    fn leave(&mut self, pid: Pid, name: &'static str) {
        if let Some(Strike { blow: Blow::Signal { signal, after: true }, .. }) =
            self.strike
            && self.is_here(name)
        {
            Seen::now(&self.seen.hit);
            self.done = true;
            let _ = kill(process_of(pid), signal);
        }
    }
}

/// Lets the kernel do nothing in place of the call.
fn instead(pid: Pid) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, registers);
    }
}

/// The process of a thread.
fn process_of(thread: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"));
    let of = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse().ok()
    };
    status.ok().as_deref().and_then(of).map_or(thread, Pid::from_raw)
}

/// Whether this operation of futex(2) waits.
fn waits(operation: i32) -> bool {
    matches!(
        operation & libc::FUTEX_CMD_MASK,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET
    )
}

/// Whether a call is of interest.
fn counts(name: &str, args: &[u64; 6]) -> bool {
    match name {
        "fcntl" => !matches!(args[1] as i32, libc::F_GETFD | libc::F_GETFL),
        // Shared with other processes: of a file.
        "mmap" => args[4] as i32 != -1,
        _ => changes(name) || LOOKS.contains(&name),
    }
}

/// Whether a call changes something that others can see, or waits.
pub(crate) fn changes(name: &str) -> bool {
    CHANGES.contains(&name)
}

/// These only look; they can fail all the same.
const LOOKS: &[&str] =
    &["statx", "newfstatat", "fstat", "lseek", "getdents64", "readlink"];

#[rustfmt::skip]
const CHANGES: &[&str] = &[
    "openat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
    "mkdir", "mkdirat", "mknod", "mknodat", "fchmod", "ftruncate", "fallocate", "fsync",
    "fdatasync", "read", "readv", "write", "writev", "pread64", "pwrite64", "splice",
    "vmsplice", "tee", "close", "fcntl", "flock", "dup", "dup2", "dup3", "pipe2", "mmap",
    "socket", "socketpair", "bind", "listen", "connect", "accept", "accept4", "shutdown",
    "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "poll", "ppoll", "pselect6",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "signalfd4",
    "inotify_init1", "inotify_add_watch", "timerfd_create", "timerfd_settime",
    "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_getsetattr",
    "msgget", "msgsnd", "msgrcv", "msgctl", "shmget", "shmat", "shmdt", "shmctl",
    "semget", "semop", "semtimedop", "semctl", "memfd_create", "futex", "futex wake",
    "pidfd_open", "pidfd_send_signal", "kill", "tgkill", "rt_sigqueueinfo",
    "rt_sigtimedwait", "rt_sigprocmask", "clone", "clone3", "fork", "vfork", "wait4",
    "waitid", "setitimer",
];
