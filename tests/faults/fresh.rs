//! The roles that come after: they run without a strike, in the same place.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::look::settled;
use crate::rows::{Part, Row};
use crate::scene::{Ground, PATIENCE, start, wait, well, words};
use crate::support::{Input, Output};

/// A pair (or more) without a strike, in the same place: it must meet, and do its work.
pub(crate) fn fresh(row: &'static Row, ground: &Ground) -> Result<(), String> {
    let command = |part: &Part| {
        let words = words(row, part, "fresh");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    };
    let until = Instant::now() + PATIENCE;
    let named = |part: &Part| format!("a fresh {}", part.role);
    if row.keeps {
        // Messages that waited come first, and may end with a goodbye of their own.
        let [taker, giver] = row.parts else { unreachable!("two roles") };
        let name = named(giver);
        let begin = || {
            let role = start(
                &name,
                command(giver),
                ground.dir(),
                Input::Nothing,
                Output::Kept,
            );
            settled(role.pid(), until, || false);
            role
        };
        let mut given = begin();
        if given.has_ended() {
            let outcome = wait(given)?;
            // A role that has no room yet reports it, and the command that makes room.
            if outcome.status.code() == Some(1)
                && outcome.stderr.contains("clean --pending")
            {
                ground.clean(&["--pending"])?;
                given = begin();
            } else {
                well(&name, &outcome)?;
                given = start(
                    "true",
                    Command::new("true"),
                    ground.dir(),
                    Input::Nothing,
                    Output::Kept,
                );
            }
        }
        let mut last = Vec::new();
        for _ in 0..3 {
            let name = named(taker);
            let role = start(
                &name,
                command(taker),
                ground.dir(),
                Input::Nothing,
                Output::Kept,
            );
            let outcome = wait(role)?;
            well(&name, &outcome)?;
            last = outcome.stdout;
            if !taker.prints
                || taker.args.contains("--append")
                || last.ends_with(b"fresh-3\n")
            {
                last = b"fresh-3\n".to_vec();
                break;
            }
        }
        well(&name, &wait(given)?)?;
        return match last.ends_with(b"fresh-3\n") {
            true => Ok(()),
            false => Err(format!("a fresh pair: {} arrived", last.escape_ascii())),
        };
    }
    let (reading, writing) = std::io::pipe().expect("a pipe");
    let mut link = row.piped.then_some((reading, writing));
    let mut roles = Vec::new();
    let mut output = None;
    for part in row.parts {
        let mut input = Input::Nothing;
        let mut to = Output::Kept;
        if let Some((reading, writing)) = link.take() {
            input = Input::From(reading.into());
            output = Some(writing);
        } else if let Some(writing) = output.take() {
            to = Output::To(writing.into());
        }
        let role = start(&named(part), command(part), ground.dir(), input, to);
        settled(role.pid(), until, || false);
        roles.push((part, role));
    }
    // The roles that end by themselves, and then the last to come first: a worker or a client
    // that watches ends by itself, too, once its server has left.
    roles.reverse();
    roles.sort_by_key(|(part, _)| part.serves);
    for (part, role) in roles {
        let name = named(part);
        if part.serves {
            let _ = role.signal(Signal::SIGTERM);
            let outcome = wait(role)?;
            if outcome.status.signal() != Some(libc::SIGTERM) {
                let said = outcome.stderr.trim_end();
                return Err(format!("{name}: {}: {said}", outcome.status));
            }
            continue;
        }
        let outcome = wait(role)?;
        well(&name, &outcome)?;
        let printed = outcome.stdout.to_ascii_lowercase();
        if part.prints && !printed.ends_with(b"fresh-3\n") {
            return Err(format!("{name} printed {}", outcome.stdout.escape_ascii()));
        }
    }
    Ok(())
}
