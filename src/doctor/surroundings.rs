//! Where this process runs: what changes how the mechanisms behave.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::answer::{Answer, Mark};
use super::finding::{Finding, Kind, concerns};
use os::proc::{field, text};

/// One thing to look at.
struct Surrounding {
    name: &'static str,
    chapters: &'static [&'static str],
    what: &'static str,
    loses: &'static str,
    /// `None` where this kernel has no such thing.
    look: fn() -> Option<Answer>,
}

/// All that concern a chapter, or all.
pub(crate) fn all(chapter: Option<&str>) -> Vec<Finding> {
    let chosen = ALL.iter().filter(|one| concerns(one.chapters, chapter));
    let found = chosen.filter_map(|one| {
        let Answer { mark, found, cure } = (one.look)()?;
        Some(Finding {
            name: one.name,
            kind: Kind::Surrounding,
            chapters: one.chapters,
            what: one.what.to_owned(),
            mark,
            found,
            loses: one.loses.to_owned(),
            cure: cure.filter(|_| mark != Mark::Ok),
            necessary: false,
            experiments: &[],
            took_us: None,
            amount: None,
        })
    });
    found.collect()
}

/// A number of /proc/sys.
fn sysctl(file: &str) -> Option<i64> {
    text(format!("/proc/sys/{file}")).ok()?.split_whitespace().next()?.parse().ok()
}

/// The inode of the initial namespaces of a kind, which is the same on every machine
/// (linux/proc_ns.h).
const INITIAL_IPC: u64 = 0xefff_ffff;
const INITIAL_PID: u64 = 0xefff_fffc;

fn namespace(kind: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/self/ns/{kind}")).ok().map(|about| about.ino())
}

static ALL: &[Surrounding] = &[
    Surrounding {
        name: "kernel",
        chapters: &[],
        what: "the kernel",
        loses: "a kernel that is not Linux answers some questions of the book in its own way",
        look: || {
            let about = nix::sys::utsname::uname().ok()?;
            let release = about.release().to_string_lossy().into_owned();
            let version = text("/proc/version").unwrap_or_default();
            let found = format!("{} {release}", about.sysname().to_string_lossy());
            // gVisor says for ever that it is Linux 4.4.0 of one day in 2016.
            let other = match () {
                () if version.contains("Jan 10 15:06:54 PST 2016") => Some("gVisor"),
                () if release.contains("Microsoft") => Some("WSL 1"),
                () => None,
            };
            Some(match other {
                Some(other) => {
                    Answer::limited(format!("{other}, which says {found}"))
                }
                None if release.contains("microsoft") => {
                    Answer::ok(format!("{found}, in WSL 2"))
                }
                None => Answer::ok(found),
            })
        },
    },
    Surrounding {
        name: "container",
        chapters: &[],
        what: "a container",
        loses: "in a container limits and namespaces may be its own",
        look: || {
            let marks = [
                ("/.dockerenv", "Docker"),
                ("/run/.containerenv", "Podman"),
                ("/run/systemd/container", "systemd-nspawn or another"),
            ];
            let by_file = marks.iter().find(|(file, _)| Path::new(file).exists());
            let own_pids =
                namespace("pid").is_some_and(|inode| inode != INITIAL_PID);
            Some(Answer::ok(match by_file {
                Some((_, which)) => *which,
                None if own_pids => "none known, but a PID namespace of its own",
                None => "none",
            }))
        },
    },
    Surrounding {
        name: "seccomp",
        chapters: &[],
        what: "seccomp(2), NoNewPrivs",
        loses: "a filter may refuse calls: the probes show which",
        look: || {
            let status = text("/proc/self/status").ok()?;
            let filter = field(&status, "Seccomp:")? == "2";
            let no_new =
                field(&status, "NoNewPrivs:").is_some_and(|value| value == "1");
            Some(Answer::ok(match (filter, no_new) {
                (true, true) => "a filter; sudo gives no rights here",
                (true, false) => "a filter",
                (false, true) => "no filter; sudo gives no rights here",
                (false, false) => "no filter",
            }))
        },
    },
    Surrounding {
        name: "pid-1",
        chapters: &["signal"],
        what: "process 1 of its PID namespace",
        loses: "signals without a handler do nothing to process 1: Ctrl-C does not end it",
        look: || {
            let parent = nix::unistd::getppid().as_raw();
            let own = nix::unistd::getpid().as_raw();
            Some(match (own, parent) {
                (1, _) => Answer::limited("this process is")
                    .cure("docker run --init, or start it from a shell"),
                _ => Answer::ok("this process is not"),
            })
        },
    },
    Surrounding {
        name: "ipc-namespace",
        chapters: &["posixmq", "sysvmq", "shm", "semaphore"],
        what: "the IPC namespace",
        loses: "queues, System V segments and semaphores meet only peers of the same namespace",
        look: || {
            let inode = namespace("ipc")?;
            Some(match inode == INITIAL_IPC {
                true => Answer::ok("the machine's"),
                false => Answer::limited("one of its own").cure(
                    "both roles in the same one: docker run --ipc container:NAME, or --ipc host",
                ),
            })
        },
    },
    Surrounding {
        name: "remove-ipc",
        chapters: &["posixmq", "sysvmq", "shm", "mutex", "semaphore"],
        what: "RemoveIPC of logind.conf(5)",
        loses: "what a user leaves in the kernel is removed at the end of its last session",
        look: || {
            if !Path::new("/run/systemd/seats").exists() {
                return Some(Answer::ok("no logind here"));
            }
            // Users below 1000 are the system's, and are left alone.
            let ordinary = nix::unistd::geteuid().as_raw() >= 1000;
            let removes = remove_ipc();
            Some(match (removes, ordinary) {
                (true, true) => Answer::limited("yes")
                    .cure("RemoveIPC=no in /etc/systemd/logind.conf, as root"),
                (true, false) => {
                    Answer::ok("yes, but not what a system user leaves")
                }
                (false, _) => Answer::ok("no"),
            })
        },
    },
    Surrounding {
        name: "yama",
        chapters: &["trace"],
        what: "kernel.yama.ptrace_scope",
        loses: "with 2 or 3 only root, or nobody, may trace; strace -p needs 0",
        look: || {
            Some(match sysctl("kernel/yama/ptrace_scope") {
                None => Answer::ok("no Yama: whoever may send a signal may trace"),
                Some(0) => Answer::ok("0: any process of this user"),
                Some(1) => Answer::ok("1: only descendants, as ipclab trace does"),
                Some(scope) => Answer::limited(scope.to_string())
                    .cure("sysctl kernel.yama.ptrace_scope=1, as root"),
            })
        },
    },
    Surrounding {
        name: "protected-fifos",
        chapters: &["fifo"],
        what: "fs.protected_fifos, fs.protected_regular",
        loses: "in /tmp, open with O_CREAT of another user's FIFO or file fails with EACCES",
        look: || {
            let (fifos, files) =
                (sysctl("fs/protected_fifos")?, sysctl("fs/protected_regular")?);
            Some(Answer::ok(format!("{fifos}, {files}")))
        },
    },
    Surrounding {
        name: "io-uring",
        chapters: &["trace"],
        what: "kernel.io_uring_disabled",
        loses: "programs of your own that use io_uring get EPERM; the book's use none",
        look: || {
            Some(match sysctl("kernel/io_uring_disabled") {
                None | Some(0) => Answer::ok("0: any process may use it"),
                Some(1) => Answer::ok("1: only a group, and root"),
                Some(value) => Answer::ok(format!("{value}: nobody may use it")),
            })
        },
    },
    Surrounding {
        name: "perf",
        chapters: &["bench"],
        what: "kernel.perf_event_paranoid",
        loses: "perf stat beside bench counts less; bench itself does not use it",
        look: || Some(Answer::ok(sysctl("kernel/perf_event_paranoid")?.to_string())),
    },
    Surrounding {
        name: "cpus",
        chapters: &["bench"],
        what: "processors that this process may use",
        loses: "bench needs two: one for each end",
        look: || {
            let allowed = rustix::thread::sched_getaffinity(None).ok()?.count();
            let there = text("/proc/cpuinfo").unwrap_or_default();
            let there =
                there.lines().filter(|line| line.starts_with("processor")).count();
            let found = format!("{allowed} of {}", there.max(allowed as usize));
            Some(match allowed {
                2.. => Answer::ok(found),
                _ => Answer::limited(found)
                    .cure("taskset -p, or docker run --cpuset-cpus"),
            })
        },
    },
    Surrounding {
        name: "huge-pages",
        chapters: &["bench"],
        what: "transparent huge pages",
        loses: "with `always`, the first touch of memory costs less often, and more",
        look: || {
            let text = text("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
            let chosen = text.split(['[', ']']).nth(1)?.to_owned();
            Some(Answer::ok(chosen))
        },
    },
];

/// What logind has been told: the last file that says it counts.
fn remove_ipc() -> bool {
    let dirs = ["/usr/lib/systemd", "/run/systemd", "/etc/systemd"];
    let mut files = Vec::new();
    for dir in dirs {
        files.push(format!("{dir}/logind.conf"));
    }
    for dir in dirs {
        let more = std::fs::read_dir(format!("{dir}/logind.conf.d"));
        let mut more: Vec<_> = more
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().to_string_lossy().into_owned())
            .collect();
        more.sort();
        files.extend(more);
    }
    let said = files.iter().rev().find_map(|file| {
        let text = text(file).ok()?;
        let mut lines = text.lines().rev();
        let value = lines.find_map(|line| line.trim().strip_prefix("RemoveIPC="))?;
        Some(matches!(value.trim(), "yes" | "true" | "on" | "1"))
    });
    said.unwrap_or(true)
}
