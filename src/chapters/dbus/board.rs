//! The object: a message board. Its methods are plain Rust; what makes them callable is
//! the attribute, from which zbus makes the code that unpacks a call's arguments, packs the
//! result, and describes the interface to a process that asks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

use zbus::interface;
use zbus::object_server::SignalEmitter;

use os::cleanup;
use wire::payload::{Payload, Printed, Style};
use wire::say;

// ANCHOR: interface
/// The board, as one connection sees it.
#[derive(Debug)]
pub struct Board {
    /// The messages, which all connections share.
    pub shared: Arc<SharedBoard>,
    /// The signals that wait for this connection.
    pub signals: Arc<SignalQueue>,
}

/// A board for short messages. It holds the last `Limit` of them.
#[interface(name = "org.ipclab.Board1")]
impl Board {
    /// Pins a message to the board, and returns its number. If the board is full, the
    /// oldest message goes. A message that is too long is refused with the error
    /// org.ipclab.Error.TooLong.
    #[zbus(out_args("number"))]
    async fn post(
        &self,
        text: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<u32, Refusal> {
        let number = self.shared.add(text)?;
        // The signals go first: a client that watches on this connection has them before the
        // caller has its reply.
        while let Some((number, text)) = self.signals.take() {
            Board::posted(&emitter, number, &text).await?;
        }
        Ok(number)
    }

    /// The messages on the board, the oldest first: of each its number and its text.
    #[zbus(out_args("messages"))]
    fn list(&self) -> Vec<(u32, String)> {
        self.shared.contents().posts.iter().cloned().collect()
    }

    /// Says that a message was posted: its number and its text.
    #[zbus(signal)]
    pub async fn posted(
        emitter: &SignalEmitter<'_>,
        number: u32,
        text: &str,
    ) -> zbus::Result<()>;

    /// How many messages are on the board.
    #[zbus(property(emits_changed_signal = "false"))]
    fn count(&self) -> u32 {
        self.shared.contents().posts.len() as u32
    }

    /// How many messages the board can hold.
    #[zbus(property(emits_changed_signal = "const"))]
    fn limit(&self) -> u32 {
        self.shared.limit
    }
}

/// Why the board refuses a message. On the wire each is an error with a name:
/// `org.ipclab.Error.TooLong`.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.ipclab.Error")]
pub enum Refusal {
    /// An error of zbus.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The message is longer than the board allows.
    TooLong(String),
}

/// An object in the place of the bus: tools that expect a bus call its `Hello` first.
#[derive(Debug)]
pub struct NoBus(pub u64);

#[interface(name = "org.freedesktop.DBus")]
impl NoBus {
    /// Tells a client its name. Nothing here uses that name.
    #[zbus(out_args("unique_name"))]
    fn hello(&self) -> String {
        format!(":1.{}", self.0)
    }
}
// ANCHOR_END: interface

/// How many signals may wait for one client.
const QUEUE_LENGTH: usize = 1000;

/// A message with its number.
pub type Post = (u32, String);

/// What all connections share: the messages, and the queues for signals of new ones.
#[derive(Debug)]
pub struct SharedBoard {
    limit: u32,
    longest: usize,
    contents: Mutex<BoardContents>,
}

#[derive(Debug)]
struct BoardContents {
    posts: VecDeque<Post>,
    last: u32,
    queues: Vec<Weak<SignalQueue>>,
    payload: Payload,
}

impl SharedBoard {
    /// An empty board for `limit` messages of at most `longest` bytes.
    ///
    /// # Errors
    /// As [`Payload::new`].
    pub fn new(limit: u32, longest: u32) -> anyhow::Result<Arc<SharedBoard>> {
        let contents = BoardContents {
            posts: VecDeque::new(),
            last: 0,
            queues: Vec::new(),
            payload: Payload::new(Style::Lines)?,
        };
        let contents = Mutex::new(contents);
        Ok(Arc::new(SharedBoard { limit, longest: longest as usize, contents }))
    }

    fn contents(&self) -> MutexGuard<'_, BoardContents> {
        self.contents.lock().expect("no panic while it is held")
    }

    // ANCHOR: add
    /// Adds a message, prints it, and puts a signal into the queue of each connection. Never
    /// waits: each connection sends the signals of its queue when it can.
    fn add(&self, text: &str) -> Result<u32, Refusal> {
        if text.len() > self.longest {
            let (length, longest) = (say::size(text.len()), say::size(self.longest));
            return Err(Refusal::TooLong(format!(
                "a message of {length}, where at most {longest} are allowed"
            )));
        }
        let mut contents = self.contents();
        let number = contents.last.wrapping_add(1);
        contents.last = number;
        if contents.posts.len() == self.limit as usize {
            contents.posts.pop_front();
        }
        contents.posts.push_back((number, text.to_owned()));
        contents.queues.retain(|queue| match queue.upgrade() {
            Some(queue) => queue.put(number, text),
            None => false,
        });
        print(&mut contents.payload, text);
        Ok(number)
    }
    // ANCHOR_END: add

    /// A queue of signals for one more connection.
    pub fn subscribe(&self) -> Arc<SignalQueue> {
        let queue = Arc::new(SignalQueue::default());
        self.contents().queues.push(Arc::downgrade(&queue));
        queue
    }
}

/// What clients post is the payload of the server. The server ends when its standard output has
/// no reader any more.
fn print(payload: &mut Payload, text: &str) {
    match payload.print(text.as_bytes()) {
        Ok(Printed::Yes) => {}
        Ok(Printed::NoReader) => cleanup::exit(0),
        Err(error) => {
            say::complain(&error);
            cleanup::exit(1);
        }
    }
}

/// The signals that one connection has not sent yet.
#[derive(Debug, Default)]
pub struct SignalQueue(Mutex<QueuedSignals>);

#[derive(Debug, Default)]
struct QueuedSignals {
    waiting: VecDeque<Post>,
    /// A signal that had no room has been left out, so what follows would have a gap.
    overflowed: bool,
    waker: Option<Waker>,
}

impl SignalQueue {
    fn queued(&self) -> MutexGuard<'_, QueuedSignals> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Adds a signal; `false` if there is no room, now and from now on.
    fn put(&self, number: u32, text: &str) -> bool {
        let mut queued = self.queued();
        queued.overflowed |= queued.waiting.len() == QUEUE_LENGTH;
        if !queued.overflowed {
            queued.waiting.push_back((number, text.to_owned()));
        }
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
        !queued.overflowed
    }

    /// Takes the next signal, if there is one.
    fn take(&self) -> Option<Post> {
        self.queued().waiting.pop_front()
    }

    /// Waits for a signal, and takes it; `None` once one was lost.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Post>> {
        let mut queued = self.queued();
        match queued.waiting.pop_front() {
            Some(post) => Poll::Ready(Some(post)),
            None if queued.overflowed => Poll::Ready(None),
            None => {
                queued.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
