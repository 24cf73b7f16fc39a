//! The command line: help, listing, usage errors, colours.

mod support;

use std::process::Command;

use support::*;

fn ipclab_alone(args: &[&str]) -> Outcome {
    let scratch = subject("fifo");
    run(ipclab(&scratch, args), Input::Nothing)
}

/// Wants exit status 2 and one line on stderr; returns it.
fn refused(args: &[&str]) -> String {
    let outcome = ipclab_alone(args);
    assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
    assert!(outcome.stdout.is_empty(), "{args:?} printed something");
    assert_eq!(outcome.stderr.lines().count(), 1, "{args:?}: {}", outcome.stderr);
    assert!(outcome.stderr.starts_with("ipclab: "), "{}", outcome.stderr);
    outcome.stderr
}

fn printed(args: &[&str]) -> String {
    let outcome = ipclab_alone(args);
    assert!(outcome.status.success(), "{args:?}: {}", outcome.stderr);
    assert_eq!(outcome.stderr, "", "{args:?}");
    String::from_utf8(outcome.stdout).unwrap()
}

#[test]
fn alone_it_shows_the_chapters_and_where_to_begin() {
    let text = printed(&[]);
    assert!(text.contains("ipclab demo"), "{text}");
    for row in chapters::rows() {
        assert!(text.contains(row.name), "{text}");
    }
}

#[test]
fn the_listing_has_its_roles_in_one_column() {
    let text = printed(&["list"]);
    let column = |(line, row): (&str, &wire::chapter::Row)| {
        let at =
            line.rfind(&format!(" {}, ", row.roles[0].name)).expect("its roles");
        line[..at].chars().count()
    };
    let columns: Vec<_> = text.lines().zip(chapters::rows()).map(column).collect();
    assert!(columns.iter().all(|at| *at == columns[0]), "{columns:?}: {text}");
}

#[test]
fn a_chapter_alone_shows_its_roles_its_wire_and_the_commands() {
    for row in chapters::rows() {
        let text = printed(&[row.name]);
        assert!(text.contains(row.wire) && text.contains(row.summary), "{text}");
        for role in row.roles {
            assert!(text.contains(role.does), "{text}");
        }
    }
}

#[test]
fn the_help_of_every_role_has_examples_that_begin_with_it() {
    for row in chapters::rows() {
        for role in row.roles {
            let text = printed(&[row.name, role.name, "--help"]);
            let example = format!(" ipclab {} {}", row.name, role.name);
            assert!(text.starts_with(role.does), "{text}");
            assert!(text.contains(&example), "{text}");
            assert!(text.contains("--timeout"), "{text}");
        }
    }
}

#[test]
fn the_examples_in_the_help_are_valid_command_lines() {
    for row in chapters::rows() {
        for role in row.roles {
            assert!(!role.examples.is_empty(), "{} {}", row.name, role.name);
            for command in role.command_lines() {
                let from = command.find("ipclab ").expect("the program");
                let first =
                    command[from..].split(['|', '<', '>', '&', ';']).next().unwrap();
                let words = first.split_whitespace();
                let parsed = ipclab::cli::command().try_get_matches_from(words);
                parsed.unwrap_or_else(|error| panic!("{command}: {error}"));
            }
        }
    }
}

#[test]
fn an_unknown_chapter_gets_the_nearest_name() {
    assert!(refused(&["fifi"]).contains("'fifo'"));
    assert!(refused(&["fifo", "sendr"]).contains("'sender'"));
    assert!(refused(&["fifo", "sender", "--framin", "lines"]).contains("--framing"));
    assert!(refused(&["demo", "fif"]).contains("'fifo'"));
}

#[test]
fn a_mistaken_command_line_gets_what_may_have_been_meant() {
    for (words, meant) in [
        ("queue", "did you mean 'posixmq' or 'sysvmq'?"),
        ("message queue", "did you mean 'posixmq' or 'sysvmq'?"),
        ("named pipe", "did you mean 'fifo'?"),
        ("FIFO", "did you mean 'fifo'?"),
        ("domain socket", "did you mean 'unix'?"),
        ("epoll", "did you mean 'multiplex'?"),
        ("run fifo", "did you mean 'demo'?"),
        ("learn", "did you mean 'experiment'?"),
        ("continue", "did you mean 'next'?"),
        ("resume", "did you mean 'next'?"),
        ("practice", "did you mean 'exercise'?"),
        ("next epoll", "did you mean 'multiplex'?"),
        ("experiment fifo --ask", "did you mean '--quiz'?"),
        ("help queue", "did you mean 'posixmq' or 'sysvmq'?"),
        ("fifo reader", "did you mean 'receiver'?"),
        ("fifo server", "did you mean 'receiver'?"),
        ("tcp sender", "did you mean 'client'?"),
        ("tcp server --port 8080", "did you mean '--listen HOST:PORT'?"),
        ("tcp client --port 8080", "did you mean '--at HOST:PORT'?"),
        ("fifo sender --binary", "did you mean '--bytes'?"),
        ("demo queue", "did you mean 'posixmq' or 'sysvmq'?"),
        ("bench dbus", "bench knows no chapter 'dbus'; it knows "),
        ("trace ./recv ./send", "ipclab trace -- ./recv ::: ./send"),
        ("trace ./prog", "ipclab trace -- ./prog"),
        ("trace epoll", "did you mean 'multiplex'?"),
        ("trace fifo tcp", "ipclab trace fifo"),
        ("experiment open-sleeps", "did you mean 'fifo/open-sleeps'?"),
        ("experiment fifo open-sleeps", "did you mean 'fifo/open-sleeps'?"),
        ("experiment epoll", "did you mean 'multiplex'?"),
        (
            "exercise start fifo/reciever",
            "'fifo/reciever'; did you mean 'fifo/receiver'?",
        ),
        ("exercise check restart", "did you mean 'tcp/restart'?"),
        ("exercise start fifo", "ipclab exercise list fifo"),
        ("exercise hint xyzzy", "; see ipclab exercise list"),
        ("exercise list fifi", "did you mean 'fifo'?"),
        ("dbus client", "for example: ipclab dbus client call "),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let line = refused(&words);
        assert!(line.contains(meant), "{words:?}: {line}");
        assert!(!line.contains("[possible values"), "{words:?}: {line}");
    }
}

#[test]
fn help_is_a_word_before_and_after_a_chapter_too() {
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    for row in chapters::rows() {
        assert_eq!(printed(&["help", row.name]), printed(&[row.name]));
        assert_eq!(printed(&[row.name, "help"]), printed(&[row.name]));
        let role = row.roles[0].name;
        let page = printed(&[row.name, role, "--help"]);
        assert_eq!(printed(&["help", row.name, role]), page);
        assert_eq!(printed(&[row.name, "help", role]), page);
    }
    assert_eq!(printed(&["help", "trace"]), printed(&["trace", "--help"]));
    assert_eq!(printed(&["trace", "help"]), printed(&["trace", "--help"]));
}

#[test]
fn the_first_pages_name_what_can_be_done_next_and_only_what_there_is() {
    let first = printed(&[]);
    for verb in
        ["demo", "trace", "experiment", "exercise", "bench", "next", "help", "book"]
    {
        assert!(first.contains(verb), "{verb}: {first}");
    }
    for row in chapters::rows() {
        let page = printed(&[row.name]);
        let named =
            page.lines().filter_map(|line| line.trim().strip_prefix("ipclab "));
        for command in named {
            let command = command.split("  ").next().unwrap();
            let command = command.split(['|', '<', '>', '&']).next().unwrap();
            let words = command.split_whitespace();
            let parsed = ipclab::cli::command()
                .try_get_matches_from(["ipclab"].into_iter().chain(words));
            assert!(parsed.is_ok(), "{command}");
        }
        assert!(page.contains(&format!("chapters/{}.md", row.name)), "{page}");
        let has = !experiments::of(row.name).is_empty();
        assert_eq!(
            page.contains(&format!("experiment {}", row.name)),
            has,
            "{page}"
        );
    }
}

#[test]
fn the_man_page_has_the_files_the_environment_and_no_page_that_is_not_there() {
    let page = printed(&["man"]);
    for section in ["CHAPTERS", "VERBS", "FILES", "ENVIRONMENT", "EXIT STATUS"] {
        assert!(page.contains(&format!(".SH \"{section}\"")), "{section}");
    }
    for name in
        ["IPCLAB_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR", "NO_COLOR"]
    {
        assert!(page.contains(name), "{name}");
    }
    assert!(!page.contains("(1)"), "a page of its own is named");
}

#[test]
fn values_that_make_no_sense_are_usage_errors() {
    refused(&["fifo", "receiver", "--timeout", "0"]);
    refused(&["fifo", "receiver", "--timeout", "soon"]);
    refused(&["fifo", "receiver", "--count", "0"]);
    refused(&["fifo", "receiver", "--at", ""]);
    refused(&["fifo", "sender", "--framing", "commas"]);
    refused(&["fifo", "sender", "--bytes", "--framing", "length"]);
    refused(&["fifo", "sender", "--bytes", "message"]);
}

#[test]
fn aliases_of_the_roles_work() {
    let subject = subject("fifo");
    let receiver = RoleProcess::start(
        "recv",
        ipclab(&subject, &["fifo", "recv"]),
        Input::Nothing,
    );
    let receiver = receiver.unwrap();
    let sender = run(ipclab(&subject, &["fifo", "send", "hello"]), Input::Nothing);
    assert!(sender.status.success(), "{}", sender.stderr);
    assert_eq!(receiver.wait(deadline()).unwrap().stdout, b"hello\n");
}

#[test]
fn the_listing_is_also_json() {
    let all: serde_json::Value =
        serde_json::from_str(&printed(&["list", "--json"])).unwrap();
    let rows = chapters::rows();
    assert_eq!(all.as_array().unwrap().len(), rows.len());
    for (object, row) in all.as_array().unwrap().iter().zip(rows) {
        assert_eq!(object["name"], row.name);
        assert_eq!(object["on_peer_death"], row.on_peer_death.text());
        assert_eq!(object["roles"].as_array().unwrap().len(), row.roles.len());
    }
}

#[test]
fn completions_and_the_man_page_are_printed() {
    let bash = printed(&["completions", "bash"]);
    assert!(bash.contains("_ipclab()"));
    let (_, map) = bash.split_once("ipclab__subcmd__map)").unwrap();
    assert!(map.split(";;").next().unwrap().contains(" sysvmq "), "{map}");
    let fish = printed(&["completions", "fish"]);
    let map = fish.lines().find(|line| line.contains("subcommand map\" -f -a"));
    assert!(map.unwrap().contains(" sysvmq "), "{map:?}");
    assert!(printed(&["man"]).contains(".TH ipclab"));
}

#[test]
fn a_closed_output_is_a_quiet_end() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ \"$0\" list; echo $? >&2; } | true"]).arg(program());
    let outcome = run(shell, Input::Nothing);
    assert_eq!(outcome.stderr, "0\n");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let subject = subject("fifo");
    let comment = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = ipclab(&subject, &["pipe", "fork", "hello"]);
        command.args(args).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.envs(variables.iter().copied());
        run(command, Input::Nothing).stderr.contains("\x1b[")
    };
    assert!(!comment(&[], &[]), "coloured though piped");
    assert!(comment(&["--color", "always"], &[]));
    assert!(comment(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!comment(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!comment(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn quiet_leaves_the_payload_alone() {
    let subject = subject("fifo");
    let outcome =
        run(ipclab(&subject, &["-q", "pipe", "fork", "hello"]), Input::Nothing);
    assert_eq!(
        (outcome.stdout.as_slice(), outcome.stderr.as_str()),
        (&b"hello\n"[..], "")
    );
}

#[test]
fn the_peers_command_repeats_the_options_that_both_must_have() {
    let subject = subject("fifo");
    let args = [
        "fifo",
        "receiver",
        "--framing",
        "length",
        "--at",
        "my fifo",
        "--count",
        "2",
    ];
    let receiver =
        RoleProcess::start("receiver", ipclab(&subject, &args), Input::Nothing)
            .unwrap();
    let command = "fifo sender --framing length --at 'my fifo' hello\n";
    receiver.wait_for_comment(command, deadline()).unwrap();
    receiver.stop(nix::sys::signal::Signal::SIGINT, deadline()).unwrap();
}

#[test]
fn the_standard_descriptors_are_not_polled_at_the_start() {
    // A pipe that has been polled once stays slower: see os/start.rs.
    if !have("strace") {
        return;
    }
    let subject = subject("fifo");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=?poll,ppoll,?select,pselect6,write"]);
    strace.arg(program()).args(["-q", "pipe", "sender", "word"]);
    strace.current_dir(subject.dir());
    let outcome = run(strace, Input::Nothing);
    assert_eq!(outcome.stdout, b"word\n");
    let calls: Vec<&str> = outcome.stderr.lines().collect();
    assert!(matches!(calls[..], [only] if only.starts_with("write(")), "{calls:?}");
}

#[test]
fn a_panic_is_status_101() {
    if std::env::var_os("IPCLAB_TEST_PANICS").is_some() {
        os::start::run(|| panic!("as it was told"));
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "a_panic_is_status_101"]).env("IPCLAB_TEST_PANICS", "1");
    let outcome = run(again, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(101));
    // It has ended there and then, and not as a test that failed.
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(!printed.contains("test result"), "{printed}");
}

#[test]
fn the_contract_knows_what_the_table_says() {
    let known = chapters::rows().iter().map(|row| {
        let talks = row.roles.iter().any(|role| role.name == "client");
        (row.name, talks, row.meets, row.on_peer_death)
    });
    assert!(known.eq(CHAPTERS));
}
