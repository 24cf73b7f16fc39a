//! `ipclab clean`: what a `kill -9` left, and nothing else.

mod support;

use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use support::*;

fn clean(subject: &Subject, args: &[&str]) -> String {
    let mut command = ipclab(subject, &["clean"]);
    // No experiment of anybody else's is in TMPDIR.
    command.args(args).env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

/// A FIFO whose receiver was killed.
fn stale_fifo(subject: &Subject) {
    let receiver = subject.start_receiver(&[]).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    assert!(subject.dir().join("fifo").exists());
}

#[test]
fn what_a_killed_role_left_is_listed_and_then_removed() {
    let subject = subject("fifo");
    stale_fifo(&subject);
    let listed = clean(&subject, &["--dry-run"]);
    assert!(
        listed.contains("would remove path") && listed.contains("/fifo\n"),
        "{listed}"
    );
    assert!(subject.dir().join("fifo").exists(), "--dry-run removed it");
    assert!(clean(&subject, &[]).contains("removed path"));
    subject.nothing_is_left().unwrap();
    assert!(clean(&subject, &[]).starts_with("nothing to clean"));
}

#[test]
fn an_empty_directory_of_a_run_that_never_began_is_removed_when_it_is_old() {
    use std::os::unix::fs::DirBuilderExt;
    let subject = subject("fifo");
    let age = std::time::Duration::from_secs(90);
    let made =
        ["ipclab-oldAAA", "ipclab-newAAA"].map(|name| subject.dir().join(name));
    for dir in &made {
        std::fs::DirBuilder::new().mode(0o700).create(dir).unwrap();
    }
    let old = std::fs::File::open(&made[0]).unwrap();
    old.set_modified(std::time::SystemTime::now() - age).unwrap();
    assert!(clean(&subject, &[]).contains("removed path"));
    assert!(!made[0].exists() && made[1].exists());
}

#[test]
fn what_a_role_of_ours_uses_is_kept() {
    let subject = subject("fifo");
    let receiver = subject.start_receiver(&[]).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    assert!(clean(&subject, &[]).contains("in use"));
    assert!(subject.dir().join("fifo").exists());
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn what_a_stranger_has_open_is_kept() {
    let subject = subject("fifo");
    stale_fifo(&subject);
    // A stranger holds no lock; opening both ways never sleeps on Linux (fifo(7)).
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "exec 3<>fifo; echo open; read end"])
        .current_dir(subject.dir());
    let stranger = RoleProcess::start("sh", shell, Input::Open).unwrap();
    stranger.wait_for_output(b"open\n", deadline()).unwrap();
    let kept = clean(&subject, &[]);
    assert!(kept.contains(&format!("pid {} has it open", stranger.pid())), "{kept}");
    assert!(subject.dir().join("fifo").exists());
    stranger.wait(deadline()).unwrap();
    clean(&subject, &[]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_socket_nobody_listens_on_goes_and_a_bound_one_stays() {
    let subject = subject("fifo");
    let live = UnixListener::bind(subject.dir().join("live")).unwrap();
    let dead = subject.dir().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    // A child of a neighbouring test has a copy between its fork and its exec.
    until("the socket is bound no more", || {
        let bound = std::fs::read("/proc/net/unix").unwrap();
        !String::from_utf8_lossy(&bound).contains(dead.to_str().unwrap())
    });
    let said = clean(&subject, &[]);
    assert!(said.contains("removed path") && said.contains("/dead"), "{said}");
    assert!(subject.dir().join("live").exists(), "{said}");
    assert!(!dead.exists());
    drop(live);
    clean(&subject, &[]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let subject = subject("fifo");
    let file = subject.dir().join("thesis.txt");
    std::fs::write(&file, "precious").unwrap();
    assert!(clean(&subject, &["--pending"]).starts_with("nothing to clean"));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_strangers_server_is_seen_whatever_the_names_of_other_sockets_are() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let subject = subject("unix");
    let path = subject.dir().join("unix");
    let _server = UnixListener::bind(&path).unwrap();
    // Any user may have one of this kind, and it stands in the same file of /proc.
    let name = [b"\xff", std::process::id().to_string().as_bytes()].concat();
    let name = SocketAddr::from_abstract_name(name).unwrap();
    let _other = UnixListener::bind_addr(&name).unwrap();
    let said = clean(&subject, &[]);
    assert!(said.contains("a socket is bound to it") && path.exists(), "{said}");
}

#[test]
fn without_a_runtime_directory_there_is_nothing_to_clean() {
    let subject = subject("fifo");
    let mut command = ipclab(&subject, &["clean"]);
    command.env("IPCLAB_DIR", subject.dir().join("never-made"));
    let outcome = run(command, Input::Nothing);
    assert!(outcome.stdout.starts_with(b"nothing to clean"), "{}", outcome.stderr);
}

#[test]
fn what_has_the_identifier_of_one_of_ours_by_now_is_left_alone() {
    if !nix::unistd::geteuid().is_root() {
        return skip(
            "only root can make a name space of its own for System V objects",
        );
    }
    for (kind, ours, anothers) in [
        ("q", "sysvmq sender one", "-Q"),
        ("s", "semaphore poster --kind sysv", "-S 1"),
    ] {
        let subject = subject("sysvmq");
        // Each `unshare` is a world of its own: as after a reboot, identifiers begin at 0.
        // The note is from long ago.
        let script = format!(
            "unshare -i \"$0\" -q {ours} && touch -d '1 hour ago' *.lock \
             && unshare -i sh -c 'ipcmk {anothers} >&2; \"$0\" clean >&2; ipcs -{kind}' \
                \"$0\""
        );
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).arg(program()).current_dir(subject.dir());
        shell.env("IPCLAB_DIR", subject.dir());
        let outcome = run(shell, Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let table = String::from_utf8(outcome.stdout).unwrap();
        let left = table.lines().filter(|line| line.starts_with("0x")).count();
        assert_eq!(left, 1, "{table}");
        assert!(!outcome.stderr.contains("removed sysv-"), "{}", outcome.stderr);
    }
}
