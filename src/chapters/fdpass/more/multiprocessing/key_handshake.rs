//! The proof of the key, as in Python's multiprocessing: each side lets the other prove that
//! it knows the key, and the key itself is never sent.
//!
//! It has no socket: a frame that was received goes in, a frame to send comes out. So a
//! server can have many of them under way, and waits in none.

use anyhow::{Result, anyhow, bail, ensure};

use super::frame::framed;
use super::key::{AuthKey, Hash};
use wire::say;

#[cfg(test)]
mod tests;

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";

/// Before a challenge or a proof: which hash is meant (Python 3.12 and newer).
const SHA256: &[u8] = b"{sha256}";
const MD5: &[u8] = b"{md5}";

/// A challenge of exactly so many bytes is Python's up to 3.11, which knows MD5 alone.
const OLD_CHALLENGE: usize = 20;

/// Our challenge: `{sha256}` and 40 random bytes. Python up to 3.11 takes all of it for
/// random, and proves by MD5.
type Challenge = [u8; SHA256.len() + 40];

/// What a peer must prove.
#[derive(Debug, Clone)]
pub(in super::super::super) struct Rules {
    pub(in super::super::super) key: AuthKey,
    /// A peer that proves, or wants us to prove, by MD5 is refused.
    pub(in super::super::super) only_sha256: bool,
}

/// Which side we are: the listener challenges first, and then answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Listener,
    Client,
}

// ANCHOR: key_handshake
/// A proof of the key that is under way.
#[derive(Debug)]
pub(super) struct KeyHandshake {
    rules: Rules,
    side: Side,
    /// What the commentary calls the peer.
    peer: String,
    awaits: Awaits,
}

/// What the peer's next frame must be.
#[derive(Debug)]
enum Awaits {
    Challenge,
    /// Whether the peer accepts our proof.
    Verdict,
    /// The peer's proof, for this challenge.
    Proof(Challenge),
    Nothing,
}

impl KeyHandshake {
    /// The beginning, and what we send first.
    pub(super) fn begin(
        rules: &Rules,
        side: Side,
        peer: &str,
    ) -> Result<(KeyHandshake, Vec<u8>)> {
        let (rules, peer) = (rules.clone(), peer.to_owned());
        let mut new = KeyHandshake { rules, side, peer, awaits: Awaits::Challenge };
        let first = match side {
            Side::Listener => new.challenge()?,
            Side::Client => Vec::new(),
        };
        Ok((new, first))
    }

    /// Takes the peer's next frame, and puts what we send next into `reply`. Returns
    /// whether both have proved that they know the key.
    ///
    /// # Errors
    /// A peer that is refused; the peer learns it if `reply` is still sent.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        reply: &mut Vec<u8>,
    ) -> Result<bool> {
        match std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            Awaits::Challenge => {
                let challenge = frame.strip_prefix(CHALLENGE);
                let challenge = challenge
                    .ok_or_else(|| anyhow!("it sent no challenge; has it a key?"))?;
                *reply = framed(&self.prove(challenge)?);
                self.awaits = Awaits::Verdict;
                Ok(false)
            }
            Awaits::Verdict => {
                ensure!(
                    frame == WELCOME,
                    "it did not accept our proof; both sides need the same key"
                );
                if self.side == Side::Listener {
                    return Ok(true);
                }
                *reply = self.challenge()?;
                Ok(false)
            }
            Awaits::Proof(challenge) => {
                if let Err(error) = self.check(&challenge, frame) {
                    *reply = framed(FAILURE);
                    return Err(error);
                }
                *reply = framed(WELCOME);
                if self.side == Side::Client {
                    return Ok(true);
                }
                self.awaits = Awaits::Challenge;
                Ok(false)
            }
            Awaits::Nothing => bail!("it goes on after the handshake was over"),
        }
    }

    fn challenge(&mut self) -> Result<Vec<u8>> {
        let mut challenge: Challenge = [0; _];
        let (name, random) = challenge.split_at_mut(SHA256.len());
        name.copy_from_slice(SHA256);
        getrandom::fill(random).map_err(|error| anyhow!("getrandom: {error}"))?;
        let peer = &self.peer;
        say!("{peer} is challenged: {{sha256}} and 40 random bytes");
        self.awaits = Awaits::Proof(challenge);
        Ok(framed(&[CHALLENGE, &challenge].concat()))
    }

    /// Proves that we know the key, in the form that the challenge asks for.
    fn prove(&self, challenge: &[u8]) -> Result<Vec<u8>> {
        let (hash, name) = match challenge {
            _ if challenge.len() < OLD_CHALLENGE => {
                bail!("its challenge is too short: {} bytes", challenge.len())
            }
            _ if challenge.len() == OLD_CHALLENGE => (Hash::Md5, &b""[..]),
            _ if challenge.starts_with(SHA256) => (Hash::Sha256, SHA256),
            _ if challenge.starts_with(MD5) => (Hash::Md5, MD5),
            _ => bail!("its challenge names neither {{sha256}} nor {{md5}}"),
        };
        self.allow(hash)?;
        say!("{} challenges us: we prove by {hash} that we know the key", self.peer);
        Ok([name, &self.rules.key.prove(hash, challenge)].concat())
    }

    /// Whether the peer's proof, of either form, is right.
    fn check(&self, challenge: &Challenge, proof: &[u8]) -> Result<()> {
        let (hash, mac) = if let Some(mac) = proof.strip_prefix(SHA256) {
            (Hash::Sha256, mac)
        } else {
            (Hash::Md5, proof.strip_prefix(MD5).unwrap_or(proof))
        };
        // First of all: only a peer that knows the key is told what else is wrong.
        ensure!(
            self.rules.key.verify(hash, challenge, mac),
            "wrong key: what it answered to our challenge proves nothing"
        );
        self.allow(hash)?;
        let old = match hash {
            Hash::Md5 => ", as Python does up to 3.11; --require-sha256 refuses it",
            Hash::Sha256 => "",
        };
        say!("{} has proved by {hash} that it knows the key{old}", self.peer);
        Ok(())
    }

    fn allow(&self, hash: Hash) -> Result<()> {
        ensure!(
            hash == Hash::Sha256 || !self.rules.only_sha256,
            "it authenticates by {hash}, as Python does up to 3.11, and \
             --require-sha256 was given"
        );
        Ok(())
    }
}
// ANCHOR_END: key_handshake
