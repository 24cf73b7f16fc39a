//! A role at a terminal.

use wire::errors::usage;
use wire::meet::Rendezvous;

/// A pipe has no name, so a role at a terminal cannot find its peer.
pub(super) fn no_pipe(end: &str, rendezvous: &Rendezvous) -> anyhow::Error {
    let (sender, receiver) =
        (rendezvous.peer("sender"), rendezvous.peer("receiver"));
    usage(format!(
        "{end} is a terminal, not a pipe: a pipe has no name, the shell makes it; \
         type: {sender} | {receiver}"
    ))
}
