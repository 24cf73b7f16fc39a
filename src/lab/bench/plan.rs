//! One run of the mechanisms: every subject, at every size, in every placement.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::ends::{Mode, Side};
use super::floors::Copy;
use super::measure::{self, Contender, Plan, Series};
use super::model::{Figure, Floor, Outcome, Placement, Row, Unit, What};
use super::pair::{Joined, NotMeasured, Pair, Start};
use super::placement::{Awake, Cpus};
use super::subject::Subject;
use super::tripwire::{Floors, RoundTrip};
use crate::lab::interrupts::Interrupts;
use crate::wire::say;

/// What the two floors of pairs are called.
pub(super) const SWITCHES: &str = "two context switches";
/// As [`SWITCHES`].
pub(super) const LINES: &str = "two bounced cache lines";
/// What a throughput is compared with.
pub(super) const MEMCPY: &str = "memcpy";

/// What is to be measured, and how.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The mechanisms.
    pub(super) subjects: Vec<Subject>,
    /// The sizes of a round trip's message, in bytes, for one CPU.
    pub(super) round_trips: Vec<u64>,
    /// The sizes of a message one way.
    pub(super) one_way: Vec<u64>,
    /// The sizes of both across two CPUs.
    pub(super) cross: Vec<u64>,
    /// Where.
    pub(super) placements: Vec<Placement>,
    /// How long, and how often.
    pub(super) plan: Plan,
}

impl Wanted {
    fn sizes(&self, what: What, placement: Placement) -> Vec<u64> {
        let all = match what {
            What::Latency => &self.round_trips,
            _ => &self.one_way,
        };
        let wanted =
            |size: &&u64| placement == Placement::Same || self.cross.contains(size);
        all.iter().filter(wanted).copied().collect()
    }

    /// How many figures there will be.
    pub(super) fn steps(&self) -> usize {
        let sizes = |placement| {
            self.sizes(What::Latency, placement).len()
                + self.sizes(What::Throughput, placement).len()
        };
        let of = |placement: &Placement| {
            let count = self.subjects.iter().filter(|s| s.runs(*placement)).count();
            count * sizes(*placement)
        };
        self.placements.iter().map(of).sum()
    }
}

impl Subject {
    /// Whether it is measured there: who spins needs a CPU of its own.
    fn runs(&self, placement: Placement) -> bool {
        self.spins == (placement == Placement::CrossSpinning)
    }
}

/// A run that is going on.
pub(super) struct Run<'a> {
    /// What is wanted.
    pub(super) wanted: &'a Wanted,
    /// The CPUs.
    pub(super) cpus: Cpus,
    /// A private directory for the names of pairs.
    pub(super) dir: PathBuf,
    /// Ctrl-C.
    pub(super) stop: &'a mut Interrupts,
    /// Told of each step before it begins.
    pub(super) progress: &'a mut dyn FnMut(&str),
    /// How many pairs there were.
    pub(super) pairs: usize,
    /// What came of it.
    pub(super) rows: Vec<Row>,
    /// The floors of pairs.
    pub(super) floors: Vec<Floor>,
}

impl Run<'_> {
    /// Measures all that is wanted.
    ///
    /// # Errors
    /// [`NotMeasured::Interrupted`]; what no single figure is to blame for.
    pub(super) fn all(&mut self) -> Result<()> {
        for placement in self.wanted.placements.clone() {
            let Some(cpus) = self.cpus.of(placement) else { continue };
            let blocking = placement == Placement::CrossBlocking;
            let _awake = blocking.then(|| Awake::keep(cpus)).transpose()?;
            self.placement(placement, cpus)?;
        }
        Ok(())
    }

    fn placement(&mut self, placement: Placement, cpus: [usize; 2]) -> Result<()> {
        let mut floors = Vec::new();
        if placement != Placement::CrossSpinning {
            floors.push((SWITCHES, self.floor("futex", cpus)?));
        }
        if placement != Placement::Same {
            floors.push((LINES, self.floor("line", cpus)?));
        }
        let names: Vec<&str> = floors.iter().map(|(name, _)| *name).collect();
        let mut pairs: Vec<Contender> = floors
            .into_iter()
            .map(|(_, pair)| Contender::Pair(Box::new(pair)))
            .collect();
        let mut seen = vec![Series::default(); pairs.len()];
        for subject in self.wanted.subjects.clone() {
            if !subject.runs(placement) {
                continue;
            }
            for size in self.wanted.sizes(What::Latency, placement) {
                let outcome = self.latency(
                    subject, size, placement, cpus, &names, &mut pairs, &mut seen,
                );
                self.row(subject, What::Latency, placement, size, outcome)?;
            }
            for size in self.wanted.sizes(What::Throughput, placement) {
                let outcome = self.throughput(subject, size, placement, cpus);
                self.row(subject, What::Throughput, placement, size, outcome)?;
            }
        }
        for (name, series) in names.iter().zip(&seen) {
            if series.figures.is_empty() {
                continue;
            }
            let figure = series.figure(Unit::Nanoseconds, &[]);
            self.floors.push(Floor {
                name: (*name).to_owned(),
                placement: Some(placement),
                size: None,
                nanoseconds: figure.value,
                min: figure.min,
                max: figure.max,
            });
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments)]
    fn latency(
        &mut self,
        subject: Subject,
        size: u64,
        placement: Placement,
        cpus: [usize; 2],
        names: &[&str],
        floors: &mut Vec<Contender>,
        seen: &mut [Series],
    ) -> Result<Figure> {
        self.tell(subject, "round trip", size, placement);
        let ours = self.start(subject, Mode::Pingpong, size, cpus)?;
        let mut contenders = vec![Contender::Pair(Box::new(ours))];
        contenders.append(floors);
        let plan = &self.wanted.plan;
        let measured = measure::latency(plan, &mut contenders, self.stop);
        // The floors stay for the next subject, whatever came of this one.
        *floors = contenders.split_off(1);
        let all = measured?;
        let (ours, others) = all.split_first().context("no subject")?;
        for (kept, new) in seen.iter_mut().zip(others) {
            kept.figures.extend(&new.figures);
        }
        let others: Vec<_> = names.iter().copied().zip(others).collect();
        let figure = ours.figure(Unit::Nanoseconds, &others);
        let floor = |wanted| {
            let place = names.iter().position(|name| *name == wanted)?;
            seen[place].figures.iter().copied().reduce(f64::min)
        };
        let trip = RoundTrip {
            placement,
            nanoseconds: figure.value,
            switches: figure.switches,
            one_call: subject.by_one_call(size),
        };
        let floors = Floors { switches: floor(SWITCHES), lines: floor(LINES) };
        if let Contender::Pair(pair) = contenders.remove(0) {
            pair.quit(self.stop)?;
        }
        match trip.flaw(floors) {
            Some(flaw) => Err(Flawed(flaw).into()),
            None => Ok(figure),
        }
    }

    fn throughput(
        &mut self,
        subject: Subject,
        size: u64,
        placement: Placement,
        cpus: [usize; 2],
    ) -> Result<Figure> {
        self.tell(subject, "one way", size, placement);
        let ours = self.start(subject, Mode::Oneway, size, cpus)?;
        let footprint = subject.ring(size).unwrap_or(size);
        let copy = Contender::Copy(Copy::new(size, footprint), cpus[0]);
        let mut contenders = [Contender::Pair(Box::new(ours)), copy];
        let plan = &self.wanted.plan;
        let all = measure::throughput(plan, &mut contenders, self.stop)?;
        let figure = all[0].figure(Unit::BytesPerSecond, &[(MEMCPY, &all[1])]);
        let [ours, _] = contenders;
        if let Contender::Pair(pair) = ours {
            pair.quit(self.stop)?;
        }
        Ok(figure)
    }

    /// Adds a row; an interruption ends the run, all else is the row's own affair.
    fn row(
        &mut self,
        subject: Subject,
        what: What,
        placement: Placement,
        size: u64,
        outcome: Result<Figure>,
    ) -> Result<()> {
        let outcome = match outcome {
            Ok(figure) => Outcome::Measured(figure),
            Err(error) => match error.downcast_ref::<NotMeasured>() {
                Some(NotMeasured::Interrupted) => return Err(error),
                Some(why) => Outcome::Absent(why.to_string()),
                None => Outcome::Invalid(crate::errors::line(&error)),
            },
        };
        self.rows.push(Row {
            chapter: subject.chapter.to_owned(),
            subject: subject.name.to_owned(),
            what,
            program: "ipclab".to_owned(),
            placement: Some(placement),
            size: Some(size),
            clients: None,
            idle: None,
            outcome,
        });
        Ok(())
    }

    fn tell(&mut self, subject: Subject, what: &str, size: u64, at: Placement) {
        let (name, size, at) = (subject.name, say::size(size as usize), at.text());
        (self.progress)(&format!("{name}, {what}, {size}, {at}"));
    }

    /// Starts the two processes of a floor.
    fn floor(&mut self, mechanism: &str, cpus: [usize; 2]) -> Result<Pair> {
        let place = self.place();
        let file = std::fs::File::create_new(&place).context("open for a floor")?;
        file.set_len(super::floors::ends::LENGTH as u64).context("ftruncate")?;
        let spins = mechanism == "line";
        let side =
            |side| ours(&self.dir, mechanism, Mode::Pingpong, side, 0, &place);
        let commands = [side(Side::A)?, side(Side::B)?];
        let (name, joined) = (mechanism.to_owned(), Joined::No);
        Pair::start(Start { name, commands, cpus, joined, spins }, self.stop)
    }

    /// Starts the two processes of a subject.
    fn start(
        &mut self,
        subject: Subject,
        mode: Mode,
        size: u64,
        cpus: [usize; 2],
    ) -> Result<Pair> {
        if let Some((largest, why)) = subject.largest
            && size > largest
        {
            return Err(NotMeasured::TooLarge(why.to_owned()).into());
        }
        let place = self.place();
        let side = |side| ours(&self.dir, subject.name, mode, side, size, &place);
        let commands = [side(Side::A)?, side(Side::B)?];
        let joined = joined(subject)?;
        let name = format!("{}, {}", subject.name, say::size(size as usize));
        let spins = subject.spins;
        Pair::start(Start { name, commands, cpus, joined, spins }, self.stop)
    }

    /// A path for a new pair, whose last part is a name that no other has.
    fn place(&mut self) -> PathBuf {
        self.pairs += 1;
        self.dir.join(format!("ipclab-bench-{}-{}", std::process::id(), self.pairs))
    }
}

/// A figure that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Flawed(String);

/// The command of one of our own ends.
fn ours(
    dir: &Path,
    mechanism: &str,
    mode: Mode,
    side: Side,
    size: u64,
    place: &Path,
) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("readlink")?);
    command
        .args(["bench-end", mechanism, mode.word(), side.word(), &size.to_string()])
        .arg(place)
        .env("IPCLAB_DIR", dir);
    Ok(command)
}

/// What joins the two ends of a subject before they start.
fn joined(subject: Subject) -> Result<Joined> {
    let kind = match subject.name {
        "unix stream" => SockType::Stream,
        "unix seqpacket" => SockType::SeqPacket,
        "unix dgram" => SockType::Datagram,
        "tcp" => return loopback().map(Joined::Sockets),
        _ if subject.chapter == "pipe" => return Ok(Joined::Pipes),
        _ => return Ok(Joined::No),
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let (a, b) =
        socketpair(AddressFamily::Unix, kind, None, flags).context("socketpair")?;
    Ok(Joined::Sockets([a, b]))
}

/// Two sockets that are connected with each other over the loopback interface.
pub(super) fn loopback() -> Result<[std::os::fd::OwnedFd; 2]> {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    let address = listener.local_addr().context("getsockname")?;
    let a = std::net::TcpStream::connect(address).context("connect")?;
    let (b, _) = listener.accept().context("accept")?;
    for socket in [&a, &b] {
        socket.set_nodelay(true).context("setsockopt(TCP_NODELAY)")?;
    }
    Ok([a.into(), b.into()])
}
