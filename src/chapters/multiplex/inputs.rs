//! Other sources of messages: standard input, FIFOs, POSIX queues. Their messages are printed,
//! and there is no way back to answer them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mqueue::{MQ_OFlag, MqAttr, mq_getattr, mq_receive};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read};

use super::limits::TURN;
use super::messages::{Messages, Shared};
use os::cleanup::Object;
use os::mqueue::{Queue, mq_open};
use os::owner::Owner;
use wire::errors::{Advise, errno};
use wire::frame::Framing;
use wire::meet::{FileKind, Presence, Rendezvous};
use wire::say;
use wire::say::size;
use wire::standard;

/// How many messages wait in a queue that is made here, and how long one may be, in
/// bytes: little, since all queues of a user share RLIMIT_MSGQUEUE.
const QUEUE: (i64, i64) = (10, 1024);

/// One source of messages.
#[derive(Debug)]
pub(super) struct WatchedInput {
    pub(super) name: String,
    kind: InputKind,
    /// The beginning of a message whose end has not come.
    part: Vec<u8>,
    searched: usize,
    _presence: Option<Presence>,
}

#[derive(Debug)]
enum InputKind {
    Stdin(OwnedFd),
    Fifo(FifoInput),
    Queue(Queue, Vec<u8>),
}

#[derive(Debug)]
struct FifoInput {
    fd: OwnedFd,
    path: PathBuf,
    /// A descriptor in reserve, given up when the FIFO is opened anew: clients may have
    /// all the others.
    spare: Option<OwnedFd>,
}

/// The state of a source after a read.
#[derive(Debug)]
pub(super) enum InputState {
    /// There may be more, now or later.
    Open,
    /// The last writer has closed the FIFO; the next writer comes in by this descriptor.
    Reopened(OwnedFd),
    /// Nothing more will come, or nothing that can be read.
    Ended(Option<Error>),
}

/// Standard input. Like standard output it is not ours alone, so it stays blocking: if another
/// process takes the bytes that poll(2) reported, the read sleeps.
pub(super) fn stdin() -> Result<WatchedInput> {
    let fd = standard::input()?.try_clone_to_owned();
    let kind = InputKind::Stdin(fd.context("dup standard input")?);
    Ok(WatchedInput::new("standard input".into(), kind, None))
}

// ANCHOR: fifo
/// A FIFO at the path of `rendezvous`, made if it is not there.
pub(super) fn fifo(rendezvous: &Rendezvous) -> Result<WatchedInput> {
    let path = rendezvous.path();
    let name = path.display().to_string();
    let mut presence = rendezvous.arrive(None)?;
    let object = Object::Path(path.clone());
    let made = presence.create(&object, || {
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .with_context(|| format!("mkfifo {name}"))
    });
    match made {
        Err(error) if errno(&error) == Some(Errno::EEXIST) => {
            ensure!(
                FileKind::at(&path)? == Some(FileKind::Fifo),
                "{name} is there, and is no FIFO; use another"
            );
            presence.adopt(&object)?;
        }
        made => made?,
    }
    let fd = open_fifo(&path)?;
    presence.admit_peers()?;
    say!("open({name}, O_RDONLY | O_NONBLOCK) does not sleep until a writer comes");
    let spare = Some(spare(&fd)?);
    Ok(WatchedInput::new(
        name,
        InputKind::Fifo(FifoInput { fd, path, spare }),
        Some(presence),
    ))
}

pub(super) fn open_fifo(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
        .with_context(|| format!("open {}", path.display()))
}

fn spare(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone().context("dup")
}
// ANCHOR_END: fifo

// ANCHOR: queue
/// The POSIX message queue that `rendezvous` names, made if it is not there. On Linux it is a
/// descriptor, so it can be watched like any other (mq_overview(7)).
pub(super) fn queue(rendezvous: &Rendezvous) -> Result<WatchedInput> {
    let name = rendezvous.kernel_name();
    let mut presence = rendezvous.arrive(None)?;
    let object = Object::Queue(name.clone());
    let shape = MqAttr::new(0, QUEUE.0, QUEUE.1, 0);
    let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_NONBLOCK | MQ_OFlag::O_CLOEXEC;
    let new = flags | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
    let open =
        |flags| mq_open(&name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&shape));
    let queue = match presence.create(&object, || Ok(open(new)?)) {
        Err(error) if errno(&error) == Some(Errno::EEXIST) => {
            open(flags).map_err(anyhow::Error::from).and_then(|queue| {
                let owner = Owner::of_open(queue.as_fd()).context("fstat")?;
                rendezvous.must_be_ours(format_args!("the queue {name}"), &owner)?;
                presence.adopt(&object)?;
                Ok(queue)
            })
        }
        queue => queue,
    };
    let queue = queue.with_context(|| format!("mq_open {name}")).advise(|error| {
        (errno(error) == Some(Errno::EMFILE)).then_some(
            "all queues of a user share RLIMIT_MSGQUEUE bytes: `ulimit -q` raises it, \
             `ipclab clean` removes queues that were left behind",
        )
    })?;
    presence.discard_goodbye();
    presence.admit_peers()?;
    let most = mq_getattr(&queue).context("mq_getattr")?.msgsize();
    say!("mq_open({name}, O_NONBLOCK): a queue is a descriptor, too");
    let buffer = vec![0; usize::try_from(most).context("mq_msgsize")?];
    Ok(WatchedInput::new(name, InputKind::Queue(queue, buffer), Some(presence)))
}
// ANCHOR_END: queue

// ANCHOR: input
impl WatchedInput {
    fn new(
        name: String,
        kind: InputKind,
        presence: Option<Presence>,
    ) -> WatchedInput {
        WatchedInput {
            name,
            kind,
            part: Vec::new(),
            searched: 0,
            _presence: presence,
        }
    }

    /// Reads what is there, for a turn, and prints the messages that are whole.
    ///
    /// # Errors
    /// Those of standard output, or of the queue.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        shared: &mut Shared,
    ) -> Result<InputState> {
        // One read of standard input, for a second could sleep. A FIFO is read until
        // EAGAIN, or its end: a writer that came and left before a FIFO was opened anew
        // leaves bytes and an end, and of these the end alone makes nothing ready.
        let turn = match &mut self.kind {
            InputKind::Queue(queue, message) => {
                take_message(&self.name, queue, message, shared)?;
                return Ok(InputState::Open);
            }
            InputKind::Stdin(_) => 1,
            InputKind::Fifo(_) => TURN,
        };
        for _ in 0..turn {
            let n = match read(self.as_fd(), buffer) {
                Ok(0) => return self.at_end(shared),
                Ok(n) => n,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => {
                    return Ok(InputState::Ended(Some(
                        anyhow!(error).context("read"),
                    )));
                }
            };
            let (name, bytes) = (&self.name, &buffer[..n]);
            let text = || format!("{name}: read() = {n}: {}", say::bytes(bytes));
            shared.reads.call(n, text);
            self.part.extend_from_slice(bytes);
            if let Some(refused) = self.print_part(&mut shared.messages)? {
                return Ok(InputState::Ended(Some(refused)));
            }
        }
        Ok(InputState::Open)
    }

    /// The end of the source: its last writer has closed it.
    fn at_end(&mut self, shared: &mut Shared) -> Result<InputState> {
        let (name, part) = (&self.name, self.part.len());
        let text = || format!("{name}: read() = 0: the last writer has closed it");
        shared.ends.always(0, text);
        // An end of stream stays one: the old descriptor would be ready at all times. A new
        // descriptor is not, until a writer has come. It is opened first, so that a reader is
        // always there.
        let next = match &mut self.kind {
            InputKind::Fifo(fifo) => {
                drop(fifo.spare.take());
                open_fifo(&fifo.path).map(Some)
            }
            _ => Ok(None),
        };
        match shared.messages.stream.framing {
            Framing::Lines if part > 0 => {
                self.part.push(b'\n');
                self.print_part(&mut shared.messages)?;
            }
            _ if part > 0 => {
                let got = size(part);
                say!("{name}: it ended within a message: only {got} of it came");
            }
            _ => {}
        }
        (self.part, self.searched) = (Vec::new(), 0);
        Ok(match next {
            Ok(Some(fd)) => InputState::Reopened(fd),
            Ok(None) => InputState::Ended(None),
            Err(error) => InputState::Ended(Some(error)),
        })
    }

    /// Goes on with another descriptor; the old one is closed.
    pub(super) fn continue_with(&mut self, fd: OwnedFd) -> Result<()> {
        if let InputKind::Fifo(fifo) = &mut self.kind {
            fifo.fd = fd;
            fifo.spare = Some(spare(&fifo.fd)?); // there is room: one was just closed
        }
        Ok(())
    }

    /// Prints the whole messages; returns why the rest cannot be read, if it cannot.
    fn print_part(&mut self, messages: &mut Messages) -> Result<Option<Error>> {
        let (done, refused) = messages.take(&mut self.part, &mut self.searched)?;
        if done > 0 {
            self.part = self.part[done..].to_vec(); // no memory for what has gone
        }
        Ok(refused)
    }
}
// ANCHOR_END: input

/// Takes one message out of a queue, if there is one, and prints it.
fn take_message(
    name: &str,
    queue: &Queue,
    buffer: &mut [u8],
    shared: &mut Shared,
) -> Result<()> {
    let mut priority = 0;
    let n = match mq_receive(queue, buffer, &mut priority) {
        Ok(n) => n,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("mq_receive {name}"));
        }
    };
    let message = &buffer[..n];
    shared.reads.call(n, || match (n, priority) {
        (0, 0) => {
            format!("{name}: mq_receive() = 0 at priority 0: a sender's goodbye")
        }
        _ => format!("{name}: mq_receive() = {n}: {}", say::bytes(message)),
    });
    if (n, priority) != (0, 0) {
        shared.messages.note(message);
    }
    Ok(())
}

impl AsFd for WatchedInput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            InputKind::Stdin(fd) => fd.as_fd(),
            InputKind::Fifo(fifo) => fifo.fd.as_fd(),
            InputKind::Queue(queue, _) => queue.as_fd(),
        }
    }
}
