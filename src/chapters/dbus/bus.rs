//! On a bus: the same messages, passed on by a daemon that knows every process by a name.

use std::collections::HashSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::str::FromStr;
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

use super::board::{Board, SharedBoard};
use super::deliver::deliver;
use super::handshake;
use super::names::{DAEMON, DAEMON_OBJECT, NAME, OBJECT};
use super::options::DbusServerOptions;
use super::runtime::Runtime;
use super::socket::{Inbox, LONGEST, MessageSocket};
use wire::errors::{Advise, usage};
use wire::meet::Rendezvous;
use wire::say;

/// How long the bus may take to answer; the client has an option for it.
const PATIENCE: Duration = Duration::from_secs(25);

// ANCHOR: connect
/// Connects to a bus: `session`, `system`, or an address.
///
/// # Errors
/// A text that is no address; an address where no process listens.
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
/// Usage: a text that cannot be a name.
pub fn name_of(rendezvous: &Rendezvous) -> Result<WellKnownName<'static>> {
    let name = rendezvous.given().unwrap_or(NAME).to_owned();
    WellKnownName::try_from(name.clone()).map_err(|_| {
        usage(format!("--at {name}: a name on a bus has dots, like {NAME}"))
    })
}

// ANCHOR: own
/// Serves the board under a name on the bus. There is one connection, and the daemon puts
/// the calls of all clients into it.
pub(super) fn serve(
    rendezvous: &Rendezvous,
    options: &DbusServerOptions,
    bus: &str,
) -> Result<()> {
    let shared = SharedBoard::new(options.limit, options.max_message)?;
    let name = name_of(rendezvous)?;
    let socket = connect(bus)?;
    let guid = handshake::introduce(&socket, PATIENCE)?;
    let socket = MessageSocket::new(socket, LONGEST, options.patience, "")?;
    let inbox = socket.inbox();
    let signals = shared.subscribe();
    let board = Board { shared, signals: signals.clone() };
    let runtime = Runtime::new();
    runtime.block_on(async {
        let connection = Builder::authenticated_socket(socket, guid)
            .runtime(runtime.clone())
            .serve_at(OBJECT, board)
            .method_timeout(PATIENCE)
            .build()
            .await?;
        hello(&connection).await?;
        // The bus says that a client has left only to those that ask for it.
        add_match(&connection, "NameOwnerChanged", "arg2=''").await?;
        // Once the name is ours, calls come: from here on each call is kept to be counted.
        let messages = MessageStream::from(&connection);
        request_name(&connection, &name).await?;
        let client = format!("{} call Post s hello", rendezvous.peer("client"));
        say::waiting("recv() sleeps until a call comes", &client);
        rendezvous.ready(&name)?;
        let mut clients = BusClients { known: HashSet::new(), left: options.count };
        let inspect = |message: &Message| clients.note(message);
        deliver(&connection, messages, &signals, inspect).await?;
        lost(&inbox)
    })
}

async fn request_name(
    connection: &Connection,
    name: &WellKnownName<'_>,
) -> Result<()> {
    let asked = (name, RequestNameFlags::DO_NOT_QUEUE);
    let reply = call_daemon(connection, "RequestName", &asked).await?;
    let reply: RequestNameReply = reply.body().deserialize()?;
    if reply == RequestNameReply::PrimaryOwner {
        say!("RequestName: {name} is ours, calls to it come to us");
        return Ok(());
    }
    let pid: u32 = call_daemon(connection, "GetConnectionUnixProcessID", name)
        .await?
        .body()
        .deserialize()?;
    bail!("RequestName {name}: pid {pid} owns it; use --at A.NAME for another");
}
// ANCHOR_END: own

/// The clients that have called and not yet left the bus.
struct BusClients {
    known: HashSet<String>,
    /// How many clients of `--count` are left.
    left: Option<u64>,
}

impl BusClients {
    fn note(&mut self, message: &Message) {
        let header = message.header();
        match (message.message_type(), header.sender()) {
            (Type::MethodCall, Some(caller)) => {
                self.known.insert(caller.to_string());
            }
            (Type::Signal, Some(sender)) if sender.as_str() == DAEMON => {
                self.note_owner(message);
            }
            _ => {}
        }
    }

    /// A name has no owner any more: perhaps it was a client's name.
    fn note_owner(&mut self, message: &Message) {
        let body = message.body();
        let Ok((name, _, _)) = body.deserialize::<(&str, &str, &str)>() else {
            return;
        };
        if !self.known.remove(name) {
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

/// A bus has closed the connection, which ends the server.
///
/// # Errors
/// Always: why the bus has closed it.
fn lost(inbox: &Inbox) -> Result<()> {
    match inbox.why() {
        Some(why) => bail!("recv from the bus: {why}"),
        None => bail!("recv from the bus: it has closed the connection"),
    }
}

// ANCHOR: daemon
/// Calls a method of the bus itself: it is an object like others.
///
/// # Errors
/// The error that the bus answers.
pub async fn call_daemon<B>(
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
/// As [`call_daemon`].
pub async fn hello(connection: &Connection) -> Result<()> {
    let reply = call_daemon(connection, "Hello", &())
        .await
        .context("call Hello of the bus")?;
    let body = reply.body();
    let name: &str = body.deserialize()?;
    say!("Hello: the bus calls us {name}");
    Ok(())
}

/// Asks the bus for one of the bus's own signals, where `rule` holds as well.
///
/// # Errors
/// As [`call_daemon`].
pub async fn add_match(
    connection: &Connection,
    signal: &str,
    rule: &str,
) -> Result<()> {
    let rule = format!("type='signal',sender='{DAEMON}',member='{signal}',{rule}");
    call_daemon(connection, "AddMatch", &rule)
        .await
        .context("call AddMatch of the bus")?;
    Ok(())
}
// ANCHOR_END: daemon
