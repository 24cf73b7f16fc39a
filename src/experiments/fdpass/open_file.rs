//! What the two descriptors have in common, and what each has for itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, read, setuid};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::net::RecvFlags;

use super::{ONE, ReceivedMessage, pair, pass, take};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// The one descriptor that came.
fn only(taken: ReceivedMessage) -> Result<std::os::fd::OwnedFd> {
    let mut descriptors = taken.descriptors;
    descriptors.pop().context("no descriptor came")
}

pub(super) const SAME_OPEN_FILE: Experiment = Experiment {
    name: "same-open-file",
    title: "One file, two numbers",
    level: Level::First,
    question: "A process opens a file that holds `abcdef`. It passes the descriptor to \
               another process over a Unix socket (sendmsg(2) with SCM_RIGHTS), and \
               keeps its own. The receiver calls read(2) for 3 bytes, and gets `abc`. \
               Then the sender calls read(2) for 3 bytes. What does that return?",
    answers: &[
        wrong(
            "three bytes, `abc`",
            "It would, had the receiver opened the file itself. The position is not in \
             the descriptor but in the open file behind it, and there is one.",
        ),
        right(
            "three bytes, `def`",
            "It goes on where the receiver stopped. The kernel did not pass a number, \
             nor open the file again. It made a second descriptor for the same open \
             file, as dup(2) does, but in another process.",
        ),
        wrong(
            "the error EBADF",
            "sendmsg copies a descriptor and does not give it away. The sender's is as \
             it was, until it closes it.",
        ),
    ],
    kind: Kind::Kernel,
    run: same_open_file,
    moral: "Passing is dup across processes: the number differs, the open file is the \
            same, with its position and its status flags. To share no position, let the \
            other process open the file itself, or use pread(2).",
    see: "unix(7), open(2), dup(2)",
    file: file!(),
    shows: &["same-open-file"],
};

// ANCHOR: same-open-file
fn same_open_file(stage: &Stage) -> Result<usize> {
    let path = stage.path("file");
    std::fs::write(&path, "abcdef").context("write")?;
    let ((here, there), sent) = (pair()?, stage.gate()?);
    let receiver = stage.fork("receiver", |stage| {
        sent.pass()?;
        let taken = take(&there, 1, ONE, RecvFlags::empty());
        stage.call("recvmsg(socket, &m, 0)", &taken);
        let file = only(taken?)?;
        let (mut text, number) = ([0; 3], file.as_raw_fd());
        let n = read(&file, &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let call = format!("read({number}, buffer, 3)");
        stage.call(call, &n.map(|n| format!("{n} {text:?}")));
        Ok((number, text))
    })?;
    // Opened after the fork: the receiver can have it by the socket alone.
    let file = File::open(&path);
    stage.call("open(\"file\", O_RDONLY)", &file);
    let file = file.context("open")?;
    // Another number for it, so that the two processes cannot have the same by chance.
    let high = fcntl_dupfd_cloexec(&file, 20);
    stage.call(format!("fcntl({}, F_DUPFD, 20)", file.as_raw_fd()), &high);
    let file = high.context("fcntl(F_DUPFD)")?;
    let ours = file.as_raw_fd();
    stage.call(
        format!("sendmsg(\"x\", SCM_RIGHTS {{{ours}}})"),
        &pass(&here, b"x", &[file.as_fd()]),
    );
    sent.open(1)?;
    let (theirs, first) = receiver.join()?;
    let mut text = [0; 3];
    let then = read(&file, &mut text);
    let second = String::from_utf8_lossy(&text).into_owned();
    let call = format!("read({ours}, buffer, 3)");
    stage.call(call, &then.map(|n| format!("{n} {second:?}")));
    stage.saw("the numbers differ", ours != theirs);
    stage.saw("the receiver read", first);
    stage.saw("then the sender read", second.as_str());
    match (then, second.as_str()) {
        (Ok(3), "abc") => Ok(1),
        (Ok(3), "def") => Ok(2),
        (Err(nix::Error::EBADF), _) => Ok(3),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: same-open-file

pub(super) const NONBLOCK_SHARED: Experiment = Experiment {
    name: "nonblock-shared",
    title: "Flags set on one side",
    level: Level::Later,
    question: "A process passes the read end of a pipe over a Unix socket, and keeps \
               its own descriptor of it. On the one that it got, the receiver sets \
               O_NONBLOCK (fcntl with F_SETFL) and FD_CLOEXEC (fcntl with F_SETFD). \
               Which of the two does the sender find on its own?",
    answers: &[
        wrong(
            "neither of the two flags",
            "A process sets FD_CLOEXEC for itself. O_NONBLOCK is a flag of the open \
             file, which the two processes share: the sender's next read does not sleep \
             any more.",
        ),
        right(
            "the flag O_NONBLOCK",
            "F_SETFL writes to the open file, F_SETFD to the descriptor. The first is \
             shared by all duplicates in all processes, the second by none.",
        ),
        wrong(
            "each of the two flags",
            "FD_CLOEXEC is no flag of the open file. It is the one flag that each \
             descriptor has for itself.",
        ),
    ],
    kind: Kind::Kernel,
    run: nonblock_shared,
    moral: "To set O_NONBLOCK on a descriptor that others share (a passed one, an \
            inherited one, your terminal) changes it for all of them. For one call use \
            MSG_DONTWAIT with a socket, or preadv2(2) with RWF_NOWAIT.",
    see: "fcntl(2), open(2), recv(2)",
    file: file!(),
    shows: &["nonblock-shared"],
};

// ANCHOR: nonblock-shared
fn nonblock_shared(stage: &Stage) -> Result<usize> {
    let ((here, there), sent) = (pair()?, stage.gate()?);
    let receiver = stage.fork("receiver", |stage| {
        sent.pass()?;
        let taken = take(&there, 1, ONE, RecvFlags::empty());
        stage.call("recvmsg(socket, &m, 0)", &taken);
        let pipe = only(taken?)?;
        let number = pipe.as_raw_fd();
        let set = fcntl_setfl(&pipe, OFlags::NONBLOCK);
        stage.call(format!("fcntl({number}, F_SETFL, O_NONBLOCK)"), &set);
        let set = fcntl_setfd(&pipe, FdFlags::CLOEXEC);
        stage.call(format!("fcntl({number}, F_SETFD, FD_CLOEXEC)"), &set);
        Ok(())
    })?;
    let (pipe, _writer) = rustix::pipe::pipe().context("pipe")?;
    let number = pipe.as_raw_fd();
    stage.call(
        format!("sendmsg(\"x\", SCM_RIGHTS {{{number}}})"),
        &pass(&here, b"x", &[pipe.as_fd()]),
    );
    sent.open(1)?;
    receiver.join()?;
    let status = fcntl_getfl(&pipe).context("fcntl(F_GETFL)")?;
    let own = fcntl_getfd(&pipe).context("fcntl(F_GETFD)")?;
    let nonblock = status.contains(OFlags::NONBLOCK);
    let cloexec = own.contains(FdFlags::CLOEXEC);
    let shown = if nonblock { "O_RDONLY | O_NONBLOCK" } else { "O_RDONLY" };
    stage.call(format!("fcntl({number}, F_GETFL)"), &shown);
    let shown = if cloexec { "FD_CLOEXEC" } else { "0" };
    stage.call(format!("fcntl({number}, F_GETFD)"), &shown);
    stage.saw("the sender's has O_NONBLOCK", nonblock);
    stage.saw("the sender's has FD_CLOEXEC", cloexec);
    if nonblock {
        let read = read(&pipe, &mut [0; 1]); // it slept here before
        stage.call(format!("read({number}, buffer, 1), an empty pipe"), &read);
        stage.saw("the sender's read", read.shown());
    }
    match (nonblock, cloexec) {
        (false, false) => Ok(1),
        (true, false) => Ok(2),
        (true, true) => Ok(3),
        (false, true) => bail!("FD_CLOEXEC alone"),
    }
}
// ANCHOR_END: nonblock-shared

pub(super) const RIGHTS_TRAVEL: Experiment = Experiment {
    name: "rights-travel",
    title: "A secret file, passed to another user",
    level: Level::Later,
    question: "A file of root's has mode 0600. Root opens it, and passes the \
               descriptor to a process of another user, which may not open the file. \
               That process calls read(2) on what it got. It also opens the same file \
               again, by /proc/self/fd/N. What do the two calls return?",
    answers: &[
        right(
            "read: the text; open: EACCES",
            "The open file carries the right to read with it, whoever holds it. \
             /proc/self/fd/N opens the file anew, and so the mode counts.",
        ),
        wrong(
            "read: EACCES; open: EACCES",
            "Modes are looked at when a file is opened, and root has done that. A read \
             asks only how it was opened.",
        ),
        wrong(
            "read: the text; open: a descriptor",
            "The process has this open file, with what it was opened for. It has no \
             right to open it once more, for more or for the same.",
        ),
        wrong(
            "read: EBADF, it has got nothing",
            "Any process may pass any descriptor that it has, to any that will take \
             it: recvmsg(2) does not ask whose the file is.",
        ),
    ],
    kind: Kind::Needs(&needs::OTHER_USER),
    run: rights_travel,
    moral: "A descriptor is a right that can be handed over: a small privileged process \
            opens, an unprivileged one works. What was handed over cannot be taken back.",
    see: "open(2), unix(7), proc(5)",
    file: file!(),
    shows: &["rights-travel"],
};

// ANCHOR: rights-travel
fn rights_travel(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::OTHER_USER)?;
    let path = stage.path("secret");
    std::fs::write(&path, "secret").context("write")?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).context("chmod")?;
    let ((here, there), sent) = (pair()?, stage.gate()?);
    let other = stage.fork("other user", |stage| {
        setuid(Uid::from_raw(65_534)).context("setuid")?;
        let by_name = File::open(&path);
        stage.call("open(\"secret\", O_RDONLY)", &by_name);
        sent.pass()?;
        let taken = take(&there, 1, ONE, RecvFlags::empty());
        stage.call("recvmsg(socket, &m, 0)", &taken);
        let Ok(taken) = taken else { return Ok((None, None)) };
        let file = only(taken)?;
        let number = file.as_raw_fd();
        let mut text = [0; 6];
        let n = read(&file, &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        stage.call(format!("read({number}, buffer, 6)"), &n);
        let again = File::open(format!("/proc/self/fd/{number}"));
        stage.call(format!("open(\"/proc/self/fd/{number}\", O_RDONLY)"), &again);
        Ok((n.ok().map(|_| text), Some(again.is_ok())))
    })?;
    let file = File::open(&path).context("open")?;
    let number = file.as_raw_fd();
    stage.call(
        format!("sendmsg(\"x\", SCM_RIGHTS {{{number}}})"),
        &pass(&here, b"x", &[file.as_fd()]),
    );
    sent.open(1)?;
    let (read, again) = other.join()?;
    stage.saw("the other user read", read.clone());
    stage.saw("the other user could open it again", again);
    match (read.as_deref(), again) {
        (_, None) => Ok(4),
        (None, _) => Ok(2),
        (Some("secret"), Some(false)) => Ok(1),
        (Some("secret"), Some(true)) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: rights-travel

pub(super) const CLOEXEC: Experiment = Experiment {
    name: "cloexec",
    title: "What the next program inherits",
    level: Level::Later,
    question: "A sender opens a file with O_CLOEXEC, and passes the descriptor. The \
               receiver takes it by recvmsg(2) with no flags. Then the two processes \
               each start a program (fork(2), execve(2)). Which of the two programs has \
               the file open?",
    answers: &[
        wrong(
            "neither program",
            "The flag FD_CLOEXEC belongs to the sender's descriptor and is not passed \
             along: it is no flag of the open file, and the receiver's descriptor is a \
             new one.",
        ),
        wrong(
            "the sender's",
            "The sender opened it with O_CLOEXEC, so execve(2) closes it there. The \
             receiver's has no such flag, unless recvmsg was asked for it.",
        ),
        right(
            "the receiver's",
            "The new descriptor has no FD_CLOEXEC, like each descriptor that is made \
             without asking for it. recvmsg with MSG_CMSG_CLOEXEC asks, and sets it \
             before another thread can come in between.",
        ),
    ],
    kind: Kind::Kernel,
    run: cloexec,
    moral: "Always recvmsg with MSG_CMSG_CLOEXEC. fcntl(2) afterwards leaves a gap in \
            which another thread may fork and execve. A leaked connection is one that \
            does not end when you close it.",
    see: "recvmsg(2), fcntl(2), unix(7)",
    file: file!(),
    shows: &["cloexec-broken", "cloexec-cured", "cloexec"],
};

// ANCHOR: cloexec-broken
/// No flags: programs that we start inherit what comes.
const NO_FLAGS: RecvFlags = RecvFlags::empty();
// ANCHOR_END: cloexec-broken

// ANCHOR: cloexec-cured
/// FD_CLOEXEC is set on whatever comes.
const CLOSED_ON_EXECVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
// ANCHOR_END: cloexec-cured

// ANCHOR: cloexec
fn cloexec(stage: &Stage) -> Result<usize> {
    let path = stage.path("file");
    File::create(&path)?.write_all(b"private").context("write")?;
    // Whether a program that is started now has what is open under this number.
    let inherits = |stage: &Stage, who, number: i32| -> Result<bool> {
        let name = format!("/proc/self/fd/{number}");
        let mut cat = Command::new("cat");
        let cat = cat.arg(&name).stdin(Stdio::null()).stderr(Stdio::null());
        let output = cat.output().context("exec cat")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let what = if printed.is_empty() { "no such file" } else { &printed };
        stage.event(who, format!("cat {name}: {what}"));
        Ok(printed == "private")
    };
    let (mut by_sender, mut by_receiver) = (Vec::new(), Vec::new());
    for (flags, name) in [(NO_FLAGS, "0"), (CLOSED_ON_EXECVE, "MSG_CMSG_CLOEXEC")] {
        let (here, there) = pair()?;
        let file = File::open(&path).context("open")?; // Rust opens with O_CLOEXEC
        pass(&here, b"x", &[file.as_fd()]).context("sendmsg")?;
        by_sender.push(inherits(stage, "sender's", file.as_raw_fd())?);
        drop(file);
        let taken = take(&there, 1, ONE, flags);
        stage.call(format!("recvmsg(socket, &m, {name})"), &taken);
        let file = only(taken?)?;
        by_receiver.push(inherits(stage, "receiver's", file.as_raw_fd())?);
    }
    stage.saw("inherited from the sender", by_sender[0]);
    stage.saw("inherited, without a flag", by_receiver[0]);
    stage.saw("inherited, with MSG_CMSG_CLOEXEC", by_receiver[1]);
    match (by_sender[0], by_receiver[0], by_receiver[1]) {
        (false, true, false) => Ok(3),
        (false, false, _) => Ok(1),
        (true, false, _) => Ok(2),
        other => bail!("inherited: {other:?}"),
    }
}
// ANCHOR_END: cloexec
