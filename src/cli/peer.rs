//! The command that starts the other role.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use wire::meet::{program, quoted};

/// What does not make sense for the peer, or is the peer's own affair.
const OWN_AFFAIRS: &[&str] =
    &["timeout", "ready_fd", "messages", "count", "json", "undo", "all"];

/// The peer's message, by the argument that takes it, unless another is given: without one it
/// would wait for the user to type it.
const MESSAGES: [(&str, &str); 2] = [("messages", "hello"), ("numbers", "1")];

/// Whether `command` has the argument `id`.
fn takes(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

/// The command that starts the peer `peer`, with the same options where it has them, and the
/// message that it takes, if it takes any.
pub(super) fn command(
    all: &Command,
    chapter: &str,
    role: &str,
    peer: &str,
    matches: &ArgMatches,
) -> (String, Option<&'static str>) {
    let mut words = vec![program(), chapter.into(), peer.into()];
    let found = |name| all.find_subcommand(chapter)?.find_subcommand(name);
    let (Some(own), Some(peers)) = (found(role), found(peer)) else {
        return (words.join(" "), None);
    };
    let message = MESSAGES.iter().find(|(id, _)| takes(peers, id));
    for arg in own.get_arguments() {
        let id = arg.get_id().as_str();
        let given = matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine);
        // What is sent as it is comes from standard input.
        let stays = OWN_AFFAIRS.contains(&id) || message.is_some() && id == "bytes";
        let long = arg.get_long().filter(|_| given && !stays && takes(peers, id));
        let Some(long) = long else { continue };
        words.push(format!("--{long}"));
        if arg.get_action().takes_values() {
            for value in matches.get_raw(id).into_iter().flatten() {
                words.push(quoted(&value.to_string_lossy()));
            }
        }
    }
    (words.join(" "), message.map(|(_, message)| *message))
}
