//! The server without a bus: the object on a socket of its own, with a thread for each client.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use zbus::connection::Builder;
use zbus::{Guid, MessageStream};

use super::board::{Board, NoBus, SharedBoard};
use super::deliver::deliver;
use super::handshake;
use super::names::{DAEMON_OBJECT, OBJECT};
use super::options::DbusServerOptions;
use super::rendezvous::listen_for_clients;
use super::runtime::Runtime;
use super::socket::{Inbox, MessageSocket};
use os::cleanup::{self, without_signals};
use wire::errors::line;
use wire::meet::Rendezvous;
use wire::say;
use wire::shortage::{ErrorOf, Shortage, error_of};

/// How many clients may be connected, if there are descriptors for them: each has two
/// threads.
const MOST_CLIENTS: usize = 256;

/// Descriptors that are not for clients: the streams, the lock, the socket that listens.
const RESERVED: u64 = 16;

/// The longest message that a client may send, in bytes: a post of the longest kind, and a
/// header.
const LONGEST: usize = 128 << 10;

// ANCHOR: peers
/// Serves each client on a connection of its own, in a thread of its own.
///
/// # Errors
/// A name that is taken; accept(2).
pub fn serve(rendezvous: &Rendezvous, options: &DbusServerOptions) -> Result<()> {
    let board = SharedBoard::new(options.limit, options.max_message)?;
    let (listener, _presence) = listen_for_clients(rendezvous)?;
    let most = room()?;
    let server = Arc::new(PeerServer {
        guid: Guid::generate().to_string(),
        patience: options.patience,
        board,
        connected: AtomicUsize::new(0),
        served: AtomicU64::new(0),
        count: options.count,
    });
    let client = format!("{} call Post s hello", rendezvous.peer("client"));
    rendezvous.ready(format_args!("unix:path={}", rendezvous.path().display()))?;
    let sleeps = "accept() sleeps until a client comes";
    say::waiting_at(sleeps, &[(&listener, &client)]);
    let mut shortage = Shortage::default();
    for number in 1_u64.. {
        let socket = UnixStream::from(shortage.accept(&listener)?);
        if server.connected.fetch_add(1, Ordering::Relaxed) >= most {
            server.connected.fetch_sub(1, Ordering::Relaxed);
            let most = say::count(most as u64, "client");
            say!("accept(): one more than {most}; close()");
            continue;
        }
        shortage.thread_for(socket, |take| {
            let server = server.clone();
            let serve = move || {
                let socket = take.recv().expect("sent as soon as we are here");
                server.serve_client(socket, number);
            };
            // The thread holds off all signals: they are for this one.
            let spawn = || thread::Builder::new().name("client".into()).spawn(serve);
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
struct PeerServer {
    guid: String,
    patience: Duration,
    board: Arc<SharedBoard>,
    connected: AtomicUsize,
    served: AtomicU64,
    count: Option<u64>,
}

impl PeerServer {
    /// Serves one client to its end.
    fn serve_client(&self, socket: UnixStream, number: u64) {
        let _connected = Connected(&self.connected);
        let client = &format!("client {number}");
        match self.answer_calls(socket, client, number) {
            Ok(inbox) => {
                match inbox.why() {
                    Some(why) => say!("{client} is cut off: {why}"),
                    None => say!("{client}: recv() = 0: it has left"),
                }
                let served = self.served.fetch_add(1, Ordering::Relaxed) + 1;
                if self.count == Some(served) {
                    say!("done: {}", say::count(served, "client"));
                    cleanup::exit(0);
                }
            }
            Err(error) => say!("{client} is refused: {}", line(&error)),
        }
    }

    fn answer_calls(
        &self,
        socket: UnixStream,
        client: &str,
        number: u64,
    ) -> Result<Arc<Inbox>> {
        let peer = getsockopt(&socket, PeerCredentials).context("SO_PEERCRED")?;
        let (pid, uid) = (peer.pid(), peer.uid());
        say!("accept(): {client} is pid {pid}, uid {uid} (SO_PEERCRED)");
        handshake::welcome(&socket, &self.guid, self.patience, client)?;
        let signals = self.board.subscribe();
        let board = Board { shared: self.board.clone(), signals: signals.clone() };
        let socket = MessageSocket::new(socket, LONGEST, self.patience, client)?;
        let inbox = socket.inbox();
        let runtime = Runtime::new();
        let served = runtime.block_on(async {
            let connection =
                Builder::authenticated_socket(socket, self.guid.as_str())
                    .runtime(runtime.clone())
                    .p2p()
                    .serve_at(OBJECT, board)
                    .serve_at(DAEMON_OBJECT, NoBus(number))
                    .build()
                    .await?;
            let messages = MessageStream::from(&connection);
            deliver(&connection, messages, &signals, |_| ()).await
        });
        match served {
            Ok(()) => {}
            // The inbox has a better reason, or the client has just left.
            Err(zbus::Error::InputOutput(error)) if !lacks_room(&error) => {}
            Err(error) => inbox.note_reason(&error),
        }
        Ok(inbox)
    }
}

/// A client that is connected, until this is dropped: also when its thread has panicked.
struct Connected<'a>(&'a AtomicUsize);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
// ANCHOR_END: peers

/// Whether a call failed because there is no room for what it makes.
fn lacks_room(error: &io::Error) -> bool {
    let error = error.raw_os_error().map(Errno::from_raw);
    error.is_some_and(|error| error_of(error) == ErrorOf::Resources)
}
