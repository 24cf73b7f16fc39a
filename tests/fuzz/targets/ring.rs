//! A ring whose memory another process has filled, and goes on changing: nothing but an
//! error comes of it, and no message that is longer than the ring.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::fuzz::Input;
use crate::ring::flow::{Reader, Writer};
use crate::ring::wait::Waiting;
use crate::ring::{DATA, Ring};
use os::shared::{Shared, mmap};

const STATE: usize = 64;
const HEAD: usize = 128;
const TAIL: usize = 256;

/// Which end, the memory's length, what it holds, then what is changed between the steps.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (end, length) = (input.u8(), usize::from(input.u16() % 5000));
    let file = file(length.max(1));
    let theirs = mmap(&file, length.max(1)).expect("mmap");
    let mut header = input.bytes(DATA.min(length)).to_vec();
    if end & 2 != 0 && header.len() == DATA {
        // A header that is right but for its numbers: otherwise few would come so far.
        header[..20].copy_from_slice(b"ipc-ring\x01\0\0\0\x80\x01\0\0\x40\0\0\0");
        header[20..24].fill(0);
        let capacity = 64 << (end >> 2 & 7);
        header[16..20].copy_from_slice(&u32::to_le_bytes(capacity));
    }
    theirs.write(0, &header);
    let count = usize::from(input.u16());
    let data = input.bytes(count.min(length.saturating_sub(DATA)));
    if length >= DATA {
        theirs.write(DATA, data);
    }
    let ours = mmap(&file, length.max(1)).expect("mmap");
    let Ok(ring) = Ring::over(ours) else { return };
    let capacity = ring.capacity() as usize;
    assert!(DATA + capacity <= length);
    let _ = (ring.unread(), ring.sender(), ring.receiver(), ring.is_done());
    let side = if end & 1 == 0 { read } else { write };
    side(ring, &theirs, &mut input);
}

fn read(ring: Ring, theirs: &Shared, input: &mut Input<'_>) {
    let capacity = ring.capacity() as usize;
    let Ok(mut reader) = Reader::of(ring, Waiting::Sleeping) else { return };
    let mut message = Vec::new();
    for _ in 0..64 {
        change(theirs, input);
        // Or it would wait for more, as it should.
        let state = theirs.u32(STATE);
        if state.load(Ordering::Relaxed) == 0 {
            state.store(1, Ordering::Relaxed);
        }
        match reader.recv(&mut message) {
            Ok(true) => assert!(message.len() <= capacity - 4),
            Ok(false) | Err(_) => return,
        }
    }
}

fn write(ring: Ring, theirs: &Shared, input: &mut Input<'_>) {
    let capacity = ring.capacity();
    let mut head = theirs.u64(HEAD).load(Ordering::Relaxed);
    let Ok(mut writer) = Writer::of(ring, Waiting::Sleeping) else { return };
    assert_eq!(writer.largest() as u64, capacity - 4);
    for _ in 0..64 {
        change(theirs, input);
        let message = vec![7; usize::from(input.u16()) % (capacity as usize + 8)];
        let need = message.len() as u64 + 4;
        let used = head.wrapping_sub(theirs.u64(TAIL).load(Ordering::Relaxed));
        if used <= capacity && need <= capacity && capacity - used < need {
            return; // it would wait for room, as it should
        }
        if writer.send(&message).is_err() {
            return;
        }
        head = head.wrapping_add(need);
        assert_eq!(theirs.u64(HEAD).load(Ordering::Relaxed), head);
    }
}

/// Overwrites a few bytes, the data's or the header's.
fn change(theirs: &Shared, input: &mut Input<'_>) {
    let at = usize::from(input.u16()) % theirs.length();
    let count = usize::from(input.u8() % 16).min(theirs.length() - at);
    let bytes = input.bytes(count);
    theirs.write(at, bytes);
}

fn file(length: usize) -> OwnedFd {
    let file = memfd_create("ring", MFdFlags::MFD_CLOEXEC).expect("memfd_create");
    nix::unistd::ftruncate(&file, length as i64).expect("ftruncate");
    file
}
