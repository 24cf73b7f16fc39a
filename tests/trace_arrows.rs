//! No arrow of a trace is false: in programs that were made to fool the tracer, in the
//! chapters, and in other people's programs.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::*;

/// The events of a run, by their numbers.
type Events = BTreeMap<u64, Value>;

/// Traces `words` in `dir`, every call of theirs.
fn traced(dir: &Path, words: &[&str]) -> (Events, Outcome) {
    let subject = subject("fifo");
    let mut command =
        ipclab(&subject, &[&["trace", "--json", "--all"], words].concat());
    command.current_dir(dir);
    let outcome = run(command, Input::Nothing);
    let text = String::from_utf8(outcome.stdout.clone()).unwrap();
    let events = text.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    });
    let numbered = events.filter_map(|event| Some((event["id"].as_u64()?, event)));
    (numbered.collect(), outcome)
}

/// All arrows, as pairs of event numbers.
fn arrows(events: &Events) -> Vec<(u64, u64)> {
    let of = |(to, event): (&u64, &Value)| -> Vec<(u64, u64)> {
        let from = event["from"].as_array().into_iter().flatten();
        from.map(|from| (from.as_u64().unwrap(), *to)).collect()
    };
    events.iter().flat_map(of).collect()
}

/// What an event is: a call's name, or `signal`, `start`, `end`.
fn name(event: &Value) -> &str {
    event["call"].as_str().or(event["event"].as_str()).unwrap()
}

fn args(event: &Value) -> Vec<&str> {
    let args = event["args"].as_array().into_iter().flatten();
    args.map(|arg| arg.as_str().unwrap()).collect()
}

// ------------------------------------------------------------------ made to fool it

/// What a program says of its arrows.
struct Spec {
    must: bool,
    from: String,
    to: String,
}

fn specs(source: &str) -> Vec<Spec> {
    let of_line = |line: &str| {
        let (kind, ends) = ["must", "may"].into_iter().find_map(|kind| {
            let (_, ends) = line.split_once(&format!("{kind}: "))?;
            Some((kind, ends.trim_end_matches("*/").trim()))
        })?;
        let (from, to) = ends.split_once(" -> ")?;
        Some(Spec { must: kind == "must", from: from.to_owned(), to: to.to_owned() })
    };
    source.lines().filter_map(of_line).collect()
}

/// Whether an event is what one end of a spec says: a name; a name and the text of its
/// bytes; a name and its first arguments; `#2`, the second of that name.
fn fits(events: &Events, id: u64, end: &str) -> bool {
    let event = &events[&id];
    let (wanted, more) = end.split_once(' ').unwrap_or((end, ""));
    if name(event) != wanted {
        return false;
    }
    if let Some(number) = more.strip_prefix('#') {
        let before = events.range(..=id).filter(|(_, event)| name(event) == wanted);
        return before.count().to_string() == number;
    }
    if event["signal"].is_string() {
        return more.is_empty() || event["signal"] == more;
    }
    let bare = |arg: &&str| arg.split('<').next().unwrap_or_default().to_owned();
    let words: Vec<String> = args(event).iter().map(bare).collect();
    more.is_empty()
        || words.iter().any(|word| word.trim_matches(['[', ']', '{', '}']) == more)
        || args(event)
            .iter()
            .any(|arg| arg.trim_matches(['[', ']', '{', '}']) == more)
        || args(event).iter().any(|arg| more.starts_with('"') && arg.contains(more))
        || words.join(",").starts_with(more)
}

/// What every fork and every wait has.
fn is_plain(events: &Events, (from, to): (u64, u64)) -> bool {
    let (from, to) = (name(&events[&from]), name(&events[&to]));
    to == "start" || (from, to) == ("end", "wait4")
}

fn judged(source: &str, events: &Events) -> Vec<String> {
    let specs = specs(source);
    let arrows = arrows(events);
    let fit = |(from, to): (u64, u64), spec: &Spec| {
        fits(events, from, &spec.from) && fits(events, to, &spec.to)
    };
    let line = |(from, to): &(u64, u64)| {
        let event = |id| format!("{} {:?}", name(&events[id]), args(&events[id]));
        format!("false: {} -> {}", event(from), event(to))
    };
    let known = |arrow: &(u64, u64)| {
        is_plain(events, *arrow) || specs.iter().any(|s| fit(*arrow, s))
    };
    let mut wrong: Vec<String> =
        arrows.iter().filter(|arrow| !known(arrow)).map(line).collect();
    for spec in specs.iter().filter(|spec| spec.must) {
        if !arrows.iter().any(|arrow| fit(*arrow, spec)) {
            wrong.push(format!("missing: {} -> {}", spec.from, spec.to));
        }
    }
    wrong
}

#[test]
fn programs_made_to_fool_the_tracer_get_no_false_arrow_and_all_that_are_true() {
    if !have("cc") {
        return;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fools");
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut sources: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.retain(|path| path.extension().is_some_and(|kind| kind != "h"));
    sources.sort();
    assert!(sources.len() > 30, "{sources:?}");
    for path in &sources {
        let source = fs::read_to_string(path).unwrap();
        let title = path.file_name().unwrap().to_str().unwrap();
        let place = dir.path().join(path.file_stem().unwrap());
        let (own, path) = (place.to_str().unwrap(), path.to_str().unwrap());
        let words = if title.ends_with(".sh") {
            vec!["--", "sh", path]
        } else {
            let built = Command::new("cc").args(["-Wall", "-o", own, path]).output();
            let built = built.unwrap();
            let said = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "{title}: {said}");
            vec!["--", own]
        };
        let (events, outcome) = traced(dir.path(), &words);
        if !outcome.status.success() {
            wrong.push(format!("{title}: {} {}", outcome.status, outcome.stderr));
        }
        wrong.extend(
            judged(&source, &events).iter().map(|line| format!("{title}: {line}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// ------------------------------------------------------------------ everybody else

/// Whether a call takes or puts bytes that it shows.
fn carries(event: &Value) -> bool {
    const CALLS: [&str; 14] = [
        "read",
        "readv",
        "pread64",
        "preadv",
        "recvfrom",
        "recvmsg",
        "write",
        "writev",
        "pwrite64",
        "pwritev",
        "sendto",
        "sendmsg",
        "mq_timedsend",
        "mq_timedreceive",
    ];
    CALLS.contains(&name(event))
}

/// The bytes that a call shows, as text, and whether they are all of them.
fn shown(event: &Value) -> Option<(String, bool)> {
    let arg = args(event).into_iter().nth(1)?.to_owned();
    let (mut text, mut inside) = (String::new(), false);
    let mut letters = arg.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => inside = !inside,
            _ if !inside => {}
            '\\' => text.extend(['\\'].into_iter().chain(letters.next())),
            letter => text.push(letter),
        }
    }
    (!arg.contains("SCM_")).then_some((text, !arg.contains('…')))
}

/// Whether the bytes at both ends of an arrow can be the same: one lies in the other, or
/// the end of one is the beginning of the other.
fn agree(from: &str, to: &str) -> bool {
    let laps = |one: &str, other: &str| {
        (1..=one.len().min(other.len())).any(|n| {
            one.is_char_boundary(one.len() - n)
                && other.starts_with(&one[one.len() - n..])
        })
    };
    from.contains(to) || to.contains(from) || laps(from, to) || laps(to, from)
}

/// The arrows between calls that show their bytes: how many, and those that are false. And
/// each end of a stream must come from something that closes.
fn checked(events: &Events) -> (usize, Vec<String>) {
    const CLOSE: [&str; 8] = [
        "close",
        "dup2",
        "dup3",
        "close_range",
        "execve",
        "end",
        "shutdown",
        "recvmsg",
    ];
    let mut wrong = Vec::new();
    let arrows = arrows(events);
    for (from, to) in &arrows {
        let (one, other) = (&events[from], &events[to]);
        if !carries(other) {
            continue;
        }
        let line = || format!("{one} -> {other}");
        if other["result"] == 0 && !carries(one) && !CLOSE.contains(&name(one)) {
            wrong.push(line());
        }
        if carries(one)
            && let (Some((sent, true)), Some((got, true))) =
                (shown(one), shown(other))
            && !agree(&sent, &got)
        {
            wrong.push(line());
        }
    }
    (arrows.len(), wrong)
}

#[test]
fn the_bytes_at_both_ends_of_each_arrow_of_a_chapter_agree() {
    let here = tempfile::tempdir().unwrap();
    for row in chapters::rows() {
        if row.script.parts.is_empty() || row.meets == wire::meet::Meets::World {
            continue;
        }
        let (events, outcome) = traced(here.path(), &[row.name]);
        assert!(outcome.status.success(), "{}: {}", row.name, outcome.stderr);
        let (count, wrong) = checked(&events);
        assert!(count > 0, "{}: no arrow", row.name);
        assert!(wrong.is_empty(), "{}: {}", row.name, wrong.join("\n"));
    }
}

#[test]
fn the_bytes_at_both_ends_of_each_arrow_of_other_programs_agree() {
    const LINES: [&str; 8] = [
        "seq 1 4000 | sort -n | uniq | tail -n 3",
        "tar cf - lines | gzip -c | gzip -dc | tar tf -",
        "cat lines | tee copy | wc -l; cmp lines copy",
        "head -c 300000 /dev/zero | tr '\\0' x | dd bs=777 status=none | wc -c",
        "echo $(cat lines | head -n 2) > copy; cat copy",
        "mkfifo pipe; cat lines > pipe & wc -l < pipe; wait; rm pipe",
        "{ echo one; sleep 0.1; echo two; } | while read line; do echo $line; done | cat",
        "sh -c 'kill -USR1 $$' & wait; trap : USR1; kill -USR1 $$; echo done",
    ];
    for line in LINES {
        let here = tempfile::tempdir().unwrap();
        let lines: String = (1..3000).map(|n| format!("line {n}\n")).collect();
        fs::write(here.path().join("lines"), lines).unwrap();
        let (events, outcome) = traced(here.path(), &["--", "sh", "-c", line]);
        assert!(outcome.status.success(), "{line}: {}", outcome.stderr);
        let (_, wrong) = checked(&events);
        assert!(wrong.is_empty(), "{line}: {}", wrong.join("\n"));
        let fed = arrows(&events)
            .iter()
            .any(|(from, to)| carries(&events[from]) && carries(&events[to]));
        assert!(fed || line.contains("kill"), "{line}: no arrow between calls");
    }
}
