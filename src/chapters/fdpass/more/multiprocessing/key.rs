//! The key that both sides know, and what it proves.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::Md5;
use nix::errno::Errno;
use nix::unistd::geteuid;
use sha2::Sha256;

use wire::errors::{Advise, errno};

/// The hash within the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha256,
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hash::Md5 => "HMAC-MD5",
            Hash::Sha256 => "HMAC-SHA256",
        })
    }
}

/// How a key is made.
const MAKE: &str = "printf %s SECRET > FILE && chmod 600 FILE makes one";

/// The bytes of a key file. It is never printed, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super::super) struct AuthKey(Vec<u8>);

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey(..)")
    }
}

// ANCHOR: key
impl AuthKey {
    /// The longest key, in bytes. A file that is longer is hardly meant to be one.
    const LONGEST: u64 = 4096;

    /// Reads the key: every byte of the file, also a newline at its end.
    ///
    /// # Errors
    /// When other users may know the key: a link, another user's file, open to others, empty.
    pub(in super::super::super) fn read(path: &Path) -> Result<AuthKey> {
        let name = path.display();
        // NONBLOCK: to open a FIFO would sleep. The open file itself is checked.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path);
        let file = match opened {
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                bail!("{name} is a link; name the key file itself")
            }
            opened => {
                opened.with_context(|| format!("open {name}")).advise(why_not)?
            }
        };
        let about = file.metadata().with_context(|| format!("fstat {name}"))?;
        ensure!(about.is_file(), "{name} is no regular file, so no key; {MAKE}");
        let (owner, ours) = (about.uid(), geteuid().as_raw());
        ensure!(
            owner == ours,
            "{name} is uid {owner}'s, and we are uid {ours}: the owner of a key knows it; \
             use a file of your own, with chmod 600"
        );
        let mode = about.mode() & 0o7777;
        ensure!(
            mode & 0o077 == 0,
            "{name} has mode {mode:04o}: others may read or write it; chmod 600 {name}"
        );
        ensure!(about.len() > 0, "{name} is empty, so no key; {MAKE}");
        let mut key = Vec::new();
        let read = file.take(AuthKey::LONGEST + 1).read_to_end(&mut key);
        read.with_context(|| format!("read {name}"))?;
        ensure!(
            key.len() as u64 <= AuthKey::LONGEST,
            "{name} has more than {} bytes, the most that a key may have",
            AuthKey::LONGEST
        );
        Ok(AuthKey(key))
    }

    /// The proof for `challenge` that we know the key.
    pub(super) fn prove(&self, hash: Hash, challenge: &[u8]) -> Vec<u8> {
        match hash {
            Hash::Md5 => self.mac::<Md5>(challenge).finalize().into_bytes().to_vec(),
            Hash::Sha256 => {
                self.mac::<Sha256>(challenge).finalize().into_bytes().to_vec()
            }
        }
    }

    /// Whether `proof` is right; a constant-time comparison, so that a stranger cannot measure
    /// how much of it is right.
    pub(super) fn verify(&self, hash: Hash, challenge: &[u8], proof: &[u8]) -> bool {
        match hash {
            Hash::Md5 => self.mac::<Md5>(challenge).verify_slice(proof).is_ok(),
            Hash::Sha256 => {
                self.mac::<Sha256>(challenge).verify_slice(proof).is_ok()
            }
        }
    }

    fn mac<D: EagerHash>(&self, challenge: &[u8]) -> Hmac<D>
    where
        Hmac<D>: KeyInit + Mac,
    {
        let mac = <Hmac<D> as KeyInit>::new_from_slice(&self.0);
        mac.expect("a key of any length").chain_update(challenge)
    }
}
// ANCHOR_END: key

fn why_not(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::ENOENT => Some(MAKE),
        Errno::EACCES => Some("a key is a file of your own, with chmod 600"),
        _ => None,
    }
}

#[cfg(any(test, fuzzing))]
impl AuthKey {
    /// A key that came from no file.
    pub(super) fn of(text: &str) -> AuthKey {
        AuthKey(text.into())
    }
}
