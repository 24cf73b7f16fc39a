//! Who may connect: the mode of the socket file, and when it gets it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept, bind, listen,
    socket,
};
use nix::sys::stat::{Mode, fchmod, umask};
use nix::unistd::{Uid, setuid};

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

/// Lets a child that becomes another user search the directory of this run.
fn open_directory(stage: &Stage) -> Result<()> {
    let path = stage.path("sock");
    let directory = path.parent().context("a directory")?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o711))
        .context("chmod the directory")
}

/// Becomes a user whom the mode concerns: root passes all of them. Relative paths then lead to
/// this run's directory, whatever lies above it.
fn as_a_user(stage: &Stage) -> Result<()> {
    let path = stage.path("sock");
    std::env::set_current_dir(path.parent().context("a directory")?)?;
    if Uid::effective().is_root() {
        setuid(Uid::from_raw(65_534))?;
    }
    Ok(())
}

fn mode_of(path: &Path) -> Result<u32> {
    Ok(std::fs::metadata(path).context("stat")?.permissions().mode() & 0o777)
}

pub(super) const WHICH_BIT: Experiment = Experiment {
    name: "which-bit",
    title: "The mode of a socket file",
    level: Level::Later,
    question: "A server listens at a path. By chmod(2) the socket file gets the mode \
               `r--r--r--` (0444), then `-w--w--w-` (0222), then `--x--x--x` (0111). Each time \
               a client that is not root calls connect(2). With which mode does it succeed?",
    answers: &[
        right(
            "with `-w--w--w-`, and no other mode",
            "connect(2), and sendto(2) of a datagram, need the right to write to the \
             socket file, and to search the directories above it. The other two bits \
             mean nothing.",
        ),
        wrong(
            "with `r--r--r--`, and no other mode",
            "Reading the file is not what connect(2) asks for. ls -l shows srwxr-xr-x, \
             which looks as if others could connect; they cannot.",
        ),
        wrong(
            "with `--x--x--x`, and no other mode",
            "x is for programs and directories. The directories on the way to the socket \
             file need it, the file itself does not.",
        ),
        wrong(
            "with each mode: it is no real file",
            "The kernel asks for the file's permissions, as open(2) would. Some old \
             systems did not; on Linux EACCES is what the client gets.",
        ),
    ],
    kind: Kind::Kernel,
    run: which_bit,
    moral: "Permission denied at connect(2): look for w on the socket file, and for x on each \
            directory above it. A portable server guards the directory.",
    see: "unix(7), connect(2), path_resolution(7)",
    file: file!(),
    shows: &["which-bit"],
};

// ANCHOR: which-bit
fn which_bit(stage: &Stage) -> Result<usize> {
    let _server = UnixListener::bind(stage.path("sock")).context("bind")?;
    open_directory(stage)?;
    let mut succeeded = Vec::new();
    for mode in [0o444, 0o222, 0o111] {
        let changed = std::fs::set_permissions(
            stage.path("sock"),
            PermissionsExt::from_mode(mode),
        );
        stage.call(format!("chmod(\"sock\", {mode:04o})"), &changed);
        let client = stage.fork("client", |stage| {
            as_a_user(stage)?;
            let connected = UnixStream::connect("sock");
            stage.call("connect(\"sock\")", &connected);
            Ok(connected.is_ok())
        })?;
        if client.join()? {
            succeeded.push(format!("{mode:04o}"));
        }
    }
    stage.saw("connected with mode", succeeded.clone());
    match succeeded.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["0222"] => Ok(1),
        ["0444"] => Ok(2),
        ["0111"] => Ok(3),
        ["0444", "0222", "0111"] => Ok(4),
        _ => bail!("connected with {succeeded:?}"),
    }
}
// ANCHOR_END: which-bit

pub(super) const BEFORE_CHMOD: Experiment = Experiment {
    name: "before-chmod",
    title: "Open to all, for a moment",
    level: Level::Later,
    question: "A daemon, whose umask is 0, calls bind(2) and listen(2), and then chmod(2) \
               with 0600, so that no other user can connect. Another user's client calls \
               connect(2) before the chmod. After it, the daemon calls accept(2). What does \
               it get?",
    answers: &[
        right(
            "the client, as if nothing had been",
            "Permissions are looked at in connect(2), and never again. The client has been \
             in the backlog since then, and chmod takes nobody out of it.",
        ),
        wrong(
            "EACCES, once for the one client",
            "accept(2) looks at no file. The one process that can get EACCES is the client, \
             from connect(2).",
        ),
        wrong(
            "nobody: the client was put out",
            "The backlog belongs to the socket, and chmod changes the file: its inode is \
             all that it knows.",
        ),
    ],
    kind: Kind::Kernel,
    run: before_chmod,
    moral: "Give the file its mode before it has its name: umask(2) before bind(2), if the \
            program has one thread, or fchmod(2) of the socket before bind(2), on Linux; or \
            bind in a directory of mode 0700, which works everywhere.",
    see: "unix(7), umask(2), bind(2)",
    file: file!(),
    shows: &["before-chmod-broken", "before-chmod-cured", "before-chmod"],
};

fn stream() -> Result<OwnedFd> {
    let (unix, flags) = (AddressFamily::Unix, SockFlag::SOCK_NONBLOCK);
    socket(unix, SockType::Stream, flags, None).context("socket")
}

fn bind_and_listen(socket: &OwnedFd, path: &Path) -> Result<()> {
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?).context("bind")?;
    listen(socket, Backlog::new(5)?).context("listen")
}

// ANCHOR: before-chmod-broken
/// `meanwhile` is what other processes do between two calls.
fn then_chmod(path: &Path, meanwhile: &dyn Fn() -> Result<()>) -> Result<OwnedFd> {
    let socket = stream()?;
    bind_and_listen(&socket, path)?; // mode 0777, less the umask
    meanwhile()?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    Ok(socket)
}
// ANCHOR_END: before-chmod-broken

// ANCHOR: before-chmod-cured
fn first_umask(path: &Path, meanwhile: &dyn Fn() -> Result<()>) -> Result<OwnedFd> {
    let socket = stream()?;
    let before = umask(Mode::from_bits_truncate(0o177)); // of the whole process
    let bound = bind_and_listen(&socket, path); // mode 0600
    umask(before);
    bound?;
    meanwhile()?;
    Ok(socket)
}
// ANCHOR_END: before-chmod-cured

// ANCHOR: before-chmod
fn before_chmod(stage: &Stage) -> Result<usize> {
    type Serve = fn(&Path, &dyn Fn() -> Result<()>) -> Result<OwnedFd>;
    open_directory(stage)?;
    umask(Mode::empty());
    let got_in = |serve: Serve, name: &str| {
        let path = stage.path(name);
        let server = serve(&path, &|| {
            stage.event("daemon", format!("mode {:04o}", mode_of(&path)?));
            // Where this user is not root, the client is the owner's, whom 0600 lets in.
            let client = stage.fork("other user", |stage| {
                as_a_user(stage)?;
                let connected = UnixStream::connect(name);
                stage.call(format!("connect({name:?})"), &connected);
                Ok(connected.is_ok())
            })?;
            client.join().map(drop)
        })?;
        let accepted = accept(server.as_raw_fd());
        let mode = mode_of(&path)?;
        stage.call(format!("daemon: accept(), mode {mode:04o}"), &accepted);
        stage.saw(&format!("mode in the end, {name}"), format!("{mode:04o}"));
        anyhow::Ok(accepted.is_ok())
    };
    let by_chmod = got_in(then_chmod, "by-chmod")?;
    let by_umask = got_in(first_umask, "by-umask")?;
    stage.saw("the client is accepted, by chmod", by_chmod);
    if Uid::effective().is_root() {
        stage.saw("the client is accepted, by umask", by_umask);
    }
    Ok(if by_chmod { 1 } else { 3 })
}
// ANCHOR_END: before-chmod

pub(super) const FCHMOD_WHICH: Experiment = Experiment {
    name: "fchmod-which",
    title: "fchmod on the socket",
    level: Level::Deep,
    question: "The umask is 022. A program makes a socket, and binds it to a path: the file's \
               mode is 0755. Then it calls fchmod(2) with 0600 on the socket's descriptor, \
               which returns 0. What is the mode of the file at the path?",
    answers: &[
        wrong(
            "0600, as the descriptor leads to the file",
            "That is true of a file that was opened. A socket has an inode of its own; the \
             file at the path is another one, made by bind(2).",
        ),
        wrong(
            "0644, since sockets cannot have the x bit",
            "They have it, and it means nothing: 0777 less the umask is what bind(2) gives.",
        ),
        right(
            "0755, as the descriptor leads elsewhere",
            "fchmod changed the socket's own inode, which no path leads to. Before bind(2) \
             that is of use: the new file then gets this mode, less the umask.",
        ),
    ],
    kind: Kind::Kernel,
    run: fchmod_which,
    moral: "On Linux fchmod(2) of the socket before bind(2) makes the file with that mode: no \
            moment between, and no umask for all threads. After bind(2) it does nothing that \
            anybody sees, and says 0.",
    see: "fchmod(2), bind(2), unix(7)",
    file: file!(),
    shows: &["fchmod-which"],
};

// ANCHOR: fchmod-which
fn fchmod_which(stage: &Stage) -> Result<usize> {
    umask(Mode::from_bits_truncate(0o022));
    let private = Mode::S_IRUSR | Mode::S_IWUSR;
    let mut modes = Vec::new();
    for order in ["bind, fchmod", "fchmod, bind"] {
        let path = stage.path(order);
        let socket = stream()?;
        let bind = || bind(socket.as_raw_fd(), &UnixAddr::new(&path)?);
        let fchmod = || fchmod(&socket, private);
        let done = match order {
            "bind, fchmod" => bind().and_then(|()| fchmod()),
            _ => fchmod().and_then(|()| bind()),
        };
        stage.call(order, &done);
        let mode = format!("{:04o}", mode_of(&path)?);
        stage.event("main", format!("the file's mode is {mode}"));
        stage.saw(&format!("mode after {order}"), mode.as_str());
        modes.push(mode);
    }
    match modes[0].as_str() {
        "0600" => Ok(1),
        "0644" => Ok(2),
        "0755" => Ok(3),
        mode => bail!("the mode is {mode}"),
    }
}
// ANCHOR_END: fchmod-which
