//! What another user has planted: directories, lock files, kernel objects, names. Nothing is
//! removed, read or written because of it.

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::*;
use wire::meet::key_of;

/// Two users whom nobody else plays, and a directory that all may enter.
struct Users {
    victim: u32,
    thief: u32,
    dir: tempfile::TempDir,
    /// It may lie where they may not go, but what is open may be executed.
    program: File,
}

impl Users {
    fn new() -> Option<Users> {
        if !offers("fdpass", "other-user") {
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(2, Ordering::Relaxed) + std::process::id() * 100;
        let victim = 1_000_000_000 + number;
        let dir = tempfile::Builder::new().prefix("strangers-").tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let program = File::open(program()).unwrap();
        Some(Users { victim, thief: victim + 1, dir, program })
    }

    /// A directory of `uid`'s.
    fn directory(&self, name: &str, uid: u32) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        chown(&dir, Some(uid), Some(uid)).unwrap();
        dir
    }

    /// A file of `uid`'s that all may write.
    fn file(&self, path: &Path, uid: u32, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        chown(path, Some(uid), Some(uid)).unwrap();
    }

    /// `ipclab` as the victim, whose directories these are.
    fn victim(&self, args: &[&str]) -> Command {
        let mut command = as_nobody(&self.program, args);
        command.uid(self.victim).gid(self.victim);
        command.env_remove("IPCLAB_DIR").env_remove("XDG_RUNTIME_DIR");
        command.env("TMPDIR", self.dir.path());
        command
    }

    fn fails(&self, mut command: Command, dir: (&str, &Path)) -> String {
        command.env(dir.0, dir.1);
        let outcome = run(command, Input::Nothing);
        contract::failed_clearly(&outcome).unwrap()
    }
}

/// One role of each chapter that meets at a name.
const ROLES: [&[&str]; 19] = [
    &["file", "sender", "secret"],
    &["file", "receiver"],
    &["signal", "receiver"],
    &["fifo", "sender", "secret"],
    &["unix", "server"],
    &["unix", "client", "secret"],
    &["tcp", "server", "--listen", "127.0.0.1:0"],
    &["udp", "server", "--listen", "127.0.0.1:0"],
    &["posixmq", "sender", "secret"],
    &["sysvmq", "sender", "secret"],
    &["shm", "sender", "secret"],
    &["mmap", "sender", "secret"],
    &["mutex", "producer", "secret"],
    &["fdpass", "worker"],
    &["eventfd", "waiter"],
    &["multiplex", "server"],
    &["semaphore", "poster"],
    &["procvm", "target", "secret"],
    &["dbus", "client", "list"],
];

#[test]
fn a_directory_that_is_not_ours_alone_is_neither_used_nor_cleaned() {
    let Some(users) = Users::new() else { return };
    let thesis = users.dir.path().join("thesis.txt");
    users.file(&thesis, users.victim, "precious");
    let theirs = users.directory("theirs", users.thief);
    fs::set_permissions(&theirs, Permissions::from_mode(0o777)).unwrap();
    let open = users.directory("open", users.victim);
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let below = users.directory("theirs/below", users.victim);
    let open_below = users.directory("open/below", users.victim);
    let link = users.dir.path().join("link");
    symlink(users.directory("real", users.victim), &link).unwrap();
    let planted = [&theirs, &open, &below, &open_below];
    for dir in planted {
        // Absolute, and beside the lock file; and a name that a role could note.
        let lock = format!("path {}\npath thesis.txt\npath x\n", thesis.display());
        users.file(&dir.join("x.lock"), users.victim, &lock);
        users.file(&dir.join("x"), users.victim, "precious");
    }
    let thief = format!("belongs to uid {}", users.thief);
    let open_to_all = "may be written by others (mode 0777)";
    for (dir, why) in [
        (&theirs, thief.as_str()),
        (&open, open_to_all),
        (&below, thief.as_str()),
        (&open_below, open_to_all),
        (&link, "is a link"),
    ] {
        for role in
            ROLES.into_iter().chain([&["clean"][..], &["clean", "--dry-run"]])
        {
            let line = users.fails(users.victim(role), ("IPCLAB_DIR", dir));
            assert!(line.contains(why), "{role:?}: {line}");
            assert!(
                line.contains("set IPCLAB_DIR to a directory of yours"),
                "{line}"
            );
        }
    }
    assert_eq!(fs::read(&thesis).unwrap(), b"precious");
    for dir in planted {
        assert!(dir.join("x").exists() && dir.join("x.lock").exists());
        let names = fs::read_dir(dir).unwrap().count();
        assert!(names == 2 || names == 3, "something was made in {}", dir.display());
    }
}

#[test]
fn the_directory_whose_name_can_be_guessed_is_looked_at_as_well() {
    let Some(users) = Users::new() else { return };
    let thesis = users.dir.path().join("thesis.txt");
    users.file(&thesis, users.victim, "precious");
    let dir = PathBuf::from(format!("/tmp/ipclab-{}", users.victim));
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(users.thief), None).unwrap();
    let lock = format!("path {}\n", thesis.display());
    users.file(&dir.join("x.lock"), users.thief, &lock);
    let lines: Vec<_> = ROLES
        .into_iter()
        .chain([&["clean"][..]])
        .map(|role| run(users.victim(role), Input::Nothing))
        .map(|outcome| contract::failed_clearly(&outcome))
        .collect();
    fs::remove_dir_all(&dir).unwrap();
    for line in lines {
        let line = line.unwrap();
        assert!(line.contains(&format!("belongs to uid {}", users.thief)), "{line}");
    }
    assert_eq!(fs::read(&thesis).unwrap(), b"precious");
}

#[test]
fn a_lock_file_that_is_not_ours_says_nothing() {
    let Some(users) = Users::new() else { return };
    let thesis = users.dir.path().join("thesis.txt");
    users.file(&thesis, users.victim, "precious");
    let said = format!("path {}\npath fifo\n", thesis.display());
    type Plant<'a> = &'a dyn Fn(&Path);
    let plants: [(&str, &str, Plant<'_>); 5] = [
        ("a file", "belongs to uid", &|lock| users.file(lock, users.thief, &said)),
        ("writable", "may be written by others", &|lock| {
            users.file(lock, users.victim, &said);
        }),
        ("a link", "ELOOP", &|lock| symlink(&thesis, lock).unwrap()),
        ("a FIFO", "no regular file", &|lock| {
            mkfifo(lock, Mode::S_IRWXU).unwrap();
            chown(lock, Some(users.victim), None).unwrap();
        }),
        ("a hard link", "second name", &|lock| {
            let other = users.dir.path().join("other");
            users.file(&other, users.victim, &said);
            fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
            fs::hard_link(&other, lock).unwrap();
        }),
    ];
    for (number, (name, why, plant)) in plants.into_iter().enumerate() {
        let dir = users.directory(&format!("dir{number}"), users.victim);
        let (lock, fifo) = (dir.join("fifo.lock"), dir.join("fifo"));
        plant(&lock);
        users.file(&fifo, users.victim, "precious");
        let role = users.victim(&["fifo", "receiver"]);
        let line = users.fails(role, ("IPCLAB_DIR", &dir));
        assert!(line.contains(why), "{name}: {line}");
        let mut clean = users.victim(&["clean"]);
        clean.env("IPCLAB_DIR", &dir);
        let outcome = run(clean, Input::Nothing);
        let said = String::from_utf8(outcome.stdout).unwrap();
        assert!(outcome.status.success(), "{name}: {said}{}", outcome.stderr);
        assert!(said.contains("kept path") && said.contains(why), "{name}: {said}");
        assert!(lock.symlink_metadata().is_ok() && fifo.exists(), "{name}");
        assert_eq!(fs::read(&thesis).unwrap(), b"precious");
    }
}

/// What can be planted under a default name, and what would use it.
const THINGS: [(&str, &str, &[&[&str]]); 17] = [
    (
        "segment",
        "shm",
        &[
            &["shm", "sender", "--kind", "crate", "secret"],
            &["shm", "receiver", "--kind", "crate"],
            &["shm", "sender", "--kind", "posix", "secret"],
            &["shm", "receiver", "--kind", "posix"],
        ],
    ),
    ("segment", "mutex", &[&["mutex", "producer", "secret"], &["mutex", "worker"]]),
    (
        "sysv-segment",
        "shm",
        &[
            &["shm", "sender", "--kind", "sysv", "secret"],
            &["shm", "receiver", "--kind", "sysv"],
        ],
    ),
    (
        "sysv-given-segment",
        "shm",
        &[
            &["shm", "sender", "--kind", "sysv", "secret"],
            &["shm", "receiver", "--kind", "sysv"],
        ],
    ),
    (
        "semaphore",
        "semaphore",
        &[&["semaphore", "poster"], &["semaphore", "waiter"]],
    ),
    (
        "futex",
        "semaphore",
        &[
            &["semaphore", "poster", "--kind", "futex"],
            &["semaphore", "waiter", "--kind", "futex"],
        ],
    ),
    (
        "sysv-semaphore",
        "semaphore",
        &[
            &["semaphore", "poster", "--kind", "sysv"],
            &["semaphore", "waiter", "--kind", "sysv"],
        ],
    ),
    (
        "sysv-given-semaphore",
        "semaphore",
        &[
            &["semaphore", "poster", "--kind", "sysv"],
            &["semaphore", "waiter", "--kind", "sysv"],
        ],
    ),
    (
        "queue",
        "posixmq",
        &[&["posixmq", "sender", "secret"], &["posixmq", "receiver"]],
    ),
    (
        "sysv-queue",
        "sysvmq",
        &[&["sysvmq", "sender", "secret"], &["sysvmq", "receiver"]],
    ),
    (
        "sysv-given-queue",
        "sysvmq",
        &[&["sysvmq", "sender", "secret"], &["sysvmq", "receiver"]],
    ),
    ("stream", "unix", &[&["unix", "client", "--abstract", "secret"]]),
    (
        "seqpacket",
        "unix",
        &[&["unix", "client", "--abstract", "--type", "seqpacket", "secret"]],
    ),
    (
        "dgram",
        "unix",
        &[&["unix", "client", "--abstract", "--type", "dgram", "secret"]],
    ),
    ("stream", "unix", &[&["unix", "server", "--abstract"]]),
    (
        "seqpacket",
        "unix",
        &[&["unix", "server", "--abstract", "--type", "seqpacket"]],
    ),
    ("dgram", "unix", &[&["unix", "server", "--abstract", "--type", "dgram"]]),
];

#[test]
fn a_thing_under_our_default_name_that_another_made_is_not_touched() {
    for (kind, chapter, roles) in THINGS {
        let Some(users) = Users::new() else { return };
        let subject = subject("fifo");
        let name = format!("/ipclab-{}-{chapter}", users.victim);
        let (key, victim) = (key_of(&name).to_string(), users.victim.to_string());
        let args = [kind, &name, &key, &victim];
        let Some(python) = python(&subject, "strangers_thing.py", &args) else {
            return;
        };
        // The script may lie where the thief may not go.
        let script = python.get_args().next().unwrap();
        let copy = users.dir.path().join("thing.py");
        fs::copy(script, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o644)).unwrap();
        let mut plant = Command::new("/usr/bin/python3");
        plant
            .arg(copy)
            .args(args)
            .uid(users.thief)
            .gid(users.thief)
            .current_dir("/");
        let mut planted = RoleProcess::start(kind, plant, Input::Open).unwrap();
        planted.wait_for_output(b"planted\n", deadline()).unwrap();
        let runtime = users.directory("runtime", users.victim);
        let mut said = Vec::new();
        for role in roles {
            let mut command = users.victim(role);
            command.env("XDG_RUNTIME_DIR", &runtime).arg("--timeout").arg("20");
            said.push((role, run(command, Input::Nothing)));
        }
        let mut clean = users.victim(&["clean", "--pending"]);
        clean.env("XDG_RUNTIME_DIR", &runtime);
        let clean = run(clean, Input::Nothing);
        planted.close_stdin();
        let theirs = planted.wait(deadline()).unwrap();
        let report = String::from_utf8_lossy(&theirs.stdout).into_owned();
        assert_eq!(report, "planted\nuntouched\n", "{kind}: {}", theirs.stderr);
        for (role, outcome) in said {
            let line = contract::failed_clearly(&outcome)
                .unwrap_or_else(|error| panic!("{kind}, {role:?}: {error}"));
            assert!(line.contains("--at NAME"), "{kind}, {role:?}: {line}");
            assert!(!outcome.stderr.contains("secret\""), "{}", outcome.stderr);
        }
        let cleaned = String::from_utf8(clean.stdout).unwrap();
        assert!(clean.status.success(), "{kind}: {cleaned}{}", clean.stderr);
        assert!(!cleaned.contains("removed"), "{kind}: {cleaned}");
        let left = fs::read_dir(runtime.join("ipclab")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{kind}: a lock file is left");
    }
}

#[test]
fn a_run_that_another_user_has_planted_in_tmpdir_is_not_removed() {
    let Some(users) = Users::new() else { return };
    let tmp = users.directory("tmp", 0);
    fs::set_permissions(&tmp, Permissions::from_mode(0o1777)).unwrap();
    let thesis = users.dir.path().join("thesis.txt");
    users.file(&thesis, users.victim, "precious");
    let made = format!("path {}\nsegment /../../{}\n", thesis.display(), "x");
    // Theirs; ours with their list; ours with a list that has a second name.
    for (name, owner) in
        [("a", users.thief), ("b", users.victim), ("c", users.victim)]
    {
        let dir = users.directory(&format!("tmp/ipclab-{name}"), owner);
        let list = dir.join(".made");
        match name {
            "c" => {
                let other = users.dir.path().join("made");
                users.file(&other, users.victim, &made);
                fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
                fs::hard_link(other, list).unwrap();
            }
            _ => users.file(&list, users.thief, &made),
        }
    }
    let runtime = users.directory("runtime", users.victim);
    for args in [&["clean"][..], &["experiment", "fifo/no-reader-enxio", "--show"]] {
        let mut command = users.victim(args);
        command.env("XDG_RUNTIME_DIR", &runtime).env("TMPDIR", &tmp);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
    }
    assert_eq!(fs::read(&thesis).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 3);
}

#[test]
fn what_a_note_names_is_removed_only_if_a_role_there_can_have_made_it() {
    let subject = subject("fifo");
    let dir = subject.dir().join("runtime");
    fs::create_dir(&dir).unwrap();
    let precious = ["thesis.txt", "x.txt", "x.old", "y.tmp", "x.taken-by"];
    for name in precious {
        fs::write(dir.join(name), "precious").unwrap();
    }
    let ours = ["x", "x.tmp", "x.addr", "x.addr.tmp", "x.memfd", "x.taken-12"];
    for name in ours {
        fs::write(dir.join(name), "").unwrap();
    }
    let outside = subject.dir().join("thesis.txt");
    fs::write(&outside, "precious").unwrap();
    let lock = dir.join("x.lock");
    let absolute = outside.display().to_string();
    let mut text = String::new();
    for name in precious.iter().chain(&ours).chain(&["../thesis.txt", &absolute]) {
        text.push_str(&format!("path {name}\nfile {name}\n"));
    }
    text.push_str("segment /../../etc/passwd\nqueue /some-elses\nqueue x\n");
    text.push_str("semaphore /dev/shm/../../etc/passwd, made with 0\n");
    fs::write(&lock, text).unwrap();
    let mut clean = ipclab(&subject, &["clean", "--pending"]);
    clean.env("IPCLAB_DIR", &dir).env("TMPDIR", subject.dir());
    let outcome = run(clean, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
    let mut left: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut wanted = precious;
    wanted.sort();
    assert_eq!(left, wanted, "{}", String::from_utf8_lossy(&outcome.stdout));
}

#[test]
fn a_file_that_is_only_called_like_a_lock_file_is_left_alone() {
    let subject = subject("fifo");
    let (cargo, empty) =
        (subject.dir().join("Cargo.lock"), subject.dir().join("my.lock"));
    fs::write(&cargo, "version = 4\n").unwrap();
    fs::write(&empty, "").unwrap();
    let clean = run(ipclab(&subject, &["clean"]), Input::Nothing);
    assert!(clean.status.success(), "{}", clean.stderr);
    let at = ["--at", "Cargo"];
    let line = contract::failed_clearly(
        &subject.start_receiver(&at).unwrap().wait(deadline()).unwrap(),
    );
    assert!(line.unwrap().contains("no lock file of ours"));
    assert_eq!(fs::read(&cargo).unwrap(), b"version = 4\n");
    assert_eq!(empty.metadata().unwrap().size(), 0);
}

#[test]
fn a_number_that_nobody_gave_is_no_ready_descriptor() {
    for words in ROLES {
        let subject = subject(words[0]);
        for number in ["0", "2", "3", "4", "5", "6", "9", "-1"] {
            let mut command = ipclab(&subject, words);
            command.arg(format!("--ready-fd={number}"));
            let outcome = run(command, Input::Nothing);
            let line = contract::failed_clearly(&outcome)
                .unwrap_or_else(|error| panic!("{words:?} {number}: {error}"));
            assert!(line.contains("EBADF") && line.contains("--ready-fd"), "{line}");
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn the_directory_may_be_called_by_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let roles: [(&str, &[&str], &str); 6] = [
        ("fifo", &["receiver"], "start the other"),
        ("file", &["sender", "x"], "O_EXCL"),
        ("mmap", &["receiver"], "start the other"),
        ("shm", &["receiver", "--kind", "memfd"], "start the other"),
        ("tcp", &["server", "--listen", "127.0.0.1:0"], "start the other"),
        ("signal", &["receiver"], "sigprocmask"),
    ];
    for name in
        [&b"a\nb"[..], b"\xff\xfe", b"a\npath thesis.txt\nb", b"\x1b]0;x\x07"]
    {
        for (chapter, words, _) in roles {
            let subject = subject(chapter);
            let dir = subject.dir().join(OsStr::from_bytes(name));
            fs::create_dir(&dir).unwrap();
            let first = name.split(|byte| *byte == b'\n').next().unwrap();
            let beside = subject.dir().join(OsStr::from_bytes(first)).join("");
            let precious = (first != name)
                .then(|| beside.with_file_name(OsStr::from_bytes(first)));
            if let Some(precious) = &precious {
                fs::write(precious, "precious").unwrap();
            }
            let mut command = ipclab(&subject, &[chapter]);
            command.args(words).env("IPCLAB_DIR", &dir);
            // Killed as soon as it is there, wherever it is then.
            let role = RoleProcess::start(chapter, command, Input::Open).unwrap();
            let lock = dir.join(format!("{chapter}.lock"));
            until("it notes itself", || {
                fs::read(&lock).is_ok_and(|text| text.contains(&b' '))
            });
            let noted = || {
                let text = fs::read(&lock).unwrap_or_default();
                text.iter().filter(|byte| **byte == b'\n').count() >= 2
            };
            until("it notes its object", noted);
            role.stop(Signal::SIGKILL, deadline()).unwrap();
            let clean = |args: &[&str]| {
                let mut clean = ipclab(&subject, &["clean", "--pending"]);
                clean
                    .args(args)
                    .env("IPCLAB_DIR", &dir)
                    .env("TMPDIR", subject.dir());
                let outcome = run(clean, Input::Nothing);
                assert!(outcome.status.success(), "{}", outcome.stderr);
                assert!(!outcome.stdout.contains(&0x1b), "an escape is printed raw");
                String::from_utf8(outcome.stdout).unwrap()
            };
            let listed = clean(&["--dry-run"]).replace("would remove", "removed");
            assert_eq!(clean(&[]), listed);
            assert_eq!(
                fs::read_dir(&dir).unwrap().count(),
                0,
                "{chapter}: {listed}"
            );
            if let Some(precious) = precious {
                assert_eq!(fs::read(precious).unwrap(), b"precious");
            }
        }
    }
}
