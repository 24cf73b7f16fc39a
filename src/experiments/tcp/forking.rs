//! A child for each client: what is left of it, and which process becomes its parent.

use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid, pause};
use rustix::process::{set_child_subreaper, set_parent_process_death_signal};

use super::{listen, recv, send};
use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::handlers::take;
use os::process_identity;
use os::signal::{Set, ignore};

pub(super) const ZOMBIES: Experiment = Experiment {
    name: "zombies",
    title: "What three clients leave behind",
    level: Level::Later,
    question: "SIGCHLD is ignored by default, says signal(7). A server forks three \
               children, which serve three clients and exit. It never calls wait(2). \
               How many zombies are there, if it left SIGCHLD at SIG_DFL, and if it has \
               set it to SIG_IGN?",
    answers: &[
        right(
            "three by SIG_DFL, none by SIG_IGN",
            "The default action is to do nothing at the signal, and no more: the \
             parent may still wait. By SIG_IGN, set expressly, the parent says that it \
             wants no exit status, and POSIX promises that nothing is kept for it.",
        ),
        wrong(
            "none by SIG_DFL, none by SIG_IGN",
            "The memory of what has exited is gone. Its entry in the table of \
             processes stays, with the exit status, until the parent has asked for it \
             or has said that it never will.",
        ),
        wrong(
            "none by SIG_DFL, three by SIG_IGN",
            "It is the other way round: to ignore SIGCHLD expressly is more than to \
             leave it alone.",
        ),
        wrong(
            "three by SIG_DFL, three by SIG_IGN",
            "SIG_IGN looks the same as the default action, which is to do nothing. It \
             is not: for SIGCHLD it has a second meaning.",
        ),
    ],
    kind: Kind::Kernel,
    run: zombies,
    moral: "Set SIGCHLD to SIG_IGN if you never want a status; otherwise call \
            waitpid(-1, WNOHANG) at each SIGCHLD until no ended child is left: one that \
            calls wait once a signal leaves zombies, since three signals may be one. \
            Enough zombies, and fork(2) fails with EAGAIN.",
    see: "wait(2), signal(7), sigaction(2)",
    file: file!(),
    shows: &["zombies-broken", "zombies-cured", "zombies"],
};

// ANCHOR: zombies-broken
/// One wait(2) for each SIGCHLD that is pending.
fn wait_once_for_each_signal() -> Result<()> {
    while take(libc::SIGCHLD).is_ok() {
        waitpid(None, None)?;
    }
    Ok(())
}
// ANCHOR_END: zombies-broken

// ANCHOR: zombies-cured
/// One wait(2) for each child that has ended, however many signals there were.
fn wait_until_nobody_is_left() -> Result<()> {
    let wait = || waitpid(None, Some(WaitPidFlag::WNOHANG));
    while wait().is_ok_and(|status| status != WaitStatus::StillAlive) {}
    Ok(())
}
// ANCHOR_END: zombies-cured

// ANCHOR: zombies
fn zombies(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    type Reap = fn() -> Result<()>;
    let servers: [(_, Reap); 4] = [
        ("never waits", || Ok(())),
        ("waits once a signal", wait_once_for_each_signal),
        ("ignores SIGCHLD", || Ok(())),
        ("waits in a loop", wait_until_nobody_is_left),
    ];
    let mut left = Vec::new();
    for (who, reap) in servers {
        // The kernel connects them; the server accepts them afterwards.
        let clients: Result<Vec<TcpStream>, _> =
            (0..3).map(|_| TcpStream::connect(address)).collect();
        let clients = clients.context("connect")?;
        let server = stage.fork(who, |stage| {
            Set::of(&[libc::SIGCHLD]).block()?;
            if who == "ignores SIGCHLD" {
                let ignored = ignore(libc::SIGCHLD);
                stage.call("signal(SIGCHLD, SIG_IGN)", &ignored);
            }
            let children = serve_three(stage, &listener)?;
            reap()?;
            let zombies = children.iter().filter(|pid| state(**pid) == Some('Z'));
            Ok(zombies.count())
        })?;
        let zombies = server.join()?;
        drop(clients);
        stage.event(who, format!("zombies left: {zombies}"));
        stage.saw(who, zombies);
        left.push(zombies);
    }
    Ok(match (left[0], left[2]) {
        (3, 0) => 1,
        (0, 0) => 2,
        (0, 3) => 3,
        _ => 4,
    })
}

/// Accepts three clients, with a child for each, and returns when the children have ended.
fn serve_three(stage: &Stage, listener: &TcpListener) -> Result<Vec<Pid>> {
    let mut children = Vec::new();
    for _ in 0..3 {
        let (connection, _) = listener.accept()?;
        let child =
            stage.fork("child", |stage| Ok(send(stage, &connection, "hello")?))?;
        children.push(child.leave());
    }
    until(
        || "a child has not ended".to_owned(),
        || {
            let ended = |pid: &Pid| matches!(state(*pid), None | Some('Z'));
            Ok(children.iter().all(ended).then_some(()))
        },
    )?;
    Ok(children)
}

/// The state that /proc shows of a process: `Z` for a zombie; nothing, when it is gone.
fn state(pid: Pid) -> Option<char> {
    process_identity::state(pid.as_raw().unsigned_abs())
}
// ANCHOR_END: zombies

pub(super) const ORPHAN: Experiment = Experiment {
    name: "orphan",
    title: "The server is killed, its child serves on",
    level: Level::Deep,
    question: "A server has forked a child that serves a client, and is then killed by \
               SIGKILL. An ancestor of the two is a subreaper: it had called \
               prctl(PR_SET_CHILD_SUBREAPER). You may have read that an orphan is \
               adopted by process 1. What becomes of this child?",
    answers: &[
        wrong(
            "it is killed; its client sees a reset",
            "No signal is sent to the children of a process that ends. They must ask \
             for one (PR_SET_PDEATHSIG), or be in a group that a terminal or a shell \
             kills.",
        ),
        wrong(
            "it serves on; its parent is process 1",
            "That is true where no ancestor has asked. Session managers, the first \
             processes of containers and many supervisors have asked.",
        ),
        right(
            "it serves on; its parent is the subreaper",
            "An orphan goes to the nearest ancestor that is a subreaper, and to \
             process 1 if there is none. Its connection is open as before: the \
             descriptor is its own.",
        ),
    ],
    kind: Kind::Kernel,
    run: orphan,
    moral: "To find out whether the parent is gone, compare getppid(2) with what it \
            was, never with 1. And to kill a server does not end the conversations of \
            its children.",
    see: "prctl(2), getppid(2)",
    file: file!(),
    shows: &["orphan"],
};

// ANCHOR: orphan
fn orphan(stage: &Stage) -> Result<usize> {
    let main = getpid();
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    stage.event("main", "prctl(PR_SET_CHILD_SUBREAPER, 1)");
    let (listener, address) = listen()?;
    let client = TcpStream::connect(address).context("connect")?;
    let orphaned = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let (connection, _) = listener.accept()?;
        let child = stage.fork("child", |stage| {
            set_parent_process_death_signal(None)?; // as after any fork
            let before = getppid();
            send(stage, &connection, "hello")?;
            orphaned.pass()?;
            let now = getppid();
            let whom = match now {
                _ if now == main => "the subreaper",
                _ if now == before => "as before",
                _ if now == Pid::from_raw(1) => "process 1",
                _ => "another process",
            };
            stage.call("getppid(), which is", &whom);
            Ok(send(stage, &connection, whom)?)
        })?;
        child.leave();
        pause();
        Ok(())
    })?;
    recv(stage, &client).context("recv")?;
    server.until_asleep_in(&[PAUSE])?;
    server.kill(Signal::SIGKILL)?;
    let ended = server.status()?;
    ensure!(matches!(ended, WaitStatus::Signaled(..)), "the server: {ended:?}");
    stage.event("server", "killed by SIGKILL");
    orphaned.open(1)?;
    let parent = recv(stage, &client).context("recv")?;
    stage.saw("the orphan's parent is", parent.as_str());
    // The process that is the parent has its exit status, too.
    let adopted = waitpid(None, None);
    let reaped = matches!(adopted, Ok(WaitStatus::Exited(..)));
    stage.event("main", "wait() has returned the orphan, which it never forked");
    stage.saw("the subreaper could wait for it", reaped);
    Ok(match parent.as_str() {
        "" => 1,
        "process 1" => 2,
        _ => 3,
    })
}
// ANCHOR_END: orphan
