//! Between sendmsg(2) and recvmsg(2): no process's table has it, and it is open.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Uid, read, setuid, write};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{PipeFlags, pipe, pipe_with};

use super::{ONE, pair, pass, take};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::calls::nix_errno;

pub(super) const OUTLIVES_THE_SENDER: Experiment = Experiment {
    name: "outlives-the-sender",
    title: "A descriptor from a process that has ended",
    level: Level::First,
    question: "A process makes a pipe, writes `hello` into it, and passes the read end over \
               a Unix socket. Then it ends, and everything that it had open is closed. Only \
               now does the receiver call recvmsg(2). What does it get?",
    answers: &[
        wrong(
            "zero, the end of the stream",
            "The sender has gone, but the end comes after what was sent, as with \
             bytes. The message is there.",
        ),
        wrong(
            "the byte, and a number that is EBADF to read(2)",
            "A number of the sender's table would mean nothing by now. But no number \
             was sent: the message itself holds the open file.",
        ),
        right(
            "the byte, and a descriptor that gives `hello`",
            "While the message lies in the socket, the kernel holds the open file for \
             it. An open file ends with its last reference, and this is one.",
        ),
    ],
    kind: Kind::Kernel,
    run: outlives_the_sender,
    moral: "After sendmsg the sender may close its copy, and even end: the message keeps \
            the file open. What it cannot know is whether a process will ever take it.",
    see: "unix(7)",
    file: file!(),
    shows: &["outlives-the-sender"],
};

// ANCHOR: outlives-the-sender
fn outlives_the_sender(stage: &Stage) -> Result<usize> {
    let (here, there) = pair()?;
    let sender = stage.fork("sender", |stage| {
        let (reader, writer) = pipe()?;
        stage.call("write(pipe, \"hello\")", &write(&writer, b"hello"));
        let sent = pass(&here, b"x", &[reader.as_fd()]);
        stage.call("sendmsg(\"x\", SCM_RIGHTS {the read end})", &sent);
        Ok(())
    })?;
    drop(here);
    sender.join()?;
    stage.event("sender", "has ended");
    let taken = take(&there, 1, ONE, RecvFlags::empty());
    stage.call("recvmsg(socket, &m, 0)", &taken);
    let taken = taken.context("recvmsg")?;
    stage.saw("descriptors received", taken.descriptors.len());
    let Some(reader) = taken.descriptors.first() else { return Ok(1) };
    let mut buffer = [0; 10];
    let mut next = || {
        let n = read(reader, &mut buffer);
        stage.call(format!("read({}, buffer, 10)", reader.as_raw_fd()), &n);
        n.map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
    };
    let (first, then) = (next(), next());
    stage.saw("the first read", first.shown());
    stage.saw("the pipe has ended then", then.as_deref() == Ok(""));
    match first.as_deref() {
        Ok("hello") => Ok(3),
        Err(Errno::EBADF) => Ok(2),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: outlives-the-sender

pub(super) const EOF_IN_FLIGHT: Experiment = Experiment {
    name: "eof-in-flight",
    title: "A pipe with no writer anywhere",
    level: Level::Later,
    question: "A process passes the write end of a pipe over a Unix socket and closes \
               its own copy. The receiver has not yet called recvmsg(2), so no process \
               has the write end open. What does read(2) return on the read end, which \
               is empty and O_NONBLOCK?",
    answers: &[
        wrong(
            "zero, and zero each time",
            "There is no writer in any process's table. But the open file is there, \
             and that is what the pipe counts.",
        ),
        right(
            "-1 with EAGAIN, for now",
            "The message in the socket holds the write end. Without O_NONBLOCK this \
             read would sleep until a process takes the message, or closes the socket.",
        ),
        wrong(
            "zero, and bytes later on",
            "The end has not come, so read does not say so. On Linux an end need not be \
             the last word: open(2) of /proc/PID/fd/N gives a pipe a new writer.",
        ),
    ],
    kind: Kind::Kernel,
    run: eof_in_flight,
    moral: "A pipe that does not end, and no process has its write end (lsof finds none): \
            look for one in flight. /proc/PID/fdinfo/N of a Unix socket has the line \
            scm_fds, how many descriptors wait in it. proc(5) does not have it yet.",
    see: "unix(7), pipe(7)",
    file: file!(),
    shows: &["eof-in-flight"],
};

// ANCHOR: eof-in-flight
fn eof_in_flight(stage: &Stage) -> Result<usize> {
    let (here, there) = pair()?;
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).context("pipe")?;
    let sent = pass(&here, b"x", &[writer.as_fd()]);
    stage.call("sendmsg(\"x\", SCM_RIGHTS {the write end})", &sent);
    drop(writer);
    stage.call("close(the write end)", &());
    let in_flight = read(&reader, &mut [0; 10]);
    stage.call("read(the read end)", &in_flight);
    // The receiving socket's fdinfo shows it.
    let info = format!("/proc/self/fdinfo/{}", there.as_raw_fd());
    let info = std::fs::read_to_string(info).context("read fdinfo")?;
    let waiting = info.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    let waiting = waiting.map(|number| number.trim().to_owned());
    stage.call(
        "scm_fds in the socket's fdinfo",
        &waiting.clone().unwrap_or("no such line".into()),
    );
    // No process takes the message, and the socket is closed.
    drop(there);
    stage.call("close(the receiving socket)", &());
    let after = read(&reader, &mut [0; 10]);
    stage.call("read(the read end)", &after);
    stage.saw("while it is in flight", in_flight.shown());
    stage.saw("descriptors that wait in the socket", waiting);
    stage.saw("once the socket is closed", after.shown());
    match (in_flight, after) {
        (Ok(0), _) => Ok(1),
        (Err(nix::Error::EAGAIN), Ok(0)) => Ok(2),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: eof-in-flight

pub(super) const DIES_UNREAD: Experiment = Experiment {
    name: "dies-unread",
    title: "A worker dies before it has looked",
    level: Level::Later,
    question: "A server passes a descriptor to a worker: one byte, over a Unix stream \
               socket. The worker dies before it has received it. The server waits for the \
               worker's answer, in recv(2) on the same socket. What does it get?",
    answers: &[
        wrong(
            "zero, and zero after that",
            "That is what a worker leaves that had read everything. This one left \
             something unread, and the kernel tells.",
        ),
        wrong(
            "its own byte and descriptor",
            "They could not be delivered, and are not returned. What was sent is gone, \
             and with it the reference that it held. The server still has its own copy, \
             if it kept one.",
        ),
        wrong(
            "-1 with EPIPE, and zero after that",
            "EPIPE is for the side that sends. The server receives.",
        ),
        right(
            "-1 with ECONNRESET, and zero after that",
            "As with TCP: closed with unread data is a reset, the sign that something \
             was lost. It is told once; after that the stream has just ended.",
        ),
    ],
    kind: Kind::Kernel,
    run: dies_unread,
    moral: "Take ECONNRESET from a Unix socket as an end as well: a server that dies \
            of it dies of its worker. And keep your copy until the receiver has said \
            that it holds the descriptor.",
    see: "unix(7), recv(2)",
    file: file!(),
    shows: &["dies-unread"],
};

// ANCHOR: dies-unread
fn dies_unread(stage: &Stage) -> Result<usize> {
    let mut said = Vec::new();
    for takes_it in [false, true] {
        let (server, theirs) = pair()?;
        let (reader, _writer) = pipe().context("pipe")?;
        let sent = pass(&server, b"x", &[reader.as_fd()]);
        stage.call("sendmsg(\"x\", SCM_RIGHTS {a descriptor})", &sent);
        let worker = stage.fork("worker", |stage| {
            if takes_it {
                let taken = take(&theirs, 1, ONE, RecvFlags::empty());
                stage.call("recvmsg(socket, &m, 0)", &taken.map(|n| n.text));
            }
            Ok(())
        })?;
        drop(theirs);
        worker.join()?;
        stage.event("worker", "has ended");
        let mut answer = [0; 2];
        let first = recv(&server, &mut answer[..], RecvFlags::empty());
        let first = first.map(|(n, _)| n).map_err(nix_errno);
        stage.call("recv(socket, buffer, 2, 0)", &first);
        let then = recv(&server, &mut answer[..], RecvFlags::empty());
        let then = then.map(|(n, _)| n);
        stage.call("recv(socket, buffer, 2, 0)", &then);
        let sent = send(&server, b"x", SendFlags::NOSIGNAL);
        stage.call("send(socket, \"x\", 1, MSG_NOSIGNAL)", &sent);
        let which = if takes_it { "if it had received it" } else { "if it had not" };
        stage.saw(which, vec![first.shown(), then.shown(), sent.shown()]);
        said.push(first);
    }
    match said[0] {
        Ok(0) => Ok(1),
        Err(Errno::ECONNRESET) => Ok(4),
        Ok(_) => Ok(2),
        Err(Errno::EPIPE) => Ok(3),
        Err(error) => bail!("recv: {error}"),
    }
}
// ANCHOR_END: dies-unread

pub(super) const TOO_MANY_IN_FLIGHT: Experiment = Experiment {
    name: "too-many-in-flight",
    title: "Passing to a process that does not receive",
    level: Level::Deep,
    question: "An ordinary process may have 50 files open (RLIMIT_NOFILE). It has a \
               handful. It passes one of them again and again over a Unix socket, one a \
               message, and nothing is received. The socket has room for hundreds of \
               such messages. How does this end?",
    answers: &[
        right(
            "by ETOOMANYREFS, after about fifty",
            "The kernel counts what a user has in flight, in all sockets together, and \
             compares it with the RLIMIT_NOFILE of the process that sends. Otherwise a \
             user could hold any number of files open in sockets.",
        ),
        wrong(
            "by EAGAIN, after hundreds",
            "That is what root sees, and so what a server sees that was tried by \
             root.",
        ),
        wrong(
            "by EMFILE, after about fifty",
            "EMFILE is about the table of the process, and there it is still one. \
             Descriptors in flight are counted by themselves, for the user.",
        ),
    ],
    kind: Kind::Kernel,
    run: too_many_in_flight,
    moral: "ETOOMANYREFS from sendmsg: some receiver does not take what was sent to \
            it, and the sender may be another process of your user. It passes once the \
            messages are taken, so it is a reason to wait, not to give up.",
    see: "unix(7), getrlimit(2)",
    file: file!(),
    shows: &["too-many-in-flight"],
};

/// Numbers of capabilities, capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

/// Whether this process has a capability.
fn may(capability: u32) -> Result<bool> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("read status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = u64::from_str_radix(mask.context("no CapEff")?.trim(), 16)?;
    Ok(mask >> capability & 1 == 1)
}

// ANCHOR: too-many-in-flight
fn too_many_in_flight(stage: &Stage) -> Result<usize> {
    const LIMIT: u64 = 50;
    // Sends one descriptor until it is refused; how many went, and what then?
    let until_refused = |stage: &Stage| {
        let (here, there) = pair()?;
        let (reader, _writer) = pipe().context("pipe")?;
        let mut gone = 0;
        let refused = loop {
            match pass(&here, b"x", &[reader.as_fd()]) {
                Ok(_) => gone += 1,
                Err(error) => break nix_errno(error),
            }
        };
        stage.call(format!("sendmsg() number {}", gone + 1), &Err::<(), _>(refused));
        if refused != Errno::ETOOMANYREFS {
            return anyhow::Ok((gone, refused as i32, None));
        }
        let taken = take(&there, 1, ONE, RecvFlags::DONTWAIT);
        stage.call("recvmsg(the other end)", &taken.map(|_| 1));
        let again = pass(&here, b"x", &[reader.as_fd()]);
        stage.call("sendmsg() again", &again);
        Ok((gone, refused as i32, Some(again.is_ok())))
    };
    let root = Uid::effective().is_root();
    let ordinary = stage.fork("ordinary", |stage| {
        setrlimit(Resource::RLIMIT_NOFILE, LIMIT, LIMIT).context("setrlimit")?;
        stage.call(format!("setrlimit(RLIMIT_NOFILE, {LIMIT})"), &());
        if root {
            // A user that has no other descriptors in flight.
            let uid = Uid::from_raw(60_000 + std::process::id() % 5_000);
            setuid(uid).context("setuid")?;
        }
        until_refused(stage)
    })?;
    let (gone, refused, again) = ordinary.join()?;
    stage.saw("messages that went", gone);
    stage.saw("then", Errno::from_raw(refused).to_string());
    stage.saw("one received, one more went", again);
    if root {
        let root = stage.fork("root", |stage| {
            setrlimit(Resource::RLIMIT_NOFILE, LIMIT, LIMIT).context("setrlimit")?;
            until_refused(stage)
        })?;
        let (gone, refused, _) = root.join()?;
        stage.note(format!(
            "root, with the same limit, sent {gone}, then {}.",
            Errno::from_raw(refused)
        ));
        let [resource, admin] = [may(CAP_SYS_RESOURCE)?, may(CAP_SYS_ADMIN)?];
        stage.saw("root has a capability that excuses it", resource || admin);
        stage.saw("root was refused at the limit", gone <= LIMIT + 1);
        if admin && !resource {
            stage.note(
                "unix(7) excuses those with CAP_SYS_RESOURCE. This root has not got it, \
                 and was not refused: the kernel excuses CAP_SYS_ADMIN as well.",
            );
        }
    }
    match Errno::from_raw(refused) {
        Errno::EAGAIN => Ok(2),
        Errno::EMFILE => Ok(3),
        Errno::ETOOMANYREFS => Ok(1),
        error => bail!("sendmsg: {error}"),
    }
}
// ANCHOR_END: too-many-in-flight
