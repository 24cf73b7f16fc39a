//! From windows to rows: the servers of a group in turns, and how they compare.

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::kind::{ServerKind, ServerProgram};
use super::load::client::SIZE;
use super::load::order::Order;
use super::peers::Absent;
use super::plan::{Effort, Group};
use super::session::{Sample, ServerBench, ServerCase, Session};
use super::times::Times;
use crate::lines::Interrupted;
use crate::model::{Figure, Outcome, Placement, Ratio, Row, Unit, What};
use crate::spread::{self, AGAIN, is_slow, median, stalled, there_and_back};
use wire::errors::line;

/// Descriptors that a server or a load has beside those of its clients.
const SPARE: u64 = 64;
/// An open loop of which less than this part is answered in time is another load than the
/// one that was offered.
const HELD: f64 = 0.98;

/// One server in the turns of its group.
struct Contender {
    subject: ServerCase,
    /// Its session; or why there is none, or none any more.
    session: Result<Session>,
    samples: Vec<Sample>,
}

/// Measures the servers of a group in one placement, and reports each row.
///
/// # Errors
/// [`Interrupted`] alone: all else that goes wrong stands in a row.
pub(super) fn group(
    stage: &mut ServerBench,
    (group, placement): (&Group, Placement),
    programs: &[ServerProgram],
    effort: &Effort,
    each: &mut dyn FnMut(Row),
) -> Result<()> {
    let mut all = Vec::new();
    for kind in group.kinds {
        for program in programs.iter().filter(|program| kind.has(**program)) {
            let (kind, program) = (*kind, *program);
            let Group { busy, idle, .. } = *group;
            let subject =
                ServerCase { kind, program, placement, busy, idle, load_threads: 1 };
            let session = room(&subject).and_then(|()| stage.start(subject));
            let session = unless_interrupted(session)?;
            all.push(Contender { subject, session, samples: Vec::new() });
        }
    }
    let closed = |window| Order::Closed { window };
    for contender in &mut all {
        contender.turn(stage, closed(effort.warm_up))?;
        contender.samples.clear();
    }
    for index in there_and_back(all.len(), effort.rounds) {
        all[index].counted(stage, closed(effort.window))?;
    }
    for contender in &all {
        each(contender.row(&all));
    }
    if group.has_open_loop() {
        for contender in &mut all {
            contender.open_loop(stage, effort, each)?;
        }
    }
    Ok(())
}

/// Makes room for the descriptors of so many clients.
fn room(subject: &ServerCase) -> Result<()> {
    let clients = subject.busy as u64 + subject.idle as u64;
    let needed = clients + SPARE;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if needed <= soft {
        return Ok(());
    }
    match setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => {
            let why = format!(
                "{clients} clients need {needed} descriptors, and RLIMIT_NOFILE allows \
                 {hard}; as root: ulimit -n {needed}"
            );
            Err(Absent(why).into())
        }
        Err(error) => Err(anyhow!(error).context("setrlimit RLIMIT_NOFILE")),
    }
}

fn unless_interrupted<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if error.is::<Interrupted>() => Err(error),
        result => Ok(result),
    }
}

impl Contender {
    /// One window more, if it is still there.
    fn turn(&mut self, stage: &mut ServerBench, order: Order) -> Result<()> {
        let Ok(session) = &mut self.session else { return Ok(()) };
        match unless_interrupted(stage.window(session, order))? {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.session = Err(error),
        }
        Ok(())
    }

    /// One window that counts; once more while its rate is far below the others'.
    fn counted(&mut self, stage: &mut ServerBench, order: Order) -> Result<()> {
        let usual = median(&rates(&self.samples));
        self.turn(stage, order)?;
        for _ in 0..AGAIN {
            let last = self.samples.last().filter(|_| self.session.is_ok());
            if !last.is_some_and(|last| is_slow(last.rate(), usual)) {
                break;
            }
            self.samples.pop();
            self.turn(stage, order)?;
        }
        Ok(())
    }

    /// The row of its closed loop.
    fn row(&self, all: &[Contender]) -> Row {
        let outcome = self.outcome(|| {
            let mut times = Times::new();
            for sample in &self.samples {
                times.add_pairs(&sample.window.answers.honest);
            }
            let rates = rates(&self.samples);
            let noisy = [self.at_limit(), off(&rates)];
            let noisy: Vec<String> = noisy.into_iter().flatten().collect();
            let noisy = (!noisy.is_empty()).then(|| noisy.join("; "));
            Figure { ratios: self.ratios(all), ..figure(&rates, &times, noisy) }
        });
        self.subject_row(self.subject.kind.subject(), outcome)
    }

    /// A figure, or else why there is none.
    fn outcome(&self, figure: impl FnOnce() -> Figure) -> Outcome {
        match &self.session {
            Ok(_) => Outcome::Measured(figure()),
            Err(error) => match error.downcast_ref::<Absent>() {
                Some(Absent(why)) => Outcome::Absent(why.clone()),
                None => Outcome::Invalid(line(error)),
            },
        }
    }

    fn subject_row(&self, subject: String, outcome: Outcome) -> Row {
        Row {
            chapter: self.subject.kind.chapter().to_owned(),
            subject,
            what: What::Server,
            program: self.subject.program.text().to_owned(),
            placement: Some(self.subject.placement),
            size: Some(SIZE as u64),
            clients: Some(self.subject.busy as u32),
            idle: Some(self.subject.idle as u32),
            outcome,
        }
    }

    /// How it compares with the others of its group: ours with the peers, and each
    /// multiplexer with select(2).
    fn ratios(&self, all: &[Contender]) -> Vec<Ratio> {
        let ServerCase { kind, program, .. } = self.subject;
        let others = all.iter().filter_map(|other| {
            let theirs = other.subject;
            let to = if theirs.kind == kind && program == ServerProgram::Ipclab {
                (theirs.program != program).then(|| theirs.program.text())?
            } else if theirs.program == program && theirs.kind == ServerKind::Select
            {
                (theirs.kind != kind).then(|| theirs.kind.word())?
            } else {
                return None;
            };
            other.session.is_ok().then_some((to, &other.samples))
        });
        let all = others.flat_map(|(to, theirs)| {
            let ours = &self.samples;
            // Where clients wait in turns with the server, a request costs more than the
            // server's part of it. That part alone is another ratio.
            let cpu = format!("{to}, by CPU time");
            [
                ratio(to, ours, theirs, Sample::rate),
                ratio(&cpu, ours, theirs, Sample::per_cpu_second),
            ]
        });
        all.flatten().collect()
    }

    /// Whether the load, rather than the server, was at its limit.
    fn at_limit(&self) -> Option<String> {
        let cross = self.subject.placement != Placement::Same;
        let share = |which: usize| {
            let shares = self.samples.iter().map(|sample| sample.shares()[which]);
            median(&shares.collect::<Vec<f64>>())
        };
        let [load, server] = [share(0), share(1)];
        (cross && load > 0.95 && server < 0.9).then(|| {
            let [load, server] = [load * 100.0, server * 100.0];
            format!(
                "the load was at its limit, not the server: {load:.0} % of a CPU, \
                 and {server:.0} %"
            )
        })
    }

    /// The rows of requests that come due at a fixed rate, for our own program.
    fn open_loop(
        &mut self,
        stage: &mut ServerBench,
        effort: &Effort,
        each: &mut dyn FnMut(Row),
    ) -> Result<()> {
        if self.subject.program != ServerProgram::Ipclab || self.session.is_err() {
            return Ok(());
        }
        let closed = median(&rates(&self.samples));
        for percent in effort.rates {
            let rate = (closed * f64::from(*percent) / 100.0).max(1.0) as u64;
            let order = Order::Open { window: effort.open, rate };
            self.samples.clear();
            for _ in 0..effort.opens {
                self.turn(stage, order)?;
            }
            let outcome = self.outcome(|| self.open_figure(rate));
            let kind = self.subject.kind.subject();
            let subject = format!("{kind}, open loop at {percent} %");
            each(self.subject_row(subject, outcome));
        }
        Ok(())
    }

    /// The figure of an open loop, of which `rate` requests a second were offered.
    fn open_figure(&self, rate: u64) -> Figure {
        let (mut honest, mut naive) = (Times::new(), Times::new());
        for sample in &self.samples {
            honest.add_pairs(&sample.window.answers.honest);
            naive.add_pairs(&sample.window.answers.naive);
        }
        let rates = rates(&self.samples);
        Figure {
            naive: naive.percentiles().map(Box::new),
            ..figure(&rates, &honest, missed(&rates, rate))
        }
    }
}

fn rates(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(Sample::rate).collect()
}

/// Why the rates deserve less trust, when some stayed far off whenever they were run again.
/// The first had none before it to compare with, so only this reports it.
fn off(rates: &[f64]) -> Option<String> {
    let usual = median(rates);
    let off = rates.iter().filter(|rate| is_slow(**rate, usual)).count();
    stalled(off, rates.len())
}

/// Why an open loop was not the one that was wanted, when it was answered too slowly.
fn missed(rates: &[f64], offered: u64) -> Option<String> {
    let achieved = median(rates);
    (achieved < HELD * offered as f64).then(|| {
        format!("{achieved:.0} requests a second were answered of {offered} offered")
    })
}

fn figure(rates: &[f64], times: &Times, noisy: Option<String>) -> Figure {
    let figure = spread::figure(Unit::PerSecond, rates);
    Figure { percentiles: times.percentiles(), noisy, ..figure }
}

/// The ratios of the windows of one round each; `None` where there was no whole round.
fn ratio(
    to: &str,
    ours: &[Sample],
    theirs: &[Sample],
    of: fn(&Sample) -> f64,
) -> Option<Ratio> {
    let figures = |samples: &[Sample]| samples.iter().map(of).collect::<Vec<f64>>();
    let ratio = spread::ratio(to, &figures(ours), &figures(theirs));
    (ratio.pairs > 0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::load::window::{Answers, Window};

    fn sample(requests: u64, nanoseconds: u64) -> Sample {
        let (honest, naive) = (Vec::new(), Vec::new());
        let answers = Answers { requests, nanoseconds, honest, naive };
        Sample { window: Window { answers, cpu: 250 }, server_cpu: 500 }
    }

    #[test]
    fn a_ratio_is_of_windows_of_the_same_round() {
        let ours = [sample(200, 1000), sample(300, 1000), sample(100, 1000)];
        let theirs = [sample(100, 1000), sample(100, 1000), sample(100, 1000)];
        let ratio = ratio("C", &ours, &theirs, Sample::rate).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (1.0, 2.0, 3.0));
        assert_eq!((ratio.pairs, ratio.to.as_str()), (3, "C"));
        assert!(super::ratio("C", &ours, &[], Sample::rate).is_none());
        assert_eq!(ours[0].per_cpu_second(), 200.0 / 500e-9);
        assert_eq!(ours[0].shares(), [0.25, 0.5]);
    }

    #[test]
    fn a_window_far_below_the_others_makes_a_row_noisy() {
        assert_eq!(off(&[100.0, 75.0, 130.0, 90.0]), None);
        // The first is reported, too.
        let why = "something else had the CPU in 1 of 3 windows";
        assert_eq!(off(&[50.0, 100.0, 101.0]).as_deref(), Some(why));
    }

    #[test]
    fn an_open_loop_that_falls_behind_makes_a_row_noisy() {
        assert_eq!(missed(&[990.0, 500.0, 1000.0], 1000), None);
        let why = "970 requests a second were answered of 1000 offered";
        assert_eq!(missed(&[970.0, 500.0, 1000.0], 1000).as_deref(), Some(why));
    }
}
