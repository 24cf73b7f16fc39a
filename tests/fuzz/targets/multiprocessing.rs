//! A peer that speaks the wire of Python's multiprocessing, or says it does: without the
//! key nobody is let in, and with it only who keeps to the protocol.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::frame::{Frame, LONGEST, framed};
use super::key::AuthKey;
use super::key_handshake::{Rules, Side};
use super::peer_handshake::PeerHandshake;
use super::pid::{pickled, unpickled};
use crate::fuzz::Input;

/// Who we are, whether there is a key, whether we are answered with what we sent, then what
/// the peer sends, in parts.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.u8();
    let side = if kind & 1 == 0 { Side::Listener } else { Side::Client };
    let rules = Rules {
        key: AuthKey::of("a key that no input has"),
        only_sha256: kind & 4 != 0,
    };
    let rules = (kind & 2 == 0).then_some(&rules);
    let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
    let patience = Duration::from_secs(60);
    let mut handshake =
        PeerHandshake::begin(&ours, side, "the peer", rules, patience)
            .expect("it is begun");
    let mut sent = Vec::new();
    let mut done = false;
    while input.has_more() && !done {
        let part = usize::from(input.u8());
        if kind & 8 != 0 && part == 0 {
            reflect(&theirs, &mut sent);
        }
        let part = input.bytes(part);
        sent.extend_from_slice(part);
        theirs.write_all(part).expect("it has room");
        match handshake.advance(&ours) {
            Ok(known) => done = known,
            Err(_) => return,
        }
    }
    theirs.shutdown(Shutdown::Write).expect("shutdown");
    while !done && handshake.advance(&ours).is_ok_and(|known| !known) {}
    match (rules, side) {
        (Some(_), _) => assert!(!done, "let in without the key"),
        (None, Side::Listener) => assert!(!done || names_a_pid(&sent)),
        (None, Side::Client) => {}
    }
}

/// Sends back all that we were sent.
fn reflect(theirs: &UnixStream, sent: &mut Vec<u8>) {
    theirs.set_nonblocking(true).expect("fcntl");
    let mut frame = Frame::default();
    while let Ok(Some(payload)) = frame.read(theirs) {
        let whole = framed(&payload);
        sent.extend_from_slice(&whole);
        let mut to = theirs;
        if to.write_all(&whole).is_err() {
            break;
        }
    }
    theirs.set_nonblocking(false).expect("fcntl");
}

fn names_a_pid(sent: &[u8]) -> bool {
    let start = if sent.starts_with(&[0xff; 4]) { 12 } else { 4 };
    let payload = &sent[start..];
    assert!(payload.len() >= 4);
    (0..=payload.len().min(LONGEST)).any(|end| {
        unpickled(&payload[..end]).is_some_and(|pid| {
            assert_eq!(unpickled(&pickled(pid)[4..]), Some(pid));
            pid > 0
        })
    })
}
