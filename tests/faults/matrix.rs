//! The fault matrix: each role against each fault. A call fails, does less, or is
//! interrupted; or the role starts with less than it is used to.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::columns::{FAULTS, Fault, What, cannot_be};
use crate::crash::{Probe, prints_a_prefix};
use crate::look::{clear, documented, processes_left};
use crate::scene::{Ground, Order, Ran, Scene, Setting, play};
use crate::struck::{Blow, NthCall, Strike};

/// One run of a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) scene: Scene,
    pub(crate) fault: &'static Fault,
    strike: Option<Strike>,
    setting: Setting,
}

impl Trial {
    /// What IPCLAB_FAULTS takes, to do this one again.
    pub(crate) fn name(&self) -> String {
        let at = |strike: Strike| {
            format!(" at {}#{}", strike.nth_call.call, strike.nth_call.nth)
        };
        let at = self.strike.map(at).unwrap_or_default();
        format!("{} x {}{at}", self.scene.name(), self.fault.name)
    }
}

/// Each role once: the first to start, or the last.
pub(crate) fn scenes() -> Vec<Scene> {
    let usual = |scene: &Scene| (scene.struck == 0) == (scene.order == Order::First);
    Scene::all().into_iter().filter(usual).collect()
}

/// The runs of a cell; none where the role makes none of these calls.
pub(crate) fn trials(
    scene: Scene,
    fault: &'static Fault,
    probe: &Probe,
) -> Vec<Trial> {
    let at = |calls: &[&'static str], blow: Blow, only_first: bool| {
        let mut trials = Vec::new();
        for &call in
            calls.iter().filter(|call| cannot_be(&scene, fault, call).is_none())
        {
            let times = probe.calls.get(call).copied().unwrap_or(0);
            let mut nths = vec![1, 2, times / 2 + 1, times];
            nths.retain(|nth| *nth <= times && !(only_first && *nth > 1));
            nths.sort_unstable();
            nths.dedup();
            trials.extend(nths.into_iter().map(|nth| Trial {
                scene,
                fault,
                strike: Some(Strike { nth_call: NthCall { call, nth }, blow }),
                setting: Setting::default(),
            }));
        }
        trials
    };
    match fault.what {
        What::Fails(errno, calls) => at(calls, Blow::Error(errno), false),
        What::Keeps(errno, calls) => at(calls, Blow::Errors(errno), true),
        What::Short(calls) => at(calls, Blow::Short, false),
        What::Stops(calls) => at(calls, Blow::Stop, false),
        What::Starts(_) | What::Plants(_)
            if cannot_be(&scene, fault, "").is_some() =>
        {
            Vec::new()
        }
        What::Starts(prelude) | What::Plants(prelude) => {
            let setting = Setting { prelude: Some(prelude), encore: false };
            vec![Trial { scene, fault, strike: None, setting }]
        }
    }
}

/// Plays one; what is wrong with it, if anything.
pub(crate) fn run(trial: &Trial, probe: &Probe) -> Result<bool, String> {
    let ground = Ground::new();
    let done = judge(trial, probe, &ground);
    if !ground.left().is_empty() {
        let _ = ground.clean(&["--pending"]);
    }
    done
}

fn judge(trial: &Trial, probe: &Probe, ground: &Ground) -> Result<bool, String> {
    let scene = &trial.scene;
    let ran = play(
        scene,
        ground,
        trial.strike,
        Setting { encore: true, ..trial.setting },
    )?;
    if let Some(hung) = &ran.hung {
        return Err(format!("hangs: {hung}"));
    }
    // With so few descriptors there is none for a client: it waits until there are more.
    if let Some(rests) =
        ran.rests.as_ref().filter(|_| !trial.fault.name.starts_with("nofile"))
    {
        return Err(format!("its clients wait for ever: {rests}"));
    }
    if ran.orphans {
        return Err("a process of it is left".to_owned());
    }
    // The number of calls that wait differs from run to run; and with less memory than the
    // loader needs, it is not ipclab that fails.
    if trial.strike.is_some() && !ran.run.hit || !ran.run.begun {
        return Ok(false);
    }
    ends(trial, &ran)?;
    prints_a_prefix(scene, probe, &ran)?;
    nothing_is_lost(trial, probe, &ran)?;
    let stopped = matches!(trial.fault.what, What::Stops(_));
    if stopped && !(ran.run.status.success() || scene.part().serves) {
        return Err(format!("{}: {}", ran.run.status, ran.stderr.trim_end()));
    }
    left(trial, ground)?;
    Ok(true)
}

fn ends(trial: &Trial, ran: &Ran) -> Result<(), String> {
    let scene = &trial.scene;
    let part = scene.part();
    let status = ran.run.status;
    // Where nothing can be written to standard error, the status alone reports it.
    if !(MUTE.contains(&trial.fault.name) && ran.stderr.is_empty()) {
        clear(part.role, status, &ran.stderr)?;
    }
    let served = part.serves && status.signal() == Some(libc::SIGTERM);
    if !(served || matches!(status.code(), Some(0 | 1 | 2 | 124))) {
        return Err(format!("{}: {status}: {}", part.role, ran.stderr.trim_end()));
    }
    if part.serves && ran.ready && status.code().is_some_and(|code| code != 0) {
        let excused =
            trial.strike.is_none_or(|strike| OUTPUT.contains(&strike.nth_call.call));
        if !excused {
            return Err(format!(
                "the server has ended, {status}: {}",
                ran.stderr.trim_end()
            ));
        }
    }
    for (turn, outcome) in &ran.others {
        let role = scene.row.parts[*turn].role;
        if !documented(outcome.status, &[Signal::SIGTERM, Signal::SIGPIPE]) {
            let said = outcome.stderr.trim_end();
            return Err(format!("the other, {role}: {}: {said}", outcome.status));
        }
        clear(role, outcome.status, &outcome.stderr)?;
    }
    match &ran.encore {
        Some(Err(error)) => Err(format!("the next client: {error}")),
        _ => Ok(()),
    }
}

/// Where all roles report success, all that was sent has arrived.
fn nothing_is_lost(trial: &Trial, probe: &Probe, ran: &Ran) -> Result<(), String> {
    let scene = &trial.scene;
    if !ran.run.status.success() && !scene.part().serves {
        return Ok(());
    }
    let own = ran.run.status.success().then_some((scene.struck, &ran.stdout));
    let others = ran.others.iter().filter(|(_, outcome)| outcome.status.success());
    for (turn, printed) in
        others.map(|(turn, outcome)| (*turn, &outcome.stdout)).chain(own)
    {
        let part = &scene.row.parts[turn];
        if part.prints && *printed != probe.printed[&turn] {
            let printed = printed.escape_ascii().to_string();
            return Err(format!(
                "status 0, and {} printed {printed:.200}",
                part.role
            ));
        }
    }
    Ok(())
}

/// What stays is what `clean` takes; and only where taking it away was what failed.
fn left(trial: &Trial, ground: &Ground) -> Result<(), String> {
    if let What::Plants(_) = trial.fault.what {
        let name = ground.dir().join(trial.scene.row.chapter);
        for planted in [name.with_extension("lock"), name] {
            let _ = std::fs::remove_dir(&planted);
            let _ = std::fs::remove_file(&planted);
        }
    }
    let before = ground.left();
    if !before.is_empty() {
        let excused = trial
            .strike
            .is_some_and(|strike| CLEARS.contains(&strike.nth_call.call));
        if !trial.scene.row.keeps && !excused {
            return Err(format!("left behind: {}", before.join(", ")));
        }
        ground.clean(&["--pending"])?;
        let after = ground.left();
        if !after.is_empty() {
            return Err(format!("left after clean --pending: {}", after.join(", ")));
        }
    }
    match processes_left(ground.dir()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("processes left: {}", left.join(", "))),
    }
}

/// Calls that print. A server whose output fails reports it, and ends.
const OUTPUT: &[&str] = &["write", "writev"];

/// Faults that standard error cannot be written under: it is closed, full, or a file.
const MUTE: &[&str] = &["stderr closed", "stderr full", "all closed", "fsize 0"];

/// Calls by which a role clears up, or knows that it may.
const CLEARS: &[&str] = &[
    "unlink",
    "unlinkat",
    "fcntl",
    "mq_unlink",
    "msgctl",
    "shmctl",
    "semctl",
    "statx",
    "newfstatat",
    "fstat",
];

/// The table: a row a role, a column a fault, ok or FAIL, and a dot where nothing applies.
pub(crate) fn table(cells: &BTreeMap<(String, &'static str), [usize; 2]>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("columns:\n");
    for (number, fault) in FAULTS.iter().enumerate() {
        let _ = write!(text, "{:>4} {:22}", number + 1, fault.name);
        if number % 4 == 3 {
            text.push('\n');
        }
    }
    let mut rows: Vec<&String> = cells.keys().map(|(name, _)| name).collect();
    rows.dedup();
    let _ = write!(text, "\n{:30}", "");
    for number in 1..=FAULTS.len() {
        let _ = write!(text, "{number:>3}");
    }
    for row in rows {
        let _ = write!(text, "\n{row:30}");
        for fault in FAULTS {
            let cell = match cells.get(&(row.clone(), fault.name)) {
                None => "  .".to_owned(),
                Some([_, 0]) => " ok".to_owned(),
                Some([_, failed]) => format!("{:>3}", format!("F{failed}")),
            };
            text.push_str(&cell);
        }
    }
    text.push_str(
        "\n(. the role makes none of these calls, or the sample has none of them)\n",
    );
    text
}
