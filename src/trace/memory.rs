//! Reading what a stopped process has in its memory: process_vm_readv(2).

use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use wire::visible;

/// The smallest page there is: a read never crosses one, so that it gets all that is
/// mapped before the first that is not.
const PAGE: usize = 4096;

/// The memory of a stopped thread's process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory(pub(super) Pid);

impl Memory {
    /// As much of the `length` bytes at `address` as can be read.
    pub(super) fn bytes(self, address: u64, length: usize) -> Vec<u8> {
        let (mut bytes, mut have, mut base) = (Vec::new(), 0, address as usize);
        while have < length {
            let len = (PAGE - base % PAGE).min(length - have);
            let from = [RemoteIoVec { base, len }];
            bytes.resize(have + len, 0);
            let into = &mut [IoSliceMut::new(&mut bytes[have..])];
            match process_vm_readv(self.0, into, &from) {
                Ok(n) if n > 0 => (have, base) = (have + n, base.wrapping_add(n)),
                _ => break,
            }
        }
        bytes.truncate(have);
        bytes
    }

    /// All of the `N` bytes at `address`.
    pub(super) fn array<const N: usize>(self, address: u64) -> Option<[u8; N]> {
        if address == 0 {
            return None;
        }
        self.bytes(address, N).try_into().ok()
    }

    /// The 32-bit number at `address`.
    pub(super) fn u32(self, address: u64) -> Option<u32> {
        self.array(address).map(u32::from_ne_bytes)
    }

    /// The 64-bit number at `address`.
    pub(super) fn u64(self, address: u64) -> Option<u64> {
        self.array(address).map(u64::from_ne_bytes)
    }

    /// The text at `address`, to its NUL.
    pub(super) fn text(self, address: u64) -> Option<String> {
        const LONGEST: usize = 4096;
        let mut text = Vec::new();
        while address != 0 && text.len() < LONGEST {
            let next = address.wrapping_add(text.len() as u64);
            let chunk = self.bytes(next, 256.min(PAGE - next as usize % PAGE));
            let end = chunk.iter().position(|byte| *byte == 0);
            text.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
            match end {
                None if !chunk.is_empty() => {}
                None => return None,
                Some(_) => return Some(visible::text(&text)),
            }
        }
        None
    }
}

/// The 32-bit number at `offset` in a struct's bytes.
pub(super) fn i32_at(bytes: &[u8], offset: usize) -> i32 {
    bytes
        .get(offset..offset + 4)
        .map_or(0, |word| i32::from_ne_bytes(word.try_into().unwrap_or_default()))
}

/// The 64-bit number at `offset` in a struct's bytes.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..offset + 8)
        .map_or(0, |word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
}
