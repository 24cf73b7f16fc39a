//! What a mistaken word may have meant: other words for chapters (in their rows), verbs,
//! roles and options, and what is spelt nearly so.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use strsim::osa_distance;

use chapters::rows;
use experiments::ALL;

/// Other words for the verbs.
const VERBS: &[(&str, &[&str])] = &[
    (
        "bare",
        &["source", "code", "program", "minimal", "simple", "rust", "c", "python"],
    ),
    ("list", &["ls", "chapters", "contents", "toc", "index", "all"]),
    ("demo", &["run", "tour", "start", "play", "begin", "intro", "example"]),
    (
        "experiment",
        &[
            "learn", "quiz", "question", "guess", "pitfall", "test", "lesson",
            "answer", "exp", "try", "level",
        ],
    ),
    (
        "next",
        &[
            "continue", "resume", "path", "progress", "step", "todo", "where",
            "skip", "history", "done",
        ],
    ),
    ("exercise", &["practice", "task", "homework", "grade", "write", "kata"]),
    (
        "trace",
        &[
            "strace", "see", "show", "draw", "diagram", "picture", "syscalls",
            "debug",
        ],
    ),
    (
        "map",
        &[
            "lsof", "lsfd", "ss", "fuser", "who", "holds", "holders", "ps",
            "deadlock", "stuck", "hang",
        ],
    ),
    (
        "bench",
        &[
            "benchmark",
            "measure",
            "perf",
            "performance",
            "speed",
            "time",
            "latency",
            "lie",
        ],
    ),
    (
        "doctor",
        &[
            "check",
            "diagnose",
            "health",
            "status",
            "limits",
            "environment",
            "env",
            "info",
            "verify",
        ],
    ),
    ("clean", &["cleanup", "clear", "remove", "rm", "delete", "reset", "purge"]),
    ("completions", &["complete", "bash", "zsh", "fish"]),
    ("man", &["manual", "doc", "book", "page", "readme"]),
    ("help", &["usage"]),
];

/// Other words for options, without the dashes.
const OPTIONS: &[(&str, &[&str])] = &[
    ("listen", &["port", "bind", "address", "addr", "host"]),
    (
        "at",
        &[
            "port", "host", "address", "addr", "connect", "path", "name", "socket",
            "file", "key",
        ],
    ),
    ("count", &["number", "times", "repeat", "messages", "max", "limit"]),
    ("timeout", &["wait", "deadline"]),
    ("framing", &["frame", "format", "separator", "delimiter"]),
    ("bytes", &["binary", "raw"]),
    ("type", &["kind", "mode", "datagram", "dgram", "stream"]),
    ("kind", &["type", "mode", "posix", "sysv"]),
    ("quiet", &["silent"]),
    ("color", &["colour", "colors"]),
    ("all", &["verbose", "full"]),
    ("guess", &["answer"]),
    ("show", &["solution", "solve"]),
    ("quiz", &["ask", "test", "all"]),
    ("size", &["length"]),
    ("dry-run", &["simulate"]),
];

/// Other words for roles.
const ROLES: &[(&str, &[&str])] = &[
    (
        "receiver",
        &["recv", "receive", "reader", "read", "consumer", "server", "subscriber"],
    ),
    ("sender", &["send", "writer", "write", "producer", "client", "publisher"]),
    ("server", &["serve", "listener", "receiver", "reader", "daemon"]),
    ("client", &["connect", "sender", "writer"]),
    ("waiter", &["wait", "receiver", "consumer"]),
    ("poster", &["post", "sender", "producer"]),
    ("producer", &["put", "sender", "writer", "client"]),
    ("worker", &["take", "receiver", "reader", "consumer"]),
    ("reduction", &["reduce"]),
];

/// The names of chapters and verbs that the first of `words` may have meant, or the first few
/// together: `message queue`.
pub fn commands(words: &[&str]) -> Vec<&'static str> {
    let mut known = chapter_words();
    known.extend(VERBS);
    meant(words, &known)
}

/// The same, of chapters alone.
pub fn chapters(words: &[&str]) -> Vec<&'static str> {
    meant(words, &chapter_words())
}

fn chapter_words() -> Vec<(&'static str, &'static [&'static str])> {
    rows().iter().map(|row| (row.name, row.also)).collect()
}

/// The names that a word may have meant, of `names`.
pub fn spelt<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    among(word, names, &[])
}

/// The roles, of `names`, that a word may have meant.
pub fn roles<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    among(word, names, ROLES)
}

/// The option, of `names` without dashes, that a word may have meant. What stands first in
/// the table goes first.
pub fn option<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let index = |name: &&str| OPTIONS.iter().position(|(option, _)| option == name);
    let near = among(word, names, OPTIONS);
    near.into_iter().min_by_key(|name| index(name).unwrap_or(OPTIONS.len()))
}

fn among<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    table: &[(&str, &'static [&'static str])],
) -> Vec<&'a str> {
    let also = |name| table.iter().find(|(known, _)| *known == name);
    let with_others =
        |name| (name, also(name).map_or([].as_slice(), |(_, also)| *also));
    let known: Vec<_> = names.into_iter().map(with_others).collect();
    meant(&[word], &known)
}

/// The experiments, as `CHAPTER/NAME`, that `word` may have meant: a name without its
/// chapter, or one of them misspelt.
pub fn experiments(word: &str) -> Vec<String> {
    let (chapter, name) = match word.split_once('/') {
        Some((chapter, name)) => (chapters(&[chapter]), name),
        None => (Vec::new(), word),
    };
    let of = |of: &&(&'static str, _)| chapter.is_empty() || chapter.contains(&of.0);
    let chosen: Vec<_> = ALL.iter().filter(of).collect();
    let names = chosen.iter().flat_map(|(_, all)| all.iter().map(|one| one.name));
    let near = spelt(name, names);
    let ids = chosen.iter().flat_map(|(chapter, all)| {
        all.iter().map(move |one| (one.name, format!("{chapter}/{}", one.name)))
    });
    ids.filter(|(name, _)| near.contains(name)).map(|(_, id)| id).collect()
}

/// Any word; what a shell completes is one of these.
#[derive(Debug, Clone, Copy)]
pub struct Offers(pub fn() -> &'static [String]);

impl TypedValueParser for Offers {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(
        &self,
    ) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            (self.0)().iter().map(|word| PossibleValue::new(word.as_str())),
        ))
    }
}

/// `; did you mean 'this' or 'that'?`, or nothing.
pub fn question<S: AsRef<str>>(near: &[S]) -> Option<String> {
    let quoted: Vec<_> =
        near.iter().map(|name| format!("'{}'", name.as_ref())).collect();
    let (last, others) = quoted.split_last()?;
    let all = match others {
        [] => last.clone(),
        _ => format!("{} or {last}", others.join(", ")),
    };
    Some(format!("; did you mean {all}?"))
}

/// The names of `known` that are meant by the first of `words`, or the first few together:
/// by another case, hyphen or plural, then by another word, then by a misspelling.
fn meant<'a>(words: &[&str], known: &[(&'a str, &[&str])]) -> Vec<&'a str> {
    let those = |meant: &dyn Fn(&str, &[&str]) -> bool| -> Option<Vec<&'a str>> {
        let those = known.iter().filter(|(name, also)| meant(name, also));
        let names: Vec<_> = those.map(|(name, _)| *name).collect();
        (!names.is_empty()).then_some(names)
    };
    for count in (1..=words.len().min(4)).rev() {
        let wanted = plain(&words[..count].concat());
        let is = |word: &&str| plain(word) == wanted;
        let named = those(&|name, _| is(&name));
        if let Some(names) = named.or_else(|| those(&|_, also| also.iter().any(is)))
        {
            return names;
        }
    }
    let wanted = plain(words.first().copied().unwrap_or_default());
    let length = wanted.chars().count();
    if length < 3 {
        return Vec::new();
    }
    if let Some(begun) = those(&|name, _| plain(name).starts_with(&wanted)) {
        return begun;
    }
    let far = |word: &str| osa_distance(&plain(word), &wanted);
    let nearest = known.iter().map(|(name, also)| {
        also.iter().map(|word| far(word)).fold(far(name), usize::min)
    });
    let nearest: Vec<usize> = nearest.collect();
    // One letter in three may be wrong.
    let best =
        nearest.iter().copied().min().filter(|best| *best <= (length / 3).max(1));
    let with_best = known.iter().zip(nearest).filter(|(_, far)| Some(*far) == best);
    with_best.map(|((name, _), _)| *name).collect()
}

/// A word in small letters, without hyphens, blanks, underscores and the plural's s.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    let small: String = letters.flat_map(char::to_lowercase).collect();
    match small.strip_suffix('s') {
        Some(one) if one.len() > 3 => one.to_owned(),
        _ => small,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_find_their_chapters() {
        for (words, chapters) in [
            (&["queue"][..], &["posixmq", "sysvmq"][..]),
            (&["message", "queue"], &["posixmq", "sysvmq"]),
            (&["message-queues"], &["posixmq", "sysvmq"]),
            (&["epoll"], &["multiplex"]),
            (&["select"], &["multiplex"]),
            (&["poll"], &["multiplex"]),
            (&["socket"], &["unix", "tcp"]),
            (&["sockets"], &["unix", "tcp"]),
            (&["domain", "socket"], &["unix"]),
            (&["FIFO"], &["fifo"]),
            (&["named", "pipe"], &["fifo"]),
            (&["mkfifo"], &["fifo"]),
            (&["pipes"], &["pipe"]),
            (&["posix", "semaphore"], &["semaphore"]),
            (&["semget"], &["semaphore"]),
            (&["futex"], &["semaphore"]),
            (&["subprocess"], &["spawn"]),
            (&["zombies"], &["spawn"]),
            (&["condition", "variable"], &["mutex"]),
            (&["robust", "mutex"], &["mutex"]),
            (&["shared", "memory"], &["shm", "mmap"]),
            (&["memfd"], &["shm", "fdpass"]),
            (&["rpc"], &["tcp", "dbus"]),
            (&["multicast"], &["udp"]),
            (&["datagrams"], &["unix", "udp"]),
            (&["D-Bus"], &["dbus"]),
            (&["run", "fifo"], &["demo"]),
            (&["learn"], &["experiment"]),
            (&["quiz"], &["experiment"]),
            (&["continue"], &["next"]),
            (&["resume"], &["next"]),
            (&["practice"], &["exercise"]),
            (&["benchmark"], &["bench"]),
            (&["semaphor"], &["semaphore"]),
            (&["multi"], &["multiplex"]),
            (&["qqq"], &[]),
            (&["./send"], &[]),
        ] {
            assert_eq!(commands(words), chapters, "{words:?}");
        }
    }

    #[test]
    fn other_words_are_written_as_they_are_compared_and_stand_once_in_a_row() {
        for (name, also) in chapter_words().into_iter().chain(VERBS.iter().copied())
        {
            let mut all: Vec<_> = also.iter().map(|word| plain(word)).collect();
            all.push(plain(name));
            all.sort();
            let words = all.len();
            all.dedup();
            assert_eq!(all.len(), words, "{name}: {all:?}");
        }
    }

    #[test]
    fn an_experiment_is_found_by_its_name_alone_and_misspelt() {
        for (chapter, all) in ALL {
            for one in *all {
                let id = format!("{chapter}/{}", one.name);
                assert!(experiments(one.name).contains(&id), "{id}");
            }
        }
        assert_eq!(experiments("fifo/open-slepes"), ["fifo/open-sleeps"]);
        assert_eq!(experiments("named-pipe/open-sleeps"), ["fifo/open-sleeps"]);
        assert!(experiments("fifo/zzz").is_empty());
    }

    #[test]
    fn an_option_is_found_by_another_word_only_where_the_command_has_it() {
        assert_eq!(option("port", ["at", "listen", "count"]), Some("listen"));
        assert_eq!(option("port", ["at", "count"]), Some("at"));
        assert_eq!(option("port", ["count"]), None);
    }
}
