//! What single experiments need: `experiments::stage::Stage::needs` asks the same probes.

use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{Uid, pipe2, setuid};

use super::queues::with_queue;
use super::runtime::in_a_child;
use super::tools::{compiled, failed, printed};
use crate::answer::{Answer, needed};
use crate::probe::Probe;
use lab::tools::Tools;
use os::namespace::{mount_tmpfs, unshare_mounts, unshare_network};
use os::ring::Ring;
use os::sysv::{Msgbuf, msgrcv};
use wire::{dirs, launcher};

/// ns_last_pid.
pub static NEXT_PID: Probe = Probe {
    name: "next-pid",
    chapters: &["signal", "procvm"],
    what: "the right to choose the next pid: root",
    loses: "experiments in which a pid is given out twice",
    necessary: false,
    experiments: &["signal/pid-reuse", "procvm/pid-reuse"],
    run: |_| {
        let file = "/proc/sys/kernel/ns_last_pid";
        // Anybody may open it for writing; the write shows who may. It changes nothing.
        let last = std::fs::read(file).context("read ns_last_pid")?;
        std::fs::write(file, last).context("write ns_last_pid")?;
        Ok(Answer::ok("ns_last_pid may be written"))
    },
};

/// F_SETPIPE_SZ.
pub static LARGE_PIPE: Probe = Probe {
    name: "large-pipe",
    chapters: &["pipe"],
    what: "a /proc/sys/fs/pipe-max-size of 131072 or more",
    loses: "an experiment with a larger pipe",
    necessary: false,
    experiments: &["pipe/capacity"],
    run: |_| {
        let (_reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let resized = fcntl(&writing, FcntlArg::F_SETPIPE_SZ(100_000));
        let holds = resized.context("fcntl(F_SETPIPE_SZ, 100000)")?;
        Ok(Answer::ok(format!("F_SETPIPE_SZ gave {holds} bytes")))
    },
};

/// Another user, and a network namespace.
pub static OTHER_NETWORK: Probe = Probe {
    name: "other-network",
    chapters: &["unix"],
    what: "to become another user, and to leave the network namespace: root",
    loses: "an experiment with abstract names in two network namespaces",
    necessary: false,
    experiments: &["unix/abstract"],
    run: |_| {
        let left = in_a_child(|| Ok(unshare(CloneFlags::CLONE_NEWNET)?))?;
        Ok(match became_another()? {
            false => Answer::missing("setuid to another user fails"),
            true => needed(
                left,
                match left {
                    true => "setuid and unshare(CLONE_NEWNET) work",
                    false => "unshare(CLONE_NEWNET) fails",
                },
            ),
        })
    },
};

/// SO_PEERPIDFD.
pub static PEER_PIDFD: Probe = Probe {
    name: "peer-pidfd",
    chapters: &["unix"],
    what: "a pidfd of the peer, SO_PEERPIDFD and SO_PASSPIDFD: Linux 6.5 or later",
    loses: "experiments in which a server has a pidfd of its client",
    necessary: false,
    experiments: &["unix/peer-has-ended", "unix/pidfd-of-a-message"],
    run: |_| {
        let (here, _there) = UnixStream::pair().context("socketpair")?;
        Ok(match getsockopt(&here, PeerPidfd) {
            Ok(_) => Answer::ok("getsockopt(SO_PEERPIDFD) returned a descriptor"),
            Err(error) => {
                Answer::missing(format!("getsockopt(SO_PEERPIDFD): {error}"))
            }
        })
    },
};

/// A network of one's own.
pub static OWN_NETWORK: Probe = Probe {
    name: "own-network",
    chapters: &["udp"],
    what: "a network namespace of one's own: root, or user namespaces",
    loses: "experiments with packets that are too large, forged, or damaged",
    necessary: false,
    experiments: &["udp/path-mtu", "udp/forged-source", "udp/bad-checksum"],
    run: |_| {
        let there = in_a_child(|| Ok(unshare_network(1500)?))?;
        let (works, fails) =
            ("unshare(CLONE_NEWNET) works", "unshare(CLONE_NEWNET) fails");
        Ok(needed(there, if there { works } else { fails }))
    },
};

/// Another user.
pub static OTHER_USER: Probe = Probe {
    name: "other-user",
    chapters: &["fdpass", "procvm"],
    what: "root, to become another user",
    loses: "experiments in which a right travels to another user, or is given up",
    necessary: false,
    experiments: &["fdpass/rights-travel", "procvm/fewer-capabilities"],
    run: |_| {
        let there = became_another()?;
        Ok(needed(there, if there { "setuid works" } else { "setuid fails" }))
    },
};

fn became_another() -> Result<bool> {
    let root = Uid::effective().is_root();
    Ok(root && in_a_child(|| Ok(setuid(Uid::from_raw(65_534))?))?)
}

/// Another user, and fs.protected_fifos.
pub static PROTECTED_FIFOS: Probe = Probe {
    name: "anothers-fifo",
    chapters: &["fifo"],
    what: "root, to become another user, and a /proc/sys/fs/protected_fifos of 1 or 2",
    loses: "an experiment with another user's FIFO in a directory like /tmp",
    necessary: false,
    experiments: &["fifo/anothers-in-tmp"],
    run: |_| {
        let set = std::fs::read_to_string("/proc/sys/fs/protected_fifos");
        let set = set.context("read protected_fifos")?;
        Ok(match (became_another()?, set.trim()) {
            (false, _) => Answer::missing("setuid to another user fails"),
            (true, set) => needed(set != "0", format!("protected_fifos is {set}"))
                .cure("sysctl fs.protected_fifos=1, as root"),
        })
    },
};

/// RLIMIT_MSGQUEUE.
pub static QUEUE_BYTES: Probe = Probe {
    name: "queue-bytes",
    chapters: &["posixmq"],
    what: "an RLIMIT_MSGQUEUE of 819,200 bytes",
    loses: "an experiment that uses up all bytes of a user's queues",
    necessary: false,
    experiments: &["posixmq/queue-bytes"],
    run: |_| {
        let (_, hard) = getrlimit(Resource::RLIMIT_MSGQUEUE).context("getrlimit")?;
        Ok(needed(hard >= 819_200, format!("the hard limit is {}", shown(hard)))
            .cure("ulimit -q 819200, as root"))
    },
};

fn shown(limit: u64) -> String {
    match limit {
        u64::MAX => "unlimited".to_owned(),
        limit => wire::say::grouped(limit),
    }
}

/// MSG_COPY.
pub static COPY: Probe = Probe {
    name: "msg-copy",
    chapters: &["sysvmq"],
    what: "a kernel built with CONFIG_CHECKPOINT_RESTORE, as most are",
    loses: "an experiment that looks at a queue without taking from it (MSG_COPY)",
    necessary: false,
    experiments: &["sysvmq/peek-by-copy"],
    run: |place| {
        with_queue(&place.second_kernel_name(), |id| {
            let mut message = Msgbuf::with_room(8);
            let flags = libc::MSG_COPY | libc::IPC_NOWAIT;
            Ok(match msgrcv(id, &mut message, 0, flags) {
                Err(Errno::ENOMSG) | Ok(_) => Answer::ok("msgrcv takes MSG_COPY"),
                Err(error) => Answer::missing(format!("msgrcv(MSG_COPY): {error}")),
            })
        })
    },
};

/// The size of long.
pub static LONG: Probe = Probe {
    name: "long-of-8-bytes",
    chapters: &["sysvmq"],
    what: "a 64-bit machine",
    loses: "an experiment with a message of two words",
    necessary: false,
    experiments: &["sysvmq/size-without-type"],
    run: |_| {
        let bytes = size_of::<libc::c_long>();
        Ok(needed(bytes == 8, format!("a long has {bytes} bytes")))
    },
};

/// Processors.
pub static TWO_CPUS: Probe = Probe {
    name: "two-cpus",
    chapters: &["shm"],
    what: "two CPUs",
    loses: "an experiment in which two CPUs disagree about an order; bench pins its two ends",
    necessary: false,
    experiments: &["shm/store-buffering"],
    run: |_| {
        let cpus =
            rustix::thread::sched_getaffinity(None).context("sched_getaffinity")?;
        let count = cpus.count();
        Ok(needed(count >= 2, format!("{count} allowed"))
            .cure("taskset -p, or docker run --cpuset-cpus"))
    },
};

/// A disk.
pub static ON_A_DISK: Probe = Probe {
    name: "disk",
    chapters: &["mmap"],
    what: "a file on a disk: TMPDIR on no tmpfs",
    loses: "experiments about what reaches a disk, and when",
    necessary: false,
    experiments: &["mmap/msync-async", "mmap/tail-bytes"],
    run: |_| {
        let file = tempfile::tempfile_in(dirs::temporary());
        let file = file.context("open a file in TMPDIR")?;
        let kind = fstatfs(&file).context("fstatfs")?.filesystem_type();
        let on_disk = kind != TMPFS_MAGIC;
        let found = if on_disk { "TMPDIR is no tmpfs" } else { "TMPDIR is a tmpfs" };
        Ok(needed(on_disk, found).cure("TMPDIR=/var/tmp"))
    },
};

/// mount(2).
pub static MOUNT: Probe = Probe {
    name: "mount",
    chapters: &["mmap"],
    what: "the right to mount: root, or user namespaces",
    loses: "an experiment with a full file system",
    necessary: false,
    experiments: &["mmap/full-disk"],
    run: |place| {
        let dir = place.scratch()?.join("mounted");
        std::fs::create_dir(&dir).context("mkdir")?;
        // Only this process sees what is mounted here, and it ends with it.
        let mounted = unshare_mounts().and_then(|()| mount_tmpfs(&dir, 64 << 10));
        let answer = match mounted {
            Ok(()) => Answer::ok("a tmpfs was mounted"),
            Err(error) => Answer::missing(format!("unshare, mount: {error}")).cure(
                "sysctl user.max_user_namespaces=1000, as root; or run it as root",
            ),
        };
        Ok(answer)
    },
};

/// RLIMIT_NOFILE.
pub static HIGH_DESCRIPTOR: Probe = Probe {
    name: "descriptor-1500",
    chapters: &["multiplex"],
    what: "an RLIMIT_NOFILE above 1500",
    loses: "an experiment with a descriptor that select(2) of the C library cannot take",
    necessary: false,
    experiments: &["multiplex/fd-setsize"],
    run: |_| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        Ok(needed(hard > 1500, format!("the hard limit is {}", shown(hard)))
            .cure("ulimit -n 4096, as root"))
    },
};

/// io_uring_setup(2).
pub static IO_URING: Probe = Probe {
    name: "io-uring",
    chapters: &["multiplex"],
    what: "io_uring(7)",
    loses: "experiments with requests that the kernel completes by itself",
    necessary: false,
    experiments: &[
        "multiplex/ring-one-call",
        "multiplex/ring-reads",
        "multiplex/ring-order",
        "multiplex/ring-poll",
        "multiplex/ring-buffer",
    ],
    run: |_| {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let mut ring = match Ring::new(1) {
            Ok(ring) => ring,
            Err(error) => {
                let found = format!("io_uring_setup: {error}");
                return Ok(Answer::missing(found).cure(
                    "sysctl kernel.io_uring_disabled=0, as root; in a container a seccomp profile \
                     that allows it",
                ));
            }
        };
        ring.write(&writing, b"x").context("a request")?;
        ring.enter(1).context("io_uring_enter")?;
        let read = nix::unistd::read(&reading, &mut [0]).context("read")?;
        Ok(needed(read == 1, "a write was completed"))
    },
};

/// dbus-daemon.
pub static DBUS_DAEMON: Probe = Probe {
    name: "dbus-daemon",
    chapters: &["dbus"],
    what: "dbus-daemon",
    loses: "experiments on a bus of their own",
    necessary: false,
    experiments: &[
        "dbus/no-reply-expected",
        "dbus/wrong-signature",
        "dbus/server-dies",
        "dbus/name-taken",
        "dbus/take-over",
        "dbus/denied",
        "dbus/activation",
        "dbus/forged-sender",
        "dbus/monitor",
        "dbus/lost-signal",
        "dbus/two-rules",
        "dbus/slow-listener",
    ],
    run: |_| {
        let said = printed(Command::new("dbus-daemon").arg("--version"))?;
        Ok(match said {
            Ok(text) => Answer::ok(text.lines().next().unwrap_or_default()),
            Err(why) => failed(why, "apt-get install dbus-daemon"),
        })
    },
};

/// A C compiler, and stdbuf.
pub static STDBUF: Probe = Probe {
    name: "stdbuf",
    chapters: &["spawn"],
    what: "a C compiler, and stdbuf(1)",
    loses: "an experiment on what a C program that cannot be changed prints into a pipe",
    necessary: false,
    experiments: &["spawn/stdbuf-c"],
    run: |place| {
        let compiled = compiled(&place.scratch()?.join("stdbuf"))?;
        let mut stdbuf = Command::new("stdbuf");
        stdbuf.args(["-oL", "true"]);
        Ok(match compiled {
            Err(answer) => answer,
            Ok(_) => match printed(&mut stdbuf)? {
                Ok(_) => Answer::ok("compiled, and stdbuf started a program"),
                Err(why) => failed(why, "apt-get install coreutils"),
            },
        })
    },
};

/// Python, whatever its modules.
pub static PYTHON: Probe = Probe {
    name: "python-alone",
    chapters: &["spawn", "pipe", "shm"],
    what: "Python 3",
    loses: "experiments on Python's print, and on its resource tracker",
    necessary: false,
    experiments: &[
        "spawn/late-lines",
        "spawn/stdbuf-python",
        "pipe/printed-to-nobody",
        "shm/tracker",
    ],
    run: |_| {
        let mut python = Command::new(Tools::of_environment().python);
        let said = printed(python.arg("--version"))?;
        Ok(match said {
            Ok(text) => Answer::ok(text),
            Err(why) => failed(
                why,
                "apt-get install python3, or name another in IPCLAB_PYTHON",
            ),
        })
    },
};

/// The feature, and the launcher.
pub static MPI: Probe = Probe {
    name: "mpiexec",
    chapters: &["mpi"],
    what: "the feature mpi, and mpiexec",
    loses: "mpi does not run: neither its roles nor its experiments",
    necessary: false,
    experiments: &[
        "mpi/both-send-first",
        "mpi/waiting-rank",
        "mpi/wildcard-order",
        "mpi/wait-at-once",
        "mpi/buffer-reused",
        "mpi/truncated",
        "mpi/rank-dies",
    ],
    run: |place| {
        if let Some(missing) = chapters::find("mpi").and_then(|row| row.missing()) {
            return Ok(Answer::of_text(&missing));
        }
        let mut command = launcher::mpiexec();
        launcher::outside(&mut command);
        let program = std::env::current_exe().context("readlink /proc/self/exe")?;
        command.args(["-n", "2"]).arg(program);
        command.args(["--quiet", "mpi", "send-receive", "--number", "4711"]);
        // The launcher's own files, which a launcher that is killed leaves there.
        command.env("TMPDIR", place.scratch()?);
        Ok(match printed(&mut command)? {
            Ok(text) if text == "before: 0\nafter: 4711" => {
                Answer::ok("two ranks: 4711 came from one to the other")
            }
            Ok(text) => Answer::missing(format!("the ranks print {text:?}")),
            Err(why) => failed(why, "apt-get install openmpi-bin"),
        })
    },
};
