//! Another program's half of D-Bus: the handshake on both sides, and messages.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use zbus::Structure;
use zbus::connection::socket::{ReadHalf, Socket};

use super::{MessageSocket, handshake, wording};
use crate::dbus::runtime::Runtime;
use crate::dbus::values;
use crate::fuzz::Input;

/// So long a message may be here.
const LONGEST: usize = 1 << 16;

/// For who keeps silent; here the end of the stream follows at once.
const PATIENCE: Duration = Duration::from_secs(60);

fn said(bytes: &[u8]) -> (UnixStream, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
    theirs.write_all(bytes).expect("it has room");
    theirs.shutdown(Shutdown::Write).expect("shutdown");
    (ours, theirs)
}

/// Which side we are, then what the other one says.
pub(crate) fn handshake(input: &[u8]) {
    let mut input = Input(input);
    let server = input.u8() & 1 == 0;
    let bytes = input.rest();
    let (mut ours, _theirs) = said(bytes);
    let left = if server {
        if handshake::welcome(&ours, &"1".repeat(32), PATIENCE, "client").is_err() {
            return;
        }
        let begin = b"BEGIN\r\n";
        let at = bytes.windows(begin.len()).rposition(|part| part == begin);
        let before = &bytes[..at.expect("it began")];
        let text = String::from_utf8_lossy(before).into_owned();
        assert!(text.starts_with('\0') && text.contains("EXTERNAL"), "{text:?}");
        at.map(|at| at + begin.len())
    } else {
        let Ok(guid) = handshake::introduce(&ours, PATIENCE) else { return };
        assert!(bytes.starts_with(format!("OK {guid}\r\n").as_bytes()));
        Some(guid.len() + 5)
    };
    let mut rest = Vec::new();
    ours.read_to_end(&mut rest).expect("the rest");
    // There may be more than one BEGIN: then the first counted.
    assert!(
        rest.len() >= bytes.len() - left.unwrap_or(0),
        "a byte too many was taken"
    );
    assert!(bytes.ends_with(&rest));
}

/// Messages, one after the other.
pub(crate) fn messages(input: &[u8]) {
    let (ours, _theirs) = said(input);
    let wire = MessageSocket::new(ours, LONGEST, PATIENCE, "").expect("a thread");
    let inbox = wire.inbox();
    let (mut receiver, _sender) = wire.split().take();
    let (mut bytes, mut fds) = (Vec::new(), Vec::new());
    for number in 0..64 {
        let received = receiver.receive_message(number, &mut bytes, &mut fds);
        let Ok(message) = Runtime::new().block_on(received) else { return };
        // Nobody answers here, and the end is only told once all is answered.
        inbox.state().unanswered = 0;
        assert!(message.data().len() <= LONGEST);
        let shown = wording::of(&message);
        assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
        if let Ok(body) = message.body().deserialize::<Structure<'_>>() {
            let _ = (values::lines(&body), values::row(&body));
        }
    }
}
