//! The map as text: the tree of processes, then the objects with their holders.

use std::fmt::Write;
use std::time::Duration;

use colored::Colorize;
use lab::prose;
use textwrap::core::display_width;
use wire::say::grouped;

use super::descendants::tree;
use super::label::{label, waited_on};
use super::model::{Cycle, Holder, Kind, Map, Object, On, Sleep};

/// The whole map, in lines of at most `width` columns.
pub(super) fn text(map: &Map, width: usize) -> String {
    let mut out = processes(map, width);
    for at in order(map) {
        out.push('\n');
        out += &object(map, at, width);
    }
    if !map.cycles.is_empty() || !map.not_seen.is_empty() {
        out.push('\n');
    }
    for cycle in &map.cycles {
        let text = cycle_text(map, cycle);
        let text = prose::paragraph(width, "cycle: ", "  ", &text);
        out += &text.bold().to_string();
    }
    for what in &map.not_seen {
        out += &prose::paragraph(width, "not looked into: ", "  ", what);
    }
    if map.objects.iter().any(|object| object.shown) {
        out.push('\n');
        out += &prose::paragraph(width, "", "", LEGEND);
    }
    out
}

const LEGEND: &str = "─▶ writes into it, ◀─ reads from it; 3r: descriptor 3 for reading, w for \
                      writing, c close-on-exec.";

/// The objects that are drawn: those with a sentence or a sleeper first, then as they were
/// found.
pub(super) fn order(map: &Map) -> Vec<usize> {
    let mut all: Vec<usize> =
        (0..map.objects.len()).filter(|at| map.objects[*at].shown).collect();
    all.sort_by_key(|at| {
        let told = map.remarks.iter().any(|remark| remark.object == *at);
        let slept = map.sleepers(*at).next().is_some();
        (!told, !slept, *at)
    });
    all
}

fn processes(map: &Map, width: usize) -> String {
    let tree = tree(map);
    if tree.is_empty() {
        return "No process to draw. --all draws the whole machine.\n".to_owned();
    }
    let names: Vec<String> = tree
        .iter()
        .map(|(at, branch)| format!("{branch}{}", map.who(*at)))
        .collect();
    let column =
        names.iter().map(|name| display_width(name)).max().unwrap_or(0).min(36);
    let mut out = String::new();
    for ((at, _), name) in tree.iter().zip(&names) {
        let does = doing(map, *at);
        let blanks = " ".repeat(column.saturating_sub(display_width(name)));
        let line = format!("{name}{blanks}   {does}");
        let _ = writeln!(out, "{}", cut(line.trim_end(), width));
    }
    out
}

/// What a process does, in a few words.
pub(super) fn doing(map: &Map, at: usize) -> String {
    let process = &map.processes[at];
    let mark = if process.moved { " (moving)" } else { "" };
    if process.zombie {
        return "has ended, and its parent has not waited for it".to_owned();
    }
    if process.closed {
        return "may not be looked into".to_owned();
    }
    let Some(sleep) = process.sleeps.iter().min_by_key(|sleep| {
        (sleep.waits.iter().all(|wait| wait.on == On::Own), sleep.tid)
    }) else {
        return mark.trim_start().to_owned();
    };
    let threads = match process.sleeps.len() {
        1 => String::new(),
        more => format!(", {more} threads"),
    };
    format!("{}{threads}{mark}", asleep(map, sleep))
}

/// `asleep in read(3)   0.3 s`, and of a terminal which: `asleep in read(0), /dev/pts/3`.
fn asleep(map: &Map, sleep: &Sleep) -> String {
    let terminal = sleep.waits.iter().find_map(|wait| {
        let On::Object(object, _) = wait.on else { return None };
        let object = &map.objects[object];
        let is_one = object.kind() == Kind::Pty && sleep.fd.is_some();
        object.name.as_ref().filter(|_| is_one)
    });
    let terminal = terminal.map(|name| format!(", {name}")).unwrap_or_default();
    let fd = sleep.fd.map(|fd| fd.to_string()).unwrap_or_default();
    let since = sleep.since.map(|since| format!("   {}", duration(since)));
    format!("asleep in {}({fd}){terminal}{}", sleep.call, since.unwrap_or_default())
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..100 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 100..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// An object: its name and fill, its holders, and what is to be said of it.
fn object(map: &Map, at: usize, width: usize) -> String {
    let object = &map.objects[at];
    let fill = fill(object);
    let mark = if object.moved { " (moving)" } else { "" };
    let mut name = format!("{}{mark}", label(object));
    let mut about: Vec<String> =
        object.about.iter().map(|it| (*it).to_owned()).collect();
    if object.name_gone {
        about.push("name gone".to_owned());
    }
    if !about.is_empty() {
        name = format!("{name}, {}", about.join(", "));
    }
    let blanks = 34_usize.saturating_sub(display_width(&name)).max(2);
    let fits =
        |blanks| display_width(&name) + blanks + display_width(&fill) <= width;
    // The fill of a System V object with a long name has a line of its own: the name has the id.
    let (name, between) = match () {
        () if fill.is_empty() => (cut(&name, width), String::new()),
        () if fits(blanks) => (name, " ".repeat(blanks)),
        () if object.kind().is_sysv() && !fits(2) => {
            (cut(&name, width), "\n  ".to_owned())
        }
        () => {
            let room = width.saturating_sub(display_width(&fill) + 2);
            (cut(&name, room), "  ".to_owned())
        }
    };
    let head = format!("{}{between}{fill}", name.bold());
    let mut out = format!("{head}\n");
    if object.ends.len() > 1 || object.ends.iter().any(|end| end.backlog.is_some()) {
        for (number, end) in object.ends.iter().enumerate() {
            let is_client = object.ends[0].backlog.is_some() && number > 0;
            let what = match (&end.backlog, end.unread) {
                (Some(backlog), _) => {
                    format!(
                        "{} in the backlog of at most {}",
                        backlog.waiting, backlog.most
                    )
                }
                _ if is_client => "waits in the backlog".to_owned(),
                (_, Some(0)) => "nothing unread".to_owned(),
                (_, Some(bytes)) => {
                    format!("{} unread", wire::say::count(bytes, "byte"))
                }
                _ => String::new(),
            };
            let ended =
                if end.peer_ended { ", its peer has shut down writing" } else { "" };
            let inode = match end.inode {
                0 => "not accepted".to_owned(),
                inode => inode.to_string(),
            };
            let _ = writeln!(
                out,
                "{}",
                cut(&format!("  end {inode}: {what}{ended}"), width)
            );
            out += &holders(map, at, number, width, "    ");
        }
    } else {
        out += &holders(map, at, usize::MAX, width, "  ");
    }
    if let Some(text) = targets(object) {
        let _ = writeln!(out, "{}", cut(&format!("  {text}"), width));
    }
    for sleeper in strangers(map, at) {
        let _ = writeln!(out, "{}", cut(&format!("  {sleeper}"), width));
    }
    for remark in map.remarks.iter().filter(|remark| remark.object == at) {
        out += &prose::paragraph(width, "  ← ", "    ", &remark.text);
    }
    out
}

/// The descriptors that an epoll set waits for.
pub(super) fn targets(object: &Object) -> Option<String> {
    let fds = object.targets.iter().take(8).map(|(fd, ..)| fd.to_string());
    let fds: Vec<_> = fds.collect();
    let more = match object.targets.len().saturating_sub(8) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!fds.is_empty())
        .then(|| format!("waits for descriptor {}{more}", fds.join(", ")))
}

/// Those that use it and do not hold it.
fn strangers(map: &Map, at: usize) -> Vec<String> {
    let all = map.strangers(at).into_iter();
    all.map(|(process, sleep)| {
        let does =
            sleep.map_or("used it last".to_owned(), |sleep| asleep(map, sleep));
        format!("   {}  {does}", map.who(process))
    })
    .collect()
}

fn holders(map: &Map, at: usize, end: usize, width: usize, indent: &str) -> String {
    let object = &map.objects[at];
    let of_end = |it: &&Holder| end == usize::MAX || it.end == end;
    // Descriptors of one process in one mode stand in one line.
    let mut lines: Vec<Vec<&Holder>> = Vec::new();
    let key = |it: &Holder| (it.process, it.read, it.write, it.end);
    for holder in object.holders.iter().filter(of_end) {
        match lines.iter_mut().find(|line| key(line[0]) == key(holder)) {
            Some(line) => line.push(holder),
            None => lines.push(vec![holder]),
        }
    }
    let widths = lines.iter().map(|line| display_width(&map.who(line[0].process)));
    let column = widths.max().unwrap_or(0);
    let mut out = String::new();
    for theirs in lines {
        let (process, read, write, end) = key(theirs[0]);
        let descriptors: Vec<_> = theirs.iter().map(|it| descriptor(it)).collect();
        let arrow = match (read, write) {
            (true, true) => "◀▶",
            (false, true) => "─▶",
            _ => "◀─",
        };
        let who = map.who(process);
        let blanks = " ".repeat(column.min(30).saturating_sub(display_width(&who)));
        let mut line =
            format!("{indent}{arrow} {who}{blanks}  {}", descriptors.join(" "));
        for lock in theirs.iter().flat_map(|it| &it.locks) {
            let _ = write!(line, "  {}", lock.text());
        }
        for (it, sleep, wait) in map.sleepers(at) {
            let same = object.ends.is_empty()
                || matches!(wait.on, On::Object(_, of) if of == end);
            let by_fd =
                wait.fd.is_none() || theirs.iter().any(|it| it.fd == wait.fd);
            if it == process && same && by_fd {
                let _ = write!(line, "  asleep in {}", sleep.call);
            }
        }
        let _ = writeln!(out, "{}", cut(&line, width));
    }
    out
}

/// `3r`, `4rwc`, `mapped rw`.
pub(super) fn descriptor(holder: &Holder) -> String {
    let mapped = holder.fd.is_none() && holder.locks.is_empty();
    let fd = holder.fd.map(i64::from);
    mode_of(fd, holder.read, holder.write, holder.cloexec, mapped)
}

/// The same, of its parts.
pub(super) fn mode_of(
    fd: Option<i64>,
    read: bool,
    write: bool,
    cloexec: bool,
    mapped: bool,
) -> String {
    let mode = match (read, write) {
        (true, true) => "rw",
        (false, true) => "w",
        _ => "r",
    };
    match fd {
        Some(fd) => format!("{fd}{mode}{}", if cloexec { "c" } else { "" }),
        None if mapped => format!("mapped {mode}"),
        None => String::new(),
    }
}

/// What lies in it, in words, and for what may be full in blocks.
pub(super) fn fill(object: &Object) -> String {
    let bar = |part: u64, of: u64| {
        let blocks = (part.saturating_mul(8)).div_ceil(of.max(1)).min(8) as usize;
        format!("{}{}", "█".repeat(blocks), "░".repeat(8 - blocks))
    };
    match (object.kind(), object.fill, object.capacity) {
        (Kind::Pipe | Kind::Fifo, None, _) if object.holders.is_empty() => {
            "open nowhere".to_owned()
        }
        (Kind::Pipe | Kind::Fifo, None, _) => "? bytes".to_owned(),
        (Kind::Pipe | Kind::Fifo, Some(0), _) => "empty".to_owned(),
        (Kind::Pipe | Kind::Fifo, Some(part), Some(of)) => {
            format!("{} {part} of {of}", bar(part, of))
        }
        (Kind::PosixQueue, Some(part), Some(of)) => {
            format!("{} {part} of {of} messages", bar(part, of))
        }
        (Kind::PosixQueue, ..) => "? messages".to_owned(),
        (Kind::SysvQueue, Some(part), Some(of)) => {
            let messages = wire::say::count(object.messages.unwrap_or(0), "message");
            format!("{} {messages}, {part} of {of} bytes", bar(part, of))
        }
        (Kind::SysvSemaphore, ..) if !object.values.is_empty() => {
            let values: Vec<_> = object
                .values
                .iter()
                .take(16)
                .map(|(it, _)| it.to_string())
                .collect();
            format!("values {}", values.join(" "))
        }
        (Kind::PosixSemaphore, Some(value), _) => format!("value {value}"),
        (Kind::Eventfd, Some(count), _) => format!("count {count}"),
        (kind, _, Some(size)) if kind.is_memory() => {
            format!("{} bytes", grouped(size))
        }
        _ => String::new(),
    }
}

/// `sender 4212 → pipe 55307 → receiver 4211 → sender 4212   deadlock`.
pub(super) fn cycle_text(map: &Map, cycle: &Cycle) -> String {
    let mut words = Vec::new();
    for (process, on) in &cycle.steps {
        words.push(map.who(*process));
        words.extend(waited_on(map, *on));
    }
    words.extend(cycle.steps.first().map(|(process, _)| map.who(*process)));
    let verdict = match cycle.doubt {
        None => "deadlock".to_owned(),
        Some(why) => format!("possible deadlock: {why}"),
    };
    format!("{}   {verdict}", words.join(" → "))
}

/// A line that is not wider than this.
fn cut(line: &str, width: usize) -> String {
    if display_width(line) <= width {
        return line.to_owned();
    }
    let mut out = String::new();
    for c in line.chars() {
        if display_width(&out) + display_width(c.encode_utf8(&mut [0; 4])) + 1
            > width
        {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}
