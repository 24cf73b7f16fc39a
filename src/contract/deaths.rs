//! Clauses about ends that no role plans: killed peers, signals, timeouts.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use super::subject::Subject;
use super::verdict::{failed_clearly, succeeded};
use process::{Input, RoleProcess};
use wire::chapter::OnPeerDeath;
use wire::meet::Meets;

/// Whether the receiver is given nothing before the sender has ended.
fn is_file(s: &Subject) -> bool {
    s.chapter.name == "file"
}

/// Both roles, once the message `one` has arrived; of a file, once it has been sent.
fn one_has_arrived(s: &Subject) -> Result<(RoleProcess, RoleProcess)> {
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    if s.talks() {
        sender.wait_for_output(b"one\n", s.deadline())?;
    } else if !is_file(s) {
        receiver.wait_for_output(b"one\n", s.deadline())?;
    }
    Ok((sender, receiver))
}

/// Clause: when the sender is killed, the receiver sees what the table says, and keeps
/// what had arrived.
///
/// # Errors
/// How the contract is broken.
pub fn the_sender_is_killed(s: &Subject) -> Result<()> {
    let (sender, receiver) = one_has_arrived(s)?;
    if is_file(s) {
        sender.wait_for_comment("one", s.deadline())?;
    }
    sender.stop(Signal::SIGKILL, s.deadline())?;
    let receiver = match s.chapter.on_peer_death {
        OnPeerDeath::Waits => {
            // The receiver goes on waiting: so a second sender can finish what the first began.
            let second = s.start_sender(&["two"], Input::Nothing)?;
            succeeded("the second sender", &second.wait(s.deadline())?)?;
            let receiver = receiver.wait(s.deadline())?;
            ensure!(receiver.stdout.ends_with(b"two\n"), "{:?}", receiver.stdout);
            receiver
        }
        _ => receiver.wait(s.deadline())?,
    };
    if s.chapter.on_peer_death == OnPeerDeath::Error {
        failed_clearly(&receiver)?;
    } else {
        succeeded("receiver", &receiver)?;
    }
    s.nothing_is_left()?;
    if s.chapter.meets == Meets::Nowhere {
        Ok(())
    } else {
        s.exchange_one("afterwards")
    }
}

/// Clause: a sender killed in full flow leaves the beginning of what it sent, whole
/// messages in order (a byte stream may cut the last one), and nothing else.
///
/// # Errors
/// How the contract is broken.
pub fn the_sender_is_killed_in_full_flow(s: &Subject) -> Result<()> {
    let sent: String = (0..2000).map(|number| format!("{number:05}\n")).collect();
    let (mut sender, receiver) = s.start(&["-q"], Input::Open, &["-q"])?;
    sender.feed(sent.as_bytes())?;
    let prints = if s.talks() { &sender } else { &receiver };
    prints.wait_for_output(b"00010\n", s.deadline())?;
    let killed = sender.stop(Signal::SIGKILL, s.deadline())?;
    let mut end: &[u8] = b"\n";
    if s.chapter.on_peer_death == OnPeerDeath::Waits {
        let second = s.start_sender(&["-q", "the second"], Input::Nothing)?;
        succeeded("the second sender", &second.wait(s.deadline())?)?;
        end = if s.talks() { end } else { b"\nthe second\n" };
    }
    let receiver = receiver.wait(s.deadline())?;
    let arrived = if s.talks() { &killed.stdout } else { &receiver.stdout };
    let Some(first) = arrived.strip_suffix(end) else {
        bail!("{:?} came last", String::from_utf8_lossy(arrived).lines().last());
    };
    ensure!(
        sent.as_bytes().starts_with(first),
        "not the beginning of what was sent"
    );
    if s.chapter.on_peer_death == OnPeerDeath::Error {
        failed_clearly(&receiver)?;
    } else {
        succeeded("receiver", &receiver)?;
    }
    s.nothing_is_left()
}

/// Clause: when the receiver is killed, the sender reports that it is gone, or the messages
/// wait for the next receiver.
///
/// # Errors
/// How the contract is broken.
pub fn the_receiver_is_killed(s: &Subject) -> Result<()> {
    let (mut sender, receiver) = one_has_arrived(s)?;
    if is_file(s) {
        receiver.wait_for_comment("is not there: ", s.deadline())?;
    }
    receiver.stop(Signal::SIGKILL, s.deadline())?;
    // The sender may notice at the first write, or end before it reads the second line.
    let _ = sender.feed(b"two\n");
    let sender = sender.wait(s.deadline())?;
    if s.keeps {
        succeeded("sender", &sender)?;
        let next = s.start_receiver(&[])?.wait(s.deadline())?;
        succeeded("the next receiver", &next)?;
        ensure!(next.stdout.ends_with(b"two\n"), "{:?} arrived", next.stdout);
    } else {
        failed_clearly(&sender)?;
    }
    clean(s, &[])?;
    s.nothing_is_left()?;
    if s.chapter.meets == Meets::Nowhere {
        Ok(())
    } else {
        s.exchange_one("afterwards")
    }
}

/// Runs `ipclab clean` in the subject's directory; returns what it printed.
pub(super) fn clean(s: &Subject, args: &[&str]) -> Result<String> {
    let mut command = Command::new(&s.sender[0]);
    command.arg("clean").args(args).env("IPCLAB_DIR", s.dir());
    let outcome =
        RoleProcess::start("clean", command, Input::Nothing)?.wait(s.deadline())?;
    succeeded("clean", &outcome)?;
    String::from_utf8(outcome.stdout).context("the names that were removed")
}

/// Messages in a queue stay on a signal; they go by `clean --pending`.
pub(super) fn clean_pending(s: &Subject) -> Result<()> {
    clean(s, &["--pending", "--quiet"]).map(drop)
}

/// Clause: SIGINT, SIGTERM and SIGHUP end a waiting role, which clears up and whose exit
/// status says which signal it was.
///
/// # Errors
/// How the contract is broken.
pub fn signals_clear_up(s: &Subject) -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let receiver = s.start_receiver(&[])?;
        receiver.wait_for_comment(s.says_that_it_waits(), s.deadline())?;
        let ended = receiver.stop(signal, s.deadline())?;
        let by = ended.status.signal();
        ensure!(
            by == Some(signal as i32),
            "ended with {}, not {signal}",
            ended.status
        );
        s.nothing_is_left()?;
    }
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    sender.wait_for_comment("one", s.deadline())?;
    receiver.signal(Signal::SIGINT)?;
    sender.signal(Signal::SIGINT)?;
    sender.wait(s.deadline())?;
    receiver.wait(s.deadline())?;
    clean_pending(s)?;
    s.nothing_is_left()
}

/// Clause: `--timeout` ends the waiting with status 124 and clears up.
///
/// # Errors
/// How the contract is broken.
pub fn a_timeout_is_status_124(s: &Subject) -> Result<()> {
    // Where the link is the standard input, it is a pipe whose other end stays open.
    let (reading, _writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let command = s.receiver_command(&["--timeout", "0.05"]);
    let receiver = RoleProcess::start("receiver", command, Input::From(reading))?;
    let ended = receiver.wait(s.deadline())?;
    ensure!(ended.status.code() == Some(124), "ended with {}", ended.status);
    s.nothing_is_left()
}
