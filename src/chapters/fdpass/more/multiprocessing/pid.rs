//! A worker's pid, as a pickle: what Python's `Connection.send` makes of it. A pickle is a
//! small program, and a stranger's is not run here.

use super::frame::framed;

// ANCHOR: pid
/// `pid` as Python's `Connection.send(os.getpid())` sends it: a frame with a pickle of
/// protocol 4 in it.
pub(super) fn pickled(pid: i32) -> Vec<u8> {
    let [a, b, c, d] = pid.to_le_bytes();
    let value: &[u8] = match pid {
        0..=0xff => &[b'K', a],
        0x100..=0xffff => &[b'M', a, b],
        _ => &[b'J', a, b, c, d],
    };
    let mut pickle = vec![0x80, 4];
    let body = [value, b"."].concat();
    // A body of less than four bytes goes without the length before it.
    if body.len() >= 4 {
        pickle.push(0x95);
        pickle.extend((body.len() as u64).to_le_bytes());
    }
    pickle.extend(body);
    framed(&pickle)
}

/// The pid in a pickle: of protocol 2 to 5, and of one small integer. Nothing else that a pickle
/// can ask for is done.
pub(super) fn unpickled(pickle: &[u8]) -> Option<i32> {
    let [0x80, 2..=5, body @ ..] = pickle else { return None };
    let body = match body {
        [0x95, rest @ ..] => {
            let (length, body) = rest.split_first_chunk::<8>()?;
            (u64::from_le_bytes(*length) == body.len() as u64).then_some(body)?
        }
        body => body,
    };
    let pid = match *body {
        [b'K', a, b'.'] => i32::from(a),
        [b'M', a, b, b'.'] => i32::from(u16::from_le_bytes([a, b])),
        [b'J', a, b, c, d, b'.'] => i32::from_le_bytes([a, b, c, d]),
        _ => return None,
    };
    (pid > 0).then_some(pid)
}
// ANCHOR_END: pid

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_pickled_as_python_does() {
        for (pid, pickle) in [
            (5, &b"\x80\x04K\x05."[..]),
            (300, b"\x80\x04\x95\x04\0\0\0\0\0\0\0M,\x01."),
            (70_000, b"\x80\x04\x95\x06\0\0\0\0\0\0\0Jp\x11\x01\0."),
        ] {
            assert_eq!(pickled(pid), framed(pickle));
            assert_eq!(unpickled(pickle), Some(pid));
            let newer = [&[0x80, 5], &pickle[2..]].concat();
            assert_eq!(unpickled(&newer), Some(pid));
            for end in 0..pickle.len() {
                assert_eq!(unpickled(&pickle[..end]), None);
            }
        }
        for wrong in
            [&b"\x80\x06K\x05."[..], b"\x80\x04K\0.", b"\x80\x04J\xff\xff\xff\xff."]
        {
            assert_eq!(unpickled(wrong), None);
        }
    }
}
