//! How many fit: into the receiver's buffer, into a message, into the table.

use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, setrlimit};
use rustix::io::{Errno, dup};
use rustix::net::RecvFlags;
use rustix::pipe::pipe;

use super::{ONE, open_now, pair, pass, take};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const ROOM_FOR_ONE: Experiment = Experiment {
    name: "room-for-one",
    title: "Room for one descriptor, by the book",
    level: Level::Later,
    question: "A receiver expects one descriptor. It does what the manual page shows: \
               a buffer of CMSG_SPACE(sizeof(int)) bytes, and msg_controllen set to \
               that. A sender puts three descriptors into the message. How many does \
               the kernel install in the receiver's table, on a 64-bit machine?",
    answers: &[
        wrong(
            "one, and it sets MSG_CTRUNC",
            "CMSG_SPACE is 24 bytes here: a header of 16, an int of 4, and 4 more to \
             end on a multiple of 8. The padding is as good as room.",
        ),
        right(
            "two, and it sets MSG_CTRUNC",
            "CMSG_SPACE is 24 bytes: a header of 16 and room for two ints. A receiver \
             that takes the one int that it expected leaves the second descriptor open \
             for ever.",
        ),
        wrong(
            "none, and it returns EMSGSIZE",
            "recvmsg does not fail when there is no room for all. It delivers what \
             fits, drops the rest, and sets a flag that many do not look at.",
        ),
        wrong(
            "three, and it sets no flag",
            "What has no room is closed, not installed, so at least it does not leak.",
        ),
    ],
    kind: Kind::Kernel,
    run: room_for_one,
    moral: "Look at cmsg_len, take every descriptor that came and close those that you did \
            not expect: with this buffer a stranger can fill your table, one a message, \
            and without MSG_CTRUNC if it sends just two. CMSG_LEN (20) has room for one.",
    see: "cmsg(3), recvmsg(2), unix(7)",
    file: file!(),
    shows: &["room-for-one"],
};

// ANCHOR: room-for-one
fn room_for_one(stage: &Stage) -> Result<usize> {
    // CMSG_LEN(sizeof(int)), CMSG_SPACE(sizeof(int)), and one int more.
    let mut installed = Vec::new();
    for room in [20, 24, 28] {
        let (here, there) = pair()?;
        let (reader, writer) = pipe().context("pipe")?;
        let three = [reader.as_fd(), writer.as_fd(), here.as_fd()];
        pass(&here, b"x", &three).context("sendmsg")?;
        let before = open_now()?;
        let taken = take(&there, 1, room, RecvFlags::empty());
        stage.call(format!("recvmsg(), msg_controllen {room}"), &taken);
        let Ok(taken) = taken else { return Ok(3) };
        let now = open_now()? - before;
        stage.saw(&format!("installed, with {room} bytes"), now);
        stage.saw(&format!("MSG_CTRUNC, with {room} bytes"), taken.truncated);
        installed.push(now);
    }
    // The message that leaks in silence: two descriptors, and room for "one".
    let (here, there) = pair()?;
    pass(&here, b"x", &[here.as_fd(), there.as_fd()]).context("sendmsg")?;
    let taken = take(&there, 1, 24, RecvFlags::empty());
    stage.call("recvmsg(), msg_controllen 24, two sent", &taken);
    stage.saw(
        "MSG_CTRUNC, with 24 bytes for two",
        taken.context("recvmsg")?.truncated,
    );
    match installed[1] {
        1 => Ok(1),
        2 => Ok(2),
        3 => Ok(4),
        other => bail!("{other} descriptors"),
    }
}
// ANCHOR_END: room-for-one

pub(super) const AT_MOST_253: Experiment = Experiment {
    name: "at-most-253",
    title: "One descriptor too many in one message",
    level: Level::Deep,
    question: "A process wants to hand over its connections to its successor, many in \
               each message. The constant SCM_MAX_FD of the kernel is 253. By mistake \
               it puts 254 into one sendmsg(2). The receiver has room for them. What \
               happens?",
    answers: &[
        wrong(
            "253 of them arrive, and sendmsg returns one",
            "Nothing is dropped on the way in: it is all or nothing.",
        ),
        wrong(
            "254 of them arrive, and sendmsg returns one",
            "The sender's kernel keeps them in a list until they are taken, and that \
             list has 253 places. No setting and no privilege changes it.",
        ),
        right(
            "none of them arrives, and sendmsg says EINVAL",
            "EINVAL means many things to sendmsg; here it means that the list is too \
             long. Before Linux 2.6.38 it could have 255.",
        ),
        wrong(
            "none of them arrives, and sendmsg says EMFILE",
            "EMFILE is about the table of a process (which may be made larger). No \
             table is full here.",
        ),
    ],
    kind: Kind::Kernel,
    run: at_most_253,
    moral: "Hand over many descriptors in several messages. EINVAL from sendmsg with \
            SCM_RIGHTS: count them.",
    see: "unix(7)",
    file: file!(),
    shows: &["at-most-253"],
};

// ANCHOR: at-most-253
fn at_most_253(stage: &Stage) -> Result<usize> {
    let (here, there) = pair()?;
    let (reader, _writer) = pipe().context("pipe")?;
    let send = |number: usize| {
        let sent = pass(&here, b"x", &vec![reader.as_fd(); number]);
        stage.call(format!("sendmsg(\"x\", SCM_RIGHTS {{{number}}})"), &sent);
        sent
    };
    // The most that is not refused: one more each time, from below.
    let (mut most, mut refused) = (0, None);
    for number in [1, 250, 251, 252, 253, 254, 255, 256, 1000, 1024, 1025] {
        match send(number) {
            Ok(_) => most = number,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        let taken = take(&there, 1, 2048, RecvFlags::DONTWAIT);
        let got = taken.as_ref().map(|taken| taken.descriptors.len());
        anyhow::ensure!(got.is_ok_and(|got| got == number.min(508)), "{got:?} came");
    }
    let after = take(&there, 1, 2048, RecvFlags::DONTWAIT);
    stage.call("recvmsg(socket, &m, MSG_DONTWAIT)", &after);
    stage.saw("the most that went in one message", most);
    stage.saw("one more", refused.map(|error| Err::<(), _>(error).shown()));
    stage.saw("of that message something arrived", after.is_ok());
    match (most, refused) {
        (254.., _) | (_, None) => Ok(2),
        (253, Some(Errno::INVAL)) if after.is_err() => Ok(3),
        (253, Some(Errno::MFILE)) if after.is_err() => Ok(4),
        (253, Some(_)) if after.is_ok() => Ok(1),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: at-most-253

pub(super) const FULL_TABLE: Experiment = Experiment {
    name: "full-table",
    title: "No number left",
    level: Level::Deep,
    question: "A process has as many descriptors open as it may (RLIMIT_NOFILE). One \
               byte with a descriptor waits for it in a Unix socket. It calls \
               recvmsg(2), with room for the two. How does it learn that there is no \
               number left, and what becomes of the message?",
    answers: &[
        wrong(
            "by -1 with EMFILE; the message stays in the socket",
            "accept(2) is like that: the client stays in its queue. recvmsg is not.",
        ),
        wrong(
            "by -1 with EMFILE; the message is gone",
            "There is no error at all. The byte arrives, and a flag tells half the \
             truth.",
        ),
        right(
            "by MSG_CTRUNC; the byte arrives alone",
            "The kernel delivers what it can. No free number is to it the same as no \
             room in the buffer, so it sets the flag that says: control data was cut \
             off.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_table,
    moral: "MSG_CTRUNC has two meanings: your buffer was too small, or your table was \
            full. In each case the descriptor is gone, so the sender should keep its \
            own until you have said that you hold it.",
    see: "unix(7), recvmsg(2), getrlimit(2)",
    file: file!(),
    shows: &["full-table"],
};

// ANCHOR: full-table
fn full_table(stage: &Stage) -> Result<usize> {
    let (here, there) = pair()?;
    let (reader, writer) = pipe().context("pipe")?;
    let sent = pass(&here, b"x", &[writer.as_fd()]);
    stage.call("sendmsg(\"x\", SCM_RIGHTS {a pipe's write end})", &sent);
    let receiver = stage.fork("receiver", |stage| {
        setrlimit(Resource::RLIMIT_NOFILE, 40, 40).context("setrlimit")?;
        let mut fill = Vec::new();
        let full = loop {
            match dup(&reader) {
                Ok(copy) => fill.push(copy),
                Err(error) => break error,
            }
        };
        stage.call("dup(any)", &Err::<(), _>(full));
        let taken = take(&there, 1, ONE, RecvFlags::DONTWAIT);
        stage.call("recvmsg(socket, &m, MSG_DONTWAIT)", &taken);
        fill.truncate(fill.len() - 1); // now there is a number for it
        let then = take(&there, 1, ONE, RecvFlags::DONTWAIT);
        stage.call("close(one), recvmsg(socket, &m, MSG_DONTWAIT)", &then);
        let taken = taken.map(|t| (t.text, t.descriptors.len(), t.truncated));
        Ok((taken.map_err(Errno::raw_os_error), then.is_ok()))
    })?;
    let (taken, stayed) = receiver.join()?;
    match &taken {
        Ok((text, descriptors, truncated)) => {
            stage.saw("bytes received", text.as_str());
            stage.saw("descriptors received", *descriptors);
            stage.saw("MSG_CTRUNC", *truncated);
        }
        Err(error) => {
            let error = Errno::from_raw_os_error(*error);
            stage.saw("recvmsg", Err::<(), _>(error).shown());
        }
    }
    stage.saw("the message was still there", stayed);
    match (taken, stayed) {
        (Err(_), true) => Ok(1),
        (Err(_), false) => Ok(2),
        (Ok((_, 0, true)), false) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: full-table
