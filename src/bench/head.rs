//! What a reader of a report must know of the machine.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::utsname::uname;

use super::model::Head;
use super::placement::Cpus;
use wire::meet::quoted;

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
    let mut pinned = vec![cpus.first];
    pinned.extend(cpus.second);
    if let Some(busy) = busy(&pinned, LOOK).filter(|busy| *busy > 0.1) {
        warnings.push(format!(
            "the machine was busy when this began: others had {:.0} % of a CPU's time",
            busy * 100.0
        ));
    }
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
    let words =
        std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
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

/// Whether this is a virtual machine, by a flag of its CPU.
#[cfg(target_arch = "x86_64")]
fn is_virtual() -> bool {
    let all = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = field(&all, "flags").unwrap_or_default();
    flags.split(' ').any(|flag| flag == "hypervisor")
}

/// Whether this is a virtual machine: other CPUs have no flag, but the firmware's names show it.
#[cfg(not(target_arch = "x86_64"))]
fn is_virtual() -> bool {
    const SIGNS: [&str; 6] =
        ["virt", "Virtual", "VMware", "QEMU", "KVM", "Compute Engine"];
    let names = [
        "/sys/class/dmi/id/product_name",
        "/sys/class/dmi/id/sys_vendor",
        "/proc/device-tree/compatible",
    ];
    let names: String =
        names.into_iter().filter_map(|name| read_to_string(name).ok()).collect();
    SIGNS.iter().any(|sign| names.contains(sign))
}

/// The hypervisor's name, where there is one and DMI has it.
fn hypervisor() -> Option<String> {
    is_virtual().then(|| {
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

/// What part of their time others had of `cpus` while this process slept, 0 to 1, where it
/// was most. (The load average would still count the minute before, for example a build.)
fn busy(cpus: &[usize], look: Duration) -> Option<f64> {
    let before = read_to_string("/proc/stat").ok()?;
    std::thread::sleep(look);
    let after = read_to_string("/proc/stat").ok()?;
    let busy = |cpu| {
        Some(Account::of(cpu, &before)?.busy_until(&Account::of(cpu, &after)?))
    };
    cpus.iter().filter_map(|cpu| busy(*cpu)).reduce(f64::max)
}

/// How a CPU has spent its time since the start, in ticks: proc_stat(5).
struct Account {
    idle: f64,
    all: f64,
}

impl Account {
    fn of(cpu: usize, stat: &str) -> Option<Self> {
        let name = format!("cpu{cpu} ");
        let cpu = stat.lines().find_map(|line| line.strip_prefix(&name))?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows, guests' time,
        // is in user and nice already.
        let ticks: Vec<f64> = cpu
            .split_whitespace()
            .take(8)
            .map_while(|tick| tick.parse().ok())
            .collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }

    /// What part of the time from this account to the `next` one was not idle: 0 to 1.
    fn busy_until(&self, next: &Account) -> f64 {
        let (idle, all) = (next.idle - self.idle, next.all - self.all);
        if all > 0.0 { (1.0 - idle / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_time_is_not_counted_twice() {
        let stat = "cpu  20 2 10 9\ncpu0 1 1 1 1\ncpu1 10 1 5 100 20 1 2 3 7 1\n";
        let account = Account::of(1, stat).unwrap();
        assert_eq!((account.idle, account.all), (120.0, 142.0));
        assert!(Account::of(2, stat).is_none());
        assert!(Account::of(1, "cpu1 1 2\n").is_none());
    }

    #[test]
    fn who_has_a_quarter_of_the_time_is_seen() {
        let account = |idle, all| Account { idle, all };
        assert_eq!(account(100.0, 200.0).busy_until(&account(175.0, 300.0)), 0.25);
        assert_eq!(account(100.0, 200.0).busy_until(&account(100.0, 200.0)), 0.0);
    }
}
