//! The chapter of Unix domain sockets: the contract for each type, then what is special.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use support::*;
use wire::chapter::OnPeerDeath;

/// The chapter with this type of socket, for the contract.
fn of_type(kind: &str) -> Subject {
    let chapter = chapter_of("unix");
    // Without a connection, nobody is told of a client's death.
    let on_peer_death = match kind {
        "dgram" => OnPeerDeath::Waits,
        _ => chapter.on_peer_death,
    };
    let mut subject =
        Subject::new(&program(), Chapter { on_peer_death, ..chapter }).unwrap();
    for command in [&mut subject.sender, &mut subject.receiver] {
        command.extend(["--type", kind].map(Into::into));
    }
    // An empty datagram is the goodbye.
    subject.shortest = usize::from(kind == "dgram");
    subject
}

mod stream {
    use super::*;
    keeps_the_contract!(of_type("stream"));
}

mod seqpacket {
    use super::*;
    keeps_the_contract!(of_type("seqpacket"));
}

mod dgram {
    use super::*;
    keeps_the_contract!(
        of_type("dgram"),
        except {
            an_empty_message: "an empty datagram is the goodbye"
                => an_empty_packet_is_no_end_and_an_empty_datagram_is,
        }
    );
}

const TYPES: [&str; 3] = ["stream", "seqpacket", "dgram"];

/// A server that waits for its first client.
fn server(subject: &Subject, args: &[&str]) -> RoleProcess {
    let command = ipclab(subject, &[&["unix", "server"], args].concat());
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    server
}

fn client(subject: &Subject, args: &[&str], input: Input) -> RoleProcess {
    let command = ipclab(subject, &[&["unix", "client"], args].concat());
    RoleProcess::start("client", command, input).unwrap()
}

fn path(subject: &Subject) -> PathBuf {
    subject.dir().join("unix")
}

/// A refused server's line.
fn refused(subject: &Subject, args: &[&str]) -> String {
    let command = ipclab(subject, &[&["unix", "server"], args].concat());
    failure(RoleProcess::start("server", command, Input::Nothing).unwrap())
}

#[test]
fn a_hundred_clients_at_once_each_get_their_own_answers() {
    for kind in TYPES {
        let subject = subject("unix");
        let args = ["--type", kind, "--count", "100", "--reply", "upper", "-q"];
        let command = ipclab(&subject, &[&["unix", "server"], &args[..]].concat());
        let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
        let mut clients: Vec<_> = (0..100)
            .map(|_| client(&subject, &["--type", kind], Input::Open))
            .collect();
        for client in &clients {
            client.wait_for_comment(" = 0: ", deadline()).unwrap(); // connected
        }
        let line = |client, number| format!("message {number} of client {client}\n");
        for number in 0..10 {
            for (index, client) in clients.iter_mut().enumerate() {
                client.feed(line(index, number).as_bytes()).unwrap();
            }
        }
        for (index, client) in clients.into_iter().enumerate() {
            let outcome = client.wait(deadline()).unwrap();
            assert!(outcome.status.success(), "{}", outcome.stderr);
            let own: String = (0..10).map(|number| line(index, number)).collect();
            let answers = String::from_utf8(outcome.stdout).unwrap();
            assert_eq!(answers, own.to_uppercase());
        }
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{}", server.stderr);
        let printed = String::from_utf8(server.stdout).unwrap();
        let mut printed: Vec<_> = printed.split_inclusive('\n').collect();
        let all = (0..100).flat_map(|i| (0..10).map(move |number| line(i, number)));
        let mut all: Vec<_> = all.collect();
        printed.sort_unstable();
        all.sort_unstable();
        assert_eq!(printed, all, "the server mixed messages");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn the_server_is_told_who_its_client_is_and_a_client_who_its_server_is() {
    for (kind, by) in [
        ("stream", "SO_PEERCRED"),
        ("seqpacket", "SO_PEERCRED"),
        ("dgram", "SCM_CREDENTIALS"),
    ] {
        let subject = subject("unix");
        let server = server(&subject, &["--type", kind, "--count", "1"]);
        let client = client(&subject, &["--type", kind, "hello"], Input::Nothing);
        let (of_client, of_server) = (client.pid(), server.pid());
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let client = client.wait(deadline()).unwrap();
        let server = server.wait(deadline()).unwrap();
        let who =
            format!("client 1 is pid {of_client}, uid {uid}, gid {gid} ({by})");
        assert!(server.stderr.contains(&who), "{}", server.stderr);
        if kind != "dgram" {
            let who = format!("the server is pid {of_server}, uid {uid}");
            assert!(client.stderr.contains(&who), "{}", client.stderr);
        }
    }
}

#[test]
fn a_packet_keeps_its_boundaries_whatever_is_in_it() {
    for kind in ["seqpacket", "dgram"] {
        let subject = of_type(kind);
        let sent = ["--json", "two\nlines", "no framing"];
        let arrived = subject.run(&sent, Input::Nothing, &[]).unwrap();
        let objects: Vec<serde_json::Value> = arrived
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0]["text"], "two\nlines");
        assert_eq!(objects[1]["text"], "no framing");
    }
}

#[test]
fn an_empty_packet_is_no_end_and_an_empty_datagram_is() {
    let subject = of_type("seqpacket");
    let sent = ["", "", "after"];
    let arrived = subject.run(&sent, Input::Nothing, &[]).unwrap();
    assert_eq!(arrived, b"\n\nafter\n");
    let subject = of_type("dgram");
    let client = subject.start_sender(&["fine", ""], Input::Nothing).unwrap();
    let line = failure(client);
    assert!(line.contains("goodbye") && line.contains("seqpacket"), "{line}");
    let server = subject.start_receiver(&[]).unwrap();
    let input = Input::Bytes(b"one\n\nthree\n".to_vec());
    let client = subject.start_sender(&[], input).unwrap().wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"one\n");
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("line 2") && line.contains("goodbye"), "{line}");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"one\n");
}

#[test]
fn without_framing_no_packet_is_empty_and_recv_will_do() {
    let subject = of_type("seqpacket");
    let none = ["--framing", "none"];
    let sent = [&none[..], &["two\nlines"]].concat();
    let (client, server) = subject.start(&sent, Input::Nothing, &none).unwrap();
    let (client, server) =
        (client.wait(deadline()).unwrap(), server.wait(deadline()).unwrap());
    assert_eq!(client.stdout, b"two\nlines\n");
    assert_eq!(server.stdout, b"two\nlines\n");
    assert!(server.stderr.contains(" recv() = 9: "), "{}", server.stderr);
    let empty = [&none[..], &[""]].concat();
    let line = failure(subject.start_sender(&empty, Input::Nothing).unwrap());
    assert!(line.contains("an empty message is nothing"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_packet_over_the_send_buffer_is_refused_and_a_larger_buffer_takes_it() {
    let message = "x".repeat(300_000) + "\n";
    for kind in ["seqpacket", "dgram"] {
        let subject = of_type(kind);
        let small = ["-q", "--send-buffer", "50000"];
        let input = Input::Bytes(message.clone().into_bytes());
        let (client, server) = subject.start(&small, input, &["-q"]).unwrap();
        let line = failure(client);
        assert!(line.contains("at most 99,968 bytes"), "{line}");
        assert!(line.contains("SO_SNDBUF is 100,000"), "{line}");
        assert!(line.contains("--send-buffer"), "{line}");
        assert!(line.contains("net.core.wmem_max"), "{line}");
        assert!(server.wait(deadline()).unwrap().status.success());
        let large = ["-q", "--send-buffer", "200000"];
        let input = Input::Bytes(message.clone().into_bytes());
        let arrived = subject.run(&large, input, &large).unwrap();
        assert!(arrived == message.as_bytes(), "{} bytes", arrived.len());
        // The very last byte that fits, as the line above has it.
        let largest = "x".repeat(99_968) + "\n";
        let input = Input::Bytes(largest.clone().into_bytes());
        assert!(subject.run(&small, input, &small).unwrap() == largest.as_bytes());
    }
}

#[test]
fn a_client_that_is_killed_does_not_hurt_the_others() {
    for kind in TYPES {
        let subject = subject("unix");
        let server = server(&subject, &["--type", kind]);
        let mut clients: Vec<_> = (0..3)
            .map(|_| client(&subject, &["--type", kind], Input::Open))
            .collect();
        for client in &mut clients {
            client.feed(b"before\n").unwrap();
            client.wait_for_output(b"before\n", deadline()).unwrap();
        }
        clients.remove(1).stop(Signal::SIGKILL, deadline()).unwrap();
        for client in &mut clients {
            client.feed(b"after\n").unwrap();
            client.wait_for_output(b"after\n", deadline()).unwrap();
        }
        for client in clients {
            assert!(client.wait(deadline()).unwrap().status.success());
        }
        server.stop(Signal::SIGINT, deadline()).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn half_a_message_is_never_printed() {
    let subject = subject("unix");
    let server = server(&subject, &["--framing", "length", "--count", "2"]);
    let mut half = UnixStream::connect(path(&subject)).unwrap();
    half.write_all(b"\0\0\0\x0ahalf").unwrap();
    drop(half);
    server.wait_for_comment("client 1 is lost", deadline()).unwrap();
    let client = client(&subject, &["--framing", "length", "whole"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"whole\n");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"whole\n");
}

#[test]
fn answers_still_come_after_the_half_close() {
    let subject = subject("unix");
    let server = server(&subject, &["--count", "1"]);
    let mut client = UnixStream::connect(path(&subject)).unwrap();
    client.write_all(b"one\ntwo").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "one\ntwo");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn a_client_that_never_reads_does_not_hurt_the_others() {
    let subject = subject("unix");
    let server = server(&subject, &["--bytes"]);
    let mut deaf = UnixStream::connect(path(&subject)).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let text = [b'x'; 65536];
    // Until the server's answers fill one buffer, and what it does not read the other.
    let full =
        |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    let mut written = 0;
    while deaf.write(&text).map_err(full) != Err(true) {
        written += 1;
        assert!(written < 100_000, "the server never stopped reading");
    }
    let client = client(&subject, &["hello"], Input::Nothing);
    assert!(client.wait(deadline()).unwrap().stdout.starts_with(b"hello"));
    server.stop(Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn a_server_whose_output_is_gone_ends_quietly() {
    for kind in TYPES {
        let subject = subject("unix");
        let (reading, writing) = nix::unistd::pipe().unwrap();
        drop(reading);
        let command = ipclab(&subject, &["unix", "server", "--type", kind]);
        let output = Output::To(writing);
        let server =
            RoleProcess::start_with("server", command, Input::Nothing, output, None)
                .unwrap();
        // It is served, or the server is gone already.
        let _ = client(&subject, &["--type", kind, "hello"], Input::Nothing)
            .wait(deadline())
            .unwrap();
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{}", server.stderr);
        assert!(!server.stderr.contains("ipclab: "), "{}", server.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_strangers_stale_socket_is_replaced() {
    for kind in TYPES {
        let subject = subject("unix");
        drop(UnixListener::bind(path(&subject)).unwrap()); // the file stays
        let server = server(&subject, &["--type", kind, "--count", "1"]);
        let client = client(&subject, &["--type", kind, "hello"], Input::Nothing);
        assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
        let server = server.wait(deadline()).unwrap();
        assert!(server.stderr.contains("unlink("), "{}", server.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_strangers_live_server_keeps_its_name() {
    let subject = subject("unix");
    let stranger = UnixListener::bind(path(&subject)).unwrap();
    let line = refused(&subject, &[]);
    assert!(line.contains("EADDRINUSE"), "{line}");
    assert!(line.contains(&format!("pid {} has it", std::process::id())), "{line}");
    assert!(line.contains("--at NAME"), "{line}");
    for kind in ["seqpacket", "dgram"] {
        let line = refused(&subject, &["--type", kind]);
        assert!(line.contains("another --type"), "{line}");
    }
    let (mut connection, _) = stranger.accept().unwrap(); // the probe, which left
    assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
    assert!(path(&subject).symlink_metadata().unwrap().file_type().is_socket());
}

#[test]
fn a_second_server_is_told_who_the_first_is() {
    for (first, second) in [(&[][..], &[][..]), (&["--abstract"], &["--abstract"])] {
        let subject = subject("unix");
        let first = server(&subject, first);
        let line = refused(&subject, second);
        assert!(line.contains(&format!("pid {}", first.pid())), "{line}");
        assert!(line.contains("--at NAME"), "{line}");
        first.stop(Signal::SIGINT, deadline()).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn an_abstract_name_is_no_file() {
    for kind in TYPES {
        let subject = subject("unix");
        let args = ["--abstract", "--type", kind];
        let server = server(&subject, &[&args[..], &["--count", "1"]].concat());
        let left = contract::left_behind(subject.dir(), &["unix"]).unwrap();
        assert!(left.is_empty(), "{left:?}");
        let client =
            client(&subject, &[&args[..], &["hello"]].concat(), Input::Nothing);
        assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success());
        assert!(server.stderr.contains("bind(@ipclab-"), "{}", server.stderr);
    }
    let subject = subject("unix");
    let name = format!("ipclab-test-{}", std::process::id());
    let args = ["--abstract", "--at", &name];
    let server = server(&subject, &[&args[..], &["--count", "1"]].concat());
    let table = std::fs::read("/proc/net/unix").unwrap(); // names may be any bytes
    let table = String::from_utf8_lossy(&table);
    assert!(table.lines().any(|line| line.ends_with(&format!(" @{name}"))));
    let client = client(&subject, &[&args[..], &["hello"]].concat(), Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn an_abstract_name_may_hold_any_byte() {
    let pid = std::process::id();
    let name = format!(r"\0ipclab\0{pid}\xff\\\y\0");
    let bytes = [b"\0ipclab\0", pid.to_string().as_bytes(), b"\xff\\\\y\0"].concat();
    let subject = subject("unix");
    let args = ["--abstract", "--at", &name];
    let server = server(&subject, &[&args[..], &["--count", "2"]].concat());
    let client = client(&subject, &[&args[..], &["hello"]].concat(), Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    // Another program's socket, which knows nothing of our way to write it.
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(bytes).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.write_all(b"bytes\n").unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"bytes\n");
    drop(stream);
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn what_is_no_socket_is_named_by_both_roles() {
    let subject = subject("unix");
    std::fs::write(path(&subject), "precious").unwrap();
    let line = refused(&subject, &[]);
    assert!(line.contains("a regular file"), "{line}");
    let line = failure(client(&subject, &["hello"], Input::Nothing));
    assert!(line.contains("a regular file"), "{line}");
    assert_eq!(std::fs::read(path(&subject)).unwrap(), b"precious");
}

#[test]
fn a_name_over_107_bytes_is_refused_with_the_limit() {
    let subject = subject("unix");
    let room = 107 - subject.dir().as_os_str().len() - 1;
    let (fits, long) = ("x".repeat(room), "x".repeat(room + 1));
    for role in ["server", "client"] {
        let command = ipclab(&subject, &["unix", role, "--at", &long]);
        let line =
            failure(RoleProcess::start(role, command, Input::Nothing).unwrap());
        assert!(line.contains("108 bytes") && line.contains("107"), "{line}");
    }
    subject.nothing_is_left().unwrap();
    let server = server(&subject, &["--at", &fits, "--count", "1"]);
    let client = client(&subject, &["--at", &fits, "hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
    let line = refused(&subject, &["--abstract", "--at", &"x".repeat(108)]);
    assert!(line.contains("108 bytes") && line.contains("107"), "{line}");
}

#[test]
fn another_type_is_named() {
    let subject = subject("unix");
    let server = server(&subject, &[]);
    for kind in ["seqpacket", "dgram"] {
        let client = client(&subject, &["--type", kind, "hello"], Input::Nothing);
        let line = failure(client);
        assert!(line.contains("EPROTOTYPE") && line.contains("--type"), "{line}");
    }
    server.stop(Signal::SIGINT, deadline()).unwrap();
    let command = ipclab(
        &subject,
        &["unix", "server", "--type", "dgram", "--framing", "length"],
    );
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--type stream"), "{}", outcome.stderr);
}

#[test]
fn the_socket_is_the_owners_alone_whatever_the_umask() {
    let subject = subject("unix");
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$0\" unix server"]).arg(program());
    shell.env("IPCLAB_DIR", subject.dir());
    let server = RoleProcess::start("server", shell, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let about = path(&subject).symlink_metadata().unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o600);
    server.stop(Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn another_user_may_not_connect() {
    if !offers("fdpass", "other-user") {
        return;
    }
    let subject = subject("unix");
    // A directory that all may search, so that the socket's own mode decides.
    let open = tempfile::Builder::new().prefix("ipclab-test-").tempdir().unwrap();
    std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let at = open.path().join("socket");
    let at = at.to_str().unwrap();
    let server = server(&subject, &["--at", at]);
    let own = tempfile::Builder::new().prefix("ipclab-test-").tempdir().unwrap();
    nix::unistd::chown(own.path(), Some(65534.into()), None).unwrap();
    let opened = std::fs::File::open(program()).unwrap();
    let mut command = as_nobody(&opened, &["unix", "client", "--at", at, "hello"]);
    command.env("IPCLAB_DIR", own.path());
    let line =
        failure(RoleProcess::start("client", command, Input::Nothing).unwrap());
    assert!(line.contains("EACCES") && line.contains("another user"), "{line}");
    server.stop(Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn a_datagram_client_notices_that_its_server_died_before_it_answered() {
    let subject = subject("unix");
    let server = server(&subject, &["--type", "dgram"]);
    server.signal(Signal::SIGSTOP).unwrap();
    let client = client(&subject, &["--type", "dgram", "hello"], Input::Nothing);
    client.wait_for_comment("says goodbye", deadline()).unwrap();
    server.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(client);
    assert!(line.contains("ECONNREFUSED"), "{line}");
    assert!(line.contains("of 1 message, 1 handed over, 0 answered"), "{line}");
}

#[test]
fn a_datagram_client_without_an_address_is_printed_and_not_answered() {
    let subject = subject("unix");
    let server = server(&subject, &["--type", "dgram", "--count", "1"]);
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"hello", path(&subject)).unwrap();
    client.send_to(b"", path(&subject)).unwrap();
    let server = server.wait(deadline()).unwrap();
    assert_eq!(server.stdout, b"hello\n");
    assert!(server.stderr.contains("has no address"), "{}", server.stderr);
}

#[test]
fn a_datagram_client_that_never_reads_is_dropped_after_a_while() {
    let subject = subject("unix");
    let args = ["--type", "dgram", "--send-buffer", "20000"];
    let server = server(&subject, &[&args[..], &["--count", "1"]].concat());
    let deaf = UnixDatagram::bind(subject.dir().join("deaf")).unwrap();
    deaf.connect(path(&subject)).unwrap();
    for _ in 0..100 {
        deaf.send(&[b'x'; 1000]).unwrap();
    }
    server.wait_for_comment("they are dropped", deadline()).unwrap();
    drop(deaf); // its unread answers no longer fill the server's send buffer
    std::fs::remove_file(subject.dir().join("deaf")).unwrap();
    let client = client(&subject, &["--type", "dgram", "hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn upper_and_none_answer_so() {
    for kind in TYPES {
        let subject = of_type(kind);
        let arrived = subject.run(&["hé"], Input::Nothing, &["--reply", "upper"]);
        assert_eq!(arrived.unwrap(), "Hé\n".as_bytes());
        let none = ["--reply", "none"];
        let arrived =
            subject.run(&["--reply", "none", "hello"], Input::Nothing, &none);
        assert_eq!(arrived.unwrap(), b"");
        let (client, server) =
            subject.start(&["hello"], Input::Nothing, &none).unwrap();
        let line = failure(client);
        assert!(line.contains("--reply none"), "{line}");
        assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\n");
    }
}

#[test]
fn the_peers_command_has_the_options_that_both_need() {
    let subject = subject("unix");
    let server =
        server(&subject, &["--type", "seqpacket", "--abstract", "--at", "a b"]);
    let command =
        "ipclab unix client --type seqpacket --abstract --at 'a b' hello\n";
    server.wait_for_comment(command, deadline()).unwrap();
    server.stop(Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn netcat_is_a_client_and_a_server() {
    if !have("nc") {
        return;
    }
    let subject = subject("unix");
    let server = server(&subject, &["--count", "1", "--reply", "upper"]);
    let mut nc = Command::new("nc");
    nc.args(["-N", "-U"]).arg(path(&subject));
    let nc = run(nc, Input::Bytes(b"hello\nnetcat\n".to_vec()));
    assert_eq!(nc.stdout, b"HELLO\nNETCAT\n");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\nnetcat\n");

    let mut nc = Command::new("nc");
    nc.args(["-N", "-l", "-U"]).arg(path(&subject));
    let nc = RoleProcess::start("nc", nc, Input::Nothing).unwrap();
    let client =
        client(&subject, &["--reply", "none", "hello", "nc"], Input::Nothing);
    assert!(client.wait(deadline()).unwrap().status.success());
    assert_eq!(nc.wait(deadline()).unwrap().stdout, b"hello\nnc\n");
}

#[test]
fn socat_is_a_client_and_a_server() {
    if !have("socat") {
        return;
    }
    let subject = subject("unix");
    let server = server(&subject, &["--count", "1", "--reply", "upper"]);
    let mut socat = Command::new("socat");
    socat.args(["-t", "60", "-"]).arg(format!("UNIX:{}", path(&subject).display()));
    let socat = run(socat, Input::Bytes(b"hello\nsocat\n".to_vec()));
    assert_eq!(socat.stdout, b"HELLO\nSOCAT\n");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\nsocat\n");

    let mut socat = Command::new("socat");
    let address = format!("UNIX-LISTEN:{}", path(&subject).display());
    socat.args([&address, "EXEC:cat"]);
    let socat = RoleProcess::start("socat", socat, Input::Nothing).unwrap();
    let client = client(&subject, &["hello", "socat"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\nsocat\n");
    socat.wait(deadline()).unwrap();
}

#[test]
fn python_is_a_server_of_each_type() {
    for kind in TYPES {
        for at in ["unix", "@ipclab-python"] {
            let subject = subject("unix");
            let unique = format!("{at}-{}-{kind}", std::process::id());
            let address = if at.starts_with('@') { &unique } else { at };
            let Some(python) = python(&subject, "talk_server.py", &[kind, address])
            else {
                return;
            };
            let server =
                RoleProcess::start("python", python, Input::Nothing).unwrap();
            let mut args = vec!["--type", kind, "hello", "python"];
            if let Some(name) = address.strip_prefix('@') {
                args.extend(["--abstract", "--at", name]);
            }
            let client = client(&subject, &args, Input::Nothing);
            let client = client.wait(deadline()).unwrap();
            assert_eq!(client.stdout, b"HELLO\nPYTHON\n", "{}", client.stderr);
            assert!(server.wait(deadline()).unwrap().status.success());
        }
    }
}

#[test]
fn python_is_a_client_of_each_type() {
    for kind in TYPES {
        let subject = subject("unix");
        let args = ["--type", kind, "--count", "1", "--reply", "upper"];
        let server = server(&subject, &args);
        let words = [kind, "unix", "hello", "python"];
        let Some(python) = python(&subject, "talk_client.py", &words) else {
            return;
        };
        assert_eq!(run(python, Input::Nothing).stdout, b"HELLO\nPYTHON\n");
        assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\npython\n");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_last_line_without_a_newline_comes_back_without_one() {
    let subject = subject("unix");
    let sent = b"one\ntwo\nthe end".to_vec();
    let arrived =
        subject.run(&["--bytes"], Input::Bytes(sent.clone()), &[]).unwrap();
    assert_eq!(arrived, sent);
    subject.nothing_is_left().unwrap();
}
