//! The TCP chapter: the contract, then what is special to it.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;
use support::*;

// Not here: a_taken_name_is_refused and a_link_is_refused are about paths; a port in use
// is below.
keeps_the_contract! {
    subject("tcp");
    one_message, a_thousand_in_order, an_empty_message, the_largest_message,
    one_byte_too_many, arguments_are_checked_first, binary_bytes,
    the_sender_may_be_first, the_receiver_may_be_first, a_stale_name_is_recovered,
    the_sender_is_killed, the_sender_is_killed_in_full_flow, the_receiver_is_killed,
    signals_clear_up,
    a_timeout_is_status_124, an_unsafe_directory_is_refused,
    a_closed_output_is_a_quiet_end,
}

/// A server at a free port, and its address.
fn server(subject: &Subject, args: &[&str]) -> (Role, String) {
    server_at(subject, "127.0.0.1", args)
}

/// The same at another loopback address, whose ports no other test uses: for a test that
/// gives its port back, and wants it again.
fn server_at(subject: &Subject, host: &str, args: &[&str]) -> (Role, String) {
    let listen = ["tcp", "server", "--listen", &format!("{host}:0")];
    let command = ipclab(subject, &[&listen, args].concat());
    let server = Role::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let address = std::fs::read_to_string(subject.dir().join("tcp.addr")).unwrap();
    (server, address.trim_end().to_owned())
}

fn client(subject: &Subject, args: &[&str], input: Input) -> Role {
    let command = ipclab(subject, &[&["tcp", "client"], args].concat());
    Role::start("client", command, input).unwrap()
}

fn failure(role: Role) -> String {
    contract::failed_clearly(&role.wait(deadline()).unwrap()).unwrap()
}

/// The one line of a command line that is refused.
fn usage(subject: &Subject, args: &[&str]) -> String {
    let outcome = run(ipclab(subject, args), Input::Nothing);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
    let [line] = outcome.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("not one line: {}", outcome.stderr);
    };
    line.to_owned()
}

#[test]
fn once_answers_one_message() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "1"]);
    let client =
        client(&subject, &["hello"], Input::Nothing).wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert_eq!(client.stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_client_of_a_once_server_with_more_messages_says_how_many_were_answered() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "1"]);
    let client = client(&subject, &["one", "two", "three"], Input::Nothing);
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"one\n");
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("of 3 messages"), "{line}");
    assert!(line.contains("1 answered"), "{line}");
    assert!(line.contains("--strategy iterative"), "{line}");
    assert!(server.wait(deadline()).unwrap().status.success());
}

/// Each step of what the kernel lets a client see, in order.
#[test]
fn a_client_sees_a_once_server_leave_step_by_step() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "1"]);
    let mut client = client(&subject, &[], Input::Open);
    client.feed(b"one\n").unwrap();
    client.wait_for_comment("recv() = 0", deadline()).unwrap();
    client.feed(b"two\n").unwrap();
    client.wait_for_comment("SO_ERROR = EPIPE", deadline()).unwrap();
    client.feed(b"three\n").unwrap();
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"one\n");
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("EPIPE"), "{line}");
    assert!(line.contains("2 messages handed over, 1 answered"), "{line}");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn a_client_whose_input_ends_after_the_answer_has_not_failed() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "1"]);
    let mut client = client(&subject, &[], Input::Open);
    client.feed(b"one\n").unwrap();
    client.wait_for_comment("recv() = 0", deadline()).unwrap();
    client.close_stdin();
    assert!(client.wait(deadline()).unwrap().status.success());
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn once_serves_one_client_after_the_other() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "3"]);
    for message in ["one", "two", "three"] {
        let client = client(&subject, &[message], Input::Nothing);
        let line = format!("{message}\n");
        assert_eq!(client.wait(deadline()).unwrap().stdout, line.as_bytes());
    }
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"one\ntwo\nthree\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_second_client_waits_while_the_first_is_served() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--count", "2"]);
    let mut first = client(&subject, &[], Input::Open);
    first.feed(b"first\n").unwrap();
    first.wait_for_output(b"first\n", deadline()).unwrap();
    // It is connected, and may send: the kernel does both without the program.
    let second = client(&subject, &["second"], Input::Nothing);
    second.wait_for_comment("shutdown(SHUT_WR)", deadline()).unwrap();
    first.feed(b"first again\n").unwrap();
    first.wait_for_output(b"first again\n", deadline()).unwrap();
    first.close_stdin();
    assert!(first.wait(deadline()).unwrap().status.success());
    assert_eq!(second.wait(deadline()).unwrap().stdout, b"second\n");
    let server = server.wait(deadline()).unwrap();
    assert_eq!(server.stdout, b"first\nfirst again\nsecond\n");
    let closed = server.stderr.find("client 1: close()").unwrap();
    assert!(closed < server.stderr.find("client 2: recv()").unwrap());
}

#[test]
fn upper_answers_in_upper_case() {
    let subject = subject("tcp");
    let arrived = subject.run(&["hé"], Input::Nothing, &["--reply", "upper"]);
    assert_eq!(arrived.unwrap(), "Hé\n".as_bytes());
}

#[test]
fn a_server_that_answers_nothing_is_told_from_one_that_fails_to() {
    let subject = subject("tcp");
    let none = ["--reply", "none"];
    let arrived = subject.run(&["--reply", "none", "hello"], Input::Nothing, &none);
    assert_eq!(arrived.unwrap(), b"");
    let (client, server) = subject.start(&["hello"], Input::Nothing, &none).unwrap();
    let line = failure(client);
    assert!(line.contains("0 answered") && line.contains("--reply none"), "{line}");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\n");
}

#[test]
fn a_free_port_is_published_until_the_server_leaves() {
    let subject = subject("tcp");
    let mut shell = Command::new("sh");
    let program = program();
    let args = "-q tcp server --listen 127.0.0.1:0 --ready-fd 3";
    shell.args(["-c", &format!("exec 3>&1; exec \"$0\" {args}")]);
    shell.arg(&program).env("IPCLAB_DIR", subject.dir());
    let server = Role::start("server", shell, Input::Nothing).unwrap();
    server.wait_for_output(b"127.0.0.1:", deadline()).unwrap();
    let published = std::fs::read(subject.dir().join("tcp.addr")).unwrap();
    server.wait_for_output(&published, deadline()).unwrap();
    server.stop(Signal::SIGTERM, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

/// The port of a server that was killed may be another's by now.
#[test]
fn a_stale_address_is_not_called_and_the_next_servers_is_read() {
    let subject = subject("tcp");
    let (killed, stale) = server_at(&subject, "127.0.0.2", &[]);
    killed.stop(Signal::SIGKILL, deadline()).unwrap();
    let strangers = TcpListener::bind(&stale).unwrap();
    let client = client(&subject, &["hello"], Input::Nothing);
    client.wait_for_comment("start the other", deadline()).unwrap();
    let server = subject.start_receiver(&[]).unwrap();
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"hello\n");
    assert!(client.stderr.contains("connect(127.0.0.1:"), "{}", client.stderr);
    strangers.set_nonblocking(true).unwrap();
    assert!(strangers.accept().is_err(), "the stranger was called");
    assert!(server.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_port_in_use_is_refused_with_the_pid_of_who_has_it() {
    let subject = subject("tcp");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = ipclab(&subject, &["tcp", "server", "--listen", &address]);
    let line = failure(Role::start("server", server, Input::Nothing).unwrap());
    assert!(line.contains(&format!("bind {address}: EADDRINUSE")), "{line}");
    assert!(line.contains(&format!("pid {} ", std::process::id())), "{line}");
    assert!(line.contains("use 127.0.0.1:0"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_server_that_is_refused_leaves_the_first_ones_address() {
    let subject = subject("tcp");
    let (first, address) = server(&subject, &["--count", "1"]);
    let second = ipclab(&subject, &["tcp", "server", "--at", &address]);
    let line = failure(Role::start("server", second, Input::Nothing).unwrap());
    assert!(line.contains(&format!("pid {} (ipclab)", first.pid())), "{line}");
    let client = client(&subject, &["hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(first.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

/// The server closes first here, so its side of the connection stays in TIME_WAIT.
#[test]
fn a_server_may_be_restarted_at_once() {
    let subject = subject("tcp");
    let args = ["--strategy", "once", "--count", "1"];
    let (server, address) = server_at(&subject, "127.0.0.3", &args);
    let mut client = client(&subject, &[], Input::Open);
    client.feed(b"one\n").unwrap();
    assert!(server.wait(deadline()).unwrap().status.success());
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"one\n");
    let words = [&["tcp", "server", "--at", &address], &args[..]].concat();
    let server = Role::start("server", ipclab(&subject, &words), Input::Nothing);
    let client = self::client(&subject, &["--at", &address, "two"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"two\n");
    assert!(server.unwrap().wait(deadline()).unwrap().status.success());
}

#[test]
fn both_roles_of_ipv6_meet() {
    let subject = subject("tcp");
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("no IPv6 on this machine");
    }
    let words = ["tcp", "server", "--listen", "[::1]:0", "--count", "1"];
    let server = Role::start("server", ipclab(&subject, &words), Input::Nothing);
    let server = server.unwrap();
    server.wait_for_comment("bind([::1]:", deadline()).unwrap();
    let client = client(&subject, &["hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn each_waiting_role_names_a_command_that_meets_it() {
    let subject = subject("tcp");
    let (server, address) = server_at(&subject, "127.0.0.4", &[]);
    let client =
        client(&subject, &["--connect", "127.0.0.4:9", "hello"], Input::Nothing);
    let command = "ipclab tcp server --listen 127.0.0.4:9\n";
    client.wait_for_comment(command, deadline()).unwrap();
    client.stop(Signal::SIGINT, deadline()).unwrap();
    server.stop(Signal::SIGINT, deadline()).unwrap();
    let words = ["tcp", "server", "--listen", &address];
    let server = Role::start("server", ipclab(&subject, &words), Input::Nothing);
    let command = format!("ipclab tcp client --connect {address}\n");
    server.unwrap().wait_for_comment(&command, deadline()).unwrap();
}

#[test]
fn bad_input_is_one_clear_line() {
    let subject = subject("tcp");
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "[::1:7777", ""] {
        let line = usage(&subject, &["tcp", "server", "--listen", bad]);
        assert!(line.contains("HOST:PORT"), "{line}");
        let line = usage(&subject, &["tcp", "client", "--connect", bad, "hello"]);
        assert!(line.contains("HOST:PORT"), "{line}");
    }
    let both = ["tcp", "server", "--at", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    assert!(usage(&subject, &both).contains("cannot be used with"));
    let line = usage(&subject, &["tcp", "server", "--strategy", "oncee"]);
    assert!(line.contains("did you mean 'once'"), "{line}");
    assert!(usage(&subject, &["tcp", "server", "--count", "0"]).contains("--count"));
    let line = usage(&subject, &["tcp", "client", "--bytes", "--framing", "lines"]);
    assert!(line.contains("leave --framing out"), "{line}");
    // TEST-NET-1 (RFC 5737): no machine has it.
    let server = ipclab(&subject, &["tcp", "server", "--listen", "192.0.2.1:0"]);
    let line = failure(Role::start("server", server, Input::Nothing).unwrap());
    assert!(line.contains("EADDRNOTAVAIL") && line.contains("ip addr"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_client_that_is_killed_in_the_middle_does_not_hurt_the_next() {
    let subject = subject("tcp");
    let (server, address) =
        server(&subject, &["--framing", "length", "--count", "3"]);
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"\0\0\0\x0ahalf").unwrap();
    drop(half);
    server.wait_for_comment("client 1 is lost", deadline()).unwrap();
    let mut huge = TcpStream::connect(&address).unwrap();
    huge.write_all(b"\xff\xff\xff\xff").unwrap();
    server.wait_for_comment("client 2 is lost", deadline()).unwrap();
    let client = client(&subject, &["--framing", "length", "whole"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"whole\n");
    let server = server.wait(deadline()).unwrap();
    assert!(server.status.success());
    assert_eq!(server.stdout, b"whole\n");
    assert!(server.stderr.contains("--max-message"), "{}", server.stderr);
}

#[test]
fn answers_still_come_after_the_half_close() {
    let subject = subject("tcp");
    let (server, address) = server(&subject, &["--count", "1"]);
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"one\ntwo").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "one\ntwo");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn sixty_four_mebibytes_come_back_to_the_byte() {
    let subject = subject("tcp");
    let sent = contract::noise(64 << 20);
    let input = Input::Bytes(sent.clone());
    let ran = subject.start(&["-q", "--bytes"], input, &["-q", "--bytes"]).unwrap();
    let ran = subject.finish(ran).unwrap();
    assert!(ran.sender.status.success() && ran.receiver.status.success());
    assert!(ran.arrived == sent, "the bytes differ");
    assert!(ran.receiver.stdout == sent, "the server printed other bytes");
}

#[test]
fn lines_of_many_lengths_come_back_as_sent() {
    let subject = subject("tcp");
    let lengths =
        (0..300).chain([4095, 4096, 4097, 65_535, 65_536, 65_537, 100_000]);
    let text: String = lengths.map(|length| "x".repeat(length) + "\n").collect();
    let input = Input::Bytes(text.clone().into_bytes());
    let arrived = subject.run(&["-q"], input, &["-q"]).unwrap();
    assert!(arrived == text.as_bytes(), "the lines differ");
}

#[test]
fn lengths_go_before_the_messages_when_asked() {
    let subject = subject("tcp");
    let sent = ["--framing", "length", "two\nlines", "", "--json"];
    let args = ["--framing", "length"];
    let arrived = subject.run(&sent, Input::Nothing, &args).unwrap();
    let mut lines = arrived.split(|byte| *byte == b'\n');
    let first: serde_json::Value =
        serde_json::from_slice(lines.next().unwrap()).unwrap();
    assert_eq!(first["text"], "two\nlines");
    let second: serde_json::Value =
        serde_json::from_slice(lines.next().unwrap()).unwrap();
    assert_eq!(second["length"], 0);
}

#[test]
fn netcat_is_a_client() {
    let subject = subject("tcp");
    if !have("nc") {
        return;
    }
    let (server, address) = server(&subject, &["--count", "1", "--reply", "upper"]);
    let (host, port) = address.split_once(':').unwrap();
    let mut nc = Command::new("nc");
    nc.args(["-N", host, port]); // -N: shutdown(SHUT_WR) at the end of input
    let nc = run(nc, Input::Bytes(b"hello\nnetcat\n".to_vec()));
    assert_eq!(nc.stdout, b"HELLO\nNETCAT\n");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\nnetcat\n");
}

#[test]
fn socat_is_a_server() {
    let subject = subject("tcp");
    if !have("socat") {
        return;
    }
    let mut socat = Command::new("socat");
    socat.args(["-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1", "EXEC:cat"]);
    let socat = Role::start("socat", socat, Input::Nothing).unwrap();
    socat.wait_for_comment("listening on AF=2 127.0.0.1:", deadline()).unwrap();
    let address = listening_address(&socat);
    let client =
        client(&subject, &["--connect", &address, "a", "b"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"a\nb\n");
    socat.wait(deadline()).unwrap();
}

/// Where the command listens: its socket is its own, and the kernel lists its port.
fn listening_address(role: &Role) -> String {
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", role.pid()))
        .unwrap()
        .filter_map(|fd| {
            let to = std::fs::read_link(fd.ok()?.path()).ok()?;
            let to = to.to_str()?.strip_prefix("socket:[")?;
            Some(to.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let ours = inodes.iter().any(|inode| words.get(9) == Some(&inode.as_str()));
        let port = words.get(1)?.split_once(':')?.1;
        (ours && words.get(3) == Some(&"0A"))
            .then(|| u16::from_str_radix(port, 16).unwrap())
    });
    format!("127.0.0.1:{}", port.expect("a listening socket"))
}

#[test]
fn python_is_a_server() {
    let subject = subject("tcp");
    let Some(python) = python(&subject, "talk_server.py", &["tcp", "-"]) else {
        return;
    };
    let server = Role::start("python", python, Input::Nothing).unwrap();
    server.wait_for_output(b"\n", deadline()).unwrap();
    let address = listening_address(&server);
    let words = ["--connect", &address, "hello", "python"];
    let client = client(&subject, &words, Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"HELLO\nPYTHON\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn python_is_a_client() {
    let subject = subject("tcp");
    let (server, address) = server(&subject, &["--count", "1", "--reply", "upper"]);
    let words = ["tcp", &address, "hello", "", "python"];
    let Some(python) = python(&subject, "talk_client.py", &words) else { return };
    assert_eq!(run(python, Input::Nothing).stdout, b"HELLO\n\nPYTHON\n");
    assert_eq!(server.wait(deadline()).unwrap().stdout, b"hello\n\npython\n");
}
