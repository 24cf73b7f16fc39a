//! The D-Bus chapter: the contract, then what is special to it.

mod support;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use support::*;
use zbus::Message;

// A client calls methods: it has no messages as arguments or lines, and prints results, not
// echoes. The questions of the clauses about messages are asked below, of calls.
keeps_the_contract!(
    subject("dbus"),
    except {
        one_message: "asked of calls" => what_is_posted_is_numbered_listed_counted_and_printed,
        a_thousand_in_order: "asked of calls" => many_clients_post_at_once_and_each_message_gets_its_own_number,
        an_empty_message: "asked of calls" => messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named,
        the_largest_message: "asked of calls" => messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named,
        one_byte_too_many: "asked of calls" => messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named,
        arguments_are_checked_first: "asked of calls" => what_cannot_be_sent_is_refused_before_a_server_is_there,
        sixty_four_mebibytes_arrive_to_the_byte: "asked of calls" => messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named,
        lines_of_many_lengths_arrive_as_sent: "asked of calls" => messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named,
        binary_bytes: "asked of calls" => a_command_line_that_cannot_be_sent_is_a_usage_error,
        a_closed_output_is_a_quiet_end: "asked of calls" => output_that_nobody_reads_is_a_quiet_end,
        the_sender_may_be_first: "asked of calls" => the_client_may_be_first,
        the_receiver_may_be_first: "asked of calls" => what_is_posted_is_numbered_listed_counted_and_printed,
        a_stale_name_is_recovered: "asked of calls" => a_name_left_by_a_killed_server_is_recovered,
        signals_clear_up: "asked of clients that watch" => signals_clear_up_though_there_are_threads,
        the_sender_is_killed: "asked of calls" => a_message_that_is_junk_too_long_or_unfinished_ends_its_connection_alone,
        the_sender_is_killed_in_full_flow: "asked of calls" => a_message_that_is_junk_too_long_or_unfinished_ends_its_connection_alone,
        the_receiver_is_killed: "asked of calls" => a_server_that_dies_or_hangs_during_a_call_leaves_it_open_whether_it_was_done,
    }
);

/// A server that runs until it is stopped, in a directory of its own.
struct Running {
    subject: Subject,
    role: Option<RoleProcess>,
}

impl Running {
    fn start(options: &[&str]) -> Running {
        let subject = subject("dbus");
        let mut command = ipclab(&subject, &["dbus", "server"]);
        command.args(options);
        let role = RoleProcess::start("server", command, Input::Nothing).unwrap();
        role.wait_for_comment("start the other: ", deadline()).unwrap();
        Running { subject, role: Some(role) }
    }

    fn role(&self) -> &RoleProcess {
        self.role.as_ref().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.subject.dir().join("dbus")
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.path().display())
    }

    /// Waits until the server has said this.
    fn says(&self, text: &str) {
        self.role().wait_for_comment(text, deadline()).unwrap();
    }

    /// Runs a client to its end.
    fn client(&self, args: &[&str]) -> Outcome {
        let mut command = ipclab(&self.subject, &["dbus", "client"]);
        command.args(args);
        run(command, Input::Nothing)
    }

    /// What a client prints that succeeds.
    fn prints(&self, args: &[&str]) -> String {
        let outcome = self.client(args);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        String::from_utf8(outcome.stdout).unwrap()
    }

    /// The one line of a client that fails.
    fn fails(&self, args: &[&str]) -> String {
        contract::failed_clearly(&self.client(args)).unwrap()
    }

    /// Starts a client that watches, and waits until it does.
    fn watcher(&self, args: &[&str]) -> RoleProcess {
        let mut command = ipclab(&self.subject, &["dbus", "client", "watch"]);
        command.args(args);
        let role = RoleProcess::start("watcher", command, Input::Nothing).unwrap();
        role.wait_for_comment("sleeps until a signal", deadline()).unwrap();
        role
    }

    /// Stops the server, and looks that nothing is left.
    fn stop(mut self) -> Outcome {
        let role = self.role.take().unwrap();
        let outcome = role.stop(Signal::SIGTERM, deadline()).unwrap();
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        self.subject.nothing_is_left().unwrap();
        outcome
    }
}

/// A peer that speaks the protocol with its own hands.
struct Stranger(UnixStream);

impl Stranger {
    fn connect(server: &Running) -> Stranger {
        let stream = UnixStream::connect(server.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Stranger(stream)
    }

    /// One whose handshake is done.
    fn known(server: &Running) -> Stranger {
        let mut stranger = Stranger::connect(server);
        let uid = nix::unistd::getuid().to_string();
        let uid: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        let hello = format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n");
        stranger.0.write_all(hello.as_bytes()).unwrap();
        let mut answer = [0; 37];
        stranger.0.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"OK ") && answer.ends_with(b"\r\n"));
        stranger
    }

    /// Calls Post, and returns the reply's signature, or its error.
    fn post(&mut self, text: &str) -> Result<u32, String> {
        let call = Message::method_call("/org/ipclab/Board", "Post")
            .interface("org.ipclab.Board1")
            .build(&text)
            .unwrap();
        self.0.write_all(call.data().bytes()).unwrap();
        loop {
            let (kind, body) = self.receive();
            let number = || u32::from_le_bytes(body[..4].try_into().unwrap());
            match kind {
                2 => return Ok(number()),
                3 => {
                    let length = number() as usize;
                    let text = body[4..4 + length].to_vec();
                    return Err(String::from_utf8(text).unwrap());
                }
                _ => {} // the signal
            }
        }
    }

    /// A message's type and body; all are little-endian here.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut fixed = [0; 16];
        self.0.read_exact(&mut fixed).unwrap();
        let number =
            |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().unwrap());
        let fields = number(12).next_multiple_of(8) as usize;
        let mut rest = vec![0; fields + number(4) as usize];
        self.0.read_exact(&mut rest).unwrap();
        (fixed[1], rest.split_off(fields))
    }

    /// What the server sends until it closes, which it must.
    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset,
                    "{error}"
                );
            }
        }
        rest
    }
}

const COUNT: [&str; 5] = [
    "call",
    "org.freedesktop.DBus.Properties.Get",
    "ss",
    "org.ipclab.Board1",
    "Count",
];

#[test]
fn what_is_posted_is_numbered_listed_counted_and_printed() {
    let server = Running::start(&[]);
    assert_eq!(server.prints(&["list"]), "");
    assert_eq!(server.prints(&["call", "Post", "s", "hello"]), "1\n");
    assert_eq!(server.prints(&["call", "Post", "s", ""]), "2\n");
    let third = ["call", "org.ipclab.Board1.Post", "s", "größer\tals\n", "-q"];
    assert_eq!(server.prints(&third), "3\n");
    let listed = "1\thello\n2\t\n3\tgrößer\tals\n\n";
    assert_eq!(server.prints(&["list"]), listed);
    assert_eq!(server.prints(&["call", "List"]), listed);
    assert_eq!(server.prints(&COUNT), "3\n");
    assert_eq!(server.stop().stdout, "hello\n\ngrößer\tals\n\n".as_bytes());
}

#[test]
fn the_commentary_names_each_message() {
    let server = Running::start(&["--count", "1"]);
    let client = server.client(&["call", "Post", "s", "hello"]);
    for line in [
        r#"send("\0AUTH EXTERNAL "#,
        r#"recv(): "OK "#,
        r#"send("BEGIN\r\n")"#,
        "send(114): method_call 1: org.ipclab.Board1.Post of /org/ipclab/Board, \
         signature \"s\"",
        "org.ipclab.Board1.Posted of /org/ipclab/Board, signature \"us\"",
        "recv() = 36: method_return 2, the reply to 1, signature \"u\"",
    ] {
        assert!(client.stderr.contains(line), "{line}\n{}", client.stderr);
    }
    let server = server.role.unwrap().wait(deadline()).unwrap();
    assert!(server.status.success(), "{}", server.stderr);
    for line in [
        "client 1: recv(): \"BEGIN\"",
        "client 1: recv() = 114: method_call 1: org.ipclab.Board1.Post",
        "client 1: send(36): method_return ",
        "client 1: recv() = 0: it has left",
        "done: 1 client",
    ] {
        assert!(server.stderr.contains(line), "{line}\n{}", server.stderr);
    }
}

#[test]
fn the_client_may_be_first() {
    let subject = subject("dbus");
    let mut command = ipclab(&subject, &["dbus", "client", "list", "--at", "here"]);
    command.arg("--timeout=60");
    let client = RoleProcess::start("client", command, Input::Nothing).unwrap();
    let command = format!("start the other: IPCLAB_DIR={}", subject.dir().display());
    client.wait_for_comment(&command, deadline()).unwrap();
    client.wait_for_comment(" dbus server --at here\n", deadline()).unwrap();
    let server =
        ipclab(&subject, &["dbus", "server", "--count", "1", "--at", "here"]);
    let server = run(server, Input::Nothing);
    assert!(server.status.success(), "{}", server.stderr);
    assert!(client.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

#[test]
fn the_socket_is_for_its_owner_and_tells_when_peers_may_come() {
    let server = Running::start(&[]);
    let about = std::fs::metadata(server.path()).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    server.stop();
}

#[test]
fn a_name_left_by_a_killed_server_is_recovered() {
    let mut server = Running::start(&[]);
    let role = server.role.take().unwrap();
    role.stop(Signal::SIGKILL, deadline()).unwrap();
    assert!(server.path().exists());
    let command = ipclab(&server.subject, &["dbus", "server"]);
    let again = RoleProcess::start("server", command, Input::Nothing).unwrap();
    again.wait_for_comment("start the other: ", deadline()).unwrap();
    server.role = Some(again);
    assert_eq!(server.prints(&["call", "Post", "s", "again"]), "1\n");
    server.stop();
}

#[test]
fn a_second_server_hears_who_has_the_name() {
    let server = Running::start(&[]);
    let pid = server.role().pid().to_string();
    let second = run(ipclab(&server.subject, &["dbus", "server"]), Input::Nothing);
    let line = contract::failed_clearly(&second).unwrap();
    assert!(line.contains(&format!("pid {pid}")) && line.contains("--at"), "{line}");
    server.stop();
}

#[test]
fn a_stranger_that_has_the_name_is_named_too() {
    let subject = subject("dbus");
    let path = subject.dir().join("dbus");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = run(ipclab(&subject, &["dbus", "server"]), Input::Nothing);
    let line = contract::failed_clearly(&server).unwrap();
    let own = format!("pid {} has it", std::process::id());
    assert!(line.contains("EADDRINUSE") && line.contains(&own), "{line}");
    drop(listener);
    std::fs::remove_file(&path).expect("it was to stay");
    subject.nothing_is_left().unwrap();
}

#[test]
fn each_watcher_sees_each_post() {
    let server = Running::start(&[]);
    let watchers: Vec<_> =
        (0..3).map(|_| server.watcher(&["--count", "3"])).collect();
    for text in ["one", "two", "three"] {
        server.prints(&["-q", "call", "Post", "s", text]);
    }
    for watcher in watchers {
        let outcome = watcher.wait(deadline()).unwrap();
        let signal =
            "org.ipclab.Board1.Posted of /org/ipclab/Board, signature \"us\"";
        assert!(outcome.stderr.contains(signal), "{}", outcome.stderr);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, b"1\tone\n2\ttwo\n3\tthree\n");
    }
    server.stop();
}

#[test]
fn a_watcher_whose_server_leaves_says_so() {
    let server = Running::start(&[]);
    let watcher = server.watcher(&[]);
    server.prints(&["call", "Post", "s", "the last"]);
    watcher.wait_for_output(b"the last\n", deadline()).unwrap();
    server.stop();
    let outcome = watcher.wait(deadline()).unwrap();
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("has left; 1 message printed"), "{line}");
}

#[test]
fn a_full_board_loses_its_oldest_message() {
    let server = Running::start(&["--limit", "3"]);
    let mut stranger = Stranger::known(&server);
    for number in 1..=5 {
        assert_eq!(stranger.post(&format!("message {number}")), Ok(number));
    }
    assert_eq!(
        server.prints(&["list"]),
        "3\tmessage 3\n4\tmessage 4\n5\tmessage 5\n"
    );
    assert_eq!(server.prints(&COUNT), "3\n");
    let limit = [COUNT[0], COUNT[1], COUNT[2], COUNT[3], "Limit"];
    assert_eq!(server.prints(&limit), "3\n");
    server.stop();
}

#[test]
fn messages_of_all_lengths_come_back_or_are_refused_with_the_limit_named() {
    let server = Running::start(&["--max-message", "1000", "--limit", "1"]);
    let mut stranger = Stranger::known(&server);
    for length in [0, 1, 2, 3, 7, 8, 9, 63, 64, 100, 255, 256, 257, 999, 1000] {
        let text = "x".repeat(length);
        stranger.post(&text).unwrap();
        let listed = server.prints(&["-q", "list"]);
        let (_, listed) = listed.trim_end_matches('\n').split_once('\t').unwrap();
        assert_eq!(listed, text);
    }
    for length in [1001, 1002, 5000, 65_536, 100_000] {
        let refused = stranger.post(&"x".repeat(length)).unwrap_err();
        assert!(refused.contains("at most 1,000 bytes"), "{refused}");
    }
    let line = server.fails(&["call", "Post", "s", &"x".repeat(1001)]);
    assert!(
        line.contains("org.ipclab.Error.TooLong: a message of 1,001 bytes"),
        "{line}"
    );
    assert!(line.contains("--max-message"), "{line}");
    server.stop();
}

#[test]
fn the_fullest_board_can_be_listed() {
    let server = Running::start(&["--max-message", "65536", "--limit", "1000"]);
    let mut stranger = Stranger::known(&server);
    let text = "y".repeat(65_536);
    for number in 1..=1001 {
        assert_eq!(stranger.post(&text), Ok(number));
    }
    let listed = server.prints(&["-q", "list"]);
    assert_eq!(listed.lines().count(), 1000);
    assert!(listed.lines().all(|line| line.ends_with(&text)));
    assert!(listed.starts_with("2\ty"));
    server.stop();
}

#[test]
fn each_refusal_has_the_name_of_its_error_and_the_way_out() {
    let server = Running::start(&[]);
    let error = "org.freedesktop.DBus.Error.";
    for (args, name, way_out) in [
        (&["call", "Post", "u", "5"][..], "InvalidArgs", "introspect"),
        (&["call", "Post"], "InvalidArgs", "introspect"),
        (&["call", "Post", "ss", "a", "b"], "InvalidArgs", "introspect"),
        (&["call", "Pots", "s", "a"], "UnknownMethod", "introspect"),
        (&["call", "org.nobody.Knows"], "UnknownInterface", "introspect"),
        (&["list", "--object", "/nowhere"], "UnknownObject", "--object"),
    ] {
        let line = server.fails(args);
        assert!(line.contains(&format!("{error}{name}: ")), "{line}");
        assert!(line.contains(way_out), "{line}");
    }
    let set = ["call", "org.freedesktop.DBus.Properties.Get", "ss"];
    let line = server.fails(&[&set[..], &["org.ipclab.Board1", "Colour"]].concat());
    assert!(line.contains(&format!("{error}UnknownProperty")), "{line}");
    server.stop();
}

#[test]
fn a_call_that_names_no_interface_is_refused() {
    let server = Running::start(&[]);
    let mut stranger = Stranger::known(&server);
    let call = Message::method_call("/org/ipclab/Board", "List").build(&()).unwrap();
    stranger.0.write_all(call.data().bytes()).unwrap();
    let (kind, body) = stranger.receive();
    let text = String::from_utf8_lossy(&body);
    assert!(kind == 3 && text.contains("Missing interface"), "{kind}: {text}");
    server.stop();
}

#[test]
fn a_command_line_that_cannot_be_sent_is_a_usage_error() {
    let server = Running::start(&[]);
    for (args, why) in [
        (&["call", "Post", "s"][..], "1 type"),
        (&["call", "Post", "s", "a", "b"], "2 arguments"),
        (&["call", "Post", "u", "-1"], "no u32"),
        (&["call", "Post", "y", "256"], "no u8"),
        (&["call", "Post", "o", "nopath"], "no object path"),
        (&["call", "Post", "v", "1"], "cannot be given"),
        (&["call", "Post "], "member"),
        (&["call", "."], "no method"),
        (&["call", "not-an.Interface-.Post"], "interface"),
        (&["list", "--object", "nopath"], "object path"),
        (&["list", "--bus", "nonsense"], "--bus nonsense"),
        (&["list", "--bus", "tcp:host=localhost,port=1"], "unix:"),
        (&["list", "--call-timeout", "0"], "more than 0"),
        (&["watch", "--count", "0"], "--count"),
        (&[], "needs a verb: call, list"),
    ] {
        let outcome = server.client(args);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
        let line = outcome.stderr.lines().last().unwrap();
        assert!(line.starts_with("ipclab: "), "{line}");
        assert!(
            line.to_lowercase().contains(&why.to_lowercase()),
            "{args:?}: {line}"
        );
    }
    server.stop();
}

#[test]
fn what_cannot_be_sent_is_refused_before_a_server_is_there() {
    let subject = subject("dbus");
    for args in [
        &["call", "Po st", "s", "a"][..],
        &["call", "org..Board1.Post", "s", "a"],
        &["call", "Post", "u", "a"],
        &["list", "--object", "nopath"],
    ] {
        let mut command = ipclab(&subject, &["dbus", "client", "--timeout", "30"]);
        command.args(args);
        let outcome = run(command, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn all_basic_types_travel() {
    let server = Running::start(&[]);
    let words =
        ["255", "true", "-1", "2", "-3", "4", "-5", "6", "0.5", "s", "/o", "a{sv}"];
    let mut args = vec!["call", "Post", "ybnqiuxtdsog"];
    args.extend(words);
    let line = server.fails(&args);
    assert!(line.contains("InvalidArgs"), "{line}");
    server.says("signature \"ybnqiuxtdsog\"");
    server.stop();
}

#[test]
fn introspection_describes_the_board_in_words() {
    let server = Running::start(&[]);
    let xml = server.prints(&["introspect"]);
    for text in [
        "<interface name=\"org.ipclab.Board1\">",
        "Pins a message to the board, and returns its number.",
        "org.ipclab.Error.TooLong",
        "<arg name=\"text\" type=\"s\" direction=\"in\"/>",
        "<arg name=\"messages\" type=\"a(us)\" direction=\"out\"/>",
        "<signal name=\"Posted\">",
        "<property name=\"Limit\" type=\"u\" access=\"read\">",
    ] {
        assert!(xml.contains(text), "{text}\n{xml}");
    }
    server.stop();
}

#[test]
fn many_clients_post_at_once_and_each_message_gets_its_own_number() {
    let server = Running::start(&["--limit", "1000"]);
    let mut numbers: Vec<u32> = std::thread::scope(|scope| {
        let posters: Vec<_> = (0..16)
            .map(|_| {
                let mut stranger = Stranger::known(&server);
                scope.spawn(move || {
                    let post = |_| stranger.post("at once").unwrap();
                    (0..50).map(post).collect::<Vec<_>>()
                })
            })
            .collect();
        posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
    assert_eq!(server.prints(&["-q", "list"]).lines().count(), 800);
    server.stop();
}

#[test]
fn one_that_does_not_read_its_signals_stops_nobody_and_is_cut_off() {
    let server = Running::start(&["--patience", "3"]);
    let deaf = Stranger::known(&server);
    let mut poster = Stranger::known(&server);
    let text = "z".repeat(4000);
    for number in 1..=1500 {
        assert_eq!(poster.post(&text), Ok(number));
    }
    server.says("client 1 is cut off: ");
    assert_eq!(poster.post("still here"), Ok(1501));
    drop(deaf);
    server.stop();
}

#[test]
fn one_that_does_not_read_its_replies_is_cut_off() {
    let server = Running::start(&["--patience", "3", "--max-message", "65536"]);
    let mut stranger = Stranger::known(&server);
    let list = Message::method_call("/org/ipclab/Board", "List")
        .interface("org.ipclab.Board1")
        .build(&())
        .unwrap();
    for _ in 0..20 {
        stranger.post(&"x".repeat(65_536)).unwrap();
    }
    for _ in 0..5 {
        stranger.0.write_all(list.data().bytes()).unwrap();
    }
    server.says("client 1 is cut off: send(): the peer does not read");
    assert_eq!(server.prints(&COUNT), "20\n");
    server.stop();
}

#[test]
fn strangers_that_send_junk_are_refused_in_time_and_the_server_lives_on() {
    let server = Running::start(&[]);
    let own: String = nix::unistd::getuid()
        .to_string()
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect();
    let long = [b"\0".as_slice(), &[b'x'; 5000]].concat();
    let auth = format!("\0AUTH EXTERNAL {own}\r\n");
    let many = [b"\0".as_slice(), &b"AUTH\r\n".repeat(30)].concat();
    let all = [
        b"".as_slice(),
        b"\n",
        b"\0",
        b"\0\n",
        b"\0\r\n",
        b"\0\xff\xfe\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0AUTH\r\n",
        b"\0AUTH EXTERNAL zz\r\n",
        b"\0AUTH EXTERNAL 3432\r\nBEGIN\r\n",
        b"\0AUTH ANONYMOUS\r\nBEGIN\r\n",
        b"\0AUTH DBUS_COOKIE_SHA1 30\r\n",
        b"\0BEGIN\r\n",
        b"\0CANCEL\r\n",
        auth.as_bytes(),
        &long,
        &many,
    ];
    let strangers = all.map(|junk| {
        let mut stranger = Stranger::connect(&server);
        let _ = stranger.0.write_all(junk); // it may be refused before it has said all
        (stranger, junk)
    });
    let began = Instant::now();
    for (stranger, junk) in strangers {
        let answer = stranger.rest();
        assert!(answer.len() < 1000, "{junk:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{junk:?}");
    }
    assert_eq!(server.prints(&["call", "Post", "s", "alive"]), "1\n");
    server.stop();
}

#[test]
fn a_message_that_is_junk_too_long_or_unfinished_ends_its_connection_alone() {
    let server = Running::start(&[]);
    let good = Message::method_call("/org/ipclab/Board", "List")
        .interface("org.ipclab.Board1")
        .build(&())
        .unwrap();
    let good = good.data().bytes().to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut message = good.clone();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    let all = [
        (b"x".repeat(64), "begins with 0x78"),
        (with(4, &[0xff; 4]), "131,072 bytes are the most"),
        (with(12, &[0xff; 4]), "131,072 bytes are the most"),
        (with(4, &0x0100_0000_u32.to_le_bytes()), "131,072 bytes are the most"),
        (good[..1].to_vec(), "did not come in time"),
        (good[..40].to_vec(), "did not come in time"),
        (with(4, &100_u32.to_le_bytes()), "did not come in time"),
        (with(8, &[0; 4]), "not a D-Bus message"),
        (with(3, &[9]), "not a D-Bus message"),
        (with(1, &[0]), "not a D-Bus message"),
        (with(16, &[0xff; 8]), "not a D-Bus message"),
    ];
    let mut bystander = Stranger::known(&server);
    let strangers = all.map(|(message, why)| {
        let mut stranger = Stranger::known(&server);
        stranger.0.write_all(&message).unwrap();
        (stranger, why)
    });
    for (number, (stranger, why)) in strangers.into_iter().enumerate() {
        stranger.rest();
        server.says(&format!("client {} is cut off: ", number + 2));
        server.says(why);
    }
    assert_eq!(bystander.post("unharmed"), Ok(1));
    server.stop();
}

#[test]
fn clients_beyond_the_most_are_turned_away_and_leave_no_thread() {
    let server = Running::start(&[]);
    let threads = || {
        let tasks = format!("/proc/{}/task", server.role().pid());
        std::fs::read_dir(tasks).unwrap().count()
    };
    let inside: Vec<_> = (0..256).map(|_| Stranger::known(&server)).collect();
    assert!(threads() > 256);
    let one_more = Stranger::connect(&server);
    assert_eq!(one_more.rest(), b"");
    server.says("one more than 256 clients");
    drop(inside);
    until("its clients' threads have ended", || threads() <= 1);
    assert_eq!(server.prints(&["call", "Post", "s", "room"]), "1\n");
    server.stop();
}

#[test]
fn no_more_clients_come_in_than_there_are_descriptors_for() {
    let subject = subject("dbus");
    let limited = |soft, hard| {
        let mut command = ipclab(&subject, &["dbus", "server"]);
        os::spawn::limit(&mut command, Resource::RLIMIT_NOFILE, soft, hard);
        command
    };
    let line = contract::failed_clearly(&run(limited(16, 16), Input::Nothing));
    assert!(line.unwrap().contains("too few for a client"));
    // The soft limit is raised to the hard one: 27 - 16 clients, and no more.
    let role =
        RoleProcess::start("server", limited(20, 27), Input::Nothing).unwrap();
    role.wait_for_comment("start the other: ", deadline()).unwrap();
    let server = Running { subject, role: Some(role) };
    let mut inside: Vec<_> = (0..11).map(|_| Stranger::known(&server)).collect();
    for (number, client) in (1..).zip(&mut inside) {
        assert_eq!(client.post("room for me"), Ok(number));
    }
    assert_eq!(Stranger::connect(&server).rest(), b"");
    server.says("one more than 11 clients");
    let outcome = server.stop();
    assert!(!outcome.stderr.contains("Too many open files"), "{}", outcome.stderr);
}

#[test]
fn signals_clear_up_though_there_are_threads() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut server = Running::start(&[]);
        let watcher = server.watcher(&[]);
        let role = server.role.take().unwrap();
        let outcome = role.stop(signal, deadline()).unwrap();
        assert_eq!(outcome.status.signal(), Some(signal as i32));
        server.subject.nothing_is_left().unwrap();
        watcher.wait(deadline()).unwrap();

        let server = Running::start(&[]);
        let watcher = server.watcher(&[]);
        let outcome = watcher.stop(signal, deadline()).unwrap();
        assert_eq!(outcome.status.signal(), Some(signal as i32));
        server.stop();
    }
}

#[test]
fn a_timeout_strikes_though_there_are_threads() {
    let server = Running::start(&[]);
    let watcher = server.client(&["watch", "--timeout", "0.2"]);
    assert_eq!(watcher.status.code(), Some(124), "{}", watcher.stderr);
    server.stop();
    let subject = subject("dbus");
    let server = ipclab(&subject, &["dbus", "server", "--timeout", "3"]);
    let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let stream = UnixStream::connect(subject.dir().join("dbus"));
    assert_eq!(server.wait(deadline()).unwrap().status.code(), Some(124));
    drop(stream);
    subject.nothing_is_left().unwrap();
}

#[test]
fn output_that_nobody_reads_is_a_quiet_end() {
    let server = Running::start(&[]);
    server.prints(&["call", "Post", "s", "hello"]);
    let closed = || {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reading);
        Output::To(writing)
    };
    let client = ipclab(&server.subject, &["dbus", "client", "list"]);
    let client =
        RoleProcess::start_with("client", client, Input::Nothing, closed(), None);
    let client = client.unwrap().wait(deadline()).unwrap();
    assert!(client.status.success(), "{}", client.stderr);
    server.stop();

    let subject = subject("dbus");
    let server = ipclab(&subject, &["dbus", "server"]);
    let server =
        RoleProcess::start_with("server", server, Input::Nothing, closed(), None);
    let server = server.unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let client = ["dbus", "client", "call", "Post", "s", "hello"];
    run(ipclab(&subject, &client), Input::Nothing);
    assert!(server.wait(deadline()).unwrap().status.success());
    subject.nothing_is_left().unwrap();
}

/// Another user's process, with the names open to all, is refused by either side.
#[test]
fn another_user_is_refused_whatever_the_modes_say() {
    if !offers("fdpass", "other-user") {
        return;
    }
    let server = Running::start(&[]);
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let as_other = || {
        let opened = std::fs::File::open(program()).unwrap();
        let at = server.path().display().to_string();
        let mut command = as_nobody(&opened, &["dbus", "client", "list"]);
        command.args(["--at", &at, "--timeout", "30"]);
        run(command, Input::Nothing)
    };
    open(server.subject.dir(), 0o755);
    let line = contract::failed_clearly(&as_other()).unwrap();
    assert!(line.contains("EACCES"), "{line}");
    open(&server.path(), 0o666);
    let line = contract::failed_clearly(&as_other()).unwrap();
    assert!(line.contains("is uid 0's"), "{line}");
    if have("busctl") {
        let mut command = Command::new("busctl");
        command.arg(format!("--address={}", server.address())).arg("list");
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        assert!(!run(command, Input::Nothing).status.success());
        server.says(&format!("is refused: it is uid {NOBODY}, and not 0"));
    }
    server.stop();
}

#[test]
fn what_the_specification_says_to_ignore_ends_no_connection() {
    let call = Message::method_call("/org/ipclab/Board", "List")
        .interface("org.ipclab.Board1")
        .build(&())
        .unwrap();
    let call = call.data().bytes().to_vec();
    let with = |at: usize, byte: u8| {
        let mut message = call.clone();
        message[at] = byte;
        message
    };
    let with_field = |code: u8, text: &str| {
        let length = u32::from_le_bytes(call[12..16].try_into().unwrap()) as usize;
        let mut fields = call[16..16 + length].to_vec();
        fields.resize(length.next_multiple_of(8), 0);
        fields.extend([code, 1, b's', 0]);
        fields.extend((text.len() as u32).to_le_bytes());
        fields.extend(text.as_bytes());
        fields.push(0);
        let mut message = call[..12].to_vec();
        message.extend((fields.len() as u32).to_le_bytes());
        message.extend(fields);
        message.resize(message.len().next_multiple_of(8), 0);
        message
    };
    let server = Running::start(&[]);
    for (what, bytes) in [
        ("a type", [with(1, 9), with(1, 255), call.clone()].concat()),
        ("thousands of a type", [with(1, 5).repeat(5000), call.clone()].concat()),
        ("flags", with(2, 0xf8)),
        ("a field", with_field(200, "x")),
        ("a field of an odd length", with_field(10, "abcdef")),
        ("a sender", with_field(7, "org.example.Peer")),
        ("a sender that is no name", with_field(7, "")),
    ] {
        let mut stranger = Stranger::known(&server);
        stranger.0.write_all(&bytes).unwrap();
        assert_eq!(stranger.receive().0, 2, "{what}: no reply");
    }
    server.stop();
}

// --- Other programs, without a bus.

#[test]
fn a_python_client_with_nothing_but_a_socket_calls_the_board() {
    let server = Running::start(&["--max-message", "100"]);
    let path = server.path().display().to_string();
    let call = |text: &str| {
        let command = python(&server.subject, "dbus_client.py", &[&path, text])?;
        Some(run(command, Input::Nothing))
    };
    let Some(posted) = call("von Hand") else { return };
    assert_eq!(posted.stdout, b"1\n", "{}", posted.stderr);
    let refused = call(&"x".repeat(101)).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("101 bytes"), "{}", refused.stderr);
    assert_eq!(server.prints(&["list"]), "1\tvon Hand\n");
    server.stop();
}

/// Our client, and a server in Python that behaves as `mode` says.
fn client_of_python(mode: &str) -> Option<Outcome> {
    let subject = subject("dbus");
    let path = subject.dir().join("dbus").display().to_string();
    let command = python(&subject, "dbus_server.py", &[&path, mode])?;
    let server = RoleProcess::start("python", command, Input::Nothing).unwrap();
    server.wait_for_output(b"ready\n", deadline()).unwrap();
    let mut client = ipclab(&subject, &["dbus", "client", "call", "Post", "s", "x"]);
    if mode == "hang" {
        client.args(["--call-timeout", "3"]);
    }
    let outcome = run(client, Input::Nothing);
    server.wait(deadline()).unwrap();
    subject.nothing_is_left().unwrap();
    Some(outcome)
}

#[test]
fn a_python_server_with_nothing_but_a_socket_is_called() {
    for mode in ["reply", "future"] {
        let Some(outcome) = client_of_python(mode) else { return };
        assert_eq!(outcome.stdout, b"7\n", "{mode}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_that_dies_or_hangs_during_a_call_leaves_it_open_whether_it_was_done() {
    for (mode, why) in [
        ("die", "closed before it replied"),
        ("hang", "no reply within 3 s (--call-timeout)"),
    ] {
        let Some(outcome) = client_of_python(mode) else { return };
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("call org.ipclab.Board1.Post"), "{line}");
        assert!(line.contains(why) && line.contains("or not"), "{line}");
    }
}

#[test]
fn a_server_that_denies_or_talks_junk_is_named_as_that() {
    for (mode, why) in
        [("deny", "REJECTED KERBEROS_V4"), ("junk", "begins with 0x48")]
    {
        let Some(outcome) = client_of_python(mode) else { return };
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn a_server_that_says_nothing_at_all_is_given_up() {
    let subject = subject("dbus");
    let path = subject.dir().join("dbus");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = ["dbus", "client", "list", "--call-timeout", "0.3"];
    let outcome = run(ipclab(&subject, &client), Input::Nothing);
    let line = contract::failed_clearly(&outcome).unwrap();
    assert!(line.contains("handshake") && line.contains("in time"), "{line}");
    drop(listener);
    std::fs::remove_file(&path).unwrap();
}

/// Runs a tool; what it prints, if it succeeds.
fn tool(words: &[&str], bus: Option<&Bus>) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    if let Some(bus) = bus {
        command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    }
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{words:?}: {}", outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

const BOARD: [&str; 3] =
    ["org.ipclab.Board", "/org/ipclab/Board", "org.ipclab.Board1"];

#[test]
fn busctl_and_gdbus_call_the_board_without_a_bus() {
    if !have("busctl") || !have("gdbus") {
        return;
    }
    let server = Running::start(&[]);
    let address = server.address();
    let [name, object, interface] = BOARD;
    let to = format!("--address={address}");
    let post =
        ["busctl", &to, "call", name, object, interface, "Post", "s", "by busctl"];
    assert_eq!(tool(&post, None), "u 1\n");
    let post = format!("{interface}.Post");
    let call = ["gdbus", "call", "--address", &address, "--dest", name];
    let call =
        [&call[..], &["--object-path", object, "--method", &post, "by gdbus"]];
    assert_eq!(tool(&call.concat(), None), "(uint32 2,)\n");
    assert_eq!(server.prints(&["list"]), "1\tby busctl\n2\tby gdbus\n");
    server.stop();
}

// --- On a bus of the test's own.

/// A session bus: `dbus-run-session` ends it when its program has read all its input.
struct Bus {
    subject: Subject,
    session: Option<RoleProcess>,
    address: String,
}

impl Bus {
    fn start() -> Option<Bus> {
        if !have("dbus-run-session") {
            return None;
        }
        let subject = subject("dbus");
        let mut command = Command::new("dbus-run-session");
        let script = "echo \"$DBUS_SESSION_BUS_ADDRESS\" > address; echo ready; cat";
        command.args(["--", "sh", "-c", script]).current_dir(subject.dir());
        let session = RoleProcess::start("bus", command, Input::Open).unwrap();
        session.wait_for_output(b"ready\n", deadline()).unwrap();
        let file = subject.dir().join("address");
        let address = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        std::fs::remove_file(file).unwrap();
        Some(Bus { subject, session: Some(session), address })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = ipclab(&self.subject, args);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }

    fn server(&self, args: &[&str]) -> RoleProcess {
        let mut command = self.command(&["dbus", "server", "--bus", "session"]);
        command.args(args);
        let role = RoleProcess::start("server", command, Input::Nothing).unwrap();
        role.wait_for_comment("start the other: ", deadline()).unwrap();
        role
    }

    fn start_client(&self, args: &[&str]) -> RoleProcess {
        let mut command = self.command(&["dbus", "client", "--bus", "session"]);
        command.args(args);
        RoleProcess::start("client", command, Input::Nothing).unwrap()
    }

    fn client(&self, args: &[&str]) -> Outcome {
        self.start_client(args).wait(deadline()).unwrap()
    }

    fn end(&mut self) {
        if let Some(session) = self.session.take() {
            session.wait(deadline()).expect("the bus ends");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn on_a_bus_busctl_and_gdbus_are_peers() {
    let Some(bus) = Bus::start() else { return };
    if !have("busctl") || !have("gdbus") {
        return;
    }
    let server = bus.server(&[]);
    let watcher = bus.start_client(&["watch", "--count", "2"]);
    watcher.wait_for_comment("sleeps until a signal", deadline()).unwrap();
    let [name, object, interface] = BOARD;
    let post =
        ["busctl", "--user", "call", name, object, interface, "Post", "s", "one"];
    assert_eq!(tool(&post, Some(&bus)), "u 1\n");
    let method = format!("{interface}.Post");
    let call =
        ["gdbus", "call", "--session", "--dest", name, "--object-path", object];
    let call = [&call[..], &["--method", &method, "two"]].concat();
    assert_eq!(tool(&call, Some(&bus)), "(uint32 2,)\n");
    let get = ["busctl", "--user", "get-property", name, object, interface, "Count"];
    assert_eq!(tool(&get, Some(&bus)), "u 2\n");
    let about = ["gdbus", "introspect", "--session", "--dest", name];
    let about = tool(&[&about[..], &["--object-path", object]].concat(), Some(&bus));
    assert!(about.contains("Post(in  s text,"), "{about}");
    let watched = watcher.wait(deadline()).unwrap();
    assert_eq!(watched.stdout, b"1\tone\n2\ttwo\n", "{}", watched.stderr);
    assert_eq!(bus.client(&["list"]).stdout, b"1\tone\n2\ttwo\n");
    let outcome = server.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(2));
    assert_eq!(outcome.stdout, b"one\ntwo\n");
    bus.subject.nothing_is_left().unwrap();
}

#[test]
fn on_a_bus_the_client_may_be_first() {
    let Some(bus) = Bus::start() else { return };
    let client = bus.start_client(&["call", "Post", "s", "early"]);
    client.wait_for_comment("start the other: ", deadline()).unwrap();
    client.wait_for_comment(" dbus server --bus session\n", deadline()).unwrap();
    let server = bus.server(&["--count", "1"]);
    let client = client.wait(deadline()).unwrap();
    assert_eq!(client.stdout, b"1\n", "{}", client.stderr);
    let server = server.wait(deadline()).unwrap();
    assert!(server.status.success(), "{}", server.stderr);
    assert_eq!(server.stdout, b"early\n");
    bus.subject.nothing_is_left().unwrap();
}

#[test]
fn on_a_bus_a_name_has_one_owner_who_is_named() {
    let Some(bus) = Bus::start() else { return };
    let server = bus.server(&[]);
    let pid = format!("pid {} owns it", server.pid());
    let second = bus.command(&["dbus", "server", "--bus", "session"]);
    let line = contract::failed_clearly(&run(second, Input::Nothing)).unwrap();
    assert!(line.contains(&pid) && line.contains("--at"), "{line}");
    let other = bus.server(&["--at", "org.ipclab.Other"]);
    let posted = bus.client(&["call", "Post", "s", "x", "--at", "org.ipclab.Other"]);
    assert_eq!(posted.stdout, b"1\n", "{}", posted.stderr);
    assert_eq!(bus.client(&["list"]).stdout, b"");
    drop((server, other));
    let bad = bus.client(&["list", "--at", "nodots"]);
    assert_eq!(bad.status.code(), Some(2), "{}", bad.stderr);
}

#[test]
fn on_a_bus_a_server_that_dies_during_a_call_is_no_reply() {
    let Some(bus) = Bus::start() else { return };
    let server = bus.server(&[]);
    // Stopped, it owns the name still: the call waits for it.
    server.signal(Signal::SIGSTOP).unwrap();
    let client = bus.start_client(&["call", "Post", "s", "x"]);
    client.wait_for_comment("org.ipclab.Board1.Post of", deadline()).unwrap();
    let slow = bus.client(&["call", "Post", "s", "y", "--call-timeout", "3"]);
    let line = contract::failed_clearly(&slow).unwrap();
    assert!(line.contains("no reply within 3 s"), "{line}");
    server.stop(Signal::SIGKILL, deadline()).unwrap();
    let line = failure(client);
    assert!(line.contains("org.freedesktop.DBus.Error.NoReply: "), "{line}");
    assert!(line.contains("or not"), "{line}");
}

#[test]
fn on_a_bus_a_call_that_was_given_up_may_still_be_carried_out() {
    let Some(bus) = Bus::start() else { return };
    let server = bus.server(&[]);
    server.signal(Signal::SIGSTOP).unwrap();
    let slow = bus.client(&["call", "Post", "s", "late", "--call-timeout", "3"]);
    let line = contract::failed_clearly(&slow).unwrap();
    assert!(line.contains("carried out, or not"), "{line}");
    server.signal(Signal::SIGCONT).unwrap();
    server.wait_for_output(b"late\n", deadline()).unwrap();
    assert_eq!(bus.client(&["list"]).stdout, b"1\tlate\n");
}

#[test]
fn on_a_bus_a_watcher_outlives_the_server() {
    let Some(bus) = Bus::start() else { return };
    let server = bus.server(&[]);
    let watcher = bus.start_client(&["watch", "--count", "2"]);
    watcher.wait_for_comment("sleeps until a signal", deadline()).unwrap();
    bus.client(&["call", "Post", "s", "before"]);
    server.stop(Signal::SIGTERM, deadline()).unwrap();
    watcher.wait_for_comment("no owner any more", deadline()).unwrap();
    let _server = bus.server(&[]);
    bus.client(&["call", "Post", "s", "after"]);
    let watched = watcher.wait(deadline()).unwrap();
    assert_eq!(watched.stdout, b"1\tbefore\n1\tafter\n", "{}", watched.stderr);
}

#[test]
fn without_a_bus_the_way_to_one_is_named() {
    let subject = subject("dbus");
    for (bus, way_out) in [
        ("session", "dbus-run-session -- "),
        ("system", "--bus session"),
        ("unix:path=/nowhere/bus", "dbus-daemon"),
    ] {
        for role in [&["server"][..], &["client", "list"]] {
            let mut command = ipclab(&subject, &["dbus"]);
            command.args(role).args(["--bus", bus]);
            command.env_remove("DBUS_SESSION_BUS_ADDRESS");
            command.env("XDG_RUNTIME_DIR", subject.dir());
            command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/system");
            let outcome = run(command, Input::Nothing);
            let line = contract::failed_clearly(&outcome).unwrap();
            assert!(line.contains("ENOENT") && line.contains(way_out), "{line}");
        }
    }
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_bus_that_ends_ends_the_server_and_the_client() {
    let Some(mut bus) = Bus::start() else { return };
    let server = bus.server(&[]);
    let watcher = bus.start_client(&["watch"]);
    watcher.wait_for_comment("sleeps until a signal", deadline()).unwrap();
    bus.end();
    for role in [server, watcher] {
        let outcome = role.wait(deadline()).unwrap();
        let line = contract::failed_clearly(&outcome).unwrap();
        assert!(line.contains("recv"), "{line}");
    }
    bus.subject.nothing_is_left().unwrap();
}

#[test]
fn peers_may_come_once_the_ready_line_is_written() {
    use std::os::fd::AsRawFd;
    let subject = subject("dbus");
    let (reading, writing) = pipe2(OFlag::empty()).unwrap();
    let mut command = ipclab(&subject, &["dbus", "server", "--ready-fd"]);
    command.arg(writing.as_raw_fd().to_string());
    let server = RoleProcess::start("server", command, Input::Nothing).unwrap();
    drop::<OwnedFd>(writing);
    let mut line = String::new();
    std::fs::File::from(reading).read_to_string(&mut line).unwrap();
    let path = subject.dir().join("dbus");
    assert_eq!(line, format!("unix:path={}\n", path.display()));
    UnixStream::connect(path).unwrap();
    server.stop(Signal::SIGTERM, deadline()).unwrap();
}
