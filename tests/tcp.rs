//! The TCP chapter: the contract, then what is special to it.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, prlimit};
use support::*;

keeps_the_contract!(subject("tcp"));

/// The chapter, whose server has these options, too.
fn with(options: &[&str]) -> Subject {
    let mut subject = subject("tcp");
    subject.receiver.extend(options.iter().map(Into::into));
    subject
}

/// The strategies that serve many clients at once, with what `fork` may do about children.
const AT_ONCE: [&[&str]; 4] = [
    &["--strategy", "threads"],
    &["--strategy", "fork"],
    &["--strategy", "fork", "--reap", "ignore"],
    &["--strategy", "fork", "--reap", "never"],
];

mod fork {
    use super::*;
    keeps_the_contract!(with(&["--strategy", "fork"]));
}

mod threads {
    use super::*;
    keeps_the_contract!(with(&["--strategy", "threads"]));
}

mod once {
    use super::*;
    keeps_the_contract!(
        with(&["--strategy", "once"]),
        except {
            a_thousand_in_order: "no client gets a second answer",
            an_empty_message: "no client gets a second answer",
            one_byte_too_many: "no client gets a second answer",
            binary_bytes: "no client gets a second answer",
            sixty_four_mebibytes_arrive_to_the_byte: "no client gets a second answer",
            lines_of_many_lengths_arrive_as_sent: "no client gets a second answer",
            the_sender_is_killed_in_full_flow: "no client gets a second answer",
        }
    );
}

/// A server at a free port, and its address.
fn server(subject: &Subject, args: &[&str]) -> (RoleProcess, String) {
    server_at(subject, "127.0.0.1", args)
}

/// The same at another loopback address, whose ports no other test uses: for a test that
/// gives its port back, and wants it again.
fn server_at(subject: &Subject, host: &str, args: &[&str]) -> (RoleProcess, String) {
    let listen = ["tcp", "server", "--listen", &format!("{host}:0")];
    let command = ipclab(subject, &[&listen, args].concat());
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let address = std::fs::read_to_string(subject.dir().join("tcp.addr")).unwrap();
    (server, address.trim_end().to_owned())
}

fn client(subject: &Subject, args: &[&str], input: Input) -> RoleProcess {
    let command = ipclab(subject, &[&["tcp", "client"], args].concat());
    RoleProcess::start("client", command, input).unwrap()
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

/// What the client of a once server says, in this order, if it has three messages.
const STEPS: [&str; 10] = [
    r#"send("one\n", 4)"#,
    r#"recv() = 4: "one\n""#,
    "recv() = 0: the server has closed its side",
    r#"send("two\n", 4)"#,
    "send() = 4 all the same",
    "poll() = POLLERR | POLLHUP: a reset (RST)",
    "TCP_INFO = TCP_CLOSE",
    "SO_ERROR = EPIPE",
    "recv() = 0, as before",
    "send() = EPIPE",
];

fn took_each_step(client: &Outcome) {
    let mut rest = client.stderr.as_str();
    for step in STEPS {
        let Some(start) = rest.find(step) else {
            panic!("no {step:?} in its place:\n{}", client.stderr);
        };
        rest = &rest[start + step.len()..];
    }
    assert_eq!(client.stdout, b"one\n");
    let line = contract::failed_clearly(client).unwrap();
    assert!(line.contains("send to the server: EPIPE"), "{line}");
    assert!(
        line.contains("2 handed over, 1 answered")
            || line.contains("2 messages handed over, 1 answered"),
        "{line}"
    );
    assert!(line.contains("--strategy iterative"), "{line}");
}

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
    took_each_step(&client.wait(deadline()).unwrap());
    assert!(server.wait(deadline()).unwrap().status.success());
}

/// Whether the end of the stream is there before the second message goes is a race, which
/// a server of ours might lose: this one's end comes with its answer.
#[test]
fn messages_take_turns_so_that_each_step_is_seen_without_a_pause_between_them() {
    let subject = subject("tcp");
    for arguments in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let at = ["--connect", &address];
        let client = match arguments {
            true => client(
                &subject,
                &[&at[..], &["one", "two", "three"]].concat(),
                Input::Nothing,
            ),
            false => {
                client(&subject, &at, Input::Bytes(b"one\ntwo\nthree\n".into()))
            }
        };
        let (mut socket, _) = listener.accept().unwrap();
        rustix::net::sockopt::set_tcp_cork(&socket, true).unwrap();
        let mut message = [0; 4];
        socket.read_exact(&mut message).unwrap();
        socket.write_all(&message).unwrap();
        drop(socket);
        took_each_step(&client.wait(deadline()).unwrap());
    }
}

#[test]
fn without_the_commentary_a_cut_conversation_is_one_line() {
    let subject = subject("tcp");
    let (server, _) = server(&subject, &["--strategy", "once", "--count", "1"]);
    let client = client(&subject, &["-q", "one", "two", "three"], Input::Nothing);
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stderr.lines().count(), 1, "{}", client.stderr);
    assert_eq!(client.stdout, b"one\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

/// The second variant: a server that closes with something unread sends no end of the
/// stream, but a reset.
#[test]
fn a_server_that_closes_before_it_has_read_all_is_econnreset() {
    let subject = subject("tcp");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = ["--connect", &address, "one", "two"];
    let client = client(&subject, &words, Input::Nothing);
    let (mut socket, _) = listener.accept().unwrap();
    socket.read_exact(&mut [0; 2]).unwrap();
    drop(socket);
    let client = client.wait(deadline()).unwrap();
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("receive from the server: ECONNRESET"), "{line}");
    assert!(line.contains("of 2 messages, 1 handed over, 0 answered"), "{line}");
    assert!(client.stderr.contains("recv() = ECONNRESET: the server has closed"));
}

#[test]
fn bytes_to_a_once_server_end_in_an_error_with_a_way_out() {
    let subject = subject("tcp");
    let options = ["--strategy", "once", "--count", "1", "--bytes"];
    let (server, _) = server(&subject, &options);
    let client = client(&subject, &["--bytes"], Input::Bytes(vec![b'x'; 8 << 20]));
    let client = client.wait(deadline()).unwrap();
    let line = contract::failed_clearly(&client).unwrap();
    // Whether something lay unread when it closed is up to the two processors.
    assert!(line.contains("ECONNRESET") || line.contains("EPIPE"), "{line}");
    assert!(line.contains("--strategy iterative"), "{line}");
    assert!(!client.stdout.is_empty(), "the answer came before the reset");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn a_server_that_answers_only_at_the_end_is_not_waited_for() {
    let subject = subject("tcp");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = ["--connect", &address, "c", "b", "a"];
    let client = client(&subject, &words, Input::Nothing);
    let (mut socket, _) = listener.accept().unwrap();
    let mut all = String::new();
    socket.read_to_string(&mut all).unwrap();
    assert_eq!(all, "c\nb\na\n");
    socket.write_all(b"a\nb\nc\n").unwrap();
    drop(socket);
    let client = client.wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert_eq!(client.stdout, b"a\nb\nc\n");
    assert_eq!(client.stderr.matches("no answer for 0.2 s").count(), 1);
}

/// It has closed one direction, and reads on: no reset comes.
#[test]
fn a_server_that_only_stops_sending_is_sent_the_rest() {
    let subject = subject("tcp");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = ["--connect", &address, "one", "two", "three"];
    let client = client(&subject, &words, Input::Nothing);
    let (mut socket, _) = listener.accept().unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut all = String::new();
    socket.read_to_string(&mut all).unwrap();
    assert_eq!(all, "one\ntwo\nthree\n");
    let client = client.wait(deadline()).unwrap();
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("3 handed over, 0 answered"), "{line}");
    assert!(!client.stderr.contains("RST"), "{}", client.stderr);
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
    let server = RoleProcess::start("server", shell, Input::Nothing).unwrap();
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
    let line =
        failure(RoleProcess::start("server", server, Input::Nothing).unwrap());
    assert!(line.contains(&format!("bind {address}: EADDRINUSE")), "{line}");
    assert!(line.contains(&format!("pid {} ", std::process::id())), "{line}");
    assert!(line.contains("--listen 127.0.0.1:0 takes any free port"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_server_that_is_refused_leaves_the_first_ones_address() {
    let subject = subject("tcp");
    let (first, address) = server(&subject, &["--count", "1"]);
    let second = ipclab(&subject, &["tcp", "server", "--at", &address]);
    let line =
        failure(RoleProcess::start("server", second, Input::Nothing).unwrap());
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
    let server =
        RoleProcess::start("server", ipclab(&subject, &words), Input::Nothing);
    let client = self::client(&subject, &["--at", &address, "two"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"two\n");
    assert!(server.unwrap().wait(deadline()).unwrap().status.success());
}

#[test]
fn both_roles_of_ipv6_meet() {
    let subject = subject("tcp");
    if !offers("tcp", "tcp-v6") {
        return;
    }
    let words = ["tcp", "server", "--listen", "[::1]:0", "--count", "1"];
    let server =
        RoleProcess::start("server", ipclab(&subject, &words), Input::Nothing);
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
    let server =
        RoleProcess::start("server", ipclab(&subject, &words), Input::Nothing);
    let command = format!("ipclab tcp client --connect {address} hello\n");
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
    let line =
        failure(RoleProcess::start("server", server, Input::Nothing).unwrap());
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
    // -t: how long it lets cat answer after the half-close; half a second may be too short.
    let listen = "TCP-LISTEN:0,bind=127.0.0.1";
    socat.args(["-d", "-d", "-t", "60", listen, "EXEC:cat"]);
    let socat = RoleProcess::start("socat", socat, Input::Nothing).unwrap();
    socat.wait_for_comment("listening on AF=2 127.0.0.1:", deadline()).unwrap();
    let address = listening_address(&socat);
    let client =
        client(&subject, &["--connect", &address, "a", "b"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"a\nb\n");
    socat.wait(deadline()).unwrap();
}

/// Where the command listens: its socket is its own, and the kernel lists its port.
fn listening_address(role: &RoleProcess) -> String {
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
    let server = RoleProcess::start("python", python, Input::Nothing).unwrap();
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

/// The children of a process, and the state of each (proc_pid_stat(5)).
fn children(parent: Pid) -> Vec<(Pid, char)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat"));
        // After the name: the state, then the parent.
        let Some(rest) = stat.as_deref().ok().and_then(|s| s.rsplit_once(") "))
        else {
            continue;
        };
        let mut fields = rest.1.split(' ');
        let state = fields.next().and_then(|word| word.chars().next()).unwrap();
        if fields.next() == Some(&parent.to_string()) {
            let pid = entry.file_name().into_string().unwrap().parse().unwrap();
            found.push((Pid::from_raw(pid), state));
        }
    }
    found
}

/// Whether nobody listens. (Where somebody does, and his backlog is full, connect(2) waits.)
fn is_refused(address: &str) -> bool {
    let address = address.parse().unwrap();
    let refused = std::io::ErrorKind::ConnectionRefused;
    TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .is_err_and(|error| error.kind() == refused)
}

/// Sends a line, and reads its answer.
fn exchange(mut socket: &TcpStream, line: &str) {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut back = vec![0; line.len() + 1];
    socket.read_exact(&mut back).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(back, format!("{line}\n").as_bytes());
}

/// Reads the end of what the server has to say, orderly or not.
fn ends(mut socket: &TcpStream) {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let end = socket.read(&mut [0]);
    let reset = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(matches!(end, Ok(0)) || end.as_ref().is_err_and(reset), "{end:?}");
}

#[test]
fn fifty_clients_are_served_at_once_and_one_that_never_sends_stops_nobody() {
    for options in AT_ONCE {
        let subject = subject("tcp");
        let (server, address) =
            server(&subject, &[&["--count", "51"], options].concat());
        let silent = TcpStream::connect(&address).unwrap();
        let clients: Vec<_> =
            (0..50).map(|_| TcpStream::connect(&address).unwrap()).collect();
        // The last one first: nobody waits for those before it.
        for round in 0..3 {
            for (number, client) in clients.iter().enumerate().rev() {
                exchange(client, &format!("round {round} of {number}"));
            }
        }
        drop((silent, clients));
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{options:?}: {}", server.stderr);
        assert_eq!(server.stdout.iter().filter(|byte| **byte == b'\n').count(), 150);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn the_server_ends_when_the_last_of_the_counted_has_gone_and_lets_in_nobody_more() {
    for options in AT_ONCE {
        let subject = subject("tcp");
        let (mut server, address) =
            server(&subject, &[&["--count", "2"], options].concat());
        let first = TcpStream::connect(&address).unwrap();
        let second = TcpStream::connect(&address).unwrap();
        exchange(&second, "second");
        drop(second);
        until("the third is refused", || is_refused(&address));
        exchange(&first, "first");
        assert!(!server.has_ended(), "{options:?}");
        drop(first);
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{options:?}: {}", server.stderr);
        assert_eq!(server.stdout, b"second\nfirst\n");
        subject.nothing_is_left().unwrap();
    }
}

/// Longer than PIPE_BUF and than a pipe holds: each takes several writes, or parts of one.
#[test]
fn long_messages_of_many_clients_are_printed_whole() {
    for options in [AT_ONCE[0], AT_ONCE[1]] {
        let subject = subject("tcp");
        let count = ["--count", "4", "--reply", "none"];
        let (server, address) = server(&subject, &[&count[..], options].concat());
        let clients: Vec<_> = ('a'..='d')
            .map(|letter| {
                let mut socket = TcpStream::connect(&address).unwrap();
                let line = format!("{}\n", letter.to_string().repeat(150_000));
                std::thread::spawn(move || {
                    (0..20).for_each(|_| socket.write_all(line.as_bytes()).unwrap());
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let printed = server.wait(deadline()).unwrap().stdout;
        let lines: Vec<_> = printed.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 80, "{options:?}");
        for line in lines {
            let letter = line[0];
            assert_eq!(line.len(), 150_001, "{options:?}");
            let same = line[..150_000].iter().all(|byte| *byte == letter);
            assert!(same, "{options:?}: messages are mixed");
        }
    }
}

#[test]
fn messages_of_all_clients_are_numbered_in_one_row() {
    for options in AT_ONCE {
        let subject = subject("tcp");
        let (server, address) =
            server(&subject, &[&["--json", "--count", "3"], options].concat());
        let clients = [(); 3].map(|()| TcpStream::connect(&address).unwrap());
        for round in ["one", "two"] {
            clients.iter().for_each(|client| exchange(client, round));
        }
        drop(clients);
        let printed = server.wait(deadline()).unwrap().stdout;
        let numbers: Vec<u64> = std::str::from_utf8(&printed)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|object| object["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{options:?}");
    }
}

/// Serves so many clients, which come and go, and one more that stays.
fn come_and_go(options: &[&str], count: usize) -> (Subject, RoleProcess, TcpStream) {
    let subject = subject("tcp");
    let all = [&["--strategy", "fork"], options].concat();
    let (server, address) = server(&subject, &all);
    let clients: Vec<_> =
        (0..count).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let stays = TcpStream::connect(&address).unwrap();
    clients.iter().chain([&stays]).for_each(|client| exchange(client, "hello"));
    assert_eq!(children(server.pid()).len(), count + 1);
    drop(clients);
    (subject, server, stays)
}

#[test]
fn no_zombie_stays_with_a_loop_of_waitpid_or_with_sigchld_ignored() {
    for reap in ["loop", "ignore"] {
        let (subject, server, stays) = come_and_go(&["--reap", reap], 20);
        until("all children that ended are gone", || {
            children(server.pid()).len() == 1
        });
        exchange(&stays, "still here");
        drop(stays);
        until("no child is left", || children(server.pid()).is_empty());
        server.stop(Signal::SIGINT, deadline()).unwrap();
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn without_waitpid_each_child_that_ended_is_a_zombie() {
    let (subject, server, stays) = come_and_go(&["--reap", "never"], 20);
    let zombies =
        || children(server.pid()).iter().filter(|(_, state)| *state == 'Z').count();
    until("all that ended are zombies", || zombies() == 20);
    server.wait_for_comment("says Z; zombies: 20", deadline()).unwrap();
    exchange(&stays, "still here");
    assert_eq!((children(server.pid()).len(), zombies()), (21, 20));
    server.stop(Signal::SIGINT, deadline()).unwrap();
    ends(&stays);
    subject.nothing_is_left().unwrap();
}

/// While the server is stopped, all its children end: one SIGCHLD waits for it, not five.
#[test]
fn one_sigchld_for_many_children_leaves_no_zombie() {
    let (_subject, server, stays) = come_and_go(&[], 5);
    until("only one stays", || children(server.pid()).len() == 1);
    let address = stays.peer_addr().unwrap();
    let clients = [(); 5].map(|()| TcpStream::connect(address).unwrap());
    clients.iter().for_each(|client| exchange(client, "hello"));
    server.signal(Signal::SIGSTOP).unwrap();
    drop(clients);
    let zombies = |(_, state): &&(Pid, char)| *state == 'Z';
    until("five zombies", || {
        children(server.pid()).iter().filter(zombies).count() == 5
    });
    server.signal(Signal::SIGCONT).unwrap();
    until("no zombie", || children(server.pid()).len() == 1);
    exchange(&stays, "still here");
}

/// Whoever starts the server may have SIGCHLD ignored, and that is inherited.
#[test]
fn a_server_started_with_sigchld_ignored_has_children_of_its_own_all_the_same() {
    for (reap, zombies) in [("loop", false), ("never", true)] {
        let subject = subject("tcp");
        let mut shell = Command::new("sh");
        let args =
            "tcp server --strategy fork --listen 127.0.0.1:0 --count 2 --reap";
        shell.args(["-c", &format!("trap '' CHLD; exec \"$0\" {args} {reap}")]);
        shell.arg(program()).env("IPCLAB_DIR", subject.dir());
        let server = RoleProcess::start("server", shell, Input::Nothing).unwrap();
        server.wait_for_comment("start the other", deadline()).unwrap();
        let address =
            std::fs::read_to_string(subject.dir().join("tcp.addr")).unwrap();
        let first = TcpStream::connect(address.trim_end()).unwrap();
        exchange(&first, "first");
        drop(first);
        let said = if zombies { "says Z" } else { "waitpid(-1, WNOHANG) = " };
        server.wait_for_comment(said, deadline()).unwrap();
        drop(TcpStream::connect(address.trim_end()).unwrap());
        assert!(server.wait(deadline()).unwrap().status.success());
    }
}

#[test]
fn a_killed_child_costs_only_its_client() {
    for reap in ["loop", "ignore", "never"] {
        let subject = subject("tcp");
        let options = ["--strategy", "fork", "--reap", reap, "--count", "2"];
        let (server, address) = server(&subject, &options);
        let killed = TcpStream::connect(&address).unwrap();
        exchange(&killed, "first");
        let [(child, _)] = children(server.pid())[..] else { panic!("one child") };
        let other = TcpStream::connect(&address).unwrap();
        exchange(&other, "second");
        kill(child, Signal::SIGTERM).unwrap();
        ends(&killed);
        exchange(&other, "second again");
        // The name is the parent's: the child did not take it along.
        assert!(subject.dir().join("tcp.addr").exists());
        drop(other);
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{}", server.stderr);
        if reap == "loop" {
            let said = "signal 15 has ended client 1's child, and no other";
            assert!(server.stderr.contains(said), "{}", server.stderr);
        }
        subject.nothing_is_left().unwrap();
    }
}

/// However the server ends, its children end with it.
#[test]
fn a_server_that_is_stopped_takes_its_children_along() {
    use Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGKILL] {
        for options in AT_ONCE {
            let subject = subject("tcp");
            let (server, address) = server(&subject, options);
            let clients = [(); 3].map(|()| TcpStream::connect(&address).unwrap());
            clients.iter().for_each(|client| exchange(client, "hello"));
            let children = children(server.pid());
            server.signal(signal).unwrap();
            clients.iter().for_each(ends);
            for (child, _) in children {
                until("the child has ended", || {
                    let stat =
                        std::fs::read_to_string(format!("/proc/{child}/stat"));
                    stat.map_or(true, |stat| stat.contains(") Z "))
                });
            }
            let server = server.wait(deadline()).unwrap();
            assert_eq!(server.status.signal(), Some(signal as i32), "{options:?}");
            assert!(is_refused(&address), "somebody still listens");
            if signal != SIGKILL {
                subject.nothing_is_left().unwrap();
            }
        }
    }
}

#[test]
fn a_server_whose_output_nobody_reads_ends_quietly() {
    for options in AT_ONCE.iter().chain(&[&["--strategy", "once"][..], &[]]) {
        let subject = subject("tcp");
        let (reading, writing) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let words = [&["-q", "tcp", "server", "--listen", "127.0.0.1:0"], *options];
        let command = ipclab(&subject, &words.concat());
        let output = Output::To(writing);
        let server =
            RoleProcess::start_with("server", command, Input::Nothing, output, None);
        let note = subject.dir().join("tcp.addr");
        until("it listens", || note.exists());
        let address = std::fs::read_to_string(note).unwrap();
        drop(reading);
        let mut server = server.unwrap();
        // Again and again: between fork and exec another test's child may have the end.
        until("it has ended", || {
            let client = TcpStream::connect(address.trim_end());
            let _ = client.and_then(|mut client| client.write_all(b"hello\n"));
            server.has_ended()
        });
        let server = server.wait(deadline()).unwrap();
        assert!(server.status.success(), "{options:?}: {}", server.stderr);
        assert_eq!(server.stderr, "", "{options:?}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_server_that_cannot_print_ends_with_the_reason_said_once() {
    for options in AT_ONCE.iter().chain(&[&["--strategy", "once"][..], &[]]) {
        let subject = subject("tcp");
        let full =
            std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let words = [&["tcp", "server", "--listen", "127.0.0.1:0"], *options];
        let command = ipclab(&subject, &words.concat());
        let output = Output::To(full.into());
        let server =
            RoleProcess::start_with("server", command, Input::Nothing, output, None);
        let server = server.unwrap();
        server.wait_for_comment("start the other", deadline()).unwrap();
        let client = client(&subject, &["hello"], Input::Nothing);
        failure(client);
        let server = server.wait(deadline()).unwrap();
        assert_eq!(server.status.code(), Some(1), "{options:?}: {}", server.stderr);
        let said = server.stderr.lines().filter(|line| line.starts_with("ipclab: "));
        assert_eq!(said.count(), 1, "{options:?}: {}", server.stderr);
        assert!(server.stderr.contains("ENOSPC"), "{options:?}: {}", server.stderr);
        assert!(!server.stderr.contains("--at or IPCLAB_DIR"), "{}", server.stderr);
        subject.nothing_is_left().unwrap();
    }
}

fn does_not_spin(server: &RoleProcess) {
    let (used, began) = (processor_time(server), Instant::now());
    // Not to be in time: what is measured is how much it does meanwhile.
    std::thread::sleep(Duration::from_millis(500));
    let used = processor_time(server) - used;
    assert!(used < began.elapsed() / 5, "{used:?} of {:?}", began.elapsed());
}

#[test]
fn without_a_descriptor_left_the_next_client_waits_and_the_others_are_served() {
    for options in &AT_ONCE[..3] {
        let subject = subject("tcp");
        let (server, address) = server(&subject, options);
        let mut served = vec![TcpStream::connect(&address).unwrap()];
        exchange(&served[0], "hello");
        let fd = |n: &u64| {
            std::path::PathBuf::from(format!("/proc/{}/fd/{n}", server.pid()))
        };
        let free = || (0..).find(|n| fd(n).symlink_metadata().is_err());
        if options[1] == "fork" {
            // The parent's copy of the connection is closed now, or in a moment.
            let sockets = || {
                (0..64)
                    .filter_map(|n| std::fs::read_link(fd(&n)).ok())
                    .filter(|to| to.to_string_lossy().starts_with("socket:"))
                    .count()
            };
            until("only the listening socket is left", || sockets() == 1);
        }
        if options[1] == "threads" {
            let call = format!("/proc/{}/syscall", server.pid());
            let accept = format!("{} ", libc::SYS_accept4);
            until("the server sleeps in accept4", || {
                std::fs::read_to_string(&call).unwrap().starts_with(&accept)
            });
        }
        let pid = rustix::process::Pid::from_raw(server.pid().as_raw());
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let lowered = Rlimit { current: free(), maximum };
        let old = prlimit(pid, Resource::Nofile, lowered).unwrap();
        if options[1] == "threads" {
            // The accept(2) that sleeps already has taken its descriptor in advance.
            let lucky = TcpStream::connect(&address).unwrap();
            exchange(&lucky, "hello");
            served.push(lucky);
        }
        let waits = TcpStream::connect(&address).unwrap();
        server.wait_for_comment("accept: EMFILE", deadline()).unwrap();
        does_not_spin(&server);
        served.iter().for_each(|client| exchange(client, "still served"));
        prlimit(pid, Resource::Nofile, old).unwrap();
        exchange(&waits, "now me");
        drop((served, waits));
        let server = server.stop(Signal::SIGINT, deadline()).unwrap();
        assert_eq!(server.stderr.matches("EMFILE").count(), 1, "{}", server.stderr);
        assert!(server.stderr.contains("ulimit -n"), "{}", server.stderr);
    }
}

/// prlimit(1) as the user whose server it is: root may not have CAP_SYS_RESOURCE.
fn limit_processes(server: &RoleProcess, most: Option<u64>) {
    use std::os::unix::process::CommandExt;
    let to = most.map_or("unlimited".to_owned(), |most| most.to_string());
    let mut command = Command::new("prlimit");
    command.args(["--pid", &server.pid().to_string(), &format!("--nproc={to}:")]);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
}

/// A limit of one process is reached by the server alone, whatever else its user runs.
#[test]
fn without_a_process_left_the_next_client_waits_and_the_others_are_served() {
    if !have("prlimit") {
        return;
    }
    for (options, call) in [
        (AT_ONCE[0], "clone a thread: EAGAIN"),
        (AT_ONCE[1], "fork: EAGAIN"),
        (AT_ONCE[2], "fork: EAGAIN"),
    ] {
        let subject = subject("tcp");
        let server = receiver_as_nobody(
            &subject,
            &[&["--listen", "127.0.0.1:0"], options].concat(),
        );
        server.wait_for_comment("start the other", deadline()).unwrap();
        let address =
            std::fs::read_to_string(subject.dir().join("tcp.addr")).unwrap();
        let served = TcpStream::connect(address.trim_end()).unwrap();
        exchange(&served, "hello");
        limit_processes(&server, Some(1));
        let waits = TcpStream::connect(address.trim_end()).unwrap();
        server.wait_for_comment(call, deadline()).unwrap();
        server.wait_for_comment("ulimit -u", deadline()).unwrap();
        does_not_spin(&server);
        exchange(&served, "still served");
        if options == AT_ONCE[1] {
            drop(served);
            until("no zombie waits for the limit", || {
                children(server.pid()).is_empty()
            });
        }
        limit_processes(
            &server,
            rustix::process::getrlimit(Resource::Nproc).maximum,
        );
        exchange(&waits, "now me");
        let server = server.stop(Signal::SIGINT, deadline()).unwrap();
        assert_eq!(server.stderr.matches("EAGAIN").count(), 1, "{}", server.stderr);
    }
}

#[test]
fn reap_goes_with_fork_alone() {
    let subject = subject("tcp");
    for strategy in [&[][..], &["--strategy", "once"], &["--strategy", "threads"]] {
        let words = [&["tcp", "server", "--reap", "loop"], strategy].concat();
        let line = usage(&subject, &words);
        assert!(line.contains("--reap goes with --strategy fork alone"), "{line}");
    }
    let words = ["tcp", "server", "--strategy", "fork", "--reap", "lop"];
    assert!(usage(&subject, &words).contains("did you mean 'loop'"));
    subject.nothing_is_left().unwrap();
}
