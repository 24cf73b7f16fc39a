//! The file chapter: the contract, then what is special to publishing and to the log.

mod support;

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};
use support::*;

/// A published file outlives a receiver that was killed before it came.
fn files() -> Subject {
    let mut subject = subject("file");
    subject.keeps = true;
    subject
}

keeps_the_contract!(
    files(),
    except {
        the_sender_is_killed_in_full_flow:
            "nothing arrives of a file that is not yet published"
            => nothing_is_visible_before_all_of_it_is,
    }
);

/// Runs a role to its end, and wants it to fail with one clear line.
fn refused(command: Command) -> String {
    contract::failed_clearly(&run(command, Input::Nothing)).unwrap()
}

/// A receiver that sleeps until there is a file, or more of it.
fn waiting_receiver(subject: &Subject, args: &[&str]) -> RoleProcess {
    let receiver = subject.start_receiver(args).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    receiver
}

/// A sender that has written `text`, and has not published it.
fn writing_sender(subject: &Subject, text: &str) -> RoleProcess {
    let mut sender = subject.start_sender(&[], Input::Open).unwrap();
    sender.feed(text.as_bytes()).unwrap();
    let last = text.lines().last().unwrap();
    sender.wait_for_comment(&format!("write(\"{last}"), deadline()).unwrap();
    sender
}

fn clean(subject: &Subject, args: &[&str]) -> String {
    let mut command = ipclab(subject, &["clean"]);
    command.args(args);
    String::from_utf8(run(command, Input::Nothing).stdout).unwrap()
}

fn shell(subject: &Subject, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program());
    shell.current_dir(subject.dir()).env("IPCLAB_DIR", subject.dir());
    shell
}

/// A directory of the test's own, beside the runtime directory: `DIR/at`.
fn elsewhere(subject: &Subject) -> PathBuf {
    let dir = subject.dir().join("elsewhere");
    std::fs::DirBuilder::new().mode(0o755).create(&dir).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_visible_before_all_of_it_is() {
    let subject = files();
    let mut sender = writing_sender(&subject, "one\ntwo\n");
    assert_eq!(names(subject.dir()), ["file.lock", "file.tmp"]);
    sender.feed(b"three\n").unwrap();
    sender.close_stdin();
    assert!(sender.wait(deadline()).unwrap().status.success());
    assert_eq!(names(subject.dir()), ["file", "file.lock"]);
    let file = subject.dir().join("file");
    assert_eq!(std::fs::read(&file).unwrap(), b"one\ntwo\nthree\n");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(receive(&subject, &[]), "one\ntwo\nthree\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_killed_sender_left_goes_by_clean() {
    let subject = files();
    let sender = writing_sender(&subject, "half\n");
    sender.stop(Signal::SIGKILL, deadline()).unwrap();
    assert_eq!(names(subject.dir()), ["file.lock", "file.tmp"]);
    let said = clean(&subject, &[]);
    assert!(said.contains("removed path") && said.contains("file.tmp\n"), "{said}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_killed_sender_left_goes_with_the_receiver_that_waited_for_it() {
    let subject = files();
    let receiver = waiting_receiver(&subject, &[]);
    let sender = writing_sender(&subject, "half\n");
    sender.stop(Signal::SIGKILL, deadline()).unwrap();
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn an_interrupted_sender_takes_its_unfinished_file_along_though_the_receiver_stays()
{
    let subject = files();
    let receiver = waiting_receiver(&subject, &[]);
    let sender = writing_sender(&subject, "half\n");
    sender.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(names(subject.dir()), ["file.lock"]);
    send(&subject, &["whole"]);
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"whole\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_receiver_left_that_was_killed_while_it_claimed_goes_at_the_next_start() {
    let subject = files();
    // It happens between two system calls, so we lay the scene ourselves.
    let taken = subject.dir().join("file.taken-1");
    std::fs::write(&taken, "claimed\n").unwrap();
    let note = "path file.taken-1\n";
    let lock = subject.dir().join("file.lock");
    std::fs::write(&lock, note).unwrap();
    std::fs::set_permissions(&lock, PermissionsExt::from_mode(0o600)).unwrap();
    let receiver = waiting_receiver(&subject, &[]);
    assert!(!taken.exists());
    receiver.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_receiver_that_is_killed_while_it_reads_leaves_no_file() {
    let subject = files();
    let input = Input::Bytes(contract::noise(1 << 20));
    let sent = run(subject.sender_command(&["--bytes"]), input);
    assert!(sent.status.success(), "{}", sent.stderr);
    // Nobody reads what it prints, so it sleeps in write, with the file open.
    let (_reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let command = subject.receiver_command(&["--bytes"]);
    let output = Output::To(writing);
    let receiver =
        RoleProcess::start_with("receiver", command, Input::Nothing, output, None)
            .unwrap();
    receiver.wait_for_comment("read() = ", deadline()).unwrap();
    assert_eq!(names(subject.dir()), ["file.lock"]);
    receiver.stop(Signal::SIGKILL, deadline()).unwrap();
    send(&subject, &["next"]);
    assert_eq!(receive(&subject, &[]), "next\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_published_file_waits_and_clean_keeps_it_unless_told() {
    let subject = files();
    for taken in [true, false] {
        send(&subject, &["hello"]);
        let said = clean(&subject, &[]);
        assert!(said.contains("/file: nobody has taken it yet"), "{said}");
        if taken {
            assert_eq!(receive(&subject, &[]), "hello\n");
        } else {
            let said = clean(&subject, &["--pending"]);
            assert!(said.contains("removed file"), "{said}");
        }
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn an_empty_file_reaches_a_receiver_that_waits_and_does_not_wait_for_one() {
    let subject = files();
    let receiver = waiting_receiver(&subject, &[]);
    send(&subject, &[]);
    let receiver = receiver.wait(deadline()).unwrap();
    assert!(receiver.status.success() && receiver.stdout.is_empty());
    send(&subject, &[]);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_file_takes_the_place_of_one_that_nobody_took() {
    let subject = files();
    send(&subject, &["first"]);
    let second = run(subject.sender_command(&["second"]), Input::Nothing);
    assert!(second.stderr.contains("in place of what was there"));
    assert_eq!(receive(&subject, &[]), "second\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn of_two_receivers_each_file_goes_to_one() {
    let subject = files();
    let mut receivers = [(), ()]
        .map(|()| waiting_receiver(&subject, &[]))
        .into_iter()
        .collect::<Vec<_>>();
    send(&subject, &["first"]);
    let mut ended = None;
    until("one has its file", || {
        ended = receivers.iter_mut().position(RoleProcess::has_ended);
        ended.is_some()
    });
    let faster = receivers.remove(ended.unwrap());
    assert_eq!(faster.wait(deadline()).unwrap().stdout, b"first\n");
    send(&subject, &["second"]);
    let slower = receivers.remove(0).wait(deadline()).unwrap();
    assert_eq!(slower.stdout, b"second\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_sender_is_told_who_has_its_place() {
    let subject = files();
    let first = writing_sender(&subject, "one\n");
    let line = refused(subject.sender_command(&["two"]));
    assert!(line.contains(&format!("taken by pid {}", first.pid())), "{line}");
    assert!(line.contains("--at"), "{line}");
    first.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_at_a_path_of_the_users_is_read_and_replaced_and_never_removed() {
    let subject = files();
    let dir = elsewhere(&subject);
    let path = dir.join("at");
    let at = path.to_str().unwrap();
    send(&subject, &["--at", at, "first"]);
    let before = path.metadata().unwrap().ino();
    assert_eq!(receive(&subject, &["--at", at]), "first\n");
    assert_eq!(receive(&subject, &["--at", at]), "first\n");
    let mut old = std::fs::File::open(&path).unwrap();
    send(&subject, &["--at", at, "second"]);
    // Who had the old file open still reads the old file.
    let mut text = String::new();
    std::io::Read::read_to_string(&mut old, &mut text).unwrap();
    assert_eq!(text, "first\n");
    assert_ne!(path.metadata().unwrap().ino(), before);
    let mut cat = Command::new("cat");
    cat.arg(&path);
    assert_eq!(run(cat, Input::Nothing).stdout, b"second\n");
    assert_eq!(names(&dir), ["at"]);
    // Neither a signal nor a kill removes it.
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let sender = subject.start_sender(&["--at", at], Input::Open).unwrap();
        sender.wait_for_comment("O_EXCL", deadline()).unwrap();
        sender.stop(signal, deadline()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second\n");
    }
    assert_eq!(names(&dir), ["at", "at.lock", "at.tmp"]);
    send(&subject, &["--at", at, "third"]);
    assert_eq!(names(&dir), ["at"]);
}

#[test]
fn a_relative_path_of_the_users_is_waited_for() {
    let subject = files();
    elsewhere(&subject);
    let receiver = waiting_receiver(&subject, &["--at", "elsewhere/at"]);
    send(&subject, &["--at", "elsewhere/at", "hello"]);
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"hello\n");
    assert_eq!(names(&subject.dir().join("elsewhere")), ["at"]);
}

#[test]
fn a_file_of_the_users_that_is_called_as_the_unfinished_one_is_left_alone() {
    let subject = files();
    let dir = elsewhere(&subject);
    let (path, mine) = (dir.join("at"), dir.join("at.tmp"));
    std::fs::write(&mine, "precious").unwrap();
    let at = path.to_str().unwrap();
    let line = refused(subject.sender_command(&["--at", at, "hello"]));
    assert!(line.contains("at.tmp is in the way"), "{line}");
    assert_eq!(std::fs::read(&mine).unwrap(), b"precious");
    assert_eq!(names(&dir), ["at.tmp"]);
}

#[test]
fn echo_and_mv_of_the_shell_are_a_sender() {
    let subject = files();
    let receiver = waiting_receiver(&subject, &[]);
    run(shell(&subject, "echo hello > new && mv new file"), Input::Nothing);
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"hello\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_file_that_is_written_in_place_is_taken_once_it_is_closed() {
    let subject = files();
    let receiver = waiting_receiver(&subject, &[]);
    let script = "{ echo one; echo half >&2; read go; echo two; } > file";
    let mut stranger =
        RoleProcess::start("sh", shell(&subject, script), Input::Open).unwrap();
    stranger.wait_for_comment("half", deadline()).unwrap();
    // Another file's events must not make the receiver look at this one.
    run(shell(&subject, "echo > other && rm other"), Input::Nothing);
    assert!(subject.dir().join("file").exists(), "it was claimed");
    stranger.feed(b"go\n").unwrap();
    stranger.wait(deadline()).unwrap();
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"one\ntwo\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn python_publishes_a_file() {
    let subject = files();
    let args = ["file", "hello", "from python"];
    let Some(python) = python(&subject, "file_publisher.py", &args) else { return };
    let receiver = waiting_receiver(&subject, &[]);
    assert!(run(python, Input::Nothing).status.success());
    let receiver = receiver.wait(deadline()).unwrap();
    assert_eq!(receiver.stdout, b"hello\nfrom python\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn lengths_go_before_the_messages_when_asked() {
    let subject = files();
    let sent = ["--framing", "length", "two\nlines", ""];
    let arrived = subject.run(&sent, Input::Nothing, &["--framing", "length"]);
    assert_eq!(arrived.unwrap(), b"two\nlines\n\n");
}

#[test]
fn a_newline_within_a_line_is_refused_before_anything_is_made() {
    let subject = files();
    let line = refused(subject.sender_command(&["two\nlines"]));
    assert!(line.contains("--framing length"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn count_stops_like_head_and_the_file_is_gone() {
    let subject = files();
    send(&subject, &["1", "2", "3"]);
    assert_eq!(receive(&subject, &["--count", "2"]), "1\n2\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_the_path() {
    let subject = files();
    let script = "exec 3>&1; exec \"$1\" -q file receiver --ready-fd 3";
    let receiver =
        RoleProcess::start("receiver", shell(&subject, script), Input::Nothing)
            .unwrap();
    let line = format!("{}\n", subject.dir().join("file").display());
    receiver.wait_for_output(line.as_bytes(), deadline()).unwrap();
    send(&subject, &["hello"]);
    let all = receiver.wait(deadline()).unwrap().stdout;
    assert_eq!(all, format!("{line}hello\n").as_bytes());
}

#[test]
fn what_is_in_the_way_is_named_and_left_alone() {
    let subject = files();
    let (dir, precious) = (subject.dir(), subject.dir().join("precious"));
    std::fs::write(&precious, "precious").unwrap();
    std::fs::create_dir(dir.join("dir")).unwrap();
    mkfifo(&dir.join("fifo"), Mode::S_IRWXU).unwrap();
    symlink(&precious, dir.join("link")).unwrap();
    for (at, what) in
        [("dir", "a directory"), ("fifo", "a FIFO"), ("link", "a link")]
    {
        for more in [None, Some("--append")] {
            let args: Vec<_> = ["--at", at].into_iter().chain(more).collect();
            for command in
                [subject.sender_command(&args), subject.receiver_command(&args)]
            {
                let line = refused(command);
                assert!(line.contains(what), "{line}");
            }
        }
    }
    assert_eq!(names(dir), ["dir", "fifo", "link", "precious"]);
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn a_missing_directory_is_named() {
    let subject = files();
    for command in [
        subject.sender_command(&["--at", "missing/at", "hello"]),
        subject.receiver_command(&["--at", "missing/at"]),
        subject.sender_command(&["--at", "missing/at", "--append", "hello"]),
        subject.receiver_command(&["--at", "missing/at", "--append"]),
    ] {
        let line = refused(command);
        assert!(line.contains("ENOENT") && line.contains("make the directory"));
    }
}

#[test]
fn a_directory_that_goes_away_ends_the_waiting() {
    let subject = files();
    for more in [None, Some("--append")] {
        let dir = elsewhere(&subject);
        let args: Vec<_> =
            ["--at", "elsewhere/at"].into_iter().chain(more).collect();
        let receiver = waiting_receiver(&subject, &args);
        std::fs::remove_dir_all(dir).unwrap();
        let outcome = receiver.wait(deadline()).unwrap();
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("meeting place was removed"), "{line}");
        let dir = elsewhere(&subject);
        let receiver = waiting_receiver(&subject, &args);
        std::fs::rename(&dir, subject.dir().join("moved")).unwrap();
        let outcome = receiver.wait(deadline()).unwrap();
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("meeting place was removed"), "{line}");
        std::fs::remove_dir_all(subject.dir().join("moved")).unwrap();
    }
}

/// A directory where this test's role, which is nobody if we are root, may not write;
/// and the program as that user runs it.
fn foreign(subject: &Subject) -> (PathBuf, impl Fn(&[&str]) -> Command + use<>) {
    let dir = elsewhere(subject);
    std::fs::set_permissions(subject.dir(), PermissionsExt::from_mode(0o755))
        .unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o555)).unwrap();
    let opened = std::fs::File::open(program()).unwrap();
    let play = move |args: &[&str]| {
        let words: Vec<_> = ["file"].iter().chain(args).copied().collect();
        as_nobody(&opened, &words)
    };
    (dir, play)
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let subject = files();
    let (dir, play) = foreign(&subject);
    let path = dir.join("at");
    let at = path.to_str().unwrap();
    let line = refused(play(&["sender", "--at", at, "hello"]));
    assert!(line.contains("at.tmp: EACCES"), "{line}");
    assert!(line.contains("directory where you may write"), "{line}");
    let line = refused(play(&["sender", "--append", "--at", at, "hello"]));
    assert!(line.contains("at: EACCES"), "{line}");
    assert!(names(&dir).is_empty());
}

#[test]
fn a_file_that_may_be_read_needs_no_more() {
    let subject = files();
    let (dir, play) = foreign(&subject);
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let path = dir.join("at");
    std::fs::write(&path, "hello\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o555)).unwrap();
    let at = path.to_str().unwrap();
    for more in [&[][..], &["--append", "--count", "1"]] {
        let args = [&["receiver", "--at", at], more].concat();
        let outcome = run(play(&args), Input::Nothing);
        assert_eq!(outcome.stdout, b"hello\n", "{}", outcome.stderr);
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    let line = refused(play(&["receiver", "--at", at]));
    assert!(line.contains("at: EACCES"), "{line}");
    assert_eq!(names(&dir), ["at"]);
}

#[test]
fn a_file_that_may_not_be_read_is_not_claimed() {
    let subject = files();
    if !offers("fdpass", "other-user") {
        return;
    }
    let (_, play) = foreign(&subject);
    let own = subject.dir().join("own");
    std::fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    std::fs::write(own.join("file"), "of root\n").unwrap();
    std::fs::set_permissions(own.join("file"), PermissionsExt::from_mode(0o600))
        .unwrap();
    let mut receiver = play(&["receiver"]);
    receiver.env("IPCLAB_DIR", &own);
    let line = refused(receiver);
    assert!(line.contains("/file: EACCES"), "{line}");
    assert_eq!(std::fs::read(own.join("file")).unwrap(), b"of root\n");
}

/// Runs a script in a mount namespace of its own where `small` is a file system of
/// 64 KiB that holds the file `old`; it is gone with the script, however that ends.
fn on_a_small_disk(subject: &Subject, script: &str) -> Option<Outcome> {
    let mut command = with_mounts(&format!(
        "mkdir -p small; mount -t tmpfs -o size=64k none small
         cd small; echo old > old; set +e; {script}"
    ))?;
    command.arg("sh").arg(program());
    command.current_dir(subject.dir()).env("IPCLAB_DIR", subject.dir());
    Some(run(command, Input::Nothing))
}

#[test]
fn a_full_disk_is_named_and_the_old_file_is_untouched() {
    let subject = files();
    let script = "
        head -c 100000 /dev/zero | \"$1\" file sender --bytes --at ./old; echo $?
        ls -A; cat old; df --output=used . | tail -n 1";
    let Some(outcome) = on_a_small_disk(&subject, script) else { return };
    let said = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["1", "old", "old", "4"]
    );
    let lines: Vec<_> =
        outcome.stderr.lines().filter(|line| line.starts_with("ipclab: ")).collect();
    assert_eq!(
        lines,
        ["ipclab: write ./old.tmp: ENOSPC: No space left on device; its file \
          system is full: free some room, or choose --at DIR/NAME"]
    );
}

#[test]
fn a_disk_that_is_full_already_is_named_too() {
    let subject = files();
    let script = "
        head -c 100000 /dev/zero > rest 2> /dev/null
        \"$1\" -q file sender --at ./old hello; echo $?; ls -A; cat old";
    let Some(outcome) = on_a_small_disk(&subject, script) else { return };
    assert_eq!(outcome.stdout, b"1\nold\nrest\nold\n");
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ENOSPC"), "{}", outcome.stderr);
}

#[test]
fn half_a_message_is_cut_off_the_log_when_the_disk_is_full() {
    let subject = files();
    for lock in ["flock", "ofd"] {
        let script = format!(
            "head -c 40000 /dev/zero | tr '\\0' x > ../line
             \"$1\" -q file sender --append --lock {lock} --at ./log hello; echo $?
             {{ cat ../line; echo; cat ../line; echo; }} |
                 \"$1\" -q file sender --append --lock {lock} --at ./log; echo $?
             wc -c < log; rm ../line
             \"$1\" -q file sender --append --lock {lock} --at ./log after; echo $?
             tail -n 1 log; ls -A"
        );
        let Some(outcome) = on_a_small_disk(&subject, &script) else { return };
        let said = String::from_utf8(outcome.stdout).unwrap();
        // "hello\n" and one line of 40,000 fit, and a part of the second.
        let expected = ["0", "1", "40007", "0", "after", "log", "old"];
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), expected);
        assert!(
            outcome.stderr.contains("write the log: ENOSPC"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn the_limit_of_a_files_size_is_named() {
    let subject = files();
    let script = "ulimit -f 64; exec \"$1\" file sender --bytes";
    let input = Input::Bytes(contract::noise(100_000));
    let outcome = run(shell(&subject, script), input);
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("EFBIG") && line.contains("ulimit -f"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_ration_of_inotify_is_named() {
    let subject = files();
    if !have("unshare") || !offers("experiment", "namespaces") {
        return;
    }
    for (limit, name) in [
        ("max_inotify_instances", "max_user_instances"),
        ("max_inotify_watches", "max_user_watches"),
    ] {
        let script = format!(
            "echo 0 > /proc/sys/user/{limit} || exit 77; exec \"$1\" file receiver"
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &script, "sh"]);
        command.arg(program()).env("IPCLAB_DIR", subject.dir());
        let outcome = run(command, Input::Nothing);
        let no_namespace = outcome.stderr.starts_with("unshare:");
        if outcome.status.code() == Some(77) || no_namespace {
            return skip(&format!("no user namespace: {}", outcome.stderr));
        }
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("inotify_") && line.contains(name), "{line}");
    }
    subject.nothing_is_left().unwrap();
}

mod the_log {
    use std::collections::HashMap;
    use std::fs::File;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::*;

    /// The log stays while something is in it: removes it, and wants nothing else there.
    fn remove_log(subject: &Subject) {
        let said = clean(subject, &[]);
        assert!(said.contains("/file: nobody has taken it yet"), "{said}");
        clean(subject, &["--pending"]);
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn is_followed_from_its_beginning_and_then_as_it_grows() {
        let subject = files();
        send(&subject, &["--append", "one", "two"]);
        let receiver = waiting_receiver(&subject, &["--append", "--count", "4"]);
        receiver.wait_for_output(b"one\ntwo\n", deadline()).unwrap();
        send(&subject, &["--append", "three"]);
        receiver.wait_for_output(b"three\n", deadline()).unwrap();
        send(&subject, &["--append", "four"]);
        let receiver = receiver.wait(deadline()).unwrap();
        assert_eq!(receiver.stdout, b"one\ntwo\nthree\nfour\n");
        // A log is not used up.
        let again = receive(&subject, &["--append", "--count", "4"]);
        assert_eq!(again, "one\ntwo\nthree\nfour\n");
        remove_log(&subject);
    }

    #[test]
    fn is_waited_for() {
        let subject = files();
        let receiver = waiting_receiver(&subject, &["--append", "--count", "1"]);
        send(&subject, &["--append", "hello"]);
        assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"hello\n");
        remove_log(&subject);
    }

    #[test]
    fn has_no_end_but_a_signal_or_a_timeout() {
        let subject = files();
        send(&subject, &["--append", "hello"]);
        let args = ["--append", "--timeout", "0.2"];
        let outcome = run(subject.receiver_command(&args), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(124));
        assert_eq!(outcome.stdout, b"hello\n");
        let receiver = waiting_receiver(&subject, &["--append"]);
        receiver.stop(Signal::SIGINT, deadline()).unwrap();
        remove_log(&subject);
    }

    #[test]
    fn goes_with_the_last_role_when_nothing_is_in_it() {
        let subject = files();
        let sender = subject.start_sender(&["--append"], Input::Open).unwrap();
        sender.wait_for_comment("start the other: ", deadline()).unwrap();
        assert_eq!(names(subject.dir()), ["file", "file.lock"]);
        sender.stop(Signal::SIGINT, deadline()).unwrap();
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn is_taken_away_by_a_receiver_that_does_not_follow() {
        let subject = files();
        send(&subject, &["--append", "one"]);
        send(&subject, &["--append", "two"]);
        assert_eq!(receive(&subject, &[]), "one\ntwo\n");
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn at_a_path_of_the_users_stays() {
        let subject = files();
        let dir = elsewhere(&subject);
        let path = dir.join("at");
        let at = path.to_str().unwrap();
        send(&subject, &["--append", "--at", at, "one"]);
        let args = ["--append", "--count", "1", "--at", at];
        assert_eq!(receive(&subject, &args), "one\n");
        assert_eq!(names(&dir), ["at"]);
        assert!(clean(&subject, &["--pending"]).starts_with("nothing to clean"));
    }

    #[test]
    fn keeps_the_messages_of_senders_at_once_whole_and_each_ones_in_order() {
        for lock in ["flock", "ofd", "none"] {
            let subject = files();
            let receiver = subject
                .start_receiver(&["-q", "--append", "--count", "400"])
                .unwrap();
            let senders = ["a", "b", "c", "d"].map(|name| {
                let line =
                    |number| format!("{name} {number} {}\n", name.repeat(9000));
                let text: String = (0..100).map(line).collect();
                let args = ["-q", "--append", "--lock", lock];
                subject.start_sender(&args, Input::Bytes(text.into_bytes())).unwrap()
            });
            for sender in senders {
                assert!(sender.wait(deadline()).unwrap().status.success());
            }
            let receiver = receiver.wait(deadline()).unwrap();
            let mut next = HashMap::new();
            for line in String::from_utf8(receiver.stdout).unwrap().lines() {
                let name = line[..1].to_owned();
                let number: &mut u32 = next.entry(name.clone()).or_default();
                let whole = format!("{name} {number} {}", name.repeat(9000));
                assert!(
                    line == whole,
                    "{lock}: a line is not whole, or out of order"
                );
                *number += 1;
            }
            assert!(next.len() == 4 && next.values().all(|count| *count == 100));
            remove_log(&subject);
        }
    }

    #[test]
    fn waits_for_the_lock_of_the_shells_flock() {
        if !have("flock") {
            return;
        }
        let subject = files();
        let script = "flock file sh -c 'echo locked; read go'";
        let mut holder =
            RoleProcess::start("flock", shell(&subject, script), Input::Open)
                .unwrap();
        holder.wait_for_output(b"locked\n", deadline()).unwrap();
        let sender = subject.start_sender(&["--append", "hello"], Input::Nothing);
        let sender = sender.unwrap();
        sender.wait_for_comment("sleeps: another has the lock", deadline()).unwrap();
        assert_eq!(std::fs::read(subject.dir().join("file")).unwrap(), b"");
        // Whom neither lock concerns goes on.
        send(&subject, &["--append", "--lock", "ofd", "ofd"]);
        send(&subject, &["--append", "--lock", "none", "none"]);
        holder.feed(b"go\n").unwrap();
        assert!(sender.wait(deadline()).unwrap().status.success());
        holder.wait(deadline()).unwrap();
        let args = ["--append", "--count", "3"];
        assert_eq!(receive(&subject, &args), "ofd\nnone\nhello\n");
        remove_log(&subject);
    }

    #[test]
    fn waits_for_an_ofd_lock() {
        let subject = files();
        let log = File::create(subject.dir().join("file")).unwrap();
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&log, FcntlArg::F_OFD_SETLK(&whole_file)).unwrap();
        let args = ["--append", "--lock", "ofd", "hello"];
        let sender = subject.start_sender(&args, Input::Nothing).unwrap();
        sender.wait_for_comment("sleeps: another has the lock", deadline()).unwrap();
        drop(log); // the lock goes with the last descriptor of the open file
        assert!(sender.wait(deadline()).unwrap().status.success());
        assert_eq!(receive(&subject, &["--append", "--count", "1"]), "hello\n");
        remove_log(&subject);
    }

    #[test]
    fn takes_the_lines_of_echo_and_feeds_tail() {
        let subject = files();
        send(&subject, &["--append", "one"]);
        let tail = shell(&subject, "exec tail -f -n +1 file");
        let tail = RoleProcess::start("tail", tail, Input::Nothing).unwrap();
        tail.wait_for_output(b"one\n", deadline()).unwrap();
        let receiver = waiting_receiver(&subject, &["--append", "--count", "3"]);
        run(shell(&subject, "echo two >> file"), Input::Nothing);
        send(&subject, &["--append", "three"]);
        let receiver = receiver.wait(deadline()).unwrap();
        assert_eq!(receiver.stdout, b"one\ntwo\nthree\n");
        tail.wait_for_output(b"one\ntwo\nthree\n", deadline()).unwrap();
        tail.stop(Signal::SIGTERM, deadline()).unwrap();
        remove_log(&subject);
    }

    #[test]
    fn is_shared_with_python_under_flock() {
        let subject = files();
        let args = ["file", "300"];
        let Some(python) = python(&subject, "file_appender.py", &args) else {
            return;
        };
        let receiver =
            subject.start_receiver(&["-q", "--append", "--count", "600"]).unwrap();
        let python = RoleProcess::start("python", python, Input::Nothing).unwrap();
        let text: String =
            (0..300).map(|number| format!("ours {number}\n")).collect();
        let sender = subject
            .start_sender(&["-q", "--append"], Input::Bytes(text.into_bytes()));
        assert!(sender.unwrap().wait(deadline()).unwrap().status.success());
        assert!(python.wait(deadline()).unwrap().status.success());
        let arrived = receiver.wait(deadline()).unwrap().stdout;
        let arrived = String::from_utf8(arrived).unwrap();
        for name in ["ours", "python"] {
            let of: Vec<_> =
                arrived.lines().filter(|line| line.starts_with(name)).collect();
            let sent: Vec<_> = (0..300).map(|n| format!("{name} {n}")).collect();
            assert_eq!(of, sent);
        }
        remove_log(&subject);
    }

    #[test]
    fn half_a_line_is_no_message_yet() {
        let subject = files();
        // By another process: children of neighbouring tests, between fork and exec, have
        // open what this one has open, and clean keeps what somebody has open.
        let script = "{ printf 'one\\nha'; read go; printf 'lf\\n'; } > file";
        let mut writer =
            RoleProcess::start("sh", shell(&subject, script), Input::Open).unwrap();
        let receiver = waiting_receiver(&subject, &["--append", "--count", "2"]);
        receiver.wait_for_output(b"one\n", deadline()).unwrap();
        writer.feed(b"go\n").unwrap();
        assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"one\nhalf\n");
        writer.wait(deadline()).unwrap();
        remove_log(&subject);
    }

    #[test]
    fn that_was_cut_behind_its_reader_is_an_error() {
        if !have("truncate") {
            return;
        }
        let subject = files();
        send(&subject, &["--append", "one", "two"]);
        let receiver = waiting_receiver(&subject, &["--append"]);
        // In one step: a log that is empty for a moment would go with its last reader.
        run(shell(&subject, "exec truncate -s 4 file"), Input::Nothing);
        let line = contract::failed_clearly(&receiver.wait(deadline()).unwrap());
        assert!(line.unwrap().contains("the log was cut to "));
        remove_log(&subject);
    }

    #[test]
    fn carries_lines_of_many_lengths_and_refuses_one_too_long() {
        let subject = files();
        let text = contract::lines_of_many_lengths(0, 100_000);
        let input = Input::Bytes(text.clone().into_bytes());
        let count = text.lines().count().to_string();
        let sender = subject.start_sender(&["-q", "--append"], input).unwrap();
        let arrived = receive(&subject, &["-q", "--append", "--count", &count]);
        assert!(arrived == text, "the lines differ");
        assert!(sender.wait(deadline()).unwrap().status.success());
        let input = Input::Bytes(b"fits\ntoo long\n".to_vec());
        let args = ["--append", "--max-message", "4"];
        let outcome = run(subject.sender_command(&args), input);
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("line 2") && line.contains("at most 4"), "{line}");
        let log = std::fs::read(subject.dir().join("file")).unwrap();
        assert!(log.ends_with(b"\nfits\n"));
        remove_log(&subject);
    }

    #[test]
    fn carries_any_bytes_to_the_byte() {
        let subject = files();
        let sent = contract::noise(1 << 20);
        let args = ["-q", "--append", "--bytes"];
        let outcome = run(subject.sender_command(&args), Input::Bytes(sent.clone()));
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let receiver = waiting_receiver(&subject, &["--append", "--bytes"]);
        let receiver = receiver.stop(Signal::SIGINT, deadline()).unwrap();
        assert!(receiver.stdout == sent, "the bytes differ");
        remove_log(&subject);
    }

    #[test]
    fn alone_has_a_lock_to_choose() {
        let subject = files();
        let outcome =
            run(subject.sender_command(&["--lock", "ofd", "hello"]), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2));
        assert!(outcome.stderr.contains("--append"), "{}", outcome.stderr);
        subject.nothing_is_left().unwrap();
    }
}
