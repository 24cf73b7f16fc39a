//! A reader of D-Bus messages by hand: connect(2), read(2).

//[
use std::io::{Read, copy, sink};
use std::os::unix::net::UnixStream;
//]

fn reader(place: &str) -> Result<(), Box<dyn std::error::Error>> {
    //[
    let mut peer = UnixStream::connect(place)?;
    let mut head = [0; 16];
    while peer.read(&mut head[..1])? > 0 {
        // read_exact reads again while bytes are missing; UnexpectedEof: within a message.
        peer.read_exact(&mut head[1..])?;
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            match head[0] {
                b'B' => u32::from_be_bytes(bytes),
                _ => u32::from_le_bytes(bytes),
            }
        };
        let (body, serial, fields) = (number(4), number(8), number(12));
        let rest = u64::from(fields).next_multiple_of(8) + u64::from(body);
        if copy(&mut (&peer).take(rest), &mut sink())? < rest {
            return Err("the peer has closed within a message".into());
        }
        println!("{} {serial} {}", head[1], 16 + rest);
    }
    Ok(())
    //]
    //| // Connect to `place`, and print a line for each message.
    //| Err(format!("reader {place}: not written yet").into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "reader" => reader(place),
        _ => {
            eprintln!("usage: reader PLACE");
            std::process::exit(2)
        }
    }
}
