//! Each surrounding that takes something away, and the mark that it gets.

use crate::support::*;
use crate::{Found, doctor_after, found};

/// What is found after the words `before`; `None`, with a line on the terminal, where they cannot
/// be done: a test needs root for most.
fn after(before: &[&str]) -> Option<Found> {
    let subject = subject("fifo");
    if !have(before[0]) {
        return None;
    }
    let mut trial = std::process::Command::new(before[0]);
    let at = if before.contains(&"-c") { before.len() - 2 } else { before.len() };
    let possible = trial.args(&before[1..at]).arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) && at == before.len() {
        skip(&format!("{} is not allowed here", before.join(" ")));
        return None;
    }
    let all = found(doctor_after(&subject, before));
    subject.nothing_is_left().unwrap();
    assert_eq!(std::fs::read_dir(subject.dir()).unwrap().count(), 0, "left behind");
    Some(all)
}

/// As [`after`], with mounts that a shell makes first.
fn with_mounts(mounts: &str) -> Option<Found> {
    // In a user namespace the marks of some probes would be others.
    if !offers("fdpass", "other-user") || !offers("mmap", "mount") {
        return None;
    }
    let script = format!("{mounts} && exec \"$0\" \"$@\"");
    after(&["unshare", "-m", "sh", "-c", &script])
}

#[test]
fn tight_limits_are_seen_with_what_is_lost() {
    let limits = [
        "prlimit",
        "--nofile=100:100",
        "--msgqueue=1000:1000",
        "--sigpending=20:20",
    ];
    let Some(all) = after(&limits) else { return };
    assert_eq!(all.mark("open-files"), "limited");
    assert_eq!(all.mark("pending-signals"), "limited");
    assert_eq!(all.mark("queue-bytes-of-user"), "limited");
    assert_eq!(all.mark("queue-bytes"), "missing");
    assert_eq!(all.mark("descriptor-1500"), "missing");
    assert_eq!(all.mark("posix-queue"), "missing");
    let cure = all.finding("posix-queue")["cure"].as_str().unwrap();
    assert!(cure.contains("as root"), "{cure}");
    assert_eq!(all.status, Some(1), "{:?}", all.not_ok());
    let limit = &all.finding("queue-bytes-of-user")["limit"];
    assert_eq!(limit["value"], 1000);
    assert!(limit["now"].as_str().unwrap().starts_with("ulimit -q "), "{limit}");
    assert_eq!(limit["needs_root"], true);
}

#[test]
fn no_room_for_a_queue_is_something_necessary() {
    let Some(all) = after(&["prlimit", "--msgqueue=0:0"]) else { return };
    assert_eq!(all.mark("posix-queue"), "missing");
    assert_eq!(all.status, Some(1));
}

#[test]
fn a_few_descriptors_are_enough_for_all_probes() {
    let Some(all) = after(&["prlimit", "--nofile=24:24"]) else { return };
    for name in ["pipe", "fifo", "unix-socket", "epoll", "ptrace"] {
        assert_eq!(all.mark(name), "ok", "{name}: {}", all.finding(name)["found"]);
    }
    assert_eq!(all.mark("open-files"), "limited");
}

/// What a user that has no other processes finds, with these limits of prlimit(1).
fn as_user(uid: u32, limits: &[&str]) -> Option<Found> {
    use std::os::fd::AsRawFd;
    if !offers("fdpass", "other-user") || !have("prlimit") || !have("setpriv") {
        return None;
    }
    let subject = subject("fifo");
    let dir = subject.dir().to_owned();
    std::os::unix::fs::chown(&dir, Some(uid), None).unwrap();
    let mut command = std::process::Command::new("prlimit");
    command.args(limits).args(["setpriv", "--clear-groups"]);
    command.arg(format!("--reuid={uid}"));
    // What is open may be executed where that user may not go.
    let opened = std::fs::File::open(program()).unwrap();
    let flags = rustix::io::FdFlags::empty();
    rustix::io::fcntl_setfd(&opened, flags).unwrap();
    command.arg(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    command.args(["doctor", "--json"]).current_dir("/");
    command.env("IPCLAB_DIR", &dir).env("TMPDIR", &dir).env("HOME", "/");
    let all = found(command);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "left behind");
    Some(all)
}

#[test]
fn without_processes_nothing_can_be_tried() {
    let Some(all) = as_user(65_533, &["--nproc=0:0"]) else { return };
    assert_eq!(all.mark("processes"), "limited");
    assert_eq!(all.mark("pipe"), "missing");
    let why = all.finding("pipe")["found"].as_str().unwrap();
    assert!(why.starts_with("fork: EAGAIN"), "{why}");
    let cure = all.finding("pipe")["cure"].as_str().unwrap();
    assert!(cure.contains("ulimit -u"), "{cure}");
    assert_eq!(all.status, Some(1));
}

#[test]
fn a_user_with_tight_limits_is_told_what_is_left_and_who_may_raise_it() {
    let limits = [
        "--nofile=100:150",
        "--msgqueue=1000:1000",
        "--sigpending=20:20",
        "--nproc=60:60",
    ];
    let Some(all) = as_user(65_532, &limits) else { return };
    for name in ["open-files", "queue-bytes-of-user", "pending-signals", "processes"]
    {
        assert_eq!(all.mark(name), "limited", "{name}");
        let limit = &all.finding(name)["limit"];
        assert_eq!(limit["needs_root"], true, "{limit}");
        assert!(limit["now"].as_str().unwrap().starts_with("ulimit -"), "{limit}");
    }
    for name in ["queue-bytes", "descriptor-1500", "other-user", "next-pid"] {
        assert_eq!(all.mark(name), "missing", "{name}");
    }
    assert_eq!(all.mark("posix-queue"), "missing");
    for name in ["pipe", "unix-socket", "posix-segment", "ptrace"] {
        assert_eq!(all.mark(name), "ok", "{name}: {}", all.finding(name)["found"]);
    }
    assert_eq!(all.status, Some(1), "{:?}", all.not_ok());
}

#[test]
fn what_is_used_is_counted_or_it_is_said_why_not() {
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent};
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let watched: Vec<_> = (0..70).map(|_| std::io::pipe().unwrap()).collect();
    for (reading, _) in &watched {
        epoll.add(reading, EpollEvent::empty()).unwrap();
    }
    let Some(all) = after(&["env"]) else { return };
    let used = &all.finding("epoll-watches")["limit"]["used"];
    assert!(used.as_u64().unwrap() >= 70, "{used}");
    assert!(all.finding("shared-memory")["limit"]["used"].is_u64());
    for one in all.whole["findings"].as_array().unwrap() {
        let limit = &one["limit"];
        let told = limit["used"].is_u64() != limit["not_counted"].is_string();
        assert!(limit.is_null() || told, "{one}");
    }
}

#[test]
fn a_network_and_an_ipc_namespace_are_both_told() {
    let Some(all) = after(&["unshare", "-n", "-i"]) else { return };
    assert_eq!(all.mark("tcp-v4"), "missing");
    assert_eq!(all.mark("ipc-namespace"), "limited");
    assert_eq!(all.mark("sysv-queue"), "ok");
    assert_eq!(all.status, Some(1));
}

#[test]
fn a_network_namespace_has_no_loopback() {
    let Some(all) = after(&["unshare", "-n"]) else { return };
    assert_eq!(all.mark("tcp-v4"), "missing");
    assert_eq!(all.mark("tcp-v6"), "missing");
    assert_eq!(all.mark("udp-v4"), "missing");
    for name in ["unix-socket", "sock-diag-unix", "posix-queue"] {
        assert_eq!(all.mark(name), "ok", "{name}");
    }
    assert_eq!(all.status, Some(1));
    let sentence = all.whole["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Not all of the book runs here"), "{sentence}");
    assert!(
        sentence.contains("tcp-v4") && !sentence.contains("tcp-v6"),
        "{sentence}"
    );
}

#[test]
fn an_ipc_namespace_is_told_and_all_works_in_it() {
    let Some(all) = after(&["unshare", "-i"]) else { return };
    assert_eq!(all.mark("ipc-namespace"), "limited");
    for name in ["posix-queue", "sysv-queue", "sysv-segment", "sysv-semaphore"] {
        assert_eq!(all.mark(name), "ok", "{name}");
    }
    assert_eq!(all.finding("sysv-queues")["limit"]["used"], 0);
    assert_eq!(all.status, Some(0));
}

#[test]
fn a_small_dev_shm_is_limited() {
    let Some(all) = with_mounts("mount -t tmpfs -o size=8m none /dev/shm") else {
        return;
    };
    assert_eq!(all.mark("shared-memory"), "limited");
    assert_eq!(all.finding("shared-memory")["limit"]["value"], 8 << 20);
    assert_eq!(all.mark("posix-segment"), "ok");
    assert_eq!(all.status, Some(0));
}

#[test]
fn a_dev_shm_that_is_too_small_for_a_role_has_no_segments() {
    let Some(all) = with_mounts("mount -t tmpfs -o size=64k none /dev/shm") else {
        return;
    };
    assert_eq!(all.mark("posix-segment"), "missing");
    assert_eq!(all.mark("posix-semaphore"), "ok");
    assert_eq!(all.status, Some(1));
}

#[test]
fn a_full_or_a_read_only_dev_shm_has_no_segments() {
    let full = "mount -t tmpfs -o size=4k none /dev/shm && head -c 4096 /dev/zero > /dev/shm/x";
    for mounts in [full, "mount -t tmpfs -o ro none /dev/shm"] {
        let Some(all) = with_mounts(mounts) else { return };
        assert_eq!(all.mark("posix-segment"), "missing", "{mounts}");
        assert_eq!(all.mark("posix-semaphore"), "missing", "{mounts}");
        assert_eq!(all.mark("sysv-segment"), "ok", "{mounts}");
        assert_eq!(all.status, Some(1));
    }
}

#[test]
fn without_dev_mqueue_queues_work_and_are_not_counted() {
    let hide = "if mountpoint -q /dev/mqueue; then umount -l /dev/mqueue; fi";
    let Some(all) = with_mounts(hide) else { return };
    assert_eq!(all.mark("posix-queue"), "ok");
    assert!(all.finding("queues")["limit"]["used"].is_null());
    assert!(all.finding("queue-bytes-of-user")["limit"]["used"].is_null());
    let why = &all.finding("queues")["limit"]["not_counted"];
    assert_eq!(why, "/dev/mqueue is not mounted");
}

#[test]
fn with_dev_mqueue_the_bytes_of_a_users_queues_are_counted() {
    let mount = "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue";
    let Some(all) = with_mounts(mount) else { return };
    assert!(all.finding("queues")["limit"]["used"].is_u64());
    assert!(all.finding("queue-bytes-of-user")["limit"]["left"].is_u64());
}

#[test]
fn in_a_user_namespace_root_is_no_other_user() {
    let Some(all) = after(&["unshare", "-r"]) else { return };
    assert_eq!(all.mark("other-user"), "missing");
    assert_eq!(all.mark("other-network"), "missing");
    assert_eq!(all.mark("mount"), "ok", "{}", all.finding("mount")["found"]);
    assert_eq!(all.status, Some(0));
}

#[test]
fn a_filter_that_refuses_ptrace_takes_the_trace_away() {
    let subject = subject("fifo");
    let program = program();
    let words = [program.to_str().unwrap(), "doctor", "--json"];
    let Some(mut command) =
        refusing(&subject, (libc::SYS_ptrace, libc::EPERM), &words)
    else {
        return;
    };
    command.env("TMPDIR", subject.dir());
    let all = found(command);
    assert_eq!(all.mark("ptrace"), "missing");
    let why = all.finding("ptrace")["found"].as_str().unwrap();
    assert!(why.contains("EPERM"), "{why}");
    let seccomp = all.finding("seccomp")["found"].as_str().unwrap();
    assert_eq!(seccomp, "a filter; sudo gives no rights here");
    assert_eq!(all.status, Some(0), "roles run without it");
    let sentence = all.whole["sentence"].as_str().unwrap();
    assert!(sentence.contains("ptrace"), "{sentence}");
}

#[test]
fn without_proc_all_else_is_told() {
    let Some(all) = with_mounts("umount -l /proc") else { return };
    assert_eq!(all.mark("proc"), "missing");
    assert_eq!(all.mark("next-pid"), "missing");
    for name in ["pipe", "posix-queue", "ptrace", "futex"] {
        assert_eq!(all.mark(name), "ok", "{name}: {}", all.finding(name)["found"]);
    }
    assert_eq!(all.status, Some(1));
}

#[test]
fn process_1_is_told() {
    let Some(all) = after(&["unshare", "-p", "-f"]) else { return };
    assert_eq!(all.mark("pid-1"), "limited");
    // The /proc that is still mounted is of the processes outside.
    assert_eq!(all.mark("proc"), "missing");
}

#[test]
fn a_runtime_directory_that_cannot_be_made_is_something_necessary() {
    let subject = subject("fifo");
    let mut command = doctor_after(&subject, &["env"]);
    command.env("IPCLAB_DIR", "/proc/none");
    let all = found(command);
    for name in ["runtime-directory", "fifo", "unix-socket", "rename"] {
        assert_eq!(all.mark(name), "missing", "{name}");
    }
    assert_eq!(all.mark("posix-queue"), "ok");
    assert_eq!(all.status, Some(1));
    assert_eq!(std::fs::read_dir(subject.dir()).unwrap().count(), 0, "left behind");
}

#[test]
fn where_preadv2_knows_no_rwf_nowait_the_roles_of_eventfd_cannot_run() {
    let subject = subject("fifo");
    let program = program();
    let words = [program.to_str().unwrap(), "doctor", "--json"];
    // As that of an eventfd did before Linux 5.8.
    let refused = (libc::SYS_preadv2, libc::EOPNOTSUPP);
    let Some(mut command) = refusing(&subject, refused, &words) else { return };
    command.env("TMPDIR", subject.dir());
    let all = found(command);
    assert_eq!(all.mark("eventfd"), "ok");
    assert_eq!(all.mark("read-now"), "missing");
    let why = all.finding("read-now")["found"].as_str().unwrap();
    assert!(why.starts_with("preadv2(RWF_NOWAIT): EOPNOTSUPP"), "{why}");
    assert_eq!(all.status, Some(1));
}
