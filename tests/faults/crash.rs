//! Crash points: a role is killed, or gets a signal to end, before and after each of its
//! system calls that change something. Then the next roles find a place that works.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::fresh::fresh;
use crate::look::{clear, documented, processes_left};
use crate::scene::{Ground, Ran, Scene, Setting, play};
use crate::struck::{Blow, NthCall, Strike, changes};

/// One run to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) scene: Scene,
    pub(crate) strike: Strike,
}

impl Point {
    /// What IPCLAB_FAULTS takes, to do this one again.
    pub(crate) fn name(&self) -> String {
        let Scene { order, .. } = self.scene;
        let Strike { nth_call, blow } = self.strike;
        let Blow::Signal { signal, after } = blow else {
            unreachable!("signals alone")
        };
        let when = if after { "after" } else { "before" };
        let first = format!("{order:?}").to_lowercase();
        let name = self.scene.name();
        format!(
            "{name}, {first}: {signal} {when} {}#{}",
            nth_call.call, nth_call.nth
        )
    }
}

impl Point {
    /// Whether it may be killed within sem_open(3). There glibc makes a file `sem.XXXXXX`,
    /// gives it the name that was asked for by link(2), and unlinks the first name: a process
    /// that is killed in between leaves that, and nothing shows which process it was.
    pub(crate) fn may_be_within_sem_open(&self) -> bool {
        let Strike { nth_call, blow } = self.strike;
        self.scene.row.name == "semaphore posix"
            && matches!(blow, Blow::Signal { signal: Signal::SIGKILL, .. })
            && matches!(
                nth_call.call,
                "openat" | "write" | "mmap" | "link" | "unlink"
            )
    }
}

/// A run without a strike: which calls the role makes, and what is printed.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) calls: BTreeMap<&'static str, u32>,
    /// What each part that prints has printed, by its number.
    pub(crate) printed: BTreeMap<usize, Vec<u8>>,
}

/// Runs the scene as it should be.
pub(crate) fn probe(scene: &Scene) -> Result<Probe, String> {
    let ground = Ground::new();
    let ran = play(scene, &ground, None, Setting::default())?;
    if let Some(hung) = ran.hung.or(ran.rests) {
        return Err(hung);
    }
    let served =
        scene.part().serves && ran.run.status.signal() == Some(libc::SIGTERM);
    if !served && !ran.run.status.success() {
        return Err(format!("{}: {}", ran.run.status, ran.stderr.trim_end()));
    }
    let mut printed = BTreeMap::from([(scene.struck, ran.stdout)]);
    printed.extend(
        ran.others.into_iter().map(|(turn, outcome)| (turn, outcome.stdout)),
    );
    let left = ground.left();
    if !left.is_empty() && !scene.row.keeps {
        return Err(format!("left behind: {}", left.join(", ")));
    }
    ground.clean(&["--pending"])?;
    Ok(Probe { calls: ran.run.calls, printed })
}

/// All points of a scene.
pub(crate) fn points(scene: Scene, probe: &Probe) -> Vec<Point> {
    let mut points = Vec::new();
    for (&call, &times) in probe.calls.iter().filter(|(call, _)| changes(call)) {
        for nth in 1..=times {
            for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
                // What a signal mask is like matters to those that can be blocked.
                if signal == Signal::SIGKILL && call == "rt_sigprocmask" {
                    continue;
                }
                for after in [false, true] {
                    let blow = Blow::Signal { signal, after };
                    points.push(Point {
                        scene,
                        strike: Strike { nth_call: NthCall { call, nth }, blow },
                    });
                }
            }
        }
    }
    points
}

/// Plays one point; what is wrong with it, if anything.
pub(crate) fn strike(point: &Point, probe: &Probe) -> Result<bool, String> {
    let ground = Ground::new();
    let done = judge(point, probe, &ground);
    // Whatever came of it, nothing stays in the kernel for the points to come.
    if !ground.left().is_empty() {
        let _ = ground.clean(&["--pending"]);
    }
    done
}

fn judge(point: &Point, probe: &Probe, ground: &Ground) -> Result<bool, String> {
    let scene = &point.scene;
    let Blow::Signal { signal, after } = point.strike.blow else { unreachable!() };
    let ran = play(scene, ground, Some(point.strike), Setting::default())?;
    if let Some(hung) = ran.hung.as_ref().or(ran.rests.as_ref()) {
        return Err(format!("hangs: {hung}"));
    }
    if ran.orphans {
        return Err("a process of it is left".to_owned());
    }
    if !ran.run.hit {
        // The number of calls that wait differs from run to run.
        return Ok(false);
    }
    its_end(scene, &ran, signal)?;
    prints_a_prefix(scene, probe, &ran)?;
    let left = ground.left();
    if signal != Signal::SIGKILL && !scene.row.keeps && !left.is_empty() {
        return Err(format!("left behind: {}", left.join(", ")));
    }
    if left.is_empty() {
        // As if it had never been: the next roles find what the first ones found.
        return nothing_more(ground).map(|()| true);
    }
    // One half is found by the next start, the other by `clean`.
    if after || signal != Signal::SIGKILL {
        clean_takes_what_it_names(scene, ground)?;
    }
    fresh(scene.row, ground)?;
    if scene.row.keeps {
        ground.clean(&["--pending"])?;
    }
    nothing_more(ground)?;
    Ok(true)
}

fn its_end(scene: &Scene, ran: &Ran, signal: Signal) -> Result<(), String> {
    let role = scene.part().role;
    let status = ran.run.status;
    clear(role, status, &ran.stderr)?;
    // The strike may have met a child of it; and its own SIGTERM ends a server.
    let mut signals = vec![signal];
    if scene.part().serves {
        signals.push(Signal::SIGTERM);
    }
    let by = |signal: &Signal| status.signal() == Some(*signal as i32);
    let forks = ran.run.calls.keys().any(|call| matches!(*call, "clone" | "fork"));
    let failed = status.code() == Some(1) && forks;
    if !(status.success() || failed || signals.iter().any(by)) {
        return Err(format!(
            "{role}: {status}, not {signal}: {}",
            ran.stderr.trim_end()
        ));
    }
    for (turn, outcome) in &ran.others {
        let role = scene.row.parts[*turn].role;
        if !documented(outcome.status, &[Signal::SIGTERM, Signal::SIGPIPE]) {
            let said = outcome.stderr.trim_end();
            return Err(format!("the other, {role}: {}: {said}", outcome.status));
        }
        clear(role, outcome.status, &outcome.stderr)?;
    }
    Ok(())
}

/// Whole messages, from the first, and no others.
pub(crate) fn prints_a_prefix(
    scene: &Scene,
    probe: &Probe,
    ran: &Ran,
) -> Result<(), String> {
    let others = ran.others.iter().map(|(turn, outcome)| (*turn, &outcome.stdout));
    for (turn, printed) in others.chain([(scene.struck, &ran.stdout)]) {
        // What is watched depends on when that began; which worker it is, on chance.
        let part = &scene.row.parts[turn];
        if part.args == "watch" || part.role == "worker" {
            continue;
        }
        let whole = &probe.printed[&turn];
        // What one more client sent is not part of it.
        let mine = |line: &&[u8]| !line.starts_with(b"next-");
        let printed: Vec<&[u8]> =
            printed.split_inclusive(|byte| *byte == b'\n').filter(mine).collect();
        let printed = printed.concat();
        let at_its_end = printed.is_empty() || printed.ends_with(b"\n");
        // A server prints its clients' lines as they come; all else is in order.
        if !whole.starts_with(&printed) || !at_its_end {
            let role = scene.row.parts[turn].role;
            return Err(format!(
                "{role} printed {:.200}",
                printed.escape_ascii().to_string()
            ));
        }
    }
    Ok(())
}

fn clean_takes_what_it_names(scene: &Scene, ground: &Ground) -> Result<(), String> {
    let objects = |lines: Vec<String>, before: &str| -> BTreeSet<String> {
        let of = |line: &String| line.strip_prefix(before).map(str::to_owned);
        lines.iter().filter_map(of).collect()
    };
    let named = objects(ground.clean(&["--dry-run"])?, "would remove ");
    let taken = objects(ground.clean(&[])?, "removed ");
    if named != taken {
        return Err(format!(
            "clean: --dry-run named {named:?}, and it took {taken:?}"
        ));
    }
    if scene.row.keeps {
        ground.clean(&["--pending"])?;
    }
    match ground.left() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("left after clean: {}", left.join(", "))),
    }
}

fn nothing_more(ground: &Ground) -> Result<(), String> {
    let left = ground.left();
    if !left.is_empty() {
        return Err(format!("left after the fresh pair: {}", left.join(", ")));
    }
    match processes_left(ground.dir()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("processes left: {}", left.join(", "))),
    }
}
