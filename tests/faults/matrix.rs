//! The fault matrix: each role against each fault. A call fails, does less, or is
//! interrupted; or the role starts with less than it is used to.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::crash::{Probe, prints_a_prefix};
use crate::scene::{Ground, Order, Ran, Scene, Setting, clear, documented, play, processes_left};
use crate::struck::{Blow, Place, Strike};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// Each of these calls that the role makes fails once: the first, the second, the last.
    Fails(Errno, &'static [&'static str]),
    /// The first of them fails, and each second one from there on.
    Keeps(Errno, &'static [&'static str]),
    /// One byte at a time is all that these give, once.
    Short(&'static [&'static str]),
    /// SIGSTOP comes with the call, and later SIGCONT.
    Stops(&'static [&'static str]),
    /// What the shell does before it becomes the role.
    Starts(&'static str),
    /// As `Starts`; what it makes is at the role's name, or at its lock.
    Plants(&'static str),
}

const fn fails(name: &'static str, errno: Errno, calls: &'static [&'static str]) -> Fault {
    Fault { name, what: What::Fails(errno, calls) }
}

const fn keeps(name: &'static str, errno: Errno, calls: &'static [&'static str]) -> Fault {
    Fault { name, what: What::Keeps(errno, calls) }
}

const fn starts(name: &'static str, prelude: &'static str) -> Fault {
    Fault { name, what: What::Starts(prelude) }
}

const fn plants(name: &'static str, prelude: &'static str) -> Fault {
    Fault { name, what: What::Plants(prelude) }
}

/// Calls that give a new descriptor.
const OPENS: &[&str] = &[
    "openat", "socket", "accept4", "pipe2", "socketpair", "epoll_create1", "memfd_create",
    "inotify_init1", "signalfd4", "timerfd_create", "eventfd2", "fcntl", "mq_open", "pidfd_open",
];
/// Calls that make or change a name.
const NAMES: &[&str] = &[
    "openat", "mkdir", "mknod", "mknodat", "bind", "rename", "renameat", "renameat2", "link",
    "linkat", "unlink", "unlinkat", "fchmod", "mq_open", "msgget", "semget", "shmget",
];
/// Calls that need room.
const ROOM: &[&str] = &[
    "openat", "mkdir", "mknod", "mknodat", "bind", "rename", "renameat", "linkat", "write",
    "writev", "ftruncate", "fallocate", "fsync", "mq_open", "msgget", "semget", "shmget",
    "inotify_add_watch", "epoll_ctl",
];
/// Calls that need memory.
const MEMORY: &[&str] = &[
    "openat", "socket", "accept4", "mmap", "shmat", "clone", "clone3", "fork", "sendmsg",
    "recvmsg", "sendto", "recvfrom", "poll", "ppoll", "pselect6", "epoll_create1", "epoll_ctl",
    "mq_open", "msgget", "msgsnd", "semget", "semop", "semtimedop", "shmget", "read", "write",
    "mknodat", "bind", "connect", "rt_sigqueueinfo", "vmsplice",
];
/// Calls that may sleep, or of which signal(7) says that a handler interrupts them.
const WAITS: &[&str] = &[
    "openat", "read", "write", "accept4", "connect", "recvfrom", "recvmsg", "sendto", "sendmsg",
    "poll", "ppoll", "pselect6", "epoll_wait", "epoll_pwait", "futex", "fcntl", "flock", "semop",
    "semtimedop", "msgsnd", "msgrcv", "mq_timedsend", "mq_timedreceive", "rt_sigtimedwait",
    "wait4", "waitid", "fallocate", "fsync", "vmsplice",
];
const STOPS: &[&str] = &[
    "openat", "read", "write", "accept4", "connect", "recvfrom", "recvmsg", "sendto", "sendmsg",
    "poll", "ppoll", "pselect6", "epoll_pwait", "futex", "semop", "semtimedop", "msgsnd",
    "msgrcv", "mq_timedsend", "mq_timedreceive", "rt_sigtimedwait", "rename", "unlink", "bind",
];
const READS: &[&str] = &["read", "recvfrom"];
const WRITES: &[&str] = &["write", "sendto"];

/// All columns.
#[rustfmt::skip]
pub(crate) const FAULTS: &[Fault] = &[
    fails("EMFILE", Errno::EMFILE, OPENS),
    fails("ENFILE", Errno::ENFILE, OPENS),
    fails("EACCES", Errno::EACCES, NAMES),
    fails("EPERM", Errno::EPERM, NAMES),
    fails("EROFS", Errno::EROFS, NAMES),
    fails("ENOENT", Errno::ENOENT, NAMES),
    fails("ENOSPC", Errno::ENOSPC, ROOM),
    fails("EDQUOT", Errno::EDQUOT, ROOM),
    fails("ENOMEM", Errno::ENOMEM, MEMORY),
    fails("EIO", Errno::EIO, &["openat", "read", "write", "fsync", "unlink", "rename", "pread64", "ftruncate", "statx"]),
    fails("EAGAIN no thread", Errno::EAGAIN, &["clone", "clone3", "fork", "vfork"]),
    fails("EAGAIN no signal", Errno::EAGAIN, &["rt_sigqueueinfo", "pidfd_send_signal"]),
    fails("ENOBUFS", Errno::ENOBUFS, &["socket", "accept4", "sendto", "sendmsg", "recvmsg"]),
    fails("ECONNABORTED", Errno::ECONNABORTED, &["accept4"]),
    fails("ECONNRESET", Errno::ECONNRESET, &["recvfrom", "recvmsg", "sendto", "sendmsg"]),
    fails("EPIPE", Errno::EPIPE, &["sendto", "sendmsg"]),
    fails("ECONNREFUSED", Errno::ECONNREFUSED, &["connect"]),
    fails("ENOLCK", Errno::ENOLCK, &["fcntl", "flock"]),
    fails("EINTR once", Errno::EINTR, WAITS),
    keeps("EINTR each second", Errno::EINTR, WAITS),
    Fault { name: "short read", what: What::Short(READS) },
    Fault { name: "short write", what: What::Short(WRITES) },
    Fault { name: "stopped", what: What::Stops(STOPS) },
    starts("nofile 3", "ulimit -n 3; exec"),
    starts("nofile 4", "ulimit -n 4; exec"),
    starts("nofile 5", "ulimit -n 5; exec"),
    starts("nofile 6", "ulimit -n 6; exec"),
    starts("nofile 7", "ulimit -n 7; exec"),
    starts("nofile 9", "ulimit -n 9; exec"),
    starts("fsize 0", "ulimit -f 0; exec"),
    starts("as 64 MiB", "ulimit -v 65536; exec"),
    starts("as 200 MiB", "ulimit -v 200000; exec"),
    starts("memlock 0", "ulimit -l 0; exec"),
    starts("msgqueue 0", "exec prlimit --msgqueue=0"),
    starts("sigpending 0", "exec prlimit --sigpending=0"),
    starts("stdin closed", "exec <&-; exec"),
    starts("stdout closed", "exec >&-; exec"),
    starts("stderr closed", "exec 2>&-; exec"),
    starts("all closed", "exec <&- >&- 2>&-; exec"),
    starts("stdout full", "exec >/dev/full; exec"),
    starts("stderr full", "exec 2>/dev/full; exec"),
    starts("stdout not writable", "exec 1</dev/null; exec"),
    starts("umask 777", "umask 777; exec"),
    starts("umask 000", "umask 000; exec"),
    starts("signals ignored", "trap '' INT HUP QUIT PIPE CHLD USR1 USR2; exec"),
    starts("dir is a file", "export IPCLAB_DIR=/dev/null; exec"),
    starts("dir in /proc", "export IPCLAB_DIR=/proc/ipclab; exec"),
    plants("directory at its name", "mkdir -p \"$IPCLAB_DIR/$2\"; exec"),
    plants("file at its name", "[ -e \"$IPCLAB_DIR/$2\" ] || echo precious > \"$IPCLAB_DIR/$2\"; exec"),
    plants("link at its name", "[ -e \"$IPCLAB_DIR/$2\" ] || ln -s /etc/hostname \"$IPCLAB_DIR/$2\"; exec"),
    plants("directory at its lock", "mkdir -p \"$IPCLAB_DIR/$2.lock\"; exec"),
    plants("link at its lock", "[ -e \"$IPCLAB_DIR/$2.lock\" ] || ln -s /etc/hostname \"$IPCLAB_DIR/$2.lock\"; exec"),
];

/// One run of a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) scene: Scene,
    pub(crate) fault: &'static Fault,
    strike: Option<Strike>,
    setting: Setting,
}

impl Trial {
    /// What IPCLAB_FAULTS takes, to do this one again.
    pub(crate) fn name(&self) -> String {
        let at = |strike: Strike| format!(" at {}#{}", strike.place.call, strike.place.nth);
        let at = self.strike.map(at).unwrap_or_default();
        format!("{} x {}{at}", self.scene.name(), self.fault.name)
    }
}

/// Each role once: the first to start, or the last.
pub(crate) fn scenes() -> Vec<Scene> {
    let usual = |scene: &Scene| (scene.struck == 0) == (scene.order == Order::First);
    Scene::all().into_iter().filter(usual).collect()
}

/// Why a call of this row never fails so, or may be waited for: it is no fault.
fn cannot_be(scene: &Scene, fault: &Fault, call: &str) -> Option<&'static str> {
    REASONS.iter().find_map(|(of, name, at, why)| {
        let role = of.strip_prefix("any ").is_some_and(|role| scene.part().role == role);
        let row = role || scene.row.name.starts_with(of);
        let calls = at.is_empty() || at.contains(&call);
        (row && fault.name.starts_with(name) && calls).then_some(*why)
    })
}

/// Row (its beginning, or any of this role), fault (its beginning), calls, reason.
#[rustfmt::skip]
const REASONS: &[(&str, &str, &[&str], &str)] = &[
    ("file", "ENOENT", &["rename"], "another receiver has taken the file: it waits for the next, as it should"),
    ("file", "file at its name", &[], "it is what a sender has published, or the log"),
    ("unix dgram", "short write", &["sendto"], "a datagram is sent whole or not at all (unix(7))"),
    ("unix seqpacket", "short write", &["sendto"], "a packet is sent whole or not at all (unix(7))"),
    ("unix dgram", "short read", &["recvfrom"], "that cuts a datagram off, which is another fault"),
    ("unix seqpacket", "short read", &["recvfrom"], "that cuts a packet off, which is another fault"),
    ("unix dgram", "ECONNRESET", &[], "a datagram socket has no connection to reset"),
    ("unix dgram", "EPIPE", &["sendto", "sendmsg"], "the peer has shut its receiving side, which no role does"),
    ("any client", "EPIPE", &["sendto"], "the peer has closed, so that its end of stream comes, too"),
    ("unix abstract", "dir ", &[], "the abstract name depends on the directory: they do not meet"),
    ("signal", "sigpending 0", &[], "no signal can be queued at all: there is no link"),
];

/// The reasons why cells are left out, for the end of the table.
pub(crate) fn reasons() -> String {
    let line = |(row, fault, calls, why): &(&str, &str, &[&str], &str)| {
        format!("not tried: {row} x {fault} {}: {why}\n", calls.join(" "))
    };
    REASONS.iter().map(line).collect()
}

/// The runs of a cell; none where the role makes none of these calls.
pub(crate) fn trials(scene: Scene, fault: &'static Fault, probe: &Probe) -> Vec<Trial> {
    let at = |calls: &[&'static str], blow: Blow, only_first: bool| {
        let mut trials = Vec::new();
        for &call in calls.iter().filter(|call| cannot_be(&scene, fault, call).is_none()) {
            let times = probe.calls.get(call).copied().unwrap_or(0);
            let mut nths = vec![1, 2, times / 2 + 1, times];
            nths.retain(|nth| *nth <= times && !(only_first && *nth > 1));
            nths.sort_unstable();
            nths.dedup();
            trials.extend(nths.into_iter().map(|nth| Trial {
                scene,
                fault,
                strike: Some(Strike { place: Place { call, nth }, blow }),
                setting: Setting::default(),
            }));
        }
        trials
    };
    match fault.what {
        What::Fails(errno, calls) => at(calls, Blow::Error(errno), false),
        What::Keeps(errno, calls) => at(calls, Blow::Errors(errno), true),
        What::Short(calls) => at(calls, Blow::Short, false),
        What::Stops(calls) => at(calls, Blow::Stop, false),
        What::Starts(_) | What::Plants(_) if cannot_be(&scene, fault, "").is_some() => Vec::new(),
        What::Starts(prelude) | What::Plants(prelude) => {
            let setting = Setting { prelude: Some(prelude), encore: false };
            vec![Trial { scene, fault, strike: None, setting }]
        }
    }
}

/// Plays one; what is wrong with it, if anything.
pub(crate) fn run(trial: &Trial, probe: &Probe) -> Result<bool, String> {
    let ground = Ground::new();
    let done = judge(trial, probe, &ground);
    if !ground.left().is_empty() {
        let _ = ground.clean(&["--pending"]);
    }
    done
}

fn judge(trial: &Trial, probe: &Probe, ground: &Ground) -> Result<bool, String> {
    let scene = &trial.scene;
    let ran = play(scene, ground, trial.strike, Setting { encore: true, ..trial.setting })?;
    if let Some(hung) = &ran.hung {
        return Err(format!("hangs: {hung}"));
    }
    // With so few descriptors there is none for a client: it waits until there are more.
    if let Some(rests) = ran.rests.as_ref().filter(|_| !trial.fault.name.starts_with("nofile")) {
        return Err(format!("its clients wait for ever: {rests}"));
    }
    if ran.orphans {
        return Err("a process of it is left".to_owned());
    }
    // The number of calls that wait differs from run to run; and with less memory than the
    // loader needs, it is not ipclab that fails.
    if trial.strike.is_some() && !ran.fate.hit || !ran.fate.begun {
        return Ok(false);
    }
    ends(trial, &ran)?;
    prints_a_prefix(scene, probe, &ran)?;
    nothing_is_lost(trial, probe, &ran)?;
    let stopped = matches!(trial.fault.what, What::Stops(_));
    if stopped && !(ran.fate.status.success() || scene.part().serves) {
        return Err(format!("{}: {}", ran.fate.status, ran.stderr.trim_end()));
    }
    left(trial, ground)?;
    Ok(true)
}

fn ends(trial: &Trial, ran: &Ran) -> Result<(), String> {
    let scene = &trial.scene;
    let part = scene.part();
    let status = ran.fate.status;
    clear(part.role, status, &ran.stderr)?;
    let served = part.serves && status.signal() == Some(libc::SIGTERM);
    if !(served || matches!(status.code(), Some(0 | 1 | 2 | 124))) {
        return Err(format!("{}: {status}: {}", part.role, ran.stderr.trim_end()));
    }
    if part.serves && ran.ready && status.code().is_some_and(|code| code != 0) {
        let excused = trial.strike.is_none_or(|strike| OUTPUT.contains(&strike.place.call));
        if !excused {
            return Err(format!("the server has ended, {status}: {}", ran.stderr.trim_end()));
        }
    }
    for (turn, outcome) in &ran.others {
        let role = scene.row.parts[*turn].role;
        if !documented(outcome.status, &[Signal::SIGTERM, Signal::SIGPIPE]) {
            let said = outcome.stderr.trim_end();
            return Err(format!("the other, {role}: {}: {said}", outcome.status));
        }
        clear(role, outcome.status, &outcome.stderr)?;
    }
    match &ran.encore {
        Some(Err(error)) => Err(format!("the next client: {error}")),
        _ => Ok(()),
    }
}

/// Where all say that they are well, all that was sent has arrived.
fn nothing_is_lost(trial: &Trial, probe: &Probe, ran: &Ran) -> Result<(), String> {
    let scene = &trial.scene;
    if !ran.fate.status.success() && !scene.part().serves {
        return Ok(());
    }
    let own = ran.fate.status.success().then_some((scene.struck, &ran.stdout));
    let others = ran.others.iter().filter(|(_, outcome)| outcome.status.success());
    for (turn, printed) in others.map(|(turn, outcome)| (*turn, &outcome.stdout)).chain(own) {
        let part = &scene.row.parts[turn];
        if part.prints && *printed != probe.printed[&turn] {
            let printed = printed.escape_ascii().to_string();
            return Err(format!("status 0, and {} printed {printed:.200}", part.role));
        }
    }
    Ok(())
}

/// What stays is what `clean` takes; and only where taking it away was what failed.
fn left(trial: &Trial, ground: &Ground) -> Result<(), String> {
    if let What::Plants(_) = trial.fault.what {
        let name = ground.dir().join(trial.scene.row.chapter);
        for planted in [name.with_extension("lock"), name] {
            let _ = std::fs::remove_dir(&planted);
            let _ = std::fs::remove_file(&planted);
        }
    }
    let before = ground.left();
    if !before.is_empty() {
        let excused = trial.strike.is_some_and(|strike| CLEARS.contains(&strike.place.call));
        if !trial.scene.row.keeps && !excused {
            return Err(format!("left behind: {}", before.join(", ")));
        }
        ground.clean(&["--pending"])?;
        let after = ground.left();
        if !after.is_empty() {
            return Err(format!("left after clean --pending: {}", after.join(", ")));
        }
    }
    match processes_left(ground.dir()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("processes left: {}", left.join(", "))),
    }
}

/// What it prints cannot be printed: a server says so, and ends.
const OUTPUT: &[&str] = &["write", "writev"];

/// Calls by which a role clears up, or knows that it may.
const CLEARS: &[&str] = &[
    "unlink", "unlinkat", "fcntl", "mq_unlink", "msgctl", "shmctl", "semctl", "statx",
    "newfstatat", "fstat",
];

/// The table: a row a role, a column a fault, ok or FAIL, and a dot where nothing applies.
pub(crate) fn table(cells: &BTreeMap<(String, &'static str), [usize; 2]>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("columns:\n");
    for (number, fault) in FAULTS.iter().enumerate() {
        let _ = write!(text, "{:>4} {:22}", number + 1, fault.name);
        if number % 4 == 3 {
            text.push('\n');
        }
    }
    let mut rows: Vec<&String> = cells.keys().map(|(name, _)| name).collect();
    rows.dedup();
    let _ = write!(text, "\n{:30}", "");
    for number in 1..=FAULTS.len() {
        let _ = write!(text, "{number:>3}");
    }
    for row in rows {
        let _ = write!(text, "\n{row:30}");
        for fault in FAULTS {
            let cell = match cells.get(&(row.clone(), fault.name)) {
                None => "  .".to_owned(),
                Some([_, 0]) => " ok".to_owned(),
                Some([_, failed]) => format!("{:>3}", format!("F{failed}")),
            };
            text.push_str(&cell);
        }
    }
    text.push_str("\n(. the role makes none of these calls, or the sample has none of them)\n");
    text
}
