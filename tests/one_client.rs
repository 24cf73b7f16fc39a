//! What one client does, or has no room for, ends no server; and no wait is deaf.
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::sys::socket::sockopt::{ReceiveTimeout, SndBuf};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr,
    bind, connect, listen, recvfrom, send, sendmsg, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::net::SocketFlags;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use support::{
    Input, NOBODY, Output, RoleProcess, Subject, as_nobody, deadline, ipclab,
    program, run, subject, until,
};

/// A server, and how its clients find it.
struct Server {
    chapter: &'static str,
    args: &'static [&'static str],
    kind: SockType,
}

const UNIX: [Server; 3] = [
    Server { chapter: "unix", args: &["server"], kind: SockType::Stream },
    Server {
        chapter: "unix",
        args: &["server", "--type", "seqpacket"],
        kind: SockType::SeqPacket,
    },
    Server {
        chapter: "unix",
        args: &["server", "--type", "dgram"],
        kind: SockType::Datagram,
    },
];

const MULTIPLEX: Server =
    Server { chapter: "multiplex", args: &["server"], kind: SockType::Stream };

const TCP: [&[&str]; 4] = [
    &["server", "--listen", "127.0.0.1:0", "--strategy", "iterative"],
    &["server", "--listen", "127.0.0.1:0", "--strategy", "once"],
    &["server", "--listen", "127.0.0.1:0", "--strategy", "fork"],
    &["server", "--listen", "127.0.0.1:0", "--strategy", "threads"],
];

impl Server {
    fn start(&self, subject: &Subject) -> RoleProcess {
        start(subject, self.chapter, self.args)
    }

    /// A client's socket, which waits for an answer for a while and not for ever.
    fn client(&self, subject: &Subject) -> OwnedFd {
        let (unix, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let client = socket(unix, self.kind, flags, None).unwrap();
        setsockopt(&client, ReceiveTimeout, &TimeVal::seconds(60)).unwrap();
        if self.kind == SockType::Datagram {
            bind(client.as_raw_fd(), &UnixAddr::new_unnamed()).unwrap();
        }
        let server = UnixAddr::new(&subject.dir().join(self.chapter)).unwrap();
        connect(client.as_raw_fd(), &server).unwrap();
        client
    }
}

/// Starts a server, and waits until clients may come.
fn start(subject: &Subject, chapter: &str, args: &[&str]) -> RoleProcess {
    let mut command = ipclab(subject, &[chapter]);
    command.args(args);
    await_clients(RoleProcess::start("server", command, Input::Nothing).unwrap())
}

fn await_clients(server: RoleProcess) -> RoleProcess {
    server.wait_for_comment("sleeps until", deadline()).unwrap();
    server
}

/// Sends `message`; the answer to it.
fn ask(client: &OwnedFd, message: &[u8]) -> Vec<u8> {
    let none = MsgFlags::MSG_NOSIGNAL;
    assert_eq!(send(client.as_raw_fd(), message, none).unwrap(), message.len());
    let mut answer = vec![0; message.len()];
    let (n, _) = recvfrom::<UnixAddr>(client.as_raw_fd(), &mut answer).unwrap();
    answer.truncate(n);
    answer
}

fn tcp_client(subject: &Subject) -> TcpStream {
    let address = std::fs::read_to_string(subject.dir().join("tcp.addr")).unwrap();
    let client = TcpStream::connect(address.trim_end()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client
}

fn pass(socket: &OwnedFd, message: &[u8], descriptors: &[i32]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let data = [std::io::IoSlice::new(message)];
    let none = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &data, &rights, none, None);
    assert_eq!(sent.unwrap(), message.len());
}

/// SIGTERM ends it, with its name and lock removed.
fn stop(role: RoleProcess, subject: &Subject) {
    let outcome = role.stop(Signal::SIGTERM, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(libc::SIGTERM), "{}", outcome.stderr);
    assert_nothing_is_left(subject);
}

fn assert_nothing_is_left(subject: &Subject) {
    let left: Vec<PathBuf> = std::fs::read_dir(subject.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The lines of ours on standard error that are no commentary.
fn told(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.starts_with("ipclab: ")).collect()
}

#[test]
fn a_server_closes_what_it_is_passed_and_goes_on() {
    for server in UNIX.iter().chain([&MULTIPLEX]) {
        let subject = subject(server.chapter);
        let role = server.start(&subject);
        for number in [1, 4, 253] {
            let client = server.client(&subject);
            let (mut reading, writing) = std::io::pipe().unwrap();
            pass(&client, b"hi\n", &vec![writing.as_raw_fd(); number]);
            drop(writing);
            let mut answer = [0; 3];
            let (n, _) =
                recvfrom::<UnixAddr>(client.as_raw_fd(), &mut answer).unwrap();
            assert_eq!(&answer[..n], b"hi\n", "{:?}", server.args);
            // It ends once nobody has the other end open.
            assert_eq!(reading.read(&mut [0]).unwrap(), 0, "{:?}", server.args);
        }
        assert_eq!(ask(&server.client(&subject), b"yo\n"), b"yo\n");
        stop(role, &subject);
    }
}

#[test]
fn a_client_closes_what_its_server_passes() {
    for server in &UNIX {
        let subject = subject("unix");
        let (unix, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let listener = socket(unix, server.kind, flags, None).unwrap();
        let path = subject.dir().join("unix");
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        if server.kind != SockType::Datagram {
            listen(&listener, Backlog::new(1).unwrap()).unwrap();
        }
        let mut command = ipclab(&subject, &["unix", "client"]);
        command.args(&server.args[1..]);
        let mut client = RoleProcess::start("client", command, Input::Open).unwrap();
        client.feed(b"hi\n").unwrap();
        let mut came = [0; 16];
        let connection = if server.kind == SockType::Datagram {
            let from = recvfrom::<UnixAddr>(listener.as_raw_fd(), &mut came);
            let from = from.unwrap().1.unwrap();
            connect(listener.as_raw_fd(), &from).unwrap();
            listener
        } else {
            rustix::net::accept_with(&listener, SocketFlags::CLOEXEC).unwrap()
        };
        let (mut reading, writing) = std::io::pipe().unwrap();
        pass(&connection, b"hi\n", &[writing.as_raw_fd(); 4]);
        drop(writing);
        client.wait_for_output(b"hi\n", deadline()).unwrap();
        assert_eq!(reading.read(&mut [0]).unwrap(), 0, "{:?}", server.args);
        drop(client);
    }
}

#[test]
fn a_packet_over_the_limit_is_its_senders_affair_alone() {
    for server in &UNIX[1..] {
        let subject = subject("unix");
        let mut args = server.args.to_vec();
        args.extend(["--max-message", "1000"]);
        let role = start(&subject, "unix", &args);
        let client = server.client(&subject);
        let _ = setsockopt(&client, SndBuf, &200_000);
        assert_eq!(ask(&client, &[b'x'; 1000]), [b'x'; 1000]);
        let none = MsgFlags::MSG_NOSIGNAL;
        send(client.as_raw_fd(), &[b'x'; 1001], none).unwrap();
        assert_eq!(ask(&server.client(&subject), b"yo\n"), b"yo\n");
        stop(role, &subject);
    }
}

/// Lets `server` have so many bytes of addresses more than it has now. Descriptors stay.
fn limit_memory(server: &RoleProcess, more: u64) {
    let status = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    let limit = Some((size << 10) + more);
    let limit = Rlimit { current: limit, maximum: getrlimit(Resource::As).maximum };
    prlimit(Pid::from_raw(server.pid().as_raw()), Resource::As, limit).unwrap();
}

/// Sets the soft limit of processes of its user: as that user, for root may lack the right.
fn limit_processes(role: &RoleProcess, soft: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &role.pid().to_string(), &format!("--nproc={soft}")]);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
}

const MIB: usize = 1 << 20;

#[test]
fn without_memory_for_a_message_only_its_sender_is_lost() {
    // A line that never ends, in 1 MiB pieces; more than there is memory for.
    let flood = |mut client: Box<dyn Write>| {
        let piece = vec![b'x'; MIB];
        (0..200).any(|_| client.write_all(&piece).is_err())
    };
    let limit = ["--max-message", "4294967295"];
    for server in [&UNIX[0], &MULTIPLEX] {
        let subject = subject(server.chapter);
        let role = start(&subject, server.chapter, &[server.args, &limit].concat());
        limit_memory(&role, 64 << 20);
        let path = subject.dir().join(server.chapter);
        assert!(
            flood(Box::new(UnixStream::connect(path).unwrap())),
            "all was taken"
        );
        assert_eq!(ask(&server.client(&subject), b"yo\n"), b"yo\n");
        stop(role, &subject);
    }
    for args in TCP {
        let subject = subject("tcp");
        let role = start(&subject, "tcp", &[args, &limit].concat());
        limit_memory(&role, 64 << 20);
        assert!(flood(Box::new(tcp_client(&subject))), "{args:?}: all was taken");
        let mut client = tcp_client(&subject);
        client.write_all(b"yo\n").unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        drop(client);
        assert_eq!(&answer, b"yo\n", "{args:?}");
        stop(role, &subject);
    }
}

#[test]
fn a_one_way_role_without_memory_says_so_in_one_line_and_clears_away() {
    for chapter in ["fifo", "pipe"] {
        let subject = subject(chapter);
        let command =
            ipclab(&subject, &[chapter, "receiver", "--max-message", "4294967295"]);
        let mut role = RoleProcess::start("receiver", command, Input::Open).unwrap();
        let place = subject.dir().join("fifo");
        until("the FIFO is there", || chapter == "pipe" || place.exists());
        limit_memory(&role, 64 << 20);
        let piece = vec![b'x'; MIB];
        let mut fifo = (chapter == "fifo")
            .then(|| File::options().write(true).open(&place).unwrap());
        let all_taken = (0..400).all(|_| match &mut fifo {
            Some(fifo) => fifo.write_all(&piece).is_ok(),
            None => role.feed(&piece).is_ok(),
        });
        assert!(!all_taken);
        let outcome = role.wait(deadline()).unwrap();
        assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
        let lines = told(&outcome.stderr);
        assert!(lines.len() == 1 && lines[0].contains("ENOMEM"), "{lines:?}");
        assert_nothing_is_left(&subject);
    }
}

#[test]
fn a_server_without_a_thread_for_a_client_rests_and_serves_it_later() {
    let threads = ["server", "--listen", "127.0.0.1:0", "--strategy", "threads"];
    if !support::have("prlimit") {
        return;
    }
    for (chapter, args) in [
        ("unix", &["server"][..]),
        ("unix", &["server", "--type", "seqpacket"]),
        ("tcp", &threads),
        ("dbus", &["server"]),
    ] {
        let subject = subject(chapter);
        chown(subject.dir(), Some(NOBODY), Some(NOBODY))
            .unwrap_or_else(|_| assert!(!nix::unistd::geteuid().is_root()));
        let opened = File::open(program()).unwrap();
        let mut command = as_nobody(&opened, &[&[chapter], args].concat());
        command.env("IPCLAB_DIR", subject.dir());
        let role = RoleProcess::start("server", command, Input::Nothing).unwrap();
        let role = await_clients(role);
        // Fewer than there are already.
        limit_processes(&role, "1:");
        let kind = if args.contains(&"seqpacket") {
            SockType::SeqPacket
        } else {
            SockType::Stream
        };
        let server = Server { chapter, args: &[], kind };
        let (question, answer) = if chapter == "dbus" {
            (&b"\0AUTH EXTERNAL\r\n"[..], &b"DATA\r\n"[..])
        } else {
            (&b"hi\n"[..], &b"hi\n"[..])
        };
        let mut asks: Box<dyn ReadWrite> = if chapter == "tcp" {
            Box::new(tcp_client(&subject))
        } else {
            Box::new(UnixStream::from(server.client(&subject)))
        };
        asks.write_all(question).unwrap();
        role.wait_for_comment("EAGAIN", deadline()).unwrap();
        role.wait_for_comment("it is tried again every 0.1 s", deadline()).unwrap();
        limit_processes(&role, "512:");
        let mut line = Vec::new();
        let read = BufReader::new(asks).read_until(b'\n', &mut line);
        if chapter == "dbus" && nix::unistd::geteuid().is_root() {
            // Root is another user to it: it is heard, and sent away.
            role.wait_for_comment("client 1 is refused: it is uid 0", deadline())
                .unwrap();
        } else {
            assert_eq!((read.unwrap(), &line[..]), (answer.len(), answer));
        }
        stop(role, &subject);
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Every role that enters a place, as it would be started first.
const ROLES: &[(&str, &[&str])] = &[
    ("fifo", &["receiver"]),
    ("fifo", &["sender", "x"]),
    ("file", &["receiver"]),
    ("file", &["sender", "x"]),
    ("posixmq", &["receiver"]),
    ("posixmq", &["sender", "x"]),
    ("sysvmq", &["receiver"]),
    ("sysvmq", &["sender", "x"]),
    ("shm", &["receiver"]),
    ("shm", &["sender", "x"]),
    ("shm", &["receiver", "--kind", "sysv"]),
    ("shm", &["sender", "--kind", "memfd", "x"]),
    ("shm", &["sender", "--kind", "crate", "x"]),
    ("mmap", &["receiver"]),
    ("mmap", &["sender", "x"]),
    ("mutex", &["worker"]),
    ("mutex", &["producer", "x"]),
    ("semaphore", &["waiter"]),
    ("semaphore", &["poster"]),
    ("semaphore", &["waiter", "--kind", "futex"]),
    ("semaphore", &["waiter", "--kind", "sysv"]),
    ("signal", &["receiver"]),
    ("unix", &["server"]),
    ("tcp", &["server", "--listen", "127.0.0.1:0"]),
    ("eventfd", &["waiter"]),
    ("udp", &["server", "--listen", "127.0.0.1:0"]),
    ("multiplex", &["server"]),
    ("fdpass", &["server", "--listen", "127.0.0.1:0"]),
    ("fdpass", &["worker"]),
    ("procvm", &["target", "x"]),
    ("procvm", &["reader"]),
    ("dbus", &["server"]),
];

/// As a role that is alone in its place, and is stopped there.
fn alone_at(lock: &Path) -> File {
    let lock = File::options().create_new(true).write(true).open(lock).unwrap();
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&lock, FcntlArg::F_SETLK(&range)).unwrap();
    lock
}

#[test]
fn a_role_that_waits_for_its_turn_hears_signals_and_timeout() {
    use std::os::unix::fs::PermissionsExt;
    std::thread::scope(|scope| {
        for (chapter, args) in ROLES {
            scope.spawn(move || {
                let subject = subject(chapter);
                let path = subject.dir().join(format!("{chapter}.lock"));
                let _lock = alone_at(&path);
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, mode).unwrap();
                for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                    let mut command = ipclab(&subject, &[chapter]);
                    command.args(*args);
                    let role =
                        RoleProcess::start("role", command, Input::Nothing).unwrap();
                    let what = format!("{chapter} {args:?} waits for its turn");
                    until(&what, || is_in(&role, libc::SYS_fcntl));
                    let outcome = role.stop(signal, deadline()).unwrap();
                    let ended = outcome.status.signal();
                    assert_eq!(ended, Some(signal as i32), "{chapter} {args:?}");
                }
                let mut command = ipclab(&subject, &[chapter]);
                command.args(*args).args(["--timeout", "0.3"]);
                let outcome = run(command, Input::Nothing);
                let status = outcome.status;
                assert_eq!(
                    status.code(),
                    Some(124),
                    "{chapter}: {}",
                    outcome.stderr
                );
            });
        }
    });
}

/// Whether it sleeps in this system call: proc_pid_syscall(5).
fn is_in(role: &RoleProcess, call: i64) -> bool {
    let now = std::fs::read_to_string(format!("/proc/{}/syscall", role.pid()));
    now.unwrap_or_default().split(' ').next() == Some(&call.to_string())
}

#[test]
fn shared_memory_that_is_cut_short_ends_a_role_with_one_line() {
    for (chapter, args, said) in [
        ("mmap", &["receiver"][..], "the ring is empty"),
        ("shm", &["receiver"], "the ring is empty"),
        ("shm", &["receiver", "--kind", "crate"], "the ring is empty"),
        ("semaphore", &["waiter", "--kind", "futex"], "FUTEX_WAIT"),
        ("mutex", &["worker"], "not_empty"),
    ] {
        let subject = subject(chapter);
        let mut command = ipclab(&subject, &[chapter]);
        command.args(args);
        let role = RoleProcess::start("role", command, Input::Nothing).unwrap();
        role.wait_for_comment(said, deadline()).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", role.pid()));
        let maps = maps.unwrap();
        let path = maps
            .lines()
            .filter_map(|line| Some(Path::new(&line[line.find('/')?..])))
            .find(|path| {
                path.starts_with("/dev/shm") || path.starts_with(subject.dir())
            })
            .expect("it has mapped it");
        File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        let outcome = role.wait(deadline()).unwrap();
        let lines = told(&outcome.stderr);
        assert_eq!(outcome.status.code(), Some(1), "{chapter}: {}", outcome.stderr);
        assert!(lines.len() == 1 && lines[0].contains("SIGBUS"), "{lines:?}");
        assert!(!path.exists(), "{}", path.display());
        assert_nothing_is_left(&subject);
    }
}

#[test]
fn one_failure_is_one_line_whichever_process_meets_it() {
    let full =
        || Output::To(File::options().write(true).open("/dev/full").unwrap().into());
    let subject = subject("tcp");
    let mut command = ipclab(&subject, &["tcp"]);
    command.args(TCP[2]);
    let server =
        RoleProcess::start_with("server", command, Input::Nothing, full(), None)
            .unwrap();
    let server = await_clients(server);
    let mut client = tcp_client(&subject);
    client.write_all(b"hi\n").unwrap();
    let mut outcomes = vec![server.wait(deadline()).unwrap()];
    let command = ipclab(&subject, &["pipe", "fork", "hello"]);
    let role =
        RoleProcess::start_with("fork", command, Input::Nothing, full(), None);
    outcomes.push(role.unwrap().wait(deadline()).unwrap());
    for outcome in outcomes {
        assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
        let lines = told(&outcome.stderr);
        assert!(lines.len() == 1 && lines[0].contains("ENOSPC"), "{lines:?}");
    }
}
