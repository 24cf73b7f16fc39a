//! Which processes there are: /proc/PID/stat of each. One that ends meanwhile is not there.

use std::fs;
use std::os::unix::fs::MetadataExt;

use os::process_identity::after_name;
use wire::visible;

use super::model::{Map, Process};

/// A kernel thread, in the flags of /proc/PID/stat.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Finds all processes but this one, in the order of their pids.
pub(super) fn gather(map: &mut Map) {
    gather_but(map, |_| false);
}

/// The same of those alone that are not known.
pub(super) fn gather_but(map: &mut Map, known: impl Fn(&i32) -> bool) {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.filter(|pid| *pid != own && !known(pid)).collect();
    pids.sort_unstable();
    for pid in pids {
        if let Some(process) = process(pid) {
            map.by_pid.insert(pid, map.processes.len());
            map.processes.push(process);
        }
    }
}

fn process(pid: i32) -> Option<Process> {
    let stat = os::proc::bytes(format!("/proc/{pid}/stat")).ok()?;
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = after_name(&stat)?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // The first of them is the third of proc_pid_stat(5).
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let flags = number(9)?.cast_unsigned();
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let name = visible::text(&stat[open + 1..close]);
    Some(Process {
        pid,
        parent: i32::try_from(number(4)?).ok()?,
        start: number(22)?.cast_unsigned(),
        role: (name == "ipclab").then(|| words(pid)).and_then(|words| {
            chapters::role(words.iter().flat_map(|it| str::from_utf8(it)))
        }),
        name,
        uid,
        terminal: i32::try_from(number(7)?).ok()?,
        kernel: flags & PF_KTHREAD != 0,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
        ..Process::default()
    })
}

/// The controlling terminal of this process; 0 for none.
pub(super) fn own_terminal() -> i32 {
    let own = std::process::id().cast_signed();
    process(own).map_or(0, |process| process.terminal)
}

/// The words of a process's command line.
pub(super) fn words(pid: i32) -> Vec<Vec<u8>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    words.filter(|word| !word.is_empty()).collect()
}
