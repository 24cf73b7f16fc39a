//! The name of an object, and the object.

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::unistd::ftruncate;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::shared::{Shared, mmap};

pub(super) const UNLINKED_NAME: Experiment = Experiment {
    name: "unlinked-name",
    title: "Removing the name while it is mapped",
    level: Level::First,
    question: "A and B have mapped the shared memory object `/board`. Somebody calls \
               shm_unlink(\"/board\"). Then A stores `one`. Then C comes: \
               shm_open(\"/board\") with O_CREAT, ftruncate, mmap. A stores `two`. What do B \
               and C see at the end?",
    answers: &[
        right(
            "B sees `two`, and C sees zeros",
            "shm_unlink removes the name; the object stays for the processes that have it \
             mapped. C has another object of the same name, and nobody tells A, B or C.",
        ),
        wrong(
            "B sees `two`, and C sees `two`",
            "A name is looked up once, by shm_open. C found none, so it made a new object.",
        ),
        wrong(
            "B gets SIGBUS, and C sees `two`",
            "Pages that are mapped stay. SIGBUS comes when the object is cut short, by \
             ftruncate.",
        ),
        wrong(
            "B and C see `two`, after an EBUSY",
            "shm_unlink does not return EBUSY: Linux and POSIX let a name be removed at any \
             time, of a file as well.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlinked_name,
    moral: "Remove the name once all have mapped the object: then the kernel frees the \
            memory, whoever dies. If the name is removed too early, or one side starts \
            again, the two have different objects: compare st_ino of yours with that of the \
            name. The same pitfall: posixmq/unlink-while-open, semaphore/unlink-splits, \
            unix/stolen-name.",
    see: "shm_unlink(3), shm_overview(7)",
    file: file!(),
    shows: &["unlinked-name"],
};

// ANCHOR: unlinked-name
fn unlinked_name(stage: &Stage) -> Result<usize> {
    let name = stage.segment("board");
    let map = |flags: OFlag| -> Result<(i64, Shared)> {
        let fd = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        ftruncate(&fd, 4096)?;
        Ok((nix::sys::stat::fstat(&fd)?.st_ino as i64, mmap(&fd, 4096)?))
    };
    let word = |memory: &Shared| {
        let mut word = [0; 3];
        memory.read(0, &mut word);
        String::from_utf8_lossy(&word).replace('\0', "0")
    };
    let (mapped, stored_two) = (stage.gate()?, stage.gate()?);
    let (_, a) = map(OFlag::O_CREAT | OFlag::O_RDWR).context("map the board")?;
    let b = stage.fork("B", |stage| {
        let (inode, b) = map(OFlag::O_RDWR)?;
        mapped.open(1)?;
        stored_two.pass()?;
        stage.event("B", format!("sees {:?}", word(&b)));
        Ok((inode, word(&b)))
    })?;
    mapped.pass()?;
    let unlinked = shm_unlink(name.as_str());
    stage.call("shm_unlink(\"/board\")", &unlinked);
    a.write(0, b"one");
    stage.event("A", "stores \"one\"");
    let c = stage.fork("C", |stage| {
        let (inode, c) = map(OFlag::O_CREAT | OFlag::O_RDWR)?;
        stage.event("C", "shm_open(\"/board\", O_CREAT), ftruncate(), mmap()");
        mapped.open(1)?;
        stored_two.pass()?;
        stage.event("C", format!("sees {:?}", word(&c)));
        Ok((inode, word(&c)))
    })?;
    mapped.pass()?;
    a.write(0, b"two");
    stage.event("A", "stores \"two\"");
    stored_two.open(2)?;
    let ((inode_b, b), (inode_c, c)) = (b.join()?, c.join()?);
    stage.saw("B sees", b.as_str());
    stage.saw("C sees", c.as_str());
    stage.saw("B and C have the same object", inode_b == inode_c);
    Ok(match (unlinked.is_ok(), b.as_str(), c.as_str()) {
        (false, _, _) => 4,
        (true, "two", "two") => 2,
        _ => 1,
    })
}
// ANCHOR_END: unlinked-name
