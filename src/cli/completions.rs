//! What a shell completes.

use std::sync::OnceLock;

use clap::{Arg, Command};
use clap_complete::Shell;

use super::command;

/// The completion script of a shell.
pub(super) fn script(shell: Shell, mut all: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut all, "ipclab", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish {
        // clap_complete gives fish none of the words that a verb takes.
        for verb in all.get_subcommands() {
            let words = verb.get_positionals().flat_map(Arg::get_possible_values);
            let words: Vec<_> =
                words.map(|word| word.get_name().to_owned()).collect();
            if !words.is_empty() {
                script += &format!(
                    "complete -c ipclab -n \"__fish_ipclab_using_subcommand {}\" -f -a \"{}\"\n",
                    verb.get_name(),
                    words.join(" ")
                );
            }
        }
    }
    script
}

/// What a shell completes after `ipclab help`.
pub(super) fn topics() -> &'static [String] {
    static TOPICS: OnceLock<Vec<String>> = OnceLock::new();
    TOPICS.get_or_init(|| {
        let all = command();
        let shown = all.get_subcommands().filter(|command| !command.is_hide_set());
        shown.map(|command| command.get_name().to_owned()).collect()
    })
}

/// What a shell completes after `ipclab map`: the ids of processes it has itself.
pub(super) fn chapters() -> &'static [String] {
    static CHAPTERS: OnceLock<Vec<String>> = OnceLock::new();
    CHAPTERS.get_or_init(|| {
        chapters::rows().iter().map(|row| row.name.to_owned()).collect()
    })
}
