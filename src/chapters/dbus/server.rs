//! The server: the same object on a socket of its own, or on a bus.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use zbus::connection::{Builder, Connection};
use zbus::export::futures_core::Stream;
use zbus::object_server::SignalEmitter;
use zbus::{Guid, Message, MessageStream};

use super::board::{Board, Mailbox, NoBus, Post, Wall};
use super::runtime::Runtime;
use super::socket::{Inbox, Wire};
use super::{DAEMON_OBJECT, OBJECT, ServerOptions, bus, door, handshake};
use os::cleanup::{self, without_signals};
use wire::errors::line;
use wire::meet::Rendezvous;
use wire::say;
use wire::shortage::{Blame, Shortage, blame};

/// How many clients may be connected, if there are descriptors for them: each has two
/// threads.
const MOST_CLIENTS: usize = 256;

/// Descriptors that are not for clients: the streams, the lock, the socket that listens.
const RESERVED: u64 = 16;

/// The longest message that a client may send, in bytes: a post of the longest kind, and a
/// header.
const LONGEST: usize = 128 << 10;

/// Plays the server.
///
/// # Errors
/// A name that is taken; no bus; accept(2).
pub fn serve(rendezvous: &Rendezvous, options: &ServerOptions) -> Result<()> {
    let wall = Wall::new(options.limit, options.max_message)?;
    match &options.bus {
        Some(bus) => bus::serve(rendezvous, options, bus, &wall),
        None => serve_peers(rendezvous, options, &wall),
    }
}

// ANCHOR: peers
/// Serves each client on a connection of its own, in a thread of its own.
fn serve_peers(
    rendezvous: &Rendezvous,
    options: &ServerOptions,
    wall: &Arc<Wall>,
) -> Result<()> {
    let (listener, _presence) = door::open(rendezvous)?;
    let most = room()?;
    let house = Arc::new(House {
        guid: Guid::generate().to_string(),
        patience: options.patience,
        wall: wall.clone(),
        inside: AtomicUsize::new(0),
        gone: AtomicU64::new(0),
        count: options.count,
    });
    let client = format!("{} call Post s hello", rendezvous.peer("client"));
    rendezvous.ready(format_args!("unix:path={}", rendezvous.path().display()))?;
    let sleeps = "accept() sleeps until a client comes";
    say::waiting_at(sleeps, &[(&listener, &client)]);
    let mut shortage = Shortage::default();
    for number in 1_u64.. {
        let socket = UnixStream::from(shortage.accept(&listener)?);
        if house.inside.fetch_add(1, Ordering::Relaxed) >= most {
            house.inside.fetch_sub(1, Ordering::Relaxed);
            say!("accept(): one more than {most} clients; close()");
            continue;
        }
        shortage.thread_for(socket, |take| {
            let guest = house.clone();
            let attend = move || {
                let socket = take.recv().expect("sent as soon as we are here");
                guest.attend(socket, number);
            };
            // The thread holds off all signals: they are for this one.
            let spawn =
                || thread::Builder::new().name("client".into()).spawn(attend);
            without_signals(spawn).map(drop)
        });
    }
    Ok(())
}

/// How many clients there are descriptors for. The soft limit becomes the hard one.
fn room() -> Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit")?;
    }
    let room = hard.saturating_sub(RESERVED);
    if room == 0 {
        bail!(
            "RLIMIT_NOFILE: {hard} descriptors are too few for a client (ulimit -Hn)"
        );
    }
    Ok(MOST_CLIENTS.min(usize::try_from(room).unwrap_or(MOST_CLIENTS)))
}

/// What the threads of all clients share.
struct House {
    guid: String,
    patience: Duration,
    wall: Arc<Wall>,
    inside: AtomicUsize,
    gone: AtomicU64,
    count: Option<u64>,
}

impl House {
    /// Serves one client to its end.
    fn attend(&self, socket: UnixStream, number: u64) {
        let _leaves = Leaves(&self.inside);
        let client = &format!("client {number}");
        match self.talk(socket, client, number) {
            Ok(inbox) => {
                match inbox.why() {
                    Some(why) => say!("{client} is cut off: {why}"),
                    None => say!("{client}: recv() = 0: it has left"),
                }
                let gone = self.gone.fetch_add(1, Ordering::Relaxed) + 1;
                if self.count == Some(gone) {
                    say!("done: clients: {gone}");
                    cleanup::exit(0);
                }
            }
            Err(error) => say!("{client} is refused: {}", line(&error)),
        }
    }

    fn talk(
        &self,
        socket: UnixStream,
        client: &str,
        number: u64,
    ) -> Result<Arc<Inbox>> {
        let who = getsockopt(&socket, PeerCredentials).context("SO_PEERCRED")?;
        let (pid, uid) = (who.pid(), who.uid());
        say!("accept(): {client} is pid {pid}, uid {uid} (SO_PEERCRED)");
        handshake::welcome(&socket, &self.guid, self.patience, client)?;
        let mailbox = self.wall.subscribe();
        let board = Board { wall: self.wall.clone(), mailbox: mailbox.clone() };
        let wire = Wire::new(socket, LONGEST, self.patience, client)?;
        let inbox = wire.inbox();
        let runtime = Runtime::new();
        let served = runtime.block_on(async {
            let connection = Builder::authenticated_socket(wire, self.guid.as_str())
                .runtime(runtime.clone())
                .p2p()
                .serve_at(OBJECT, board)
                .serve_at(DAEMON_OBJECT, NoBus(number))
                .build()
                .await?;
            let messages = MessageStream::from(&connection);
            deliver(&connection, messages, &mailbox, |_| ()).await
        });
        match served {
            Ok(()) => {}
            // Its socket says it better, or it has just left; unless it is not about that.
            Err(zbus::Error::InputOutput(error)) if !lacks_room(&error) => {}
            Err(error) => inbox.blame(&error),
        }
        Ok(inbox)
    }
}
/// One more client has left, when this is dropped: also when its thread has panicked.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
// ANCHOR_END: peers

/// Whether a call failed because there is no room for what it makes.
fn lacks_room(error: &io::Error) -> bool {
    let error = error.raw_os_error().map(Errno::from_raw);
    error.is_some_and(|error| blame(error) == Blame::Shortage)
}

// ANCHOR: deliver
/// What [`deliver`] waits for.
enum Event {
    Letter(Post),
    /// There were more letters than the mailbox holds.
    Overflow,
    Closed,
}

/// Emits the signal for each letter in the mailbox, until `messages` end. Meanwhile zbus,
/// in this thread, answers the calls. `heard` sees each message that comes.
///
/// # Errors
/// What came when a signal could not be sent.
pub async fn deliver(
    connection: &Connection,
    mut messages: MessageStream,
    mailbox: &Mailbox,
    mut heard: impl FnMut(&Message),
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, OBJECT)?;
    loop {
        let event = poll_fn(|context| {
            while let Poll::Ready(next) = Pin::new(&mut messages).poll_next(context)
            {
                match next {
                    Some(Ok(message)) => heard(&message),
                    Some(Err(_)) => {}
                    None => return Poll::Ready(Event::Closed),
                }
            }
            mailbox.poll(context).map(|post| match post {
                Some(post) => Event::Letter(post),
                None => Event::Overflow,
            })
        });
        match event.await {
            Event::Letter((number, text)) => {
                Board::posted(&emitter, number, &text).await?;
            }
            Event::Overflow => {
                let text = "it does not read its signals".to_owned();
                return Err(zbus::Error::Failure(text));
            }
            Event::Closed => return Ok(()),
        }
    }
}
// ANCHOR_END: deliver

/// A bus has closed the connection, which ends the server.
///
/// # Errors
/// Always: why it has.
pub fn lost(inbox: &Inbox) -> Result<()> {
    match inbox.why() {
        Some(why) => bail!("recv from the bus: {why}"),
        None => bail!("recv from the bus: it has closed the connection"),
    }
}
