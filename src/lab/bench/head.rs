//! What a reader of a report must know of the machine.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::utsname::uname;

use super::model::Head;
use super::placement::Cpus;
use crate::wire::meet::quoted;

/// The head of a report of this machine, now.
pub(super) fn head(cpus: &Cpus) -> Head {
    let mut warnings = Vec::new();
    if cpus.second.is_none() {
        warnings.push(
            "this process may use one CPU: nothing is measured across two".into(),
        );
    }
    if cfg!(debug_assertions) {
        warnings.push(
            "a debug build: cargo build --release makes the one to measure".into(),
        );
    }
    if let Some(busy) = busy(LOOK).filter(|busy| *busy > 0.1) {
        warnings.push(format!(
            "the machine was busy when this began: {:.0} % of its CPUs' time",
            busy * 100.0
        ));
    }
    let mut pinned = vec![cpus.first];
    pinned.extend(cpus.second);
    Head {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: now(),
        command: command(),
        kernel: kernel(),
        cpu: cpu(),
        cpus: cpus.count,
        governor: line(format!(
            "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
            cpus.first
        )),
        hypervisor: hypervisor(),
        mitigations: mitigations(),
        limits: limits(),
        warnings,
        pinned,
        seconds: 0.0,
    }
}

fn line(path: impl AsRef<Path>) -> Option<String> {
    Some(read_to_string(path).ok()?.trim().to_owned())
}

/// The command line, as it was typed.
fn command() -> String {
    let words = std::env::args().skip(1).map(|word| quoted(&word));
    std::iter::once("ipclab".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Now, in UTC, as date(1) writes it.
fn now() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    date.map_or_else(
        |_| "unknown".to_owned(),
        |date| String::from_utf8_lossy(&date.stdout).trim().to_owned(),
    )
}

fn kernel() -> String {
    uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| {
            let parts = [name.sysname(), name.release(), name.machine()];
            parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
        },
    )
}

fn cpu() -> String {
    let all = read_to_string("/proc/cpuinfo").unwrap_or_default();
    field(&all, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The value of `name : value` in one of the files of /proc.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The hypervisor's name, where there is one: DMI tells it, or at least the CPU's flag.
fn hypervisor() -> Option<String> {
    let flags = field(&read_to_string("/proc/cpuinfo").ok()?, "flags")?;
    flags.split(' ').any(|flag| flag == "hypervisor").then(|| {
        line("/sys/class/dmi/id/sys_vendor")
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unknown".to_owned())
    })
}

fn mitigations() -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
    else {
        return Vec::new();
    };
    let mut all: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            Some((entry.file_name().into_string().ok()?, line(entry.path())?))
        })
        .filter(|(_, state)| state != "Not affected")
        .collect();
    all.sort();
    all
}

fn limits() -> Vec<(String, String)> {
    [
        ("pipe-max-size", "/proc/sys/fs/pipe-max-size"),
        ("mqueue msg_max", "/proc/sys/fs/mqueue/msg_max"),
        ("mqueue msgsize_max", "/proc/sys/fs/mqueue/msgsize_max"),
        ("msgmax", "/proc/sys/kernel/msgmax"),
        ("msgmnb", "/proc/sys/kernel/msgmnb"),
        ("wmem_max", "/proc/sys/net/core/wmem_max"),
        ("wmem_default", "/proc/sys/net/core/wmem_default"),
    ]
    .into_iter()
    .filter_map(|(name, path)| Some((name.to_owned(), line(path)?)))
    .collect()
}

/// How long the machine is looked at before anything is measured. A tick of its account is
/// 10 ms long, so this is 25 of them for each CPU.
const LOOK: Duration = Duration::from_millis(250);

/// What part of the CPUs' time others had while this process slept: 0 to 1. (The load average
/// would remember the minute before, a build that is over, say.)
fn busy(look: Duration) -> Option<f64> {
    let before = Account::of(&read_to_string("/proc/stat").ok()?)?;
    std::thread::sleep(look);
    let after = Account::of(&read_to_string("/proc/stat").ok()?)?;
    let (idle, all) = (after.idle - before.idle, after.all - before.all);
    (all > 0.0).then(|| (1.0 - idle / all).clamp(0.0, 1.0))
}

/// How all CPUs have spent their time since the start, in ticks: proc_stat(5).
struct Account {
    idle: f64,
    all: f64,
}

impl Account {
    fn of(stat: &str) -> Option<Self> {
        let cpu = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows, guests' time,
        // is in user and nice already.
        let ticks: Vec<f64> = cpu
            .split_whitespace()
            .take(8)
            .map_while(|tick| tick.parse().ok())
            .collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_time_is_not_counted_twice() {
        let account = Account::of(
            "cpu  10 1 5 100 20 1 2 3 7 1\ncpu0 5 0 2 50 10 1 1 1 3 0\n",
        );
        let account = account.unwrap();
        assert_eq!((account.idle, account.all), (120.0, 142.0));
        assert!(Account::of("cpu0 1 2 3 4 5 6 7 8\n").is_none());
        assert!(Account::of("cpu  1 2\n").is_none());
    }
}
