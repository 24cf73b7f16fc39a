//! What others have named reaches no terminal, no picture and no line of JSON as it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use wire::visible::hides;

use super::*;

/// ESC, BEL, CR, LF, DEL, U+009B, U+202E, U+2066, U+FEFF, U+2028, no UTF-8, and XML's own.
const NASTY: &[u8] =
    b"a\x1b[31m\x07\r\n\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa6\xef\xbb\xbf\xe2\x80\xa8\xff<&\"]]>";

/// A process that calls itself so, and a FIFO, a memfd, a socket, an abstract name, a
/// directory that inotify tells of, and arguments of that name.
const CODE: &str = r"
import ctypes, os, shutil, socket, sys
name = os.fsencode(sys.argv[1])
libc = ctypes.CDLL(None)
os.mkfifo(name)
fifo = os.open(name, os.O_RDWR)
memory = os.memfd_create(sys.argv[1])
watch = libc.inotify_init1(0)
libc.inotify_add_watch(watch, b'.', 0x100)
child = os.fork()
if not child:
    # A thread's name is not cut at a character either.
    libc.prctl(15, name[:15], 0, 0, 0)
    os.write(fifo, b'x'); os.write(memory, b'y')
    open(name + b'.new', 'w').close()
    os._exit(0)
os.waitpid(child, 0)
os.read(fifo, 1); os.pread(memory, 1, 0); os.read(watch, 4096)
for address in (b'\0' + name, name + b'.sock'):
    one = socket.socket(socket.AF_UNIX); one.bind(address); one.listen()
    other = socket.socket(socket.AF_UNIX); other.connect(address)
    peer, _ = one.accept()
    other.send(name); peer.recv(99)
shutil.copy('/bin/true', name + b'.bin')
if not os.fork(): os.execv(name + b'.bin', [name, name])
os.wait()
";

fn plain(what: &str, text: &str) {
    let bad: Vec<_> = text.chars().filter(|c| hides(*c) && *c != '\n').collect();
    assert!(bad.is_empty(), "{what}: {bad:?} in {text:?}");
}

#[test]
fn what_a_stranger_named_cannot_reprogram_the_terminal_nor_break_the_picture() {
    let Some(python) = python() else { return };
    let (subject, elsewhere) = (subject("fifo"), tempfile::tempdir().unwrap());
    let svg = subject.dir().join("nasty.svg");
    for (number, options) in [
        &["--width", "60"][..],
        &["--width", "250"],
        &["--all"],
        &["--json"],
        &["--json", "--all"],
    ]
    .iter()
    .enumerate()
    {
        let dir = elsewhere.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        let mut command = ipclab(&subject, &["trace", "--color", "never"]);
        command.current_dir(dir).args(*options).arg("--svg").arg(&svg);
        command.args(["--", python, "-c", CODE]).arg(OsStr::from_bytes(NASTY));
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let text = String::from_utf8(outcome.stdout.clone()).unwrap();
        plain("the drawing", &text);
        assert!(text.contains("x1b[31m"), "{text}");
        let picture = std::fs::read_to_string(&svg).unwrap();
        plain("the picture", &picture);
        let parsed = roxmltree::Document::parse(&picture);
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {picture}"));
        let title =
            parsed.descendants().find(|node| node.has_tag_name("title")).unwrap();
        assert!(title.text().unwrap().contains(r#"\xff<&"]]>"#), "{title:?}");
        if options.contains(&"--json") {
            // The name is whole, and what it is: but for the byte that is no text.
            let named = read(&outcome).into_iter().any(|event| {
                event["process"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("a\u{1b}[31m\u{7}\r\n"))
            });
            assert!(named, "{text}");
        }
    }
}

#[test]
fn a_program_of_a_strange_name_is_told_in_one_plain_line() {
    let subject = subject("fifo");
    let mut command = ipclab(&subject, &["trace", "--"]);
    command.arg(OsStr::from_bytes(NASTY));
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(outcome.stderr.lines().count(), 1, "{:?}", outcome.stderr);
    plain("the error", &outcome.stderr);
    let file = subject.dir().join(OsStr::from_bytes(NASTY));
    std::fs::write(&file, "#!/bin/sh\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&file, mode).unwrap();
    let mut command = ipclab(&subject, &["trace", "--color", "never", "--"]);
    command.arg(&file);
    let outcome = run(command, Input::Nothing);
    assert!(
        outcome.stderr.contains("ended with exit status 3"),
        "{}",
        outcome.stderr
    );
    plain("the error", &outcome.stderr);
    plain("the drawing", &String::from_utf8(outcome.stdout).unwrap());
}

#[test]
fn two_words_without_the_dashes_are_told_how_programs_are_named() {
    let subject = subject("fifo");
    for (words, way_out) in [
        (&["./recv", "./send"][..], "ipclab trace -- ./recv ::: ./send"),
        (&["./recv"], "ipclab trace -- ./recv"),
        (&["fifo", "./send"], "trace shows one chapter"),
    ] {
        let outcome = traced(&subject, words);
        assert_eq!(outcome.status.code(), Some(2), "{words:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        let told = outcome.stderr.contains(way_out);
        assert!(told, "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_proc_of_another_pid_namespace_is_said_and_nothing_is_drawn() {
    if !nix::unistd::geteuid().is_root() {
        skip("only root makes a pid namespace");
        return;
    }
    let subject = subject("fifo");
    for words in [&["fifo"][..], &["--", "true"]] {
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child"])
            .arg(program())
            .arg("trace");
        command.args(words).env("IPCLAB_DIR", subject.dir());
        let outcome = run(command, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("another PID namespace"),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stdout.is_empty());
    }
}
