//! What becomes of pages that a pipe holds and a process does not.

use std::hint::black_box;
use std::io::IoSlice;

use anyhow::{Context, Result};
use nix::fcntl::{SpliceFFlags, splice, vmsplice};
use nix::unistd::{pipe, read};
use rustix::io::ioctl_fionread;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const MOVED_ON: Experiment = Experiment {
    name: "moved-on",
    title: "A lent page that was moved on",
    level: Level::Deep,
    question: "By vmsplice(2) a sender lends its buffer, `before`, to a pipe. By \
               splice(2) another process moves it on into a second pipe. FIONREAD now \
               tells the sender that its pipe is empty, and it overwrites the buffer \
               with `after!`. What does the reader of the second pipe get?",
    answers: &[
        wrong(
            "`before`, as it was lent",
            "A page is free when no pipe refers to it. The second pipe does: what was \
             moved is the reference, not the bytes.",
        ),
        right(
            "`after!`, as it is in the buffer",
            "splice moves pages, not bytes. The sender looked at its own pipe, and \
             nothing tells it of another.",
        ),
        wrong(
            "0, the end of the file",
            "The pipe that took the page keeps it, and with it six bytes: those that are \
             in the page when it is read.",
        ),
    ],
    kind: Kind::Kernel,
    run: moved_on,
    moral: "`pipe sender --zero-copy` promises its bytes to a process that reads them, \
            or moves them into a file. That is why `pipe receiver --zero-copy` refuses \
            to move them into another pipe or a socket.",
    see: "splice(2), vmsplice(2), tee(2)",
    file: file!(),
    shows: &["moved-on"],
};

// ANCHOR: moved-on
fn moved_on(stage: &Stage) -> Result<usize> {
    let (first, lent_to) = pipe().context("pipe")?;
    let (second, moved_to) = pipe().context("pipe")?;
    let none = SpliceFFlags::empty();
    let mut buffer = *b"before";
    let lent = vmsplice(&lent_to, &[IoSlice::new(&buffer)], none);
    stage.call("sender: vmsplice(\"before\")", &lent);
    let moved = splice(&first, None, &moved_to, None, buffer.len(), none);
    stage.call("splice(first pipe, second pipe)", &moved);
    let unread = ioctl_fionread(&lent_to).context("ioctl(FIONREAD)")?;
    stage.saw("bytes left in the sender's pipe", unread);
    buffer = *b"after!";
    black_box(&mut buffer); // the compiler sees no reader; the kernel is one
    stage.event("main", "the sender overwrites its buffer with \"after!\"");
    let mut room = [0; 16];
    let n = read(&second, &mut room).context("read")?;
    let text = String::from_utf8_lossy(&room[..n]).into_owned();
    stage.call("read(second pipe)", &format!("{text:?}"));
    stage.saw("read from the second pipe", text.as_str());
    Ok(if text == "after!" { 2 } else { 1 })
}
// ANCHOR_END: moved-on
