//! The multiplex chapter: the contract, then what is special to it.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_send, mq_unlink};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use os::spawn::limit;
use support::*;

keeps_the_contract!(multiplex());

fn multiplex() -> Subject {
    let mut subject = subject("multiplex");
    subject.longest = 300_000;
    subject
}

/// Every way to wait: the calls, and how they are told.
const WAYS: [&[&str]; 7] = [
    &["--with", "select"],
    &["--with", "poll"],
    &["--with", "epoll"],
    &["--with", "default"],
    &["--with", "epoll", "--edge"],
    &["--with", "epoll", "--oneshot"],
    &["--with", "epoll", "--edge", "--oneshot"],
];

/// The options of a server that is met by TCP, too.
const TCP: [&str; 2] = ["--tcp", "127.0.0.1:0"];

/// A server that runs until it is stopped, in a directory of its own.
struct Running {
    subject: Subject,
    role: Option<RoleProcess>,
}

impl Running {
    /// Starts a server with these options.
    fn start(options: &[&str]) -> Running {
        Running::start_with(options, Input::Nothing, |_| ())
    }

    fn start_with(
        options: &[&str],
        input: Input,
        change: impl FnOnce(&mut Command),
    ) -> Running {
        let subject = subject("multiplex");
        let mut command = ipclab(&subject, &["multiplex", "server"]);
        command.args(options);
        change(&mut command);
        let role = RoleProcess::start("server", command, input).unwrap();
        role.wait_for_comment("start the other: ", deadline()).unwrap();
        Running { subject, role: Some(role) }
    }

    /// Its TCP address, from /proc: the listener among its sockets.
    fn tcp(&self) -> Option<String> {
        let pid = self.role().pid();
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links: Vec<_> = fds
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .map(|link| link.display().to_string())
            .collect();
        let port = table.lines().skip(1).find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let ours = links.contains(&format!("socket:[{}]", words[9]));
            let port = words[1].split_once(':')?.1;
            (ours && words[3] == "0A")
                .then(|| u16::from_str_radix(port, 16).unwrap())
        });
        port.map(|port| format!("127.0.0.1:{port}"))
    }

    fn role(&self) -> &RoleProcess {
        self.role.as_ref().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.subject.dir().join("multiplex")
    }

    fn connect(&self) -> UnixStream {
        patient(UnixStream::connect(self.path()).unwrap())
    }

    fn connect_tcp(&self) -> TcpStream {
        let socket = TcpStream::connect(self.tcp().expect("a listener")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    /// Stops it by a signal, which its exit status must say, and returns what it wrote.
    fn stop(mut self, signal: Signal) -> Outcome {
        let role = self.role.take().unwrap();
        let outcome = role.stop(signal, deadline()).unwrap();
        assert_eq!(
            outcome.status.signal(),
            Some(signal as i32),
            "{}",
            outcome.stderr
        );
        self.subject.nothing_is_left().unwrap();
        outcome
    }

    /// Waits for its end by the signal that it has got.
    fn stop_ended(mut self) -> Outcome {
        let outcome = self.role.take().unwrap().wait(deadline()).unwrap();
        assert_eq!(outcome.status.signal(), Some(15), "{}", outcome.stderr);
        self.subject.nothing_is_left().unwrap();
        outcome
    }

    /// A number from /proc/PID/status.
    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.role().pid());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Reads that a broken server would keep waiting end with the test's deadline.
fn patient(socket: UnixStream) -> UnixStream {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Sends a line, and wants it back.
fn exchange(socket: &mut (impl Read + Write), text: &str) {
    let line = format!("{text}\n");
    socket.write_all(line.as_bytes()).unwrap();
    let mut answer = vec![0; line.len()];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), line);
}

/// What a server says of a client that does not read.
const PAUSED: &str = "it is not read from until they have gone";

/// Sends and does not read, until the server says that it reads no more.
fn overfeed(mut socket: &UnixStream, server: &Running) {
    socket.set_nonblocking(true).unwrap();
    let line = [vec![b'x'; 1023], vec![b'\n']].concat();
    let soon = || std::time::Instant::now() + Duration::from_millis(10);
    until("the server reads no more", || {
        while socket.write(&line).is_ok() {}
        server.role().wait_for_comment(PAUSED, soon()).is_ok()
    });
    socket.set_nonblocking(false).unwrap();
}

/// Allows this process `count` descriptors, if the machine does.
fn want_descriptors(count: u64) -> bool {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < count {
        skip(&format!("RLIMIT_NOFILE is at most {hard} here, wanted {count}"));
        return false;
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(count), hard).unwrap();
    true
}

#[test]
fn a_hundred_clients_at_once_get_each_its_own_answers_however_the_server_waits() {
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--reply", "upper"]);
        });
        let mut clients: Vec<_> =
            (0..100).map(|_| BufReader::new(server.connect())).collect();
        for round in 0..5 {
            // All of them ask before any reads, in parts that end within a message.
            for half in 0..2 {
                for (number, client) in clients.iter_mut().enumerate() {
                    let text =
                        format!("client {number} in round {round}\nand again\n");
                    let (first, second) = text.split_at(9 + round);
                    let part = if half == 0 { first } else { second };
                    client.get_mut().write_all(part.as_bytes()).unwrap();
                }
            }
            for (number, client) in clients.iter_mut().enumerate().rev() {
                let (mut answer, mut again) = (String::new(), String::new());
                client.read_line(&mut answer).unwrap();
                client.read_line(&mut again).unwrap();
                assert_eq!(answer, format!("CLIENT {number} IN ROUND {round}\n"));
                assert_eq!(again, "AND AGAIN\n", "{way:?}");
            }
        }
        drop(clients);
        let printed = server.stop(Signal::SIGTERM).stdout;
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed.lines().count(), 1000, "{way:?}");
        // Whole messages, each client's in order, whatever came between.
        for number in 0..100 {
            let own = printed.lines().filter(|line| {
                line.starts_with(&format!("client {number} in round "))
            });
            let rounds: Vec<_> =
                own.map(|line| line.chars().last().unwrap()).collect();
            assert_eq!(rounds, ['0', '1', '2', '3', '4'], "{way:?}");
        }
    }
}

#[test]
fn edges_and_one_shots_are_refused_where_there_are_none() {
    for with in ["select", "poll"] {
        for special in ["--edge", "--oneshot"] {
            let subject = subject("multiplex");
            let server = subject.start_receiver(&["--with", with, special]).unwrap();
            let outcome = server.wait(deadline()).unwrap();
            assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
            let line = outcome.stderr;
            assert!(line.contains("--with epoll") && line.contains(with), "{line}");
            subject.nothing_is_left().unwrap();
        }
    }
}

#[test]
fn sixty_four_mebibytes_come_back_to_the_byte_however_the_server_waits() {
    let sent = contract::noise(64 << 20);
    for way in WAYS {
        let subject = subject("multiplex");
        let server = [&["-q", "--bytes", "--no-print"], way].concat();
        let input = Input::Bytes(sent.clone());
        let back = subject.run(&["-q", "--bytes"], input, &server).unwrap();
        assert!(back == sent, "the bytes differ: {way:?}");
    }
}

#[test]
fn messages_of_many_lengths_with_their_length_in_front_are_answered_and_printed() {
    let mut subject = multiplex();
    subject.roomy = ["--framing", "length"].map(Into::into).to_vec();
    holds(&subject, contract::lines_of_many_lengths_arrive_as_sent);
}

#[test]
fn a_client_that_does_not_read_is_paused_and_the_others_are_served() {
    const ALL: usize = 32 << 20;
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--bytes", "--no-print"]).args(TCP);
        });
        let before = server.status("VmRSS:");
        let slow = server.connect();
        let written = Arc::new(AtomicUsize::new(0));
        let (mut writer, counter) = (slow.try_clone().unwrap(), written.clone());
        let writing = std::thread::spawn(move || {
            for part in contract::noise(ALL).chunks(64 * 1024) {
                writer.write_all(part).unwrap();
                counter.fetch_add(part.len(), Ordering::SeqCst);
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        server.role().wait_for_comment(PAUSED, deadline()).unwrap();
        let mut other = server.connect();
        let mut tcp = server.connect_tcp();
        for number in 0..500 {
            exchange(&mut other, &format!("message {number}"));
            exchange(&mut tcp, &format!("message {number}"));
        }
        // What it was read is what both sockets hold, and one buffer.
        let taken = written.load(Ordering::SeqCst);
        assert!(taken < 4 << 20, "{taken} bytes were taken: {way:?}");
        let grown = server.status("VmRSS:").saturating_sub(before);
        assert!(grown < 4096, "the server has grown by {grown} KiB: {way:?}");
        let mut back = Vec::new();
        (&slow).read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == contract::noise(ALL), "the bytes differ: {way:?}");
        server.stop(Signal::SIGTERM);
    }
}

#[test]
fn clients_that_never_pause_do_not_keep_the_others_waiting() {
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--bytes", "--no-print"]);
        });
        let floods: Vec<_> = (0..3).map(|_| server.connect()).collect();
        let pouring: Vec<_> = floods
            .iter()
            .flat_map(|flood| {
                let (mut to, mut from) =
                    (flood.try_clone().unwrap(), flood.try_clone().unwrap());
                [
                    std::thread::spawn(move || {
                        while to.write_all(&[b'x'; 1 << 16]).is_ok() {}
                    }),
                    std::thread::spawn(move || {
                        let mut buffer = vec![0; 1 << 16];
                        while from.read(&mut buffer).is_ok_and(|n| n > 0) {}
                    }),
                ]
            })
            .collect();
        server.role().wait_for_comment("and so on", deadline()).unwrap();
        let mut other = server.connect();
        for number in 0..200 {
            exchange(&mut other, &format!("message {number}"));
        }
        for flood in floods {
            flood.shutdown(Shutdown::Both).unwrap();
        }
        for thread in pouring {
            thread.join().unwrap();
        }
        server.stop(Signal::SIGTERM);
    }
}

#[test]
fn who_has_said_all_still_gets_every_answer() {
    let sent = contract::noise(1 << 20);
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--bytes", "--no-print"]).args(TCP);
        });
        let (unix, tcp) = (server.connect(), server.connect_tcp());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (&unix).write_all(&sent).unwrap();
                unix.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(|| {
                (&tcp).write_all(&sent).unwrap();
                tcp.shutdown(Shutdown::Write).unwrap();
            });
            let (mut by_unix, mut by_tcp) = (Vec::new(), Vec::new());
            (&unix).read_to_end(&mut by_unix).unwrap();
            (&tcp).read_to_end(&mut by_tcp).unwrap();
            assert!(by_unix == sent && by_tcp == sent, "{way:?}");
        });
        server.stop(Signal::SIGINT);
    }
}

#[test]
fn a_last_line_without_a_newline_comes_back_without_one() {
    let server = Running::start(&[]);
    let mut client = server.connect();
    client.write_all(b"one\ntwo").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = String::new();
    client.read_to_string(&mut back).unwrap();
    assert_eq!(back, "one\ntwo");
    assert_eq!(server.stop(Signal::SIGINT).stdout, b"one\ntwo\n");
}

#[test]
fn a_reset_within_a_message_or_before_the_answers_is_that_clients_affair() {
    for way in WAYS {
        let server = Running::start(&[way, &TCP].concat());
        let mut other = server.connect();
        exchange(&mut other, "first"); // and is client 1
        let mut half = server.connect_tcp();
        exchange(&mut half, "whole");
        half.write_all(b"half of a mess").unwrap();
        server.role().wait_for_comment("half of a mess", deadline()).unwrap();
        // Closed with no time to linger: a reset, not an end of stream.
        rustix::net::sockopt::set_socket_linger(&half, Some(Duration::ZERO))
            .unwrap();
        drop(half);
        let line = "client 2 is lost: recv: ECONNRESET";
        server.role().wait_for_comment(line, deadline()).unwrap();
        // Closed while the server waits for room to answer.
        let deaf = server.connect();
        overfeed(&deaf, &server);
        drop(deaf);
        let line = "client 3 is lost: send: ";
        server.role().wait_for_comment(line, deadline()).unwrap();
        exchange(&mut other, "still here");
        let outcome = server.stop(Signal::SIGTERM);
        let printed = String::from_utf8(outcome.stdout).unwrap();
        assert!(
            printed.starts_with("first\nwhole\n") && !printed.contains("half"),
            "{way:?}: {:?}",
            &printed[..printed.len().min(99)]
        );
        // What the deaf one had said goes on being printed meanwhile.
        assert!(printed.contains("\nstill here\n"), "{way:?}");
    }
}

#[test]
fn a_message_over_the_limit_ends_its_client_alone() {
    let server = Running::start(&["--max-message", "10"]);
    let (mut other, mut long) = (server.connect(), server.connect());
    long.write_all(b"fits\nthis one is too long\n").unwrap();
    let mut back = String::new();
    long.read_to_string(&mut back).unwrap();
    assert_eq!(back, "fits\n");
    server.role().wait_for_comment("over --max-message 10", deadline()).unwrap();
    exchange(&mut other, "still here");
    server.stop(Signal::SIGINT);
}

/// Starts a server that may have only so many descriptors.
fn with_descriptors(count: u64, options: &[&str]) -> Running {
    Running::start_with(options, Input::Nothing, |command| {
        limit(command, Resource::RLIMIT_NOFILE, count, count);
    })
}

/// How many descriptors a process has.
fn descriptors(role: &RoleProcess) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", role.pid())).unwrap().count()
}

/// The number before `text` in what a server said at its end.
fn number_before(text: &str, said: &str) -> u64 {
    let (before, _) =
        said.split_once(text).unwrap_or_else(|| panic!("{text}: {said}"));
    let word = before.split_whitespace().last().unwrap();
    word.replace(',', "").parse().unwrap()
}

#[test]
fn without_a_descriptor_left_it_serves_on_does_not_spin_and_lets_in_the_next() {
    for way in WAYS {
        let server = with_descriptors(24, way);
        let room = 24 - descriptors(server.role());
        let mut clients: Vec<_> = (0..room + 3).map(|_| server.connect()).collect();
        server
            .role()
            .wait_for_comment("ipclab: accept: EMFILE", deadline())
            .unwrap();
        server.role().wait_for_comment("ulimit -n", deadline()).unwrap();
        for (number, client) in clients[..room].iter_mut().enumerate() {
            exchange(client, &format!("client {number}"));
        }
        for number in 0..500 {
            exchange(&mut clients[1], &format!("message {number}"));
        }
        // The kernel has connected the others. They wait, each for one who leaves.
        for number in 0..3 {
            clients[room + number].write_all(b"at last\n").unwrap();
        }
        for number in 0..3 {
            clients[number].shutdown(Shutdown::Both).unwrap();
            let mut answer = [0; 8];
            clients[room + number].read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"at last\n");
        }
        let said = server.stop(Signal::SIGTERM).stderr;
        let waits = said.lines().rfind(|line| {
            ["select: ", "poll: ", "epoll_wait: "]
                .iter()
                .any(|call| line.contains(call))
        });
        let calls = number_before(" calls in all", waits.unwrap());
        // One for each message, one for each who comes or leaves, one a second besides.
        assert!(calls < 500 + 24 * 4 + 60, "{calls} calls: it spins: {way:?}");
    }
}

#[test]
fn select_turns_away_who_is_beyond_1024_and_says_who_would_not() {
    if !want_descriptors(2200) {
        return;
    }
    let server = Running::start(&["--with", "select"]);
    let room = 1024 - descriptors(server.role());
    let mut clients: Vec<_> = (0..room + 2).map(|_| server.connect()).collect();
    for client in &mut clients[..room] {
        exchange(client, "hello");
    }
    for client in &mut clients[room..] {
        let end = client.read(&mut [0]);
        assert!(matches!(end, Ok(0)), "{end:?}");
    }
    let line = "a client was turned away: select cannot watch descriptor 1024";
    server.role().wait_for_comment(line, deadline()).unwrap();
    server
        .role()
        .wait_for_comment("--with poll or --with epoll can", deadline())
        .unwrap();
    // Not by closing it: while another test forks, its child has a copy until it execs.
    clients[room - 1].shutdown(Shutdown::Both).unwrap();
    exchange(&mut clients[5], "still here");
    let mut next = server.connect();
    exchange(&mut next, "there is room again");
    server.stop(Signal::SIGINT);
}

#[test]
fn ten_thousand_idle_clients_and_a_busy_one() {
    const IDLE: usize = 10_000;
    if !want_descriptors(IDLE as u64 + 100) {
        return;
    }
    let server = Running::start(&["--with", "epoll", "--no-print"]);
    let mut busy = server.connect();
    exchange(&mut busy, "hello");
    let before = server.status("VmRSS:");
    let mut idle: Vec<_> = (0..IDLE).map(|_| server.connect()).collect();
    // Each has talked, in two parts, so that whatever buffer it needed was there.
    for client in &mut idle {
        client.write_all(b"a part").unwrap();
    }
    for client in &mut idle {
        client.write_all(b" and the rest\n").unwrap();
        let mut answer = [0; 20];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"a part and the rest\n");
    }
    for number in 0..1000 {
        exchange(&mut busy, &format!("message {number}"));
    }
    let grown = server.status("VmRSS:").saturating_sub(before);
    assert!(grown < 5000, "{grown} KiB for {IDLE} idle clients");
    drop(idle);
    exchange(&mut busy, "alone again");
    server.stop(Signal::SIGTERM);
}

#[test]
fn what_epoll_cannot_watch_is_refused_with_the_calls_that_can() {
    for (with, ok) in [("epoll", false), ("poll", true), ("select", true)] {
        let subject = subject("multiplex");
        let file = subject.dir().join("input");
        std::fs::write(&file, "from a file\nand its end").unwrap();
        let file = std::fs::File::open(file).unwrap();
        std::fs::remove_file(subject.dir().join("input")).unwrap();
        let args = ["multiplex", "server", "--stdin", "--with", with];
        let command = ipclab(&subject, &args);
        let server =
            RoleProcess::start("server", command, Input::From(file.into())).unwrap();
        if ok {
            server
                .wait_for_output(b"from a file\nand its end\n", deadline())
                .unwrap();
            server.stop(Signal::SIGTERM, deadline()).unwrap();
        } else {
            let outcome = server.wait(deadline()).unwrap();
            let line = contract::failed_clearly(&outcome).unwrap();
            assert!(line.contains("standard input: epoll_ctl"), "{line}");
            assert!(
                line.contains("EPERM") && line.contains("--with poll"),
                "{line}"
            );
        }
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn inputs_of_every_kind_are_watched_at_once() {
    for way in WAYS {
        let queue = format!("/ipclab-test-{}", std::process::id());
        let mut server = Running::start_with(way, Input::Open, |command| {
            command.args(["--unix", "second", "--tcp", "127.0.0.1:0", "--stdin"]);
            command.args(["--fifo", "pipe", "--fifo", "other", "--queue", &queue]);
            command.args(["--tick", "0.02"]);
        });
        let dir = server.subject.dir().to_owned();
        let mut first = server.connect();
        let mut second = patient(UnixStream::connect(dir.join("second")).unwrap());
        let mut tcp = server.connect_tcp();
        exchange(&mut first, "by the first");
        exchange(&mut second, "by the second");
        exchange(&mut tcp, "by TCP");
        let role = server.role.as_mut().unwrap();
        role.feed(b"by standard input\nunfinished").unwrap();
        role.wait_for_output(b"by standard input\n", deadline()).unwrap();
        role.close_stdin();
        role.wait_for_output(b"unfinished\n", deadline()).unwrap();
        for writer in 0..3 {
            let fifo = dir.join(if writer == 1 { "other" } else { "pipe" });
            let mut fifo = std::fs::File::options().write(true).open(fifo).unwrap();
            writeln!(fifo, "by writer {writer}").unwrap();
            write!(fifo, "its last words {writer}").unwrap();
            drop(fifo);
            let last = format!("by writer {writer}\nits last words {writer}\n");
            role.wait_for_output(last.as_bytes(), deadline()).unwrap();
        }
        let (flags, mode) = (MQ_OFlag::O_WRONLY, Mode::empty());
        let shape = MqAttr::new(0, 1, 1, 0);
        let sender = mq_open(queue.as_str(), flags, mode, Some(&shape)).unwrap();
        for (text, priority) in [("by queue", 1), ("", 0), ("after a goodbye", 1)] {
            mq_send(&sender, text.as_bytes(), priority).unwrap();
        }
        role.wait_for_output(b"by queue\nafter a goodbye\n", deadline()).unwrap();
        role.wait_for_comment("tick: read() = ", deadline()).unwrap();
        exchange(&mut first, "still here");
        server.stop(Signal::SIGTERM);
        assert!(mq_unlink(queue.as_str()).is_err(), "the queue was left behind");
    }
}

#[test]
fn a_fifo_and_a_queue_are_those_of_their_chapters() {
    let name = format!("ipclab-test-sender-{}", std::process::id());
    let server = Running::start(&["--fifo", "fifo", "--queue", &name]);
    let sender = ipclab(&server.subject, &["fifo", "sender", "from a FIFO"]);
    assert!(run(sender, Input::Nothing).status.success());
    server.role().wait_for_output(b"from a FIFO\n", deadline()).unwrap();
    let args = ["posixmq", "sender", "--at", &name, "from a queue"];
    let sender = run(ipclab(&server.subject, &args), Input::Nothing);
    assert!(sender.status.success(), "{}", sender.stderr);
    server.role().wait_for_output(b"from a queue\n", deadline()).unwrap();
    server.role().wait_for_comment("a sender's goodbye", deadline()).unwrap();
    server.stop(Signal::SIGTERM);
    assert!(mq_unlink(&*format!("/{name}")).is_err(), "the queue was left behind");
}

#[test]
fn what_cannot_be_read_of_a_fifo_ends_the_fifo_and_not_the_server() {
    let server = Running::start(&["--fifo", "pipe", "--max-message", "10"]);
    let mut client = server.connect();
    let path = server.subject.dir().join("pipe");
    let mut fifo = std::fs::File::options().write(true).open(path).unwrap();
    fifo.write_all(b"fits\nthis one is too long\n").unwrap();
    server.role().wait_for_comment("pipe is read no further", deadline()).unwrap();
    exchange(&mut client, "still here");
    assert_eq!(server.stop(Signal::SIGTERM).stdout, b"fits\nstill here\n");
}

#[test]
fn a_fifo_is_heard_on_though_clients_have_all_descriptors() {
    let server = with_descriptors(24, &["--fifo", "pipe"]);
    let _clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    let role = server.role();
    role.wait_for_comment("ipclab: accept: EMFILE", deadline()).unwrap();
    let path = server.subject.dir().join("pipe");
    for writer in 0..5 {
        let mut fifo = std::fs::File::options().write(true).open(&path).unwrap();
        write!(fifo, "by writer {writer}").unwrap();
        drop(fifo);
        let all = format!("by writer {writer}\n");
        role.wait_for_output(all.as_bytes(), deadline()).unwrap();
    }
    server.stop(Signal::SIGTERM);
}

#[test]
fn answers_that_are_on_their_way_by_tcp_outlive_a_message_that_is_refused() {
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--max-message", "1023", "--no-print"]).args(TCP);
        });
        let slow = server.connect_tcp();
        slow.set_nonblocking(true).unwrap();
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let (mut sent, mut at) = (0, 0);
        let soon = || std::time::Instant::now() + Duration::from_millis(10);
        until("the server reads no more", || {
            while let Ok(n) = (&slow).write(&line[at..]) {
                (sent, at) = (sent + n, (at + n) % line.len());
            }
            server.role().wait_for_comment(PAUSED, soon()).is_ok()
        });
        slow.set_nonblocking(false).unwrap();
        let rest = &line[at..];
        let expected = sent + rest.len();
        let mut writer = slow.try_clone().unwrap();
        let last = [rest, &[b'y'; 300_000][..]].concat();
        let writing = std::thread::spawn(move || writer.write_all(&last));
        let mut back = Vec::new();
        let end = (&slow).read_to_end(&mut back);
        assert!(end.is_ok() && back.len() == expected, "{way:?}: {end:?}");
        writing.join().unwrap().unwrap();
        server.role().wait_for_comment("over --max-message", deadline()).unwrap();
        exchange(&mut server.connect(), "still here");
        server.stop(Signal::SIGTERM);
    }
}

#[test]
fn a_client_that_has_said_much_costs_little_once_it_is_idle() {
    const MUCH: usize = 4 << 20;
    let server = Running::start(&["--no-print"]);
    let before = server.status("VmRSS:");
    let mut line = vec![b'x'; MUCH];
    line[MUCH - 1] = b'\n';
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let client = server.connect();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (&client).write_all(&line).unwrap();
                    (&client).write_all(b"and a part").unwrap();
                });
                (&client).read_exact(&mut vec![0; MUCH]).unwrap();
            });
            client
        })
        .collect();
    for mut client in &clients {
        client.write_all(b" and the rest").unwrap();
    }
    exchange(&mut server.connect(), "hello");
    let grown = server.status("VmRSS:").saturating_sub(before);
    assert!(grown < 30 << 10, "{grown} KiB for 30 clients that said 4 MiB each");
    server.stop(Signal::SIGTERM);
}

#[test]
fn a_signal_ends_it_though_its_output_is_full_and_a_source_never_runs_dry() {
    for with in ["select", "poll", "epoll"] {
        let subject = subject("multiplex");
        let (mut output, stdout) = std::io::pipe().unwrap();
        let (stdin, mut input) = std::io::pipe().unwrap();
        let args = ["multiplex", "server", "--stdin", "--with", with];
        let role = RoleProcess::start_with(
            "server",
            ipclab(&subject, &args),
            Input::From(stdin.into()),
            Output::To(stdout.into()),
            None,
        );
        let role = role.unwrap();
        role.wait_for_comment("start the other", deadline()).unwrap();
        let server = Running { subject, role: Some(role) };
        // Somebody must have answers waiting, or the server would end at once.
        let slow = server.connect();
        std::thread::scope(|scope| {
            let draining = scope.spawn(|| {
                let mut buffer = [0; 1 << 16];
                while !buffer.starts_with(b"enough") {
                    let n = output.read(&mut buffer).unwrap();
                    assert!(n > 0, "the server has ended");
                    buffer.copy_within(n.saturating_sub(7)..n, 0);
                }
            });
            overfeed(&slow, &server);
            input.write_all(b"enough\n").unwrap();
            draining.join().unwrap();
        });
        let fed = Arc::new(AtomicUsize::new(0));
        let counter = fed.clone();
        let feeding = std::thread::spawn(move || {
            while input.write_all(b"never dry\n").is_ok() {
                counter.fetch_add(10, Ordering::SeqCst);
            }
        });
        until("a line is fed", || fed.load(Ordering::SeqCst) > 0);
        server.stop(Signal::SIGTERM);
        feeding.join().unwrap();
    }
}

#[test]
fn a_place_that_is_named_twice_is_refused_and_left_as_it_was() {
    let subject = subject("multiplex");
    let path = subject.dir().join("multiplex").display().to_string();
    for args in [
        ["--unix", "multiplex"],
        ["--unix", &path],
        ["--fifo", "multiplex"],
        ["--fifo", "a"],
    ] {
        let mut args = args.to_vec();
        args.extend(["--unix", "a"]);
        let outcome =
            subject.start_receiver(&args).unwrap().wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("named twice"), "{}", outcome.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn what_has_the_name_of_a_socket_or_an_input_is_named() {
    let subject = subject("multiplex");
    std::fs::write(subject.dir().join("file"), "precious").unwrap();
    let long = "x".repeat(120);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, says) in [
        (["--unix", "file"], "regular file"),
        (["--fifo", "file"], "is no FIFO"),
        (["--unix", &long], "107"),
        (["--unix", "/nowhere/socket"], "make the directory"),
        (["--tcp", &taken], "EADDRINUSE"),
    ] {
        let server = subject.start_receiver(&args).unwrap();
        let outcome = server.wait(deadline()).unwrap();
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains(says), "{line}");
    }
    for args in [["--unix", "a", "--fifo", "a"], ["--tcp", "nowhere", "--tick", "1"]]
    {
        let server = subject.start_receiver(&args).unwrap();
        let outcome = server.wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
    }
    std::fs::remove_file(subject.dir().join("file")).unwrap();
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_socket_that_somebody_listens_at_is_not_stolen() {
    let server = Running::start(&[]);
    let second = ipclab(&server.subject, &["multiplex", "server"]);
    let line = contract::failed_clearly(&run(second, Input::Nothing)).unwrap();
    assert!(line.contains(&format!("pid {}", server.role().pid())), "{line}");
    // A stranger's socket, which holds no lock.
    let path = server.subject.dir().join("strangers");
    let stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let args = ["multiplex", "server", "--at", "strangers"];
    let second = ipclab(&server.subject, &args);
    let line = contract::failed_clearly(&run(second, Input::Nothing)).unwrap();
    assert!(line.contains("EADDRINUSE"), "{line}");
    assert!(path.exists());
    drop(stranger);
    std::fs::remove_file(path).unwrap();
    server.stop(Signal::SIGINT);
}

#[test]
fn a_signal_lets_the_answers_go_that_wait() {
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--bytes", "--no-print"]);
        });
        let mut slow = server.connect();
        for _ in 0..4 {
            exchange(&mut slow, "hello"); // more than are named one by one
        }
        overfeed(&slow, &server);
        let (path, role) = (server.path(), server.role());
        role.signal(Signal::SIGTERM).unwrap();
        role.wait_for_comment("answers may still be sent", deadline()).unwrap();
        assert!(!path.exists(), "the socket is still there");
        let mut back = 4 * "hello\n".len() as u64;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match (&slow).read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => back += n as u64,
                // It had sent more than was read: the kernel says so at the end.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        let said = server.stop_ended().stderr;
        let reads = said.lines().rfind(|line| line.contains("│ recv: ")).unwrap();
        assert_eq!(back, number_before(" bytes", reads), "{way:?}: {said}");
    }
}

#[test]
fn answers_that_are_on_their_way_by_tcp_outlive_a_signal() {
    for way in WAYS {
        let server = Running::start_with(way, Input::Nothing, |command| {
            command.args(["--bytes", "--no-print"]).args(TCP);
        });
        let mut slow = server.connect_tcp();
        for _ in 0..4 {
            exchange(&mut slow, "hello"); // more than are named one by one
        }
        slow.set_nonblocking(true).unwrap();
        let soon = || std::time::Instant::now() + Duration::from_millis(10);
        until("the server reads no more", || {
            while slow.write(&[b'x'; 1024]).is_ok() {}
            server.role().wait_for_comment(PAUSED, soon()).is_ok()
        });
        slow.set_nonblocking(false).unwrap();
        server.role().signal(Signal::SIGTERM).unwrap();
        server
            .role()
            .wait_for_comment("answers may still be sent", deadline())
            .unwrap();
        let mut back = Vec::new();
        let end = slow.read_to_end(&mut back);
        assert!(end.is_ok(), "{way:?}: {end:?} after {} bytes", back.len());
        let said = server.stop_ended().stderr;
        let reads = said.lines().rfind(|line| line.contains("│ recv: ")).unwrap();
        let back = (back.len() + 4 * "hello\n".len()) as u64;
        assert_eq!(back, number_before(" bytes", reads), "{way:?}: {said}");
    }
}

#[test]
fn a_client_that_never_takes_its_answers_does_not_keep_the_server_from_ending() {
    let server = Running::start(&["--bytes", "--no-print"]);
    let slow = server.connect();
    overfeed(&slow, &server);
    server.role().signal(Signal::SIGINT).unwrap();
    server.role().wait_for_comment("answers may still be sent", deadline()).unwrap();
    // The second one is at once.
    server.stop(Signal::SIGINT);
    drop(slow);
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let subject = subject("multiplex");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" multiplex server"]).arg(program());
    shell.env("IPCLAB_DIR", subject.dir());
    let role = RoleProcess::start("server", shell, Input::Nothing).unwrap();
    role.wait_for_comment("start the other", deadline()).unwrap();
    role.signal(Signal::SIGHUP).unwrap();
    let socket = UnixStream::connect(subject.dir().join("multiplex")).unwrap();
    exchange(&mut patient(socket), "still here");
    let outcome = role.stop(Signal::SIGTERM, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(15), "{}", outcome.stderr);
}

#[test]
fn an_output_that_nobody_empties_does_not_keep_it_from_ending() {
    let subject = subject("multiplex");
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let command = ipclab(&subject, &["multiplex", "server"]);
    let output = Output::To(writing);
    let server =
        RoleProcess::start_with("server", command, Input::Nothing, output, None)
            .unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let socket = UnixStream::connect(subject.dir().join("multiplex")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let lines = [b"x".repeat(99), b"\n".to_vec()].concat().repeat(100);
    // Until the pipe is full, the server sleeps, and so takes no more.
    let mut sent = 0;
    while sent < 1 << 20 {
        match (&socket).write(&lines) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    assert!(sent > 65_536);
    let outcome = server.stop(Signal::SIGTERM, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(15), "{}", outcome.stderr);
    drop(reading);
    subject.nothing_is_left().unwrap();
}

#[test]
fn count_is_of_clients_and_whoever_comes_later_is_refused() {
    let mut server = Running::start(&[&["--count", "2"], &TCP[..]].concat());
    let (mut first, mut second) = (server.connect(), server.connect_tcp());
    exchange(&mut first, "first");
    exchange(&mut second, "second");
    assert!(UnixStream::connect(server.path()).is_err());
    assert_eq!(server.tcp(), None);
    exchange(&mut first, "still here");
    drop((first, second));
    let outcome = server.role.take().unwrap().wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    server.subject.nothing_is_left().unwrap();
}

#[test]
fn ready_fd_gets_every_address_in_one_line() {
    let subject = subject("multiplex");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "exec 3>&1; exec \"$0\" -q multiplex server --ready-fd 3 --tcp 127.0.0.1:0 \
         --count 1",
    ]);
    shell.arg(program()).env("IPCLAB_DIR", subject.dir());
    let server = RoleProcess::start("server", shell, Input::Nothing).unwrap();
    let path = subject.dir().join("multiplex").display().to_string();
    let line = format!("{path} 127.0.0.1:");
    server.wait_for_output(line.as_bytes(), deadline()).unwrap();
    server.wait_for_output(b"\n", deadline()).unwrap();
    let client = ipclab(&subject, &["multiplex", "client", "hello"]);
    assert_eq!(run(client, Input::Nothing).stdout, b"hello\n");
    let printed =
        String::from_utf8(server.wait(deadline()).unwrap().stdout).unwrap();
    let [address, message] = printed.lines().collect::<Vec<_>>()[..] else {
        panic!("{printed}");
    };
    assert!(address.starts_with(&line) && message == "hello", "{printed}");
}

#[test]
fn our_client_goes_by_tcp_where_it_is_told_to() {
    let server = Running::start(&TCP);
    let tcp = server.tcp().unwrap();
    let args = ["multiplex", "client", "--connect", &tcp, "hello", "by TCP"];
    let outcome = run(ipclab(&server.subject, &args), Input::Nothing);
    assert_eq!(outcome.stdout, b"hello\nby TCP\n", "{}", outcome.stderr);
    server.stop(Signal::SIGTERM);
}

#[test]
fn python_and_netcat_are_clients() {
    let server = Running::start(&[]);
    if let Some(python) = python(&server.subject, "multiplex_client.py", &["50"]) {
        let outcome = run(python, Input::Nothing);
        assert_eq!(
            outcome.stdout, b"50 clients were answered\n",
            "{}",
            outcome.stderr
        );
    }
    if have("nc") {
        let mut netcat = Command::new("nc");
        netcat.args(["-N", "-U"]).arg(server.path());
        let outcome = run(netcat, Input::Bytes(b"hello\n".to_vec()));
        assert_eq!(outcome.stdout, b"hello\n", "{}", outcome.stderr);
    }
    server.stop(Signal::SIGTERM);
}
