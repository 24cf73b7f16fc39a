//! How two programs find one queue, and which other programs do.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};
use libc::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_open};
use nix::sys::stat::{Mode, fstat, umask};
use nix::unistd::{Uid, geteuid, setuid};

use super::{message, text_of};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::cleanup::Object;
use os::sysv::{Msgbuf, msgget, msgrcv, msgsnd, msgstat};
use os::sysv_control::ftok;

pub(super) const FTOK_COLLIDES: Experiment = Experiment {
    name: "ftok-collides",
    title: "Two keys that should differ",
    level: Level::Later,
    question: "ftok(3) makes a key from a path and a number, so that programs need no \
               constant. One program takes the key of a file with the number 1, another \
               of the same file with 257, a third of a hard link to it with 1. Which \
               keys are equal?",
    answers: &[
        wrong(
            "those of no two programs",
            "A key has 32 bits; there are more paths and numbers than that. And \
             ftok does not look at the letters of the path at all.",
        ),
        wrong(
            "those of the first and the third",
            "The two paths lead to one file, and to one key. But of the number \
             only the low 8 bits are used: 257 is 1 + 256.",
        ),
        wrong(
            "those of the first and the second",
            "Of 257 only the low 8 bits are used, that is right. But the path only \
             serves to find the file: a hard link is the same file.",
        ),
        right(
            "those of all three",
            "The key is the low 8 bits of the number, the low 8 bits of the \
             device's number, and the low 16 bits of the inode's number. All are \
             the same here.",
        ),
    ],
    kind: Kind::Kernel,
    run: ftok_collides,
    moral: "Any two files on a device whose inode numbers differ by a multiple of \
            65,536 collide too: one pair in 65,536 by chance. msgget(2) then finds \
            the queue of another program: make it with IPC_EXCL, and check what \
            you found.",
    see: "ftok(3)",
    file: file!(),
    shows: &["ftok-collides"],
};

// ANCHOR: ftok-collides
fn ftok_collides(stage: &Stage) -> Result<usize> {
    let (file, link) = (stage.path("file"), stage.path("link"));
    std::fs::write(&file, "").context("write a file")?;
    std::fs::hard_link(&file, &link).context("link")?;
    let key = |path: &std::path::Path, project| {
        let key = ftok(path, project);
        let shown = key.map(|key| format!("{key:#010x}"));
        stage.call(format!("ftok({path:?}, {project})"), &shown);
        key.context("ftok")
    };
    let (one, wrapped, linked) = (key(&file, 1)?, key(&file, 257)?, key(&link, 1)?);
    let about = std::fs::metadata(&file).context("stat")?;
    let bits = (about.dev() & 0xff) << 16 | (about.ino() & 0xffff);
    let formula = 1 << 24 | i32::try_from(bits)?;
    stage.saw("1 and 257 give one key", one == wrapped);
    stage.saw("file and link give one key", one == linked);
    stage.saw("the key is 8 + 8 + 16 bits of number, device, inode", one == formula);
    Ok(match (one == linked, one == wrapped) {
        (false, false) => 1,
        (true, false) => 2,
        (false, true) => 3,
        (true, true) => 4,
    })
}
// ANCHOR_END: ftok-collides

pub(super) const FTOK_OF_A_NEW_FILE: Experiment = Experiment {
    name: "ftok-of-a-new-file",
    title: "The same path an hour later",
    level: Level::Later,
    question: "A server and its clients take their key from ftok(\"app.conf\", 1). The \
               server starts and makes its queue. Then somebody edits app.conf; the \
               editor writes a new file and renames it over the old one. Now a client \
               starts and calls msgget(2) with its key. What does it find?",
    answers: &[
        wrong(
            "the server's queue, under the same key",
            "The number is in the key; the path is not. It only leads to a file, \
             whose inode number is in the key, and it leads to another file now.",
        ),
        wrong(
            "the server's queue, if the text is the same",
            "The text of the file is not read.",
        ),
        right(
            "no queue; the path gives another key now",
            "The new file has another inode number, and msgget says ENOENT. With \
             IPC_CREAT the client would make a second queue and wait there for \
             ever.",
        ),
    ],
    kind: Kind::Kernel,
    run: ftok_of_a_new_file,
    moral: "Give ftok a file that nobody replaces: a directory, or the program's \
            own lock file. A file that is deleted and made again may get its old \
            inode number back; then the fault stays hidden until the day when it \
            does not.",
    see: "ftok(3), msgget(2), rename(2)",
    file: file!(),
    shows: &["ftok-of-a-new-file"],
};

// ANCHOR: ftok-of-a-new-file
fn ftok_of_a_new_file(stage: &Stage) -> Result<usize> {
    let (conf, new) = (stage.path("app.conf"), stage.path("app.conf.new"));
    std::fs::write(&conf, "colour = red\n").context("write app.conf")?;
    let key = ftok(&conf, 1).context("ftok")?;
    stage.call("ftok(\"app.conf\", 1)", &format!("{key:#010x}"));
    let made = msgget(key, IPC_CREAT | IPC_EXCL | 0o600);
    stage.call("msgget(key, IPC_CREAT | IPC_EXCL | 0600)", &made);
    let id = made.context("msgget")?;
    stage.made(&Object::SysvQueue(id));

    // What an editor does, here with the very same text.
    std::fs::write(&new, "colour = red\n").context("write app.conf.new")?;
    let renamed = std::fs::rename(&new, &conf);
    stage.call("rename(\"app.conf.new\", \"app.conf\")", &renamed);
    let later = ftok(&conf, 1).context("ftok")?;
    stage.call("ftok(\"app.conf\", 1)", &format!("{later:#010x}"));
    let found = msgget(later, 0);
    stage.call("msgget(key, 0)", &found);
    stage.saw("the key is the same", key == later);
    stage.saw(
        "the client found",
        match found {
            Ok(found) if found == id => "the server's queue".to_owned(),
            Ok(_) => "another queue".to_owned(),
            Err(error) => error.to_string(),
        },
    );
    match found {
        Ok(found) if found == id => Ok(1),
        Err(Errno::ENOENT) => Ok(3),
        other => bail!("msgget: {other:?}"),
    }
}
// ANCHOR_END: ftok-of-a-new-file

pub(super) const PRIVATE_IS_NO_SECRET: Experiment = Experiment {
    name: "private-is-no-secret",
    title: "How private is IPC_PRIVATE",
    level: Level::Later,
    question: "A program makes a queue by msgget(IPC_PRIVATE, 0666). You may have \
               read that such a queue is for the process and its children. A \
               program of another user, started from elsewhere, wants to send to \
               it. What does it need?",
    answers: &[
        right(
            "the identifier, which /proc/sysvipc/msg shows",
            "IPC_PRIVATE is the key 0, which means: make a queue that no key \
             finds. The identifier works for every process that the permission \
             bits let in.",
        ),
        wrong(
            "a common ancestor, which has made the queue",
            "There is no list of relatives. A child simply has its parent's \
             memory, and the identifier in it.",
        ),
        wrong(
            "the identifier, which only its maker can tell",
            "/proc/sysvipc/msg lists all queues with their identifiers, as ipcs(1) \
             does.",
        ),
    ],
    kind: Kind::Kernel,
    run: private_is_no_secret,
    moral: "IPC_PRIVATE means new, not private; only the mode keeps others out: 0600. Each \
            call makes another queue, so a child must use its parent's identifier and not \
            call msgget again.",
    see: "msgget(2), sysvipc(7), proc(5)",
    file: file!(),
    shows: &["private-is-no-secret"],
};

// ANCHOR: private-is-no-secret
fn private_is_no_secret(stage: &Stage) -> Result<usize> {
    let public = msgget(IPC_PRIVATE, 0o666);
    stage.call("msgget(IPC_PRIVATE, 0666)", &public);
    let public = public.context("msgget")?;
    stage.made(&Object::SysvQueue(public));

    // A child has the number in its memory; if it asks again it gets another queue.
    let child = stage.fork("child", |stage| {
        let sent = msgsnd(public, &message(1, b"child"), IPC_NOWAIT);
        stage.call(format!("msgsnd({public}, \"child\")"), &sent);
        let another = msgget(IPC_PRIVATE, 0o600);
        stage.call("msgget(IPC_PRIVATE, 0600)", &another);
        let another = another.context("msgget")?;
        stage.made(&Object::SysvQueue(another));
        Ok(another)
    })?;
    let another = child.join()?;

    let stranger = stage.fork("stranger", |stage| {
        if geteuid().is_root() {
            setuid(Uid::from_raw(65_534)).context("setuid")?;
            stage.event("stranger", "is another user now, without privileges");
        }
        let table = std::fs::read_to_string("/proc/sysvipc/msg").context("read")?;
        // Its columns: key, msqid, perms, …; the key of ours is 0.
        let rows =
            table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let ids: BTreeSet<i32> = rows
            .filter(|row| row.first() == Some(&"0"))
            .filter_map(|row| row.get(1)?.parse().ok())
            .collect();
        let listed = ids.contains(&public);
        let row = if listed { "has a row for it" } else { "has no row for it" };
        stage.call("read(\"/proc/sysvipc/msg\")", &row);
        let open = msgsnd(public, &message(1, b"hello"), IPC_NOWAIT);
        stage.call(format!("msgsnd({public}, \"hello\") of mode 0666"), &open);
        let closed = msgsnd(another, &message(1, b"hello"), IPC_NOWAIT);
        stage.call(format!("msgsnd({another}, \"hello\") of mode 0600"), &closed);
        Ok((listed, open.is_ok(), closed.err().map(|e| e.to_string())))
    })?;
    let (listed, sent, closed) = stranger.join()?;
    let mut texts = Vec::new();
    let mut received = Msgbuf::with_room(8);
    while let Ok(n) = msgrcv(public, &mut received, 0, IPC_NOWAIT) {
        let text = text_of(&received);
        let call = format!("msgrcv({public}, &m, 8, 0, IPC_NOWAIT)");
        stage.call(call, &format!("{n}: {text:?}"));
        texts.push(text);
    }
    if !geteuid().is_root() {
        stage.note("without root the stranger is you: mode 0600 lets it in, too.");
    }
    stage.saw("the child's own call found its parent's queue", public == another);
    stage.saw("the stranger found the identifier", listed);
    stage.saw("received", texts);
    stage.saw("what mode 0600 told the stranger", closed);
    Ok(match (listed, sent) {
        (_, false) => 2,
        (false, true) => 3,
        (true, true) => 1,
    })
}
// ANCHOR_END: private-is-no-secret

pub(super) const UMASK_IS_IGNORED: Experiment = Experiment {
    name: "umask-is-ignored",
    title: "Permissions under a strict umask",
    level: Level::Deep,
    question: "A program runs with umask(077). It makes a System V queue by \
               msgget(key, IPC_CREAT | 0666) and a POSIX queue by mq_open(name, \
               O_CREAT, 0666, …). msgget(2) says that its bits mean what the mode \
               of open(2) means. Which permissions do the two have?",
    answers: &[
        wrong(
            "System V 0600, POSIX 0600",
            "That sentence reads like this, and umask(2) says that it is not true. \
             The umask is for what lives in a file system, and a System V queue \
             does not.",
        ),
        wrong(
            "System V 0666, POSIX 0666",
            "A POSIX queue is a file in a file system of its own, also where that \
             is not mounted. The umask counts for it.",
        ),
        right(
            "System V 0666, POSIX 0600",
            "mq_open makes a file, and the umask counts. System V takes the low 9 \
             bits as they are: here everybody may read and write.",
        ),
        wrong(
            "System V 0600, POSIX 0666",
            "It is the other way round: the POSIX queue is the file.",
        ),
    ],
    kind: Kind::Kernel,
    run: umask_is_ignored,
    moral: "With msgget, semget and shmget the mode is final: say 0600. With \
            mq_open, sem_open and shm_open it is a wish: to let others write, \
            clear the umask first, or call fchmod(2).",
    see: "umask(2), msgget(2), mq_open(3)",
    file: file!(),
    shows: &["umask-is-ignored"],
};

// ANCHOR: umask-is-ignored
fn umask_is_ignored(stage: &Stage) -> Result<usize> {
    let before = umask(Mode::from_bits_truncate(0o077));
    stage.call("umask(077)", &format!("{:03o}", before.bits()));
    let id = msgget(IPC_PRIVATE, IPC_CREAT | 0o666);
    stage.call("msgget(IPC_PRIVATE, IPC_CREAT | 0666)", &id);
    let id = id.context("msgget")?;
    stage.made(&Object::SysvQueue(id));
    let sysv = msgstat(id).context("msgctl")?.msg_perm.mode & 0o777;
    stage.call("msgctl(id, IPC_STAT, &now): mode", &format!("{sysv:04o}"));

    let name = stage.queue("queue");
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDONLY;
    let (wish, shape) = (Mode::from_bits_truncate(0o666), MqAttr::new(0, 1, 8, 0));
    let queue = mq_open(name.as_str(), flags, wish, Some(&shape));
    stage.call("mq_open(\"/queue\", O_CREAT, 0666, …)", &queue);
    let about = fstat(&queue.context("mq_open")?).context("fstat")?;
    let posix = about.st_mode & 0o777;
    stage.call("fstat(q, &about): mode", &format!("{posix:04o}"));
    stage.saw("the System V queue", format!("{sysv:04o}"));
    stage.saw("the POSIX queue", format!("{posix:04o}"));
    match (sysv, posix) {
        (0o600, 0o600) => Ok(1),
        (0o666, 0o666) => Ok(2),
        (0o666, 0o600) => Ok(3),
        (0o600, 0o666) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: umask-is-ignored
