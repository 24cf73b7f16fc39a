//! The client: calls methods, and receives signals.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use zbus::connection::{Builder, Connection};
use zbus::export::futures_core::Stream;
use zbus::export::serde::Serialize;
use zbus::message::Type;
use zbus::names::{BusName, WellKnownName};
use zbus::{DynamicType, Message, MessageStream, OwnedStructure};

use super::names::INTERFACE;
use super::options::{DbusClientOptions, Verb};
use super::rendezvous::connect_to_server;
use super::runtime::Runtime;
use super::socket::{Inbox, LONGEST, MessageSocket};
use super::{bus, handshake, values};
use wire::errors::Advise;
use wire::meet::Rendezvous;
use wire::payload::{Payload, Printed, Style};
use wire::roles::messages;
use wire::say;
use wire::visible::visible;

/// The interface that every object has to describe itself.
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

/// The interface of every object that has properties.
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Plays the client.
///
/// # Errors
/// A call that fails: by which error, and what to do.
pub fn run(rendezvous: &Rendezvous, options: &DbusClientOptions) -> Result<()> {
    let call = match &options.verb {
        Verb::Call { method, signature, arguments } => {
            let (interface, member) = values::method(method, INTERFACE)?;
            let body = values::arguments(signature, arguments)?;
            Some((interface, member, body))
        }
        _ => None,
    };
    values::object(&options.object)?;
    let mut payload = Payload::new(Style::Lines)?;
    let name = options.bus.as_ref().map(|_| bus::name_of(rendezvous)).transpose()?;
    let socket = match &options.bus {
        Some(bus) => bus::connect(bus)?,
        None => connect_to_server(rendezvous)?,
    };
    let guid = handshake::introduce(&socket, options.call_timeout)
        .context("the handshake")
        .advise(|_| Some("the server there does not speak D-Bus with us now"))?;
    let socket = MessageSocket::new(socket, LONGEST, options.call_timeout, "")?;
    let inbox = socket.inbox();
    let runtime = Runtime::new();
    runtime.block_on(async {
        let mut builder = Builder::authenticated_socket(socket, guid)
            .runtime(runtime.clone())
            .method_timeout(options.call_timeout);
        if name.is_none() {
            builder = builder.p2p();
        }
        let connection = builder.build().await?;
        let client = DbusClient { rendezvous, options, connection, inbox, name };
        if let Some(name) = &client.name {
            bus::hello(&client.connection).await?;
            client.wait_for_owner(name).await?;
        }
        match call {
            Some((interface, member, body)) => {
                let reply = match &body {
                    Some(body) => client.call(interface, member, body).await,
                    None => client.call(interface, member, &()).await,
                };
                print(&mut payload, &reply?)
            }
            None => match options.verb {
                Verb::Watch { count } => client.watch(&mut payload, count).await,
                Verb::Introspect => {
                    let reply = client.call(INTROSPECTABLE, "Introspect", &()).await;
                    print(&mut payload, &reply?)
                }
                _ => {
                    print(&mut payload, &client.call(INTERFACE, "List", &()).await?)
                }
            },
        }
    })
}

/// A client that is connected.
struct DbusClient<'a> {
    rendezvous: &'a Rendezvous,
    options: &'a DbusClientOptions,
    connection: Connection,
    inbox: Arc<Inbox>,
    /// The name on the bus that calls go to.
    name: Option<WellKnownName<'static>>,
}

impl DbusClient<'_> {
    // ANCHOR: call
    /// Calls a method: sends the message, and waits for the reply that names its serial.
    async fn call<B>(
        &self,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<Message>
    where
        B: Serialize + DynamicType,
    {
        let object = self.options.object.as_str();
        let to = self.name.clone().map(BusName::from);
        let reply = self
            .connection
            .call_method(to, object, Some(interface), member, body)
            .await;
        let what = format!("call {interface}.{member} of {object}");
        reply.map_err(|error| self.explain(error, &what))
    }

    /// What went wrong with a call, and the way out.
    fn explain(&self, error: zbus::Error, what: &str) -> anyhow::Error {
        use zbus::DBusError;
        // A call is carried out at most once. Without a reply the client does not know which:
        // once, or not at all.
        let perhaps =
            "it may have been carried out, or not: look before you call again";
        let (error, advice) = match &error {
            zbus::Error::MethodError(name, text, _) => {
                let text = text.as_deref().unwrap_or_default();
                (format!("{name}: {}", visible(text)), self.advice(name))
            }
            zbus::Error::FDO(known) => {
                let text = known.description().unwrap_or_default();
                let name = known.name();
                (format!("{name}: {}", visible(text)), self.advice(&name))
            }
            zbus::Error::InputOutput(error)
                if error.kind() == std::io::ErrorKind::TimedOut =>
            {
                let seconds = self.options.call_timeout.as_secs_f64();
                let text = format!("no reply within {seconds} s (--call-timeout)");
                (text, Some(perhaps))
            }
            zbus::Error::InputOutput(_) => match self.inbox.why() {
                Some(why) => (why, Some(perhaps)),
                None => {
                    let text =
                        "the other end was closed before it replied".to_owned();
                    (text, Some(perhaps))
                }
            },
            other => (visible(other.to_string()), None),
        };
        let failed = Err::<(), _>(anyhow!("{what}: {error}"));
        failed.advise(|_| advice).unwrap_err()
    }

    fn advice(&self, error: &str) -> Option<&'static str> {
        Some(match error.rsplit_once('.')? {
            ("org.freedesktop.DBus.Error", last) => match last {
                "UnknownMethod" | "UnknownInterface" | "UnknownProperty" => {
                    "`ipclab dbus client introspect` shows what there is"
                }
                "UnknownObject" => "the board is at /org/ipclab/Board (--object)",
                "InvalidArgs" => {
                    "`ipclab dbus client introspect` shows the types; call METHOD SIGNATURE ARG…"
                }
                "NoReply" => {
                    "the server died: the call may have been carried out, or not"
                }
                "AccessDenied" => "the bus's policy forbids it: try --bus session",
                _ => return None,
            },
            ("org.ipclab.Error", "TooLong") => {
                "post less, or start the server with a larger --max-message"
            }
            _ => return None,
        })
    }
    // ANCHOR_END: call

    // ANCHOR: watch
    /// Prints each message as it is posted, by the signals that come. It makes no call.
    async fn watch(&self, payload: &mut Payload, count: Option<u64>) -> Result<()> {
        let mut signals = MessageStream::from(&self.connection);
        if let Some(name) = &self.name {
            // A bus passes on signals only to connections that asked for them.
            let rule = format!(
                "type='signal',sender='{name}',path='{}',interface='{INTERFACE}',\
                 member='Posted'",
                self.options.object
            );
            bus::call_daemon(&self.connection, "AddMatch", &rule).await?;
        }
        // Once the server has answered, it knows this client: no later post is missed.
        let reply = self.call(PROPERTIES, "Get", &(INTERFACE, "Count")).await?;
        let posted = lines(&reply)?.join(" ");
        say!("on the board: {}", messages(posted.parse().unwrap_or(0)));
        say!("recv() sleeps until a signal comes");
        self.rendezvous.ready(&self.options.object)?;
        while count.is_none_or(|most| payload.count() < most) {
            let Some(message) = next(&mut signals).await else {
                let printed = messages(payload.count());
                let why = self.inbox.why();
                let why = why.as_deref().unwrap_or("the server has left");
                bail!("recv: {why}; {printed} printed");
            };
            let header = message.header();
            let is_post = message.message_type() == Type::Signal
                && header.interface().is_some_and(|name| name == INTERFACE)
                && header.member().is_some_and(|name| name == "Posted");
            if is_post {
                let line = values::row(&body_of(&message)?.0);
                if payload.print(line.as_bytes())? == Printed::NoReader {
                    return Ok(());
                }
            } else if self.has_left(&message) {
                let server = self.rendezvous.peer("server");
                say::waiting("the name has no owner any more; waiting", &server);
            }
        }
        say!("done: {}", messages(payload.count()));
        Ok(())
    }
    // ANCHOR_END: watch

    // ANCHOR: owner
    /// Waits until a process owns the name: the bus reports this by a signal of its own.
    async fn wait_for_owner(&self, name: &WellKnownName<'_>) -> Result<()> {
        let mut signals = MessageStream::from(&self.connection);
        let rule = format!("arg0='{name}'");
        bus::add_match(&self.connection, "NameOwnerChanged", &rule).await?;
        // Asked after we began to listen, so nothing is missed in between.
        let reply = bus::call_daemon(&self.connection, "NameHasOwner", name).await?;
        let mut owned: bool = reply.body().deserialize()?;
        if !owned {
            let what = format!(
                "NameHasOwner {name}: false; waiting until a process owns it"
            );
            say::waiting(what, &self.rendezvous.peer("server"));
        }
        while !owned {
            let Some(message) = next(&mut signals).await else {
                bail!("recv: the bus has closed the connection");
            };
            owned = owner_of(&message, name).is_some_and(|owner| !owner.is_empty());
        }
        Ok(())
    }

    fn has_left(&self, message: &Message) -> bool {
        let Some(name) = &self.name else { return false };
        owner_of(message, name).is_some_and(|owner| owner.is_empty())
    }
}

/// The new owner of `name`, if the message is the bus's signal of a new owner.
fn owner_of(message: &Message, name: &WellKnownName<'_>) -> Option<String> {
    let header = message.header();
    let changed = message.message_type() == Type::Signal
        && header.member().is_some_and(|member| member == "NameOwnerChanged");
    let body = message.body();
    let (whose, _, new): (&str, &str, &str) =
        body.deserialize().ok().filter(|_| changed)?;
    (whose == name.as_str()).then(|| new.to_owned())
}
// ANCHOR_END: owner

/// The next message; `None` once the connection has ended.
async fn next(messages: &mut MessageStream) -> Option<Message> {
    poll_fn(|context| Pin::new(&mut *messages).poll_next(context)).await?.ok()
}

fn body_of(message: &Message) -> Result<OwnedStructure> {
    message.body().deserialize().context("unpack a message")
}

fn lines(reply: &Message) -> Result<Vec<String>> {
    if reply.body().is_empty() {
        return Ok(Vec::new());
    }
    Ok(values::lines(&body_of(reply)?.0))
}

fn print(payload: &mut Payload, reply: &Message) -> Result<()> {
    for line in lines(reply)? {
        if payload.print(line.as_bytes())? == Printed::NoReader {
            break;
        }
    }
    Ok(())
}
