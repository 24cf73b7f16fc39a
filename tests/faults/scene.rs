//! One run of a row, with one of its roles struck; and then what came of it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::contract::left_behind;
use nix::sys::signal::Signal;

use crate::look::{nap, settled, where_it_is};
use crate::rows::{Part, Row};
use crate::struck::{Blow, Strike, Struck, StruckRun};
use crate::support::{Input, Outcome, Output, RoleProcess, program};

/// How long a role may take where nothing is in its way. Nothing is concluded from less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the struck role starts before the others, or after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Order {
    First,
    Last,
}

/// Which role is struck, and when it starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) row: &'static Row,
    pub(crate) struck: usize,
    pub(crate) order: Order,
}

impl Scene {
    /// All of them. A client of TCP that starts before its server looks at the well-known
    /// port, which is not this test's.
    pub(crate) fn all() -> Vec<Scene> {
        let mut all = Vec::new();
        for row in crate::rows::ROWS {
            for (struck, part) in row.parts.iter().enumerate() {
                // The second of two that do the same.
                if row.parts[..struck].contains(part) {
                    continue;
                }
                for order in [Order::First, Order::Last] {
                    let alone = row.parts.len() == 1 || row.piped;
                    let well_known = matches!(row.chapter, "tcp" | "udp")
                        && part.serves == (order == Order::Last);
                    if !(well_known || alone && order == Order::Last) {
                        all.push(Scene { row, struck, order });
                    }
                }
            }
        }
        all
    }

    pub(crate) fn part(&self) -> &'static Part {
        &self.row.parts[self.struck]
    }

    /// As a column or a line of the report names it.
    pub(crate) fn name(&self) -> String {
        let Part { role, args, .. } = self.part();
        let more =
            args.split_whitespace().next().filter(|_| self.row.chapter == "dbus");
        let more = more.filter(|_| *role == "client").unwrap_or_default();
        let role = if more.is_empty() {
            (*role).to_owned()
        } else {
            format!("{role} {more}")
        };
        format!("{} {role}", self.row.name)
    }
}

/// A runtime directory, and beside it one for what the roles print.
#[derive(Debug)]
pub(crate) struct Ground {
    dir: tempfile::TempDir,
    aside: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let dir = |prefix| {
            tempfile::Builder::new().prefix(prefix).tempdir().expect("a directory")
        };
        Ground { dir: dir("ipclab-f-"), aside: dir("ipclab-fault-") }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What of ours is there: names, kernel objects.
    pub(crate) fn left(&self) -> Vec<String> {
        let chapters: Vec<_> = chapters::rows().iter().map(|row| row.name).collect();
        let mut left =
            left_behind(self.dir(), &chapters).expect("/proc and the directory");
        left.sort();
        left
    }

    /// `ipclab clean …`: its status and its lines.
    pub(crate) fn clean(&self, args: &[&str]) -> Result<Vec<String>, String> {
        let mut command = Command::new(program());
        command.arg("clean").args(args);
        let outcome =
            wait(start("clean", command, self.dir(), Input::Nothing, Output::Kept))?;
        well("clean", &outcome)?;
        Ok(String::from_utf8_lossy(&outcome.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }
}

/// The words of a part's command line.
pub(crate) fn words(row: &Row, part: &Part, message: &str) -> Vec<String> {
    let mut words = vec![program().display().to_string(), row.chapter.to_owned()];
    words.extend([part.role, "-q"].map(str::to_owned));
    for word in part.args.split_whitespace() {
        match word {
            "MESSAGES" => words.extend((1..=3).map(|n| format!("{message}-{n}"))),
            // More than a page, so that it is lent; the end shows which message it was.
            "LONG" => words.extend(
                (1..=3).map(|n| format!("{}{message}-{n}", "x".repeat(20_000))),
            ),
            "MESSAGE" => words.push(format!("{message}-3")),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

pub(crate) fn start(
    name: &str,
    mut command: Command,
    dir: &Path,
    input: Input,
    output: Output,
) -> RoleProcess {
    command.env("IPCLAB_DIR", dir).env("TMPDIR", dir).current_dir(dir);
    RoleProcess::start_with(name, command, input, output, None).expect("a role")
}

pub(crate) fn wait(role: RoleProcess) -> Result<Outcome, String> {
    role.wait(Instant::now() + PATIENCE).map_err(|error| format!("{error:#}"))
}

pub(crate) fn well(name: &str, outcome: &Outcome) -> Result<(), String> {
    match outcome.status.success() {
        true => Ok(()),
        false => {
            Err(format!("{name}: {}: {}", outcome.status, outcome.stderr.trim_end()))
        }
    }
}

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) run: StruckRun,
    /// What the struck role wrote on standard output, and on standard error.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The others, by their number.
    pub(crate) others: Vec<(usize, Outcome)>,
    /// Where it stuck, if it did not end by itself.
    pub(crate) hung: Option<String>,
    /// Where a server was when its clients had waited for too long.
    pub(crate) rests: Option<String>,
    /// What was still there of the struck role's own processes.
    pub(crate) orphans: bool,
    /// Whether it had come to rest before it was struck: a server, to wait for clients.
    pub(crate) ready: bool,
    /// What the next client got, if one came.
    pub(crate) encore: Option<Result<(), String>>,
}

/// What the shell does before it becomes the struck role, and what makes it different.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setting {
    /// Runs in the shell, before `exec`; ends with `exec` or a program that does so.
    pub(crate) prelude: Option<&'static str>,
    /// Whether one more client comes to a server that has been struck, and still runs.
    pub(crate) encore: bool,
}

/// Plays the scene once.
pub(crate) fn play(
    scene: &Scene,
    ground: &Ground,
    strike: Option<Strike>,
    setting: Setting,
) -> Result<Ran, String> {
    let mut until = Instant::now() + PATIENCE;
    let Scene { row, struck, order } = *scene;
    let mut turns: Vec<usize> =
        (0..row.parts.len()).filter(|turn| *turn != struck).collect();
    turns.insert(if order == Order::First { 0 } else { turns.len() }, struck);
    let (mut reading, mut writing) = (None, None);
    if row.piped {
        let (ours, theirs) = std::io::pipe().expect("a pipe");
        (reading, writing) = (Some(ours), Some(theirs));
    }
    let (out, err) =
        (ground.aside.path().join("out"), ground.aside.path().join("err"));
    let mut others = Vec::new();
    let stops = strike.is_some_and(|strike| strike.blow == Blow::Stop);
    let mut victim = None;
    let mut ready = false;
    for turn in turns {
        let part = &row.parts[turn];
        let words = words(row, part, "sent");
        if turn == struck {
            let stdin = match reading.take_if(|_| turn == 0) {
                Some(reading) => Stdio::from(reading),
                None => Stdio::null(),
            };
            let stdout = match writing.take_if(|_| turn == 1) {
                Some(writing) => Stdio::from(writing),
                None => Stdio::from(File::create(&out).expect("a file")),
            };
            let stderr = File::create(&err).expect("a file");
            let prelude = setting.prelude.unwrap_or("exec");
            let dir = ground.dir();
            let role =
                Struck::start(&words, prelude, dir, (stdin, stdout, stderr), strike);
            while !role.has_begun() && role.leader_runs() && Instant::now() < until {
                nap();
            }
            settled(role.pid, until, || stops && role.is_hit());
            ready = !role.is_hit();
            victim = Some(role);
        } else {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            let input = match reading.take_if(|_| turn == 0) {
                Some(reading) => Input::From(reading.into()),
                None => Input::Nothing,
            };
            let output = match writing.take_if(|_| turn == 1) {
                Some(writing) => Output::To(writing.into()),
                None => Output::Kept,
            };
            let role = start(part.role, command, ground.dir(), input, output);
            settled(role.pid(), until, || false);
            others.push((turn, role));
        }
    }
    let victim = victim.expect("one is struck");
    let mut told = false;
    let (mut hung, mut rests) = (None, None);
    let mut encore = None;
    let mut stopped = stops;
    while victim.leader_runs() {
        if stopped && victim.is_hit() {
            // The others come to where they cannot go on without it.
            for (_, role) in &others {
                settled(role.pid(), until, || false);
            }
            victim.go_on();
            stopped = false;
        }
        let done = |(turn, role): &mut (usize, RoleProcess)| {
            row.parts[*turn].serves || role.has_ended()
        };
        if row.parts[struck].serves && !told && others.iter_mut().all(done) {
            if setting.encore && (victim.is_hit() || strike.is_none()) {
                let part = &row.parts[row.parts.len() - 1];
                let words = words(row, part, "next");
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                let role = start(
                    part.role,
                    command,
                    ground.dir(),
                    Input::Nothing,
                    Output::Kept,
                );
                encore = served(&victim, role);
                until = until.max(Instant::now() + Duration::from_secs(5));
            }
            victim.signal(Signal::SIGTERM);
            told = true;
        }
        if Instant::now() > until {
            // A server may rest for want of something, and its client wait with it; but a
            // signal ends it.
            if !row.parts[struck].serves || told {
                hung = Some(where_it_is(victim.pid));
                break;
            }
            rests = Some(where_it_is(victim.pid));
            victim.signal(Signal::SIGTERM);
            told = true;
            until += Duration::from_secs(5);
        }
        nap();
    }
    let ended_well =
        hung.is_none() && victim.status().is_some_and(|status| status.success());
    let mut outcomes = Vec::new();
    // The roles that end by themselves first: a server has their last answers to give.
    others.sort_by_key(|(turn, _)| row.parts[*turn].serves);
    for (turn, role) in others {
        if row.parts[turn].serves || row.parts[struck].serves || !ended_well {
            let _ = role.signal(Signal::SIGTERM);
        }
        outcomes.push((
            turn,
            wait(role).map_err(|error| format!("the other: {error}"))?,
        ));
    }
    let patience = Instant::now() + Duration::from_secs(5);
    while !victim.has_ended() && Instant::now() < patience {
        nap();
    }
    let orphans = hung.is_none() && !victim.has_ended();
    let run = victim.end();
    let stdout = std::fs::read(&out).unwrap_or_default();
    let stderr = std::fs::read(&err).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Ran {
        run,
        stdout,
        stderr,
        others: outcomes,
        hung,
        rests,
        orphans,
        encore,
        ready,
    })
}

/// What a client got; that its server has ended meanwhile is judged elsewhere.
fn served(victim: &Struck, mut client: RoleProcess) -> Option<Result<(), String>> {
    let until = Instant::now() + PATIENCE;
    while victim.leader_runs() && !client.has_ended() && Instant::now() < until {
        nap();
    }
    if !victim.leader_runs() {
        return None;
    }
    if !client.has_ended() {
        return Some(Err(format!(
            "it waits for ever; the server: {}",
            where_it_is(victim.pid)
        )));
    }
    Some(wait(client).and_then(|outcome| well("client", &outcome)))
}
