//! What single operations cost: to open, to connect, to create and to remove, to wake
//! a process up, to pass a descriptor.
//!
//! They run in a process of its own with one thread, pinned to one CPU, in batches: the
//! figure is the median batch's time divided by its operations. Those that are compared
//! take turns, batch by batch, there and back.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use self::operation::{Absent, Batch, Operation, Resources};
use super::lines::{Interrupted, Lines};
use super::model::{Figure, Outcome, Placement, Row, Unit, What};
use super::placement::{Awake, Cpus};
use super::role::{DEADLINE, start, why_it_ended};
use super::settings::Settings;
use super::spread::{
    AGAIN, figure, is_long, median, ratio, stalled, there_and_back,
};
use lab::interrupts::Interrupts;
use lab::scratch::Scratch;
use process::{Input, Output};
use wire::errors::line;
use wire::standard;

mod files;
mod locks;
mod memory;
mod operation;
mod passing;
mod queues;
mod sockets;
mod table;
mod wakeups;

/// What the process that times operations is told. Not for people: the bench starts it.
#[derive(Debug, clap::Args)]
pub struct OperationOptions {
    /// A directory of its own
    #[arg(long)]
    dir: PathBuf,

    /// Shorter batches, and fewer
    #[arg(long)]
    short: bool,

    /// The CPU for those that another process takes part in from there
    #[arg(long)]
    other_cpu: Option<usize>,

    /// Only the operations of these chapters
    #[arg(long)]
    chapter: Vec<String>,
}

/// The chapters of which operations are timed.
pub(super) fn chapters() -> impl Iterator<Item = &'static str> {
    table::groups().flatten().map(|operation| operation.chapter)
}

/// Times the operations; `each` is called with each row.
///
/// # Errors
/// When the bench itself cannot go on. What goes wrong with one operation stands in its
/// row. A signal that ends the bench is pending again when this returns.
pub fn run(settings: &Settings<'_>, each: &mut impl FnMut(Row)) -> Result<()> {
    let program = std::env::current_exe().context("readlink /proc/self/exe")?;
    run_with(&program, settings, each)
}

/// As [`run`], where `program` is the `ipclab` that plays the part.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    program: &std::path::Path,
    settings: &Settings<'_>,
    each: &mut impl FnMut(Row),
) -> Result<()> {
    let mut stop = Interrupts::watch()?;
    let cpus = Cpus::choose()?;
    let dir = Scratch::make()?;
    let resources = Resources::new(dir.path(), cpus.second);
    let mut command = Command::new(program);
    command.args(["bench-servers", "operations", "--dir"]).arg(dir.path());
    command.args(settings.quick.then_some("--short"));
    for chapter in settings.chapters {
        command.args(["--chapter", chapter]);
    }
    if let Some(cpu) = cpus.second {
        command.args(["--other-cpu", &cpu.to_string()]);
    }
    let _awake = match cpus.of(Placement::CrossBlocking) {
        Some(both) => Some(Awake::keep(both)?),
        None => None,
    };
    let (rows, write_end) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let output = Output::To(write_end);
    let part = start("the operations", command, Input::Nothing, output, cpus.first)?;
    let mut rows = Lines::of(rows);
    let done = loop {
        match rows.next(&[], &mut stop, Instant::now() + DEADLINE) {
            Ok(Some(row)) if row == "done" => break Ok(()),
            Ok(Some(row)) => each(serde_json::from_str(&row).context("a row")?),
            Ok(None) => break Err(why_it_ended(part)),
            Err(error) => {
                drop(part); // before what it has made is removed
                break Err(error);
            }
        }
    };
    // The part removes what it makes; a part that was killed may have left the last.
    resources.sweep();
    if let (Err(error), Some(signal)) = (&done, stop.caught)
        && error.is::<Interrupted>()
    {
        nix::sys::signal::raise(signal).context("raise")?;
    }
    done
}

/// How long a batch takes at least, and how many there are.
#[derive(Debug, Clone, Copy)]
struct Effort {
    batch: Duration,
    batches: usize,
}

/// The process that times them: writes each row as a line of JSON, and `done`.
///
/// # Errors
/// EPIPE once the reader has left.
pub(super) fn part(options: &OperationOptions) -> Result<()> {
    let resources = Resources::new(&options.dir, options.other_cpu);
    let (short, long) = (Duration::from_micros(300), Duration::from_millis(2));
    let effort = match options.short {
        true => Effort { batch: short, batches: 5 },
        false => Effort { batch: long, batches: 15 },
    };
    let chosen = &options.chapter;
    let wanted = |group: &&[Operation]| {
        chosen.is_empty() || chosen.iter().any(|name| name == group[0].chapter)
    };
    let mut out = standard::Output;
    for group in table::groups().filter(wanted) {
        for row in time(group, &resources, effort) {
            writeln!(out, "{}", serde_json::to_string(&row)?).context("write")?;
        }
    }
    writeln!(out, "done").context("write")
}

/// Times the operations of a group in turns.
fn time(group: &[Operation], resources: &Resources, effort: Effort) -> Vec<Row> {
    let mut all: Vec<Contender<'_>> =
        group.iter().map(|one| Contender::of(one, resources, effort)).collect();
    for index in there_and_back(all.len(), effort.batches) {
        all[index].counted();
    }
    all.iter().map(|one| one.row(&all[0])).collect()
}

/// One operation in the turns of its group.
struct Contender<'a> {
    operation: &'a Operation,
    /// What does it; or why there is nothing to time, or nothing any more.
    batch: Result<Batch>,
    /// So often in one batch.
    count: u64,
    /// The nanoseconds of one part, by batches.
    times: Vec<f64>,
}

impl<'a> Contender<'a> {
    /// Made, warm, and with batches that are long enough for a clock.
    fn of(
        operation: &'a Operation,
        resources: &Resources,
        effort: Effort,
    ) -> Contender<'a> {
        let batch = (operation.make)(resources);
        let mut this = Contender { operation, batch, count: 1, times: Vec::new() };
        while this.count < operation.most
            && this.run().is_some_and(|time| time < effort.batch)
        {
            this.count = (this.count * 2).min(operation.most);
        }
        this
    }

    /// One batch; `None` if it cannot be.
    fn run(&mut self) -> Option<Duration> {
        let batch = self.batch.as_mut().ok()?;
        match batch(self.count) {
            Ok(time) => Some(time),
            Err(error) => {
                self.batch = Err(error);
                None
            }
        }
    }

    /// One batch that counts; once more while it takes far longer than the others.
    fn counted(&mut self) {
        let usual = median(&self.times);
        for left in (0..=AGAIN).rev() {
            let Some(time) = self.run() else { return };
            let parts = self.count * self.operation.parts;
            let time = time.as_nanos() as f64 / parts as f64;
            if left == 0 || !is_long(time, usual) {
                self.times.push(time);
                return;
            }
        }
    }

    /// By the unit of the operation.
    fn figures(&self) -> Vec<f64> {
        let of = |time: &f64| match self.operation.unit {
            Unit::PerSecond => 1e9 / time,
            _ => *time,
        };
        self.times.iter().map(of).collect()
    }

    /// Its row, with its ratio to the `base` of its group.
    fn row(&self, base: &Contender<'_>) -> Row {
        let operation = self.operation;
        let outcome = match &self.batch {
            Ok(_) => {
                let is_other = operation.subject != base.operation.subject;
                let to = (is_other && base.batch.is_ok()).then(|| {
                    let to = base.operation.subject;
                    ratio(to, &self.figures(), &base.figures())
                });
                let ratios = to.into_iter().collect();
                Outcome::Measured(Figure { ratios, ..self.figure() })
            }
            Err(error) => match error.downcast_ref::<Absent>() {
                Some(Absent(why)) => Outcome::Absent(why.clone()),
                None => Outcome::Invalid(line(error)),
            },
        };
        Row {
            chapter: operation.chapter.to_owned(),
            subject: operation.subject.to_owned(),
            what: What::Operation,
            program: "ipclab".to_owned(),
            placement: operation.placement,
            size: None,
            clients: None,
            idle: None,
            outcome,
        }
    }

    fn figure(&self) -> Figure {
        let figure = figure(self.operation.unit, &self.figures());
        Figure { noisy: off(&self.times), ..figure }
    }
}

/// Why the times deserve less trust, when some stayed far off whenever they were run again.
/// The first had none before it to compare with, so only this reports it.
fn off(times: &[f64]) -> Option<String> {
    let usual = median(times);
    let off = times.iter().filter(|time| is_long(**time, usual)).count();
    stalled(off, times.len())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Takes these milliseconds, one a batch, and notes `name` each time.
    fn played(
        name: char,
        times: &'static [u64],
        log: &Rc<RefCell<String>>,
    ) -> Batch {
        let (mut times, log) = (times.iter().copied(), Rc::clone(log));
        Box::new(move |_| {
            log.borrow_mut().push(name);
            Ok(Duration::from_millis(times.next().context("no batch is left")?))
        })
    }

    fn contender(batch: Batch) -> Contender<'static> {
        let operation = &table::groups().next().expect("there are some")[0];
        Contender { operation, batch: Ok(batch), count: 1, times: Vec::new() }
    }

    #[test]
    fn a_batch_that_takes_far_longer_is_run_again_twice_at_most() {
        let log = Rc::default();
        let mut one = contender(played('a', &[10, 40, 12, 90, 80, 70, 11], &log));
        for _ in 0..4 {
            one.counted();
        }
        assert_eq!(one.times, [10e6, 12e6, 70e6, 11e6]);
        assert_eq!(log.borrow().len(), 7);
        let why = "something else had the CPU in 1 of 4 windows";
        assert_eq!(one.figure().noisy.as_deref(), Some(why));
        one.counted();
        let row = one.row(&one);
        let Outcome::Invalid(why) = row.outcome else { panic!("{row:?}") };
        assert_eq!(why, "no batch is left");
    }
}
