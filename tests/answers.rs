//! Answers that cannot be given, or do not come whole: what had arrived before is printed all
//! the same, and the exit status says whether all was done.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, bind,
    connect, listen, send, shutdown, socket,
};
use os::calls::accept4;
use os::process_identity::state;
use support::*;

/// A server that prints, and how its clients come to it.
#[derive(Clone, Copy)]
struct Kind {
    words: &'static [&'static str],
    by: By,
}

#[derive(Clone, Copy, PartialEq)]
enum By {
    Tcp,
    Stream,
    Seqpacket,
}

const TCP: &[&str] = &["--listen", "127.0.0.1:0"];

const fn kind(words: &'static [&'static str], by: By) -> Kind {
    Kind { words, by }
}

const KINDS: &[Kind] = &[
    kind(&["unix", "server"], By::Stream),
    kind(&["unix", "server", "--type", "seqpacket"], By::Seqpacket),
    kind(&["tcp", "server"], By::Tcp),
    kind(&["tcp", "server", "--strategy", "fork"], By::Tcp),
    kind(&["tcp", "server", "--strategy", "fork", "--reap", "ignore"], By::Tcp),
    kind(&["tcp", "server", "--strategy", "threads"], By::Tcp),
    kind(&["multiplex", "server", "--with", "select"], By::Stream),
    kind(&["multiplex", "server", "--with", "poll"], By::Stream),
    kind(&["multiplex", "server"], By::Stream),
    kind(&["multiplex", "server", "--edge"], By::Stream),
    kind(&["multiplex", "server", "--oneshot"], By::Stream),
    kind(&["fdpass", "fork"], By::Tcp),
];

/// Whom a client of ours is connected to, and who prints what it says.
fn start(subject: &Subject, kind: Kind, more: &[&str]) -> (RoleProcess, OwnedFd) {
    let listen = if kind.by == By::Tcp { TCP } else { &[] };
    let words = [kind.words, listen, &["--count", "1"], more].concat();
    let server =
        RoleProcess::start("server", ipclab(subject, &words), Input::Nothing)
            .unwrap();
    server.wait_for_comment("start the other", deadline()).unwrap();
    let client: OwnedFd = if kind.by == By::Tcp {
        let note = subject.dir().join(kind.words[0]).with_extension("addr");
        let address = std::fs::read_to_string(note).unwrap();
        let client = TcpStream::connect(address.trim_end()).unwrap();
        client.set_nodelay(true).unwrap();
        client.into()
    } else {
        let seqpacket = kind.by == By::Seqpacket;
        let of = if seqpacket { SockType::SeqPacket } else { SockType::Stream };
        let client =
            socket(AddressFamily::Unix, of, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let name = UnixAddr::new(&subject.dir().join(kind.words[0])).unwrap();
        connect(client.as_raw_fd(), &name).unwrap();
        client
    };
    (server, client)
}

/// Hands over as many of `messages` as the kernel takes while nobody reads; returns how many.
fn hand_over(client: &OwnedFd, messages: &[Vec<u8>]) -> usize {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    for (number, message) in messages.iter().enumerate() {
        let mut left = message.as_slice();
        while !left.is_empty() {
            match send(client.as_raw_fd(), left, flags) {
                Ok(taken) => left = &left[taken..],
                Err(Errno::EAGAIN) if left.len() == message.len() => return number,
                Err(error) => panic!("{error} after {number} messages"),
            }
        }
    }
    messages.len()
}

/// How a client leaves that has not read its answers.
const WAYS: &[&str] =
    &["close", "half-close, then close", "deaf, then close", "reset"];

fn leave(client: OwnedFd, by: By, way: &str) {
    match way {
        "half-close, then close" => {
            shutdown(client.as_raw_fd(), Shutdown::Write).unwrap()
        }
        "deaf, then close" => shutdown(client.as_raw_fd(), Shutdown::Read).unwrap(),
        // A Unix socket has no linger: it is a reset if something is unread.
        "reset" if by == By::Tcp => {
            rustix::net::sockopt::set_socket_linger(
                client.as_fd(),
                Some(Duration::ZERO),
            )
            .unwrap();
        }
        _ => {}
    }
    drop(client);
}

/// Stops each thread of a role: when kill(2) returns, some may still run.
fn stop(role: &RoleProcess) {
    role.signal(Signal::SIGSTOP).unwrap();
    let tasks = format!("/proc/{}/task", role.pid());
    until("each thread is stopped", || {
        let tasks = std::fs::read_dir(&tasks).unwrap();
        let mut ids = tasks.map(|task| task.unwrap().file_name());
        ids.all(|id| state(id.to_str().unwrap().parse().unwrap()) == Some('T'))
    });
}

/// Whether something lies there that was not received.
fn is_readable(socket: &OwnedFd) -> bool {
    let mut socket = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut socket, PollTimeout::ZERO).unwrap() == 1
}

/// What is sent: `number` messages, as they go on the wire.
fn numbers(number: usize, by: By) -> Vec<Vec<u8>> {
    let newline = if by == By::Seqpacket { "" } else { "\n" };
    (0..number).map(|index| format!("{index:04}{newline}").into_bytes()).collect()
}

/// What a server prints of a client that hands over `number` messages while the server is
/// stopped, and leaves without reading an answer, be there one (`unread`) or none; and how
/// many were handed over.
fn printed(kind: Kind, way: &str, unread: bool, more: &[&str]) -> (Vec<u8>, usize) {
    let subject = subject(kind.words[0]);
    let (server, client) = start(&subject, kind, more);
    let messages = numbers(2000, kind.by);
    let first = usize::from(unread);
    assert_eq!(hand_over(&client, &messages[..first]), first);
    if unread {
        until("an answer", || is_readable(&client));
    }
    // So that all is there before the next answer. `fork` goes on: its child may answer at
    // once, which is another order of the same.
    stop(&server);
    let handed = first + hand_over(&client, &messages[first..]);
    if kind.by == By::Tcp {
        // What its kernel has not sent by then, it loses by a reset.
        until("all is sent", || os::siocoutq::unread(&client).unwrap() == 0);
    }
    leave(client, kind.by, way);
    server.signal(Signal::SIGCONT).unwrap();
    let outcome = server.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{:?} {way}: {}", kind.words, outcome.stderr);
    subject.nothing_is_left().unwrap();
    (outcome.stdout, handed)
}

#[test]
fn what_a_client_said_before_it_left_unanswered_is_printed() {
    for kind in KINDS {
        for (way, unread) in WAYS.iter().flat_map(|way| [(way, false), (way, true)])
        {
            let (printed, handed) = printed(*kind, way, unread, &[]);
            assert!(handed > 200, "{:?}: {handed}", kind.words);
            let lines: Vec<_> =
                (0..handed).map(|index| format!("{index:04}\n")).collect();
            let printed = String::from_utf8(printed).unwrap();
            let (words, count) = (kind.words, printed.lines().count());
            assert!(
                printed == lines.concat(),
                "{words:?} {way}, {unread}: {count} of {handed} lines"
            );
        }
    }
}

#[test]
fn it_is_printed_in_each_style() {
    for kind in KINDS {
        let (bytes, handed) = printed(*kind, "close", false, &["--bytes"]);
        assert!(
            bytes == numbers(handed, kind.by).concat(),
            "{:?} --bytes",
            kind.words
        );
        let (json, handed) = printed(*kind, "close", false, &["--json"]);
        let json = String::from_utf8(json).unwrap();
        assert_eq!(json.lines().count(), handed, "{:?} --json", kind.words);
        for (number, line) in json.lines().enumerate() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["number"], number + 1, "{:?}", kind.words);
            assert_eq!(object["text"], format!("{number:04}"), "{:?}", kind.words);
        }
    }
}

// Not by TCP: what goes beyond its window has not arrived.
#[test]
fn more_than_one_read_of_it_is_printed() {
    for kind in KINDS.iter().filter(|kind| kind.by == By::Stream) {
        let subject = subject(kind.words[0]);
        let (server, client) = start(&subject, *kind, &[]);
        stop(&server);
        let line = [vec![b'x'; 9999], b"\n".to_vec()].concat();
        let mut handed = 0;
        while handed < 100
            && send(client.as_raw_fd(), &line, MsgFlags::MSG_DONTWAIT)
                == Ok(line.len())
        {
            handed += 1;
        }
        // A last one may have gone in part.
        drop(client);
        server.signal(Signal::SIGCONT).unwrap();
        let outcome = server.wait(deadline()).unwrap();
        let whole = line.repeat(handed);
        assert!(handed > 8, "{:?}: {handed}", kind.words);
        let (got, want) = (outcome.stdout.len(), whole.len());
        assert!(
            outcome.stdout.starts_with(&whole),
            "{:?}: {got} of {want}",
            kind.words
        );
    }
}

/// The peer's end is shut for reading, so that what it is sent fails by EPIPE; then it is closed
/// with something unread. A socket of packets tells of that reset before it gives the packets
/// that came first.
#[test]
fn a_reset_after_a_broken_pipe_loses_no_packet() {
    let packets = kind(&["unix", "server", "--type", "seqpacket"], By::Seqpacket);
    let subject = subject("unix");
    let (server, client) = start(&subject, packets, &[]);
    let messages = numbers(50, By::Seqpacket);
    assert_eq!(hand_over(&client, &messages[..1]), 1);
    until("the answer, which stays unread", || is_readable(&client));
    shutdown(client.as_raw_fd(), Shutdown::Read).unwrap();
    assert_eq!(hand_over(&client, &messages[1..2]), 1);
    prints_all_after_a_broken_pipe(server, client, &messages[2..]);
}

/// Hands packets over to a stopped role whose send has failed by EPIPE, closes the peer's end with
/// something unread, and wants all 50 numbers printed.
fn prints_all_after_a_broken_pipe(
    role: RoleProcess,
    peer: OwnedFd,
    packets: &[Vec<u8>],
) -> Outcome {
    role.wait_for_comment("EPIPE", deadline()).unwrap();
    stop(&role);
    assert_eq!(hand_over(&peer, packets), packets.len());
    drop(peer);
    role.signal(Signal::SIGCONT).unwrap();
    let outcome = role.wait(deadline()).unwrap();
    let all = numbers(50, By::Stream).concat();
    assert_eq!(outcome.stdout, all, "{}", outcome.stderr);
    outcome
}

#[test]
fn a_reset_after_a_broken_pipe_loses_no_answer() {
    let subject = subject("unix");
    let path = subject.dir().join("other");
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let words = ["unix", "client", "--type", "seqpacket", "--at"];
    let mut command = ipclab(&subject, &words);
    command.arg(&path);
    let mut client = RoleProcess::start("client", command, Input::Open).unwrap();
    client.feed(b"one\n").unwrap();
    let server = accept4(&listener, flags).unwrap();
    until("the message, which stays unread", || is_readable(&server));
    shutdown(server.as_raw_fd(), Shutdown::Read).unwrap();
    client.feed(b"two\n").unwrap();
    let answers = numbers(50, By::Seqpacket);
    let outcome = prints_all_after_a_broken_pipe(client, server, &answers);
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
}

#[test]
fn a_once_server_prints_the_one_message_that_it_takes() {
    for way in WAYS {
        let once = kind(&["tcp", "server", "--strategy", "once"], By::Tcp);
        let (printed, _) = printed(once, way, false, &[]);
        assert_eq!(printed, b"0000\n", "{way}");
    }
}

/// What a server of the test's own does after it has read the client's first bytes.
fn serve_in_part(mut socket: impl Read + Write + AsFd, answer: &[u8]) -> Option<()> {
    let mut first = [0; 1];
    socket.read_exact(&mut first).ok()?;
    socket.write_all(answer).ok()?;
    // Closed with something unread: a reset, on a Unix socket as well.
    Some(())
}

/// The clients that are told where the server is, by `{}`.
const CLIENTS: &[&[&str]] = &[
    &["tcp", "client", "--connect", "{}"],
    &["fdpass", "client", "--connect", "{}"],
    &["multiplex", "client", "--connect", "{}"],
    &["unix", "client", "--at", "{}"],
    &["multiplex", "client", "--at", "{}"],
];

/// Runs a client whose server answers with `answer`, and resets the connection.
fn cut_off(words: &[&str], more: &[&str], answer: &'static [u8]) -> Outcome {
    let subject = subject(words[0]);
    let path = subject.dir().join("other");
    let at = if words.contains(&"--at") {
        let listener = UnixListener::bind(&path).unwrap();
        let serve = move || serve_in_part(listener.accept().unwrap().0, answer);
        std::thread::spawn(serve);
        path.display().to_string()
    } else {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let serve = move || serve_in_part(listener.accept().unwrap().0, answer);
        std::thread::spawn(serve);
        at
    };
    let words: Vec<_> = words.iter().map(|word| word.replace("{}", &at)).collect();
    let mut command =
        ipclab(&subject, &words.iter().map(String::as_str).collect::<Vec<_>>());
    command.args(more);
    run(command, Input::Bytes(b"one and more\n".to_vec()))
}

#[test]
fn a_part_of_an_answer_and_then_a_reset_is_no_success() {
    for words in CLIENTS {
        for (more, printed) in [
            (&["--bytes"][..], &b"one a"[..]),
            (&[], b"one a\n"),
            (&["--json"], b"{\"length\":5,\"number\":1,\"text\":\"one a\"}\n"),
        ] {
            let outcome = cut_off(words, more, b"one a");
            let said = &outcome.stderr;
            assert_eq!(outcome.status.code(), Some(1), "{words:?} {more:?}: {said}");
            assert_eq!(outcome.stdout, printed, "{words:?} {more:?}");
            let line = contract::failed_clearly(&outcome).unwrap();
            assert!(line.contains("ECONNRESET"), "{words:?} {more:?}: {line}");
            assert!(line.contains("handed over"), "{words:?} {more:?}: {line}");
        }
    }
}

#[test]
fn whole_answers_before_a_reset_are_printed_first() {
    for words in CLIENTS {
        let outcome = cut_off(words, &["--framing", "lines"], b"first\nsecond\nthi");
        assert_eq!(outcome.status.code(), Some(1), "{words:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, b"first\nsecond\nthi\n", "{words:?}");
    }
}
