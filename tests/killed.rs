//! What is left where a role, or a director of roles, is struck down in the middle of a
//! change: the next start or `ipclab clean` finds all of it, and says what it does.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;

/// `ipclab` with these words, under strace: `signal` comes with the `which`th of the `calls`.
fn struck(
    subject: &Subject,
    calls: &str,
    signal: &str,
    which: u32,
    words: &[&str],
) -> Command {
    let plain = ipclab(subject, words);
    let mut strace = Command::new("strace");
    let inject = format!("inject={calls}:signal={signal}:when={which}");
    strace.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &inject,
    ]);
    strace.arg(plain.get_program()).args(words);
    strace.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
    strace.current_dir(subject.dir());
    strace
}

fn clean(subject: &Subject, args: &[&str]) -> String {
    let mut command = ipclab(subject, &["clean", "--pending"]);
    command.args(args).env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

/// `clean` removes all, and `clean --dry-run` has said the same before.
fn all_is_cleaned(subject: &Subject, what: &str) {
    let listed = clean(subject, &["--dry-run"]);
    let removed = clean(subject, &[]);
    assert_eq!(removed, listed.replace("would remove", "removed"), "{what}");
    if let Err(error) = subject.nothing_is_left() {
        panic!("{what}: {error}; clean said:\n{removed}");
    }
}

// What has a `?` is no call on every processor.
const RENAMES: &str = "?rename,renameat,renameat2";
const UNLINKS: &str = "?unlink,unlinkat";

#[test]
fn what_a_role_leaves_that_is_killed_in_a_change_is_found_by_clean() {
    if !have("strace") {
        return;
    }
    let tcp = &["tcp", "server", "--listen", "127.0.0.1:0"][..];
    let fdpass = &["fdpass", "server", "--listen", "127.0.0.1:0"][..];
    for (calls, words) in [
        (RENAMES, tcp),
        (RENAMES, &["udp", "server", "--listen", "127.0.0.1:0"]),
        (RENAMES, fdpass),
        ("epoll_create1", fdpass),
        ("bind", fdpass),
        ("bind", &["eventfd", "waiter"]),
        (RENAMES, &["signal", "receiver"]),
        (RENAMES, &["procvm", "target", "x"]),
        (RENAMES, &["file", "sender", "x"]),
        ("fsync", &["file", "sender", "x"]),
        ("?mknod,mknodat", &["fifo", "receiver"]),
        ("bind", &["unix", "server"]),
        ("listen", &["unix", "server"]),
        ("listen", &["dbus", "server"]),
        ("listen", &["multiplex", "server"]),
        ("fallocate", &["mmap", "receiver"]),
        ("fallocate", &["shm", "receiver", "--kind", "crate"]),
        ("fallocate", &["shm", "receiver", "--kind", "posix"]),
        ("shmget", &["shm", "receiver", "--kind", "sysv"]),
        ("shmat", &["shm", "receiver", "--kind", "sysv"]),
        ("fallocate", &["shm", "receiver", "--kind", "memfd"]),
        ("fallocate", &["mutex", "worker"]),
        ("flock", &["mutex", "producer", "x"]),
        ("mq_open", &["posixmq", "sender", "x"]),
        ("mq_getsetattr", &["posixmq", "sender", "x"]),
        ("msgget", &["sysvmq", "sender", "x"]),
        ("msgctl", &["sysvmq", "sender", "x"]),
        ("semget", &["semaphore", "poster", "--kind", "sysv"]),
        ("semctl", &["semaphore", "poster", "--kind", "sysv"]),
        ("fallocate", &["semaphore", "poster", "--kind", "futex"]),
    ] {
        for which in [1, 2, 3] {
            let subject = subject(words[0]);
            let command = struck(&subject, calls, "KILL", which, words);
            let mut role =
                RoleProcess::start(words[0], command, Input::Nothing).unwrap();
            // One that has no such call any more waits for its peer: it is killed there.
            until("it ends", || {
                if let Some(child) = asleep(&role) {
                    let _ = kill(child, Signal::SIGKILL);
                }
                role.has_ended()
            });
            role.wait(deadline()).unwrap();
            all_is_cleaned(
                &subject,
                &format!("{words:?} killed at {calls} {which}"),
            );
        }
    }
}

/// The program that strace runs, if it is asleep in a call of its own.
fn asleep(strace: &RoleProcess) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", strace.pid());
    let child = fs::read_to_string(children).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
    stat.rsplit(") ").next()?.starts_with('S').then_some(Pid::from_raw(child))
}

#[test]
fn a_signal_in_a_change_leaves_nothing() {
    if !have("strace") {
        return;
    }
    for (calls, which, words) in [
        ("bind", 1, &["fdpass", "server", "--listen", "127.0.0.1:0"][..]),
        (RENAMES, 1, &["fdpass", "server", "--listen", "127.0.0.1:0"]),
        (RENAMES, 1, &["tcp", "server", "--listen", "127.0.0.1:0"]),
        (RENAMES, 1, &["signal", "receiver"]),
    ] {
        let subject = subject(words[0]);
        // Where a worker waits, the server is not the last one out.
        let worker = (words[0] == "fdpass").then(|| {
            let worker = RoleProcess::start(
                "worker",
                ipclab(&subject, &["fdpass", "worker"]),
                Input::Nothing,
            );
            let worker = worker.unwrap();
            worker.wait_for_comment("start the other", deadline()).unwrap();
            worker
        });
        let outcome =
            run(struck(&subject, calls, "INT", which, words), Input::Nothing);
        assert_eq!(
            outcome.status.signal(),
            Some(libc::SIGINT),
            "{}",
            outcome.stderr
        );
        if let Some(worker) = worker {
            worker.stop(Signal::SIGTERM, deadline()).unwrap();
        }
        subject
            .nothing_is_left()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

#[test]
fn an_unfinished_file_at_a_users_path_goes_by_every_signal() {
    if !have("strace") {
        return;
    }
    let subject = subject("file");
    let dir = subject.dir().join("mine");
    fs::create_dir(&dir).unwrap();
    let news = dir.join("news");
    let at = ["file", "sender", "--at", news.to_str().unwrap(), "x"];
    let unfinished = dir.join("news.tmp");
    let strace = struck(&subject, "openat", "TERM", 1, &at);
    // Only of this path: the call that makes it.
    let mut of_path = Command::new("strace");
    of_path.arg("-P").arg(&unfinished).args(strace.get_args());
    of_path.env("IPCLAB_DIR", subject.dir());
    let outcome = run(of_path, Input::Nothing);
    assert_eq!(outcome.status.signal(), Some(libc::SIGTERM), "{}", outcome.stderr);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn the_lock_file_stays_while_it_names_what_a_killed_peer_left() {
    if !have("strace") {
        return;
    }
    // The receiver is killed at its rename, the sender that waits for it is the last one out.
    let subject = subject("signal");
    let sender = subject.start_sender(&["hi"], Input::Nothing).unwrap();
    sender.wait_for_comment("no receiver", deadline()).unwrap();
    run(
        struck(&subject, RENAMES, "KILL", 1, &["signal", "receiver"]),
        Input::Nothing,
    );
    assert!(subject.dir().join("signal.tmp").exists());
    sender.stop(Signal::SIGTERM, deadline()).unwrap();
    all_is_cleaned(&subject, "signal");
    // A receiver is killed at its unlink, with a message in its hands.
    let subject = support::subject("file");
    let sent =
        subject.start_sender(&["x"], Input::Nothing).unwrap().wait(deadline());
    assert!(sent.unwrap().status.success());
    let sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.wait_for_comment("O_EXCL", deadline()).unwrap();
    run(struck(&subject, UNLINKS, "KILL", 1, &["file", "receiver"]), Input::Nothing);
    sender.stop(Signal::SIGTERM, deadline()).unwrap();
    assert!(subject.dir().join("file.lock").exists());
    all_is_cleaned(&subject, "file");
}

#[test]
fn without_a_descriptor_to_spare_no_lock_file_is_left() {
    let subject = subject("fifo");
    let mut shell = Command::new("sh");
    let script = "ulimit -n 4; exec \"$0\" fifo receiver";
    shell.args(["-c", script]).arg(program()).env("IPCLAB_DIR", subject.dir());
    let outcome = run(shell, Input::Nothing);
    contract::failed_clearly(&outcome).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn clean_leaves_a_place_alone_that_somebody_new_has_made_meanwhile() {
    if !have("strace") {
        return;
    }
    let subject = subject("fifo");
    let first = subject.start_receiver(&[]).unwrap();
    first.wait_for_comment("start the other", deadline()).unwrap();
    // It is stopped as soon as it has the lock file open.
    let mut strace = Command::new("strace");
    strace.arg("-P").arg(subject.dir().join("fifo.lock"));
    strace.args(["-e", "trace=openat", "-e", "inject=openat:signal=STOP:when=1"]);
    strace.arg(program()).arg("clean").env("IPCLAB_DIR", subject.dir());
    strace.env("TMPDIR", subject.dir());
    let cleaner = RoleProcess::start("clean", strace, Input::Nothing).unwrap();
    cleaner.wait_for_comment("stopped by SIGSTOP", deadline()).unwrap();
    first.stop(Signal::SIGTERM, deadline()).unwrap();
    let second = subject.start_receiver(&[]).unwrap();
    second.wait_for_comment("start the other", deadline()).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", cleaner.pid());
    let child = fs::read_to_string(children).unwrap();
    kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGCONT).unwrap();
    let said = cleaner.wait(deadline()).unwrap();
    let report = String::from_utf8(said.stdout).unwrap();
    assert!(!report.contains("removed"), "{report}");
    let sent =
        subject.start_sender(&["x"], Input::Nothing).unwrap().wait(deadline());
    assert!(sent.unwrap().status.success());
    assert_eq!(second.wait(deadline()).unwrap().stdout, b"x\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_cannot_be_removed_is_said_and_is_a_failure() {
    let subject = subject("fifo");
    // A directory of a killed run, with a file in it that nobody may remove.
    let run_dir = subject.dir().join("ipclab-left");
    fs::create_dir(&run_dir).unwrap();
    fs::write(run_dir.join(".made"), "").unwrap();
    let set = |how: &str| {
        let mut chattr = Command::new("chattr");
        let done = chattr.arg(how).arg(run_dir.join(".made")).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !nix::unistd::geteuid().is_root() || !set("+i") {
        return skip(
            "only root can make a file that cannot be removed, where chattr works",
        );
    }
    let mut command = ipclab(&subject, &["clean"]);
    command.env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    set("-i");
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
    let report = String::from_utf8(outcome.stdout).unwrap();
    assert!(
        report.contains("could not remove path") && report.contains("EPERM"),
        "{report}"
    );
}

#[test]
fn what_a_killed_demo_trace_or_experiment_leaves_is_found() {
    if !have("strace") {
        return;
    }
    for words in [
        &["demo", "fifo"][..],
        &["trace", "fifo"],
        &["experiment", "fifo/no-reader-enxio", "--show"],
    ] {
        let subject = subject("fifo");
        let spawns = "clone,clone3,?fork,?vfork";
        let outcome =
            run(struck(&subject, spawns, "KILL", 1, words), Input::Nothing);
        assert_eq!(
            outcome.status.signal(),
            Some(libc::SIGKILL),
            "{words:?}: {}",
            outcome.stderr
        );
        let left = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert!(left(subject.dir()) > 0, "{words:?}: it came too early");
        all_is_cleaned(&subject, &format!("{words:?}"));
    }
}
