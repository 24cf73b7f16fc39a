//! What a newcomer reads at a terminal: at each width no line is longer than it.

mod support;

use std::process::Command;

use support::terminal::Terminal;
use support::*;
use textwrap::core::display_width;

const WIDTHS: [u16; 3] = [60, 80, 120];

/// All that `ipclab` shows with these words on a terminal of so many columns; `None` if there
/// can be none.
fn shown(subject: &Subject, args: &[&str], columns: u16) -> Option<String> {
    let mut command = ipclab(subject, args);
    command.env_remove("COLUMNS").env("XDG_STATE_HOME", subject.dir().join("state"));
    let (_, text) = Terminal::of_columns(&command, columns)?.ends();
    Some(text.replace("\r\n", "\n"))
}

/// What has no word in it that could be broken may be longer: a command, a path.
fn fits(args: &[&str], text: &str, columns: u16) {
    // What stood in a line before \r is not there any more.
    for line in text.lines().flat_map(|line| line.split('\r')) {
        let wide = display_width(line);
        assert!(
            wide <= usize::from(columns),
            "{args:?} at {columns}: {wide}: {line}"
        );
    }
}

fn all_fit(commands: &[&[&str]]) {
    let subject = subject("fifo");
    for args in commands {
        for columns in WIDTHS {
            let Some(text) = shown(&subject, args, columns) else { return };
            assert!(!text.is_empty(), "{args:?}");
            fits(args, &text, columns);
        }
    }
}

#[test]
fn the_first_pages_fit_into_any_width() {
    all_fit(&[&[], &["list"], &["help"], &["experiment"], &["man", "--help"]]);
    let rows = chapters::rows();
    let chapters: Vec<Vec<&str>> = rows.iter().map(|row| vec![row.name]).collect();
    let chapters: Vec<&[&str]> = chapters.iter().map(Vec::as_slice).collect();
    all_fit(&chapters);
}

#[test]
fn the_help_of_every_verb_and_chapter_fits_into_any_width() {
    let all = ipclab::cli::command();
    let names: Vec<_> = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| [command.get_name(), "--help"])
        .collect();
    all_fit(&names.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>());
}

#[test]
fn the_help_of_every_role_fits_into_any_width() {
    let rows = chapters::rows();
    let roles = rows
        .iter()
        .flat_map(|row| row.roles.iter().map(|role| ["help", row.name, role.name]));
    let roles: Vec<_> = roles.collect();
    all_fit(&roles.iter().map(<[_; 3]>::as_slice).collect::<Vec<_>>());
}

#[test]
fn lists_answers_errors_and_the_demo_fit_into_any_width() {
    all_fit(&[
        &["experiment", "fifo"],
        &["next"],
        &["experiment", "signal", "--show"],
        &["experiment", "fifo/no-reader-enxio", "--guess", "1"],
        &["experiment", "nothing-of-that-name"],
        &["message", "queue"],
        &["trace", "./receive", "./send"],
        &["demo", "nothing"],
        &["tcp", "server", "--port", "8080"],
        &["dbus", "client"],
        &["demo", "fifo", "tcp", "mpi"],
    ]);
}

#[test]
fn a_wide_terminal_has_a_chapter_a_line_and_a_narrow_one_hanging_indents() {
    let subject = subject("fifo");
    let Some(wide) = shown(&subject, &["list"], 120) else { return };
    assert_eq!(wide.lines().count(), chapters::rows().len(), "{wide}");
    let narrow = shown(&subject, &["list"], 60).unwrap();
    for line in narrow.lines() {
        let indent = line.len() - line.trim_start().len();
        assert!(indent == 2 || indent == 12, "{narrow}");
    }
}

#[test]
fn what_is_piped_has_no_colours_and_a_paragraph_is_one_line() {
    let subject = subject("fifo");
    for row in chapters::rows() {
        let mut command = ipclab(&subject, &[row.name]);
        command.env_remove("CLICOLOR_FORCE");
        let text = String::from_utf8(run(command, Input::Nothing).stdout).unwrap();
        assert!(!text.contains('\x1b'), "{text}");
        assert!(text.contains(&format!("On the wire: {}.\n", row.wire)), "{text}");
    }
}

#[test]
fn the_question_takes_q_and_ctrl_d_and_enter_after_a_typo_gives_nothing_away() {
    let subject = subject("fifo");
    let asked = |typed: &[(&str, &str)]| {
        let mut command = ipclab(&subject, &["experiment", "fifo/open-sleeps"]);
        command.env("XDG_STATE_HOME", subject.dir().join("state"));
        let mut terminal = Terminal::of(&command)?;
        for (prompt, keys) in typed {
            terminal.shows(prompt, 1);
            terminal.types(keys);
        }
        Some(terminal.ends())
    };
    let Some((status, text)) = asked(&[("q leaves): ", "q\n")]) else { return };
    assert!(status.success() && !text.contains("answer is"), "{text}");
    let (status, text) = asked(&[("q leaves): ", "\x04")]).unwrap();
    assert!(status.success() && text.ends_with("q leaves): \r\n"), "{text}");
    let (_, text) = asked(&[
        ("q leaves): ", "seven\n"),
        ("\"seven\" is none of the answers", "\n"),
        ("Enter once more shows the answer", "q\n"),
    ])
    .unwrap();
    assert!(!text.contains("The answer is"), "{text}");
}

#[test]
fn a_shell_completes_chapters_and_experiments() {
    let subject = subject("fifo");
    let script = |shell| {
        let outcome = run(ipclab(&subject, &["completions", shell]), Input::Nothing);
        String::from_utf8(outcome.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        for (chapter, all) in experiments::ALL {
            for one in *all {
                let id = format!("{chapter}/{}", one.name);
                assert!(script.contains(&id), "{shell}: {id}");
            }
        }
    }
    let file = subject.dir().join("completions");
    std::fs::write(&file, script("bash")).unwrap();
    for (words, wanted) in [
        ("experiment fifo/open", "fifo/open-sleeps"),
        ("experiment sysv", "sysvmq"),
        ("trace fif", "fifo"),
        ("demo mult", "multiplex"),
        ("bench sh", "shm"),
        ("help sema", "semaphore"),
    ] {
        let mut bash = Command::new("bash");
        let ask = ". \"$0\"; COMP_WORDS=(ipclab $1); COMP_CWORD=2; \
                   _ipclab ipclab \"${COMP_WORDS[2]}\" \"${COMP_WORDS[1]}\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";
        bash.args(["--norc", "-c", ask]).arg(&file).arg(words);
        let told = run(bash, Input::Nothing);
        let offered = String::from_utf8(told.stdout).unwrap();
        assert!(
            offered.lines().any(|line| line == wanted),
            "{words}: {offered}{}",
            told.stderr
        );
    }
}
