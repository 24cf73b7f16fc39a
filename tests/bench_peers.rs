//! The peers of the bench, started and steered by its protocol.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use bench::peers::{Peers, Program, mechanisms};
use lab::tools::Tools;
use support::skip;

#[path = "bench_peers/pair.rs"]
mod pair;

use pair::{Pair, Started, start};

const SIZES: [u64; 8] = [0, 1, 8, 64, 4092, 4096, 65_536, 1 << 20];
const RING: u64 = (1 << 22) - 4;

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench_peers").join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

static PEERS: LazyLock<Peers> =
    LazyLock::new(|| Peers::build(&scratch("peers")).unwrap());

/// Whether there is such a program here; an absent one is said aloud.
fn have(program: Program) -> bool {
    let absent = PEERS.absent(program);
    if let Some(why) = &absent {
        skip(why);
    }
    absent.is_none()
}

fn started(
    programs: [Program; 2],
    mechanism: &str,
    mode: &str,
    size: u64,
) -> Started {
    start(mechanism, |side, base| {
        let program = programs[usize::from(side == 'b')];
        PEERS.command(program, mechanism, mode, side, size, base).unwrap()
    })
}

fn ready(programs: [Program; 2], mechanism: &str, mode: &str, size: u64) -> Pair {
    match started(programs, mechanism, mode, size) {
        Started::Ready(pair) => *pair,
        Started::Refused(status, why) => panic!("status {status}: {why}"),
    }
}

fn limit(path: &str) -> u64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// With which status a pair refuses, if it does.
fn refusal(program: Program, mechanism: &str, mode: &str, size: u64) -> Option<i32> {
    let oneway = mode == "oneway";
    match (program, mechanism) {
        (Program::Python, "posixmq" | "sysvmq" | "shm" | "mmap" | "mutex") => {
            return Some(4);
        }
        // One word each way, and always an answer.
        (_, "eventfd") => return (oneway || size != 8).then_some(3),
        // Who only sends would lose some.
        (_, "udp") if oneway => return Some(3),
        (Program::Python, "signal") if oneway => return Some(4),
        (Program::Python, "signal") => return (size > 0).then_some(3),
        (Program::C, "signal") if size == 0 => return None,
        _ => {}
    }
    let most = match mechanism {
        "posixmq" => 8192,
        "sysvmq" => limit("/proc/sys/kernel/msgmax"),
        "unix seqpacket" | "unix dgram" => {
            limit("/proc/sys/net/core/wmem_default") - 32
        }
        "signal" => 65_536,
        "udp" => 65_490,
        "mutex" => 4092,
        "shm" | "shm --spin" | "mmap" | "mmap --spin" => RING,
        _ => u64::MAX,
    };
    let least = if oneway { 64 } else { 1 };
    (!(least..=most).contains(&size)).then_some(3)
}

fn passes_what_it_can_and_refuses_the_rest(program: Program, mechanism: &str) {
    if !have(program) {
        return;
    }
    for mode in ["pingpong", "oneway"] {
        for size in SIZES {
            // A batch of such messages would be half a million signals.
            if mechanism == "signal" && size == 65_536 {
                continue;
            }
            let expected = refusal(program, mechanism, mode, size);
            match (started([program; 2], mechanism, mode, size), expected) {
                (Started::Ready(pair), None) if mode == "oneway" => {
                    assert_eq!(pair.oneway(size)[1], 0, "{mode} {size}: wrong");
                }
                (Started::Ready(pair), None) => {
                    assert_eq!(pair.pingpong(), [0, 0], "{mode} {size}: wrong");
                }
                (Started::Refused(status, why), Some(expected)) => {
                    assert_eq!(status, expected, "{mode} {size}: {why}");
                    assert_eq!(why.lines().count(), 1, "{why}");
                }
                (Started::Ready(_), Some(_)) => panic!("{mode} {size}: not refused"),
                (Started::Refused(status, why), None) => {
                    panic!("{mode} {size}: status {status}: {why}")
                }
            }
        }
    }
}

macro_rules! each_mechanism {
    ($($test:ident: $mechanism:literal),+ $(,)?) => {
        mod c_passes_what_it_can_and_refuses_the_rest {
            $(#[test]
            fn $test() {
                super::passes_what_it_can_and_refuses_the_rest(
                    super::Program::C, $mechanism);
            })+
        }
        mod python_passes_what_it_can_and_refuses_the_rest {
            $(#[test]
            fn $test() {
                super::passes_what_it_can_and_refuses_the_rest(
                    super::Program::Python, $mechanism);
            })+
        }
        const TESTED: &[&str] = &[$($mechanism),+];
    };
}

each_mechanism! {
    pipe: "pipe",
    fifo: "fifo",
    unix_stream: "unix stream",
    unix_seqpacket: "unix seqpacket",
    unix_dgram: "unix dgram",
    tcp: "tcp",
    udp: "udp",
    posixmq: "posixmq",
    sysvmq: "sysvmq",
    signal: "signal",
    shm: "shm",
    shm_spin: "shm --spin",
    mmap: "mmap",
    mmap_spin: "mmap --spin",
    mutex: "mutex",
    eventfd: "eventfd",
}

#[test]
fn each_mechanism_is_tested() {
    assert_eq!(mechanisms().collect::<Vec<_>>(), TESTED);
}

/// Where C and Python speak the very same language.
const COMMON: [&str; 6] =
    ["pipe", "fifo", "unix stream", "unix seqpacket", "unix dgram", "tcp"];

#[test]
fn c_and_python_mean_the_same_payload() {
    if !have(Program::C) || !have(Program::Python) {
        return;
    }
    for mechanism in COMMON {
        for programs in
            [[Program::C, Program::Python], [Program::Python, Program::C]]
        {
            // No multiple of a word: parts of a stream begin anywhere in one.
            for size in [77, 70_001] {
                let pair = ready(programs, mechanism, "oneway", size);
                assert_eq!(
                    pair.oneway(size)[1],
                    0,
                    "{programs:?} {mechanism} {size}"
                );
                let pair = ready(programs, mechanism, "pingpong", size);
                assert_eq!(
                    pair.pingpong(),
                    [0, 0],
                    "{programs:?} {mechanism} {size}"
                );
            }
        }
    }
}

/// A C reference whose source was spoilt.
fn spoilt(name: &str, source: &str, from: &str, to: &str) -> PathBuf {
    let dir = scratch(name);
    let cc = Tools::of_environment().cc;
    Peers::build_with(&dir, &Tools { python: "none".into(), cc: "true".into() })
        .unwrap();
    for file in ["c/bench.h", source] {
        let path = dir.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(from, to)).unwrap();
    }
    let out = dir.join("spoilt");
    let mut words = cc.split_whitespace();
    let mut compiler = Command::new(words.next().unwrap());
    compiler.args(words).arg("-O2").arg("-o").arg(&out).arg(dir.join(source));
    assert!(compiler.arg("-lrt").status().unwrap().success());
    out
}

/// What the receiver says of a spoilt sender's messages, in both modes.
fn is_found_wrong(program: Program, sender: &Path, mechanism: &str) {
    let pair = |mode: &str| {
        let made = start(mechanism, |side, base| match side {
            'a' => {
                let mut command = Command::new(sender);
                command.args([mode, "a", "640", base]);
                command
            }
            _ => PEERS.command(program, mechanism, mode, 'b', 640, base).unwrap(),
        });
        match made {
            Started::Ready(pair) => *pair,
            Started::Refused(status, why) => panic!("status {status}: {why}"),
        }
    };
    let [all, bad] = pair("oneway").oneway(640);
    assert_eq!(bad, all, "{program:?} {mechanism}: all were wrong");
    let [at_a, at_b] = pair("pingpong").pingpong();
    assert_eq!(at_a, 0, "{program:?} {mechanism}: the answers were right");
    assert!(at_b > 0, "{program:?} {mechanism}: none was found wrong");
}

#[test]
fn a_byte_that_is_wrong_is_found() {
    if !have(Program::C) || !have(Program::Python) {
        return;
    }
    // What it expects itself stays right.
    let (right, wrong) =
        ("first_sum = sum(mine, length, 0);", " mine[length - 1]++;");
    for (mechanism, source) in [
        ("pipe", "c/pipe.c"),
        ("unix seqpacket", "c/unix_seqpacket.c"),
        ("posixmq", "c/posixmq.c"),
        ("shm", "c/shm.c"),
    ] {
        let name = format!("byte {mechanism}");
        let sender = spoilt(&name, source, right, &format!("{right}{wrong}"));
        is_found_wrong(Program::C, &sender, mechanism);
        if COMMON.contains(&mechanism) {
            is_found_wrong(Program::Python, &sender, mechanism);
        }
    }
}

#[test]
fn a_number_that_is_left_out_is_found() {
    if !have(Program::C) || !have(Program::Python) {
        return;
    }
    let sender = spoilt("number", "c/fifo.c", "(sent++ & mask)", "(++sent & mask)");
    is_found_wrong(Program::C, &sender, "fifo");
    is_found_wrong(Program::Python, &sender, "fifo");
}

#[test]
fn who_is_forsaken_by_the_bench_ends_and_leaves_nothing() {
    for program in [Program::C, Program::Python] {
        if !have(program) {
            return;
        }
        for mechanism in ["pipe", "tcp", "sysvmq"] {
            if refusal(program, mechanism, "pingpong", 64).is_some() {
                continue;
            }
            let pair = ready([program; 2], mechanism, "pingpong", 64);
            assert_eq!(pair.forsake(), [1, 1], "{program:?} {mechanism}");
        }
    }
}

#[test]
fn the_references_compile_without_a_warning() {
    if !have(Program::C) {
        return;
    }
    let Tools { cc, python } = Tools::of_environment();
    let strict = Tools { cc: format!("{cc} -Werror"), python };
    let peers = Peers::build_with(&scratch("strict"), &strict).unwrap();
    assert_eq!(peers.absent(Program::C), None);
}

#[test]
fn what_is_absent_is_named_with_the_way_out() {
    let none = Tools { cc: "no-such-cc".into(), python: "no-such-python".into() };
    let peers = Peers::build_with(&scratch("absent"), &none).unwrap();
    for (program, advice) in
        [(Program::C, "apt-get install gcc"), (Program::Python, "install python3")]
    {
        let why = peers.absent(program).unwrap();
        assert!(why.contains("No such file") && why.contains(advice), "{why}");
        assert!(peers.command(program, "pipe", "pingpong", 'a', 64, "/p").is_none());
    }
    let broken = Tools { cc: "false".into(), python: "false".into() };
    let peers = Peers::build_with(&scratch("broken"), &broken).unwrap();
    let why = peers.absent(Program::C).unwrap();
    assert!(why.starts_with("false cannot build pipe.c"), "{why}");
    assert!(peers.absent(Program::Python).unwrap().contains("3.10"));
}
