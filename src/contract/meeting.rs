//! Clauses about the rendezvous: either order, and names that are stale or hostile.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::subject::Subject;
use super::verdict::{failed_clearly, same, succeeded};
use process::{Input, RoleProcess};
use wire::meet::Meets;

/// Clause: the sender may be first, says what it waits for, and names the command.
///
/// # Errors
/// How the contract is broken.
pub fn the_sender_may_be_first(s: &Subject) -> Result<()> {
    let sender = s.start_sender(&["hello"], Input::Nothing)?;
    sender.wait_for_comment("start the other: ", s.deadline())?;
    let receiver = s.start_receiver(&[])?;
    let ran = s.finish((sender, receiver))?;
    succeeded("sender", &ran.sender)?;
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"hello\n")?;
    s.nothing_is_left()
}

/// Clause: the receiver may be first, says what it waits for, and names the command.
///
/// # Errors
/// How the contract is broken.
pub fn the_receiver_may_be_first(s: &Subject) -> Result<()> {
    let receiver = s.start_receiver(&[])?;
    receiver.wait_for_comment("start the other: ", s.deadline())?;
    let sender = s.start_sender(&["hello"], Input::Nothing)?;
    let ran = s.finish((sender, receiver))?;
    succeeded("sender", &ran.sender)?;
    succeeded("receiver", &ran.receiver)?;
    same(&ran.arrived, b"hello\n")?;
    s.nothing_is_left()
}

/// Clause: a role killed while it waited leaves a stale name, and the next pair meets all
/// the same.
///
/// # Errors
/// How the contract is broken.
pub fn a_stale_name_is_recovered(s: &Subject) -> Result<()> {
    for sends in [false, true] {
        // With an open input and no argument: a queue's sender would not wait for us.
        let role = if sends {
            s.start_sender(&[], Input::Open)?
        } else {
            s.start_receiver(&[])?
        };
        role.wait_for_comment("start the other: ", s.deadline())?;
        let killed = role.stop(Signal::SIGKILL, s.deadline())?;
        let by = killed.status.signal();
        ensure!(by == Some(9), "ended with {}", killed.status);
    }
    let ran = s.finish(s.start(&["hello"], Input::Nothing, &[])?)?;
    succeeded("receiver", &ran.receiver)?;
    succeeded("sender", &ran.sender)?;
    ensure!(ran.arrived.ends_with(b"hello\n"), "{:?} arrived", ran.arrived);
    s.nothing_is_left()
}

/// Clause: what is in the way at the name is named, and left alone: a directory, or a
/// listening socket of another process at the address.
///
/// # Errors
/// How the contract is broken.
pub fn a_taken_name_is_refused(s: &Subject) -> Result<()> {
    if s.chapter.meets == Meets::Address {
        return a_taken_address_is_refused(s);
    }
    let name = s.dir().join("taken");
    std::fs::create_dir(&name).context("mkdir")?;
    let outcome = s.start_receiver(&["--at", "taken"])?.wait(s.deadline())?;
    let line = failed_clearly(&outcome)?;
    ensure!(line.contains("directory"), "it does not say what is there: {line}");
    std::fs::remove_dir(&name).context("the directory was to stay")?;
    s.nothing_is_left()
}

fn a_taken_address_is_refused(s: &Subject) -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0").context("bind")?;
    let address = taken.local_addr().context("getsockname")?.to_string();
    let outcome = s.at_address(&address)?.wait(s.deadline())?;
    let line = failed_clearly(&outcome)?;
    ensure!(line.contains("listens there"), "it does not say who is there: {line}");
    ensure!(line.contains(&address), "the address is not named: {line}");
    std::net::TcpStream::connect(&address).context("the socket was to listen on")?;
    s.nothing_is_left()
}

/// Clause: a link at the name or at its lock is refused, and what it points to is left
/// alone. Where the name is the kernel's or an address, only the lock can be a link.
///
/// # Errors
/// How the contract is broken.
pub fn a_link_is_refused(s: &Subject) -> Result<()> {
    let precious = s.dir().join("precious");
    std::fs::write(&precious, "precious").context("write")?;
    let locked = format!("{}:locked.lock", s.chapter.name);
    let lock = format!("{}.lock", s.chapter.name);
    let names: &[(&str, &[&str])] = match s.chapter.meets {
        Meets::Kernel => &[(&locked, &["--at", "locked"])],
        Meets::Address => &[(&lock, &[])],
        _ => &[("link", &["--at", "link"]), ("locked.lock", &["--at", "locked"])],
    };
    for (name, args) in names {
        let link = s.dir().join(name);
        symlink(&precious, &link).context("symlink")?;
        let outcome = s.start_receiver(args)?.wait(s.deadline())?;
        let line = failed_clearly(&outcome)?;
        ensure!(line.contains("link"), "it does not say what is there: {line}");
        std::fs::remove_file(&link).context("the link was to stay")?;
    }
    let text = std::fs::read_to_string(&precious).context("read")?;
    ensure!(text == "precious", "the link was followed: {text:?}");
    std::fs::remove_file(&precious).context("unlink")?;
    s.nothing_is_left()
}

/// Clause: a runtime directory that others may write to, or a link to one, is refused.
///
/// # Errors
/// How the contract is broken.
pub fn an_unsafe_directory_is_refused(s: &Subject) -> Result<()> {
    let open = s.dir().join("open");
    std::fs::create_dir(&open).context("mkdir")?;
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777))
        .context("chmod")?;
    let link = s.dir().join("link");
    symlink(s.dir(), &link).context("symlink")?;
    for dir in [&open, &link] {
        let mut command = s.receiver_command(&[]);
        command.env("IPCLAB_DIR", dir);
        let outcome = RoleProcess::start("receiver", command, Input::Nothing)?;
        let line = failed_clearly(&outcome.wait(s.deadline())?)?;
        ensure!(line.contains("IPCLAB_DIR"), "no way out is named: {line}");
    }
    let mode =
        std::fs::metadata(&open).context("stat")?.permissions().mode() & 0o777;
    ensure!(mode == 0o777, "the directory was changed to {mode:o}");
    std::fs::remove_dir(&open).context("rmdir: something was made in it")?;
    std::fs::remove_file(&link).context("unlink")?;
    s.nothing_is_left()
}
