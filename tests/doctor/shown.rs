//! What is shown: marks, the last sentence, JSON, the block to paste.

use crate::support::*;
use crate::{doctor_after, found};

/// What `ipclab doctor` prints with these arguments.
fn printed(
    subject: &Subject,
    args: &[&str],
    set: &[(&str, &str)],
) -> (String, Option<i32>) {
    let mut command = ipclab(subject, &["doctor"]);
    command.args(args).envs(set.iter().copied());
    let outcome = run(command, Input::Nothing);
    (String::from_utf8(outcome.stdout).unwrap(), outcome.status.code())
}

#[test]
fn the_sentence_and_the_counts_agree_with_the_marks() {
    let subject = subject("fifo");
    for args in [&[][..], &["fifo"], &["posixmq"], &["mpi"], &["dbus"]] {
        let mut command = doctor_after(&subject, &["env"]);
        command.args(args);
        let all = found(command);
        let (mut limited, mut missing, mut necessary) = (0, Vec::new(), 0);
        for one in all.whole["findings"].as_array().unwrap() {
            match one["mark"].as_str().unwrap() {
                "limited" => limited += 1,
                "missing" => {
                    missing.push(one["name"].as_str().unwrap());
                    necessary += u32::from(one["necessary"] == true);
                }
                mark => assert_eq!(mark, "ok"),
            }
        }
        assert_eq!(all.whole["limited"], limited);
        assert_eq!(all.whole["missing"], missing.len());
        let sentence = all.whole["sentence"].as_str().unwrap();
        let begins = match (necessary, missing.len(), limited) {
            (1.., ..) => "Not all of ",
            (0, 1.., _) => "Most of ",
            _ => "Everything in ",
        };
        assert!(sentence.starts_with(begins), "{args:?}: {sentence}");
        for name in missing {
            assert!(necessary > 0 || sentence.contains(name), "{name}: {sentence}");
        }
        let tells = sentence.contains("limited");
        assert_eq!(tells, limited > 0, "{args:?}: {sentence}");
        assert_eq!(all.status, Some(i32::from(necessary > 0)));
    }
}

#[test]
fn what_is_printed_ends_with_a_sentence_that_agrees_with_its_marks() {
    let subject = subject("fifo");
    for args in [&["--all"][..], &["fifo"], &["dbus"]] {
        let (text, _) = printed(&subject, args, &[("DBUS_SESSION_BUS_ADDRESS", "")]);
        let sentence = text.lines().last().unwrap_or_default();
        let count =
            |begin| text.lines().filter(|line| line.starts_with(begin)).count();
        let tells = match count("  ! ") {
            0 => !sentence.contains("limited"),
            1 => sentence.contains("One thing is limited (!)."),
            n => sentence.contains(&format!("{n} things are limited (!).")),
        };
        assert!(tells, "{sentence}: {text}");
        assert_eq!(sentence.contains('✗'), count("  ✗ ") > 0, "{sentence}: {text}");
    }
}

#[test]
fn all_and_one_chapter_have_the_same_mark_and_count() {
    // Where there is no loopback, and another IPC namespace.
    for before in [&["env"][..], &["unshare", "-rni"]] {
        if before.len() > 1 && !offers("experiment", "namespaces") {
            return;
        }
        let subject = subject("fifo");
        let head = |words: &[&str], name: &str| {
            let mut command = std::process::Command::new(before[0]);
            command.args(&before[1..]).arg(program()).arg("doctor").args(words);
            command.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
            let text =
                String::from_utf8(run(command, Input::Nothing).stdout).unwrap();
            let is_head = |line: &&str| line.split_whitespace().nth(1) == Some(name);
            let line =
                text.lines().filter(|line| !line.starts_with(' ')).find(is_head);
            line.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
        };
        for name in ["tcp", "fdpass", "shm", "semaphore", "sysvmq", "mmap", "trace"]
        {
            let (all, one) = (head(&[], name), head(&[name], name));
            assert_eq!(all, one, "{before:?}");
            let lost = before.len() > 1 && ["tcp", "fdpass"].contains(&name);
            assert!(!lost || one.starts_with('✗'), "{one}");
        }
    }
}

#[test]
fn strict_fails_for_whatever_is_not_ok() {
    let subject = subject("fifo");
    let none = [("DBUS_SESSION_BUS_ADDRESS", "")];
    assert_eq!(printed(&subject, &["dbus"], &none).1, Some(0));
    assert_eq!(printed(&subject, &["dbus", "--strict"], &none).1, Some(1));
}

#[test]
fn one_chapter_has_all_of_its_lines_and_no_others() {
    let subject = subject("fifo");
    let (text, _) = printed(&subject, &["posixmq"], &[]);
    assert!(
        text.contains("mq_open, mq_send") && text.contains("ulimit -q"),
        "{text}"
    );
    assert!(text.contains(" ms)"), "{text}");
    assert!(!text.contains("msgget"), "{text}");
}

#[test]
fn marks_are_ascii_where_the_locale_is() {
    let subject = subject("fifo");
    let (text, _) = printed(&subject, &["--all"], &[("LC_ALL", "C")]);
    assert!(text.is_ascii(), "{text}");
    assert!(text.starts_with("+ all chapters"), "{text}");
    let (text, _) = printed(&subject, &["--all"], &[("LC_ALL", "C.UTF-8")]);
    assert!(text.starts_with("✓ all chapters"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where nobody sees it");
}

#[test]
fn the_report_has_no_names_and_no_paths() {
    let secret = tempfile::Builder::new().prefix("secret-").tempdir().unwrap();
    let subject = subject("fifo");
    let none = secret.path().join("none/of/this");
    let set = [
        ("HOME", secret.path().to_str().unwrap()),
        ("IPCLAB_DIR", "/proc/secret-place"),
        ("IPCLAB_PYTHON", none.to_str().unwrap()),
        ("CC", none.to_str().unwrap()),
        ("USER", "secret-user"),
    ];
    let (text, status) = printed(&subject, &["--report"], &set);
    assert_eq!(status, Some(1));
    assert!(
        text.starts_with("```text\nipclab ") && text.ends_with("```\n"),
        "{text}"
    );
    for one in ["secret", "/tmp", "/home"] {
        assert!(!text.contains(one), "{one}: {text}");
    }
    for one in
        ["kernel: Linux ", "C library: ", "missing runtime-directory", "python"]
    {
        assert!(text.contains(one), "{one}: {text}");
    }
}

#[test]
fn it_fits_into_any_width() {
    use crate::support::terminal::Terminal;
    use textwrap::core::display_width;
    let subject = subject("fifo");
    for columns in [60, 80, 120] {
        for args in [&["doctor"][..], &["doctor", "--all"], &["doctor", "posixmq"]] {
            let mut command = ipclab(&subject, args);
            command.env_remove("COLUMNS");
            let Some(terminal) = Terminal::of_columns(&command, columns) else {
                return;
            };
            let (_, text) = terminal.ends();
            for line in text.lines() {
                assert!(
                    display_width(line) <= usize::from(columns),
                    "{columns}: {line}"
                );
            }
        }
    }
}
