//! Nothing is left, however it ends; and it ends in time.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::{doctor_after, found};
use nix::sys::signal::Signal;
use os::names;
use os::shm_file::{segment_path, semaphore_path};
use wire::meet::{kernel_prefix_of, key_of};

/// What is left of a run whose directory was `dir`.
fn left_of(dir: &std::path::Path) -> Vec<String> {
    let prefix = kernel_prefix_of(Some(dir.as_os_str()));
    let all = lab::scratch::PROBED
        .map(|name| left_by_name(dir, &format!("{prefix}{name}")));
    all.concat()
}

fn left_by_name(dir: &std::path::Path, name: &str) -> Vec<String> {
    let key = key_of(name);
    let left = [
        ("the directory", dir.exists()),
        ("a queue", names::queue_exists(name)),
        ("a segment", segment_path(name).exists()),
        ("a semaphore", semaphore_path(name).exists()),
        ("a System V queue", names::sysv_queue(key).is_some()),
        ("a System V segment", names::sysv_segment(key).is_some()),
        ("a System V semaphore", names::sysv_semaphore(key).is_some()),
    ];
    left.iter().filter(|(_, is)| *is).map(|(what, _)| (*what).to_owned()).collect()
}

/// The directories of runs in the subject's runtime directory.
fn runs(subject: &Subject) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(subject.dir()).unwrap().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn after_kill_9_in_the_middle_clean_removes_what_is_left() {
    for round in 0..12 {
        let subject = subject("fifo");
        let doctor = doctor_after(&subject, &["env"]);
        let doctor = RoleProcess::start("doctor", doctor, Input::Nothing).unwrap();
        let mut dirs = Vec::new();
        // With its list: before that it is a directory that nobody knows.
        until("a directory", || {
            dirs = runs(&subject);
            dirs.iter().any(|dir| dir.join(wire::dirs::LIST).exists())
        });
        // Each round at another moment: after so many looks.
        (0..round * 40).for_each(|_| drop(runs(&subject)));
        // It returns when all that had its standard output have ended: the probes, too.
        doctor.stop(Signal::SIGKILL, deadline()).unwrap();
        let mut clean = ipclab(&subject, &["clean"]);
        clean.env("TMPDIR", subject.dir());
        let cleaned = run(clean, Input::Nothing);
        assert!(cleaned.status.success(), "{}", cleaned.stderr);
        for dir in &dirs {
            assert_eq!(left_of(dir), Vec::<String>::new(), "round {round}");
        }
        assert_eq!(runs(&subject), Vec::<PathBuf>::new(), "round {round}");
    }
}

#[test]
fn what_a_killed_probe_has_made_is_removed_by_its_parent() {
    if !have("strace") || !have("unshare") {
        return;
    }
    // The probe is killed when its queue is there, and it is about to use it. In a namespace of
    // its own the table has no other queues: only its head is left, one line.
    let script = "strace -f -qq -o /dev/null -e trace=msgsnd \
                  -e inject=msgsnd:signal=SIGKILL:when=1 \"$0\" doctor --json sysvmq; \
                  wc -l < /proc/sysvipc/msg >&2";
    let subject = subject("fifo");
    let mut command = std::process::Command::new("unshare");
    command.args(["-r", "-i", "sh", "-c", script]).arg(program());
    command.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(said.contains("ended by SIGKILL"), "{said}{}", outcome.stderr);
    assert!(said.contains("necessary is missing (✗): sysv-queue"), "{said}");
    assert_eq!(outcome.stderr.lines().last().map(str::trim), Some("1"));
    assert_eq!(runs(&subject), Vec::<PathBuf>::new());
}

#[test]
fn ctrl_c_leaves_nothing() {
    let subject = subject("fifo");
    let doctor = doctor_after(&subject, &["env"]);
    // A Python that never answers keeps it busy.
    let never = subject.dir().join("never");
    write_program(&never, "#!/bin/sh\nexec sleep 600\n");
    let mut doctor = doctor;
    doctor.env("IPCLAB_PYTHON", &never);
    let doctor = RoleProcess::start("doctor", doctor, Input::Nothing).unwrap();
    until("a directory", || !runs(&subject).is_empty());
    let outcome = doctor.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(libc::SIGINT));
    assert_eq!(runs(&subject), Vec::<PathBuf>::new());
}

#[test]
fn a_probe_that_does_not_answer_is_ended_and_the_rest_is_told_in_time() {
    let subject = subject("fifo");
    let (never, pid) = (subject.dir().join("never"), subject.dir().join("pid"));
    let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid.display());
    write_program(&never, &script);
    let mut doctor = doctor_after(&subject, &["env"]);
    doctor.env("IPCLAB_PYTHON", &never);
    let began = Instant::now();
    let all = found(doctor);
    let took = began.elapsed();
    assert_eq!(all.mark("python"), "limited");
    assert_eq!(all.finding("python")["found"], "no answer within 2 s");
    assert_eq!(all.mark("pipe"), "ok");
    assert_eq!(all.status, Some(0));
    // 3 s are promised; a busy machine takes its time to start a process.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let pid: u32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    until("the end of the program that did not answer", || {
        os::process_identity::state(pid).is_none_or(|state| state == 'Z')
    });
    assert_eq!(runs(&subject), Vec::<PathBuf>::new());
}

fn write_program(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    // Written by another process: a child of a neighbouring test may hold what we write open.
    let write = format!("cat > '{0}' && chmod 755 '{0}'", path.display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &write]);
    let outcome = run(shell, Input::Bytes(text.as_bytes().to_vec()));
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
}
