//! The roles as somebody has them who sits at a terminal.

mod support;

use std::process::Command;

use support::terminal::Terminal;
use support::*;
use textwrap::core::display_width;

/// The program at a terminal of so many columns, without colours.
fn at_terminal(subject: &Subject, args: &[&str], columns: u16) -> Option<Terminal> {
    let mut command = ipclab(subject, args);
    command.args(["--color", "never"]).env_remove("COLUMNS");
    Terminal::of_columns(&command, columns)
}

/// The same with its standard input from elsewhere, so that nobody types.
fn untyped(subject: &Subject, args: &[&str], columns: u16) -> Option<Terminal> {
    let program = program();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" < /dev/null", "sh"]).arg(program).args(args);
    shell.args(["--color", "never"]).env("IPCLAB_DIR", subject.dir());
    shell.env_remove("COLUMNS").current_dir(subject.dir());
    Terminal::of_columns(&shell, columns)
}

/// The command after `start the other:`, as one would copy it from the terminal.
fn start_the_other(shown: &str) -> String {
    let (_, after) = shown.split_once("start the other:").expect("a command");
    let after = after.trim_start();
    let mut command = String::new();
    for line in after.lines() {
        command += line;
        command.push('\n');
        if !line.ends_with('\\') {
            break;
        }
    }
    command
}

/// What keeps a server off the port that everybody uses.
fn any_port(chapter: &str) -> &'static [&'static str] {
    match chapter {
        "tcp" | "udp" => &["--listen", "127.0.0.1:0"],
        _ => &[],
    }
}

/// Its two roles of a terminal each, the one that waits first.
fn roles(chapter: &str) -> (&'static str, &'static str) {
    match chapter {
        "unix" | "tcp" | "udp" | "multiplex" => ("server", "client"),
        _ => ("receiver", "sender"),
    }
}

const HINT: &str = "type a message and Enter; Ctrl-D ends";

#[test]
fn whoever_waits_for_typing_says_how_to_type_and_how_to_end() {
    for chapter in [
        "fifo",
        "file",
        "signal",
        "posixmq",
        "sysvmq",
        "shm",
        "mmap",
        "unix",
        "tcp",
        "udp",
        "multiplex",
    ] {
        let (first, second) = roles(chapter);
        let subject = subject(chapter);
        let count = if first == "server" { "--count=1" } else { "--count=2" };
        let args = [&[chapter, first, count], any_port(chapter)].concat();
        let Some(waits) = untyped(&subject, &args, 80) else { return };
        waits.shows("start the other:", 1);
        waits.shows("Ctrl-C ends this", 1);
        let mut types = at_terminal(&subject, &[chapter, second], 80).unwrap();
        types.shows(HINT, 1);
        types.types("one\r");
        types.types("two\r");
        types.types("\x04");
        let (status, shown) = types.ends();
        assert!(status.success(), "{chapter}: {shown}");
        let (status, shown) = waits.ends();
        assert!(status.success(), "{chapter}: {shown}");
        for line in ["one", "two"] {
            assert!(shown.contains(line), "{chapter}: {shown}");
        }
    }
}

#[test]
fn who_is_quiet_or_does_not_type_is_told_nothing_of_typing() {
    let subject = subject("fifo");
    let Some(receiver) = untyped(&subject, &["fifo", "receiver", "-q"], 80) else {
        return;
    };
    let mut sender = at_terminal(&subject, &["fifo", "sender", "-q"], 80).unwrap();
    sender.types("one\r\x04");
    let (_, shown) = sender.ends();
    assert!(!shown.contains("Ctrl"), "{shown}");
    let (_, shown) = receiver.ends();
    assert_eq!(shown, "one\r\n");
    let receiver = untyped(&subject, &["fifo", "receiver"], 80).unwrap();
    receiver.shows("start the other", 1);
    let (_, shown) = untyped(&subject, &["fifo", "sender"], 80).unwrap().ends();
    assert!(!shown.contains("Ctrl-D"), "{shown}");
    receiver.ends();
}

#[test]
fn the_command_that_starts_the_other_works_as_it_is_copied_and_says_something() {
    for (args, reads) in [
        (&["fifo", "receiver"][..], true),
        (&["fifo", "receiver", "--bytes"], true),
        (&["fifo", "receiver", "--framing", "length"], true),
        (&["file", "receiver"], true),
        (&["signal", "receiver"], true),
        (&["posixmq", "receiver"], true),
        (&["sysvmq", "receiver"], true),
        (&["shm", "receiver"], true),
        (&["mmap", "receiver"], true),
        (&["unix", "server", "--count", "1"], true),
        (&["unix", "server", "--count", "1", "--type", "dgram"], true),
        (&["unix", "server", "--count", "1", "--bytes"], true),
        (&["tcp", "server", "--count", "1", "--listen", "127.0.0.1:0"], true),
        (&["udp", "server", "--count", "1", "--listen", "127.0.0.1:0"], true),
        (&["multiplex", "server", "--count", "1"], true),
        (&["fifo", "sender", "a b"], false),
    ] {
        let subject = subject(args[0]);
        let Some(waits) = untyped(&subject, args, 60) else { return };
        waits.shows("start the other:", 1);
        waits.shows("Ctrl-C ends this", 1);
        let command = start_the_other(&waits.so_far());
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(subject.dir());
        let other = run(shell, Input::Nothing);
        assert!(other.status.success(), "{command}: {}", other.stderr);
        let (status, shown) = waits.ends();
        assert!(status.success(), "{args:?}: {shown}");
        assert!(!reads || shown.contains("hello"), "{args:?}: {shown}");
    }
}

#[test]
fn every_line_is_folded_at_the_width_of_the_terminal() {
    for columns in [60, 80, 120] {
        for chapter in ["fifo", "file", "signal", "shm", "unix", "tcp"] {
            let (first, second) = roles(chapter);
            let subject = subject(chapter);
            let args =
                [chapter, first, "--count", "1", "--at", "a-rather-long-name"];
            let args = if chapter == "tcp" { &args[..4] } else { &args[..] };
            let waits = [args, any_port(chapter)].concat();
            let Some(waits) = untyped(&subject, &waits, columns) else { return };
            waits.shows("Ctrl-C ends this", 1);
            let text = "你好,世界: a message that is of many words and rather long";
            let args = [&[chapter, second], &args[4..], &[text]].concat();
            let (_, sent) = untyped(&subject, &args, columns).unwrap().ends();
            let (_, received) = waits.ends();
            for line in sent.lines().chain(received.lines()) {
                let is_word = line.trim().split(' ').count() <= 2; // a path in a command
                let is_payload = line.trim() == text;
                assert!(
                    display_width(line) <= usize::from(columns)
                        || is_word
                        || is_payload,
                    "{columns}: {line:?}\n{sent}{received}"
                );
                let roles = ["receiver │", "sender   │", "server   │", "client   │"];
                let begins = roles.iter().any(|role| line.starts_with(role));
                assert!(
                    begins || is_payload || line.starts_with("           "),
                    "{line:?}"
                );
            }
        }
    }
}

#[test]
fn what_goes_elsewhere_is_one_line_a_call() {
    let subject = subject("fifo");
    let mut command = ipclab(&subject, &["fifo", "receiver"]);
    command.env("COLUMNS", "60");
    let receiver = RoleProcess::start("receiver", command, Input::Nothing).unwrap();
    receiver.wait_for_comment("start the other: ", deadline()).unwrap();
    let long = "word ".repeat(40);
    run(ipclab(&subject, &["fifo", "sender", &long]), Input::Nothing);
    let outcome = receiver.wait(deadline()).unwrap();
    let name = format!(
        "open({}/fifo, O_RDONLY) sleeps until a writer",
        subject.dir().display()
    );
    assert!(outcome.stderr.contains(&name), "{}", outcome.stderr);
    assert!(outcome.stderr.lines().all(|line| line.starts_with("receiver │ ")));
    assert!(!outcome.stderr.contains("Ctrl-C"), "{}", outcome.stderr);
}

#[test]
fn text_is_shown_as_text_and_bytes_as_bytes() {
    let subject = subject("fifo");
    let start = || {
        let receiver = ipclab(&subject, &["fifo", "receiver"]);
        RoleProcess::start("receiver", receiver, Input::Nothing).unwrap()
    };
    let (receiver, sender) =
        (start(), ipclab(&subject, &["fifo", "sender", "你好"]));
    let sender = run(sender, Input::Nothing);
    assert!(
        sender.stderr.contains("write(\"你好\\n\", 7 bytes)"),
        "{}",
        sender.stderr
    );
    let receiver = receiver.wait(deadline()).unwrap();
    assert!(
        receiver.stderr.contains("read() = 7: \"你好\\n\""),
        "{}",
        receiver.stderr
    );
    let receiver = start();
    let sender = run(
        ipclab(&subject, &["fifo", "sender"]),
        Input::Bytes(b"\xe4\xbd\n".to_vec()),
    );
    assert!(
        sender.stderr.contains(r#"write("\xe4\xbd\n", 3)"#),
        "{}",
        sender.stderr
    );
    receiver.wait(deadline()).unwrap();
}

#[test]
fn the_end_of_a_stream_is_said_however_many_reads_came_before() {
    for (chapter, server, end) in [
        ("tcp", &["server"][..], "client 1: recv() = 0: the client has said all"),
        ("udp", &["server"], "recvfrom() = 0: an empty datagram: goodbye"),
        ("unix", &["server"], "client 1: recv() = 0: the client has said all"),
        ("unix", &["server", "--type", "seqpacket"], "the client has said all"),
        ("unix", &["server", "--type", "dgram"], "the empty datagram, its goodbye"),
        ("multiplex", &["server"], "= 0: it has said all"),
        ("multiplex", &["server"], "client 1: close("),
    ] {
        let subject = subject(chapter);
        let mut args = vec![chapter];
        args.extend(server);
        args.extend(["--count", "1"]);
        args.extend(any_port(chapter));
        let server = ipclab(&subject, &args);
        let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
        server.wait_for_comment("start the other: ", deadline()).unwrap();
        let mut client = vec![chapter, "client"];
        client.extend(args.iter().skip(2).take_while(|arg| **arg != "--count"));
        let mut client =
            RoleProcess::start("client", ipclab(&subject, &client), Input::Open)
                .unwrap();
        for number in 1..=5 {
            client.feed(format!("{number}\n").as_bytes()).unwrap();
            client
                .wait_for_output(format!("{number}\n").as_bytes(), deadline())
                .unwrap();
        }
        client.wait(deadline()).unwrap();
        let outcome = server.wait(deadline()).unwrap();
        assert!(outcome.stderr.contains(end), "{chapter}: {}", outcome.stderr);
    }
}

#[test]
fn all_names_every_call() {
    let subject = subject("fifo");
    let receiver = ipclab(&subject, &["fifo", "receiver", "--all"]);
    let receiver = RoleProcess::start("receiver", receiver, Input::Nothing).unwrap();
    let words: Vec<String> =
        (1..=50).map(|number| format!("word {number}")).collect();
    let mut args = vec!["fifo", "sender", "--all"];
    args.extend(words.iter().map(String::as_str));
    let sender = run(ipclab(&subject, &args), Input::Nothing);
    receiver.wait(deadline()).unwrap();
    for word in &words {
        assert!(
            sender.stderr.contains(&format!("write(\"{word}\\n\"")),
            "{}",
            sender.stderr
        );
    }
    assert!(!sender.stderr.contains("in all"), "{}", sender.stderr);
}

#[test]
fn who_types_to_a_server_that_has_left_is_told_how_to_end() {
    for chapter in ["tcp", "unix", "multiplex"] {
        let subject = subject(chapter);
        let args = [&[chapter, "server"], any_port(chapter)].concat();
        let server = ipclab(&subject, &args);
        let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
        server.wait_for_comment("start the other: ", deadline()).unwrap();
        let Some(mut client) = at_terminal(&subject, &[chapter, "client"], 80)
        else {
            return;
        };
        client.shows(HINT, 1);
        server.stop(nix::sys::signal::Signal::SIGKILL, deadline()).unwrap();
        client.shows("no more answers will come; Ctrl-D ends", 1);
        client.types("\x04");
        let (_, shown) = client.ends();
        assert_eq!(shown.matches("no more answers").count(), 1, "{shown}");
    }
}

#[test]
fn a_role_whose_other_waits_already_does_not_ask_for_it() {
    for (chapter, first, second, seen) in [
        ("file", "sender", "receiver", "a sender is there"),
        ("signal", "sender", "receiver", "a sender is there"),
        ("posixmq", "sender", "receiver", "a sender is there"),
        ("sysvmq", "sender", "receiver", "a sender is there"),
        ("shm", "sender", "receiver", "the sender is there"),
        ("mmap", "sender", "receiver", "the sender is there"),
        ("fifo", "sender", "receiver", "a writer is there"),
        ("unix", "client", "server", "client 1"),
        ("tcp", "client", "server", "accept() = a socket"),
        ("multiplex", "client", "server", "client 1"),
        ("dbus", "client", "server", "client 1"),
    ] {
        let subject = subject(chapter);
        let args: &[&str] = match chapter {
            "dbus" => &["dbus", "client", "call", "Post", "s", "hello"],
            _ => &[chapter, first],
        };
        let waits = RoleProcess::start("first", ipclab(&subject, args), Input::Open)
            .unwrap();
        waits.wait_for_comment("start the other: ", deadline()).unwrap();
        let args: &[&str] = match first {
            "client" if chapter == "tcp" => {
                &["tcp", "server", "--count", "1", "--listen", "127.0.0.1:0"]
            }
            "client" => &[chapter, second, "--count", "1"],
            _ => &[chapter, second],
        };
        let comes =
            RoleProcess::start("second", ipclab(&subject, args), Input::Nothing);
        let comes = comes.unwrap();
        comes.wait_for_comment(seen, deadline()).unwrap();
        // Closes its input, and so ends both.
        let first = waits.wait(deadline()).unwrap();
        assert!(first.status.success(), "{chapter}: {}", first.stderr);
        let comes = comes.wait(deadline()).unwrap();
        let asked = comes.stderr.contains("start the other");
        assert!(!asked, "{chapter}: {}", comes.stderr);
    }
}

#[test]
fn what_a_peer_framed_otherwise_is_said_to_differ() {
    for (reads, writes) in [("length", "lines"), ("lines", "length")] {
        let subject = subject("fifo");
        let receiver = ipclab(&subject, &["fifo", "receiver", "--framing", reads]);
        let receiver =
            RoleProcess::start("receiver", receiver, Input::Nothing).unwrap();
        let args = ["fifo", "sender", "--framing", writes, "hello"];
        run(ipclab(&subject, &args), Input::Nothing);
        let outcome = receiver.wait(deadline()).unwrap();
        assert!(outcome.stderr.contains("framing differs: "), "{}", outcome.stderr);
        assert_eq!(outcome.status.success(), reads == "lines");
    }
}

#[test]
fn a_write_that_fails_is_not_shown_as_done() {
    let subject = subject("fifo");
    let receiver = ipclab(&subject, &["fifo", "receiver"]);
    let receiver = RoleProcess::start("receiver", receiver, Input::Nothing).unwrap();
    receiver.wait_for_comment("sleeps until a writer", deadline()).unwrap();
    let sender = ipclab(&subject, &["fifo", "sender"]);
    let mut sender = RoleProcess::start("sender", sender, Input::Open).unwrap();
    sender.wait_for_comment("a reader is there", deadline()).unwrap();
    receiver.stop(nix::sys::signal::Signal::SIGINT, deadline()).unwrap();
    sender.feed(b"after\n").unwrap();
    let said = sender.wait(deadline()).unwrap().stderr;
    assert!(said.contains("write() = EPIPE: nobody is there to read it"), "{said}");
}

#[test]
fn a_sleep_in_the_ring_is_said_once_and_a_wake_tells_whom_it_met() {
    for chapter in ["shm", "mmap"] {
        let subject = subject(chapter);
        let receiver = ipclab(&subject, &[chapter, "receiver"]);
        let receiver =
            RoleProcess::start("receiver", receiver, Input::Nothing).unwrap();
        receiver.wait_for_comment("sleeps until head moves", deadline()).unwrap();
        let pid = receiver.pid();
        // It has slept, and looked whether its peer lives, more often than is named.
        until("its tenth sleep", || os::proc::times_slept(pid).unwrap() > 10);
        let sender = ipclab(&subject, &[chapter, "sender"]);
        let mut sender = RoleProcess::start("sender", sender, Input::Open).unwrap();
        sender.wait_for_comment("the receiver is there", deadline()).unwrap();
        let stopped = nix::sys::signal::Signal::SIGKILL;
        let said = receiver.stop(stopped, deadline()).unwrap().stderr;
        assert_eq!(said.matches("sleeps until head moves").count(), 1, "{said}");
        sender.feed(b"nobody reads\n").unwrap();
        let said = sender.wait(deadline()).unwrap().stderr;
        assert!(!said.contains("the other side"), "{said}");
        // The ring waits for a receiver that reads the message.
        let clean = ipclab(&subject, &["clean", "--pending"]);
        let cleaned = run(clean, Input::Nothing);
        assert!(cleaned.status.success(), "{}", cleaned.stderr);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn a_client_says_that_the_server_is_another_users() {
    if !offers("fdpass", "other-user") {
        return;
    }
    let subject = subject("tcp");
    let server = ipclab(&subject, &["tcp", "server", "--listen", "127.0.0.1:0"]);
    let server = RoleProcess::start("server", server, Input::Nothing).unwrap();
    server.wait_for_comment("start the other: ", deadline()).unwrap();
    let mut files = std::fs::read_dir(subject.dir()).unwrap();
    let address = files
        .find_map(|file| {
            let text = std::fs::read_to_string(file.unwrap().path()).ok()?;
            text.starts_with("127.0.0.1:").then_some(text)
        })
        .expect("it has published its address");
    let opened = std::fs::File::open(program()).unwrap();
    let args = ["tcp", "client", "--connect", address.trim(), "my homework"];
    let said = run(as_nobody(&opened, &args), Input::Nothing).stderr;
    let (before, _) = said.split_once("send(").expect("it sends");
    assert!(before.contains("the server belongs to uid 0"), "{said}");
    let ours = run(ipclab(&subject, &["tcp", "client", "hello"]), Input::Nothing);
    assert!(!ours.stderr.contains("belongs to"), "{}", ours.stderr);
}
