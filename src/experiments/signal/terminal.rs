//! The signals of a terminal's keys.

use anyhow::{Context, Result};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{pause, setsid, write};
use rustix::process::ioctl_tiocsctty;

use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;

pub(super) const CTRL_Z: Experiment = Experiment {
    name: "ctrl-z",
    title: "Ctrl-Z, and a program that does not want to stop",
    level: Level::Later,
    question: "An editor must put the terminal in order before it stops, and has \
               installed a handler for SIGTSTP, which only notes that it ran. Its user \
               presses Ctrl-Z. You may have read that Ctrl-Z sends SIGTSTP, and not \
               SIGSTOP. What does the editor do?",
    answers: &[
        wrong(
            "it stops, without its handler",
            "That is true of SIGSTOP, which cannot be caught. That is why the terminal \
             does not send it: editors and shells could not work.",
        ),
        wrong(
            "its handler runs, then it stops",
            "To stop is the default action of SIGTSTP, and a handler takes its place. A \
             handler that wants to stop as well raises SIGSTOP at its end.",
        ),
        right(
            "its handler runs, and it goes on",
            "It is true: the terminal's driver turns the byte 26 into SIGTSTP for the \
             group in the foreground. SIGTSTP is a request, and a handler may do as it \
             likes.",
        ),
    ],
    kind: Kind::Kernel,
    run: ctrl_z,
    moral: "SIGTSTP asks to stop, SIGSTOP stops: as SIGTERM asks to end and SIGKILL ends. Which \
            key sends which is a setting of the terminal: stty -a shows `susp = ^Z`.",
    see: "signal(7), termios(3)",
    file: file!(),
    shows: &["ctrl-z"],
};

// ANCHOR: ctrl-z
fn ctrl_z(stage: &Stage) -> Result<usize> {
    let pty = openpty(None, None).context("openpty")?;
    let ready = stage.gate()?;
    let editor = stage.fork("editor", |stage| {
        setsid().context("setsid")?;
        ioctl_tiocsctty(&pty.slave).context("TIOCSCTTY")?; // this terminal is ours now
        handlers::count(libc::SIGTSTP, 0)?;
        ready.open(1)?;
        while handlers::counted() == 0 {
            pause();
        }
        stage.event("editor", "its handler for SIGTSTP has run; it goes on");
        pause();
        Ok(())
    })?;
    ready.pass()?;
    editor.until_asleep_in(&[PAUSE])?;
    stage.call("write(terminal, Ctrl-Z)", &write(&pty.master, &[26]));
    let stopped = || {
        let flags = WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG;
        let status = waitpid(editor.pid(), Some(flags)).context("waitpid")?;
        anyhow::Ok(matches!(status, WaitStatus::Stopped(..)))
    };
    editor.until_handled(libc::SIGTSTP)?;
    editor.until_asleep_in(&[PAUSE])?;
    let by_key = stopped()?;

    editor.kill(Signal::SIGSTOP)?;
    let status = waitpid(editor.pid(), Some(WaitPidFlag::WUNTRACED));
    let by_stop = status == Ok(WaitStatus::Stopped(editor.pid(), Signal::SIGSTOP));
    stage.call("kill(editor, SIGSTOP)", &Ok::<_, nix::errno::Errno>(()));
    stage.event("editor", "has stopped");
    stage.saw("Ctrl-Z stopped it", by_key);
    stage.saw("SIGSTOP stopped it", by_stop);
    Ok(if by_key { 2 } else { 3 })
}
// ANCHOR_END: ctrl-z
