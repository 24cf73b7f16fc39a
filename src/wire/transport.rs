//! The shape of a one-way link. Each chapter fills it with its own system calls.

use anyhow::Result;

use super::meet::Rendezvous;

/// How much one read of standard input asks for, in bytes: as much as cat(1), twice what
/// a pipe holds, so that a write of it is not over before its reader wakes.
pub const BLOCK: usize = 128 * 1024;

/// The sending end of a one-way link.
pub trait Sender: Sized {
    /// The options that this end has beyond the common ones.
    type Options: clap::Args;

    /// Refuses a message that could never travel, before anything is opened: for
    /// example one that holds a newline, where newlines end messages.
    ///
    /// # Errors
    /// Why not, and what would carry it.
    fn check(_options: &Self::Options, _message: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Opens the sending end of the link that meets at `rendezvous`.
    ///
    /// # Errors
    /// As the system call, with the object's name and the way out.
    fn open(rendezvous: &Rendezvous, options: &Self::Options) -> Result<Self>;

    /// Whether `open` sends all that the options ask for, so that there are no messages to
    /// read: for example plain signals, which carry nothing but a number.
    fn is_done(_options: &Self::Options) -> bool {
        false
    }

    /// The largest message, in bytes, that this link carries.
    fn largest(&self) -> usize;

    /// Where the limit of [`Sender::largest`] comes from, and how to raise it.
    fn limit(&self) -> Option<String> {
        None
    }

    /// How many bytes of a stream are best sent as one message (`--bytes`).
    fn block(&self) -> usize {
        BLOCK
    }

    /// Sends one whole message; waits while the link is full.
    ///
    /// # Errors
    /// EPIPE and the like when the receiver is gone.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Says that nothing more will come, where the kernel does not say it for us.
    /// Called on every path after `open`, also when a message was refused.
    ///
    /// # Errors
    /// As `send`.
    fn finish(self) -> Result<()> {
        Ok(())
    }

    /// Called in place of [`Sender::finish`] when an argument was refused, so that nothing
    /// was sent at all.
    ///
    /// # Errors
    /// As `send`.
    fn abandon(self) -> Result<()> {
        self.finish()
    }
}

/// The receiving end of a one-way link.
pub trait Receiver: Sized {
    /// The options that this end has beyond the common ones.
    type Options: clap::Args;

    /// Opens the receiving end of the link that meets at `rendezvous`.
    ///
    /// # Errors
    /// As the system call, with the object's name and the way out.
    fn open(rendezvous: &Rendezvous, options: &Self::Options) -> Result<Self>;

    /// Replaces `message` by the next one; `false` once the sender is done and all that
    /// it sent has arrived.
    ///
    /// # Errors
    /// A frame that is cut short or too long, a sender that died where the kernel cannot report
    /// it by itself.
    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool>;

    /// Moves all that comes to standard output by itself, if the options ask for that; then it
    /// is `true`, and there is nothing left to receive. `unseen` says that messages need not be
    /// counted or told apart.
    ///
    /// # Errors
    /// When it cannot be moved, or not unseen.
    fn moved_on(&mut self, _unseen: bool) -> Result<bool> {
        Ok(false)
    }
}
