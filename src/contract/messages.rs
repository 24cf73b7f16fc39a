//! Clauses about messages: what arrives, in which order, and what is refused.

use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use super::deaths::clean_pending;
use super::subject::{Subject, with_options};
use super::verdict::{failed_clearly, noise, same, succeeded};
use process::{Input, Output, RoleProcess};
use wire::meet::Meets;

/// Clause: one message arrives.
///
/// # Errors
/// How the contract is broken; so for every clause.
pub fn one_message(s: &Subject) -> Result<()> {
    s.exchange_one("hello")
}

/// Clause: a thousand messages arrive in order.
///
/// # Errors
/// How the contract is broken.
pub fn a_thousand_in_order(s: &Subject) -> Result<()> {
    let text: String =
        (0..1000).map(|number| format!("message {number}\n")).collect();
    let arrived = s.run(&[], lines(&text), &[])?;
    same(&arrived, text.as_bytes())?;
    s.nothing_is_left()
}

/// Clause: an empty message arrives as one, between two others.
///
/// # Errors
/// How the contract is broken.
pub fn an_empty_message(s: &Subject) -> Result<()> {
    let arrived = s.run(&["before", "", "after"], Input::Nothing, &[])?;
    same(&arrived, b"before\n\nafter\n")?;
    s.nothing_is_left()
}

/// Clause: the largest message arrives.
///
/// # Errors
/// How the contract is broken.
pub fn the_largest_message(s: &Subject) -> Result<()> {
    let mut text = "x".repeat(s.largest);
    text.push('\n');
    let args = with_options(&s.limit, &[])?;
    let arrived = s.run(&args, lines(&text), &args)?;
    same(&arrived, text.as_bytes())?;
    s.nothing_is_left()
}

/// Clause: one byte too many is refused with the limit named; what came before it
/// arrives, and the receiver ends well.
///
/// # Errors
/// How the contract is broken.
pub fn one_byte_too_many(s: &Subject) -> Result<()> {
    let text = format!("fits\n{}\n", "x".repeat(s.largest + 1));
    let args = with_options(&s.limit, &[])?;
    let ran = s.finish(s.start(&args, lines(&text), &args)?)?;
    let line = failed_clearly(&ran.sender)?;
    let limit = wire::say::grouped(s.largest as u64);
    ensure!(line.contains("line 2"), "the line's number is not named: {line}");
    let plain = s.largest.to_string();
    ensure!(
        line.contains(&limit) || line.contains(&plain),
        "no limit named: {line}"
    );
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"fits\n")?;
    s.nothing_is_left()
}

/// Clause: arguments are all checked before the first is sent.
///
/// # Errors
/// How the contract is broken.
pub fn arguments_are_checked_first(s: &Subject) -> Result<()> {
    let long = "x".repeat(s.largest + 1);
    let args = with_options(&s.limit, &["fits", &long])?;
    let (sender, receiver) =
        s.start(&args, Input::Nothing, &with_options(&s.limit, &[])?)?;
    let sender = sender.wait(s.deadline())?;
    failed_clearly(&sender)?;
    ensure!(sender.stdout.is_empty(), "something came back");
    // The receiver was told of the end, or it still waits and knows of nothing.
    receiver.signal(Signal::SIGINT)?;
    let receiver = receiver.wait(s.deadline())?;
    ensure!(receiver.stdout.is_empty(), "something was sent all the same");
    if s.keeps {
        // A goodbye may wait in the queue, for a receiver that came too late.
        clean_pending(s)?;
    }
    s.nothing_is_left()
}

/// Clause: any bytes arrive as they were sent.
///
/// # Errors
/// How the contract is broken.
pub fn binary_bytes(s: &Subject) -> Result<()> {
    let sent = noise(s.bulk);
    let arrived = s.run(&["--bytes"], Input::Bytes(sent.clone()), &["--bytes"])?;
    same(&arrived, &sent)?;
    s.nothing_is_left()
}

/// Clause: 64 MiB arrive to the byte.
///
/// # Errors
/// How the contract is broken.
pub fn sixty_four_mebibytes_arrive_to_the_byte(s: &Subject) -> Result<()> {
    static SENT: OnceLock<Vec<u8>> = OnceLock::new();
    arrives_as_sent(s, SENT.get_or_init(|| noise(64 << 20)), &["-q", "--bytes"])
}

/// Clause: lines of many lengths arrive as sent: all the short ones, those around a page
/// and a power of two, and the longest.
///
/// # Errors
/// How the contract is broken.
pub fn lines_of_many_lengths_arrive_as_sent(s: &Subject) -> Result<()> {
    let text = lines_of_many_lengths(s.shortest, s.longest);
    arrives_as_sent(s, text.as_bytes(), &with_options(&s.roomy, &["-q"])?)
}

/// Lines from the shortest length to the longest.
pub fn lines_of_many_lengths(shortest: usize, longest: usize) -> String {
    let longer = [
        1023, 4088, 4092, 4095, 4096, 4097, 8190, 65_533, 65_534, 65_535, 65_536,
        65_537, 99_999, 131_071, 131_072,
    ];
    let longer = longer.into_iter().filter(|length| *length < longest - 1);
    let lengths = (shortest..300).chain(longer).chain([longest - 1, longest]);
    lengths.map(|length| "x".repeat(length) + "\n").collect()
}

/// Sends `sent` with these arguments for both sides, and wants it to arrive: where it
/// comes back to a client, the server prints it too.
fn arrives_as_sent(s: &Subject, sent: &[u8], args: &[&str]) -> Result<()> {
    let ran = s.finish(s.start(args, Input::Bytes(sent.to_vec()), args)?)?;
    succeeded("sender", &ran.sender)?;
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, sent)?;
    same(&ran.receiver.stdout, sent)?;
    s.nothing_is_left()
}

/// Clause: standard output that goes away is a quiet end.
///
/// # Errors
/// How the contract is broken.
pub fn a_closed_output_is_a_quiet_end(s: &Subject) -> Result<()> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    drop(reading);
    let (printing, other) = if s.talks() {
        let other = s.start_receiver(&[])?;
        let command = s.sender_command(&["hello"]);
        let output = Output::To(writing);
        (
            RoleProcess::start_with(
                "client",
                command,
                Input::Nothing,
                output,
                None,
            )?,
            other,
        )
    } else {
        let command = s.receiver_command(&[]);
        let output = Output::To(writing);
        if s.chapter.meets == Meets::Nowhere {
            let (link_reading, link_writing) =
                pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            let input = Input::From(link_reading);
            let receiver =
                RoleProcess::start_with("receiver", command, input, output, None)?;
            let link = Output::To(link_writing);
            let command = s.sender_command(&["hello"]);
            let input = Input::Nothing;
            (
                receiver,
                RoleProcess::start_with("sender", command, input, link, None)?,
            )
        } else {
            let input = Input::Nothing;
            let receiver =
                RoleProcess::start_with("receiver", command, input, output, None)?;
            (receiver, s.start_sender(&["hello"], Input::Nothing)?)
        }
    };
    let printing = printing.wait(s.deadline())?;
    succeeded("the one whose output is gone", &printing)?;
    ensure!(!printing.stderr.contains("ipclab: "), "not quiet: {}", printing.stderr);
    other.wait(s.deadline())?;
    clean_pending(s)?;
    s.nothing_is_left()
}

fn lines(text: &str) -> Input {
    Input::Bytes(text.as_bytes().to_vec())
}
