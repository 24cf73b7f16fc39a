//! One D-Bus message, to and from its bytes: as much of the format as the runs need.

use std::fmt;

use anyhow::{Context, Result, ensure};

/// The object that the runs call.
const OBJECT: &str = "/org/ipclab/Board";
/// Its interface.
const INTERFACE: &str = "org.ipclab.Board1";
/// The bus's name, and its interface.
pub(super) const BUS: &str = "org.freedesktop.DBus";

/// The flag of a call that asks for no reply, and no error either.
pub(super) const NO_REPLY_EXPECTED: u8 = 1;

/// The four kinds of message, by their numbers.
const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A message. A text that is empty, or a number that is 0, is not in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    kind: u8,
    pub(super) flags: u8,
    pub(super) serial: u32,
    path: String,
    interface: String,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) reply_to: u32,
    destination: String,
    pub(super) sender: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    fn of(kind: u8, member: &str) -> Message {
        Message {
            kind,
            path: OBJECT.into(),
            interface: INTERFACE.into(),
            member: member.into(),
            ..Message::default()
        }
    }

    /// A call of the board's method.
    pub(super) fn call(method: &str) -> Message {
        Message::of(CALL, method)
    }

    /// A signal of the board's.
    pub(super) fn signal(name: &str) -> Message {
        Message::of(SIGNAL, name)
    }

    /// A call of a method of the bus itself.
    pub(super) fn to_bus(method: &str) -> Message {
        let path = "/org/freedesktop/DBus".into();
        Message { path, interface: BUS.into(), ..Message::call(method) }.to(BUS)
    }

    /// The reply to this call, without a body yet.
    pub(super) fn reply(&self) -> Message {
        let (kind, reply_to) = (REPLY, self.serial);
        Message { kind, reply_to, ..Message::default() }.to(&self.sender)
    }

    /// The error that answers this call.
    pub(super) fn refuse(&self, error: &str) -> Message {
        Message { kind: ERROR, error: error.into(), ..self.reply() }
    }

    pub(super) fn to(mut self, destination: &str) -> Message {
        self.destination = destination.into();
        self
    }

    /// Claims to be sent by this name.
    pub(super) fn from(mut self, sender: &str) -> Message {
        self.sender = sender.into();
        self
    }

    /// The same of another method.
    pub(super) fn member(mut self, member: &str) -> Message {
        self.member = member.into();
        self
    }

    pub(super) fn interface(mut self, interface: &str) -> Message {
        self.interface = interface.into();
        self
    }

    pub(super) fn flags(mut self, flags: u8) -> Message {
        self.flags = flags;
        self
    }

    /// Adds a string to the body.
    pub(super) fn text(mut self, text: &str) -> Message {
        self.signature.push('s');
        put_text(&mut self.body, text);
        self
    }

    /// Adds an unsigned number of 32 bits to the body.
    pub(super) fn number(mut self, number: u32) -> Message {
        self.signature.push('u');
        put_number(&mut self.body, number);
        self
    }

    /// Adds an array of no strings to the body: nothing but its length.
    pub(super) fn no_texts(mut self) -> Message {
        self.signature.push_str("as");
        put_number(&mut self.body, 0);
        self
    }

    pub(super) fn is_reply(&self) -> bool {
        matches!(self.kind, REPLY | ERROR)
    }

    pub(super) fn is_signal(&self) -> bool {
        self.kind == SIGNAL
    }

    /// What is in the body, if only strings and numbers are.
    pub(super) fn values(&self) -> Vec<String> {
        let mut at = 0;
        let value = |kind| match kind {
            's' => take_text(&self.body, &mut at),
            _ => take_number(&self.body, &mut at).map(|number| number.to_string()),
        };
        self.signature.chars().map_while(value).collect()
    }

    /// What is in the body, as the report shows it.
    pub(super) fn arguments(&self) -> String {
        if self.signature.contains('a') {
            return "…".to_owned();
        }
        let show = |(kind, value): (char, String)| match (kind, value.len()) {
            ('s', 0..=80) => format!("{value:?}"),
            ('s', length) => format!("{length} bytes"),
            _ => value,
        };
        let values: Vec<_> =
            self.signature.chars().zip(self.values()).map(show).collect();
        values.join(", ")
    }

    /// The first value, or nothing.
    pub(super) fn first(&self) -> String {
        self.values().into_iter().next().unwrap_or_default()
    }

    /// As it goes on the wire: a fixed part, the fields that it has, and the body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        for (code, kind, text) in [
            (1, b'o', &self.path),
            (2, b's', &self.interface),
            (3, b's', &self.member),
            (4, b's', &self.error),
            (6, b's', &self.destination),
            (7, b's', &self.sender),
            (8, b'g', &self.signature),
        ] {
            if text.is_empty() {
                continue;
            }
            pad(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            if kind == b'g' {
                fields.push(text.len() as u8);
                fields.extend(text.as_bytes());
                fields.push(0);
            } else {
                put_text(&mut fields, text);
            }
        }
        if self.reply_to > 0 {
            pad(&mut fields, 8);
            fields.extend([5, 1, b'u', 0]);
            put_number(&mut fields, self.reply_to);
        }
        let mut all = vec![b'l', self.kind, self.flags, 1];
        for number in [self.body.len() as u32, self.serial, fields.len() as u32] {
            put_number(&mut all, number);
        }
        all.extend(fields);
        pad(&mut all, 8);
        all.extend(&self.body);
        all
    }

    /// How many bytes follow the fixed part: the fields, and the body.
    ///
    /// # Errors
    /// Another byte order than the one that the runs use.
    pub(super) fn rest(fixed: &[u8; 16]) -> Result<(usize, usize)> {
        ensure!(fixed[0] == b'l', "a message in another byte order");
        let number = |mut at| take_number(fixed, &mut at).unwrap_or(0) as usize;
        Ok((number(12).next_multiple_of(8), number(4)))
    }

    /// From its bytes.
    ///
    /// # Errors
    /// Fields that are not as the format has them.
    pub(super) fn of_bytes(
        fixed: &[u8; 16],
        fields: &[u8],
        body: Vec<u8>,
    ) -> Result<Message> {
        let number = |mut at| take_number(fixed, &mut at).unwrap_or(0);
        let (kind, flags, serial) = (fixed[1], fixed[2], number(8));
        let mut message =
            Message { kind, flags, serial, body, ..Message::default() };
        let (end, mut at) = (number(12) as usize, 0);
        while at < end {
            at = at.next_multiple_of(8);
            let head = fields.get(at..at + 4).context("a field that is cut")?;
            let (code, kind) = (head[0], head[2]);
            at += 4;
            let mut text = || match kind {
                b'g' => {
                    let from = at + 1;
                    let until = from + usize::from(*fields.get(at)?);
                    at = until + 1;
                    text_of(fields.get(from..until)?)
                }
                b'u' => Some(take_number(fields, &mut at)?.to_string()),
                _ => take_text(fields, &mut at),
            };
            let value = text().context("a field that is cut")?;
            match code {
                1 => message.path = value,
                2 => message.interface = value,
                3 => message.member = value,
                4 => message.error = value,
                5 => message.reply_to = value.parse()?,
                6 => message.destination = value,
                7 => message.sender = value,
                8 => message.signature = value,
                _ => {}
            }
        }
        Ok(message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.arguments();
        match self.kind {
            CALL => write!(f, "call {}: {}({values})", self.serial, self.member),
            REPLY => write!(f, "reply to {}: ({values})", self.reply_to),
            ERROR => write!(f, "error to {}: {}", self.reply_to, self.error),
            _ => write!(f, "signal {}({values})", self.member),
        }
    }
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_number(bytes: &mut Vec<u8>, number: u32) {
    pad(bytes, 4);
    bytes.extend(number.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u32);
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn take_number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let from = at.next_multiple_of(4);
    let four = bytes.get(from..from + 4)?.try_into().ok()?;
    *at = from + 4;
    Some(u32::from_le_bytes(four))
}

fn take_text(bytes: &[u8], at: &mut usize) -> Option<String> {
    let length = take_number(bytes, at)? as usize;
    let text = text_of(bytes.get(*at..at.checked_add(length)?)?)?;
    *at += length + 1;
    Some(text)
}

fn text_of(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
