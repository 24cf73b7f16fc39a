//! The frames of Python's Connection.send_bytes: a length, then so many bytes.

use std::os::fd::AsFd;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use rustix::net::{RecvFlags, recv};

use os::calls::nix_errno;

/// The byte that a descriptor travels with after the handshake: how many descriptors there
/// are (send_handle).
pub(in super::super::super) const BYTE: u8 = 1;

/// The longest frame that is taken, in bytes: Python's limit for the handshake.
pub(super) const LONGEST: usize = 256;

// ANCHOR: frame
/// `payload` as it goes on the wire: its length as a big-endian i32, then itself.
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = i32::try_from(payload.len()).expect("a short payload");
    [&length.to_be_bytes(), payload].concat()
}

/// A frame that is being read. Nothing is read beyond it: the next byte may have a
/// descriptor with it, which recv(2) would close without an error.
#[derive(Debug, Default)]
pub(super) struct Frame {
    bytes: Vec<u8>,
}

/// How much of a frame has arrived.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// So many bytes are missing, at least.
    Missing(usize),
    /// The frame is whole, and its payload begins here.
    Whole(usize),
}

impl Frame {
    /// Reads what has arrived; the payload, once it is whole. Never waits.
    ///
    /// # Errors
    /// A length over [`LONGEST`], before a byte of it is read; an end in the middle.
    pub(super) fn read(&mut self, socket: impl AsFd) -> Result<Option<Vec<u8>>> {
        loop {
            let missing = match parse(&self.bytes)? {
                Parsed::Missing(missing) => missing,
                Parsed::Whole(start) => {
                    return Ok(Some(
                        std::mem::take(&mut self.bytes).split_off(start),
                    ));
                }
            };
            let mut room = [0; LONGEST];
            let received = recv(&socket, &mut room[..missing], RecvFlags::DONTWAIT);
            match received.map_err(nix_errno) {
                Ok((0, _)) if self.bytes.is_empty() => {
                    bail!("it has closed its end")
                }
                Ok((0, _)) => {
                    bail!("it has closed its end in the middle of a frame")
                }
                Ok((n, _)) => self.bytes.extend_from_slice(&room[..n]),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("recv"),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Parsed> {
    let Some((short, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(Parsed::Missing(4 - bytes.len()));
    };
    let (start, length) = match (i32::from_be_bytes(*short), rest.first_chunk::<8>())
    {
        // Python sends a frame of more than 0x7fffffff bytes so: -1, then the length as u64.
        (-1, None) => return Ok(Parsed::Missing(12 - bytes.len())),
        (-1, Some(long)) => (12, u64::from_be_bytes(*long)),
        (length, _) => match u64::try_from(length) {
            Ok(length) => (4, length),
            Err(_) => bail!("it sent a frame of length {length}"),
        },
    };
    ensure!(
        length <= LONGEST as u64,
        "it sent a frame of {length} bytes, and {LONGEST} is the most here"
    );
    let end = start + length as usize;
    match end.checked_sub(bytes.len()) {
        None | Some(0) => Ok(Parsed::Whole(start)),
        Some(missing) => Ok(Parsed::Missing(missing)),
    }
}
// ANCHOR_END: frame

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_frame_may_come_byte_by_byte_and_the_next_one_is_left_alone() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut frame = Frame::default();
        for byte in framed(b"hello") {
            assert_eq!(frame.read(&ours).unwrap(), None);
            theirs.write_all(&[byte]).unwrap();
        }
        theirs.write_all(b"next").unwrap();
        assert_eq!(frame.read(&ours).unwrap().unwrap(), b"hello");
        let mut rest = [0; 4];
        ours.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"next");
        theirs.write_all(&framed(b"")).unwrap();
        assert_eq!(frame.read(&ours).unwrap().unwrap(), b"");
        theirs.write_all(&framed(&[7; LONGEST])).unwrap();
        assert_eq!(frame.read(&ours).unwrap().unwrap(), [7; LONGEST]);
    }

    #[test]
    fn what_is_long_negative_or_cut_short_is_refused() {
        let long = |length: u64| [&[0xff; 4][..], &length.to_be_bytes()].concat();
        for (bytes, why) in [
            (257_i32.to_be_bytes().to_vec(), "257 bytes, and 256"),
            (i32::MAX.to_be_bytes().to_vec(), "2147483647 bytes"),
            ((-2_i32).to_be_bytes().to_vec(), "length -2"),
            (long(1 << 32), "4294967296 bytes"),
            (long(u64::MAX), "18446744073709551615 bytes"),
            (long(4), "in the middle"),
            (b"\0\0".to_vec(), "in the middle"),
            (b"\0\0\0\x02x".to_vec(), "in the middle"),
            (Vec::new(), "it has closed its end"),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&bytes).unwrap();
            drop(theirs);
            let error = Frame::default().read(&ours).unwrap_err().to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }
}
