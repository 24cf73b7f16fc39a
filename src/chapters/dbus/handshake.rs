//! The handshake: lines of text, before the first message. The client names its
//! user, and the server believes its kernel: SO_PEERCRED is the uid of the process that called
//! connect(2).
//!
//! ```text
//! client  NUL AUTH EXTERNAL 31303030     "1000" in hexadecimal: its uid in decimal
//! server  OK 2f1d…                       32 hexadecimal digits that name the server
//! client  BEGIN                          from here on, messages
//! ```

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
use nix::unistd::geteuid;

use wire::say;

/// The longest line, in bytes: far more than any of them needs.
const LONGEST_LINE: usize = 1000;

/// How many lines a client may try.
const MOST_LINES: usize = 20;

// ANCHOR: introduce
/// The client's half. Returns the server's id.
///
/// # Errors
/// A server that refuses us, or says nothing.
pub fn introduce(socket: &UnixStream, patience: Duration) -> Result<String> {
    let deadline = Instant::now() + patience;
    let uid = hex(geteuid().to_string().as_bytes());
    // The NUL is there for systems whose kernel reports the uid only along with a byte.
    write(socket, &format!("\0AUTH EXTERNAL {uid}\r\n"))?;
    let answer = read_line(socket, deadline)?;
    say!("recv(): {answer:?}");
    let Some(guid) = answer.strip_prefix("OK ") else {
        bail!("AUTH EXTERNAL {uid}: the server answered {answer:?}");
    };
    write(socket, "BEGIN\r\n")?;
    Ok(guid.to_owned())
}

fn write(socket: &UnixStream, line: &str) -> Result<()> {
    say!("send({line:?})");
    send_all(socket, line.as_bytes()).context("send a line of the handshake")
}
// ANCHOR_END: introduce

// ANCHOR: welcome
/// The server's half: returns once the client has said BEGIN. libdbus, GLib and systemd
/// each word their half a little differently; all of it is here.
///
/// # Errors
/// Another user; bytes that are no handshake; a handshake that is not done in time.
pub fn welcome(
    socket: &UnixStream,
    guid: &str,
    patience: Duration,
    client: &str,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let peer = getsockopt(socket, PeerCredentials).context("SO_PEERCRED")?;
    let ours = geteuid().as_raw();
    ensure!(peer.uid() == ours, "it is uid {}, and not {ours}", peer.uid());
    let mut first = [0; 1];
    read(socket, &mut first, deadline)?;
    ensure!(first == [0], "its first byte is {first:?}, and not NUL");
    let ok = format!("OK {guid}\r\n");
    let (mut asked, mut known) = (false, false);
    for _ in 0..MOST_LINES {
        let line = read_line(socket, deadline)?;
        let mut words = line.split(' ');
        let answer = match (words.next(), words.next(), words.next()) {
            (Some("AUTH"), Some("EXTERNAL"), Some(id)) if is(id, ours) => &ok,
            // Without an id the server asks the client for it. An empty id means: the uid that
            // the kernel reports.
            (Some("AUTH"), Some("EXTERNAL"), None) => "DATA\r\n",
            (Some("DATA"), None | Some(""), _) if asked => &ok,
            (Some("DATA"), Some(id), None) if asked && is(id, ours) => &ok,
            (Some("AUTH" | "DATA" | "CANCEL" | "ERROR"), ..) => {
                "REJECTED EXTERNAL\r\n"
            }
            (Some("BEGIN"), None, _) => {
                ensure!(known, "it said BEGIN, and not which user it is");
                say!("{client}: recv(): \"BEGIN\"; from here on, messages");
                return Ok(());
            }
            // We take no descriptors, so the kernel closes those that the client sends.
            (Some("NEGOTIATE_UNIX_FD"), ..) => "ERROR no descriptors here\r\n",
            _ => "ERROR not a command\r\n",
        };
        asked = answer.starts_with("DATA");
        known = known && !answer.starts_with("REJ") || answer.starts_with("OK");
        say!("{client}: recv(): {line:?}; send({answer:?})");
        send_all(socket, answer.as_bytes())
            .context("send a line of the handshake")?;
    }
    bail!("no BEGIN in {MOST_LINES} lines")
}

/// Whether `id` is this uid: in decimal, and each digit as two hexadecimal ones.
fn is(id: &str, uid: u32) -> bool {
    id == hex(uid.to_string().as_bytes())
}
// ANCHOR_END: welcome

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line without its CR LF, and not a byte more: what follows BEGIN is no line, and may have
/// arrived already. So we look first, and then take only the bytes of the line.
fn read_line(socket: &UnixStream, deadline: Instant) -> Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        ensure!(line.len() < LONGEST_LINE, "a line of over {LONGEST_LINE} bytes");
        let mut chunk = [0; LONGEST_LINE];
        let seen = receive(socket, &mut chunk, MsgFlags::MSG_PEEK, deadline)?;
        let newline = chunk[..seen].iter().position(|byte| *byte == b'\n');
        let part = &mut chunk[..newline.map_or(seen, |at| at + 1)];
        read(socket, part, deadline)?;
        line.extend_from_slice(part);
    }
    let text = line.strip_suffix(b"\r\n").filter(|text| text.is_ascii());
    let text =
        text.context("a line that is not ASCII, or has no CR before its LF")?;
    String::from_utf8(text.to_vec()).context("a line that is not ASCII")
}

/// send(2) until all is sent.
///
/// # Errors
/// A peer that reads nothing for as long as SO_SNDTIMEO says; a peer that is gone.
pub fn send_all(socket: &UnixStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let text = "the peer does not read what it is sent";
                return Err(std::io::Error::new(ErrorKind::TimedOut, text));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// recv(2) until `buffer` is full, or the deadline has passed.
///
/// # Errors
/// The end of the stream; the deadline.
pub fn read(
    socket: &UnixStream,
    buffer: &mut [u8],
    deadline: Instant,
) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        filled += receive(socket, rest, MsgFlags::empty(), deadline)?;
    }
    Ok(())
}

/// recv(2), until a byte has arrived or the deadline has passed. Bytes that are there already
/// count, even if this call is late.
fn receive(
    socket: &UnixStream,
    buffer: &mut [u8],
    flags: MsgFlags,
    deadline: Instant,
) -> std::io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = left.max(Duration::from_millis(1)); // 0 would be: for ever
        socket.set_read_timeout(Some(wait))?; // SO_RCVTIMEO
        match recv(socket.as_raw_fd(), buffer, flags) {
            Ok(0) => {
                let text = "the stream ended in the middle of it";
                return Err(std::io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            Ok(received) => return Ok(received),
            Err(Errno::EAGAIN) if left.is_zero() => {
                let text = "the rest of it did not come in time";
                return Err(std::io::Error::new(ErrorKind::TimedOut, text));
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
