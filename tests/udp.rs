//! The UDP chapter: the contract, then what is special to it.

mod support;

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::*;

keeps_the_contract!(
    udp(),
    except {
        a_taken_name_is_refused: "a TCP port in use is no UDP port"
            => a_taken_port_is_refused_and_its_holder_named,
    }
);

/// The chapter; what a datagram carries is the longest line.
fn udp() -> Subject {
    let mut subject = subject("udp");
    subject.longest = 65_490;
    subject
}

/// A server at a free port, and its address.
fn server(subject: &Subject, args: &[&str]) -> (RoleProcess, String) {
    let listen = ["udp", "server", "--listen", "127.0.0.1:0"];
    let command = ipclab(subject, &[&listen, args].concat());
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let address = std::fs::read_to_string(subject.dir().join("udp.addr")).unwrap();
    (server, address.trim_end().to_owned())
}

fn client(subject: &Subject, args: &[&str], input: Input) -> RoleProcess {
    let command = ipclab(subject, &[&["udp", "client"], args].concat());
    RoleProcess::start("client", command, input).unwrap()
}

/// A relay, and its address.
fn relay(subject: &Subject, args: &[&str]) -> (RoleProcess, String) {
    let address = own_address();
    let listen = ["udp", "relay", "--listen", &address];
    let command = ipclab(subject, &[&listen, args].concat());
    let relay = RoleProcess::start("relay", command, Input::Nothing).unwrap();
    relay.wait_for_comment("poll() sleeps", deadline()).unwrap();
    (relay, address)
}

/// An address that no other test, and no other program, comes to.
fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(82);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}:7777", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A socket of the test's own, which waits as long as a test may last.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// The same, connected.
fn socket_to(address: &str) -> UdpSocket {
    let socket = socket();
    socket.connect(address).unwrap();
    socket
}

/// Sends a datagram, and returns what comes back.
fn ask(socket: &UdpSocket, datagram: &str) -> String {
    socket.send(datagram.as_bytes()).unwrap();
    next(socket)
}

fn next(socket: &UdpSocket) -> String {
    let mut room = [0; 1000];
    let n = socket.recv(&mut room).unwrap();
    String::from_utf8_lossy(&room[..n]).into_owned()
}

#[test]
fn what_the_relay_loses_doubles_delays_and_cuts_arrives_once() {
    let subject = udp();
    let (server, _) = server(&subject, &["--count", "1"]);
    let odds = ["--lose", "15", "--double", "15", "--hold", "15", "--cut", "15"];
    let (relay, address) = relay(&subject, &[&["--seed", "3"], &odds[..]].concat());
    let text: String =
        (1..=20).map(|number| format!("message {number}\n")).collect();
    let input = Input::Bytes(text.clone().into_bytes());
    let args = ["--connect", &address, "--tries", "20"];
    let client = client(&subject, &args, input).wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert_eq!(String::from_utf8_lossy(&client.stdout), text);
    let relay = relay.stop(Signal::SIGINT, deadline()).unwrap();
    for fate in ["is lost", "is doubled", "is held back", "is cut in half"] {
        for way in ["client 1 to server: ", "server to client 1: "] {
            let mut lines = relay.stderr.lines();
            let found = lines.any(|line| line.contains(way) && line.contains(fate));
            assert!(found, "{way}{fate}: {}", relay.stderr);
        }
    }
    // The relay may have lost the goodbye; the server has printed by then.
    let server = server.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(String::from_utf8_lossy(&server.stdout), text);
    assert!(server.stderr.contains("again: it has its answer again"));
    assert!(server.stderr.contains("dropped: "), "{}", server.stderr);
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_same_seed_does_the_same_to_the_same_datagrams() {
    let fates = |seed: &str| {
        let subject = udp();
        let sink = socket();
        let to = sink.local_addr().unwrap().to_string();
        let (relay, address) = relay(&subject, &["--seed", seed, "--to", &to]);
        let source = socket_to(&address);
        for number in 1..=50 {
            source.send(format!("message {number}").as_bytes()).unwrap();
        }
        relay.wait_for_comment("\"message 50\"", deadline()).unwrap();
        let relay = relay.stop(Signal::SIGINT, deadline()).unwrap();
        let lines = relay.stderr.lines().filter(|line| line.contains("to server"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = fates("7");
    assert!(first.len() >= 50, "{first:?}");
    assert_eq!(first, fates("7"));
    assert_ne!(first, fates("8"));
}

#[test]
fn a_message_that_comes_twice_is_printed_once_and_answered_twice() {
    let subject = udp();
    let (server, address) = server(&subject, &["--count", "1", "--reply", "upper"]);
    let client = socket_to(&address);
    for _ in 0..2 {
        assert_eq!(ask(&client, "7 5 hello"), "7 5 HELLO");
    }
    assert_eq!(ask(&client, "8 0 "), "8 0 ");
    // What was overtaken is not printed any more, and has no answer.
    client.send(b"7 5 hello").unwrap();
    assert_eq!(ask(&client, "9 4 last"), "9 4 LAST");
    assert_eq!(ask(&client, ""), "");
    let server = server.wait(deadline()).unwrap();
    assert!(server.status.success(), "{}", server.stderr);
    assert_eq!(server.stdout, b"hello\n\nlast\n");
    assert!(server.stderr.contains("7 comes late: dropped"), "{}", server.stderr);
}

#[test]
fn a_datagram_that_was_cut_is_dropped() {
    let subject = udp();
    let (server, address) = server(&subject, &["--count", "1"]);
    let client = socket_to(&address);
    for wrong in ["1 5 hel", "1 5 hello!", "1 5", "hello", "1", "-1 0 ", "\0"] {
        client.send(wrong.as_bytes()).unwrap();
    }
    assert_eq!(ask(&client, "1 5 hello"), "1 5 hello");
    assert_eq!(ask(&client, ""), "");
    let server = server.wait(deadline()).unwrap();
    assert_eq!(server.stdout, b"hello\n");
    assert!(server.stderr.contains("its LENGTH is 5, and 3 bytes came"));
}

#[test]
fn a_stranger_cannot_end_anothers_conversation() {
    let subject = udp();
    let (server, address) = server(&subject, &["--count", "2"]);
    let (one, stranger) = (socket_to(&address), socket_to(&address));
    assert_eq!(ask(&one, "1 3 one"), "1 3 one");
    for _ in 0..3 {
        assert_eq!(
            ask(&stranger, ""),
            "",
            "it counts once, and is answered each time"
        );
    }
    assert_eq!(ask(&one, "2 3 two"), "2 3 two");
    assert_eq!(ask(&one, ""), "");
    let server = server.wait(deadline()).unwrap();
    assert!(server.status.success(), "{}", server.stderr);
    assert_eq!(server.stdout, b"one\ntwo\n");
}

#[test]
fn a_client_that_is_first_waits_for_a_server() {
    let subject = udp();
    let address = own_address();
    let client = client(&subject, &["--connect", &address, "hello"], Input::Nothing);
    client.wait_for_comment("no server is there yet", deadline()).unwrap();
    client.wait_for_comment("start the other: ", deadline()).unwrap();
    let listen = ["udp", "server", "--count", "1", "--listen", &address];
    let server = run(ipclab(&subject, &listen), Input::Nothing);
    assert_eq!(server.stdout, b"hello\n");
    let client = client.wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert_eq!(client.stdout, b"hello\n");
}

#[test]
fn a_goodbye_that_is_not_answered_is_left_at_that() {
    let subject = udp();
    let server = socket();
    let address = server.local_addr().unwrap().to_string();
    let args = ["--connect", &address, "--tries", "2", "hello"];
    let client = client(&subject, &args, Input::Nothing);
    let mut room = [0; 1000];
    let (n, from) = server.recv_from(&mut room).unwrap();
    server.send_to(&room[..n], from).unwrap();
    let client = client.wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert_eq!(client.stdout, b"hello\n");
    assert!(client.stderr.contains("no goodbye came back"), "{}", client.stderr);
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_the_score_is_told() {
    let subject = udp();
    let server = socket();
    let address = server.local_addr().unwrap().to_string();
    let args = ["--connect", &address, "--tries", "2", "one", "two"];
    let client = client(&subject, &args, Input::Nothing);
    let mut room = [0; 1000];
    let (n, from) = server.recv_from(&mut room).unwrap();
    let first = String::from_utf8_lossy(&room[..n]).into_owned();
    let (number, _) = first.split_once(' ').unwrap();
    // None of these is the answer: they are dropped, and the right one is taken.
    for wrong in ["", "x", "1 3 one", &format!("{number} 3 on")] {
        server.send_to(wrong.as_bytes(), from).unwrap();
    }
    server.send_to(&room[..n], from).unwrap();
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"one\n");
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("ETIMEDOUT"), "{line}");
    assert!(line.contains("of 2 messages, 2 handed over, 1 answered"), "{line}");
    assert!(line.contains("--reply none"), "{line}");
}

#[test]
fn a_server_that_has_ended_is_told_by_icmp() {
    let subject = udp();
    let (server, _) = server(&subject, &[]);
    let mut client = client(&subject, &[], Input::Open);
    client.feed(b"one\n").unwrap();
    client.wait_for_output(b"one\n", deadline()).unwrap();
    server.stop(Signal::SIGKILL, deadline()).unwrap();
    client.feed(b"two\n").unwrap();
    let line = contract::failed_clearly(&client.wait(deadline()).unwrap()).unwrap();
    assert!(line.contains("ECONNREFUSED"), "{line}");
    assert!(line.contains("2 messages handed over, 1 answered"), "{line}");
    assert!(line.contains("ICMP"), "{line}");
}

#[test]
fn messages_without_answers_are_sent_and_not_waited_for() {
    let subject = udp();
    let (server, _) = server(&subject, &["--count", "1", "--reply", "none"]);
    let client =
        client(&subject, &["--reply", "none", "one", "two"], Input::Nothing);
    let client = client.wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    assert!(client.stdout.is_empty());
    let server = server.wait(deadline()).unwrap();
    assert_eq!(server.stdout, b"one\ntwo\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_taken_port_is_refused_and_its_holder_named() {
    let subject = udp();
    let taken = socket();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["server", "relay"] {
        let args = ["udp", role, "--listen", &address];
        let outcome = run(ipclab(&subject, &args), Input::Nothing);
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("EADDRINUSE") && line.contains(&address), "{line}");
        let holder = format!("pid {} ", std::process::id());
        assert!(line.contains(&holder) && line.contains("is bound there"), "{line}");
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_port_of_tcp_is_free_for_udp() {
    let subject = udp();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let args = ["udp", "server", "--count", "1", "--listen", &address];
    let server = ipclab(&subject, &args);
    let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
    let client = client(&subject, &["--connect", &address, "hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn both_roles_of_ipv6_meet() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return skip("no ::1 on this machine");
    }
    let subject = udp();
    let args = ["udp", "server", "--count", "1", "--listen", "[::1]:0"];
    let server = ipclab(&subject, &args);
    let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let client = client(&subject, &["hello"], Input::Nothing);
    assert_eq!(client.wait(deadline()).unwrap().stdout, b"hello\n");
    assert!(server.wait(deadline()).unwrap().status.success());
}

#[test]
fn two_clients_through_a_relay_are_two_clients() {
    let subject = udp();
    let (server, _) = server(&subject, &["--count", "2"]);
    let odds = ["--lose", "0", "--double", "0", "--hold", "0", "--cut", "0"];
    let (relay, address) = relay(&subject, &odds);
    for message in ["one", "two"] {
        let args = ["--connect", &address, message];
        let client = client(&subject, &args, Input::Nothing).wait(deadline());
        assert_eq!(client.unwrap().stdout, format!("{message}\n").as_bytes());
    }
    let server = server.wait(deadline()).unwrap();
    assert_eq!(server.stdout, b"one\ntwo\n");
    assert!(server.stderr.contains("client 2 is at"), "{}", server.stderr);
    relay.stop(Signal::SIGTERM, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let subject = udp();
    for (args, part) in [
        (&["relay", "--lose", "60", "--cut", "60"][..], "over 100 together"),
        (&["server", "--framing", "length"], "an end of its own"),
        (&["client", "--framing", "length", "x"], "an end of its own"),
        (&["server", "--listen", "nowhere"], "is no address"),
        (&["client", "--connect", "127.0.0.1", "x"], "is no address"),
        (&["relay", "--to", "7777"], "is no address"),
    ] {
        let command = ipclab(&subject, &[&["udp"], args].concat());
        let outcome = run(command, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(part), "{args:?}: {}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_message_of_65_491_bytes_is_refused_with_the_reason() {
    let subject = udp();
    let long = "x".repeat(65_491);
    let client =
        client(&subject, &[&long], Input::Nothing).wait(deadline()).unwrap();
    let line = contract::failed_clearly(&client).unwrap();
    assert!(line.contains("65,490") && line.contains("65,507"), "{line}");
}

/// recv(2) returns 0 for an empty datagram as for the end of a stream.
#[test]
fn the_trace_tells_an_empty_datagram_from_an_end() {
    let subject = udp();
    let traced = run(ipclab(&subject, &["trace", "udp"]), Input::Nothing);
    let text = String::from_utf8(traced.stdout).unwrap();
    assert!(traced.status.success(), "{}", traced.stderr);
    assert!(text.contains("empty datagram"), "{text}");
    assert!(!text.contains("end of file"), "{text}");
    for call in ["bind", "connect", "sendto", "recvfrom", "SOCK_DGRAM"] {
        assert!(text.contains(call), "{call}: {text}");
    }
}
