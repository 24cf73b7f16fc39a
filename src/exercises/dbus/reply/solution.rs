//! A D-Bus client by hand: connect(2), write(2), read(2).

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

const SERIAL: u32 = 1;

/// Adds a header field; they begin at byte 16: a multiple of 8 here is one there.
fn field(fields: &mut Vec<u8>, code: u8, mark: u8, value: &str) {
    fields.resize(fields.len().next_multiple_of(8), 0);
    fields.extend([code, 1, mark, 0]);
    fields.extend((value.len() as u32).to_le_bytes());
    fields.extend(value.bytes().chain([0]));
}

fn call(text: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    field(&mut fields, 1, b'o', "/org/ipclab/Board");
    field(&mut fields, 2, b's', "org.ipclab.Board1");
    field(&mut fields, 3, b's', "Post");
    fields.resize(fields.len().next_multiple_of(8), 0);
    fields.extend([8, 1, b'g', 0, 1, b's', 0]);
    let mut bytes = vec![b'l', 1, 0, 1];
    for number in [text.len() as u32 + 5, SERIAL, fields.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
    bytes
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Box<dyn Error>> {
    Ok(u32::from_le_bytes(bytes.get(at..at + 4).ok_or("too short")?.try_into()?))
}

/// Receives a message: its head, its header fields and its body.
fn receive(peer: &mut impl Read) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let mut head = vec![0; 16];
    peer.read_exact(&mut head)?; // sleeps until bytes come; UnexpectedEof: the server has closed
    let length = number(&head, 12)? as usize;
    let mut fields = vec![0; length.next_multiple_of(8)];
    peer.read_exact(&mut fields)?;
    fields.truncate(length);
    let mut body = vec![0; number(&head, 4)? as usize];
    peer.read_exact(&mut body)?;
    Ok((head, fields, body))
}

//[
/// The serial that a message answers, and the name of its error, if it has these fields.
fn answers(fields: &[u8]) -> Result<(Option<u32>, String), Box<dyn Error>> {
    let (mut serial, mut name) = (None, String::new());
    let mut at = 0;
    while at < fields.len() {
        let (code, mark) = (fields[at], *fields.get(at + 2).ok_or("too short")?);
        let value = at + 4;
        at = match mark {
            b'u' => value + 4,
            b'g' => value + 1 + usize::from(*fields.get(value).ok_or("too short")?) + 1,
            _ => value + 4 + number(fields, value)? as usize + 1,
        };
        match code {
            4 => {
                let text = fields.get(value + 4..at - 1).ok_or("too short")?;
                name = String::from_utf8_lossy(text).into_owned();
            }
            5 => serial = Some(number(fields, value)?),
            _ => {}
        }
        at = at.next_multiple_of(8);
    }
    Ok((serial, name))
}

//]
fn client(place: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let mut peer = UnixStream::connect(place)?;
    peer.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?; // who we are the kernel tells the server
    let mut peer = BufReader::new(peer);
    for answer in ["DATA", "OK"] {
        let mut line = String::new();
        peer.read_line(&mut line)?;
        if !line.starts_with(answer) {
            return Err(format!("AUTH: {line:?}").into());
        }
    }
    peer.get_mut().write_all(b"BEGIN\r\n")?;
    peer.get_mut().write_all(&call(text))?;
    //[
    loop {
        let (head, fields, body) = receive(&mut peer)?;
        let (serial, name) = answers(&fields)?;
        match head[1] {
            2 if serial == Some(SERIAL) => {
                println!("{}", number(&body, 0)?);
                return Ok(());
            }
            3 if serial == Some(SERIAL) => return Err(name.into()),
            _ => {} // a signal, or the answer to another call
        }
    }
    //]
    //| let (_, _, body) = receive(&mut peer)?;
    //| println!("{}", number(&body, 0)?);
    //| Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, text] if role == "client" => client(place, text),
        _ => {
            eprintln!("usage: client PLACE TEXT");
            std::process::exit(2)
        }
    }
}
