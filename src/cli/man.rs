//! The man page: one for all, made from the command line and the table of chapters.

use std::fmt::Write;

use anyhow::Result;
use clap::Command;

use chapters::rows;

/// The files that ipclab reads and makes, and what each is.
const FILES: &[(&str, &str)] = &[
    (
        "$IPCLAB_DIR, else $XDG_RUNTIME_DIR/ipclab, else /tmp/ipclab-UID",
        "The runtime directory: names of FIFOs, sockets, queues and files at which roles meet. \
         The last role out removes what it made; ipclab clean removes what a kill -9 left.",
    ),
    (
        "$XDG_STATE_HOME/ipclab/progress.json, else ~/.local/state/ipclab/progress.json",
        "What you have done: bare programs, traces, experiments, exercises, roles and figures. \
         ipclab next shows it. The file experiments beside it is an older version's, which is \
         read until there is this one.",
    ),
    (
        "$TMPDIR/ipclab-*, else /tmp/ipclab-*",
        "The directory of a running demo, trace, experiment or bench, which goes with it.",
    ),
    (
        "/dev/shm, /dev/mqueue",
        "POSIX shared memory, semaphores and message queues, where a chapter makes them.",
    ),
];

/// The variables that are read.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "IPCLAB_DIR",
        "The runtime directory. Roles that are to meet need the same one.",
    ),
    (
        "XDG_RUNTIME_DIR",
        "Its directory ipclab is the runtime directory, unless IPCLAB_DIR is set.",
    ),
    ("XDG_STATE_HOME, HOME", "Where it is kept what you have done."),
    (
        "TMPDIR",
        "Where the demo, trace, experiment and bench have a directory while they run; /tmp \
         without it.",
    ),
    (
        "NO_COLOR, CLICOLOR_FORCE",
        "No colours on a terminal; colours elsewhere too. The option --color goes before them.",
    ),
    ("COLUMNS", "Lines are folded at so many columns, where the terminal has more."),
    (
        "CC, IPCLAB_PYTHON",
        "The C compiler and the Python interpreter of bench --peers; cc and python3 without them.",
    ),
];

/// The exit statuses.
const STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Failed: one line on standard error says why."),
    ("2", "The command line cannot be."),
    ("124", "The time of --timeout is over."),
];

/// The page.
pub(super) fn page(command: Command) -> Result<String> {
    let verbs: Vec<(String, String)> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && !is_chapter(command.get_name()))
        .map(|command| {
            let about = command.get_about().map(ToString::to_string);
            (command.get_name().to_owned(), about.unwrap_or_default() + ".")
        })
        .collect();
    let chapters: Vec<(String, String)> = rows()
        .iter()
        .map(|row| {
            let roles: Vec<_> = row.roles.iter().map(|role| role.name).collect();
            let what = format!("{}. Its roles: {}.", row.summary, roles.join(", "));
            (row.name.to_owned(), what)
        })
        .collect();
    let man = clap_mangen::Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut page = String::from_utf8(page)?;
    page += ".SH SYNOPSIS\n\\fBipclab\\fR \\fICHAPTER ROLE\\fR [\\fIOPTION\\fR...] \
             [\\fIMESSAGE\\fR...]\n.br\n\\fBipclab\\fR \\fIVERB\\fR [\\fIOPTION\\fR...]\n";
    page += ".SH DESCRIPTION\n";
    let _ = writeln!(
        page,
        "{}",
        roff(
            "A chapter is a mechanism of inter-process communication, with its roles as real \
             processes: the payload is on standard output, what is asked of the kernel on \
             standard error. ipclab CHAPTER tells what is on the wire and which commands to \
             type. ipclab help CHAPTER ROLE, or ipclab help VERB, has all options and \
             examples. The chapters and verbs have no man pages of their own."
        )
    );
    list(&mut page, "CHAPTERS", &chapters);
    list(&mut page, "VERBS", &verbs);
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    page += &String::from_utf8(options)?;
    list(&mut page, "FILES", FILES);
    list(&mut page, "ENVIRONMENT", ENVIRONMENT);
    list(&mut page, "EXIT STATUS", STATUS);
    page += ".SH EXAMPLES\n.nf\nipclab demo\nipclab fifo receiver\nipclab fifo sender hello\n\
             ipclab trace fifo\nipclab experiment fifo\nipclab next\n.fi\n";
    Ok(page)
}

fn is_chapter(name: &str) -> bool {
    chapters::find(name).is_some()
}

/// A section of terms and what they are.
fn list<T: AsRef<str>>(page: &mut String, title: &str, terms: &[(T, T)]) {
    let _ = writeln!(page, ".SH \"{title}\"");
    for (term, what) in terms {
        let (term, what) = (roff(term.as_ref()), roff(what.as_ref()));
        let _ = writeln!(page, ".TP\n\\fB{term}\\fR\n{what}");
    }
}

/// Text that troff takes as it is.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
