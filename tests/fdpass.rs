//! The fdpass chapter: the contract, then what is special to it.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::*;

#[path = "fdpass/multiprocessing.rs"]
mod multiprocessing;

/// The client, and both other roles in one program. What a client's death, or the
/// server's, looks like is the same with a worker apart.
fn forked() -> Subject {
    let mut subject = subject("fdpass");
    let words = ["fdpass", "fork", "--listen", "127.0.0.1:0", "--count", "1"];
    subject.receiver.truncate(1);
    subject.receiver.extend(words.map(Into::into));
    subject
}

keeps_the_contract!(
    forked(),
    except {
        a_taken_name_is_refused: "a socketpair has no name; asked of the server and the worker alone",
        a_link_is_refused: "a socketpair has no name; asked of the server and the worker alone",
    }
);

mod the_server_alone {
    use super::*;

    // The clauses that need no peer. The others, with three roles, are below.
    keeps_the_clauses! {
        server_alone();
        a_timeout_is_status_124, a_taken_name_is_refused, a_link_is_refused,
        an_unsafe_directory_is_refused,
    }
}

fn server_alone() -> Subject {
    let mut subject = subject("fdpass");
    subject.receiver.extend(["--listen", "127.0.0.1:0"].map(Into::into));
    subject
}

mod the_worker_alone {
    use super::*;

    keeps_the_clauses! {
        worker_alone();
        a_timeout_is_status_124, a_taken_name_is_refused, a_link_is_refused,
        an_unsafe_directory_is_refused,
    }
}

fn worker_alone() -> Subject {
    let mut subject = subject("fdpass");
    subject.receiver.truncate(1);
    subject.receiver.extend(["fdpass", "worker"].map(Into::into));
    subject
}

/// Starts a role of the chapter.
fn role(subject: &Subject, role: &str, args: &[&str]) -> RoleProcess {
    let mut words = vec!["fdpass", role];
    if role == "server" {
        words.extend(["--listen", "127.0.0.1:0"]);
    }
    words.extend(args);
    RoleProcess::start(role, ipclab(subject, &words), Input::Nothing).unwrap()
}

/// A server that both workers and clients may come to.
fn server(subject: &Subject, args: &[&str]) -> RoleProcess {
    let server = role(subject, "server", args);
    server.wait_for_comment("epoll_wait() sleeps", deadline()).unwrap();
    server
}

/// A worker that the server knows.
fn worker(subject: &Subject, server: &RoleProcess, args: &[&str]) -> RoleProcess {
    let worker = role(subject, "worker", args);
    let come = format!("worker {} has come", worker.pid());
    server.wait_for_comment(&come, deadline()).unwrap();
    worker
}

/// A server and a worker that know each other.
fn server_and_worker(
    of_server: &[&str],
    of_worker: &[&str],
) -> (Subject, RoleProcess, RoleProcess) {
    let subject = subject("fdpass");
    let server = server(&subject, of_server);
    let worker = worker(&subject, &server, of_worker);
    (subject, server, worker)
}

/// Where the server's clients connect.
fn address(subject: &Subject) -> String {
    let note = subject.dir().join("fdpass.addr");
    std::fs::read_to_string(note).unwrap().trim_end().to_owned()
}

/// A connection of our own, once the server has taken it.
fn connect(subject: &Subject) -> TcpStream {
    let socket = TcpStream::connect(address(subject)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Sends a line, and wants it back.
fn echo(mut socket: &TcpStream, line: &str) {
    let line = format!("{line}\n");
    socket.write_all(line.as_bytes()).unwrap();
    let mut back = vec![0; line.len()];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(back, line.as_bytes());
}

fn ended_well(role: RoleProcess) -> Outcome {
    let name = role.name.clone();
    let outcome = role.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{name}: {}", outcome.stderr);
    outcome
}

/// The number after `text`, in the line that begins so after the role's name.
fn number_after(story: &str, text: &str) -> usize {
    let at = story.find(text).unwrap_or_else(|| panic!("no {text:?} in:\n{story}"));
    let digits = story[at + text.len()..].trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ',');
    digits[..end.unwrap_or(digits.len())].replace(',', "").parse().unwrap()
}

fn open_descriptors(role: &RoleProcess) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", role.pid())).unwrap().count()
}

#[test]
fn one_message_goes_through_three_processes_in_any_order_of_start() {
    for order in [
        ["server", "worker", "client"],
        ["server", "client", "worker"],
        ["worker", "server", "client"],
        ["worker", "client", "server"],
        ["client", "server", "worker"],
        ["client", "worker", "server"],
    ] {
        let subject = subject("fdpass");
        let start = |name: &str| {
            let args: &[&str] = match name {
                "server" => &["--count", "1"],
                "client" => &["hello"],
                _ => &[],
            };
            let role = role(&subject, name, args);
            let first =
                name == order[0] || (name != "server" && order[2] == "server");
            if first {
                role.wait_for_comment("start the other: ", deadline()).unwrap();
            }
            role
        };
        for role in order.map(start) {
            let name = role.name.clone();
            let outcome = ended_well(role);
            let printed: &[u8] = if name == "server" { b"" } else { b"hello\n" };
            assert_eq!(outcome.stdout, printed, "{name} of {order:?}");
        }
        subject.nothing_is_left().unwrap();
    }
}

/// Sends `sent` through one passed connection: the client gets it back, and the worker
/// prints it.
fn comes_back_from_a_worker(options: &[&str], sent: &[u8]) {
    let subject = subject("fdpass");
    let server = role(&subject, "server", &["-q", "--count", "1"]);
    let worker = role(&subject, "worker", options);
    let command = ipclab(&subject, &[&["fdpass", "client"], options].concat());
    let client = run(command, Input::Bytes(sent.to_vec()));
    assert!(client.stdout == sent, "the echo differs; {}", client.stderr);
    assert!(ended_well(worker).stdout == sent, "what the worker printed differs");
    ended_well(server);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_thousand_lines_go_through_one_passed_connection_in_order() {
    let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    comes_back_from_a_worker(&[], text.as_bytes());
}

#[test]
fn sixty_four_mebibytes_come_back_to_the_byte() {
    comes_back_from_a_worker(&["-q", "--bytes"], &contract::noise(64 << 20));
}

#[test]
fn lines_of_many_lengths_come_back_as_sent() {
    let text = contract::lines_of_many_lengths(0, 100_000);
    comes_back_from_a_worker(&["-q"], text.as_bytes());
}

#[test]
fn workers_take_turns() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "6"]);
    let workers = [(); 3].map(|()| worker(&subject, &server, &[]));
    for number in 0..6 {
        echo(&connect(&subject), &format!("client {number}"));
    }
    ended_well(server);
    for (index, worker) in workers.into_iter().enumerate() {
        let printed = String::from_utf8(ended_well(worker).stdout).unwrap();
        assert_eq!(printed, format!("client {index}\nclient {}\n", index + 3));
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_thousand_clients_are_served_though_a_worker_is_killed_in_the_middle() {
    let subject = subject("fdpass");
    // Without --count: it could have served all, and left, before it sees the death.
    let server = server(&subject, &[]);
    let [first, second, third] = [(); 3].map(|()| worker(&subject, &server, &[]));
    let (script, address) = ("fdpass_clients.py", address(&subject));
    let arguments = [&*address, "1000", "300"];
    let Some(python) = python(&subject, script, &arguments) else { return };
    let mut clients = RoleProcess::start("clients", python, Input::Open).unwrap();
    clients.wait_for_output(b"first\n", deadline()).unwrap();
    clients.close_stdin();
    clients.wait_for_output(b"333 of 1000\n", deadline()).unwrap();
    let killed = second.stop(Signal::SIGKILL, deadline()).unwrap();
    server.wait_for_comment("it had acknowledged", deadline()).unwrap();

    let clients = ended_well(clients);
    let report = String::from_utf8(clients.stdout).unwrap();
    let (echoed, ended) =
        (number_after(&report, "echoed"), number_after(&report, "ended"));
    assert_eq!(number_after(&report, "lost"), 0, "{report}");
    assert_eq!(echoed + ended, 1000);

    // Every client that had no echo was one that the dead worker had acknowledged: what
    // the others printed, and what it had acknowledged, are all there is.
    let server = server.stop(Signal::SIGINT, deadline()).unwrap();
    let acknowledged = number_after(&server.stderr, "it had acknowledged");
    let lines =
        |outcome: &Outcome| outcome.stdout.iter().filter(|b| **b == b'\n').count();
    let by_others = lines(&ended_well(first)) + lines(&ended_well(third));
    assert_eq!(by_others + acknowledged, 1000, "{}", server.stderr);
    assert!(echoed >= by_others && ended <= acknowledged, "{report}");
    assert!(lines(&killed) + ended >= acknowledged, "{report}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn what_a_stopped_worker_never_took_goes_to_the_others_when_it_is_killed() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "1000", "--ack-timeout", "60"]);
    let [first, second, third] = [(); 3].map(|()| worker(&subject, &server, &[]));
    let (script, address) = ("fdpass_clients.py", address(&subject));
    let arguments = [&*address, "1000", "300"];
    let Some(python) = python(&subject, script, &arguments) else { return };
    let mut clients = RoleProcess::start("clients", python, Input::Open).unwrap();
    clients.wait_for_output(b"first\n", deadline()).unwrap();

    second.signal(Signal::SIGSTOP).unwrap();
    clients.close_stdin();
    // All but the sixteen that are on their way to the worker that sleeps.
    clients.wait_for_output(b"984 of 1000\n", deadline()).unwrap();
    second.stop(Signal::SIGKILL, deadline()).unwrap();

    let report = String::from_utf8(ended_well(clients).stdout).unwrap();
    assert!(report.ends_with("echoed 1000 ended 0 lost 0\n"), "{report}");
    let server = ended_well(server);
    let story = &server.stderr;
    assert!(story.contains("ECONNRESET"), "{story}");
    assert!(number_after(story, "it had acknowledged") > 0, "{story}");
    assert!(story.contains("; 16 more go to others"), "{story}");
    ended_well(first);
    ended_well(third);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_thousand_clients_at_once_are_served_by_one_worker() {
    let (subject, server, worker) = server_and_worker(&["--count", "1000"], &[]);
    let (script, address) = ("fdpass_clients.py", address(&subject));
    let Some(python) = python(&subject, script, &[&address, "1000"]) else { return };
    let report = String::from_utf8(run(python, Input::Nothing).stdout).unwrap();
    assert!(report.ends_with("echoed 1000 ended 0 lost 0\n"), "{report}");
    ended_well(server);
    let printed = String::from_utf8(ended_well(worker).stdout).unwrap();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    let mut wanted: Vec<_> = (0..1000).map(|n| format!("client {n}")).collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted, "lines were mixed");
}

#[test]
fn a_connection_waits_for_the_first_worker() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "1"]);
    let client = role(&subject, "client", &["hello"]);
    server.wait_for_comment("held until a worker comes", deadline()).unwrap();
    let worker = role(&subject, "worker", &[]);
    assert_eq!(ended_well(client).stdout, b"hello\n");
    ended_well(worker);
    ended_well(server);
}

#[test]
fn what_is_held_has_a_limit_and_the_rest_waits_in_the_kernel() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--hold", "2", "--count", "5"]);
    let clients = [(); 5].map(|()| connect(&subject));
    server.wait_for_comment("accept() pauses", deadline()).unwrap();
    assert_eq!(sockets_of_clients(&server), 2);
    let worker = worker(&subject, &server, &[]);
    for (number, client) in clients.iter().enumerate() {
        echo(client, &format!("client {number}"));
    }
    drop(clients);
    ended_well(server);
    ended_well(worker);
}

/// How many connections from clients a server holds: the rest of its sockets are two.
fn sockets_of_clients(server: &RoleProcess) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|to| to.to_string_lossy().starts_with("socket:")).count() - 2
}

#[test]
fn a_worker_that_never_answers_is_cut_off_and_its_connection_goes_to_another() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "2", "--ack-timeout", "0.3"]);
    let Some(silent) = stranger(&subject, &server, "silent") else { return };
    let client = connect(&subject);
    silent.wait_for_output(b"taken\n", deadline()).unwrap();
    server.wait_for_comment("no OK within 0.3 s", deadline()).unwrap();
    server
        .wait_for_comment("it had acknowledged 0 connections; 1 more", deadline())
        .unwrap();
    // Cut off before the connection goes to another: its OK can no longer be sent.
    let silent = ended_well(silent);
    assert_eq!(silent.stdout, b"ready\ntaken\nend of stream b''\nEPIPE\n");
    let worker = worker(&subject, &server, &[]);
    echo(&client, "hello");
    echo(&connect(&subject), "again");
    drop(client);
    assert_eq!(ended_well(worker).stdout, b"hello\nagain\n");
    ended_well(server);
}

#[test]
fn a_late_worker_is_shut_down_before_its_last_answers_are_read() {
    let subject = subject("fdpass");
    if !have("strace") {
        return;
    }
    let trace = subject.dir().join("trace");
    let mut command = std::process::Command::new("strace");
    command.args(["-e", "trace=shutdown,recvfrom", "-e", "signal=none", "-o"]);
    command.arg(&trace).arg(program()).args(["fdpass", "server", "--count", "1"]);
    command.args(["--listen", "127.0.0.1:0", "--ack-timeout", "0.3"]);
    command.env("IPCLAB_DIR", subject.dir());
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("epoll_wait() sleeps", deadline()).unwrap();
    let Some(silent) = stranger(&subject, &server, "silent") else { return };
    let client = connect(&subject);
    server
        .wait_for_comment("it had acknowledged 0 connections; 1", deadline())
        .unwrap();
    ended_well(silent);
    let worker = worker(&subject, &server, &[]);
    echo(&client, "hello");
    drop(client);
    ended_well(worker);
    ended_well(server);
    let trace = std::fs::read_to_string(trace).unwrap();
    let calls: Vec<_> = trace.lines().collect();
    // It may have answered long ago, while we slept.
    assert!(calls[0].contains("EAGAIN"), "{trace}");
    assert!(
        calls[1].starts_with("shutdown(") && calls[1].contains("SHUT_RDWR"),
        "{trace}"
    );
    assert!(
        calls[2].starts_with("recvfrom(") && calls[2].ends_with("= 0"),
        "{trace}"
    );
}

#[test]
fn a_server_that_slept_itself_reads_the_answers_before_it_calls_a_worker_late() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "2", "--ack-timeout", "3"]);
    let mut worker = UnixStream::connect(subject.dir().join("fdpass")).unwrap();
    server.wait_for_comment("has come", deadline()).unwrap();
    let taken = |worker: &UnixStream| {
        until("a connection is passed", || {
            rustix::io::ioctl_fionread(worker).unwrap() > 0
        });
    };
    let _client = connect(&subject);
    taken(&worker);
    server.signal(Signal::SIGSTOP).unwrap();
    worker.read_exact(&mut [0]).unwrap();
    worker.write_all(b"OK").unwrap();
    // Longer than the deadline: that is what is tested.
    std::thread::sleep(Duration::from_millis(3200));
    server.signal(Signal::SIGCONT).unwrap();
    let _second = connect(&subject);
    taken(&worker);
    worker.write_all(b"OK").unwrap();
    let story = ended_well(server).stderr;
    assert!(!story.contains("no OK within"), "{story}");
}

#[test]
fn a_stopped_worker_of_ours_drops_what_it_can_no_longer_acknowledge() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "1", "--ack-timeout", "0.3"]);
    let late = worker(&subject, &server, &[]);
    late.signal(Signal::SIGSTOP).unwrap();
    let client = connect(&subject);
    server.wait_for_comment("no OK within", deadline()).unwrap();
    let punctual = worker(&subject, &server, &[]);
    late.signal(Signal::SIGCONT).unwrap();
    let late = ended_well(late);
    assert!(
        late.stderr.contains("EPIPE") && late.stdout.is_empty(),
        "{}",
        late.stderr
    );
    echo(&client, "hello");
    drop(client);
    assert_eq!(ended_well(punctual).stdout, b"hello\n");
    ended_well(server);
}

#[test]
fn a_worker_that_answers_garbage_or_dies_is_cut_off() {
    for (how, said) in [
        ("garbage", "it answered \"N\" where OK belongs"),
        ("dies", "recv() = 0: it has closed its end"),
    ] {
        let subject = subject("fdpass");
        let server = server(&subject, &["--count", "1"]);
        let Some(bad) = stranger(&subject, &server, how) else { return };
        let client = connect(&subject);
        server.wait_for_comment(said, deadline()).unwrap();
        let worker = worker(&subject, &server, &[]);
        echo(&client, "hello");
        drop(client);
        assert_eq!(ended_well(worker).stdout, b"hello\n");
        ended_well(server);
        ended_well(bad);
    }
}

#[test]
fn answers_nobody_asked_for_are_garbage() {
    let subject = subject("fdpass");
    let server = server(&subject, &[]);
    let mut early = UnixStream::connect(subject.dir().join("fdpass")).unwrap();
    early.write_all(b"OK").unwrap();
    server.wait_for_comment("where OK belongs", deadline()).unwrap();
    assert_eq!(early.read(&mut [0]).unwrap(), 0);
    server.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

/// A worker in Python, once the server knows it.
fn stranger(
    subject: &Subject,
    server: &RoleProcess,
    how: &str,
) -> Option<RoleProcess> {
    let command = python(subject, "fdpass_worker.py", &["fdpass", how])?;
    let stranger = RoleProcess::start(how, command, Input::Nothing).unwrap();
    let come = format!("worker {} has come", stranger.pid());
    server.wait_for_comment(&come, deadline()).unwrap();
    Some(stranger)
}

#[test]
fn python_takes_descriptors_from_our_server() {
    for how in ["serve", "halves"] {
        let subject = subject("fdpass");
        let server = server(&subject, &["--count", "2"]);
        let Some(python) = stranger(&subject, &server, how) else { return };
        for message in ["hello", "python"] {
            let client = run(
                ipclab(&subject, &["fdpass", "client", message]),
                Input::Nothing,
            );
            assert_eq!(client.stdout, format!("{message}\n").as_bytes());
        }
        ended_well(server);
        ended_well(python);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn python_sends_descriptors_to_our_worker() {
    let subject = subject("fdpass");
    let args = ["fdpass", "2"];
    let Some(command) = python(&subject, "fdpass_server.py", &args) else { return };
    let worker = role(&subject, "worker", &[]);
    worker.wait_for_comment("start the other: ", deadline()).unwrap();
    let server = RoleProcess::start("python", command, Input::Nothing).unwrap();
    worker.wait_for_comment("the server is pid", deadline()).unwrap();
    for message in ["hello", "python"] {
        // It publishes its address as ours does.
        let words = ["fdpass", "client", message];
        let client = run(ipclab(&subject, &words), Input::Nothing);
        assert_eq!(client.stdout, format!("{message}\n").as_bytes());
    }
    assert!(ended_well(server).stdout == b"OK\nOK\n");
    assert_eq!(ended_well(worker).stdout, b"hello\npython\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_worker_finishes_what_it_holds_after_the_server_has_left() {
    let (subject, server, worker) = server_and_worker(&[], &[]);
    let client = connect(&subject);
    echo(&client, "before");
    server.stop(Signal::SIGKILL, deadline()).unwrap();
    worker.wait_for_comment("the server has left", deadline()).unwrap();
    echo(&client, "after");
    drop(client);
    assert_eq!(ended_well(worker).stdout, b"before\nafter\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_worker_leaves_after_its_count() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "3"]);
    let brief = worker(&subject, &server, &["--count", "1"]);
    let first = connect(&subject);
    echo(&first, "first");
    server
        .wait_for_comment("it had acknowledged 1 connection, all", deadline())
        .unwrap();
    let second = connect(&subject);
    echo(&first, "still served");
    let other = worker(&subject, &server, &[]);
    echo(&second, "second");
    echo(&connect(&subject), "third");
    drop((first, second));
    assert_eq!(ended_well(brief).stdout, b"first\nstill served\n");
    assert_eq!(ended_well(other).stdout, b"second\nthird\n");
    ended_well(server);
}

#[test]
fn after_its_count_a_server_refuses_who_comes() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "1"]);
    let client = connect(&subject);
    server.wait_for_comment("connection 1 is held", deadline()).unwrap();
    let late = TcpStream::connect(address(&subject)).unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::ConnectionRefused);
    let worker = worker(&subject, &server, &[]);
    ended_well(server);
    echo(&client, "hello");
    drop(client);
    ended_well(worker);
}

#[test]
fn a_client_that_does_not_read_stops_nobody() {
    let (subject, server, worker) = server_and_worker(&["--count", "2"], &["-q"]);
    let mut deaf = connect(&subject);
    deaf.set_nonblocking(true).unwrap();
    let line = [b"x".repeat(65_535), b"\n".to_vec()].concat();
    // Until the worker has stopped reading, since nothing more goes back. What the two
    // sockets hold is bounded (tcp_rmem, tcp_wmem), and 100 ms of EAGAIN is a full pair.
    let mut last = Instant::now();
    until("the worker stops reading", || {
        if deaf.write(&line).is_ok() {
            last = Instant::now();
        }
        last.elapsed() >= Duration::from_millis(100)
    });
    echo(&connect(&subject), "not stopped");
    drop(deaf);
    let outcome = ended_well(worker);
    let printed = String::from_utf8(outcome.stdout).unwrap();
    assert!(
        printed.lines().any(|line| line == "not stopped"),
        "mixed within a line"
    );
    ended_well(server);
}

#[test]
fn a_client_that_is_gone_before_a_worker_comes_does_no_harm() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "2"]);
    drop(connect(&subject));
    let client = connect(&subject);
    server.wait_for_comment("connection 2", deadline()).unwrap();
    let worker = worker(&subject, &server, &[]);
    echo(&client, "hello");
    drop(client);
    ended_well(server);
    assert_eq!(ended_well(worker).stdout, b"hello\n");
}

#[test]
fn a_line_over_the_limit_ends_its_client_alone() {
    let (subject, server, worker) =
        server_and_worker(&["--count", "2"], &["--max-message", "100"]);
    let (mut long, short) = (connect(&subject), connect(&subject));
    long.write_all(&[b'x'; 101]).unwrap();
    worker.wait_for_comment("over --max-message 100", deadline()).unwrap();
    assert!(!matches!(long.read(&mut [0; 200]), Ok(1..)), "it was echoed");
    echo(&short, "short");
    drop(short);
    assert_eq!(ended_well(worker).stdout, b"short\n");
    ended_well(server);
}

#[test]
fn a_worker_prints_bytes_or_json_when_asked() {
    for (option, printed) in [
        ("--bytes", "two"),
        ("--json", "{\"length\":3,\"number\":1,\"text\":\"two\"}\n"),
    ] {
        let (subject, server, worker) =
            server_and_worker(&["--count", "1"], &[option]);
        let mut client = connect(&subject);
        client.write_all(b"two").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = String::new();
        client.read_to_string(&mut back).unwrap();
        assert_eq!(back, "two", "no newline is added to an echo");
        assert_eq!(ended_well(worker).stdout, printed.as_bytes());
        ended_well(server);
    }
}

#[test]
fn descriptors_do_not_leak() {
    let (subject, server, worker) = server_and_worker(&["--count", "201"], &[]);
    worker.wait_for_comment("the server is pid", deadline()).unwrap();
    let before = (open_descriptors(&server), open_descriptors(&worker));
    for batch in 0..4 {
        let clients: Vec<_> = (0..50).map(|_| connect(&subject)).collect();
        for client in &clients {
            echo(client, &format!("batch {batch}"));
        }
        assert_eq!(open_descriptors(&worker), before.1 + 50);
        drop(clients);
        until(&format!("all are closed after batch {batch}"), || {
            (open_descriptors(&server), open_descriptors(&worker)) == before
        });
    }
    echo(&connect(&subject), "the last");
    ended_well(server);
    ended_well(worker);
}

#[test]
fn a_full_table_of_descriptors_is_said_once_and_does_not_spin() {
    let (subject, server, worker) = server_and_worker(&["--count", "1"], &[]);
    let pid = Pid::from_raw(server.pid().as_raw());
    // Some that we inherited may have high numbers: what counts is the first free one.
    let fd =
        |n: &u64| std::path::PathBuf::from(format!("/proc/{}/fd/{n}", server.pid()));
    let now = (0..).find(|n| fd(n).symlink_metadata().is_err());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let lowered = Rlimit { current: now, maximum };
    let old = prlimit(pid, Resource::Nofile, lowered).unwrap();
    let client = connect(&subject);
    server.wait_for_comment("EMFILE", deadline()).unwrap();
    let (used, began) = (processor_time(&server), Instant::now());
    // Not to be in time: what is measured is how much it does meanwhile.
    std::thread::sleep(Duration::from_secs(1));
    let used = processor_time(&server) - used;
    assert!(used < began.elapsed() / 5, "{used:?} of {:?}", began.elapsed());
    prlimit(pid, Resource::Nofile, old).unwrap();
    echo(&client, "hello");
    drop(client);
    let server = ended_well(server);
    let story = server.stderr;
    assert_eq!(story.matches("EMFILE").count(), 1, "{story}");
    assert!(story.contains("RLIMIT_NOFILE"), "{story}");
    ended_well(worker);
}

#[test]
fn waiting_connections_never_keep_a_worker_out() {
    let subject = subject("fdpass");
    let server_words = [
        "fdpass",
        "server",
        "--listen",
        "127.0.0.1:0",
        "--hold",
        "1000",
        "--count",
        "60",
    ];
    let mut command = ipclab(&subject, &server_words);
    lower_nofile(&mut command, 40);
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    server.wait_for_comment("epoll_wait() sleeps", deadline()).unwrap();
    let clients = [(); 60].map(|()| connect(&subject));
    server.wait_for_comment("accept() pauses", deadline()).unwrap();
    let worker = worker(&subject, &server, &[]);
    for client in &clients {
        echo(client, "hello");
    }
    drop(clients);
    let server = ended_well(server);
    assert!(!server.stderr.contains("EMFILE"), "{}", server.stderr);
    ended_well(worker);
}

#[test]
fn a_worker_with_a_full_table_leaves_what_it_cannot_take_to_others() {
    let subject = subject("fdpass");
    let server = server(&subject, &["--count", "20"]);
    let mut command = ipclab(&subject, &["fdpass", "worker"]);
    lower_nofile(&mut command, 16);
    let small = RoleProcess::start("worker", command, Input::Nothing).unwrap();
    let come = format!("worker {} has come", small.pid());
    server.wait_for_comment(&come, deadline()).unwrap();
    let clients = [(); 20].map(|()| connect(&subject));
    small.wait_for_comment("MSG_CTRUNC", deadline()).unwrap();
    let other = worker(&subject, &server, &[]);
    for client in &clients {
        echo(client, "hello");
    }
    drop(clients);
    ended_well(server);
    let line = failure(small);
    assert!(line.contains("RLIMIT_NOFILE"), "{line}");
    ended_well(other);
}

/// Starts `command` with room for `most` descriptors.
fn lower_nofile(command: &mut std::process::Command, most: u64) {
    let what = nix::sys::resource::Resource::RLIMIT_NOFILE;
    os::spawn::limit(command, what, most, most);
}

#[test]
fn another_users_worker_is_refused() {
    let subject = subject("fdpass");
    let (server, socket) = open_server(&subject);
    let Some(mut python) =
        python(&subject, "fdpass_worker.py", &["open/s", "serve"])
    else {
        return;
    };
    if !offers("fdpass", "other-user") {
        return;
    }
    // It becomes nobody by itself: nobody may not be allowed to run it.
    python.env("PEER_UID", NOBODY.to_string());
    let python = RoleProcess::start("worker", python, Input::Nothing).unwrap();
    let refused =
        format!("a worker: refused: pid {} runs as uid {NOBODY}", python.pid());
    server.wait_for_comment(&refused, deadline()).unwrap();
    // Cut off before it was given anything.
    assert_eq!(ended_well(python).stdout, b"ready\n");
    assert!(socket.exists());
    server.stop(Signal::SIGINT, deadline()).unwrap();
}

/// A server at a path where everybody may come.
fn open_server(subject: &Subject) -> (RoleProcess, std::path::PathBuf) {
    let open = subject.dir().join("open");
    std::fs::create_dir(&open).unwrap();
    for dir in [subject.dir(), &open] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let socket = open.join("s");
    let server = server(subject, &["--at", socket.to_str().unwrap()]);
    let mode = socket.symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "a socket's name is its owner's alone");
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    (server, socket)
}

#[test]
fn another_users_server_is_refused() {
    let subject = subject("fdpass");
    let open = subject.dir().join("open");
    std::fs::create_dir(&open).unwrap();
    for dir in [subject.dir(), &open] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let Some(mut python) = python(&subject, "fdpass_server.py", &["open/s", "1"])
    else {
        return;
    };
    if !offers("fdpass", "other-user") {
        return;
    }
    // It becomes nobody by itself: nobody may not be allowed to run it.
    python.env("PEER_UID", NOBODY.to_string());
    let python = RoleProcess::start("server", python, Input::Nothing).unwrap();
    let path = open.join("s");
    let worker = role(&subject, "worker", &["--at", path.to_str().unwrap()]);
    let line = failure(worker);
    assert!(
        line.contains(&format!("refused: pid {} runs as uid", python.pid())),
        "{line}"
    );
}

#[test]
fn a_stale_name_is_recovered_with_workers_waiting_there() {
    let subject = subject("fdpass");
    let first = server(&subject, &[]);
    first.stop(Signal::SIGKILL, deadline()).unwrap();
    let worker = role(&subject, "worker", &[]);
    worker.wait_for_comment("ECONNREFUSED", deadline()).unwrap();
    let client = role(&subject, "client", &["hello"]);
    client.wait_for_comment("start the other: ", deadline()).unwrap();
    let second = server(&subject, &["--count", "1"]);
    assert_eq!(ended_well(client).stdout, b"hello\n");
    assert!(ended_well(second).stderr.contains("a server that was killed left it"));
    assert_eq!(ended_well(worker).stdout, b"hello\n");
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_second_server_is_told_who_has_the_place() {
    let subject = subject("fdpass");
    let first = server(&subject, &[]);
    let line = failure(role(&subject, "server", &[]));
    let taken = format!("the server's place is taken by pid {}", first.pid());
    assert!(line.contains(&taken) && line.contains("use --at NAME"), "{line}");
    let words = ["fdpass", "fork", "--listen", "127.0.0.1:0"];
    let forked =
        RoleProcess::start("fork", ipclab(&subject, &words), Input::Nothing)
            .unwrap();
    let line = failure(forked);
    assert!(line.contains(&taken), "{line}");
    first.stop(Signal::SIGTERM, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_stranger_who_listens_there_is_left_alone() {
    let subject = subject("fdpass");
    let stranger = UnixListener::bind(subject.dir().join("fdpass")).unwrap();
    let line = failure(role(&subject, "server", &[]));
    let taken = format!("pid {} has it; use --at NAME", std::process::id());
    assert!(line.contains(&taken), "{line}");
    stranger.set_nonblocking(true).unwrap();
    drop(stranger.accept().unwrap());
    UnixStream::connect(subject.dir().join("fdpass")).unwrap();
}

#[test]
fn a_stranger_whose_queue_is_full_is_not_waited_for() {
    let subject = subject("fdpass");
    let path = subject.dir().join("fdpass");
    let stranger = UnixListener::bind(&path).unwrap();
    let none = nix::sys::socket::Backlog::new(0).unwrap();
    nix::sys::socket::listen(&stranger, none).unwrap();
    let _first = UnixStream::connect(&path).unwrap(); // a second one would sleep
    let line = failure(role(&subject, "server", &[]));
    assert!(line.contains("a server has it; use --at NAME"), "{line}");
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_by_all() {
    let subject = subject("fdpass");
    let at = format!("./{}", "x".repeat(106));
    for name in ["server", "worker"] {
        let line = failure(role(&subject, name, &["--at", &at]));
        assert!(line.contains("108 bytes") && line.contains("107"), "{line}");
    }
    subject.nothing_is_left().unwrap();
    let fits = format!("./{}", "x".repeat(105));
    let server = server(&subject, &["--at", &fits]);
    server.stop(Signal::SIGINT, deadline()).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_port_in_use_is_refused_and_says_who_has_it() {
    let subject = subject("fdpass");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let pid = format!("pid {}", std::process::id());
    for name in ["server", "fork"] {
        let words = ["fdpass", name, "--listen", &address];
        let role =
            RoleProcess::start(name, ipclab(&subject, &words), Input::Nothing)
                .unwrap();
        let line = failure(role);
        assert!(line.contains("EADDRINUSE") && line.contains(&pid), "{line}");
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn bad_options_are_usage_errors_of_one_line() {
    let subject = subject("fdpass");
    for words in [
        ["server", "--listen", "nowhere"],
        ["server", "--hold", "0"],
        ["server", "--ack-timeout", "0"],
        ["server", "--count", "0"],
        ["fork", "--listen", "127.0.0.1:99999"],
        ["worker", "--count", "many"],
        ["client", "--connect", "127.0.0.1"],
    ] {
        let mut command = ipclab(&subject, &["fdpass"]);
        command.args(words);
        let outcome = run(command, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{words:?}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.lines().count(),
            1,
            "{words:?}: {}",
            outcome.stderr
        );
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn signals_end_each_role_and_nothing_is_left() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (subject, server, worker) = server_and_worker(&[], &[]);
        let client = RoleProcess::start(
            "client",
            ipclab(&subject, &["fdpass", "client"]),
            Input::Open,
        );
        let client = client.unwrap();
        worker.wait_for_comment("a client's connection", deadline()).unwrap();
        for role in [server, client, worker] {
            let ended = role.stop(signal, deadline()).unwrap();
            let by = std::os::unix::process::ExitStatusExt::signal(&ended.status);
            let worker_was_done = ended.status.success();
            assert!(
                by == Some(signal as i32) || worker_was_done,
                "{}",
                ended.status
            );
        }
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn the_user_may_choose_the_path_and_nothing_is_left_there() {
    let subject = subject("fdpass");
    for order in [["worker", "server"], ["server", "worker"]] {
        let at = subject.dir().join("chosen");
        let at = at.to_str().unwrap();
        let start = |name: &str| {
            let role = role(&subject, name, &["--at", at, "--count", "1"]);
            role.wait_for_comment("start the other", deadline()).unwrap();
            role
        };
        let first = start(order[0]);
        let second = role(&subject, order[1], &["--at", at, "--count", "1"]);
        let client = role(&subject, "client", &["--at", at, "hello"]);
        assert_eq!(ended_well(client).stdout, b"hello\n");
        ended_well(first);
        ended_well(second);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn fork_ends_with_the_worker_it_has() {
    let subject = subject("fdpass");
    let words = ["fdpass", "fork", "--listen", "127.0.0.1:0"];
    let fork = RoleProcess::start("fork", ipclab(&subject, &words), Input::Nothing)
        .unwrap();
    fork.wait_for_comment("start the other: ", deadline()).unwrap();
    let children = format!("/proc/{pid}/task/{pid}/children", pid = fork.pid());
    let child = std::fs::read_to_string(children).unwrap();
    let child = nix::unistd::Pid::from_raw(child.trim().parse().unwrap());
    nix::sys::signal::kill(child, Signal::SIGKILL).unwrap();
    let line = failure(fork);
    assert!(line.contains("SIGKILL"), "{line}");
    subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_the_address_of_the_clients() {
    let subject = subject("fdpass");
    let mut shell = std::process::Command::new("sh");
    let script =
        "exec 3>&1; exec \"$0\" -q fdpass server --listen 127.0.0.1:0 --ready-fd 3";
    shell.args(["-c", script]).arg(program()).env("IPCLAB_DIR", subject.dir());
    let server = RoleProcess::start("server", shell, Input::Nothing).unwrap();
    server.wait_for_output(b"\n", deadline()).unwrap();
    let listening = address(&subject);
    let printed = server.stop(Signal::SIGINT, deadline()).unwrap().stdout;
    assert_eq!(printed, format!("{listening}\n").as_bytes());
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_link_at_the_socket_or_the_published_address_is_not_followed() {
    let subject = subject("fdpass");
    let precious = subject.dir().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    symlink(&precious, subject.dir().join("fdpass.addr")).unwrap();
    let server = server(&subject, &[]);
    assert!(address(&subject).starts_with("127.0.0.1:"));
    server.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}
