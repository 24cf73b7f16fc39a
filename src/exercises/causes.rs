//! What an error of the learner's program usually means, whatever the exercise.

use nix::errno::Errno;

use super::judge::has_word;
use super::schema::Played;

/// What an error of the program usually comes from: by its name, a sentence or two.
const ERRORS: [(Errno, &str); 24] = [
    (
        Errno::EACCES,
        "the mode of the file, or of a directory above it, forbids it to this user.",
    ),
    (
        Errno::EADDRINUSE,
        "a socket has this address already. A Unix socket's name stays when its process has \
         ended; a TCP port is kept for a minute after its connections: SO_REUSEADDR.",
    ),
    (
        Errno::EAGAIN,
        "nothing is to be had now, or there is no room: the descriptor has O_NONBLOCK, or a \
         limit of time has passed. To sleep until there is, take poll(2), or a call that blocks.",
    ),
    (
        Errno::EBADF,
        "the number is no open descriptor: it was closed, or never opened.",
    ),
    (
        Errno::ECHILD,
        "no child is left to wait for: another wait has taken it, or SIGCHLD is ignored.",
    ),
    (Errno::ECONNREFUSED, "nobody listens there: not yet, or no longer."),
    (
        Errno::ECONNRESET,
        "the other side has closed with bytes of yours unread, or was killed so. For a server that \
         is one client's end, and not its own.",
    ),
    (
        Errno::EDEADLK,
        "the lock is held by the same thread, or by processes that wait for each other.",
    ),
    (
        Errno::EEXIST,
        "something has this name already: the other role, which came first, or a program that was \
         killed. If yours can work with it, open it.",
    ),
    (
        Errno::EFAULT,
        "an address that was given to the call is no memory of the program's.",
    ),
    (Errno::EIDRM, "the object was removed while the call slept."),
    (
        Errno::EINTR,
        "a signal's handler ran while the call slept, and the call has done nothing. Make it again; \
         for which calls SA_RESTART does that, signal(7) says.",
    ),
    (
        Errno::EINVAL,
        "an argument is out of its range: a size, a flag, or an offset. The call's page has the list.",
    ),
    (Errno::EISCONN, "the socket is connected already."),
    (
        Errno::EMFILE,
        "all numbers of descriptors are in use: something is opened again and again, and not closed.",
    ),
    (
        Errno::EMSGSIZE,
        "the message is longer than the buffer, the queue, or a datagram may be.",
    ),
    (
        Errno::ENOENT,
        "nothing has this name: the other role has not made it yet, or has removed it already.",
    ),
    (
        Errno::ENOSPC,
        "the file system, or the kernel's table of such objects, is full.",
    ),
    (
        Errno::ENOTCONN,
        "the socket is not connected: the other side has gone, or never came.",
    ),
    (
        Errno::ENXIO,
        "the FIFO was opened to write with O_NONBLOCK, and nobody has it open to read.",
    ),
    (
        Errno::EPIPE,
        "it writes where nobody reads any more. If that is no error for the task, handle it; if \
         the reader should still be there, look why it has ended.",
    ),
    (Errno::ESRCH, "there is no process with this id: it has ended."),
    (
        Errno::ETIMEDOUT,
        "the limit of time has passed, and what was waited for has not come.",
    ),
    (
        Errno::E2BIG,
        "the message is longer than the buffer for it, and was left in the queue.",
    ),
];

/// What a word in the check's own verdict, or in a traceback, usually means.
const WORDS: [(&str, &str); 6] = [
    (
        "SIGPIPE",
        "it ends a program that writes into a pipe or a socket of which nobody has the other end. \
         Ignored, or with MSG_NOSIGNAL, the call fails with EPIPE instead.",
    ),
    (
        "SIGSEGV",
        "the program has touched memory that is not its own. cc -g -fsanitize=address names the line.",
    ),
    (
        "SIGBUS",
        "the program has touched a page of a mapping that has no file behind it: the file is \
         shorter than the mapping, or its file system is full.",
    ),
    (
        "SIGABRT",
        "abort(3): an assertion, or the C library has found its heap damaged.",
    ),
    (
        "SIGXFSZ",
        "the file would have become larger than the limit (RLIMIT_FSIZE): ignored, the call fails with EFBIG.",
    ),
    (
        "UnicodeDecodeError",
        "what comes is bytes, and need not be text. Keep bytes: os.read, sys.stdout.buffer, no \
         decode.",
    ),
];

/// The name of the error by which the program failed in `stage`, if there is something to say
/// of it. The partner's errors follow from it.
pub(super) fn of(stage: &Played) -> Option<String> {
    let faults = stage.faults.iter().filter(|fault| fault.starts_with("Your "));
    let said = stage.story.iter().filter(|part| part.title.starts_with("Your "));
    let said = said.map(|part| &part.text);
    said.chain(faults).find_map(|text| named_in(text))
}

/// The name of the error that `said` tells last.
fn named_in(said: &str) -> Option<String> {
    said.lines().rev().find_map(|line| {
        let has = |word: &str| has_word(line, word);
        // nix, Python's OSError, Rust's io::Error, and perror(3).
        let tells = |errno: Errno| {
            let number = errno as i32;
            has(&name(errno))
                || line.contains(&format!("[Errno {number}]"))
                || line.contains(&format!("(os error {number})"))
                || line.ends_with(errno.desc())
        };
        let word = WORDS.iter().find(|(word, _)| has(word));
        let errno = || ERRORS.iter().find(|(errno, _)| tells(*errno));
        word.map(|(word, _)| (*word).to_owned())
            .or_else(|| errno().map(|(errno, _)| name(*errno)))
    })
}

/// What is to be said of the error of this name.
pub(super) fn meaning(of: &str) -> Option<&'static str> {
    let word = WORDS.iter().find(|(name, _)| *name == of);
    let error = || ERRORS.iter().find(|(errno, _)| name(*errno) == of);
    word.map(|(_, text)| *text).or_else(|| error().map(|(_, text)| *text))
}

/// `EPIPE` of [`Errno::EPIPE`].
fn name(errno: Errno) -> String {
    format!("{errno:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_in_the_words_of_each_language() {
        for said in [
            "sender: write: EPIPE: Broken pipe",
            "Error: EPIPE",
            "Traceback (most recent call last):\n  …\nBrokenPipeError: [Errno 32] Broken pipe",
            "Error: Os { code: 32, kind: BrokenPipe, message: \"Broken pipe\" } (os error 32)",
            "write: Broken pipe\n  note: run with RUST_BACKTRACE=1",
        ] {
            assert_eq!(named_in(said).as_deref(), Some("EPIPE"), "{said}");
        }
        let ended = named_in("Your sender was ended by SIGPIPE.");
        assert_eq!(ended.as_deref(), Some("SIGPIPE"));
        assert_eq!(named_in("receiver: no message came"), None);
        for (errno, text) in ERRORS {
            assert_eq!(meaning(&name(errno)), Some(text));
        }
    }
}
