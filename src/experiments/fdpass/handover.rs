//! Which process has it now: connections, listening sockets and processes that change hands.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{read, write};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{
    PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use syscalls::Sysno;

use super::{ONE, pair, pass, take};
use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};

/// What came with the next message of this socket.
fn next_descriptor(socket: &OwnedFd) -> Result<OwnedFd> {
    let taken = take(socket, 1, ONE, RecvFlags::CMSG_CLOEXEC).context("recvmsg")?;
    taken.descriptors.into_iter().next().context("no descriptor came")
}

pub(super) const LATE_OK: Experiment = Experiment {
    name: "late-ok",
    title: "A worker that says OK a little later",
    level: Level::Later,
    question: "A client has sent `hello`. The server passes the connection to a \
               worker, keeps its own descriptor, and waits for the worker's OK. The \
               worker reads 2 bytes, and is killed before it says OK. So the server \
               passes the connection to a second worker. What does that one read?",
    answers: &[
        wrong(
            "`hello`, the whole request",
            "The server kept a descriptor, and there is one connection. The bytes that \
             were read from it are in no copy: they were lost with the first worker.",
        ),
        right(
            "`llo`, the rest of it",
            "What is read is read, for all who hold the connection. The server cannot \
             see how much that was; it sees no OK, and takes the connection for \
             untouched.",
        ),
        wrong(
            "zero bytes, the end",
            "The connection does not end with the first worker. It ends when its last \
             descriptor is closed, and the server has one.",
        ),
    ],
    kind: Kind::Kernel,
    run: late_ok,
    moral: "OK must mean: I hold it and have read no byte. Then \"no OK\" means that nothing \
            is lost, and the connection can safely go to another.",
    see: "unix(7), recv(2)",
    file: file!(),
    shows: &["late-ok-broken", "late-ok-cured", "late-ok"],
};

/// What a worker does with its connection: socket, connection, where it will be killed.
type Worker = fn(&Stage, &OwnedFd, &OwnedFd, &Gate) -> Result<()>;

// ANCHOR: late-ok-broken
/// First the work, then the answer.
fn ok_after_reading(
    stage: &Stage,
    server: &OwnedFd,
    connection: &OwnedFd,
    killed_here: &Gate,
) -> Result<()> {
    stage.call("read(connection, buffer, 2)", &read(connection, &mut [0; 2]));
    killed_here.pass()?;
    send(server, b"OK", SendFlags::NOSIGNAL).context("send")?;
    Ok(())
}
// ANCHOR_END: late-ok-broken

// ANCHOR: late-ok-cured
/// First the answer, then the work.
fn ok_before_reading(
    stage: &Stage,
    server: &OwnedFd,
    connection: &OwnedFd,
    killed_here: &Gate,
) -> Result<()> {
    killed_here.pass()?;
    send(server, b"OK", SendFlags::NOSIGNAL).context("send")?;
    stage.call("read(connection, buffer, 2)", &read(connection, &mut [0; 2]));
    Ok(())
}
// ANCHOR_END: late-ok-cured

// ANCHOR: late-ok
fn late_ok(stage: &Stage) -> Result<usize> {
    // The first worker is killed just before its OK. What does the second one read?
    let second_reads = |first: Worker| {
        let (client, connection) = pair()?;
        let sent = send(&client, b"hello", SendFlags::empty());
        stage.call("the client: send(\"hello\")", &sent);
        let (server, theirs) = pair()?;
        let never = stage.gate()?;
        let one = stage.fork("worker 1", |stage| {
            let connection = next_descriptor(&theirs)?;
            stage.event("worker 1", "has received the connection");
            first(stage, &theirs, &connection, &never)
        })?;
        pass(&server, b"x", &[connection.as_fd()]).context("sendmsg")?;
        one.until_asleep_in(&[Sysno::readv])?;
        one.kill(Signal::SIGKILL)?;
        one.end()?;
        stage.event("worker 1", "killed by SIGKILL");
        let answer = recv(&server, &mut [0_u8; 2][..], RecvFlags::DONTWAIT);
        stage.call("recv(worker 1, MSG_DONTWAIT)", &answer.map(|(n, _)| n));
        anyhow::ensure!(answer == Err(Errno::AGAIN), "worker 1 has answered");
        let two = stage.fork("worker 2", |stage| {
            let connection = next_descriptor(&theirs)?;
            let mut text = [0_u8; 10];
            let got = recv(&connection, &mut text[..], RecvFlags::DONTWAIT);
            let n = got.map_or(0, |(n, _)| n);
            let text = String::from_utf8_lossy(&text[..n]).into_owned();
            stage.call("recv(connection)", &format!("{text:?}"));
            Ok(text)
        })?;
        pass(&server, b"x", &[connection.as_fd()]).context("sendmsg")?;
        two.join()
    };
    let broken = second_reads(ok_after_reading)?;
    let cured = second_reads(ok_before_reading)?;
    stage.saw("OK after the first read: worker 2 got", broken.as_str());
    stage.saw("OK before it: worker 2 got", cured);
    match broken.as_str() {
        "hello" => Ok(1),
        "llo" => Ok(2),
        "" => Ok(3),
        other => bail!("worker 2 got {other:?}"),
    }
}
// ANCHOR_END: late-ok

pub(super) const UPGRADE: Experiment = Experiment {
    name: "upgrade",
    title: "A new server on the old port",
    level: Level::Deep,
    question: "A TCP server is to be replaced. One client has connected and waits in \
               the queue: no process has called accept(2) for it yet. The old server \
               closes its listening socket and ends; the new one binds the same port \
               (SO_REUSEADDR) and accepts. What becomes of that client?",
    answers: &[
        wrong(
            "the new server accepts it",
            "The queue does not belong to the port. It belongs to the listening \
             socket, and goes with it. The new one starts with an empty queue of its \
             own.",
        ),
        wrong(
            "it waits until it gives up",
            "Its connection is in no queue, but it is told at once: what the kernel \
             cannot keep, it resets.",
        ),
        right(
            "it is reset: ECONNRESET",
            "It was connected by the kernel, not by the program, and is now cut off. A \
             client that comes in the gap is refused. Pass the listening socket to the \
             new server instead, and neither happens.",
        ),
    ],
    kind: Kind::Kernel,
    run: upgrade,
    moral: "Pass the listening socket over a Unix socket, then close it: the queue is \
            never without an owner, not even while the descriptor is in flight. Servers \
            are upgraded like this without one refused connection.",
    see: "unix(7), listen(2), tcp(7)",
    file: file!(),
    shows: &["upgrade-broken", "upgrade-cured", "upgrade"],
};

/// What the old server does with its listening socket: a message for the new one.
type Retire = fn(TcpListener, &OwnedFd) -> Result<()>;

// ANCHOR: upgrade-broken
/// Closes the listening socket, then tells the new server to bind the port.
fn close_and_tell(listener: TcpListener, new: &OwnedFd) -> Result<()> {
    drop(listener);
    send(new, b"x", SendFlags::empty()).context("send")?;
    Ok(())
}

/// The new server: by name.
fn bind_again(_: Option<OwnedFd>, at: SocketAddrV4) -> Result<TcpListener> {
    TcpListener::bind(at).context("bind") // it sets SO_REUSEADDR
}
// ANCHOR_END: upgrade-broken

// ANCHOR: upgrade-cured
/// Passes the listening socket, then closes its own descriptor.
fn pass_and_close(listener: TcpListener, new: &OwnedFd) -> Result<()> {
    pass(new, b"x", &[listener.as_fd()]).context("sendmsg")?;
    Ok(())
}

/// The new server: by descriptor.
fn take_over(listener: Option<OwnedFd>, _: SocketAddrV4) -> Result<TcpListener> {
    Ok(listener.context("no descriptor came")?.into())
}
// ANCHOR_END: upgrade-cured

// ANCHOR: upgrade
fn upgrade(stage: &Stage) -> Result<usize> {
    let replace = |retire: Retire, start: fn(_, _) -> Result<TcpListener>| {
        // A loopback address of our own, so that no other process takes the port.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 100 + a % 64, b, c);
        let (tell_port, port) = (pair()?, stage.gate()?);
        let (old, new) = pair()?;
        let (go, listening, told) = (stage.gate()?, stage.gate()?, stage.gate()?);
        let port_of = |socket: &OwnedFd| -> Result<SocketAddrV4> {
            let mut bytes = [0; 2];
            read(socket, &mut bytes)?;
            Ok(SocketAddrV4::new(address, u16::from_be_bytes(bytes)))
        };
        let successor = stage.fork::<()>("new server", |stage| {
            let at = port_of(&tell_port.1)?;
            go.pass()?;
            let taken = take(&new, 1, ONE, RecvFlags::CMSG_CLOEXEC)?;
            let listener = start(taken.descriptors.into_iter().next(), at)?;
            stage.event("new server", "listens");
            listening.open(1)?;
            loop {
                let (client, _) = listener.accept()?;
                write(&client, b"from the new server")?;
            }
        })?;
        let client = stage.fork("client", |stage| {
            port.pass()?;
            let server = TcpStream::connect(port_of(&tell_port.1)?);
            stage.call("connect(the port)", &server);
            let (server, mut answer) = (server?, [0; 30]);
            let got = read(&server, &mut answer);
            told.pass()?; // so that the report has its cause first
            let got =
                got.map(|n| String::from_utf8_lossy(&answer[..n]).into_owned());
            stage.call("read(the connection)", &got);
            Ok(got.shown())
        })?;
        let listener = TcpListener::bind((address, 0)).context("bind")?;
        let number = listener.local_addr()?.port().to_be_bytes();
        // One for each of the two processes that ask, in their turn.
        write(&tell_port.0, &number).context("write")?;
        successor.until_asleep_in(&[Sysno::readv])?;
        write(&tell_port.0, &number).context("write")?;
        port.open(1)?;
        client.until_asleep_in(&[Sysno::read])?;
        stage.event("client", "is connected and waits; nobody has accepted it");
        let at = SocketAddrV4::new(address, u16::from_be_bytes(number));
        retire(listener, &old)?;
        stage.event("main", "the old server has closed its listening socket");
        let between = TcpStream::connect(at);
        stage.call("another client: connect(the port)", &between);
        go.open(1)?;
        listening.pass()?;
        told.open(1)?;
        let answer = client.join()?;
        let came = between.map(|_| "was connected");
        anyhow::Ok((answer, came.shown()))
    };
    let (broken, between) = replace(close_and_tell, bind_again)?;
    stage.saw("closed and bound again: the waiting client got", broken.as_str());
    stage.saw("closed and bound again: who came between", between);
    let (cured, between) = replace(pass_and_close, take_over)?;
    stage.saw("passed: the waiting client got", cured);
    stage.saw("passed: who came between", between);
    match broken.as_str() {
        "from the new server" => Ok(1),
        text if text.starts_with("ECONNRESET") => Ok(3),
        other => bail!("the client got {other}"),
    }
}
// ANCHOR_END: upgrade

pub(super) const PASSED_PIDFD: Experiment = Experiment {
    name: "passed-pidfd",
    title: "A child, passed to another process",
    level: Level::Deep,
    question: "A pidfd is a descriptor that names a process (pidfd_open(2)). A parent \
               passes one of its child to a supervisor of the same user. By it the \
               supervisor sends the child a signal (pidfd_send_signal(2)), waits for \
               its end (poll(2)), and asks how it ended (waitid(2), P_PIDFD). What \
               works?",
    answers: &[
        wrong(
            "the signal, poll and waitid",
            "A pidfd says which process. To learn how it ended, and to reap it, is for \
             its parent alone.",
        ),
        right(
            "the signal and poll",
            "waitid fails with ECHILD: it is asked of one's own children, however they \
             are named. The signal needs the right that kill(2) needs, and poll needs \
             no right.",
        ),
        wrong("poll alone", "Any process may signal those of its own user."),
        wrong(
            "none of the three",
            "A pidfd counts not only in the process that opened it. It is a descriptor \
             like any other, and names the process by itself.",
        ),
    ],
    kind: Kind::Kernel,
    run: passed_pidfd,
    moral: "A passed pidfd lets another process watch and signal a child without the \
            risk of a reused pid. The exit status stays with the parent. Recent kernels \
            tell it to others too once the child was reaped, by the ioctl \
            PIDFD_GET_INFO.",
    see: "pidfd_open(2), waitid(2), pidfd_send_signal(2)",
    file: file!(),
    shows: &["passed-pidfd"],
};

// ANCHOR: passed-pidfd
fn passed_pidfd(stage: &Stage) -> Result<usize> {
    let ((here, there), told) = (pair()?, stage.gate()?);
    let supervisor = stage.fork("supervisor", |stage| {
        told.pass()?;
        let pidfd = next_descriptor(&there)?;
        let sent = pidfd_send_signal(&pidfd, rustix::process::Signal::TERM);
        stage.call("pidfd_send_signal(pidfd, SIGTERM)", &sent);
        let mut set = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        let patience =
            if sent.is_ok() { PollTimeout::NONE } else { PollTimeout::ZERO };
        let polled = poll(&mut set, patience);
        stage.call("poll({pidfd, POLLIN})", &polled);
        let ended = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        stage.call(
            "waitid(P_PIDFD, pidfd, WEXITED)",
            &ended.as_ref().map(|_| ()).map_err(|e| *e),
        );
        Ok((sent.is_ok(), polled == Ok(1), ended.map(drop).shown()))
    })?;
    let never = stage.gate()?;
    let child = stage.fork("child", |_| never.pass())?;
    let pid =
        rustix::process::Pid::from_raw(child.pid().as_raw()).context("a pid")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    stage.call("pidfd_open(the child, 0)", &pidfd);
    let sent = pass(&here, b"x", &[pidfd?.as_fd()]);
    stage.call("sendmsg(\"x\", SCM_RIGHTS {pidfd})", &sent);
    told.open(1)?;
    let (signalled, polled, waited) = supervisor.join()?;
    let told = child.end()? == End::Killed(Signal::SIGTERM);
    let how = if told { "killed by SIGTERM" } else { "ended otherwise" };
    stage.call("the parent: waitpid(the child)", &how);
    stage.saw("the signal ended the child", signalled && told);
    stage.saw("poll told of its end", polled);
    stage.saw("waitid by the supervisor", waited.as_str());
    stage.saw("the parent learned how it ended", told);
    match (signalled, polled, waited.as_str()) {
        (true, true, "0") => Ok(1),
        (true, true, _) => Ok(2),
        (false, true, _) => Ok(3),
        _ => Ok(4),
    }
}
// ANCHOR_END: passed-pidfd
