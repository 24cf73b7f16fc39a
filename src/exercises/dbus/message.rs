//! D-Bus messages by hand, as the partner writes and reads them: the format of the D-Bus
//! specification, "Message Protocol".

use std::fmt::{self, Display, Formatter};

/// What kinds of messages there are.
pub(crate) const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const SIGNAL: u8 = 4;

/// The codes of header fields.
pub(crate) const PATH: u8 = 1;
pub(crate) const INTERFACE: u8 = 2;
pub(crate) const MEMBER: u8 = 3;
pub(crate) const ERROR_NAME: u8 = 4;
pub(crate) const REPLY_SERIAL: u8 = 5;
pub(crate) const SIGNATURE: u8 = 8;

/// The value of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An object path, a string or a signature.
    Text(char, String),
    /// A number of 32 bits.
    Number(u32),
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(mark, text) => write!(f, "{text:?} of type {mark}"),
            Value::Number(number) => write!(f, "{number} of type u"),
        }
    }
}

/// A message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// With its high bytes first.
    pub(crate) big: bool,
    pub(crate) kind: u8,
    pub(crate) serial: u32,
    pub(crate) fields: Vec<(u8, Value)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// With a header field more.
    pub(crate) fn text(mut self, code: u8, mark: char, text: &str) -> Message {
        self.fields.push((code, Value::Text(mark, text.to_owned())));
        self
    }

    /// With the serial of the call that it answers.
    pub(crate) fn answers(mut self, serial: u32) -> Message {
        self.fields.push((REPLY_SERIAL, Value::Number(serial)));
        self
    }

    /// With a body of this signature.
    pub(crate) fn body(mut self, signature: &str, body: &[u8]) -> Message {
        self.body = body.to_vec();
        self.text(SIGNATURE, 'g', signature)
    }

    fn number(&self, number: u32) -> [u8; 4] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// As it is written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        for (code, value) in &self.fields {
            fields.resize(fields.len().next_multiple_of(8), 0);
            let mark = match value {
                Value::Text(mark, _) => *mark,
                Value::Number(_) => 'u',
            };
            fields.extend([*code, 1, mark as u8, 0]);
            match value {
                Value::Number(number) => fields.extend(self.number(*number)),
                Value::Text('g', text) => {
                    fields.push(text.len() as u8);
                    fields.extend(text.bytes().chain([0]));
                }
                Value::Text(_, text) => {
                    fields.extend(self.number(text.len() as u32));
                    fields.extend(text.bytes().chain([0]));
                }
            }
        }
        let order = if self.big { b'B' } else { b'l' };
        let mut bytes = vec![order, self.kind, 0, 1];
        bytes.extend(self.number(self.body.len() as u32));
        bytes.extend(self.number(self.serial));
        bytes.extend(self.number(fields.len() as u32));
        bytes.extend(fields);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(&self.body);
        bytes
    }

    /// How many bytes the message that begins with these 16 has.
    pub(crate) fn length(head: &[u8; 16]) -> usize {
        let mut reader = Reader { bytes: head, at: 4, big: head[0] == b'B' };
        let mut number = || reader.number("a length").unwrap_or(0) as usize;
        let (body, _, fields) = (number(), number(), number());
        16 + fields.next_multiple_of(8) + body
    }

    /// Reads all of a message; or what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Message, String> {
        let Some(head) = bytes.first_chunk::<16>() else {
            return Err(format!(
                "the message has {} bytes, and a header has 16 at least",
                bytes.len()
            ));
        };
        if !matches!(head[0], b'l' | b'B') {
            return Err("the first byte of the message must be l or B".into());
        }
        if head[3] != 1 {
            return Err(
                "byte 4 of the message must be 1, the protocol's version".into()
            );
        }
        let length = Message::length(head);
        if length != bytes.len() {
            return Err(format!(
                "the message has {} bytes, and its header says that it has {length}",
                bytes.len()
            ));
        }
        let mut reader = Reader { bytes, at: 4, big: head[0] == b'B' };
        let body = reader.number("the body's length")? as usize;
        let serial = reader.number("the serial")?;
        if serial == 0 {
            return Err("the serial of a message must not be 0".into());
        }
        let end = reader.number("the length of the fields")? as usize + 16;
        let mut fields = Vec::new();
        while reader.at < end {
            if reader.at.next_multiple_of(8) >= end {
                return Err(
                    "the length of the fields counts zeros behind the last one"
                        .into(),
                );
            }
            fields.push(reader.field()?);
        }
        if reader.at != end {
            return Err(
                "the last header field ends behind the end of all fields".into()
            );
        }
        reader.align(8)?;
        let body = bytes[bytes.len() - body..].to_vec();
        let big = reader.big;
        Ok(Message { big, kind: head[1], serial, fields, body })
    }

    /// The text of a header field.
    pub(crate) fn field(&self, wanted: u8) -> Option<&Value> {
        let mut fields = self.fields.iter();
        fields.find(|(code, _)| *code == wanted).map(|(_, value)| value)
    }
}

/// A string, as it stands in a body.
pub(crate) fn string(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    length.into_iter().chain(text.bytes()).chain([0]).collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn take(&mut self, count: usize, what: impl Display) -> Result<&[u8], String> {
        let part = self.bytes.get(self.at..self.at.saturating_add(count));
        let part = part.ok_or(format!("the message ends within {what}"))?;
        self.at += count;
        Ok(part)
    }

    fn align(&mut self, to: usize) -> Result<(), String> {
        let from = self.at;
        let padding = from.next_multiple_of(to) - from;
        let padding = self.take(padding, "its padding")?;
        match padding.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(format!(
                "from byte {} on there must be zeros, up to a multiple of {to} bytes",
                from + 1
            )),
        }
    }

    fn number(&mut self, what: &str) -> Result<u32, String> {
        let big = self.big;
        let bytes = self.take(4, what)?.try_into().map_err(|_| what.to_owned())?;
        Ok(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn text(&mut self, length: usize, what: &str) -> Result<String, String> {
        let bytes = self.take(length + 1, what)?;
        match bytes.split_last() {
            Some((0, text)) => String::from_utf8(text.to_vec())
                .map_err(|_| format!("{what} is not UTF-8")),
            _ => Err(format!("behind {what} there must be a byte 0")),
        }
    }

    /// A struct of a code and a variant.
    fn field(&mut self) -> Result<(u8, Value), String> {
        self.align(8)?;
        let code = self.take(1, "a field's code")?[0];
        let what = format!("header field {code}");
        let length = self.take(1, &what)?[0];
        let signature =
            self.text(length.into(), &format!("the signature of {what}"))?;
        let value = match &*signature {
            "u" => Value::Number(self.number(&what)?),
            "g" => {
                let length = self.take(1, &what)?[0];
                Value::Text('g', self.text(length.into(), &what)?)
            }
            "s" | "o" => {
                let length = self.number(&what)? as usize;
                let mark = signature.chars().next().unwrap_or('s');
                Value::Text(mark, self.text(length, &what)?)
            }
            _ => return Err(format!("{what} has the signature {signature:?}")),
        };
        Ok((code, value))
    }
}
