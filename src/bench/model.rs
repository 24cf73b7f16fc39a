//! What a run of the bench has found: the report that all outputs are made from, and the
//! schema of `--json`.
//!
//! All times are nanoseconds, all sizes bytes, all rates per second. A field that has no
//! meaning for a row is left out.

use serde::{Deserialize, Serialize};

/// The version of the schema: it changes when a reader of the old one would be misled.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where, when and how it was measured.
    pub head: Head,
    /// What the machine can do at best, measured in the same run.
    pub floors: Vec<Floor>,
    /// One row a figure, in the order of the book.
    pub rows: Vec<Row>,
}

/// Where, when and how a report was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Head {
    /// The version of ipclab.
    pub version: String,
    /// When the run began, in UTC: `2026-11-21T13:00:00Z`.
    pub date: String,
    /// The command line, as it was typed.
    pub command: String,
    /// uname(2): the system, its release and the machine.
    pub kernel: String,
    /// The processor's name, by `/proc/cpuinfo`.
    pub cpu: String,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// The CPUs that the two processes were pinned to; one where there is one.
    pub pinned: Vec<usize>,
    /// The frequency governor, where the kernel shows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// The hypervisor, if this is a virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// The CPU's known weaknesses, and what the kernel does about them.
    pub mitigations: Vec<(String, String)>,
    /// Limits that bear on the figures: pipe-max-size, msg_max, wmem_max, …
    pub limits: Vec<(String, String)>,
    /// Whatever a reader must know beside: a busy machine, a debug build, one CPU only.
    pub warnings: Vec<String>,
    /// How long the run took, in seconds.
    pub seconds: f64,
}

/// Where the two processes ran.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Both on one CPU: each wait is a context switch.
    Same,
    /// On two CPUs, kept awake; a side that waits sleeps in the kernel.
    CrossBlocking,
    /// On two CPUs; a side that waits looks for a moment, and then would sleep.
    CrossLooking,
    /// On two CPUs; a side that waits looks again and again.
    CrossSpinning,
}

impl Placement {
    /// As the reports print it.
    pub fn text(self) -> &'static str {
        match self {
            Placement::Same => "same",
            Placement::CrossBlocking => "cross, blocking",
            Placement::CrossLooking => "cross, looking first",
            Placement::CrossSpinning => "cross, spinning",
        }
    }
}

/// What the machine can do at best.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Floor {
    /// What it is: `getppid`, `clock_gettime`, `two context switches`, …
    pub name: String,
    /// Where it was measured, if that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Of how many bytes, if that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of a copy: (destination - source) modulo 4096, in bytes, at which it was fastest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<u64>,
    /// The figure: the median of its windows.
    pub nanoseconds: f64,
    /// The least window's.
    pub min: f64,
    /// The greatest window's.
    pub max: f64,
}

/// One figure, and what it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The chapter, and so its page: `pipe`, `unix`.
    pub chapter: String,
    /// What was measured, as a reader calls it: `pipe`, `unix seqpacket`, `shm --spin`.
    pub subject: String,
    /// What kind of figure.
    pub what: What,
    /// The program that was measured: `ipclab`, `C` or `Python`.
    pub program: String,
    /// Where the processes ran, if it is of two processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The size of a message, if it is of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many clients were busy, if it is of a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// How many clients were connected and silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Row {
    /// What distinguishes this row from all others of its report: what kind of figure, of which
    /// program, where it ran, and [what of](Row::work).
    pub fn key(&self) -> (What, &str, Option<Placement>, Work<'_>) {
        (self.what, &self.program, self.placement, self.work())
    }

    /// The work that was measured: ours and a peer's row of the same work differ only in
    /// the program. Two chapters may call their work the same.
    pub fn work(&self) -> Work<'_> {
        let Row { chapter, subject, size, clients, idle, .. } = self;
        (chapter, subject, *size, *clients, *idle)
    }
}

/// The chapter, the subject, the size, the busy clients and the silent ones.
pub type Work<'a> = (&'a str, &'a str, Option<u64>, Option<u32>, Option<u32>);

/// The kind of a figure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A round trip: a message there, and its answer back.
    Latency,
    /// One way, as fast as it goes, all of it read.
    Throughput,
    /// Requests that a server answers.
    Server,
    /// One operation: to open, to connect, to pass a descriptor.
    Operation,
}

impl What {
    /// As the reports print it.
    pub fn text(self) -> &'static str {
        match self {
            What::Latency => "round trip",
            What::Throughput => "one way",
            What::Server => "server",
            What::Operation => "operation",
        }
    }
}

/// What came of a measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A figure.
    Measured(Figure),
    /// A figure came out that cannot be: a tripwire gives the reason.
    Invalid(String),
    /// Nothing to measure: the mechanism or the machine cannot, or a program is absent.
    Absent(String),
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds: less is better.
    Nanoseconds,
    /// Bytes per second: more is better.
    BytesPerSecond,
    /// Requests, connections or descriptors per second: more is better.
    PerSecond,
}

impl Unit {
    /// Whether a smaller figure is the better one.
    pub fn less_is_better(self) -> bool {
        self == Unit::Nanoseconds
    }
}

/// A figure with its spread and its ratios.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The median of the windows' figures.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// The least window's figure.
    pub min: f64,
    /// The greatest window's figure.
    pub max: f64,
    /// How many windows.
    pub windows: usize,
    /// Messages per second, beside the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<f64>,
    /// The single round trips or requests, not the windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentiles: Option<Percentiles>,
    /// Of an open loop: the same requests, each timed from when it was sent instead of from
    /// when it was due. A load that waits for answers would report these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naive: Option<Box<Percentiles>>,
    /// Context switches a round trip, or a message one way, of each of the two processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<[f64; 2]>,
    /// How it compares with what ran in turns with it.
    pub ratios: Vec<Ratio>,
    /// Why the figure deserves less trust than others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noisy: Option<String>,
}

/// Of single round trips, in nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many were timed.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 9 of 10 took at most so long.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
    /// The distribution: values, and how many lie at or below each but above the last.
    pub histogram: Vec<(u64, u64)>,
}

impl Percentiles {
    /// p50, p90, p99, p99.9 and the slowest, in nanoseconds. p99 is `None` of fewer than
    /// 100, p99.9 of fewer than 1,000: it would be the slowest under another name.
    pub fn known(&self) -> [Option<u64>; 5] {
        let of = |least: u64, value: u64| (self.count >= least).then_some(value);
        [
            Some(self.p50),
            Some(self.p90),
            of(100, self.p99),
            of(1_000, self.p999),
            Some(self.max),
        ]
    }
}

/// This row's figure divided by that of something which ran in turns with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ratio {
    /// What it is divided by: `two context switches`, `C`, `Python`, `memcpy`, …
    pub to: String,
    /// The median of the pairs' ratios.
    pub median: f64,
    /// The least pair's.
    pub min: f64,
    /// The greatest pair's.
    pub max: f64,
    /// How many pairs.
    pub pairs: usize,
}
