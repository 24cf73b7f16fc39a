//! A role that fails by a limit of the machine names `ipclab doctor`, and doctor knows the limit.

use std::process::Command;

use crate::support::*;
use crate::{doctor_after, found};

/// The one line of a command that fails, and the section of doctor that it names.
fn named(command: Command) -> (String, Option<String>) {
    let outcome = run(command, Input::Nothing);
    let line = contract::failed_clearly(&outcome).unwrap();
    let section = line.split_once(" doctor ").map(|(_, after)| {
        let (section, rest) = after.split_once(' ').unwrap();
        assert_eq!(rest.trim_end(), "tells more", "{line}");
        section.to_owned()
    });
    (line, section)
}

/// The role `words` after the words `before`.
fn role(subject: &Subject, before: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(program()).args(words);
    command.env("IPCLAB_DIR", subject.dir()).current_dir(subject.dir());
    command
}

#[test]
fn a_limit_is_named_and_doctor_has_it() {
    let cases: [(&[&str], &[&str], &str, &str); 4] = [
        (
            &["prlimit", "--msgqueue=0:0"],
            &["posixmq", "receiver"],
            "EMFILE",
            "posix-queue",
        ),
        (
            &["prlimit", "--msgqueue=0:0"],
            &["-q", "posixmq", "sender", "x"],
            "EMFILE",
            "posix-queue",
        ),
        (&["prlimit", "--nofile=4:4"], &["unix", "server"], "EMFILE", "open-files"),
        (
            &["unshare", "-rn"],
            &["tcp", "client", "--at", "127.0.0.1:9"],
            "ENETUNREACH",
            "tcp-v4",
        ),
    ];
    for (before, words, errno, finding) in cases {
        let subject = subject("fifo");
        if !have(before[0]) || !offers("experiment", "namespaces") {
            return;
        }
        let (line, section) = named(role(&subject, before, words));
        assert!(line.contains(errno), "{line}");
        let section = section.unwrap_or_else(|| panic!("no doctor: {line}"));
        let chapter = words.iter().find(|word| !word.starts_with('-')).unwrap();
        assert_eq!(section, **chapter, "{line}");
        let looser = before.iter().map(|word| match *word {
            "--nofile=4:4" => "--nofile=40:40", // doctor itself needs some
            word => word,
        });
        let mut doctor = doctor_after(&subject, &looser.collect::<Vec<_>>());
        doctor.arg(&section);
        let all = found(doctor);
        assert_ne!(all.mark(finding), "ok", "{line}");
    }
}

#[test]
fn what_is_no_limit_names_no_doctor() {
    let subject = subject("fifo");
    let cases: [&[&str]; 3] = [
        &["fifo", "sender", "--at", "./none/of/this", "x"],
        &["unix", "client", "--at", "/dev/null", "x"],
        &["shm", "receiver", "--capacity", "1"],
    ];
    for words in cases {
        let outcome = run(ipclab(&subject, words), Input::Nothing);
        assert!(!outcome.status.success(), "{words:?}");
        assert!(!outcome.stderr.contains(" doctor "), "{}", outcome.stderr);
    }
}

#[test]
fn a_trace_that_is_refused_names_doctor_and_doctor_says_why() {
    let subject = subject("fifo");
    let program = program();
    let program = program.to_str().unwrap();
    let refused = |words: &[&str]| {
        let all = [&[program][..], words].concat();
        refusing(&subject, (libc::SYS_ptrace, libc::EPERM), &all)
    };
    let Some(trace) = refused(&["trace", "fifo"]) else { return };
    let (line, section) = named(trace);
    assert!(line.contains("ptrace") && line.contains("EPERM"), "{line}");
    assert_eq!(section.as_deref(), Some("trace"), "{line}");
    let all = found(refused(&["doctor", "trace", "--json"]).unwrap());
    assert_eq!(all.mark("ptrace"), "missing");
    let all = &all.whole["sentence"];
    assert_eq!(all, "ipclab trace does not run here; missing (✗): ptrace.");
}
