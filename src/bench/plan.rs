//! One run of the mechanisms: every subject, at every size, in every placement.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::floors::Copy;
use super::floors::pairs::{LINES, PairFloors, SWITCHES, WAKE_UPS};
use super::job::{self, Side};
use super::joined::Joined;
use super::measure::{self, Contender, Series};
use super::model::{Figure, Floor, Outcome, Placement, Row, Unit, What};
use super::pair::{NotMeasured, Pair, PairStart};
use super::peers::{Peers, Program};
use super::placement::{Awake, Cpus};
use super::spread::extent;
use super::subject::{Subject, Waits};
use super::tripwire::{OneWay, RoundTrip};
use super::wanted::{Spot, Wanted};
use lab::interrupts::Interrupts;
use wire::say;

/// What a throughput is compared with.
const MEMCPY: &str = "memcpy";
/// What the reports call the chapters' own program.
const OURS: &str = "ipclab";

/// A run that is going on.
pub(super) struct Run<'a> {
    /// What is wanted.
    pub(super) wanted: &'a Wanted,
    /// The CPUs.
    pub(super) cpus: Cpus,
    /// A private directory for the names of pairs.
    pub(super) dir: PathBuf,
    /// The same work by others, if it is wanted.
    pub(super) peers: Option<Peers>,
    /// Ctrl-C.
    pub(super) stop: &'a mut Interrupts,
    /// Called with each step before it begins.
    pub(super) progress: &'a mut dyn FnMut(&str),
    /// How many pairs there were.
    pub(super) pairs: usize,
    /// What came of it.
    pub(super) rows: Vec<Row>,
    /// The floors of pairs.
    pub(super) floors: Vec<Floor>,
}

/// The participants of one figure, in their order: the chapter's own code, then its peers.
struct Participants {
    names: Vec<&'static str>,
    contenders: Vec<Contender>,
    /// Those that could not be started, and why.
    absent: Vec<(&'static str, anyhow::Error)>,
    /// What the chapter's code is compared with beside its peers.
    beside: Vec<(&'static str, Contender)>,
}

impl Run<'_> {
    /// Measures all that is wanted.
    ///
    /// # Errors
    /// [`NotMeasured::Interrupted`]; errors that no single figure has caused.
    pub(super) fn all(&mut self) -> Result<()> {
        if self.wanted.subjects.is_empty() {
            return Ok(());
        }
        for placement in self.wanted.placements.clone() {
            let Some(cpus) = self.cpus.of(placement) else { continue };
            let blocking = placement == Placement::CrossBlocking;
            let _awake = blocking.then(|| Awake::keep(cpus)).transpose()?;
            self.placement(placement, cpus)?;
        }
        Ok(())
    }

    fn placement(&mut self, placement: Placement, cpus: [usize; 2]) -> Result<()> {
        let spots = self.wanted.spots(placement, cpus);
        if spots.is_empty() {
            return Ok(());
        }
        let mut floors = PairFloors::default();
        match placement {
            Placement::Same => floors.add(SWITCHES, self.floor("futex", cpus)?),
            Placement::CrossBlocking => {
                floors.add(WAKE_UPS, self.floor("futex", cpus)?);
            }
            Placement::CrossLooking | Placement::CrossSpinning => {}
        }
        if placement != Placement::Same {
            floors.add(LINES, self.floor("line", cpus)?);
        }
        for spot in spots {
            let (name, what) = (spot.subject.name, spot.what.text());
            let (size, at) = (say::size(spot.size as usize), placement.text());
            (self.progress)(&format!("{name}, {what}, {size}, {at}"));
            let with_peers = self.takes_peers(spot);
            let mut outcome = self.spot(spot, with_peers, &mut floors);
            let mut blamed = None;
            if let Err(error) = &outcome
                && with_peers
                && error.downcast_ref::<NotMeasured>().is_none()
            {
                // Whatever failed, the chapter's own code has a figure: once more, without peers.
                blamed = Some(wire::errors::line(error));
                outcome = self.spot(spot, false, &mut floors);
            }
            match outcome {
                Ok(figures) => {
                    for (program, figure) in figures {
                        self.row(spot, program, figure)?;
                    }
                }
                Err(error) => self.row(spot, OURS, Err(error))?,
            }
            if let Some(why) = blamed {
                for program in [Program::C, Program::Python] {
                    let why = Flawed(why.clone()).into();
                    self.row(spot, program.text(), Err(why))?;
                }
            }
        }
        self.floors.extend(floors.told(placement));
        Ok(())
    }

    /// Peers take part on one CPU, and where all spin: across CPUs a wake-up costs more
    /// than any language.
    fn takes_peers(&self, spot: Spot) -> bool {
        let there = matches!(
            spot.placement,
            Placement::Same | Placement::CrossLooking | Placement::CrossSpinning
        );
        self.peers.is_some() && there
    }

    /// Takes one figure of each participant.
    fn spot(
        &mut self,
        spot: Spot,
        with_peers: bool,
        floors: &mut PairFloors,
    ) -> Result<Vec<(&'static str, Result<Figure>)>> {
        let participants = self.participants(spot, with_peers)?;
        match spot.what {
            What::Latency => self.latency(spot, participants, floors),
            _ => self.throughput(spot, participants),
        }
    }

    /// Starts all participants. A peer that is not there is a row with the reason.
    fn participants(
        &mut self,
        spot: Spot,
        with_peers: bool,
    ) -> Result<Participants> {
        let ours = Contender::Pair(Box::new(self.chapter(spot)?));
        let mut participants = Participants {
            names: vec![OURS],
            contenders: vec![ours],
            absent: Vec::new(),
            beside: Vec::new(),
        };
        if let Some(other) = spot.subject.beside.and_then(Subject::find) {
            let pair = self.chapter(Spot { subject: other, ..spot })?;
            participants.beside.push((other.name, Contender::Pair(Box::new(pair))));
        }
        if !with_peers {
            return Ok(participants);
        }
        for program in [Program::C, Program::Python] {
            match self.peer(program, spot) {
                Ok(pair) => {
                    participants.names.push(program.text());
                    participants.contenders.push(Contender::Pair(Box::new(pair)));
                }
                Err(error) => participants.absent.push((program.text(), error)),
            }
        }
        Ok(participants)
    }

    fn latency(
        &mut self,
        spot: Spot,
        participants: Participants,
        floors: &mut PairFloors,
    ) -> Result<Vec<(&'static str, Result<Figure>)>> {
        let Participants { mut names, mut contenders, absent, .. } = participants;
        let own = names.len();
        names.extend(&floors.names);
        contenders.append(&mut floors.pairs);
        let measured =
            measure::latency(&self.wanted.plan, &mut contenders, self.stop);
        // The floors stay for the next subject, whatever came of this one.
        floors.pairs = contenders.split_off(own);
        let all = measured?;
        floors.see(&all[own..]);
        let mut figures = figures(Unit::Nanoseconds, &names, &all, own);
        for (_, figure) in &mut figures {
            let Ok(found) = figure else { continue };
            let trip = RoundTrip {
                placement: spot.placement,
                nanoseconds: found.value,
                switches: found.switches,
                one_call: spot.subject.by_one_call(spot.size),
            };
            if let Some(flaw) = trip.flaw(floors.least()) {
                *figure = Err(Flawed(flaw).into());
            }
        }
        self.dismiss(contenders)?;
        figures.extend(absent.into_iter().map(|(name, why)| (name, Err(why))));
        Ok(figures)
    }

    fn throughput(
        &mut self,
        spot: Spot,
        participants: Participants,
    ) -> Result<Vec<(&'static str, Result<Figure>)>> {
        let Participants { mut names, mut contenders, absent, beside } =
            participants;
        let own = names.len();
        for (name, contender) in beside {
            names.push(name);
            contenders.push(contender);
        }
        let footprint = spot.subject.footprint(spot.size);
        names.push(MEMCPY);
        contenders
            .push(Contender::Copy(Copy::best(spot.size, footprint), spot.cpus[0]));
        let all = measure::throughput(
            &self.wanted.plan,
            &mut contenders,
            spot.size,
            self.stop,
        )?;
        let mut figures = figures(Unit::BytesPerSecond, &names, &all, own);
        // The greatest that was seen: a busy machine makes memcpy slower, and a figure no
        // truer.
        let memcpy =
            all.last().map_or(f64::INFINITY, |copy| extent(&copy.figures).1);
        for (_, figure) in &mut figures {
            let Ok(found) = figure else { continue };
            let (placement, copies) = (spot.placement, spot.subject.copies);
            let moved = OneWay { placement, rate: found.value, copies };
            if let Some(flaw) = moved.flaw(memcpy) {
                *figure = Err(Flawed(flaw).into());
            }
        }
        self.dismiss(contenders)?;
        figures.extend(absent.into_iter().map(|(name, why)| (name, Err(why))));
        Ok(figures)
    }

    /// Lets all pairs leave.
    fn dismiss(&mut self, contenders: Vec<Contender>) -> Result<()> {
        for contender in contenders {
            if let Contender::Pair(pair) = contender {
                pair.quit(self.stop)?;
            }
        }
        Ok(())
    }

    /// Adds a row; an interruption ends the run, all else is the row's own affair.
    fn row(
        &mut self,
        spot: Spot,
        program: &str,
        outcome: Result<Figure>,
    ) -> Result<()> {
        let outcome = match outcome {
            Ok(figure) => Outcome::Measured(figure),
            Err(error) => match error.downcast_ref::<NotMeasured>() {
                Some(NotMeasured::Interrupted) => return Err(error),
                Some(why) => Outcome::Absent(why.to_string()),
                None => Outcome::Invalid(wire::errors::line(&error)),
            },
        };
        self.rows.push(Row {
            chapter: spot.subject.chapter.to_owned(),
            subject: spot.subject.name.to_owned(),
            what: spot.what,
            program: program.to_owned(),
            placement: Some(spot.placement),
            size: Some(spot.size),
            clients: None,
            idle: None,
            outcome,
        });
        Ok(())
    }

    /// Starts the two processes of a chapter's own code.
    fn chapter(&mut self, spot: Spot) -> Result<Pair> {
        let mut base = self.base();
        let joined = (spot.subject.ours)(&mut base)?;
        let end = (spot.subject.name, spot.mode());
        let side = |side| job::command(&self.dir, end, side, spot.size, &base);
        let commands = [side(Side::A)?, side(Side::B)?];
        self.start(OURS, spot, commands, joined)
    }

    /// Starts the two processes of a floor.
    fn floor(&mut self, mechanism: &'static str, cpus: [usize; 2]) -> Result<Pair> {
        let base = self.base();
        let file = std::fs::File::create_new(&base).context("open for a floor")?;
        file.set_len(super::floors::ends::LENGTH as u64).context("ftruncate")?;
        let waits = if mechanism == "line" { Waits::Spins } else { Waits::Sleeps };
        let subject = Subject::floor(mechanism, waits);
        let (what, placement, size) = (What::Latency, Placement::Same, 0);
        let spot = Spot { subject, what, size, placement, cpus };
        let end = (mechanism, spot.mode());
        let side = |side| job::command(&self.dir, end, side, size, &base);
        let commands = [side(Side::A)?, side(Side::B)?];
        self.start(OURS, spot, commands, Joined::default())
    }

    /// Starts the two processes of a peer.
    fn peer(&mut self, program: Program, spot: Spot) -> Result<Pair> {
        let mut base = self.base();
        let absent = |why: String| anyhow::Error::from(NotMeasured::Absent(why));
        let peers = self.peers.as_ref().context("no peers")?;
        if let Some(why) = peers.absent(program) {
            return Err(absent(why));
        }
        let joined = (spot.subject.peers)(&mut base)?;
        let base = base.to_string_lossy().into_owned();
        let command = |side| {
            let (name, mode) = (spot.subject.name, spot.mode().word());
            let command = peers.command(program, name, mode, side, spot.size, &base);
            command.ok_or_else(|| absent("there is no peer for it".to_owned()))
        };
        let commands = [command('a')?, command('b')?];
        self.start(program.text(), spot, commands, joined)
    }

    /// Starts two processes.
    fn start(
        &mut self,
        program: &str,
        spot: Spot,
        commands: [Command; 2],
        joined: Joined,
    ) -> Result<Pair> {
        if let Some((largest, why)) = spot.subject.largest
            && spot.size > largest
        {
            return Err(NotMeasured::TooLarge(why.to_owned()).into());
        }
        if spot.what == What::Throughput
            && let Some(why) = spot.subject.not_one_way
        {
            return Err(NotMeasured::Absent(why.to_owned()).into());
        }
        let (cpus, waits) = (spot.cpus, spot.subject.waits);
        let (subject, size) = (spot.subject.name, say::size(spot.size as usize));
        let name = format!("{program}: {subject}, {size}");
        Pair::start(PairStart { name, commands, cpus, joined, waits }, self.stop)
    }

    /// A path for a new pair, whose last part is a name that no other has.
    fn base(&mut self) -> PathBuf {
        self.pairs += 1;
        self.dir.join(format!("ipclab-bench-{}-{}", std::process::id(), self.pairs))
    }
}

/// A figure that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Flawed(String);

/// The figures of the first `own` series, each with its ratios to the peers and floors
/// that ran in turns with it.
fn figures(
    unit: Unit,
    names: &[&'static str],
    all: &[Series],
    own: usize,
) -> Vec<(&'static str, Result<Figure>)> {
    let figure = |index: usize| {
        // Ours is compared with all, a peer with the floors alone.
        let from = if index == 0 { 1 } else { own };
        let others: Vec<_> = names.iter().copied().zip(all).skip(from).collect();
        (names[index], Ok(all[index].figure(unit, &others)))
    };
    (0..own).map(figure).collect()
}
