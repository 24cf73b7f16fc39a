//! fdpass over the wire of Python's multiprocessing.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;

const KEY: &str = "correct horse battery staple";

fn keyfile(subject: &Subject, key: &str) -> PathBuf {
    let path = subject.dir().join("key");
    std::fs::write(&path, key).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// The options of a role that has the key, and these.
fn words<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let wire = ["--protocol", "multiprocessing", "--auth-key-file", "key"];
    [&wire, args].concat()
}

fn server_with_key(subject: &Subject, args: &[&str]) -> RoleProcess {
    keyfile(subject, KEY);
    server(subject, &words(args))
}

/// A worker of ours that the server knows.
fn worker_with_key(
    subject: &Subject,
    server: &RoleProcess,
    args: &[&str],
) -> RoleProcess {
    let worker = role(subject, "worker", &words(args));
    one_of_us(server, &worker);
    worker
}

fn one_of_us(server: &RoleProcess, worker: &RoleProcess) {
    let come = format!("worker {} has sent its pid", worker.pid());
    server.wait_for_comment(&come, deadline()).unwrap();
}

/// A script from tests/peers, begun.
fn script(subject: &Subject, name: &str, args: &[&str]) -> Option<RoleProcess> {
    let command = python(subject, name, args)?;
    Some(RoleProcess::start(name, command, Input::Nothing).unwrap())
}

fn python_worker(subject: &Subject) -> Option<RoleProcess> {
    script(subject, "fdpass_multiprocessing_worker.py", &["fdpass", "key"])
}

fn ends_by_signal(server: RoleProcess) -> String {
    server.stop(Signal::SIGINT, deadline()).unwrap().stderr
}

#[test]
fn three_roles_of_ours_with_a_key_and_without() {
    for key in [true, false] {
        let subject = subject("fdpass");
        keyfile(&subject, KEY);
        let common = words(&[]);
        let common = if key { &common[..] } else { &common[..2] };
        let counted = [common, &["--count", "2"]].concat();
        let server = role(&subject, "server", &counted);
        let worker = role(&subject, "worker", common);
        for message in ["hello", "again"] {
            let client = role(&subject, "client", &[message]);
            assert_eq!(ended_well(client).stdout, format!("{message}\n").as_bytes());
        }
        let worker = ended_well(worker);
        assert_eq!(worker.stdout, b"hello\nagain\n");
        let proved = worker.stderr.contains("by HMAC-SHA256");
        assert_eq!(proved, key, "{}", worker.stderr);
        let server = ended_well(server).stderr;
        assert_eq!(server.contains("authkey=None"), !key, "{server}");
        assert!(server.contains("2 connections passed on and read"), "{server}");
        std::fs::remove_file(subject.dir().join("key")).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn python_workers_take_connections_from_our_server() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--count", "6"]);
    let Some(first) = python_worker(&subject) else { return };
    one_of_us(&server, &first);
    let second = python_worker(&subject).unwrap();
    one_of_us(&server, &second);
    for number in 0..6 {
        echo(&connect(&subject), &format!("client {number}"));
    }
    let story = ended_well(server).stderr;
    assert_eq!(story.matches("we prove by").count(), 2, "{story}");
    ended_well(first);
    ended_well(second);
}

#[test]
fn a_python_listener_passes_connections_to_our_worker() {
    let subject = subject("fdpass");
    keyfile(&subject, KEY);
    let worker = role(&subject, "worker", &words(&["--count", "2"]));
    worker.wait_for_comment("start the other: ", deadline()).unwrap();
    let args = ["fdpass", "key"];
    let name = "fdpass_multiprocessing_server.py";
    let Some(python) = script(&subject, name, &args) else { return };
    worker.wait_for_comment("we take connections", deadline()).unwrap();
    for message in ["hello", "python"] {
        let client = role(&subject, "client", &[message]);
        assert_eq!(ended_well(client).stdout, format!("{message}\n").as_bytes());
    }
    assert_eq!(ended_well(worker).stdout, b"hello\npython\n");
    python.stop(Signal::SIGTERM, deadline()).unwrap();
}

#[test]
fn both_forms_of_the_handshake_are_spoken_by_both_roles() {
    for form in ["old", "new"] {
        let subject = subject("fdpass");
        let server = server_with_key(&subject, &["--count", "1"]);
        let name = "fdpass_handshake.py";
        let args = ["worker", form, "fdpass", KEY];
        let Some(peer) = script(&subject, name, &args) else { return };
        echo(&connect(&subject), "hello");
        assert_eq!(ended_well(peer).stdout, b"#WELCOME#\nit has proved\n", "{form}");
        let story = ended_well(server).stderr;
        let hash = if form == "old" { "HMAC-MD5" } else { "HMAC-SHA256" };
        assert_eq!(story.matches(&format!("by {hash}")).count(), 2, "{story}");
        assert_eq!(story.contains("--require-sha256 refuses it"), form == "old");

        let args = ["server", form, "s", KEY];
        let peer = script(&subject, name, &args).unwrap();
        let worker = role(&subject, "worker", &words(&["--at", "./s"]));
        let said =
            format!("it has proved\n#WELCOME#\npid {}\nb'hello\\n'\n", worker.pid());
        assert_eq!(String::from_utf8(ended_well(peer).stdout).unwrap(), said);
        ended_well(worker);
    }
}

#[test]
fn md5_can_be_refused_and_sha256_then_still_does() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--require-sha256", "--count", "1"]);
    let name = "fdpass_handshake.py";
    let peer = |side, form, at| script(&subject, name, &[side, form, at, KEY]);
    let Some(old) = peer("worker", "old", "fdpass") else { return };
    assert_eq!(ended_well(old).stdout, b"#FAILURE#\n");
    server.wait_for_comment("--require-sha256 was given", deadline()).unwrap();
    let new = peer("worker", "new", "fdpass").unwrap();
    echo(&connect(&subject), "hello");
    ended_well(new);
    ended_well(server);

    let old = peer("server", "old", "s").unwrap();
    let args = words(&["--at", "./s", "--require-sha256"]);
    let line = failure(role(&subject, "worker", &args));
    assert!(line.contains("it authenticates by HMAC-MD5"), "{line}");
    old.wait(deadline()).unwrap();
}

#[test]
fn a_wrong_key_is_refused_on_both_sides_and_nobody_prints_one() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--count", "1"]);
    std::fs::write(subject.dir().join("key"), "tr0ub4dor&3").unwrap();
    let worker = role(&subject, "worker", &words(&[]));
    let line = failure(worker);
    assert!(line.contains("it did not accept our proof"), "{line}");
    let refused = "wrong key: what it answered to our challenge proves nothing";
    server.wait_for_comment(refused, deadline()).unwrap();
    if let Some(python) = python_worker(&subject) {
        let python = python.wait(deadline()).unwrap();
        assert!(python.stderr.contains("AuthenticationError"), "{}", python.stderr);
    }
    // The server lives on, for those who know the key.
    keyfile(&subject, KEY);
    let worker = role(&subject, "worker", &words(&[]));
    echo(&connect(&subject), "hello");
    let story = ended_well(server).stderr + &ended_well(worker).stderr + &line;
    assert!(!story.contains("horse") && !story.contains("tr0ub4dor"), "{story}");
}

#[test]
fn a_listener_with_another_key_is_refused_by_our_worker() {
    let subject = subject("fdpass");
    keyfile(&subject, KEY);
    let name = "fdpass_handshake.py";
    for (key, why) in [
        (Some("another"), "did not accept our proof"),
        // It has no key, and just waits for a pid.
        (None, "no handshake within 0.3 s; --handshake-timeout sets the time"),
    ] {
        let mut args = vec!["server", "new", "s"];
        args.extend(key);
        let Some(listener) = script(&subject, name, &args) else { return };
        let args = words(&["--at", "./s", "--handshake-timeout", "0.3"]);
        let line = failure(role(&subject, "worker", &args));
        assert!(line.contains(why), "{line}");
        listener.wait(deadline()).unwrap();
        std::fs::remove_file(subject.dir().join("s")).unwrap();
    }
}

/// A process that connects to the server.
fn stranger(subject: &Subject) -> UnixStream {
    let stranger = UnixStream::connect(subject.dir().join("fdpass")).unwrap();
    stranger.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stranger
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

#[test]
fn what_is_no_handshake_is_refused_while_others_are_served() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--handshake-timeout", "0.5"]);
    let worker = worker_with_key(&subject, &server, &[]);
    let huge = [&[0xff; 4][..], &(1_u64 << 32).to_be_bytes()].concat();
    let late = "no handshake within 0.5 s; --handshake-timeout sets the time";
    for (bytes, ends, why) in [
        (&b""[..], false, late),
        (b"\0\0", false, late),
        (b"\0\0\0\x10half", false, late),
        (b"\0\0", true, "in the middle of a frame"),
        (b"\0\0\0\x10half", true, "in the middle of a frame"),
        (b"", true, "it has closed its end"),
        (&huge, false, "a frame of 4294967296 bytes, and 256 is the most"),
        (b"\x7f\xff\xff\xff", false, "a frame of 2147483647 bytes"),
        (b"\x80\0\0\0", false, "a frame of length -2147483648"),
        (b"\0\0\0\0", false, "wrong key"),
        (b"\0\0\0\x0b#CHALLENGE#", false, "wrong key"),
        (b"\0\0\0\x09#WELCOME#", false, "wrong key"),
        (b"OKOKOKOK", false, "a frame of 1330335563 bytes"),
    ] {
        let mut peer = stranger(&subject);
        peer.write_all(bytes).unwrap();
        if ends {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
        }
        echo(&connect(&subject), "served meanwhile");
        server.wait_for_comment(why, deadline()).unwrap();
        // A challenge; #FAILURE# perhaps; and then it is closed.
        let mut rest = Vec::new();
        let _ = peer.read_to_end(&mut rest);
        assert!(rest[4..].starts_with(b"#CHALLENGE#{sha256}"), "{rest:?}");
        assert_eq!(rest.len(), 63 + if why == "wrong key" { 13 } else { 0 });
    }
    echo(&connect(&subject), "the server lives on");
    let story = ends_by_signal(server);
    assert_eq!(story.matches("is refused: ").count(), 13, "{story}");
    ended_well(worker);
}

#[test]
fn many_silent_peers_keep_no_worker_out_for_long() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--handshake-timeout", "0.3"]);
    let silent = [(); 40].map(|()| stranger(&subject));
    let worker = worker_with_key(&subject, &server, &[]);
    echo(&connect(&subject), "hello");
    drop(silent);
    ends_by_signal(server);
    ended_well(worker);
}

#[test]
fn a_pid_is_wanted_and_nothing_else_that_a_pickle_can_say() {
    let subject = subject("fdpass");
    let server = server(&subject, &words(&[])[..2]);
    for payload in [&b""[..], b"\x80\x04cos\nsystem\n.", b"\x80\x04K\0.", b"42"] {
        let mut peer = stranger(&subject);
        peer.write_all(&framed(payload)).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
    let mut slow = stranger(&subject);
    for byte in framed(b"\x80\x04K\x05.") {
        slow.write_all(&[byte]).unwrap();
    }
    server.wait_for_comment("has sent its pid", deadline()).unwrap();
    let story = ends_by_signal(server);
    assert_eq!(story.matches("is refused: it sent no pid").count(), 4, "{story}");
}

/// Takes one connection, as recv_handle does.
fn receive(worker: &UnixStream) -> Option<OwnedFd> {
    let mut room = [std::mem::MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let mut bytes = [std::io::IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(worker.as_fd(), &mut bytes, &mut control, flags).unwrap();
    assert_eq!(byte, [1]);
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// A worker that this test plays, without a handshake.
fn played_worker(subject: &Subject, server: &RoleProcess) -> UnixStream {
    let mut worker = stranger(subject);
    worker.write_all(&framed(b"\x80\x04K\x05.")).unwrap();
    let come = format!("worker {} has sent its pid", std::process::id());
    server.wait_for_comment(&come, deadline()).unwrap();
    worker
}

#[test]
fn what_a_leaving_worker_had_taken_is_its_own_and_the_rest_goes_to_another() {
    let subject = subject("fdpass");
    let server =
        server(&subject, &["--protocol", "multiprocessing", "--count", "5"]);
    let leaving = played_worker(&subject, &server);
    let clients = [(); 5].map(|()| connect(&subject));
    // One byte lies here for each connection.
    until("all five are passed", || {
        rustix::io::ioctl_fionread(&leaving).unwrap() >= 5
    });
    // The server sees nothing of what follows before all is over.
    server.signal(Signal::SIGSTOP).unwrap();
    let taken = [(); 3].map(|()| receive(&leaving).unwrap());
    let [mut first, mut second, mut third] = taken.map(TcpStream::from);
    // One is served by now, one is as it was, and both are held here; one is closed, and
    // was half served before. The other two lie unread.
    first.write_all(b"hello from here\n").unwrap();
    (&clients[2]).write_all(b"half a line").unwrap();
    third.read_exact(&mut [0; 4]).unwrap();
    drop((third, leaving));
    server.signal(Signal::SIGCONT).unwrap();
    let said = "it had taken 3 connections; 2 more go to others";
    server.wait_for_comment(said, deadline()).unwrap();

    let worker = role(&subject, "worker", &["--protocol", "multiprocessing"]);
    for (number, client) in clients.iter().enumerate().skip(3) {
        echo(client, &format!("client {number}"));
    }
    (&clients[1]).write_all(b"to the second\n").unwrap();
    let mut line = [0; 14];
    second.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"to the second\n");
    let end = (&clients[2]).read(&mut [0]);
    assert!(!matches!(end, Ok(1..)), "half served, and now by another");
    drop(clients);
    ended_well(server);
    let printed = String::from_utf8(ended_well(worker).stdout).unwrap();
    assert_eq!(printed, "client 3\nclient 4\n");
}

#[test]
fn what_a_stopped_python_worker_never_read_goes_to_another_when_it_is_killed() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &["--count", "3"]);
    let Some(first) = python_worker(&subject) else { return };
    one_of_us(&server, &first);
    echo(&connect(&subject), "before");
    first.signal(Signal::SIGSTOP).unwrap();
    let clients = [(); 2].map(|()| connect(&subject));
    server.wait_for_comment("connection 3", deadline()).unwrap();
    first.stop(Signal::SIGKILL, deadline()).unwrap();
    server.wait_for_comment("it had taken 1 connection", deadline()).unwrap();
    let second = worker_with_key(&subject, &server, &[]);
    clients.iter().for_each(|client| echo(client, "after"));
    drop(clients);
    ended_well(server);
    assert_eq!(ended_well(second).stdout, b"after\nafter\n");
}

#[test]
fn the_server_keeps_its_copy_until_a_worker_has_read_the_message_and_no_longer() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--protocol", "multiprocessing"]);
    let worker = played_worker(&subject, &server);
    let before = open_descriptors(&server);
    let mut client = connect(&subject);
    server.wait_for_comment("connection 1", deadline()).unwrap();
    assert_eq!(open_descriptors(&server), before + 1);
    // A worker that closes first: the client would not see it while the server's is open.
    drop(receive(&worker).unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(open_descriptors(&server), before);
    ends_by_signal(server);
}

#[test]
fn a_worker_that_reads_speaks_and_leaves_at_once_has_taken_what_it_read() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--protocol", "multiprocessing"]);
    let mut worker = played_worker(&subject, &server);
    let mut client = connect(&subject);
    until("a connection is passed", || {
        rustix::io::ioctl_fionread(&worker).unwrap() >= 1
    });
    server.signal(Signal::SIGSTOP).unwrap();
    let taken = receive(&worker).unwrap();
    worker.write_all(&[b'!'; 100_000]).unwrap();
    drop(worker);
    server.signal(Signal::SIGCONT).unwrap();
    let said = "it had taken 1 connection, all that it was passed";
    server.wait_for_comment(said, deadline()).unwrap();
    drop(taken);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let story = ends_by_signal(server);
    assert!(story.contains("is disconnected: recv() = 0"), "{story}");
}

#[test]
fn at_most_in_flight_connections_are_on_their_way_to_one_worker() {
    let subject = subject("fdpass");
    let args = ["--protocol", "multiprocessing", "--in-flight", "1"];
    let server = server(&subject, &args);
    let busy = played_worker(&subject, &server);
    let first = connect(&subject);
    server.wait_for_comment("sendmsg", deadline()).unwrap();
    // It reads nothing: all others go to the one that does.
    let worker = role(&subject, "worker", &["--protocol", "multiprocessing"]);
    server
        .wait_for_comment(&format!("worker {} has sent", worker.pid()), deadline())
        .unwrap();
    for _ in 0..20 {
        echo(&connect(&subject), "hello");
    }
    drop((busy, first));
    server
        .wait_for_comment("it had taken 0 connections; 1 more", deadline())
        .unwrap();
    ends_by_signal(server);
    ended_well(worker);
}

#[test]
fn a_thousand_clients_are_served_though_workers_are_killed_and_leave() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &[]);
    let first = worker_with_key(&subject, &server, &[]);
    let second = worker_with_key(&subject, &server, &[]);
    let leaving = worker_with_key(&subject, &server, &["--count", "100"]);
    let address = address(&subject);
    let arguments = [&*address, "1000", "300"];
    let Some(python) = python(&subject, "fdpass_clients.py", &arguments) else {
        return;
    };
    let mut clients = RoleProcess::start("clients", python, Input::Open).unwrap();
    clients.wait_for_output(b"first\n", deadline()).unwrap();
    clients.close_stdin();
    clients.wait_for_output(b"333 of 1000\n", deadline()).unwrap();
    let killed = second.stop(Signal::SIGKILL, deadline()).unwrap();
    server.wait_for_comment("is disconnected", deadline()).unwrap();
    let report = String::from_utf8(ended_well(clients).stdout).unwrap();
    let (echoed, ended) =
        (number_after(&report, "echoed"), number_after(&report, "ended"));
    assert_eq!(
        (number_after(&report, "lost"), echoed + ended),
        (0, 1000),
        "{report}"
    );

    // Each client that had no echo was one that the dead worker had taken, and no line
    // was printed by two.
    let story = ends_by_signal(server);
    let mut printed = String::from_utf8(ended_well(first).stdout).unwrap();
    let left = String::from_utf8(ended_well(leaving).stdout).unwrap();
    assert_eq!(left.lines().count(), 100, "{story}");
    printed += &left;
    let others = printed.lines().count();
    printed += &String::from_utf8(killed.stdout).unwrap();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), printed.lines().count(), "a line was printed twice");
    assert!(echoed >= others && others + ended <= 1000, "{report}\n{story}");
}

#[test]
fn a_key_file_that_others_know_or_that_is_none_is_refused() {
    let refused = |subject: &Subject, name: &str| {
        let lines = ["server", "worker"].map(|role_name| {
            let args = ["--protocol", "multiprocessing", "--auth-key-file", name];
            failure(role(subject, role_name, &args))
        });
        assert_eq!(lines[0], lines[1]);
        lines.into_iter().next().unwrap()
    };
    let subject = subject("fdpass");
    let key = keyfile(&subject, KEY);
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let line = refused(&subject, "key");
        let says =
            format!("mode {mode:04o}: others may read or write it; chmod 600 key");
        assert!(line.ends_with(&says), "{line}");
    }
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    symlink("key", subject.dir().join("link")).unwrap();
    assert!(refused(&subject, "link").contains("is a link"));
    std::fs::create_dir(subject.dir().join("folder")).unwrap();
    let fifo = subject.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["folder", "fifo", "/dev/null"] {
        let line = refused(&subject, name);
        assert!(
            line.contains("no regular file") && line.contains("chmod"),
            "{line}"
        );
    }
    let line = refused(&subject, "missing");
    assert!(line.contains("open missing: ENOENT"), "{line}");
    assert!(line.ends_with("makes one"), "{line}");
    std::fs::write(&key, "").unwrap();
    assert!(refused(&subject, "key").contains("is empty"));
    std::fs::write(&key, [b'k'; 4097]).unwrap();
    assert!(refused(&subject, "key").contains("more than 4096 bytes"));
    std::fs::write(&key, KEY).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&key, Some(NOBODY), None).unwrap();
        let line = refused(&subject, "key");
        assert!(line.contains(&format!("uid {NOBODY}'s")), "{line}");
    }
}

#[test]
fn options_that_do_not_fit_are_usage_errors() {
    let subject = subject("fdpass");
    for args in [
        &["server", "--auth-key-file", "key"][..],
        &["worker", "--auth-key-file", "key"],
        &["server", "--protocol", "multiprocessing", "--require-sha256"],
        &["server", "--protocol", "multiprocessing", "--ack-timeout", "1"],
        &["server", "--in-flight", "0"],
        &["worker", "--protocol", "pickle"],
        &["worker", "--handshake-timeout", "0"],
    ] {
        let mut command = ipclab(&subject, &["fdpass"]);
        command.args(args);
        let outcome = run(command, Input::Nothing);
        let story = &outcome.stderr;
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {story}");
        assert_eq!(story.lines().count(), 1, "{args:?}: {story}");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_peers_command_names_the_protocol_and_the_key_file() {
    let subject = subject("fdpass");
    let server = server_with_key(&subject, &[]);
    let command = "fdpass worker --protocol multiprocessing --auth-key-file key";
    server.wait_for_comment(command, deadline()).unwrap();
    ends_by_signal(server);
}
