//! A small report, made by hand: its figures are of no machine.

use bench::model::*;

pub(super) const SWITCHES: &str = "two context switches";
/// What two chapters have a row of.
pub(super) const ACCEPTED: &str = "connect, accept";

pub(super) fn ratio(to: &str, median: f64, min: f64, max: f64) -> Ratio {
    Ratio { to: to.to_owned(), median, min, max, pairs: 9 }
}

/// Round trips of `value` ns, which are `times` the floor, give or take 2 %.
pub(super) fn trips(value: f64, times: f64) -> Figure {
    let at = |part: f64| (value * part) as u64;
    let histogram = vec![
        (at(0.95), 100),
        (at(0.99), 4_900),
        (at(1.1), 4_000),
        (at(1.8), 900),
        (at(6.0), 90),
        (at(31.0), 10),
    ];
    Figure {
        value,
        unit: Unit::Nanoseconds,
        min: value * 0.98,
        max: value * 1.02,
        windows: 9,
        messages: None,
        percentiles: Some(Percentiles {
            count: 10_000,
            p50: at(0.99),
            p90: at(1.1),
            p99: at(1.8),
            p999: at(6.0),
            max: at(31.0),
            histogram,
        }),
        naive: None,
        switches: Some([1.0, 1.01]),
        ratios: vec![
            ratio(SWITCHES, times, times * 0.98, times * 1.02),
            ratio("C", 1.01, 0.99, 1.02),
        ],
        noisy: None,
    }
}

/// Bytes that go one way, `part` of what memcpy moves.
pub(super) fn flow(rate: f64, size: u64, part: f64) -> Figure {
    Figure {
        value: rate,
        unit: Unit::BytesPerSecond,
        min: rate * 0.97,
        max: rate * 1.03,
        windows: 9,
        messages: Some(rate / size as f64),
        percentiles: None,
        naive: None,
        switches: None,
        ratios: vec![ratio("memcpy", part, part * 0.97, part * 1.03)],
        noisy: None,
    }
}

pub(super) fn row(
    subject: &str,
    what: What,
    size: Option<u64>,
    outcome: Outcome,
) -> Row {
    Row {
        chapter: subject.split(' ').next().unwrap().to_owned(),
        subject: subject.to_owned(),
        what,
        program: "ipclab".to_owned(),
        placement: Some(Placement::Same),
        size,
        clients: None,
        idle: None,
        outcome,
    }
}

fn floor(
    name: &str,
    placement: Option<Placement>,
    size: Option<u64>,
    took: f64,
) -> Floor {
    Floor {
        name: name.to_owned(),
        placement,
        size,
        apart: size.map(|_| 64),
        nanoseconds: took,
        min: took * 0.99,
        max: took * 1.01,
    }
}

fn head() -> Head {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Head {
        version: "0.0.0-sample".to_owned(),
        date: "2001-02-03T04:05:06Z".to_owned(),
        command: "ipclab bench pipe unix shm --sample".to_owned(),
        kernel: "Linux 0.0.0-sample x86_64".to_owned(),
        cpu: "Sample & Sons \"CPU\" <0>".to_owned(),
        cpus: 2,
        pinned: vec![0, 1],
        governor: Some("performance".to_owned()),
        hypervisor: Some("none that exists".to_owned()),
        mitigations: vec![
            pair("spectre_v1", "Mitigation: usercopy/swapgs barriers"),
            pair("meltdown", "Not affected"),
            pair("tsa", "Vulnerable: no microcode"),
        ],
        limits: vec![pair("pipe-max-size", "1048576"), pair("msg_max", "10")],
        warnings: vec!["a sample: nothing was measured".to_owned()],
        seconds: 12.3,
    }
}

/// Every kind of row, every outcome, every field.
pub(super) fn report() -> Report {
    const SIZES: [u64; 4] = [1, 64, 4096, 1 << 20];
    let measured = Outcome::Measured;
    let mut rows = Vec::new();
    for (subject, took) in [("pipe", 1_940.0), ("unix seqpacket", 2_970.0)] {
        for size in SIZES {
            let value = took + size as f64 * 0.2;
            let figure = trips(value, value / 1_830.0);
            rows.push(row(subject, What::Latency, Some(size), measured(figure)));
            let rate = 20e9 * size as f64 / (size as f64 + 40_000.0);
            let figure = flow(rate, size, rate / 48e9);
            rows.push(row(subject, What::Throughput, Some(size), measured(figure)));
        }
    }
    if let Outcome::Measured(figure) = &mut rows[0].outcome {
        figure.noisy = Some("the host took the CPU for 3 ms".to_owned());
    }
    let too_large = || Outcome::Absent("no message is larger than 8 KiB".to_owned());
    let figure = trips(2_130.0, 1.16);
    rows.push(row("posixmq", What::Latency, Some(64), measured(figure)));
    for size in [65_536, 1 << 20] {
        rows.push(row("posixmq", What::Latency, Some(size), too_large()));
    }
    let why = "faster than the floor: 0.4 of two context switches".to_owned();
    rows.push(row("signal", What::Latency, Some(64), Outcome::Invalid(why)));
    for size in [64, 4096] {
        let mut figure = trips(360.0 + size as f64, 1.1);
        figure.ratios = vec![ratio("two cache lines", 1.1, 1.05, 1.2)];
        let mut spin =
            row("shm --spin", What::Latency, Some(size), measured(figure));
        spin.placement = Some(Placement::CrossSpinning);
        rows.push(spin);
    }
    let mut python =
        row("pipe", What::Latency, Some(64), Outcome::Absent("no python3".into()));
    python.program = "Python".to_owned();
    rows.push(python);
    let mut c = row("pipe", What::Latency, Some(64), measured(trips(1_930.0, 1.05)));
    c.program = "C".to_owned();
    rows.push(c);
    let served = Figure {
        unit: Unit::PerSecond,
        naive: trips(54_000.0, 1.0).percentiles.map(Box::new),
        ratios: vec![ratio("select", 21.0, 20.1, 22.0)],
        ..trips(210_000.0, 1.0)
    };
    let mut server = row("epoll", What::Server, Some(64), measured(served));
    (server.clients, server.idle) = (Some(1), Some(900));
    rows.push(server);
    let mut open =
        row("pipe, opened", What::Operation, None, measured(trips(900.0, 1.0)));
    open.placement = None;
    rows.push(open);
    for (chapter, took) in [("unix", 12_000.0), ("tcp", 36_000.0)] {
        let figure = trips(took, took / 1_830.0);
        let mut row = row(ACCEPTED, What::Operation, None, measured(figure));
        (row.chapter, row.placement) = (chapter.to_owned(), None);
        rows.push(row);
    }
    let same = Some(Placement::Same);
    let mut floors = vec![
        floor("getppid", None, None, 77.0),
        floor(SWITCHES, same, None, 1_830.0),
        floor("two cache lines", Some(Placement::CrossSpinning), None, 322.0),
    ];
    for size in SIZES {
        floors.push(floor("memcpy", same, Some(size), 5.0 + size as f64 / 48.0));
    }
    Report { schema: SCHEMA, head: head(), floors, rows }
}
