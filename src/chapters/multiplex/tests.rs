//! Each selector over pipes, and a FIFO whose writers come and go.

use std::io::{PipeReader, PipeWriter, Read as _, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::io::fcntl_dupfd_cloexec;

use super::connection::NonblockingClient;
use super::inputs::{self, InputState};
use super::kind::SelectorKind;
use super::limits::TURN;
use super::messages::{Messages, Shared};
use super::options::Options;
use super::selector::{Events, Interest, Selector};
use super::server::{MultiplexServer, Token};
use super::signals::EndingSignals;
use wire::dialogue::{self, Reply};
use wire::frame::{Framing, FramingOptions};
use wire::meet::{Meets, Rendezvous};

const ALL: [SelectorKind; 4] = [
    SelectorKind::Select,
    SelectorKind::Poll,
    SelectorKind::Epoll,
    SelectorKind::Default,
];
const NO_TIME: Option<Duration> = Some(Duration::ZERO);

/// What is ready now: the data, and whether to read, to write.
fn now(selector: &mut dyn Selector<usize>) -> Vec<(usize, bool, bool)> {
    let mut ready = Vec::new();
    selector.select(NO_TIME, &mut ready).unwrap();
    let mut seen: Vec<_> = ready
        .into_iter()
        .map(|(key, Events { read, write })| (key.data, read, write))
        .collect();
    seen.sort_unstable();
    seen
}

fn with_pipe(
    with: SelectorKind,
    interest: Interest,
) -> (Box<dyn Selector<usize>>, PipeReader, PipeWriter) {
    let (reading, writing) = pipe().unwrap();
    let mut selector = with.open().unwrap();
    selector.register(reading.as_fd(), interest, 7).unwrap();
    (selector, reading, writing)
}

#[test]
fn what_has_something_to_read_is_told_for_as_long_as_it_has() {
    for with in ALL {
        let (mut selector, mut reading, mut writing) =
            with_pipe(with, Interest::READ);
        assert_eq!(now(&mut *selector), [], "{with}");
        writing.write_all(b"ab").unwrap();
        assert_eq!(now(&mut *selector), [(7, true, false)], "{with}");
        reading.read_exact(&mut [0]).unwrap();
        assert_eq!(now(&mut *selector), [(7, true, false)], "{with}");
        reading.read_exact(&mut [0]).unwrap();
        assert_eq!(now(&mut *selector), [], "{with}");
    }
}

#[test]
fn what_is_written_wakes_the_one_who_sleeps() {
    for with in ALL {
        let (mut selector, _reading, mut writing) = with_pipe(with, Interest::READ);
        let writer = std::thread::spawn(move || {
            writing.write_all(b"x").unwrap();
            writing
        });
        let mut ready = Vec::new();
        selector.select(None, &mut ready).unwrap();
        assert_eq!(ready.len(), 1, "{with}");
        writer.join().unwrap();
    }
}

#[test]
fn a_timeout_ends_the_sleep_with_nothing() {
    for with in ALL {
        let (mut selector, _reading, _writing) = with_pipe(with, Interest::READ);
        let mut ready = Vec::new();
        let began = std::time::Instant::now();
        selector.select(Some(Duration::from_micros(1500)), &mut ready).unwrap();
        assert!(ready.is_empty(), "{with}");
        assert!(began.elapsed() >= Duration::from_micros(1500), "{with}");
    }
}

#[test]
fn the_interest_can_be_changed_and_withdrawn() {
    for with in ALL {
        let mut selector = with.open().unwrap();
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        selector.register(a.as_fd(), Interest::READ, 1).unwrap();
        assert_eq!(now(&mut *selector), [], "{with}");
        selector.modify(a.as_fd(), Interest::WRITE).unwrap();
        assert_eq!(now(&mut *selector), [(1, false, true)], "{with}");
        selector.modify(a.as_fd(), Interest::READ | Interest::WRITE).unwrap();
        (&b).write_all(b"x").unwrap();
        assert_eq!(now(&mut *selector), [(1, true, true)], "{with}");
        let key = selector.unregister(a.as_fd()).unwrap();
        assert_eq!((key.fd, key.data), (a.as_raw_fd(), 1), "{with}");
        assert_eq!(now(&mut *selector), [], "{with}");
        selector.register(a.as_fd(), Interest::READ, 2).unwrap();
        assert_eq!(now(&mut *selector), [(2, true, false)], "{with}");
    }
}

#[test]
fn a_writer_that_is_gone_is_something_to_read() {
    for with in ALL {
        let (mut selector, _reading, writing) = with_pipe(with, Interest::READ);
        drop(writing);
        assert_eq!(now(&mut *selector), [(7, true, false)], "{with}");
    }
}

#[test]
fn a_reader_that_is_gone_is_somewhere_to_write() {
    for with in ALL {
        let (reading, writing) = pipe().unwrap();
        let mut selector = with.open().unwrap();
        selector.register(writing.as_fd(), Interest::WRITE, 3).unwrap();
        drop(reading);
        assert_eq!(now(&mut *selector), [(3, false, true)], "{with}");
    }
}

#[test]
fn of_many_only_the_ready_are_told_also_when_some_have_left() {
    for with in ALL {
        let mut selector = with.open().unwrap();
        let mut pipes: Vec<_> = (0..100).map(|_| Some(pipe().unwrap())).collect();
        for (number, ends) in pipes.iter().enumerate() {
            let (reading, _) = ends.as_ref().unwrap();
            selector.register(reading.as_fd(), Interest::READ, number).unwrap();
        }
        for number in (0..100).step_by(3) {
            let (reading, _) = pipes[number].take().unwrap();
            selector.unregister(reading.as_fd()).unwrap();
        }
        let mut expected = Vec::new();
        for (number, ends) in pipes.iter().enumerate() {
            if let Some((_, writing)) = ends
                && number % 7 == 0
            {
                (&*writing).write_all(b"x").unwrap();
                expected.push((number, true, false));
            }
        }
        assert_eq!(now(&mut *selector), expected, "{with}");
    }
}

#[test]
fn an_edge_is_told_once_until_more_comes() {
    let (mut selector, mut reading, mut writing) =
        with_pipe(SelectorKind::Epoll, Interest::READ | Interest::EDGE);
    writing.write_all(b"ab").unwrap();
    assert_eq!(now(&mut *selector), [(7, true, false)]);
    assert_eq!(now(&mut *selector), [], "told although nothing came");
    reading.read_exact(&mut [0]).unwrap();
    assert_eq!(now(&mut *selector), [], "told of what it was told before");
    writing.write_all(b"c").unwrap();
    assert_eq!(now(&mut *selector), [(7, true, false)]);
    selector.modify(reading.as_fd(), Interest::READ | Interest::EDGE).unwrap();
    assert_eq!(now(&mut *selector), [(7, true, false)], "modify looks anew");
}

#[test]
fn a_one_shot_is_told_once_until_it_is_asked_for_again() {
    let interest = Interest::READ | Interest::ONESHOT;
    let (mut selector, reading, mut writing) =
        with_pipe(SelectorKind::Epoll, interest);
    writing.write_all(b"a").unwrap();
    assert_eq!(now(&mut *selector), [(7, true, false)]);
    writing.write_all(b"b").unwrap();
    assert_eq!(now(&mut *selector), []);
    selector.modify(reading.as_fd(), interest).unwrap();
    assert_eq!(now(&mut *selector), [(7, true, false)]);
}

#[test]
fn only_epoll_has_edges_and_one_shots() {
    for with in [SelectorKind::Select, SelectorKind::Poll] {
        for special in [Interest::EDGE, Interest::ONESHOT] {
            let mut selector = with.open().unwrap();
            let (reading, _writing) = pipe().unwrap();
            let interest = Interest::READ | special;
            let error = selector.register(reading.as_fd(), interest, 0).unwrap_err();
            assert!(error.to_string().contains("--with epoll"), "{error}");
            selector.register(reading.as_fd(), Interest::READ, 0).unwrap();
            assert!(selector.modify(reading.as_fd(), interest).is_err());
        }
    }
}

#[test]
fn twice_is_once_too_often_and_what_is_not_watched_cannot_be_changed() {
    for with in ALL {
        let (mut selector, reading, writing) = with_pipe(with, Interest::READ);
        let twice =
            selector.register(reading.as_fd(), Interest::READ, 8).unwrap_err();
        assert!(wire::errors::line(&twice).contains("EEXIST"), "{with}: {twice:#}");
        let fd = writing.as_fd();
        let modified = selector.modify(fd, Interest::WRITE).unwrap_err();
        assert!(wire::errors::line(&modified).contains("ENOENT"), "{with}");
        let gone = selector.unregister(fd).unwrap_err();
        assert!(wire::errors::line(&gone).contains("ENOENT"), "{with}");
    }
}

#[test]
fn select_ends_at_1024_and_names_those_that_do_not() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(2048)), hard).unwrap();
    let (reading, mut writing) = pipe().unwrap();
    let Ok(high) = fcntl_dupfd_cloexec(&reading, 1024) else {
        panic!("RLIMIT_NOFILE, at most {hard}, has no room for descriptor 1,024");
    };
    let mut select: Box<dyn Selector<usize>> = SelectorKind::Select.open().unwrap();
    let error = select.register(high.as_fd(), Interest::READ, 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("--with poll") && text.contains("--with epoll"), "{text}");
    writing.write_all(b"x").unwrap();
    for with in [SelectorKind::Poll, SelectorKind::Epoll] {
        let mut selector = with.open().unwrap();
        selector.register(high.as_fd(), Interest::READ, 5).unwrap();
        assert_eq!(now(&mut *selector), [(5, true, false)], "{with}");
    }
    assert_eq!(now(&mut *select), []);
}

#[test]
fn epoll_refuses_a_regular_file_and_names_those_that_do_not() {
    let file = tempfile::tempfile().unwrap();
    let mut epoll: Box<dyn Selector<usize>> = SelectorKind::Epoll.open().unwrap();
    for _ in 0..2 {
        let error = epoll.register(file.as_fd(), Interest::READ, 0).unwrap_err();
        let text = wire::errors::line(&error);
        assert!(text.contains("EPERM") && text.contains("--with poll"), "{text}");
    }
    for with in [SelectorKind::Select, SelectorKind::Poll] {
        let mut selector = with.open().unwrap();
        selector.register(file.as_fd(), Interest::READ, 5).unwrap();
        assert_eq!(now(&mut *selector), [(5, true, false)], "{with}");
    }
}

#[test]
fn a_writer_that_left_before_the_fifo_was_opened_anew_is_heard_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let write = |text: &[u8]| {
        let mut fifo = std::fs::File::options().write(true).open(&path).unwrap();
        fifo.write_all(text).unwrap();
    };
    let name = path.to_str().unwrap().to_owned();
    let rendezvous = Rendezvous::new("fifo", Meets::Path, Some(name)).unwrap();
    let mut input = inputs::fifo(&rendezvous).unwrap();
    let stream = FramingOptions { framing: Framing::Lines, max_message: 80 };
    let (reply, json, bytes, count) = (Reply::Echo, false, false, None);
    let server = dialogue::Server { count, reply, stream, bytes, json };
    let (signals, _) = pipe().unwrap();
    let messages = Messages::new(&server, false, signals.into()).unwrap();
    let (mut shared, mut buffer) = (Shared::new(messages), [0; 100]);

    write(b"one\n");
    let read = input.read(&mut buffer, &mut shared).unwrap();
    assert!(matches!(read, InputState::Reopened(_)) && shared.messages.count == 1);
    // Here a writer comes and leaves, and only then the FIFO is opened anew.
    write(b"two");
    input.continue_with(inputs::open_fifo(&path).unwrap()).unwrap();
    for with in ALL {
        let mut selector = with.open().unwrap();
        selector.register(input.as_fd(), Interest::READ, 1).unwrap();
        assert_eq!(now(&mut *selector), [(1, true, false)], "{with}");
    }
    let read = input.read(&mut buffer, &mut shared).unwrap();
    assert!(matches!(read, InputState::Reopened(_)) && shared.messages.count == 2);
}

/// The options of a server, as the command line would have them.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

#[test]
fn an_edge_whose_turn_was_too_short_for_it_is_not_lost() {
    use clap::Parser as _;
    const LINES: u64 = 10 * TURN as u64;
    let (done, served) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let line =
            ["server", "--edge", "--no-print", "--reply", "none", "--count=1"];
        let options = Line::parse_from(line).options;
        let signals = EndingSignals::watch().unwrap();
        let mut server =
            MultiplexServer::new(&options, vec![], vec![], signals).unwrap();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let interest = Interest::READ | Interest::EDGE;
        server.selector.register(ours.as_fd(), interest, Token::Client(0)).unwrap();
        server.clients.push(Some(NonblockingClient::new(ours.into(), 1, interest)));
        server.accepted = 1;
        // Everything is there before the one edge, the end as well; a read takes a line.
        server.buffer = vec![0; 2];
        theirs.write_all(&b"x\n".repeat(LINES as usize)).unwrap();
        drop(theirs);
        server.serve().unwrap();
        done.send(server.shared.messages.count).unwrap();
    });
    let patience = Duration::from_secs(60);
    assert_eq!(served.recv_timeout(patience), Ok(LINES));
}
