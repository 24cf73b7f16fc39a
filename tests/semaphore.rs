//! The semaphore chapter: posts and waits, in each of the three kinds. The contract's
//! clauses about messages do not apply, since a semaphore carries none; what they ask is
//! asked here in posts and waits.

mod support;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use os::cleanup::remove_now;
use os::semaphore::{sem_create, sem_getvalue, sem_open};
use os::shm_file::{segment_path, semaphore_path};
use os::sysv_semaphore::{
    semctl_getncnt, semctl_getval, semctl_setval, semctl_stat, semget, semop,
};
use os::{cleanup::Object, names};
use support::*;
use wire::meet::{kernel_prefix_of, key_of};

/// The chapter with the waiter as the one that receives.
fn semaphores(kind: &str) -> Subject {
    let mut subject = subject("semaphore");
    let words = |role: &str| -> Vec<OsString> {
        let words = ["semaphore", role, "--kind", kind].map(OsString::from);
        [program().into()].into_iter().chain(words).collect()
    };
    (subject.sender, subject.receiver) = (words("poster"), words("waiter"));
    subject
}

macro_rules! of_kind {
    ($kind:literal) => {
        keeps_the_contract!(semaphores($kind), except {
            one_message: "asked of posts" => the_waiter_may_be_first,
            a_thousand_in_order:
                "asked of posts" => a_thousand_posts_are_a_thousand_waits,
            an_empty_message: "a post carries no bytes",
            the_largest_message:
                "asked of posts" => a_full_semaphore_is_named_with_its_limit,
            one_byte_too_many:
                "asked of posts" => a_full_semaphore_is_named_with_its_limit,
            arguments_are_checked_first:
                "asked of posts" => what_makes_no_sense_is_a_usage_error,
            binary_bytes: "a post carries no bytes",
            sixty_four_mebibytes_arrive_to_the_byte: "a post carries no bytes",
            lines_of_many_lengths_arrive_as_sent: "a post carries no bytes",
            a_closed_output_is_a_quiet_end:
                "asked of posts" => a_closed_output_is_a_quiet_end,
            the_sender_may_be_first: "asked of posts" => the_poster_may_be_first,
            the_receiver_may_be_first: "asked of posts" => the_waiter_may_be_first,
            a_stale_name_is_recovered:
                "asked of posts" => a_killed_waiter_leaves_a_name_that_the_next_pair_uses,
            a_taken_name_is_refused:
                "asked of posts" => a_link_or_a_short_file_in_place_of_the_semaphore_is_refused,
            the_sender_is_killed:
                "asked of posts" => a_waiter_goes_on_waiting_when_its_poster_was_killed,
            the_sender_is_killed_in_full_flow:
                "asked of posts" => the_posts_of_a_poster_stopped_in_full_flow_are_found,
            the_receiver_is_killed:
                "asked of posts" => a_killed_waiter_leaves_a_name_that_the_next_pair_uses,
            signals_clear_up: "asked of posts" => signals_clear_up,
        });
    };
}

/// The contract and one test each of a kind.
macro_rules! of_each_kind {
    ($($test:ident),+ $(,)?) => {
        mod posix { use super::*; of_kind!("posix"); $(#[test] fn $test() { super::$test("posix"); })+ }
        mod sysv { use super::*; of_kind!("sysv"); $(#[test] fn $test() { super::$test("sysv"); })+ }
        mod futex { use super::*; of_kind!("futex"); $(#[test] fn $test() { super::$test("futex"); })+ }
    };
}

of_each_kind! {
    the_waiter_may_be_first, the_poster_may_be_first,
    a_thousand_posts_are_a_thousand_waits, what_is_not_taken_waits_for_the_next,
    a_killed_waiter_leaves_a_name_that_the_next_pair_uses,
    a_waiter_goes_on_waiting_when_its_poster_was_killed, signals_clear_up,
    a_timeout_ends_a_wait, patience_ends_one_wait, a_first_value_is_taken_without_a_post,
    a_value_is_for_a_new_semaphore_alone, a_value_too_low_is_recognised,
    a_closed_output_is_a_quiet_end, the_semaphore_of_another_user_is_refused,
    a_strangers_semaphore_stays, another_kind_is_refused_while_a_role_waits,
    a_semaphore_removed_under_a_waiter_is_named, clean_keeps_posts_and_removes_the_rest,
    clean_finds_a_semaphore_without_a_lock_file, ready_fd_gets_the_name,
    many_posts_are_summed_up,
}

fn start(subject: &Subject, role: &str, args: &[&str]) -> RoleProcess {
    let command = match role {
        "poster" => subject.sender_command(args),
        _ => subject.receiver_command(args),
    };
    RoleProcess::start(role, command, Input::Nothing).unwrap()
}

/// Starts a waiter, and waits until it is about to wait.
fn waiting(subject: &Subject, args: &[&str]) -> RoleProcess {
    let waiter = start(subject, "waiter", args);
    waiter.wait_for_comment("start the other: ", deadline()).unwrap();
    waiter
}

/// Waits until a process sleeps on the subject's System V semaphore: semctl(GETNCNT).
fn until_it_sleeps(subject: &Subject) {
    let id = names::sysv_semaphore(key_of(&kernel_name(subject))).unwrap();
    until("it sleeps", || semctl_getncnt(id).unwrap() > 0);
}

fn done(role: RoleProcess) -> Outcome {
    let name = role.name.clone();
    let outcome = role.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{name}: {}", outcome.stderr);
    outcome
}

/// Starts a role that fails; returns its one line of error.
fn failed(subject: &Subject, role: &str, args: &[&str]) -> String {
    let outcome = start(subject, role, args).wait(deadline()).unwrap();
    contract::failed_clearly(&outcome).unwrap()
}

fn clean(subject: &Subject, args: &[&str]) -> String {
    let mut command = ipclab(subject, &["clean"]);
    command.args(args);
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

/// The name in the kernel of the subject's own semaphore.
fn kernel_name(subject: &Subject) -> String {
    let prefix = kernel_prefix_of(Some(subject.dir().as_os_str()));
    format!("{prefix}semaphore")
}

/// A name for `--at` that no other test uses.
fn a_name(subject: &Subject) -> String {
    kernel_name(subject).replace("semaphore", "stranger")
}

/// The file of a semaphore.
fn file_of(kind: &str, name: &str) -> PathBuf {
    if kind == "posix" { semaphore_path(name) } else { segment_path(name) }
}

/// Makes a stranger's semaphore, and returns what removes it.
fn strangers(kind: &str, name: &str, value: u32) -> Object {
    match kind {
        "posix" => drop(sem_create(name, value).unwrap()),
        "futex" => std::fs::write(segment_path(name), value.to_le_bytes()).unwrap(),
        _ => {
            let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
            let id = semget(key_of(name), 1, flags).unwrap();
            semctl_setval(id, 0).unwrap();
            semop(id, value as i16, libc::IPC_NOWAIT).unwrap();
            return Object::SysvSemaphore(id, 0);
        }
    }
    Object::Semaphore(file_of(kind, name), 0)
}

fn took(times: usize) -> String {
    (1..=times).map(|number| format!("took {number}\n")).collect()
}

fn the_waiter_may_be_first(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &["--times", "3"]);
    done(start(&subject, "poster", &["--times", "3"]));
    assert_eq!(done(waiter).stdout, took(3).into_bytes());
    subject.nothing_is_left().unwrap();
}

fn the_poster_may_be_first(kind: &str) {
    let subject = semaphores(kind);
    let poster = done(start(&subject, "poster", &["--times", "3"])).stderr;
    assert!(poster.contains("start the other: "), "{poster}");
    assert!(poster.contains("the semaphore stays"), "{poster}");
    subject.nothing_is_left().expect_err("the posts are gone");
    let waiter = done(start(&subject, "waiter", &["--times", "3"]));
    assert_eq!(waiter.stdout, took(3).into_bytes());
    assert!(waiter.stderr.contains("3 posts already here"), "{}", waiter.stderr);
    assert!(!waiter.stderr.contains("start the other"), "{}", waiter.stderr);
    subject.nothing_is_left().unwrap();
}

fn a_thousand_posts_are_a_thousand_waits(kind: &str) {
    let subject = semaphores(kind);
    let mut waiters: Vec<_> =
        (0..2).map(|_| waiting(&subject, &["--times", "250"])).collect();
    let posters: Vec<_> =
        (0..4).map(|_| start(&subject, "poster", &["--times", "250"])).collect();
    waiters.extend((0..2).map(|_| start(&subject, "waiter", &["--times", "250"])));
    for poster in posters {
        done(poster);
    }
    for waiter in waiters {
        assert_eq!(done(waiter).stdout, took(250).into_bytes());
    }
    subject.nothing_is_left().unwrap();
}

fn what_is_not_taken_waits_for_the_next(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &[]);
    done(start(&subject, "poster", &["--times", "3"]));
    done(waiter);
    assert_eq!(
        done(start(&subject, "waiter", &["--times", "2"])).stdout,
        b"took 1\ntook 2\n"
    );
    subject.nothing_is_left().unwrap();
}

fn a_killed_waiter_leaves_a_name_that_the_next_pair_uses(kind: &str) {
    let subject = semaphores(kind);
    waiting(&subject, &[]).stop(Signal::SIGKILL, deadline()).unwrap();
    subject.nothing_is_left().expect_err("it was killed too late");
    let waiter = waiting(&subject, &[]);
    done(start(&subject, "poster", &[]));
    let waiter = done(waiter);
    assert_eq!(waiter.stdout, b"took 1\n");
    assert!(waiter.stderr.contains("found it; its value is 0"), "{}", waiter.stderr);
    subject.nothing_is_left().unwrap();
}

fn a_waiter_goes_on_waiting_when_its_poster_was_killed(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &["--times", "2"]);
    // A poster that is held up within its work: its comments fill a pipe nobody reads.
    let (_unread, full) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&full, flags).unwrap();
    while nix::unistd::write(&full, &[0; 512]).is_ok() {}
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty());
    nix::fcntl::fcntl(&full, flags).unwrap();
    let command = subject.sender_command(&[]);
    let output = Output::Kept;
    let held = RoleProcess::start_with(
        "poster",
        command,
        Input::Nothing,
        output,
        Some(full),
    )
    .unwrap();
    held.stop(Signal::SIGKILL, deadline()).unwrap();
    for number in 1..=2 {
        done(start(&subject, "poster", &[]));
        let line = format!("took {number}\n");
        waiter.wait_for_output(line.as_bytes(), deadline()).unwrap();
    }
    done(waiter);
    subject.nothing_is_left().unwrap();
}

fn signals_clear_up(kind: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let subject = semaphores(kind);
        let ended = waiting(&subject, &[]).stop(signal, deadline()).unwrap();
        assert_eq!(ended.status.signal(), Some(signal as i32));
        subject.nothing_is_left().unwrap();
    }
}

fn a_timeout_ends_a_wait(kind: &str) {
    let subject = semaphores(kind);
    let waiter = start(&subject, "waiter", &["--timeout", "0.05"]);
    assert_eq!(waiter.wait(deadline()).unwrap().status.code(), Some(124));
    subject.nothing_is_left().unwrap();
}

fn patience_ends_one_wait(kind: &str) {
    let subject = semaphores(kind);
    done(start(&subject, "poster", &[]));
    let args = ["--times", "2", "--patience", "0.15"];
    let waiter = start(&subject, "waiter", &args).wait(deadline()).unwrap();
    assert_eq!(waiter.stdout, b"took 1\n");
    assert_eq!(waiter.status.code(), Some(124), "{}", waiter.stderr);
    let line = waiter.stderr.lines().last().unwrap();
    let call = match kind {
        "posix" => "sem_timedwait",
        "sysv" => "semtimedop(-1)",
        _ => "futex(FUTEX_WAIT)",
    };
    let errno = if kind == "sysv" { "EAGAIN" } else { "ETIMEDOUT" };
    assert!(line.starts_with(&format!("ipclab: {call} ")), "{line}");
    assert!(line.contains(&format!(": timed out: {errno}: ")), "{line}");
    assert!(
        line.ends_with("; nobody posted within the --patience of 0.15 s"),
        "{line}"
    );
    subject.nothing_is_left().unwrap();
}

fn a_first_value_is_taken_without_a_post(kind: &str) {
    let subject = semaphores(kind);
    let waiter = done(start(&subject, "waiter", &["--value", "3", "--times", "2"]));
    assert_eq!(waiter.stdout, took(2).into_bytes());
    assert!(!waiter.stderr.contains("start the other"), "{}", waiter.stderr);
    subject.nothing_is_left().unwrap();
    // A lock: taken and given back, it is worth what it was made with.
    let poster = done(start(&subject, "poster", &["--value", "3"]));
    assert!(poster.stderr.contains("value is 4"), "{}", poster.stderr);
    done(start(&subject, "waiter", &["--times", "2"]));
    subject.nothing_is_left().unwrap();
}

fn a_value_is_for_a_new_semaphore_alone(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &[]);
    let poster = done(start(&subject, "poster", &["--value", "7"])).stderr;
    assert!(poster.contains("--value 7 is for a new one"), "{poster}");
    done(waiter);
    subject.nothing_is_left().unwrap();
}

fn a_value_too_low_is_recognised(kind: &str) {
    let subject = semaphores(kind);
    let holder = waiting(&subject, &["--value", "1", "--times", "2"]);
    holder.wait_for_output(b"took 1\n", deadline()).unwrap();
    holder.stop(Signal::SIGKILL, deadline()).unwrap();
    let next = waiting(&subject, &["--value", "1"]);
    next.wait_for_comment("it was made with 1: ", deadline()).unwrap();
    next.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
    done(start(&subject, "waiter", &["--value", "1"]));
    subject.nothing_is_left().unwrap();
}

fn a_closed_output_is_a_quiet_end(kind: &str) {
    let subject = semaphores(kind);
    done(start(&subject, "poster", &["--times", "2"]));
    let (reading, writing) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    drop(reading);
    let command = subject.receiver_command(&["--times", "2"]);
    let output = Output::To(writing);
    let waiter =
        RoleProcess::start_with("waiter", command, Input::Nothing, output, None);
    let waiter = done(waiter.unwrap());
    assert!(!waiter.stderr.contains("ipclab: "), "{}", waiter.stderr);
    clean(&subject, &["--pending"]);
    subject.nothing_is_left().unwrap();
}

fn the_semaphore_of_another_user_is_refused(kind: &str) {
    if !offers("fdpass", "other-user") {
        return;
    }
    let subject = semaphores(kind);
    let name = a_name(&subject);
    let object = strangers(kind, &name, 1);
    let theirs = tempfile::tempdir().unwrap();
    chown(theirs.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let opened = std::fs::File::open(program()).unwrap();
    let lines: Vec<_> = ["poster", "waiter"]
        .iter()
        .map(|role| {
            let args = ["semaphore", role, "--kind", kind, "--at", &name];
            let mut command = as_nobody(&opened, &args);
            command.env("IPCLAB_DIR", theirs.path());
            run(command, Input::Nothing)
        })
        .map(|outcome| contract::failed_clearly(&outcome))
        .collect();
    remove_now(&object).unwrap();
    for line in lines {
        let line = line.unwrap();
        assert!(line.contains("EACCES") && line.contains("--at NAME"), "{line}");
    }
    assert_eq!(std::fs::read_dir(theirs.path()).unwrap().count(), 0);
    subject.nothing_is_left().unwrap();
}

fn a_strangers_semaphore_stays(kind: &str) {
    let subject = semaphores(kind);
    let name = a_name(&subject);
    let object = strangers(kind, &name, 1);
    let waiter = done(start(&subject, "waiter", &["--at", &name])).stderr;
    assert!(waiter.contains("it stays when we leave"), "{waiter}");
    done(start(&subject, "poster", &["--at", &name]));
    let value = names::waiting(&object);
    remove_now(&object).unwrap();
    assert_eq!(value, 1, "taken once and posted once");
    subject.nothing_is_left().unwrap();
}

fn another_kind_is_refused_while_a_role_waits(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &[]);
    let other = if kind == "posix" { "sysv" } else { "posix" };
    let poster = run(
        ipclab(&subject, &["semaphore", "poster", "--kind", other]),
        Input::Nothing,
    );
    let line = contract::failed_clearly(&poster).unwrap();
    assert!(line.contains(&format!("--kind {kind}")), "{line}");
    done(start(&subject, "poster", &[]));
    done(waiter);
    subject.nothing_is_left().unwrap();
}

fn a_semaphore_removed_under_a_waiter_is_named(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &[]);
    let name = kernel_name(&subject);
    if kind == "sysv" {
        let id = names::sysv_semaphore(key_of(&name)).unwrap();
        remove_now(&Object::SysvSemaphore(id, 0)).unwrap();
        // Here the kernel tells the sleeper itself.
        let line = failure(waiter);
        assert!(line.contains("EIDRM") || line.contains("EINVAL"), "{line}");
        assert!(line.contains("the set was removed"), "{line}");
    } else {
        std::fs::remove_file(file_of(kind, &name)).unwrap();
        let line = failed(&subject, "poster", &[]);
        assert!(line.contains("removed while a role of ours uses it"), "{line}");
        waiter.stop(Signal::SIGINT, deadline()).unwrap();
    }
    subject.nothing_is_left().unwrap();
}

fn clean_keeps_posts_and_removes_the_rest(kind: &str) {
    let subject = semaphores(kind);
    let waiter = waiting(&subject, &["--times", "2"]);
    assert!(clean(&subject, &[]).contains("in use"));
    waiter.stop(Signal::SIGKILL, deadline()).unwrap();
    assert!(clean(&subject, &["--dry-run"]).contains("would remove"));
    assert!(clean(&subject, &[]).contains("semaphore"));
    subject.nothing_is_left().unwrap();
    done(start(&subject, "poster", &["--times", "2"]));
    let kept = clean(&subject, &[]);
    assert!(kept.contains("2 posts that nobody has waited for"), "{kept}");
    assert!(clean(&subject, &["--pending"]).contains("removed"));
    subject.nothing_is_left().unwrap();
}

fn clean_finds_a_semaphore_without_a_lock_file(kind: &str) {
    let subject = semaphores(kind);
    strangers(kind, &kernel_name(&subject), 0);
    let removed = clean(&subject, &[]);
    assert!(removed.starts_with("removed "), "{removed}");
    subject.nothing_is_left().unwrap();
    strangers(kind, &kernel_name(&subject), 1);
    let kept = clean(&subject, &[]);
    assert!(kept.contains("1 post that nobody has waited for; --pending"), "{kept}");
    clean(&subject, &["--pending"]);
    subject.nothing_is_left().unwrap();
}

fn ready_fd_gets_the_name(kind: &str) {
    let subject = semaphores(kind);
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "exec 3>&1; exec \"$0\" -q semaphore waiter --kind \"$1\" --ready-fd 3",
    ]);
    shell.arg(program()).arg(kind).env("IPCLAB_DIR", subject.dir());
    let waiter = RoleProcess::start("waiter", shell, Input::Nothing).unwrap();
    let name = kernel_name(&subject);
    let line = match kind {
        "sysv" => format!("{:#x}\n", key_of(&name)),
        _ => format!("{name}\n"),
    };
    waiter.wait_for_output(line.as_bytes(), deadline()).unwrap();
    waiter.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

fn many_posts_are_summed_up(kind: &str) {
    let subject = semaphores(kind);
    let poster = done(start(&subject, "poster", &["--times", "1000"])).stderr;
    assert_eq!(poster.matches("value of").count(), 3, "{poster}");
    assert!(poster.contains(": 1,000 calls in all\n"), "{poster}");
    let waiter = done(start(&subject, "waiter", &["--times", "1000", "-q"]));
    assert!(waiter.stderr.is_empty(), "{}", waiter.stderr);
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_posts_of_a_poster_stopped_in_full_flow_are_found() {
    for kind in ["posix", "futex"] {
        for signal in [Signal::SIGKILL, Signal::SIGINT] {
            let subject = semaphores(kind);
            let poster = start(&subject, "poster", &["--times", "2000000000"]);
            poster.wait_for_comment("… and so on", deadline()).unwrap();
            done(start(&subject, "waiter", &["--times", "5"]));
            let stopped = poster.stop(signal, deadline()).unwrap();
            assert_eq!(stopped.status.signal(), Some(signal as i32));
            let waiter = done(start(&subject, "waiter", &["--times", "2"]));
            assert!(waiter.stderr.contains(" already here"), "{}", waiter.stderr);
            clean(&subject, &["--pending"]);
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn an_earlier_kind_goes_with_the_last_one_out_once_it_is_empty() {
    let (posix, sysv) = (semaphores("posix"), |role: &str| {
        ["semaphore", role, "--kind", "sysv"].map(str::to_owned)
    });
    done(start(&posix, "poster", &[]));
    for role in ["poster", "waiter"] {
        let mut command = ipclab(&posix, &[]);
        command.args(sysv(role));
        assert!(run(command, Input::Nothing).status.success());
    }
    // The POSIX post is still there, and so is the lock file that names it.
    assert_eq!(done(start(&posix, "waiter", &[])).stdout, b"took 1\n");
    posix.nothing_is_left().unwrap();
}

#[test]
fn a_signal_that_comes_with_the_making_of_a_semaphore_leaves_nothing() {
    for (kind, call, which) in [
        ("posix", "link,linkat", 1),
        ("sysv", "semget", 2), // the first looks whether there is one
        ("sysv", "semctl", 1),
        ("sysv", "semop,semtimedop", 1),
        ("futex", "fallocate", 1),
    ] {
        let subject = semaphores(kind);
        let args = ["semaphore", "waiter", "-q", "--kind", kind];
        if struck_at(call, which, &ipclab(&subject, &args)).is_none() {
            return;
        }
        subject.nothing_is_left().unwrap_or_else(|e| panic!("{kind}, {call}: {e}"));
    }
}

#[test]
fn the_peers_command_has_the_kind_and_not_the_undo() {
    let subject = semaphores("sysv");
    let waiter = waiting(&subject, &["--undo", "--patience", "60", "--times", "2"]);
    let said = waiter.stop(Signal::SIGINT, deadline()).unwrap().stderr;
    let line = said.lines().find(|line| line.contains("start the other")).unwrap();
    assert!(line.ends_with("semaphore poster --kind sysv --times 2"), "{line}");
}

#[test]
fn an_undo_of_a_post_takes_it_back_at_the_posters_end() {
    let subject = semaphores("sysv");
    let poster = done(start(&subject, "poster", &["--undo", "--times", "2"])).stderr;
    assert!(poster.contains("SEM_UNDO on a post"), "{poster}");
    assert!(poster.contains("the value is 2 as we leave"), "{poster}");
    subject
        .nothing_is_left()
        .expect("nothing waits, so the last one out removes it");
    // With someone else there the set stays, and its value shows what the kernel did.
    let waiter = waiting(&subject, &[]);
    until_it_sleeps(&subject);
    done(start(&subject, "poster", &["--undo", "--times", "3"]));
    done(waiter);
    subject
        .nothing_is_left()
        .expect("the two posts beyond the sleeper's are undone");
}

#[test]
fn a_waiter_with_undo_gives_back_when_it_is_killed_and_one_without_does_not() {
    for (undo, left) in [(true, 1), (false, 0)] {
        let subject = semaphores("sysv");
        done(start(&subject, "poster", &[]));
        let args = ["--times", "2", "--undo"];
        let waiter = waiting(&subject, if undo { &args } else { &args[..2] });
        waiter.wait_for_output(b"took 1\n", deadline()).unwrap();
        waiter.stop(Signal::SIGKILL, deadline()).unwrap();
        let id = names::sysv_semaphore(key_of(&kernel_name(&subject))).unwrap();
        assert_eq!(semctl_getval(id), Ok(left), "--undo {undo}");
        clean(&subject, &["--pending"]);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_waiter_with_undo_that_is_interrupted_gives_back_before_it_looks_whether_to_remove()
 {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let subject = semaphores("sysv");
        done(start(&subject, "poster", &[]));
        let waiter = waiting(&subject, &["--times", "2", "--undo"]);
        waiter.wait_for_output(b"took 1\n", deadline()).unwrap();
        waiter.stop(signal, deadline()).unwrap();
        assert_eq!(done(start(&subject, "waiter", &[])).stdout, b"took 1\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_waiter_with_undo_gives_back_at_its_normal_end_too() {
    let subject = semaphores("sysv");
    done(start(&subject, "poster", &[]));
    for _ in 0..2 {
        let waiter = done(start(&subject, "waiter", &["--undo"]));
        assert_eq!(waiter.stdout, b"took 1\n");
        assert!(waiter.stderr.contains("gives back"), "{}", waiter.stderr);
    }
    done(start(&subject, "waiter", &[]));
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_set_is_made_with_a_sem_otime_so_that_strangers_know_it_has_its_value() {
    let subject = semaphores("sysv");
    let waiter = waiting(&subject, &[]);
    let id = names::sysv_semaphore(key_of(&kernel_name(&subject))).unwrap();
    assert!(semctl_stat(id).unwrap().sem_otime > 0, "SETVAL alone leaves it 0");
    waiter.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_strangers_set_without_a_value_yet_is_waited_for() {
    let subject = semaphores("sysv");
    let name = a_name(&subject);
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    let id = semget(key_of(&name), 1, flags).unwrap();
    let slow = start(&subject, "waiter", &["--at", &name, "--times", "2"]);
    slow.wait_for_comment("has yet to give it a value", deadline()).unwrap();
    semctl_setval(id, 0).unwrap();
    semop(id, 2, 0).unwrap();
    assert_eq!(done(slow).stdout, took(2).into_bytes());
    // One that never gets a sem_otime is taken as it is, and that is said.
    remove_now(&Object::SysvSemaphore(id, 0)).unwrap();
    let id = semget(key_of(&name), 1, flags).unwrap();
    semctl_setval(id, 1).unwrap();
    let waiter = done(start(&subject, "waiter", &["--at", &name])).stderr;
    remove_now(&Object::SysvSemaphore(id, 0)).unwrap();
    assert!(waiter.contains("sem_otime stays 0"), "{waiter}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_set_of_another_number_of_semaphores_is_refused_and_left_alone() {
    let subject = semaphores("sysv");
    let name = a_name(&subject);
    let id =
        semget(key_of(&name), 3, libc::IPC_CREAT | libc::IPC_EXCL | 0o600).unwrap();
    let lines =
        ["poster", "waiter"].map(|role| failed(&subject, role, &["--at", &name]));
    let there = names::sysv_semaphore_exists(id);
    remove_now(&Object::SysvSemaphore(id, 0)).unwrap();
    assert!(there, "it was a stranger's");
    for line in lines {
        assert!(line.contains("has 3 semaphores, not 1"), "{line}");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_full_semaphore_is_named_with_its_limit() {
    let subject = semaphores("sysv");
    let line = failed(&subject, "poster", &["-q", "--times", "40000"]);
    assert!(line.contains("after 32767 of 40,000 posts"), "{line}");
    assert!(line.contains("ERANGE") && line.contains("SEMVMX"), "{line}");
    clean(&subject, &["--pending"]);
    for kind in ["posix", "futex"] {
        let subject = semaphores(kind);
        let line = failed(&subject, "poster", &["--value", "2147483647"]);
        assert!(line.contains("EOVERFLOW"), "{line}");
        assert!(line.replace(',', "").contains("2147483647"), "{line}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_link_or_a_short_file_in_place_of_the_semaphore_is_refused() {
    for (kind, meaning) in [
        ("posix", "too small to be a semaphore"),
        ("futex", "has 2 bytes, not 4; it is no futex's word"),
    ] {
        let subject = semaphores(kind);
        let precious = subject.dir().join("precious");
        std::fs::write(&precious, "precious, and long enough for a sem_t").unwrap();
        let file = file_of(kind, &kernel_name(&subject));
        symlink(&precious, &file).unwrap();
        let link = failed(&subject, "poster", &[]);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "no").unwrap();
        let short = failed(&subject, "poster", &[]);
        std::fs::remove_file(&file).unwrap();
        assert!(link.contains("ELOOP") && link.contains("is a link"), "{link}");
        assert!(short.contains(meaning), "{short}");
        let text = std::fs::read(&precious).unwrap();
        assert_eq!(text, b"precious, and long enough for a sem_t");
        std::fs::remove_file(precious).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let subject = semaphores("posix");
    for (kind, args) in [
        ("posix", &["--undo"][..]),
        ("futex", &["--undo"]),
        ("sysv", &["--value", "32768"]),
        ("posix", &["--value", "2147483648"]),
        ("posix", &["--value", "-1"]),
        ("posix", &["--times", "0"]),
        ("posix", &["--patience", "0"]),
        ("mutex", &[]),
        ("posix", &["--at", "a/b"]),
    ] {
        let mut command = ipclab(&subject, &["semaphore", "waiter", "--kind", kind]);
        command.args(args);
        let outcome = run(command, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.matches("ipclab: ").count(),
            1,
            "{}",
            outcome.stderr
        );
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_files_of_both_file_kinds_are_the_owners_alone() {
    for kind in ["posix", "futex"] {
        let subject = semaphores(kind);
        let waiter = waiting(&subject, &[]);
        let file = file_of(kind, &kernel_name(&subject));
        let mode = file.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", file.display());
        waiter.stop(Signal::SIGINT, deadline()).unwrap();
    }
}

/// The stranger, by a module that the standard library has not; or `None`, said aloud.
fn pythons(module: &str, subject: &Subject, args: &[&str]) -> Option<Command> {
    let words: Vec<_> = [module].iter().chain(args).copied().collect();
    python_with(module, subject, "semaphore.py", &words)
}

const MODULES: [(&str, &str); 2] = [("posix", "posix_ipc"), ("sysv", "sysv_ipc")];

/// The subject's semaphore as Python's module takes it: a name, or a key.
fn pythons_name(kind: &str, name: &str) -> String {
    if kind == "sysv" { key_of(name).to_string() } else { name.to_owned() }
}

#[test]
fn python_posts_and_our_waiter_takes() {
    for (kind, module) in MODULES {
        let subject = semaphores(kind);
        let name = pythons_name(kind, &kernel_name(&subject));
        let Some(python) = pythons(module, &subject, &["post", &name, "3"]) else {
            continue;
        };
        let waiter = waiting(&subject, &["--times", "3"]);
        let python = run(python, Input::Nothing);
        assert!(python.status.success(), "{}", python.stderr);
        assert_eq!(done(waiter).stdout, took(3).into_bytes());
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn our_poster_posts_and_python_takes() {
    for (kind, module) in MODULES {
        let subject = semaphores(kind);
        let name = pythons_name(kind, &kernel_name(&subject));
        let Some(python) = pythons(module, &subject, &["wait", &name, "3"]) else {
            continue;
        };
        done(start(&subject, "poster", &["--times", "3"]));
        let python = run(python, Input::Nothing);
        assert_eq!(python.stdout, took(3).into_bytes(), "{}", python.stderr);
        // Python holds no lock, so our name stays until one of ours comes, or clean.
        clean(&subject, &[]);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_semaphore_that_python_made_and_waits_on_is_posted_and_left_to_it() {
    for (kind, module) in MODULES {
        let subject = semaphores(kind);
        let at = a_name(&subject);
        let name = pythons_name(kind, &at);
        let args = ["make-and-wait", &name, "2"];
        let Some(python) = pythons(module, &subject, &args) else { continue };
        let python = RoleProcess::start("python", python, Input::Nothing).unwrap();
        python.wait_for_output(b"ready\n", deadline()).unwrap();
        done(start(&subject, "poster", &["--at", &at, "--times", "2"]));
        let python = done(python).stdout;
        assert_eq!(python, format!("ready\n{}removed\n", took(2)).into_bytes());
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn python_posts_to_the_futex_kind_without_a_wake_up() {
    let subject = semaphores("futex");
    let name = kernel_name(&subject);
    let args = ["mmap", "post", name.trim_start_matches('/'), "1"];
    let Some(python) = python(&subject, "semaphore.py", &args) else { return };
    let waiter = waiting(&subject, &[]);
    assert!(run(python, Input::Nothing).status.success());
    assert_eq!(done(waiter).stdout, b"took 1\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_futex_waiter_notices_that_nobody_is_there_any_more() {
    let subject = semaphores("futex");
    let waiter = waiting(&subject, &["--times", "2"]);
    done(start(&subject, "poster", &[]));
    waiter.wait_for_output(b"took 1\n", deadline()).unwrap();
    waiter.wait_for_comment("nobody else is here any more", deadline()).unwrap();
    done(start(&subject, "poster", &[]));
    let said = done(waiter).stderr;
    assert_eq!(said.matches("start the other: ").count(), 2, "{said}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_word_that_has_a_name_but_no_bytes_yet_is_given_them() {
    let subject = semaphores("futex");
    std::fs::write(file_of("futex", &kernel_name(&subject)), "").unwrap();
    let waiter = waiting(&subject, &[]);
    done(start(&subject, "poster", &[]));
    let said = done(waiter).stderr;
    assert!(said.contains("has no bytes yet"), "{said}");
    subject.nothing_is_left().unwrap();
    // At a name of the user's it may be the beginning of something else.
    let name = a_name(&subject);
    let file = file_of("futex", &name);
    std::fs::write(&file, "").unwrap();
    let line = failed(&subject, "waiter", &["--at", &name]);
    let bytes = file.metadata().unwrap().len();
    std::fs::remove_file(file).unwrap();
    assert!(line.contains("has 0 bytes, not 4"), "{line}");
    assert_eq!(bytes, 0);
}

#[test]
fn a_word_that_is_no_value_is_refused_before_and_while_it_is_used() {
    let subject = semaphores("futex");
    let name = a_name(&subject);
    let file = file_of("futex", &name);
    for word in [0x8000_0000_u32, u32::MAX] {
        std::fs::write(&file, word.to_le_bytes()).unwrap();
        for role in ["poster", "waiter"] {
            let line = failed(&subject, role, &["--at", &name]);
            assert!(
                line.contains(&format!("is {word}, and no semaphore")),
                "{line}"
            );
        }
        assert_eq!(std::fs::read(&file).unwrap(), word.to_le_bytes());
    }
    std::fs::write(&file, 0_u32.to_le_bytes()).unwrap();
    let waiter = waiting(&subject, &["--at", &name]);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|mut word| word.write_all(&u32::MAX.to_le_bytes()))
        .unwrap();
    let outcome = waiter.wait(deadline()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("a stranger wrote it"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_futex_is_not_a_private_one_on_either_side() {
    use rustix::thread::futex::{Flags, wait, wake};
    let subject = semaphores("futex");
    let waiter = waiting(&subject, &[]);
    let file = file_of("futex", &kernel_name(&subject));
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let memory = os::shared::mmap(&file, 4).unwrap();
    let word = memory.u32(0);
    // A wake-up without a post: it counts a sleeper only if both agree on the futex.
    until("the waiter sleeps on this futex", || {
        wake(word, Flags::empty(), 1).unwrap() > 0
    });
    waiter.stop(Signal::SIGKILL, deadline()).unwrap();
    // Now we are the sleeper.
    let ten_seconds = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    loop {
        let poster = start(&subject, "poster", &[]);
        let slept = wait(word, Flags::empty(), 0, Some(&ten_seconds));
        done(poster);
        match slept {
            Ok(()) => break,
            Err(rustix::io::Errno::AGAIN) => {} // it posted before we slept
            Err(error) => panic!("the poster woke nobody: {error}"),
        }
        word.store(0, std::sync::atomic::Ordering::Relaxed);
    }
    drop((memory, file)); // or clean would say that we have it open
    clean(&subject, &["--pending"]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_value_of_a_posix_semaphore_can_be_read_from_its_file() {
    let subject = semaphores("posix");
    done(start(&subject, "poster", &["--times", "5"]));
    let file = semaphore_path(&kernel_name(&subject));
    if have("od") {
        let mut od = Command::new("od");
        od.args(["-An", "-tu4", "-N4"]).arg(file);
        let printed = run(od, Input::Nothing).stdout;
        assert_eq!(String::from_utf8(printed).unwrap().trim(), "5");
    }
    let opened = sem_open(&kernel_name(&subject)).unwrap();
    assert_eq!(sem_getvalue(&opened), 5);
    done(start(&subject, "waiter", &["--times", "5"]));
    subject.nothing_is_left().unwrap();
}
