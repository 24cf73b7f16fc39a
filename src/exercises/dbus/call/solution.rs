//! A D-Bus call by hand: connect(2), write(2).

use std::error::Error;
use std::io::Write;
use std::os::unix::net::UnixStream;

//[
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
}

//]
fn message(member: &str, text: &str) -> Vec<u8> {
    //[
    let mut fields = Vec::new(); // they begin at byte 16: a multiple of 8 here is one there
    for (code, mark, value) in
        [(1, b'o', "/org/ipclab/Board"), (2, b's', "org.ipclab.Board1"), (3, b's', member)]
    {
        pad(&mut fields);
        fields.extend([code, 1, mark, 0]);
        string(&mut fields, value);
    }
    pad(&mut fields);
    fields.extend([8, 1, b'g', 0, 1, b's', 0]);
    let mut body = Vec::new();
    string(&mut body, text);
    let mut bytes = vec![b'l', 1, 0, 1];
    for number in [body.len() as u32, 1, fields.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(fields);
    pad(&mut bytes);
    bytes.extend(body);
    bytes
    //]
    //| eprintln!("a call of {member} with {text:?}: not written yet");
    //| std::process::exit(1)
}

fn caller(place: &str, member: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let mut peer = UnixStream::connect(place)?;
    Ok(peer.write_all(&message(member, text))?) // close(2), by drop
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, member, text] if role == "caller" => caller(place, member, text),
        _ => {
            eprintln!("usage: caller PLACE MEMBER TEXT");
            std::process::exit(2)
        }
    }
}
