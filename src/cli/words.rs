//! The words of the command line, before they are parsed.

use std::ffi::OsString;

use clap::Command;

use wire::launcher::launched;
use wire::meet::Meets;

/// The words of the command line. A program that a launcher has started plays its chapter's
/// first role if no word names one: `mpiexec -n 2 ipclab mpi`. Otherwise that shows the page.
pub(super) fn words(all: &Command) -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let name =
        words.iter().skip(1).position(|word| all.find_subcommand(word).is_some());
    let Some(chapter) = name.map(|index| index + 1) else { return words };
    // `ipclab fifo help sender` is `ipclab help fifo sender`.
    if words.get(chapter + 1).is_some_and(|word| word == "help") {
        words.swap(chapter, chapter + 1);
        return words;
    }
    let row = words[chapter].to_str().and_then(chapters::find);
    let Some(row) = row.filter(|row| row.meets == Meets::World) else {
        return words;
    };
    let below = &words[chapter + 1..];
    let roles = all.find_subcommand(row.name);
    let is_role =
        |word| roles.is_some_and(|roles| roles.find_subcommand(word).is_some());
    let unnamed =
        below.first().is_none_or(|word| word.as_encoded_bytes().starts_with(b"-"))
            && !below.iter().any(is_role);
    if unnamed && launched().is_some() {
        words.insert(chapter + 1, row.roles[0].name.into());
    }
    words
}
