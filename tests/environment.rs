//! Whatever state a program is started in: signals, limits, umask, environment, namespaces.

mod support;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, killpg};
use support::*;
use wire::chapter::Row;

/// The program with these words, started by the command `state`, which ends in an exec.
fn started_by(state: &[&str], subject: &Subject, words: &[&str]) -> Command {
    let mut command = match state {
        [] => Command::new(program()),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program());
            command
        }
    };
    command.args(words).current_dir(subject.dir());
    command.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
    // What is guessed here is none of the user's guesses.
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// The chapters whose roles find each other by name.
fn chapters() -> impl Iterator<Item = Row> {
    let all = chapters::rows().iter().copied();
    all.filter(|row| {
        row.meets.by_name()
            && row.missing().is_none()
            && !row.script.parts.is_empty()
    })
}

/// Plays a chapter's script with all its roles started by `state`.
fn plays(row: &Row, state: &[&str]) {
    let subject = subject(row.name);
    let mut roles = Vec::new();
    for part in row.script.parts {
        let words =
            [&[row.name, part.role], part.args, &["--ready-fd", "11"]].concat();
        let mut command = started_by(state, &subject, &words);
        let (mut ready, says_so) = std::io::pipe().unwrap();
        os::spawn::give(&mut command, says_so.into(), 11).unwrap();
        let role = RoleProcess::start(part.role, command, Input::Nothing).unwrap();
        // Its line, or its end.
        let _ = ready.read(&mut [0; 100]).unwrap();
        roles.push(role);
    }
    let mut printed = None;
    for role in roles {
        let name = role.name.clone();
        let outcome = role.wait(deadline()).unwrap();
        let told = format!("{} under {state:?}: {}", row.name, outcome.stderr);
        assert!(outcome.status.success(), "{name}: {}: {told}", outcome.status);
        if name == row.script.prints && printed.is_none() {
            printed = Some((String::from_utf8(outcome.stdout).unwrap(), told));
        }
    }
    let (printed, told) = printed.expect("the role that prints");
    assert_eq!(printed, row.script.expect, "{told}");
}

/// What a parent may have done before it executed us, and a command that does it.
const STATES: [(&str, &[&str]); 12] = [
    ("ignored", &["env", "--ignore-signal=CHLD,PIPE,ALRM,USR1,USR2,XFSZ,RTMIN,IO"]),
    ("nohup", &["env", "--ignore-signal=HUP,INT,QUIT,TSTP,TTIN,TTOU"]),
    ("blocked", &["env", "--block-signal"]),
    ("both", &["env", "--ignore-signal=CHLD", "--block-signal=CHLD,ALRM,INT,TERM"]),
    ("empty", &["env", "-u", "PATH", "-u", "HOME", "-u", "TERM", "-u", "USER"]),
    (
        "odd",
        &["env", "LC_ALL=tr_TR.ISO-8859-9", "COLUMNS=-1", "TZ=:nowhere", "TERM=?"],
    ),
    ("umask 0777", &["sh", "-c", "umask 0777; exec \"$0\" \"$@\""]),
    ("umask 0", &["sh", "-c", "umask 0; exec \"$0\" \"$@\""]),
    (
        "small limits",
        &["sh", "-c", "ulimit -c 0; ulimit -s 512; exec \"$0\" \"$@\""],
    ),
    ("descriptors", &["sh", "-c", "exec 5<&0 7>&1 9>&2; exec \"$0\" \"$@\""]),
    ("session", &["setsid", "-w", "nice", "-n", "5"]),
    ("no new privileges", &["setpriv", "--no-new-privs", "--pdeathsig", "TERM"]),
];

fn state(name: &str) -> &'static [&'static str] {
    let (_, state) =
        STATES.iter().find(|(state, _)| *state == name).expect("a state");
    state
}

/// Each chapter's roles do under a state what they do without it.
macro_rules! every_chapter_plays {
    ($($test:ident: $state:expr;)+) => {
        mod every_chapter_plays {
            use super::*;
            $(
                #[test]
                fn $test() {
                    let state = state($state);
                    if have(state[0]) {
                        chapters().for_each(|row| plays(&row, state));
                    }
                }
            )+
        }
    };
}
every_chapter_plays! {
    though_a_parent_ignored_signals: "ignored";
    though_a_parent_blocked_all_signals: "blocked";
    without_path_home_and_terminal: "empty";
    under_a_umask_that_takes_all_rights: "umask 0777";
}

#[test]
fn every_verb_does_in_each_state_what_it_does_without() {
    let verbs: [(&[&str], i32); 6] = [
        (&["demo", "-q", "fifo", "sysvmq"], 0),
        (&["trace", "fifo"], 0),
        (&["trace", "--", "true", ":::", "true"], 0),
        (&["experiment", "fifo/no-reader-enxio", "--guess", "3"], 0),
        (&["pipe", "fork", "hi"], 0),
        (&["fifo", "receiver", "--timeout", "0.05"], 124),
    ];
    for (name, state) in STATES.into_iter().filter(|(_, state)| have(state[0])) {
        for (words, status) in verbs {
            let subject = subject("fifo");
            let outcome = run(started_by(state, &subject, words), Input::Nothing);
            let told = format!("{words:?} under {name}: {}", outcome.stderr);
            assert_eq!(outcome.status.code(), Some(status), "{told}");
            subject
                .nothing_is_left()
                .unwrap_or_else(|error| panic!("{told}: {error}"));
        }
    }
}

#[test]
fn what_we_start_has_no_descriptor_of_our_parents() {
    let subject = subject("fifo");
    let started =
        started_by(state("descriptors"), &subject, &["trace", "fifo", "--bare"]);
    let outcome = run(started, Input::Nothing);
    let seen = String::from_utf8_lossy(&outcome.stdout);
    let opened = |number: u32| seen.contains(&format!("= {number}<fifo"));
    // The bare program's own first descriptor, as without the three that were inherited.
    assert!(opened(3) && !opened(4), "{seen}{}", outcome.stderr);
}

/// Executes the program after it has sent itself signals that it blocks.
const PENDING: &str = "import os, signal, sys\n\
    signals = [getattr(signal, name) for name in sys.argv[1].split(',')]\n\
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)\n\
    for number in signals: os.kill(os.getpid(), number)\n\
    os.execv(sys.argv[2], sys.argv[2:])";

#[test]
fn a_signal_that_is_pending_ends_us_only_if_it_was_to_end_its_process() {
    use std::os::unix::process::ExitStatusExt;
    if !have("python3") {
        return;
    }
    let others = "SIGUSR1,SIGUSR2,SIGCHLD,SIGIO,SIGRTMIN,SIGPIPE,SIGXFSZ";
    for (signals, ended_by) in [
        (others, None),
        ("SIGTERM", Some(libc::SIGTERM)),
        ("SIGALRM", Some(libc::SIGALRM)),
    ] {
        let subject = subject("pipe");
        let state = ["python3", "-c", PENDING, signals];
        let command = started_by(&state, &subject, &["pipe", "fork", "hi"]);
        let outcome = run(command, Input::Nothing);
        assert_eq!(
            outcome.status.signal(),
            ended_by,
            "{signals}: {}",
            outcome.stderr
        );
        if ended_by.is_none() {
            assert!(outcome.status.success(), "{signals}: {}", outcome.stderr);
        }
    }
}

#[test]
fn an_alarm_from_outside_strikes_and_one_of_ours_does_not_take_its_place() {
    use std::os::unix::process::ExitStatusExt;
    if !have("perl") {
        return;
    }
    let alarm = ["perl", "-e", "alarm 1; exec @ARGV"];
    // Chapters that wait by a timer of their own (a tick), and one that does not.
    for chapter in ["sysvmq", "posixmq", "fifo"] {
        let subject = subject(chapter);
        let words = [chapter, "receiver", "--timeout", "30"];
        let outcome = run(started_by(&alarm, &subject, &words), Input::Nothing);
        let told = format!("{chapter}: {}", outcome.stderr);
        assert_eq!(outcome.status.signal(), Some(libc::SIGALRM), "{told}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn without_a_timer_of_its_own_the_time_is_kept_all_the_same() {
    if !have("prlimit") {
        return;
    }
    let subject = subject("fifo");
    let words = ["fifo", "receiver", "--timeout", "0.05"];
    let command = started_by(&["prlimit", "--sigpending=0"], &subject, &words);
    assert_eq!(run(command, Input::Nothing).status.code(), Some(124));
}

#[test]
fn traced_programs_have_what_they_would_have_had_without_us() {
    let states: [&[&str]; 4] = [
        &["env"],
        &[
            "env",
            "--ignore-signal=CHLD,HUP,INT,XFSZ,PIPE",
            "--block-signal=USR1,CHLD",
        ],
        &["env", "--block-signal"],
        &["sh", "-c", "umask 0751; trap '' USR2; exec \"$0\" \"$@\""],
    ];
    let state_of = |text: &str| -> Vec<String> {
        let fields = ["Umask:", "SigBlk:", "SigIgn:", "SigCgt:", "ShdPnd:"];
        let wanted =
            |line: &&str| fields.iter().any(|field| line.starts_with(field));
        text.lines().filter(wanted).map(str::to_owned).collect()
    };
    for state in states {
        let subject = subject("fifo");
        let words = ["trace", "--", "cat", "/proc/self/status"];
        let traced = run(started_by(state, &subject, &words), Input::Nothing);
        assert!(traced.status.success(), "{}", traced.stderr);
        let mut alone = Command::new(state[0]);
        alone.args(&state[1..]).args(["cat", "/proc/self/status"]);
        let alone = String::from_utf8(run(alone, Input::Nothing).stdout).unwrap();
        let (traced, alone) = (state_of(&traced.stderr), state_of(&alone));
        assert_eq!(alone.len(), 5, "{alone:?}");
        assert_eq!(traced, alone, "under {state:?}");
    }
}

#[test]
fn what_a_shell_or_nohup_has_ignored_stays_ignored_in_verbs_and_in_what_they_start()
{
    let subject = subject("fifo");
    let state = ["env", "--ignore-signal=INT,HUP"];
    let mut command = started_by(&state, &subject, &["demo", "fifo", "tcp", "unix"]);
    command.process_group(0);
    let demo = RoleProcess::start("demo", command, Input::Nothing).unwrap();
    // As a terminal does it: to all of the group.
    for chapter in ["── fifo", "── tcp", "── unix"] {
        demo.wait_for_comment(chapter, deadline()).unwrap();
        for signal in [Signal::SIGINT, Signal::SIGHUP] {
            killpg(demo.pid(), signal).unwrap();
        }
    }
    let outcome = demo.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let table = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(table.matches('✓').count(), 3, "{table}");
}

#[test]
fn a_umask_takes_no_rights_of_the_owner_from_what_a_role_makes() {
    for mask in [0o777, 0o300, 0o000] {
        let subject = subject("fifo");
        if nix::unistd::geteuid().is_root() {
            let owner = Some(NOBODY);
            std::os::unix::fs::chown(subject.dir(), owner, owner).unwrap();
        }
        let opened = std::fs::File::open(program()).unwrap();
        let role = |words: &[&str]| {
            let mut command = Command::new("sh");
            let script = format!("umask {mask:04o}; exec \"$0\" \"$@\"");
            command.args(["-c", &script]);
            command.arg("/proc/self/fd/11").args(words);
            let kept = opened.try_clone().unwrap();
            os::spawn::give(&mut command, kept.into(), 11).unwrap();
            command
                .current_dir("/")
                .env("IPCLAB_DIR", subject.dir().join("made/here"));
            if nix::unistd::geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
            RoleProcess::start(words[1], command, Input::Nothing).unwrap()
        };
        let receiver = role(&["fifo", "receiver"]);
        let sender = role(&["fifo", "sender", "hello"]);
        for role in [sender, receiver] {
            let name = role.name.clone();
            let outcome = role.wait(deadline()).unwrap();
            assert!(
                outcome.status.success(),
                "{mask:04o} {name}: {}",
                outcome.stderr
            );
        }
    }
}

// ------------------------------------------------------------------------ namespaces

/// A command of a shell in namespaces of its own, where it is root; `None`, said aloud,
/// where there can be none.
fn unshared(flags: &str, subject: &Subject, script: &str) -> Option<Command> {
    let root = nix::unistd::geteuid().is_root();
    let user = if root { "" } else { "r" };
    let flags = format!("-{user}{flags}");
    let there = Command::new("unshare").args([&flags, "true"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        skip(&format!("no unshare {flags} here"));
        return None;
    }
    let mut command = Command::new("unshare");
    command.args([&flags, "sh", "-c", script]).arg(program());
    command.current_dir(subject.dir()).env("IPCLAB_DIR", subject.dir());
    Some(command)
}

#[test]
fn a_role_that_ends_at_once_with_a_reason_ends_a_demo_and_a_trace_with_it() {
    // Without a loopback interface one of the two fails, and the other waits for it.
    for words in ["demo -q tcp", "trace tcp"] {
        let subject = subject("tcp");
        let script = format!("exec \"$0\" {words}");
        let Some(mut command) = unshared("n", &subject, &script) else { return };
        command.env("TMPDIR", subject.dir());
        let outcome = run(command, Input::Nothing);
        let said = [&outcome.stdout[..], outcome.stderr.as_bytes()].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(outcome.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("ip link set lo up"), "{words}: {said}");
        assert!(!said.contains("not done within"), "{words}: {said}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn client_and_server_meet_at_localhost_whatever_it_stands_for() {
    let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.8.8.1 both\n::1 both\n";
    for (server, client) in [
        ("tcp server --count 1", "tcp client --connect localhost:7777 hello"),
        ("tcp server --count 1 --listen localhost:7777", "tcp client hello"),
        (
            "tcp server --count 1 --listen both:7711",
            "tcp client --connect both:7711 hello",
        ),
        (
            "multiplex server --count 1 --tcp 127.0.0.1:7712",
            "multiplex client --connect localhost:7712 hello",
        ),
    ] {
        let subject = subject("tcp");
        let script = format!(
            "mount --bind \"$HOSTS\" /etc/hosts && ip link set lo up && \
             {{ \"$0\" -q {server} --timeout 20 & }} && \"$0\" -q {client} --timeout 20 && wait"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        std::fs::write(&file, hosts).unwrap();
        let Some(mut command) = unshared("mn", &subject, &script) else { return };
        command.env("HOSTS", &file);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{server}, {client}: {}", outcome.stderr);
        let out = String::from_utf8(outcome.stdout).unwrap();
        assert!(
            out.lines().any(|line| line == "hello"),
            "{out:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn what_cannot_be_in_a_namespace_is_one_line_with_its_way_out() {
    let other_proc = "mount -t proc proc /proc";
    let table: [(&str, &str, &str, &str); 12] = [
        ("pf", "true", "shm sender x", other_proc),
        ("pf", "true", "signal receiver", other_proc),
        ("pf", "true", "experiment fifo/no-reader-enxio --show", other_proc),
        (
            "m",
            "mount -t tmpfs -o ro none /dev/shm",
            "shm sender x",
            "remount,rw /dev/shm",
        ),
        (
            "m",
            "mount -t tmpfs -o ro none /dev/shm",
            "semaphore poster",
            "remount,rw /dev/shm",
        ),
        (
            "m",
            "mount -t tmpfs -o ro none /dev/shm",
            "shm sender x --kind posix",
            "remount,rw /dev/shm",
        ),
        (
            "m",
            "mount -t tmpfs -o size=4k none /dev/shm",
            "shm sender x",
            "a smaller --capacity",
        ),
        (
            "m",
            "mount -t tmpfs -o size=4k none /dev/shm",
            "mutex worker",
            "fewer --slots",
        ),
        ("n", "true", "tcp client --connect 127.0.0.1:7 x", "ip link set lo up"),
        ("m", "export TMPDIR=/nowhere", "demo -q fifo", "set TMPDIR"),
        ("m", "export TMPDIR=/nowhere", "trace fifo", "set TMPDIR"),
        (
            "m",
            "export TMPDIR=/nowhere",
            "experiment fifo/no-reader-enxio --show",
            "set TMPDIR",
        ),
    ];
    for (flags, before, words, way_out) in table {
        let subject = subject("fifo");
        let script = format!("{before} && exec \"$0\" -q {words}");
        let script = script.replace("-q trace", "trace");
        let Some(command) = unshared(flags, &subject, &script) else { return };
        let outcome = run(command, Input::Nothing);
        let said = format!(
            "{}{}",
            outcome.stderr,
            String::from_utf8_lossy(&outcome.stdout)
        );
        assert_eq!(outcome.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains(way_out), "{words}: {said}");
        assert!(!said.contains("IPCLAB_DIR"), "{words}: {said}");
    }
}

#[test]
fn only_absolute_directories_of_the_xdg_variables_count() {
    let subject = subject("fifo");
    let name = format!("environment-{}", std::process::id());
    let runtime = |xdg: &str| {
        let mut command = Command::new(program());
        command.current_dir(subject.dir()).env_remove("IPCLAB_DIR");
        command.args(["fifo", "receiver", "--at", &name]);
        command.env("XDG_RUNTIME_DIR", xdg).env("HOME", subject.dir());
        RoleProcess::start("receiver", command, Input::Nothing).unwrap()
    };
    let own = subject.dir().to_str().unwrap().to_owned();
    let shared = format!("/tmp/ipclab-{}", nix::unistd::geteuid());
    for (xdg, dir) in [
        (&*own, format!("{own}/ipclab")),
        ("", shared.clone()),
        (".", shared.clone()),
        ("relative", shared.clone()),
        ("~", shared),
    ] {
        let receiver = runtime(xdg);
        let there = format!("{dir}/{name}");
        receiver.wait_for_comment(&there, deadline()).unwrap();
        receiver.stop(Signal::SIGTERM, deadline()).unwrap();
    }
    std::fs::remove_dir(subject.dir().join("ipclab")).unwrap();
    let left: Vec<OsString> =
        subject.dir().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
