//! A connection that speaks D-Bus by send(2) and recv(2), and a bus of the run's own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{MsgFlags, recv, send};

use super::message::Message;
use crate::stage::Stage;
use chapters::dbus::handshake::{introduce, welcome};
use doctor::probes::needs;
use os::spawn::die_with_parent;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The id of a server without a bus: any 32 hexadecimal digits.
const GUID: &str = "00000000000000000000000000000001";

/// One end of a connection.
#[derive(Debug)]
pub(super) struct DbusConnection {
    socket: UnixStream,
    serial: u32,
    /// What the bus calls it: `:1.0`.
    pub(super) name: String,
}

impl DbusConnection {
    /// The client's end of a connection without a bus.
    pub(super) fn client(socket: UnixStream) -> Result<DbusConnection> {
        introduce(&socket, PATIENCE)?;
        socket.set_read_timeout(None).context("SO_RCVTIMEO")?;
        Ok(DbusConnection { socket, serial: 0, name: String::new() })
    }

    /// The server's end.
    pub(super) fn server(socket: UnixStream) -> Result<DbusConnection> {
        welcome(&socket, GUID, PATIENCE, "a client")?;
        socket.set_read_timeout(None).context("SO_RCVTIMEO")?;
        Ok(DbusConnection { socket, serial: 0, name: String::new() })
    }

    /// SO_RCVTIMEO: how long the next recv(2) sleeps at most.
    pub(super) fn wait_at_most(&self, wait: Option<Duration>) -> Result<()> {
        self.socket.set_read_timeout(wait).context("SO_RCVTIMEO")
    }

    /// send(2) of a message, with the next serial; returns that.
    fn put(
        &mut self,
        mut message: Message,
    ) -> Result<(Message, nix::Result<usize>)> {
        self.serial += 1;
        message.serial = self.serial;
        let bytes = message.bytes();
        let sent = send(self.socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
        ensure!(sent.is_err() || sent == Ok(bytes.len()), "a message sent in part");
        Ok((message, sent))
    }

    /// Sends a message, and reports it; returns its serial.
    pub(super) fn send(&mut self, stage: &Stage, message: Message) -> Result<u32> {
        let floor = floor(stage)?;
        let (message, sent) = self.put(message)?;
        stage.call(format!("send({message})"), &sent.map(|_| "sent"));
        drop(floor);
        Ok(message.serial)
    }

    /// Sends a message, and does not report it.
    pub(super) fn send_unseen(&mut self, message: Message) -> Result<u32> {
        let (message, sent) = self.put(message)?;
        sent.context("send")?;
        Ok(message.serial)
    }

    /// recv(2) of one whole message; `None` at the end of the stream.
    fn get(&self) -> Result<Result<Option<Message>, Errno>> {
        let take = |bytes: &mut [u8]| match bytes.len() {
            0 => Ok(0),
            _ => recv(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_WAITALL),
        };
        let mut fixed = [0; 16];
        match take(&mut fixed) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Ok(None)),
            Ok(n) => ensure!(n == fixed.len(), "a message that is cut"),
            Err(error) => return Ok(Err(error)),
        }
        let (fields, body) = Message::rest(&fixed)?;
        let (mut fields, mut body) = (vec![0; fields], vec![0; body]);
        ensure!(take(&mut fields)? == fields.len(), "a message that is cut");
        ensure!(take(&mut body)? == body.len(), "a message that is cut");
        Ok(Ok(Some(Message::of_bytes(&fixed, &fields, body)?)))
    }

    /// The next message, reported; the error, where none came in time.
    pub(super) fn hear(&mut self, stage: &Stage) -> Result<Option<Message>> {
        let heard = self.get()?;
        let _floor = floor(stage)?;
        let shown =
            heard.as_ref().map_err(|error| *error).map(|heard| match heard {
                Some(message) => message.to_string(),
                None => "0: the end of the stream".to_owned(),
            });
        stage.call("recv()", &shown);
        Ok(heard.unwrap_or(None))
    }

    /// The next message, which must come, reported.
    pub(super) fn must_hear(&mut self, stage: &Stage) -> Result<Message> {
        self.hear(stage)?.context("the stream has ended")
    }

    /// The next message, which must come, and is not reported.
    pub(super) fn hear_unseen(&mut self) -> Result<Message> {
        self.get()??.context("the stream has ended")
    }

    /// Calls a method of the bus, and returns its answer and what came before that. The bus
    /// takes what we send in order: what had been sent to us by then has come.
    pub(super) fn ask(&mut self, call: Message) -> Result<(Message, Vec<Message>)> {
        let serial = self.send_unseen(call)?;
        let mut before = Vec::new();
        loop {
            let message = self.hear_unseen()?;
            if message.is_reply() && message.reply_to == serial {
                return Ok((message, before));
            }
            before.push(message);
        }
    }

    /// As [`DbusConnection::ask`], with the call and its answer reported.
    pub(super) fn ask_aloud(
        &mut self,
        stage: &Stage,
        call: Message,
    ) -> Result<Message> {
        let shown = format!("{}({})", call.member, call.arguments());
        let (answer, _) = self.ask(call)?;
        let said = match answer.error.is_empty() {
            true => format!("({})", answer.arguments()),
            false => answer.error.clone(),
        };
        stage.call(format!("the bus: {shown}"), &said);
        Ok(answer)
    }

    /// Signals that have come by now; nothing can be on its way any more.
    pub(super) fn signals(&mut self) -> Result<Vec<Message>> {
        let (_, mut before) = self.ask(Message::to_bus("GetId"))?;
        before.retain(|message| {
            message.is_signal() && message.sender.starts_with(':')
        });
        Ok(before)
    }
}

/// Held while a message is sent and reported, and while one that came is reported: so none
/// is reported as received before it is reported as sent.
fn floor(stage: &Stage) -> Result<Flock<File>> {
    let file = File::create(stage.path("floor")).context("open")?;
    let locked = Flock::lock(file, FlockArg::LockExclusive);
    locked.map_err(|(_, error)| error).context("flock")
}

/// A dbus-daemon of the run's own. It ends with this.
#[derive(Debug)]
pub(super) struct Bus {
    daemon: Child,
    socket: PathBuf,
    /// Programs that it starts write there too, and would get EPIPE without a reader.
    output: BufReader<ChildStdout>,
}

impl Bus {
    /// Starts one, as a session bus is set up, with `more` in its configuration.
    pub(super) fn start(stage: &Stage, more: &str) -> Result<Bus> {
        let socket = stage.path("bus");
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>{more}</busconfig>",
            socket.display()
        );
        let file = stage.path("bus.conf");
        std::fs::write(&file, config).context("write bus.conf")?;
        stage.needs(&needs::DBUS_DAEMON)?;
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--config-file={}", file.display()))
            .env("IPCLAB_DIR", stage.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        die_with_parent(&mut command);
        let started = command.spawn();
        let mut daemon = started.context("exec dbus-daemon")?;
        let output = daemon.stdout.take().context("no pipe to the daemon")?;
        let mut bus = Bus { daemon, socket, output: BufReader::new(output) };
        let mut address = String::new();
        bus.output.read_line(&mut address).context("read")?;
        ensure!(!address.is_empty(), "dbus-daemon did not start");
        Ok(bus)
    }

    /// Connects to it, and calls Hello.
    pub(super) fn join(&self) -> Result<DbusConnection> {
        let socket = UnixStream::connect(&self.socket).context("connect")?;
        let mut link = DbusConnection::client(socket)?;
        let (hello, _) = link.ask(Message::to_bus("Hello"))?;
        link.name = hello.first();
        while link.hear_unseen()?.member != "NameAcquired" {}
        Ok(link)
    }

    /// Its address, as programs get it.
    pub(super) fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
