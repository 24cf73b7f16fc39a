//! What a write adds, and what a read takes.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::eventfd::EfdFlags;
use nix::unistd::{read, write};

use super::{counter, left};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::proc::{field, text};

pub(super) const SEVERAL_WRITES: Experiment = Experiment {
    name: "several-writes",
    title: "Three writes, and then a read",
    level: Level::First,
    question: "A program writes 3 to an eventfd, then 4, then 5. No process has read \
               meanwhile. What do the next two reads of it return?",
    answers: &[
        wrong(
            "3, then 4",
            "That is a queue: a pipe, or a message queue. An eventfd has one number, and \
             nothing says of how many writes it is the sum.",
        ),
        right(
            "12, and then none",
            "Each write adds to the counter, and one read takes all of it. The second \
             read finds 0: it would sleep, or return EAGAIN with O_NONBLOCK.",
        ),
        wrong(
            "5, and then 5",
            "That is a variable, which keeps the last value. A write to an eventfd adds, \
             and a read leaves 0.",
        ),
    ],
    kind: Kind::Kernel,
    run: several_writes,
    moral: "An eventfd tells how much, not how often and not what. A thing that must be \
            told one by one belongs into a queue; the eventfd says that it is time to look \
            there.",
    see: "eventfd(2)",
    file: file!(),
    shows: &["several-writes"],
};

// ANCHOR: several-writes
fn several_writes(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    for number in [3, 4, 5] {
        stage.call(format!("write({number})"), &event.write(number));
    }
    let first = event.read();
    stage.call("read(), the number", &first);
    let second = event.read();
    stage.call("read(), the number", &second);
    stage.saw("the first read", first.ok());
    stage.saw("the second read", second.map_err(|error| error.to_string()).err());
    match (first, second) {
        (Ok(3), Ok(4)) => Ok(1),
        (Ok(12), Err(Errno::EAGAIN)) => Ok(2),
        (Ok(5), Ok(5)) => Ok(3),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: several-writes

pub(super) const TAKES_ONE: Experiment = Experiment {
    name: "takes-one",
    title: "EFD_SEMAPHORE",
    level: Level::First,
    question: "An eventfd was made with EFD_SEMAPHORE. A program writes 3 to it, once. \
               How many reads does it take until the counter is 0, and what does each \
               of them return?",
    answers: &[
        wrong(
            "one read, of 3",
            "So it is without the flag. With EFD_SEMAPHORE read takes 1, as sem_wait(3) \
             does, whatever the counter is.",
        ),
        wrong(
            "one read of 1",
            "The read does return 1, but it leaves the other 2 in the counter.",
        ),
        right(
            "3 reads, 1 each",
            "EFD_SEMAPHORE changes what a read does, not what a write does: each read \
             takes 1 and returns 1. So several processes can share what one write added.",
        ),
    ],
    kind: Kind::Kernel,
    run: takes_one,
    moral: "With EFD_SEMAPHORE an eventfd is a semaphore that poll(2) can wait for, and that can \
            be passed on. The flag is chosen when it is made, for all who have it.",
    see: "eventfd(2), sem_overview(7)",
    file: file!(),
    shows: &["takes-one"],
};

// ANCHOR: takes-one
fn takes_one(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_SEMAPHORE)?;
    stage.call("write(3)", &event.write(3));
    let mut taken = Vec::new();
    loop {
        let read = event.read();
        stage.call("read(), the number", &read);
        match read {
            Ok(number) => taken.push(number),
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error).context("read"),
        }
    }
    stage.saw("reads", taken.clone());
    match taken[..] {
        [3] => Ok(1),
        [1] => Ok(2),
        [1, 1, 1] => Ok(3),
        _ => bail!("reads: {taken:?}"),
    }
}
// ANCHOR_END: takes-one

pub(super) const SEVEN_BYTES: Experiment = Experiment {
    name: "seven-bytes",
    title: "A buffer that is too small",
    level: Level::Later,
    question: "The counter of an eventfd is 3. A program calls read(2) on it with a \
               buffer of 7 bytes. What does the call return, and what is the counter \
               then?",
    answers: &[
        wrong(
            "7 bytes, and 0",
            "So it is with a datagram, which is cut to the buffer, and the rest is lost. \
             Half a number would be another number.",
        ),
        right(
            "EINVAL, and 3",
            "The number has 8 bytes, and is given whole or not at all. Nothing was taken: \
             the next read, with room for 8, returns 3.",
        ),
        wrong(
            "EINVAL, and 0",
            "The kernel looks at the size first, and takes nothing if it is too small.",
        ),
    ],
    kind: Kind::Kernel,
    run: seven_bytes,
    moral: "Give read(2) a uint64_t, always. A program that reads \"a byte, to clear it\", as it \
            does from a pipe, clears nothing, and its loop spins.",
    see: "eventfd(2), read(2)",
    file: file!(),
    shows: &["seven-bytes"],
};

// ANCHOR: seven-bytes
fn seven_bytes(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    stage.call("write(3)", &event.write(3));
    let short = read(&event, &mut [0; 7]);
    stage.call("read(event, buffer, 7)", &short);
    let left = left(&event)?;
    stage.call("read(event, buffer, 8), the number", &left);
    stage.saw("with room for 7", short.err().map(|error| error.to_string()));
    stage.saw("left", left);
    match (short, left) {
        (Err(Errno::EINVAL), 3) => Ok(2),
        (Ok(7), 0) => Ok(1),
        (Err(Errno::EINVAL), 0) => Ok(3),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: seven-bytes

pub(super) const HUNDRED_BYTES: Experiment = Experiment {
    name: "hundred-bytes",
    title: "A buffer that is larger",
    level: Level::Deep,
    question: "An eventfd with EFD_SEMAPHORE has the counter 5. A program reads it with \
               a buffer of 80 bytes, which has room for ten numbers. What does the call \
               return?",
    answers: &[
        wrong(
            "80 bytes",
            "The kernel fills no buffer with zeros. A read of an eventfd is one number.",
        ),
        right(
            "8 bytes",
            "One read takes once, whatever the buffer's size is: here 1. To take all 5 the \
             program calls it five times.",
        ),
        wrong(
            "40 bytes",
            "signalfd(2) and inotify(7) work so: one read brings as many records as fit. \
             An eventfd has no records.",
        ),
    ],
    kind: Kind::Kernel,
    run: hundred_bytes,
    moral: "A read of an eventfd returns 8, or -1. Whether there is more, the next read says.",
    see: "eventfd(2)",
    file: file!(),
    shows: &["hundred-bytes"],
};

// ANCHOR: hundred-bytes
fn hundred_bytes(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_SEMAPHORE)?;
    stage.call("write(5)", &event.write(5));
    let got = read(&event, &mut [0; 80]);
    stage.call("read(event, buffer, 80)", &got);
    stage.saw("returned", got.ok());
    match got {
        Ok(80) => Ok(1),
        Ok(8) => Ok(2),
        Ok(40) => Ok(3),
        other => bail!("read: {other:?}"),
    }
}
// ANCHOR_END: hundred-bytes

pub(super) const TEXT_IS_NO_NUMBER: Experiment = Experiment {
    name: "text-is-no-number",
    title: "printf into an eventfd",
    level: Level::Later,
    question: "A shell script has inherited an eventfd as its descriptor 3, and wants to \
               add 1. It runs: printf 00000001 >&3. These are 8 bytes. What is then \
               in the counter?",
    answers: &[
        right(
            "much more",
            "The 8 bytes are taken as they lie in memory, as an integer of the machine's \
             byte order. The digit 0 is the byte 0x30, so the sum is over 3 × 10^18.",
        ),
        wrong(
            "exactly 8",
            "The length is not what counts: a write of fewer than 8 bytes fails, and one \
             of 8 adds the number that they are.",
        ),
        wrong(
            "exactly 1",
            "That would be so in a file of /proc or /sys, where the kernel reads text.",
        ),
    ],
    kind: Kind::Kernel,
    run: text_is_no_number,
    moral: "The wire of an eventfd is 8 bytes in the byte order of the machine: uint64_t in C, \
            to_ne_bytes in Rust, struct.pack(\"Q\", n) in Python. A shell has no such word.",
    see: "eventfd(2)",
    file: file!(),
    shows: &["text-is-no-number"],
};

// ANCHOR: text-is-no-number
fn text_is_no_number(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let wrote = write(&event, b"00000001");
    stage.call("write(event, \"00000001\", 8)", &wrote);
    let number = left(&event)?;
    stage.call("read(), the number", &number);
    let as_bytes = u64::from_ne_bytes(*b"00000001");
    stage.saw("it is the bytes as an integer", number == as_bytes);
    stage.saw("more than 10^18", number > 10_u64.pow(18));
    match number {
        more if more > 1_000_000 => Ok(1),
        8 => Ok(2),
        1 => Ok(3),
        other => bail!("read: {other}"),
    }
}
// ANCHOR_END: text-is-no-number

pub(super) const LOOK: Experiment = Experiment {
    name: "look",
    title: "The counter, without a read",
    level: Level::Deep,
    question: "sem_getvalue(3) returns the value of a semaphore and leaves it as it is. \
               The counter of an eventfd is 30. Where can a process that has it open \
               see 30, and leave it there?",
    answers: &[
        wrong(
            "in st_size, of fstat",
            "The size is 0 at all times: all eventfds have one inode, of the kernel's own \
             file system for such things.",
        ),
        wrong(
            "by an FIONREAD ioctl",
            "It tells how many bytes wait in a pipe or a socket. An eventfd does not know \
             this ioctl: ENOTTY.",
        ),
        right(
            "in /proc/self/fdinfo",
            "The line eventfd-count has it, in hexadecimal: 1e. It was true when the line \
             was made; another process may have read or written since.",
        ),
    ],
    kind: Kind::Kernel,
    run: look,
    moral: "/proc/PID/fdinfo/FD tells what is in a process's eventfd: for a debugger, and for \
            ipclab map. No program should decide by it.",
    see: "eventfd(2), proc_pid_fdinfo(5), ioctl(2)",
    file: file!(),
    shows: &["look"],
};

// ANCHOR: look
fn look(stage: &Stage) -> Result<usize> {
    use std::os::fd::{AsFd, AsRawFd};
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    stage.call("write(30)", &event.write(30));
    let size = nix::sys::stat::fstat(&event).context("fstat")?.st_size;
    stage.call("fstat(event), st_size", &size);
    let waiting = rustix::io::ioctl_fionread(&event);
    stage.call("ioctl(event, FIONREAD)", &waiting);
    let info = text(format!("/proc/self/fdinfo/{}", event.as_fd().as_raw_fd()))?;
    let count = field(&info, "eventfd-count:").unwrap_or_default().to_owned();
    stage.call("/proc/self/fdinfo, eventfd-count", &count);
    let left = left(&event)?;
    stage.call("read(), the number", &left);
    stage.saw("st_size", size);
    stage.saw("FIONREAD", waiting.err().map(|error| error.raw_os_error()));
    stage.saw("eventfd-count", count.as_str());
    stage.saw("left", left);
    match (size, waiting, count.as_str(), left) {
        (30, _, _, 30) => Ok(1),
        (_, Ok(30), _, 30) => Ok(2),
        (_, _, "1e", 30) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: look
