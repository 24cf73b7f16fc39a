//! The command line: any words are understood or refused, and a refusal is text without
//! control characters.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words, each ended by a NUL.
pub(crate) fn run(input: &[u8]) {
    let words = input.split(|byte| *byte == 0).take(12);
    let words = words.map(|word| OsString::from_vec(word.to_vec()));
    let all = std::iter::once(OsString::from("ipclab")).chain(words);
    if let Err(error) =
        COMMAND.with(|command| command.clone().try_get_matches_from(all))
    {
        let _ = (error.exit_code(), error.to_string());
    }
}

thread_local! {
    static COMMAND: clap::Command = crate::cli::command();
}
