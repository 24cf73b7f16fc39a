//! The servers' bench: every server kind under its load, and single operations.

mod support;

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use bench::model::{Outcome, Placement, Row, Unit, What};
use bench::operations;
use bench::servers::kind::{ServerKind, ServerProgram};
use bench::servers::load::order::Order;
use bench::servers::run_with;
use bench::servers::session::{ServerBench, ServerCase, Session};
use bench::settings::Settings;
use nix::sys::signal::{Signal, kill};
use os::process_identity;
use support::{Input, RoleProcess, deadline, program, skip, until};

const MS: u64 = 1_000_000;

fn subject(kind: ServerKind, program: ServerProgram) -> ServerCase {
    let (placement, busy, idle) = (Placement::Same, 1, 0);
    ServerCase { kind, program, placement, busy, idle, load_threads: 1 }
}

fn stage() -> ServerBench {
    ServerBench::new(&program()).unwrap()
}

/// All processes of a session, and the children that its servers have now.
fn processes(session: &Session) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    for pid in session.servers().into_iter().chain(session.load()) {
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        all.extend(
            children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()),
        );
        all.push(pid.as_raw() as u32);
    }
    all
}

/// Waits until none of these processes runs; a child of a server that was killed is
/// killed by the kernel a moment later.
fn assert_gone(processes: &[u32]) {
    for pid in processes {
        until(&format!("{pid} is gone"), || {
            process_identity::state(*pid).is_none_or(|state| state == 'Z')
        });
    }
}

/// Plays two tiny windows, and checks what every window must say.
fn play(subject: ServerCase) {
    let mut stage = stage();
    let mut session = stage.start(subject).unwrap();
    let processes = processes(&session);
    for _ in 0..2 {
        let order = Order::Closed { window: 5 * MS };
        let sample = stage.window(&mut session, order).unwrap();
        let seen = &sample.window.answers;
        // Each client has asked at least once, and each answer is timed.
        assert!(seen.requests >= subject.busy as u64, "{subject:?}: {seen:?}");
        let timed: u64 = seen.honest.iter().map(|(_, count)| count).sum();
        assert_eq!(timed, seen.requests, "{subject:?}");
        assert!(seen.naive.is_empty() && sample.rate() > 0.0);
        assert!(sample.window.cpu > 0 && sample.server_cpu > 0, "{subject:?}");
    }
    drop(session);
    assert_gone(&processes);
}

#[test]
fn every_server_of_ours_answers_one_client_and_leaves_nothing_behind() {
    for kind in ServerKind::ALL {
        play(subject(kind, ServerProgram::Ipclab));
    }
}

#[test]
fn every_server_of_many_clients_answers_each_of_them() {
    for kind in
        ServerKind::ALL.into_iter().filter(|kind| *kind != ServerKind::Iterative)
    {
        play(ServerCase { busy: 20, ..subject(kind, ServerProgram::Ipclab) });
    }
}

#[test]
fn peers_build_and_answer() {
    if !support::have("cc") {
        return;
    }
    for kind in ServerKind::ALL {
        for program in [ServerProgram::C, ServerProgram::Python] {
            if kind.has(program) {
                let busy = if kind == ServerKind::Iterative { 1 } else { 8 };
                play(ServerCase { busy, ..subject(kind, program) });
            }
        }
    }
}

#[test]
fn silent_clients_are_connected_and_stay_so() {
    for kind in [ServerKind::Select, ServerKind::Poll, ServerKind::Epoll] {
        play(ServerCase { idle: 200, ..subject(kind, ServerProgram::Ipclab) });
    }
}

#[test]
fn several_load_threads_share_the_clients() {
    play(ServerCase {
        busy: 7,
        load_threads: 3,
        ..subject(ServerKind::Epoll, ServerProgram::Ipclab)
    });
    play(ServerCase {
        busy: 5,
        load_threads: 2,
        ..subject(ServerKind::Fdpass, ServerProgram::Ipclab)
    });
}

#[test]
fn server_and_load_run_on_the_cpus_of_their_placement() {
    let mut stage = stage();
    let cpus = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line =
            status.lines().find(|line| line.starts_with("Cpus_allowed_list:"));
        line.unwrap().split_whitespace().last().unwrap().to_owned()
    };
    for placement in [Placement::Same, Placement::CrossBlocking] {
        let Some([load, server]) = stage.cpus.of(placement) else {
            skip("there is no second CPU");
            continue;
        };
        let subject = ServerCase {
            placement,
            busy: 3,
            ..subject(ServerKind::Fork, ServerProgram::Ipclab)
        };
        let session = stage.start(subject).unwrap();
        let the_load = session.load().unwrap().as_raw() as u32;
        assert_eq!(cpus(the_load), load.to_string());
        let servers = processes(&session);
        let servers = servers.into_iter().filter(|pid| *pid != the_load);
        let found: Vec<String> = servers.map(cpus).collect();
        // The one that accepts, and three children.
        assert_eq!(found, vec![server.to_string(); 4], "{placement:?}");
    }
}

#[test]
fn an_open_loop_answers_all_that_comes_due_and_times_it_in_two_ways() {
    let mut stage = stage();
    let wanted =
        ServerCase { busy: 4, ..subject(ServerKind::Epoll, ServerProgram::Ipclab) };
    let mut session = stage.start(wanted).unwrap();
    let order = Order::Open { window: 50 * MS, rate: 1000 };
    let seen = stage.window(&mut session, order).unwrap().window.answers;
    assert_eq!(seen.requests, 50, "1,000 a second for 50 ms");
    let count = |pairs: &[(u64, u64)]| pairs.iter().map(|pair| pair.1).sum::<u64>();
    assert_eq!((count(&seen.honest), count(&seen.naive)), (50, 50));
    // What is due cannot come after what is sent.
    let longest = |pairs: &[(u64, u64)]| pairs.last().unwrap().0;
    assert!(longest(&seen.honest) >= longest(&seen.naive), "{seen:?}");
}

#[test]
fn a_load_is_bounded_whatever_it_is_told() {
    let mut stage = stage();
    let mut session =
        stage.start(subject(ServerKind::Poll, ServerProgram::Ipclab)).unwrap();
    let order = Order::Closed { window: 3_600_000 * MS };
    let error = stage.window(&mut session, order).unwrap_err();
    let line = wire::errors::line(&error);
    assert!(line.contains("a window takes 10000 ms at most"), "{line}");
}

#[test]
fn a_server_that_is_killed_is_one_clear_error() {
    for kind in [ServerKind::Epoll, ServerKind::Threads, ServerKind::Fork] {
        let mut stage = stage();
        let wanted = ServerCase { busy: 2, ..subject(kind, ServerProgram::Ipclab) };
        let mut session = stage.start(wanted).unwrap();
        let processes = processes(&session);
        let server = session.servers()[0];
        // While the load asks, or before it does: the error is the same.
        let killer = std::thread::spawn(move || kill(server, Signal::SIGKILL));
        let order = Order::Closed { window: 10_000 * MS };
        let error = stage.window(&mut session, order).unwrap_err();
        killer.join().unwrap().unwrap();
        let line = wire::errors::line(&error);
        let told = line.starts_with(&kind.subject()) && line.contains("signal: 9");
        assert!(told && !line.contains('\n'), "{line}");
        let again = stage.window(&mut session, order).unwrap_err();
        assert!(wire::errors::line(&again).contains("failed before"), "{again:#}");
        drop(session);
        assert_gone(&processes);
    }
}

#[test]
fn a_load_that_is_killed_is_one_clear_error() {
    let mut stage = stage();
    let mut session =
        stage.start(subject(ServerKind::Select, ServerProgram::Ipclab)).unwrap();
    kill(session.load().unwrap(), Signal::SIGKILL).unwrap();
    let order = Order::Closed { window: 10_000 * MS };
    let error = stage.window(&mut session, order).unwrap_err();
    let line = wire::errors::line(&error);
    assert!(line.contains("the load ended by itself: signal: 9"), "{line}");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let mut stage = ServerBench::new(Path::new("/bin/false")).unwrap();
    let error =
        stage.start(subject(ServerKind::Epoll, ServerProgram::Ipclab)).unwrap_err();
    let line = wire::errors::line(&error);
    assert!(
        line.contains("multiplex server ended by itself: exit status: 1"),
        "{line}"
    );
}

/// What every row of a run must be.
fn check(row: &Row) {
    let Outcome::Measured(figure) = &row.outcome else {
        panic!("{}: {:?}", row.subject, row.outcome)
    };
    assert!(figure.min > 0.0 && figure.min <= figure.value, "{row:?}");
    assert!(figure.value <= figure.max && figure.windows > 0, "{row:?}");
}

#[test]
fn a_short_run_has_a_row_for_each_server_and_each_ratio() {
    let chapters = ["multiplex".to_owned()];
    let settings = Settings { quick: true, peers: true, chapters: &chapters };
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    run_with(&program(), &settings, &mut |row| rows.push(row), &mut |what| {
        told.push(what.to_owned())
    })
    .unwrap();
    assert!(told.contains(&"multiplex: 1 client among 900 idle, same".to_owned()));
    let mut seen = HashSet::new();
    for row in &rows {
        check(row);
        assert_eq!((row.what, row.chapter.as_str()), (What::Server, "multiplex"));
        let key = (&row.subject, &row.program, row.placement, row.clients, row.idle);
        assert!(seen.insert(key), "twice: {key:?}");
        let Outcome::Measured(figure) = &row.outcome else { unreachable!() };
        assert!(figure.percentiles.is_some() && figure.unit == Unit::PerSecond);
        let open = row.subject.contains("open loop");
        assert_eq!(figure.naive.is_some(), open, "{row:?}");
        assert!(figure.windows >= 3, "{row:?}");
        let to: Vec<&str> = figure.ratios.iter().map(|r| r.to.as_str()).collect();
        let peers = row.program == "ipclab" && !open;
        assert_eq!(to.contains(&"C") && to.contains(&"Python"), peers, "{row:?}");
        let other = ["multiplex poll", "multiplex epoll"].contains(&&*row.subject);
        assert_eq!(to.contains(&"select"), other, "{row:?}");
        assert!(figure.ratios.iter().all(|ratio| ratio.pairs == figure.windows));
    }
    for (clients, idle) in [(1, 0), (64, 0), (1, 900)] {
        let of = |row: &&Row| row.clients == Some(clients) && row.idle == Some(idle);
        let same = |row: &&Row| row.placement == Some(Placement::Same);
        let closed = |row: &&Row| !row.subject.contains("open loop");
        let rows = rows.iter().filter(of).filter(same).filter(closed);
        assert_eq!(rows.count(), 9, "{clients} clients, {idle} idle");
    }
}

#[test]
fn all_operations_are_timed_and_leave_nothing_behind() {
    let settings = Settings { quick: true, peers: false, chapters: &[] };
    let mut rows = Vec::new();
    operations::run_with(&program(), &settings, &mut |row| rows.push(row)).unwrap();
    let mut seen = HashSet::new();
    for row in &rows {
        let key = (&row.subject, row.placement);
        assert!(seen.insert(key), "twice: {key:?}");
        if let (Outcome::Absent(why), Some(Placement::CrossBlocking)) =
            (&row.outcome, row.placement)
        {
            skip(why);
            continue;
        }
        check(row);
        let chapter = chapters::find(&row.chapter);
        assert!(chapter.is_some(), "{} is no chapter", row.chapter);
    }
    for many in [16, 253] {
        let subject = format!("pass {many} descriptors a message");
        let row = rows.iter().find(|row| row.subject == subject);
        let Some(Row { outcome: Outcome::Measured(figure), .. }) = row else {
            panic!("{subject}: {row:?}")
        };
        assert_eq!(figure.unit, Unit::PerSecond);
        assert_eq!(figure.ratios[0].to, "pass 1 descriptor a message");
        // Each batch beside one of the other.
        assert_eq!(figure.ratios[0].pairs, figure.windows);
    }
}

#[test]
fn a_chapter_chooses_its_operations() {
    let chapters = ["fifo".to_owned()];
    let settings = Settings { quick: true, peers: false, chapters: &chapters };
    let mut subjects = Vec::new();
    operations::run_with(&program(), &settings, &mut |row| {
        subjects.push(row.subject)
    })
    .unwrap();
    assert_eq!(subjects, ["mkfifo, unlink", "open both ends, close"]);
}

/// Interrupts `ipclab bench` with these arguments once the process that it starts with
/// `bench-servers PART` is there; then nothing may be left.
fn interrupt(args: &[&str], part: &str) {
    let subject = support::subject("tcp");
    let mut command = support::ipclab(&subject, &["bench"]);
    command.args(args).env("TMPDIR", subject.dir());
    let bench = RoleProcess::start("bench", command, Input::Nothing).unwrap();
    // Nothing tells us how far it is but the processes that it has.
    let wanted = format!("\0bench-servers\0{part}\0");
    let mut children = Vec::new();
    until(&format!("it has started {part}"), || {
        children = alive_children(bench.pid().as_raw() as u32);
        children.iter().any(|(_, words)| words.contains(&wanted))
    });
    if part == "load" {
        let server = children.iter().any(|(_, words)| words.contains("\0server\0"));
        assert!(server, "a load without a server: {children:?}");
    }
    let outcome = bench.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(2), "{}", outcome.stderr);
    subject.nothing_is_left().unwrap();
    assert_eq!(subject.dir().read_dir().unwrap().count(), 0);
    assert_gone(&children.iter().map(|(pid, _)| *pid).collect::<Vec<u32>>());
}

/// The children of the first thread of a process, and their command lines.
fn alive_children(pid: u32) -> Vec<(u32, String)> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    let pids = list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap());
    let words = |pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
    pids.map(|pid| (pid, words(pid).unwrap_or_default())).collect()
}

#[test]
fn interrupted_among_servers_it_leaves_no_process_and_no_directory() {
    interrupt(&["--servers", "--quick", "tcp"], "load");
}

#[test]
fn interrupted_among_operations_it_leaves_no_process_and_no_directory() {
    // Long batches; and these chapters have no pairs that come before them.
    interrupt(&["multiplex", "fdpass"], "operations");
}
