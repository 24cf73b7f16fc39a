//! A question over TCP, and its answer: socket(2), connect(2), send(2), recv(2).
//!
//! Wire: the question, which the server knows the end of; then a line, the answer.

use std::io::{Error, ErrorKind, Read, Result, Write, stdin, stdout};
use std::net::{SocketAddr, TcpStream};
//[
use std::time::Instant;
//]
use std::time::Duration;

//[
/// What is left until the deadline: so long the next call may take.
fn left(deadline: Instant) -> Result<Option<Duration>> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(Error::new(ErrorKind::TimedOut, "the time is over")),
        false => Ok(Some(left)),
    }
}

//]
fn client(address: SocketAddr, limit: Duration) -> Result<()> {
    //[
    let deadline = Instant::now() + limit;
    //]
    //| let _ = limit; // nothing asks how long it takes
    let mut question = Vec::new();
    stdin().read_to_end(&mut question)?;
    //[
    let patience = left(deadline)?.unwrap_or_default();
    let mut sock = TcpStream::connect_timeout(&address, patience)?; // sleeps until the host answers
    //]
    //| let mut sock = TcpStream::connect(address)?; // sleeps until the host answers
    let mut rest = &question[..];
    while !rest.is_empty() {
        //[
        sock.set_write_timeout(left(deadline)?)?;
        //]
        let sent = sock.write(rest)?; // sleeps while the socket is full
        rest = &rest[sent..];
    }
    let (mut answer, mut data) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"\n") {
        //[
        sock.set_read_timeout(left(deadline)?)?;
        //]
        let n = sock.read(&mut data)?; // sleeps until data comes
        if n == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the server has left"));
        }
        answer.extend(&data[..n]);
    }
    stdout().write_all(&answer)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, limit] if role == "client" => {
            client(place.parse()?, Duration::from_millis(limit.parse()?))?
        }
        _ => {
            eprintln!("usage: silent client PLACE MILLISECONDS");
            std::process::exit(2)
        }
    }
    Ok(())
}
