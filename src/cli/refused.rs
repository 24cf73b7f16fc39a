//! A command line that cannot be: one line that says why, and what may have been meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::cli::near;
use chapters::find;
use wire::chapter::Row;

/// The line for `error`, which `words` made; the first of them is the program.
pub(super) fn line(error: &clap::Error, words: &[String], all: &Command) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let role = text(ContextKind::InvalidSubcommand);
    let arg = text(ContextKind::InvalidArg);
    let value = text(ContextKind::InvalidValue);
    let path = CommandPath::of(words, all, role);
    let special = match error.kind() {
        ErrorKind::InvalidSubcommand => path.subcommand(role),
        ErrorKind::UnknownArgument if arg.starts_with('-') => path.option(arg),
        ErrorKind::UnknownArgument => path.word(arg, error),
        ErrorKind::InvalidValue if arg.contains("EXERCISE") => {
            Some(exercise(value, error))
        }
        ErrorKind::InvalidValue if path.takes_chapters(arg) => {
            path.word(value, error)
        }
        ErrorKind::InvalidValue => {
            suggested(error).map(|near| {
                let text = first_paragraph(error);
                // The one that may have been meant is enough.
                let short = text.split(" [possible values").next();
                format!("{}{near}", short.unwrap_or_default())
            })
        }
        ErrorKind::MissingSubcommand => {
            let verbs = path.names().join(", ");
            path.example().map(|example| {
                format!(
                    "{} needs a verb: {verbs}; for example: {example}",
                    path.path()
                )
            })
        }
        ErrorKind::MissingRequiredArgument => path.example().map(|example| {
            format!("{}; for example: {example}", first_paragraph(error))
        }),
        _ => None,
    };
    special.unwrap_or_else(|| format!("{}; see --help", first_paragraph(error)))
}

/// clap's own sentence, in one line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.trim_start_matches("error: ").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// The value that clap takes for the one that was meant.
fn suggested(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::SuggestedValue) {
        Some(ContextValue::String(value)) => near::question(&[value.as_str()]),
        _ => None,
    }
}

/// No exercise has that name.
fn exercise(wrong: &str, error: &clap::Error) -> String {
    let all = exercises::ids();
    let same = |id: &&String| id.split('/').next_back() == Some(wrong);
    let of_name: Vec<_> = all.iter().filter(same).collect();
    let is_chapter = exercises::ALL.iter().any(|(chapter, _)| *chapter == wrong);
    let way_out = match is_chapter {
        true => {
            Some(format!("; those of the chapter: ipclab exercise list {wrong}"))
        }
        false => near::question(&of_name).or_else(|| suggested(error)),
    };
    let way_out = way_out.unwrap_or_else(|| "; see ipclab exercise list".into());
    format!("no such exercise: '{wrong}'{way_out}")
}

/// Where on the command line something is wrong.
struct CommandPath<'a> {
    words: Vec<&'a str>,
    /// The commands that were named, from the program on.
    path: Vec<&'a Command>,
}

impl<'a> CommandPath<'a> {
    /// Where it names the commands before the word that is `wrong`, if one is.
    fn of(words: &'a [String], all: &'a Command, wrong: &str) -> CommandPath<'a> {
        let mut path = vec![all];
        for word in words.iter().skip(1).take_while(|word| *word != wrong) {
            if let Some(below) = path[path.len() - 1].find_subcommand(word) {
                path.push(below);
            }
        }
        CommandPath { words: words.iter().map(String::as_str).collect(), path }
    }

    /// The name of the command at `depth`: 1 for a chapter or a verb, 2 for a role.
    fn name(&self, depth: usize) -> &'a str {
        self.path.get(depth).map_or("", |command| command.get_name())
    }

    fn row(&self) -> Option<Row> {
        find(self.name(1))
    }

    /// The words from `word` on, without options.
    fn from(&self, word: &str) -> Vec<&'a str> {
        let begin = self.words.iter().position(|other| *other == word).unwrap_or(0);
        self.words[begin..]
            .iter()
            .copied()
            .filter(|word| !word.starts_with('-'))
            .collect()
    }

    /// No chapter, verb or role has that name.
    fn subcommand(&self, wrong: &str) -> Option<String> {
        if self.path.len() == 1 {
            let near = near::question(&near::commands(&self.from(wrong)));
            let way_out =
                near.unwrap_or_else(|| "; ipclab list shows the chapters".into());
            return Some(format!("no such chapter or verb: '{wrong}'{way_out}"));
        }
        let names = self.names();
        let what = if self.path.len() == 2 { "role" } else { "verb" };
        let near = near::question(&near::roles(wrong, names.iter().copied()));
        let way_out = near
            .unwrap_or_else(|| format!("; its {what}s are {}", names.join(", ")));
        Some(format!("{} has no {what} '{wrong}'{way_out}", self.path()))
    }

    /// The command that was named last.
    fn last(&self) -> &'a Command {
        self.path[self.path.len() - 1]
    }

    /// The names of the commands below it.
    fn names(&self) -> Vec<&'a str> {
        let below = self.last().get_subcommands();
        below
            .filter(|command| !command.is_hide_set())
            .map(Command::get_name)
            .collect()
    }

    /// As it is typed, without the program.
    fn path(&self) -> String {
        let names: Vec<_> =
            self.path.iter().skip(1).map(|command| command.get_name()).collect();
        names.join(" ")
    }

    /// The command has no such option.
    fn option(&self, wrong: &str) -> Option<String> {
        let args = || self.last().get_arguments();
        let word =
            wrong.trim_start_matches('-').split('=').next().unwrap_or_default();
        let near = near::option(word, args().filter_map(Arg::get_long));
        let near = args().find(|arg| near.is_some() && arg.get_long() == near);
        let near: Vec<String> = near.map(with_value).into_iter().collect();
        let way_out = near::question(&near)
            .unwrap_or_else(|| format!("; see ipclab help {}", self.path()));
        Some(format!("no such option: '{wrong}'{way_out}"))
    }

    /// Whether what was refused should have been a chapter's name.
    fn takes_chapters(&self, arg: &str) -> bool {
        self.row().is_none() && arg.contains("CHAPTER")
    }

    /// A word where a verb wants none, or another one.
    fn word(&self, wrong: &str, error: &clap::Error) -> Option<String> {
        let verb = self.name(1);
        let given: Vec<&str> = self.from(verb).split_off(1);
        let many = || format!("'{wrong}' is one word too many");
        let near = match wrong.contains(['/', '.']) {
            true => None, // a program
            false => near::question(&near::chapters(&self.from(wrong))),
        };
        match verb {
            "trace" => {
                Some(match (given.iter().find(|word| find(word).is_some()), near) {
                    (Some(chapter), _) => format!(
                        "{}: trace shows one chapter, with all its roles: ipclab trace {chapter}",
                        many()
                    ),
                    (None, Some(near)) => {
                        format!("no such chapter: '{wrong}'{near}")
                    }
                    (None, None) => format!(
                        "no such chapter: '{wrong}'; programs of your own stand behind --: \
                     ipclab trace -- {}",
                        given.join(" ::: ")
                    ),
                })
            }
            "experiment" => {
                let id = format!("{}/{wrong}", given.first()?);
                let near = near::question(&near::experiments(&id));
                let one = || "; it takes one name, as CHAPTER/NAME".into();
                Some(format!("{}{}", many(), near.unwrap_or_else(one)))
            }
            "demo" | "bench" | "exercise" => {
                let known = match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(known)) => known.join(", "),
                    _ => String::new(),
                };
                let near = near.filter(|_| find(wrong).is_none());
                let way_out = near.unwrap_or_else(|| format!("; it knows {known}"));
                Some(format!("{verb} knows no chapter '{wrong}'{way_out}"))
            }
            _ => None,
        }
    }

    /// A whole command line of the role that was named.
    fn example(&self) -> Option<String> {
        let row = self.row()?;
        let role = row.roles.iter().find(|role| role.name == self.name(2))?;
        role.command_lines().next()
    }
}

/// An option as it is typed: `--listen HOST:PORT`.
fn with_value(arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_default();
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
    match value.and_then(<[_]>::first) {
        Some(value) => format!("--{name} {value}"),
        None => format!("--{name}"),
    }
}
