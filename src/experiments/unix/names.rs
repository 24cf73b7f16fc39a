//! Names of sockets: in the file system, and out of it.

use std::fs::{DirBuilder, File};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::{Uid, setuid};
use rustix::fs::{FlockOperation, flock};

use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

pub(super) const STALE_NAME: Experiment = Experiment {
    name: "stale-name",
    title: "The name of a server that was killed",
    level: Level::First,
    question: "A server was bound to the path `sock` and was killed. Its socket file \
               is still there. A new server calls bind(2) with the same path, and a \
               client calls connect(2). You may have read that bind says EADDRINUSE. \
               What do the two get?",
    answers: &[
        right(
            "bind: EADDRINUSE; connect: ECONNREFUSED",
            "What you have read is true: the name is taken, though no process listens \
             there. The client finds the name and no socket behind it. EINVAL comes \
             when one socket is bound twice.",
        ),
        wrong(
            "bind: zero; connect: zero, to the new server",
            "No process uses the name, and the kernel does not look: bind makes a \
             file, and the file exists.",
        ),
        wrong(
            "bind: EADDRINUSE; connect: waits for a server",
            "A connect that finds no listening socket does not wait for one. It is \
             told at once.",
        ),
    ],
    kind: Kind::Kernel,
    run: stale_name,
    moral: "A socket's file outlives its socket. ECONNREFUSED tells that the name is \
            stale: unlink it then, but only under a lock, as unix/stolen-name \
            shows.",
    see: "unix(7), bind(2)",
    file: file!(),
    shows: &["stale-name"],
};

// ANCHOR: stale-name
fn stale_name(stage: &Stage) -> Result<usize> {
    let path = stage.path("sock");
    drop(UnixListener::bind(&path).context("bind")?); // closes the socket, not the name
    stage.event("main", "the old server has gone; the file \"sock\" is there");
    let address = UnixAddr::new(&path).context("a path too long")?;
    let fresh =
        || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None);

    let new_server = fresh().context("socket")?;
    let bound = bind(new_server.as_raw_fd(), &address);
    stage.call("bind(a new socket, \"sock\")", &bound);
    let connected = UnixStream::connect(&path);
    stage.call("connect(\"sock\")", &connected);

    let other = UnixAddr::new(&stage.path("other")).context("a path too long")?;
    bind(new_server.as_raw_fd(), &other).context("bind")?;
    let third = UnixAddr::new(&stage.path("third")).context("a path too long")?;
    let twice = bind(new_server.as_raw_fd(), &third);
    stage.call("bind(a socket that is bound already)", &twice);
    stage.saw("bind to the stale name", bound.shown());
    stage.saw("connect to it", connected.shown());
    stage.saw("binding one socket twice", twice.shown());
    Ok(match (bound, connected) {
        (Ok(()), Ok(_)) => 2,
        (Err(Errno::EADDRINUSE), Err(error))
            if error.errno() == Errno::ECONNREFUSED =>
        {
            1
        }
        other => anyhow::bail!("bind, connect: {other:?}"),
    })
}
// ANCHOR_END: stale-name

pub(super) const STOLEN_NAME: Experiment = Experiment {
    name: "stolen-name",
    title: "Unlink, then bind",
    level: Level::First,
    question: "To be safe from stale names, each server calls unlink(2) on its path before it \
               binds. One server is running and has a client. A second one is started by \
               mistake, with the same path. What happens?",
    answers: &[
        wrong(
            "the second does not start: its path is taken",
            "It was, until the unlink. That removed the name without asking any \
             process.",
        ),
        right(
            "both run: new clients come to the second only",
            "The name now leads to the second. The first keeps its client and listens \
             at a socket that has no name any more, for ever, and nothing tells it so.",
        ),
        wrong(
            "both run: the first is cut off from its client",
            "A connection does not need the name by which it was made.",
        ),
    ],
    kind: Kind::Kernel,
    run: stolen_name,
    moral: "Hold a lock on a file beside the socket for as long as you serve. Only the \
            process that gets the lock may unlink: the kernel frees the lock when its \
            holder dies.",
    see: "unix(7), flock(2)",
    file: file!(),
    shows: &["stolen-name-broken", "stolen-name-cured", "stolen-name"],
};

// ANCHOR: stolen-name-broken
/// Removes whatever has the name, and takes it.
fn unlink_and_bind(stage: &Stage) -> Result<UnixListener> {
    let path = stage.path("sock");
    let _ = std::fs::remove_file(&path);
    Ok(UnixListener::bind(&path)?)
}
// ANCHOR_END: stolen-name-broken

// ANCHOR: stolen-name-cured
/// Removes the name only under the lock, which a living server holds.
fn lock_unlink_and_bind(stage: &Stage) -> Result<(UnixListener, File)> {
    let mut options = File::options();
    let lock = options.create(true).truncate(false).write(true);
    let lock = lock.open(stage.path("sock.lock"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok((unlink_and_bind(stage)?, lock))
}
// ANCHOR_END: stolen-name-cured

// ANCHOR: stolen-name
fn stolen_name(stage: &Stage) -> Result<usize> {
    let path = stage.path("sock");
    let first = unlink_and_bind(stage)?;
    let mut old_client = UnixStream::connect(&path).context("connect")?;
    let (mut served, _) = first.accept().context("accept")?;

    let second = unlink_and_bind(stage);
    stage.call(
        "the second: unlink(), bind(\"sock\")",
        &second.as_ref().map_err(|_| Errno::EADDRINUSE),
    );
    let second = second?;
    let _new_client = UnixStream::connect(&path).context("connect")?;
    first.set_nonblocking(true).context("fcntl")?;
    second.set_nonblocking(true).context("fcntl")?;
    let at_first = first.accept().map(|(socket, _)| socket);
    let at_second = second.accept().map(|(socket, _)| socket);
    stage.call("the first: accept() of a new client", &at_first);
    stage.call("the second: accept() of it", &at_second);
    let kept = std::io::Write::write(&mut old_client, b"still here?").is_ok()
        && std::io::Read::read(&mut served, &mut [0; 16]).is_ok_and(|n| n == 11);
    stage.saw("the new client went to the first", at_first.is_ok());
    stage.saw("to the second", at_second.is_ok());
    stage.saw("the old client is still served", kept);
    drop((first, second));

    let (_serving, _lock) = lock_unlink_and_bind(stage)?;
    let refused = lock_unlink_and_bind(stage).is_err();
    stage
        .event("main", "with a lock: the second is refused, the first has its name");
    stage.saw("with a lock, the second is refused", refused);
    Ok(match (at_first.is_ok(), kept) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 3,
    })
}
// ANCHOR_END: stolen-name

pub(super) const LONG_PATH: Experiment = Experiment {
    name: "long-path",
    title: "A path that does not fit",
    level: Level::Later,
    question: "sun_path in struct sockaddr_un has 108 bytes. A server wants to bind to a longer \
               path, in a directory that it can open. Can it?",
    answers: &[
        wrong(
            "yes, by any path of up to 4096 bytes",
            "open(2) takes paths up to PATH_MAX, 4096 bytes. An address is a structure \
             of fixed size, and the path must fit into it.",
        ),
        wrong(
            "no, a socket must have a shorter name",
            "It can: only the address that is passed to bind is short, not the name.",
        ),
        right(
            "yes, by a shorter path to the same place",
            "For instance /proc/self/fd/N/sock, where N is a descriptor of the \
             directory; or a relative path after chdir(2). The kernel resolves it like \
             any path.",
        ),
    ],
    kind: Kind::Kernel,
    run: long_path,
    moral: "Socket paths are short: 107 bytes and a NUL on Linux, 103 on macOS, and \
            POSIX promises no more than 91. Programs that build them from HOME or \
            TMPDIR fail on the machine with the long name, so check, and say so.",
    see: "unix(7), proc(5)",
    file: file!(),
    shows: &["long-path"],
};

// ANCHOR: long-path
fn long_path(stage: &Stage) -> Result<usize> {
    let directory = stage.path(&"d".repeat(100));
    DirBuilder::new().create(&directory).context("mkdir")?;
    let path = directory.join("a-socket-of-ipclab");
    let length = path.as_os_str().len();
    let straight = UnixListener::bind(&path);
    stage.event(
        "main",
        match &straight {
            Ok(_) => "bind(the whole path) = 0".to_owned(),
            Err(error) => format!("bind(the whole path) is refused: {error}"),
        },
    );
    let opened = File::open(&directory).context("open the directory")?;
    let short = format!("/proc/self/fd/{}/a-socket-of-ipclab", opened.as_raw_fd());
    let around = UnixListener::bind(&short);
    stage.call("bind(\"/proc/self/fd/N/a-socket-of-ipclab\")", &around);
    stage.saw("bytes of the path", length);
    stage.saw("bound by the whole path", straight.is_ok());
    stage.saw("bound by the short one", around.is_ok());
    stage.saw("the socket has the long name", path.exists());
    Ok(match (straight.is_ok(), around.is_ok() && path.exists()) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => 3,
    })
}
// ANCHOR_END: long-path

pub(super) const ABSTRACT: Experiment = Experiment {
    name: "abstract",
    title: "A name without a file",
    level: Level::Later,
    question: "root's server listens at a path of mode 0600, and at an abstract name, \
               which begins with a NUL byte and has no file. A process of another user \
               connects to both; then root does, from another network namespace. Which \
               connects succeed?",
    answers: &[
        right(
            "the other user's to the name; root's to the path",
            "The path is guarded by its permissions, from wherever it can be seen. The \
             abstract name is open to every user of its network namespace, and unknown \
             outside.",
        ),
        wrong(
            "the other user's to neither; root's to each of the two",
            "An abstract name has no file, so it has no mode either: nothing keeps \
             another user out. And it belongs to the network namespace.",
        ),
        wrong(
            "the other user's to the name; root's to neither",
            "A Unix socket at a path is found by its file, across network namespaces \
             too.",
        ),
    ],
    kind: Kind::Needs(&needs::OTHER_NETWORK),
    run: abstract_names,
    moral: "An abstract name is convenient, and public: a server at one must look at its \
            client's uid (SO_PEERCRED) itself.",
    see: "unix(7), network_namespaces(7)",
    file: file!(),
    shows: &["abstract"],
};

// ANCHOR: abstract
fn abstract_names(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::OTHER_NETWORK)?;
    let path = stage.path("sock");
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    let parent = path.parent().context("a directory")?;
    std::fs::set_permissions(parent, mode(0o711)).context("chmod")?;
    let _at_path = UnixListener::bind(&path).context("bind")?;
    std::fs::set_permissions(&path, mode(0o600)).context("chmod")?;
    let name = stage.path("abstract"); // as unique as the directory
    let name = SocketAddr::from_abstract_name(name.as_os_str().as_encoded_bytes())?;
    let _at_name = UnixListener::bind_addr(&name).context("bind")?;
    let try_both = |stage: &Stage| -> Result<(bool, bool)> {
        let to_path = UnixStream::connect(&path);
        stage.call("connect(the path, mode 0600)", &to_path);
        let to_name = UnixStream::connect_addr(&name);
        stage.call("connect(the abstract name)", &to_name);
        Ok((to_path.is_ok(), to_name.is_ok()))
    };
    let other = stage.fork("other user", |stage| {
        setuid(Uid::from_raw(65_534))?;
        try_both(stage)
    })?;
    let other = other.join()?;
    let elsewhere = stage.fork("elsewhere", |stage| {
        let left = unshare(CloneFlags::CLONE_NEWNET);
        stage.call("unshare(CLONE_NEWNET)", &left);
        left?;
        try_both(stage)
    })?;
    let elsewhere = elsewhere.join()?;
    stage.saw("another user: path, abstract", vec![other.0, other.1]);
    stage.saw("other namespace: path, abstract", vec![elsewhere.0, elsewhere.1]);
    Ok(match (other, elsewhere) {
        ((false, true), (true, false)) => 1,
        ((false, true), (false, _)) => 3,
        _ => 2,
    })
}
// ANCHOR_END: abstract
