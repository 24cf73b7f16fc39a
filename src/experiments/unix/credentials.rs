//! The process on the other side: what the kernel reports, and when it noted it.

use std::io::{IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::sockopt::{PassCred, PeerCredentials, PeerPidfd};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    UnixCredentials, connect, getsockopt, recv, recvmsg, send, sendmsg, setsockopt,
    socket, socketpair,
};
use nix::unistd::{Pid, Uid, getpid, pause, setuid};

use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use doctor::probes::needs::PEER_PIDFD;
use os::peer::{pass_pidfd, recv_with_pidfd};
use os::proc::{Activity, activity};
use os::signal::pidfd_kill;

/// A connected pair of sockets, made by this process.
fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    socketpair(unix, stream, None, SockFlag::empty()).context("socketpair")
}

/// recvmsg(2): what the kernel reports of the sender of the next bytes.
fn sender_of_next(socket: &OwnedFd) -> Result<Option<UnixCredentials>> {
    let mut byte = [0; 1];
    let mut room = [IoSliceMut::new(&mut byte)];
    let mut control = cmsg_space!(UnixCredentials);
    let flags = MsgFlags::empty();
    let got = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut room,
        Some(&mut control),
        flags,
    )
    .context("recvmsg")?;
    Ok(got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
        _ => None,
    }))
}

pub(super) const WHO_CONNECTED: Experiment = Experiment {
    name: "who-connected",
    title: "A connection that changes hands",
    level: Level::Deep,
    question: "A process connects to a server and forks. The child, which has the \
               connection now, sends a byte. The server asks with SO_PEERCRED who its \
               peer is, and looks at the credentials that came with the byte \
               (SO_PASSCRED). Whose pid does each of them name?",
    answers: &[
        wrong(
            "SO_PEERCRED the child's, the byte's the child's",
            "The kernel noted SO_PEERCRED when the connection was made, by the parent. \
             It does not change when another process sends.",
        ),
        right(
            "SO_PEERCRED the parent's, the byte's the child's",
            "The first says who connected, and never changes, also after setuid(2) or \
             when the descriptor was passed on. The second says who sent these bytes.",
        ),
        wrong(
            "SO_PEERCRED the parent's, the byte's the parent's",
            "A connection is a descriptor like any other, and the kernel knows who \
             calls send(2).",
        ),
    ],
    kind: Kind::Kernel,
    run: who_connected,
    moral: "SO_PEERCRED tells who connected. SCM_CREDENTIALS tells who sent these \
            bytes. A server that decides by the first trusts every process to which \
            that one gave the connection.",
    see: "unix(7)",
    file: file!(),
    shows: &["who-connected"],
};

// ANCHOR: who-connected
fn who_connected(stage: &Stage) -> Result<usize> {
    let (server, client) = pair()?;
    setsockopt(&server, PassCred, &true).context("setsockopt(SO_PASSCRED)")?;
    let child = stage.fork("child", |stage| {
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(65_534))?;
            stage.event("child", "has become another user (uid 65534)");
        }
        let sent = send(client.as_raw_fd(), b"x", MsgFlags::empty());
        stage.call("send(\"x\")", &sent);
        // Credentials of one's own may be sent along; the kernel checks them.
        let mut forged = UnixCredentials::new();
        forged = UnixCredentials::from(libc::ucred {
            pid: 1,
            ..libc::ucred::from(forged)
        });
        let forged = [nix::sys::socket::ControlMessage::ScmCredentials(&forged)];
        let bytes = [IoSlice::new(b"y")];
        let none: Option<&UnixAddr> = None;
        let lied =
            sendmsg(client.as_raw_fd(), &bytes, &forged, MsgFlags::empty(), none);
        stage.call("sendmsg(SCM_CREDENTIALS {pid 1})", &lied);
        Ok(lied.is_err())
    })?;
    let child_pid = child.pid().as_raw();
    let forging_refused = child.join()?;
    let name = |pid| match pid {
        pid if pid == child_pid => "the child",
        pid if pid == getpid().as_raw() => "the parent",
        _ => "somebody else",
    };
    let connected = getsockopt(&server, PeerCredentials).context("SO_PEERCRED")?;
    let sent = sender_of_next(&server)?.context("no credentials")?;
    let (peer, sender) = (name(connected.pid()), name(sent.pid()));
    stage.call("getsockopt(SO_PEERCRED), its pid", &peer);
    stage.call("recvmsg(SCM_CREDENTIALS), its pid", &sender);
    stage.saw("who connected", peer);
    stage.saw("who sent", sender);
    stage.saw("forged credentials were refused", forging_refused);
    Ok(match (peer, sender) {
        ("the child", "the child") => 1,
        ("the parent", "the child") => 2,
        _ => 3,
    })
}
// ANCHOR_END: who-connected

pub(super) const PASSCRED_LATE: Experiment = Experiment {
    name: "passcred-late",
    title: "Asking for credentials after the send",
    level: Level::Deep,
    question: "A byte is sent over a Unix socket. Only then does the receiver set SO_PASSCRED, \
               and call recvmsg(2) with room for credentials. What does it get?",
    answers: &[
        right(
            "credentials, with pid zero and uid 65534",
            "The option is on, so a control message comes. But nothing was noted at \
             the send: pid 0 and the overflow uid say that the sender is not known.",
        ),
        wrong(
            "credentials, with the sender's pid and uid",
            "The kernel knew them at the send. It keeps them with the bytes only if \
             one of the two sockets has asked for it by then.",
        ),
        wrong(
            "the byte, with no control message beside it",
            "The receiver has the option set now, so it gets one.",
        ),
    ],
    kind: Kind::Kernel,
    run: passcred_late,
    moral: "Set SO_PASSCRED before the first byte can come: on the listening socket, \
            from which accepted ones inherit it. And treat pid 0 as: not known.",
    see: "unix(7)",
    file: file!(),
    shows: &["passcred-late"],
};

// ANCHOR: passcred-late
fn passcred_late(stage: &Stage) -> Result<usize> {
    let mut said = Vec::new();
    for late in [true, false] {
        let (receiver, sender) = pair()?;
        if !late {
            setsockopt(&receiver, PassCred, &true).context("setsockopt")?;
        }
        send(sender.as_raw_fd(), b"x", MsgFlags::empty()).context("send")?;
        if late {
            setsockopt(&receiver, PassCred, &true).context("setsockopt")?;
        }
        let who = sender_of_next(&receiver)?;
        let text = match &who {
            None => "no credentials".to_owned(),
            Some(one) if one.pid() == getpid().as_raw() => "the sender's".to_owned(),
            Some(one) => format!("pid {}, uid {}", one.pid(), one.uid()),
        };
        let when = if late { "after the send" } else { "before the send" };
        stage.call(format!("SO_PASSCRED {when}, recvmsg()"), &text);
        stage.saw(&format!("set {when}"), text.as_str());
        said.push(text);
    }
    Ok(match said[0].as_str() {
        "the sender's" => 2,
        "no credentials" => 3,
        _ => 1,
    })
}
// ANCHOR_END: passcred-late

pub(super) const PEER_HAS_ENDED: Experiment = Experiment {
    name: "peer-has-ended",
    title: "A number, a descriptor, and the end of a process",
    level: Level::Deep,
    question: "A server asks for its client's pid (SO_PEERCRED), and for a pidfd of the client \
               (SO_PEERPIDFD). The client's process ends; a helper, which has the same \
               socket, lives on. What tells the server that the client has ended?",
    answers: &[
        wrong(
            "the connection: recv returns 0",
            "The end of a connection comes with the last descriptor, and the helper has one. \
             The server's recv(2) sleeps.",
        ),
        right(
            "the pidfd: poll says POLLIN",
            "A pidfd stands for this one process, and poll(2) reports its end. When the \
             process is gone, its pid can be another's; a pidfd never is.",
        ),
        wrong(
            "the pid: SO_PEERCRED says 0",
            "SO_PEERCRED is what was noted at connect(2), and stays as it was. The number may \
             be that of another process by now.",
        ),
    ],
    kind: Kind::Needs(&PEER_PIDFD),
    run: peer_has_ended,
    moral: "Whatever is done to a peer by its pid (a look at /proc/PID, kill) may hit another \
            process. SO_PEERPIDFD, since Linux 6.5, names the one that connected.",
    see: "unix(7), pidfd_open(2), poll(2)",
    file: file!(),
    shows: &["peer-has-ended"],
};

// ANCHOR: peer-has-ended
fn peer_has_ended(stage: &Stage) -> Result<usize> {
    stage.needs(&PEER_PIDFD)?;
    let address = UnixAddr::new(&stage.path("sock"))?;
    let listener = UnixListener::bind(stage.path("sock")).context("bind")?;
    // Two processes inherit this socket. One of them connects it.
    let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
    let socket = socket(unix, stream, SockFlag::empty(), None).context("socket")?;
    let goes = stage.gate()?;
    let client = stage.fork("client", |_| {
        connect(socket.as_raw_fd(), &address)?;
        goes.pass()
    })?;
    let helper = stage.fork("helper", |_| {
        pause(); // until it is killed
        Ok(())
    })?;
    let (server, _) = listener.accept().context("accept")?;
    stage.event("client", "is connected");
    drop(socket);
    let pid = getsockopt(&server, PeerCredentials).context("SO_PEERCRED")?.pid();
    let pidfd = getsockopt(&server, PeerPidfd);
    stage.call("getsockopt(SO_PEERPIDFD)", &pidfd);
    let pidfd = pidfd?;
    let says = |remark: &str| -> Result<PollFlags> {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).context("poll")?;
        let said = fds[0].revents().context("flags")?;
        stage.call(format!("poll(pidfd), {remark}"), &said);
        Ok(said)
    };
    let before = says("the client lives")?;
    goes.open(1)?;
    client.join()?;
    stage.event("client", "has ended; the helper has its socket");
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recv(server.as_raw_fd(), &mut [0; 1], flags);
    stage.call("recv(MSG_DONTWAIT)", &received);
    let noted = getsockopt(&server, PeerCredentials).context("SO_PEERCRED")?.pid();
    let after = says("the client has ended")?;
    let late = pidfd_kill(&pidfd, libc::SIGTERM);
    stage.call("pidfd_send_signal(pidfd, SIGTERM)", &late);
    stage.saw("recv", received.shown());
    stage.saw("SO_PEERCRED still says the pid", noted == pid);
    stage.saw("poll said it before", before.contains(PollFlags::POLLIN));
    stage.saw("poll says it", after.contains(PollFlags::POLLIN));
    stage.saw("a signal by the pidfd", late.shown());
    helper.kill(Signal::SIGKILL)?;
    helper.end()?;
    Ok(match (received, noted == pid, after.contains(PollFlags::POLLIN)) {
        (Ok(0), ..) => 1,
        (_, _, true) => 2,
        _ => 3,
    })
}
// ANCHOR_END: peer-has-ended

pub(super) const PIDFD_OF_A_MESSAGE: Experiment = Experiment {
    name: "pidfd-of-a-message",
    title: "A descriptor that nobody has sent",
    level: Level::Deep,
    question: "A client connects, and forks. Its child sends its pid on the same connection. The server \
               has set SO_PASSPIDFD: with these bytes comes a pidfd, by which it sends SIGKILL. Which \
               process does that end?",
    answers: &[
        right(
            "the child, which has sent the bytes",
            "The pidfd that the kernel adds to a message (SCM_PIDFD) stands for the process that \
             called send(2). No number is in between that could be another's by now.",
        ),
        wrong(
            "the client, which has connected",
            "That is whom SO_PEERPIDFD names, for as long as the connection lives. Bytes have a \
             sender of their own.",
        ),
        wrong(
            "both, which have one connection",
            "A pidfd stands for one process. Children are not ended with their parent, either.",
        ),
    ],
    kind: Kind::Needs(&PEER_PIDFD),
    run: pidfd_of_a_message,
    moral: "Ask for the credentials of what you decide about: of the connection by SO_PEERCRED and \
            SO_PEERPIDFD, of a message by SCM_CREDENTIALS and SCM_PIDFD. Set the option on the \
            listening socket, before a message can come. It needs Linux 6.5.",
    see: "unix(7), pidfd_send_signal(2)",
    file: file!(),
    shows: &["pidfd-of-a-message"],
};

// ANCHOR: pidfd-of-a-message
fn pidfd_of_a_message(stage: &Stage) -> Result<usize> {
    stage.needs(&PEER_PIDFD)?;
    let listener = UnixListener::bind(stage.path("sock")).context("bind")?;
    let set = pass_pidfd(&listener); // for what it accepts
    stage.call("setsockopt(SO_PASSPIDFD)", &set);
    set?;
    let client = stage.fork("client", |stage| {
        let socket = UnixStream::connect(stage.path("sock")).context("connect")?;
        let child = stage.fork("child", |_| {
            (&socket).write_all(&getpid().as_raw().to_ne_bytes())?;
            pause(); // until a signal ends it
            Ok(())
        })?;
        child.leave(); // as a zombie, it can be seen
        pause();
        Ok(())
    })?;
    let (server, _) = listener.accept().context("accept")?;
    let mut pid = [0; 4];
    let (n, pidfd) = recv_with_pidfd(&server, &mut pid).context("recvmsg")?;
    let pidfd = pidfd.context("no pidfd")?;
    stage.call("recvmsg()", &format!("{n}, and SCM_PIDFD"));
    let killed = pidfd_kill(&pidfd, libc::SIGKILL);
    stage.call("pidfd_send_signal(SCM_PIDFD, SIGKILL)", &killed);
    let (child, parent) = (Pid::from_raw(i32::from_ne_bytes(pid)), client.pid());
    let ended = |pid| activity(pid) == Activity::Ended;
    let one = || Ok((ended(parent) || ended(child)).then(|| ended(parent)));
    let connected = until(|| "no process has ended".into(), one)?;
    let sent = ended(child);
    for (who, ended) in [("client", connected), ("child", sent)] {
        stage.event(who, if ended { "has ended" } else { "sleeps on" });
    }
    let peer = getsockopt(&server, PeerPidfd).context("SO_PEERPIDFD")?;
    let late = pidfd_kill(&peer, libc::SIGTERM);
    stage.call("pidfd_send_signal(SO_PEERPIDFD, SIGTERM)", &late);
    let end = client.end()?;
    stage.event("client", "has ended");
    stage.saw("the client ended", connected);
    stage.saw("the child ended", sent);
    stage.saw("SO_PEERPIDFD ended the client", end == End::Killed(Signal::SIGTERM));
    Ok(match (sent, connected) {
        (true, false) => 1,
        (false, _) => 2,
        (true, true) => 3,
    })
}
// ANCHOR_END: pidfd-of-a-message
