//! On a bus: the same messages, passed on by a daemon that knows everybody by name.

use std::collections::HashSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::{Builder, Connection};
use zbus::export::serde::Serialize;
use zbus::fdo::{RequestNameFlags, RequestNameReply};
use zbus::message::Type;
use zbus::names::WellKnownName;
use zbus::{Address, DynamicType, Message, MessageStream};

use super::board::{Board, Wall};
use super::runtime::Runtime;
use super::socket::{LONGEST, Wire};
use super::{DAEMON_OBJECT, NAME, OBJECT, ServerOptions, handshake, server};
use wire::errors::{Advise, usage};
use wire::meet::Rendezvous;
use wire::say;

/// The bus's own object is called at this name.
const DAEMON: &str = "org.freedesktop.DBus";

/// How long the bus may take to answer; the client has an option for it.
const PATIENCE: Duration = Duration::from_secs(25);

// ANCHOR: connect
/// Connects to a bus: `session`, `system`, or an address.
///
/// # Errors
/// An address that is none, or where nobody listens.
pub fn connect(bus: &str) -> Result<UnixStream> {
    let address = match bus {
        "session" => Address::session(),
        "system" => Address::system(),
        address => Address::from_str(address),
    };
    let address = address.map_err(|error| {
        usage(format!("--bus {bus}: {error}; say session, system, or unix:path=…"))
    })?;
    let socket = match address.transport() {
        Transport::Unix(unix) => match unix.path() {
            UnixSocket::File(path) => UnixStream::connect(path),
            UnixSocket::Abstract(name) => {
                SocketAddr::from_abstract_name(name.as_encoded_bytes())
                    .and_then(|name| UnixStream::connect_addr(&name))
            }
            _ => bail!(usage(format!("--bus {bus}: a directory is no bus"))),
        },
        _ => {
            bail!(usage(format!("--bus {bus}: only unix: addresses, not {address}")))
        }
    };
    let socket = socket.with_context(|| format!("connect {address}"));
    let socket = socket.advise(|_| {
        Some(match bus {
            "session" => {
                "no session bus there: run both roles in one, `dbus-run-session -- sh`, \
                 or set DBUS_SESSION_BUS_ADDRESS"
            }
            "system" => "no system bus there: try --bus session, or no bus at all",
            _ => "no bus there: `dbus-daemon --session --print-address` starts one",
        })
    })?;
    let shown = address.to_string();
    let shown = shown.split(",guid=").next().unwrap_or_default();
    say!("connect({shown}) = 0: that is the bus");
    Ok(socket)
}
// ANCHOR_END: connect

/// The name on the bus: what `--at` says, or else ours.
///
/// # Errors
/// Usage: one that cannot be a name.
pub fn name_of(rendezvous: &Rendezvous) -> Result<WellKnownName<'static>> {
    let name = rendezvous.given().unwrap_or(NAME).to_owned();
    WellKnownName::try_from(name.clone()).map_err(|_| {
        usage(format!("--at {name}: a name on a bus has dots, like {NAME}"))
    })
}

// ANCHOR: own
/// Serves the board under a name on the bus. There is one connection, and the daemon puts
/// everybody's calls into it.
pub(super) fn serve(
    rendezvous: &Rendezvous,
    options: &ServerOptions,
    bus: &str,
    wall: &Arc<Wall>,
) -> Result<()> {
    let name = name_of(rendezvous)?;
    let socket = connect(bus)?;
    let guid = handshake::introduce(&socket, PATIENCE)?;
    let wire = Wire::new(socket, LONGEST, options.patience, "")?;
    let inbox = wire.inbox();
    let mailbox = wall.subscribe();
    let board = Board { wall: wall.clone(), mailbox: mailbox.clone() };
    let runtime = Runtime::new();
    runtime.block_on(async {
        let connection = Builder::authenticated_socket(wire, guid)
            .runtime(runtime.clone())
            .serve_at(OBJECT, board)
            .method_timeout(PATIENCE)
            .build()
            .await?;
        hello(&connection).await?;
        // Of a client that leaves the bus we hear only if we ask for it.
        tell(&connection, "NameOwnerChanged", "arg2=''").await?;
        // Once the name is ours, calls come: from here on each is kept to be counted.
        let messages = MessageStream::from(&connection);
        own(&connection, &name).await?;
        let client = format!("{} call Post s hello", rendezvous.peer("client"));
        say::waiting("recv() sleeps until a call comes", &client);
        rendezvous.ready(&name)?;
        let mut guests = Guests { inside: HashSet::new(), left: options.count };
        let heard = |message: &Message| guests.heard(message);
        server::deliver(&connection, messages, &mailbox, heard).await?;
        server::lost(&inbox)
    })
}

async fn own(connection: &Connection, name: &WellKnownName<'_>) -> Result<()> {
    let asked = (name, RequestNameFlags::DO_NOT_QUEUE);
    let reply = ask(connection, "RequestName", &asked).await?;
    let reply: RequestNameReply = reply.body().deserialize()?;
    if reply == RequestNameReply::PrimaryOwner {
        say!("RequestName: {name} is ours, calls to it come to us");
        return Ok(());
    }
    let pid: u32 = ask(connection, "GetConnectionUnixProcessID", name)
        .await?
        .body()
        .deserialize()?;
    bail!("RequestName {name}: pid {pid} owns it; use --at A.NAME for another");
}
// ANCHOR_END: own

/// Who has called, and not yet left the bus.
struct Guests {
    inside: HashSet<String>,
    left: Option<u64>,
}

impl Guests {
    fn heard(&mut self, message: &Message) {
        let header = message.header();
        match (message.message_type(), header.sender()) {
            (Type::MethodCall, Some(caller)) => {
                self.inside.insert(caller.to_string());
            }
            (Type::Signal, Some(sender)) if sender.as_str() == DAEMON => {
                self.changed(message);
            }
            _ => {}
        }
    }

    /// A name has no owner any more: that may be one who has called.
    fn changed(&mut self, message: &Message) {
        let body = message.body();
        let Ok((name, _, _)) = body.deserialize::<(&str, &str, &str)>() else {
            return;
        };
        if !self.inside.remove(name) {
            return;
        }
        say!("{name} has left the bus");
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                say!("done: all clients of --count have left");
                os::cleanup::exit(0);
            }
        }
    }
}

// ANCHOR: daemon
/// Calls a method of the bus itself: it is an object like others.
///
/// # Errors
/// What it answers.
pub async fn ask<B>(
    connection: &Connection,
    method: &str,
    body: &B,
) -> zbus::Result<Message>
where
    B: Serialize + DynamicType,
{
    let to = Some(DAEMON);
    connection.call_method(to, DAEMON_OBJECT, to, method, body).await
}

/// The first call on a bus; the answer is our name there.
///
/// # Errors
/// As [`ask`].
pub async fn hello(connection: &Connection) -> Result<()> {
    let reply =
        ask(connection, "Hello", &()).await.context("call Hello of the bus")?;
    let body = reply.body();
    let name: &str = body.deserialize()?;
    say!("Hello: the bus calls us {name}");
    Ok(())
}

/// Asks the bus for a signal of its own, where `rule` holds as well.
///
/// # Errors
/// As [`ask`].
pub async fn tell(connection: &Connection, signal: &str, rule: &str) -> Result<()> {
    let rule = format!("type='signal',sender='{DAEMON}',member='{signal}',{rule}");
    ask(connection, "AddMatch", &rule).await.context("call AddMatch of the bus")?;
    Ok(())
}
// ANCHOR_END: daemon
