//! Clauses for queues: sender and receiver need not be there at the same time, and a message
//! that no receiver has taken waits.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::deaths::{clean, clean_pending};
use super::subject::{Subject, with_options};
use super::verdict::{failed_clearly, same, succeeded};
use process::{Input, RoleProcess};

/// Clause: sending may end before receiving starts, twice.
///
/// # Errors
/// How the contract is broken; so for every clause.
pub fn sending_may_end_before_receiving_starts(s: &Subject) -> Result<()> {
    s.send(&["one"])?;
    let second = s.send(&["two"])?;
    ensure!(second.stderr.contains("2 messages from before"), "{}", second.stderr);
    same(s.receive(&[])?.as_bytes(), b"one\ntwo\n")?;
    s.nothing_is_left()
}

/// Clause: a stream without messages ends too.
///
/// # Errors
/// How the contract is broken.
pub fn a_stream_without_messages_ends_too(s: &Subject) -> Result<()> {
    s.send(&["--bytes"])?;
    same(s.receive(&["--bytes"])?.as_bytes(), b"")?;
    s.nothing_is_left()
}

/// Clause: `--count` stops as head(1) does, and leaves the rest.
///
/// # Errors
/// How the contract is broken.
pub fn count_stops_like_head_and_leaves_the_rest(s: &Subject) -> Result<()> {
    for _ in 0..2 {
        let receiver = s.start_receiver(&["--count", "1"])?;
        receiver.wait_for_comment("start the other: ", s.deadline())?;
        s.send(&["one"])?;
        same(&receiver.wait(s.deadline())?.stdout, b"one\n")?;
        s.nothing_is_left()?;
    }
    // Neither does a goodbye alone keep the queue when the receiver leaves last.
    s.send(&["one"])?;
    same(s.receive(&["--count", "1"])?.as_bytes(), b"one\n")?;
    s.nothing_is_left()?;
    s.send(&["1", "2", "3"])?;
    same(s.receive(&["--count", "2"])?.as_bytes(), b"1\n2\n")?;
    same(s.receive(&[])?.as_bytes(), b"3\n")?;
    s.nothing_is_left()
}

/// Clause: a sender says that it sleeps in a full queue before it does.
///
/// # Errors
/// How the contract is broken.
pub fn a_sender_says_that_it_sleeps_before_it_does(s: &Subject) -> Result<()> {
    let room = s.queue.room;
    let large = "x".repeat(s.largest);
    let sender = s.start_sender(&vec![&*large; room + 1], Input::Nothing)?;
    let full = format!("the queue is full, {room} messages");
    sender.wait_for_comment(&full, s.deadline())?;
    let sent = format!("{large}\n").repeat(room + 1);
    same(s.receive(&[])?.as_bytes(), sent.as_bytes())?;
    let sender = sender.wait(s.deadline())?;
    succeeded("sender", &sender)?;
    let named = sender.stderr.matches("start the other: ").count();
    ensure!(named == 2, "{}", sender.stderr);
    s.nothing_is_left()
}

/// Clause: two receivers share what one sender sends.
///
/// # Errors
/// How the contract is broken.
pub fn two_receivers_share_what_one_sender_sends(s: &Subject) -> Result<()> {
    let waiting = || {
        let receiver = s.start_receiver(&[])?;
        receiver.wait_for_comment("sleeps until a message", s.deadline())?;
        anyhow::Ok(receiver)
    };
    let mut receivers = [waiting()?, waiting()?];
    let text: String = (0..100).map(|number| format!("{number}\n")).collect();
    let sender = s.start_sender(&[], Input::Bytes(text.into_bytes()))?;
    succeeded("sender", &sender.wait(s.deadline())?)?;
    // The goodbye ends one of the two; another sender's ends the other.
    while !receivers.iter_mut().any(RoleProcess::has_ended) {
        ensure!(std::time::Instant::now() < s.deadline(), "no receiver has ended");
        std::thread::yield_now();
    }
    s.send(&[])?;
    let mut all = String::new();
    for receiver in receivers {
        let receiver = receiver.wait(s.deadline())?;
        succeeded("receiver", &receiver)?;
        all += &String::from_utf8(receiver.stdout).context("a receiver's lines")?;
    }
    let numbers: Result<Vec<u32>, _> = all.lines().map(str::parse).collect();
    let mut numbers = numbers.with_context(|| format!("{all:?} arrived"))?;
    numbers.sort_unstable();
    ensure!(numbers.into_iter().eq(0..100), "{all:?} arrived");
    clean_pending(s)?;
    s.nothing_is_left()
}

/// Clause: a second sender is told which process has the sender's place, and the way out.
///
/// # Errors
/// How the contract is broken.
pub fn a_second_sender_is_told_who_has_the_place(s: &Subject) -> Result<()> {
    let first = s.start_sender(&[], Input::Open)?;
    first.wait_for_comment("start the other: ", s.deadline())?;
    let second = s.start_sender(&["x"], Input::Nothing)?;
    let line = failed_clearly(&second.wait(s.deadline())?)?;
    let taken = format!("taken by pid {}", first.pid());
    ensure!(line.contains(&taken) && line.contains("--at NAME"), "{line}");
    first.stop(Signal::SIGINT, s.deadline())?;
    s.nothing_is_left()
}

/// Clause: a receiver to which nothing comes for two seconds says how a sender says goodbye,
/// and goes on waiting.
///
/// # Errors
/// How the contract is broken.
pub fn silence_is_explained_after_two_seconds(s: &Subject) -> Result<()> {
    let (mut sender, receiver) = s.start(&[], Input::Open, &[])?;
    sender.feed(b"one\n")?;
    receiver.wait_for_output(b"one\n", s.deadline())?;
    sender.stop(Signal::SIGKILL, s.deadline())?;
    receiver.wait_for_comment(s.queue.goodbye, s.deadline())?;
    s.send(&["two"])?;
    same(&receiver.wait(s.deadline())?.stdout, b"one\ntwo\n")?;
    s.nothing_is_left()
}

/// Clause: a line that is too long, by a byte or by far, is refused with the limit and the
/// way out, and the stream ends.
///
/// # Errors
/// How the contract is broken.
pub fn a_line_too_long_is_refused_with_the_way_out(s: &Subject) -> Result<()> {
    let limit = wire::say::grouped(s.largest as u64);
    let lengths = [1, 65_536, 100_000].map(|more| s.largest + more);
    let longer = [65_536, 100_000].into_iter().filter(|length| *length > s.largest);
    for length in lengths.into_iter().chain(longer) {
        let line = "x".repeat(length) + "\n";
        let args = with_options(&s.limit, &[])?;
        let sender = s.start_sender(&args, Input::Bytes(line.into_bytes()))?;
        let line = failed_clearly(&sender.wait(s.deadline())?)?;
        ensure!(line.contains(&limit) && line.contains(s.queue.way_out), "{line}");
        same(s.receive(&args)?.as_bytes(), b"")?;
    }
    s.nothing_is_left()
}

/// Clause: a refused message leaves no queue behind where no receiver waits for it.
///
/// # Errors
/// How the contract is broken.
pub fn a_refused_message_leaves_no_queue_behind(s: &Subject) -> Result<()> {
    let long = "x".repeat(s.largest + 1);
    let args = with_options(&s.limit, &[&long])?;
    let sender = s.start_sender(&args, Input::Nothing)?;
    failed_clearly(&sender.wait(s.deadline())?)?;
    s.nothing_is_left()
}

/// Clause: `ipclab clean` keeps messages that wait, unless an option says otherwise.
///
/// # Errors
/// How the contract is broken.
pub fn clean_keeps_what_waits_unless_told_otherwise(s: &Subject) -> Result<()> {
    s.send(&["one"])?;
    let kept = clean(s, &[])?;
    ensure!(kept.contains("2 messages in it; --pending removes it"), "{kept}");
    let gone = clean(s, &["--pending"])?;
    ensure!(gone.contains(&format!("removed {}", s.queue.kind)), "{gone}");
    s.nothing_is_left()
}
