//! The object: a message board. Its methods are plain Rust; what makes them callable is
//! the attribute, from which zbus makes the code that unpacks a call's arguments, packs the
//! result, and describes the interface to whoever asks.

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
    /// What all connections see alike.
    pub wall: Arc<Wall>,
    /// The signals that wait for this one.
    pub mailbox: Arc<Mailbox>,
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
        let number = self.wall.pin(text)?;
        // Before the caller hears that it is done, those who watch here have heard of it.
        while let Some((number, text)) = self.mailbox.take() {
            Board::posted(&emitter, number, &text).await?;
        }
        Ok(number)
    }

    /// The messages on the board, the oldest first: of each its number and its text.
    #[zbus(out_args("messages"))]
    fn list(&self) -> Vec<(u32, String)> {
        self.wall.state().posts.iter().cloned().collect()
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
        self.wall.state().posts.len() as u32
    }

    /// How many messages the board can hold.
    #[zbus(property(emits_changed_signal = "const"))]
    fn limit(&self) -> u32 {
        self.wall.limit
    }
}

/// Why the board refuses a message. On the wire each is an error with a name:
/// `org.ipclab.Error.TooLong`.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.ipclab.Error")]
pub enum Refusal {
    /// What went wrong below.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The message is longer than the board allows.
    TooLong(String),
}

/// Stands where the bus would be, if there were one: tools that expect one begin with
/// `Hello` to it.
#[derive(Debug)]
pub struct NoBus(pub u64);

#[interface(name = "org.freedesktop.DBus")]
impl NoBus {
    /// Tells a client its name, of which nothing here makes use.
    #[zbus(out_args("unique_name"))]
    fn hello(&self) -> String {
        format!(":1.{}", self.0)
    }
}
// ANCHOR_END: interface

/// How many signals may wait for one client.
const MAILBOX: usize = 1000;

/// A message with its number.
pub type Post = (u32, String);

/// What all connections share: the messages, and who is to be told of new ones.
#[derive(Debug)]
pub struct Wall {
    limit: u32,
    longest: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    posts: VecDeque<Post>,
    last: u32,
    mailboxes: Vec<Weak<Mailbox>>,
    payload: Payload,
}

impl Wall {
    /// An empty wall for `limit` messages of at most `longest` bytes.
    ///
    /// # Errors
    /// As [`Payload::new`].
    pub fn new(limit: u32, longest: u32) -> anyhow::Result<Arc<Wall>> {
        let state = State {
            posts: VecDeque::new(),
            last: 0,
            mailboxes: Vec::new(),
            payload: Payload::new(Style::Lines)?,
        };
        let state = Mutex::new(state);
        Ok(Arc::new(Wall { limit, longest: longest as usize, state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    // ANCHOR: pin
    /// Pins a message, prints it, and tells everybody. Nobody is waited for: each
    /// connection has a mailbox, and empties it in its own time.
    fn pin(&self, text: &str) -> Result<u32, Refusal> {
        if text.len() > self.longest {
            let (length, longest) = (say::size(text.len()), say::size(self.longest));
            return Err(Refusal::TooLong(format!(
                "a message of {length}, where at most {longest} are allowed"
            )));
        }
        let mut state = self.state();
        let number = state.last.wrapping_add(1);
        state.last = number;
        if state.posts.len() == self.limit as usize {
            state.posts.pop_front();
        }
        state.posts.push_back((number, text.to_owned()));
        state.mailboxes.retain(|mailbox| match mailbox.upgrade() {
            Some(mailbox) => mailbox.put(number, text),
            None => false,
        });
        print(&mut state.payload, text);
        Ok(number)
    }
    // ANCHOR_END: pin

    /// A mailbox for one more connection.
    pub fn subscribe(&self) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        self.state().mailboxes.push(Arc::downgrade(&mailbox));
        mailbox
    }
}

/// What the server was sent is its payload. It ends when nobody can read that any more.
fn print(payload: &mut Payload, text: &str) {
    match payload.print(text.as_bytes()) {
        Ok(Printed::Yes) => {}
        Ok(Printed::NobodyReads) => cleanup::exit(0),
        Err(error) => {
            say::complain(&error);
            cleanup::exit(1);
        }
    }
}

/// The signals that wait until one connection has sent those before them.
#[derive(Debug, Default)]
pub struct Mailbox(Mutex<Letters>);

#[derive(Debug, Default)]
struct Letters {
    waiting: VecDeque<Post>,
    /// One that had no room has been left out, so what follows would have a gap.
    overflowed: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Puts a letter in; `false` if there is no room, now and from now on.
    fn put(&self, number: u32, text: &str) -> bool {
        let mut letters = self.letters();
        letters.overflowed |= letters.waiting.len() == MAILBOX;
        if !letters.overflowed {
            letters.waiting.push_back((number, text.to_owned()));
        }
        if let Some(waker) = letters.waker.take() {
            waker.wake();
        }
        !letters.overflowed
    }

    /// Takes the next letter out, if there is one.
    fn take(&self) -> Option<Post> {
        self.letters().waiting.pop_front()
    }

    /// Waits for a letter, and takes it out; `None` once one was lost.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Post>> {
        let mut letters = self.letters();
        match letters.waiting.pop_front() {
            Some(post) => Poll::Ready(Some(post)),
            None if letters.overflowed => Poll::Ready(None),
            None => {
                letters.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
